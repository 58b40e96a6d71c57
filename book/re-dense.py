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
# # Re-dense

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

from lib.book import figures, findings
from lib.book.chapter import Chapter
from lib.claims.measures import speed_up
from lib.claims.statistics import between

chapter = Chapter.open("re-dense", globals())

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claim C29.** What a ticket starts from is enough. Zero the pruned weights once, at the start, and train all weights from there:
# this dense network still generalizes sooner than the base ({cite:t}`minegishi2023`, App. I). With as many free weights as the base
# has, it answers the objection that a ticket is fast only because there is less to train.
#
# ## Method
#
# Three networks share a seed's initial weights $\theta_0$ and its training pairs. The base starts at $\theta_0$. The ticket starts at
# $\theta_0 \odot m$, with the mask $m$ of {doc}`main-results`, and holds it. The *re-dense* network starts at $\theta_0 \odot m$ too,
# but no mask is held: weights that start at zero receive gradients and grow back. The name is from the last phase of
# dense-sparse-dense training {cite:p}`han2017`.
#
# ## Results

# %% mystnb={"figure": {"caption": "As in the paper's Fig. 23 but with epochs on a logarithmic axis. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; the dashed line is \u03c4.", "name": "fig-re-dense"}, "image": {"alt": "Two panels, MLP and Transformer, of test accuracy over epochs on a logarithmic axis, for base, ticket and re-dense network, each with one thin line a seed, the median and the range."}} tags=["hide-input"]
chapter.panels(lambda ax, comparison: figures.curves(ax, comparison, logarithmic=True), legend=3)
chapter.finding(findings.times(chapter, "base", "ticket", "re-dense"))

# %% mystnb={"figure": {"caption": "Lines join the networks of one seed. Epochs are logarithmic.", "name": "fig-re-dense-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for base, ticket and re-dense network on a logarithmic axis, one line a seed."}} tags=["hide-input"]
chapter.panels(figures.paired_epochs, height=2.6, sharey=False, sharex=True)
chapter.finding(findings.gains(chapter, "base", "re-dense"))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-re-dense-share"}, "image": {"alt": "A panel for each setting with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(figures.generalized, legend=4)
chapter.finding(findings.generalizing(chapter, "base", "ticket", "re-dense"))

# %% [markdown]
# </details>

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# <details class="fold">
# <summary>How much of the gain the starting weights give alone, seed by seed</summary>
#
# Seed by seed: both speed-ups over the base, what holding the mask adds (t_gen of the re-dense network over that of the ticket), and
# the share of the ticket's logarithmic speed-up that the starting weights give alone.
#
# To see how much of the ticket's gain is in the starting weights, take the speed-ups over the base on a logarithmic scale, where
# factors add up. The share on seed $i$ is
#
# $$
# \frac{\log s_i^{\text{re-dense}}}{\log s_i^{\text{ticket}}}, \qquad s_i = \frac{t_{gen}^{\text{base}}}{t_{gen}},
# $$
#
# 1 if holding the mask adds nothing, 0 if it adds everything. It is known where all three networks generalize and the ticket is faster
# than the base.

# %% tags=["hide-input"]
pairs = {"ticket over base": ("base", "ticket"), "re-dense over base": ("base", "re-dense"), "ticket over re-dense": ("re-dense", "ticket")}
rows = []
for comparison in chapter:
    for seed in comparison.one_by_one():
        found = {name: speed_up(seed, *pair) for name, pair in pairs.items()}
        ticket, re_dense, _ = found.values()
        known = all(one.low == one.high for one in found.values()) and ticket.low > 1
        share = np.log(re_dense.low) / np.log(ticket.low) if known else np.nan
        row = {name: between(one.low, one.high) for name, one in found.items()}
        rows.append({"setting": comparison.label, "seed": seed.seed, **row, "share": share})
shares = pd.DataFrame(rows)
chapter.table(shares)

# %% [markdown]
# </details>
#
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-re-dense-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run of each network and gives no number for the gain; here all three share the split and the initial weights of
#   each of several seeds, and the share above puts the gain in numbers.
# * The paper does not say on which architecture Fig. 23 was made; here are both.
# * The start $\theta_0 \odot m$ also has a smaller norm than $\theta_0$. Whether the norm alone could explain the gain is tested in
#   {doc}`weight-norm`, on dense networks whose start has this norm and no zeros.
# * Adam's first steps have the size of the learning rate whatever the gradient, so the zeroed weights leave zero at once. Nothing
#   here says that the re-dense network keeps the ticket's structure: records hold no weights but the mask.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(shares=shares)
