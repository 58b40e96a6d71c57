"""Arms: the kinds of network that chapters compare, each with a label, a colour, and how its run comes from the base.

An arm is a name and, in a family such as the tickets of several pruning rates, a value. To compare a new start, enter its
arm in `ARMS`: figures, tables, claims.yml and the lists of runs in lib/experiments/chapters.py take it from there.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lib.analysis.progress import phase_ends
from lib.analysis.times import Record, own_generalization_epoch
from lib.experiments.parameters import Parameters, follow_up
from lib.train.runs import (
    DeadNeurons,
    Dense,
    EdgePopup,
    Edited,
    Redense,
    Rescaled,
    Run,
    Scored,
    Shuffled,
    Start,
    Ticket,
)

NO_DECAY: dict[str, Any] = {"weight_decay": 0.0}
FAST: dict[str, Any] = {"learning_rate": 0.01}  # of edge-popup's scores, as in the authors' scripts
SLOW: dict[str, Any] = {"learning_rate": 0.001}  # the same
SCORING = ("W_Q", "W_K")  # the matrices of attention's scores: without them, attention is uniform
SWITCHED_OFF_AT = {"MLP": 0.99, "Transformer": 0.9}  # test accuracy at which weight decay ends, by model

# (base run, parameters, value of the arm) -> start
Making = Callable[[Run, Parameters, float | None], Start]


class ArmKind(NamedTuple):
    """What arms of one name have in common: label ({} takes the value), colour, and how their runs are made."""

    label: str
    colour: str
    make: Making
    optimizer: Mapping[str, Any] = {}  # settings of the base's that change
    switched_off: bool = False  # weight decay ends at SWITCHED_OFF_AT
    seed_offset: int = 0  # added to the seed of the initial weights
    of_t_gen: bool = False  # the value is a multiple of the base's own t_gen; `make` takes the epoch
    phase: str = ""  # at whose end in the base it is cut (lib/analysis/progress.py); `make` takes the epoch


def ticket_start(
    base: Run, parameters: Parameters, *, epoch: float | None = None, rate: float | None = None, rewound: bool = True
) -> Ticket:
    """The mask of a base run, at the profile's epoch (as a share of the budget, where that is another) and rate unless told."""
    return Ticket(
        base=base,
        epoch=parameters.ticket_epoch * base.epochs // parameters.epochs if epoch is None else int(epoch),
        rate=parameters.pruning_rate if rate is None else rate,
        rewound=rewound,
    )


def _dense(base: Run, parameters: Parameters, value: float | None) -> Start:
    return Dense()


def _ticket(by: str | None = None) -> Making:
    return lambda base, p, value: ticket_start(base, p, **({by: value} if by else {}))  # type: ignore[arg-type]


def _phase(phase: str, label: str, colour: str, **optimizer: object) -> ArmKind:
    """The kind of a ticket of the follow-up, cut where a phase of its base ends."""

    def make(base: Run, parameters: Parameters, epoch: float | None) -> Start:
        return ticket_start(base, parameters, epoch=epoch, rate=follow_up(parameters).pruning_rate)

    return ArmKind(label, colour, make, optimizer, phase=phase)


def _rescaled(norm: str, over: str, without: tuple[str, ...] = ()) -> Making:
    return lambda base, p, rate: Rescaled(
        ticket=ticket_start(base, p, rate=rate), norm=norm, over=over, without=without
    )


def _scored(method: str, rounds: int = 1, trained: bool = False, first: tuple[str, ...] = ()) -> Making:
    return lambda base, p, rate: Scored(
        method=method,
        rate=p.pruning_rate if rate is None else rate,
        rounds=rounds,
        trained=ticket_start(base, p) if trained else None,
        first=first,
    )


def _edited(of: Making, **changes: tuple[str, ...]) -> Making:
    return lambda base, p, value: Edited(of=of(base, p, value), **changes)


def _shuffled(keep: str) -> Making:
    return lambda base, p, value: Shuffled(ticket=ticket_start(base, p), keep=keep)


