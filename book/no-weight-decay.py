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
# # No weight decay

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
from scipy.stats import binom

from lib.analysis.times import decay_ended, final, generalization_epoch
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.experiments.arms import arm

chapter = Chapter.open("no-weight-decay", globals())
FULL = 0.99
chosen = [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]
pairs = {"base-switched-off": "base", "ticket-switched-off": "ticket"}


def switched_off_at(comparison):
    """The test accuracy at which weight decay ends."""
    return comparison["base-switched-off"][0].run.optimizer.decay_until


# %% tags=["remove-input"]
chapter.in_short()


# %% [markdown]
# **Claims C11 to C14.** The paper says that a dense network does not grok without weight decay, and that the MLP's ticket, cut at the right
# rate, does and reaches full generalization ({cite:t}`minegishi2023`, section 5.1). For the Transformer the paper finds no such rate: light
# pruning leaves the ticket at chance, heavy pruning far from complete (App. D.4). A later version of the paper concludes that
# weight decay serves to find the good subnetwork and not to preserve it.
#
# ## Method
#
# AdamW shrinks the weights in every step by a share, $\eta \lambda$, that does not depend on the gradient
# {cite:p}`loshchilov2019`. Tickets are found as in {doc}`main-results`, at $\lambda = 1$, and trained from
# $\theta_0 \odot m_\rho$ at $\lambda = 0$. The *critical pruning rate* is the smallest $\rho$ of a grid with which the ticket ends with a test
# accuracy of at least 0.99. To tell finding from preserving, base and ticket are trained once more with $\lambda = 1$ until
# the test accuracy, looked at every 100 epochs, has reached a given value, and with $\lambda = 0$ from there on. {doc}`limits` lists any
# ticket that was cut from another training of its base than the recorded one.
#
# ## Results

# %% mystnb={"figure": {"caption": "Medians over seeds; of the dense network also single seeds as thin lines and the range as a band. Epochs are logarithmic.", "name": "fig-no-decay-curves"}, "image": {"alt": "Two panels, MLP and Transformer, of test accuracy over epochs on a logarithmic axis, without weight decay, one curve for each of seven pruning rates and one for the dense network."}} tags=["hide-input"]
def curves(ax, comparison):
    figures.family(ax, comparison, "rate-no-decay", chosen=chosen)
    figures.curve(ax, comparison, "base-no-decay", style="--")
    figures.logarithmic_epochs(ax, comparison.epochs)
    ax.set_ylim(-0.03, 1.05)


chapter.panels(curves, height=3.8, legend=3)
chapter.finding(findings.ends(chapter, {"dense": "base-no-decay"} | {f"rate {rate:g}": ("rate-no-decay", rate) for rate in (chosen[0], chosen[-1])}))


# %% mystnb={"figure": {"caption": "Each point is a seed; thin lines join the points of one seed, the dark line is their median.", "name": "fig-no-decay-rates"}, "image": {"alt": "Two panels, MLP and Transformer, of the test accuracy at the end against the pruning rate on a fine grid, one point for each seed, with lines for a test accuracy of 0.99, for the dense network without weight decay and for chance."}} tags=["hide-input"]
def ends(ax, comparison):
    figures.ends_by_value(ax, comparison, "rate-no-decay", "pruning rate")
    dense, chance = arm("base-no-decay"), 1 / chapter.parameters.prime
    ax.axhline(FULL, **figures.DASHED, label=f"test accuracy {FULL:g}")
    ax.axhline(np.median([final(record) for record in comparison[dense]]), color=dense.colour, linestyle="-.", label=dense.label)
    ax.axhline(chance, color="0.4", linewidth=1.2, linestyle=":", label=f"chance, 1/{chapter.parameters.prime}")


chapter.panels(ends, height=3.8, legend=4)
middle = {c.name: {f"rate {rate:g}": np.median([final(record) for record in records]) for rate, records in c.family("rate-no-decay").items()} for c in chapter}
chapter.finding(findings.by_setting("Lowest and highest median test accuracy at the end", chapter, lambda c: findings.extremes(middle[c.name])))

