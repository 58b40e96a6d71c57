"""Images: the book's are found in whatever holds them, all else is told apart or refused in one sentence."""

import dataclasses
import gc
import gzip
import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import reference
import torch
from conftest import as_matrices, made_up_images, tiny_image_run, tiny_run, train_dense
from sklearn import datasets
from sklearn.datasets import _openml, load_digits

from lib.analysis import fourier, probes
from lib.records.plan import obtain
from lib.train import images
from lib.train.images import DIGITS, MNIST, WHAT_TO_DO, ImagesError
from lib.train.models import ImageMLP
from lib.train.optim import AdamW
from lib.train.tasks import ImageTask

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # scikit-learn leaves a failed download's socket open

THE_HASHES = images.HASHES
IMAGES, LABELS = made_up_images(60, (4, 4))
BOOK = np.random.default_rng(1).permutation(60)[:24]  # which of them are the book's, in its order
WITHOUT = np.delete(np.arange(60), BOOK[5])  # all but one of the book's


def hash_of(image, label):
    return int.from_bytes(hashlib.sha256(bytes([*image.ravel().tolist(), label])).digest()[:8], "little")


def forget():
    """What this process remembers of images."""
    images.load.cache_clear()
    images.from_file.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_at_hand(tmp_path, monkeypatch) -> Iterator[None]:
    """Nothing is kept, remembered or named, nothing can be downloaded, and the book's images are made up."""
    np.save(tmp_path / "hashes.npy", np.array([hash_of(IMAGES[i], LABELS[i]) for i in BOOK], np.uint64))
    monkeypatch.setattr(images, "HASHES", tmp_path / "hashes.npy")
    monkeypatch.setattr(images, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets, "fetch_openml", lambda *_, **__: pytest.fail("a download was begun"))
    monkeypatch.delenv(images.VARIABLE, raising=False)
    forget()
    yield
    forget()


def idx(array):
    """An array of bytes as an idx file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_npz(path, rows=slice(None), **changed):
    np.savez(path, **{"images": IMAGES[rows], "labels": LABELS[rows]} | changed)
    return path


def write_idx(folder, mark="-", packed=False, rows=range(60), train=40):
    """The four files of MNIST."""
    folder.mkdir()
    rows = np.array(rows)
    for part, of_part in (("train", rows[:train]), ("t10k", rows[train:])):
        for what, array in (("images", IMAGES[of_part]), ("labels", LABELS[of_part])):
            path = folder / f"{part}-{what}{mark}idx{array.ndim}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return folder


def is_the_books(name):
    """Whether the set of that name is the book's images, in their order."""
    found = images.load(name)
    assert found.images.dtype == found.labels.dtype == np.uint8
    return (
        (name, found.name, found.brightest) == (MNIST, MNIST, 255)
        and np.array_equal(found.images, IMAGES[BOOK].reshape(24, 16))
        and np.array_equal(found.labels, LABELS[BOOK])
    )


