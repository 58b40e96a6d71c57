"""Measures of the claims on made-up records: each holds, fails and is undecided where it should be."""

import dataclasses
import inspect
from dataclasses import dataclass, field

import numpy as np
import pytest
from made_up import BY_ID, judge

from lib.analysis.times import fully_generalizes, threshold
from lib.book import tables
from lib.claims import judging
from lib.claims.measures import MEASURES, Found, accuracy_gap, killed, norm_drift, reaches
from lib.experiments.arms import arm
from lib.experiments.comparison import Comparison
from lib.train.models import MLP, ImageMLP
from lib.train.runs import Run, Ticket
from lib.train.tasks import ImageTask, ModularTask

EPOCHS = np.arange(0, 30_001, 100)
N = 10  # seeds: with five, no share of them is enough for "nearly every seed"
RUN = Run(task=ModularTask(seed=0), model=MLP(), seed=0)


@dataclass
class Made:
    """A record as far as measures read it."""

    seed: int
    metrics: dict
    mask: np.ndarray | None = None
    run: Run = RUN
    epochs: np.ndarray = field(default_factory=lambda: EPOCHS)


def nets(times, ends=1.0):
    """One record a seed, whose test accuracy steps up to `ends` at its t_gen (None: it ends at 0.01)."""
    ends = [ends] * len(times) if np.isscalar(ends) else ends
    out = []
    for seed, (t, end) in enumerate(zip(times, ends, strict=True)):
        accuracy = np.where((np.inf if t is None else t) <= EPOCHS, end, 0.01)
        out.append(Made(seed, {"test_accuracy": accuracy, "train_accuracy": np.ones(len(EPOCHS))}))
    return out


@pytest.mark.parametrize("bounds", [(np.nan, np.nan), (0.0, np.nan), (2.0, 1.0)])
def test_bounds_of_a_case_are_numbers_in_order(bounds):
    with pytest.raises(ValueError, match="must be two numbers, the lower one first"):
        Found(*bounds)
    assert not Found(*bounds, is_case=False).is_case


def ending(*ends):
    """Records that end at these test accuracies, and had them from the start."""
    return nets([0] * len(ends), list(ends))


def outcome(claim, groups, system=None):
    return judge(claim, groups, system).verdict.verdict


def tickets(times, ends=1.0):
    """The same of tickets cut at epoch 28,000."""
    made = nets(times, ends)
    return [
        dataclasses.replace(one, run=dataclasses.replace(one.run, start=Ticket(base=RUN, epoch=28_000, rate=0.6)))
        for one in made
    ]


BASE = nets([12_000] * N)
TICKET = tickets([500] * N)


def by_epoch(first=20_000, fifth=3_000, **changed):
    """Tickets of 15 epochs; all but those named are as fast as the last."""
    times = {2000 * i: [500] * N for i in range(1, 16)} | {2000: [first] * N, 10_000: [fifth] * N}
    return {"base": BASE, "ticket": TICKET} | {("epoch", e): nets(t) for e, t in times.items()} | changed


def test_early_tickets_must_come_late_on_nearly_every_seed():
    assert outcome("C04", by_epoch()) == "replicated"
    assert outcome("C04", by_epoch(first=None)) == "replicated"  # never is late
    assert outcome("C04", by_epoch(first=11_900)) == "refuted"  # before the base
    assert outcome("C04", by_epoch(first=12_000)) == "replicated"  # not before it
    assert outcome("C04", by_epoch(fifth=500)) == "refuted"  # as fast as the late ticket
    one_fails = {("epoch", 10_000): nets([3000] * (N - 1) + [500])}
    assert outcome("C04", by_epoch() | one_fails) == "inconclusive"
    lost = by_epoch(first=None, fifth=None)
    lost |= {"base": nets([12_000] * (N - 1) + [None]), "ticket": tickets([500] * (N - 1) + [None])}
    judgement = judge("C04", lost)
    assert judgement.parts[0].table["holds"].tolist() == ["yes"] * (N - 1) + ["undecided"]
    assert judgement.verdict.verdict == "inconclusive"


