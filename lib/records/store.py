"""The store: records and checkpoints on disk, under the key of the run that made them.

`results/` holds the committed records of the paper profile; `.cache/` holds everything else (records of other seeds
and profiles, checkpoints) and may be deleted at any time: what is needed is trained again. The records of runs that were
trained together share a file (lib/files.py), whose name is a hash of what it holds: writers never touch each other's files,
and of a run that is recorded twice the best record counts.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.files import CACHE, RESULTS, Content, StoreError, checksum, keys, look, read, sweep, try_to_write, write
from lib.train import images, products
from lib.train.runs import NUMERICS, Run
from lib.train.tasks import ImageTask
from lib.train.trainer import METRICS, Trained

SMALL = 8  # records; `Store.pack` merges smaller files
PACKED, LARGEST = 64, 2_000_000  # records and bytes in a file that `Store.pack` makes
MASK = "mask"
PROBES = "probes-"  # before the names of arrays that lib/analysis/probes.py makes


@dataclass(frozen=True)
class Record:
    """What a run left: metrics name -> float64 [T] over `epochs` [T], and where they come from. packed_mask: the mask that
    was held, a bit for each weight, and probes: what lib/analysis/probes.py keeps, both where something reads them."""

    run: Run
    epochs: np.ndarray
    metrics: dict[str, np.ndarray]
    provenance: Mapping[str, Any]
    packed_mask: np.ndarray | None = None
    probes: dict[str, np.ndarray] | None = None

    @property
    def seed(self) -> int:
        """The seed that the run shares with the base it is compared with: that of its split."""
        return self.run.task.seed

    @property
    def kernels(self) -> str:
        """What multiplied its matrices: OpenBLAS's kernels for some processor ("Haswell"), else PyTorch ("torch")."""
        found = re.search(r"OpenBLAS \S+ \((\w+)\)", str(self.provenance.get("products")))
        return found[1] if found else "torch"

    @property
    def mask(self) -> np.ndarray | None:
        """The mask that was held while training, or that scores chose by the end [n] (True = kept); None without one."""
        if self.packed_mask is None:
            return None
        return np.unpackbits(self.packed_mask, count=self.run.length).astype(bool)


@dataclass(frozen=True)
class Status:
    """state: "recorded", "missing", "out of date" or "damaged"; why: a sentence on it. has_probes, has_mask: what its record
    keeps; a run that held no mask has all there is."""

    state: str
    why: str
    has_probes: bool = False
    has_mask: bool = False

    @property
    def is_there(self) -> bool:
        """Whether there is a sound record."""
        return self.state in ("recorded", "out of date")


@dataclass(frozen=True)
class Kept:
    """A finished run, whether its mask is kept, and what lib/analysis/probes.py keeps of its weights."""

    trained: Trained
    masked: bool = False
    probes: Mapping[str, np.ndarray] | None = None


