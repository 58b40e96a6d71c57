"""Losses, each of single samples and as the gradient of their mean. Shapes: R runs, B samples, p classes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LARGE = 80.0  # a lead in logits beyond which exp is near the end of float32


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label] for each sample: logits [..., p], labels [..., 1] int64 -> [...].

    Exact in float32, also where one logit leads by far: with s the sum over wrong classes of exp(z_j - z_c), the loss
    is log1p(s). Where a wrong class leads by m > 0, exp(-m) is factored out first, so that nothing overflows.
    """
    gaps = logits - logits.gather(-1, labels)
    wrong = gaps.scatter(-1, labels, -torch.inf)
    lead = wrong.amax(-1, keepdim=True).clamp_(min=0)
    s = (wrong - lead).exp_().sum(-1, keepdim=True)
    # lead = 0: log1p(s). Otherwise s >= 1, and log(exp(-lead) + s) + lead.
    return torch.where(lead > 0, lead + (s + (-lead).exp()).log(), s.log1p()).squeeze(-1)


def cross_entropy_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the cross-entropy, averaged over the samples of each run: logits [R, B, p], labels [R, B, 1] -> [R, B, p].

    It takes the place of the logits in memory. With s as above it is exp(z_j - z_c) / (1 + s) for wrong classes and
    -s / (1 + s) for the right one, which keeps its digits where 1 - softmax would be rounded to zero. In a run where some
    class leads by LARGE, every sample is first shifted by its largest logit.
    """
    if logits.is_cuda:
        wrong = torch.softmax(logits, -1, out=logits).scatter_(-1, labels, 0.0).div_(logits.shape[1])
        return wrong.scatter_(-1, labels, -wrong.sum(-1, keepdim=True))
    right = logits.gather(-1, labels)  # [R, B, 1]
    logits.sub_(right)
    own = None  # exp of the right class's logit: 1, unless a run is shifted
    for run in (logits.amax((1, 2)) > LARGE).nonzero().flatten().tolist():
        own = torch.ones_like(right) if own is None else own
        lead = logits[run].amax(-1, keepdim=True)
        logits[run] -= lead
        own[run] = (-lead).exp()
    array = logits.numpy()
    np.exp(array, out=array)  # several times as fast as PyTorch's on some processors
    logits.scatter_(-1, labels, 0.0)
    s = logits.sum(-1, keepdim=True)
    share = (s + (1.0 if own is None else own)).mul_(logits.shape[1]).reciprocal_()
    return logits.mul_(share).scatter_(-1, labels, s.mul_(share).neg_())


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over the classes of (output - one-hot label)^2 for each sample: [..., classes], [..., 1] int64 -> [...]."""
    target = torch.zeros_like(outputs).scatter_(-1, labels, 1.0)
    return (outputs - target).square_().mean(-1)


def squared_error_gradient(outputs: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the squared error, averaged over the samples of each run; it takes the place of the outputs in memory."""
    right = outputs.gather(-1, labels) - 1
    return outputs.scatter_(-1, labels, right).mul_(2 / (outputs.shape[-1] * outputs.shape[1]))


class Loss(NamedTuple):
    """A loss: of each sample [R, B], and the gradient [R, B, outputs] of its mean, from outputs and labels [R, B, 1]."""

    value: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


LOSSES = {
    "cross-entropy": Loss(cross_entropy, cross_entropy_gradient),
    "squared error": Loss(squared_error, squared_error_gradient),
}
