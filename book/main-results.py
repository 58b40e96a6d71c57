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
# # Main results

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
from lib.book import figures, findings
from lib.book.chapter import Chapter

chapter = Chapter.open("main-results", globals())

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C01 and C02.** A *ticket* cut from a network after it has generalized, put back to its initial weights and trained
# again, generalizes far sooner than the dense network did. This is the central result of {cite:t}`minegishi2023` (section
# 4.1 for the MLP, App. D for the Transformer); if it fails, the rest of the paper has nothing to explain.
#
# ## Method
#
# Train the dense base, cut the mask $m$ of its largest weights at an epoch after generalization, and train once more from
# $\theta_0 \odot m$ with $m$ held; {doc}`setup` has the details. The speed-up is $t_{gen}$ of the base over $t_{gen}$ of its ticket, seed
# by seed.
#
# Two controls stand beside them. The same mask on *other* initial weights asks whether the mask alone makes the ticket. The
# Transformer's ticket keeps nothing of $W_Q$ and $W_K$, so that it is also a network whose attention is the same everywhere; a dense
# network without these two matrices (*uniform attention*) shows what that alone does. {doc}`attention` goes further into it.
#
# ## Results

# %% mystnb={"figure": {"caption": "Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; dotted lines are training accuracy.", "name": "fig-main"}, "image": {"alt": "Two panels, MLP and Transformer, of accuracy over epochs. Training accuracy of base and ticket, and their test accuracy, each with one thin line a seed, the median and the range."}} tags=["hide-input"]
chapter.panels(figures.accuracies, legend=2)
chapter.finding(findings.times(chapter, "base", "ticket"))

# %% mystnb={"figure": {"caption": "Each line joins one seed's networks. Epochs are logarithmic.", "name": "fig-main-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for base and ticket on a logarithmic axis, the two joined by a line."}} tags=["hide-input"]
chapter.panels(figures.paired_epochs, height=3, sharey=False, sharex=True)
chapter.finding(findings.gains(chapter))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-main-results-share"}, "image": {"alt": "A panel for each setting with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(figures.generalized, legend=4)
chapter.finding(findings.generalizing(chapter, "base", "ticket", "new-weights"))

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

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-main-results-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>How many bases had generalized when their ticket was cut</summary>
#
# A ticket is “found after generalization” only where the base has generalized by the epoch of the mask. How often it has:

# %% tags=["hide-input"]
import pandas as pd

rows = []
for comparison in chapter:
    ready = sum(t is not None and t <= chapter.parameters.ticket_epoch for t in comparison.t_gen("base"))
    neither = [s.seed for s in comparison.one_by_one() if s.t_gen("base") is None and s.t_gen("ticket") is None]
    row = {"base generalized by the mask's epoch": f"{ready} of {len(comparison.seeds)} seeds"}
    rows.append({"setting": comparison.label, **row, "neither generalizes on seeds": ", ".join(map(str, neither)) or "none"})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run per system, this chapter one per seed, each with its own split and initial weights.
# * For the Transformer the text says that the query and key matrices are pruned rather than the connections between
#   layers; the code masks every matrix. Here every matrix is masked.
# * The text gives the Transformer an embedding of 500, positions and biases; the code has 128 and neither, as here.
#
# ## Data and rerun

# %% tags=["hide-input"]
from lib.train.trainer import METRICS

chapter.close(METRICS, every=1)
