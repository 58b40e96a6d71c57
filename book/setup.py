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
# # Set-up
#
# What most chapters share: the task, the networks, how they are trained, how a ticket is made, and how a claim is judged.
# The numbers are those of the authors' released code, from which the paper's figures came {cite:p}`minegishi2023`; where
# the paper's text says otherwise, this is noted. The image classifier of {doc}`mnist` and the transformer of the follow-up study
# ({doc}`progress-measures`) have set-ups of their own, which those chapters give.

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
from IPython.display import HTML

from lib.book import tables
from lib.experiments import parameters
from lib.experiments.chapters import CONFIRMATORY, EXPLORATORY
from lib.experiments.parameters import RECORDED
from lib.experiments.settings import SETTINGS
from lib.records.store import machine

given = parameters.check(globals())
bases = {name: SETTINGS[name].base(0, given) for name in ("mlp", "transformer")}

# %% [markdown]
# ## Task
#
# An example is a pair $(a, b)$ of whole numbers from 0 to $p - 1$; its label is
#
# $$
# c = (a + b) \bmod p .
# $$
#
# As the sum does not depend on the order, each pair occurs once, with $a \le b$. The seed shuffles the pairs; a fixed share
# of them is for training, the rest for testing.

# %% tags=["hide-input"]
data = bases["mlp"].task.data()
counts = {"p": given.prime, "pairs": len(data.labels), "training pairs": len(data.train), "test pairs": len(data.test)}
HTML(tables.table(pd.DataFrame([counts])))

# %% [markdown]
# ## Networks
#
# The **MLP** adds the embeddings of the two numbers and has one hidden layer, without biases:
#
# $$
# h = \operatorname{ReLU}\bigl(W_{in} W_E (e_a + e_b)\bigr), \qquad \text{logits} = W_U^{\top} W_{out}\, h .
# $$
#
# The **Transformer** has one layer with causal attention and no layer norm; its logits are read at the last position, $b$.
# With one head, $x_a = W_E e_a$ and $x_b = W_E e_b$:
#
# $$
# \begin{aligned}
# \alpha_i &= \operatorname{softmax}_i\bigl(x_b^{\top} W_Q^{\top} W_K\, x_i / \sqrt{d_{head}}\bigr), \quad i \in \{a, b\}, \\
# r &= x_b + W_O W_V (\alpha_a x_a + \alpha_b x_b), \\
# \text{logits} &= W_U^{\top}\bigl(r + W_{out} \operatorname{ReLU}(W_{in}\, r)\bigr) .
# \end{aligned}
# $$
#
# There are no positions and no biases, as in the code; the paper's text has both, and a wider embedding.

# %% tags=["hide-input"]
rows = []
for name, run in bases.items():
    shapes = ", ".join(f"{matrix} {rows}×{columns}" for matrix, (rows, columns) in run.model.shapes(run.task).items())
    rows.append({"network": SETTINGS[name].label, "weights": run.length, "matrices (rows × columns)": shapes})
HTML(tables.table(pd.DataFrame(rows)))

# %% [markdown]
# <details class="fold">
# <summary>How each matrix is drawn</summary>
#
# $W_E$ and $W_U$ are stored with a row for each number. Each entry is an independent normal draw about 0 with the standard deviation
# that follows (“–”: the network has no such matrix). Biases, where a variant has them, are not drawn: they start at 0.

# %% tags=["hide-input"]
drawn = [
    {"network": SETTINGS[name].label, "matrix": matrix, "deviation": deviation}
    for name, run in bases.items()
    for matrix, deviation in run.model.deviations(run.task).items()
]
by_matrix = pd.DataFrame(drawn).pivot(index="matrix", columns="network", values="deviation")
HTML(tables.table(by_matrix.rename_axis(columns=None).reset_index(), precision=4))

# %% [markdown]
# </details>
#
# ## Training
#
# Full-batch AdamW {cite:p}`loshchilov2019`, one step an epoch, on the mean cross-entropy over the training pairs.

# %% tags=["hide-input"]
run = bases["mlp"]
rows = {
    "learning rate": run.optimizer.learning_rate,
    "betas": f"{run.optimizer.beta1}, {run.optimizer.beta2}",
    "weight decay": run.optimizer.weight_decay,
    "epochs": f"{given.epochs:,}",
    "evaluated every (epochs)": f"{run.evaluate_every}, and {run.evaluated_epochs[1]} in the first {run.epochs // 15:,}",
    "seeds": f"{tables.seeds_text(EXPLORATORY)} (exploratory), {tables.seeds_text(CONFIRMATORY)} (confirmatory)" if given.seeds == RECORDED else tables.seeds_text(given.seeds),
}
HTML(tables.table(pd.DataFrame({"parameter": rows.keys(), "value": [str(value) for value in rows.values()]})))

