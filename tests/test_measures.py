"""Measures of the claims on made-up records: each holds, fails and is undecided where it should be."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from made_up import BY_ID, judge

from lib.analysis.times import fully_generalizes, threshold
from lib.book import tables
from lib.claims.measures import CHOICES, MEASURES, killed
from lib.train.models import MLP, ImageMLP
from lib.train.runs import Run
from lib.train.tasks import ImageTask, ModularTask

EPOCHS = np.arange(0, 30_001, 100)


@dataclass
class Made:
    """A record as far as measures read it."""

    seed: int
    metrics: dict
    mask: np.ndarray | None = None
    run: Run = Run(task=ModularTask(seed=0), model=MLP(), seed=0)
    epochs: np.ndarray = field(default_factory=lambda: EPOCHS)


def nets(times, ends=1.0):
    """One record a seed, whose test accuracy steps up to `ends` at its t_gen (None: it ends at 0.01)."""
    ends = [ends] * len(times) if np.isscalar(ends) else ends
    out = []
    for seed, (t, end) in enumerate(zip(times, ends, strict=True)):
        accuracy = np.where((np.inf if t is None else t) <= EPOCHS, end, 0.01)
        out.append(Made(seed, {"test_accuracy": accuracy, "train_accuracy": np.ones(len(EPOCHS))}))
    return out


def ending(*ends):
    """Records that end at these test accuracies, and had them from the start."""
    return nets([0] * len(ends), list(ends))


def outcome(claim, groups, system=None):
    return judge(claim, groups, system).verdict.verdict


BASE = nets([12_000] * 5)
TICKET = nets([500] * 5)


def by_epoch(first=20_000, fifth=3_000, **changed):
    """Tickets of 15 epochs; all but those named are as fast as the last."""
    times = {2000 * i: [500] * 5 for i in range(1, 16)} | {2000: [first] * 5, 10_000: [fifth] * 5}
    return {"base": BASE, "ticket": TICKET} | {("epoch", e): nets(t) for e, t in times.items()} | changed


def test_early_tickets_must_come_late_on_every_seed():
    assert outcome("C04", by_epoch()) == "replicated"
    assert outcome("C04", by_epoch(first=None)) == "replicated"  # never is late
    assert outcome("C04", by_epoch(first=11_900)) == "refuted"  # before the base
    assert outcome("C04", by_epoch(first=12_000)) == "replicated"  # not before it
    assert outcome("C04", by_epoch(fifth=500)) == "refuted"  # as fast as the late ticket
    one_fails = {("epoch", 10_000): nets([3000] * 4 + [500])}
    assert outcome("C04", by_epoch() | one_fails) == "inconclusive"
    lost = by_epoch(first=None, fifth=None) | {"base": nets([12_000] * 4 + [None]), "ticket": nets([500] * 4 + [None])}
    judgement = judge("C04", lost)
    assert judgement.parts[0].table["holds"].tolist() == ["yes"] * 4 + ["undecided"]
    assert judgement.verdict.verdict == "inconclusive"


def test_accuracy_by_epoch_is_a_rank_correlation():
    from scipy.stats import kendalltau

    grid = {("epoch", 2000 * i): ending(*([0.05 * i**0.5] * 5)) for i in range(1, 16)}
    judgement = judge("C05", {"base": BASE, "ticket": TICKET} | grid)
    assert (judgement.verdict.verdict, judgement.verdict.estimate) == ("replicated", pytest.approx(1))
    rng = np.random.default_rng(0)
    ends = rng.random((15, 5))
    groups = {"base": BASE} | {("epoch", 2000 * i): ending(*ends[i - 1]) for i in range(1, 16)}
    for value, column in zip(judge("C05", groups).parts[0].low, ends.T, strict=True):
        ranks = column.argsort().argsort()
        assert value == pytest.approx(1 - 6 * ((ranks - np.arange(15)) ** 2).sum() / (15 * (15**2 - 1)))
        assert np.sign(round(value, 1)) in (0, np.sign(kendalltau(ranks, np.arange(15)).statistic))


def test_accuracies_that_are_all_alike_say_nothing_of_their_order():
    groups = {"base": BASE} | {("epoch", 2000 * i): ending(*[1.0] * 5) for i in range(1, 16)}
    judgement = judge("C05", groups)
    assert judgement.verdict.verdict == "inconclusive"
    assert (judgement.parts[0].low, judgement.parts[0].high) == ([-1] * 5, [1] * 5)


def test_transition_ticket_must_pass_and_be_near():
    assert outcome("C06", by_epoch(fifth=1_400)) == "replicated"
    assert outcome("C06", by_epoch(fifth=1_600)) == "refuted"  # more than 3 times 500
    below = {("epoch", 10_000): nets([1_400] * 5, 0.949)}
    assert judge("C06", by_epoch() | below).parts[0].outcome == "refuted"


def by_rate(times, ends=1.0, **more):
    rates = {("rate", i / 10): nets([t] * 5, ends) for i, t in enumerate(times, 1)}
    return {"base": BASE, "ticket": TICKET} | rates | more


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([9000, 6000, 2000, 900, 500, 400, 400, 600, None], "replicated"),
        ([100, 6000, 2000, 900, 500, 400, 400, 600, None], "refuted"),  # the lowest rate is best
        ([9000, 6000, 2000, 900, 500, 400, 400, 600, 300], "refuted"),  # the highest
        ([None] * 9, "refuted"),
    ],
)
def test_the_best_rate_lies_in_between(times, wanted):
    assert outcome("C07", by_rate(times)) == wanted


def test_the_highest_rate_must_be_slower_on_every_seed():
    groups = by_rate([9000, 6000, 2000, 900, 500, 400, 400, 600, None]) | {("rate", 0.9): nets([None] * 4 + [300])}
    assert outcome("C07", groups) == "inconclusive"


def test_fully_generalizes_is_near_the_base_or_near_one():
    (half,) = ending(0.5)
    assert fully_generalizes(*ending(0.495, 0.5))
    assert not fully_generalizes(*ending(0.485, 0.5))
    assert fully_generalizes(*ending(0.99, 1.0))
    assert not fully_generalizes(half, *ending(1.0))


def test_one_rate_serves_and_another_does_not():
    dense = {"base": nets([12_000] * 5, 0.95)}
    ends = {("rate", i / 10): ending(*([0.95] * 5)) for i in range(1, 9)}
    assert outcome("C08", dense | ends | {("rate", 0.9): ending(*[0.5] * 5)}) == "replicated"
    assert outcome("C08", dense | ends | {("rate", 0.9): ending(*[0.94] * 5)}) == "refuted"  # all serve
    assert outcome("C08", dense | {one: ending(*[0.5] * 5) for one in ends}) == "refuted"  # none does
    assert outcome("C08", dense | ends | {("rate", 0.9): ending(0.5, 0.5, 0.5, 0.95, 0.95)}) == "inconclusive"


def test_norm_must_fail_in_both_ways_and_by_the_way_that_is_judged():
    slow, fast = nets([9_000] * 5), nets([500] * 5)
    groups = {"base": BASE, "ticket": TICKET, "l2-matrices": slow, "l1-matrices": slow, "l2-all": slow, "l1-all": fast}
    assert outcome("C09", groups, "mlp") == "replicated"
    assert outcome("C09", groups, "mlp/all") == "refuted"


def no_decay(ends_by_rate, dense):
    return {"base": BASE, "ticket": TICKET, "base-no-decay": ending(*[dense] * 5)} | {
        ("rate-no-decay", rate): ending(*(ends if isinstance(ends, list) else [ends] * 5))
        for rate, ends in ends_by_rate.items()
    }


def test_without_decay_some_rate_must_suffice_and_the_dense_net_not():
    assert outcome("C11", no_decay({0.5: 0.6, 0.7: 0.995, 0.9: 0.2}, 0.01)) == "replicated"
    assert outcome("C11", no_decay({0.5: 0.6, 0.7: 0.98, 0.9: 0.2}, 0.01)) == "refuted"
    assert outcome("C11", no_decay({0.5: 0.6, 0.7: 0.995, 0.9: 0.2}, 1.0)) == "refuted"
    some = no_decay({0.5: 0.6, 0.7: [1.0, 1.0, 1.0, 0.9, 0.9], 0.9: 0.2}, 0.01)
    assert outcome("C11", some) == "inconclusive"


def test_light_rates_are_judged_by_their_median():
    low = dict.fromkeys((0.1, 0.2, 0.3, 0.4), 0.01)
    assert outcome("C12", no_decay(low | {0.5: [0.0, 0.0, 0.09, 0.5, 0.6]}, 0.0)) == "replicated"
    assert outcome("C12", no_decay(low | {0.5: [0.0, 0.0, 0.11, 0.5, 0.6]}, 0.0)) == "inconclusive"
    assert outcome("C12", no_decay(low | {0.5: [0.2, 0.2, 0.3, 0.5, 0.6]}, 0.0)) == "refuted"


def test_no_rate_may_suffice_and_the_highest_ends_below_the_best():
    rates = dict.fromkeys((0.1, 0.2, 0.3, 0.4, 0.5), 0.1)
    assert outcome("C13", no_decay(rates | {0.7: 0.6, 0.9: 0.3}, 0.0)) == "replicated"
    assert outcome("C13", no_decay(rates | {0.7: 0.6, 0.9: 0.7}, 0.0)) == "refuted"  # 0.9 is the best
    assert outcome("C13", no_decay(rates | {0.7: 1.0, 0.9: 0.3}, 0.0)) == "refuted"  # 0.7 suffices
    some = no_decay(rates | {0.7: [1.0, 1.0, 1.0, 0.5, 0.5], 0.9: 0.3}, 0.0)
    assert outcome("C13", some) == "inconclusive"


def test_accuracy_must_last_after_decay_is_switched_off():
    groups = no_decay({0.7: 0.995, 0.9: 0.2}, 0.01)
    assert outcome("C14", groups | {"ticket-switched-off": nets([500] * 5)}) == "replicated"
    falls = nets([500] * 5)
    for record in falls:
        record.metrics["test_accuracy"][-1] = 0.98
    assert outcome("C14", groups | {"ticket-switched-off": falls}) == "refuted"
    never = nets([500] * 3 + [None] * 2)
    judgement = judge("C14", groups | {"ticket-switched-off": never})
    assert judgement.parts[2].table["holds"].tolist() == ["yes"] * 3 + ["undecided"] * 2
    assert judgement.verdict.verdict == "inconclusive"


def test_methods_are_judged_one_by_one():
    kinds = {"random": [None] * 5, "snip": [11_000] * 5, "grasp": [4_000] * 5, "synflow": [12_000] * 5}
    groups = {"base": BASE, "ticket": TICKET} | {kind: nets(times) for kind, times in kinds.items()}
    assert outcome("C15", groups, "mlp/random") == "replicated"
    assert outcome("C15", groups, "mlp/snip") == "replicated"  # 1.09 times
    assert outcome("C15", groups, "mlp/grasp") == "refuted"  # 3 times
    assert judge("C15", groups, "mlp/synflow").verdict.estimate == 1


def test_random_labels_must_stay_at_chance_for_both_nets():
    chance, above = ending(*[0.02] * 5), ending(*[0.02] * 4 + [0.06])
    assert outcome("C22", {"base": chance, "ticket": chance}) == "replicated"
    assert outcome("C22", {"base": chance, "ticket": above}) == "inconclusive"
    assert outcome("C22", {"base": above, "ticket": chance}) == "inconclusive"


def test_dead_neurons_are_counted_in_the_mask():
    run = Run(task=ModularTask(prime=5, train_fraction=0.5, seed=0), model=MLP(width=4, hidden=6), epochs=100, seed=0)

    def record(seed, dead):
        mask = np.ones(len(run.initial_weights()), bool)
        run.split(mask)["W_in"][:dead] = False
        run.split(mask)["W_in"][-1, 1:] = False  # one weight left: alive
        made = nets([12_000])[0]
        return Made(seed, made.metrics, mask, run)

    assert killed(record(0, 3)) == 3
    groups = {
        "base": BASE,
        ("kill", 0.05): [record(i, 1) for i in range(5)],
        ("kill", 0.2): [record(i, 0) for i in range(5)],
    }
    assert outcome("C30", groups, "mlp") == "replicated"
    assert outcome("C30", groups, "mlp/0.2") == "refuted"


def test_killing_and_reviving_are_compared_with_base_and_ticket():
    groups = {"base": BASE, "ticket": TICKET, ("kill", 0.05): nets([12_000] * 5), ("revive", 0.05): nets([600] * 5)}
    assert (outcome("C31", groups, "mlp"), outcome("C32", groups, "mlp")) == ("replicated", "replicated")
    groups |= {("kill", 0.05): nets([6_000] * 5), ("revive", 0.05): nets([1_500] * 5)}
    assert (outcome("C31", groups, "mlp"), outcome("C32", groups, "mlp")) == ("refuted", "refuted")


def test_redense_is_compared_with_the_base():
    groups = {"base": BASE, "ticket": TICKET, "re-dense": nets([1_000] * 5)}
    assert judge("C29", groups, "mlp").verdict.estimate == 12


def test_the_deciding_part_is_the_first_of_the_worst_outcome():
    judgement = judge("C11", no_decay({0.5: 0.6, 0.9: 0.2}, 0.01))
    assert [part.outcome for part in judgement.parts] == ["refuted", "replicated"]
    assert judgement.deciding is judgement.parts[0]
    assert judgement.verdict.estimate == judgement.parts[0].estimate == 0
    assert [part.words for part in judgement.parts] == [
        "full generalization of ticket, rate 0.5, no weight decay",
        "no full generalization of dense, no weight decay",
    ]


def test_every_measure_and_every_choice_is_used_by_a_claim():
    parts = [part for entry in BY_ID.values() for part in getattr(entry, "parts", [])]
    assert {part.measure for part in parts} - {None} == set(MEASURES)
    assert {name for part in parts for choice in part.choose.values() for name in choice} == set(CHOICES)


# --- image classifiers ------------------------------------------------------------------------------------------------


def stairs(bests, *steps):
    """Records of image classifiers, one a seed, whose test accuracy goes in steps (epoch, share of the seed's best)."""
    out = []
    for seed, best in enumerate(bests):
        accuracy = np.full(len(EPOCHS), 0.1)
        for epoch, share in steps:
            accuracy[epoch <= EPOCHS] = share * best
        run = Run(task=ImageTask(seed=seed), model=ImageMLP(), seed=seed)
        out.append(Made(seed, {"test_accuracy": accuracy, "train_accuracy": np.ones(len(EPOCHS))}, run=run))
    return out


def c03(base, ticket, part=""):
    return judge("C03", {"base": base, "ticket": ticket}, f"mnist-mlp{part}")


@pytest.mark.parametrize("best", [1.0, 0.96, 0.91, 0.81, 0.5])
def test_an_image_classifier_has_generalized_at_080_whatever_its_base_reaches(best):
    base = stairs([best] * 5, (100, 1.0))
    assert threshold(base) == 0.8
    pairs = [Made(record.seed, record.metrics) for record in base]
    assert threshold(pairs) == next((tau for tau in (0.95, 0.9) if best >= tau), 0.8)


def test_the_speed_up_of_an_image_classifier_is_that_to_080():
    base = stairs([1.0] * 5, (5_000, 0.79), (12_000, 0.8), (20_000, 0.95))
    judgement = c03(base, stairs([1.0] * 5, (500, 0.79), (600, 0.8), (19_000, 0.95)))
    assert (judgement.tau, judgement.verdict.verdict, judgement.verdict.estimate) == (0.8, "replicated", 20)
    assert judgement.parts[0].table["t_gen, base (dense)"].tolist() == [12_000] * 5
    assert "Generalized: test accuracy 0.80." in tables.verdict(judgement)
    for t_gen, wanted in ((6_100, "inconclusive"), (10_100, "refuted")):
        assert c03(base, stairs([1.0] * 5, (t_gen, 0.8))).verdict.verdict == wanted


def test_an_image_classifier_that_never_reaches_080_is_censored():
    judgement = c03(stairs([0.79] * 5, (12_000, 1.0)), stairs([1.0] * 5, (1_000, 1.0)))
    assert (judgement.verdict.verdict, judgement.verdict.low) == ("replicated", 30)
    assert judgement.parts[0].open_seeds == 5


BESTS = [0.9, 0.8, 0.7, 0.6, 0.5]


def test_of_best_takes_095_of_what_each_seeds_own_base_reaches():
    """Any tau in common gives other numbers: the bases of some seeds would reach it at once, or never."""
    base = stairs(BESTS, (100, 0.94), (12_000, 0.96), (20_000, 1.0), (25_000, 0.2))
    ticket = stairs(BESTS, (200, 0.94), (600, 0.96), (1_000, 1.9))
    judgement = c03(base, ticket, "/of-best")
    table = judgement.parts[0].table
    assert table["τ"].tolist() == pytest.approx([0.95 * best for best in BESTS])
    assert table["t_gen, base (dense)"].tolist() == [12_000] * 5
    assert table["t_gen, ticket"].tolist() == [600] * 5
    assert (judgement.parts[0].low, judgement.parts[0].high) == ([20.0] * 5, [20.0] * 5)
    assert (judgement.verdict.verdict, judgement.verdict.estimate) == ("replicated", 20)
    box = tables.verdict(judgement)
    assert "Generalized: test accuracy 0.95 of the best of its seed's base." in box
    assert "test accuracy 0.80" not in box
    for part in ("", "/digits", "/four-matrices"):
        assert c03(base, ticket, part).parts[0].low != judgement.parts[0].low


def test_of_best_leaves_a_ticket_that_stays_below_its_base_open():
    base = stairs(BESTS, (12_000, 1.0))
    judgement = c03(base, stairs(BESTS, (600, 0.94)), "/of-best")
    assert judgement.parts[0].table["t_gen, ticket"].isna().all()
    assert judgement.verdict.verdict == "refuted"  # at most 12,000 / 30,000
    assert judgement.parts[0].high == [0.4] * 5
