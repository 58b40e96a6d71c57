"""Measures: what is taken of one seed, for the claims.

A measure sees the records of one seed and returns a pair of bounds: where a run is censored, what depends on it is only
known to lie between two values. A statement that holds, fails or is undecided has the bounds (1, 1), (0, 0) and (0, 1).
book/claims.yml names a claim's measures and their arguments; lib/claims/judging.py takes them of every seed. To judge
another claim, write its measure below and enter it in MEASURES.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr

from lib.analysis import fourier, llc, progress, structure
from lib.analysis.progress import PHASES
from lib.analysis.times import (
    NoRecords,
    Record,
    best_accuracy,
    final,
    fitting_epoch,
    fully_generalizes,
    later,
    ratio_bounds,
    series,
)
from lib.experiments.arms import arm
from lib.experiments.comparison import OneSeed
from lib.train import pruning

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Found:
    """What was found on one seed: bounds, and the numbers that they rest on, for the table of the seeds.

    is_case: False where the claim says nothing of this seed; it then does not count.
    """

    low: float
    high: float
    numbers: Mapping[str, object] = field(default_factory=dict)
    is_case: bool = True

    def __post_init__(self) -> None:
        if self.is_case and not self.low <= self.high:
            raise ValueError(f"bounds are {self.low} and {self.high}; they must be two numbers, the lower one first")


ArmName = str | Sequence[object]  # as claims.yml writes an arm


def known(value: float, **numbers: object) -> Found:
    """A number that is known."""
    return Found(value, value, numbers)


def statement(holds: bool | None, **numbers: object) -> Found:
    """A statement that holds, fails or (None) is undecided."""
    return Found(float(holds is True), float(holds is not False), numbers)


def all_hold(*parts: bool | None) -> bool | None:
    """Whether all parts hold: False if one fails, None (undecided) if none fails and one is undecided."""
    return False if False in parts else None if None in parts else True


def label(where: ArmName) -> str:
    """An arm in words."""
    return arm(where).label


# --- times --------------------------------------------------------------------------------------------------------


def found_late(seed: OneSeed) -> bool:
    """Whether the base had generalized by the epoch at which the ticket was cut; where not, there is no grokked ticket."""
    t_gen = seed.t_gen("base")
    return t_gen is not None and t_gen <= seed["ticket"].run.start.epoch


def speed_up(
    seed: OneSeed,
    slower: ArmName = "base",
    faster: ArmName = "ticket",
    of_best: float | None = None,
    grokked: bool = False,
) -> Found:
    """t_gen of `slower` over t_gen of `faster`. of_best: in place of tau this share of the best accuracy of the base.

    grokked: a seed whose ticket was cut before its base had generalized is no case.
    """
    if of_best is not None:
        seed = dataclasses.replace(seed, comparison=dataclasses.replace(seed.comparison, of_best=of_best))
    pair = seed.t_gen(slower), seed.t_gen(faster)
    epochs = seed.comparison.epochs
    bounds = ratio_bounds(*pair, int(epochs[-1]), int(epochs[1] - epochs[0]))
    numbers = {f"t_gen, {label(slower)}": pair[0], f"t_gen, {label(faster)}": pair[1]}
    return Found(*bounds, numbers | ({} if of_best is None else {"τ": seed.tau}), not grokked or found_late(seed))


def comes_later(
    seed: OneSeed, pairs: Sequence[tuple], never_before: Sequence[tuple] = (), later_ones: str = ""
) -> Found:
    """Whether in each pair of arms the first generalizes after the second, and in no pair of `never_before` before it.

    later_ones: the first ones in words.
    """
    times = {label(one): seed.t_gen(one) for pair in [*pairs, *never_before] for one in pair}
    parts = [later(*(times[label(one)] for one in pair)) for pair in pairs]
    for pair in never_before:
        sooner = later(*(times[label(one)] for one in reversed(pair)))
        parts.append(None if sooner is None else not sooner)
    return statement(all_hold(*parts), **{f"t_gen, {name}": t for name, t in times.items()})


NORMS = ("l1", "l2")


def norm_stages(seed: OneSeed, peak_before: float) -> Found:
    """Whether the base's L1 and L2 norms both peak after the start and before an epoch, and are lower at t_gen (C17, C18)."""
    record, t_gen = seed["base"], seed.t_gen("base")
    parts, numbers = [], {"t_gen": t_gen}
    for name in NORMS:
        norm = series(record, name)
        peak = int(np.argmax(norm))
        at_t_gen = np.nan if t_gen is None else norm[np.searchsorted(record.epochs, t_gen)]
        early = 0 < record.epochs[peak] < seed.scaled(peak_before)
        parts += [bool(early), None if t_gen is None else bool(at_t_gen < norm[peak])]
        values = {"start": norm[0], "peak epoch": record.epochs[peak], "peak": norm[peak], "at t_gen": at_t_gen}
        numbers |= {f"{name} {key}": value for key, value in values.items()}
    return statement(all_hold(*parts), **numbers)


