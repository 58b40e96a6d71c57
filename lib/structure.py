"""Structure: masks as sets, compared by Jaccard distance, and as graphs, by paths and clustering (App. H; claim C28).

The graph of an MLP's mask has a node for each input token, embedding dimension, hidden neuron, output dimension and
logit, and an edge, without direction or weight, for each kept weight. Its layers are joined in a chain, so it is
bipartite and has no triangle: clustering counts how far two nodes share their neighbours. Shapes: L matrices, V nodes.
"""

from collections.abc import Sequence
from itertools import pairwise

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.spatial.distance import jaccard, pdist, squareform

from lib.models import MLP
from lib.runs import Run

KEEPS = ("count", "matrix", "neuron")  # what a random mask has in common with the mask that it stands beside


def jaccard_distance(one: np.ndarray, other: np.ndarray) -> float:
    """1 - |both| / |either| of two masks [n] (bool); 0 for two empty ones (App. H)."""
    return float(jaccard(one, other))


def jaccard_distances(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Jaccard distance of every two of T masks: [T, T]."""
    return squareform(pdist(np.stack(masks), "jaccard"))


def expected_jaccard(d1: ArrayLike, d2: ArrayLike, sizes: ArrayLike = 1) -> float:
    """Jaccard distance of independent masks that keep the shares d1 and d2 of the weights.

    With shares [L] and sizes [L] of matrices: of masks that are independent within each matrix. Exact for many weights,
    where the ratio of the counts is that of their means.
    """
    d1, d2, sizes = (np.asarray(x, dtype=float) for x in (d1, d2, sizes))
    return float(1 - (sizes * d1 * d2).sum() / (sizes * (d1 + d2 - d1 * d2)).sum())


def kept_shares(run: Run, mask: np.ndarray) -> dict[str, float]:
    """Share of the weights that a mask [n] keeps, by matrix."""
    return {name: float(part.mean()) for name, part in run.split(mask).items()}


def random_mask_like(run: Run, mask: np.ndarray, keep: str, seed: int) -> np.ndarray:
    """A random mask [n] with as many edges as `mask`: in all ("count"), in each matrix, or also at each node ("neuron").

    "neuron" trades edges between two rows of a matrix, over and over, so that every row and column keeps its number
    (the curveball algorithm, Strona et al. 2014).
    """
    if keep not in KEEPS:
        raise ValueError(f"keep is {keep!r}; it must be one of {', '.join(KEEPS)}")
    rng = np.random.default_rng(seed)
    if keep == "count":
        return rng.permutation(mask)
    out = mask.copy()
    for part in run.split(out).values():  # views
        if keep == "matrix":
            part[:] = rng.permutation(part.ravel()).reshape(part.shape)
        else:
            _trade(part if len(part) <= part.shape[1] else part.T, rng)
    return out


def _trade(part: np.ndarray, rng: np.random.Generator, rounds: int = 10) -> None:
    """Shuffles a matrix of 0 and 1 in place, holding the sums of its rows and columns."""
    for _ in range(rounds):
        order = rng.permutation(len(part))
        for i, j in zip(order[::2], order[1::2], strict=False):
            differ = np.flatnonzero(part[i] != part[j])
            part[i, differ] = rng.permutation(part[i, differ])
            part[j, differ] = ~part[i, differ]


def chain(run: Run, mask: np.ndarray) -> list[np.ndarray]:
    """An MLP's mask [n] as its matrices in the order of the layers, each [nodes before, nodes after]."""
    if not isinstance(run.model, MLP) or run.model.hidden_layers > 1:
        raise ValueError(f"the graph of a mask is that of an MLP with one hidden layer, not of {run.model}")
    parts = run.split(mask)
    return [parts["W_E"], parts["W_in"].T, parts["W_out"].T, parts["W_U"].T]


def graph(matrices: Sequence[np.ndarray]) -> sparse.csr_array:
    """Adjacency matrix [V, V] (0 or 1, symmetric) of layers joined by matrices, each [nodes before, nodes after]."""
    sizes = [len(matrices[0]), *(part.shape[1] for part in matrices)]
    starts = np.cumsum([0, *sizes])
    out = sparse.lil_array((starts[-1], starts[-1]), dtype=np.float32)
    for part, (a, b), c in zip(matrices, pairwise(starts), starts[2:], strict=False):
        out[a:b, b:c] = part
    return (out + out.T).tocsr()
