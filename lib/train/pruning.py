"""Pruning: masks from weights (paper, section 4.1 and appendix D.1) and from scores at initialisation (appendix B).

A score is high where a weight is to be kept. All are taken in float64, from the loss over the whole training set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lib.train.losses import LOSSES
from lib.train.models import Model, differentiate
from lib.train.tasks import Task, generator

if TYPE_CHECKING:
    from lib.train.runs import Run


def pruned_count(size: int, rate: float) -> int:
    """How many of `size` weights a pruning rate removes: rate * size, rounded. The rate must lie in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f"pruning rate is {rate}; it must be at least 0 and below 1")
    return round(rate * size)


def prune_lowest(scores: np.ndarray, rate: float) -> np.ndarray:
    """Mask [n] (bool, True = kept) that removes exactly the share `rate` with the lowest scores [n].

    Equal scores go by position, so masks of one score at growing rates are nested.
    """
    order = np.argsort(scores, kind="stable")
    mask = np.ones(len(scores), bool)
    mask[order[: pruned_count(len(scores), rate)]] = False
    return mask


def magnitude(weights: np.ndarray, rate: float) -> np.ndarray:
    """Global magnitude pruning over all weights [n] together: the share `rate` smallest in absolute value goes."""
    return prune_lowest(np.abs(weights), rate)


@dataclass(frozen=True, eq=False)
class TopScores:
    """Edge-popup: weights [n] that never change, of which those with the largest scores count and all others are zero
    (Ramanujan et al. 2020; arXiv 2310.19470v3).

    What is trained are the scores [n]. They are compared by absolute value within each part, a matrix, of which `kept`
    says how many stay. The gradient passes through the choice as if the mask were the absolute score itself.
    """

    fixed: Tensor
    parts: Sequence[slice]
    kept: Sequence[int]

    def mask(self, scores: Tensor) -> Tensor:
        """Which weights count [n], as 0 and 1."""
        mask, size = torch.zeros_like(scores), scores.abs()
        for part, kept in zip(self.parts, self.kept, strict=True):
            mask[part].scatter_(0, size[part].topk(kept, sorted=False).indices, 1.0)
        return mask

    def to(self, device: str) -> "TopScores":
        """The same, of weights on a device."""
        return replace(self, fixed=self.fixed.to(device))

    def weights(self, scores: Tensor) -> Tensor:
        """Weights [n] from the scores [n]."""
        return self.fixed * self.mask(scores)

    def gradient(self, scores: Tensor, gradient: Tensor) -> Tensor:
        """The loss's gradient [n] with respect to the scores, from that with respect to the weights."""
        return gradient * self.fixed * scores.sign()


def loss_gradient(model: Model, task: Task, weights: np.ndarray, *, rows: str = "train") -> np.ndarray:
    """Gradient [n] of the mean loss over the training (or `rows="test"`) set at weights [n], in float64."""
    data = task.data()
    chosen = {"train": data.train, "test": data.test}[rows]
    inputs, labels = (torch.from_numpy(x[None, chosen]) for x in (data.inputs, data.labels))
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    buffer = torch.from_numpy(weights.astype(np.float64))[None]
    matrices, gradient = model.matrices(buffer, task), torch.zeros_like(buffer)
    lookup = model.lookup(inputs, task)
    with torch.no_grad():
        differentiate(
            model, matrices, model.matrices(gradient, task), lookup, labels[..., None], LOSSES[task.loss].gradient
        )
    return gradient[0].numpy()


def random_score(model: Model, task: Task, weights: np.ndarray) -> np.ndarray:
    """Uniform numbers, drawn from the task's seed."""
    return generator(task.seed, "random pruning").random(len(weights))


def snip(model: Model, task: Task, weights: np.ndarray) -> np.ndarray:
    """`|dL/dw * w|`: the loss changes most where this is high (Lee et al. 2019)."""
    return np.abs(loss_gradient(model, task, weights) * weights)


def grasp(model: Model, task: Task, weights: np.ndarray) -> np.ndarray:
    """(H dL/dw) * w: what its authors rank by is -(H dL/dw) * w, and they remove the highest (Wang et al. 2020).

    H dL/dw is a central difference of the gradient in the direction of the gradient. The step is so small that no ReLU
    switches within it: the gradient jumps there, which is no part of H.
    """
    gradient = loss_gradient(model, task, weights)
    step = 1e-9 * np.linalg.norm(weights) / (np.linalg.norm(gradient) or 1.0)
    ahead, behind = (loss_gradient(model, task, weights + sign * step * gradient) for sign in (1, -1))
    return (ahead - behind) / (2 * step) * weights


def synflow(model: Model, task: Task, weights: np.ndarray) -> np.ndarray:
    """`dR/dw * w` with `R = 1^T (prod |W|) 1`: the flow of all paths through a weight (Tanaka et al. 2020). No data."""
    buffer = torch.from_numpy(np.abs(weights.astype(np.float64)))[None].requires_grad_()
    model.flow(model.matrices(buffer, task)).sum().backward()
    return (buffer.grad * buffer.detach())[0].numpy()


Score = Callable[[Model, Task, np.ndarray], np.ndarray]

SCORES: dict[str, Score] = {"random": random_score, "snip": snip, "grasp": grasp, "synflow": synflow}


def prune_by_score(
    score: Score, model: Model, task: Task, weights: np.ndarray, rate: float, rounds: int = 1
) -> np.ndarray:
    """Mask [n] that removes the share `rate` of weights [n] with the lowest scores.

    In several rounds, the kept share shrinks from round to round by the same factor, and scores are those of the weights
    that are left.
    """
    mask = np.ones(len(weights), bool)
    for i in range(1, rounds + 1):
        scores = np.where(mask, score(model, task, weights * mask), -np.inf)
        mask = prune_lowest(scores, 1 - (1 - rate) ** (i / rounds) if i < rounds else rate)
    return mask


# --- random masks beside a given one ---------------------------------------------------------------------------------

KEEPS = ("count", "matrix", "neuron")  # what a random mask has in common with the mask that it stands beside


def random_mask_like(run: "Run", mask: np.ndarray, keep: str, seed: int) -> np.ndarray:
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


def _trade(part: np.ndarray, rng: np.random.Generator) -> None:
    """Shuffles a matrix of 0 and 1 in place, in ten rounds, holding the sums of its rows and columns."""
    for _ in range(10):
        order = rng.permutation(len(part))
        for i, j in zip(order[::2], order[1::2], strict=False):
            differ = np.flatnonzero(part[i] != part[j])
            part[i, differ] = rng.permutation(part[i, differ])
            part[j, differ] = ~part[i, differ]