def norm_drift(seed: OneSeed, after: float) -> Found:
    """Percent by which the base's L1 or L2 norm, whichever moves more, leaves its value so many epochs after t_gen (C17, C18).

    Open where the budget ends before there is a second evaluation.
    """
    record, t_gen = seed["base"], seed.t_gen("base")
    moves = {}
    for name in NORMS:
        norm = series(record, name)
        settled = norm[record.epochs >= (np.inf if t_gen is None else t_gen + seed.scaled(after))]
        moves[f"{name} moves by (%)"] = (
            float(100 * np.abs(settled / settled[0] - 1).max()) if len(settled) > 1 else np.nan
        )
    largest = max(moves.values())
    looked_at = None if np.isnan(largest) else int(record.epochs[-1] - t_gen - seed.scaled(after))
    numbers = {"t_gen": t_gen, **moves, "epochs looked at": looked_at}
    return Found(0.0, np.inf, numbers) if np.isnan(largest) else known(largest, **numbers)


# --- accuracies ---------------------------------------------------------------------------------------------------


def reaches(seed: OneSeed, arm: ArmName, of_best: float) -> Found:
    """Whether the best test accuracy of an arm is at least this share of the best of its base."""
    best, of_base = best_accuracy(seed[arm]), best_accuracy(seed["base"])
    return statement(best >= of_best * of_base, **{"best test accuracy": best, "of the base": of_base})


def exceeds(seed: OneSeed, arm: ArmName, accuracy: float) -> Found:
    """Whether the test accuracy of an arm is above `accuracy` at some evaluation."""
    record, values = seed[arm], series(seed[arm])
    best = int(np.argmax(values))
    numbers = {
        "best test accuracy": float(values[best]),
        "at epoch": int(record.epochs[best]),
        "at the end": final(record),
    }
    return statement(float(values[best]) > accuracy, **numbers)


def final_accuracy(seed: OneSeed, arm: ArmName) -> Found:
    """Test accuracy at the end."""
    return known(final(seed[arm]))


def accuracy_gap(seed: OneSeed, faster: ArmName = "ticket", slower: ArmName = "base") -> Found:
    """Test accuracy at the end of one arm minus that of another."""
    ends = [final(seed[one]) for one in (faster, slower)]
    numbers = {f"final accuracy, {label(one)}": x for one, x in zip((faster, slower), ends, strict=True)}
    return known(ends[0] - ends[1], **numbers)


def ends_below(seed: OneSeed, arms: Sequence[ArmName], accuracy: float) -> Found:
    """Whether the test accuracy at the end of every arm is below `accuracy`."""
    ends = {f"final accuracy, {label(one)}": final(seed[one]) for one in arms}
    return statement(max(ends.values()) < accuracy, **ends)


