"""Comparisons: the records of one setting by arm, and what one seed of them shows."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lib.analysis.times import MeasureError, NoRecords, Record, best_accuracy, generalization_epoch, threshold
from lib.experiments.arms import Arm, arm
from lib.experiments.settings import SETTINGS
from lib.train.images import title
from lib.train.runs import Run
from lib.train.tasks import ImageTask


@dataclass(frozen=True)
class Comparison:
    """The records of a setting. arms: arm -> records [S], every arm in the same order of seeds.

    level: the test accuracy that counts as generalized; None: what the base runs say (lib/analysis/times.py, `threshold`).
    of_best: in place of it this share of the best test accuracy of the seed's own base.
    """

    name: str
    arms: dict[Arm, Sequence[Record]]
    level: float | None = None
    of_best: float | None = None

    def __post_init__(self) -> None:
        bases = self.arms.get(Arm("base"), ())
        seeds = [record.seed for record in bases]
        if not seeds or len(set(seeds)) < len(seeds):
            raise MeasureError(f"{self.name}: base records of different seeds are needed, not of {seeds}")
        for one, records in self.arms.items():
            if [record.seed for record in records] != seeds:
                raise MeasureError(f"{self.name}: the records of arm {one.label} are not of the base's seeds {seeds}")
            if any(not np.array_equal(record.epochs, bases[0].epochs) for record in records):
                raise MeasureError(
                    f"{self.name}: a record of arm {one.label} is evaluated at other epochs than the base"
                )

    def __getitem__(self, where: object) -> Sequence[Record]:
        """The records of an arm: `comparison["ticket"]`, `comparison["kill", 0.05]`. Raises NoRecords without it."""
        one = arm(where)
        if one not in self.arms:
            raise NoRecords(f"{self.name}: there are no records of arm {one.label}")
        return self.arms[one]

    def family(self, name: str) -> dict[float, Sequence[Record]]:
        """The arms of one name, by value in ascending order."""
        found = {one.value: records for one, records in self.arms.items() if one.name == name}
        return dict(sorted(found.items()))

    def only(self, *wanted: object) -> "Comparison":
        """These arms alone, in this order; the base stays, so that tau does too."""
        chosen = dict.fromkeys([Arm("base"), *map(arm, wanted)])
        return dataclasses.replace(self, arms={one: self[one] for one in chosen})

    @property
    def label(self) -> str:
        """The setting in words."""
        return SETTINGS[self.name].label

    @property
    def data(self) -> str:
        """What its networks are trained on, in a few words."""
        task = self["base"][0].run.task
        return title(task.images) if isinstance(task, ImageTask) else f"p = {task.prime}"

    @cached_property
    def tau(self) -> float:
        """The test accuracy that counts as generalized, from the base runs alone."""
        return threshold(self["base"]) if self.level is None else self.level

    @cached_property
    def taus(self) -> list[float]:
        """The same for each seed: all alike, but for `of_best`."""
        if self.of_best is None:
            return [self.tau] * len(self.seeds)
        return [self.of_best * best_accuracy(record) for record in self["base"]]

    def of_seeds(self, seeds: Iterable[int]) -> "Comparison":
        """The same of some of its seeds alone."""
        among = set(seeds)
        chosen = [i for i, seed in enumerate(self.seeds) if seed in among]
        return dataclasses.replace(self, arms={one: [records[i] for i in chosen] for one, records in self.arms.items()})

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the records."""
        return [record.seed for record in self["base"]]

    @property
    def epochs(self) -> np.ndarray:
        """Evaluated epochs [T] of all records."""
        return self["base"][0].epochs

    @property
    def budget(self) -> int:
        """Epochs of every run."""
        return int(self.epochs[-1])

    @property
    def usual_budget(self) -> float:
        """Epochs of runs with the profile's budget, of which this setting's may be a multiple."""
        return self.budget / SETTINGS[self.name].longer

    def t_gen(self, where: object) -> list[int | None]:
        """When each seed of an arm generalizes; None: never within the budget."""
        pairs = zip(self[where], self.taus, strict=True)
        return [generalization_epoch(record, tau) for record, tau in pairs]

    def one_by_one(self) -> "Iterator[OneSeed]":
        """The seeds, one at a time."""
        return (OneSeed(self, i) for i in range(len(self.seeds)))


@dataclass(frozen=True)
class OneSeed:
    """What a measure sees: the records of one seed."""

    comparison: Comparison
    index: int

    def __getitem__(self, where: object) -> Record:
        """This seed's record of an arm."""
        return self.comparison[where][self.index]

    def family(self, name: str) -> dict[float, Record]:
        """This seed's records of a family, by value in ascending order."""
        return {value: records[self.index] for value, records in self.comparison.family(name).items()}

    @property
    def seed(self) -> int:
        """The seed."""
        return self.comparison.seeds[self.index]

    @property
    def tau(self) -> float:
        """The test accuracy that counts as generalized."""
        return self.comparison.taus[self.index]

    def t_gen(self, where: object) -> int | None:
        """When an arm generalizes; None: never within the budget."""
        return generalization_epoch(self[where], self.tau)

    def scaled(self, epoch: float) -> float:
        """An epoch that is meant on the scale of the paper's 30,000 epochs, on that of the profile's budget."""
        return epoch * self.comparison.usual_budget / 30_000


Versions = Callable[[Run], Mapping[int, Record]]  # a run's records by the numerics of the trainer that made them


def compare(arms: dict[str, dict[Arm, list[Run]]], versions: Versions) -> dict[str, Comparison]:
    """Comparisons by setting, from runs by setting and arm; a setting of which a record is missing is left out.

    All records of a comparison are of one numerics, the newest that every run has: two trainings of one run round
    differently, and what parts a pair should be its arms alone. Only where there is none is each run's newest taken.
    Older records were evaluated less often early on: a comparison has the epochs that all of its records have.
    """
    out = {}
    for name, runs_of in arms.items():
        found = {run: versions(run) for runs in runs_of.values() for run in runs}
        if all(found.values()):
            common = set.intersection(*(set(records) for records in found.values()))
            best = {run: records[max(common or records)] for run, records in found.items()}
            epochs = functools.reduce(np.intersect1d, (record.epochs for record in best.values()))
            out[name] = Comparison(
                name, {one: [_at(best[run], epochs) for run in runs] for one, runs in runs_of.items()}
            )
    return out


def _at(record: Record, epochs: np.ndarray) -> Record:
    """A record at some of its epochs alone."""
    if len(epochs) == len(record.epochs):
        return record
    chosen = np.isin(record.epochs, epochs)
    metrics = {name: values[chosen] for name, values in record.metrics.items()}
    return dataclasses.replace(record, epochs=record.epochs[chosen], metrics=metrics)  # type: ignore[type-var]
