"""Measures: from records to one number a seed, for each claim.

A measure takes its number as a pair of bounds: a run that does not generalize within its budget is censored, and what
depends on it is only known to lie between two values. lib/claims/judging.py turns the bounds of all seeds into an interval and
a verdict. To judge another claim, write its measure and enter it in MEASURES. Shapes: S seeds, T evaluations.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr

from lib.analysis import fourier, structure
from lib.experiments import names
from lib.train import images
from lib.train.tasks import ImageTask

TAUS = (0.95, 0.90, 0.80)  # test accuracies that can count as generalized, the preferred one first
IMAGE_TAU = 0.80  # the one for image classifiers, which C03 names


class ClaimsError(ValueError):
    """The claims file, the verdicts file or the records do not fit; the message says where."""


class Record(Protocol):
    """What a measure reads of a record: epochs [T], metrics by name, each [T], the mask [n] if one was held, and for
    what is said of the neurons the tables of lib/analysis/fourier.py."""

    run: Any
    seed: int
    epochs: np.ndarray
    metrics: Mapping[str, np.ndarray]
    mask: np.ndarray | None
    tables: Mapping[str, np.ndarray] | None


Groups = Mapping[str, Sequence[Record]]  # kind of net -> records [S], every kind in the same order of seeds


# --- measures of one record ---------------------------------------------------------------------------------------


def series(record: Record, name: str) -> np.ndarray:
    """The metric `name` of a record [T]. Raises ClaimsError if a value is not finite: diverged is not late."""
    values = np.asarray(record.metrics[name], dtype=float)
    if values.shape != np.shape(record.epochs) or not np.isfinite(values).all():
        raise ClaimsError(f"seed {record.seed}: {name} is not a finite number at every evaluation")
    return values


def generalization_epoch(record: Record, tau: float, metric: str = "test_accuracy") -> int | None:
    """t_gen: the first evaluated epoch at which `metric` is at least tau; None if censored, never within the budget."""
    reached = np.flatnonzero(series(record, metric) >= tau)
    return int(record.epochs[reached[0]]) if len(reached) else None


def train_epoch(record: Record, tau: float) -> int | None:
    """The first evaluated epoch with training accuracy of at least tau, None if there is none."""
    return generalization_epoch(record, tau, "train_accuracy")


def delay(record: Record, tau: float) -> int | None:
    """Epochs by which generalization comes after memorization, None if either is censored."""
    fitted, generalized = train_epoch(record, tau), generalization_epoch(record, tau)
    return None if fitted is None or generalized is None else generalized - fitted


def threshold(base_records: Sequence[Record]) -> float:
    """tau: the highest of TAUS that every base run reaches; if there is none the lowest, and some runs are censored.

    IMAGE_TAU for image classifiers.
    """
    if not base_records:
        raise ClaimsError("tau needs at least one base run")
    if isinstance(base_records[0].run.task, ImageTask):
        return IMAGE_TAU
    best = min(series(record, "test_accuracy").max() for record in base_records)
    return next((tau for tau in TAUS if best >= tau), TAUS[-1])


def ratio_bounds(
    numerator: float | None, denominator: float | None, budget: int, interval: int = 100
) -> tuple[float, float]:
    """Bounds of a ratio of two epochs, where None means later than `budget`.

    Evaluations lie `interval` epochs apart, and a net may generalize before any training, at epoch 0: each epoch counts
    as at least `interval`. Two known epochs give equal bounds, two censored ones (0, inf).
    """
    top = (budget, np.inf) if numerator is None else (max(numerator, interval),) * 2
    bottom = (budget, np.inf) if denominator is None else (max(denominator, interval),) * 2
    return float(top[0] / bottom[1]), float(top[1] / bottom[0])


# --- measures of a claim ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """One number a seed, as bounds low, high [S]. For a share: (1, 1) holds, (0, 0) fails, (0, 1) undecided."""

    quantity: str  # as in "the median <quantity> is 3" or "<quantity> holds on 3 seeds"
    unit: str
    low: list[float]
    high: list[float]
    note: str  # a sentence on censored or undecided seeds, or ""
    table: pd.DataFrame  # one row a seed, for the chapter
    generalized: str = ""  # what counts as generalized, where it is not test accuracy tau


def speed_up(groups: Groups, tau: float | Sequence[float], slower: str = "base", faster: str = "ticket") -> Measured:
    """t_gen of `slower` over t_gen of `faster`, paired by seed; tau may differ from seed to seed."""
    epochs = groups[slower][0].epochs
    taus = np.broadcast_to(tau, len(groups[slower])).tolist()
    rows = []
    for one, other, goal in zip(groups[slower], groups[faster], taus, strict=True):
        pair = generalization_epoch(one, goal), generalization_epoch(other, goal)
        rows.append((one.seed, *pair, *ratio_bounds(*pair, int(epochs[-1]), int(epochs[1] - epochs[0]))))
    times = [f"t_gen {slower}", f"t_gen {faster}"]
    table = pd.DataFrame(rows, columns=["seed", *times, "low", "high"]).astype(dict.fromkeys(times, "Int64"))
    never = {kind: int(table[f"t_gen {kind}"].isna().sum()) for kind in (slower, faster)}
    words = {kind: f"the {kind}" if kind in ("base", "ticket") else names.name(kind) for kind in (slower, faster)}
    censored = " and ".join(f"{count} of {len(rows)} runs of {words[kind]}" for kind, count in never.items() if count)
    return Measured(
        quantity=f"speed-up of {words[faster]} over {words[slower]}",
        unit="times",
        low=table["low"].tolist(),
        high=table["high"].tolist(),
        note=f"Not generalized within {epochs[-1]:,} epochs, so censored: {censored}." if censored else "",
        table=table,
    )


def image_speed_up(groups: Groups, tau: float, part: str) -> Measured:
    """C03: the speed-up of the ticket; "of-best" takes 0.95 of the best test accuracy of the seed's base for tau."""
    task = groups["base"][0].run.task
    data = (
        f"Images: {task.train_count:,} to train on and {task.test_count:,} to test on, of {images.title(task.images)}."
    )
    taus, generalized = tau, ""
    if part == "of-best":
        taus = [0.95 * float(series(record, "test_accuracy").max()) for record in groups["base"]]
        generalized = "0.95 of the best test accuracy of its seed's base"
    measured = speed_up(groups, taus)
    return dataclasses.replace(
        measured,
        note=f"{measured.note} {data}".strip(),
        generalized=generalized,
        table=measured.table.assign(τ=taus),
    )