# %% [markdown]
# <details class="fold">
# <summary>How tickets without weight decay end, against guessing</summary>
#
# Test accuracy at the end of training by pruning rate, median and range over seeds, beside the range in which a guess among the $p$
# labels is right 95% of the time. A network that knows its training pairs by heart can be right less often than that: a label that is
# frequent in training is the rarer in testing. The rule of C12 asks for less than 0.1.

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    pairs_tested = len(comparison["base"][0].run.task.data().test)
    least, most = (binom.ppf(q, pairs_tested, 1 / chapter.parameters.prime) / pairs_tested for q in (0.025, 0.975))
    for rate, records in comparison.family("rate-no-decay").items():
        ending = [final(record) for record in records]
        rows.append(
            {
                "setting": comparison.label,
                "rate": f"{rate:g}",
                "accuracy at the end": tables.range_text(ending, ".4f"),
                "of a guess": f"{least:.4f} to {most:.4f}",
                "below that": f"{sum(value < least for value in ending)} of {len(ending)}",
                "above it": f"{sum(value > most for value in ending)} of {len(ending)}",
            }
        )
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>The critical rate of each seed, and the rate at which its ticket ends best</summary>
#
# The critical rate of each seed, and the rate at which its ticket ends best:

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for seed in comparison.one_by_one():
        members = seed.family("rate-no-decay")
        ending = {rate: final(record) for rate, record in members.items()}
        best, full = max(ending, key=ending.get), [rate for rate, value in ending.items() if value >= FULL]
        late = members[best].metrics["test_accuracy"][comparison.epochs >= 0.9 * comparison.budget]
        rows.append(
            {
                "setting": comparison.label,
                "seed": seed.seed,
                "critical rate": f"{min(full):g}" if full else "none",
                "best rate": f"{best:g}",
                "accuracy at the best rate": ending[best],
                "gained in the last tenth": float(late[-1] - late[0]),
                "dense, no decay": final(seed["base-no-decay"]),
                "base (with decay)": final(seed["base"]),
            }
        )
chapter.table(pd.DataFrame(rows), precision=3)

# %% [markdown]
# </details>

# %% mystnb={"figure": {"caption": "Triangles mark where weight decay ends on each seed; thick lines are medians over seeds, thin lines single seeds. Epochs are logarithmic.", "name": "fig-switched-off"}, "image": {"alt": "Four panels, MLP and Transformer side by side, test accuracy above and L2 norm below, over epochs on a logarithmic axis. Each has four curves, base and ticket with weight decay throughout and switched off, and a triangle for each seed where weight decay ends."}} tags=["hide-input"]
shown = [*pairs, *pairs.values()]


def curves_of(metric):
    def draw(ax, comparison):
        for one in shown:
            figures.curve(ax, comparison, one, metric, band=False)
        for one in pairs:
            for record in comparison[one]:
                off = decay_ended(record)
                if off is not None:
                    at = max(off, comparison.epochs[1])
                    height = record.metrics[metric][comparison.epochs == at]
                    ax.plot(at, height, "v", color=arm(one).colour, markeredgecolor="black", markersize=6)
        figures.label(ax, comparison.label, figures.AXES[metric])
        figures.logarithmic_epochs(ax, comparison.epochs)
        if metric == "test_accuracy":
            ax.set_ylim(-0.03, 1.05)

    return draw


chapter.panels(curves_of("test_accuracy"), curves_of("l2"), height=3.3, legend=4)
chapter.finding(findings.ends(chapter, {f"{plain}, switched off": one for one, plain in pairs.items()}))

# %% [markdown]
# The table has seven of the rates; all are in the files at the end.

# %% tags=["remove-input"]
chapter.summary("ticket", "base-no-decay", *[("rate-no-decay", rate) for rate in chosen], *pairs)

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-no-weight-decay-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>What is kept once weight decay has been switched off</summary>
#
# What is kept once weight decay has been switched off:

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    until = switched_off_at(comparison)
    for one, plain in pairs.items():
        off = {record.seed: (record, decay_ended(record)) for record in comparison[one]}
        after = [record.epochs >= epoch for record, epoch in off.values() if epoch is not None]
        records = [record for record, epoch in off.values() if epoch is not None]
        accuracy = [record.metrics["test_accuracy"][rows_after] for record, rows_after in zip(records, after, strict=True)]
        norm = [record.metrics["l2"][rows_after] for record, rows_after in zip(records, after, strict=True)]
        apart = [own.seed for own, theirs in zip(comparison[one], comparison[plain], strict=True) if own.kernels != theirs.kernels]
        rows.append(
            {
                "setting": comparison.label,
                "arm": arm(one).label,
                "switched off at": until,
                "get there": f"{len(records)} of {len(off)}",
                "get there with decay throughout": f"{sum(generalization_epoch(record, until) is not None for record in comparison[plain])} of {len(off)}",
                "made by other kernels than with decay throughout": tables.seeds_text(apart) if apart else "none",
                "stay there": sum(bool(values.min() >= until) for values in accuracy),
                "lowest accuracy after": tables.range_text([values.min() for values in accuracy]),
                "last accuracy": tables.range_text([values[-1] for values in accuracy]),
                "change of the L2 norm": tables.range_text([values[-1] / values[0] - 1 for values in norm], "+.0%"),
            }
        )
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run per rate, at rates in steps of 0.1; here the steps are 0.05 and every rate has all seeds.
# * Switching weight decay off is an addition: the claim that it does not preserve the ticket asks for it. A value
#   that the base does not reach would switch nothing off, hence the lower one for the Transformer.
# * Until its weight decay is switched off a run is the one with decay throughout, bit for bit, where the same kernels
#   ({ref}`two-kinds-of-kernels`) multiplied the matrices of both. The last table names the seeds where they did not: grokking amplifies
#   the last digits, so that such a base may reach its value some thousand epochs before or after the plain base of the same seed, or not at
#   all.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(["test_accuracy", "l2"])