def test_early_tickets_in_units_of_the_bases_own_time():
    moments = {("moment", m): nets([t] * N) for m, t in {0.25: 20_000, 0.75: 3_000}.items()}
    assert outcome("C04", {"base": BASE, "ticket": TICKET} | moments, "mlp/moments") == "replicated"
    moments[("moment", 0.25)] = nets([11_000] * N)  # before the base
    assert outcome("C04", {"base": BASE, "ticket": TICKET} | moments, "mlp/moments") == "refuted"


def test_accuracy_by_epoch_is_a_rank_correlation():
    from scipy.stats import kendalltau

    grid = {("epoch", 2000 * i): ending(*([0.05 * i**0.5] * N)) for i in range(1, 16)}
    judgement = judge("C05", {"base": BASE, "ticket": TICKET} | grid)
    assert (judgement.verdict.verdict, judgement.verdict.estimate) == ("replicated", pytest.approx(1))
    rng = np.random.default_rng(0)
    ends = rng.random((15, 5))
    groups = {"base": BASE[:5]} | {("epoch", 2000 * i): ending(*ends[i - 1]) for i in range(1, 16)}
    for value, column in zip(judge("C05", groups).parts[0].low, ends.T, strict=True):
        ranks = column.argsort().argsort()
        assert value == pytest.approx(1 - 6 * ((ranks - np.arange(15)) ** 2).sum() / (15 * (15**2 - 1)))
        assert np.sign(round(value, 1)) in (0, np.sign(kendalltau(ranks, np.arange(15)).statistic))


def test_accuracies_that_are_all_alike_say_nothing_of_their_order():
    groups = {"base": BASE[:5]} | {("epoch", 2000 * i): ending(*[1.0] * 5) for i in range(1, 16)}
    judgement = judge("C05", groups)
    assert judgement.verdict.verdict == "inconclusive"
    assert (judgement.parts[0].low, judgement.parts[0].high) == ([-1] * 5, [1] * 5)


def test_transition_ticket_must_pass_and_be_near():
    assert outcome("C06", by_epoch(fifth=1_400)) == "replicated"
    assert outcome("C06", by_epoch(fifth=1_600)) == "refuted"  # more than 3 times 500
    below = {("epoch", 10_000): nets([1_400] * N, 0.949)}
    assert judge("C06", by_epoch() | below).parts[0].outcome == "refuted"
    lower = below | {"base": nets([12_000] * N, 0.99)}  # 0.949 is 0.95 of its best and more
    assert judge("C06", by_epoch() | lower).parts[0].outcome == "replicated"


def test_a_best_accuracy_that_is_lost_again_counts():
    falls, (base,) = nets([1_000])[0], nets([12_000])
    falls.metrics["test_accuracy"][-50:] = 0.2
    comparison = Comparison("mlp", {arm("base"): [base], arm("ticket"): [falls]})
    (seed,) = comparison.one_by_one()
    assert reaches(seed, "ticket", 0.95).low == 1


def by_rate(times, ends=1.0, **more):
    rates = {("rate", i / 10): nets([t] * N, ends) for i, t in enumerate(times, 1)}
    return {"base": BASE, "ticket": TICKET} | rates | more


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([9000, 6000, 2000, 900, 500, 400, 400, 600, None], "replicated"),
        ([300, 6000, 2000, 900, 500, 400, 400, 600, None], "refuted"),  # the lowest rate is faster than 0.6
        ([9000, 6000, 2000, 900, 500, 400, 400, 600, 300], "refuted"),  # the highest is
        ([None] * 9, "inconclusive"),
    ],
)
def test_both_ends_of_the_rates_must_be_slower_than_the_middle(times, wanted):
    assert outcome("C07", by_rate(times)) == wanted