def norm_stages(groups: Groups, tau: float, limits: Any) -> Measured:
    """Whether the L1 and the L2 norm peak early, are lower at t_gen and stay level from then on (C17, C18)."""
    rows, low, high = [], [], []
    for record in groups["base"]:
        t_gen = generalization_epoch(record, tau)
        l1, parts = _norm_stages(record.epochs, series(record, "l1"), t_gen, limits)
        l2, more = _norm_stages(record.epochs, series(record, "l2"), t_gen, limits)
        fails, open_ = False in parts + more, None in parts + more
        low.append(float(not fails and not open_))
        high.append(float(not fails))
        numbers = {f"{name} {key}": x for name, norm in (("l1", l1), ("l2", l2)) for key, x in norm.items()}
        holds = "no" if fails else "undecided" if open_ else "yes"
        rows.append({"seed": record.seed, "t_gen": t_gen, **numbers, "holds": holds})
    undecided = int(sum(high) - sum(low))
    return Measured(
        quantity="the described course of both norms",
        unit="share of seeds",
        low=low,
        high=high,
        note=f"The budget leaves {undecided} of {len(rows)} seeds undecided." if undecided else "",
        table=pd.DataFrame(rows).astype({"t_gen": "Int64"}),
    )


def _norm_stages(
    epochs: np.ndarray, norm: np.ndarray, t_gen: int | None, limits: Any
) -> tuple[dict[str, float], list[bool | None]]:
    """The numbers of one norm [T] and its three parts: early peak, lower at t_gen, level after. None is undecided."""
    scale = epochs[-1] / limits.of_budget
    peak = int(np.argmax(norm))
    early = limits.peak_after * scale < epochs[peak] < limits.peak_before * scale
    at_t_gen = moves = np.nan
    fallen = level = None
    if t_gen is not None:
        at_t_gen = norm[np.searchsorted(epochs, t_gen)]
        fallen = bool(at_t_gen < norm[peak])
        settled = norm[epochs >= t_gen + limits.flat_after * scale]
        if len(settled) > 1:  # the last evaluation alone cannot move
            moves = float(np.abs(settled / settled[0] - 1).max())
            level = moves < limits.drift_below
    numbers = {"start": norm[0], "peak epoch": epochs[peak], "peak": norm[peak], "at t_gen": at_t_gen, "end": norm[-1]}
    return {**numbers, "moves by": moves}, [bool(early), fallen, level]


