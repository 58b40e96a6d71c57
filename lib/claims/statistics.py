"""Statistics over seeds: intervals of a median and of a share, and the rules that turn them into an outcome. Shapes: S seeds."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.stats import binom, binomtest

from lib.analysis.survival import LEVEL

DIGITS = 6  # significant ones in verdicts.json: processors differ in the last
MIN_SEEDS = 5  # with fewer, no verdict: "replicated" would be wrong in more than 5% of cases

Outcome = Literal["replicated", "refuted", "inconclusive", "not run"]


class Strict(BaseModel):
    """Settings that must be right: no unknown names, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class IntervalRule(Strict):
    """Judges the median over seeds: replicated if its interval satisfies every `replicated_*` given, refuted if any `refuted_*`.

    Two numbers `replicated_*` make it a test of equivalence: two one-sided tests, each at 2.5% (Schuirmann 1987).
    """

    kind: Literal["interval"]
    replicated_above: float | None = None
    replicated_below: float | None = None
    refuted_above: float | None = None
    refuted_below: float | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> "IntervalRule":
        pairs = (self.refuted_below, self.replicated_above), (self.replicated_below, self.refuted_above)
        given = [pair for pair in pairs if pair != (None, None)]
        if not given or any(None in pair or pair[0] > pair[1] for pair in given):
            raise ValueError("needs refuted_below <= replicated_above or replicated_below <= refuted_above, or both")
        return self

    def outcome(self, low: float | None, high: float | None) -> Outcome:
        """Verdict for the interval from low to high; None is an end without a bound."""
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        wanted = [low > x for x in [self.replicated_above] if x is not None]
        wanted += [high < x for x in [self.replicated_below] if x is not None]
        excluded = [low > x for x in [self.refuted_above] if x is not None]
        excluded += [high < x for x in [self.refuted_below] if x is not None]
        return "replicated" if all(wanted) else "refuted" if any(excluded) else "inconclusive"

    def __str__(self) -> str:
        def sides(above, below, joint):
            return joint.join(f"{word} {x:g}" for word, x in (("above", above), ("below", below)) if x is not None)

        wanted = sides(self.replicated_above, self.replicated_below, " and ")
        excluded = sides(self.refuted_above, self.refuted_below, " or ")
        return f"replicated if the interval of the median lies {wanted}, refuted if it lies {excluded}"


class ShareRule(Strict):
    """Judges the share of seeds on which a claim holds: replicated if its interval lies above one number, refuted if it lies
    below another."""

    kind: Literal["share"]
    replicated_above: float = Field(ge=0, lt=1)
    refuted_below: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> "ShareRule":
        if self.refuted_below > self.replicated_above:
            raise ValueError("needs refuted_below <= replicated_above")
        return self

    def outcome(self, low: float, high: float) -> Outcome:
        """Verdict for the interval of a share from low (undecided seeds failed) to high (all of them held)."""
        return (
            "replicated" if low > self.replicated_above else "refuted" if high < self.refuted_below else "inconclusive"
        )

    def __str__(self) -> str:
        return (
            f"replicated if the interval of the share lies above {self.replicated_above:.0%}, refuted if it lies below "
            f"{self.refuted_below:.0%}"
        )


def elsewhere(rule: IntervalRule | ShareRule, low: float | None, high: float | None) -> str:
    """What a rule with one threshold to pass would say of the interval from low to high at other thresholds: "replicated below 3.10,
    refuted above 8.40"; "" for a rule with two."""
    above, below = rule.replicated_above, getattr(rule, "replicated_below", None)
    if above is not None and below is not None:
        return ""
    sides = (
        (("replicated below", low), ("refuted above", high))
        if above is not None
        else (("replicated above", high), ("refuted below", low))
    )
    return ", ".join(f"{words} {number(end)}" for words, end in sides if end is not None)


Rule = Annotated[IntervalRule | ShareRule, Field(discriminator="kind")]


