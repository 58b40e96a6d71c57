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
# # Architectures

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
import pandas as pd

from lib.book import figures, findings
from lib.book.chapter import Chapter
from lib.experiments.settings import SETTINGS

chapter = Chapter.open("architectures", globals())
longest = [comparison for comparison in chapter if SETTINGS[comparison.name].longer > 1]  # the others are their first part

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C19 and C20.** Tickets also speed up a Transformer with four attention heads (C19) and an MLP with one more hidden layer
# (C20), not only the two networks of {doc}`main-results` ({cite:t}`minegishi2023`, App. E).
#
# ## Method
#
# All is as in {doc}`main-results`, the task, the optimizer, the epoch of the mask and its rate, but the networks differ. The deeper MLP has
# a further square layer between the two that it had,
#
# $$
# \text{logits} = W_U^\top W_{out}\, \text{ReLU}(W_h\, \text{ReLU}(W_{in} W_E (e_a + e_b))), \qquad W_h \sim \mathcal N(0, 1/h),
# $$
#
# with $h$ hidden neurons in each layer. The four-head Transformer splits the width of the one head into four, each with a softmax of
# its own, so that it has as many weights as before.
#
# Where a setting is given with more epochs than the others, base and ticket both train for as many, and the mask is cut at the same share of
# them.
#
# <details class="fold">
# <summary>Weights and matrices of each network</summary>

# %% tags=["hide-input"]
runs = {name: SETTINGS[name].base(0, chapter.parameters) for name in ("mlp", "transformer", *chapter.comparisons)}
rows = [
    {"setting": SETTINGS[name].label, "weights": run.length, "matrices": ", ".join(run.parts())} for name, run in runs.items()
]
chapter.table(pd.DataFrame(rows))


# %% [markdown]
# </details>
#
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy, as in the paper's Fig. 15. Thick lines are medians over seeds, thin lines single seeds; the dashed line is \u03c4.", "name": "fig-architectures"}, "image": {"alt": "A panel for each network and budget, deeper MLP and four-head Transformer, of test accuracy over epochs for base and ticket, with one thin line a seed and the median."}} tags=["hide-input"]
def curves(ax, comparison):
    figures.curves(ax, comparison, band=False)
    for line in ax.lines:
        if line.get_linewidth() < 0.7:  # a single seed
            line.set(linewidth=1, alpha=0.7)


chapter.panels(curves, legend=2)
chapter.finding(findings.gains(chapter))

# %% mystnb={"figure": {"caption": "Each line joins one seed's base and ticket; hollow marks never generalize. Epochs are logarithmic.", "name": "fig-architectures-epochs"}, "image": {"alt": "A panel for each network and budget, deeper MLP and four-head Transformer, with the epoch of generalization of every seed for base and ticket on a logarithmic axis, the two joined by a line, hollow marks above the budget where a network never generalizes."}} tags=["hide-input"]
chapter.panels(figures.paired_epochs, height=2.2, sharey=False, sharex=True)
chapter.finding(findings.sooner(longest, "base", "ticket"))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-architectures-share"}, "image": {"alt": "A panel for each setting with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(figures.generalized, legend=2)
chapter.finding(findings.generalizing(longest, "base", "ticket"))

# %% [markdown]
# </details>

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-architectures-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>What each base had reached when its ticket was cut, seed by seed</summary>
#
# Where a base does not generalize within the budget, the speed-up is a bound or not known at all. The accuracy that each base has
# at the epoch at which its mask is cut:

# %% tags=["hide-input"]
import numpy as np

rows = []
for comparison in chapter:
    for seed in comparison.one_by_one():
        at = np.searchsorted(comparison.epochs, seed["ticket"].run.start.epoch, side="right") - 1
        times = {f"t_gen, {name}": seed.t_gen(name) for name in ("base", "ticket")}
        accuracy = seed["base"].metrics["test_accuracy"][at]
        rows.append({"setting": comparison.label, "seed": seed.seed, **times, "base at the cut": accuracy})
chapter.table(pd.DataFrame(rows).astype({"t_gen, base": "Int64", "t_gen, ticket": "Int64"}), precision=3)

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run of each network, this chapter one per seed.
# * The text makes the MLP one layer deeper and does not say where; here it is one more hidden layer of the same width.
# * As in {doc}`main-results`, the Transformer is that of the authors' code: no positions, no biases, every matrix pruned.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(["train_accuracy", "test_accuracy"])
