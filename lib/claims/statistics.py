"""Statistics over seeds: intervals of a median and of a share, and the rules that turn them into an outcome. Shapes: S seeds."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.stats import binomtest

MIN_SEEDS = 3  # with fewer, no verdict
EXACT_UP_TO = 6  # 6^6 = 46,656 resamples can all be listed

Outcome = Literal["replicated", "refuted", "inconclusive", "not run"]


class Strict(BaseModel):
    """Settings that must be right: no unknown names, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class IntervalRule(Strict):
    """Replicated if the interval satisfies every `replicated_*` given, refuted if it satisfies any `refuted_*`.

    by: "median" where the criterion asks for the median itself, and not its interval, to satisfy `replicated_*`.
    """

    kind: Literal["interval"]
    by: Literal["interval", "median"] = "interval"
    replicated_above: float | None = None
    replicated_below: float | None = None
    refuted_above: float | None = None
    refuted_below: float | None = None

    @model_validator(mode="after")
    def _is_consistent(self):
        pairs = (self.refuted_below, self.replicated_above), (self.replicated_below, self.refuted_above)
        given = [pair for pair in pairs if pair != (None, None)]
        if not given or any(None in pair or pair[0] > pair[1] for pair in given):
            raise ValueError("needs refuted_below <= replicated_above or replicated_below <= refuted_above, or both")
        return self

    def outcome(self, low: float | None, high: float | None, median: float | None = None) -> Outcome:
        """Verdict for the interval from low to high; None is an end without a bound, or a median not known."""
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        least, most = low, high
        if self.by == "median" and median is not None:
            least = most = median
        wanted = [least > x for x in [self.replicated_above] if x is not None]
        wanted += [most < x for x in [self.replicated_below] if x is not None]
        excluded = [low > x for x in [self.refuted_above] if x is not None]
        excluded += [high < x for x in [self.refuted_below] if x is not None]
        return "replicated" if all(wanted) else "refuted" if any(excluded) else "inconclusive"

    def __str__(self) -> str:
        def sides(above, below, joint):
            return joint.join(f"{word} {x:g}" for word, x in (("above", above), ("below", below)) if x is not None)

        wanted = sides(self.replicated_above, self.replicated_below, " and ")
        excluded = sides(self.refuted_above, self.refuted_below, " or ")
        return f"replicated if the {self.by} lies {wanted}, refuted if the interval lies {excluded}"


class ShareRule(Strict):
    """Judges the share of seeds on which a claim holds."""

    kind: Literal["share"]
    replicated_at_least: float = Field(ge=0, le=1)
    refuted_at_most: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _is_consistent(self):
        if self.refuted_at_most >= self.replicated_at_least:
            raise ValueError("needs refuted_at_most < replicated_at_least")
        return self

    def outcome(self, low: float, high: float) -> Outcome:
        """Verdict for a share of at least low (undecided seeds failed) and at most high (all of them held)."""
        replicated, refuted = low >= self.replicated_at_least, high <= self.refuted_at_most
        return "replicated" if replicated else "refuted" if refuted else "inconclusive"

    def __str__(self) -> str:
        replicated, refuted = self.replicated_at_least, self.refuted_at_most
        return f"replicated if it holds on at least {replicated:.0%} of the seeds, refuted if on at most {refuted:.0%}"


Rule = Annotated[IntervalRule | ShareRule, Field(discriminator="kind")]


def bootstrap_median(
    low: Sequence[float], high: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> tuple[float | None, float | None, float | None]:
    """Median over seeds and its 95% percentile bootstrap interval (Efron 1979), from each seed's bounds low, high [S].

    Returns (estimate, low end, high end). The estimate is None where censoring leaves the median open; an end is None
    where it has no bound or there are fewer than MIN_SEEDS seeds. The low end is taken from the low bounds alone, the
    high end from the high ones: values anywhere within the bounds give an interval inside this one. Up to EXACT_UP_TO
    seeds all S^S resamples are listed. Quantiles invert the distribution function: interpolation would make nan of inf.

    For three to five seeds the interval is the range of the seeds. Its coverage, 1 - 2 / 2^S, is 75%, 88% and 94%.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    n = len(low)
    if low.shape != high.shape or low.ndim != 1 or n == 0 or not (low <= high).all():
        raise ValueError("bounds must be two equally long rows of numbers with low <= high")
    medians = np.median(low), np.median(high)
    estimate = finite(medians[0]) if medians[0] == medians[1] else None
    if n < MIN_SEEDS:
        return estimate, None, None
    if n <= EXACT_UP_TO:
        chosen = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        chosen = np.random.default_rng(seed).integers(n, size=(resamples, n))
    low_end = np.quantile(np.median(low[chosen], axis=1), 0.025, method="inverted_cdf")
    high_end = np.quantile(np.median(high[chosen], axis=1), 0.975, method="inverted_cdf")
    return estimate, finite(low_end), finite(high_end)


def share_interval(held: int, undecided: int, n: int) -> tuple[float, float]:
    """95% Wilson interval of a share (Wilson 1927): the low end for `held` of n, the high for `held + undecided`."""
    worst, best = (binomtest(k, n).proportion_ci(0.95, method="wilson") for k in (held, held + undecided))
    return float(worst.low), float(best.high)


def finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def between(low: float | None, high: float | None) -> str:
    """A value within two bounds, in words: "6.20", "at least 3.10", "at most 0.40", "1.20 to 3.10", "not known".

    A low bound of 0 says nothing of a ratio or a share, and None is no bound.
    """
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    if low == high:
        return f"{low:.2f}"
    if np.isinf(high):
        return "not known" if low <= 0 else f"at least {low:.2f}"
    return f"at most {high:.2f}" if low in (0, -np.inf) else f"{low:.2f} to {high:.2f}"
