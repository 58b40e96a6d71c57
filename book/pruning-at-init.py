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
# # Pruning at initialisation
#
# **Claims C15 and C16, question Q04.** Sparsity as such does not help: masks chosen before training, at random or by SNIP,
# GraSP or SynFlow, bring generalization no earlier than the dense net ({cite:t}`minegishi2023`, section 5.2 for the MLP and
# App. D.5 for the Transformer). The paper leaves open what these scores lack (Q04): how much of the ticket they share, and
# whether the same scores find it in the trained net.
#
# ## Method
#
# Each weight gets a score $S$, and masks of the ticket's pruning rate are cut from one ranking of all weights together. With
# $\mathcal{L}$ the mean loss over the training set and $H$ its Hessian, both at $\theta_0$ (App. B of the paper),
#
# $$
# \begin{aligned}
# S_{SNIP} &= \Bigl| \frac{\partial \mathcal{L}}{\partial \theta} \odot \theta \Bigr|, &
# S_{GraSP} &= -\Bigl( H \frac{\partial \mathcal{L}}{\partial \theta} \Bigr) \odot \theta, &
# S_{SynFlow} &= \frac{\partial R}{\partial \theta} \odot \theta, \quad R = \mathbb{1}^{\top} \Bigl( \prod_l \bigl| \theta^{(l)} \bigr| \Bigr) \mathbb{1} .
# \end{aligned}
# $$
#
# SNIP {cite:p}`lee2019snip` and SynFlow {cite:p}`tanaka2020synflow` remove the weights with the lowest scores, GraSP
# {cite:p}`wang2020grasp` those with the highest. Random pruning draws $S$ uniformly. The paper prunes in one step. SynFlow's
# authors take 100 rounds: the kept share shrinks by one factor a round, and the weights that are left are scored anew; this is
# run too. The mask is then held, as a ticket's is.
#
# $R$ adds up the products of weights along all paths from a token to a logit. In the Transformer attention's scores weigh paths
# but carry none: none leads through $W_Q$ or $W_K$. Their SynFlow scores are zero, and they are the first to go. Where nothing
# is kept of $W_Q$ or of $W_K$, all positions get the same attention.
#
# For Q04, masks are compared matrix by matrix by their Jaccard index, the number of weights that both keep over the number that
# at least one keeps. Two *independent* masks that keep the shares $d_1$ and $d_2$ of a matrix have the index
# $d_1 d_2 / (d_1 + d_2 - d_1 d_2)$ in expectation. The second half of Q04 puts the trained weights $\theta_t$, of which the
# ticket is cut, in the place of $\theta_0$ in the scores; the mask is laid on $\theta_0$ as before. GraSP may then turn its
# order round: where weight decay holds a net at rest, the gradient of the loss points against the weights, roughly
# $\partial \mathcal{L} / \partial \theta \propto -\theta$, and $S_{GraSP}$ grows with $(H \theta) \odot \theta$, so that the weights
# that the loss depends on most are the first to go.

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
from lib.train import pruning

