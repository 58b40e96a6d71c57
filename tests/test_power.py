"""Error rates of the rules: simulated ones against exact ones, and none too high."""

import math

import numpy as np
import pytest
from made_up import BY_ID
from scipy.stats import binom

from lib.claims import power
from lib.claims.statistics import IntervalRule, ShareRule, decide, median_interval, share_interval, worst

MOST = ShareRule(kind="share", replicated_above=0.5, refuted_below=0.5)
ABOVE = IntervalRule(kind="interval", replicated_above=2, refuted_below=1.2)


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_rates_of_a_share_are_binomial(n, truth):
    wins = [k for k in range(n + 1) if share_interval(k, 0, n)[0] > 0.5]
    losses = [k for k in range(n + 1) if share_interval(k, 0, n)[1] < 0.5]
    found = power.rates(MOST, truth, n, simulations=4_000)
    for name, counts in (("replicated", wins), ("refuted", losses)):
        exact = binom.pmf(counts, n, truth).sum()
        assert found[name] == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4_000) + 1e-3)


@pytest.mark.parametrize("n", [10, 20])
def test_rates_of_a_median_at_its_threshold_are_those_of_the_sign_test(n):
    k = max(int(binom.ppf(0.025, n, 0.5)), 1)
    exact = binom.cdf(k - 1, n, 0.5)  # fewer than k seeds below the threshold
    found = power.rates(ABOVE, 2, n, simulations=4_000)["replicated"]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / 4_000))


def test_open_seeds_make_no_verdict_more_likely():
    for rule, truth in ((MOST, 0.9), (ABOVE, 4.2)):
        closed = power.rates(rule, truth, 10)["replicated"]
        assert power.rates(rule, truth, 10, censored=0.3)["replicated"] < closed
    assert power.rates(MOST, 1.0, 10, censored=1.0) == {"replicated": 0, "refuted": 0}


@pytest.mark.parametrize("rule", [MOST, ABOVE])
def test_the_intervals_are_those_that_are_judged(rule):
    bounds = power.draw(rule, 0.8, (50, 10), 0.2, np.random.default_rng(1))
    one_by_one = []
    for low, high in zip(*bounds, strict=True):
        if rule is MOST:
            one_by_one.append(share_interval(int(low.sum()), int(high.sum() - low.sum()), 10))
        else:
            ends = median_interval(low, high)[1:]
            one_by_one.append((-np.inf if ends[0] is None else ends[0], np.inf if ends[1] is None else ends[1]))
    assert power.intervals(rule, *bounds) == one_by_one


def test_a_second_look_is_taken_only_if_the_first_decides_nothing():
    first = [k for k in range(11) if share_interval(k, 0, 10)[0] > 0.5]  # so many of ten are "replicated"
    lost = [k for k in range(11) if share_interval(k, 0, 10)[1] < 0.5]
    exact = binom.pmf(first, 10, 0.5).sum()
    for k in set(range(11)) - {*first, *lost}:
        more = [j for j in range(11) if share_interval(k + j, 0, 20)[0] > 0.5]
        exact += binom.pmf(k, 10, 0.5) * binom.pmf(more, 10, 0.5).sum()
    found = power.rates(MOST, 0.5, 10, 20, simulations=20_000)["replicated"]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))
    assert found > max(power.rates(MOST, 0.5, n, simulations=20_000)["replicated"] for n in (10, 20))


def test_draws_have_the_median_that_is_asked_for():
    rng = np.random.default_rng(0)
    for rule, truth in ((ABOVE, 2.0), (BY_ID["C26"].parts[0].rule, 0.7)):
        low, high = power.draw(rule, truth, (20_001,), 0.0, rng)
        assert (low == high).all() and np.median(low) == pytest.approx(truth, rel=0.03)


def certain(*values: float) -> np.ndarray:
    """Bounds [S, 2] of seeds of which all is known; nan: no case."""
    return np.array([values, values], dtype=float).T


def test_an_outlook_on_seeds_that_agree_is_certain():
    assert power.outlook([(ABOVE, certain(3, 4, 5, 6, 7))]) == {"replicated": 1}
    assert power.outlook([(ABOVE, certain(3, 4, 5, 6, 7)), (MOST, certain(*[0] * 5))]) == {"refuted": 1}
    assert power.outlook([(ABOVE, certain(*[np.nan] * 5))]) == {"inconclusive": 1}


def test_an_outlook_on_a_share_is_binomial():
    held, n = 7, 10
    wins = [k for k in range(n + 1) if share_interval(held + k, 0, 2 * n)[0] > 0.5]
    exact = binom.pmf(wins, n, held / n).sum()
    found = power.outlook([(MOST, certain(*[1] * held, *[0] * (n - held)))], simulations=4_000)["replicated"]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4_000))


def test_an_outlook_counts_the_cases_among_new_seeds():
    """Four cases of ten are too few; all of them agree, so that one more among ten new seeds is all that a verdict needs."""
    some = certain(*[3] * 4, *[np.nan] * 6)
    exact = 1 - 0.6**10
    found = power.outlook([(ABOVE, some)], simulations=4_000)["replicated"]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4_000))


def test_an_outlook_draws_the_same_seeds_for_all_parts():
    """Two parts that hold on the same seeds are replicated as often as one of them."""
    one = certain(*[1] * 7, *[0] * 3)
    assert power.outlook([(MOST, one), (MOST, one)]) == power.outlook([(MOST, one)])


@pytest.mark.parametrize("rule", [MOST, ABOVE])
def test_a_decision_is_that_of_the_interval_of_the_cases(rule):
    low, high = power.draw(rule, 0.8, (12,), 0.3, np.random.default_rng(2))
    bounds = np.array([low, high]).T
    bounds[[2, 7]] = np.nan
    estimate, interval, outcome = decide(rule, bounds)
    cases = np.delete(bounds, [2, 7], axis=0)
    assert (estimate, interval, outcome) == decide(rule, cases) and outcome == rule.outcome(*interval)
    assert decide(rule, cases[:4])[2] == decide(rule, cases[:0])[2] == "inconclusive"
    assert decide(rule, cases[:0])[:2] == (None, (None, None))


def test_the_worst_part_decides():
    assert worst(["replicated", "refuted", "inconclusive"]) == "refuted"
    assert worst(["replicated", "inconclusive"]) == "inconclusive"
    assert worst(["replicated", "replicated"]) == "replicated"


@pytest.mark.slow
def test_no_rule_is_wrong_more_than_one_time_in_twenty():
    found = power.table(list(BY_ID.values()))
    assert power.most_wrong(found) <= 0.05
    judged = {entry.id for entry in BY_ID.values() if getattr(entry, "parts", [])}
    assert {one for ids in found["claims"] for one in ids.split(", ")} == judged
    assert (found.groupby("rule")["replicated is wrong"].sum() > 0).all()  # each is put to a null
    assert not (~found["replicated is wrong"] & ~found["refuted is wrong"]).any()  # not both are right
    assert found.groupby("rule")["refuted is wrong"].any().all()
