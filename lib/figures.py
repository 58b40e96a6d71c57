"""Figures in one style: a colour for each kind of net throughout the book, medians and ranges over seeds.

Every figure says at its foot which profile and which seeds it shows.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.parameters import Parameters
from lib.store import Record

# Colours that differ for readers with colour-vision deficiency too (Okabe & Ito); base and ticket as in the paper.
COLOURS = {"base": "#0072B2", "ticket": "#009E73"}
LABELS = {"base": "base (dense)", "ticket": "ticket"}
SYSTEMS = {"mlp": "MLP", "transformer": "Transformer"}
AXES = {
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "train_loss": "training loss (nats)",
    "test_loss": "test loss (nats)",
    "l1": "L1 norm of all weights",
    "l2": "L2 norm of all weights",
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


def panels(rows: int, columns: int, *, height: float = 3.2, **kwargs: object) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes, as wide as the page; returns it and its axes [rows, columns]."""
    plt.rcParams.update(STYLE)  # for good: a context would also take back the backend that a notebook has chosen
    return plt.subplots(
        rows, columns, figsize=(4.4 * columns, height * rows), layout="constrained", squeeze=False, **kwargs
    )


def sign(figure: Figure, parameters: Parameters) -> None:
    """Writes profile and seeds at the figure's foot."""
    seeds = ", ".join(map(str, parameters.seeds))
    small = "" if parameters.profile == "paper" else " (not the paper's scale)"
    text = f"{parameters.profile} profile{small}, p = {parameters.prime}, seeds {seeds}"
    figure.supxlabel(text, fontsize=9, color="0.35", x=0.99, ha="right")


def curve(
    axes: Axes, records: Sequence[Record], metric: str, kind: str, *, style: str = "-", label: str | None = None
) -> None:
    """One kind of net over epochs: the median over seeds, a band from the lowest seed to the highest, faint seeds."""
    epochs, colour = records[0].epochs, COLOURS[kind]
    values = np.stack([record.metrics[metric] for record in records])  # [S, T]
    axes.plot(epochs, values.T, style, color=colour, linewidth=0.6, alpha=0.35)
    axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
    axes.plot(epochs, np.median(values, 0), style, color=colour, label=label or LABELS[kind])


def label(axes: Axes, title: str, y: str, x: str = "epoch") -> None:
    """Title and axis labels; epochs in thousands."""
    axes.set(title=title, xlabel=x, ylabel=y)
    if x == "epoch":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")


def accuracies(axes: Axes, kinds: Mapping[str, Sequence[Record]], tau: float, title: str) -> None:
    """Training (dotted) and test accuracy of each kind of net over epochs, and the threshold tau."""
    for kind, records in kinds.items():
        curve(axes, records, "train_accuracy", kind, style=":", label=f"{LABELS[kind]}, training")
        curve(axes, records, "test_accuracy", kind, label=f"{LABELS[kind]}, test")
    axes.axhline(tau, color="0.4", linewidth=0.8, linestyle="--")
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "top"}
    axes.annotate(f"τ = {tau:.2f}", (0.99, tau - 0.01), fontsize=9, color="0.35", **place)
    axes.set_ylim(-0.03, 1.05)
    label(axes, title, "accuracy")


def paired_epochs(axes: Axes, kinds: Mapping[str, Sequence[int | None]], budget: int, title: str) -> None:
    """t_gen of each seed, joined from kind to kind; a run that never generalized is a hollow mark above the budget."""
    names = list(kinds)
    top = budget * 1.6
    rows = np.array([[top if t is None else max(t, 1) for t in kinds[name]] for name in names], float)  # [kinds, S]
    axes.plot(range(len(names)), rows, color="0.6", linewidth=0.8, zorder=1)
    for x, name in enumerate(names):
        never = np.array([t is None for t in kinds[name]])
        axes.scatter(np.full((~never).sum(), x), rows[x][~never], color=COLOURS[name], zorder=2)
        axes.scatter(np.full(never.sum(), x), rows[x][never], facecolor="white", edgecolor=COLOURS[name], zorder=2)
    axes.set_yscale("log")
    axes.set_xticks(range(len(names)), [LABELS[name] for name in names])
    axes.set_xlim(-0.5, len(names) - 0.5)
    if any(t is None for times in kinds.values() for t in times):
        axes.axhline(budget, color="0.4", linewidth=0.8, linestyle="--")
        place = {"xycoords": ("axes fraction", "data"), "va": "bottom"}
        axes.annotate("never within the budget", (0.02, budget * 1.05), fontsize=9, color="0.35", **place)
    label(axes, title, "t_gen (epochs)", x="")