def _popup(trained: bool = True) -> Making:
    """Weights after a thirtieth of the budget (epoch 1,000 of 30,000, as in the authors' scripts), or untrained ones."""
    return lambda base, p, value: EdgePopup(base=base, epoch=base.epochs // 30 if trained else 0, rate=p.pruning_rate)


def _dead(revive: bool) -> Making:
    return lambda base, p, value: DeadNeurons(ticket=ticket_start(base, p), revive=revive, threshold=value)


SHUFFLED = "#DDCC77"  # of masks whose edges are moved
# Colours that differ for readers with colour-vision deficiency too (Okabe & Ito; Tol); base and ticket as in the paper.
ARMS: dict[str, ArmKind] = {
    "base": ArmKind("base (dense)", "#0072B2", _dense),
    "ticket": ArmKind("ticket", "#009E73", _ticket()),
    "rate": ArmKind("ticket, rate {:g}", "#009E73", _ticket("rate")),
    "epoch": ArmKind("ticket of epoch {:,g}", "#009E73", _ticket("epoch")),
    "moment": ArmKind("ticket of {:g} t_gen", "#009E73", _ticket("epoch"), of_t_gen=True),
    "un-rewound": ArmKind(
        "pruned, not rewound",
        "#2F4B7C",
        lambda base, p, value: ticket_start(base, p, epoch=base.epochs, rewound=False),
    ),
    "l2-matrices": ArmKind("dense, ticket's L2", "#E69F00", _rescaled("l2", "matrices")),
    "l1-matrices": ArmKind("dense, ticket's L1", "#D55E00", _rescaled("l1", "matrices")),
    "l2-all": ArmKind("dense, ticket's L2 (all weights)", "#B87A00", _rescaled("l2", "all")),
    "l1-all": ArmKind("dense, ticket's L1 (all weights)", "#8C3B00", _rescaled("l1", "all")),
    "l2-rate": ArmKind("dense, L2 of the ticket of rate {:g}", "#E69F00", _rescaled("l2", "matrices")),
    "l1-rate": ArmKind("dense, L1 of the ticket of rate {:g}", "#D55E00", _rescaled("l1", "matrices")),
    "base-no-decay": ArmKind("dense, no weight decay", "#4D4D4D", _dense, NO_DECAY),
    "ticket-no-decay": ArmKind("ticket, no weight decay", "#AA3377", _ticket(), NO_DECAY),
    "rate-no-decay": ArmKind("ticket, rate {:g}, no weight decay", "#AA3377", _ticket("rate"), NO_DECAY),
    "base-switched-off": ArmKind("base, decay switched off", "#88CCEE", _dense, switched_off=True),
    "ticket-switched-off": ArmKind("ticket, decay switched off", "#117733", _ticket(), switched_off=True),
    "random": ArmKind("random", "#888888", _scored("random")),
    "random-rate": ArmKind("random, rate {:g}", "#888888", _scored("random")),
    "snip": ArmKind("SNIP", "#CC79A7", _scored("snip")),
    "grasp": ArmKind("GraSP", "#882255", _scored("grasp")),
    "synflow": ArmKind("SynFlow", "#56B4E9", _scored("synflow")),
    "synflow-100": ArmKind("SynFlow, 100 rounds", "#332288", _scored("synflow", 100)),
    "snip-trained": ArmKind("SNIP, trained network", "#E8A6C8", _scored("snip", trained=True)),
    "grasp-trained": ArmKind("GraSP, trained network", "#B05A74", _scored("grasp", trained=True)),
    "synflow-trained": ArmKind("SynFlow, trained network", "#6A5ACD", _scored("synflow", trained=True)),
    "re-dense": ArmKind("re-dense", "#999933", lambda base, p, value: Redense(ticket=ticket_start(base, p))),
    "kill": ArmKind("kill only, threshold {:g}", "#661100", _dead(revive=False)),
    "revive": ArmKind("revive, threshold {:g}", "#7E57C2", _dead(revive=True)),
    "new-weights": ArmKind("ticket's mask, new weights", "#AA4499", _ticket(), seed_offset=1000),
    "edge-popup": ArmKind("edge-popup", "#DC267F", _popup(), FAST),
    "edge-popup-slow": ArmKind("edge-popup, slow", "#FE6100", _popup(), SLOW),
    "edge-popup-slow-no-decay": ArmKind("edge-popup, slow, no weight decay", "#785EF0", _popup(), SLOW | NO_DECAY),
    "edge-popup-untrained": ArmKind("edge-popup, untrained weights", "#A0A0A0", _popup(trained=False), FAST),
    "uniform": ArmKind("dense, uniform attention", "#3A8FB7", _edited(_dense, without=SCORING)),
    "random-uniform": ArmKind("random, uniform attention", "#5A5A5A", _scored("random", first=SCORING)),
    "l2-uniform": ArmKind("dense, uniform attention, ticket's L2", "#F0C060", _rescaled("l2", "matrices", SCORING)),
    "l1-uniform": ArmKind("dense, uniform attention, ticket's L1", "#E08A50", _rescaled("l1", "matrices", SCORING)),
    "ticket-attention": ArmKind("ticket, attention given back", "#66C2A5", _edited(_ticket(), whole=SCORING)),
    "shuffled": ArmKind("ticket's mask, shuffled by matrix", SHUFFLED, _shuffled("matrix")),
    "memorization": _phase("memorization", "memorization ticket", "#C44E52"),
    "circuit-formation": _phase("circuit_formation", "circuit-formation ticket", "#8172B3"),
    "cleanup": _phase("cleanup", "cleanup ticket", "#2E8B57"),
    "memorization-no-decay": _phase("memorization", "memorization ticket, no weight decay", "#E7A6A8", **NO_DECAY),
    "circuit-formation-no-decay": _phase(
        "circuit_formation", "circuit-formation ticket, no weight decay", "#B9AFD9", **NO_DECAY
    ),
    "cleanup-no-decay": _phase("cleanup", "cleanup ticket, no weight decay", "#8FCFAE", **NO_DECAY),
    "shuffled-degrees": ArmKind("ticket's mask, shuffled, degrees kept", "#B8A23A", _shuffled("neuron")),
}


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
    def kind(self) -> str:
        """The arm in words, or its family where it has a value."""
        return re.sub(r"{.*?}", "…", ARMS[self.name].label)

    @property
    def colour(self) -> str:
        """Its colour throughout the book."""
        return ARMS[self.name].colour

    @property
    def needs_base(self) -> bool:
        """Whether its run is only known once the base has been trained."""
        return ARMS[self.name].of_t_gen or bool(ARMS[self.name].phase)

    def own_epoch(self, base: Record) -> int | None:
        """Of the base's record, for `run`: its t_gen, or the end of a phase; None where the record does not hold that."""
        if ARMS[self.name].of_t_gen:
            return own_generalization_epoch(base)
        return None if base.probes is None else getattr(phase_ends(base), ARMS[self.name].phase)

    def run(self, base: Run, parameters: Parameters, epoch: int | None = None) -> Run:
        """The arm's run beside a base run: same task, model, epochs and seed. epoch: `own_epoch`, where the arm needs it."""
        kind, value = ARMS[self.name], self.value
        if kind.of_t_gen:
            value = min(round(value * epoch), base.epochs)
        elif kind.phase:
            value = epoch
        changed = dict(kind.optimizer)
        if kind.switched_off:
            changed["decay_until"] = SWITCHED_OFF_AT[type(base.model).__name__]
        return dataclasses.replace(
            base,
            start=kind.make(base, parameters, value),
            optimizer=dataclasses.replace(base.optimizer, **changed),  # type: ignore[type-var]
            seed=base.seed + kind.seed_offset,
        )


def arm(where: Any) -> Arm:
    """An arm from its name, or from name and value as claims.yml writes them: "ticket", ["kill", 0.05]."""
    return where if isinstance(where, Arm) else Arm(where) if isinstance(where, str) else Arm(*where)


def family(name: str, values: Iterable[float]) -> tuple[Arm, ...]:
    """The arms of one name at several values."""
    return tuple(Arm(name, value) for value in values)
