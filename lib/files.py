"""Files: records of arrays and a JSON note, many to a file, each with a checksum over all its content.

A file is a zip like NumPy's .npz: its directory tells which records it holds, and one record can be read without the
others. It is written under a temporary name and then moved into place, so a reader sees a whole file or none; it is read
without unpickling anything.
"""

import contextlib
import hashlib
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS, CACHE = ROOT / "results", ROOT / ".cache"
NOTE, PLAIN, SERIES = "note.json", ".npy", ".series.npy"


class StoreError(RuntimeError):
    """A file of the store cannot be written or read."""


class _Tried(Exception):
    """Ends a trial to write."""


class Content(NamedTuple):
    """What a record holds: arrays by name, and a JSON note."""

    arrays: Mapping[str, np.ndarray]
    note: Mapping[str, Any]


def checksum(content: Content) -> str:
    """A hash of all that a record holds."""
    digest = hashlib.sha256(json.dumps(content.note, sort_keys=True).encode())
    for name in sorted(content.arrays):
        array = np.ascontiguousarray(content.arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _packed(array: np.ndarray) -> np.ndarray:
    """Floats [T, ...] as bytes [itemsize, ..., T] that compress to a third: their bits as integers, differences along the
    first axis, and then, for bytes of one significance after the other, those of one series side by side."""
    bits = np.ascontiguousarray(array).view(f"i{array.itemsize}")
    steps = np.diff(bits, axis=0, prepend=np.zeros_like(bits[:1]))
    series = np.ascontiguousarray(np.moveaxis(steps, 0, -1))
    return np.moveaxis(series[..., None].view(np.uint8), -1, 0)


def _unpacked(packed: np.ndarray) -> np.ndarray:
    """Undoes `_packed`."""
    size = len(packed)
    series = np.ascontiguousarray(np.moveaxis(packed, 0, -1)).view(f"i{size}")[..., 0]
    steps = np.ascontiguousarray(np.moveaxis(series, -1, 0))
    return np.cumsum(steps, axis=0, dtype=steps.dtype).view(f"f{size}")


def write(path: Path, records: Mapping[str, Content]) -> None:
    """Writes records by key to one file, whole or not at all; an existing file is replaced.

    Raises StoreError where the disk is full or the folder cannot be written; nothing that was there is lost.
    """
    with whole(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in records.items():
            for name, array in content.arrays.items():
                is_series = array.dtype.kind == "f" and array.ndim > 0 and array.size > 0
                buffer, suffix = io.BytesIO(), SERIES if is_series else PLAIN
                array = np.ascontiguousarray(_packed(array) if is_series else array)
                np.lib.format.write_array(buffer, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{key}/{name}{suffix}"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
            text = json.dumps({"note": content.note, "checksum": checksum(content)}, sort_keys=True)
            archive.writestr(zipfile.ZipInfo(f"{key}/{NOTE}"), text, zipfile.ZIP_DEFLATED)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all. Raises StoreError as `whole` does."""
    with whole(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place in one step at the end: a reader sees the old one or the new one, never half of it.

    Its folder is made. Raises StoreError where it cannot be written; nothing that was there is lost.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # an interrupt too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; free some space or check the folder") from error


def try_to_write(path: Path) -> None:
    """Writes nothing. Raises StoreError, as `whole` does, where a file could not be written: better before long work than after."""
    with contextlib.suppress(_Tried), whole(path):
        raise _Tried


def keys(path: Path) -> list[str]:
    """The keys of a file's records. Raises StoreError where it is missing, foreign or damaged."""
    return [name.removesuffix(f"/{NOTE}") for name in _opened(path).namelist() if name.endswith(f"/{NOTE}")]


def read(path: Path, key: str) -> Content:
    """One record of a file. Raises StoreError where it is missing, foreign or damaged."""
    archive = _opened(path)
    try:
        found = json.loads(archive.read(f"{key}/{NOTE}"))
        arrays = {_array_name(key, member): _decoded(member, archive.read(member)) for member in _members(archive, key)}
        content = Content(arrays, found["note"])
        if found["checksum"] != checksum(content):
            raise ValueError("checksum does not match")
        return content
    except Exception as error:  # damage can make NumPy, zipfile and its decompressors raise nearly anything
        raise StoreError(f"record {key} in {path} is damaged ({type(error).__name__}: {error})") from error


def look(path: Path, key: str, wanted: str) -> tuple[frozenset[str], Content]:
    """The names of a record's arrays, and its content with one of them alone, in a fraction of the time of `read`.

    The bytes of the others are checked by the file's own checksums and not decoded. Raises StoreError where the record is
    missing, foreign or damaged.
    """
    archive, arrays, names = _opened(path), {}, set()
    try:
        note = json.loads(archive.read(f"{key}/{NOTE}"))["note"]
        for member in _members(archive, key):
            content = archive.read(member)  # raises where its checksum does not match
            name = _array_name(key, member)
            names.add(name)
            if name == wanted:
                arrays[name] = _decoded(member, content)
    except Exception as error:
        raise StoreError(f"record {key} in {path} is damaged ({type(error).__name__}: {error})") from error
    return frozenset(names), Content(arrays, note)


def _members(archive: zipfile.ZipFile, key: str) -> list[str]:
    return [name for name in archive.namelist() if name.startswith(f"{key}/") and name.endswith(PLAIN)]


def _array_name(key: str, member: str) -> str:
    return member.removeprefix(f"{key}/").removesuffix(SERIES if member.endswith(SERIES) else PLAIN)


def _decoded(member: str, content: bytes) -> np.ndarray:
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return _unpacked(array) if member.endswith(SERIES) else array


@lru_cache(maxsize=8)
def _archive(path: Path, *identity: int) -> zipfile.ZipFile:
    """A file's content, whose directory is parsed once for all of its records."""
    return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        about = path.stat()
        return _archive(path, about.st_ino, about.st_mtime_ns, about.st_size)
    except FileNotFoundError:
        raise StoreError(f"{path} does not exist") from None
    except Exception as error:
        raise StoreError(f"{path} is damaged or not a file of records ({type(error).__name__}: {error})") from error


def sweep(folder: Path) -> None:
    """Removes what killed writers left: temporary files older than an hour."""
    for path in folder.rglob(".*.part"):
        try:
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()
        except FileNotFoundError:
            continue  # its writer, or another sweep, was faster
