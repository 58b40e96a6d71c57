"""Figures in one style: a colour for each arm throughout the book, medians and ranges over seeds.

What draws a comparison takes axes and a `Comparison`; `Chapter.panels` draws one for each setting. A notebook gets each figure
as SVG, and beside it, unseen, in the form that a phone shows (`Panels`). Shapes: S seeds, T evaluations.
"""

import base64
import copy
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FixedLocator, Formatter, LogLocator, NullFormatter
from PIL import Image

from lib.analysis import progress
from lib.analysis.survival import kaplan_meier
from lib.analysis.times import median_time
from lib.claims.judging import Judgement
from lib.claims.measures import probes_of
from lib.experiments.arms import Arm, arm
from lib.experiments.comparison import Comparison

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
    "figure.facecolor": "white",  # in Jupyter, dark or not; book/_static/custom.css turns it dark on the book's dark pages
    "figure.dpi": 120,  # of what is drawn as pixels inside an SVG: `rasterized` lines, images
    "savefig.dpi": 120,
    "svg.hashsalt": "grokking-tickets",  # the same figure gives the same bytes
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def shade(number: float, top: float) -> tuple:
    """The colour of a number between 0 and `top` in a family of arms, dark to light."""
    return plt.colormaps["viridis"](0.88 * number / top)


DASHED: dict[str, Any] = {"color": "0.4", "linewidth": 0.8, "linestyle": "--"}  # a threshold, a budget, or no change

NARROW = "narrow_svg"  # in an output's metadata, unseen; tools/pictures.py takes it from there onto the page
WIDEST = 9.2  # inches that letters of 9 points can still be read at, on a page of 700 pixels
NARROW_WIDTH = 3.7  # inches: a phone's page
NARROW_HEIGHT = 2.4  # inches of a panel of curves there; rows of words and pictures take what they need


