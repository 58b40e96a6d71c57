"""Figures in one style: a colour for each kind of net throughout the book, medians and ranges over seeds.

Every figure says at its foot which profile and which seeds it shows.
"""

import io
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from lib.experiments.names import LABELS, SYSTEMS, name, operation, system  # noqa: F401 - chapters call them figures.name
from lib.experiments.parameters import Parameters
from lib.records.store import Record

# Colours that differ for readers with colour-vision deficiency too (Okabe & Ito; Tol); base and ticket as in the paper.
COLOURS = {
    "base": "#0072B2",
    "ticket": "#009E73",
    "l2-matrices": "#E69F00",
    "l1-matrices": "#D55E00",
    "l2-all": "#B87A00",
    "l1-all": "#8C3B00",
    "dense, no decay": "#4D4D4D",
    "ticket, no decay": "#AA3377",
    "base, switched off": "#88CCEE",
    "ticket, switched off": "#117733",
    "random": "#888888",
    "snip": "#CC79A7",
    "grasp": "#882255",
    "synflow": "#56B4E9",
    "synflow-100": "#332288",
    "snip, trained": "#E8A6C8",
    "grasp, trained": "#B05A74",
    "synflow, trained": "#6A5ACD",
    "re-dense": "#999933",
    "kill": "#661100",
    "revive": "#7E57C2",
    "reinitialized": "#AA4499",
    "shuffled": "#DDCC77",
}
AXES = {
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "train_loss": "training loss (nats)",
    "test_loss": "test loss (nats)",
    "l1": "L1 norm of all weights",
    "l2": "L2 norm of all weights",
    "mean_l1": "mean L1 norm of a matrix",
    "mean_l2": "mean L2 norm of a matrix",
}

STYLE = {
    "figure.facecolor": "white",  # stays white on a dark page, where the text is drawn in black
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def colour(kind: str) -> str:
    """The colour of a kind of net; a kind may end in a number, as in "kill 0.05"."""
    return COLOURS.get(kind) or COLOURS[kind.split()[0]]


def shade(number: float, top: float) -> tuple:
    """The colour of a number between 0 and `top` in a family of nets, dark to light."""
    return plt.colormaps["viridis"](0.88 * number / top)


def panels(rows: int, columns: int, *, height: float = 3.2, **kwargs: object) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes, as wide as the page; returns it and its axes [rows, columns]."""
    plt.rcParams.update(STYLE)  # for good: a context would also take back the backend that a notebook has chosen
    return plt.subplots(
        rows, columns, figsize=(4.4 * columns, height * rows), layout="constrained", squeeze=False, **kwargs
    )


def sign(figure: Figure, parameters: Parameters, data: str | None = None) -> None:
    """Writes profile, data and seeds at the figure's foot; data: p of the modular tasks unless told."""
    seeds = ", ".join(map(str, parameters.seeds))
    small = "" if parameters.profile == "paper" else " (not the paper's scale)"
    text = f"{parameters.profile} profile{small}, {data or f'p = {parameters.prime}'}, seeds {seeds}"
    figure.supxlabel(text, fontsize=9, color="0.35", x=0.99, ha="right")


def curve(
    axes: Axes,
    records: Sequence[Record],
    metric: str,
    kind: str,
    *,
    style: str = "-",
    label: str | None = None,
    band: bool = True,
) -> None:
    """One kind of net over epochs: the median over seeds, a band from the lowest seed to the highest, faint seeds.

    band: leave it out where many kinds would cover each other.
    """
    values = np.stack([record.metrics[metric] for record in records])
    over_seeds(axes, records[0].epochs, values, kind, style=style, label=label, band=band)


def over_seeds(
    axes: Axes,
    epochs: np.ndarray,
    values: np.ndarray,
    kind: str,
    *,
    style: str = "-",
    label: str | None = None,
    band: bool = True,
) -> None:
    """As `curve`, for values [S, T] that are no metrics of records."""
    tint = colour(kind)
    axes.plot(epochs, values.T, style, color=tint, linewidth=0.6, alpha=0.35)
    if band:
        axes.fill_between(epochs, values.min(0), values.max(0), color=tint, alpha=0.15, linewidth=0)
    axes.plot(epochs, np.median(values, 0), style, color=tint, label=label or name(kind))


def label(axes: Axes, title: str, y: str, x: str = "epoch") -> None:
    """Title and axis labels; epochs in thousands."""
    axes.set(title=title, xlabel=x, ylabel=y)
    if x == "epoch":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")


def logarithmic_epochs(axes: Axes, epochs: np.ndarray) -> None:
    """Makes the axis of epochs logarithmic, from the first evaluation after the start."""
    axes.set_xscale("log")
    axes.set_xlim(left=epochs[1])
    axes.xaxis.set_major_formatter(lambda epoch, _: f"{epoch:,.0f}")
    axes.xaxis.set_minor_formatter(lambda *_: "")


def accuracies(axes: Axes, kinds: Mapping[str, Sequence[Record]], tau: float, title: str) -> None:
    """Training (dotted) and test accuracy of each kind of net over epochs, and the threshold tau."""
    for kind, records in kinds.items():
        curve(axes, records, "train_accuracy", kind, style=":", label=f"{name(kind)}, training")
        curve(axes, records, "test_accuracy", kind, label=f"{name(kind)}, test")
    axes.axhline(tau, color="0.4", linewidth=0.8, linestyle="--")
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "top"}
    axes.annotate(f"τ = {tau:.2f}", (0.99, tau - 0.01), fontsize=9, color="0.35", **place)
    axes.set_ylim(-0.03, 1.05)
    label(axes, title, "accuracy")