# --- shares of seeds ----------------------------------------------------------------------------------------------


def later(one: int | None, other: int | None) -> bool | None:
    """Whether epoch `one` comes after `other`; None is later than the budget, so two of them are undecided."""
    if one is None or other is None:
        return None if one is other else one is None
    return one > other


def both(*parts: bool | None) -> bool | None:
    """Whether all parts hold: False if one fails, None (undecided) if none fails and one is undecided."""
    return False if False in parts else None if None in parts else True


def share(quantity: str, rows: Sequence[tuple[dict[str, Any], bool | None]]) -> Measured:
    """A statement that holds, fails or (None) is undecided on each seed, with the numbers that it rests on."""
    words = {True: "yes", False: "no", None: "undecided"}
    table = pd.DataFrame([{**numbers, "holds": words[holds]} for numbers, holds in rows])
    times = [name for name in table if name.startswith("t_gen")]
    undecided = sum(holds is None for _, holds in rows)
    return Measured(
        quantity=quantity,
        unit="share of seeds",
        low=[float(holds is True) for _, holds in rows],
        high=[float(holds is not False) for _, holds in rows],
        note=f"The budget leaves {undecided} of {len(rows)} seeds undecided." if undecided else "",
        table=table.astype(dict.fromkeys(times, "Int64")),
    )


def number(quantity: str, unit: str, seeds: Sequence[int], values: Sequence[float]) -> Measured:
    """A number that is known on each seed."""
    table = pd.DataFrame({"seed": seeds, quantity: values})
    return Measured(quantity, unit, list(values), list(values), "", table)


def final(record: Record) -> float:
    """Test accuracy at the end."""
    return float(series(record, "test_accuracy")[-1])


def fully_generalizes(record: Record, base: Record) -> bool:
    """Test accuracy at the end of at least 0.99, or at most 0.01 below the same seed's base."""
    return final(record) >= min(0.99, final(base) - 0.01)


def by_number(groups: Groups, prefix: str) -> dict[float, Sequence[Record]]:
    """The groups called "<prefix> <number>", by their numbers in ascending order."""
    found = {float(kind.removeprefix(prefix)): group for kind, group in groups.items() if kind.startswith(f"{prefix} ")}
    return dict(sorted(found.items()))


def generalization_epochs(group: Sequence[Record], tau: float) -> list[int | None]:
    """t_gen of each record."""
    return [generalization_epoch(record, tau) for record in group]


def median_epoch(group: Sequence[Record], tau: float) -> float:
    """Median t_gen over seeds, the upper one of an even number; infinite where most never generalize."""
    times = [np.inf if t is None else t for t in generalization_epochs(group, tau)]
    return float(np.quantile(times, 0.5, method="inverted_cdf"))


def _seeds(groups: Groups) -> list[int]:
    return [record.seed for record in groups["base"]]


