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
# # Weight norm

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
import torch

from lib.analysis import fourier
from lib.analysis.times import final, later
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.measures import kept_shares
from lib.experiments.arms import SHUFFLED, arm
from lib.train.pruning import loss_gradient, random_mask_like

chapter = Chapter.open("weight-norm", globals())
scaled = ["l2-matrices", "l1-matrices", "l2-all", "l1-all"]

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C09 and C10, question Q05.** A ticket starts with fewer weights than its base and so with a smaller norm, and
# {cite:t}`liu2022` trace late generalization to a large initial norm. If that were all, a dense network scaled down to the ticket's
# norm should be as fast. {cite:t}`minegishi2023` report that it is not: with the ticket's L2 norm, or with its L1
# norm, the dense network stays behind (section 5.1 for the MLP, App. D.3 for the Transformer).
#
# ## Method
#
# Multiply all initial weights of the base by one ratio and train without a mask, from
#
# $$
# r\,\theta_0 , \qquad r = \frac{N(\theta_0 \odot m)}{N(\theta_0)} ,
# $$
#
# with $m$ the ticket's mask and $N$ a norm. The paper's text speaks of the L1 and the L2 norm of the weights; its code takes
# each matrix's norm and then the mean over the matrices. Both are run here. For L1 the two give the same ratio, because the
# L1 norm of all weights is the sum of those of the matrices.
#
# ## Results

# %% mystnb={"figure": {"caption": "As in the paper's Figs 5 and 12; norms as in the authors' code, the mean over matrices. Thick lines are medians over seeds, thin lines single seeds.", "name": "fig-norm-curves"}, "image": {"alt": "Six panels, one row for the MLP and one for the Transformer. From left to right test accuracy, mean L2 norm of a matrix and mean L1 norm of a matrix over epochs, for the base, the ticket and the two norm-matched dense networks."}} tags=["hide-input"]
shown = ["base", "ticket", "l2-matrices", "l1-matrices"]
metrics = ("test_accuracy", "mean_l2", "mean_l1")
figure, axes = figures.panels(2, 3, sharex=True)
for row, comparison in zip(axes, chapter, strict=True):
    for ax, metric in zip(row, metrics, strict=True):
        figures.curves(ax, comparison, metric, arms=shown, band=False)
chapter.sign(figure, legend=4)
chapter.finding(findings.times(chapter, "base", "ticket", "l2-matrices"))

# %% mystnb={"figure": {"caption": "Each line joins one seed's networks. Epochs are logarithmic.", "name": "fig-norm-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for the base, the ticket and four dense networks of the ticket's norm on a logarithmic axis, hollow where a network never generalizes."}} tags=["hide-input"]
chapter.panels(figures.paired_epochs, height=5, sharey=False, sharex=True)
chapter.finding(findings.gains(chapter, "l2-matrices", "ticket"))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-weight-norm-share"}, "image": {"alt": "A panel for each setting with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(figures.generalized, legend=3)
chapter.finding(findings.generalizing(chapter, "base", "ticket", "l2-matrices"))

# %% [markdown]
# </details>

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# <details class="fold">
# <summary>What the initial weights were multiplied with, the norms at the start, and what the ticket keeps of each matrix</summary>
#
# What the initial weights were multiplied with, and the norms that each network starts with, in both senses (median and range over
# seeds); *off by* is how far the norm that was to be the ticket's is from it:

# %% tags=["hide-input"]
NORMS = {"l2": "L2, all", "mean_l2": "L2, mean", "l1": "L1, all", "mean_l1": "L1, mean"}
MATCHED = {"l2-matrices": "mean_l2", "l1-matrices": "mean_l1", "l2-all": "l2", "l1-all": "l1"}
rows = []
for comparison in chapter:
    first = {one: {m: np.array([r.metrics[m][0] for r in comparison[one]]) for m in NORMS} for one in ("base", "ticket", *scaled)}
    for one, norms in first.items():
        matched = MATCHED.get(one)
        off = np.abs(norms[matched] / first["ticket"][matched] - 1).max() if matched else np.nan
        row = {"setting": comparison.label, "arm": arm(one).label}
        row["ratio"] = tables.range_text(norms["l2"] / first["base"]["l2"]) if matched else "–"
        rows.append(row | {name: tables.range_text(norms[m], ".1f") for m, name in NORMS.items()} | {"off by": f"{off:.0e}" if matched else "–"})
