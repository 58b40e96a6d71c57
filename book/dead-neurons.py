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
# # Dead neurons

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

from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.measures import dead_speed_up, killed, speed_up
from lib.claims.statistics import between
from lib.experiments.chapters import THRESHOLDS

chapter = Chapter.open("dead-neurons", globals())
comparison = chapter["mlp"]
MAIN = 0.05  # the threshold of the main verdicts
sides = {"dead neurons killed": ("base", "kill"), "dead neurons revived": ("ticket", "revive")}

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C30, C31 and C32.** The paper says that in a generalized MLP some hidden neurons receive no input any more (C30). Tickets are not fast
# because they lack these neurons: a network that loses their edges and no others gains nothing (C31), and a ticket that gets their
# edges back stays fast (C32). All three are from App. J of {cite:t}`minegishi2023`.
#
# ## Method
#
# Hidden neuron $j$ sees token $a$ through $w_{ja} = (W_{in} W_E)_{ja}$. At the epoch at which the ticket is cut, it is *dead* if
#
# $$
# \lVert w_j \rVert_2 < \vartheta \max_k \lVert w_k \rVert_2 .
# $$
#
# The paper says that these weights become zero. Weight decay leaves them small and not exactly zero, so that a threshold
# $\vartheta$ must be chosen; every claim is judged at the main one and at two others, one smaller and one larger. The edges of neuron
# $j$ are row $j$ of $W_{in}$ and column $j$ of $W_{out}$. With $d$ the mask that is 0 on the edges of dead neurons and 1 elsewhere,
# and $m$ the mask of the ticket of {doc}`main-results`, two more networks are trained from the same initial weights, masks held:
#
# $$
# \text{kill only: } \theta_0 \odot d, \qquad \text{revive: } \theta_0 \odot \max(m, 1 - d) .
# $$
#
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy at the main threshold, as in the paper's Fig. 24 but with epochs on a logarithmic axis. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; the dashed line is \u03c4.", "name": "fig-dead-neurons"}, "image": {"alt": "Two panels of test accuracy over epochs on a logarithmic axis, base and kill-only network on the left, ticket and revived ticket on the right, each with one thin line a seed, the median and the range."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=2.6, sharex=True)
for ax, (title, (whole, changed)) in zip(axes[0], sides.items(), strict=True):
    figures.curves(ax, comparison, arms=[whole, (changed, MAIN)], logarithmic=True)
    ax.set_title(title)
axes[0, 1].set_ylabel("")
chapter.sign(figure, legend=4)
chapter.finding(findings.times([comparison], "base", ("kill", MAIN), "ticket", ("revive", MAIN)))

# %% mystnb={"figure": {"caption": "Lines join the networks of one seed; epochs are logarithmic and the same in both panels.", "name": "fig-dead-neurons-epochs"}, "image": {"alt": "Two panels with the epoch of generalization of every seed on a logarithmic axis, base and kill-only networks of three thresholds on the left, ticket and revived tickets of three thresholds on the right, one line a seed."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=2.6, sharex=True)
for ax, (title, (whole, changed)) in zip(axes[0], sides.items(), strict=True):
    figures.paired_epochs(ax, comparison, arms=[whole, *((changed, threshold) for threshold in THRESHOLDS)])
    ax.set_yticks(range(1 + len(THRESHOLDS)), [whole, *map(str, THRESHOLDS)])
    ax.set(title=title, ylabel="threshold")
axes[0, 1].set_ylabel("")
chapter.sign(figure)
slowed = {}
for t in THRESHOLDS:
    found = [dead_speed_up(seed, t, "base", ("kill", t)) for seed in comparison.one_by_one()]
    cases = [(one.low, one.high) for one in found if one.is_case]
    slowed[f"threshold {t:g}, {len(cases)} seeds"] = f"{between(*np.median(cases, axis=0))} times" if cases else "no case"