def early_tickets(groups: Groups, tau: float) -> Measured:
    """C04: tickets from 2,000 and 10,000 (the first and fifth of the grid) come after the 28,000 one, none before the
    base (the first one)."""
    grid = list(by_number(groups, "epoch").items())
    (first, at_first), (fifth, at_fifth) = grid[0], grid[4]
    rows = []
    for seed, *t in zip(
        _seeds(groups),
        *(generalization_epochs(g, tau) for g in (at_first, at_fifth, groups["ticket"], groups["base"])),
        strict=True,
    ):
        before_base = later(t[3], t[0])
        holds = both(later(t[0], t[2]), later(t[1], t[2]), None if before_base is None else not before_base)
        columns = f"t_gen of {first:g}", f"t_gen of {fifth:g}", "t_gen ticket", "t_gen base"
        rows.append(({"seed": seed, **dict(zip(columns, t, strict=True))}, holds))
    return share("that early tickets come late", rows)


def accuracy_by_epoch(groups: Groups, tau: float) -> Measured:
    """C05: rank correlation of a ticket's test accuracy at the end with the epoch at which it was cut."""
    grid = by_number(groups, "epoch")
    values = [correlation(spearmanr, list(grid), [final(group[i]) for group in grid.values()]) for i in _each(groups)]
    return _correlations("rank correlation of test accuracy with the ticket's epoch", _seeds(groups), values)


def _each(groups: Groups) -> range:
    return range(len(groups["base"]))


def transition_ticket(groups: Groups, tau: float) -> list[Measured]:
    """C06: the ticket from 10,000 (fifth of the grid) passes 0.95, and t_gen within 3 times the 28,000 one's."""
    epoch, group = list(by_number(groups, "epoch").items())[4]
    name = f"epoch {epoch:g}"
    best = [float(series(record, "test_accuracy").max()) for record in group]
    passes = [
        ({"seed": seed, "best test accuracy": value}, value >= 0.95)
        for seed, value in zip(_seeds(groups), best, strict=True)
    ]
    ratio = speed_up({**groups, name: group}, tau, slower=name, faster="ticket")
    return [share("a test accuracy of 0.95 from the transition ticket", passes), ratio]


def best_rate(groups: Groups, tau: float) -> float:
    """The pruning rate with the lowest median t_gen over seeds; the lowest such rate, if there are several."""
    medians = {rate: median_epoch(group, tau) for rate, group in by_number(groups, "rate").items()}
    return min(medians, key=medians.get)


def interior_rate(groups: Groups, tau: float) -> Measured:
    """C07: the best rate is neither the lowest nor the highest, and the highest is slower than it."""
    rates = by_number(groups, "rate")
    best, lowest, highest = best_rate(groups, tau), min(rates), max(rates)
    rows = []
    for seed, at_best, at_highest in zip(
        _seeds(groups), generalization_epochs(rates[best], tau), generalization_epochs(rates[highest], tau), strict=True
    ):
        holds = False if best in (lowest, highest) else later(at_highest, at_best)
        rows.append(({"seed": seed, f"t_gen {best:g} (best)": at_best, f"t_gen {highest:g}": at_highest}, holds))
    return share(f"that the best rate ({best:g}) lies in between and {highest:g} is slower", rows)


def full_rows(groups: Groups, rate: float, *, fails: bool = False) -> list[tuple[dict[str, Any], bool]]:
    """Whether the tickets of a rate fully generalize, or fail to, seed by seed."""
    rows = []
    for record, base in zip(by_number(groups, "rate")[rate], groups["base"], strict=True):
        numbers = {
            "seed": base.seed,
            f"final accuracy at {rate:g}": final(record),
            "final accuracy of base": final(base),
        }
        rows.append((numbers, fully_generalizes(record, base) != fails))
    return rows


def _most_full(groups: Groups) -> float:
    """The rate at which most seeds fully generalize; of several the one with the highest median accuracy at the end."""
    rates = by_number(groups, "rate")

    def key(rate: float) -> tuple[int, float]:
        return sum(full for _, full in full_rows(groups, rate)), float(np.median([final(r) for r in rates[rate]]))

    return max(rates, key=key)


