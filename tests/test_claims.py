"""Claims: the file, censoring, intervals against independent computations, verdicts at their edges, words, JSON."""

import dataclasses
import errno
import itertools
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import yaml
from made_up import BY_ID, judge

import lib.files
from lib.analysis import times
from lib.analysis.times import MeasureError, NoRecords
from lib.book import tables
from lib.claims import judging as c
from lib.claims import measures
from lib.claims import statistics as s
from lib.claims.claims import CLAIMS, Claim, ClaimsError, load_claims
from lib.experiments.arms import arm
from lib.experiments.comparison import Comparison
from lib.files import StoreError
from lib.train.models import MLP
from lib.train.runs import Run, Ticket
from lib.train.tasks import ModularTask

EPOCHS = np.arange(0, 30_001, 100)
KEYS = ["id", "system", "verdict", "estimate", "low", "high", "unit", "seeds", "profile"]


BASE = Run(task=ModularTask(seed=0), model=MLP(), seed=0)
TICKET = dataclasses.replace(BASE, start=Ticket(base=BASE, epoch=28_000, rate=0.6))


@dataclass
class FakeRecord:
    seed: int
    epochs: np.ndarray
    metrics: dict
    run: Run = BASE


def grokking(t_gen, seed=0, epochs=EPOCHS, before=0.01, after=1.0, **metrics):
    """A record whose test accuracy steps from `before` to `after` at t_gen (None: never)."""
    test = np.where(epochs >= (np.inf if t_gen is None else t_gen), after, before)
    return FakeRecord(seed, epochs, {"test_accuracy": test, "train_accuracy": (epochs >= 300) * 1.0, **metrics})


def groups(base, ticket, **options):
    """Base and ticket records with the t_gen given, seed by seed."""
    tickets = [grokking(t, seed, **options) for seed, t in enumerate(ticket)]
    return {
        "base": [grokking(t, seed, **options) for seed, t in enumerate(base)],
        "ticket": [dataclasses.replace(record, run=TICKET) for record in tickets],
    }


def staged_norm(epochs=EPOCHS, start=50.0, peak=100.0, peak_at=2_000, fallen_at=14_000, end=30.0):
    """A norm that rises to a peak, falls and stays level."""
    return np.interp(epochs, [0, peak_at, fallen_at, epochs[-1]], [start, peak, end, end])


def judge_norms(l1, l2=None, t_gen=12_000, epochs=EPOCHS, claim="C17", seeds=5):
    record = {"l1": l1, "l2": staged_norm(epochs) if l2 is None else l2}
    base = [grokking(t_gen, seed, epochs, **record) for seed in range(seeds)]
    return judge(claim, {"base": base}, "mlp", "paper")


# --- the file -----------------------------------------------------------------------------------------------------


def test_every_claim_and_question_stands_in_the_file_once():
    raw = Counter(entry["id"] for entry in yaml.safe_load(CLAIMS.read_text(encoding="utf-8")))
    wanted = [f"C{k:02d}" for k in [*range(1, 35), *range(40, 48)]] + [f"Q{k:02d}" for k in range(1, 8)]
    assert raw == Counter(wanted)
    assert [entry.id for entry in load_claims(CLAIMS)] == wanted


def systems(entry):
    return [judged.system for judged in entry.judged]


def test_no_two_judgements_share_a_name():
    claims = [entry for entry in BY_ID.values() if isinstance(entry, Claim)]
    assert all(len(set(systems(entry))) == len(entry.judged) for entry in claims)
    assert systems(BY_ID["C05"]) == ["mlp", "transformer", "mlp/moments", "transformer/moments"]
    named = {}  # one name means one thing in all claims
    for judged in (judged for entry in claims for judged in entry.judged):
        assert named.setdefault(judged.system, (judged.setting, judged.variant)) == (judged.setting, judged.variant)


@pytest.mark.parametrize("claim_id", ["C01", "C02"])
def test_the_speed_up_rule_is_the_one_in_the_criterion(claim_id):
    rule = BY_ID[claim_id].parts[0].rule
    assert (rule.replicated_above, rule.refuted_below) == (2, 1.2)
    assert (rule.replicated_below, rule.refuted_above) == (None, None)


@pytest.mark.parametrize("claim_id", ["C17", "C18"])
def test_the_norm_rules_are_those_in_the_criterion(claim_id):
    stages, drift = BY_ID[claim_id].parts
    assert stages.arguments == {"peak_before": 5000} and drift.arguments == {"after": 5000}
    assert (stages.rule.replicated_above, stages.rule.refuted_below) == (0.5, 0.5)  # most seeds
    assert (drift.rule.replicated_below, drift.rule.refuted_above) == (5, 5)


def lacks(criterion, rule):
    """What a rule asks for and its words do not say: a number, or how many of all seeds."""
    if isinstance(rule, s.ShareRule):
        wanted = [{0.5: "most seeds", 0.7: "nearly every seed"}[rule.replicated_above]]
        return [words for words in wanted if words not in criterion]
    numbers = {value for value in rule.model_dump(exclude={"kind"}).values() if value}
    return [n for n in numbers if not re.search(rf"(?<![\d.,-]){re.escape(f'{n:g}')}(?!\d|[.,]\d)", criterion)]


def test_thresholds_in_rules_are_those_in_the_words():
    for entry in BY_ID.values():
        for rule in [part.rule for part in getattr(entry, "parts", [])]:
            words = BY_ID["C17"].criterion if entry.id == "C18" else entry.criterion  # "As C17"
            assert lacks(words, rule) == [], entry.id