def test_the_highest_rate_must_be_slower_on_nearly_every_seed():
    groups = by_rate([9000, 6000, 2000, 900, 500, 400, 400, 600, None])
    assert outcome("C07", groups | {("rate", 0.9): nets([None] * (N - 1) + [300])}) == "inconclusive"


def test_fully_generalizes_is_near_the_base_or_near_one():
    (half,) = ending(0.5)
    assert fully_generalizes(*ending(0.495, 0.5))
    assert not fully_generalizes(*ending(0.485, 0.5))
    assert fully_generalizes(*ending(0.99, 1.0))
    assert not fully_generalizes(half, *ending(1.0))
    assert fully_generalizes(*ending(0.96, 1.0), level=0.95) and not fully_generalizes(*ending(0.94, 1.0), level=0.95)
    assert fully_generalizes(*ending(0.46, 0.5), level=0.95)


def test_one_rate_serves_and_another_does_not():
    dense = {"base": nets([12_000] * N, 0.95)}

    def at(middle, high):
        return dense | {("rate", 0.6): ending(*middle), ("rate", 0.9): ending(*high)}

    assert outcome("C08", at([0.95] * N, [0.5] * N)) == "replicated"
    assert outcome("C08", at([0.95] * N, [0.94] * N)) == "refuted"  # both serve
    assert outcome("C08", at([0.5] * N, [0.5] * N)) == "refuted"  # neither does
    assert outcome("C08", at([0.95] * N, [0.5] * 8 + [0.95] * 2)) == "inconclusive"


def test_norm_must_fail_in_both_ways_and_by_the_way_that_is_judged():
    slow, fast = nets([9_000] * N), nets([500] * N)
    groups = {"base": BASE, "ticket": TICKET, "l2-matrices": slow, "l1-matrices": slow, "l2-all": slow, "l1-all": fast}
    assert outcome("C09", groups, "mlp") == "replicated"
    assert outcome("C09", groups, "mlp/all") == "refuted"


def no_decay(ends_by_rate, dense):
    return {"base": BASE, "ticket": TICKET, "base-no-decay": ending(*[dense] * N)} | {
        ("rate-no-decay", rate): ending(*(ends if isinstance(ends, list) else [ends] * N))
        for rate, ends in ends_by_rate.items()
    }


def test_without_decay_the_rate_must_suffice_and_the_dense_net_not():
    assert outcome("C11", no_decay({0.65: 0.995}, 0.01)) == "replicated"
    assert outcome("C11", no_decay({0.65: 0.98, 0.7: 0.995}, 0.01)) == "refuted"  # another rate does not count
    assert outcome("C11", no_decay({0.65: 0.995}, 1.0)) == "refuted"
    assert outcome("C11", no_decay({0.65: [1.0] * 8 + [0.9] * 2}, 0.01)) == "inconclusive"


def passing(*highest):
    """Records that are at such a test accuracy once, at epoch 9,000, and at 0.01 before and after."""
    made = ending(*[0.01] * len(highest))
    for one, top in zip(made, highest, strict=True):
        one.metrics["test_accuracy"][EPOCHS == 9_000] = top
    return made


