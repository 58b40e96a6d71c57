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
#
# **Claims C09 and C10, question Q05.** A ticket starts with fewer weights than its base and so with a smaller norm, and
# {cite:t}`liu2022` trace late generalization to a large initial norm. If that were all, a dense net scaled down to the ticket's
# norm should be as fast. {cite:t}`minegishi2023` report that it is not: with the ticket's L2 norm, or with its L1
# norm, the dense net stays behind (section 5.1 for the MLP, App. D.3 for the Transformer).
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
import torch
from IPython.display import HTML, Markdown

from lib.analysis import fourier
from lib.book import figures, report
from lib.claims import judging as claims, measures
from lib.experiments import chapters as experiments, parameters
from lib.train.pruning import loss_gradient

settings = parameters.check(globals())
results = experiments.results("weight-norm", settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
scaled = ["l2-matrices", "l1-matrices", "l2-all", "l1-all"]
Markdown(f"Masks are taken at epoch {settings.ticket_epoch:,} with pruning rate {settings.pruning_rate}; every run has {settings.epochs:,} epochs.")

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy and norms of the base, its ticket, and the dense nets that start with the ticket's norm, as in the paper's Figs 5 and 12; norms as in the authors' code, the mean over matrices. Thick lines are medians over seeds, thin lines single seeds.", "name": "fig-norm-curves"}, "image": {"alt": "Six panels, one row for the MLP and one for the Transformer. From left to right test accuracy, mean L2 norm of a matrix and mean L1 norm of a matrix over epochs, for the base, the ticket and the two norm-matched dense nets."}} tags=["hide-input"]
figure, axes = figures.panels(2, 3, sharex=True)
figure.set_size_inches(10, 6.6)
for row, (system, kinds) in zip(axes, results.records.items(), strict=True):
    for ax, metric in zip(row, ("test_accuracy", "mean_l2", "mean_l1"), strict=True):
        for kind in ("base", "ticket", "l2-matrices", "l1-matrices"):
            figures.curve(ax, kinds[kind], metric, kind, band=False)
        ax.set_ylim(bottom=-0.03 if metric == "test_accuracy" else 0)
        figures.label(ax, figures.system(system), figures.AXES[metric])
for ax in axes[0]:
    ax.set_xlabel("")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=10)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "When each seed generalizes, its nets joined by a line. The vertical axis is logarithmic.", "name": "fig-norm-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for the base, the ticket and four dense nets of the ticket's norm on a logarithmic axis, hollow where a net never generalizes."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=4.8, sharey=True)
for ax, (system, kinds) in zip(axes[0], results.records.items(), strict=True):
    times = {kind: measures.generalization_epochs(kinds[kind], taus[system]) for kind in ("base", "ticket", *scaled)}
    figures.paired_epochs(ax, times, settings.epochs, figures.system(system))
axes[0, 1].set_ylabel("")
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(report.ends(results), "weight-norm") + report.download(report.curves(results, ["test_accuracy", "l1", "l2", "mean_l1", "mean_l2"], every=5), "weight-norm-curves"))

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
HTML(report.table(report.summary(results)))

# %% [markdown]
# What the initial weights were multiplied with, and the norms that each net starts with, in both senses (medians over seeds; the
# ratio with its range):

# %% tags=["remove-input"]
NORMS = {"l2": "L2, all", "mean_l2": "L2, mean", "l1": "L1, all", "mean_l1": "L1, mean"}
MATCHED = {"l2-matrices": "mean_l2", "l1-matrices": "mean_l1", "l2-all": "l2", "l1-all": "l1"}


def first(records, metric):
    """A metric at epoch 0 [S]."""
    return np.array([record.metrics[metric][0] for record in records])


rows, lines = [], []
for system, kinds in results.records.items():
    worst = 0.0
    for kind in ("base", "ticket", *scaled):
        ratio = first(kinds[kind], "l2") / first(kinds["base"], "l2") if kind in MATCHED else None
        text = "–" if ratio is None else f"{np.median(ratio):.3f} ({ratio.min():.3f} – {ratio.max():.3f})"
        starts = {name: float(np.median(first(kinds[kind], metric))) for metric, name in NORMS.items()}
        rows.append({"system": figures.system(system), "net": figures.name(kind), "ratio": text, **starts})
        if kind in MATCHED:
            worst = max(worst, np.abs(first(kinds[kind], MATCHED[kind]) / first(kinds["ticket"], MATCHED[kind]) - 1).max())
    kept = measures.kept_shares(kinds["ticket"])
    empty = [name for name, share in kept.items() if share < 0.01]
    lines.append(
        f"* **{figures.system(system)}**: over all seeds and all four nets, the norm that was to be the ticket's "
        + (f"differs from it by at most {worst:.0e} of its value. " if worst else "equals it to all digits that are recorded. ")
        + f"Share of each matrix that the mask keeps (median): {', '.join(f'{name} {share:.2f}' for name, share in kept.items())}."
        + (f" It empties {' and '.join(empty)}: in the mean over matrices these count as norms of zero, each like any other matrix." if empty else "")
    )