def test_a_number_is_not_found_within_another():
    rule = s.IntervalRule(kind="interval", replicated_above=2, refuted_below=1.2)
    assert lacks("above 3, refuted below 1.2", rule) == [2] and lacks("above 2, refuted below 1.2.", rule) == []
    most = s.ShareRule(kind="share", replicated_above=0.5, refuted_below=0.5)
    assert lacks("on nearly every seed", most) == ["most seeds"]


def entry(**changes):
    """One valid claim as YAML; a change to None drops the field."""
    fields = {
        "id": "C01", "title": "A title", "source": "§1", "chapter": "main-results", "judged": ["mlp"],
        "claim": "It is so.", "measure": "Speed-up.", "criterion": "Above 2.",
        "parts": [{"speed_up": {}, "rule": {"kind": "interval", "replicated_above": 2, "refuted_below": 1.2}}],
    }  # fmt: skip
    return {key: value for key, value in (fields | changes).items() if value is not None}


def load(tmp_path, content):
    path = tmp_path / "claims.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return load_claims(path)


def test_a_valid_entry_loads(tmp_path):
    assert [loaded.id for loaded in load(tmp_path, [entry(), entry(id="C02", parts=None)])] == ["C01", "C02"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"criterion": None}, "criterion"),
        ({"claim": ""}, "claim"),
        ({"speed": 1}, "speed"),
        ({"judged": []}, "judged"),
        ({"judged": ["mpl"]}, "judged.0"),
        ({"title": "one two three four five six seven eight nine"}, "title"),
        ({"id": "X01"}, "id"),
        ({"paper": "25,000 epochs"}, "paper"),  # no place
        ({"paper": "App. C: much sooner"}, "paper"),  # no number
        ({"parts": [{"speed_up": {}, "rule": {"kind": "guess"}}]}, "rule"),
        ({"parts": [{"speed_down": {}, "rule": {"kind": "guess"}}]}, "parts.0"),
        ({"parts": [{"speed_up": {}, "vary": {"arm": "best"}, "rule": {"kind": "guess"}}]}, "vary"),
        ({"judged": ["mlp", "mlp"]}, "judged"),
        ({"judged": [{"setting": "mlp", "variant": "a-b"}]}, "judged"),
        ({"judged": [{"setting": "mlp", "variant": "x", "with": [{}, {}]}]}, "judged"),
        (
            {"parts": [{"speed_up": {}, "rule": {"kind": "interval", "replicated_above": "2", "refuted_below": 1}}]},
            "replicated_above",
        ),
        (
            {"parts": [{"speed_up": {}, "rule": {"kind": "interval", "replicated_abov": 2, "refuted_below": 1}}]},
            "replicated_abov",
        ),
        ({"parts": [{"speed_up": {}, "rule": {"kind": "interval", "replicated_above": 2}}]}, "rule"),
        (
            {"parts": [{"speed_up": {}, "rule": {"kind": "interval", "replicated_above": 1, "refuted_below": 2}}]},
            "rule",
        ),
        (
            {"parts": [{"speed_up": {}, "rule": {"kind": "interval", "replicated_below": 2, "refuted_above": 1}}]},
            "rule",
        ),
        ({"parts": [{"speed_up": {}, "rule": {"kind": "interval"}}]}, "rule"),
        (
            {"parts": [{"speed_up": {}, "rule": {"kind": "share", "replicated_above": 0.5, "refuted_below": 0.8}}]},
            "rule",
        ),
        (
            {"parts": [{"speed_up": {}, "rule": {"kind": "share", "replicated_above": 80, "refuted_below": 0.5}}]},
            "replicated_above",
        ),
        (
            {
                "parts": [
                    {"speed_up": {}, "rule": {"kind": "interval", "replicated_above": math.inf, "refuted_below": 1}}
                ]
            },
            "replicated_above",
        ),
    ],
)
def test_a_bad_entry_is_named_with_its_field_in_one_line(tmp_path, changes, field):
    with pytest.raises(ClaimsError) as caught:
        load(tmp_path, [entry(id="C09"), entry(**changes)])
    message = str(caught.value)
    assert f"claim {changes.get('id', 'C01')}, field '" in message and field in message.split("field ")[1]
    assert "\n" not in message and "claims.yml" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([entry(), entry()], "claim C01, field 'id': two entries"),
        ("- id: C01\n  title: [", "cannot be read"),
        ("id: C01", "must be a list"),
        ("", "must be a list"),
        ("- C01", "entry 1 has no field 'id'"),
        ([entry(), entry(id=None)], "entry 2 has no field 'id'"),
        ("- id: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, content, words):
    with pytest.raises(ClaimsError, match=words) as caught:
        load(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ClaimsError, match="nothing.yml cannot be read"):
        load_claims(tmp_path / "nothing.yml")


# --- tau, t_gen, censoring ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("best", "tau"),
    [
        ([1.0, 0.95], 0.95),
        ([1.0, 0.949], 0.90),
        ([0.90, 0.99], 0.90),
        ([0.899, 0.99], 0.80),
        ([0.80], 0.80),
        ([0.5, 1.0], 0.80),
    ],
)
def test_tau_is_the_highest_that_every_base_run_reaches(best, tau):
    assert times.threshold([grokking(5_000, after=accuracy) for accuracy in best]) == tau


def test_tau_counts_an_accuracy_that_is_lost_again():
    record = grokking(5_000)
    record.metrics["test_accuracy"][100:] = 0.85
    assert times.threshold([record]) == 0.95


def test_tau_needs_a_base_run():
    with pytest.raises(MeasureError, match="base"):
        times.threshold([])


