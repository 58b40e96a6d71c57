"""Which arms of which settings each chapter compares.

To add a chapter, enter it in `CHAPTERS`: training, `python -m lib status` and the verdicts follow.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lib.analysis.times import Record
from lib.experiments.arms import Arm, family
from lib.experiments.comparison import Versions
from lib.experiments.parameters import Parameters
from lib.experiments.settings import MODELS, SETTINGS, TASKS
from lib.train import images
from lib.train.runs import Run

GRID = 15  # tickets are cut at so many epochs, evenly spaced up to the end
RATES = tuple(round(0.1 * i, 2) for i in range(1, 10))
FINE_RATES = tuple(round(0.05 * i, 2) for i in range(2, 19))  # the search for the critical rate
THRESHOLDS = (0.01, 0.05, 0.2)  # of a dead neuron's norm, relative to the largest

PAIR = (Arm("base"), Arm("ticket"))


def with_pair(*others: str) -> tuple[Arm, ...]:
    """Base, ticket and other arms that stand alone."""
    return PAIR + tuple(map(Arm, others))


@dataclass(frozen=True)
class Chapter:
    """settings: arms by the name of the setting, from the parameters. probed: names of arms whose runs keep what
    lib/analysis/probes.py says; masked: settings whose masks are read."""

    settings: Callable[[Parameters], Mapping[str, Iterable[Arm]]]
    probed: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()


def both(*arms: Arm) -> Callable[[Parameters], Mapping[str, Iterable[Arm]]]:
    """The same arms of the MLP and the transformer."""
    return lambda parameters: dict.fromkeys(MODELS, arms)


def ticket_epochs(parameters: Parameters) -> list[int]:
    """The epochs at which tickets are cut: 2,000, 4,000, ..., 30,000 at the paper's scale."""
    return [parameters.epochs * i // GRID for i in range(1, GRID + 1)]


def by_epoch(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """Section 4.2, D.1: tickets from a grid of epochs."""
    return both(*PAIR, *family("epoch", ticket_epochs(parameters)))(parameters)


IMAGE_CONTROLS = with_pair("l2-matrices", "l1-matrices", "random", "re-dense", "base-no-decay", "ticket-no-decay")


def image_settings(parameters: Parameters) -> Mapping[str, Iterable[Arm]]:
    """App. A.1, with the controls of sections 5.1 and 5.2 and App. I that apply to an image classifier."""
    if images.find(parameters.images) == images.DIGITS:
        return {"mnist-mlp/digits": IMAGE_CONTROLS}
    return {"mnist-mlp": IMAGE_CONTROLS, "mnist-mlp/digits": PAIR, "mnist-mlp/four-matrices": PAIR}


SWITCHED_OFF = with_pair("base-no-decay", "base-switched-off", "ticket-switched-off")
BEFORE_TRAINING = ("random", "snip", "grasp", "synflow", "synflow-100")
AFTER_TRAINING = ("snip-trained", "grasp-trained", "synflow-trained")
VARIANTS = (
    "mlp/ordered",
    "transformer/ordered",
    "transformer/width-500",
    "transformer/positions",
    "transformer/biases",
)

CHAPTERS: dict[str, Chapter] = {
    "typical-grokking": Chapter(both(Arm("base"))),
    "main-results": Chapter(both(*PAIR)),
    "ticket-epochs": Chapter(by_epoch),
    "pruning-rate": Chapter(both(*PAIR, *family("rate", RATES))),
    "weight-norm": Chapter(
        both(*with_pair("l2-matrices", "l1-matrices", "l2-all", "l1-all")), masked=("mlp", "transformer")
    ),
    "no-weight-decay": Chapter(both(*SWITCHED_OFF, *family("rate-no-decay", FINE_RATES))),
    "pruning-at-init": Chapter(both(*with_pair(*BEFORE_TRAINING, *AFTER_TRAINING)), masked=("mlp", "transformer")),
    "re-dense": Chapter(both(*with_pair("re-dense"))),
    "dead-neurons": Chapter(
        lambda parameters: {"mlp": PAIR + tuple(Arm(name, t) for t in THRESHOLDS for name in ("kill", "revive"))},
        masked=("mlp",),
    ),
    "tasks": Chapter(lambda parameters: {f"{model}/{task}": PAIR for model in MODELS for task in TASKS}),
    "architectures": Chapter(lambda parameters: {"mlp-deep": PAIR, "transformer-4-heads": PAIR}),
    "mnist": Chapter(image_settings, probed=("base", "ticket"), masked=("mnist-mlp", "mnist-mlp/digits")),
    "deviations": Chapter(
        lambda parameters: dict.fromkeys(MODELS, with_pair("new-weights")) | dict.fromkeys(VARIANTS, PAIR)
    ),
    "representations": Chapter(both(*PAIR), probed=("base", "ticket")),
    "structure": Chapter(by_epoch, masked=("mlp", "transformer")),
}


@dataclass(frozen=True)
class Wanted:
    """The runs of some chapters with some parameters. by_arm: chapter -> setting -> arm -> runs in the order of seeds."""

    chapters: tuple[str, ...]
    parameters: Parameters

    @cached_property
    def by_arm(self) -> dict[str, dict[str, dict[Arm, list[Run]]]]:
        """Runs by chapter, setting and arm."""
        return {name: self._of(name) for name in self.chapters}

    def _of(self, chapter: str) -> dict[str, dict[Arm, list[Run]]]:
        out = {}
        for name, arms in CHAPTERS[chapter].settings(self.parameters).items():
            bases = [SETTINGS[name].base(seed, self.parameters) for seed in self.parameters.seeds]
            out[name] = {one: [one.run(base, self.parameters) for base in bases] for one in arms}
        return out

    @cached_property
    def runs(self) -> list[Run]:
        """All runs, each once."""
        return list(dict.fromkeys(run for _, _, _, runs in self._rows() for run in runs))

    @cached_property
    def probed(self) -> set[Run]:
        """Those whose probes are wanted."""
        return {run for c, _, one, runs in self._rows() if one.name in CHAPTERS[c].probed for run in runs}

    @cached_property
    def masked(self) -> set[Run]:
        """Those whose masks are wanted."""
        return {run for c, setting, _, runs in self._rows() if setting in CHAPTERS[c].masked for run in runs}

    def complete(self, versions: Versions) -> Versions:
        """The versions of a run that have the probes and the mask that are wanted of it."""

        def lacks(run: Run, record: Record) -> bool:
            no_mask = record.provenance.get("masked") and record.mask is None
            return (run in self.probed and record.probes is None) or (run in self.masked and no_mask)

        return lambda run: {n: record for n, record in versions(run).items() if not lacks(run, record)}

    def _rows(self) -> Iterable[tuple[str, str, Arm, list[Run]]]:
        for chapter, settings in self.by_arm.items():
            for setting, arms in settings.items():
                for one, runs in arms.items():
                    yield chapter, setting, one, runs


def wanted(parameters: Parameters, chapters: Iterable[str] = CHAPTERS) -> Wanted:
    """The runs of the chapters."""
    return Wanted(tuple(chapters), parameters)