def refusal(function, *arguments):
    """What an ImagesError says; one line."""
    with pytest.raises(ImagesError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [str(caught.value)]
    return str(caught.value)


# --- which images they are --------------------------------------------------------------------------------------------


def test_hashes_of_the_books_10000_images_are_there():
    hashes = np.load(THE_HASHES, allow_pickle=False)
    assert (hashes.shape, hashes.dtype) == ((10_000,), np.uint64)
    assert len(set(hashes.tolist())) == 10_000


def test_the_books_images_are_picked_out_of_a_larger_file_in_their_order(tmp_path):
    assert not np.array_equal(BOOK, np.sort(BOOK))
    path = write_npz(tmp_path / "all.npz", np.random.default_rng(2).permutation(60))
    assert is_the_books(images.from_file(path))
    assert images.load(MNIST).source == "all.npz"
    assert images.load(MNIST).describe() == "MNIST: 24 images (all.npz)"


def test_pixels_may_lie_in_a_row_and_numbers_be_of_any_kind(tmp_path):
    changed = {"images": IMAGES.reshape(60, 16).astype(float), "labels": LABELS.astype(np.int64)}
    assert is_the_books(images.from_file(write_npz(tmp_path / "flat.npz", **changed)))


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_the_books_images_are_picked_out_of_the_four_idx_files(tmp_path, mark, packed):
    folder = write_idx(tmp_path / "mnist", mark, packed, np.random.default_rng(3).permutation(60))
    assert is_the_books(images.from_file(folder))


def test_nothing_but_the_books_images_is_the_book_too(tmp_path):
    assert is_the_books(images.from_file(write_npz(tmp_path / "book.npz", BOOK[::-1])))


def test_a_file_that_lacks_one_of_the_books_images_is_a_set_of_its_own(tmp_path):
    name = images.from_file(write_npz(tmp_path / "lacking.npz", WITHOUT))
    assert len(name) == 12
    found = images.load(name)
    assert (found.name, found.source, found.brightest) == (name, "lacking.npz", 255)
    assert np.array_equal(found.images, IMAGES[WITHOUT].reshape(59, 16))
    assert np.array_equal(found.labels, LABELS[WITHOUT])
    assert found.describe() == f"a file of images with hash {name}: 59 images (lacking.npz)"


def test_a_sets_name_is_that_of_its_content(tmp_path):
    name = images.from_file(write_npz(tmp_path / "one.npz", WITHOUT))
    assert images.from_file(write_npz(tmp_path / "two.npz", WITHOUT)) == name
    assert images.from_file(write_idx(tmp_path / "mnist", rows=WITHOUT)) == name
    others = {
        images.from_file(write_npz(tmp_path / "shorter.npz", WITHOUT[1:])),
        images.from_file(write_npz(tmp_path / "other-order.npz", WITHOUT[::-1])),
        images.from_file(write_npz(tmp_path / "label.npz", WITHOUT, labels=(LABELS[WITHOUT] + 1) % 10)),
        images.from_file(write_npz(tmp_path / "pixel.npz", WITHOUT, images=IMAGES[WITHOUT] ^ 1)),
    }
    assert len(others - {name, MNIST}) == 4


@pytest.mark.parametrize("change", ["label", "pixel"])
def test_an_image_with_another_label_or_pixel_is_not_the_books(tmp_path, change):
    labels, pixels = LABELS.copy(), IMAGES.copy()
    if change == "label":
        labels[BOOK[5]] = (labels[BOOK[5]] + 1) % 10
    else:
        pixels[BOOK[5], 3, 3] ^= 1
    assert images.from_file(write_npz(tmp_path / "wrong.npz", images=pixels, labels=labels)) != MNIST


def test_digits_are_scikit_learns():
    found = images.load(images.find("digits"))
    assert (found.name, found.brightest) == (DIGITS, 16)
    assert found.images.dtype == found.labels.dtype == np.uint8
    assert np.array_equal(found.images, load_digits().data)
    assert np.array_equal(found.labels, load_digits().target)
    assert found.describe() == "scikit-learn's 8×8 digits, not MNIST: 1,797 images (bundled, scikit-learn)"


# --- where they come from ---------------------------------------------------------------------------------------------


def test_mnist_is_named_without_looking_for_it(tmp_path):
    assert (images.find("mnist"), images.find("digits")) == (MNIST, DIGITS)
    assert not (tmp_path / "cache").exists()


def test_a_file_is_named_by_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / "all.npz")
    assert is_the_books(images.find(str(tmp_path / "all.npz")))
    assert images.find("~/all.npz") == MNIST
    own = images.find(str(write_idx(tmp_path / "folder", rows=WITHOUT)))
    assert images.load(own).source == "folder"


@pytest.mark.parametrize("rows", [range(60), WITHOUT], ids=["the book's", "another set"])
def test_a_set_that_was_read_once_outlives_its_file(tmp_path, rows):
    path = write_npz(tmp_path / "some.npz", list(rows))
    name = images.find(str(path))
    before = images.load(name)
    path.unlink()
    forget()
    after = images.load(name)
    assert before is not after
    assert np.array_equal(before.images, after.images) and np.array_equal(before.labels, after.labels)
    assert (after.name, after.source, after.brightest) == (name, "some.npz", 255)


def test_a_set_that_is_not_at_hand_is_named_with_what_to_do():
    wanted = f"a file of images with hash 0123456789ab is not at hand; {WHAT_TO_DO}"
    assert refusal(images.load, "0123456789ab") == wanted


def test_the_environment_variable_is_followed(tmp_path, monkeypatch):
    monkeypatch.setenv(images.VARIABLE, str(write_npz(tmp_path / "all.npz")))
    assert images.find("mnist") == MNIST
    (tmp_path / "cache" / "images" / f"{MNIST}.zip").unlink()
    forget()
    assert is_the_books(MNIST)
    monkeypatch.setenv(images.VARIABLE, str(write_npz(tmp_path / "other.npz", WITHOUT)))
    own = images.find("mnist")
    assert own not in (MNIST, DIGITS)
    assert images.find("digits") == DIGITS
    (tmp_path / "cache" / "images" / f"{own}.zip").unlink()
    forget()
    assert len(images.load(own).images) == 59


