"""Runs: a training trajectory as plain data, and its starting point.

Every experiment of the paper is the same training loop from a different `Start`: initial weights, a mask, and whether
the mask is held while training. A ticket's start names the run that it came from, so a run says all that made it.

To add a kind of start: write a frozen dataclass below with `needs` and `make`, and add it to `Start`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lib.models import MLP, Transformer
from lib.pruning import magnitude, pruned_count
from lib.tasks import ModularTask, generator

# Raised by hand whenever the trainer's arithmetic changes (tests/test_golden.py notices); every record is then out of
# date.
NUMERICS = 1

EVALUATE_EVERY = 100  # epochs between evaluations; part of what a record is

# (run, epoch) -> that run's weights [n] after so many epochs
WeightsOf = Callable[["Run", int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Full-batch AdamW, one step an epoch, no warm-up (the authors' code)."""

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.98
    weight_decay: float = 1.0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; it must be 0 or more")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"beta1, beta2 are {self.beta1}, {self.beta2}; both must lie in [0, 1)")


@dataclass(frozen=True)
class Dense:
    """The base: all initial weights, no mask."""

    def needs(self) -> list[tuple["Run", int]]:
        """The (run, epoch) whose weights `make` asks for."""
        return []

    def make(self, initial: np.ndarray, weights_of: WeightsOf) -> tuple[np.ndarray, np.ndarray | None]:
        """From the run's own initial weights [n]: the starting weights [n], and the mask [n] to hold, if any."""
        return initial, None


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """Magnitude mask of `base` at `epoch`, laid on the initial weights and held (section 4.1).

    With the base's own seed this is the rewound lottery ticket.
    """

    base: "Run"
    epoch: int
    rate: float

    def __post_init__(self) -> None:
        pruned_count(1, self.rate)  # checks the rate
        if not 0 <= self.epoch <= self.base.epochs:
            raise ValueError(f"ticket epoch is {self.epoch}; it must lie between 0 and the base's {self.base.epochs}")

    def needs(self) -> list[tuple["Run", int]]:
        """The base at the ticket's epoch."""
        return [(self.base, self.epoch)]

    def make(self, initial: np.ndarray, weights_of: WeightsOf) -> tuple[np.ndarray, np.ndarray | None]:
        """The masked initial weights, and the mask."""
        mask = magnitude(weights_of(self.base, self.epoch), self.rate)
        return initial * mask, mask


Start = Dense | Ticket


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training trajectory. `seed` draws the initial weights; the task has its own for the split."""

    task: ModularTask
    model: MLP | Transformer
    start: Start = Dense()
    optimizer: AdamW = AdamW()
    epochs: int = 30_000
    seed: int

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; it must be at least 1")

    def initial_weights(self) -> np.ndarray:
        """The run's own initial weights [n] float32, before any mask."""
        return self.model.initial(self.task.prime, generator(self.seed, "weights"))

    def canonical(self) -> str:
        """The run as JSON: equal runs give equal text."""
        return json.dumps(_plain(self), sort_keys=True, separators=(",", ":"))

    @property
    def key(self) -> str:
        """Where the run's record is kept: a hash of the run and of `NUMERICS`."""
        return hashlib.sha256(f"{NUMERICS} {self.canonical()}".encode()).hexdigest()[:20]

    @property
    def evaluated_epochs(self) -> np.ndarray:
        """Epochs of the record [T]: 0 (the start), every `EVALUATE_EVERY`, and the last."""
        return np.unique(np.append(np.arange(0, self.epochs, EVALUATE_EVERY), self.epochs))

    def __str__(self) -> str:
        start = type(self.start).__name__.lower()
        if isinstance(self.start, Ticket):
            start += f" (epoch {self.start.epoch}, rate {self.start.rate})"
        model = type(self.model).__name__
        return f"{model} {start} on {self.task.operation} mod {self.task.prime}, seed {self.seed}, {self.epochs} epochs"


def _plain(value: object) -> object:
    """Dataclasses as dicts that also name their class; all else as it is."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    return value
