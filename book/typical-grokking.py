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
# # Typical grokking

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

from lib.analysis.times import fitting_epoch
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter

chapter = Chapter.open("typical-grokking", globals())


def draw(name):
    """Accuracy, loss and both norms over epochs, with t_gen of every seed marked, as in Figs 8 and 9."""
    comparison = chapter[name]
    figure, axes = figures.panels(2, 2)
    figures.accuracies(axes[0, 0], comparison)
    for metric, style in (("train_loss", ":"), ("test_loss", "-")):
        figures.curve(axes[0, 1], comparison, "base", metric, style=style)
    axes[0, 1].set_yscale("log")
    figures.label(axes[0, 1], "loss", "cross-entropy (nats)")
    for ax, metric in ((axes[1, 0], "l1"), (axes[1, 1], "l2")):
        figures.curves(ax, comparison, metric)
        ax.set_title(f"{metric.upper()} norm")
    for t in filter(None, comparison.t_gen("base")):
        for ax in axes.flat:
            ax.axvline(t, color="0.5", linewidth=0.7, zorder=0)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=10)
    chapter.sign(figure, [comparison])
    fitted = findings.epoch([fitting_epoch(record, comparison.tau) for record in comparison["base"]], comparison.budget)
    generalized = findings.epoch(comparison.t_gen("base"), comparison.budget)
    chapter.finding(f"Median epochs to accuracy τ {findings.over_seeds([comparison])}: {fitted} (training), {generalized} (test)")


# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C17 and C18.** Before tickets, the network itself: App. C of {cite:t}`minegishi2023` follows the dense network through
# memorization, transition and generalization, and says that the size of its weights goes through three stages with it:
# up while the network memorizes, down in the transition, level after it has generalized.
#
# ## Method
#
# Train the dense MLP and the dense Transformer as in {doc}`setup`, one run per seed, and record accuracy, loss and the L1 and L2 norm
# of all weights together. The authors' code plots the mean over matrices of each matrix's norm instead; a table folded below the verdict has both.
# The MLP is also trained for 100,000 epochs, more than three times the budget of most chapters.
#
# ## Results

# %% mystnb={"figure": {"caption": "As in the paper's Fig. 8. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; grey vertical lines mark each seed's t_gen.", "name": "fig-typical-mlp"}, "image": {"alt": "Four panels over epochs for the dense MLP, accuracy, loss, L1 norm and L2 norm, one line a seed with median and range, and a vertical line where each seed generalizes."}} tags=["hide-input"]
draw("mlp")

# %% mystnb={"figure": {"caption": "As in the paper's Fig. 9; lines and bands as in {numref}`fig-typical-mlp`.", "name": "fig-typical-transformer"}, "image": {"alt": "Four panels over epochs for the dense Transformer, accuracy, loss, L1 norm and L2 norm, one line a seed with median and range, and a vertical line where each seed generalizes."}} tags=["hide-input"]
draw("transformer")

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-typical-grokking-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Start, peak and end of the norms, over all weights and as the authors take them</summary>
#
# The authors' way of taking norms, the mean over matrices, beside the global norm: start, peak and end, median over seeds.

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for metric in ("l1", "mean_l1", "l2", "mean_l2"):
        values = np.stack([record.metrics[metric] for record in comparison["base"]])  # [S, T]
        peaks = comparison.epochs[values.argmax(1)]
        numbers = {"start": values[:, 0], "peak": values.max(1), "end": values[:, -1]}
        text = {name: tables.range_text(value, ".1f") for name, value in numbers.items()}
        rows.append({"setting": comparison.label, "norm": metric, **text, "peak epoch": tables.range_text(peaks, ",.0f")})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run of each system, this chapter several.
# * Norms are over all weights together; the code's mean over matrices is folded below the verdict.
# * The paper reads the phases off the curves by eye (memorization up to 10,000 epochs, transition up to 25,000). Here
#   $t_{gen}$ marks the end of the transition, seed by seed.
#
# ## Data and rerun

# %% tags=["hide-input"]
from lib.train.trainer import METRICS

chapter.close(METRICS, every=1)