def _heights(times: Iterable[Sequence[int | None]], top: float) -> np.ndarray:
    """Epochs as they are drawn on a logarithmic axis: never at `top`, above the budget, and 0 at 1."""
    return np.array([[top if t is None else max(t, 1) for t in row] for row in times], float)


def _marks(axes: Axes, x: float, row: np.ndarray, top: float, tint: object, **how: object) -> None:
    """One mark a seed at x; hollow where the run never generalized, which `_heights` draws at `top`."""
    never = row == top
    axes.scatter(np.full((~never).sum(), x), row[~never], color=[tint], **how)
    axes.scatter(np.full(never.sum(), x), row[never], facecolor="white", edgecolor=[tint], **how)


def paired_epochs(axes: Axes, kinds: Mapping[str, Sequence[int | None]], budget: int, title: str) -> None:
    """t_gen of each seed, joined from kind to kind; a run that never generalized is a hollow mark above the budget."""
    names = list(kinds)
    top = budget * 1.6
    rows = _heights(kinds.values(), top)  # [kinds, S]
    axes.plot(range(len(names)), rows, color="0.6", linewidth=0.8, zorder=1)
    for x, kind in enumerate(names):
        _marks(axes, x, rows[x], top, colour(kind), zorder=2)
    axes.set_yscale("log")
    turned = {"rotation": 30, "ha": "right"} if len(names) > 3 else {}
    axes.set_xticks(range(len(names)), [name(kind) for kind in names], **turned)
    axes.set_xlim(-0.5, len(names) - 0.5)
    if any(t is None for times in kinds.values() for t in times):
        axes.axhline(budget, color="0.4", linewidth=0.8, linestyle="--")
        place = {"xycoords": ("axes fraction", "data"), "va": "bottom"}
        axes.annotate("never within the budget", (0.02, top * 1.15), fontsize=9, color="0.35", **place)
        axes.plot([0], [top * 1.5], alpha=0)  # room for the text above the marks; set_ylim would stop shared axes
    label(axes, title, "t_gen (epochs)", x="")


def family(
    axes: Axes, groups: Mapping[float, Sequence[Record]], metric: str, title: str, *, word: str, chosen: Sequence[float]
) -> None:
    """Median over seeds of the chosen nets of a family, such as tickets of several rates; bands would overlap."""
    top = max(groups)
    for number in chosen:
        values = np.stack([record.metrics[metric] for record in groups[number]])
        epochs, tint = groups[number][0].epochs, shade(number, top)
        axes.plot(epochs, np.median(values, 0), color=tint, label=f"{word} {number:,g}")
    label(axes, title, AXES[metric])


