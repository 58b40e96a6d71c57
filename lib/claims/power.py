"""How often the rules err: their outcomes under named nulls and alternatives, by simulation.

A rule judges numbers of seeds, so what matters is where the true median or share lies. A claim of several parts is wrongly
replicated at most as often as its most lenient part, because all parts must hold.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lib.claims.claims import Claim, Question
from lib.claims.statistics import Outcome, Rule, ShareRule, decide, rank, share_interval, worst

SIZES = (20, 10, 5)  # seeds: of most arms, of grids, exploratory
# Seeds at a first look, which counts if it decides, and at later ones; the second is the follow-up's.
AGAIN = ((10, 20), (5, 7, 10))
SPREAD = 0.5  # of the logarithm of a ratio over seeds; the speed-ups of C01 and C02 on exploratory seeds have less, 0.24 and 0.36
OPEN = 0.2  # share of seeds that the budget leaves undecided, in the scenarios with censoring


def scenarios(rule: Rule) -> Iterator[tuple[str, float]]:
    """Names of what may be true, and the true median or share."""
    if isinstance(rule, ShareRule):
        yield f"holds on {rule.replicated_above:.0%} of all seeds", rule.replicated_above
        if rule.replicated_above > 0.5:
            yield "holds on every second seed", 0.5
        yield "holds on 90% of all seeds", 0.9
        yield "holds on all seeds", 1.0
        return
    low, high = rule.replicated_above, rule.replicated_below
    for edge in (low, high):
        if edge is not None:
            yield f"the median is {edge:g}, the threshold", edge
    if rule.refuted_below is not None and rule.refuted_below != low:
        yield f"the median is {rule.refuted_below:g}, where it would be refuted", rule.refuted_below
    if low is not None and high is not None:
        yield "the median is 1: no difference", 1.0
    elif low is not None:
        yield f"the median is {_beyond(low, 1):.3g}", _beyond(low, 1)
    else:
        yield f"the median is {_beyond(high, -1):.3g}", _beyond(high, -1)


def _beyond(threshold: float, sign: int) -> float:
    """A true value on the claimed side: one and a half of a spread away on the scale on which the rule works, of an accuracy near
    0 half of one."""
    if 0 < threshold < 0.15 and sign < 0:
        return threshold / 2  # an accuracy cannot be negative
    return threshold * np.exp(sign * 1.5 * SPREAD) if abs(threshold) >= 1 else threshold + sign * 0.15


def draw(
    rule: Rule, truth: float, shape: tuple[int, ...], censored: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds low, high [shape] of simulated seeds whose true median or share is `truth`; a part of them is left open."""
    if isinstance(rule, ShareRule):
        low = high = (rng.random(shape) < truth).astype(float)
        ends = 0.0, 1.0
    else:
        # Ratios and percents spread by factors, shares and correlations by differences.
        noise = rng.standard_normal(shape)
        factors = max(abs(x) for x in (rule.replicated_above, rule.replicated_below) if x is not None) >= 1
        low = high = truth * np.exp(SPREAD * noise) if factors else truth + 0.1 * noise
        ends = -np.inf, np.inf
    undecided = rng.random(shape) < censored
    return np.where(undecided, ends[0], low), np.where(undecided, ends[1], high)


def intervals(rule: Rule, low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    """The intervals [K] that lib/claims/judging.py would judge, from the bounds of K sets of seeds [K, n]."""
    n = low.shape[1]
    if isinstance(rule, ShareRule):
        counts = zip(low.sum(1).astype(int).tolist(), high.sum(1).astype(int).tolist(), strict=True)
        return [share_interval(held, possible - held, n) for held, possible in counts]
    k = rank(n)
    return list(zip(np.sort(low, 1)[:, k - 1].tolist(), np.sort(high, 1)[:, n - k].tolist(), strict=True))


def rates(rule: Rule, truth: float, *looks: int, censored: float = 0.0, simulations: int = 2000) -> dict[str, float]:
    """How often the rule says "replicated" and "refuted" of seeds whose true median or share is `truth`.

    looks: at how many seeds the rule is asked, in ascending order; a later look is taken only if the earlier ones decide nothing.
    """
    low, high = draw(rule, truth, (simulations, looks[-1]), censored, np.random.default_rng(0))
    said = np.full(simulations, "inconclusive")
    for n in looks:
        now = np.array([rule.outcome(*interval) for interval in intervals(rule, low[:, :n], high[:, :n])])
        said = np.where(said == "inconclusive", now, said)
    return {name: float((said == name).mean()) for name in ("replicated", "refuted")}


def outlook(parts: Sequence[tuple[Rule, np.ndarray]], simulations: int = 500) -> dict[Outcome, float]:
    """How often each outcome would come of a claim with twice as many seeds, were the new ones like those at hand.

    parts: each with its rule and the bounds of the seeds [S, 2], nan where one is no case. New seeds are drawn from these,
    the same for all parts.
    """
    n, rng = len(parts[0][1]), np.random.default_rng(0)
    said = Counter(
        worst(decide(rule, np.concatenate([bounds, bounds[new]]))[2] for rule, bounds in parts)
        for new in rng.integers(0, n, (simulations, n))
    )
    return {outcome: count / simulations for outcome, count in said.items()}


def table(entries: Sequence[Claim | Question], simulations: int = 2000) -> pd.DataFrame:
    """One row a rule, scenario and number of seeds; rules that are alike are one row.

    Columns: rule, claims, if, "replicated is wrong" and "refuted is wrong" (of a true value at a threshold both are), seeds ("10,
    then 20": twenty only if ten decide nothing), replicated, refuted, and "replicated, a fifth open": with a fifth of the seeds open.
    """
    claims: dict[Rule, list[str]] = {}
    for entry in entries:
        for part in getattr(entry, "parts", []):
            claims.setdefault(part.rule, []).append(entry.id)
    rows = []
    for rule, ids in claims.items():
        for name, truth in scenarios(rule):
            right = rule.outcome(truth, truth)
            for looks in (*((n,) for n in SIZES), *AGAIN):
                found = rates(rule, truth, *looks, simulations=simulations)
                open_ones = rates(rule, truth, *looks, censored=OPEN, simulations=simulations)
                rows.append(
                    {
                        "rule": str(rule),
                        "claims": ", ".join(dict.fromkeys(ids)),
                        "if": name,
                        "replicated is wrong": right != "replicated",
                        "refuted is wrong": right != "refuted",
                        "seeds": ", then ".join(map(str, looks)),
                        **found,
                        "replicated, a fifth open": open_ones["replicated"],
                    }
                )
    return pd.DataFrame(rows)


def most_wrong(found: pd.DataFrame) -> float:
    """The highest rate at which "replicated" is said where it is wrong."""
    wrong = found[found["replicated is wrong"]]
    return float(wrong[["replicated", "replicated, a fifth open"]].to_numpy().max())