@cache
def machine() -> str:
    """The processor and its number of cores, as in "AMD EPYC, 2 cores"."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not Linux: the platform's own word will do
    return f"{name}, {os.cpu_count()} cores"


def provenance(seconds: float, device: str) -> dict[str, object]:
    """Versions, machine and time, for a record that took so many seconds of its stack's time on a device."""
    return {
        "numerics": NUMERICS,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "products": f"torch {torch.__version__}" if device == "cuda" else products.describe(),
        "machine": torch.cuda.get_device_name() if device == "cuda" else machine(),
        "seconds": round(seconds, 2),
        "recorded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class Store:
    """Records and checkpoints of one place: read from `results` and `cache`, written to `results` where `commit`."""

    def __init__(self, results: Path = RESULTS, cache: Path = CACHE, commit: bool = False):
        self.folders = [results / "records", cache / "records"]
        self.write_to = self.folders[0 if commit else 1]
        self.checkpoints = cache / "checkpoints" / f"numerics-{NUMERICS}"
        self._statuses: dict[Run, Status] = {}
        for folder in {self.write_to, self.checkpoints}:
            sweep(folder)

    # --- writing --------------------------------------------------------------------------------------------------

    def save(self, kept: Sequence[Kept], seconds: float, device: str = "cpu") -> None:
        """Writes the records of runs that were trained together, in so many seconds a run."""
        records = {}
        for one in kept:
            run, trained = one.trained.run, one.trained
            arrays: dict[str, np.ndarray] = {
                "metrics": np.stack([trained.metrics[name] for name in METRICS], 1).astype(np.float32)
            }
            if one.masked and trained.mask is not None:
                arrays[MASK] = np.packbits(trained.mask)
            arrays |= {f"{PROBES}{name}": x for name, x in (one.probes or {}).items()}
            note = {
                "run": json.loads(run.canonical),
                "metrics": list(METRICS),
                "masked": trained.mask is not None,
                "early": True,  # evaluated more often early on; older records were not
                **provenance(seconds, device),
            }
            if isinstance(run.task, ImageTask):
                note["images"] = images.load(run.task.images).describe()
            records[run.key] = Content(arrays, note)
        self._write(records)

    def try_to_write(self) -> None:
        """Raises StoreError where records or checkpoints could not be written."""
        for folder in (self.write_to, self.checkpoints):
            try_to_write(folder / "trial.zip")

    def _write(self, records: Mapping[str, Content]) -> Path:
        # Notes alone would not do: of two writers at the same second one may keep what the other does not.
        name = hashlib.sha256(json.dumps({key: checksum(x) for key, x in records.items()}, sort_keys=True).encode())
        path = self.write_to / f"{name.hexdigest()[:16]}.zip"
        write(path, records)
        self._statuses.clear()
        for key in records:
            self._places.setdefault(key, []).append(path)
        return path

    def save_checkpoints(self, trained: Trained, epochs: Iterable[int]) -> None:
        """Writes the weights of a run at some of the epochs that were kept, one file an epoch."""
        for epoch in epochs:
            content = Content({"weights": trained.snapshots[epoch]}, {"epoch": epoch})
            write(self._checkpoint(trained.run, epoch), {trained.run.key: content})

    def adopt(self, runs: Iterable[Run], probed: Collection[Run] = (), masked: Collection[Run] = ()) -> int:
        """Copies records of runs that only the other folder holds, or holds with the probes and the mask that are wanted, to the one
        that is written to; returns how many."""
        found = {}
        for run in runs:
            if self.status(run).state != "recorded" or all(
                path.parent == self.write_to for path in self._places[run.key]
            ):
                continue  # most runs, whose records need not be read
            copies = [(path, content) for path, content in self._contents(run) if _worth(*content)[0] == NUMERICS]
            here = {name for path, content in copies if path.parent == self.write_to for name in content.arrays}
            unread = {"mask": run not in masked, "probes": run not in probed}
            more = [content for _, content in copies if not _without(content, **unread).arrays.keys() <= here]
            if more:
                found[run.key] = max(more, key=lambda content: _worth(*content))
        if found:
            self._write(found)
        return len(found)

    def thin(self, masked: Iterable[Run], probed: Iterable[Run]) -> int:
        """Takes the masks and probes of all but these runs out of the files; returns how many records that makes smaller. A damaged
        file is left alone."""
        masks, probes = ({run.key for run in runs} for runs in (masked, probed))
        thinned = 0
        for path, whole in self._undamaged():
            lighter = {key: _without(x, mask=key not in masks, probes=key not in probes) for key, x in whole.items()}
            fewer = sum(len(lighter[key].arrays) < len(whole[key].arrays) for key in whole)
            if fewer:
                self._write(lighter)
                path.unlink()
                thinned += fewer
        self.__dict__.pop("_places", None)
        return thinned

    def pack(self) -> int:
        """Merges files of few records into larger ones; returns how many files that saves. A damaged file is left alone."""
        small = [(path, found) for path, found in self._undamaged() if len(found) < SMALL]
        saved = 0
        while len(small) > 1:
            merged: dict[str, Content] = {}
            merged_paths: list[Path] = []
            later: list[tuple[Path, dict[str, Content]]] = []
            room = LARGEST
            for path, found in small:
                size = path.stat().st_size
                other = any(_both_count(merged[key], found[key]) for key in merged.keys() & found.keys())
                if merged_paths and (other or len(merged) + len(found) > PACKED or size > room):
                    later.append((path, found))
                    continue
                room -= size
                twice = {key: merged[key] for key in merged.keys() & found.keys()}
                better = {key: max(x, found[key], key=lambda one: _worth(*one)) for key, x in twice.items()}
                merged |= found | better
                merged_paths.append(path)
            kept = self._write(merged)
            for path in merged_paths:
                if path != kept:
                    path.unlink()
            saved += len(merged_paths) - 1
            small = later
        self.__dict__.pop("_places", None)
        return saved

    def _undamaged(self) -> Iterator[tuple[Path, dict[str, Content]]]:
        """The files that are written to and all their records, those left out of which one cannot be read."""
        for path in self._files(self.write_to):
            with contextlib.suppress(StoreError):
                yield path, {key: read(path, key) for key in keys(path)}

    # --- reading --------------------------------------------------------------------------------------------------

    def load(self, run: Run) -> Record | None:
        """The run's best record, or None where it has to be trained (`status` says why)."""
        versions = self.versions(run)
        return versions[max(versions)] if versions else None

    def versions(self, run: Run) -> dict[int, Record]:
        """The run's best record of each numerics, with the mask and the probes that others of the same training keep."""
        found: dict[int, list[Record]] = {}
        for path, content in sorted(self._contents(run), key=lambda one: _worth(*one[1]), reverse=True):
            found.setdefault(_worth(*content)[0], []).append(_record(run, path, content))
        return {numerics: _united(*records) for numerics, records in found.items()}

    def file(self, run: Run) -> Path | None:
        """The file that holds the run's best record, or None where there is none."""
        found = [(_worth(*content), path) for path, content in self._contents(run)]
        return max(found)[1] if found else None

    def weights(self, run: Run, epoch: int) -> np.ndarray | None:
        """The run's weights [n] after `epoch` epochs, or None where they have to be made again."""
        if epoch == 0 and not run.start.needs():
            origin = run.start.make(run, self.weights)
            if origin.to_weights is None:
                return origin.trained
        try:
            return read(self._checkpoint(run, epoch), run.key).arrays["weights"]
        except (StoreError, KeyError):
            return None

    def status(self, run: Run) -> Status:
        """Whether the run is recorded, and if not, why it would be trained."""
        if run not in self._statuses:
            self._statuses[run] = self._status(run)
        return self._statuses[run]

    def _status(self, run: Run) -> Status:
        found, problems = [], []
        for path in filter(Path.exists, self._places.get(run.key, [])):
            try:
                names, (arrays, note) = look(path, run.key, "metrics")
                _epochs_of(run, path, arrays, note)
            except StoreError as error:
                problems.append(str(error))
                continue
            probed, mask = any(name.startswith(PROBES) for name in names), MASK in names
            found.append((_worth(names, note), probed, mask or not note.get("masked"), arrays["metrics"].tobytes()))
        if not found:
            return Status("damaged", problems[0]) if problems else Status("missing", "no record of this run")
        (numerics, *_), *_, metrics = max(found, key=lambda one: one[0])
        same = [one for one in found if (one[0][0], one[3]) == (numerics, metrics)]  # as `_united` has it
        probed, masked = any(one[1] for one in same), any(one[2] for one in same)
        if numerics == NUMERICS:
            return Status("recorded", "", probed, masked)
        return Status("out of date", f"recorded with numerics {numerics}, the trainer is at {NUMERICS}", probed, masked)

    def unreadable(self) -> list[str]:
        """A sentence on each file among the records that is damaged or foreign."""
        self._places  # noqa: B018 - looks into all files
        return self._unreadable

    def _contents(self, run: Run) -> Iterator[tuple[Path, Content]]:
        """The files that hold a sound record of the run, each with what it holds; `status` says what is wrong with others."""
        for path in filter(Path.exists, self._places.get(run.key, [])):
            with contextlib.suppress(StoreError):
                content = read(path, run.key)
                _epochs_of(run, path, *content)
                yield path, content

    def _checkpoint(self, run: Run, epoch: int) -> Path:
        return self.checkpoints / run.key / f"{epoch:06d}.zip"

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))

    @cached_property
    def _places(self) -> dict[str, list[Path]]:
        """Key -> the files that hold a record under it."""
        places: dict[str, list[Path]] = {}
        self._unreadable = []
        for folder in self.folders:
            for path in self._files(folder):
                try:
                    for key in keys(path):
                        places.setdefault(key, []).append(path)
                except StoreError as error:
                    self._unreadable.append(str(error))
        return places


