"""Images: the sets that an image classifier learns, and where they come from.

A set is known by its name, which is part of every run that learns it: `MNIST`, the book's 10,000 images; `DIGITS`,
scikit-learn's 1,797 images of 8 x 8 pixels; or, for any other file, a hash of its content. The book's images are not in
this repository, but hashes of them are (lib/train/mnist10k.npy), so that they are picked out of any file or download of MNIST
that has them: whoever gets them in whichever way trains on the same images.
"""

import gzip
import hashlib
import os
import socket
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from lib.files import CACHE, Content, StoreError, read, write

MNIST, DIGITS = "mnist-10k", "digits"
VARIABLE = "GROKKING_TICKETS_IMAGES"  # names a local file or folder to take MNIST from
HASHES = Path(__file__).parent / "mnist10k.npy"  # [10,000] uint64, in the order of the set

# The four files of MNIST as its authors publish them, by their names without what follows a dash or a dot.
IDX_FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
WHAT_TO_DO = (
    f"name a local copy with the parameter images or the variable {VARIABLE} (an .npz with images and labels, or the "
    "folder of MNIST's four idx files), or take images: digits"
)


class ImagesError(ValueError):
    """Images cannot be had, or a file of them is not right; the message says what, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [str(self)]


@dataclass(frozen=True)
class ImageSet:
    """images [n, pixels] uint8, labels [n] uint8, the brightness of a white pixel, and the source in words."""

    name: str
    images: np.ndarray
    labels: np.ndarray
    brightest: int
    source: str

    def describe(self) -> str:
        """What it is, for the provenance of records."""
        return f"{title(self.name)}: {len(self.images):,} images ({self.source})"


def title(name: str) -> str:
    """A set in words."""
    titles = {MNIST: "MNIST", DIGITS: "scikit-learn's 8×8 digits, not MNIST"}
    return titles.get(name, f"a file of images with hash {name}")


def find(where: str) -> str:
    """The name of the set that the parameter `images` means: "mnist", "digits", or a local file or folder.

    Nothing is downloaded. "mnist" is the file that the environment variable names, where it is set. Raises ImagesError
    where a file is not right.
    """
    if where == "digits":
        return DIGITS
    if where == "mnist" and not os.environ.get(VARIABLE):
        return MNIST
    return from_file(Path(os.path.expanduser(os.environ[VARIABLE] if where == "mnist" else where)))


@cache
def load(name: str) -> ImageSet:
    """The set of that name: kept from an earlier call, bundled, from the file that the environment variable names, or
    downloaded. Raises ImagesError where it cannot be had."""
    if name == DIGITS:
        from sklearn import datasets  # which takes a second, and most commands can do without

        digits = datasets.load_digits()
        return ImageSet(name, digits.data.astype(np.uint8), digits.target.astype(np.uint8), 16, "bundled, scikit-learn")
    kept = _kept(name)
    if kept is None and os.environ.get(VARIABLE):
        find("mnist")  # reads that file
        kept = _kept(name)
    if kept is None and name == MNIST:
        images, labels = download()
        if keep(images, labels, "OpenML, mnist_784") != MNIST:
            raise ImagesError(f"OpenML's mnist_784 lacks some of the book's 10,000 images; {WHAT_TO_DO}")
        kept = _kept(name)
    if kept is None:
        raise ImagesError(f"{title(name)} is not at hand; {WHAT_TO_DO}")
    return kept


def keep(images: np.ndarray, labels: np.ndarray, source: str) -> str:
    """Keeps a set in the cache, or the book's images where all of them are in it, and returns its name."""
    hashes, wanted = image_hashes(images, labels), np.load(HASHES, allow_pickle=False)
    order = np.argsort(hashes)
    at = order[np.minimum(np.searchsorted(hashes, wanted, sorter=order), len(hashes) - 1)]
    if (hashes[at] == wanted).all():
        name, images, labels = MNIST, images[at], labels[at]
    else:
        name = hashlib.sha256(hashes.tobytes()).hexdigest()[:12]
    content = Content({"images": images, "labels": labels}, {"source": source})
    write(CACHE / "images" / f"{name}.zip", {name: content})
    return name


