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
# # Progress measures

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

from lib.analysis import progress
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.measures import label, probes_of
from lib.experiments.arms import arm

chapter = Chapter.open("progress-measures", globals())
nanda = chapter["nanda-transformer"]
tickets = ("base", *progress.PHASES)
ends = [progress.phase_ends(record) for record in nanda["base"]]

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C40 to C45.** A network that groks memorizes first, then forms circuits, then cleans up what it memorized
# ({cite:t}`nanda2023`). {cite:t}`chen2023` cut a ticket at the end of each of these phases, from one network, and found that the later the
# cut, the sooner and the better the ticket generalizes, and that tickets of the later two skip phases. Here the same is measured on
# several seeds.
#
# ## Method
#
# The network is the one-layer transformer of {cite:t}`nanda2023`: three tokens $a$, $b$ and "=", of which the last one answers $a + b$
# mod $p$. A *frequency* $k$ stands for the waves $\cos w(a + b)$ and $\sin w(a + b)$ with $w = 2 \pi k / p$. *Key* frequencies are those
# that explain the neurons of the trained network: a frequency belongs to a neuron if it explains most, and at least half, of the
# neuron's variance over all pairs, and it is key if its neurons have at least 2% of the variance of all. With $P_k$ the projection of
# the logits $z$ on the waves of $k$, class by class, and $\bar z$ their mean over all pairs,
#
# $$
# \text{restricted} = L\Bigl(\bar z + \sum_{k\ \text{key}} P_k z\Bigr) , \qquad
# \text{excluded}_k = L_{\text{train}}(z - P_k z) .
# $$
#
# The restricted loss, over all pairs, is low once the circuits suffice, and the excluded loss, over the training pairs, once the network
# does without them. The *Gini coefficient* of the Fourier components of $W_E$, or of the map $W_U W_{out}$ from neurons to logits, is 0 if
# all frequencies are alike and near 1 if few have all.
#
# Each base run's own measures say when its phases end. *Cleanup* is over at the first evaluation by which the logarithm of the test loss
# has made 90% of its way from its maximum down to its last level, and begins at the last evaluation before with at most 10%, which ends
# *circuit formation*. *Memorization* ends where the excluded loss, mean over key frequencies, is lowest before that. Tickets are cut at
# these three epochs: the 40% of weights of least magnitude go, biases among them, and the rest starts from its initial values.
#
# The *second rise* is the largest rise of the logarithm of the test loss after it has made half of its way down, of running medians over
# five evaluations.
#
# *Separate falls* of a curve are told apart by its slope: it is taken between 60 points from the maximum to the end, evenly spaced on a
# logarithmic axis of epochs, and smoothed over five of them. Each peak of the rate of fall counts that stands out from its neighbours by at
# least 15% of the steepest.
#
# The prime, the train fraction and the pruning rate of the follow-up are its own: 113, 0.3 and 0.4 at the paper's scale.
#
# ## Phases
#
# When the phases of each base run end, and the key frequencies that it ends with:

# %% tags=["hide-input"]
rows = []
for record, end in zip(nanda["base"], ends, strict=True):
    row = {"seed": record.seed} | {f"end of {name.replace('-', ' ')}": epoch for name, epoch in zip(progress.PHASES, end, strict=False)}
    keys = ", ".join(map(str, record.probes["keys"]))
    rows.append(row | {"all phases": "yes" if end.complete else "no", "key frequencies": keys})
phases = pd.DataFrame(rows)
chapter.table(phases)

# %% mystnb={"figure": {"caption": "Both axes are logarithmic. Thick lines are medians over seeds, bands reach from the lowest seed to the highest; dashed lines are the medians of the ends of the base's phases.", "name": "fig-phase-losses"}, "image": {"alt": "Two panels, training and test loss over epochs, each with a curve for the base and for the memorization, circuit-formation and cleanup tickets, and three dashed vertical lines."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=4)
for ax, metric in zip(axes.flat, ("train_loss", "test_loss"), strict=True):
    for one in tickets:
        figures.curve(ax, nanda, one, metric)
    ax.set_yscale("log")
    figures.by_phase(ax, nanda, figures.AXES[metric].removesuffix(" (nats)"), figures.AXES[metric])
chapter.sign(figure, [nanda], legend=4)
chapter.finding(findings.times([nanda], *tickets))

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
chapter.table(tables.summary([nanda]))

# %% [markdown]
# ## Measures

# %% mystnb={"figure": {"caption": "The excluded loss is the mean over the network's own key frequencies. Medians and ranges over seeds; dashed lines as in {numref}`fig-phase-losses`.", "name": "fig-progress"}, "image": {"alt": "Six panels over epochs on a logarithmic axis, excluded loss, restricted loss, the ratio of restricted to training loss, sum of squared weights, and the Gini coefficients of the embedding and of the neuron-logit map, with a curve for each arm."}} tags=["hide-input"]
figure, axes = figures.panels(2, 3, height=3.4)
figures.measures(axes, nanda, tickets)
chapter.sign(figure, [nanda], legend=4)
at_end = {findings.named(one): findings.median([progress.plateau(progress.excluded(probes_of(record))) for record in nanda[one]]) for one in tickets}
chapter.finding(f"Median excluded loss at the end {findings.over_seeds([nanda])}, in nats: {findings.listed(at_end)}")