def median_interval(
    low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray
) -> tuple[float | None, float | None, float | None]:
    """Median over seeds and its interval, the sign test inverted, from each seed's bounds low, high [S].

    Returns (estimate, low end, high end). The ends are the k-th smallest and the k-th largest value, with the largest k that
    covers any distribution's median at least 95% of the time (Conover 1999, section 3.2), or their range where no k does (five
    seeds or fewer): see `coverage`. The low end is taken from the low bounds alone, the high end from the high ones: values
    anywhere within the bounds give an interval inside this one. The estimate is None where censoring leaves the median open;
    an end is None where it has no bound or there are fewer than MIN_SEEDS seeds.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    n = len(low)
    if low.shape != high.shape or low.ndim != 1 or n == 0 or not (low <= high).all():
        raise ValueError("bounds must be two equally long rows of numbers with low <= high")
    medians = np.median(low), np.median(high)
    estimate = finite(medians[0]) if medians[0] == medians[1] else None
    if n < MIN_SEEDS:
        return estimate, None, None
    k = rank(n)
    return estimate, finite(np.sort(low)[k - 1]), finite(np.sort(high)[n - k])


@cache
def rank(n: int) -> int:
    """The largest k whose k-th smallest and k-th largest of n values cover the median 95% of the time; 1 if there is none."""
    return max(int(binom.ppf((1 - LEVEL) / 2, n, 0.5)), 1)


def coverage(n: int) -> float:
    """How often the interval of `median_interval` covers the median of n seeds, for any continuous distribution."""
    return float(1 - 2 * binom.cdf(rank(n) - 1, n, 0.5))


@cache
def share_interval(held: int, undecided: int, n: int) -> tuple[float, float]:
    """95% Wilson interval of a share (Wilson 1927): the low end for `held` of n, the high for `held + undecided`."""
    fewest, most = (binomtest(k, n).proportion_ci(LEVEL, method="wilson") for k in (held, held + undecided))
    return float(fewest.low), float(most.high)


def finite(x: float) -> float | None:
    """A number, or None for infinity and NaN."""
    return float(x) if np.isfinite(x) else None


def rounded(x: float) -> float:
    """A number as verdicts.json has it, so that it reads the same wherever it is rounded once more."""
    return float(f"{x:.{DIGITS}g}")


def number(x: float, form: str = "") -> str:
    """A number in three digits, as people write it: "52.8", "1,040", "−0.05"; of less than a hundredth in two; or by a form."""
    x = rounded(x)
    small = 0 < abs(x) < 0.01
    usual = "{:,.0f}" if abs(x) >= 100 else "{:.1f}" if abs(x) >= 10 else "{:.2g}" if small else "{:.2f}"
    return (form or usual).format(x).replace("-", "−")


def of_cases(bounds: np.ndarray) -> np.ndarray:
    """Bounds [cases, 2] of the seeds that are a case, from those of all [S, 2], nan where one is none."""
    return bounds[~np.isnan(bounds[:, 0])]


def decide(
    rule: IntervalRule | ShareRule, bounds: np.ndarray
) -> tuple[float | None, tuple[float | None, float | None], Outcome]:
    """What a rule says of bounds of seeds [S, 2], nan where a seed is no case: estimate, interval and outcome."""
    low, high = of_cases(bounds).T
    n, estimate = len(low), None
    interval: tuple[float | None, float | None] = None, None
    if n and isinstance(rule, ShareRule):
        held, possible = int(low.sum()), int(high.sum())
        estimate = held / n if held == possible else None
        interval = share_interval(held, possible - held, n)
    elif n:
        estimate, *ends = median_interval(low, high)
        interval = ends[0], ends[1]
    return estimate, interval, rule.outcome(*interval) if n >= MIN_SEEDS else "inconclusive"


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a claim of several parts: replicated if all of them are, refuted if one is."""
    return min(outcomes, key=("refuted", "inconclusive", "replicated").index)


def least(unit: str) -> float:
    """What no value of a unit is below: 0 of a ratio of times and a share of seeds; nothing of others."""
    return 0.0 if unit in ("times", "share of seeds") else -np.inf


def between(low: float | None, high: float | None, form: str = "", floor: float = 0.0) -> str:
    """A value within two bounds, in words: "6.20", "at least 3.10", "at most 0.40", "1.20 to 3.10", "not known".

    None is no bound. form: of numbers, in place of three digits. floor: a low bound that says nothing (`least`).
    """
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    if low == high:
        return number(low, form)
    if np.isinf(high):
        return "not known" if low <= 0 else f"at least {number(low, form)}"
    return (
        f"at most {number(high, form)}" if low in (floor, -np.inf) else f"{number(low, form)} to {number(high, form)}"
    )


def median_text(
    low: Sequence[float] | np.ndarray,
    high: Sequence[float] | np.ndarray | None = None,
    form: str = "",
    floor: float = 0.0,
) -> str:
    """Median over seeds and its 95% interval in words: "6.20 (3.30 to 8.10)"; "–" without seeds, no interval of too few.

    high: None where low has the numbers themselves. form, floor: as for `between`.
    """
    if high is None:
        high, floor = low, -np.inf
    if not len(low):
        return "–"
    middle = between(np.median(low), np.median(high), form, floor)
    _, low_end, high_end = median_interval(low, high)
    return middle if len(low) < MIN_SEEDS else f"{middle} ({between(low_end, high_end, form, floor)})"