def test_tau_is_from_the_base_alone():
    records = groups([5_000] * 3, [900] * 3)
    for record in records["ticket"]:
        record.metrics["test_accuracy"] = record.metrics["test_accuracy"] * 0.85
    judgement = judge("C01", records, "mlp", "paper")
    assert judgement.tau == 0.95
    assert judgement.parts[0].table["t_gen, ticket"].isna().all()


def test_t_gen_is_the_first_evaluation_at_tau_or_above():
    record = grokking(4_200, after=0.9)
    assert times.generalization_epoch(record, 0.9) == 4_200
    assert times.generalization_epoch(record, 0.8) == 4_200
    assert times.generalization_epoch(record, 0.95) is None
    assert times.generalization_epoch(grokking(0), 0.95) == 0
    assert times.generalization_epoch(grokking(30_000), 0.95) == 30_000


def test_fitting_is_about_training_accuracy():
    assert times.fitting_epoch(grokking(4_200), 0.95) == 300
    unfitted = grokking(4_200)
    unfitted.metrics["train_accuracy"] = unfitted.metrics["train_accuracy"] * 0.5
    assert times.fitting_epoch(unfitted, 0.95) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_record_is_an_error_not_a_censored_one(bad):
    record = grokking(None, seed=7)
    record.metrics["test_accuracy"][50] = bad
    with pytest.raises(MeasureError, match="seed 7: test_accuracy"):
        times.generalization_epoch(record, 0.95)


@pytest.mark.parametrize(
    ("numerator", "denominator", "bounds"),
    [
        (12_000, 3_000, (4, 4)),
        (None, 3_000, (10, math.inf)),
        (12_000, None, (0, 0.4)),
        (None, None, (0, math.inf)),
        (0, 3_000, (1 / 30, 1 / 30)),
        (3_000, 0, (30, 30)),
        (0, 0, (1, 1)),
        (None, 0, (300, math.inf)),
        (0, None, (0, 1 / 300)),
    ],
)
def test_ratio_in_every_combination_of_censoring(numerator, denominator, bounds):
    assert times.ratio_bounds(numerator, denominator, 30_000, 100) == pytest.approx(bounds)


def test_true_ratio_of_censored_runs_lies_within_the_bounds():
    rng = np.random.default_rng(1)
    for top, bottom in rng.integers(100, 90_000, size=(500, 2)):
        low, high = times.ratio_bounds(*(int(t) if t <= 30_000 else None for t in (top, bottom)), 30_000, 100)
        assert low <= top / bottom <= high


# --- intervals ----------------------------------------------------------------------------------------------------


def covered(n, k):
    """How often the k-th smallest and the k-th largest of n values have the median between them: all 2^n patterns counted."""
    patterns = itertools.product([0, 1], repeat=n)  # which values lie above the true median
    return sum(k <= sum(pattern) <= n - k for pattern in patterns) / 2**n


@pytest.mark.parametrize("n", range(6, 15))
def test_the_interval_is_the_narrowest_pair_of_order_statistics_that_covers_enough(n):
    values = np.random.default_rng(n).lognormal(size=n)
    k = max(k for k in range(1, n // 2 + 1) if covered(n, k) >= 0.95)
    estimate, low, high = s.median_interval(values, values)
    assert estimate == pytest.approx(np.median(values))
    assert (low, high) == (sorted(values)[k - 1], sorted(values)[-k])
    assert s.coverage(n) == pytest.approx(covered(n, k))


def test_five_seeds_have_their_range_which_covers_less():
    assert s.median_interval([3, 1, 2, 5, 4], [3, 1, 2, 5, 4]) == (3, 1, 5)
    assert s.coverage(5) == pytest.approx(covered(5, 1)) == pytest.approx(0.9375)


@pytest.mark.parametrize("n", [10, 20])
def test_the_interval_is_the_sign_test_inverted(n):
    """Values that SciPy's two-sided sign test at 5% does not reject as the median, and no others, lie within."""
    values = np.sort(np.random.default_rng(n).normal(size=n))
    _, low, high = s.median_interval(values, values)
    for candidate in (values[:-1] + values[1:]) / 2:
        kept = scipy.stats.binomtest(int((values > candidate).sum()), n).pvalue > 0.05
        assert kept == (low < candidate < high)


def test_each_end_is_taken_from_its_own_bounds():
    low, high = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.5, 2.5, 9, 10, 11, 12])
    assert s.median_interval(low, high) == (None, 1, 12)


def test_an_interval_of_censored_values_contains_that_of_any_values_within_the_bounds():
    rng = np.random.default_rng(4)
    for _ in range(20):
        low, width = rng.lognormal(size=5), rng.choice([1, 2, np.inf], size=5)
        _, low_end, high_end = s.median_interval(low, low * width)
        truth = low * rng.uniform(1, np.minimum(width, 50))
        _, low_truth, high_truth = s.median_interval(truth, truth)
        assert low_end <= low_truth and (high_end is None or high_truth <= high_end)


def test_unbounded_values_become_none_and_never_nan():
    inf = math.inf
    assert s.median_interval([4, 5, 6, 7, 8], [4, 5, 6, inf, inf]) == (6, 4, None)
    assert s.median_interval([4, 5, 6, 7, 8], [4, 5, inf, inf, inf]) == (None, 4, None)
    assert s.median_interval([0] * 5, [inf] * 5) == (None, 0, None)
    assert s.median_interval([4, 5, 6, 7, 8, 9], [4, 5, inf, inf, 8, 9]) == (None, 4, None)


@pytest.mark.parametrize("n", [1, 4])
def test_fewer_than_five_seeds_have_no_interval(n):
    assert s.median_interval([5.0] * n, [5.0] * n) == (5, None, None)


