"""How often the rules err: their outcomes under named nulls and alternatives, by simulation.

A rule judges numbers of seeds, so what matters is where the true median or share lies. A claim of several parts is wrongly
replicated at most as often as its most lenient part, because all parts must hold.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lib.claims.claims import Claim, Question
from lib.claims.statistics import Rule, ShareRule, median_interval, share_interval

SIZES = (20, 10, 5)  # seeds: of most arms, of grids, exploratory
SPREAD = 0.5  # of the logarithm of a ratio over seeds, about that of t_gen among the exploratory ones
OPEN = 0.2  # share of seeds that the budget leaves undecided, in the scenarios with censoring


def scenarios(rule: Rule) -> Iterator[tuple[str, float, bool]]:
    """Names of what may be true, the true median or share, and whether "replicated" would be wrong."""
    if isinstance(rule, ShareRule):
        yield f"holds on {rule.replicated_above:.0%} of all seeds", rule.replicated_above, True
        if rule.replicated_above > 0.5:
            yield "holds on every second seed", 0.5, True
        yield "holds on 90% of all seeds", 0.9, False
        yield "holds on all seeds", 1.0, False
        return
    low, high = rule.replicated_above, rule.replicated_below
    for edge in (low, high):
        if edge is not None:
            yield f"the median is {edge:g}, the threshold", edge, True
    if rule.refuted_below is not None and rule.refuted_below != low:
        yield f"the median is {rule.refuted_below:g}, where it would be refuted", rule.refuted_below, True
    if low is not None and high is not None:
        yield "the median is 1: no difference", 1.0, False
    elif low is not None:
        yield f"the median is {_beyond(low, 1):.3g}", _beyond(low, 1), False
    else:
        yield f"the median is {_beyond(high, -1):.3g}", _beyond(high, -1), False


def _beyond(threshold: float, sign: int) -> float:
    """A true value on the claimed side: one and a half of a spread away on the scale on which the rule works."""
    return threshold * np.exp(sign * 1.5 * SPREAD) if abs(threshold) >= 1 else threshold + sign * 0.15


def draw(rule: Rule, truth: float, n: int, censored: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bounds low, high [n] of one simulated set of seeds whose true median or share is `truth`; a part is left open."""
    if isinstance(rule, ShareRule):
        low = high = (rng.random(n) < truth).astype(float)
        ends = 0.0, 1.0
    else:
        # Ratios and percents spread by factors, shares and correlations by differences.
        noise = rng.standard_normal(n)
        factors = max(abs(x) for x in (rule.replicated_above, rule.replicated_below) if x is not None) >= 1
        low = high = truth * np.exp(SPREAD * noise) if factors else truth + 0.1 * noise
        ends = -np.inf, np.inf
    undecided = rng.random(n) < censored
    return np.where(undecided, ends[0], low), np.where(undecided, ends[1], high)


def outcome(rule: Rule, low: np.ndarray, high: np.ndarray) -> str:
    """What the rule says of the seeds' bounds [n], as lib/claims/judging.py has it."""
    if isinstance(rule, ShareRule):
        return rule.outcome(*share_interval(int(low.sum()), int((high - low).sum()), len(low)))
    return rule.outcome(*median_interval(low, high)[1:])


def rates(
    rule: Rule, truth: float, n: int, censored: float = 0.0, simulations: int = 2000, seed: int = 0
) -> dict[str, float]:
    """How often the rule says "replicated" and "refuted" of n seeds whose true median or share is `truth`."""
    rng = np.random.default_rng(seed)
    found = [outcome(rule, *draw(rule, truth, n, censored, rng)) for _ in range(simulations)]
    return {name: found.count(name) / simulations for name in ("replicated", "refuted")}


def table(entries: Sequence[Claim | Question], sizes: Sequence[int] = SIZES, simulations: int = 2000) -> pd.DataFrame:
    """One row a rule, scenario and number of seeds; rules that are alike are one row.

    Columns: rule, claims, if, wrong (whether "replicated" would be an error), seeds, replicated, refuted, and with a fifth of
    the seeds open: replicated, open.
    """
    claims: dict[Rule, list[str]] = {}
    for entry in entries:
        for part in getattr(entry, "parts", []):
            claims.setdefault(part.rule, []).append(entry.id)
    rows = []
    for rule, ids in claims.items():
        for name, truth, wrong in scenarios(rule):
            for n in sizes:
                found = rates(rule, truth, n, simulations=simulations)
                rows.append(
                    {
                        "rule": str(rule),
                        "claims": ", ".join(dict.fromkeys(ids)),
                        "if": name,
                        "replicated is wrong": wrong,
                        "seeds": n,
                        **found,
                        "replicated, a fifth open": rates(rule, truth, n, OPEN, simulations)["replicated"],
                    }
                )
    return pd.DataFrame(rows)


def most_wrong(found: pd.DataFrame) -> float:
    """The highest rate at which "replicated" is said where it is wrong."""
    wrong = found[found["replicated is wrong"]]
    return float(wrong[["replicated", "replicated, a fifth open"]].to_numpy().max())
