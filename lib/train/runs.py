"""Runs: a training trajectory as plain data, and its starting point.

Every experiment of the paper is the same training loop from a different `Start`: initial weights, a mask, and whether
the mask is held while training. A ticket's start names the run that it came from, so a run says all that made it.

To add a start: write a frozen dataclass below with `needs` and `make`, and enter its arm in lib/experiments/arms.py.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from lib.train.models import MLP, AnswerTransformer, ImageMLP, Model, draw
from lib.train.optim import AdamW, Optimizer
from lib.train.pruning import KEEPS, SCORES, TopScores, magnitude, prune_by_score, pruned_count, random_mask_like
from lib.train.tasks import ImageTask, Task, generator

# Raised by hand whenever the trainer's arithmetic changes (tests/test_golden.py notices); records made before are then out
# of date.
NUMERICS = 3

# (run, epoch) -> that run's weights [n] after so many epochs
WeightsOf = Callable[["Run", int], np.ndarray]


class Origin(NamedTuple):
    """What a start makes: the trained parameters [n] (the weights, unless `to_weights` maps them), and the mask [n]
    (True = kept) to hold while training, if any."""

    trained: np.ndarray
    mask: np.ndarray | None = None
    to_weights: TopScores | None = None


class Start(Protocol):
    """Where a run begins: a frozen dataclass, part of what the run is."""

    def needs(self) -> list[tuple["Run", int]]:
        """The (run, epoch) whose weights `make` asks for."""

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """Where `run`, which has this start, begins."""


@dataclass(frozen=True)
class Dense:
    """The base: all initial weights, no mask."""

    def needs(self) -> list[tuple["Run", int]]:
        """The (run, epoch) whose weights `make` asks for."""
        return []

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """Where `run`, which has this start, begins."""
        return Origin(run.initial_weights())


@dataclass(frozen=True, kw_only=True)
class OfWeights:
    """What starts that leave out the share `rate` of the weights of `base` at `epoch` have in common."""

    base: "Run"
    epoch: int
    rate: float

    def __post_init__(self) -> None:
        pruned_count(1, self.rate)  # checks the rate
        if not 0 <= self.epoch <= self.base.epochs:
            raise ValueError(f"epoch is {self.epoch}; it must lie between 0 and the base's {self.base.epochs}")

    def needs(self) -> list[tuple["Run", int]]:
        """The base at the epoch."""
        return [(self.base, self.epoch)]


@dataclass(frozen=True, kw_only=True)
class Ticket(OfWeights):
    """Magnitude mask of `base` at `epoch`, laid on the run's initial weights and held (section 4.1).

    With the base's own seed this is the rewound lottery ticket; with another, its mask on a random re-initialisation.
    rewound: False keeps the base's weights at `epoch` in place of the initial ones.
    """

    rewound: bool = True

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The masked weights, and the mask."""
        weights = weights_of(self.base, self.epoch)
        mask = magnitude(weights, self.rate)
        return Origin((run.initial_weights() if self.rewound else weights) * mask, mask)


@dataclass(frozen=True, kw_only=True)
class OfTicket:
    """What starts that are made from a ticket have in common."""

    ticket: Ticket

    def needs(self) -> list[tuple["Run", int]]:
        """What the ticket needs."""
        return self.ticket.needs()


@dataclass(frozen=True, kw_only=True)
class Redense(OfTicket):
    """A ticket's masked initial weights, trained without the mask (App. I)."""

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The ticket's start without its mask."""
        return Origin(self.ticket.make(run, weights_of).trained)


