"""What a figure's caption says first (`Chapter.finding`): numbers over seeds in words that are right whatever the numbers are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.times import final, later, median_time, series
from lib.book.tables import Comparisons, seeds_text
from lib.claims.claims import Claim
from lib.claims.judging import evidence_text, judge_elsewhere, result_text
from lib.claims.measures import kept_shares, speed_up
from lib.claims.statistics import MIN_SEEDS, between
from lib.experiments.arms import SCORING, arm
from lib.experiments.chapters import wanted
from lib.experiments.comparison import Comparison
from lib.experiments.parameters import Parameters
from lib.records.store import Store


def named(where: object) -> str:
    """An arm as sentences call it."""
    one = arm(where)
    return "base" if one.name == "base" else one.label


def over_seeds(comparisons: Comparisons) -> str:
    """How many seeds there are, for a beginning such as "Median epochs": "over 10 seeds", "over 10 (MLP) and 5 (Transformer) seeds",
    of more settings "over 5 to 10 seeds", "with seed 7"."""
    shown = list(comparisons)
    counts = sorted({len(comparison.seeds) for comparison in shown})
    if counts[-1] == 1:
        return f"with {seeds_text(seed for comparison in shown for seed in comparison.seeds)}"
    if len(shown) == len(counts) == 2:
        return f"over {' and '.join(f'{len(c.seeds)} ({c.label})' for c in shown)} seeds"
    return f"over {' to '.join(map(str, dict.fromkeys([counts[0], counts[-1]])))} seeds"


def by_setting(lead: str, comparisons: Comparisons, said: Callable[[Comparison], str]) -> str:
    """A beginning, the number of seeds, and what is to be said of each setting; a setting is named where there are others."""
    shown = list(comparisons)
    texts = {comparison.label: said(comparison) for comparison in shown}
    lead = f"{lead} {over_seeds(shown)}"
    if len(texts) == 1:
        return f"{lead}: {next(iter(texts.values()))}"
    return f"{lead}, {'; '.join(f'{label}: {text}' for label, text in texts.items())}"


def listed(texts: Mapping[str, str]) -> str:
    """Numbers and what they are of: "470 (ticket), 21,000 (base)"."""
    return ", ".join(f"{text} ({name})" for name, text in texts.items())


def epoch(epochs: Sequence[int | None], budget: int) -> str:
    """The median of epochs over seeds: "21,000", or "later than 30,000"; None is later than the budget. "none" of none."""
    if not len(epochs):
        return "none"
    median = median_time(epochs)
    return f"later than {budget:,}" if np.isinf(median) else f"{median:,.0f}"


def median(values: Sequence[float] | np.ndarray | pd.Series, form: str = ".2f") -> str:
    """The median of numbers over seeds; "none" where none is known."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return f"{np.median(known):{form}}" if len(known) else "none"


def extremes(values: Mapping[str, float], form: str = ".2f") -> str:
    """The least and the most of numbers, and what they are of: "0.10 (W_U) to 0.80 (W_E)"."""
    order = sorted(values, key=values.__getitem__)
    ends = dict.fromkeys([order[0], order[-1]])
    return " to ".join(f"{values[name]:{form}} ({name})" for name in ends)


# --- times --------------------------------------------------------------------------------------------------------


def times(comparisons: Comparisons, *arms: object) -> str:
    """The median time to generalization of arms (or of one mapping, from names of their own), setting by setting."""
    shown = list(comparisons)
    return by_setting(
        _median("epochs to generalization", shown),
        shown,
        lambda c: listed({name: epoch(c.t_gen(one), c.budget) for name, one in _called(arms).items()}),
    )