chapter.finding(f"Median speed-up by killing neurons, where some are dead: {findings.listed(slowed)}")

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-dead-neurons-share"}, "image": {"alt": "A panel with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
some = ["base", ("kill", MAIN), "ticket", ("revive", MAIN)]
chapter.panels(lambda ax, comparison: figures.generalized(ax, comparison, arms=some), legend=2)
chapter.finding(findings.generalizing(chapter, *some))

# %% [markdown]
# </details>

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# <details class="fold">
# <summary>How many neurons are dead, by threshold and seed</summary>
#
# How many neurons are dead, by threshold and seed. "Of the hidden layer" is the share of neurons, and so also of the edges into and
# out of the hidden layer; "of all weights" counts $W_E$ and $W_U$ too; "kept by the ticket" is the share of the dead neurons' edges
# that the ticket's own mask leaves, so that the rest is what reviving adds.

# %% tags=["hide-input"]
rows = []
for threshold in THRESHOLDS:
    for seed in comparison.one_by_one():
        record = seed["kill", threshold]
        edges, dead = ~record.mask, killed(record)
        rows.append(
            {
                "threshold": f"{threshold:g}",
                "seed": seed.seed,
                "dead neurons": dead,
                "of the hidden layer": f"{dead / record.run.model.hidden:.2%}",
                "their edges, of all weights": f"{edges.mean():.2%}",
                "their edges, kept by the ticket": f"{seed['ticket'].mask[edges].mean():.2%}" if dead else "–",
            }
        )
neurons = pd.DataFrame(rows)
chapter.table(neurons)

# %% [markdown]
# </details>

# %% tags=["hide-input"]
run, paper = comparison["base"][0].run, 0.1875  # App. J
of_all = sum(matrix.size for name, matrix in run.split(run.initial_weights()).items() if name in ("W_in", "W_out")) / run.length
facts = {"the paper's share of edges on dead neurons": f"{paper:.2%}"}
facts["neurons, if it is a share of the hidden layer"] = f"{paper * run.model.hidden:g} of {run.model.hidden}"
facts["neurons, if it is a share of all weights"] = f"{paper * run.model.hidden / of_all:.0f}"
for threshold, group in neurons.groupby("threshold", sort=False):
    facts[f"dead here, threshold {threshold}"] = tables.range_text(group["dead neurons"], ".0f")
chapter.table(pd.DataFrame(facts.items(), columns=["", "neurons"]))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-dead-neurons-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>What the verdicts rest on, by threshold and seed</summary>
#
# Whether the verdicts hang on the threshold shows in the boxes. What each rests on, seed by seed: where no neuron is dead, a changed
# network is its original, and its curve the same.

# %% tags=["hide-input"]
rows = []
for threshold in THRESHOLDS:
    for seed in comparison.one_by_one():
        one, other = speed_up(seed, "base", ["kill", threshold]), speed_up(seed, ["revive", threshold], "ticket")
        same = all(
            np.array_equal(seed[whole].metrics["test_accuracy"], seed[changed, threshold].metrics["test_accuracy"])
            for whole, changed in sides.values()
        )
        times = [seed.t_gen(name) for name in (("revive", threshold), "ticket")]
        steps = None if None in times else int(np.subtract(*np.searchsorted(comparison.epochs, times)))
        numbers = {"base over kill only": between(one.low, one.high), "revived over ticket": between(other.low, other.high)}
        dead = killed(seed["kill", threshold])
        rows.append({"threshold": f"{threshold:g}", "seed": seed.seed, "dead neurons": dead, **numbers, "curves the same": same, "evaluations by which the revived is later": steps})
chapter.table(pd.DataFrame(rows).astype({"evaluations by which the revived is later": "Int64"}))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run; whether it has dead neurons, and how many, differs by seed.
# * The paper gives no threshold. The main one was fixed before any run, the other two show what depends on it. Seeds without dead
#   neurons at a threshold are no case of C31 and C32 there.
# * The paper does not say what its share of edges is a share of; the table gives both readings.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close()
