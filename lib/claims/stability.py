"""What rounding decides: the same verdicts on replicas of the same seeds, which part by one unit in the last place at the start.

Grokking amplifies rounding, so that two trainings of one run on different machines part as well. Shapes: S seeds, K replicas.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import f

from lib.analysis.times import NoRecords
from lib.claims.claims import Claim, Judged, Question
from lib.claims.judging import Verdict, judge
from lib.claims.statistics import LEVEL, Outcome
from lib.experiments.comparison import Comparison
from lib.experiments.settings import ROUNDINGS


@dataclass(frozen=True)
class Stability:
    """A claim's verdict on each replica of the same seeds, the run itself first."""

    claim: Claim
    judged: Judged
    seeds: Sequence[int]
    verdicts: tuple[Verdict, ...]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What each verdict says."""
        return tuple(verdict.verdict for verdict in self.verdicts)

    @property
    def is_stable(self) -> bool:
        """Whether all replicas give the same outcome."""
        return len(set(self.outcomes)) == 1


def replicas(setting: str, comparisons: Mapping[str, Comparison]) -> list[Comparison]:
    """A setting's runs and their replicas, on the seeds that all have; none where a replica is missing."""
    names = [setting, *(f"{setting}/rounding-{i}" for i in ROUNDINGS)]
    if not all(name in comparisons for name in names):
        return []
    found = [comparisons[name] for name in names]
    seeds = set.intersection(*(set(comparison.seeds) for comparison in found))
    return [comparison.of_seeds(seeds) for comparison in found] if seeds else []


def at_one_level(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same, with the lowest tau among them in all: what parts their times is then rounding alone, and not what counts."""
    tau = min((comparison.tau for comparison in comparisons), default=None)
    return [replace(comparison, level=tau) for comparison in comparisons]


def stability(entries: Iterable[Claim | Question], comparisons: Mapping[str, Comparison]) -> list[Stability]:
    """The outcomes of every claim whose arms the replicas have, from the comparisons of the chapter "stability"."""
    out = []
    for claim in entries:
        if not isinstance(claim, Claim) or not claim.is_measured:
            continue
        for judged in claim.judged:
            found = replicas(judged.setting, comparisons)
            try:
                verdicts = tuple(judge(claim, judged, comparison, "").verdict for comparison in found)
            except NoRecords:  # of an arm
                continue
            if verdicts:
                out.append(Stability(claim, judged, found[0].seeds, verdicts))
    return out


def rounding_share(times: np.ndarray) -> tuple[float, float, float]:
    """Share of the variance of the logarithm of t_gen [S, K] that replicas of one seed have, the rest being that of seeds.

    One-way random effects: the variance within seeds over the sum of within and between, by their mean squares, whose ratio
    over its expectation has an F distribution; returned with the 95% interval by that (Searle 1971). Seeds with
    a censored replica (nan) are left out, and nan is returned where fewer than two are left.
    """
    logs = np.log(times[np.isfinite(times).all(1)])
    seeds, k = logs.shape
    if seeds < 2 or (logs == logs[0, 0]).all():
        return np.nan, np.nan, np.nan
    within, between = logs.var(1, ddof=1).mean(), k * logs.mean(1).var(ddof=1)
    ratio = between / within if within else np.inf
    low, high = f.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], seeds - 1, seeds * (k - 1))
    share, least, most = (float(1 / (1 + max(ratio / q - 1, 0) / k)) for q in (1.0, low, high))
    return share, least, most
