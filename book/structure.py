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
#
# **Claims C26, C27 and C28.** A ticket's mask is found step by step: masks that are cut at nearby epochs have more kept weights in
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
# **Controls.** Each grokked mask stands beside the first of the 15 masks of its seed (memorization), the last one before $t_{gen}$
# (transition), and three random masks: with as many edges in all, as many in each matrix, and as many in each matrix at each node.
# The last kind trades edges between rows until only the numbers are left {cite:p}`strona2014`.

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
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from scipy.stats import pearsonr

from lib.analysis import structure
from lib.book import figures, report
from lib.claims import judging as claims, measures
from lib.experiments import chapters as experiments, parameters
from lib.train import pruning

settings = parameters.check(globals())
results = experiments.results("structure", settings)
grid = experiments.ticket_epochs(settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
each = range(len(settings.seeds))
masks = {s: [measures.cut_masks(kinds, i) for i in each] for s, kinds in results.records.items()}  # [S][T] of [n]
distances = {s: np.stack([structure.jaccard_distances(one) for one in found]) for s, found in masks.items()}  # [S, T, T]
runs = {system: [record.run for record in kinds["ticket"]] for system, kinds in results.records.items()}
parts = {  # system -> matrix -> its masks [S, T, n of the matrix]
    system: {name: np.stack([[m[place] for m in one] for one in masks[system]]) for name, place in of[0].parts().items()}
    for system, of in runs.items()
}
kept_share = 1 - settings.pruning_rate
independent = structure.expected_jaccard(kept_share, kept_share)
Markdown(
    f"Masks are cut at epochs {', '.join(f'{t:,}' for t in grid)} and keep a share of {kept_share:g} of the weights. Two independent "
    f"masks of this size have a distance of {independent:.3f}. The grokked mask is that of the ticket, cut at {settings.ticket_epoch:,}."
)

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Jaccard distance between the masks of every two of 15 epochs, median over seeds, as in the paper's Fig. 22 (left). The line in the colour bar is the value of two independent masks of the same size.", "name": "fig-mask-distances"}, "image": {"alt": "Two heat maps, MLP and Transformer, with the epoch of one mask across and that of the other upwards; colour gives the Jaccard distance, which is zero on the diagonal."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=4.0, sharey=True)
half = (grid[1] - grid[0]) / 2
for ax, (system, found) in zip(axes[0], distances.items(), strict=True):
    edges = (grid[0] - half, grid[-1] + half)
    image = ax.imshow(np.median(found, 0), origin="lower", extent=edges * 2, vmin=0, vmax=0.8, cmap="viridis")
    ax.grid(False)
    figures.label(ax, figures.system(system), "epoch of the other mask")
    ax.yaxis.set_major_formatter(ax.xaxis.get_major_formatter())
axes[0, 1].set_ylabel("")
bar = figure.colorbar(image, ax=axes, shrink=0.8, label="Jaccard distance (line: independent)")
bar.ax.axhline(independent, color="black", linewidth=2)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "Jaccard distance to the final mask over the epoch of the cut, of all weights (top) and matrix by matrix (middle, medians), with test accuracy of the base (bottom), as in the paper's Fig. 22 (right). Thin lines are single seeds, bands their range. Dotted lines are independent masks; in the middle they keep as much of the matrix as the two masks do.", "name": "fig-distance-to-final"}, "image": {"alt": "Six panels, MLP and Transformer side by side. Above, the distance of each mask to the final one over the epoch of the cut; in the middle the same for each weight matrix; below, the test accuracy of the base over epochs."}} tags=["hide-input"]
NAMES = ["W_E", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U"]
TINTS = dict(zip(NAMES, plt.colormaps["tab10"].colors, strict=False))
STYLES = {name: "--" if name in ("W_K", "W_O", "W_out", "W_U") else "-" for name in NAMES}  # pairs that lie close together
shared = {  # distance to the final mask by matrix, and what independent masks of the same shares would have: [S, T]
    system: {name: np.stack([structure.jaccard_distances(one)[-1] for one in found]) for name, found in matrices.items()}
    for system, matrices in parts.items()
}
shares = {system: {name: found.mean(2) for name, found in matrices.items()} for system, matrices in parts.items()}
chance = {
    system: {
        name: np.array([[structure.expected_jaccard(kept, row[-1]) for kept in row] for row in found])
        for name, found in matrices.items()
    }
    for system, matrices in shares.items()
}
figure, axes = figures.panels(3, 2, height=2.6, sharex=True, sharey="row")
for column, system in zip(axes.T, results.records, strict=True):
    to_final, base = distances[system][:, -1], results.records[system]["base"]
    column[0].plot(grid, to_final.T, color="0.2", linewidth=0.6, alpha=0.4)
    column[0].fill_between(grid, to_final.min(0), to_final.max(0), color="0.2", alpha=0.12, linewidth=0)
    column[0].plot(grid, np.median(to_final, 0), color="0.2", marker="o", markersize=3)
    column[0].axhline(independent, color="0.35", linewidth=1.2, linestyle=":")
    column[0].annotate("independent masks", (0.99, independent), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
    for name, found in shared[system].items():
        column[1].plot(grid, np.median(found, 0), STYLES[name], color=TINTS[name], label=name)
        column[1].plot(grid, np.median(chance[system][name], 0), ":", color=TINTS[name], linewidth=0.9)
    figures.curve(column[2], base, "test_accuracy", "base")
    figures.label(column[0], figures.system(system), "distance to final mask", x="")
    figures.label(column[1], "", "by matrix", x="")
    figures.label(column[2], "", "test accuracy of base")
for row in axes:
    row[0].set_ylim(bottom=-0.02)
    row[1].set_ylabel("")
axes[0, 0].set_ylim(top=0.87)
handles = {label: handle for ax in axes[1] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
figure.legend([handles[n] for n in NAMES], NAMES, loc="outside upper center", ncols=8, fontsize=10, columnspacing=1.0, handlelength=1.8)
figures.sign(figure, settings)


# %% mystnb={"figure": {"caption": "Share of each matrix that the mask keeps, by the epoch of the cut, median and range over seeds. At epoch 0, the mask that the same rule cuts from the initial weights; the dotted line is the share of all weights.", "name": "fig-kept"}, "image": {"alt": "Two panels, MLP and Transformer, with one line for each weight matrix; upwards the share of its weights that the mask keeps, across the epoch at which the mask was cut."}} tags=["hide-input"]
def initial_shares(run):
    """What magnitude pruning keeps of each matrix before any training."""
    mask = pruning.magnitude(run.initial_weights(), settings.pruning_rate)
    return {name: matrix.mean() for name, matrix in run.split(mask).items()}


figure, axes = figures.panels(1, 2, height=3.6, sharey=True)
starts = {system: pd.DataFrame([initial_shares(run) for run in of]) for system, of in runs.items()}  # rows are seeds
for ax, (system, matrices) in zip(axes[0], shares.items(), strict=True):
    for name, found in matrices.items():
        values = np.column_stack([starts[system][name], found])
        ax.fill_between([0, *grid], values.min(0), values.max(0), color=TINTS[name], alpha=0.15, linewidth=0)
        ax.plot([0, *grid], np.median(values, 0), STYLES[name], color=TINTS[name], label=name)
    ax.axhline(kept_share, color="0.35", linewidth=1.2, linestyle=":")
    figures.label(ax, figures.system(system), "share of weights kept", x="epoch")
    ax.set_xlabel("epoch at which the mask was cut")
    ax.set_ylim(-0.03, 1.03)
axes[0, 1].set_ylabel("")
handles = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
figure.legend([handles[n] for n in NAMES], NAMES, loc="outside upper center", ncols=8, fontsize=10, columnspacing=1.0, handlelength=1.8)
figures.sign(figure, settings)


# %% mystnb={"figure": {"caption": "Graph measures of the MLP's masks, one point for each seed, a bar at the median. The paper claims longer paths and less clustering for grokked masks. C28 is judged by average path length and bipartite clustering; the other panels are further definitions.", "name": "fig-graph"}, "image": {"alt": "Six panels with one row of points for each kind of mask, from memorization, transition and grokked to three kinds of random masks. Panels show average path length, its harmonic mean, bipartite clustering, square clustering, and clustering among neurons with dead neurons left out or counted as zero."}} tags=["hide-input"]
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
KINDS = ["memorization", "transition", "grokked", *RANDOM.values()]
net = results.records["mlp"]
t_gen = measures.generalization_epochs(net["base"], taus["mlp"])
known = [t is not None and grid[0] < t <= settings.ticket_epoch for t in t_gen]


def masks_of(i):
    """The masks of seed number i that are compared, by kind."""
    grokked, run = net["ticket"][i].mask, net["ticket"][i].run
    before = [mask for t, mask in zip(grid, masks["mlp"][i], strict=True) if t_gen[i] is not None and t < t_gen[i]]
    found = {"memorization": masks["mlp"][i][0], "transition": before[-1] if before else None, "grokked": grokked}
    return found | {kind: structure.random_mask_like(run, grokked, keep, run.seed) for keep, kind in RANDOM.items()}


graphs = pd.DataFrame(
    [
        {"seed": net["base"][i].seed, "kind": kind} | measured(structure.chain(net["base"][i].run, mask))
        for i in each
        for kind, mask in masks_of(i).items()
        if mask is not None
    ]
)
columns = [name for name in graphs if name not in ("seed", "kind", "nodes without edges")]
tints = {"memorization": figures.shade(grid[0], grid[-1]), "transition": figures.shade(grid[4], grid[-1]), "grokked": figures.colour("ticket")}
figure, axes = figures.panels(3, 2, height=2.5, sharey=True)
for ax, name in zip(axes.flat, columns, strict=True):
    for y, kind in enumerate(KINDS):
        values = graphs.loc[graphs["kind"] == kind, name].dropna()
        ax.scatter(values, np.full(len(values), y), color=tints.get(kind, figures.colour("random")), s=20, zorder=2)
        if len(values):
            ax.scatter(np.median(values), y, color="0.2", marker="|", s=180, zorder=3)
    ax.ticklabel_format(useOffset=False)
    ax.locator_params(axis="x", nbins=5)
    figures.label(ax, "", "", x=name)
axes[0, 0].set_yticks(range(len(KINDS)), KINDS)
axes[0, 0].set_ylim(len(KINDS) - 0.5, -0.5)
figures.sign(figure, settings)

# %% tags=["remove-input"]
pairs = pd.DataFrame(
    [
        {"system": s, "seed": settings.seeds[i], "epoch": grid[a], "other epoch": grid[b], "distance": found[i, a, b]}
        for s, found in distances.items()
        for i, (a, b) in itertools.product(each, itertools.combinations(range(len(grid)), 2))
    ]
)
by_matrix = pd.DataFrame(
    [
        {"system": s, "seed": settings.seeds[i], "epoch": t, "matrix": name, "distance to final": found[i, k], "independent": chance[s][name][i, k], "kept": shares[s][name][i, k]}
        for s, matrices in shared.items()
        for name, found in matrices.items()
        for i, (k, t) in itertools.product(each, enumerate(grid))
    ]
)
HTML(report.download(pairs, "structure-distances") + report.download(by_matrix, "structure-matrices") + report.download(graphs, "structure-graphs"))


# %% [markdown]
# Graph measures, median and range over seeds:

# %% tags=["remove-input"]
def span(values, form=".2f"):
    """Median and range in words."""
    values = np.asarray(values, dtype=float)
    return f"{np.median(values):{form}} ({np.min(values):{form}} to {np.max(values):{form}})" if np.isfinite(values).any() else "–"


text = graphs.groupby("kind")[columns].agg(lambda x: span(x, ".4f")).reindex(KINDS).dropna(how="all")
isolated = graphs.groupby("kind")["nodes without edges"].agg(lambda x: span(x, ".0f"))
HTML(report.table(text.join(isolated).reset_index().rename(columns={"kind": "mask"})))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))

# %% [markdown]
# How steady is the change, and when is it fastest? *Fall* is the step of the grid in which the distance to the final mask falls most (without
# the last step, which ends at zero by definition); *change* is the step between whose ends the mask itself changes most, which needs no
# final mask. A distance that falls steadily would go with any accuracy that rises, so the correlation with the epoch itself stands
# beside that with accuracy. The Transformer is shown for comparison; no claim is judged on it.

# %% tags=["remove-input"]
rows = []
for system, kinds in results.records.items():
    gaps = np.abs(np.subtract.outer(grid, grid))[np.triu_indices(len(grid), 1)]
    for i, base in enumerate(kinds["base"]):
        found, accuracy = distances[system][i], measures.accuracy_at_cuts(kinds, i)
        to_final, time = found[-1], measures.generalization_epoch(base, taus[system])
        fall, change = int(np.argmin(np.diff(to_final[:-1]))), int(np.argmax(np.diagonal(found, 1)))
        rows.append(
            {
                "system": figures.system(system), "seed": base.seed, "t_gen": time,
                "fall": f"{grid[fall]:,} – {grid[fall + 1]:,}", "change": f"{grid[change]:,} – {grid[change + 1]:,}",
                "fall off by": np.nan if time is None else max(grid[fall] - time, time - grid[fall + 1], 0),
                "change off by": np.nan if time is None else max(grid[change] - time, time - grid[change + 1], 0),
                "correlation with accuracy": measures.correlation(pearsonr, to_final[:-1], accuracy[:-1]),
                "correlation with epoch": measures.correlation(pearsonr, to_final[:-1], grid[:-1]),
                "first to final": to_final[0],
            }
        )  # fmt: skip
course = pd.DataFrame(rows).astype({"t_gen": "Int64"})
HTML(report.table(course.drop(columns=["fall off by", "change off by"])))

# %% tags=["remove-input"]
lines, step = [], grid[1] - grid[0]
for system, found in distances.items():
    mine = course[course["system"] == figures.system(system)]
    timed = mine.dropna(subset=["t_gen"])
    text = f"* **{figures.system(system)}.** "
    if len(timed):
        text += (
            f"t_gen lies within the step of the steepest fall on {(timed['fall off by'] == 0).sum()} of {len(timed)} seeds that generalize, and at most "
            f"one step of {step:,} epochs from it on {(timed['fall off by'] <= step).sum()}; for the largest change these are "
            f"{(timed['change off by'] == 0).sum()} and {(timed['change off by'] <= step).sum()}. "
        )
    else:
        text += "No base run generalizes, so there is no t_gen to compare with. "
    stronger = (mine["correlation with accuracy"] < mine["correlation with epoch"]).sum()
    text += f"Accuracy goes with the distance more closely than the epoch does on {stronger} of {len(mine)} seeds. "
    sizes = [p.stop - p.start for p in runs[system][0].parts().values()]
    ends = np.stack([np.array([shares[system][name][:, k] for name in shares[system]]).T for k in (0, -1)])  # [2, S, matrices]
    within = [structure.expected_jaccard(*ends[:, i], sizes) for i in each]
    text += (
        f"Between the first mask and the final one the distance is {span(mine['first to final'], '.3f')}; independent masks have {independent:.3f}, and "
        f"{span(within, '.3f')} if each matrix keeps its share. "
    )
    ratio = {name: np.median(one[:, 0] / chance[system][name][:, 0]) for name, one in shared[system].items()}
    closest, farthest = min(ratio, key=ratio.get), max(ratio, key=ratio.get)
    text += (
        f"By matrix, this distance over that of independent masks is smallest in {closest} ({ratio[closest]:.2f}) and largest in "
        f"{farthest} ({ratio[farthest]:.2f})."
    )
    lines.append(text)
Markdown("Median (range) over seeds:\n\n" + "\n".join(lines))

# %% [markdown]
# Which matrices the ticket prunes most:

# %% tags=["remove-input"]
lines = []
for system, of in runs.items():
    pruned = pd.DataFrame([{name: 1 - matrix.mean() for name, matrix in record.run.split(record.mask).items()} for record in results.records[system]["ticket"]])
    before = {"before training": 1 - starts[system].median(), f"of epoch {grid[0]:,}": pd.Series({n: 1 - np.median(x[:, 0]) for n, x in shares[system].items()})}
    order = pruned.median().sort_values(ascending=False).index
    first = (pruned[order[0]] == pruned.max(axis=1)).sum()
    words = "; ".join(f"{name} {span(pruned[name], '.3f')}" for name in order)
    earlier = "; ".join(f"in the mask {when} the most pruned is {value.idxmax()} ({value.max():.3f})" for when, value in before.items())
    lines.append(
        f"* **{figures.system(system)}.** Share pruned, from most to least: {words}. No matrix is pruned more than {order[0]} on {first} of {len(pruned)} seeds; {earlier}."
    )
Markdown("\n".join(lines))

# %% [markdown]
# Does the verdict on C28 depend on the definition? The percent by which grokked masks differ from the others, median and range over the seeds that
# generalize between the first cut and the ticket's, with the outcome that the rule of C28 would give to this difference (for path
# lengths a difference above zero, for clustering one below):

# %% tags=["remove-input"]
(judged,) = [j for j in results.judgements if j.claim.id == "C28"]
longer, smaller = judged.claim.rules[0], judged.claim.rules[2]
seen = graphs[graphs["seed"].isin([s for s, yes in zip(settings.seeds, known, strict=True) if yes])]
wide = {kind: frame.set_index("seed")[columns] for kind, frame in seen.groupby("kind")}
outcomes, rows = {}, []
for name in columns:
    row = {"measure": name}
    for other in [kind for kind in KINDS if kind not in ("grokked", "transition")]:
        if not len(seen):
            row[other], outcomes[name, other] = "open", "inconclusive"
            continue
        percent = (100 * (wide["grokked"][name] / wide[other][name] - 1)).to_numpy()
        rule = longer if "path" in name else smaller
        enough = len(percent) >= claims.MIN_SEEDS and len(percent) == len(settings.seeds)
        outcome = rule.outcome(*claims.bootstrap_median(percent, percent)[1:]) if enough else "inconclusive"
        row[other], outcomes[name, other] = f"{span(percent, '+.3f')}: {outcome}", outcome
    rows.append(row)
HTML(report.table(pd.DataFrame(rows)))


# %% tags=["remove-input"]
def verdict_with(path, cluster):
    """The verdict on C28 by two definitions, against memorization and random masks of as many edges."""
    found = {outcomes[name, other] for name in (path, cluster) for other in ("memorization", "random")}
    return "refuted" if "refuted" in found else "inconclusive" if "inconclusive" in found else "replicated"


combined = {(path, cluster): verdict_with(path, cluster) for path in columns[:2] for cluster in columns[2:]}
lines = [f"{path} and {cluster}: {verdict}" for (path, cluster), verdict in combined.items()]
alike = len(set(combined.values())) == 1
text = (
    f"By pairs of definitions, C28 would be: {'; '.join(lines)}. "
    f"The verdict {'is the same for all of them' if alike else 'depends on the definition'}."
)
if len(seen):
    middle = {kind: frame.median() for kind, frame in wide.items()}
    explained = []
    for name in columns:
        whole = middle["grokked"][name] - middle["random"][name]
        if whole:
            kept = [(middle[kind][name] - middle["random"][name]) / whole for kind in ("random, by matrix", "random, by node")]
            explained.append(f"{name} {kept[0]:.0%} and {kept[1]:.0%}")
    lone = seen[seen["kind"] == "grokked"]["nodes without edges"]
    hidden = [int((~matrices[1].any(0) & ~matrices[2].any(1)).sum()) for matrices in (structure.chain(r.run, r.mask) for r, yes in zip(net["ticket"], known, strict=True) if yes)]
    text += (
        "\n\nHow much of the difference between grokked masks and random ones (medians) is there already in random masks with the same numbers of edges "
        f"in each matrix, and at each node: {'; '.join(explained)}. Grokked masks leave {span(lone, '.0f')} nodes without any edge, "
        f"of which {span(hidden, '.0f')} are hidden neurons: the mean path leaves these out, the harmonic mean counts their missing paths."
    )
Markdown(text)

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements, precision=4))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows the distances of one run and judges them by eye; here they are correlations, for each seed.
# * For the graph measures the paper's abstract states the direction; the graph, the clustering and the "other masks" are our choice. Other
#   choices are in the table above.
# * Graph measures are those of the MLP. The Transformer adds what each layer computes to its input, so that its layers do not form a chain.
# * Path lengths and clustering ignore the sizes of weights, as a mask does.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('structure')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
