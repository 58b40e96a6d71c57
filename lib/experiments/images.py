"""Digits in place of MNIST, where it cannot be had."""

from collections.abc import Collection, Iterable

from lib.experiments.chapters import CHAPTERS, wanted
from lib.experiments.parameters import Parameters
from lib.experiments.settings import SETTINGS
from lib.records.plan import make_plan
from lib.records.store import Store
from lib.train import images
from lib.train.runs import Run
from lib.train.tasks import ImageTask


def with_images_at_hand(
    parameters: Parameters, store: Store, chapters: Iterable[str] | None = None
) -> tuple[Parameters, str]:
    """The parameters, with digits in place of MNIST where it must be trained on and cannot be had; a sentence on that."""
    lacking, note = without_images(parameters, store, CHAPTERS if chapters is None else chapters)
    return with_digits(parameters) if lacking else parameters, note


def with_digits(parameters: Parameters) -> Parameters:
    """The parameters, with digits in place of MNIST."""
    return parameters.model_copy(update={"images": "digits"})


def without_images(
    parameters: Parameters,
    store: Store,
    chapters: Iterable[str],
    *,
    whole: bool = False,
    settings: Collection[str] = (),
    renew: bool = False,
) -> tuple[list[str], str]:
    """Those of the chapters that must train on MNIST where it cannot be had; a sentence on that, "" where there is none.

    whole, settings: as for `wanted`, renew: as for `make_plan`, as what is trained depends on them.
    """

    def must_train_on_mnist(chapter: str) -> bool:
        bases = (SETTINGS[name].base(0, parameters) for name in CHAPTERS[chapter].settings(parameters))
        if not any(map(_on_mnist, bases)):
            return False  # known without a look into the store
        of = wanted(parameters, [chapter], store, whole=whole, settings=settings)
        levels = make_plan(of.runs, store, of.probed, of.masked, renew=renew)
        return any(_on_mnist(job.run) for level in levels for job in level)

    lacking = [chapter for chapter in chapters if must_train_on_mnist(chapter)]
    if not lacking:
        return [], ""
    try:
        images.load(images.MNIST)
    except images.ImagesError as error:
        return lacking, f"What follows is about {images.title(images.DIGITS)}: {error}."
    return [], ""


def _on_mnist(run: Run) -> bool:
    return isinstance(run.task, ImageTask) and run.task.images == images.MNIST