@pytest.mark.parametrize(("low", "high"), [([], []), ([1], [1, 2]), ([2], [1]), ([math.nan], [1]), ([[1]], [[1]])])
def test_bad_bounds_are_an_error(low, high):
    with pytest.raises(ValueError, match="bounds"):
        s.median_interval(low, high)


def wilson(k, n, z=1.959963984540054):
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0, centre - half), min(1, centre + half)


@pytest.mark.parametrize(
    ("held", "undecided", "n"), [(5, 0, 5), (0, 0, 5), (3, 1, 5), (3, 2, 5), (0, 5, 5), (7, 2, 20)]
)
def test_share_interval_is_wilsons_widened_by_undecided_seeds(held, undecided, n):
    expected = wilson(held, n)[0], wilson(held + undecided, n)[1]
    assert s.share_interval(held, undecided, n) == pytest.approx(expected, abs=1e-12)


# --- rules at their edges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (2.01, 5, "replicated"),
        (2.0, 5, "inconclusive"),
        (2.01, None, "replicated"),
        (1.0, 1.19, "refuted"),
        (1.0, 1.2, "inconclusive"),
        (None, 1.19, "refuted"),
        (0.1, 9, "inconclusive"),
        (0.5, None, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_speed_up_rule(low, high, outcome):
    assert BY_ID["C01"].parts[0].rule.outcome(low, high) == outcome


@pytest.mark.parametrize(
    ("claim_id", "low", "high", "outcome"),
    [
        ("C15", 0.5, 1.19, "replicated"),
        ("C15", 0.5, 1.2, "inconclusive"),
        ("C15", 1.21, None, "refuted"),
        ("C15", None, 1.1, "replicated"),
        ("C32", 0.68, 1.49, "replicated"),
        ("C32", 0.67, 1.49, "inconclusive"),
        ("C32", 0.68, 1.5, "inconclusive"),
        ("C32", 0.1, 0.66, "refuted"),
        ("C32", 1.51, 3, "refuted"),
        ("C32", 0.5, 2, "inconclusive"),
    ],
)
def test_rules_with_an_upper_threshold(claim_id, low, high, outcome):
    assert BY_ID[claim_id].parts[0].rule.outcome(low, high) == outcome


@pytest.mark.parametrize(
    ("held", "undecided", "n", "outcome"),
    [
        (5, 0, 5, "replicated"),
        (4, 1, 5, "inconclusive"),
        (9, 0, 10, "replicated"),
        (8, 2, 10, "inconclusive"),
        (1, 0, 10, "refuted"),
        (1, 1, 10, "inconclusive"),
        (15, 0, 20, "replicated"),
        (14, 6, 20, "inconclusive"),
        (5, 0, 20, "refuted"),
        (0, 5, 5, "inconclusive"),
    ],
)
def test_most_seeds(held, undecided, n, outcome):
    rule = BY_ID["C17"].parts[0].rule
    assert rule.outcome(*s.share_interval(held, undecided, n)) == outcome
    assert (wilson(held, n)[0] > 0.5) == (outcome == "replicated")
    assert (wilson(held + undecided, n)[1] < 0.5) == (outcome == "refuted")


# --- C01 and C02 --------------------------------------------------------------------------------------------------


def test_speed_up_replicated():
    records = groups([9_000, 12_000, 10_000, 15_000, 20_000], [3_000] * 5)
    judgement = judge("C02", records, "transformer", "paper")
    values = ["C02", "transformer", "replicated", 4.0, 3.0, 6.66667, "times", [0, 1, 2, 3, 4], "paper"]
    assert judgement.verdict.model_dump() == dict(zip(KEYS, values, strict=True))
    assert judgement.parts[0].table["at least"].tolist() == pytest.approx([3, 4, 10 / 3, 5, 20 / 3])


def test_speed_up_is_paired_by_seed():
    base, ticket = [4_000, 8_000, 16_000, 2_000, 20_000], [1_000, 2_000, 4_000, 500, 5_000]
    assert judge("C01", groups(base, ticket), "mlp", "paper").verdict.low == 4


def test_a_base_that_had_not_generalized_when_its_ticket_was_cut_is_no_case():
    judgement = judge("C01", groups([None, 28_100, 28_000] + [12_000] * 5, [3_000] * 8), "mlp", "paper")
    verdict, part = judgement.verdict, judgement.parts[0]
    assert judgement.tau == 0.80
    assert (verdict.verdict, verdict.estimate, verdict.low) == ("replicated", 4, 4)
    assert verdict.seeds == list(range(8)) and len(part.low) == 6
    assert part.table["at least"].isna().tolist() == [True, True] + [False] * 6
    four = judge("C01", groups([None] * 4 + [12_000] * 4, [3_000] * 8), "mlp", "paper").verdict
    assert (four.verdict, four.low) == ("inconclusive", None)  # too few cases


def test_a_criterion_holds_for_settings_and_arms_that_its_claim_does_not_name():
    records = groups([9_000, 12_000, 10_000, 15_000, 20_000], [3_000] * 5)
    records["random"] = [grokking(t, seed) for seed, t in enumerate([18_000, 24_000, 20_000, 30_000, None])]
    elsewhere = Comparison("transformer/text", {arm(where): found for where, found in records.items()})
    assert "transformer/text" not in [judged.system for judged in BY_ID["C01"].judged]
    ticket = c.judge_elsewhere(BY_ID["C01"], elsewhere, "paper").verdict
    named = judge("C01", records, "mlp", "paper").verdict
    assert ticket == named.model_copy(update={"system": "transformer/text"})
    other = c.judge_elsewhere(BY_ID["C01"], elsewhere, "paper", "random").verdict
    assert (other.verdict, other.estimate) == ("refuted", 0.5)


def test_a_base_that_never_generalizes_is_a_bound_where_no_ticket_is_asked_for():
    records = groups([None] * 3 + [12_000] * 2, [3_000] * 5)
    records["random"] = records.pop("ticket")
    judgement = judge("C15", records, "mlp/random", "paper")
    verdict = judgement.verdict
    assert (verdict.verdict, verdict.estimate, verdict.low, verdict.high) == ("refuted", None, 4, None)
    assert judgement.parts[0].open_seeds == 3
    assert "at least 10.0" in tables.verdict(judgement) and "at least 4.00" in tables.verdict(judgement)


def test_a_ticket_that_never_generalizes_refutes():
    verdict = judge("C01", groups([12_000] * 5, [None] * 5), "mlp", "paper").verdict
    assert (verdict.verdict, verdict.estimate, verdict.low, verdict.high) == ("refuted", None, 0, 0.4)


def test_neither_generalizing_is_inconclusive():
    records = groups([None] * 5, [None] * 5)
    records["random"] = records.pop("ticket")
    verdict = judge("C15", records, "mlp/random", "paper").verdict
    assert (verdict.verdict, verdict.estimate, verdict.low, verdict.high) == ("inconclusive", None, 0, None)


def test_one_slow_seed_of_five_keeps_it_inconclusive():
    verdict = judge("C01", groups([12_000] * 5, [3_000] * 4 + [8_000]), "mlp", "paper").verdict
    assert (verdict.verdict, verdict.estimate, verdict.low, verdict.high) == ("inconclusive", 4, 1.5, 4)


@pytest.mark.parametrize("n", [1, 4])
def test_four_seeds_are_never_a_verdict(n):
    judgement = judge("C01", groups([12_000] * n, [1_000] * n), "mlp", "smoke")
    assert (judgement.verdict.verdict, judgement.verdict.estimate, judgement.verdict.low) == ("inconclusive", 12, None)
    assert "fewer than 5 seeds" in tables.verdict(judgement)
    assert judge_norms(staged_norm(), seeds=n).verdict.verdict == "inconclusive"


def test_the_evaluation_interval_and_the_budget_come_from_the_records():
    records = groups([None] * 5, [0] * 5, epochs=np.arange(0, 2_001, 50))
    records["random"] = records.pop("ticket")
    judgement = judge("C15", records, "mlp/random", "smoke")
    assert judgement.verdict.low == 40  # 2,000 epochs over one interval of 50


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda g: g["ticket"].reverse(), "records of arm ticket are not of the base's seeds"),
        (lambda g: g["ticket"].pop(), "records of arm ticket are not of the base's seeds"),
        (lambda g: g.update(base=[g["base"][0]] * 3), "different seeds"),
        (lambda g: g.pop("base"), "base records"),
        (
            lambda g: g["ticket"].__setitem__(1, grokking(100, 1, EPOCHS[:-1])),
            "a record of arm ticket is evaluated at other",
        ),
    ],
)
def test_groups_that_do_not_pair_are_an_error(spoil, words):
    records = groups([9_000] * 3, [3_000] * 3)
    spoil(records)
    with pytest.raises(MeasureError, match=words):
        judge("C01", records, "mlp", "paper")


