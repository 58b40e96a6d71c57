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
#
# **Claims C17 and C18.** Before tickets, the network itself: App. C of {cite:t}`minegishi2023` follows the dense net through
# memorization, transition and generalization, and says that the size of its weights goes through three stages with it:
# up while the net memorizes, down in the transition, level after it has generalized.
#
# ## Method
#
# Train the dense MLP and the dense Transformer as in {doc}`setup`, one run a seed, and record accuracy, loss and the norms of
# all $n$ weights $\theta$ together,
#
# $$
# \lVert \theta \rVert_1 = \sum_{i=1}^{n} |\theta_i| , \qquad \lVert \theta \rVert_2 = \Bigl(\sum_{i=1}^{n} \theta_i^2\Bigr)^{1/2} .
# $$
#
# The authors' code plots the mean over matrices of each matrix's norm instead; the table below has both.

# %% tags=["parameters", "remove-input"]
profile = "paper"
seeds = [0, 1, 2, 3, 4]
prime = 67
train_fraction = 0.4
epochs = 30000
ticket_epoch = 28000
pruning_rate = 0.6
images = "mnist"
device = "cpu"

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from lib.book import figures, report
from lib.claims import measures
from lib.experiments import chapters as experiments, parameters

settings = parameters.check(globals())
results = experiments.results("typical-grokking", settings)


def draw(system):
    """Accuracy, loss and both norms over epochs, with t_gen of every seed marked, as in Figs 8 and 9."""
    records = results.records[system]["base"]
    tau = measures.threshold(records)
    figure, axes = figures.panels(2, 2)
    figures.accuracies(axes[0, 0], {"base": records}, tau, "(a) accuracy")
    axes[0, 0].legend(loc="lower right")
    for metric, style in (("train_loss", ":"), ("test_loss", "-")):
        figures.curve(axes[0, 1], records, metric, "base", style=style, label=figures.AXES[metric].split()[0])
    axes[0, 1].set_yscale("log")
    axes[0, 1].legend()
    figures.label(axes[0, 1], "(b) loss", "cross-entropy (nats)")
    for ax, metric, letter in ((axes[1, 0], "l1", "c"), (axes[1, 1], "l2", "d")):
        figures.curve(ax, records, metric, "base")
        ax.set_ylim(bottom=0)
        figures.label(ax, f"({letter}) {metric.upper()} norm", figures.AXES[metric])
    for t in filter(None, (measures.generalization_epoch(record, tau) for record in records)):
        for ax in axes.flat:
            ax.axvline(t, color="0.5", linewidth=0.7, zorder=0)
    figures.sign(figure, settings)


# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "The dense MLP, as in the paper's Fig. 8. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; grey vertical lines mark each seed's t_gen.", "name": "fig-typical-mlp"}, "image": {"alt": "Four panels over epochs for the dense MLP, accuracy, loss, L1 norm and L2 norm, one line a seed with median and range, and a vertical line where each seed generalizes."}} tags=["hide-input"]
draw("mlp")

# %% mystnb={"figure": {"caption": "The dense Transformer, as in the paper's Fig. 9; lines and bands as above.", "name": "fig-typical-transformer"}, "image": {"alt": "Four panels over epochs for the dense Transformer, accuracy, loss, L1 norm and L2 norm, one line a seed with median and range, and a vertical line where each seed generalizes."}} tags=["hide-input"]
draw("transformer")

# %% tags=["remove-input"]
HTML(report.download(report.curves(results), "typical-grokking"))

# %% [markdown]
# When each system fits its training pairs, and when it generalizes: median and range over seeds.

# %% tags=["remove-input"]
HTML(report.table(report.summary(results), precision=2))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))

# %% [markdown]
# What each seed's norms did. "Moves by" is the largest relative change from $t_{gen} + 5{,}000$ epochs (in proportion at
# smaller budgets) to the end; a dash stands where the budget leaves nothing to measure.

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements, precision=3))

# %% [markdown]
# The authors' way of taking norms, the mean over matrices, beside the global norm: start, peak and end, median over seeds.

# %% tags=["remove-input"]
rows = []
for system, kinds in results.records.items():
    for metric in ("l1", "mean_l1", "l2", "mean_l2"):
        values = np.stack([record.metrics[metric] for record in kinds["base"]])
        peaks = kinds["base"][0].epochs[values.argmax(1)]
        rows.append({"system": figures.SYSTEMS[system], "norm": metric, "start": np.median(values[:, 0]), "peak": np.median(values.max(1)), "peak epoch": float(np.median(peaks)), "end": np.median(values[:, -1])})
HTML(report.table(pd.DataFrame(rows), precision=1))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows one run of each system, this chapter several.
# * Norms are over all weights together; the code's mean over matrices is in the table above.
# * The paper reads the phases off the curves by eye (memorization up to 10,000 epochs, transition up to 25,000). Here
#   $t_{gen}$ marks the end of the transition, seed by seed.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('typical-grokking')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
