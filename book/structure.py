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
# # The structure of masks

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
from scipy.stats import pearsonr

from lib.analysis import structure
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.measures import accuracy_at_cuts, correlation, distances
from lib.claims.statistics import MIN_SEEDS, median_interval
from lib.experiments.arms import Arm
from lib.train import pruning

chapter = Chapter.open("structure", globals())
grid = list(chapter["mlp"].family("epoch"))
masks = {c.name: [[r.mask for r in seed.family("epoch").values()] for seed in c.one_by_one()] for c in chapter}  # [S][T] of [n]
apart = {c.name: np.stack([distances(seed) for seed in c.one_by_one()]) for c in chapter}  # [S, T, T]
parts = {  # setting -> matrix -> its masks [S, T, n of the matrix]
    c.name: {name: np.stack([[m[place] for m in one] for one in masks[c.name]]) for name, place in c["base"][0].run.parts().items()}
    for c in chapter
}
kept_share = 1 - chapter.parameters.pruning_rate
independent = structure.expected_jaccard(kept_share, kept_share)

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C26, C27 and C28.** The paper says that a ticket's mask is found step by step: masks that are cut at nearby epochs have more kept weights in
# common, and the mask comes closer to the final one as test accuracy rises ({cite:t}`minegishi2023`, App. H and Fig. 22). The
# abstract of the paper's third version adds that grokked masks, read as graphs, have longer average paths and smaller clustering
# coefficients.
#
# ## Method
#
# **Distance.** The Jaccard distance of two masks is the share of the weights kept by either that is not kept by both, as
# {cite:t}`paganini2020` use it:
#
# $$
# d_J(m_1, m_2) = 1 - \frac{|m_1 \cap m_2|}{|m_1 \cup m_2|} , \qquad
# d_J^{\text{independent}} = 1 - \frac{\kappa_1 \kappa_2}{\kappa_1 + \kappa_2 - \kappa_1 \kappa_2} .
# $$
#
# The second expression is the value for two independent masks that keep the shares $\kappa_1$ and $\kappa_2$; it is the reference line
# of the figures. The masks are those of {doc}`ticket-epochs`, cut at 15 epochs at one rate, and the last of them is the final
# mask. Its distance to itself is zero by definition and enters no correlation.
#
# **Graph.** The mask of the MLP is a graph: its nodes are input tokens, embedding dimensions, hidden neurons, output dimensions and
# logits, and each kept weight is an edge without direction or weight. The *average path length* is the mean length of the shortest
# paths between all pairs of nodes that are connected at all. A pair without a path has no length; where neurons have lost all
# edges this leaves them out. The harmonic mean over all pairs, in which such a pair is infinitely far apart, is reported beside it.
#
# <details class="fold">
# <summary>Three definitions of clustering for a graph without triangles</summary>
#
# **Clustering.** The usual coefficient counts triangles. Edges join only adjacent layers here, so the graph is bipartite (every
# second layer against the others), it has no triangle, and the coefficient is zero for every mask. What can differ is how far
# nodes share their neighbours. Three definitions say so:
#
# * *bipartite clustering* {cite:p}`latapy2008`, by which C28 is judged: for each node the mean, over all nodes with which it shares a
#   neighbour, of shared neighbours over neighbours of either; averaged over nodes. It is the closest to the usual coefficient, a
#   number for each node between 0 and 1, needs no threshold, and is itself a Jaccard similarity;
# * *square clustering* {cite:p}`robins2004`: the share of all paths of three edges whose ends are joined by a fourth;
# * *clustering among neurons*: the usual coefficient of a graph that has the hidden neurons alone as nodes, two of which are joined if they
#   share more neighbours than chance would give to their numbers of edges. A neuron without any edge ({doc}`dead-neurons`) is left out, as in
#   the others, or counts as zero, as by default in networkx.
#
# </details>
#
# **Controls.** Each grokked mask stands beside the first of the 15 masks of its seed (memorization), the last one before $t_{gen}$
# (transition), and three random masks: with as many edges in all, as many in each matrix, and as many in each matrix at each node.
# The last kind trades edges between rows until only the numbers are left {cite:p}`strona2014`.
#
# <details class="fold">
# <summary>Epochs of the cuts, and the distance of independent masks</summary>