# %% [markdown]
# <details class="fold">
# <summary>How the loss keeps its precision</summary>
#
# When a network is sure of a label, the loss is smaller than what single precision leaves of $1 - \operatorname{softmax}$, and
# naive formulas give spikes or zeros. The authors compute the log-softmax in double precision. Here the loss is written so that
# nothing is lost in single precision: with $s = \sum_{j \ne c} e^{z_j - z_c}$ over the wrong classes, it is $\log(1 + s)$,
# and its gradient at the right class is $-s / (1 + s)$.
#
# </details>
#
# ## Tickets
#
# Take the weights of a dense run after a number of epochs, sort all of them together by magnitude, and let the mask $m$ be
# 0 for the smallest and 1 for the others, so that the *pruning rate* is the share of zeros. The ticket starts from the
# dense run's own initial weights, $\theta_0 \odot m$, and masked weights stay zero for ever: in every step the gradient is
# multiplied by the mask.

# %% tags=["hide-input"]
masks = {"masks are cut at epoch": f"{given.ticket_epoch:,}", "pruning rate": f"{given.pruning_rate:g}"}
masks["share kept (sparsity in the authors' code)"] = f"{1 - given.pruning_rate:g}"
HTML(tables.table(pd.DataFrame({"unless a chapter says otherwise": masks.keys(), "": masks.values()})))

# %% [markdown]
# ## How a claim is judged
#
# Each claim that is judged has a criterion, settled when the runs of seeds 0 to 4 were known and before those of any other seed, but for trials
# of the dense network on the digits that have no records ({doc}`mnist`). Seeds 0 to 4
# are *exploratory*; claims are judged on *confirmatory* seeds from 5 on, as soon as ten of them are recorded. Of the follow-up's claims
# (C40 to C47) three seeds were known, and five are enough, as its runs are long; of C33 its bases and tickets were known, and no run of edge-popup. {doc}`limits` and the box of each verdict say when its
# rule was written and when its runs were made.
#
# * $t_{gen}$ is the first evaluated epoch at which test accuracy reaches the threshold τ. τ is the highest of 0.95, 0.90 and
#   0.80 that *every base run* of the setting reaches, or 0.80 where none is, so that no ticket has a say in it. For images
#   it is always 0.80.
# * A run that never gets there is *censored*: all that is known is that $t_{gen}$ lies beyond the budget. It enters as this
#   bound and never as a number.
# * The *speed-up* is $t_{gen}$ of the base over $t_{gen}$ of the other network from the same seed.
# * The median of an even number of epochs is the lower of the two in the middle, as one of these may be a bound ("later than the budget").
# * The interval of a median lies between two order statistics, the sign test inverted, and covers the median of any distribution
#   at least 95% of the time; with five seeds it is the range and covers it 94% of the time. The interval of a share is Wilson's.
#   A seed that the budget leaves open counts at its worst for one end and at its best for the other.
# * Beside the interval of a ratio of times stands its geometric mean by a log-normal accelerated-failure-time model with censoring, fitted
#   by maximum likelihood with SciPy. It decides nothing.
# * A seed of which a claim says nothing is *no case*. For tickets of generalized networks these are the seeds whose base had not
#   generalized when the ticket was cut.
# * A claim of several parts is replicated if all of them are and refuted if one is. The estimate that stands beside its verdict is
#   that of the part that settles it, the first with the worst outcome, so that two settings may show numbers of different parts.
# * *Profile* names the set of parameters that runs have: `paper` is the paper's scale.
# * A box sets the paper's own number beside ours where the text at hand gives one: the paper's abstract and appendices, and the page of the
#   follow-up study. Numbers that stand in its main sections alone, or that could only be read off its curves, are left out.
#
# ## What is promised about reproducibility
#
# <details class="fold">
# <summary>The same bits on one processor, the same statistics elsewhere</summary>
#
# On one processor, with one library of matrix products, the same run gives the same bits, whichever other runs are trained beside
# it and on one thread or two: a test checks it. On another machine the last digits of sums differ, and grokking amplifies them; on a GPU (`device = "cuda"`)
# sums are taken in no fixed order, and two trainings of one run differ on the same machine too. There only the statistics over
# seeds are promised. {doc}`deviations` compares machines. Each chapter names those that its records were made on, and the
# *numerics*, a number that is raised when the trainer's arithmetic changes. Records of an earlier number are shown until they are
# made anew, and no comparison mixes two numbers where all of its runs have one in common. Two chapters may therefore show two trainings of
# one seed, where one of them needs runs that were recorded under an earlier number alone. The kernels that multiplied matrices are
# of two kinds, and one of them can be repeated where the processor would not choose it: {ref}`two-kinds-of-kernels`.
#
# </details>
#
# ## Data and rerun

# %% tags=["hide-input"]
command = 'papermill book/setup.md out.ipynb -p seeds "[7, 8, 9]"'
HTML(f"<pre>{command}</pre><p>This page was made on: {machine()}.</p>")