chapter.table(pd.DataFrame(rows))

# %% tags=["hide-input"]
shares = [{"setting": c.label, "matrix": name, "kept": share} for c in chapter for name, share in kept_shares(c["ticket"]).items()]
chapter.table(pd.DataFrame(shares).pivot(index="setting", columns="matrix", values="kept").rename_axis(columns=None).reset_index())

# %% [markdown]
# </details>
#
# ## Verdict
#
# “Norm of all weights” marks verdicts with the norm of all weights together; the others take it as the authors' code does.

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Each verdict's estimate and 95% interval over seeds, where another test accuracy counts as generalized or the rule names another value.", "name": "fig-weight-norm-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval at several levels, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>How the scaled networks fare seed by seed, and whether the two L1 networks of a seed part</summary>

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for one in scaled:
        times = {name: comparison.t_gen(name) for name in (one, "base", "ticket")}
        pairs = list(zip(*times.values(), strict=True))
        peaks = [[r.metrics["mean_l2"].max() for r in comparison[name]] for name in (one, "base")]
        counts = {
            "later than the ticket": sum(later(t, ticket) is True for t, _, ticket in pairs),
            "sooner than the base": sum(later(base, t) is True for t, base, _ in pairs),
            "never generalizes": times[one].count(None),
            "seeds": len(pairs),
        }
        rows.append({"setting": comparison.label, "arm": arm(one).label, **counts, "highest mean L2, over the base's": tables.range_text(np.divide(*peaks), ".2f")})
chapter.table(pd.DataFrame(rows))


# %% [markdown]
# As both L1 norms give one ratio, the two L1 networks of a seed are trained from the same start, up to the rounding of that ratio. Only
# where that rounding changes a weight can they part; {doc}`stability` has replicas that always start one rounding apart:

# %% tags=["hide-input"]
def start(record, ticket):
    """Weights [n] that a network of this chapter started from, and its mask [n], from the records alone.

    A start asks for the base's weights only to rank them, and the ticket's stored mask ranks them in the same way.
    """
    weights, mask, _ = record.run.start.make(record.run, lambda run, epoch: ticket.mask.astype(float))
    return weights.astype(float), np.ones(len(weights), bool) if mask is None else mask


rows = []
for comparison in chapter:
    for seed in comparison.one_by_one():
        pair = [seed["l1-matrices"], seed["l1-all"]]
        (one, _), (other, _) = (start(record, seed["ticket"]) for record in pair)
        parted = np.flatnonzero(np.any([pair[0].metrics[name] != pair[1].metrics[name] for name in pair[0].metrics], axis=0))
        numbers = {"weights that start differently": np.count_nonzero(one != other)}
        numbers["records differ from epoch"] = int(comparison.epochs[parted[0]]) if len(parted) else None
        times = {"t_gen, mean": seed.t_gen("l1-matrices"), "t_gen, all weights": seed.t_gen("l1-all")}
        ends = {"final accuracy, mean": final(pair[0]), "final accuracy, all weights": final(pair[1])}
        rows.append({"setting": comparison.label, "seed": seed.seed, **numbers, **times, **ends})
twins = pd.DataFrame(rows)
chapter.table(twins.astype(dict.fromkeys([name for name in twins if "epoch" in name or "t_gen" in name], "Int64")))