HTML(report.table(pd.DataFrame(rows)))

# %% tags=["remove-input"]
Markdown("\n".join(lines))

# %% [markdown]
# ## Verdict
#
# "All" marks the verdict with the norm of all weights together; the other one takes the norm as the authors' code does.

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))

# %% tags=["remove-input"]
by_claim, lines = {}, []
for judgement in results.judgements:
    by_claim.setdefault(judgement.claim.id, []).append(judgement)
for name, pair in by_claim.items():
    found = [judgement.verdict.verdict for judgement in pair]
    same = f"the same verdict, {found[0]}" if len(set(found)) == 1 else f"different verdicts, {' and '.join(found)}"
    lines.append(f"* **{name}**: the mean over matrices and the norm of all weights give {same}.")
for system, kinds in results.records.items():
    tau, budget = taus[system], settings.epochs
    times = {kind: measures.generalization_epochs(kinds[kind], tau) for kind in kinds}
    for kind in scaled:
        pairs = [(measures.later(one, other), seed) for one, other, seed in zip(times[kind], times["ticket"], settings.seeds, strict=True)]
        behind = sum(later is True for later, _ in pairs)
        fails = [seed for later, seed in pairs if later is not True]
        ahead = sum(measures.later(base, one) is True for one, base in zip(times[kind], times["base"], strict=True))
        never = sum(t is None for t in times[kind])
        lines.append(
            f"* **{figures.system(system)}**, {figures.name(kind)}: later than the ticket on {behind} of {len(pairs)} seeds"
            + (f" (not, or not known to be, on {report.seeds_text(fails)})" if fails else "")
            + f"; earlier than the unscaled base on {ahead}; never generalizes on {never}."
        )
for system, kinds in results.records.items():
    peaks = {kind: np.array([record.metrics["mean_l2"].max() for record in records]) for kind, records in kinds.items()}
    words = "; ".join(f"{figures.name(kind)} {np.median(peaks[kind] / peaks['base']):.2f}" for kind in ("ticket", "l2-matrices", "l1-matrices"))
    lines.append(f"* **{figures.system(system)}**, after the start: the highest mean L2 norm of a matrix in training, over that of the base (median): {words}.")
Markdown("\n".join(lines))


# %% [markdown]
# As both L1 norms give one ratio, the two L1 nets of a seed are trained from the same start, up to the rounding of that ratio. Where
# they part all the same, only rounding parts them, and the gap between their outcomes shows how much of a seed's outcome is
# chance:

# %% tags=["remove-input"]
def start(record, ticket):
    """Weights [n] that a net of this chapter started from, and its mask [n], from the records alone.

    A start asks for the base's weights only to rank them, and the ticket's stored mask ranks them in the same way.
    """
    weights, mask = record.run.start.make(record.run, lambda run, epoch: ticket.mask.astype(float))
    return weights.astype(float), np.ones(len(weights), bool) if mask is None else mask


rows = []
for system, kinds in results.records.items():
    for i, pair in enumerate(zip(kinds["l1-matrices"], kinds["l1-all"], strict=True)):
        (one, _), (other, _) = (start(record, kinds["ticket"][i]) for record in pair)
        parted = np.flatnonzero(np.any([pair[0].metrics[name] != pair[1].metrics[name] for name in pair[0].metrics], axis=0))
        times = dict(zip(("t_gen, mean", "t_gen, all weights"), measures.generalization_epochs(pair, taus[system]), strict=True))
        ends = {f"final accuracy, {word}": measures.final(record) for word, record in zip(("mean", "all weights"), pair, strict=True)}
        numbers = {"weights that start differently": np.count_nonzero(one != other), "records differ from epoch": int(pair[0].epochs[parted[0]]) if len(parted) else None}
        rows.append({"system": figures.system(system), "seed": pair[0].seed, **numbers, **times, **ends})