def _both_count(one: Content, other: Content) -> bool:
    """Whether two records of a run are no substitute for each other: of different arithmetic, as comparisons take the newest
    that all their runs have, or each with arrays that the other lacks."""
    fewer, more = sorted((one.arrays.keys(), other.arrays.keys()), key=len)
    return _worth(*one)[0] != _worth(*other)[0] or not fewer <= more


def _worth(names: Collection[str], note: Mapping[str, Any]) -> tuple[int, int, str]:
    """Of several records of a run the one of the highest numerics counts, of these the one that keeps most, by the names of its
    arrays, of these the newest."""
    return int(note.get("numerics", 0)), len(names), str(note.get("recorded", ""))


def _without(content: Content, *, mask: bool, probes: bool) -> Content:
    """A record without its mask, without its probes."""

    def goes(name: str) -> bool:
        return (mask and name == MASK) or (probes and name.startswith(PROBES))

    return Content({name: x for name, x in content.arrays.items() if not goes(name)}, content.note)


def _united(best: Record, *others: Record) -> Record:
    """A record with the mask and the probes of others, where it lacks them and their metrics are the same to the bit.

    Chapters that keep different things of one run may have trained it one after the other, or side by side.
    """
    for other in others:
        if all(np.array_equal(values, other.metrics[name], equal_nan=True) for name, values in best.metrics.items()):
            mask = other.packed_mask if best.packed_mask is None else best.packed_mask
            best = dataclasses.replace(best, packed_mask=mask, probes=best.probes or other.probes)
    return best


