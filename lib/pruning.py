"""Pruning: masks from weights (paper, section 4.1 and App. D.1)."""

import numpy as np


def pruned_count(size: int, rate: float) -> int:
    """How many of `size` weights a pruning rate removes: rate * size, rounded. The rate must lie in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f"pruning rate is {rate}; it must be at least 0 and below 1")
    return round(rate * size)


def prune_lowest(scores: np.ndarray, rate: float) -> np.ndarray:
    """Mask [n] (bool, True = kept) that removes exactly the share `rate` with the lowest scores [n].

    Equal scores go by position, so masks of one score at growing rates are nested.
    """
    order = np.argsort(scores, kind="stable")
    mask = np.ones(len(scores), bool)
    mask[order[: pruned_count(len(scores), rate)]] = False
    return mask


def magnitude(weights: np.ndarray, rate: float) -> np.ndarray:
    """Global magnitude pruning over all weights [n] together: the share `rate` smallest in absolute value goes."""
    return prune_lowest(np.abs(weights), rate)