def stays(seed: OneSeed, arm: ArmName, accuracy: float) -> Found:
    """Whether an arm's test accuracy, once at least `accuracy`, never falls below it; undecided if it never gets there."""
    values = series(seed[arm])
    reached = np.flatnonzero(values >= accuracy)
    lowest = float(values[reached[0] :].min()) if len(reached) else np.nan
    return statement(lowest >= accuracy if len(reached) else None, **{"lowest accuracy after": lowest})


def full(seed: OneSeed, arm: ArmName, fails: bool = False, level: float = 0.99) -> Found:
    """Whether an arm fully generalizes (`fully_generalizes`), or fails to."""
    record, base = seed[arm], seed["base"]
    numbers = {f"final accuracy, {label(arm)}": final(record), "final accuracy, base": final(base)}
    return statement(fully_generalizes(record, base, level) != fails, **numbers)


def none_full(seed: OneSeed, family: str) -> Found:
    """Whether no member of a family fully generalizes."""
    members = seed.family(family)
    if not members:
        raise NoRecords(f"there are no records of family {family}")
    best = max(members, key=lambda value: final(members[value]))
    numbers = {
        "best at": best,
        "final accuracy there": final(members[best]),
        "final accuracy, base": final(seed["base"]),
    }
    return statement(not any(fully_generalizes(record, seed["base"]) for record in members.values()), **numbers)


def accuracy_rises(seed: OneSeed, family: str) -> Found:
    """Rank correlation of test accuracy at the end with the value of a family."""
    members = seed.family(family)
    if len(members) < 3:
        raise NoRecords(f"there are no records of family {family}")
    return _correlation(spearmanr, list(members), [final(record) for record in members.values()])


# --- neurons ------------------------------------------------------------------------------------------------------


def has_dead_neurons(seed: OneSeed, threshold: float) -> Found:
    """Whether the kill-only mask removes hidden neurons; a base that had not generalized when it was made is no case."""
    record = seed["kill", threshold]
    count, hidden = killed(record), record.run.model.hidden
    found = statement(count > 0, **{"dead neurons": count, "share of neurons": count / hidden})
    return dataclasses.replace(found, is_case=found_late(seed))


def dead_speed_up(seed: OneSeed, threshold: float, slower: ArmName = "base", faster: ArmName = "ticket") -> Found:
    """`speed_up` of grokked tickets where there are dead neurons at a threshold; a seed without any is no case."""
    found = speed_up(seed, slower, faster, grokked=True)
    dead = killed(seed["kill", threshold])
    return dataclasses.replace(
        found, numbers={**found.numbers, "dead neurons": dead}, is_case=found.is_case and dead > 0
    )


def killed(record: Record) -> int:
    """Hidden neurons without any input weight in a run's mask. Raises NoRecords where it is not stored."""
    return int((~record.run.split(mask_of(record))["W_in"].any(1)).sum())


def kept_shares(records: Sequence[Record]) -> dict[str, float]:
    """The share of each weight matrix that the masks of records keep, median over the seeds whose masks are stored; empty without."""
    masks = [record.run.split(record.mask) for record in records if record.mask is not None]
    return {name: float(np.median([mask[name].mean() for mask in masks])) for name in (masks[0] if masks else ())}


def memorizing_epoch(record: Record, t_gen: int | None) -> int | None:
    """The last snapshot before half of t_gen, where a network that groks late still only memorizes; None if censored."""
    if t_gen is None:
        return None
    epochs = record.probes["epochs"]
    return int(epochs[max(int(np.searchsorted(epochs, t_gen / 2)) - 1, 0)])


EPOCH_AT: dict[str, Callable[[OneSeed, Record], int | None]] = {
    "at the start": lambda seed, record: 0,
    "while memorizing": lambda seed, record: memorizing_epoch(record, seed.t_gen("base")),
    "early": lambda seed, record: fourier.embedding_epochs(record.run)[1],
    "after generalization": lambda seed, record: None if seed.t_gen("base") is None else int(record.epochs[-1]),
}