def _epochs_of(run: Run, path: Path, arrays: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> np.ndarray:
    """The epochs of a record [T]. Raises StoreError where it is not that of the run, or its metrics are not all there."""
    canonical = json.dumps(note.get("run"), sort_keys=True, separators=(",", ":"))
    epochs, values = run.evaluated_epochs if note.get("early") else run.deciding_epochs, arrays.get("metrics")
    if canonical != run.canonical or values is None or values.shape != (len(epochs), len(METRICS)):
        raise StoreError(f"record {run.key} in {path} is damaged (it is not that of its run)")
    return epochs


def _record(run: Run, path: Path, content: Content) -> Record:
    """The run's record, from what a file holds. Raises StoreError where that is another run's or not whole."""
    arrays, note = content
    epochs = _epochs_of(run, path, arrays, note)
    columns = zip(note["metrics"], arrays["metrics"].T, strict=True)
    metrics = {name: column.astype(np.float64) for name, column in columns}
    probes = {name.removeprefix(PROBES): x for name, x in arrays.items() if name.startswith(PROBES)}
    return Record(run, epochs, metrics, note, arrays.get(MASK), probes or None)


def other_machines() -> Store:
    """The records that other machines, or other kernels, made of runs that are recorded here too."""
    return Store(results=RESULTS / "other-machine", cache=CACHE / "other-machine")