twins = pd.DataFrame(rows)
HTML(report.table(twins.astype(dict.fromkeys([name for name in twins if "epoch" in name or "t_gen" in name], "Int64"))))

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements))


# %% [markdown]
# ## What differs at equal norm
#
# Question Q05 asks whether it is the alignment of gradients, the sharpness of the minimum or the representation that sets the
# ticket apart from dense nets of its norm. A first answer, **at the start of training only**: what is measured follows from
# initial weights, stored masks and task data, and says nothing of the minimum that a net ends in.
#
# * *Alignment*: the cosine of the gradients of the mean training loss and the mean test loss. A high cosine means that fitting
#   the training pairs helps the test pairs. All labels have equally many pairs, so a label that is frequent in training is rare
#   in testing; this pulls the two gradients apart, and a cosine below zero is possible.
# * *Sharpness*: the largest eigenvalue of the Hessian of the training loss, by eight steps of Lanczos' method. It depends on the norm itself, so a difference tells
#   most against the net of the same L2 norm.
# * *Representation*: the frequency entropy of App. G of the paper. Take the amplitudes $|F_k|$ of the discrete Fourier transform
#   of a neuron's row of $W_{in} W_E$ over the $p$ numbers (Transformer: of a dimension of $W_E$), for the frequencies
#   $k = 1, \dots, (p - 1)/2$, divide them by their sum, and average $-\sum_k q_k \log q_k$ over the neurons that are not zero.
#   Low means few frequencies. It does not depend on scale, so the base and both dense nets of a seed share one value.
#
# Gradients and Hessian are restricted to the weights that are trained. As a control for sparsity as such, the mask is also
# *shuffled*: the same number of weights kept in each matrix, at random places. No net is trained from it.

# %% tags=["hide-input"]
def cosine(run, weights, mask):
    """Of the gradients on training and test pairs."""
    train, test = (loss_gradient(run.model, run.task, weights, rows=rows)[mask] for rows in ("train", "test"))
    return train @ test / (np.linalg.norm(train) * np.linalg.norm(test))


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
    for i in range(steps):
        basis[i] = rest / rest.norm()
        images[i] = (gradient(weights + step * basis[i]) - here) / step
        rest = images[i] - basis.T @ (basis @ images[i])
    return torch.linalg.eigvalsh(basis @ images.T).max()


def entropy(run, weights, mask):
    """Mean frequency entropy of the neurons' input weights, or of the dimensions of the Transformer's embedding."""
    rows = fourier.tables(run, weights)[0] if run.model == experiments.MODELS["mlp"] else run.split(weights)["W_E"].T
    return fourier.frequency_entropy(rows)


def shuffled(run, mask, rng):
    """The mask with the places in each matrix permuted."""
    return np.concatenate([rng.permutation(mask[part]) for part in run.parts().values()])


torch.set_num_threads(1)  # products this small gain nothing from a second thread, and wait for it on a busy machine
MEASURED = {"alignment (cosine)": cosine, "sharpness (eigenvalue)": sharpness, "frequency entropy (nats)": entropy}
KINDS = ["base", "l2-matrices", "l1-matrices", "ticket", "shuffled"]
rows = []
for system, kinds in results.records.items():
    for i, base in enumerate(kinds["base"]):
        starts = {kind: start(kinds[kind][i], kinds["ticket"][i]) for kind in KINDS[:-1]}
        mask = shuffled(base.run, starts["ticket"][1], np.random.default_rng(base.seed))
        starts["shuffled"] = starts["base"][0] * mask, mask
        for kind, (weights, kept) in starts.items():
            values = {name: float(measure(base.run, weights, kept)) for name, measure in MEASURED.items()}
            rows.append({"system": system, "kind": kind, "seed": base.seed, **values})
at_start = pd.DataFrame(rows)

# %% mystnb={"figure": {"caption": "What sets nets apart at the start, before any training. Thin lines join the nets of one seed.", "name": "fig-norm-start"}, "image": {"alt": "Six panels, one row for the MLP and one for the Transformer. From left to right alignment of gradients, sharpness and frequency entropy at the start, one point a seed for the base, the two norm-matched dense nets, the ticket and a shuffled mask."}} tags=["hide-input"]
figure, axes = figures.panels(2, 3, sharex=True)
figure.set_size_inches(10, 6.6)
for row, system in zip(axes, results.records, strict=True):
    for ax, name in zip(row, MEASURED, strict=True):
        table = at_start[at_start["system"] == system].pivot(index="kind", columns="seed", values=name).loc[KINDS]
        ax.plot(range(len(KINDS)), table, color="0.7", linewidth=0.8, zorder=1)
        for x, kind in enumerate(KINDS):
            ax.scatter(np.full(table.shape[1], x), table.loc[kind], color=figures.colour(kind), s=22, zorder=2)
        ax.set_xticks(range(len(KINDS)), [figures.name(kind) for kind in KINDS], rotation=40, ha="right", fontsize=10)
        figures.label(ax, figures.system(system), name, x="")
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(at_start, "weight-norm-start"))


