"""The data of the explorer: every recorded run of the paper profile, for a page without a server (`book/explorer.md`).

An index of all runs comes first; learning curves and Fourier spectra are read when a line is chosen. Each file is a script
that hands JSON to `grokking.receive`, because a browser lets no page that was opened from a disk read JSON itself.
"""

import dataclasses
import hashlib
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.analysis import fourier
from lib.analysis.times import final, generalization_epoch, median_time, threshold
from lib.book.figures import AXES
from lib.book.tables import seeds_text
from lib.experiments import parameters
from lib.experiments.arms import ARMS, Arm
from lib.experiments.chapters import CHAPTERS, CONFIRMATORY, EXPLORATORY, LEAST, wanted
from lib.experiments.settings import SETTINGS
from lib.files import RESULTS
from lib.records.store import Record, Store
from lib.train.models import MLP, Transformer
from lib.train.runs import DeadNeurons, Run, Ticket
from lib.train.tasks import ModularTask
from tools import card
from tools.notebooks import ROOT
from tools.site import CARD

SOURCE = ROOT / "book" / "_explorer"
METRICS = ("test_accuracy", "train_accuracy", "test_loss", "train_loss")
POINTS = 100  # of a curve, evenly spaced on a logarithmic axis
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"  # a spectrum is written with one for each amplitude
LEAD = "mlp"  # the setting of the figure that opens the book


@dataclass(frozen=True, order=True)
class Line:
    """What one line of a plot shows: a kind of net in a setting. cut: the ticket's epoch, or what it is a multiple of, where seeds share it."""

    setting: str
    kind: str
    label: str
    rate: float | None
    cut: str

    @property
    def file(self) -> str:
        """The name of its files."""
        return hashlib.sha256(repr(dataclasses.astuple(self)).encode()).hexdigest()[:10]


def line(setting: str, arm: Arm, run: Run) -> Line:
    """The line that a run belongs to. Families are one kind with the arm that stands alone and has their colour."""
    alone = [name for name, kind in ARMS.items() if kind.colour == arm.colour and "{" not in kind.label]
    kind, label = (alone[0], ARMS[alone[0]].label) if alone else (f"{arm.name} {arm.value:g}", arm.label)
    rate, epoch = cut_at(run.start)
    if ARMS[arm.name].of_t_gen:
        cut = f"{arm.value:g} t_gen"
    else:  # a phase is named by the label, and ends at another epoch in each base
        cut = "" if epoch is None or ARMS[arm.name].phase else str(epoch)
    return Line(setting, kind, label, rate, cut)


def cut_at(start: object) -> tuple[float | None, int | None]:
    """Pruning rate and ticket epoch of a start, each None where it has none."""
    parts = [start, *(getattr(start, name, None) for name in ("ticket", "trained", "of"))]
    ticket = next((part for part in parts if isinstance(part, Ticket)), None)
    rate = getattr(start, "rate", ticket and ticket.rate)
    return (None if isinstance(start, DeadNeurons) else rate), ticket and ticket.epoch


@dataclass(frozen=True)
class Found:
    """A record, the file that holds it, and the smallest chapter that has its run."""

    record: Record
    file: str
    chapter: str


def recorded(store: Store, seeds: Iterable[int] | None = None) -> dict[Line, dict[int, Found]]:
    """Every recorded run of the paper profile, by line and seed; seeds: only these."""
    whole = wanted(parameters.load("paper"), store=store, whole=True)
    whole = whole if seeds is None else whole.only(seeds)
    small = sorted(whole.by_arm.items(), key=lambda chapter: sum(len(arms) for arms in chapter[1].values()))
    places: dict[Run, tuple[Line, str]] = {}
    for chapter, settings in small:
        for setting, arms in settings.items():
            for arm, runs in arms.items():
                for run in runs:
                    places.setdefault(run, (line(setting, arm, run), chapter))
    found: dict[Line, dict[int, Found]] = defaultdict(dict)
    files = {run: store.file(run) for run in places}
    for run in sorted(places, key=lambda run: str(files[run])):
        if (path := files[run]) and (record := store.load(run)):
            where, chapter = places[run]
            found[where][record.seed] = Found(record, path.name, chapter)
    based = {where.setting for where in found if where.kind == "base"}  # without a base there is no tau
    lines = sorted((where for where in found if where.setting in based), key=_in_order)
    return {where: dict(sorted(found[where].items())) for where in lines}


