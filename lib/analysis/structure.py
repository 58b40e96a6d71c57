"""Structure: masks as sets, compared by Jaccard distance, and as graphs, by paths and clustering (appendix H; claim C28).

The graph of an MLP's mask has a node for each input token, embedding dimension, hidden neuron, output dimension and
logit, and an edge, without direction or weight, for each kept weight. Its layers are joined in a chain, so it is
bipartite and has no triangle: clustering counts how far two nodes share their neighbours. Shapes: L matrices, V nodes.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial.distance import pdist, squareform

from lib.train.models import MLP
from lib.train.runs import Run


def jaccard_distances(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Jaccard distance `1 - |both| / |either|` of every two of T masks [T, n]: [T, T]; 0 for two empty ones (App. H)."""
    return squareform(pdist(np.stack(masks), "jaccard"))


def expected_jaccard(d1: ArrayLike, d2: ArrayLike, sizes: ArrayLike = 1) -> float:
    """Jaccard distance of independent masks that keep the shares d1 and d2 of the weights.

    With shares [L] and sizes [L] of matrices: of masks that are independent within each matrix. Exact for many weights,
    where the ratio of the counts is that of their means; 0 for two empty masks.
    """
    d1, d2, sizes = (np.asarray(x, dtype=float) for x in (d1, d2, sizes))
    both, either = (sizes * d1 * d2).sum(), (sizes * (d1 + d2 - d1 * d2)).sum()
    return float(1 - both / either) if either else 0.0


def distance_by_chance(run: Run, one: np.ndarray, other: np.ndarray) -> float:
    """Jaccard distance of independent masks that keep as much of each matrix of a run as two masks [n] do (`expected_jaccard`)."""
    ours, theirs = (list(run.split(mask).values()) for mask in (one, other))
    sizes = [part.size for part in ours]
    return expected_jaccard([part.mean() for part in ours], [part.mean() for part in theirs], sizes)


def chain(run: Run, mask: np.ndarray) -> list[np.ndarray]:
    """An MLP's mask [n] as its matrices in the order of the layers, each [nodes before, nodes after]."""
    if not isinstance(run.model, MLP) or run.model.hidden_layers > 1:
        raise ValueError(f"the graph of a mask is that of an MLP with one hidden layer, not of {run.model}")
    parts = run.split(mask)
    return [parts["W_E"], parts["W_in"].T, parts["W_out"].T, parts["W_U"].T]


def graph(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Adjacency [V, V] (bool) of layers that are joined by matrices, each [nodes before, nodes after]."""
    starts = np.cumsum([0, len(matrices[0]), *(part.shape[1] for part in matrices)])
    out = np.zeros((starts[-1], starts[-1]), bool)
    for part, (a, b), c in zip(matrices, itertools.pairwise(starts), starts[2:], strict=False):
        out[a:b, b:c] = part
        out[b:c, a:b] = part.T
    return out


def shared_neighbours(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """How many neighbours every two nodes share [V, V], 0 on the diagonal."""
    adjacency = graph(matrices).astype(np.float32)
    out = adjacency @ adjacency
    np.fill_diagonal(out, 0)
    return out


def distances(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Lengths of the shortest paths between all nodes of a chain of layers [V, V], infinite where there is none.

    SciPy finds them from every second layer, which has the fewer nodes. From a node of the others a path begins with a
    step to one of its neighbours, which are all of the former.
    """
    adjacency = graph(matrices)
    odd = np.repeat(np.arange(len(matrices) + 1) % 2, [len(matrices[0]), *(part.shape[1] for part in matrices)])
    few, many = sorted((np.flatnonzero(odd), np.flatnonzero(1 - odd)), key=len)
    out = np.full(adjacency.shape, np.inf, np.float32)
    out[few] = csgraph.shortest_path(sparse.csr_array(adjacency), unweighted=True, indices=few)
    for node in many[adjacency[many].any(1)]:
        out[node] = 1 + out[adjacency[node]].min(0)
    np.fill_diagonal(out, 0)
    return out


def average_path_length(matrices: Sequence[np.ndarray]) -> float:
    """Mean length of the shortest paths between all pairs of nodes that are connected at all; nan if none is."""
    return mean_length(distances(matrices))


def mean_length(lengths: np.ndarray, *, harmonic: bool = False) -> float:
    """Mean over all pairs of nodes that are connected, from `distances` [V, V].

    harmonic: the harmonic mean over all pairs instead, in which a pair without a path counts as infinitely far apart.
    """
    pairs = lengths[~np.eye(len(lengths), dtype=bool)]
    connected = pairs[np.isfinite(pairs)].astype(float)
    if not len(connected):
        return np.nan
    return float(len(pairs) / (1 / connected).sum() if harmonic else connected.mean())


def clustering(matrices: Sequence[np.ndarray]) -> float:
    """Bipartite clustering (Latapy et al. 2008), averaged over the nodes that have an edge; nan if none has.

    Of a node: the mean, over all nodes that share a neighbour with it, of `|shared neighbours| / |neighbours of either|`.
    networkx.algorithms.bipartite.clustering takes minutes for a mask; this is the same from products of the adjacency.
    """
    degrees, shared = graph(matrices).sum(0, dtype=np.float32), shared_neighbours(matrices)
    either = np.maximum(degrees[:, None] + degrees - shared, 1)
    values = (shared / either).sum(1) / np.maximum((shared > 0).sum(1), 1)
    return float(values[degrees > 0].mean(dtype=float)) if degrees.any() else np.nan


def square_clustering(matrices: Sequence[np.ndarray]) -> float:
    """Share of the paths of three edges whose ends are joined by a fourth (Robins & Alexander 2004); nan if none is.

    The same as networkx.algorithms.bipartite.robins_alexander_clustering, from products of the adjacency.
    """
    adjacency = graph(matrices)
    spare = adjacency.sum(0) - 1.0  # edges by which a path through an edge can go on at that end
    one, other = np.nonzero(adjacency)
    paths = (spare[one] * spare[other]).sum() / 2
    shared = shared_neighbours(matrices)
    squares = (shared * (shared - 1)).sum(dtype=float) / 8  # each has two diagonals, each of them two directions
    return float(4 * squares / paths) if paths else np.nan


def neuron_clustering(matrices: Sequence[np.ndarray], *, dead: bool = False) -> float:
    """Ordinary clustering (networkx) of the graph of hidden neurons, the middle layer of a chain.

    Two neurons are joined if they share more neighbours than independent rows with their numbers of edges would. Neurons
    without any edge are left out, or count as zero if `dead`; nan if there is none to average over.
    """
    excess = 0.0
    for part in (matrices[1].T.astype(float), matrices[2].astype(float)):  # [hidden, width]
        degrees = part.sum(1)
        excess = excess + part @ part.T - np.outer(degrees, degrees) / part.shape[1]
    joined = np.asarray(excess > 1e-9)
    np.fill_diagonal(joined, False)
    alive = matrices[1].any(0) | matrices[2].any(1) | dead
    import networkx as nx  # slow to import, and needed by this measure alone

    return float(nx.average_clustering(nx.from_numpy_array(joined), np.flatnonzero(alive))) if alive.any() else np.nan
