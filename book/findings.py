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
# # What else we found
#
# Four things that the records say and no claim asks for. No rule was fixed for any of them before it was seen on seeds 0 to 4, so all
# are exploratory; where a table is of other seeds, it shows whether what was seen there comes back on new ones.

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

from lib.analysis import fourier
from lib.analysis.structure import distance_by_chance, jaccard_distances
from lib.analysis.times import final, series
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.statistics import median_text, share_interval
from lib.experiments.arms import Arm
from lib.experiments.chapters import AFTER_TRAINING, BEFORE_TRAINING

architectures, representations, scores, main = (
    Chapter.open("findings", globals(), of=of) for of in ("architectures", "representations", "pruning-at-init", "main-results")
)

# %% [markdown]
# ## Masks know before the network does
#
# A ticket can be good although its base is not. The base below has not generalized at the epoch at which the mask is cut, and the ticket of this
# mask may generalize all the same: the largest weights already mark the sparse network that the dense one has not settled on.

# %% mystnb={"figure": {"caption": "Marks in the upper left are tickets that generalize and whose base had not; dashed lines are \u03c4, a mark is a seed.", "name": "fig-findings-masks"}, "image": {"alt": "A scatter plot for each architecture with the base's test accuracy at the cut on the horizontal axis and the best test accuracy of its ticket on the vertical axis."}} tags=["hide-input"]
cuts = []
for comparison in architectures:
    for base, ticket, t_gen in zip(comparison["base"], comparison["ticket"], comparison.t_gen("ticket"), strict=True):
        at = np.searchsorted(base.epochs, ticket.run.start.epoch, side="right") - 1
        cuts.append({"setting": comparison.label, "seed": base.seed, "base at the cut": series(base)[at], "ticket at its best": series(ticket).max(), "t_gen, ticket": t_gen, "budget": comparison.budget, "τ": comparison.tau})
cuts = pd.DataFrame(cuts)


def masks(ax, comparison):
    found = cuts[cuts["setting"] == comparison.label]
    ax.scatter(found["base at the cut"], found["ticket at its best"], color=Arm("ticket").colour)
    ax.axhline(comparison.tau, **figures.DASHED)
    ax.axvline(comparison.tau, **figures.DASHED)
    ax.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.05))
    figures.label(ax, comparison.label, "ticket, best test accuracy", x="base, test accuracy at the cut")


architectures.panels(masks)
early = cuts[cuts["base at the cut"] < cuts["τ"]]
architectures.finding(f"{(early['ticket at its best'] >= early['τ']).sum()} of {len(early)} tickets generalize whose base had not at the cut, of {len(cuts)} in all")

# %% tags=["hide-input"]
rows = []
for name, found in cuts.groupby("setting", sort=False):
    early = found[found["base at the cut"] < found["τ"]]
    works = int((early["ticket at its best"] >= early["τ"]).sum())
    low, high = share_interval(works, 0, len(early)) if len(early) else (np.nan, np.nan)
    after = tables.epochs_text([None if np.isnan(t) else t for t in early["t_gen, ticket"].astype(float)], early["budget"].iloc[0]) if len(early) else "–"
    rows.append({"setting": name, "seeds": len(found), "base not generalized at the cut": len(early), "of these, ticket generalizes": works, "share, 95% interval": f"{low:.2f} to {high:.2f}" if len(early) else "–", "their tickets' t_gen (epoch)": after})
architectures.table(pd.DataFrame(rows))

# %% [markdown]
# ## A ticket's neurons are tuned before training
#
# A hidden neuron of the MLP reads each token through a row of $W_{in} W_E$. After training that row is a wave of one frequency
# ({doc}`representations`). In a ticket, the strongest frequency of the masked row *before* training is already the one that it ends with, for most
# neurons. In the dense base it is so
# for few neurons, though for more than by chance, which is one in as many as there are frequencies.

# %% mystnb={"figure": {"caption": "The share of live neurons whose strongest frequency before training is the one that they end with. A mark for each seed, bars are medians; the dashed line is chance, one in as many as there are frequencies.", "name": "fig-findings-tuned"}, "image": {"alt": "Two rows of marks, base and ticket of the MLP, over the share of live neurons whose strongest frequency before training is the one that they end with, from 0 to 1, with a dashed line at chance."}} tags=["hide-input"]
mlp = representations["mlp"]
figure, axes = figures.panels(1, 1, height=1.9, width=7)
rows, tuned = [], {}
for y, name in enumerate(("base", "ticket")):
    kept = []
    for record in mlp[name]:
        first, last = (record.probes["inputs"][i].astype(float) for i in (0, -1))
        alive = fourier.live(last)
        kept.append(((fourier.top_frequency(first)[0] == fourier.top_frequency(last)[0])[alive].sum(), alive.sum()))
    same, live = np.array(kept).T
    half = mlp["base"][0].probes["inputs"].shape[-1] // 2
    axes[0, 0].scatter(same / live, np.full(len(live), y), s=22, alpha=0.7, color=Arm(name).colour)
    axes[0, 0].vlines(np.median(same / live), y - 0.3, y + 0.3, color=Arm(name).colour, linewidth=2)
    tuned[Arm(name).label] = findings.median(same / live)
    rows.append({"arm": Arm(name).label, "live neurons at the end, all seeds": live.sum(), "with their last frequency before training": same.sum(), "by chance": live.sum() / half, "share of a seed, median (95% interval)": median_text(same / live)})
