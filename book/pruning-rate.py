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
# # Pruning rate

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

from lib.analysis.times import final, fully_generalizes, median_time
from lib.book import figures, findings
from lib.book.chapter import Chapter

chapter = Chapter.open("pruning-rate", globals())

# %% tags=["remove-input"]
chapter.in_short()


# %% [markdown]
# **Claims C07 and C08.** A ticket helps most at a pruning rate in between: too high a rate slows grokking down or prevents
# it, too low a rate gains less ({cite:t}`minegishi2023`, section 4.3 for the MLP and App. D.2 for the Transformer). For the
# Transformer the paper adds that without a suitable rate the ticket does not generalize completely.
#
# ## Method
#
# The mask of {doc}`main-results` is cut at rates $\rho = 0.1, 0.2, \dots, 0.9$ from the same weights $\theta_t$ of each base
# run, and each ticket $\theta_0 \odot m_\rho$ is trained with its mask held. Masks are nested: $m_{0.9} \le m_{0.8} \le \dots$,
# since all rates cut one ranking of magnitudes. A ticket *fully generalizes* if its test accuracy at the end is at most 0.01 below
# that of its base, or at least 0.99.
#
# ## Results

# %% mystnb={"figure": {"caption": "Medians over seeds. For the base, thin lines are single seeds and the band is their range.", "name": "fig-rate-curves"}, "image": {"alt": "Two panels, MLP and Transformer, of test accuracy over epochs, one curve for each of five pruning rates and one for the dense base."}} tags=["hide-input"]
def curves(ax, comparison):
    figures.curve(ax, comparison, "base")
    figures.family(ax, comparison, "rate", chosen=[0.1, 0.3, 0.5, 0.7, 0.9])


chapter.panels(curves, legend=3)
chapter.finding(findings.times(chapter, {"base": "base"} | {f"rate {rate:g}": ("rate", rate) for rate in (0.1, 0.9)}))


# %% mystnb={"figure": {"caption": "Thin lines join the points of one seed, hollow points never generalize; dotted lines are the medians of the base. Epochs are logarithmic.", "name": "fig-rate"}, "image": {"alt": "Four panels, MLP and Transformer side by side. Above, the epoch of generalization against the pruning rate, one point for each seed, hollow where the ticket never generalizes. Below, the test accuracy at the end against the pruning rate."}} tags=["hide-input"]
def epochs_by_rate(ax, comparison):
    figures.epochs_by_value(ax, comparison, "rate", "pruning rate")
    figures.reference(ax, median_time(comparison.t_gen("base")), "base")


def ends_by_rate(ax, comparison):
    figures.ends_by_value(ax, comparison, "rate", "pruning rate")
    figures.reference(ax, np.median([final(record) for record in comparison["base"]]), "base")


chapter.panels(epochs_by_rate, ends_by_rate, height=3.2, legend=2)
chapter.finding(findings.first_and_last(chapter, *(("rate", rate) for rate in chapter["mlp"].family("rate"))))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-pruning-rate-share"}, "image": {"alt": "Two panels, MLP and Transformer, with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
some = ["base", *(("rate", rate) for rate in (0.1, 0.5, 0.7, 0.9))]
chapter.panels(lambda ax, comparison: figures.generalized(ax, comparison, arms=some), legend=3)
chapter.finding(findings.generalizing(chapter, "base", some[-1]))

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

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-pruning-rate-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>How many seeds generalize fully at each rate, and when</summary>
#
# On how many seeds the tickets of each rate fully generalize, and their median t_gen:

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for rate, records in comparison.family("rate").items():
        full = sum(fully_generalizes(*pair) for pair in zip(records, comparison["base"], strict=True))
        median = median_time(comparison.t_gen(("rate", rate)))
        text = f"{median:,.0f}" if np.isfinite(median) else "never"
        counts = {"fully generalize": f"{full} of {len(records)}", "median t_gen": text}
        rows.append({"setting": comparison.label, "rate": f"{rate:g}", **counts})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run per rate; here every rate has all seeds, and the same seeds.
# * The code's `sparsity` is the fraction of weights that is *kept*: its 0.4 is the rate 0.6 here. See {doc}`deviations`.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close()