# %% tags=["hide-input"]
facts = {"masks cut at epochs": ", ".join(f"{t:,}" for t in grid), "share kept": f"{kept_share:g}"}
facts |= {"distance of independent masks": f"{independent:.3f}", "grokked mask cut at": f"{chapter.parameters.ticket_epoch:,}"}
chapter.table(pd.DataFrame(facts.items(), columns=["", "value"]))

# %% [markdown]
# </details>
#
# ## Results

# %% mystnb={"figure": {"caption": "Median Jaccard distance over seeds, as in the paper's Fig. 22 (left). The line in the colour bar is the value of two independent masks of the same size.", "name": "fig-mask-distances"}, "image": {"alt": "Two heat maps, MLP and Transformer, with the epoch of one mask across and that of the other upwards; colour gives the Jaccard distance, which is zero on the diagonal."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=4.0, sharey=True)
half = (grid[1] - grid[0]) / 2
for ax, comparison in zip(axes[0], chapter, strict=True):
    edges = (grid[0] - half, grid[-1] + half)
    image = ax.imshow(np.median(apart[comparison.name], 0), origin="lower", extent=edges * 2, vmin=0, vmax=0.8, cmap="viridis")
    ax.grid(False)
    figures.label(ax, comparison.label, "epoch of the other mask")
    ax.yaxis.set_major_formatter(ax.xaxis.get_major_formatter())
axes[0, 1].set_ylabel("")
bar = figure.colorbar(image, ax=axes, shrink=0.8, label="Jaccard distance (line: independent)")
bar.ax.axhline(independent, color="black", linewidth=2)
chapter.sign(figure)
lead = f"Distance of the first mask to the last, {independent:.2f} for independent masks, median"
chapter.finding(findings.by_setting(lead, chapter, lambda c: findings.median(apart[c.name][:, 0, -1])))