# %% [markdown]
# The ticket beside the two dense nets of its norm, seed by seed. "Above" and "below" count the seeds on which the ticket lies on that
# side of *both*; the distance is the mean difference over its standard deviation over seeds, the smaller of the two.

# %% tags=["remove-input"]
def differences(system, name, kind):
    """Ticket minus a net of another kind, in one measure: [S]."""
    table = at_start[at_start["system"] == system].pivot(index="seed", columns="kind", values=name)
    return (table["ticket"] - table[kind]).to_numpy()


def median_range(values):
    return f"{np.median(values):.4f} ({np.min(values):.4f} to {np.max(values):.4f})"


rows = []
for system in results.records:
    for name in MEASURED:
        gaps = np.stack([differences(system, name, kind) for kind in ("l2-matrices", "l1-matrices")])  # [2, S]
        distance = np.abs(gaps.mean(1) / gaps.std(1, ddof=1)).min() if gaps.shape[1] > 1 else np.nan
        side = {"above": int((gaps > 0).all(0).sum()), "below": int((gaps < 0).all(0).sum())}
        control = differences(system, name, "shuffled")
        like = int((control > 0).sum() if side["above"] >= side["below"] else (control < 0).sum())
        by_kind = at_start[at_start["system"] == system].groupby("kind")[name].agg(median_range)
        texts = {figures.name(kind): by_kind[kind] for kind in ("ticket", "l2-matrices", "l1-matrices")}
        rows.append({"system": system, "measure": name, **texts, **side, "distance": float(distance), "control": like})
compared = pd.DataFrame(rows)
HTML(report.table(compared.drop(columns="control").assign(system=compared["system"].map(figures.system))))

# %% tags=["remove-input"]
count = len(settings.seeds)
lines, clear = [], {}
for system, mine in compared.groupby("system", sort=False):
    apart = mine[mine[["above", "below"]].max(axis=1) == count].sort_values("distance", ascending=False)
    clear[system] = {(row["measure"], "above" if row["above"] else "below") for _, row in apart.iterrows()}
    found = [] if len(apart) else [f"no measure puts the ticket on one side of both dense nets on all {count} seeds"]
    for place, (_, row) in enumerate(apart.iterrows()):
        side = "above" if row["above"] else "below"
        found.append(
            f"{'also' if place else 'most clearly'} in {row['measure']}: the ticket lies {side} both dense nets on all {count} "
            f"seeds (distance {row['distance']:.1f}), and {side} its own mask shuffled on {row['control']}"
        )
    for _, row in mine.drop(apart.index).iterrows():
        found.append(f"not in {row['measure']}, above both on {row['above']} and below both on {row['below']}")
    lines.append(f"* **{figures.system(system)}**: {'; '.join(found)}.")
common = [f"{name}, {side}" for name, side in sorted(set.intersection(*clear.values()))]
if common:
    lines.append(f"\nIn both systems, and on the same side: {'; '.join(common)}.")
else:
    lines.append(
        "\nNo measure sets the ticket apart on the same side in both systems: at the start, none of the three by itself tells why "
        "the tickets of both systems differ from dense nets of their norm."
    )
if count < claims.MIN_SEEDS:
    lines = [f"With fewer than {claims.MIN_SEEDS} seeds there is no answer."]
Markdown("\n".join(lines))

# %% [markdown]
# A difference at the start need not be what makes the ticket fast. And sharpness of the minimum, which the question names, would need the
# weights at the end, which are not kept.
#
# ## What differs from the paper
#
# * The norm is taken both ways, as in the text and as in the code; the paper's figures show the code's.
# * All norms are those of the masked weights at the start. During training the norms go their own ways, as in the paper.
# * The paper shows one run a system, this chapter one a seed.
# * The paper does not measure what the last section measures at the start, except for the entropy, which its App. G follows over
#   training.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('weight-norm')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