def needs_suitable_rate(groups: Groups, tau: float) -> list[Measured]:
    """C08: some rate fully generalizes, another does not."""
    counts = {rate: sum(full for _, full in full_rows(groups, rate)) for rate in by_number(groups, "rate")}
    best, worst = _most_full(groups), min(counts, key=counts.get)
    return [
        share(f"full generalization at the best rate ({best:g})", full_rows(groups, best)),
        share(f"no full generalization at the worst rate ({worst:g})", full_rows(groups, worst, fails=True)),
    ]


def norms_of_ticket(groups: Groups, tau: float, part: str) -> list[Measured]:
    """C09, C10: t_gen of the dense nets with the ticket's L2 and L1 norm over that of the ticket."""
    over = part or "matrices"  # as the authors' code takes norms
    return [speed_up(groups, tau, slower=f"{norm}-{over}", faster="ticket") for norm in ("l2", "l1")]


def full_without_decay(groups: Groups, tau: float) -> list[Measured]:
    """C11: at weight decay 0 some rate fully generalizes, and the dense net does not."""
    best = _most_full(groups)
    dense = [
        ({"seed": base.seed, "final accuracy": final(record)}, not fully_generalizes(record, base))
        for record, base in zip(groups["dense, no decay"], groups["base"], strict=True)
    ]
    return [
        share(f"full generalization without weight decay at the best rate ({best:g})", full_rows(groups, best)),
        share("no full generalization of the dense net without weight decay", dense),
    ]


def light_rates(groups: Groups, tau: float) -> list[Measured]:
    """C12: test accuracy at the end for the rates 0.1 ... 0.5 at weight decay 0."""
    rates = by_number(groups, "rate")
    return [
        number(f"test accuracy at rate {rate:g}", "", _seeds(groups), [final(record) for record in rates[rate]])
        for rate in (0.1, 0.2, 0.3, 0.4, 0.5)
    ]


def no_rate_suffices(groups: Groups, tau: float) -> list[Measured]:
    """C13: at weight decay 0 no rate fully generalizes, and rate 0.9 ends below the best one."""
    rates, full = by_number(groups, "rate"), _most_full(groups)
    medians = {rate: np.median([final(record) for record in group]) for rate, group in rates.items() if rate != 0.9}
    best = max(medians, key=medians.get)
    gaps = [final(one) - final(other) for one, other in zip(rates[best], rates[0.9], strict=True)]
    return [
        share(f"no full generalization at the best rate ({full:g})", full_rows(groups, full, fails=True)),
        number(f"test accuracy at rate {best:g} minus that at 0.9", "", _seeds(groups), gaps),
    ]


def decay_finds(groups: Groups, tau: float) -> list[Measured]:
    """C14: C11, and a ticket whose weight decay is switched off at 0.99 stays there."""
    rows = []
    for record in groups["ticket, switched off"]:
        accuracy = series(record, "test_accuracy")
        reached = np.flatnonzero(accuracy >= 0.99)
        lowest = float(accuracy[reached[0] :].min()) if len(reached) else np.nan
        rows.append(({"seed": record.seed, "lowest accuracy after": lowest}, lowest >= 0.99 if len(reached) else None))
    return [*full_without_decay(groups, tau), share("a test accuracy of 0.99 kept after switching off", rows)]


def random_labels(groups: Groups, tau: float) -> Measured:
    """C22: test accuracy at the end of base and ticket, below 0.05."""
    rows = []
    for base, ticket in zip(groups["base"], groups["ticket"], strict=True):
        ends = {"final accuracy of base": final(base), "final accuracy of ticket": final(ticket)}
        rows.append(({"seed": base.seed, **ends}, max(ends.values()) < 0.05))
    return share("a test accuracy below 0.05 at the end", rows)


