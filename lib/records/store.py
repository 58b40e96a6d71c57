"""The store: records and checkpoints on disk, under the key of the run that made them.

`results/` holds the committed records of the paper profile; `.cache/` holds everything else (records of other seeds
and profiles, checkpoints) and may be deleted at any time: what is needed is trained again.

The files are those of lib/files.py.
"""

import hashlib
import json
import os
import platform
import time
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch

from lib.train import images, products
from lib.files import CACHE, RESULTS, StoreError, read, sweep, write
from lib.train.runs import NUMERICS, Run
from lib.analysis.probes import summarize
from lib.train.tasks import ImageTask
from lib.train.trainer import METRICS, Trained


@dataclass(frozen=True)
class Record:
    """What a run left: metrics name -> float64 [T] over `epochs` [T], its mask, and where they come from."""

    run: Run
    epochs: np.ndarray
    metrics: dict[str, np.ndarray]
    provenance: dict[str, object]
    packed_mask: np.ndarray | None = None  # a bit for each weight
    tables: dict[str, np.ndarray] | None = None  # what lib/analysis/probes.py keeps, for the chapters that look into the nets

    @property
    def seed(self) -> int:
        """The seed that the run shares with the base it is compared with: that of its split."""
        return self.run.task.seed

    @property
    def mask(self) -> np.ndarray | None:
        """The mask that was held while training [n] (True = kept), or None."""
        size = max(part.stop for part in self.run.parts().values())
        return None if self.packed_mask is None else np.unpackbits(self.packed_mask, count=size).astype(bool)


@dataclass(frozen=True)
class Status:
    """state: "recorded", "missing", "out of date" or "damaged"; why: a sentence on it."""

    state: str
    why: str


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
        "products": "torch (CUDA)" if device == "cuda" else products.describe(),
        "machine": torch.cuda.get_device_name() if device == "cuda" else machine(),
        "seconds": round(seconds, 2),
        "recorded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class Store:
    """Records and checkpoints of one place: read from `results` and `cache`, written to `results` where `commit`."""

    def __init__(self, results: Path = RESULTS, cache: Path = CACHE, commit: bool = False):
        self.folders = [results / "records", cache / "records"]
        self.write_to = self.folders[0 if commit else 1]
        self.tables_folders = [results / "tables", cache / "tables"]
        self.checkpoints = cache / "checkpoints"
        for folder in {self.write_to, self.checkpoints, *self.tables_folders}:
            sweep(folder)

    def save(self, trained: Trained, seconds: float, device: str = "cpu") -> None:
        """Writes the record of a finished run and its checkpoints."""
        run = trained.run
        self.save_checkpoints(trained)
        arrays = {name: trained.metrics[name].astype(np.float32) for name in METRICS}
        if trained.mask is not None:
            arrays["mask"] = np.packbits(trained.mask)
        note = {"run": json.loads(run.canonical()), **provenance(seconds, device)}
        if isinstance(run.task, ImageTask):
            note["images"] = images.load(run.task.images).describe()
        write(self.write_to / f"{run.key}.npz", arrays, note)

    def save_checkpoints(self, trained: Trained) -> None:
        """Writes the weights that were kept of a run, one file an epoch."""
        for epoch, weights in trained.snapshots.items():
            write(self._checkpoint(trained.run, epoch), {"weights": weights}, {"epoch": epoch})

    def save_tables(self, trained: Trained) -> None:
        """Writes what lib/analysis/probes.py keeps of a run's snapshots."""
        path = self.write_to.parent / "tables" / f"{trained.run.key}.npz"
        write(path, summarize(trained.run, trained.snapshots), {"run": json.loads(trained.run.canonical())})

    def tables(self, run: Run) -> dict[str, np.ndarray] | None:
        """What `save_tables` wrote of a run, or None where it has to be made again."""
        for folder in self.tables_folders:
            try:
                return read(folder / f"{run.key}.npz")[0]
            except StoreError:
                continue
        return None

    def load(self, run: Run) -> Record | None:
        """The run's record, or None where it has to be trained (`status` says why)."""
        for path in self._paths(run):
            try:
                return _record(run, path)
            except StoreError:
                continue
        return None

    def weights(self, run: Run, epoch: int) -> np.ndarray | None:
        """The run's weights [n] after `epoch` epochs, or None where they have to be made again."""
        if epoch == 0 and not run.start.needs():
            return run.start.make(run, self.weights)[0]
        try:
            return read(self._checkpoint(run, epoch))[0]["weights"]
        except (StoreError, KeyError):
            return None

    def status(self, run: Run) -> Status:
        """Whether the run is recorded, and if not, why it would be trained."""
        paths = [path for path in self._paths(run) if path.exists()]
        problems = []
        for path in paths:
            try:
                _record(run, path)
                return Status("recorded", f"in {path.parent.parent.name}/")
            except StoreError as error:
                problems.append(str(error))
        if problems:
            return Status("damaged", problems[0])
        old = self._numerics.get(run.canonical())
        if old is not None:
            return Status("out of date", f"recorded with numerics {old}, the trainer is at {NUMERICS}")
        return Status("missing", "no record of this run")

    def foreign(self) -> list[Path]:
        """Files among the records that are not records."""
        found = []
        for path in self._files("*"):
            try:
                _, note = read(path)
                if _key(note) != path.name.removesuffix(".npz"):
                    found.append(path)
            except StoreError:
                found.append(path)
        return found

    def _paths(self, run: Run) -> list[Path]:
        return [folder / f"{run.key}.npz" for folder in self.folders]

    def _checkpoint(self, run: Run, epoch: int) -> Path:
        return self.checkpoints / run.key / f"{epoch:06d}.npz"

    def _files(self, pattern: str) -> list[Path]:
        return sorted(path for folder in self.folders for path in folder.glob(pattern) if path.is_file())

    @cached_property
    def _numerics(self) -> dict[str, object]:
        """Canonical run -> numerics of its record, for all readable records that this store began with."""
        out = {}
        for path in self._files("*.npz"):
            try:
                note = read(path, note_only=True)[1]
                out[_canonical(note)] = note["numerics"]
            except (StoreError, KeyError):
                continue
        return out


def _record(run: Run, path: Path) -> Record:
    """The run's record in a file. Raises StoreError where it is missing, damaged or another run's."""
    arrays, note = read(path)
    if _key(note) != run.key or any(
        name not in arrays or arrays[name].shape != run.evaluated_epochs.shape for name in METRICS
    ):
        raise StoreError(f"{path} is not the record of this run")
    metrics = {name: arrays[name].astype(np.float64) for name in METRICS}
    return Record(run, run.evaluated_epochs, metrics, note, arrays.get("mask"))


def _canonical(note: dict) -> str:
    return json.dumps(note.get("run"), sort_keys=True, separators=(",", ":"))


def _key(note: dict) -> str:
    return hashlib.sha256(_canonical(note).encode()).hexdigest()[:20]