def mask_of(record: Record) -> np.ndarray:
    """The mask of a record. Raises NoRecords where it is not stored."""
    if record.mask is None:
        raise NoRecords(f"seed {record.seed}: its mask is not stored")
    return record.mask


def probes_of(record: Record) -> Mapping[str, np.ndarray]:
    """What was kept of a record's weights. Raises NoRecords where nothing was."""
    if record.probes is None:
        raise NoRecords(f"seed {record.seed}: nothing is recorded of the weights")
    return record.probes


def top_share(seed: OneSeed, side: str, moment: str, arm: ArmName = "base") -> Found:
    """Share of spectral power in a neuron's top frequency, median over live neurons, on a side at a moment (EPOCH_AT).

    Open where the base never generalizes and the moment depends on it.
    """
    record = seed[arm]
    probes, epoch = probes_of(record), EPOCH_AT[moment](seed, record)
    if epoch is None:
        return Found(0.0, 1.0, {"at epoch": None})
    at = np.searchsorted(probes["epochs"], epoch)
    return known(float(fourier.median_share(probes[side][at])), **{"at epoch": epoch})


def entropy_falls(seed: OneSeed, side: str) -> Found:
    """Epoch by which the base's entropy is half-way from its start down to its last value, over the epoch by which the
    ticket's is half-way from its own start down to the same value (C25)."""
    records = seed["base"], seed["ticket"]
    probes = [probes_of(record) for record in records]
    epochs = probes[0]["epochs"]
    curves = [fourier.frequency_entropy(one[side]) for one in probes]
    last = curves[0][-1]
    half = [fourier.half_way_epoch(epochs, curve, last) for curve in curves]
    if curves[0][0] > last:
        bounds = ratio_bounds(half[0], half[1], int(epochs[-1]), int(epochs[1] - epochs[0]))
    else:  # the base's entropy has no way down
        half, bounds = [None, None], (0.0, np.inf)
    return Found(*bounds, {"half-way epoch, base": half[0], "half-way epoch, ticket": half[1]})


# --- structure ----------------------------------------------------------------------------------------------------