def kept_shares(records: Sequence[Record]) -> dict[str, float]:
    """The share of each weight matrix that the masks of records keep, median over seeds."""
    masks = [record.run.split(record.mask) for record in records]
    return {name: float(np.median([mask[name].mean() for mask in masks])) for name in masks[0]}


def killed(record: Record) -> int:
    """Hidden neurons without any input weight in a run's mask."""
    return int((~record.run.split(record.mask)["W_in"].any(1)).sum())


def has_dead_neurons(groups: Groups, tau: float, part: str) -> Measured:
    """C30: neurons that the kill-only mask removes."""
    rows = []
    for record in groups[f"kill {part or DEAD}"]:
        count, hidden = killed(record), record.run.model.hidden
        rows.append(({"seed": record.seed, "dead neurons": count, "share of neurons": count / hidden}, count > 0))
    return share("at least one dead neuron", rows)


SIDES = {"inputs": "input side", "outputs": "output side"}  # tables of lib/analysis/fourier.py


def memorizing_epoch(record: Record, tau: float) -> int | None:
    """The last snapshot before half of t_gen, where a net that groks late still only memorizes; None if censored."""
    t_gen = generalization_epoch(record, tau)
    if t_gen is None:
        return None
    epochs = record.tables["epochs"]
    return int(epochs[max(np.searchsorted(epochs, t_gen / 2) - 1, 0)])


def share_at(record: Record, side: str, epoch: int) -> float:
    """Top frequency's share of power at a snapshot, median over live neurons."""
    at = np.searchsorted(record.tables["epochs"], epoch)
    return float(fourier.median_share(record.tables[side][at]))


def single_frequencies(groups: Groups, tau: float) -> list[Measured]:
    """C23: the base's share of power at the end, at the start and while it memorizes, on each side. A base that never
    generalizes leaves the first and the last open."""
    out = []
    for side, words in SIDES.items():
        moments = {
            "after generalization": lambda record: (
                None if generalization_epoch(record, tau) is None else record.epochs[-1]
            ),
            "at the start": lambda record: 0,
            "while memorizing": lambda record: memorizing_epoch(record, tau),
        }
        for moment, epoch_of in moments.items():
            rows = []
            for record in groups["base"]:
                epoch = epoch_of(record)
                known = (0.0, 1.0) if epoch is None else (share_at(record, side, epoch),) * 2
                rows.append((record.seed, epoch, *known))
            table = pd.DataFrame(rows, columns=["seed", "at epoch", "low", "high"]).astype({"at epoch": "Int64"})
            never = int(table["at epoch"].isna().sum())
            note = f"Never generalized, so left open: {never} of {len(rows)} base runs." if never else ""
            name = f"share of power in the top frequency, {words}, {moment}"
            out.append(Measured(name, "", table["low"].tolist(), table["high"].tolist(), note, table))
    return out


def periodic_early(groups: Groups, tau: float) -> list[Measured]:
    """C24: the share of C23 at 2,000 of 30,000 epochs, of the ticket and of the base, on each side."""
    epoch = fourier.embedding_epochs(groups["base"][0].run)[1]
    return [
        number(
            f"share of power in the top frequency at epoch {epoch:,}, {words}, {kind}",
            "",
            _seeds(groups),
            [share_at(record, side, epoch) for record in groups[kind]],
        )
        for kind in ("ticket", "base")
        for side, words in SIDES.items()
    ]


