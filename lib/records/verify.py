"""Verification: records trained anew and compared with those that are there."""

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lib.analysis.times import TAUS, final, generalization_epoch
from lib.records.plan import obtain
from lib.records.store import Record, Store
from lib.train.runs import Run

ARITHMETIC = ("numerics", "torch", "numpy", "products", "machine")  # what must be the same for the same bits
# Elsewhere rounding drifts apart, and these must hold; the book says of how many runs on two machines they do.
TAU, FACTOR, MARGIN = TAUS[-1], 2.0, 0.1


def epochs_anew(run: Run) -> int:
    """Epochs that lead to the run from nothing, those of the networks that its start needs too."""
    return run.epochs + sum(epochs_anew(base) for base, _ in run.start.needs())


def drawn(runs: Sequence[Run], store: Store, count: int, seed: int, longest: int | None = None) -> list[Record]:
    """A random sample of the records of runs, of at most so many epochs from nothing. Raises ValueError where there is none."""
    if count < 1:
        raise ValueError(f"--sample is {count}; it must be at least 1")
    there = [run for run in runs if store.status(run).is_there]
    short = [run for run in there if longest is None or epochs_anew(run) <= longest]
    if not short:
        least = f"; the shortest takes {min(map(epochs_anew, there)):,}" if there else ""
        of = "" if longest is None else f" of at most {longest:,} epochs from nothing"
        raise ValueError(f"there is no record{of} to verify{least}")
    found = [store.load(run) for run in random.Random(seed).sample(short, min(count, len(short)))]
    return [record for record in found if record is not None]


def train_anew(records: Sequence[Record]) -> list[Record]:
    """The same runs from nothing, in a store that is gone afterwards."""
    with TemporaryDirectory() as folder:
        store = Store(Path(folder, "results"), Path(folder, "cache"))
        return obtain([record.run for record in records], store)


def _arithmetic(record: Record) -> dict[str, str]:
    """What made a record's bits. Of OpenBLAS the kernels count: neither its version, which is NumPy's (some records name that of
    SciPy's), nor whether the processor, OPENBLAS_CORETYPE or skylakex.c brought them."""
    found = {name: str(record.provenance.get(name)) for name in ARITHMETIC}
    return found | {"products": record.kernels}


def compare_anew(record: Record, anew: Record) -> tuple[bool, str]:
    """Whether a record and its run trained anew agree, and a sentence on it.

    To the bit on the same machine with the same versions. Else both times to generalization lie within `FACTOR` of each
    other (a run that never reaches `TAU` counts with its budget), and training and test accuracies end within `MARGIN`.
    """
    epochs = np.intersect1d(record.epochs, anew.epochs)  # older records were evaluated less often early on
    rows = [np.isin(one.epochs, epochs) for one in (record, anew)]
    was, now = (_arithmetic(one) for one in (record, anew))
    other = [name for name in ARITHMETIC if was[name] != now[name]]
    if not other:
        for name in record.metrics:
            old, new = (one.metrics[name][at] for one, at in zip((record, anew), rows, strict=True))
            differs = (old != new) & ~(np.isnan(old) & np.isnan(new))
            if differs.any():
                return False, f"{name} differs from epoch {epochs[differs][0]:,} on"
        return True, "the same to the bit"
    times = [generalization_epoch(one, TAU) for one in (record, anew)]
    earlier, later = sorted(record.run.epochs if t is None else max(t, 1) for t in times)
    gaps = [abs(final(record, name) - final(anew, name)) for name in ("train_accuracy", "test_accuracy")]
    words = " and ".join("never" if t is None else f"{t:,}" for t in times)
    return later <= FACTOR * earlier and max(gaps) <= MARGIN, (
        f"another {', '.join(other)}; t_gen {words} (within a factor of {FACTOR:g}), accuracies at the end within "
        f"{max(gaps):.3f} (at most {MARGIN:g})"
    )
