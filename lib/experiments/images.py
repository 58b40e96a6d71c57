"""Digits in place of MNIST, where it cannot be had."""

from collections.abc import Iterable
from typing import Any

from lib.experiments.chapters import wanted
from lib.experiments.parameters import Parameters
from lib.records.plan import make_plan
from lib.records.store import Store
from lib.train import images

OF_IMAGES = ("mnist", "mnist-norm")  # the chapters on image classifiers


def with_images_at_hand(
    parameters: Parameters, store: Store, chapters: Iterable[str] | None = None
) -> tuple[Parameters, str]:
    """The parameters, with digits in place of MNIST where it must be trained on and cannot be had; a sentence on that."""
    asking = [name for name in OF_IMAGES if chapters is None or name in chapters]
    if not asking or images.find(parameters.images) != images.MNIST:
        return parameters, ""
    of_mnist = wanted(parameters, asking, store)
    levels = make_plan(of_mnist.runs, store, of_mnist.probed, of_mnist.masked)
    tasks: list[Any] = [job.run.task for level in levels for job in level]
    if not any(task.images == images.MNIST for task in tasks):
        return parameters, ""
    try:
        images.load(images.MNIST)
    except images.ImagesError as error:
        note = f"What follows is about {images.title(images.DIGITS)}: {error}."
        return parameters.model_copy(update={"images": "digits"}), note
    return parameters, ""