def test_edge_popup_counts_where_it_is_above_the_accuracy_at_any_epoch_and_what_it_ends_with_is_shown():
    judgement = judge("C33", {"base": BASE, "edge-popup": passing(*[0.96] * N)})
    assert (judgement.verdict.verdict, judgement.verdict.estimate) == ("replicated", 1.0)
    [row, *_] = judgement.parts[0].table.to_dict("records")
    assert (row["best test accuracy"], row["at epoch"], row["at the end"]) == (0.96, 9_000, 0.01)
    assert outcome("C33", {"base": BASE, "edge-popup": passing(*[0.95] * N)}) == "refuted"  # not above
    assert (
        outcome("C33", {"base": BASE, "edge-popup": passing(*[0.99] * (N // 2), *[0.9] * (N // 2))}) == "inconclusive"
    )


@pytest.mark.parametrize("variant", ["slow", "slow-no-decay"])
def test_every_way_of_learning_scores_is_judged_by_its_own_runs(variant):
    groups = {"base": BASE, "edge-popup": passing(*[0.5] * N), f"edge-popup-{variant}": passing(*[1.0] * N)}
    assert outcome("C33", groups, f"mlp/{variant}") == "replicated"


def test_light_rates_are_judged_by_the_interval_of_their_median():
    low = dict.fromkeys((0.1, 0.2, 0.3, 0.4), 0.01)
    assert outcome("C12", no_decay(low | {0.5: [0.09] * 9 + [0.6]}, 0.0)) == "replicated"
    assert outcome("C12", no_decay(low | {0.5: [0.09] * 8 + [0.6] * 2}, 0.0)) == "inconclusive"
    assert outcome("C12", no_decay(low | {0.5: [0.2] * 9 + [0.01]}, 0.0)) == "refuted"


def test_no_rate_may_suffice_and_the_highest_ends_below_080():
    rates = dict.fromkeys((0.1, 0.2, 0.3, 0.4, 0.5), 0.1)
    assert outcome("C13", no_decay(rates | {0.8: 0.6, 0.9: 0.3}, 0.0)) == "replicated"
    assert outcome("C13", no_decay(rates | {0.8: 0.6, 0.9: 0.7}, 0.0)) == "refuted"  # 0.9 is better
    assert outcome("C13", no_decay(rates | {0.7: 1.0, 0.8: 0.6, 0.9: 0.3}, 0.0)) == "refuted"  # 0.7 suffices
    judgement = judge("C13", no_decay(rates | {0.7: [1.0] * 2 + [0.5] * 8, 0.8: 0.6, 0.9: 0.3}, 0.0))
    assert judgement.verdict.verdict == "inconclusive"
    assert judgement.parts[0].table["best at"].tolist() == [0.7] * 2 + [0.8] * 8


def test_accuracy_must_last_after_decay_is_switched_off():
    kept = {"base": BASE, "base-switched-off": nets([12_000] * N)}
    assert outcome("C14", kept | {"ticket-switched-off": nets([500] * N)}) == "replicated"
    falls = nets([500] * N)
    for record in falls:
        record.metrics["test_accuracy"][-1] = 0.98
    assert outcome("C14", kept | {"ticket-switched-off": falls}) == "refuted"
    assert outcome("C14", kept | {"ticket-switched-off": nets([500] * N), "base-switched-off": falls}) == "refuted"
    never = nets([500] * 6 + [None] * 4)
    judgement = judge("C14", kept | {"ticket-switched-off": never})
    assert judgement.parts[0].table["holds"].tolist() == ["yes"] * 6 + ["undecided"] * 4
    assert judgement.verdict.verdict == "inconclusive"


def test_methods_are_judged_one_by_one():
    kinds = {"random": [None] * N, "snip": [11_000] * N, "grasp": [4_000] * N, "synflow": [12_000] * N}
    groups = {"base": BASE, "ticket": TICKET} | {kind: nets(times) for kind, times in kinds.items()}
    assert outcome("C15", groups, "mlp/random") == "replicated"
    assert outcome("C15", groups, "mlp/snip") == "replicated"  # 1.09 times
    assert outcome("C15", groups, "mlp/grasp") == "refuted"  # 3 times
    assert judge("C15", groups, "mlp/synflow").verdict.estimate == 1


def test_on_the_transformer_they_must_also_end_below_the_base():
    def outcomes(time, end):
        groups = {"base": nets([12_000] * N, 0.85), "ticket": TICKET, "random": nets([time] * N, end)}
        return [part.outcome for part in judge("C16", groups, "transformer/random").parts]

    assert outcomes(20_000, 0.82) == ["replicated", "replicated"]
    assert outcomes(20_000, 0.87) == ["replicated", "refuted"]
    assert outcomes(4_000, 0.82) == ["refuted", "replicated"]


def test_the_gap_is_that_of_the_last_evaluations():
    comparison = Comparison("mlp", {arm("base"): ending(0.9), arm("ticket"): ending(0.95)})
    (seed,) = comparison.one_by_one()
    assert accuracy_gap(seed).low == pytest.approx(0.05)
    assert accuracy_gap(seed, faster="base", slower="ticket").high == pytest.approx(-0.05)


def test_drift_is_the_largest_move_from_so_many_epochs_after_t_gen():
    (base,) = nets([12_000])
    rng = np.random.default_rng(0)
    base.metrics |= {name: rng.uniform(1, 2, len(EPOCHS)) for name in ("l1", "l2")}
    (seed,) = Comparison("mlp", {arm("base"): [base]}).one_by_one()
    moves = []
    for name in ("l1", "l2"):
        after = [value for epoch, value in zip(EPOCHS, base.metrics[name], strict=True) if epoch >= 17_000]
        moves.append(max(abs(value - after[0]) / after[0] for value in after))
    assert norm_drift(seed, 5_000).low == norm_drift(seed, 5_000).high == pytest.approx(100 * max(moves))


def test_random_labels_must_stay_at_chance_for_both_nets():
    chance, above = ending(*[0.02] * N), ending(*[0.02] * (N - 1) + [0.06])
    assert outcome("C22", {"base": chance, "ticket": chance}) == "replicated"
    assert outcome("C22", {"base": chance, "ticket": above}) == "inconclusive"
    assert outcome("C22", {"base": above, "ticket": chance}) == "inconclusive"


SMALL = Run(task=ModularTask(prime=5, train_fraction=0.5, seed=0), model=MLP(width=4, hidden=6), epochs=100, seed=0)


def killing(dead, times):
    """Records of kill-only masks, with so many dead neurons on each seed."""
    out = []
    for seed, (count, made) in enumerate(zip(dead, nets(times), strict=True)):
        mask = np.ones(SMALL.length, bool)
        SMALL.split(mask)["W_in"][:count] = False
        SMALL.split(mask)["W_in"][-1, 1:] = False  # one weight left: alive
        out.append(Made(seed, made.metrics, mask, SMALL))
    return out


def test_dead_neurons_are_counted_in_the_mask():
    assert killed(killing([3], [100])[0]) == 3
    some = {"base": BASE, "ticket": TICKET, ("kill", 0.05): killing([1] * N, [12_000] * N)}
    some[("kill", 0.2)] = killing([0] * N, [12_000] * N)
    assert outcome("C30", some, "mlp") == "replicated"
    assert outcome("C30", some, "mlp/0.2") == "refuted"
    late = some | {"base": nets([28_100] * 4 + [12_000] * 6)}  # not generalized when their tickets were cut
    assert judge("C30", late, "mlp").parts[0].table["holds"].tolist() == ["no case"] * 4 + ["yes"] * 6


def test_killing_and_reviving_are_compared_with_base_and_ticket():
    groups = {"base": BASE, "ticket": TICKET}
    groups |= {("kill", 0.05): killing([2] * N, [12_000] * N), ("revive", 0.05): nets([600] * N)}
    assert (outcome("C31", groups, "mlp"), outcome("C32", groups, "mlp")) == ("replicated", "replicated")
    groups |= {("kill", 0.05): killing([2] * N, [6_000] * N), ("revive", 0.05): nets([1_500] * N)}
    assert (outcome("C31", groups, "mlp"), outcome("C32", groups, "mlp")) == ("refuted", "refuted")


def test_seeds_without_dead_neurons_are_no_case():
    dead = [0, 0, 0, 0, 1, 2, 3, 1, 2, 1]
    groups = {"base": BASE, "ticket": TICKET, ("revive", 0.05): nets([5_000] * 4 + [600] * 6)}
    groups[("kill", 0.05)] = killing(dead, [100] * 4 + [12_000] * 6)
    for claim in ("C31", "C32"):
        part = judge(claim, groups, "mlp").parts[0]
        assert part.outcome == "replicated" and len(part.low) == 6  # the four others would have refuted it
        assert part.table["dead neurons"].tolist() == dead
        assert part.table["at least"].isna().tolist() == [count == 0 for count in dead]
    none = groups | {("kill", 0.05): killing([0] * N, [12_000] * N)}
    judgement = judge("C31", none, "mlp")
    assert (judgement.verdict.verdict, judgement.verdict.estimate) == ("inconclusive", None)
    assert judgement.parts[0].low == []


def test_redense_is_compared_with_the_base():
    groups = {"base": BASE, "ticket": TICKET, "re-dense": nets([1_000] * N)}
    assert judge("C29", groups, "mlp").verdict.estimate == 12


def test_the_deciding_part_is_the_first_of_the_worst_outcome():
    judgement = judge("C11", no_decay({0.65: 0.6}, 0.01))
    assert [part.outcome for part in judgement.parts] == ["refuted", "replicated"]
    assert judgement.deciding is judgement.parts[0]
    assert judgement.verdict.estimate == judgement.parts[0].estimate == 0
    assert [part.words for part in judgement.parts] == [
        "full generalization of ticket, rate 0.65, no weight decay",
        "no full generalization of dense, no weight decay",
    ]


def test_every_measure_is_used_by_a_claim():
    parts = [part for entry in BY_ID.values() for part in getattr(entry, "parts", [])]
    assert {part.measure for part in parts} - {None} == set(MEASURES)


def test_other_values_are_of_arguments_that_the_measure_takes():
    for part in (part for entry in BY_ID.values() for part in getattr(entry, "parts", [])):
        takes = inspect.signature(MEASURES[part.measure].take).parameters if part.measure else {}
        assert set(part.vary) <= set(takes)


# --- the same claim at other levels -----------------------------------------------------------------------------------


def levels(claim, groups):
    entry = BY_ID[claim]
    comparison = Comparison("mlp", {arm(where): records for where, records in groups.items()})
    return judging.sensitivity(judging.judge(entry, entry.judged[0], comparison, ""), comparison).set_index("level")


def test_a_verdict_at_other_levels():
    base, ticket = nets([12_000] * N), tickets([500] * N)
    for one in ticket:  # nearly there at once, and in full only later
        one.metrics["test_accuracy"] = np.where(EPOCHS >= 500, np.where(EPOCHS >= 11_000, 1.0, 0.93), 0.01)
    found = levels("C01", {"base": base, "ticket": ticket})
    assert found["outcome"].to_dict() == {
        "as judged": "refuted",
        "τ = 0.8": "replicated",
        "τ = 0.9": "replicated",
        "τ = 0.95": "refuted",
        "τ = 0.99": "refuted",
        "0.95 of base's best": "refuted",
    }
    assert found.loc["τ = 0.9", "estimate"] == 24 and found.loc["τ = 0.95", "estimate"] == pytest.approx(12 / 11)


def test_a_verdict_at_the_other_values_that_its_part_names():
    found = levels("C11", no_decay({0.65: 0.93}, 0.01))
    assert found["outcome"].to_dict() == {
        "as judged": "refuted",
        "full from 0.8": "replicated",
        "full from 0.9": "replicated",
        "full from 0.95": "refuted",
    }


def test_a_verdict_that_hangs_on_no_level_has_one_row():
    assert list(levels("C22", {"base": ending(*[0.02] * N), "ticket": ending(*[0.02] * N)}).index) == ["as judged"]


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
    start = Ticket(base=base[0].run, epoch=28_000, rate=0.6)
    ticket = [dataclasses.replace(one, run=dataclasses.replace(one.run, start=start)) for one in ticket]
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


def test_an_image_classifier_that_never_reaches_080_is_no_case():
    bests = [0.79] * 2 + [1.0] * 5
    judgement = c03(stairs(bests, (12_000, 1.0)), stairs([1.0] * 7, (1_000, 1.0)))
    assert (judgement.verdict.verdict, judgement.verdict.low) == ("replicated", 12)
    assert len(judgement.parts[0].low) == 5


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