def correlation(function: Callable[..., Any], x: Numbers, y: Numbers) -> float:
    """A correlation of scipy.stats; nan where one of the two never changes."""
    return float(function(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


def _correlation(function: Callable[..., Any], x: Numbers, y: Numbers) -> Found:
    """A correlation; where it is not defined, anywhere from -1 to 1."""
    value = correlation(function, x, y)
    return Found(-1.0, 1.0, {"correlation": value}) if np.isnan(value) else known(value)


def at_cuts(seed: OneSeed) -> dict[float, Record]:
    """The tickets of a grid of epochs, by the epoch at which each was cut. Raises NoRecords without them."""
    found = seed.family("epoch")
    if not found:
        raise NoRecords(f"seed {seed.seed}: there are no records of family epoch")
    return found


def cuts(seed: OneSeed) -> np.ndarray:
    """The epochs at which tickets were cut [T]."""
    return np.array(list(at_cuts(seed)))


def distances(seed: OneSeed) -> np.ndarray:
    """Jaccard distance of every two masks of the cuts [T, T]."""
    return structure.jaccard_distances([mask_of(record) for record in at_cuts(seed).values()])


def accuracy_at_cuts(seed: OneSeed) -> np.ndarray:
    """Test accuracy of the base at the epochs of the cuts [T], on a straight line between evaluations."""
    return np.interp(cuts(seed), seed["base"].epochs, series(seed["base"]))


def distance_grows_with_gap(seed: OneSeed, within_phases: bool = False) -> Found:
    """Rank correlation of the Jaccard distance of two masks with their gap in epochs, over all pairs of cuts (C26).

    within_phases: over pairs on one side of t_gen alone, which a single jump at t_gen would leave without a trend.
    """
    gaps, apart = pdist(cuts(seed)[:, None]), squareform(distances(seed))
    if within_phases:
        t_gen = seed.t_gen("base")
        after = (cuts(seed) >= (np.inf if t_gen is None else t_gen)).astype(float)
        same = pdist(after[:, None]) == 0
        gaps, apart = gaps[same], apart[same]
    return _correlation(spearmanr, gaps, apart)


def distance_follows_accuracy(seed: OneSeed, given_epoch: bool = False) -> Found:
    """Correlation (Pearson) of a mask's distance to the final mask with the base's test accuracy at its cut (C27).

    Over all cuts but the final one, whose distance is 0 by definition. given_epoch: the partial correlation given the epoch of
    the cut, which both follow.
    """
    x, y, epochs = distances(seed)[-1][:-1], accuracy_at_cuts(seed)[:-1], cuts(seed)[:-1]
    if given_epoch:
        x, y = (values - np.polyval(np.polyfit(epochs, values, 1), epochs) for values in (x, y))
        x, y = (np.where(np.abs(values) < 1e-9, 0, values) for values in (x, y))  # a straight line leaves nothing
    return _correlation(pearsonr, x, y)


NULLS = {"random": "count", "random by node": "neuron"}
GRAPH = {"average path length": structure.average_path_length, "bipartite clustering": structure.clustering}


def graph_difference(seed: OneSeed, of: str, other: str) -> Found:
    """Percent by which the ticket's mask exceeds another in a measure of its graph (C28).

    other: "memorization", the mask of the first cut; "random", one of as many edges; "random by node", one of as many edges
    at every node of every matrix. Open unless the base generalizes after the first cut and before the ticket's.
    """
    ticket, t_gen = seed["ticket"], seed.t_gen("base")
    first, memorizing = next(iter(at_cuts(seed).items()))
    masks = [mask_of(ticket), mask_of(memorizing)]
    if other != "memorization":
        masks[1] = pruning.random_mask_like(ticket.run, masks[0], NULLS[other], ticket.run.seed)
    grokked, value = (GRAPH[of](structure.chain(ticket.run, mask)) for mask in masks)
    percent = 100 * (grokked / value - 1)
    numbers = {"grokked": grokked, other: value, "difference (%)": percent}
    if t_gen is not None and first < t_gen <= ticket.run.start.epoch and np.isfinite(percent):
        return known(percent, **numbers)
    return Found(-np.inf, np.inf, numbers)


# --- phases ---------------------------------------------------------------------------------------------------------

MEMORIZATION, CIRCUIT_FORMATION, CLEANUP = PHASES  # the tickets


def grokked_case(seed: OneSeed, found: Found) -> Found:
    """What was found, where the base went through all three phases; where not there are no tickets of them, and no case."""
    probes_of(seed["base"])
    return dataclasses.replace(found, is_case=progress.phase_ends(seed["base"]).complete)


def phase_order(seed: OneSeed) -> Found:
    """Whether tickets generalize the sooner the later their phase (C40)."""
    pairs = [(MEMORIZATION, CIRCUIT_FORMATION), (CIRCUIT_FORMATION, CLEANUP)]
    return grokked_case(seed, comes_later(seed, pairs))


def loss_order(seed: OneSeed) -> Found:
    """Whether the log test loss ends the lower the later the ticket's phase, and below the base's in the cleanup ticket alone
    (C41)."""
    ends = {one: progress.plateau(progress.log_test_loss(seed[one])) for one in ("base", *PHASES)}
    base, *of_tickets = ends.values()
    holds = of_tickets[0] > of_tickets[1] >= base > of_tickets[2]
    return grokked_case(seed, statement(holds, **{f"log test loss, {label(one)}": x for one, x in ends.items()}))


def delay_ratio(seed: OneSeed, faster: ArmName, slower: ArmName = MEMORIZATION) -> Found:
    """Delay of `slower` over that of `faster`, from fitting to generalizing (C42); at least one evaluation each."""
    delays: list[float | None] = []
    numbers: dict[str, object] = {}
    for one in (slower, faster):
        t_gen, fitted = seed.t_gen(one), fitting_epoch(seed[one], seed.tau)
        delays.append(None if t_gen is None or fitted is None else max(t_gen - fitted, 0))
        numbers |= {f"t_gen, {label(one)}": t_gen, f"delay, {label(one)}": delays[-1]}
    epochs = seed.comparison.epochs
    bounds = ratio_bounds(delays[0], delays[1], int(epochs[-1]), int(epochs[1] - epochs[0]))
    return grokked_case(seed, Found(*bounds, numbers))


def rise_order(seed: OneSeed, least: float) -> Found:
    """Whether the log test loss rises a second time by `least` nats in the base and all tickets but the memorization ticket, and
    most in the cleanup ticket (C43). A network whose test loss never comes half-way down has no second rise."""
    rises = {one: float(np.nan_to_num(progress.second_rise(seed[one]))) for one in ("base", *PHASES)}
    others = [rise for one, rise in rises.items() if one != MEMORIZATION]
    holds = rises[MEMORIZATION] < least <= min(others) and rises[CLEANUP] == max(others)
    return grokked_case(seed, statement(holds, **{f"second rise, {label(one)}": x for one, x in rises.items()}))


def crossing(record: Record) -> int | None:
    """The first snapshot at which the restricted loss is below the training loss; None if there is none.

    Only where the training loss has come down to a tenth: before any training the two are alike.
    """
    train, restricted = (probes_of(record)[name] for name in ("train_loss", "restricted"))
    below = np.flatnonzero((restricted < train) & (train < train[0] / 10))
    return int(record.probes["epochs"][below[0]]) if len(below) else None


def restricted_early(seed: OneSeed) -> Found:
    """Whether in both later tickets the restricted loss is below the training loss before memorization ends in the base (C44)."""
    end = progress.phase_ends(seed["base"]).memorization
    at = {one: crossing(seed[one]) for one in ("base", CIRCUIT_FORMATION, CLEANUP)}
    holds = all(at[one] is not None and at[one] <= end for one in (CIRCUIT_FORMATION, CLEANUP))
    numbers = {"end of memorization": end} | {f"at epoch, {label(one)}": x for one, x in at.items()}
    return grokked_case(seed, statement(holds, **numbers))


def falls_of_squares(record: Record) -> int:
    """How many separate falls the sum of squared weights has."""
    return len(progress.separate_falls(record.epochs, series(record, "l2") ** 2))


def one_fall(seed: OneSeed) -> Found:
    """Whether the sum of squared weights goes down once in both later tickets, and at least twice in the base (C44)."""
    falls = {one: falls_of_squares(seed[one]) for one in ("base", CIRCUIT_FORMATION, CLEANUP)}
    holds = falls["base"] >= 2 and falls[CIRCUIT_FORMATION] == falls[CLEANUP] == 1
    return grokked_case(seed, statement(holds, **{f"falls, {label(one)}": x for one, x in falls.items()}))


def excluded_order(seed: OneSeed) -> Found:
    """Whether the excluded loss, mean over key frequencies, settles the lower the later the ticket's phase (C45)."""
    levels = {one: progress.plateau(progress.excluded(probes_of(seed[one]))) for one in PHASES}
    holds = levels[MEMORIZATION] > levels[CIRCUIT_FORMATION] > levels[CLEANUP]
    return grokked_case(seed, statement(holds, **{f"excluded loss, {label(one)}": x for one, x in levels.items()}))


def least_squares(seed: OneSeed) -> Found:
    """Whether the cleanup ticket ends with the least sum of squared weights of the three (C45)."""
    ends = {one: progress.plateau(series(seed[one], "l2") ** 2) for one in PHASES}
    holds = ends[CLEANUP] < min(ends[MEMORIZATION], ends[CIRCUIT_FORMATION])
    return grokked_case(seed, statement(holds, **{f"squares, {label(one)}": x for one, x in ends.items()}))


# --- learning coefficient -------------------------------------------------------------------------------------------

FEWEST = 10  # checkpoints with a usable estimate, below which a curve of the coefficient says nothing


@dataclass(frozen=True)
class Coefficients:
    """The learning coefficient of a record's checkpoints: epochs [U], chains [U, C], and what `llc.status` says of each."""

    epochs: np.ndarray
    chains: np.ndarray
    status: list[str]

    @property
    def usable(self) -> np.ndarray:
        """Checkpoints [U] after the start whose estimate is positive and finite; it may drift."""
        positive = np.array([one in ("valid", "drifting") for one in self.status])
        return positive & (self.epochs > 0)

    @property
    def valid(self) -> np.ndarray:
        """Checkpoints [U] whose estimate settles, too."""
        return np.array([one == "valid" for one in self.status])


def coefficients_of(record: Record, sampling: str = "follow-up") -> Coefficients:
    """The estimates of a record with one of `llc.SAMPLINGS`. Raises NoRecords where there are none."""
    probes = probes_of(record)
    if "llc_traces" not in probes:
        raise NoRecords(f"seed {record.seed}: the learning coefficient is not recorded")
    settings = llc.sampling_of(record.run, sampling)
    traces = probes["llc_traces"][list(llc.SAMPLINGS).index(sampling)].astype(np.float64)
    status = [llc.status(trace, settings) for trace in traces]
    return Coefficients(probes["llc_epochs"], llc.coefficients(traces, settings), status)


def coefficient_lag(seed: OneSeed, arm: ArmName = "base", sampling: str = "follow-up", logarithm: bool = True) -> Found:
    """Whether the coefficient falls fastest before the logarithm of the test loss does, from the end of memorization on (C46).

    Both falls are looked for between the same checkpoints. Undecided with fewer than FEWEST of them. logarithm: False for the
    test loss itself, which the chapter shows beside.
    """
    record, found = seed[arm], coefficients_of(seed[arm], sampling)
    chosen = found.usable & (found.epochs >= progress.phase_ends(seed["base"]).memorization)
    if chosen.sum() < FEWEST:
        return grokked_case(seed, statement(None, **{"usable checkpoints": int(chosen.sum())}))
    epochs = found.epochs[chosen]
    loss = progress.log_test_loss(record) if logarithm else series(record, "test_loss")
    losses = np.interp(epochs, record.epochs, loss)
    of_both = [progress.steepest_fall(epochs, y) for y in (found.chains[chosen].mean(1), losses)]
    numbers = {"coefficient falls at": of_both[0], "test loss falls at": of_both[1], "lag": of_both[0] - of_both[1]}
    numbers |= {"checkpoints": int(chosen.sum()), "of these valid": int(found.valid[chosen].sum())}
    return grokked_case(seed, statement(numbers["lag"] < 0, **numbers))


def no_second_fall(seed: OneSeed, arm: ArmName, sampling: str = "follow-up") -> Found:
    """Whether the coefficient has at most one separate fall (C47); undecided with fewer than FEWEST usable checkpoints."""
    found = coefficients_of(seed[arm], sampling)
    chosen = found.usable
    if chosen.sum() < FEWEST:
        return grokked_case(seed, statement(None, **{"usable checkpoints": int(chosen.sum())}))
    epochs = np.concatenate([[0], found.epochs[chosen]])
    values = found.chains[chosen].mean(1)
    falls = progress.separate_falls(epochs, np.concatenate([values[:1], values]), points=30)
    numbers = {
        "separate falls": len(falls),
        "checkpoints": len(values),
        "of these valid": int(found.valid[chosen].sum()),
    }
    return grokked_case(seed, statement(len(falls) < 2, **numbers))


@dataclass(frozen=True)
class Measure:
    """A measure and what it is called; {} in the words take its arguments, arms by their labels."""

    take: Callable[..., Found]
    words: str  # as in "the median <words> is 3" or "<words> holds on 3 seeds"
    unit: str = ""
    by_level: bool = False  # whether it depends on what counts as generalized, and not only on when
    switched: Mapping[str, str] = field(default_factory=dict)  # what the words add where such an argument is true

    def named(self, **arguments: object) -> str:
        """The words with their arguments."""
        more = (words for name, words in self.switched.items() if arguments.get(name) is True)
        return "".join([self.words.format(**arguments), *more])


MEASURES: dict[str, Measure] = {
    "speed_up": Measure(speed_up, "speed-up of {faster} over {slower}", "times", by_level=True),
    "comes_later": Measure(comes_later, "that {later_ones} generalize later", by_level=True),
    "norm_stages": Measure(norm_stages, "an early peak of both norms and a fall by t_gen", by_level=True),
    "norm_drift": Measure(norm_drift, "drift of the norms once generalized", "%", by_level=True),
    "reaches": Measure(reaches, "that {arm} reaches {of_best} of the base's best"),
    "exceeds": Measure(exceeds, "a test accuracy above {accuracy}, {arm}"),
    "final_accuracy": Measure(final_accuracy, "test accuracy at the end, {arm}", "test accuracy"),
    "accuracy_gap": Measure(accuracy_gap, "test accuracy at the end, {faster} minus {slower}", "gain in accuracy"),
    "ends_below": Measure(ends_below, "a test accuracy below {accuracy} at the end"),
    "stays": Measure(stays, "a test accuracy of {accuracy} kept by {arm}"),
    "full": Measure(full, "full generalization of {arm}"),
    "not_full": Measure(functools.partial(full, fails=True), "no full generalization of {arm}"),
    "none_full": Measure(none_full, "that no rate generalizes fully"),
    "accuracy_rises": Measure(
        accuracy_rises, "rank correlation of test accuracy with the ticket's epoch", "rank correlation"
    ),
    "has_dead_neurons": Measure(has_dead_neurons, "at least one dead neuron"),
    "dead_speed_up": Measure(dead_speed_up, "speed-up of {faster} over {slower}", "times", by_level=True),
    "top_share": Measure(top_share, "share of power in the top frequency, {side}, {moment}, {arm}", "share of power"),
    "entropy_falls": Measure(entropy_falls, "ratio of half-way epochs, base over ticket, {side}", "times"),
    "distance_grows_with_gap": Measure(
        distance_grows_with_gap,
        "rank correlation of Jaccard distance with the gap in epochs",
        "rank correlation",
        switched={"within_phases": ", on one side of t_gen"},
    ),
    "distance_follows_accuracy": Measure(
        distance_follows_accuracy,
        "correlation of distance to the final mask with test accuracy",
        "correlation",
        switched={"given_epoch": ", given the epoch (partial)"},
    ),
    "phase_order": Measure(phase_order, "that later phases give faster tickets", by_level=True),
    "loss_order": Measure(loss_order, "that later phases give a lower test loss, below the base's in the last alone"),
    "delay_ratio": Measure(
        delay_ratio, "delay of the memorization ticket over that of {faster}", "times", by_level=True
    ),
    "rise_order": Measure(
        rise_order, "a second rise in all but the memorization ticket, highest in the cleanup ticket"
    ),
    "restricted_early": Measure(restricted_early, "restricted loss below training loss while the base memorizes"),
    "one_fall": Measure(one_fall, "one fall of the squared weights in the later tickets, two in the base"),
    "excluded_order": Measure(excluded_order, "that later phases give a lower excluded loss at the end"),
    "least_squares": Measure(least_squares, "that the cleanup ticket ends with the least squared weights"),
    "coefficient_lag": Measure(coefficient_lag, "that the coefficient falls before the logarithm of the test loss"),
    "no_second_fall": Measure(no_second_fall, "at most one fall of the coefficient, {arm}"),
    "graph_difference": Measure(graph_difference, "{of}, grokked masks against {other} (difference)", "%"),
}