def image_hashes(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A hash of each image [n, pixels] and its label [n], uint8: [n] uint64."""
    rows = np.column_stack([images, labels])
    digests = b"".join(hashlib.sha256(row.tobytes()).digest()[:8] for row in rows)
    return np.frombuffer(digests, "<u8")


def _kept(name: str) -> ImageSet | None:
    try:
        arrays, note = read(CACHE / "images" / f"{name}.zip", name)
        return ImageSet(name, arrays["images"], arrays["labels"], 255, note["source"])
    except (StoreError, KeyError):
        return None


def download() -> tuple[np.ndarray, np.ndarray]:
    """All 70,000 images [n, 784] and labels [n] of MNIST from OpenML through scikit-learn, which keeps them.

    Raises ImagesError where that fails.
    """
    from sklearn import datasets

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)  # of each wait for an answer, not of the download
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is raised below
            # Without types: scikit-learn 1.9.1 stumbles over the labels' where pandas has made numbers of them.
            options = {"parser": "pandas", "read_csv_kwargs": {"dtype": None}}
            bunch = datasets.fetch_openml("mnist_784", version=1, as_frame=False, n_retries=1, **options)
        return check(bunch.data, bunch.target.astype(float), "OpenML's mnist_784")
    except ImagesError:
        raise
    except Exception as error:  # of the network, of a half download, of the parser: many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImagesError(f"MNIST cannot be downloaded from OpenML ({reason}); {WHAT_TO_DO}") from None
    finally:
        socket.setdefaulttimeout(before)


@cache
def from_file(path: Path) -> str:
    """Keeps the images of a local .npz, or of a folder with MNIST's four idx files, and returns the set's name."""
    if not os.path.exists(path):  # False for what can be no name, too
        raise ImagesError(f"there is no file or folder {path}; {WHAT_TO_DO}")
    images, labels = read_folder(path) if path.is_dir() else read_npz(path)
    return keep(*check(images, labels, str(path)), path.name)


def check(images: np.ndarray, labels: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, pixels] and labels [n] as uint8. Raises ImagesError on what is not images with labels 0 to 9."""
    images, labels = np.asarray(images), np.asarray(labels)
    wrong = None
    if images.ndim not in (2, 3) or not images.size:
        wrong = f"images has the shape {images.shape}; [n, height, width] or [n, pixels] would be right"
    elif labels.shape != images.shape[:1]:
        wrong = f"labels has the shape {labels.shape}; {images.shape[:1]}, one for each image, would be right"
    elif images.dtype.kind not in "iuf" or labels.dtype.kind not in "iuf":
        wrong = f"images and labels are {images.dtype} and {labels.dtype}; whole numbers would be right"
    elif not _whole(images, 255) or images.max() <= 1:
        wrong = f"brightness goes from {images.min()} to {images.max()}; whole numbers from 0 to 255 would be right"
    elif not _whole(labels, 9):
        wrong = f"labels go from {labels.min()} to {labels.max()}; whole numbers from 0 to 9 would be right"
    if wrong:
        raise ImagesError(f"{where}: {wrong}")
    return images.reshape(len(images), -1).astype(np.uint8), labels.astype(np.uint8)


def _whole(values: np.ndarray, top: int) -> bool:
    return bool((values == np.floor(values)).all() and values.min() >= 0 and values.max() <= top)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """`images` and `labels` of an .npz file; nothing is unpickled. Raises ImagesError."""
    if not zipfile.is_zipfile(path):
        raise ImagesError(f"{path} is no .npz file, or not a whole one; get it again")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = {"images", "labels"} - set(archive.files)
            if not missing:
                return archive["images"], archive["labels"]
    except Exception as error:  # damage makes NumPy, zipfile and their decompressors raise nearly anything
        raise ImagesError(f"{path} cannot be read ({error}); get it again") from None
    raise ImagesError(f"{path} has no array {min(missing)}; it must hold images and labels")


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of the four idx files in a folder, packed by gzip or not. Raises ImagesError."""
    arrays = {}
    for name in IDX_FILES:
        paths = sorted(folder.glob(f"{name}[-.]idx*"))
        if not paths:
            raise ImagesError(f"{folder} has no file {name}-idx*-ubyte or {name}-idx*-ubyte.gz; all four must be there")
        arrays[name] = read_idx(paths[0])
    for part in ("train", "t10k"):
        images, labels = arrays[f"{part}-images"], arrays[f"{part}-labels"]
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ImagesError(
                f"{folder}: {part}-images and {part}-labels have shapes {images.shape} and {labels.shape}"
            )
    if arrays["train-images"].shape[1:] != arrays["t10k-images"].shape[1:]:
        raise ImagesError(f"{folder}: the images of train and t10k are of different sizes")
    both = [np.concatenate([arrays[f"train-{what}"], arrays[f"t10k-{what}"]]) for what in ("images", "labels")]
    return both[0], both[1]


def read_idx(path: Path) -> np.ndarray:
    """The array of unsigned bytes in an idx file. Raises ImagesError where it is no such file, or not a whole one.

    Two zero bytes, 8 for unsigned bytes, the number of dimensions, each of them as four bytes, then the data.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ImagesError(f"{path} cannot be read ({error}); get it again") from None
    if content[:3] != b"\0\0\x08" or len(content) < 4 or len(content) < 4 + 4 * content[3]:
        raise ImagesError(f"{path} is no idx file of unsigned bytes; get it again")
    start = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if len(content) - start != np.prod(shape, dtype=int):
        raise ImagesError(f"{path} has {len(content) - start:,} bytes of data, its header says {shape}; get it again")
    return np.frombuffer(content[start:], np.uint8).reshape(shape)
