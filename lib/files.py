"""Files: arrays and a JSON note in an .npz with a checksum over all its content.

A file is written under a temporary name and then moved into place, so a reader sees a whole file or none; it is read
without unpickling anything.
"""

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS, CACHE = ROOT / "results", ROOT / ".cache"


class StoreError(RuntimeError):
    """A file of the store cannot be written or read."""


def _checksum(arrays: dict[str, np.ndarray], note: str) -> str:
    digest = hashlib.sha256(note.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def write(path: Path, arrays: dict[str, np.ndarray], note: dict[str, object]) -> None:
    """Writes arrays and a JSON note to `path`, whole or not at all; an existing file is replaced.

    Raises StoreError where the disk is full or the folder cannot be written; nothing that was there is lost.
    """
    text = json.dumps(note, sort_keys=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                np.savez_compressed(file, note=np.array(text), checksum=np.array(_checksum(arrays, text)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # an interrupt too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; free some space or check the folder") from error


def read(path: Path, note_only: bool = False) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and note of a file written by `write`. Raises StoreError where it is missing, foreign or damaged.

    note_only: leave the arrays, and the check of what they hold, out.
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist")
    try:
        # Opened here: np.load leaves a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (["note"] if note_only else archive.files)}
        text = str(arrays.pop("note"))
        if not note_only and str(arrays.pop("checksum")) != _checksum(arrays, text):
            raise ValueError("checksum does not match")
        return arrays, json.loads(text)
    except Exception as error:  # damage can make NumPy, zipfile and its decompressors raise nearly anything
        raise StoreError(
            f"{path} is damaged or not a record of this project ({type(error).__name__}: {error})"
        ) from error


def sweep(folder: Path, older_than: float = 3600.0) -> None:
    """Removes what killed writers left: temporary files older than so many seconds."""
    for path in folder.rglob(".*.part"):
        try:
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()
        except FileNotFoundError:
            continue  # its writer, or another sweep, was faster
