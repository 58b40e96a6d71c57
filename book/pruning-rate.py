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
#
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
from IPython.display import HTML, Markdown

from lib.book import figures, report
from lib.claims import measures
from lib.experiments import chapters as experiments, parameters

settings = parameters.check(globals())
results = experiments.results("pruning-rate", settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
rates = {system: measures.by_number(kinds, "rate") for system, kinds in results.records.items()}
Markdown(f"Masks are taken at epoch {settings.ticket_epoch:,}; every run has {settings.epochs:,} epochs.")

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy of tickets of several pruning rates, medians over seeds. For the base, thin lines are single seeds and the band is their range.", "name": "fig-rate-curves"}, "image": {"alt": "Two panels, MLP and Transformer, of test accuracy over epochs, one curve for each of five pruning rates and one for the dense base."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.6, sharey=True)
for ax, (system, groups) in zip(axes[0], rates.items(), strict=True):
    figures.curve(ax, results.records[system]["base"], "test_accuracy", "base")
    figures.family(ax, groups, "test_accuracy", figures.system(system), word="rate", chosen=[0.1, 0.3, 0.5, 0.7, 0.9])
axes[0, 1].set_ylabel("")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=10)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "When each seed's ticket generalizes (top, logarithmic) and the test accuracy that it ends with (bottom), by pruning rate. Thin lines join the points of one seed; dotted lines are the medians of the base.", "name": "fig-rate"}, "image": {"alt": "Four panels, MLP and Transformer side by side. Above, the epoch of generalization against the pruning rate, one point for each seed, hollow where the ticket never generalizes. Below, the test accuracy at the end against the pruning rate."}} tags=["hide-input"]
figure, axes = figures.panels(2, 2, height=3.2, sharex=True, sharey="row")
for (above, below), (system, groups) in zip(axes.T, rates.items(), strict=True):
    tau, dense = taus[system], results.records[system]["base"]
    times = {rate: measures.generalization_epochs(group, tau) for rate, group in groups.items()}
    figures.epochs_by_number(above, times, settings.epochs, figures.system(system), "pruning rate")
    figures.finals_by_number(below, groups, "", "pruning rate")
    figures.reference(above, measures.median_epoch(dense, tau), "base", "base")
    figures.reference(below, np.median([measures.final(record) for record in dense]), "base", "base")
    above.set_xlabel("")
for ax in axes[:, 1]:
    ax.set_ylabel("")
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(report.ends(results), "pruning-rate") + report.download(report.curves(results, ["test_accuracy"], every=5), "pruning-rate-curves"))

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
HTML(report.table(report.summary(results)))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))

# %% [markdown]
# What the best rate gains, and how many seeds each rate serves:

# %% tags=["remove-input"]
lines = []
for system, groups in rates.items():
    best = measures.best_rate(results.records[system], taus[system])
    full = {
        rate: sum(measures.fully_generalizes(*pair) for pair in zip(group, results.records[system]["base"], strict=True))
        for rate, group in groups.items()
    }
    counts = ", ".join(f"{rate:g}: {count}" for rate, count in full.items())
    lines.append(
        f"* **{figures.system(system)}**: the lowest median t_gen is at rate {best:g}. Seeds (of {len(settings.seeds)}) that "
        f"fully generalize, by rate: {counts}."
    )
Markdown("\n".join(lines))

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows one run a rate; here every rate has all seeds, and the same seeds.
# * The code's `sparsity` is the fraction of weights that is *kept*: its 0.4 is the rate 0.6 here. See {doc}`deviations`.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('pruning-rate')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
