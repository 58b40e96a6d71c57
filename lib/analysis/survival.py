"""Times to generalization as survival times: what is known of them where some runs never generalize within their budget.

Shapes: S seeds.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import CensoredData, ecdf, norm, t

LEVEL = 0.95  # of intervals


class Generalized(NamedTuple):
    """A Kaplan-Meier curve: the share of seeds that have generalized by an epoch, from that epoch on, and its interval."""

    epochs: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def kaplan_meier(times: Sequence[int | None], budget: int) -> Generalized:
    """The Kaplan-Meier estimate (1958) from t_gen of every seed [S]; None is later than the budget.

    The interval of each value is pointwise, Greenwood's variance on the scale of log(-log) (Kalbfleisch & Prentice); where
    it is not defined, before the first and after the last event, its ends are nan.
    """
    censored = [time is None for time in times]
    known = [budget if time is None else time for time in times]
    alive = ecdf(CensoredData.right_censored(known, censored)).sf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        ends = alive.confidence_interval(LEVEL, method="log-log")
    low, high = 1 - ends.high.probabilities, 1 - ends.low.probabilities
    return Generalized(alive.quantiles, 1 - alive.probabilities, low, high)


class Ratio(NamedTuple):
    """A geometric mean of ratios, and its interval; an end without a bound is infinite or 0."""

    estimate: float
    low: float
    high: float


def paired_ratio(lows: ArrayLike, highs: ArrayLike) -> Ratio | None:
    """Geometric mean of ratios of two times, from each seed's bounds lows, highs [S], by a log-normal model.

    An accelerated-failure-time model of pairs: the logarithm of a seed's ratio is normal about the same mean, and a ratio
    that is only known to lie between bounds contributes the probability of lying there. The estimate is that of
    maximum likelihood. The interval is that of the profile likelihood, with Student's t in place of the normal: without censoring it
    is the t interval of the mean log ratio. None where fewer than two ratios are known, and the model has nothing to go by.
    """
    with np.errstate(divide="ignore"):
        low, high = np.log(np.asarray(lows, dtype=float)), np.log(np.asarray(highs, dtype=float))
    informative = np.isfinite(low) | np.isfinite(high)
    low, high = low[informative], high[informative]
    exact = low == high
    if exact.sum() < 2:
        return None
    known, n = low[exact], len(low)
    spread = max(float(known.std()), 1e-6)
    between_low, between_high = low[~exact], high[~exact]

    def deviance(mean: float, log_sd: float) -> float:
        sd = np.exp(log_sd)
        # log of F(high) - F(low), in the upper tail from the other side, where these differ in more digits
        ends = (between_low - mean) / sd, (between_high - mean) / sd
        mirrored = ends[0] > 0
        a, b = np.where(mirrored, -ends[1], ends[0]), np.where(mirrored, -ends[0], ends[1])
        with np.errstate(divide="ignore"):
            inside = norm.logcdf(b) + np.log1p(-np.exp(norm.logcdf(a) - norm.logcdf(b)))
        total = norm.logpdf(known, mean, sd).sum() + inside.sum()
        return -2 * total if np.isfinite(total) else 1e12

    def profile(mean: float) -> float:
        """The deviance at a mean, at its best standard deviation."""
        widest = np.log(spread + abs(mean - known.mean()) + 1) + 3
        return float(
            minimize_scalar(lambda x: deviance(mean, x), bounds=(np.log(spread) - 5, widest), method="bounded").fun
        )

    reach = 10 * spread + 10
    ends = known.mean() - reach, known.mean() + reach
    best = minimize_scalar(profile, bounds=ends, method="bounded", options={"xatol": 1e-7})
    allowed = best.fun + n * np.log1p(t.ppf((1 + LEVEL) / 2, n - 1) ** 2 / (n - 1))

    def end(far: float) -> float:
        """Where the profile passes what is allowed, between the best mean and one far away; infinite if it does not."""
        if profile(far) < allowed:
            return np.copysign(np.inf, far - best.x)
        return brentq(lambda mean: profile(mean) - allowed, *sorted((best.x, far)), xtol=1e-6)

    return Ratio(*(float(np.exp(x)) for x in (best.x, end(ends[0]), end(ends[1]))))