def test_judging_what_cannot_be_judged_is_an_error():
    with pytest.raises(ClaimsError, match="C34 has no measure"):
        judge("C34", groups([1] * 3, [1] * 3), "mlp", "paper")


# --- C17 and C18: each part broken alone --------------------------------------------------------------------------


def test_norms_that_satisfy_every_part():
    judgement = judge_norms(staged_norm())
    assert [part.outcome for part in judgement.parts] == ["replicated"] * 2
    assert judgement.verdict.verdict == "replicated"
    stages, drift = (part.table for part in judgement.parts)
    assert stages["holds"].tolist() == ["yes"] * 5
    assert stages["l1 peak epoch"].tolist() == [2_000] * 5
    assert drift["at most"].tolist() == [0] * 5


def level_from(epoch, change):
    """staged_norm with one last excursion by `change` of its value, at a single evaluation."""
    norm = staged_norm()
    norm[epoch == EPOCHS] *= 1 + change
    return norm


STAGES = {
    "peak at 5,000": (staged_norm(peak_at=5_000), "no"),
    "peak at 4,900": (staged_norm(peak_at=4_900), "yes"),
    "only falls": (staged_norm(start=120, peak=100), "no"),
}
DRIFTS = {
    "moves up by 5%": (level_from(25_000, 0.0501), 5.01),
    "moves up by less": (level_from(25_000, 0.0499), 4.99),
    "moves down by 5%": (level_from(30_000, -0.0501), 5.01),
    "moves before it must be level": (level_from(16_900, 0.5), 0),
}


def with_norm(norm, which):
    l1, l2 = norm if which != "l2" else staged_norm(), norm if which != "l1" else staged_norm()
    return judge_norms(l1, l2)


@pytest.mark.parametrize("which", ["l1", "l2", "both"])
@pytest.mark.parametrize("case", STAGES)
def test_stages_of_either_norm(case, which):
    norm, holds = STAGES[case]
    stages, drift = with_norm(norm, which).parts
    assert stages.table["holds"].tolist() == [holds] * 5
    assert stages.outcome == {"yes": "replicated", "no": "refuted"}[holds]
    assert drift.outcome == "replicated"


