"""Optimizers: their settings, and their step on the weights of a stack. Shapes: R runs, n weights.

An optimizer is a frozen dataclass, part of what a run is, with `state` and `step`; the stack knows it only through these.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Optimizer(Protocol):
    """What the trainer asks of an optimizer."""

    def state(self, weights: Tensor) -> Any:
        """What it keeps between steps, for weights [R, n]."""

    def step(self, weights: Tensor, gradient: Tensor, state: Any) -> None:
        """One update of the weights [R, n] in place; the gradient [R, n] may be overwritten."""

    def evaluated(self, test_accuracy: Tensor, state: Any) -> None:
        """Called at the runs' `deciding_epochs` (lib/train/runs.py), with the test accuracy [R] of every run."""


@dataclass
class AdamWState:
    """Moments [R, n], the count of steps, and, where decay is switched off run by run, what weights are multiplied by [R, 1]."""

    first: Tensor
    second: Tensor
    steps: Tensor
    shrink: Tensor | None


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Full-batch AdamW, one step an epoch, no warm-up unless told (the authors' code).

    decay_until: switches weight decay off for good at the first of a run's `deciding_epochs` with at least this test accuracy.
    warm_up: steps over which the learning rate grows linearly from 0, so that the first step moves nothing.
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.98
    weight_decay: float = 1.0
    decay_until: float | None = None
    warm_up: int = 0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; it must be 0 or more")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"beta1, beta2 are {self.beta1}, {self.beta2}; both must lie in [0, 1)")
        if self.decay_until is not None and not 0 < self.decay_until <= 1:
            raise ValueError(f"decay_until is {self.decay_until}; it must be a test accuracy above 0 and at most 1")
        if not self.warm_up >= 0:
            raise ValueError(f"warm_up is {self.warm_up}; it must be 0 or more")
        if self.warm_up and self.decay_until is not None:
            raise ValueError("warm_up and decay_until do not go together; set one of them alone")

    def state(self, weights: Tensor) -> AdamWState:
        """Zero moments."""
        shrink = None
        if self.decay_until is not None:
            shrink = torch.full_like(weights[:, :1], 1 - self.learning_rate * self.weight_decay)
        moments = torch.zeros_like(weights), torch.zeros_like(weights)
        return AdamWState(*moments, torch.zeros((), device=weights.device), shrink)

    def step(self, weights: Tensor, gradient: Tensor, state: AdamWState) -> None:
        """What torch.optim.AdamW(fused=True) calls."""
        if state.shrink is not None:
            weights.mul_(state.shrink)
        rate: float | Tensor = self.learning_rate
        if self.warm_up:  # a tensor: a recorded CUDA graph would repeat a number
            rate = (state.steps / self.warm_up).clamp_(max=1).mul_(self.learning_rate)
        state.steps += 1
        torch._fused_adamw_(
            [weights],
            [gradient],
            [state.first],
            [state.second],
            [],
            [state.steps],
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=self.weight_decay if state.shrink is None else 0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def evaluated(self, test_accuracy: Tensor, state: AdamWState) -> None:
        """Ends weight decay where `decay_until` is reached."""
        if state.shrink is not None:
            state.shrink[test_accuracy >= self.decay_until] = 1.0