settings = parameters.check(globals())
results = experiments.results("pruning-at-init", settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
kinds = list(results.records["mlp"])
trained = [kind for kind in kinds if kind.endswith(", trained")]
before = [kind for kind in kinds if kind not in ("base", "ticket", *trained)]
Markdown(
    f"All masks remove {settings.pruning_rate:g} of the weights. The ticket's is taken at epoch {settings.ticket_epoch:,}; every "
    f"run has {settings.epochs:,} epochs."
)

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy of nets pruned by several scores, taken before training (top) or from the trained net (bottom), with base and ticket. Thick lines are medians over seeds, thin lines single seeds.", "name": "fig-init-curves"}, "image": {"alt": "Four panels of test accuracy over epochs, MLP and Transformer side by side, scores taken before training above and scores of the trained net below. One curve for base, ticket and each way of pruning, with one thin line a seed and the median."}} tags=["hide-input"]
rows = {"": before, ", scores of the trained net": trained}
figure, axes = figures.panels(len(rows), 2, height=3.8, sharex=True, sharey=True)
for line, (suffix, scored) in zip(axes, rows.items(), strict=True):
    for ax, (system, groups) in zip(line, results.records.items(), strict=True):
        for kind in ["base", "ticket", *scored]:
            figures.curve(ax, groups[kind], "test_accuracy", kind, band=False)
        figures.label(ax, figures.system(system) + suffix, figures.AXES["test_accuracy"], "epoch")
        ax.set_ylim(-0.03, 1.05)
    line[1].set_ylabel("")
for ax in axes[:-1].flat:
    ax.set_xlabel("")
handles = {label: handle for ax in axes[:, 0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=10)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "When each seed generalizes, by kind of net; lines join one seed. Hollow marks never do within the budget. The vertical axis is logarithmic.", "name": "fig-init-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for base, ticket and each way of pruning, on a logarithmic axis; hollow above the budget where a run never generalizes."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=4.2, sharey=True)
for ax, (system, groups) in zip(axes[0], results.records.items(), strict=True):
    times = {kind: measures.generalization_epochs(groups[kind], taus[system]) for kind in kinds}
    figures.paired_epochs(ax, times, settings.epochs, figures.system(system))
axes[0, 1].set_ylabel("")
figures.sign(figure, settings)

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
HTML(report.table(report.summary(results)))


# %% [markdown]
# ## What is kept of each matrix

# %% tags=["hide-input"]
def compared(record, mask, ticket):
    """Of one mask: for each matrix, and for all, the share kept and the overlap with the ticket's mask."""
    counts = {}
    for name, a in record.run.split(mask).items():
        b = record.run.split(ticket)[name]
        x, y = a.mean(), b.mean()
        counts[name] = np.array([a.size, a.sum(), (a & b).sum(), (a | b).sum(), a.size * x * y, a.size * (x + y - x * y)])
    for name, (size, kept, both, either, *chance) in (counts | {"all": sum(counts.values())}).items():
        shared = {"jaccard": both / either, "expected": chance[0] / chance[1]} if either else {"jaccard": np.nan, "expected": np.nan}
        yield {"matrix": name, "kept": kept / size, **shared}


LARGEST = "initial magnitude"  # the largest weights of all at the start; a mask for comparison, not trained
parts = []
for system, groups in results.records.items():
    masks = {kind: [record.mask for record in groups[kind]] for kind in ["ticket", *before, *trained]}
    masks[LARGEST] = [pruning.magnitude(record.run.initial_weights(), settings.pruning_rate) for record in groups["base"]]
    for kind, group in masks.items():
        for base, mask, ticket in zip(groups["base"], group, masks["ticket"], strict=True):
            parts.append(pd.DataFrame(compared(base, mask, ticket)).assign(system=system, kind=kind, seed=base.seed))
overlaps = pd.concat(parts, ignore_index=True)
overlaps["excess"] = overlaps["jaccard"] - overlaps["expected"]
words = {kind: figures.name(kind) for kind in kinds} | {LARGEST: LARGEST}


def heat_maps(values, texts, rows, scheme, limits):
    """A panel a system: medians over seeds of a column of `overlaps` as colours, a text in each cell."""
    counts = [overlaps.loc[overlaps["system"] == system, "matrix"].nunique() for system in results.records]
    figure, axes = figures.panels(1, 2, height=0.44 * len(rows) + 1.1, sharey=True, width_ratios=counts)
    for ax, (system, found) in zip(axes[0], overlaps.groupby("system", sort=False), strict=True):
        medians = found.groupby(["kind", "matrix"], sort=False)[["kept", "jaccard", "expected", "excess"]].median()
        columns = list(found["matrix"].unique())
        grid = np.array([[medians.loc[(kind, matrix), values] for matrix in columns] for kind in rows])
        image = ax.imshow(np.ma.masked_invalid(grid), cmap=scheme, vmin=limits[0], vmax=limits[1], aspect="auto")
        for (i, j), value in np.ndenumerate(grid):
            text = "–" if np.isnan(value) else texts(medians.loc[(rows[i], columns[j])])
            dark = np.dot(image.cmap(image.norm(value))[:3], [0.3, 0.59, 0.11]) < 0.5 and text != "–"
            ax.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if dark else "black", linespacing=0.95)
        ax.set_xticks(range(len(columns)), [f"$W_{{{name[2:]}}}$" if name != "all" else "all" for name in columns])
        ax.set_yticks(range(len(rows)), [words[kind] for kind in rows])
        ax.tick_params(length=0)
        ax.grid(False)
        ax.set_title(figures.system(system))
    figures.sign(figure, settings)


# %% mystnb={"figure": {"caption": "The share of each matrix that a mask keeps, median over seeds. All masks keep the same share of all weights.", "name": "fig-init-kept"}, "image": {"alt": "Two heat maps, MLP and Transformer, with a row for the ticket and each way of pruning, a column for each weight matrix and one for all, and in each cell the share of weights kept."}} tags=["hide-input"]
heat_maps("kept", lambda cell: f"{cell['kept']:.2f}", ["ticket", *before, *trained], "Blues", (0, 1))

# %% [markdown]
# Matrices of which a mask keeps nothing, or less than 1%:

# %% tags=["remove-input"]
lines = []
for system, found in overlaps.groupby("system", sort=False):
    collapsed = []
    for kind in ["ticket", *before, *trained]:
        cases = {}  # what is kept on how many seeds -> matrices
        for matrix, shares in found[found["kind"] == kind].groupby("matrix", sort=False)["kept"]:
            counts = {"nothing": (shares == 0).sum(), "less than 1%": ((shares > 0) & (shares < 0.01)).sum()}
            if any(counts.values()):
                case = report.listed(f"{what} on {n} of {len(shares)} seeds" for what, n in counts.items() if n)
                cases.setdefault(case, []).append(matrix)
        if cases:
            collapsed.append(f"{words[kind]}: of {'; of '.join(f'{report.listed(names)} {case}' for case, names in cases.items())}")
    lines.append(f"* **{figures.system(system)}**: " + (". ".join(collapsed) if collapsed else "none") + ".")
Markdown("\n".join(lines))

# %% [markdown]
# ## What is shared with the ticket

# %% mystnb={"figure": {"caption": "Jaccard index of each mask with the ticket's, median over seeds, and in brackets what independent masks with the same shares of each matrix would have. Red is above it, blue below; a dash where neither keeps anything. \"Initial magnitude\" keeps the largest initial weights and is not trained.", "name": "fig-init-overlap"}, "image": {"alt": "Two heat maps, MLP and Transformer, with a row for each way of pruning, a column for each weight matrix and one for all, and in each cell the Jaccard index with the ticket's mask above the value of independent masks."}} tags=["hide-input"]
rows = [*before, *trained, LARGEST]
reach = max(0.1, overlaps.loc[overlaps["kind"].isin(rows), "excess"].abs().max())
heat_maps("excess", lambda cell: f"{cell['jaccard']:.2f}\n({cell['expected']:.2f})", rows, "RdBu_r", (-reach, reach))

# %% tags=["remove-input"]
HTML(
    report.download(report.curves(results, ["test_accuracy"], every=5), "pruning-at-init-curves")
    + report.download(report.ends(results), "pruning-at-init")
    + report.download(overlaps[["system", "kind", "seed", "matrix", "kept", "jaccard", "expected"]], "pruning-at-init-masks")
)

# %% [markdown]
# ## Verdict
#
# Each method has a verdict of its own.

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))


# %% [markdown]
# How many seeds generalize, the speed-up where it is known (below 1: later than the base), and what the others reach:

# %% tags=["remove-input"]
def span(numbers, form=".2f"):
    """The range of some numbers in words."""
    low, high = (format(number, form) for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low} to {high}"


rows = []
for system, groups in results.records.items():
    for kind in ["ticket", *before, *trained]:
        table = measures.speed_up(groups, taus[system], faster=kind).table.assign(final=[measures.final(record) for record in groups[kind]])
        reached, never = (table[table[f"t_gen {kind}"].notna() == has] for has in (True, False))
        known, early = reached[reached["low"] == reached["high"]], table[table["low"] > 1]
        rows.append(
            {
                "system": figures.system(system),
                "net": words[kind],
                "generalize": f"{len(reached)} of {len(table)}",
                "speed-up": span(known["low"]) if len(known) else "–",
                "earlier than the base": report.seeds_text(list(early["seed"])) if len(early) else "none",
                "test accuracy of the others at the end": span(never["final"]) if len(never) else "–",
            }
        )
HTML(report.table(pd.DataFrame(rows)))

# %% [markdown]
# A first answer to Q04, from whole masks (how fast these nets generalize is in the table above):

# %% tags=["remove-input"]
lines = []
for system, found in overlaps[overlaps["matrix"] == "all"].groupby("system", sort=False):
    scores = [kind for kind in before if kind != "random"]
    random, scored, largest = (found[found["kind"].isin(chosen)] for chosen in (["random"], scores, [LARGEST]))
    most = scored.nlargest(1, "excess").iloc[0]
    text = (
        f"* **{figures.system(system)}**: masks from scores before training have an overlap of {span(scored['jaccard'])} with the "
        f"ticket, random masks {span(random['jaccard'])}. Independent masks that keep the same shares of each matrix would have "
        f"{span(scored['expected'])}; the largest excess is {most.excess:+.3f} ({words[most.kind]}, seed {most.seed}), while random "
        f"masks deviate by up to {random['excess'].abs().max():.3f}. The largest initial weights have {span(largest['jaccard'])} "
        f"({span(largest['expected'])} if independent). The same scores of the trained net: "
    )
    after = found[found["kind"].isin(trained)].groupby("kind", sort=False)
    lines.append(text + ", ".join(f"{words[kind]} {span(g['jaccard'])} ({span(g['expected'])})" for kind, g in after) + ".")
Markdown("\n".join(lines))

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows one run a method; here each has all seeds, with a verdict for each method.
# * In the authors' code, SynFlow feeds data through a net whose masks have been made absolute along with its weights, and GraSP
#   divides the logits by a temperature of 200. Here the definitions above are used, with gradients in double precision.
# * SynFlow in 100 rounds and the scores of the trained net are additions.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('pruning-at-init')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