# %% [markdown]
# </details>
#
# ## What differs at equal norm
#
# Question Q05 asks whether it is the alignment of gradients, the sharpness of the minimum or the representation that sets the
# ticket apart from dense networks of its norm. A first answer, **at the start of training only**: what is measured follows from
# initial weights, stored masks and task data, and says nothing of the minimum that a network ends in.
#
# <details class="fold">
# <summary>How alignment, sharpness and representation are measured</summary>
#
# * *Alignment*: the cosine of the gradients of the mean training loss and the mean test loss. A high cosine means that fitting
#   the training pairs helps the test pairs. All labels have equally many pairs, so a label that is frequent in training is rare
#   in testing; this pulls the two gradients apart, and a cosine below zero is possible.
# * *Sharpness*: the largest eigenvalue of the Hessian of the training loss, by eight steps of Lanczos' method. It depends on the norm itself, so a difference tells
#   most against the network of the same L2 norm.
# * *Representation*: the frequency entropy of App. G of the paper. Take the amplitudes $|F_k|$ of the discrete Fourier transform
#   of a neuron's row of $W_{in} W_E$ over the $p$ numbers (Transformer: of a dimension of $W_E$), for the frequencies
#   $k = 1, \dots, (p - 1)/2$, divide them by their sum, and average $-\sum_k q_k \log q_k$ over the neurons that are not zero.
#   Low means few frequencies. It does not depend on scale, so the base and both dense networks of a seed share one value.
#
# Gradients and Hessian are restricted to the weights that are trained. As a control for sparsity as such, the mask is also
# *shuffled*: the same number of weights kept in each matrix, at random places. Networks trained from such masks are in {doc}`attention`.
#
# </details>

# %% tags=["hide-input"]
def cosine(run, weights, mask):
    """Of the gradients on training and test pairs."""
    train, test = (loss_gradient(run.model, run.task, weights, rows=rows)[mask] for rows in ("train", "test"))
    lengths = np.linalg.norm(train) * np.linalg.norm(test)
    return train @ test / lengths if lengths else np.nan


def sharpness(run, weights, mask, steps=8):
    """Largest eigenvalue of the Hessian, by Lanczos' method in so many steps: a bound from below.

    At the start the Hessian has eigenvalues of both signs and nearly equal size, between which plain power iteration swings.
    Its products are differences of gradients over a step so short that no ReLU is likely to switch on the way: the jump of
    the gradient would be taken for curvature.
    """

    def gradient(x):
        return torch.from_numpy(loss_gradient(run.model, run.task, x.numpy()) * mask)

    weights = torch.from_numpy(weights)
    here, step = gradient(weights), 1e-9 * weights.norm()
    basis, images = torch.zeros(2, steps, len(weights), dtype=torch.float64)
    rest = here
    if not here.norm() > 0:  # so few weights are left that nothing depends on them
        return np.nan
    for i in range(steps):
        basis[i] = rest / rest.norm()
        images[i] = (gradient(weights + step * basis[i]) - here) / step
        rest = images[i] - basis.T @ (basis @ images[i])
    return torch.linalg.eigvalsh(basis @ images.T).max()


def entropy(run, weights, mask):
    """Mean frequency entropy of the neurons' input weights, or of the dimensions of the Transformer's embedding."""
    rows = fourier.tables(run, weights)[0] if "W_Q" not in run.parts() else run.split(weights)["W_E"].T
    return fourier.frequency_entropy(rows)


torch.set_num_threads(1)  # products this small gain nothing from a second thread, and wait for it on a busy machine
MEASURED = {"alignment (cosine)": cosine, "sharpness (eigenvalue)": sharpness, "frequency entropy (nats)": entropy}
STARTS = ["base", "l2-matrices", "l1-matrices", "ticket", "shuffled"]
rows = []
for comparison in chapter:
    for seed in comparison.one_by_one():
        run = seed["base"].run
        starts = {one: start(seed[one], seed["ticket"]) for one in STARTS[:-1]}
        mask = random_mask_like(run, starts["ticket"][1], "matrix", seed.seed)
        starts["shuffled"] = starts["base"][0] * mask, mask
        for one, (weights, kept) in starts.items():
            values = {name: float(measure(run, weights, kept)) for name, measure in MEASURED.items()}
            rows.append({"setting": comparison.label, "arm": one, "seed": seed.seed, **values})
at_start = pd.DataFrame(rows)

