"""What rounding decides: replicas are paired by seed, outcomes compared, variance split."""

import dataclasses

import numpy as np
import pytest
from made_up import BY_ID
from scipy.stats import f_oneway
from test_claims import grokking, groups

from lib.claims.stability import at_one_level, replicas, rounding_share, stability
from lib.experiments.arms import arm
from lib.experiments.comparison import Comparison


def comparison(name, base, ticket):
    return Comparison(name, {arm(where): records for where, records in groups(base, ticket).items()})


def three(*tickets):
    names = ("mlp", "mlp/rounding-1", "mlp/rounding-2")
    return {name: comparison(name, [12_000] * 5, [t] * 5) for name, t in zip(names, tickets, strict=True)}


def test_a_claim_is_stable_if_all_replicas_agree():
    (found,) = stability([BY_ID["C01"]], three(3_000, 2_900, 3_100))
    assert found.outcomes == ("replicated",) * 3 and found.is_stable
    (found,) = stability([BY_ID["C01"]], three(3_000, 11_000, 3_100))
    assert found.outcomes == ("replicated", "refuted", "replicated") and not found.is_stable


def test_claims_whose_arms_or_replicas_are_missing_are_left_out():
    assert stability([BY_ID["C09"], BY_ID["C34"], BY_ID["Q01"]], three(3_000, 3_000, 3_000)) == []
    two = {name: one for name, one in three(3_000, 3_000, 3_000).items() if name != "mlp/rounding-2"}
    assert replicas("mlp", two) == [] and stability([BY_ID["C01"]], two) == []


def test_replicas_are_of_the_seeds_that_all_have():
    found = three(3_000, 3_000, 3_000)
    found["mlp"] = comparison("mlp", [12_000] * 8, [3_000] * 8)
    assert [one.seeds for one in replicas("mlp", found)] == [[0, 1, 2, 3, 4]] * 3
    found["mlp/rounding-1"] = Comparison(
        "mlp/rounding-1",
        {arm("base"): [dataclasses.replace(grokking(100, 9), seed=9)], arm("ticket"): [grokking(100, 9)]},
    )
    assert replicas("mlp", found) == []


def test_the_share_of_rounding_is_that_of_the_variance_within_seeds():
    rng = np.random.default_rng(0)
    times = np.exp(8 + rng.normal(0, 0.3, (400, 1)) + rng.normal(0, 0.2, (400, 3)))
    assert rounding_share(times)[0] == pytest.approx(0.2**2 / (0.2**2 + 0.3**2), abs=0.05)
    ratio = f_oneway(*np.log(times[:40])).statistic
    assert rounding_share(times[:40])[0] == pytest.approx(1 / (1 + (ratio - 1) / 3))


def test_the_interval_of_the_share_covers_it():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(500):
        times = np.exp(8 + rng.normal(0, 0.3, (5, 1)) + rng.normal(0, 0.2, (5, 3)))
        share, low, high = rounding_share(times)
        assert low <= share <= high
        covered += low <= 0.2**2 / (0.2**2 + 0.3**2) <= high
    assert covered / 500 == pytest.approx(0.95, abs=0.03)


def test_the_share_of_rounding_at_its_ends():
    alike = np.repeat([[100.0], [200.0], [400.0]], 3, axis=1)
    assert rounding_share(alike) == (0, 0, 0)
    assert rounding_share(alike.T) == (1, 1, 1)
    alike[0, 1] = np.nan  # one seed with a replica that never generalizes
    assert rounding_share(alike) == (0, 0, 0)
    assert np.isnan(rounding_share(alike[:2])).all()


def test_what_parts_replicas_is_no_change_of_what_counts():
    """The second replica's bases end at 0.93: by themselves they count from 0.90 on, the others from 0.95."""
    found = three(3_000, 3_000, 3_000)
    low = [
        dataclasses.replace(one, metrics=one.metrics | {"test_accuracy": 0.93 * one.metrics["test_accuracy"]})
        for one in found["mlp/rounding-1"]["base"]
    ]
    found["mlp/rounding-1"] = Comparison("mlp/rounding-1", found["mlp/rounding-1"].arms | {arm("base"): low})
    assert [one.tau for one in replicas("mlp", found)] == [0.95, 0.90, 0.95]
    assert [one.tau for one in at_one_level(replicas("mlp", found))] == [0.90] * 3
    assert at_one_level([]) == []


def test_comparisons_of_some_seeds_keep_their_order():
    found = comparison("mlp", [12_000, 9_000, 7_000], [3_000] * 3).of_seeds({2, 0})
    assert found.seeds == [0, 2] and found.t_gen("base") == [12_000, 7_000]
    assert [record.seed for record in found["ticket"]] == [0, 2]
