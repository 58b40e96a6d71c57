"""Tasks: inputs, labels and the train/test split (paper, section 3, appendix A.1 and F)."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from lib.train import images


class Operation(NamedTuple):
    """value: integer arrays a, b to an integer array, whose residue mod p is the label; symmetric: in a and b."""

    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    symmetric: bool = True


OPERATIONS: dict[str, Operation] = {
    "a+b": Operation(lambda a, b: a + b),
    "a-b": Operation(lambda a, b: a - b, symmetric=False),
    "a*b": Operation(lambda a, b: a * b),
    "a^2+b^2": Operation(lambda a, b: a**2 + b**2),
    "a^2+ab+b^2": Operation(lambda a, b: a**2 + a * b + b**2),
}
RANDOM_LABELS = "random"  # no operation at all: labels drawn uniformly (App. F)

# Which pairs (a, b) are examples.
PAIRS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "unordered": lambda a, b: a <= b,
    "ordered": lambda a, b: np.ones(a.shape, bool),
    "descending": lambda a, b: (b > 0) & (b < a),
}


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator of its own for each seed and purpose ("split", "weights", ...).

    Global random state is neither read nor changed, and drawing more for one purpose leaves the others alone.
    NumPy's PCG64 gives the same numbers on every machine.
    """
    return np.random.default_rng([zlib.crc32(purpose.encode()), seed])


@dataclass(frozen=True)
class Data:
    """A task's examples: `inputs` [n, 2 or 3] int64 or images [n, pixels] float32, `labels` [n] int64; `train`, `test`:
    disjoint row numbers, which cover all pairs."""

    inputs: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    test: np.ndarray


class Task(Protocol):
    """What models, trainer and store ask of a task: a frozen dataclass, part of what a run is.

    loss: its name in lib/train/losses.py. shape: tasks that are alike in it can be trained in one stack.
    """

    loss: ClassVar[str]

    @property
    def seed(self) -> int:
        """That of the split."""

    @property
    def train_count(self) -> int:
        """How many examples are trained on."""

    @property
    def tokens(self) -> int:
        """How many different inputs there are at a position (pixels, for an image)."""

    @property
    def classes(self) -> int:
        """How many outputs a model has."""

    @property
    def length(self) -> int:
        """Tokens in a sample."""

    @property
    def shape(self) -> tuple:
        """What stacks need to share."""

    def data(self) -> Data:
        """The examples and their split, the same at every call."""


@dataclass(frozen=True, kw_only=True)
class ModularTask:
    """Predict `operation`(a, b) mod `prime` from the pair (a, b).

    operation: a name in `OPERATIONS`, or "random" for labels without any rule.
    pairs: "unordered" (a <= b), "ordered" (all), "descending" (0 < b < a, for a - b as in App. F).
    train_fraction: share of the pairs to train on, rounded down (0.4 of 2,278 pairs -> 911 for p = 67).
    equals_sign: a third, constant token "=" follows each pair, at which the model answers; it is no class.
    seed: draws the split (and the random labels).
    """

    loss: ClassVar[str] = "cross-entropy"

    operation: str = "a+b"
    prime: int = 67
    pairs: str = "unordered"
    train_fraction: float = 0.4
    equals_sign: bool = False
    seed: int

    def __post_init__(self) -> None:
        known = [*OPERATIONS, RANDOM_LABELS]
        if self.operation not in known:
            raise ValueError(f"operation is {self.operation!r}; it must be one of {', '.join(known)}")
        if self.pairs not in PAIRS:
            raise ValueError(f"pairs is {self.pairs!r}; it must be one of {', '.join(PAIRS)}")
        symmetric = self.operation == RANDOM_LABELS or OPERATIONS[self.operation].symmetric
        if self.pairs == "unordered" and not symmetric:
            raise ValueError(
                f"{self.operation} is not symmetric; its pairs must be 'ordered' or 'descending', not 'unordered'"
            )
        if self.prime < 3:
            raise ValueError(f"prime is {self.prime}; it must be at least 3")
        if not 0 < self.train_fraction < 1 or self.train_count == 0:
            raise ValueError(
                f"train_fraction is {self.train_fraction}; it must lie between 0 and 1 and leave pairs on both sides"
            )

    def _pairs(self) -> np.ndarray:
        a, b = np.indices((self.prime, self.prime))
        return np.argwhere(PAIRS[self.pairs](a, b))

    @property
    def tokens(self) -> int:
        """How many different inputs there are at a position."""
        return self.prime + self.equals_sign

    @property
    def classes(self) -> int:
        """How many outputs a model has."""
        return self.prime

    @property
    def length(self) -> int:
        """Tokens in a sample."""
        return 2 + self.equals_sign

    @property
    def shape(self) -> tuple:
        """Tasks that are alike in this can be trained in one stack."""
        return self.prime, self.pairs, self.train_fraction, self.equals_sign

    def __str__(self) -> str:
        pairs = "" if self.pairs == "unordered" else f" ({self.pairs} pairs)"
        return f"{self.operation} mod {self.prime}{pairs}{', three tokens' if self.equals_sign else ''}"

    @property
    def train_count(self) -> int:
        """Number of training pairs."""
        return int(self.train_fraction * len(self._pairs()))

    def data(self) -> Data:
        """The examples and their split, the same at every call."""
        inputs = self._pairs()
        a, b = inputs.T
        if self.operation == RANDOM_LABELS:
            labels = generator(self.seed, "labels").integers(self.prime, size=len(inputs))
        else:
            labels = OPERATIONS[self.operation].value(a, b) % self.prime
        order = generator(self.seed, "split").permutation(len(inputs))
        if self.equals_sign:
            inputs = np.pad(inputs, ((0, 0), (0, 1)), constant_values=self.prime)
        return Data(inputs, labels, order[: self.train_count], order[self.train_count :])


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """Tell the ten classes of a set of images apart (App. A.1).

    images: the set's name (lib/train/images.py), from which the split draws `train_count` images and, of the others,
    `test_count`. pixels: of each image. seed: draws the split.
    """

    loss: ClassVar[str] = "squared error"

    images: str = images.MNIST
    pixels: int = 784
    train_count: int = 1000
    test_count: int = 9000
    seed: int

    def __post_init__(self) -> None:
        for name in ("pixels", "train_count", "test_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def tokens(self) -> int:
        """Inputs of a sample, all at once."""
        return self.pixels

    @property
    def classes(self) -> int:
        """How many outputs a model has."""
        return 10

    @property
    def length(self) -> int:
        """An image is one input."""
        return 1

    @property
    def shape(self) -> tuple:
        """Tasks that are alike in this can be trained in one stack."""
        return self.images, self.pixels, self.train_count, self.test_count

    def __str__(self) -> str:
        return f"{self.train_count:,} images of {images.title(self.images)}"

    def data(self) -> Data:
        """The images, brightness from 0 to 1, and their split, the same at every call."""
        found = images.load(self.images)
        count, pixels = found.images.shape
        wanted = self.train_count + self.test_count
        if pixels != self.pixels or count < wanted:
            raise images.ImagesError(
                f"{images.title(self.images)} has {count:,} images of {pixels} pixels; the task needs {wanted:,} of {self.pixels}"
            )
        order = generator(self.seed, "split").permutation(count)
        brightness = found.images.astype(np.float32) / np.float32(found.brightest)
        train, test = order[: self.train_count], order[self.train_count : wanted]
        return Data(brightness, found.labels.astype(np.int64), train, test)