axes[0, 0].axvline(1 / half, **figures.DASHED)
figures.rows_of_labels(axes[0, 0], [row["arm"] for row in rows])
axes[0, 0].set_xlim(-0.02, 1.02)
figures.label(axes[0, 0], mlp.label, "", x="share of a seed's live neurons")
representations.sign(figure, [mlp])
representations.finding(f"Median share of neurons tuned before training {findings.over_seeds([mlp])}: {findings.listed(tuned)}; chance {1 / half:.2f}")

# %% tags=["hide-input"]
representations.table(pd.DataFrame(rows))

# %% [markdown]
# ## For SNIP and SynFlow it is the trained weights, not the score
#
# Pruning at initialisation by SNIP or SynFlow gives masks that are far from the ticket's and do not help ({doc}`pruning-at-init`). The same
# scores, taken of the trained weights in place of the initial ones, give nearly the ticket's own mask. What these two lack is not a better formula but
# the training. GraSP does the reverse: of trained weights it drops nearly all that the ticket keeps, and its masks of initial weights are as little
# like the ticket's as the others'.

# %% mystnb={"figure": {"caption": "Jaccard similarity with the ticket's mask, 1 if they are the same, one mark a seed. A grey bar is the median that independent masks would have which keep the same share of each matrix.", "name": "fig-findings-scores"}, "image": {"alt": "A panel for each setting with the Jaccard similarity to the ticket's mask for masks from scores at initialisation and from scores of the trained network."}} tags=["hide-input"]
overlap = []
for comparison in scores:
    for one in [*BEFORE_TRAINING, *AFTER_TRAINING]:
        for record, ticket in zip(comparison[one], comparison["ticket"], strict=True):
            similarity = 1 - jaccard_distances([record.mask, ticket.mask])[0, 1]
            chance = 1 - distance_by_chance(record.run, record.mask, ticket.mask)
            overlap.append({"setting": comparison.label, "arm": one, "seed": record.seed, "similarity": similarity, "by chance": chance})
overlap = pd.DataFrame(overlap)
figure, axes = figures.panels(1, len(scores.comparisons), height=4.2, sharey=True)
for ax, (name, found) in zip(axes[0], overlap.groupby("setting", sort=False), strict=True):
    arms = list(dict.fromkeys(found["arm"]))
    for i, one in enumerate(arms):
        values, chance = found.loc[found["arm"] == one, ["similarity", "by chance"]].to_numpy().T
        ax.vlines(np.median(chance), i - 0.35, i + 0.35, color="0.6", linewidth=3)
        ax.scatter(values, np.full(len(values), i), color=Arm(one).colour, s=22)
    ax.set_yticks(range(len(arms)), [Arm(one).label for one in arms])
    ax.set_xlim(0, 1.02)
    figures.label(ax, name, "", x="Jaccard similarity to the ticket's mask")
axes[0, 0].invert_yaxis()
scores.sign(figure)
best = [overlap[overlap["arm"].isin(group)].groupby(["setting", "arm"])["similarity"].median().max() for group in (BEFORE_TRAINING, AFTER_TRAINING)]
scores.finding(f"Highest median similarity to the ticket's mask {findings.over_seeds(scores)}: {best[0]:.2f} from initial weights, {best[1]:.2f} from trained weights")

# %% [markdown]
# <details class="fold">
# <summary>The same in numbers</summary>

# %% tags=["hide-input"]
rows = []
for (setting, one), found in overlap.groupby(["setting", "arm"], sort=False):
    row = {"setting": setting, "arm": Arm(one).label, "similarity, median (95% interval)": median_text(found["similarity"])}
    rows.append(row | {"of independent masks, median": findings.median(found["by chance"])})
scores.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## The mask alone is not enough
#
# The mask of a ticket on *other* initial weights does not make it fast: {doc}`main-results` shows it beside base and ticket. Mask and initial weights
# belong together, as in the lottery tickets of image classifiers.

# %% mystnb={"figure": {"caption": "Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; the dashed line is \u03c4.", "name": "fig-findings-mask-alone"}, "image": {"alt": "Two panels, MLP and Transformer, of test accuracy over epochs of base, ticket and the ticket's mask on new weights."}} tags=["hide-input"]
ALONE = [one for one in ("base", "ticket", "new-weights") if all(Arm(one) in comparison.arms for comparison in main)]
main.panels(lambda ax, comparison: figures.curves(ax, comparison, arms=ALONE), legend=3)
main.finding(findings.generalizing(main, *ALONE))

# %% tags=["hide-input"]
rows = []
for comparison in main:
    if Arm("new-weights") in comparison.arms:
        for one in ("base", "ticket", "new-weights"):
            times = comparison.t_gen(one)
            rows.append({"setting": comparison.label, "arm": Arm(one).label, "generalize": f"{sum(t is not None for t in times)} of {len(times)}", "t_gen": tables.epochs_text(times, comparison.budget), "accuracy at the end, median (95% interval)": median_text([final(record) for record in comparison[one]])})
main.table(pd.DataFrame(rows)) if rows else "No records yet."

# %% [markdown]
# ## Data and rerun

# %% tags=["remove-input"]
main.close(overlap=overlap, cuts=cuts)
