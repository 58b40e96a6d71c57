"""What several test modules share."""

import dataclasses
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from playwright.sync_api import Browser
from xdist.scheduler import LoadFileScheduling

from lib.experiments import settings
from lib.files import keys, read, write
from lib.records.store import Store
from lib.train import images
from lib.train.models import MLP, ImageMLP, Transformer
from lib.train.optim import AdamW
from lib.train.runs import Origin, Run, Ticket
from lib.train.tasks import ImageTask, ModularTask
from lib.train.trainer import Trained, train
from tools import build
from tools.browser import find_chromium, launch

# What every chapter's file begins with.
NOTEBOOK_HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
    jupytext_version: 1.19.6
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


class ByFile(LoadFileScheduling):
    """The tests of a file share a process, and so do all that look at executed chapters."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "chapters" if file.endswith(("test_book.py", "test_chapters.py", "test_figures.py")) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)


@dataclass(frozen=True)
class Executed:
    """The chapters after papermill: `source` holds the notebooks, `failures` says what went wrong where."""

    source: Path
    failures: dict[str, str]

    def notebook(self, chapter: str) -> Path:
        """The executed notebook of a chapter; fails where the chapter failed."""
        assert chapter not in self.failures, self.failures[chapter]
        return self.source / f"{chapter}.ipynb"


@pytest.fixture(scope="session")
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """The chapters that the chosen tests look at (for the book: all), each executed once at the smoke profile with a seed of its
    own, as the README shows for a re-run."""
    source = tmp_path_factory.mktemp("book") / "source"
    parameters = build.profile_parameters("smoke") | {"seeds": [7]}
    every = build.chapters()
    items = request.session.items
    chosen = {item.callspec.params.get("chapter") for item in items if hasattr(item, "callspec")}
    if not any("html" in item.fixturenames for item in items):
        every = [name for name in every if name in chosen]
    return Executed(source, build.execute_chapters(every, source, parameters))


# --- tiny runs: fractions of a second, for tests of what does not depend on size ---------------------------------------

TINY_MODELS = {"mlp": MLP(width=12, hidden=8), "transformer": Transformer(width=12, head_width=6, hidden=8)}


def tiny_run(model: str = "mlp", seed: int = 0, *, prime: int = 7, epochs: int = 230, **options: object) -> Run:
    """A dense run that trains in an instant."""
    task = ModularTask(prime=prime, train_fraction=0.6, seed=seed)
    return Run(task=task, model=TINY_MODELS[model], epochs=epochs, seed=seed, **options)


def tiny_image_run(
    seed: int = 0, *, train_count: int = 12, test_count: int = 20, epochs: int = 230, **options: object
) -> Run:
    """A dense image classifier of scikit-learn's digits that trains in an instant."""
    task = ImageTask(images=images.DIGITS, pixels=64, train_count=train_count, test_count=test_count, seed=seed)
    options = {"model": ImageMLP(width=8), "optimizer": AdamW(weight_decay=0.1)} | options
    return Run(task=task, epochs=epochs, seed=seed, **options)