@dataclass(frozen=True, kw_only=True)
class Rescaled(OfTicket):
    """All initial weights times one number, so that the dense network starts with a norm of the ticket (section 5.1).

    norm: "l1" or "l2". over: "all" weights together (the text), or "matrices": the mean of each matrix's norm, as the
    authors' code takes it. without: matrices that are zero, in the dense network too.
    """

    norm: str
    over: str
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value, known in (("norm", self.norm, ("l1", "l2")), ("over", self.over, ("all", "matrices"))):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; it must be {known[0]!r} or {known[1]!r}")

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The rescaled initial weights; a mask only of the matrices that are zero."""
        mask = ~matrices_mask(run, self.without)
        initial, masked = run.initial_weights() * mask, self.ticket.make(run, weights_of).trained
        parts = run.parts() if self.over == "matrices" else {"all": slice(None)}

        def total(weights: np.ndarray) -> float:
            """Sum over the parts, which has the ratio of their mean."""
            return sum(np.linalg.norm(weights[part].astype(float), int(self.norm[1])) for part in parts.values())  # type: ignore[misc]

        rescaled = (initial * (total(masked) / total(initial))).astype(np.float32)
        return Origin(rescaled, mask if self.without else None)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A mask from scores of the initial weights, before any training (section 5.2, App. B).

    method: "random", "snip", "grasp" or "synflow" (lib/train/pruning.py). rounds: prunes in so many steps with scores taken
    anew; the paper prunes in one, SynFlow's authors in 100. trained: scores the weights that this ticket's mask is cut
    from in place of the initial ones. first: matrices that are pruned before all others.
    """

    method: str
    rate: float
    rounds: int = 1
    trained: Ticket | None = None
    first: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pruned_count(1, self.rate)  # checks the rate
        if self.method not in SCORES:
            raise ValueError(f"method is {self.method!r}; it must be one of {', '.join(SCORES)}")
        if self.rounds < 1:
            raise ValueError(f"rounds is {self.rounds}; it must be at least 1")

    def needs(self) -> list[tuple["Run", int]]:
        """The trained weights, if it is those that are scored."""
        return self.trained.needs() if self.trained else []

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The masked initial weights, and the mask."""
        initial = run.initial_weights()
        scored = weights_of(self.trained.base, self.trained.epoch) if self.trained else initial
        gone = matrices_mask(run, self.first)

        def score(*of: Any) -> np.ndarray:
            return np.where(gone, -np.inf, SCORES[self.method](*of))

        mask = prune_by_score(score, run.model, run.task, scored, self.rate, self.rounds)
        return Origin(initial * mask, mask)


@dataclass(frozen=True, kw_only=True)
class EdgePopup(OfWeights):
    """The weights of `base` at `epoch`, an MLP's, held; trained are scores that choose which of them count (`TopScores`).

    rate: the share of each matrix that is left out. Scores start uniform between -1 and 1 over the root of the fan-in, as in
    the authors' code.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.base.model, MLP):
            raise ValueError(f"edge-popup is done on an MLP, not on {self.base.model}")

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The scores, and how they choose."""
        rng, parts = generator(run.seed, "scores"), run.parts()
        reach = run.model.deviations(run.task)  # of an MLP 1 / sqrt(fan_in)
        sizes = {name: part.stop - part.start for name, part in parts.items()}
        scores = [rng.uniform(-1, 1, size) * reach[name] for name, size in sizes.items()]
        kept = [size - pruned_count(size, self.rate) for size in sizes.values()]
        fixed = torch.from_numpy(weights_of(self.base, self.epoch))
        return Origin(np.concatenate(scores).astype(np.float32), None, TopScores(fixed, list(parts.values()), kept))


@dataclass(frozen=True, kw_only=True)
class Edited:
    """Another start of which whole matrices are taken away, and held at zero, or given back with their initial weights.

    Without W_Q and W_K the scores of the transformer are zero, so that all positions get the same attention.
    """

    of: Start
    without: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def needs(self) -> list[tuple["Run", int]]:
        """What the other start needs."""
        return self.of.needs()

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The other start's weights and mask, changed."""
        origin, gone, back = self.of.make(run, weights_of), *(matrices_mask(run, x) for x in (self.without, self.whole))
        mask = np.ones(len(gone), bool) if origin.mask is None else origin.mask
        return Origin(np.where(back, run.initial_weights(), origin.trained) * ~gone, (mask | back) & ~gone)