def entropy_falls(groups: Groups, tau: float) -> list[Measured]:
    """C25: epoch by which the base's entropy is half-way from its start down to its last value, over the epoch by which
    the ticket's is half-way from its own start down to the same value, on each side."""
    out = []
    for side, words in SIDES.items():
        rows = []
        for base, ticket in zip(groups["base"], groups["ticket"], strict=True):
            epochs = base.tables["epochs"]
            curves = [fourier.frequency_entropy(record.tables[side]) for record in (base, ticket)]
            last = curves[0][-1]
            half = [fourier.half_way_epoch(epochs, curve, last) for curve in curves]
            if curves[0][0] > last:
                bounds = ratio_bounds(*half, int(epochs[-1]), int(epochs[1] - epochs[0]))
            else:  # the base's entropy has no way down
                half, bounds = [None, None], (0.0, np.inf)
            rows.append((base.seed, *(np.nan if epoch is None else epoch for epoch in half), *bounds))
        table = pd.DataFrame(rows, columns=["seed", "half-way epoch of base", "of ticket", "low", "high"])
        never = int(table["of ticket"].isna().sum() + table["half-way epoch of base"].isna().sum())
        note = f"On the {words} {never} of {2 * len(rows)} runs never get half-way, so censored." if never else ""
        name = f"ratio of half-way epochs, base over ticket, {words}"
        out.append(Measured(name, "times", table["low"].tolist(), table["high"].tolist(), note, table))
    return out


# --- structure ----------------------------------------------------------------------------------------------------


def cut_masks(groups: Groups, i: int) -> list[np.ndarray]:
    """Masks [T, n] of seed number i by the epoch of the cut, the final one last."""
    return [group[i].mask for group in by_number(groups, "epoch").values()]


def accuracy_at_cuts(groups: Groups, i: int) -> np.ndarray:
    """Test accuracy of base number i at the epochs of the cuts [T], on a straight line between evaluations."""
    base = groups["base"][i]
    return np.interp(list(by_number(groups, "epoch")), base.epochs, series(base, "test_accuracy"))


