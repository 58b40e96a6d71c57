# ---
# jupyter:
#   jupytext:
#     default_lexer: ipython3
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Controls for tickets by phase

# %% tags=["parameters", "remove-input"]
profile = "paper"
seeds = "recorded"
prime = 67
train_fraction = 0.4
epochs = 30000
ticket_epoch = 28000
pruning_rate = 0.6
device = "cpu"

# %% tags=["hide-input"]
import numpy as np
import pandas as pd

from lib.analysis import progress
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.measures import label
from lib.experiments.parameters import follow_up

chapter = Chapter.open("phase-controls", globals())
own = follow_up(chapter.parameters)
nanda = chapter["nanda-transformer"]
tickets, random = ("base", *progress.PHASES), ("random-rate", own.pruning_rate)

# %% [markdown]
# **Question Q06.** {doc}`progress-measures` compares tickets that are cut where the phases of their network end, as {cite:t}`chen2023` did.
# Two things are missing there: a mask of the same rate that knows nothing of the network, and training without weight decay, which
# {cite:t}`chen2023` named as a possible cause of the second rise of the test loss and left open.
#
# Networks, phases and measures are those of {doc}`progress-measures`.
#
# ## A random mask
#
# The random mask goes without as many weights as the tickets, 40% at the paper's scale, and starts from the same initial weights.

# %% mystnb={"figure": {"caption": "Medians and ranges over seeds; dashed lines are the medians of the ends of the base's phases.", "name": "fig-progress-random"}, "image": {"alt": "Six panels over epochs on a logarithmic axis, excluded loss, restricted loss, the ratio of restricted to training loss, sum of squared weights, and the Gini coefficients of the embedding and of the neuron-logit map, for the base, the memorization ticket and a random mask."}} tags=["hide-input"]
shown = ("base", "memorization", random)
figure, axes = figures.panels(2, 3, height=3.4)
figures.measures(axes, nanda, shown)
chapter.sign(figure, [nanda], legend=3)
chapter.finding(findings.times([nanda], *shown))

# %% [markdown]
# Where the measures end, and when the networks generalize, as medians and ranges over seeds:

# %% tags=["hide-input"]
levels = tables.plateaus(nanda, (*tickets, random))
chapter.table(levels.iloc[:, :4])

# %% tags=["remove-input"]
chapter.table(levels.drop(columns=levels.columns[1:4]))

# %% tags=["remove-input"]
chapter.table(tables.summary([nanda.only(*tickets, random)]))

# %% [markdown]
# ## The second rise, with and without weight decay
#
# Q06 asks whether the test loss still rises a second time without weight decay. Median (range) of its height in nats, over the seeds whose
# test loss comes half-way down at all, and how many these are:

# %% tags=["hide-input"]
rows = []
for one in tickets:
    row = {"arm": label(one)}
    for words, name in (("with", one), ("without", f"{one}-no-decay")):
        heights = [progress.second_rise(record) for record in nanda[name]]
        row[f"second rise, {words} decay"] = tables.range_text(heights, ".2f")
        row[f"come down, {words} decay"] = f"{np.isfinite(heights).sum()} of {len(heights)}"
    rows.append(row)
rises = pd.DataFrame(rows)
chapter.table(rises)

# %% mystnb={"figure": {"caption": "With weight decay (solid) and without (dotted), medians and ranges over seeds.", "name": "fig-second-rise"}, "image": {"alt": "Four panels, base and three tickets, of test loss over epochs on logarithmic axes, each with a solid curve with weight decay and a dotted curve without."}} tags=["hide-input"]
figure, axes = figures.panels(2, 2, height=3.2, sharex=True, sharey=True)
for ax, one in zip(axes.flat, tickets, strict=True):
    figures.curve(ax, nanda, one, "test_loss", label="with decay")
    figures.curve(ax, nanda, f"{one}-no-decay", "test_loss", style=":", label="without decay")
    ax.set_yscale("log")
    figures.by_phase(ax, nanda, label(one), "test loss (nats)")
    ax.legend(fontsize=9)
chapter.sign(figure, [nanda])
said = []
for words, end in (("with weight decay", ""), ("without", "-no-decay")):
    heights = np.array([progress.second_rise(record) for one in tickets for record in nanda[f"{one}{end}"]])
    down = heights[np.isfinite(heights)]
    highest = f" (rise after it {down.max():.2f} nats at most)" if len(down) else ""
    said.append(f"{words} in {len(down)} of {len(heights)}{highest}")
chapter.finding(f"Trainings whose test loss comes half-way down, {tables.seeds_of([nanda], chapter.parameters)}: {'; '.join(said)}")

# %% [markdown]
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(metrics=("train_loss", "test_loss"), levels=levels, rises=rises)