@dataclass(frozen=True, kw_only=True)
class Shuffled(OfTicket):
    """The ticket's mask with its edges moved at random, laid on the initial weights.

    keep: what stays the same, the number of edges in each "matrix" or at each "neuron" (lib/train/pruning.py).
    """

    keep: str

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise ValueError(f"keep is {self.keep!r}; it must be one of {', '.join(KEEPS)}")

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The masked initial weights, and the mask."""
        mask = random_mask_like(run, self.ticket.make(run, weights_of).mask, self.keep, run.seed)
        return Origin(run.initial_weights() * mask, mask)


def matrices_mask(run: "Run", names: Sequence[str]) -> np.ndarray:
    """Mask [n] of the weights of some matrices. Raises ValueError for one that the model does not have."""
    mask, parts = np.zeros(run.length, bool), run.parts()
    for name in names:
        if name not in parts:
            raise ValueError(f"there is no matrix {name!r}; the matrices of {run.model} are {', '.join(parts)}")
        mask[parts[name]] = True
    return mask


@dataclass(frozen=True, kw_only=True)
class DeadNeurons(OfTicket):
    """Changes the edges of dead neurons alone (App. J): `revive` gives them back to the ticket, else only they go.

    A hidden neuron of the MLP is dead if its row of W_in W_E, in the ticket's base at the ticket's epoch, has an L2 norm
    below `threshold` times the largest.
    """

    revive: bool
    threshold: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must lie between 0 and 1")
        if not isinstance(self.ticket.base.model, MLP) or self.ticket.base.model.hidden_layers > 1:
            raise ValueError(f"dead neurons are those of an MLP with one hidden layer, not of {self.ticket.base.model}")

    def make(self, run: "Run", weights_of: WeightsOf) -> Origin:
        """The masked initial weights, and the mask."""
        norms = input_norms(self.ticket.base, weights_of(self.ticket.base, self.ticket.epoch))
        edges = neuron_edges(run, norms < self.threshold * norms.max())
        mask = self.ticket.make(run, weights_of)[1] | edges if self.revive else ~edges
        return Origin(run.initial_weights() * mask, mask)


def input_norms(run: "Run", weights: np.ndarray) -> np.ndarray:
    """L2 norm of each hidden neuron's row of W_in W_E, from an MLP's weights [n]: [hidden]."""
    matrices = run.split(weights)
    return np.linalg.norm(matrices["W_E"] @ matrices["W_in"].T, axis=0)


def neuron_edges(run: "Run", neurons: np.ndarray) -> np.ndarray:
    """Mask [n] of the weights into and out of some hidden neurons [hidden] (bool) of an MLP."""
    edges = np.zeros(len(run.initial_weights()), bool)
    matrices = run.split(edges)  # views
    matrices["W_in"][neurons] = True
    matrices["W_out"][:, neurons] = True
    return edges


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training trajectory. `seed` draws the initial weights; the task has its own for the split.

    evaluate_every: epochs; early on it is evaluated more often, see `evaluated_epochs`. rounding: 0, or the number of a
    replica whose initial weights are one unit in the last place away, which tells what rounding decides.
    """

    task: Task
    model: Model
    start: Start = Dense()
    optimizer: Optimizer = AdamW()
    epochs: int = 30_000
    evaluate_every: int = 100
    seed: int
    rounding: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; it must be at least 1")
        if self.evaluate_every < 1:
            raise ValueError(f"evaluate_every is {self.evaluate_every}; it must be at least 1")
        if isinstance(self.task, ImageTask) != isinstance(self.model, ImageMLP):
            raise ValueError(f"{self.model} cannot learn {self.task}: an ImageMLP takes images, all others pairs")
        if (self.task.length == 3) != isinstance(self.model, AnswerTransformer):
            raise ValueError(
                f"{self.model} cannot learn {self.task}: an AnswerTransformer takes three tokens, no other"
            )

    def initial_weights(self) -> np.ndarray:
        """The run's own initial weights [n] float32, before any mask."""
        weights = draw(self.model, self.task, generator(self.seed, "weights"))
        if not self.rounding:
            return weights
        up = generator(self.seed, f"rounding {self.rounding}").random(len(weights)) < 0.5
        return np.where(weights == 0, weights, np.nextafter(weights, np.where(up, np.inf, -np.inf).astype(np.float32)))

    def parts(self) -> dict[str, slice]:
        """Where each matrix lies in the weights [n]."""
        ends = np.cumsum([0, *(rows * cols for rows, cols in self.model.shapes(self.task).values())]).tolist()
        cuts = itertools.pairwise(ends)
        return {name: slice(*cut) for name, cut in zip(self.model.shapes(self.task), cuts, strict=True)}

    @property
    def length(self) -> int:
        """How many weights there are, n."""
        return sum(rows * cols for rows, cols in self.model.shapes(self.task).values())

    def split(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weights or a mask [n] as matrices: name -> view [rows, cols]."""
        shapes = self.model.shapes(self.task)
        return {name: weights[part].reshape(shapes[name]) for name, part in self.parts().items()}

    @cached_property
    def canonical(self) -> str:
        """The run as JSON: equal runs give equal text."""
        return json.dumps(self._as_dict, sort_keys=True, separators=(",", ":"))

    @cached_property
    def _as_dict(self) -> dict[str, object]:
        """As `_plain` has it; made once, though many runs may start from this one."""
        return _fields(self)

    @cached_property
    def key(self) -> str:
        """Under which its record is kept: a hash of the run."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:20]

    @property
    def evaluated_epochs(self) -> np.ndarray:
        """Epochs of the record [T]: `deciding_epochs`, and ten times as many in the first fifteenth of the budget (2,000 of
        30,000), where fast arms generalize."""
        early = np.arange(0, self.epochs // 15, max(self.evaluate_every // 10, 1))
        return np.union1d(early, self.deciding_epochs)

    @property
    def deciding_epochs(self) -> np.ndarray:
        """Epochs after which the optimizer may change what it does: 0 (the start), every `evaluate_every`, and the last. Older
        records have no others."""
        return np.unique(np.append(np.arange(0, self.epochs, self.evaluate_every), self.epochs))

    def __str__(self) -> str:
        text = f"{_words(self.model)}, {_words(self.start)} on {self.task}"
        decay = _words(self.optimizer).removeprefix("AdamW")
        rounding = f", rounding {self.rounding}" if self.rounding else ""
        return f"{text}, seed {self.seed}{rounding}, {self.epochs} epochs{decay}"


def _words(value: Any) -> str:
    """A model, start or optimizer in short: its class, and every setting that is not the default."""
    changed = []
    for f in dataclasses.fields(value):
        x = getattr(value, f.name)
        if dataclasses.is_dataclass(x):
            changed += [_words(x)] if not isinstance(x, Run) else []
        elif x != f.default:
            changed.append(f"{f.name} {x}")
    return type(value).__name__ + (f" ({', '.join(changed)})" if changed else "")


def _plain(value: object) -> object:
    """Dataclasses as dicts that also name their class; all else as it is."""
    if isinstance(value, Run):
        return value._as_dict
    return _fields(value) if dataclasses.is_dataclass(value) else value


def _fields(value: Any) -> dict[str, object]:
    """A dataclass as a dict. Fields that have their default are left out, so that a field added later leaves the keys of earlier
    runs alone."""
    given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if getattr(value, f.name) != f.default}
    return {"kind": type(value).__name__, **{name: _plain(x) for name, x in given.items()}}