def _in_order(where: Line) -> tuple:
    kinds, cut = list(ARMS), float(where.cut.split()[0] or 0) if where.cut else 0.0
    return list(SETTINGS).index(where.setting), kinds.index(where.kind.split()[0]), where.kind, where.rate or 0, cut


def tau_of(lines: dict[Line, dict[int, Found]], setting: str) -> float:
    """The test accuracy that counts as generalized in a setting, from its confirmatory bases where there are enough."""
    bases = next((by_seed for where, by_seed in lines.items() if (where.setting, where.kind) == (setting, "base")), {})
    confirmed = [found.record for seed, found in bases.items() if seed in CONFIRMATORY]
    least = min((CHAPTERS[found.chapter].least for found in bases.values()), default=LEAST)
    return threshold(confirmed if len(confirmed) >= least else [found.record for found in bases.values()])


def thinned(run: Run) -> np.ndarray:
    """Some of the epochs at which a run is evaluated, evenly spaced on a logarithmic axis, without the start.

    Besides, early on, those that older records have too.
    """
    epochs = run.evaluated_epochs[1:]
    goals = np.geomspace(epochs[0], epochs[-1], POINTS)
    chosen = epochs[np.abs(epochs[:, None] - goals).argmin(0)]
    old = run.deciding_epochs[1:]
    return np.union1d(chosen, old[old < run.epochs // 15])


def curve(record: Record, metric: str, epochs: np.ndarray) -> list[float | None]:
    """A metric to three significant digits (an accuracy to three places); None where the record has no such epoch."""
    known = dict(zip(record.epochs.tolist(), record.metrics[metric].tolist(), strict=True))
    accuracy = metric.endswith("accuracy")
    values = [known.get(epoch, math.nan) for epoch in epochs.tolist()]
    return [(round(x, 3) if accuracy else float(f"{x:.3g}")) if math.isfinite(x) else None for x in values]


def spectrum(table: np.ndarray) -> dict[str, object] | None:
    """The amplitudes of the live neurons of a table [h, p], each divided by its largest and written as a digit.

    Neurons are in the order of their strongest frequency. None where no neuron has a wave.
    """
    amplitudes = fourier.amplitudes(table)[fourier.live(table)]
    amplitudes = amplitudes[amplitudes.max(-1) > 1e-9]
    if not len(amplitudes):
        return None
    tops = amplitudes.argmax(-1)
    levels = np.round(amplitudes / amplitudes.max(-1, keepdims=True) * (len(DIGITS) - 1)).astype(int)
    rows = ["".join(DIGITS[level] for level in levels[i]) for i in np.lexsort((-amplitudes.max(-1), tops))]
    share, noise = float(fourier.median_share(table)), fourier.noise_share(amplitudes.shape[-1])
    return {"rows": rows, "neurons": len(table), "share": round(share, 3), "noise": round(noise, 3)}


def spectra(record: Record) -> dict[str, object]:
    """Input-side spectra at the end: "weights" from the probes, "mask" from how many paths it leaves to each token."""
    run, found = record.run, {}
    if not isinstance(run.task, ModularTask) or not isinstance(run.model, MLP | Transformer):
        return found
    if record.probes is not None and "inputs" in record.probes:  # not of networks on three tokens
        found["weights"] = spectrum(record.probes["inputs"][-1])
    if record.mask is not None:
        paths = fourier.tables(run, record.mask.astype(np.float64))[0]
        found["mask"] = spectrum(paths[:, : run.task.classes])  # a third token is no number
    return {name: one for name, one in found.items() if one}


def hand_over(folder: Path, name: str, content: object) -> None:
    """Write JSON as a script that the page can load."""
    path = folder / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'grokking.receive("{name}",{json.dumps(content, separators=(",", ":"))})\n')


def lead(lines: dict[Line, dict[int, Found]]) -> dict[str, object]:
    """Test accuracy of the base and of the tickets by epoch and rate: for each the lowest, median and highest of the seeds."""
    chosen = {w: f for w, f in lines.items() if w.setting == LEAD and w.kind in ("base", "ticket")}
    chosen = {w: f for w, f in chosen.items() if "t_gen" not in w.cut}
    shared = set.intersection(*(set(found) for found in chosen.values()))
    seeds = sorted(shared & set(CONFIRMATORY))
    if len(seeds) < LEAST:  # then the exploratory ones of the base, and the tickets that have them all
        bases = next(found for where, found in chosen.items() if where.kind == "base")
        seeds = sorted(set(bases) & set(EXPLORATORY)) or sorted(bases)
        chosen = {w: f for w, f in chosen.items() if set(seeds) <= set(f)}
    tau, epochs = tau_of(lines, LEAD), thinned(next(iter(chosen.values()))[seeds[0]].record.run)
    out = []
    for where, found in chosen.items():
        records = [found[seed].record for seed in seeds]
        known = [np.array(curve(record, METRICS[0], epochs), float) for record in records]
        bands = [[round(x, 3) if x == x else None for x in f(known, 0).tolist()] for f in (np.min, np.median, np.max)]
        times = [generalization_epoch(record, tau) for record in records]
        row = {"rate": where.rate, "cut": int(where.cut or 0), "times": times, "bands": bands}
        out.append(row | {"median": _or_none(median_time(times))})
    colours = {kind: ARMS[kind].colour for kind in ("base", "ticket")}
    label = SETTINGS[LEAD].label
    told = {"setting": label, "tau": tau, "seeds": seeds_text(seeds), "axis": AXES[METRICS[0]], "colours": colours}
    return told | {"epochs": epochs.tolist(), "nets": out}


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def index(lines: dict[Line, dict[int, Found]]) -> dict[str, object]:
    """What the page has to know before a line is chosen."""
    names = list(dict.fromkeys(where.setting for where in lines))
    taus = {name: tau_of(lines, name) for name in names}
    settings, rows = {}, []
    for where, by_seed in lines.items():
        some = next(iter(by_seed.values())).record.run
        task = str(dataclasses.replace(some.task, seed=0)).removesuffix(", seed 0")
        settings.setdefault(
            where.setting,
            {"label": SETTINGS[where.setting].label, "task": task, "tau": taus[where.setting], "epochs": some.epochs},
        )
        runs = []
        for seed, found in by_seed.items():
            record = found.record
            ends = [round(final(record, metric), 4) for metric in ("train_accuracy", "test_accuracy")]
            own = "t_gen" in where.cut or ARMS[where.kind.split()[0]].phase
            epoch = cut_at(record.run.start)[1] if own else None
            time = generalization_epoch(record, taus[where.setting])
            runs.append([seed, time, *ends, found.file, found.chapter, record.run.key, epoch])
        colour = ARMS[where.kind.split()[0]].colour
        row = {"setting": where.setting, "kind": where.kind, "label": where.label, "colour": colour}
        rows.append(row | {"rate": where.rate, "cut": where.cut, "file": where.file, "runs": runs})
    told = {"settings": settings, "axes": {metric: AXES[metric] for metric in METRICS}}
    return told | {"exploratory": len(EXPLORATORY), "lines": rows}


def write(folder: Path, store: Store | None = None, seeds: Iterable[int] | None = None) -> int:
    """Write all that the explorer needs to a folder; returns how many runs it shows.

    store: where the records are, `results/` unless told; seeds: only runs of these.
    """
    store = store or Store(cache=RESULTS / "no-cache")
    lines = recorded(store, seeds)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder)
    (folder / "records").mkdir()
    for name in {found.file for by_seed in lines.values() for found in by_seed.values()}:
        shutil.copy2(store.folders[0] / name, folder / "records" / name)
    hand_over(folder, "index", index(lines))
    opening = lead(lines)
    hand_over(folder, "lead", opening)
    card.draw(folder / Path(CARD).name, opening)
    for where, by_seed in lines.items():
        epochs = thinned(next(iter(by_seed.values())).record.run)
        curves = {seed: [curve(found.record, m, epochs) for m in METRICS] for seed, found in by_seed.items()}
        hand_over(folder, f"curves/{where.file}", {"epochs": epochs.tolist(), "seeds": curves})
        kept = {seed: one for seed, found in by_seed.items() if (one := spectra(found.record))}
        hand_over(folder, f"spectra/{where.file}", kept)
    return sum(map(len, lines.values()))