def test_the_environment_variable_may_name_a_place_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(images.VARIABLE, "~/all.npz")
    write_npz(tmp_path / "all.npz")
    assert is_the_books(MNIST)


def test_a_file_that_the_environment_variable_names_in_vain_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(images.VARIABLE, str(tmp_path / "nowhere.npz"))
    wanted = f"there is no file or folder {tmp_path / 'nowhere.npz'}; {WHAT_TO_DO}"
    assert refusal(images.find, "mnist") == wanted
    assert refusal(images.load, MNIST) == wanted


@pytest.mark.parametrize("name", ["~nosuchuser/x", "x" * 5000])
def test_a_name_that_no_file_can_have_is_not_there(monkeypatch, name):
    monkeypatch.setenv(images.VARIABLE, name)
    assert refusal(images.find, "mnist") == f"there is no file or folder {name}; {WHAT_TO_DO}"


@pytest.mark.parametrize("damage", [lambda x: x[:-30], lambda x: x[: len(x) // 2], lambda x: b""])
def test_a_kept_file_that_is_cut_is_not_trusted(tmp_path, monkeypatch, damage):
    path = write_npz(tmp_path / "some.npz", WITHOUT)
    name = images.find(str(path))
    kept = tmp_path / "cache" / "images" / f"{name}.zip"
    kept.write_bytes(damage(kept.read_bytes()))
    forget()
    assert refusal(images.load, name).startswith(f"a file of images with hash {name} is not at hand; ")
    monkeypatch.setenv(images.VARIABLE, str(path))
    assert len(images.load(name).images) == 59


def test_what_to_do_names_every_way():
    for words in ("parameter images", images.VARIABLE, ".npz with images", "four idx files", "images: digits"):
        assert words in WHAT_TO_DO


# --- what is refused --------------------------------------------------------------------------------------------------

GREY, WIDE = IMAGES.astype(float), IMAGES.astype(int)
SHAPE = "[n, height, width] or [n, pixels] would be right"
EACH = "(60,), one for each image, would be right"
BRIGHT = "whole numbers from 0 to 255 would be right"
CLASSES = "whole numbers from 0 to 9 would be right"
WHOLE_ONES = "whole numbers would be right"
CHECKED = {
    "a row of pixels": ({"images": IMAGES[0, 0]}, f"images has the shape (4,); {SHAPE}"),
    "colours": ({"images": np.stack([IMAGES] * 3, -1)}, f"images has the shape (60, 4, 4, 3); {SHAPE}"),
    "no images": ({"images": IMAGES[:0], "labels": LABELS[:0]}, f"images has the shape (0, 4, 4); {SHAPE}"),
    "no pixels": ({"images": IMAGES[:, :0]}, f"images has the shape (60, 0, 4); {SHAPE}"),
    "too few labels": ({"labels": LABELS[:59]}, f"labels has the shape (59,); {EACH}"),
    "a column of labels": ({"labels": LABELS[:, None]}, f"labels has the shape (60, 1); {EACH}"),
    "one label": ({"labels": LABELS[0]}, f"labels has the shape (); {EACH}"),
    "0 or 1": ({"images": IMAGES > 99}, f"images and labels are bool and uint8; {WHOLE_ONES}"),
    "labels in words": ({"labels": LABELS.astype(str)}, f"images and labels are uint8 and <U3; {WHOLE_ONES}"),
    "from 0 to 1": ({"images": GREY / GREY.max()}, f"brightness goes from 0.0 to 1.0; {BRIGHT}"),
    "0 or 1 as numbers": ({"images": IMAGES // 128}, f"brightness goes from 0 to 1; {BRIGHT}"),
    "all dark": ({"images": 0 * IMAGES}, f"brightness goes from 0 to 0; {BRIGHT}"),
    "halves": ({"images": GREY / 2}, f"brightness goes from 0.0 to {GREY.max() / 2}; {BRIGHT}"),
    "beyond 255": ({"images": np.where(WIDE.max() == WIDE, 256, WIDE)}, f"brightness goes from 0 to 256; {BRIGHT}"),
    "negative": ({"images": WIDE - (WIDE == 0)}, f"brightness goes from -1 to {WIDE.max()}; {BRIGHT}"),
    "no number": ({"images": np.where(WIDE == 0, np.nan, WIDE)}, f"brightness goes from nan to nan; {BRIGHT}"),
    "labels from 1": ({"labels": LABELS + 1}, f"labels go from 1 to 10; {CLASSES}"),
    "labels below 0": ({"labels": LABELS.astype(int) - 1}, f"labels go from -1 to 8; {CLASSES}"),
    "half labels": ({"labels": LABELS / 2}, f"labels go from 0.0 to 4.5; {CLASSES}"),
}


@pytest.mark.parametrize(("changed", "message"), CHECKED.values(), ids=CHECKED.keys())
def test_arrays_that_are_no_images_with_labels_are_refused(tmp_path, changed, message):
    path = write_npz(tmp_path / "x.npz", **changed)
    assert refusal(images.from_file, path) == f"{path}: {message}"
    assert not (tmp_path / "cache").exists()


def test_a_path_that_is_not_there(tmp_path):
    path = tmp_path / "nowhere.npz"
    assert refusal(images.find, str(path)) == f"there is no file or folder {path}; {WHAT_TO_DO}"


def test_an_npz_cut_at_any_length(tmp_path):
    path = write_npz(tmp_path / "x.npz")
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 157), len(whole) - 1}:
        path.write_bytes(whole[:length])
        forget()
        assert refusal(images.from_file, path) == f"{path} is no .npz file, or not a whole one; get it again"


def test_an_npz_that_is_damaged_inside(tmp_path):
    path = write_npz(tmp_path / "x.npz")
    damaged = bytearray(path.read_bytes())
    damaged[400] ^= 1
    path.write_bytes(damaged)
    message = refusal(images.from_file, path)
    assert message == f"{path} cannot be read (Bad CRC-32 for file 'images.npy'); get it again"


@pytest.mark.parametrize("compression", [9, 12, 14, 93, 99])
def test_an_npz_whose_compression_nobody_knows(tmp_path, compression):
    path = write_npz(tmp_path / "x.npz")
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + 10] = compression
    path.write_bytes(damaged)
    assert refusal(images.from_file, path).startswith(f"{path} cannot be read (")


@pytest.mark.parametrize(
    "content", [b"PK", b"images\n", bytes(500), gzip.compress(b"images", mtime=0), b"\x80\x04N.", idx(IMAGES)]
)
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    wanted = f"{tmp_path / 'x'} is no .npz file, or not a whole one; get it again"
    assert refusal(images.from_file, tmp_path / "x") == wanted


def test_a_single_array_is_no_npz(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    path = tmp_path / "images.npy"
    assert refusal(images.from_file, path) == f"{path} is no .npz file, or not a whole one; get it again"


class Trap:
    """Unpickled, it springs: the folder of that name is made."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.makedirs, (self.path, 0o777, True)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_nothing_is_unpickled(tmp_path, name):
    sprung = tmp_path / "sprung"
    path = write_npz(tmp_path / "x.npz", **{name: np.array([Trap(sprung)] * 60, object)})
    assert refusal(images.from_file, path).startswith(f"{path} cannot be read (Object arrays cannot be loaded")
    assert not sprung.exists()
    with np.load(path, allow_pickle=True) as archive:
        assert len(archive[name]) == 60
    assert sprung.exists()  # so the trap would have worked


@pytest.mark.parametrize(("held", "missing"), [({"images"}, "labels"), ({"labels"}, "images"), (set(), "images")])
def test_an_npz_without_one_of_its_arrays(tmp_path, held, missing):
    arrays = {"images": IMAGES, "labels": LABELS, "x": LABELS}
    np.savez(tmp_path / "x.npz", **{name: arrays[name] for name in {"x"} | held})
    wanted = f"{tmp_path / 'x.npz'} has no array {missing}; it must hold images and labels"
    assert refusal(images.from_file, tmp_path / "x.npz") == wanted


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", images.IDX_FILES)
def test_a_folder_without_one_of_the_four_files(tmp_path, name, packed):
    folder = write_idx(tmp_path / "mnist", packed=packed)
    next(folder.glob(f"{name}*")).unlink()
    wanted = f"{folder} has no file {name}-idx*-ubyte or {name}-idx*-ubyte.gz; all four must be there"
    assert refusal(images.from_file, folder) == wanted


WHOLE = idx(IMAGES[:40])
DAMAGED_IDX = {
    "cut": (WHOLE[:-1], "has 639 bytes of data, its header says (40, 4, 4); get it again"),
    "too long": (WHOLE + b"\0", "has 641 bytes of data, its header says (40, 4, 4); get it again"),
    "header alone": (WHOLE[:16], "has 0 bytes of data, its header says (40, 4, 4); get it again"),
    "cut in its header": (WHOLE[:15], "is no idx file of unsigned bytes; get it again"),
    "three bytes": (WHOLE[:3], "is no idx file of unsigned bytes; get it again"),
    "empty": (b"", "is no idx file of unsigned bytes; get it again"),
    "of floats": (b"\0\0\x0d" + WHOLE[3:], "is no idx file of unsigned bytes; get it again"),
    "another file": (b"<!DOCTYPE html><html>", "is no idx file of unsigned bytes; get it again"),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("content", "message"), DAMAGED_IDX.values(), ids=DAMAGED_IDX.keys())
def test_an_idx_file_that_is_damaged(tmp_path, content, message, packed):
    folder = write_idx(tmp_path / "mnist", packed=packed)
    path = next(folder.glob("train-images*"))
    path.write_bytes(gzip.compress(content) if packed else content)
    assert refusal(images.from_file, folder) == f"{path} {message}"


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-9],
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed[:5],
        lambda packed: WHOLE,
        lambda packed: packed[:-8] + bytes(8),
        lambda packed: packed[:40] + bytes(20) + packed[60:],
    ],
    ids=["cut", "half", "cut in its header", "not packed", "wrong checksum", "wrong inside"],
)
def test_a_packed_file_that_is_damaged(tmp_path, damage):
    folder = write_idx(tmp_path / "mnist", packed=True)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(images.from_file, folder)
    assert message.startswith(f"{path} cannot be read (") and message.endswith("); get it again")


def test_idx_files_that_do_not_belong_together(tmp_path):
    folder = write_idx(tmp_path / "mnist")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:40]))
    wanted = f"{folder}: t10k-images and t10k-labels have shapes (20, 4, 4) and (40,)"
    assert refusal(images.from_file, folder) == wanted
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:20]))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[:20, :3]))
    assert refusal(images.from_file, folder) == f"{folder}: the images of train and t10k are of different sizes"
    (folder / "train-images-idx3-ubyte").write_bytes(idx(LABELS[:40]))
    wanted = f"{folder}: train-images and train-labels have shapes (40,) and (40,)"
    assert refusal(images.from_file, folder) == wanted


# --- the download -----------------------------------------------------------------------------------------------------


class OpenML:
    """A server on this machine that answers as OpenML's does, and has one data set: 16 pixels and a class.

    status: of its answers to paths with `trouble` in them; share: how much of the data it sends.
    """

    def __init__(self, rows):
        self.asked, self.trouble, self.status, self.share = [], None, 200, 1.0
        methods = {"do_GET": lambda request: self.answer(request), "log_message": lambda *_: None}
        handler = type("Handler", (BaseHTTPRequestHandler,), methods)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.has(rows)

    def has(self, rows, divisor=1):
        """What it has to offer: these images, their brightness divided by a number."""
        pixels = [f"pixel{i}" for i in range(1, 17)]
        header = ["@RELATION mnist_784", *(f"@ATTRIBUTE {name} real" for name in pixels)]
        header += ["@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}", "@DATA"]
        table = [[*(IMAGES[row].ravel() // divisor).tolist(), LABELS[row]] for row in rows]
        arff = "\n".join([*header, *(",".join(map(str, row)) for row in table), ""]).encode()
        api, plain = "/api/v1/json/data", {"is_ignore": "false", "is_row_identifier": "false"}
        features = [{"name": name, "data_type": "numeric", "is_target": "false"} for name in pixels]
        features += [{"name": "class", "data_type": "nominal", "is_target": "true"}]
        features = [{"index": str(i), "number_of_missing_values": "0"} | plain | x for i, x in enumerate(features)]
        described = {"id": "554", "name": "mnist_784", "version": "1", "status": "active", "format": "ARFF"}
        described |= {"description": "Digits.", "md5_checksum": hashlib.md5(arff).hexdigest()}
        described |= {"url": f"{self.address}/data/v1/download/52667/mnist_784.arff", "file_id": "52667"}
        quality = [{"name": "NumberOfInstances", "value": str(float(len(rows)))}]
        answers = {
            f"{api}/list/data_name/mnist_784/limit/2/data_version/1": {
                "data": {"dataset": [{"did": 554, "name": "mnist_784", "version": 1, "status": "active"}]}
            },
            f"{api}/554": {"data_set_description": described},
            f"{api}/features/554": {"data_features": {"feature": features}},
            f"{api}/qualities/554": {"data_qualities": {"quality": quality}},
        }
        self.answers = {path: json.dumps(answer).encode() for path, answer in answers.items()}
        self.answers["/data/v1/download/52667/mnist_784.arff"] = arff

    def answer(self, request):
        """Answers one request."""
        self.asked.append(request.path)
        troubled = self.trouble is not None and self.trouble in request.path
        if troubled and self.status != 200:
            request.send_error(self.status)
            return
        body = gzip.compress(self.answers[request.path])
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: int(self.share * len(body))] if troubled else body)

    def close(self):
        """Goes away."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def openml(tmp_path, monkeypatch):
    """scikit-learn's own download, from a server on this machine, to a folder of its own."""
    server = OpenML(range(60))
    for name in ("_SEARCH_NAME", "_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
        url = getattr(_openml, name).replace("https://www.openml.org", server.address)
        monkeypatch.setattr(_openml, name, url)
    monkeypatch.setattr(_openml, "time", SimpleNamespace(sleep=lambda seconds: None))  # between its attempts
    monkeypatch.setattr(datasets, "fetch_openml", _openml.fetch_openml)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit-learn"))
    monkeypatch.setenv("no_proxy", "*")
    yield server
    server.close()
    gc.collect()


def test_mnist_is_downloaded_and_scikit_learn_keeps_what_came(openml, tmp_path):
    assert is_the_books(MNIST)
    assert images.load(MNIST).source == "OpenML, mnist_784"
    assert len(openml.asked) == len(set(openml.asked)) == 5
    openml.close()
    shutil.rmtree(tmp_path / "cache")
    forget()
    assert is_the_books(MNIST)
    assert len(openml.asked) == 5


def test_the_books_images_are_kept_without_scikit_learn(openml, tmp_path):
    images.load(MNIST)
    openml.close()
    shutil.rmtree(tmp_path / "scikit-learn")
    forget()
    assert is_the_books(MNIST)
    assert images.load(MNIST).source == "OpenML, mnist_784"


TROUBLES = {
    "all is 404": ("/", 404, 1, "HTTP Error 404"),
    "all is 500": ("/", 500, 1, "HTTP Error 500"),
    "the set is unknown": ("/data_name/", 412, 1, "Dataset mnist_784 with version 1 not found."),
    "the description is 503": ("/json/data/554", 503, 1, "HTTP Error 503"),
    "the data is 404": ("/download/", 404, 1, "HTTP Error 404"),
    "half of the data": ("/download/", 200, 0.5, "Compressed file ended"),
    "half of a description": ("/json/data/554", 200, 0.5, "Compressed file ended"),
    "no data": ("/download/", 200, 0, "md5 checksum"),
}


@pytest.mark.parametrize(("trouble", "status", "share", "reason"), TROUBLES.values(), ids=TROUBLES.keys())
def test_a_download_that_fails_is_told_and_does_not_stand_in_the_way_of_the_next(
    openml, trouble, status, share, reason
):
    openml.trouble, openml.status, openml.share = trouble, status, share
    message = refusal(images.load, MNIST)
    assert message.startswith("MNIST cannot be downloaded from OpenML (") and message.endswith(f"); {WHAT_TO_DO}")
    assert reason in message
    openml.trouble = None
    assert is_the_books(MNIST)


def test_without_a_network_the_sentence_says_what_to_do(openml):
    openml.close()
    message = refusal(images.load, MNIST)
    assert message.startswith("MNIST cannot be downloaded from OpenML (<urlopen error ") and "refused" in message
    assert message.endswith(f"); {WHAT_TO_DO}")


def test_what_comes_in_place_of_the_data_is_not_taken_for_it(openml):
    answers = openml.answers
    openml.answers = dict.fromkeys(answers, b"<html>Log in to this network</html>")
    assert refusal(images.load, MNIST).startswith("MNIST cannot be downloaded from OpenML (")
    openml.answers = answers | {path: body + b"\n" for path, body in answers.items() if "/download/" in path}
    assert "The md5 checksum of the file" in refusal(images.load, MNIST)


def test_a_download_without_one_of_the_books_images_is_not_taken_for_it(openml, tmp_path):
    openml.has(WITHOUT)
    wanted = f"OpenML's mnist_784 lacks some of the book's 10,000 images; {WHAT_TO_DO}"
    assert refusal(images.load, MNIST) == wanted


def test_a_download_of_other_numbers_is_not_taken_for_images(openml):
    openml.has(range(60), divisor=200)
    wanted = "OpenML's mnist_784: brightness goes from 0 to 1; whole numbers from 0 to 255 would be right"
    assert refusal(images.load, MNIST) == wanted


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("first line\n  second line"), "first line second line"),
        (TimeoutError(), "TimeoutError"),
        (ValueError(500 * "x"), 200 * "x"),
    ],
)
def test_a_wait_has_an_end_and_its_reason_fits_a_line(monkeypatch, error, reason):
    waits = []

    def fail(*arguments, **options):
        waits.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr(datasets, "fetch_openml", fail)
    assert refusal(images.load, MNIST) == f"MNIST cannot be downloaded from OpenML ({reason}); {WHAT_TO_DO}"
    assert waits == [60]
    assert socket.getdefaulttimeout() is None


def test_control_c_ends_a_download_as_it_ends_anything(monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "fetch_openml", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.load(MNIST)
    assert socket.getdefaulttimeout() is None


# --- the task ---------------------------------------------------------------------------------------------------------

SPLIT = ImageTask(images=DIGITS, pixels=64, train_count=200, test_count=1597, seed=0)
SMALLER = dataclasses.replace(SPLIT, train_count=50, test_count=70)


@pytest.mark.parametrize("task", [SPLIT, SMALLER], ids=["all", "some"])
def test_a_split_has_exactly_as_many_images_as_asked_for_and_none_twice(task):
    data = task.data()
    assert (len(data.train), len(data.test)) == (task.train_count, task.test_count)
    rows = [*data.train, *data.test]
    assert len(set(rows)) == len(rows) and set(rows) <= set(range(1797))


def test_brightness_goes_from_0_to_1_and_labels_are_those_of_the_images():
    data = SPLIT.data()
    assert (data.inputs.dtype, data.labels.dtype) == (np.float32, np.int64)
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)
    assert np.array_equal(data.inputs, load_digits().data / 16)
    assert np.array_equal(data.labels, load_digits().target)


def test_brightness_255_is_white(tmp_path):
    images.from_file(write_npz(tmp_path / "all.npz"))
    data = ImageTask(pixels=16, train_count=10, test_count=14, seed=0).data()
    np.testing.assert_allclose(data.inputs, IMAGES[BOOK].reshape(24, 16) / 255, rtol=1e-6)
    assert np.array_equal(data.labels, LABELS[BOOK])


def test_a_split_belongs_to_the_seed_alone():
    splits = [tuple(dataclasses.replace(SPLIT, seed=seed).data().train) for seed in (0, 1, 2, 0)]
    assert splits[0] == splits[3]
    assert len(set(splits)) == 3
    assert abs(np.mean(splits[0]) - 898) < 5 * 1797 / np.sqrt(12 * 200)  # shuffled
    np.random.seed(1)
    torch.manual_seed(1)
    assert tuple(SPLIT.data().train) == splits[0]
    after = np.random.random(), torch.rand(1).item()
    np.random.seed(1)
    torch.manual_seed(1)
    assert after == (np.random.random(), torch.rand(1).item())
    assert np.array_equal(SMALLER.data().train, SPLIT.data().train[:50])


def test_the_papers_task_learns_1000_of_10000_images_of_784_pixels():
    task = ImageTask(seed=0)
    assert (task.images, task.pixels, task.train_count, task.test_count) == (MNIST, 784, 1000, 9000)
    assert (task.tokens, task.classes, task.length, task.loss) == (784, 10, 1, "squared error")


def test_a_set_that_does_not_suit_the_task_is_refused():
    digits = "scikit-learn's 8×8 digits, not MNIST has 1,797 images of 64 pixels"
    for change, wanted in (
        ({"test_count": 1598}, "1,798 of 64"),
        ({"train_count": 1000, "test_count": 9000}, "10,000 of 64"),
        ({"pixels": 784}, "1,797 of 784"),
    ):
        assert refusal(dataclasses.replace(SPLIT, **change).data) == f"{digits}; the task needs {wanted}"


@pytest.mark.parametrize("name", ["pixels", "train_count", "test_count"])
@pytest.mark.parametrize("value", [0, -1])
def test_impossible_counts_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be at least 1$"):
        ImageTask(seed=0, **{name: value})


# --- what is kept of its nets -----------------------------------------------------------------------------------------


def test_tables_are_kept_every_hundred_epochs_at_first_and_then_every_thousand():
    paper = dataclasses.replace(tiny_image_run(), epochs=30_000)
    assert probes.snapshot_epochs(paper) == [*range(0, 1001, 100), *range(2000, 30_001, 1000)]
    assert probes.weight_epochs(paper) == [0, 1000, 2000, 4000, 8000, 15_000, 30_000]


@pytest.mark.parametrize("epochs", [1, 7, 99, 230, 300, 1000, 7000])
def test_tables_begin_at_the_start_and_end_at_the_end_of_any_budget(epochs):
    run = tiny_image_run(epochs=epochs)
    kept, weights = probes.snapshot_epochs(run), probes.weight_epochs(run)
    assert kept == sorted(set(kept)) and set(weights) <= set(kept)
    assert {epoch for epoch in range(0, 1001, 100) if epoch <= epochs} <= set(kept)
    assert (kept[0], kept[-1], weights[0], weights[-1]) == (0, epochs, 0, epochs)


def summarized(run):
    """The tables of a run, and its snapshots."""
    [trained] = train_dense([run], snapshots={run: set(probes.snapshot_epochs(run))})
    return probes.summarize(run, trained.snapshots), trained.snapshots


def test_tables_hold_the_answers_to_the_first_test_images_and_the_weights_of_the_first_neurons():
    run = tiny_image_run(epochs=12, model=ImageMLP(width=20), optimizer=AdamW(learning_rate=0.1))
    found, snapshots = summarized(run)
    data, digits, shapes = run.task.data(), load_digits(), run.model.shapes(run.task)
    assert found["epochs"].tolist() == probes.snapshot_epochs(run) == list(range(13))
    assert found["images"].dtype == found["labels"].dtype == found["answers"].dtype == np.uint8
    assert np.array_equal(found["images"], digits.data[data.test])
    assert np.array_equal(found["labels"], digits.target[data.test])
    assert found["answers"].shape == (13, 20)
    for epoch, answers in enumerate(found["answers"]):
        W = {name: torch.from_numpy(matrix).double() for name, matrix in as_matrices(snapshots[epoch], shapes).items()}
        outputs = [reference.image_outputs(W, image) for image in torch.from_numpy(digits.data[data.test] / 16)]
        assert answers.tolist() == [output.argmax().item() for output in outputs]
    assert len(np.unique(found["answers"], axis=0)) > 3
    assert found["weights"].dtype == np.float16
    assert found["weight_epochs"].tolist() == probes.weight_epochs(run)
    assert found["weights"].shape == (len(probes.weight_epochs(run)), 16, 64)
    for epoch, weights in zip(found["weight_epochs"], found["weights"], strict=True):
        W_1 = as_matrices(snapshots[epoch], shapes)["W_1"]
        for neuron in range(16):
            assert np.array_equal(weights[neuron], W_1[:, neuron].astype(np.float16))


def test_tables_hold_no_more_than_200_test_images_and_16_neurons():
    run = tiny_image_run(epochs=1, test_count=250)
    found, _ = summarized(run)
    shown = run.task.data().test[:200]
    assert np.array_equal(found["images"], load_digits().data[shown])
    assert (found["answers"].shape, found["weights"].shape) == ((2, 200), (2, 8, 64))  # it has but 8


@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_tables_of_nets_on_pairs_are_those_of_fourier(model):
    run = tiny_run(model, epochs=60)
    assert probes.snapshot_epochs(run) == fourier.snapshot_epochs(run)
    found, snapshots = summarized(run)
    wanted = fourier.summarize(run, snapshots)
    assert list(found) == list(wanted)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_record_names_its_images_and_its_probes_are_kept_with_it(store):
    run, pairs = tiny_image_run(epochs=5), tiny_run(epochs=1)
    record, other = obtain([run, pairs], store, probed=[run], progress=False)
    assert record.provenance["images"] == images.load(DIGITS).describe()
    assert "images" not in other.provenance
    wanted = summarized(run)[0]
    found = record.probes
    assert sorted(found) == sorted(wanted)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_record_of_a_file_of_ones_own_names_that_file(store, tmp_path):
    name = images.from_file(write_npz(tmp_path / "mine.npz", WITHOUT))
    task = ImageTask(images=name, pixels=16, train_count=10, test_count=20, seed=0)
    run = dataclasses.replace(tiny_image_run(epochs=1), task=task)
    [record] = obtain([run], store, progress=False)
    assert record.provenance["images"] == f"a file of images with hash {name}: 59 images (mine.npz)"
    assert record.provenance["run"]["task"]["images"] == name
