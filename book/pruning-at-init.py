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
# # Pruning at initialisation

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

from lib.analysis.times import final
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.measures import kept_shares, speed_up
from lib.experiments.arms import arm
from lib.experiments.chapters import AFTER_TRAINING, BEFORE_TRAINING
from lib.train import pruning

chapter = Chapter.open("pruning-at-init", globals())
before, trained = list(BEFORE_TRAINING), list(AFTER_TRAINING)

# %% tags=["remove-input"]
chapter.in_short()


# %% [markdown]
# **Claims C15 and C16, question Q04.** Sparsity as such does not help: masks chosen before training, at random or by SNIP,
# GraSP or SynFlow, bring generalization no earlier than the dense network ({cite:t}`minegishi2023`, section 5.2 for the MLP and
# App. D.5 for the Transformer). The paper leaves open what these scores lack (Q04): how much of the ticket they share, and
# whether the same scores find it in the trained network.
#
# ## Method
#
# Each weight gets a score $S$, and masks of the ticket's pruning rate are cut from one ranking of all weights together. With
# $\mathcal{L}$ the mean loss over the training set and $H$ its Hessian, both at $\theta_0$ (App. B of the paper),
#
# $$
# \begin{aligned}
# S_{SNIP} &= \Bigl| \frac{\partial \mathcal{L}}{\partial \theta} \odot \theta \Bigr|, &
# S_{GraSP} &= -\Bigl( H \frac{\partial \mathcal{L}}{\partial \theta} \Bigr) \odot \theta, \\[1ex]
# S_{SynFlow} &= \frac{\partial R}{\partial \theta} \odot \theta, &
# R &= \mathbb{1}^{\top} \Bigl( \prod_l \bigl| \theta^{(l)} \bigr| \Bigr) \mathbb{1} .
# \end{aligned}
# $$
#
# SNIP {cite:p}`lee2019snip` and SynFlow {cite:p}`tanaka2020synflow` remove the weights with the lowest scores, GraSP
# {cite:p}`wang2020grasp` those with the highest. Random pruning draws $S$ uniformly. The paper prunes in one step. SynFlow's
# authors take 100 rounds: the kept share shrinks by one factor a round, and the weights that are left are scored anew; this is
# run too. The mask is then held, as a ticket's is.
#
# $R$ adds up the products of weights along all paths from a token to a logit. In the Transformer attention's scores weigh paths
# but carry none: none leads through $W_Q$ or $W_K$. Their SynFlow scores are zero, and they are the first to go. Where nothing
# is kept of $W_Q$ or of $W_K$, all positions get the same attention.
#
# <details class="fold">
# <summary>How masks are compared, and what GraSP may do to a trained network</summary>
#
# For Q04, masks are compared matrix by matrix by their Jaccard index, the number of weights that both keep over the number that
# at least one keeps. Two *independent* masks that keep the shares $d_1$ and $d_2$ of a matrix have the index
# $d_1 d_2 / (d_1 + d_2 - d_1 d_2)$ in expectation. The second half of Q04 puts the trained weights $\theta_t$, of which the
# ticket is cut, in the place of $\theta_0$ in the scores; the mask is laid on $\theta_0$ as before. GraSP may then turn its
# order round: where weight decay holds a network at rest, the gradient of the loss points against the weights, roughly
# $\partial \mathcal{L} / \partial \theta \propto -\theta$, and $S_{GraSP}$ grows with $(H \theta) \odot \theta$, so that the weights
# that the loss depends on most are the first to go.
#
# </details>
#
# ## Results

# %% mystnb={"figure": {"caption": "Scores taken before training above, of the trained network below. Thick lines are medians over seeds, thin lines single seeds.", "name": "fig-init-curves"}, "image": {"alt": "Four panels of test accuracy over epochs, MLP and Transformer side by side, scores taken before training above and scores of the trained network below. One curve for base, ticket and each way of pruning, with one thin line a seed and the median."}} tags=["hide-input"]
def curves_of(arms, suffix):
    def draw(ax, comparison):
        figures.curves(ax, comparison, arms=["base", "ticket", *arms], band=False)
        figures.label(ax, comparison.label, f"test accuracy,\n{suffix}")

    return draw


chapter.panels(curves_of(before, "scores before training"), curves_of(trained, "scores of the trained network"), height=3.8, legend=4)
chapter.finding(findings.ends(chapter, "ticket", "snip", "snip-trained"))