def made_up_images(count: int, shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images [count, *shape], two pixels in three dark, and labels 0 to 9, both uint8."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (count, *shape)) * (rng.random((count, *shape)) < 1 / 3)
    return pixels.astype(np.uint8), rng.integers(10, size=count).astype(np.uint8)


def ticket_of(base: Run, epoch: int = 150, rate: float = 0.5) -> Run:
    """The base's rewound ticket."""
    return dataclasses.replace(base, start=Ticket(base=base, epoch=epoch, rate=rate))


@dataclass(frozen=True)
class Poisoned:
    """A start whose first weight is not a number: its run is lost from the beginning."""

    def needs(self) -> list[tuple[Run, int]]:
        return []

    def make(self, run: Run, weights_of: object) -> Origin:
        return Origin(np.append(np.float32("nan"), run.initial_weights()[1:]))


def train_dense(
    runs: Sequence[Run], masks: Sequence[np.ndarray | None] | None = None, **options: object
) -> list[Trained]:
    """Trains runs as one stack, each from its own initial weights, times its mask where there is one."""
    masks = masks or [None] * len(runs)
    starts = [
        (run.initial_weights() * (1 if mask is None else mask), mask) for run, mask in zip(runs, masks, strict=True)
    ]
    return train(runs, starts, **options)


def random_mask(run: Run, seed: int = 0, kept: float = 0.4) -> np.ndarray:
    """A mask of the run's weights, drawn at random."""
    return np.random.default_rng(seed).random(len(run.initial_weights())) < kept


def logits_of(model: MLP | Transformer) -> Callable[[dict[str, torch.Tensor], int, int], torch.Tensor]:
    """The reference's logits for a model: (weights, a, b) -> logits."""
    if isinstance(model, MLP):
        return reference.mlp_logits
    return lambda W, a, b: reference.transformer_logits(W, a, b, model.heads)


def masked_gently(loss: Callable[[torch.Tensor], torch.Tensor], weights: torch.Tensor, step: float = 1e-6) -> list:
    """|dL/dc| at c = 1 for each weight [n], where c multiplies it: by finite differences of the loss itself."""
    wanted = []
    for i in range(len(weights)):
        ahead, behind = torch.ones_like(weights), torch.ones_like(weights)
        ahead[i] += step
        behind[i] -= step
        wanted.append(abs(loss(weights * ahead) - loss(weights * behind)) / (2 * step))
    return wanted


def as_matrices(vector: np.ndarray, shapes: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    """A run's weights [n] as its matrices."""
    parts = np.split(vector, np.cumsum([rows * cols for rows, cols in shapes.values()])[:-1])
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def assert_same(one: Trained, other: Trained) -> None:
    """Both left the same, bit for bit (NaN equals NaN)."""
    assert one.run == other.run
    assert one.diverged_at == other.diverged_at
    assert {name: values.tobytes() for name, values in one.metrics.items()} == {
        name: values.tobytes() for name, values in other.metrics.items()
    }
    assert {epoch: weights.tobytes() for epoch, weights in one.snapshots.items()} == {
        epoch: weights.tobytes() for epoch, weights in other.snapshots.items()
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store of its own."""
    return Store(tmp_path / "results", tmp_path / "cache")


def forget(store: Store, *runs: Run) -> None:
    """Takes the records of runs out of their files."""
    for run in runs:
        for path in store._places.pop(run.key, []):
            rest = {key: read(path, key) for key in keys(path) if key != run.key}
            write(path, rest)
    store._statuses.clear()


def damage(store: Store, run: Run) -> None:
    """Damages the record of a run and leaves the others of its file alone."""
    store._statuses.clear()
    (path,) = store._places[run.key]
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, b"x" if name.startswith(f"{run.key}/metrics") else content)


@pytest.fixture
def double() -> Iterator[None]:
    """Whatever PyTorch makes is float64: what is compared then is algebra, not rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets PyTorch's number of threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def tiny_chapter(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The chapter mnist with nets of 4 neurons on 30 made-up images of 9 pixels; the sets that are loaded, by name."""
    loaded, counts = [], {"pixels": 9, "train_count": 10, "test_count": 20}

    def load(name: str) -> images.ImageSet:
        loaded.append(name)
        return images.ImageSet(name, *made_up_images(30, (9,)), 255, "made up")

    monkeypatch.delenv(images.VARIABLE, raising=False)
    monkeypatch.setattr(images, "load", load)
    monkeypatch.setattr(settings, "image_task", lambda name, seed: ImageTask(images=name, seed=seed, **counts))
    for name, layers, where in (("", 2, None), ("/digits", 2, "digits"), ("/four-matrices", 3, None)):
        small = settings.image(f"mnist-mlp{name}", name, ImageMLP(width=4, hidden_layers=layers), where)
        monkeypatch.setitem(settings.SETTINGS, small.name, small)
    return loaded


@pytest.fixture
def without_mnist(tiny_chapter: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`tiny_chapter` where MNIST cannot be had."""
    others = images.load

    def load(name: str) -> images.ImageSet:
        found = others(name)
        if name == images.MNIST:
            raise images.ImagesError("MNIST cannot be downloaded from OpenML (no network); take images: digits")
        return found

    monkeypatch.setattr(images, "load", load)
    return tiny_chapter


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: Playwright allows one at a time."""
    executable = find_chromium()
    if not executable:
        reason = "no Chromium or Chrome on PATH; install one, or name it in CHROMIUM"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with launch(executable) as browser:
        yield browser
