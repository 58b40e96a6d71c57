"""What a record says over epochs: when a network fits, when it generalizes, where it ends.

A run that does not generalize within its budget is censored: it has no epoch of generalization, and what depends on it is
only known to lie between two bounds. Shapes: T evaluations.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lib.train.tasks import ImageTask

TAUS = (0.95, 0.90, 0.80)  # test accuracies that can count as generalized, the preferred one first
IMAGE_TAU = 0.80  # the one for image classifiers, which C03 names


class MeasureError(ValueError):
    """Records do not fit what is measured on them; the message says where."""


class NoRecords(MeasureError):
    """There are no records of an arm that is asked for."""


class Record(Protocol):
    """What a measure reads of a record: epochs [T], metrics by name, each [T], the mask [n] if one was held and kept, and
    what lib/analysis/probes.py keeps of a probed run; and where all that comes from."""

    @property
    def run(self) -> Any: ...
    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> np.ndarray: ...
    @property
    def metrics(self) -> Mapping[str, np.ndarray]: ...
    @property
    def mask(self) -> np.ndarray | None: ...
    @property
    def probes(self) -> Mapping[str, np.ndarray] | None: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...


def series(record: Record, metric: str = "test_accuracy") -> np.ndarray:
    """A metric of a record [T]. Raises MeasureError if a value is not finite: diverged is not late."""
    values = np.asarray(record.metrics[metric], dtype=float)
    if values.shape != np.shape(record.epochs) or not np.isfinite(values).all():
        raise MeasureError(f"seed {record.seed}: {metric} is not a finite number at every evaluation")
    return values


def final(record: Record, metric: str = "test_accuracy") -> float:
    """A metric at the last evaluation."""
    return float(series(record, metric)[-1])


def best_accuracy(record: Record) -> float:
    """The highest test accuracy of all evaluations."""
    return float(series(record).max())


def generalization_epoch(record: Record, tau: float, metric: str = "test_accuracy") -> int | None:
    """t_gen: the first evaluated epoch at which `metric` is at least tau; None if censored, never within the budget."""
    reached = np.flatnonzero(series(record, metric) >= tau)
    return int(record.epochs[reached[0]]) if len(reached) else None


def decay_ended(record: Record) -> int | None:
    """When a run with `decay_until` went on without weight decay: the first of the epochs at which its optimizer was told the
    test accuracy that has it; None if there is none."""
    reached = series(record) >= record.run.optimizer.decay_until
    epochs = record.epochs[reached & np.isin(record.epochs, record.run.deciding_epochs)]
    return int(epochs[0]) if len(epochs) else None


def own_generalization_epoch(record: Record) -> int:
    """t_gen by the run's own measure: the first evaluated epoch at which test accuracy is 0.95 of the best it ever has."""
    return generalization_epoch(record, 0.95 * best_accuracy(record))


def fitting_epoch(record: Record, tau: float) -> int | None:
    """The first evaluated epoch with training accuracy of at least tau, None if there is none."""
    return generalization_epoch(record, tau, "train_accuracy")


def median_time(epochs: Sequence[int | None]) -> float:
    """The median of epochs, where None is later than all others: infinite where it is None.

    Of an even number it is the lower of the two in the middle, as no mean is taken of a number and a bound.
    """
    values = [np.inf if t is None else t for t in epochs]
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def threshold(bases: Sequence[Record]) -> float:
    """tau of a setting: the highest of TAUS that every base run reaches; if there is none the lowest, and some runs are
    censored. IMAGE_TAU for image classifiers."""
    if not bases:
        raise MeasureError("tau needs at least one base run")
    if isinstance(bases[0].run.task, ImageTask):
        return IMAGE_TAU
    best = min(map(best_accuracy, bases))
    return next((tau for tau in TAUS if best >= tau), TAUS[-1])


def ratio_bounds(numerator: float | None, denominator: float | None, budget: int, interval: int) -> tuple[float, float]:
    """Bounds of a ratio of two epochs, where None means later than `budget`.

    Evaluations lie `interval` epochs apart, and a network may generalize before any training, at epoch 0: each epoch
    counts as at least `interval`. Two known epochs give equal bounds, two censored ones (0, inf).
    """
    top = (budget, np.inf) if numerator is None else (max(numerator, interval),) * 2
    bottom = (budget, np.inf) if denominator is None else (max(denominator, interval),) * 2
    return float(top[0] / bottom[1]), float(top[1] / bottom[0])


def later(one: int | None, other: int | None) -> bool | None:
    """Whether epoch `one` comes after `other`; None is later than the budget, so two of them are undecided."""
    if one is None or other is None:
        return None if one is other else one is None
    return one > other


def fully_generalizes(record: Record, base: Record, level: float = 0.99) -> bool:
    """Test accuracy at the end of at least `level`, or no further below the same seed's base than `level` is below 1."""
    return final(record) >= min(level, final(base) - round(1 - level, 9))