@pytest.mark.parametrize("which", ["l1", "l2", "both"])
@pytest.mark.parametrize("case", DRIFTS)
def test_drift_of_the_norm_that_moves_more(case, which):
    norm, percent = DRIFTS[case]
    stages, drift = with_norm(norm, which).parts
    assert stages.outcome == "replicated"
    assert drift.estimate == pytest.approx(percent)
    assert drift.outcome == ("replicated" if percent < 5 else "refuted")


def test_norm_at_t_gen_must_be_below_the_peak():
    flat = np.interp(EPOCHS, [0, 2_000, 30_000], [50, 100, 100])  # level after its peak, so nothing else fails
    stages, drift = judge_norms(flat).parts
    assert (stages.table["l1 peak epoch"] == 2_000).all() and stages.table["holds"].tolist() == ["no"] * 5
    assert (drift.table["l1 moves by (%)"] == 0).all()


@pytest.mark.parametrize("t_gen", [None, 25_100, 25_000])
def test_too_little_budget_leaves_the_drift_open(t_gen):
    judgement = judge_norms(staged_norm(), t_gen=t_gen)
    drift = judgement.parts[1]
    assert drift.open_seeds == 5 and (drift.outcome, drift.estimate) == ("inconclusive", None)
    assert judgement.parts[0].table["holds"].tolist() == ["undecided" if t_gen is None else "yes"] * 5


@pytest.mark.parametrize("t_gen", [None, 27_000])
def test_a_part_that_can_be_decided_still_fails(t_gen):
    assert judge_norms(staged_norm(peak_at=6_000), t_gen=t_gen).parts[0].table["holds"].tolist() == ["no"] * 5


def test_the_last_evaluations_are_enough():
    assert judge_norms(staged_norm(), t_gen=24_900).parts[1].open_seeds == 0


@pytest.mark.parametrize(("peak_at", "holds"), [(490, "yes"), (500, "no")])
def test_epochs_scale_with_the_budget(peak_at, holds):
    epochs = np.arange(0, 3_001, 10)
    norm = staged_norm(epochs, peak_at=peak_at, fallen_at=1_400)
    parts = judge_norms(norm, norm, t_gen=1_200, epochs=epochs).parts
    assert parts[0].table["holds"].tolist() == [holds] * 5 and parts[1].estimate == 0
    norm[epochs == 1_690] *= 1.5  # not yet 500 epochs after t_gen
    assert judge_norms(norm, norm, t_gen=1_200, epochs=epochs).parts[1].estimate == 0
    norm[epochs == 1_710] *= 1.5
    assert judge_norms(norm, norm, t_gen=1_200, epochs=epochs).parts[1].estimate == pytest.approx(50)


def test_undecided_seeds_are_counted_both_ways():
    good = {"l1": staged_norm(), "l2": staged_norm()}
    base = [grokking(t, seed, **good) for seed, t in enumerate([12_000, 12_000, 12_000, None, None])]
    stages = judge("C18", {"base": base}, "transformer", "paper").parts[0]
    assert (stages.outcome, stages.estimate, stages.unit) == ("inconclusive", None, "share of seeds")
    assert stages.interval == pytest.approx((wilson(3, 5)[0], 1), rel=1e-5)
    assert tables.part_rows(judge("C18", {"base": base})).loc[0, "share of seeds"] == "0.60 to 1.00"


# --- words and tables ---------------------------------------------------------------------------------------------


def test_a_box_says_claim_criterion_numbers_and_outcome():
    records = groups([9_000, 12_000, 10_000, 15_000, 20_000], [3_000] * 5)
    judged = judge("C01", records)
    box = tables.verdict(judged)
    for part in (
        "MLP",
        "replicated",
        "speed-up of ticket over base",
        "4.00",
        "3.00 to 6.67",
        "0.95",
        "seeds 0–4",
    ):
        assert part in box
    claim = BY_ID["C01"]
    whole = tables.box(claim, [box], ["A note."])
    for part in ('id="c01"', claim.claim, claim.criterion, 'id="c01-mlp"', "A note."):
        assert whole.count(part) == 1
    shown, innermost = whole, r"(?s)<details[^>]*><summary>(((?!<details).)*?)</summary>((?!<details).)*?</details>"
    while "<details" in shown:
        shown = re.sub(innermost, r"\1", shown)
    for part, visible in (
        ("replicated", True),
        ("4.00 times", True),
        (claim.criterion, True),
        (claim.claim, False),
        ("A note.", False),
        ("<table", False),
    ):
        assert (part in shown) == visible, part
    numbers = tables.part_rows(judged).shape[1] - 1
    assert box.count("<tr>") == numbers + 5  # a row for each number of the part, one for each seed
    assert "nan" not in box and "inf" not in box


def test_few_rows_stand_side_by_side_and_many_do_not():
    rows = pd.DataFrame({"measured": ["a", "b"], "median": [1, 2], "outcome": ["yes", "no"]})
    turned = tables.upright(rows)
    assert turned.columns.tolist() == ["measured", "a", "b"]
    assert turned.to_numpy().tolist() == [["median", 1, 2], ["outcome", "yes", "no"]]
    many = pd.concat([rows, rows])
    assert tables.upright(many) is many


@pytest.mark.parametrize("paper", ["App. C: 25,000 epochs & more", None])
def test_a_box_has_the_papers_number_beside_ours_or_says_that_there_is_none(paper):
    whole = tables.box(BY_ID["C01"].model_copy(update={"paper": paper}), ["ours"])
    said = "App. C: 25,000 epochs &amp; more" if paper else "the text at hand gives no number"
    assert f"<em>Paper:</em> {said}. <em>Here</em> (parts and seeds unfold):</p>ours" in whole