def correlation(function: Callable[..., Any], x: Sequence[float], y: Sequence[float]) -> float:
    """A correlation of scipy.stats; nan where one of the two never changes."""
    return float(function(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


def _correlations(name: str, seeds: Sequence[int], values: Sequence[float]) -> Measured:
    """A correlation on each seed; nan is anywhere from -1 to 1."""
    unknown = np.isnan(values)
    note = f"Not defined, so left open, on {unknown.sum()} of {len(seeds)} seeds." if unknown.any() else ""
    low, high = np.where(unknown, -1.0, values), np.where(unknown, 1.0, values)
    return Measured(name, "", low.tolist(), high.tolist(), note, pd.DataFrame({"seed": seeds, name: values}))


def gradual_structure(groups: Groups, tau: float) -> Measured:
    """C26: rank correlation of the Jaccard distance of two masks with their gap in epochs, over all pairs of cuts."""
    gaps = pdist(np.array(list(by_number(groups, "epoch")))[:, None])
    values = [
        correlation(spearmanr, gaps, squareform(structure.jaccard_distances(cut_masks(groups, i))))
        for i in _each(groups)
    ]
    return _correlations("rank correlation of Jaccard distance with the gap in epochs", _seeds(groups), values)


def distance_follows_accuracy(groups: Groups, tau: float) -> Measured:
    """C27: correlation (Pearson) of a mask's distance to the final mask with the base's test accuracy at its cut.

    Over all cuts but the final one, whose distance is 0 by definition.
    """
    values = []
    for i in _each(groups):
        to_final = structure.jaccard_distances(cut_masks(groups, i))[-1]
        values.append(correlation(pearsonr, to_final[:-1], accuracy_at_cuts(groups, i)[:-1]))
    return _correlations("correlation of distance to the final mask with test accuracy", _seeds(groups), values)


GRAPH_MEASURES = {"average path length": structure.average_path_length, "bipartite clustering": structure.clustering}


def graph_differences(
    groups: Groups, tau: float, kinds: Mapping[str, Callable[..., float]] = GRAPH_MEASURES
) -> list[Measured]:
    """C28: percent by which the ticket's mask exceeds the first cut's, and a random one of as many edges, in each measure.

    A seed is open unless the base generalizes after the first cut and before the ticket's.
    """
    (first, memorizing), *_ = by_number(groups, "epoch").items()
    others = {f"masks from the memorization phase (epoch {first:,g})": [], "random masks of as many edges": []}
    numbers = {(name, other): [] for name in kinds for other in others}
    for base, ticket, early in zip(groups["base"], groups["ticket"], memorizing, strict=True):
        run, t_gen = ticket.run, generalization_epoch(base, tau)
        known = t_gen is not None and first < t_gen <= run.start.epoch
        masks = [ticket.mask, early.mask, structure.random_mask_like(run, ticket.mask, "count", run.seed)]
        chains = [structure.chain(run, mask) for mask in masks]
        for name, measure in kinds.items():
            grokked, *rest = (measure(one) for one in chains)
            for other, value in zip(others, rest, strict=True):
                percent = 100 * (grokked / value - 1)
                bounds = (percent, percent) if known and np.isfinite(percent) else (-np.inf, np.inf)
                numbers[name, other].append((base.seed, grokked, value, percent, *bounds))
    out = []
    for (name, other), rows in numbers.items():
        columns = ["seed", "grokked", "other", "difference (%)", "low", "high"]
        table = pd.DataFrame(rows, columns=columns)
        left = int(np.isinf(table["low"]).sum())
        note = f"No grokked and memorizing mask, so left open: {left} of {len(rows)} seeds." if left else ""
        low, high = table["low"].tolist(), table["high"].tolist()
        if not left:
            table = table.drop(columns=["low", "high"])
        out.append(Measured(f"difference in {name} of grokked masks from {other}", "%", low, high, note, table))
    return out


DEAD = "0.05"  # threshold of the main verdict on dead neurons

# Called with the records, tau, and as keywords what the claim needs: the `part` that is judged (the text after the
# slash of a system), the `limits` of its rule.
MEASURES: dict[str, Callable[..., Measured | list[Measured]]] = {
    **dict.fromkeys(("C01", "C02", "C19", "C20", "C21"), lambda groups, tau, **_: speed_up(groups, tau)),
    "C03": lambda groups, tau, part, **_: image_speed_up(groups, tau, part),
    "C04": lambda groups, tau, **_: early_tickets(groups, tau),
    "C05": lambda groups, tau, **_: accuracy_by_epoch(groups, tau),
    "C06": lambda groups, tau, **_: transition_ticket(groups, tau),
    "C07": lambda groups, tau, **_: interior_rate(groups, tau),
    "C08": lambda groups, tau, **_: needs_suitable_rate(groups, tau),
    **dict.fromkeys(("C09", "C10"), lambda groups, tau, part, **_: norms_of_ticket(groups, tau, part)),
    "C11": lambda groups, tau, **_: full_without_decay(groups, tau),
    "C12": lambda groups, tau, **_: light_rates(groups, tau),
    "C13": lambda groups, tau, **_: no_rate_suffices(groups, tau),
    "C14": lambda groups, tau, **_: decay_finds(groups, tau),
    **dict.fromkeys(("C15", "C16"), lambda groups, tau, part, **_: speed_up(groups, tau, faster=part)),
    **dict.fromkeys(("C17", "C18"), lambda groups, tau, limits, **_: norm_stages(groups, tau, limits)),
    "C22": lambda groups, tau, **_: random_labels(groups, tau),
    "C23": lambda groups, tau, **_: single_frequencies(groups, tau),
    "C24": lambda groups, tau, **_: periodic_early(groups, tau),
    "C25": lambda groups, tau, **_: entropy_falls(groups, tau),
    "C26": lambda groups, tau, **_: gradual_structure(groups, tau),
    "C27": lambda groups, tau, **_: distance_follows_accuracy(groups, tau),
    "C28": lambda groups, tau, **_: graph_differences(groups, tau),
    "C29": lambda groups, tau, **_: speed_up(groups, tau, faster="re-dense"),
    "C30": lambda groups, tau, part, **_: has_dead_neurons(groups, tau, part),
    "C31": lambda groups, tau, part, **_: speed_up(groups, tau, faster=f"kill {part or DEAD}"),
    "C32": lambda groups, tau, part, **_: speed_up(groups, tau, slower=f"revive {part or DEAD}"),
}
