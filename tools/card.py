"""The picture that other sites show beside a link to the book, from the data of the lead figure."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lib.experiments.parameters import load
from tools.site import HEIGHT, WIDTH


def words(median: int | None, tau: float) -> str:
    """When a kind of net generalizes: the median over seeds, None where that is later than the last epoch."""
    return (
        f"test accuracy {tau:g} at epoch {median:,}"
        if median is not None
        else f"not at test accuracy {tau:g} by the end"
    )


def foot(lead: dict) -> str:
    """What the line, the dot and the band are, and over which seeds."""
    return f"{lead['setting']}; line and dot: median, band: range over {lead['seeds']}"


def draw(path: Path, lead: dict) -> None:
    """Draw test accuracy of the base and of the ticket of the paper's epoch and rate, or the one next to them, over seeds.

    lead: as `tools.explorer.lead` gives it.
    """
    paper = load("paper")

    def distance(net: dict) -> tuple[float, int]:
        return abs(net["rate"] - paper.pruning_rate), abs(net["cut"] - paper.ticket_epoch)

    base = next(net for net in lead["nets"] if not net["rate"])
    ticket = min((net for net in lead["nets"] if net["rate"]), key=distance)
    with matplotlib.rc_context({"font.size": 20}):
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, layout="constrained")
        axes = figure.subplots()
        for label, kind, net in (("dense network", "base", base), ("its ticket", "ticket", ticket)):
            points = np.array([lead["epochs"], *net["bands"]], float)  # not all seeds have a value at the first ones
            epochs, low, middle, high = points[:, np.isfinite(points).all(0)]
            colour = lead["colours"][kind]
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
            told = f"{label}: {words(net['median'], lead['tau'])}"
            axes.plot(epochs, middle, color=colour, linewidth=4, label=told)
            if net["median"]:
                axes.plot(net["median"], lead["tau"], "o", color=colour, markersize=15, clip_on=False)
        axes.set(xscale="log", xlabel="epoch", ylabel="test accuracy", ylim=(-0.02, 1.04))
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title("Grokking Tickets, replicated", fontsize=42, fontweight="bold", loc="left", pad=85)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.3, borderpad=0)
        figure.supxlabel(foot(lead), fontsize=15, color="0.35", x=0.99, ha="right")
        figure.savefig(path, dpi=100)