# %% mystnb={"figure": {"caption": "Distance of all weights to the final mask (top), with test accuracy of the base (bottom), as in the paper's Fig. 22 (right). Thin lines are single seeds, bands their range. The dotted line is that of independent masks.", "name": "fig-distance-to-final"}, "image": {"alt": "Four panels, MLP and Transformer side by side. Above, the distance of each mask to the final one over the epoch of the cut; below, the test accuracy of the base over epochs."}} tags=["hide-input"]
figure, axes = figures.panels(2, 2, height=2.6, sharex=True, sharey="row")
for (above, below), comparison in zip(axes.T, chapter, strict=True):
    to_final = apart[comparison.name][:, -1]
    above.plot(grid, to_final.T, color="0.2", linewidth=0.6, alpha=0.4)
    above.fill_between(grid, to_final.min(0), to_final.max(0), color="0.2", alpha=0.12, linewidth=0)
    above.plot(grid, np.median(to_final, 0), color="0.2", marker="o", markersize=3)
    above.axhline(independent, color="0.35", linewidth=1.2, linestyle=":")
    above.annotate("independent masks", (0.99, independent), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
    above.set_ylim(-0.02, 0.87)
    figures.curve(below, comparison, "base")
    figures.label(above, comparison.label, "distance to final mask", x="")
    figures.label(below, "", "test accuracy of base")
for ax in axes[:, 1]:
    ax.set_ylabel("")
chapter.sign(figure)
with_accuracy = lambda seed: correlation(pearsonr, distances(seed)[-1][:-1], accuracy_at_cuts(seed)[:-1])
lead = "Median correlation of the distance to the final mask with test accuracy"
chapter.finding(findings.by_setting(lead, chapter, lambda c: findings.median(list(map(with_accuracy, c.one_by_one())))))

# %% mystnb={"figure": {"caption": "Jaccard distance to the final mask matrix by matrix, over the epoch of the cut, median and range over seeds. Dotted lines are independent masks that keep as much of the matrix as the two masks do.", "name": "fig-distance-by-matrix"}, "image": {"alt": "Eight small panels, one for each weight matrix, of the distance of each mask to the final one over the epoch of the cut, one line for the MLP where it has the matrix and one for the Transformer."}} tags=["hide-input"]
NAMES = ["W_E", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U"]
TINTS = dict(zip(chapter.comparisons, ("0.2", "#CC79A7"), strict=True))
shared = {  # distance to the final mask by matrix, and what independent masks of the same shares would have: [S, T]
    setting: {name: np.stack([structure.jaccard_distances(one)[-1] for one in found]) for name, found in matrices.items()}
    for setting, matrices in parts.items()
}
shares = {setting: {name: found.mean(2) for name, found in matrices.items()} for setting, matrices in parts.items()}
chance = {
    setting: {
        name: np.array([[structure.expected_jaccard(kept, row[-1]) for kept in row] for row in found])
        for name, found in matrices.items()
    }
    for setting, matrices in shares.items()
}


def by_matrix(epochs, values, y):
    """A small panel for each matrix with the values [S, T] of each setting that has it, median and range."""
    figure, axes = figures.panels(2, 4, height=2.3, narrow=2, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, NAMES, strict=True):
        for setting, found in values.items():
            if name in found:
                tint = TINTS[setting]
                ax.fill_between(epochs, found[name].min(0), found[name].max(0), color=tint, alpha=0.15, linewidth=0)
                ax.plot(epochs, np.median(found[name], 0), color=tint, label=chapter[setting].label)
        figures.label(ax, f"${name[0]}_{{{name[2:]}}}$", y if ax in axes[:, 0] else "")
        ax.set_xlabel("epoch of the cut" if ax in axes[-1] else "")
        ax.set_ylim(-0.03, 1.03)
    chapter.sign(figure, legend=2)
    return dict(zip(NAMES, axes.flat, strict=True))


for name, ax in by_matrix(grid, shared, "Jaccard distance").items():
    for setting in chance:
        if name in chance[setting]:
            ax.plot(grid, np.median(chance[setting][name], 0), ":", color=TINTS[setting], linewidth=0.9)
first = {setting: {name: np.median(found[:, 0]) for name, found in matrices.items()} for setting, matrices in shared.items()}
chapter.finding(findings.by_setting("Median distance of a matrix's first mask to its last, least to most,", chapter, lambda c: findings.extremes(first[c.name])))


# %% [markdown]
# <details class="fold">
# <summary>Share of each matrix that the mask keeps, by the epoch of the cut</summary>

# %% mystnb={"figure": {"caption": "Median and range over seeds. At epoch 0, the mask that the same rule cuts from the initial weights; the dotted line is the share of all weights.", "name": "fig-kept"}, "image": {"alt": "Eight small panels, one for each weight matrix; upwards the share of its weights that the mask keeps, across the epoch at which the mask was cut, one line for the MLP where it has the matrix and one for the Transformer."}} tags=["hide-input"]
def initial_shares(run):
    """What magnitude pruning keeps of each matrix before any training."""
    mask = pruning.magnitude(run.initial_weights(), chapter.parameters.pruning_rate)
    return {name: matrix.mean() for name, matrix in run.split(mask).items()}


starts = {c.name: pd.DataFrame([initial_shares(record.run) for record in c["base"]]) for c in chapter}  # rows are seeds
kept = {
    setting: {name: np.column_stack([starts[setting][name], values]) for name, values in found.items()}
    for setting, found in shares.items()
}
for ax in by_matrix([0, *grid], kept, "share kept").values():
    ax.axhline(kept_share, color="0.35", linewidth=1.2, linestyle=":")
last = {setting: {name: np.median(found[:, -1]) for name, found in matrices.items()} for setting, matrices in shares.items()}
chapter.finding(findings.by_setting("Median share that the last mask keeps of a matrix, least to most,", chapter, lambda c: findings.extremes(last[c.name])))


# %% [markdown]
# </details>

# %% mystnb={"figure": {"caption": "One point for each seed, a bar at the median. The paper claims longer paths and less clustering for grokked masks. C28 is judged by average path length and bipartite clustering; the other panels are further definitions.", "name": "fig-graph"}, "image": {"alt": "Six panels with one row of points for each kind of mask, from memorization, transition and grokked to three kinds of random masks. Panels show average path length, its harmonic mean, bipartite clustering, square clustering, and clustering among neurons with dead neurons left out or counted as zero."}} tags=["hide-input"]
def measured(matrices):
    """All graph measures of a mask, as a chain of matrices."""
    lengths = structure.distances(matrices)
    return {
        "average path length": structure.mean_length(lengths),
        "average path length, harmonic": structure.mean_length(lengths, harmonic=True),
        "bipartite clustering": structure.clustering(matrices),
        "square clustering": structure.square_clustering(matrices),
        "clustering among neurons": structure.neuron_clustering(matrices),
        "clustering among neurons, dead as 0": structure.neuron_clustering(matrices, dead=True),
        "nodes without edges": sum(np.isinf(lengths).sum(0) == len(lengths) - 1),
    }


RANDOM = {"count": "random", "matrix": "random, by matrix", "neuron": "random, by node"}
MASKS = ["memorization", "transition", "grokked", *RANDOM.values()]
mlp = chapter["mlp"]
t_gen = mlp.t_gen("base")
known = [t is not None and grid[0] < t <= chapter.parameters.ticket_epoch for t in t_gen]


def masks_of(seed):
    """The masks of a seed that are compared, by name."""
    grokked, run, t = seed["ticket"].mask, seed["ticket"].run, seed.t_gen("base")
    found = [record.mask for record in seed.family("epoch").values()]
    before = [mask for epoch, mask in zip(grid, found, strict=True) if t is not None and epoch < t]
    named = {"memorization": found[0], "transition": before[-1] if before else None, "grokked": grokked}
    return named | {name: pruning.random_mask_like(run, grokked, keep, run.seed) for keep, name in RANDOM.items()}


graphs = pd.DataFrame(
    [
        {"seed": seed.seed, "mask": name} | measured(structure.chain(seed["base"].run, mask))
        for seed in mlp.one_by_one()
        for name, mask in masks_of(seed).items()
        if mask is not None
    ]
)
columns = [name for name in graphs if name not in ("seed", "mask", "nodes without edges")]
tints = {"memorization": figures.shade(grid[0], grid[-1]), "transition": figures.shade(grid[4], grid[-1]), "grokked": Arm("ticket").colour}
figure, axes = figures.panels(3, 2, height=2.5, sharey=True)
for ax, name in zip(axes.flat, columns, strict=True):
    for y, mask in enumerate(MASKS):
        values = graphs.loc[graphs["mask"] == mask, name].dropna()
        ax.scatter(values, np.full(len(values), y), color=tints.get(mask, Arm("random").colour), s=20, zorder=2)
        if len(values):
            ax.scatter(np.median(values), y, color="0.2", marker="|", s=180, zorder=3)
    ax.ticklabel_format(useOffset=False)
    ax.locator_params(axis="x", nbins=3)
    figures.label(ax, "", "", x=name)
figures.rows_of_labels(axes[0, 0], MASKS)
chapter.sign(figure, [mlp])
of_mask = graphs.groupby("mask")[["average path length", "bipartite clustering"]].median()
texts = {mask: " and ".join(f"{x:.3f}" for x in of_mask.loc[mask]) for mask in ("grokked", "random")}
chapter.finding(f"Median average path length and bipartite clustering of masks {findings.over_seeds([mlp])}: {findings.listed(texts)}")

# %% tags=["hide-input"]
epochs = range(len(grid))
pairs = pd.DataFrame(
    [
        {"setting": c.name, "seed": seed, "epoch": grid[a], "other epoch": grid[b], "distance": apart[c.name][i, a, b]}
        for c in chapter
        for i, seed in enumerate(c.seeds)
        for a in epochs
        for b in epochs[a + 1 :]
    ]
)
by_matrix = pd.DataFrame(
    [
        {
            "setting": c.name,
            "seed": seed,
            "epoch": grid[k],
            "matrix": name,
            "distance to final": shared[c.name][name][i, k],
            "independent": chance[c.name][name][i, k],
            "kept": shares[c.name][name][i, k],
        }
        for c in chapter
        for name in shared[c.name]
        for i, seed in enumerate(c.seeds)
        for k in epochs
    ]
)

# %% [markdown]
# <details class="fold">
# <summary>Graph measures in numbers</summary>
#
# Graph measures, median and range over seeds:

# %% tags=["hide-input"]
text = graphs.groupby("mask")[columns].agg(lambda x: tables.range_text(x, ".4f")).reindex(MASKS).dropna(how="all")
isolated = graphs.groupby("mask")["nodes without edges"].agg(lambda x: tables.range_text(x, ".0f"))
chapter.table(text.join(isolated).reset_index())

# %% [markdown]
# </details>
#
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>How steady the change is, and when it is fastest</summary>
#
# How steady is the change, and when is it fastest? *Fall* is the step of the grid in which the distance to the final mask falls most (without
# the last step, which ends at zero by definition); *change* is the step between whose ends the mask itself changes most, which needs no
# final mask. A distance that falls steadily would go with any accuracy that rises, so the correlation with the epoch itself stands
# beside that with accuracy. The Transformer is shown for comparison; no claim is judged on it.

# %% tags=["hide-input"]
rows, step = [], grid[1] - grid[0]
for comparison in chapter:
    for i, seed in enumerate(comparison.one_by_one()):
        found, accuracy, time = apart[comparison.name][i], accuracy_at_cuts(seed), seed.t_gen("base")
        to_final = found[-1]
        fall, change = int(np.argmin(np.diff(to_final[:-1]))), int(np.argmax(np.diagonal(found, 1)))
        off = {}
        for name, at in (("fall", fall), ("change", change)):
            off[name] = f"{grid[at]:,} – {grid[at + 1]:,}"
            off[f"{name} off by"] = None if time is None else max(grid[at] - time, time - grid[at + 1], 0)
        with_accuracy, with_epoch = (correlation(pearsonr, to_final[:-1], x[:-1]) for x in (accuracy, grid))
        correlations = {"correlation with accuracy": with_accuracy, "correlation with epoch": with_epoch}
        rows.append({"setting": comparison.label, "seed": seed.seed, "t_gen": time, **off, **correlations, "first to final": to_final[0]})
course = pd.DataFrame(rows).astype(dict.fromkeys(["t_gen", "fall off by", "change off by"], "Int64"))
chapter.table(course)

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    mine, setting = course[course["setting"] == comparison.label], comparison.name
    timed = mine.dropna(subset=["t_gen"])
    within = {f"{name} within a step of t_gen": f"{int((timed[f'{name} off by'] <= step).sum())} of {len(timed)}" for name in ("fall", "change")}
    stronger = int((mine["correlation with accuracy"] < mine["correlation with epoch"]).sum())
    ratio = {name: np.median(one[:, 0] / chance[setting][name][:, 0]) for name, one in shared[setting].items()}
    closest, farthest = min(ratio, key=ratio.get), max(ratio, key=ratio.get)
    rows.append(
        {
            "setting": comparison.label,
            **within,
            "goes with accuracy more closely than with the epoch": f"{stronger} of {len(mine)}",
            "first to final mask": tables.range_text(mine["first to final"]),
            "closest matrix, over independent": f"{closest} ({ratio[closest]:.2f})",
            "farthest matrix": f"{farthest} ({ratio[farthest]:.2f})",
        }
    )
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>What the ticket prunes of each matrix</summary>
#
# What the ticket prunes of each matrix, beside what magnitude prunes before training and in the first mask:

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    masks_of_ticket = [record.run.split(record.mask) for record in comparison["ticket"]]
    for name in masks_of_ticket[0]:
        pruned = {"ticket": [1 - mask[name].mean() for mask in masks_of_ticket]}
        pruned |= {"before training": 1 - starts[comparison.name][name], f"mask of {grid[0]:,}": 1 - shares[comparison.name][name][:, 0]}
        rows.append({"setting": comparison.label, "matrix": name, **{when: tables.range_text(x) for when, x in pruned.items()}})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Whether the verdict on C28 depends on the definitions, and how much counts of edges explain</summary>
#
# Does the verdict on C28 depend on the definition? The percent by which grokked masks differ from the others, median and range over the seeds that
# generalize between the first cut and the ticket's, with the outcome that the rule of C28 would give to this difference (for path
# lengths a difference above zero, for clustering one below):

# %% tags=["hide-input"]
(judged,) = [judgement for judgement in chapter.judgements if judgement.claim.id == "C28"]
longer, smaller = (judged.claim.parts[i].rule for i in (0, -1))
seen = graphs[graphs["seed"].isin([s for s, yes in zip(mlp.seeds, known, strict=True) if yes])]
wide = {mask: frame.set_index("seed")[columns] for mask, frame in seen.groupby("mask")}
outcomes, rows = {}, []
for name in columns:
    row = {"measure": name}
    for other in [mask for mask in MASKS if mask not in ("grokked", "transition")]:
        percent = (100 * (wide["grokked"][name] / wide[other][name] - 1)).to_numpy() if len(seen) else np.empty(0)
        enough = MIN_SEEDS <= len(percent) == len(mlp.seeds)
        rule = longer if "path" in name else smaller
        outcomes[name, other] = rule.outcome(*median_interval(percent, percent)[1:]) if enough else "inconclusive"
        row[other] = f"{tables.range_text(percent, '+.3f')}: {outcomes[name, other]}"
    rows.append(row)
chapter.table(pd.DataFrame(rows))

# %% tags=["hide-input"]
rows = []
for path in columns[:2]:
    for cluster in columns[2:]:
        found = {outcomes[name, other] for name in (path, cluster) for other in ("memorization", "random", "random, by node")}
        verdict = next((word for word in ("refuted", "inconclusive") if word in found), "replicated")
        rows.append({"path length": path, "clustering": cluster, "C28 would be": verdict})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# The table above has the verdict that C28 would have by each pair of definitions. How much of the difference between grokked masks and random ones (medians) is there
# already in random masks with the same numbers of edges in each matrix, and at each node:

# %% tags=["hide-input"]
middle = {mask: frame.median() for mask, frame in wide.items()}
rows = []
for name in columns if len(seen) else []:
    whole = middle["grokked"][name] - middle["random"][name]
    for keep in ("random, by matrix", "random, by node"):
        explained = (middle[keep][name] - middle["random"][name]) / whole if whole else np.nan
        rows.append({"measure": name, "random masks": keep, "share of the difference": f"{explained:.0%}"})
chapter.table(pd.DataFrame(rows).pivot(index="measure", columns="random masks", values="share of the difference").reset_index() if rows else pd.DataFrame({"": ["no seed generalizes"]}))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows the distances of one run and judges them by eye; here they are correlations, for each seed.
# * For the graph measures the paper's abstract states the direction; the graph, the clustering and the "other masks" are our choice. Other
#   choices are in the last fold of the verdict.
# * Graph measures are those of the MLP. The Transformer adds what each layer computes to its input, so that its layers do not form a chain.
# * Path lengths and clustering ignore the sizes of weights, as a mask does.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(distances=pairs, matrices=by_matrix, graphs=graphs)