# %% mystnb={"figure": {"caption": "Lines join one seed. Hollow marks never generalize within the budget. Epochs are logarithmic.", "name": "fig-init-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for base, ticket and each way of pruning, on a logarithmic axis; hollow above the budget where a run never generalizes."}} tags=["hide-input"]
chapter.panels(figures.paired_epochs, height=4.4, sharey=False, sharex=True)
chapter.finding(findings.first_and_last(chapter, "base", "ticket", *before))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-pruning-at-init-share"}, "image": {"alt": "A panel for each setting with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(lambda ax, comparison: figures.generalized(ax, comparison, arms=["base", "ticket", *before]), legend=4)
chapter.finding(findings.generalizing(chapter, "base", "ticket", "random", "snip"))

# %% [markdown]
# </details>

# %% tags=["remove-input"]
chapter.summary()


# %% [markdown]
# ## What is kept of each matrix

# %% tags=["hide-input"]
def compared(record, mask, ticket):
    """Of one mask: for each matrix, and for all, the share kept and the overlap with the ticket's mask."""
    counts = {}
    for name, a in record.run.split(mask).items():
        b = record.run.split(ticket)[name]
        x, y = a.mean(), b.mean()
        counts[name] = np.array([a.size, a.sum(), (a & b).sum(), (a | b).sum(), a.size * x * y, a.size * (x + y - x * y)])
    for name, (size, kept, both, either, *chance) in (counts | {"all": sum(counts.values())}).items():
        shared = {"jaccard": both / either, "expected": chance[0] / chance[1]} if either else {"jaccard": np.nan, "expected": np.nan}
        yield {"matrix": name, "kept": kept / size, **shared}


LARGEST = "initial magnitude"  # the largest weights of all at the start; a mask for comparison, not trained
parts = []
for comparison in chapter:
    masks = {one: [record.mask for record in comparison[one]] for one in ["ticket", *before, *trained]}
    masks[LARGEST] = [pruning.magnitude(r.run.initial_weights(), chapter.parameters.pruning_rate) for r in comparison["base"]]
    for one, group in masks.items():
        for base, mask, ticket in zip(comparison["base"], group, masks["ticket"], strict=True):
            parts.append(pd.DataFrame(compared(base, mask, ticket)).assign(setting=comparison.label, arm=one, seed=base.seed))
overlaps = pd.concat(parts, ignore_index=True)
overlaps["excess"] = overlaps["jaccard"] - overlaps["expected"]
words = {one: arm(one).label for one in ["ticket", *before, *trained]} | {LARGEST: LARGEST}


def heat_maps(values, texts, rows, scheme, limits):
    """A panel a setting: medians over seeds of a column of `overlaps` as colours, a text in each cell."""
    counts = [overlaps.loc[overlaps["setting"] == comparison.label, "matrix"].nunique() for comparison in chapter]
    figure, axes = figures.panels(1, 2, height=0.44 * len(rows) + 1.1, sharey=True, width_ratios=counts)
    for ax, (setting, found) in zip(axes[0], overlaps.groupby("setting", sort=False), strict=True):
        medians = found.groupby(["arm", "matrix"], sort=False)[["kept", "jaccard", "expected", "excess"]].median()
        columns = list(found["matrix"].unique())
        grid = np.array([[medians.loc[(one, matrix), values] for matrix in columns] for one in rows])
        image = ax.imshow(np.ma.masked_invalid(grid), cmap=scheme, vmin=limits[0], vmax=limits[1], aspect="auto")
        for (i, j), value in np.ndenumerate(grid):
            text = "–" if np.isnan(value) else texts(medians.loc[(rows[i], columns[j])])
            dark = np.dot(image.cmap(image.norm(value))[:3], [0.3, 0.59, 0.11]) < 0.5 and text != "–"
            ax.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if dark else "black", linespacing=0.95)
        ax.set_xticks(range(len(columns)), [f"$W_{{{name[2:]}}}$" if name != "all" else "all" for name in columns])
        figures.rows_of_labels(ax, [words[one] for one in rows])
        ax.tick_params(length=0)
        ax.grid(False)
        ax.set_title(setting)
    chapter.sign(figure)