class Panels(Figure):
    """A grid of axes that a notebook shows as SVG, with `narrow_svg` beside it.

    narrow: how many columns that has; more than one only for panels that share their axes, or have none.
    """

    def __init__(self, *args: Any, narrow: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.narrow = narrow

    def _ipython_display_(self) -> None:
        shown = {"text/plain": repr(self), "image/svg+xml": self.svg()}
        narrow = self.narrow_svg()
        display(shown, metadata={NARROW: narrow} if narrow else {}, raw=True)

    def svg(self) -> str:
        """The figure as SVG, its letters as paths, coordinates to a tenth of a point, pixels of 256 colours."""
        buffer = io.StringIO()
        self.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        places = r' d="[^"]*| [xy]="[^"]*|translate\([^)]*'
        short = re.sub(places, lambda found: re.sub(r"(\.\d)\d+", r"\1", found[0]), buffer.getvalue())
        return re.sub(r"(?<=;base64,)[^\"]*", _of_few_colours, re.sub(r"\n +", "\n", short))

    def narrow_svg(self) -> str | None:
        """The figure with its panels below each other, as SVG; None where it is no wider already."""
        self.draw_without_rendering()
        if self.get_tightbbox().width <= 1.2 * NARROW_WIDTH:  # legends can be wider than the panels
            return None
        figure = copy.deepcopy(self)
        try:
            figure._stack()
            return figure.svg()
        finally:
            plt.close(figure)

    def _stack(self) -> None:
        """Moves the panels below each other, each with the labels that it shared; wraps what would be too wide."""
        specs = {ax: ax.get_subplotspec() for ax in self.axes if ax.get_subplotspec()}
        for ax in [ax for ax in specs if not (ax.get_visible() and (ax.axison or ax.has_data()))]:
            del specs[ax]
            ax.remove()
        at = {(spec.rowspan.start, spec.colspan.start): ax for ax, spec in specs.items()}
        titled = [bool(ax.get_title()) for ax in specs]
        by_column = any(titled) and not all(titled)  # only the top row has titles: each is followed by its column
        order = sorted(at, key=lambda place: place[::-1] if by_column else place)
        grid = self.add_gridspec(-(-len(order) // self.narrow), self.narrow)
        labelled = 0  # panels that get a label across which they had left to another
        for i, (row, column) in enumerate(order):
            ax, first = at[row, column], at.get((row, 0), at[row, column])
            last = at[max(place for place in at if place[1] == column)]
            if i % self.narrow == 0:
                if ax.get_shared_y_axes().joined(ax, first):
                    ax.set_ylabel(ax.get_ylabel() or first.get_ylabel())
                ax.tick_params(labelleft=True)
            else:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
            if self.narrow == 1 or i + self.narrow >= len(order):
                if not ax.get_xlabel() and ax.get_shared_x_axes().joined(ax, last):
                    labelled += 1
                    ax.set_xlabel(last.get_xlabel())
                ax.tick_params(labelbottom=True)
            else:
                ax.set_xlabel("")
                ax.tick_params(labelbottom=False)
            ax.set_title(_filled(ax.get_title(), 36 // self.narrow))
            if _in_words(ax.yaxis):
                ax.set_yticks(ax.get_yticks(), [_filled(one.get_text(), 16) for one in ax.get_yticklabels()])
                ax.tick_params(labelsize=9)
            ax.set_subplotspec(grid[divmod(i, self.narrow)])
            for bar in [image.colorbar.ax for image in ax.images if image.colorbar]:
                bar.set_position(ax.get_position())  # the layout moves it from there, but takes it to be that long
                bar.set_in_layout(True)
        for text in self.texts:
            text.set_text(_filled(text.get_text(), 52))
        width, height = self.get_size_inches()
        height -= sum(legend.get_window_extent().height for legend in self.legends) / self.dpi
        rows, columns = next(iter(specs.values())).get_gridspec().get_geometry()
        scale = NARROW_WIDTH / self.narrow / (width / columns) if self.narrow > 1 else 1
        height = height / rows * scale
        if all(ax.get_aspect() == 1 for ax in specs):  # squares: no higher than they are wide
            height = min(height, NARROW_WIDTH / self.narrow)
        elif not any(ax.images or _in_words(ax.yaxis) for ax in specs):
            height = min(height, NARROW_HEIGHT)
        height = height * grid.nrows + 0.45 * labelled
        self.set_size_inches(NARROW_WIDTH, height)
        legends = sum(self._fitted(legend) for legend in list(self.legends)) / self.dpi
        self.set_size_inches(NARROW_WIDTH, height + legends)

    def _fitted(self, old: Legend) -> float:
        """Puts a legend of as many columns as the figure is wide for in the place of another; returns its height."""
        if not old.get_texts():
            return 0.0
        entries = old.legend_handles, [text.get_text() for text in old.get_texts()]
        size = old.get_texts()[0].get_fontsize()
        self.legends.remove(old)  # `old.remove()` would take it out of the figure that this is a copy of
        for columns in range(4, 0, -1):
            new = self.legend(*entries, loc="outside upper center", ncols=columns, fontsize=size, columnspacing=1.0)
            if new.get_window_extent().width <= self.bbox.width:
                break
            if columns > 1:
                new.remove()
        return new.get_window_extent().height


def _in_words(axis: Axis) -> bool:
    """Whether the labels of an axis are words."""
    return isinstance(axis.get_major_locator(), FixedLocator)


def _filled(text: str, width: int) -> str:
    """A text with its lines wrapped."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def _of_few_colours(png: re.Match) -> str:
    """A PNG in base64 again, of a quarter of the size where it holds faint lines; opaque pictures stay as they are."""
    image, buffer = Image.open(io.BytesIO(base64.b64decode(png[0]))), io.BytesIO()
    if image.getextrema()[-1] == (255, 255):  # opacity
        return png[0]
    image.quantize(256, method=Image.Quantize.FASTOCTREE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def panels(
    rows: int, columns: int, *, height: float = 3.2, width: float = 4.4, narrow: int = 1, **kwargs: object
) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes of a width and height in inches, no wider than the page; returns it and its axes
    [rows, columns].

    narrow: columns of its form on a phone (`Panels`).
    """
    plt.rcParams.update(STYLE)  # for good: a context would also take back the backend that a notebook has chosen
    size = min(width * columns, WIDEST), height * rows
    return plt.subplots(
        rows, columns, figsize=size, layout="constrained", squeeze=False, FigureClass=Panels, narrow=narrow, **kwargs
    )


def sign(figure: Figure, text: str) -> None:
    """Writes what a figure shows at its foot."""
    wrapped = textwrap.fill(text, int(14 * figure.get_size_inches()[0]))
    figure.supxlabel(wrapped, fontsize=9, color="0.35", x=0.99, ha="right")


def curve(
    axes: Axes,
    comparison: Comparison,
    where: object,
    metric: str = "test_accuracy",
    *,
    style: str = "-",
    label: str | None = None,
    band: bool = True,
) -> None:
    """One arm over epochs: the median over seeds, a band from the lowest seed to the highest, faint seeds.

    band: leave it out where many arms would cover each other.
    """
    values = np.stack([record.metrics[metric] for record in comparison[where]])
    over_seeds(axes, comparison.epochs, values, arm(where), style=style, label=label, band=band)


def over_seeds(
    axes: Axes,
    epochs: np.ndarray,
    values: np.ndarray,
    where: Arm,
    *,
    style: str = "-",
    label: str | None = None,
    band: bool = True,
) -> None:
    """As `curve`, for values [S, T] that are no metrics of records."""
    faint = {"color": where.colour, "rasterized": True, "zorder": 1}  # all of one height become one picture
    axes.plot(epochs, values.T, style, linewidth=0.6, alpha=0.35, **faint)
    if band:
        axes.fill_between(epochs, values.min(0), values.max(0), alpha=0.15, linewidth=0, **faint)
    axes.plot(epochs, np.median(values, 0), style, color=where.colour, label=label or where.label)


def curves(
    axes: Axes,
    comparison: Comparison,
    metric: str = "test_accuracy",
    *,
    arms: Sequence[object] | None = None,
    band: bool = True,
    logarithmic: bool | None = None,
) -> None:
    """A metric of each arm over epochs; with tau, where it is an accuracy.

    logarithmic: the axis of epochs; unless told, it is where a linear one would hide an arm (`hugs_the_axis`).
    """
    for where in arms or comparison.arms:
        curve(axes, comparison, where, metric, band=band)
    if metric.endswith("accuracy"):
        tau_line(axes, comparison.tau)
        axes.set_ylim(-0.03, 1.05)
    elif metric.endswith(("l1", "l2")):
        axes.set_ylim(bottom=0)
    label(axes, comparison.label, AXES[metric])
    if hugs_the_axis(comparison, arms or comparison.arms) if logarithmic is None else logarithmic:
        logarithmic_epochs(axes, comparison.epochs)


def hugs_the_axis(comparison: Comparison, arms: Iterable[object]) -> bool:
    """Whether one of some arms generalizes in the first twentieth of the epochs, in the median: on a linear axis its rise
    would be a vertical line."""
    return any(median_time(comparison.t_gen(one)) < comparison.budget / 20 for one in arms)


def label(axes: Axes, title: str, y: str, x: str = "epoch") -> None:
    """Title and axis labels; epochs in thousands, unless `logarithmic_epochs` has been here, as on an axis that panels share."""
    axes.set(title=title, xlabel=x, ylabel=y)
    if x == "epoch" and axes.get_xscale() == "linear":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")


def logarithmic_epochs(axes: Axes, epochs: np.ndarray) -> None:
    """Makes the axis of epochs logarithmic, from the first evaluation after the start to the end of the longest budget that
    is drawn on it or on an axis that it shares."""
    axes.set_xscale("log")
    axes.set_xlim(epochs[1], max(axes.get_xlim()[1], 1.5 * epochs[-1]))
    axes.xaxis.set_minor_locator(LogLocator(subs=(3,)))
    epoch_ticks(axes.xaxis)


def epoch_ticks(axis: Axis) -> None:
    """Epochs as words along a logarithmic axis."""
    axis.set_major_formatter(_LogEpochs())
    axis.set_minor_formatter(_LogEpochs())


def logarithmic(axes: Axes) -> None:
    """Makes a horizontal axis of numbers other than epochs logarithmic, with 1 and 3 times the powers of ten."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def estimates(axes: Axes, place: int, values: Sequence[float], valid: Sequence[bool], colour: str) -> None:
    """A row of estimates along a figure: one mark a seed, hollow where it is not valid, and a bar at the median."""
    faces = [colour if one else "white" for one in valid]
    axes.scatter(values, np.full(len(values), place), s=22, facecolor=faces, edgecolor=colour)
    axes.vlines(np.median(values), place - 0.25, place + 0.25, color="0.2")


class _LogEpochs(Formatter):
    """Powers of ten; where few are in view, 3 times them too, and where none may be, all that have one digit."""

    def __call__(self, epoch: float, pos: int | None = None) -> str:
        low, high = self.axis.get_view_interval()
        digits = "1" if high > 20 * low else "13" if high > 4 * low else "123456789"
        return f"{epoch:,.0f}" if f"{epoch:e}"[0] in digits else ""


MEASURES = {  # of a network's snapshots, from its probes, with their units
    "excluded loss": (progress.excluded, "nats"),
    "restricted loss": (lambda probes: probes["restricted"], "nats"),
    "restricted over training loss": (lambda probes: probes["restricted"] / probes["train_loss"], "ratio"),
    "sum of squared weights": (lambda probes: probes["squares"].sum(1), "sum of squares"),
    "Gini coefficient, W_E": (lambda probes: probes["gini_embedding"], "Gini coefficient"),
    "Gini coefficient, neuron-logit map": (lambda probes: probes["gini_logits"], "Gini coefficient"),
}


def measures(axes: np.ndarray, comparison: Comparison, arms: Sequence[object]) -> None:
    """The MEASURES of some arms over snapshots, one a panel."""
    for ax, (title, (take, unit)) in zip(axes.flat, MEASURES.items(), strict=True):
        for one in arms:
            probes = [probes_of(record) for record in comparison[one]]
            over_seeds(ax, probes[0]["epochs"], np.stack([take(p) for p in probes]), arm(one))
        if unit != "Gini coefficient":
            ax.set_yscale("log")
        by_phase(ax, comparison, title, unit)


def by_phase(axes: Axes, comparison: Comparison, title: str, y: str) -> None:
    """Title, labels, a logarithmic axis of epochs and the ends of the base's phases."""
    label(axes, title, y)
    logarithmic_epochs(axes, comparison.epochs)
    phase_lines(axes, comparison)


def phase_lines(axes: Axes, comparison: Comparison) -> None:
    """Dashed lines where the base's phases end, in the median over seeds."""
    for end in np.median([progress.phase_ends(record)[:3] for record in comparison["base"]], axis=0):
        axes.axvline(max(end, comparison.epochs[1]), **DASHED)


def tau_line(axes: Axes, tau: float) -> None:
    """The test accuracy that counts as generalized."""
    axes.axhline(tau, **DASHED)
    place = {"xycoords": ("axes fraction", "data"), "ha": "left", "va": "center"}
    axes.annotate(f"τ\n{tau:.2f}", (1.01, tau), fontsize=9, color="0.35", **place)


def accuracies(axes: Axes, comparison: Comparison, *, arms: Sequence[object] | None = None) -> None:
    """Training (dotted) and test accuracy of each arm over epochs, and tau."""
    for where in arms or comparison.arms:
        curve(axes, comparison, where, "train_accuracy", style=":", label=f"{arm(where).label}, training")
        curve(axes, comparison, where, "test_accuracy", label=f"{arm(where).label}, test")
    tau_line(axes, comparison.tau)
    axes.set_ylim(-0.03, 1.05)
    label(axes, comparison.label, "accuracy")
    if hugs_the_axis(comparison, arms or comparison.arms):
        logarithmic_epochs(axes, comparison.epochs)


def _heights(times: Iterable[Sequence[int | None]], top: float) -> np.ndarray:
    """Epochs as they are drawn on a logarithmic axis: never at `top`, above the budget, and 0 at 1."""
    return np.array([[top if t is None else max(t, 1) for t in row] for row in times], float)


def _marks(
    axes: Axes, place: float, row: np.ndarray, top: float, tint: object, *, across: bool = False, **how: object
) -> None:
    """One mark a seed above a place, or `across` the figure beside it; hollow where the run never generalized, which `_heights`
    draws at `top`."""
    never = row == top
    for values, look in (
        (row[~never], {"color": [tint]}),
        (row[never], {"facecolor": "white", "edgecolor": [tint]}),
    ):
        points = np.full(len(values), place), values
        axes.scatter(*(points[::-1] if across else points), **look, **how)


def _budget(axes: Axes, budget: int, top: float) -> None:
    """The line above which runs are drawn that never generalize."""
    axes.axhline(budget, **DASHED)
    place = {"xycoords": ("axes fraction", "data"), "va": "bottom"}
    axes.annotate("never within the budget", (0.02, top * 1.15), fontsize=9, color="0.35", **place)
    axes.plot([axes.get_xlim()[0]], [top * 1.6], alpha=0)  # room for it; set_ylim would stop shared axes


def paired_epochs(axes: Axes, comparison: Comparison, *, arms: Sequence[object] | None = None) -> None:
    """t_gen of each seed, a row for each arm, a seed's marks joined; a run that never generalized is a hollow mark beyond the
    budget."""
    shown = list(map(arm, arms or comparison.arms))
    times, top = [comparison.t_gen(one) for one in shown], comparison.budget * 1.6
    rows = _heights(times, top)  # [arms, S]
    axes.plot(rows, range(len(shown)), color="0.6", linewidth=0.8, zorder=1)
    for y, one in enumerate(shown):
        _marks(axes, y, rows[y], top, one.colour, across=True, zorder=2)
    axes.set_xscale("log")
    epoch_ticks(axes.xaxis)
    rows_of_labels(axes, [one.label for one in shown])
    if any(t is None for row in times for t in row):
        axes.axvline(comparison.budget, **DASHED)
        axes.set_ylim(top=-1.0)
        axes.text(top, -0.7, "never", ha="center", va="center", fontsize=9, color="0.35")
        axes.plot([top * 1.6], [0], alpha=0)  # room for it; set_xlim would stop shared axes
    label(axes, comparison.label, "", x="t_gen (epochs)")


def rows_of_labels(axes: Axes, labels: Sequence[str]) -> None:
    """A row of the vertical axis for each label, from the top down; long labels are wrapped and stay level."""
    axes.set_yticks(range(len(labels)), [textwrap.fill(one, 23) for one in labels])
    axes.tick_params(axis="y", labelsize=9 if len(labels) > 6 else None)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)  # of none, too


def family(axes: Axes, comparison: Comparison, name: str, *, chosen: Sequence[float]) -> None:
    """Test accuracy, median over seeds, of the chosen members of a family, such as tickets of several rates; bands would overlap."""
    members = comparison.family(name)
    for value in chosen:
        values = np.median([record.metrics["test_accuracy"] for record in members[value]], 0)
        axes.plot(comparison.epochs, values, color=shade(value, max(members)), label=Arm(name, value).label)
    label(axes, comparison.label, AXES["test_accuracy"])
    if hugs_the_axis(comparison, [(name, value) for value in chosen]):
        logarithmic_epochs(axes, comparison.epochs)


def epochs_by_value(axes: Axes, comparison: Comparison, name: str, x: str) -> None:
    """t_gen of a family against its values: each seed, and the median; hollow where a run never did."""
    values, top = list(comparison.family(name)), comparison.budget * 1.6
    rows = _heights((comparison.t_gen((name, value)) for value in values), top)  # [values, S]
    axes.plot(values, rows, color="0.7", linewidth=0.7, zorder=1)
    axes.plot(values, np.quantile(rows, 0.5, axis=1, method="inverted_cdf"), color="0.2", zorder=2, label="median")
    for value, row in zip(values, rows, strict=True):
        _marks(axes, value, row, top, shade(value, max(values)), s=18, zorder=3)
    axes.set_yscale("log")
    _budget(axes, comparison.budget, top)
    label(axes, comparison.label, "t_gen (epochs)", x=x)


def ends_by_value(axes: Axes, comparison: Comparison, name: str, x: str) -> None:
    """Test accuracy at the end of a family against its values: each seed, and the median."""
    members = comparison.family(name)
    values = np.array([[record.metrics["test_accuracy"][-1] for record in records] for records in members.values()])
    axes.plot(list(members), values, color="0.7", linewidth=0.7, zorder=1)
    axes.plot(list(members), np.median(values, 1), color="0.2", zorder=2, label="median")
    for value, row in zip(members, values, strict=True):  # row [S]
        axes.scatter(np.full(len(row), value), row, color=[shade(value, max(members))], s=18, zorder=3)
    axes.set_ylim(-0.03, 1.05)
    label(axes, comparison.label, "test accuracy at the end", x=x)


def replicas(axes: Axes, comparisons: Sequence[Comparison], arms: Sequence[object]) -> None:
    """t_gen of runs that differ by rounding alone: a column for each seed, a line from the earliest to the latest of an arm."""
    seeds, top = comparisons[0].seeds, comparisons[0].budget * 1.6
    for i, where in enumerate(arms):
        rows = _heights((comparison.t_gen(where) for comparison in comparisons), top).T  # [S, K]
        places = np.arange(len(seeds)) + 0.2 * (i - (len(arms) - 1) / 2)
        axes.vlines(places, rows.min(1), rows.max(1), color=arm(where).colour, linewidth=1)
        for place, row in zip(places, rows, strict=True):
            _marks(axes, place, row, top, arm(where).colour, s=24, zorder=3)
        axes.plot([], [], "o-", color=arm(where).colour, label=arm(where).label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(seeds)), list(map(str, seeds)))
    if any(t is None for comparison in comparisons for where in arms for t in comparison.t_gen(where)):
        _budget(axes, comparisons[0].budget, top)
    label(axes, comparisons[0].label, "t_gen (epochs)", x="seed")


def generalized(axes: Axes, comparison: Comparison, *, arms: Sequence[object] | None = None) -> None:
    """Kaplan-Meier curves: the share of seeds of each arm that have generalized, with a pointwise 95% band; several of a family in
    shades."""
    shown = [arm(where) for where in arms or comparison.arms]
    for one in shown:
        found = kaplan_meier(comparison.t_gen(one), comparison.budget)
        several = sum(one.name == other.name for other in shown) > 1
        colour = shade(one.value, max(comparison.family(one.name))) if several else one.colour
        epochs = np.concatenate(
            [[comparison.epochs[1]], np.maximum(found.epochs, comparison.epochs[1]), [comparison.budget]]
        )
        share, low, high = (np.concatenate([[0.0], x, x[-1:]]) for x in found[1:])
        axes.step(epochs, share, where="post", color=colour, label=one.label)
        axes.fill_between(epochs, low, high, step="post", color=colour, alpha=0.12, linewidth=0)
    axes.set_ylim(-0.03, 1.05)
    label(axes, comparison.label, "generalized (share of seeds)")
    logarithmic_epochs(axes, comparison.epochs)


OUTCOMES = {"replicated": "#2E7D32", "refuted": "#C62828", "inconclusive": "#8D6E00"}


def levels(axes: Axes, judgement: Judgement, found: pd.DataFrame) -> None:
    """A verdict at other levels (`judging.sensitivity`): estimates and intervals, coloured by outcome.

    An end without a bound is drawn up to the edge.
    """
    units = found["unit"].unique()
    ratios = len(units) == 1 and units[0] == "times"
    numbers = found[["estimate", "low", "high"]].astype(float)
    known = numbers.to_numpy()[
        numbers.to_numpy() > (0 if ratios else -np.inf)
    ]  # nan and, of ratios, 0 are no place on an axis
    least, most = (known.min(), known.max()) if len(known) else (0.5, 2.0)
    edges = (least / 2, most * 2) if ratios else (least - 0.1 * (most - least), most + 0.1 * (most - least))
    for outcome, rows in numbers.groupby(found["outcome"], sort=False):
        low, high = rows["low"].fillna(edges[0]).clip(*edges), rows["high"].fillna(edges[1]).clip(*edges)
        axes.hlines(rows.index, low, high, color=OUTCOMES[outcome], linewidth=2)
        axes.scatter(rows["estimate"], rows.index, color=OUTCOMES[outcome], s=26, zorder=3, label=outcome)
    axes.set_yticks(found.index, found["level"])
    axes.invert_yaxis()
    if ratios:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    label(
        axes,
        textwrap.fill(f"{judgement.claim.id}, {judgement.judged.label}", 36),
        "",
        x=" or ".join(str(unit or "value") for unit in units),
    )


def small_multiples(axes: Axes, table: np.ndarray, where: Arm, title: str) -> None:
    """One small panel for each row of a table [h, p], all on one vertical scale, which the title states.

    Above each there is room for a word.
    """
    (h, p), columns = table.shape, 8
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
    axes.add_collection(LineCollection(waves, colors=where.colour, linewidths=0.9))
    axes.set_title(f"{title}; each panel ± {top:.2g}", fontsize=10, color=where.colour)


def small_png(figure: Figure, arms: Sequence[Arm]) -> bytes:
    """A figure as a PNG of white, grey, and the colours of some arms: a frame of `tables.player`."""
    colours = np.array([to_rgb(c) for c in ["white", "0.85", *(one.colour for one in arms)]])
    palette = Image.new("P", (1, 1))
    palette.putpalette((255 * colours).round().astype(np.uint8).tobytes())
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", bits=(len(colours) - 1).bit_length())
    return buffer.getvalue()


def reference(axes: Axes, y: float, where: object) -> None:
    """A horizontal line for another arm, in its colour and with its label; none where y is not finite (never)."""
    if np.isfinite(y):
        axes.axhline(y, color=arm(where).colour, linewidth=1.2, linestyle=":", label=arm(where).label)