def first_and_last(comparisons: Comparisons, *arms: object) -> str:
    """The arms with the earliest and the latest median time to generalization, setting by setting."""

    def said(comparison: Comparison) -> str:
        of = {named(one): comparison.t_gen(one) for one in arms or comparison.arms}
        order = sorted(of, key=lambda name: median_time(of[name]))
        if np.isinf(median_time(of[order[0]])):
            return f"all later than {comparison.budget:,}"
        never = [name for name in order if np.isinf(median_time(of[name]))]
        first = listed({order[0]: epoch(of[order[0]], comparison.budget)})
        if len(order) == 1:
            return first
        if len(never) > 1:
            return f"{first} to later than {comparison.budget:,} ({len(never)} of {len(of)} networks)"
        return f"{first} to {listed({order[-1]: epoch(of[order[-1]], comparison.budget)})}"

    shown = list(comparisons)
    return by_setting(_median("epochs to generalization", shown), shown, said)


def speed_ups(comparison: Comparison, slower: object, faster: object) -> np.ndarray:
    """Bounds of the speed-up on each seed that is a case, its base having generalized when its ticket was cut: low and high [2, cases]."""
    found = [speed_up(seed, slower, faster, grokked=True) for seed in comparison.one_by_one()]  # type: ignore[arg-type]
    return np.array([(one.low, one.high) for one in found if one.is_case]).reshape(-1, 2).T


def gains(comparisons: Comparisons, slower: object = "base", faster: object = "ticket") -> str:
    """The median speed-up of an arm over another as claims take it: setting by setting, of more than two the least and the most.

    Seeds whose ticket was cut before its base had generalized are no cases; a setting without a case, or an arm, is left out. So
    is one of the least and the most with too few cases for a verdict.
    """
    shown = [c for c in comparisons if {arm(slower), arm(faster)} <= c.arms.keys()]
    bounds = {c.label: found for c in shown if (found := speed_ups(c, slower, faster)).size}
    lead = f"Median speed-up of {_quoted(faster)} over {_quoted(slower)}"
    if not bounds:
        return f"{lead}: not known, 0 seeds to compare"
    medians = {label: np.median(found, axis=1) for label, found in bounds.items()}
    texts = {label: f"{between(low, high)} times" for label, (low, high) in medians.items()}
    if len(texts) < 3:
        won = {label: f"{(found[0] > 1).sum()} of {found.shape[1]} seeds sooner" for label, found in bounds.items()}
        each = {label: f"{text} ({won[label]})" for label, text in texts.items()}
        if len(shown) == 1:
            return f"{lead}: {each[shown[0].label]}"
        return f"{lead}, " + "; ".join(f"{label}: {text}" for label, text in each.items())
    enough = [label for label, found in bounds.items() if found.shape[1] >= MIN_SEEDS]
    enough = enough if len(enough) > 1 else list(bounds)
    which = "" if len(enough) == len(bounds) else f" with {MIN_SEEDS} seeds or more to compare"
    order = sorted(enough, key=lambda label: tuple(medians[label]))
    return f"{lead} in {len(enough)} settings{which}, from {texts[order[0]]} ({order[0]}) to {texts[order[-1]]} ({order[-1]})"


def sooner(comparisons: Comparisons, slower: object, faster: object) -> str:
    """On how many seeds an arm generalizes before another, all settings that have both taken together."""
    shown = [c for c in comparisons if {arm(slower), arm(faster)} <= c.arms.keys()]
    pairs = [pair for c in shown for pair in zip(c.t_gen(slower), c.t_gen(faster), strict=True)]
    won = sum(later(*pair) is True for pair in pairs)
    budgets = {c.budget for c in shown}
    of = f" of {max(budgets):,} epochs" if len(budgets) == 1 else ""
    where = f", {len(shown)} settings{of} together" if len(shown) > 1 else ""
    what = "seeds" if len(shown) == 1 else "pairs"
    text = f"{_quoted(faster)} generalizes before {_quoted(slower)} on {won} of {len(pairs)} {what}{where}"
    return text[0].upper() + text[1:]