# %% mystnb={"figure": {"caption": "In percent, medians over seeds. All masks keep the same share of all weights.", "name": "fig-init-kept"}, "image": {"alt": "Two heat maps, MLP and Transformer, with a row for the ticket and each way of pruning, a column for each weight matrix and one for all, and in each cell the share of weights kept."}} tags=["hide-input"]
heat_maps("kept", lambda cell: f"{100 * cell['kept']:.0f}", ["ticket", *before, *trained], "Blues", (0, 1))
least_to_most = lambda c: findings.extremes(kept_shares(c["ticket"]))
chapter.finding(findings.by_setting("Median share that the ticket keeps of a matrix, least to most,", chapter, least_to_most))

# %% [markdown]
# <details class="fold">
# <summary>Where a mask keeps nothing of a matrix, or less than 1%</summary>
#
# On how many seeds a mask keeps nothing of a matrix, or less than 1%:

# %% tags=["hide-input"]
rows = []
for (setting, one, matrix), found in overlaps.groupby(["setting", "arm", "matrix"], sort=False):
    nothing, little = int((found["kept"] == 0).sum()), int(((found["kept"] > 0) & (found["kept"] < 0.01)).sum())
    if nothing or little:
        rows.append({"setting": setting, "mask": words[one], "matrix": matrix, "nothing": nothing, "less than 1%": little, "seeds": len(found)})
chapter.table(pd.DataFrame(rows) if rows else pd.DataFrame({"": ["none"]}))

# %% [markdown]
# </details>
#
# ## What is shared with the ticket

# %% mystnb={"figure": {"caption": "In percent, medians over seeds, and in brackets what independent masks with the same shares of each matrix would have. Red is above it, blue below; a dash where neither keeps anything. \"Initial magnitude\" keeps the largest initial weights and is not trained.", "name": "fig-init-overlap"}, "image": {"alt": "Two heat maps, MLP and Transformer, with a row for each way of pruning, a column for each weight matrix and one for all, and in each cell the Jaccard index with the ticket's mask above the value of independent masks."}} tags=["hide-input"]
rows = [*before, *trained, LARGEST]
reach = max(0.1, overlaps.loc[overlaps["arm"].isin(rows), "excess"].abs().max())
heat_maps("excess", lambda cell: f"{100 * cell['jaccard']:.0f}\n({100 * cell['expected']:.0f})", rows, "RdBu_r", (-reach, reach))
alike = overlaps[(overlaps["matrix"] == "all") & overlaps["arm"].isin(rows)].groupby(["setting", "arm"])["jaccard"].median()
highest = lambda c: findings.listed({words[alike[c.label].idxmax()]: f"{alike[c.label].max():.2f}"})
chapter.finding(findings.by_setting("Highest median overlap with the ticket's mask", chapter, highest))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-pruning-at-init-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>How many seeds generalize with each mask, and how much sooner</summary>
#
# How many seeds generalize, the speed-up where it is known (below 1: later than the base), and what the others reach:

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for one in ["ticket", *before, *trained]:
        found = [speed_up(seed, faster=one) for seed in comparison.one_by_one()]
        ends = [final(record) for record, t in zip(comparison[one], comparison.t_gen(one), strict=True) if t is None]
        rows.append(
            {
                "setting": comparison.label,
                "arm": words[one],
                "generalize": f"{len(found) - len(ends)} of {len(found)}",
                "speed-up": tables.range_text([x.low for x in found if x.low == x.high], ".2f"),
                "sooner than the base": sum(x.low > 1 for x in found),
                "test accuracy of the others at the end": tables.range_text(ends, ".2f"),
            }
        )
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Overlap of each mask with the ticket’s, in numbers (a first answer to Q04)</summary>
#
# A first answer to Q04, from whole masks: their overlap with the ticket's (Jaccard index), what masks would have that are independent
# of it and keep the same share of each matrix, and the difference of the two (median and range over seeds). How fast these networks
# generalize is in the table above.

# %% tags=["hide-input"]
rows = []
for (setting, one), found in overlaps[overlaps["matrix"] == "all"].groupby(["setting", "arm"], sort=False):
    if one != "ticket":
        texts = {"overlap": "jaccard", "independent": "expected", "excess": "excess"}
        rows.append({"setting": setting, "mask": words[one], **{name: tables.range_text(found[column]) for name, column in texts.items()}})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run per method; here each has all seeds, with a verdict for each method.
# * In the authors' code, SynFlow feeds data through a network whose masks have been made absolute along with its weights, and GraSP
#   divides the logits by a temperature of 200. Here the definitions above are used, with gradients in double precision.
# * SynFlow in 100 rounds and the scores of the trained network are additions.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(masks=overlaps[["setting", "arm", "seed", "matrix", "kept", "jaccard", "expected"]])
