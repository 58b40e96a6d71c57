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
#
# **Claims C19 and C20.** Tickets also speed up a Transformer with four attention heads (C19) and an MLP with one more hidden layer
# (C20), not only the two nets of {doc}`main-results` ({cite:t}`minegishi2023`, App. E).
#
# ## Method
#
# All is as in {doc}`main-results`, the task, the optimizer, the epoch of the mask and its rate, but the nets differ. The deeper MLP has
# a further square layer between the two that it had,
#
# $$
# \text{logits} = W_U^\top W_{out}\, \text{ReLU}(W_h\, \text{ReLU}(W_{in} W_E (e_a + e_b))), \qquad W_h \sim \mathcal N(0, 1/h),
# $$
#
# with $h$ hidden neurons in each layer. The four-head Transformer splits the width of the one head into four, each with a softmax of
# its own, so that it has as many weights as before.

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
from lib.claims import judging as claims, measures
from lib.experiments import chapters as experiments, parameters

settings = parameters.check(globals())
results = experiments.results("architectures", settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
rows = [
    {"system": figures.system(system), "weights": len(run.initial_weights()), "matrices": ", ".join(run.parts())}
    for system, run in [
        *((model, experiments.base(model, settings.seeds[0], settings)) for model in experiments.MODELS),
        *((system, kinds["base"][0].run) for system, kinds in results.records.items()),
    ]
]
HTML(
    f"<p>Masks are taken at epoch {settings.ticket_epoch:,} with pruning rate {settings.pruning_rate}; every run has {settings.epochs:,} epochs.</p>"
    + report.table(pd.DataFrame(rows))
)

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy of the base and of its ticket, as in the paper's Fig. 15. Thick lines are medians over seeds, thin lines single seeds; the dashed line is \u03c4.", "name": "fig-architectures"}, "image": {"alt": "Two panels, deeper MLP and four-head Transformer, of test accuracy over epochs for base and ticket, each with one thin line a seed and the median."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.6, sharey=True)
for ax, (system, kinds) in zip(axes[0], results.records.items(), strict=True):
    for kind, records in kinds.items():
        figures.curve(ax, records, "test_accuracy", kind, band=False)
    for line in ax.lines:
        if line.get_linewidth() < 1:  # a single seed
            line.set(linewidth=1, alpha=0.7)
    ax.axhline(taus[system], color="0.4", linewidth=0.8, linestyle="--")
    figures.label(ax, figures.system(system), figures.AXES["test_accuracy"])
axes[0, 1].set_ylabel("")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=10)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "When each seed generalizes, base and ticket joined by a line; hollow where a net never does. The vertical axis is logarithmic.", "name": "fig-architectures-epochs"}, "image": {"alt": "Two panels, deeper MLP and four-head Transformer, with the epoch of generalization of every seed for base and ticket on a logarithmic axis, the two joined by a line, hollow marks above the budget where a net never generalizes."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.2, sharey=True)
for ax, (system, kinds) in zip(axes[0], results.records.items(), strict=True):
    times = {kind: measures.generalization_epochs(records, taus[system]) for kind, records in kinds.items()}
    figures.paired_epochs(ax, times, settings.epochs, figures.system(system))
axes[0, 1].set_ylabel("")
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(report.ends(results), "architectures") + report.download(report.curves(results, ["train_accuracy", "test_accuracy"]), "architectures-curves"))

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
HTML(report.table(report.summary(results)))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))

# %% [markdown]
# Where a base does not generalize within the budget, the speed-up is a bound or not known at all; below is what that does to the
# verdict. The claim is also about masks cut *after* generalization, so that a mask from a base that has not generalized by the mask's
# epoch makes no ticket in the paper's sense. Such seeds are judged like all others, and named here.

# %% tags=["remove-input"]
lines = []
for judgement in results.judgements:
    system = judgement.verdict.system
    kinds, tau, measured = results.records[system], taus[system], judgement.measured
    known = [low for low, high in zip(measured.low, measured.high, strict=True) if low == high]
    span = f", from {min(known):.1f} to {max(known):.1f} times" if known else ""
    lines.append(
        f"* **{figures.system(system)}** ({judgement.verdict.verdict}): the speed-up is known on {len(known)} of {len(settings.seeds)} seeds{span}. "
        + " ".join(filter(None, [*report.open_seeds(kinds, tau), report.extremes(judgement)]))
    )
    early, ripe = [], []
    for i, (base, ticket) in enumerate(zip(kinds["base"], kinds["ticket"], strict=True)):
        t_base, t_ticket = (measures.generalization_epoch(record, tau) for record in (base, ticket))
        if t_base is not None and t_base <= settings.ticket_epoch:
            ripe.append(f"{claims.between(measured.low[i], measured.high[i])} (seed {base.seed})")
        else:
            accuracy = base.metrics["test_accuracy"][np.searchsorted(base.epochs, settings.ticket_epoch, side="right") - 1]
            early.append(f"seed {base.seed} (test accuracy {accuracy:.3f} there; the ticket generalizes {'never' if t_ticket is None else f'at epoch {t_ticket:,}'})")
    if early:
        rest = f"the speed-up is {report.listed(ripe)}" if ripe else "there is no seed left"
        lines[-1] += (
            f" By epoch {settings.ticket_epoch:,}, at which the mask is cut, the base has not generalized on {report.listed(early)}. "
            f"Without these, {rest}."
        )
Markdown("\n".join(lines))

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows one run of each net, this chapter one a seed.
# * The text makes the MLP one layer deeper and does not say where; here it is one more hidden layer of the same width.
# * As in {doc}`main-results`, the Transformer is that of the authors' code: no positions, no biases, every matrix pruned.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('architectures')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