# %% mystnb={"figure": {"caption": "The loss of the first seed without each frequency by itself: coloured are the network's own key frequencies, grey all others.", "name": "fig-excluded"}, "image": {"alt": "Four panels, base and three tickets, of excluded loss over epochs with one line a frequency, the key frequencies coloured and labelled."}} tags=["hide-input"]
figure, axes = figures.panels(2, 2, height=3.2, sharex=True, sharey=True)
for ax, one in zip(axes.flat, tickets, strict=True):
    probes = probes_of(nanda[one][0])
    keys = probes["keys"].tolist()
    for k in sorted(range(1, probes["excluded"].shape[1] + 1), key=lambda k: k in keys):
        how = {"color": figures.shade(keys.index(k), len(keys)), "label": f"k = {k}"} if k in keys else {"color": "0.8", "linewidth": 0.6}
        ax.plot(probes["epochs"], probes["excluded"][:, k - 1], **how)
    ax.set_yscale("log")
    figures.by_phase(ax, nanda, label(one), "excluded loss (nats)")
    ax.legend(fontsize=9)
chapter.sign(figure, [nanda.of_seeds(nanda.seeds[:1])])
counts = {findings.named(one): str(len(probes_of(nanda[one][0])["keys"])) for one in tickets}
chapter.finding(f"Key frequencies of {probes['excluded'].shape[1]}, {tables.seeds_text(nanda.seeds[:1])}: {findings.listed(counts)}")

# %% mystnb={"figure": {"caption": "Medians over seeds, one line a matrix.", "name": "fig-squares"}, "image": {"alt": "Four panels, base and three tickets, of the sum of squared weights over epochs with one line a matrix."}} tags=["hide-input"]
names = list(nanda["base"][0].run.parts())
figure, axes = figures.panels(2, 2, height=3.2, sharex=True, sharey=True)
for ax, one in zip(axes.flat, tickets, strict=True):
    probes = [probes_of(record) for record in nanda[one]]
    squares = np.median([p["squares"] for p in probes], axis=0)
    for i, name in enumerate(names):
        ax.plot(probes[0]["epochs"], squares[:, i], color=figures.shade(i, len(names) - 1), label=name)
    figures.by_phase(ax, nanda, label(one), "sum of squares")
chapter.sign(figure, [nanda], legend=6)
at_end = {findings.named(one): findings.median([probes_of(record)["squares"][-1].sum() for record in nanda[one]], ",.0f") for one in tickets}
chapter.finding(f"Median sum of squared weights at the end {findings.over_seeds([nanda])}: {findings.listed(at_end)}")

# %% [markdown]
# Where each network ends: median (range) over seeds of the logarithm of the test loss, of excluded loss and sum of squared weights, the
# second rise, how many separate falls the squared weights have, and the first snapshot with a restricted loss below the training loss (once
# that has come down to a tenth).

# %% tags=["hide-input"]
levels = tables.plateaus(nanda, tickets)
chapter.table(levels.iloc[:, :4])

# %% tags=["remove-input"]
chapter.table(levels.drop(columns=levels.columns[1:4]))

# %% [markdown]
# ## The MLP of the main paper
#
# Its records hold both sides of every neuron, which give the logits and so the same measures.

# %% mystnb={"figure": {"caption": "The same measures on the base of the main paper's MLP. Medians and ranges over seeds.", "name": "fig-progress-mlp"}, "image": {"alt": "Three panels over epochs, training, test and restricted loss, excluded loss, and the sum of squared weights of the MLP."}} tags=["hide-input"]
mlp, found = chapter["mlp"], []
for record in mlp["base"]:
    probes, (labels, train) = probes_of(record), progress.task_grid(record.run)
    grids = [progress.of_tables(*sides) for sides in zip(probes["inputs"], probes["outputs"], strict=True)]
    keys = progress.key_frequencies(grids[-1].neurons)
    rows = [progress.measures(grid, keys, labels, train) for grid in grids]
    one = {name: np.array([row[name] for row in rows]) for name in ("train_loss", "test_loss", "restricted")}
    found.append(one | {"excluded": np.array([row["excluded"][keys - 1].mean() for row in rows])})

at = mlp["base"][0].probes["epochs"]
figure, axes = figures.panels(1, 3, height=3.4)
for name, style in (("train_loss", ":"), ("test_loss", "-"), ("restricted", "--")):
    values = np.stack([one[name] for one in found])
    figures.over_seeds(axes[0, 0], at, values, arm("base"), style=style, label=name.replace("_", " "))
figures.over_seeds(axes[0, 1], at, np.stack([one["excluded"] for one in found]), arm("base"))
squares = np.stack([record.metrics["l2"] ** 2 for record in mlp["base"]])
figures.over_seeds(axes[0, 2], mlp.epochs, squares, arm("base"))
for ax, (title, y) in zip(axes.flat, (("losses", "nats"), ("excluded loss", "nats"), ("sum of squared weights", "sum of squares")), strict=True):
    figures.label(ax, title, y)
    figures.logarithmic_epochs(ax, mlp.epochs)
for ax in axes.flat[:2]:
    ax.set_yscale("log")
axes[0, 0].legend(fontsize=9)
chapter.sign(figure, [mlp])
at_end = {name.replace("_", " "): findings.median([one[name][-1] for one in found], ".2g") for name in ("excluded", "restricted", "test_loss")}
chapter.finding(f"Median losses of the MLP's base at the end, in nats, {findings.over_seeds([mlp])}: {findings.listed(at_end)}")

# %% [markdown]
# ## Verdicts

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-progress-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# ## What differs from the follow-up
#
# * One seed there, several here; phases there were named by fixed epochs of one published network, here each base run says when its own end.
# * Restricted loss keeps the waves in $a + b$ of key frequencies with any dependence on the answer, as in the code of
#   {cite:t}`nanda2023`; those in $a + b - c$ are among them.
# * The excluded loss of every frequency is recorded, not only its mean.
# * {doc}`phase-controls` adds a random mask and training without weight decay.
# * As in its code, the first of the ten steps of warm-up has a learning rate of 0, and biases start at 0 and can be pruned.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(metrics=("train_loss", "test_loss"), phases=phases, levels=levels)
