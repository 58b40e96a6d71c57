"""Arms: the kinds of network that chapters compare, each with a label, a colour, and how its run comes from the base.

An arm is a name and, in a family such as the tickets of several pruning rates, a value. To compare a new start, enter its
arm in `ARMS`: figures, tables, claims.yml and the lists of runs in lib/experiments/chapters.py take it from there.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lib.experiments.parameters import Parameters
from lib.train.runs import DeadNeurons, Dense, Redense, Rescaled, Run, Scored, Start, Ticket

NO_DECAY = {"weight_decay": 0.0}
SWITCHED_OFF_AT = {"MLP": 0.99, "Transformer": 0.9}  # test accuracy at which weight decay ends, by model

# (base run, parameters, value of the arm) -> start, and settings of the optimizer that change
Making = Callable[[Run, Parameters, float | None], tuple[Start, dict[str, object]]]


class ArmKind(NamedTuple):
    """What arms of one name have in common: label ({} takes the value), colour, and how their runs are made."""

    label: str
    colour: str
    make: Making
    seed_offset: int = 0  # added to the seed of the initial weights


def ticket_start(base: Run, parameters: Parameters, *, epoch: int | None = None, rate: float | None = None) -> Ticket:
    """The mask of a base run, at the profile's epoch and rate unless told."""
    return Ticket(
        base=base,
        epoch=parameters.ticket_epoch if epoch is None else int(epoch),
        rate=parameters.pruning_rate if rate is None else rate,
    )


def _dense(**optimizer: object) -> Making:
    return lambda base, parameters, value: (Dense(), optimizer)


def _ticket(by: str | None = None, **optimizer: object) -> Making:
    return lambda base, parameters, value: (
        ticket_start(base, parameters, **({by: value} if by else {})),
        optimizer,
    )


def _switched_off(start: Making) -> Making:
    def make(base: Run, parameters: Parameters, value: float | None) -> tuple[Start, dict[str, object]]:
        until = SWITCHED_OFF_AT[type(base.model).__name__]
        return start(base, parameters, value)[0], {"decay_until": until}

    return make


def _rescaled(norm: str, over: str) -> Making:
    return lambda base, p, value: (Rescaled(ticket=ticket_start(base, p), norm=norm, over=over), {})


def _scored(method: str, rounds: int = 1, trained: bool = False) -> Making:
    return lambda base, p, value: (
        Scored(method=method, rate=p.pruning_rate, rounds=rounds, trained=ticket_start(base, p) if trained else None),
        {},
    )


def _dead(revive: bool) -> Making:
    return lambda base, p, value: (
        DeadNeurons(ticket=ticket_start(base, p), revive=revive, threshold=value),
        {},
    )


# Colours that differ for readers with colour-vision deficiency too (Okabe & Ito; Tol); base and ticket as in the paper.
ARMS: dict[str, ArmKind] = {
    "base": ArmKind("base (dense)", "#0072B2", _dense()),
    "ticket": ArmKind("ticket", "#009E73", _ticket()),
    "rate": ArmKind("ticket, rate {:g}", "#009E73", _ticket("rate")),
    "epoch": ArmKind("ticket of epoch {:,g}", "#009E73", _ticket("epoch")),
    "l2-matrices": ArmKind("dense, ticket's L2", "#E69F00", _rescaled("l2", "matrices")),
    "l1-matrices": ArmKind("dense, ticket's L1", "#D55E00", _rescaled("l1", "matrices")),
    "l2-all": ArmKind("dense, ticket's L2 (all weights)", "#B87A00", _rescaled("l2", "all")),
    "l1-all": ArmKind("dense, ticket's L1 (all weights)", "#8C3B00", _rescaled("l1", "all")),
    "base-no-decay": ArmKind("dense, no weight decay", "#4D4D4D", _dense(**NO_DECAY)),
    "ticket-no-decay": ArmKind("ticket, no weight decay", "#AA3377", _ticket(**NO_DECAY)),
    "rate-no-decay": ArmKind("ticket, rate {:g}, no weight decay", "#AA3377", _ticket("rate", **NO_DECAY)),
    "base-switched-off": ArmKind("base, decay switched off", "#88CCEE", _switched_off(_dense())),
    "ticket-switched-off": ArmKind("ticket, decay switched off", "#117733", _switched_off(_ticket())),
    "random": ArmKind("random", "#888888", _scored("random")),
    "snip": ArmKind("SNIP", "#CC79A7", _scored("snip")),
    "grasp": ArmKind("GraSP", "#882255", _scored("grasp")),
    "synflow": ArmKind("SynFlow", "#56B4E9", _scored("synflow")),
    "synflow-100": ArmKind("SynFlow, 100 rounds", "#332288", _scored("synflow", 100)),
    "snip-trained": ArmKind("SNIP, trained network", "#E8A6C8", _scored("snip", trained=True)),
    "grasp-trained": ArmKind("GraSP, trained network", "#B05A74", _scored("grasp", trained=True)),
    "synflow-trained": ArmKind("SynFlow, trained network", "#6A5ACD", _scored("synflow", trained=True)),
    "re-dense": ArmKind("re-dense", "#999933", lambda b, p, value: (Redense(ticket=ticket_start(b, p)), {})),
    "kill": ArmKind("kill only, threshold {:g}", "#661100", _dead(revive=False)),
    "revive": ArmKind("revive, threshold {:g}", "#7E57C2", _dead(revive=True)),
    "new-weights": ArmKind("ticket's mask, new weights", "#AA4499", _ticket(), 1000),
}
SHUFFLED = "#DDCC77"  # a mask that is looked at and not trained


@dataclass(frozen=True)
class Arm:
    """One arm. value: its place in a family, such as a pruning rate; None for an arm that stands alone."""

    name: str
    value: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ARMS:
            raise ValueError(f"there is no arm {self.name!r}; the arms are {', '.join(ARMS)}")
        if ("{" in ARMS[self.name].label) != (self.value is not None):
            raise ValueError(f"arm {self.name!r} with value {self.value}: families have a value, other arms have none")

    @property
    def label(self) -> str:
        """The arm in words."""
        return ARMS[self.name].label.format(self.value)

    @property
    def colour(self) -> str:
        """Its colour throughout the book."""
        return ARMS[self.name].colour

    def run(self, base: Run, parameters: Parameters) -> Run:
        """The arm's run beside a base run: same task, model, epochs and seed."""
        kind = ARMS[self.name]
        start, changed = kind.make(base, parameters, self.value)
        optimizer = dataclasses.replace(base.optimizer, **changed)
        return dataclasses.replace(base, start=start, optimizer=optimizer, seed=base.seed + kind.seed_offset)


def arm(where: "Arm | str | Iterable[object]") -> Arm:
    """An arm from its name, or from name and value as claims.yml writes them: "ticket", ["kill", 0.05]."""
    return where if isinstance(where, Arm) else Arm(where) if isinstance(where, str) else Arm(*where)


def family(name: str, values: Iterable[float]) -> tuple[Arm, ...]:
    """The arms of one name at several values."""
    return tuple(Arm(name, value) for value in values)