def epochs_by_number(axes: Axes, times: Mapping[float, Sequence[int | None]], budget: int, title: str, x: str) -> None:
    """t_gen of a family of nets against their number: each seed, and the median; hollow where a run never did."""
    numbers, top = list(times), budget * 1.6
    rows = _heights(times.values(), top)  # [N, S]
    axes.plot(numbers, rows, color="0.7", linewidth=0.7, zorder=1)
    axes.plot(numbers, np.quantile(rows, 0.5, axis=1, method="inverted_cdf"), color="0.2", zorder=2, label="median")
    for i, n in enumerate(numbers):
        _marks(axes, n, rows[i], top, shade(n, max(numbers)), s=18, zorder=3)
    axes.set_yscale("log")
    axes.axhline(budget, color="0.4", linewidth=0.8, linestyle="--")
    place = {"xycoords": ("axes fraction", "data"), "va": "bottom"}
    axes.annotate("never within the budget", (0.02, top * 1.12), fontsize=9, color="0.35", **place)
    axes.set_ylim(top=top * 1.6)  # room for it, above all lines
    label(axes, title, "t_gen (epochs)", x=x)


def finals_by_number(axes: Axes, groups: Mapping[float, Sequence[Record]], title: str, x: str) -> None:
    """Test accuracy at the end of a family of nets against their number: each seed, the median, the range."""
    numbers = list(groups)
    values = np.array([[record.metrics["test_accuracy"][-1] for record in groups[n]] for n in numbers])  # [N, S]
    axes.plot(numbers, values, color="0.7", linewidth=0.7, zorder=1)
    axes.plot(numbers, np.median(values, 1), color="0.2", zorder=2, label="median")
    for n, row in zip(numbers, values, strict=True):
        axes.scatter(np.full(len(row), n), row, color=[shade(n, max(numbers))], s=18, zorder=3)
    axes.set_ylim(-0.03, 1.05)
    label(axes, title, "test accuracy at the end", x=x)


def small_multiples(axes: Axes, table: np.ndarray, kind: str, title: str, columns: int = 8) -> None:
    """One small panel for each row of a table [h, p], all on one vertical scale, which the title states.

    Above each there is room for a word.
    """
    h, p = table.shape
    rows, top = -(-h // columns), np.abs(table).max() or 1.0
    x = np.linspace(0.06, 0.94, p)
    waves = [
        np.column_stack([i % columns + x, rows - i // columns - 0.58 + 0.36 * row / top]) for i, row in enumerate(table)
    ]
    frame = [[(i, 0), (i, rows)] for i in range(columns + 1)] + [[(0, i), (columns, i)] for i in range(rows + 1)]
    while axes.collections:  # of the frame before, in an animation
        axes.collections[0].remove()
    axes.set_axis_off()
    axes.set(xlim=(0, columns), ylim=(0, rows))
    axes.add_collection(LineCollection(frame, colors="0.85", linewidths=0.8))
    axes.add_collection(LineCollection(waves, colors=colour(kind), linewidths=0.9))
    axes.set_title(f"{title}; each panel ± {top:.2g}", fontsize=10, color=colour(kind))


def small_png(figure: Figure, kinds: Sequence[str]) -> bytes:
    """A figure as a PNG of white, grey, and the colours of some kinds of net: a frame of `report.player`."""
    colours = np.array([to_rgb(c) for c in ["white", "0.85", *map(colour, kinds)]])
    palette = Image.new("P", (1, 1))
    palette.putpalette((255 * colours).round().astype(np.uint8).tobytes())
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", bits=(len(colours) - 1).bit_length())
    return buffer.getvalue()


def reference(axes: Axes, y: float, text: str, kind: str) -> None:
    """A horizontal line for another kind of net, in its colour, with its name; none where y is not finite (never)."""
    if not np.isfinite(y):
        return
    axes.axhline(y, color=colour(kind), linewidth=1.2, linestyle=":")
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
    axes.annotate(text, (0.99, y), fontsize=9, color=colour(kind), **place)