# %% mystnb={"figure": {"caption": "Before any training. Thin lines join the networks of one seed.", "name": "fig-norm-start"}, "image": {"alt": "Six panels, MLP to the left and Transformer to the right. From the top down alignment of gradients, sharpness and frequency entropy at the start, one point a seed in a row each for the base, the two norm-matched dense networks, the ticket and a shuffled mask."}} tags=["hide-input"]
LABELS = {one: arm(one).label for one in STARTS[:-1]} | {"shuffled": "ticket's mask, shuffled"}
TINTS = {one: arm(one).colour for one in STARTS[:-1]} | {"shuffled": SHUFFLED}
figure, axes = figures.panels(len(MEASURED), 2, height=2.6, sharey=True)
for column, comparison in zip(axes.T, chapter, strict=True):
    for ax, name in zip(column, MEASURED, strict=True):
        table = at_start[at_start["setting"] == comparison.label].pivot(index="arm", columns="seed", values=name).loc[STARTS]
        ax.plot(table, range(len(STARTS)), color="0.7", linewidth=0.8, zorder=1)
        for y, one in enumerate(STARTS):
            ax.scatter(table.loc[one], np.full(table.shape[1], y), color=TINTS[one], s=22, zorder=2)
        figures.rows_of_labels(ax, list(LABELS.values()))
        ax.locator_params(axis="x", nbins=4)
        figures.label(ax, comparison.label if ax in axes[0] else "", "", x=name)
chapter.sign(figure)
middle = at_start.groupby(["setting", "arm"])["alignment (cosine)"].median()
texts = {c.label: {findings.named(one): f"{middle[c.label, one]:.3f}" for one in ("base", "ticket")} for c in chapter}
chapter.finding(findings.by_setting("Median alignment of gradients before training", chapter, lambda c: findings.listed(texts[c.label])))


# %% [markdown]
# <details class="fold">
# <summary>The three measures in numbers: the ticket beside both dense networks and its own mask shuffled</summary>
#
# The ticket beside the two dense networks of its norm, seed by seed. *Above* and *below* count the seeds on which the ticket lies on
# that side of *both*; the distance is the mean difference over its standard deviation over seeds, the smaller of the two. The last
# column counts the seeds on which the ticket lies on the same side of its own mask shuffled. A measure that sets the ticket apart has
# all seeds on one side.

# %% tags=["hide-input"]
def differences(mine, name, one):
    """Ticket minus another arm, in one measure: [S]."""
    table = mine.pivot(index="seed", columns="arm", values=name)
    return (table["ticket"] - table[one]).to_numpy()


rows = []
for setting, mine in at_start.groupby("setting", sort=False):
    for name in MEASURED:
        gaps = np.stack([differences(mine, name, one) for one in ("l2-matrices", "l1-matrices")])  # [2, S]
        distance = np.abs(gaps.mean(1) / gaps.std(1, ddof=1)).min() if gaps.shape[1] > 1 else np.nan
        side = {"above": int((gaps > 0).all(0).sum()), "below": int((gaps < 0).all(0).sum())}
        control = differences(mine, name, "shuffled") * (1 if side["above"] >= side["below"] else -1)
        texts = {LABELS[one]: tables.range_text(mine.loc[mine["arm"] == one, name], ".4f") for one in ("ticket", "l2-matrices", "l1-matrices")}
        rows.append({"setting": setting, "measure": name, **texts, **side, "distance": float(distance), "beside the shuffled mask": int((control > 0).sum())})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# A difference at the start need not be what makes the ticket fast. And sharpness of the minimum, which the question names, would need the
# weights at the end, which are not kept.
#
# ## What differs from the paper
#
# * The norm is taken both ways, as in the text and as in the code; the paper's figures show the code's.
# * All norms are those of the masked weights at the start. During training the norms go their own ways, as in the paper.
# * The paper shows one run per system, this chapter one per seed.
# * The paper does not measure what the last section measures at the start, except for the entropy, which its App. G follows over
#   training.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(["test_accuracy", "l1", "l2", "mean_l1", "mean_l2"], start=at_start)
