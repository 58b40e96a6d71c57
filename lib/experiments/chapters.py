"""Which arms of which settings each chapter compares.

To add a chapter, enter it in `CHAPTERS`: training, `python -m lib status` and the verdicts follow.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lib.analysis.progress import PHASES
from lib.analysis.times import Record
from lib.experiments.arms import ARMS, Arm, family
from lib.experiments.comparison import Comparison, Versions, compare
from lib.experiments.parameters import RECORDED, Parameters, follow_up
from lib.experiments.settings import MODELS, ROUNDINGS, SETTINGS, TASKS
from lib.records.store import Status, Store
from lib.train import images
from lib.train.runs import Run

GRID = 15  # tickets are cut at so many epochs, evenly spaced up to the end
RATES = tuple(round(0.1 * i, 2) for i in range(1, 10))
FINE_RATES = tuple(round(0.05 * i, 2) for i in range(2, 19))  # the search for the critical rate
MOMENTS = (0.25, 0.5, 0.75, 0.9, 1, 1.25, 1.5)  # at which tickets are cut, in units of their base's own t_gen
THRESHOLDS = (0.01, 0.05, 0.2)  # of a dead neuron's norm, relative to the largest

EXPLORATORY = range(0, 5)  # seeds whose runs were there when the criteria were settled
CONFIRMATORY = range(5, 25)  # seeds that were trained afterwards, on which claims are judged
MISSING = Status("missing", "there is no store")
LEAST = 10  # confirmatory seeds of a setting; with fewer the exploratory ones are shown
LEAST_OF_LONG = 5  # the same, where runs are long

PAIR = (Arm("base"), Arm("ticket"))


def with_pair(*others: str) -> tuple[Arm, ...]:
    """Base, ticket and other arms that stand alone."""
    return PAIR + tuple(map(Arm, others))


@dataclass(frozen=True)
class Chapter:
    """settings: arms by the name of the setting, from the parameters. probed, masked: settings of whose runs the chapter reads
    what lib/analysis/probes.py keeps, and the masks, and of which arms (None: of all); exploratory, confirmatory: of how many
    seeds of each it is to have runs at least; least: confirmatory seeds of a setting from which on they are shown; enough: arms
    that such a seed must have, all unless told. No claim is judged in a chapter that tells some, as a family of arms may be
    shown in part."""

    settings: Callable[[Parameters], Mapping[str, Iterable[Arm]]]
    probed: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    masked: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    exploratory: int = len(EXPLORATORY)
    confirmatory: int = len(CONFIRMATORY)
    least: int = LEAST
    enough: tuple[Arm, ...] = ()

    def reads_probes(self, setting: str, one: Arm) -> bool:
        """Whether the chapter reads the probes of an arm."""
        return _includes(self.probed, setting, one)

    def reads_mask(self, setting: str, one: Arm) -> bool:
        """Whether the chapter reads the masks of an arm."""
        return _includes(self.masked, setting, one)


def _includes(arms: Mapping[str, tuple[str, ...] | None], setting: str, one: Arm) -> bool:
    names = arms.get(setting, ())
    return names is None or one.name in names


def both(*arms: Arm) -> Callable[[Parameters], Mapping[str, Iterable[Arm]]]:
    """The same arms of the MLP and the transformer."""
    return lambda parameters: dict.fromkeys(MODELS, arms)


def ticket_epochs(parameters: Parameters) -> list[int]:
    """The epochs at which tickets are cut: 2,000, 4,000, ..., 30,000 at the paper's scale."""
    return [parameters.epochs * i // GRID for i in range(1, GRID + 1)]


def by_epoch(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """Section 4.2, D.1: tickets from a grid of epochs, and from multiples of their base's own t_gen."""
    return both(*PAIR, *family("epoch", ticket_epochs(parameters)), *family("moment", MOMENTS))(parameters)


def grid_of_epochs(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """App. H: masks from the same grid of epochs."""
    return both(*PAIR, *family("epoch", ticket_epochs(parameters)))(parameters)


CONTROLS = with_pair("l2-matrices", "l1-matrices", "random", "re-dense")  # each has something of the ticket
IMAGE_CONTROLS = (*CONTROLS, Arm("base-no-decay"), Arm("ticket-no-decay"))


def image_settings(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """App. A.1, with the controls of sections 5.1 and 5.2 and App. I that apply to an image classifier."""
    if images.find(parameters.images) == images.DIGITS:
        return {"mnist-mlp/digits": IMAGE_CONTROLS}
    return {"mnist-mlp": IMAGE_CONTROLS, "mnist-mlp/digits": PAIR, "mnist-mlp/four-matrices": PAIR}


IMAGE_RATES = (0.7, 0.8, 0.9, 0.95)  # beside the profile's, 0.6


def image_rates(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """What the time to generalization of an image classifier follows: rates of tickets, of random masks and of dense networks
    with the tickets' norms, and a pruned network that is not rewound (the authors' configuration for MNIST)."""
    families = ("rate", "random-rate", "l2-rate", "l1-rate")
    arms = (*CONTROLS, Arm("un-rewound"))
    rates = IMAGE_RATES if parameters.is_paper else IMAGE_RATES[1:2]
    [name, *_] = image_settings(parameters)
    return {name: arms + tuple(one for name in families for one in family(name, rates))}


ATTENTION = with_pair("uniform", "random-uniform", "ticket-attention", "shuffled", "shuffled-degrees")
ATTENTION_IN = (
    "transformer",
    "transformer/a-b",
    "transformer/a*b",
    "transformer/a^2+b^2",
    "transformer-4-heads",
    "transformer/text",
)
SWITCHED_OFF = with_pair("base-no-decay", "base-switched-off", "ticket-switched-off")
BEFORE_TRAINING = ("random", "snip", "grasp", "synflow", "synflow-100")
AFTER_TRAINING = ("snip-trained", "grasp-trained", "synflow-trained")
POPUPS = ("edge-popup", "edge-popup-slow", "edge-popup-slow-no-decay", "edge-popup-untrained")
DEVIATING = (
    "mlp/ordered",
    "transformer/ordered",
    "transformer/width-500",
    "transformer/positions",
    "transformer/biases",
    "transformer/text",
)

WITHOUT_DECAY = tuple(f"{name}-no-decay" for name in ("base", *PHASES))
PHASE_TICKETS = tuple(map(Arm, ("base", *PHASES)))


def follow_up_controls(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """Beside the follow-up's tickets: a random mask of their rate, and base and tickets without weight decay."""
    random = Arm("random-rate", follow_up(parameters).pruning_rate)
    return {"nanda-transformer": (*PHASE_TICKETS, random, *map(Arm, WITHOUT_DECAY))}


NANDA_WIDTHS = ("nanda-transformer/hidden-128", "nanda-transformer/hidden-256")

CHAPTERS: dict[str, Chapter] = {
    "typical-grokking": Chapter(
        lambda parameters: dict.fromkeys((*MODELS, "mlp/long"), (Arm("base"),)),
    ),
    "main-results": Chapter(
        lambda parameters: {"mlp": with_pair("new-weights"), "transformer": with_pair("new-weights", "uniform")}
    ),
    "attention": Chapter(
        lambda parameters: dict.fromkeys(ATTENTION_IN, ATTENTION),
        masked={"transformer": ("ticket", "random-uniform", "ticket-attention"), "transformer/text": ("ticket",)},
        confirmatory=LEAST,
        enough=PAIR,
    ),
    "ticket-epochs": Chapter(by_epoch, confirmatory=LEAST),
    "pruning-rate": Chapter(both(*PAIR, *family("rate", RATES)), confirmatory=LEAST),
    "weight-norm": Chapter(
        lambda parameters: {
            "mlp": with_pair("l2-matrices", "l1-matrices", "l2-all", "l1-all"),
            "transformer": with_pair("l2-matrices", "l1-matrices", "l2-all", "l1-all", "l2-uniform", "l1-uniform"),
        },
        masked=dict.fromkeys(MODELS),
    ),
    "no-weight-decay": Chapter(both(*SWITCHED_OFF, *family("rate-no-decay", FINE_RATES)), confirmatory=LEAST),
    "pruning-at-init": Chapter(
        lambda parameters: {
            "mlp": with_pair(*BEFORE_TRAINING, *AFTER_TRAINING),
            "transformer": with_pair(*BEFORE_TRAINING, "random-uniform", *AFTER_TRAINING),
        },
        masked=dict.fromkeys(MODELS),
    ),
    "edge-popup": Chapter(
        lambda parameters: {"mlp": with_pair("base-no-decay", *POPUPS)},
        masked={"mlp": None},
    ),
    "re-dense": Chapter(
        lambda parameters: {"mlp": with_pair("re-dense"), "transformer": with_pair("re-dense", "uniform")}
    ),
    "dead-neurons": Chapter(
        lambda parameters: {"mlp": PAIR + tuple(Arm(name, t) for t in THRESHOLDS for name in ("kill", "revive"))},
        masked={"mlp": None},
    ),
    "tasks": Chapter(
        lambda parameters: (
            {
                f"{model}/{task}": with_pair("uniform") if model == "transformer" else PAIR
                for model in MODELS
                for task in TASKS
            }
            | {"transformer/a-b-long": with_pair("uniform")}
        )
    ),
    "architectures": Chapter(
        lambda parameters: dict.fromkeys(
            ("mlp-deep", "transformer-4-heads", "mlp-deep/long", "transformer-4-heads/long"), PAIR
        )
    ),
    "mnist": Chapter(
        image_settings,
        probed=dict.fromkeys(("mnist-mlp", "mnist-mlp/digits"), ("base", "ticket")),
        masked=dict.fromkeys(("mnist-mlp", "mnist-mlp/digits")),
        confirmatory=LEAST,
    ),
    "mnist-norm": Chapter(image_rates, confirmatory=LEAST, enough=CONTROLS),
    "stability": Chapter(
        lambda parameters: {
            f"{model}{replica}": CONTROLS
            for model in MODELS
            for replica in ("", *(f"/rounding-{i}" for i in ROUNDINGS))
        },
        confirmatory=LEAST_OF_LONG,
        least=LEAST_OF_LONG,
    ),
    "deviations": Chapter(
        lambda parameters: dict.fromkeys(MODELS, with_pair("new-weights")) | dict.fromkeys(DEVIATING, PAIR),
        confirmatory=LEAST,
    ),
    "representations": Chapter(both(*PAIR), probed=dict.fromkeys(MODELS), confirmatory=LEAST),
    "progress-measures": Chapter(
        lambda parameters: {"nanda-transformer": PHASE_TICKETS, "mlp": PAIR[:1]},
        probed=dict.fromkeys(("nanda-transformer", "mlp")),
        exploratory=3,
        confirmatory=LEAST,
        least=LEAST_OF_LONG,
    ),
    "phase-controls": Chapter(
        follow_up_controls,
        probed=dict.fromkeys(("nanda-transformer",)),
        exploratory=3,
        confirmatory=LEAST,
        least=LEAST_OF_LONG,
    ),
    "learning-coefficient": Chapter(
        lambda parameters: {
            "nanda-transformer": PHASE_TICKETS,
            **dict.fromkeys(NANDA_WIDTHS, PAIR[:1]),
        },
        probed=dict.fromkeys(("nanda-transformer", *NANDA_WIDTHS)),
        exploratory=3,
        confirmatory=LEAST,
        least=LEAST_OF_LONG,
    ),
    "structure": Chapter(grid_of_epochs, masked=dict.fromkeys(MODELS), confirmatory=LEAST),
}


@dataclass(frozen=True)
class Wanted:
    """The runs of some chapters with some parameters. by_arm: chapter -> setting -> arm -> runs in the order of seeds.

    store: where records are looked for, if anywhere; whole: of the seeds "recorded", all that the book is to have and not those that are there;
    settings: only these, if any are named.
    """

    chapters: tuple[str, ...]
    parameters: Parameters
    store: Store | None
    whole: bool = False
    settings: frozenset[str] = frozenset()
    # What the store has answered.
    _confirmed_seeds: dict[tuple[str, str, tuple[Arm, ...]], list[int]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _epochs: dict[tuple[str, Run], int | None] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def by_arm(self) -> dict[str, dict[str, dict[Arm, list[Run]]]]:
        """Runs by chapter, setting and arm. An arm that needs its base lacks the seeds whose base is not recorded."""
        return {chapter: self._by_setting(chapter) for chapter in self.chapters}

    def only(self, seeds: Iterable[int]) -> "Wanted":
        """The same of other seeds."""
        return dataclasses.replace(self, parameters=self.parameters.model_copy(update={"seeds": list(seeds)}))

    def _by_setting(self, chapter: str) -> dict[str, dict[Arm, list[Run]]]:
        settings = [
            setting
            for setting in CHAPTERS[chapter].settings(self.parameters)
            if not self.settings or setting in self.settings
        ]
        if self.parameters.seeds == RECORDED and not self.whole:
            found = {setting: self._recorded(chapter, setting) for setting in settings}
            if any(found.values()):
                return {setting: arms for setting, arms in found.items() if arms}
        return {setting: self._runs(chapter, setting, self._seeds(chapter, setting)) for setting in settings}

    def _seeds(self, chapter: str, setting: str) -> Sequence[int]:
        """The seeds as told; of the recorded ones, where none is, the exploratory. Of the whole also the confirmatory seeds that are
        recorded, and then the first others, as many as it is to have."""
        if not isinstance(self.parameters.seeds, str):
            return self.parameters.seeds
        exploratory = EXPLORATORY[: CHAPTERS[chapter].exploratory]
        if not self.whole:
            return exploratory
        there = self.confirmed(chapter, setting)
        others = [seed for seed in CONFIRMATORY if seed not in there]
        return [*exploratory, *sorted(there + others[: max(CHAPTERS[chapter].confirmatory - len(there), 0)])]

    def _recorded(self, chapter: str, setting: str) -> dict[Arm, list[Run]]:
        """All arms of the confirmatory seeds that have them, if there are enough; else those that all exploratory seeds have."""
        seeds = self._shown(chapter, setting) or EXPLORATORY[: CHAPTERS[chapter].exploratory]
        found = self._recorded_arms(chapter, setting, seeds)
        return found if Arm("base") in found else {}

    def _recorded_arms(
        self, chapter: str, setting: str, seeds: Sequence[int], *, whole: bool = True
    ) -> dict[Arm, list[Run]]:
        """The arms that all of these seeds have; whole: with the probes and masks that are wanted."""

        def is_recorded(one: Arm, run: Run) -> bool:
            found = self.store.status(run) if self.store else MISSING
            of = CHAPTERS[chapter]
            probed, masked = of.reads_probes(setting, one), of.reads_mask(setting, one)
            kept = (found.has_probes or not probed) and (found.has_mask or not masked)
            return found.is_there and (kept or not whole)

        return {
            one: runs
            for one, runs in self._runs(chapter, setting, seeds).items()
            if len(runs) == len(seeds) and all(is_recorded(one, run) for run in runs)
        }

    def exploratory(self, chapter: str) -> dict[str, dict[Arm, list[Run]]]:
        """Runs of the exploratory seeds by setting and arm, those that are recorded, with a mask or without; of the seeds "recorded" alone."""
        if self.parameters.seeds != RECORDED or self.store is None:
            return {}
        seeds = EXPLORATORY[: CHAPTERS[chapter].exploratory]
        settings = CHAPTERS[chapter].settings(self.parameters)
        found = {setting: self._recorded_arms(chapter, setting, seeds, whole=False) for setting in settings}
        return {setting: arms for setting, arms in found.items() if Arm("base") in arms}

    def confirmed(self, chapter: str, setting: str) -> list[int]:
        """The confirmatory seeds of which all arms are recorded."""
        return self._confirmed(chapter, setting, tuple(CHAPTERS[chapter].settings(self.parameters)[setting]))

    def _shown(self, chapter: str, setting: str) -> list[int]:
        """The confirmatory seeds that are shown, none where they are too few."""
        found = self.confirmed(chapter, setting)
        if len(found) < CHAPTERS[chapter].least and CHAPTERS[chapter].enough:
            found = self._confirmed(chapter, setting, CHAPTERS[chapter].enough)
        return found if len(found) >= CHAPTERS[chapter].least else []

    def _confirmed(self, chapter: str, setting: str, arms: tuple[Arm, ...]) -> list[int]:
        """The confirmatory seeds of which these arms are recorded."""
        key = chapter, setting, arms
        if key not in self._confirmed_seeds:
            there = ((seed, self._recorded_arms(chapter, setting, [seed])) for seed in CONFIRMATORY)
            self._confirmed_seeds[key] = [seed for seed, found in there if set(arms) <= found.keys()]
        return self._confirmed_seeds[key]

    def _runs(self, chapter: str, setting: str, seeds: Iterable[int]) -> dict[Arm, list[Run]]:
        bases = [SETTINGS[setting].base(seed, self.parameters) for seed in seeds]
        out = {}
        for one in CHAPTERS[chapter].settings(self.parameters)[setting]:
            known = [(base, self._own_epoch(one, base) if one.needs_base else 0) for base in bases]
            out[one] = [one.run(base, self.parameters, epoch) for base, epoch in known if epoch is not None]
        return out

    def _own_epoch(self, one: Arm, base: Run) -> int | None:
        """What an arm needs to know of its base; None if that is not recorded."""
        if (one.name, base) not in self._epochs:
            record = self.store.load(base) if self.store else None
            self._epochs[one.name, base] = None if record is None else one.own_epoch(record)
        return self._epochs[one.name, base]

    @cached_property
    def pending(self) -> int:
        """How many runs are not known yet, because their base has to be trained first."""
        return sum(
            len(arms[Arm("base")]) - len(runs)
            for settings in self.by_arm.values()
            for arms in settings.values()
            for runs in arms.values()
        )

    @cached_property
    def runs(self) -> list[Run]:
        """All runs, each once."""
        return list(dict.fromkeys(run for _, _, _, runs in self._rows() for run in runs))

    @cached_property
    def probed(self) -> set[Run]:
        """Those whose probes are wanted."""
        rows = [row for row in self._rows() if CHAPTERS[row[0]].reads_probes(*row[1:3])]
        return {run for row in rows for run in self._looked_into(*row)}

    @cached_property
    def masked(self) -> set[Run]:
        """Those whose masks are wanted."""
        rows = [row for row in self._rows() if CHAPTERS[row[0]].reads_mask(*row[1:3])]
        return {run for row in rows for run in self._looked_into(*row)}

    def _looked_into(self, chapter: str, setting: str, one: Arm, runs: Sequence[Run]) -> Sequence[Run]:
        """The runs whose masks or probes somebody reads: not those of exploratory seeds once confirmatory ones are shown, but for
        bases that say where their tickets are cut."""
        says_where = one == Arm("base") and any(ARMS[other.name].phase for other in self.by_arm[chapter][setting])
        if self.whole and self.parameters.seeds == RECORDED and self._shown(chapter, setting) and not says_where:
            return [run for run in runs if run.task.seed not in EXPLORATORY]
        return runs

    def complete(self, versions: Versions) -> Versions:
        """The versions of a run that have the probes and the mask that are wanted of it."""
        return lambda run: {
            n: record
            for n, record in versions(run).items()
            if not lacks(record, probed=run in self.probed, masked=run in self.masked)
        }

    def comparisons(self, chapter: str, versions: Versions) -> dict[str, Comparison]:
        """What is recorded of a chapter, by setting."""
        return compare(self.by_arm[chapter], self.complete(versions))

    def _rows(self) -> Iterable[tuple[str, str, Arm, list[Run]]]:
        for chapter, settings in self.by_arm.items():
            for setting, arms in settings.items():
                for one, runs in arms.items():
                    yield chapter, setting, one, runs


def lacks(record: Record, *, probed: bool, masked: bool) -> bool:
    """Whether a record is without the probes or the mask that are wanted of it."""
    no_mask = record.provenance.get("masked") and record.mask is None
    return bool((probed and record.probes is None) or (masked and no_mask))


def until_known(wanted: Callable[[], Wanted], train: Callable[[Wanted], object]) -> Wanted:
    """Trains what is wanted, and again while runs become known by it, such as tickets cut at multiples of their base's t_gen."""
    while True:
        of = wanted()
        train(of)
        if not of.pending:
            return of


def wanted(
    parameters: Parameters,
    chapters: Iterable[str] | None = None,
    store: Store | None = None,
    *,
    whole: bool = False,
    settings: Iterable[str] = (),
) -> Wanted:
    """The runs of the chapters, all unless told; see `Wanted`."""
    chosen = CHAPTERS if chapters is None else chapters
    return Wanted(tuple(chosen), parameters, store, whole, frozenset(settings))