def test_a_box_without_any_bound():
    box = tables.verdict(judge("C01", groups([None] * 3, [None] * 3)))  # no case at all
    assert "not known" in box and "nan" not in box and "inf<" not in box


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (2, 2, "2.00"),
        (0, 0, "0.00"),
        (1, 2, "1.00 to 2.00"),
        (2, None, "at least 2.00"),
        (3.1, math.inf, "at least 3.10"),
        (None, 2, "at most 2.00"),
        (0, 2, "at most 2.00"),
        (0, None, "not known"),
        (None, None, "not known"),
    ],
)
def test_between(low, high, words):
    assert s.between(low, high) == words


def test_a_number_reads_the_same_from_verdicts_json_and_from_what_it_is_rounded_from():
    exact = 0.8749999
    assert s.number(exact) == s.number(s.rounded(exact)) == s.number(0.875)


def test_medians_in_words():
    values = [0.0, 0.0, 1.0, 2.0, 5.0, 7.0, 8.0, 8.5, 9.0, 100.0]  # of ten seeds the second and the ninth
    assert s.median_text(values) == "6.00 (0.00 to 9.00)"
    assert s.median_text(values, form="{:.0f}") == "6 (0 to 9)"
    assert s.median_text(values, values) == "6.00 (at most 9.00)"  # of ratios of times 0 is no bound
    assert s.median_text(values[:7], [*values[:4], *[math.inf] * 3]) == "2.00 (not known)"
    assert s.median_text([-3.0, 0.0], [-3.0, 1.0], floor=-math.inf) == "−1.50 to −1.00"
    assert s.median_text([-3.0], form="{:.0f}") == "−3"
    assert s.median_text([4.0, 4.0, 4.0]) == "4.00" and s.median_text([]) == "–"


VERDICTS = [
    c.Verdict(
        id="C01",
        system="mlp",
        verdict="replicated",
        estimate=6.2,
        low=3.3,
        unit="times",
        seeds=[0, 1, 2],
        profile="paper",
    ),
    c.Verdict(
        id="C05",
        system="transformer",
        verdict="refuted",
        low=-0.1,
        high=0.2,
        unit="correlation",
        profile="paper",
    ),
]


def test_verdicts_are_completed_in_order_and_refused_where_they_have_no_place():
    entries = list(BY_ID.values())
    found = c.complete(VERDICTS, entries, "paper")
    assert [(v.id, v.system) for v in found] == [(e.id, j.system) for e in entries for j in getattr(e, "judged", [])]
    assert Counter(v.verdict for v in found) == {"replicated": 1, "refuted": 1, "not run": len(found) - 2}
    stray = c.Verdict(id="C99", system="mlp", verdict="refuted", profile="paper")
    with pytest.raises(ClaimsError, match="C99 on mlp"):
        c.complete([stray], entries, "paper")
    with pytest.raises(ClaimsError, match="two verdicts for claim C01 on mlp"):
        c.complete(VERDICTS[:1] * 2, entries, "paper")


@pytest.mark.parametrize(
    ("estimate", "low", "high", "unit", "words"),
    [
        (6.2, 3.3, 8.1, "times", "6.20 times (3.30 to 8.10)"),
        (6.2, 3.3, None, "times", "6.20 times (at least 3.30)"),
        (6.2, None, None, "times", "6.20 times"),
        (None, 0.0, 0.83, "times", "at most 0.83 times (interval; some runs never get there)"),
        (None, 15.2, None, "times", "at least 15.2 times (interval; the median is open)"),
        (None, None, None, "times", "not known: the budget leaves too many seeds open"),
        (None, 0.0, None, "%", "not known: the budget leaves too many seeds open"),
        (0.6, 0.31, 0.832, "share of seeds", "60% of seeds (31 to 83%)"),
        (None, 0.31, 1.0, "share of seeds", "31 to 100% of seeds"),
        (0.0, 0.0, 0.43, "share of seeds", "0% of seeds (at most 43%)"),
        (None, None, None, "share of seeds", "not known: no seed is a case"),
        (4.9, 1.0, 12.0, "%", "4.90% (1.00 to 12.0)"),
        (0.0011, 0.0, 0.0027, "%", "0.0011% (0.00 to 0.0027)"),  # may be negative: 0 is no bound that it has anyway
        (0.4, 0.0, 1.2, "times", "0.40 times (at most 1.20)"),
        (-0.1, -0.5, 0.2, "", "−0.10 (−0.50 to 0.20)"),
        (-0.1, -0.5, 0.2, "correlation", "correlation −0.10 (−0.50 to 0.20)"),
        (1234.0, 120.0, 5000.0, "times", "1,234 times (120 to 5,000)"),
    ],
)
def test_a_result_in_words(estimate, low, high, unit, words):
    verdict = c.Verdict(
        id="C01", system="mlp", verdict="replicated", estimate=estimate, low=low, high=high, unit=unit, profile="paper"
    )
    assert c.result_text(verdict) == words


def test_a_claim_is_mixed_where_its_systems_differ():
    def outcome(*words):
        verdicts = [c.Verdict(id="C01", system=f"s{i}", verdict=word, profile="paper") for i, word in enumerate(words)]
        return c.outcome_of_claim(verdicts)

    assert outcome("replicated", "replicated", "not run") == "replicated"
    assert outcome("replicated", "inconclusive") == outcome("refuted", "replicated") == "mixed"
    assert outcome("not run", "not run") == "not run"


# --- verdicts.json ------------------------------------------------------------------------------------------------