def generalizing(comparisons: Comparisons, *arms: object) -> str:
    """How many seeds of arms generalize within the budget: setting by setting, of more than two taken together."""
    shown = list(comparisons)
    budgets = " or ".join(f"{budget:,}" for budget in sorted({c.budget for c in shown}))
    known = {c.name: {named(one): np.array([t is not None for t in c.t_gen(one)]) for one in arms} for c in shown}
    lead = f"Networks that generalize within {budgets} epochs"
    if len(shown) > 2:
        whole = {named(one): np.concatenate([known[c.name][named(one)] for c in shown]) for one in arms}
        texts = {name: f"{found.sum()} of {len(found)}" for name, found in whole.items()}
        return f"{lead}, {len(shown)} settings together: {listed(texts)}"
    return by_setting(lead, shown, lambda c: listed({name: str(found.sum()) for name, found in known[c.name].items()}))


# --- other numbers ------------------------------------------------------------------------------------------------


def ends(comparisons: Comparisons, *arms: object) -> str:
    """The median test accuracy at the end of arms (or of one mapping, from names of their own), setting by setting."""
    shown = list(comparisons)
    return by_setting(
        _median("test accuracy at the end", shown),
        shown,
        lambda c: listed({name: median([final(record) for record in c[one]]) for name, one in _called(arms).items()}),
    )


def changes(comparisons: Comparisons, metric: str, words: str, *arms: object) -> str:
    """The median of a metric of arms before training and at the end, setting by setting."""

    def said(comparison: Comparison) -> str:
        values = {named(one): np.array([series(r, metric)[[0, -1]] for r in comparison[one]]).T for one in arms}
        return listed({name: " to ".join(median(found, ".1f") for found in both) for name, both in values.items()})

    shown = list(comparisons)
    return by_setting(_median(f"{words}, start to end,", shown), shown, said)


def scoring_kept(comparison: Comparison) -> str:
    """The median share that the ticket keeps of the matrices that attention scores with; "" where no mask is stored."""
    shares = kept_shares(comparison["ticket"])
    return " and ".join(f"{shares[name]:.1%} of {name}" for name in SCORING if name in shares)


def in_text(criterion: Claim, parameters: Parameters, store: Store) -> str:
    """What the ticket of the transformer as in the paper's text gains, and what a claim's criterion says of it; "" without records."""
    variants = wanted(parameters, ["deviations"], store).comparisons("deviations", store.versions)
    if "transformer/text" not in variants:
        return ""
    found = judge_elsewhere(criterion, variants["transformer/text"], parameters.label)
    gain = f"{result_text(found.verdict)}, {evidence_text(found)}"
    return f"{gain}: {found.verdict.verdict} by the criterion of {criterion.id}"


def levels(outcomes: Mapping[tuple[str, str], pd.DataFrame]) -> str:
    """How many verdicts change with their level, and on which claims; of each claim and system what `judging.sensitivity` finds."""
    changed = {key for key, found in outcomes.items() if found["outcome"].nunique() > 1}
    claims = sorted({claim for claim, _ in changed})
    which = f": {', '.join(claims)}" if claims else ""
    verb = "changes" if 1 in (len(changed), len(outcomes)) else "change"
    noun = "verdict" if len(outcomes) == 1 else "verdicts"
    return f"{len(changed)} of {len(outcomes)} {noun} {verb} at other levels{which}"


def _median(words: str, shown: Sequence[Comparison]) -> str:
    """The beginning of a sentence on medians; of a single seed there is none."""
    single = all(len(comparison.seeds) == 1 for comparison in shown)
    return words[0].upper() + words[1:] if single else f"Median {words}"


def _called(arms: Sequence[Any]) -> dict[str, object]:
    """Arms by what sentences call them: their own names, or those of the one mapping that is given."""
    return dict(arms[0]) if isinstance(arms[0], Mapping) else {named(one): one for one in arms}


def _quoted(where: object) -> str:
    name = named(where)
    return f"“{name}”" if "," in name else name