def strictly(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_verdicts_round_trip_as_strict_json(tmp_path):
    path = tmp_path / "results" / "verdicts.json"
    numbers = {"estimate": math.nan, "low": np.float64(2.5), "high": math.inf}
    unbounded = c.Verdict(id="C02", system="transformer", verdict="inconclusive", profile="paper", **numbers)
    c.write_verdicts(path, [*VERDICTS, unbounded])
    rows = strictly(path)
    assert [list(row) for row in rows] == [KEYS] * 3
    assert (rows[2]["estimate"], rows[2]["low"], rows[2]["high"]) == (None, 2.5, None)
    assert c.read_verdicts(path) == [*VERDICTS, unbounded]


def test_every_kind_of_judgement_can_be_written(tmp_path):
    judgements = [
        judge("C01", groups([None] * 3, [None] * 3), "mlp", "paper"),
        judge_norms(staged_norm(), t_gen=None),
    ]
    c.write_verdicts(
        tmp_path / "v.json",
        [
            *(j.verdict for j in judgements),
            c.Verdict(id="C02", system="transformer", verdict="not run", profile="paper"),
        ],
    )
    assert [row["verdict"] for row in strictly(tmp_path / "v.json")] == ["inconclusive", "inconclusive", "not run"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "verdicts.json"
    c.write_verdicts(path, VERDICTS)

    def fail(*_):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(lib.files.os, "replace", fail)
    with pytest.raises(StoreError, match="cannot write .*verdicts.json: disk full; free some space"):
        c.write_verdicts(path, [])
    assert c.read_verdicts(path) == VERDICTS
    assert [file.name for file in tmp_path.iterdir()] == ["verdicts.json"]


def test_no_file_means_no_verdicts(tmp_path):
    assert c.read_verdicts(tmp_path / "none.json") == []


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(ClaimsError, match="cannot be read") as caught:
        c.read_verdicts(tmp_path)  # a folder
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[{", b'{"id": "C01"}', b'[{"id": "C01", "verdict": "maybe"}]', b"\xff\xfe"])
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "verdicts.json"
    path.write_bytes(content)
    with pytest.raises(ClaimsError, match=r"verdicts\.json is damaged") as caught:
        c.read_verdicts(path)
    assert "\n" not in str(caught.value)


# --- variants -----------------------------------------------------------------------------------------------------

# Of each variant that is judged by other arms than the claim: its parts' slower and faster arm.
RATIOS = {
    ("C02", "transformer/uniform"): [("uniform", "ticket")],
    ("C06", "transformer/moments"): [None, (("moment", 1), "ticket")],
    ("C09", "mlp/all"): [("l2-all", "ticket"), ("l1-all", "ticket")],
    ("C10", "transformer/all"): [("l2-all", "ticket"), ("l1-all", "ticket")],
    ("C10", "transformer/uniform"): [("l2-uniform", "ticket"), ("l1-uniform", "ticket")],
    ("C15", "mlp/synflow-100"): [("base", "synflow-100")],
    ("C16", "transformer/random-uniform"): [("base", "random-uniform"), None],
    ("C21", "transformer/a*b/uniform"): [("uniform", "ticket")],
    ("C29", "transformer/uniform"): [("uniform", "re-dense")],
}


@pytest.mark.parametrize(("claim", "system"), RATIOS)
def test_a_variant_is_judged_by_the_arms_that_it_names(claim, system):
    """Every arm has a t_gen of its own, so that a ratio tells which two it is of."""
    (judged,) = [one for one in BY_ID[claim].judged if one.system == system]
    named = dict.fromkeys(one for pair in RATIOS[claim, system] if pair for one in pair)
    usual = ("base", "ticket", "l2-matrices", "l1-matrices", ("epoch", 10_000), "re-dense", "random")
    arms = list(dict.fromkeys([*usual, *named]))
    times = {one: 2_000 + 1_300 * i for i, one in enumerate(arms)}
    records = {arm(one): [grokking(times[one], seed) for seed in range(6)] for one in arms}
    for record in records[arm("ticket")]:
        record.run = TICKET
    judgement = c.judge(BY_ID[claim], judged, Comparison(judged.setting, records), "test")
    for part, pair in zip(judgement.parts, RATIOS[claim, system], strict=True):
        if pair:
            assert part.estimate == pytest.approx(times[pair[0]] / times[pair[1]])


@pytest.mark.parametrize(
    ("take", "match"),
    [
        (lambda seed: measures.none_full(seed, "rate"), "no records of family rate"),
        (lambda seed: measures.accuracy_rises(seed, "epoch"), "no records of family epoch"),
        (lambda seed: measures.at_cuts(seed), "no records of family epoch"),
        (lambda seed: seed["snip"], "no records of arm SNIP"),
    ],
)
def test_what_is_not_recorded_is_named(take, match):
    records = {arm(name): found for name, found in groups([9_000], [3_000]).items()}
    (seed,) = Comparison("mlp", records).one_by_one()
    with pytest.raises(NoRecords, match=match):
        take(seed)


@pytest.mark.parametrize(
    ("take", "match"),
    [
        (measures.mask_of, "seed 0: its mask is not stored"),
        (measures.probes_of, "seed 0: nothing is recorded of the weights"),
        (measures.coefficients_of, "seed 0: nothing is recorded of the weights"),
    ],
)
def test_what_a_record_lacks_is_named(take, match):
    with pytest.raises(NoRecords, match=match):
        take(SimpleNamespace(seed=0, mask=None, probes=None))
    if take is measures.coefficients_of:
        with pytest.raises(NoRecords, match="the learning coefficient is not recorded"):
            take(SimpleNamespace(seed=0, probes={"epochs": []}))
