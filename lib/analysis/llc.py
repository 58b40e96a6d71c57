"""The local learning coefficient of a network, estimated by SGLD (Lau et al. 2023).

Around weights w* the training loss L of n examples has the coefficient `n beta (E[L(w)] - L(w*))`, with the mean over the density
`exp(-n beta L(w) - gamma/2 |w - w*|^2)` and beta = 1 / log n. In d directions of a regular minimum it is d/2; where the minimum is
flat in some, less. Stochastic gradient Langevin dynamics draws from that density.

At weights that are no minimum the mean may be below L(w*) and the estimate negative, and chains that have not settled drift:
`status` tells both apart from an estimate that can be used. Shapes: C chains, n weights, U checkpoints, T steps.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lib.train import products
from lib.train.losses import LOSSES
from lib.train.models import differentiate, without_gradients
from lib.train.runs import Dense, Run
from lib.train.tasks import generator
from lib.train.trainer import prepare_thread

BINS = 10  # a chain's losses are kept as means over so many stretches of it
DRIFT = 0.25  # the halves of a chain's draws differ by at most this share of the estimate, or it drifts
RUN_OFF = 5  # no stretch of a chain's draws has more than so many times the estimate, or a chain has run off

STATES = ("valid", "drifting", "unstable", "negative", "not finite")  # what `status` may say


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings of SGLD: step size, localization gamma (elasticity), steps of burn-in and draws after it, examples in a
    batch, chains. Step and localization as in the follow-up analysis."""

    step: float = 1e-5
    localization: float = 10.0
    burn_in: int = 100
    draws: int = 150
    batch: int = 512
    chains: int = 3

    @property
    def steps(self) -> int:
        """Of a chain, burn-in and all."""
        return self.burn_in + self.draws


class Potential(Protocol):
    """What chains walk on. examples: how many there are, n of n beta; batches: how many parts they are cut into."""

    examples: int
    batches: int

    def __call__(self, weights: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Mean loss [C] of a batch and its gradient [C, n] at the weights [C, n] of all chains."""


def sgld(potential: Potential, centre: Tensor, sampling: Sampling, seed: int, free: Tensor | None = None) -> np.ndarray:
    """n beta (L - L(w*)) along the chains around a centre [n], burn-in and all: [C, T].

    Both losses are of the same batch, so that what it costs the centre drops out. free: the weights [n] that may move, 1 or 0.
    """
    scale = potential.examples / np.log(potential.examples)
    centres = centre.expand(sampling.chains, -1)
    start = torch.stack([potential(centres, batch)[0].clone() for batch in range(potential.batches)])
    noise = [torch.Generator().manual_seed(int(x)) for x in generator(seed, "sgld").integers(2**62, size=len(centres))]
    order = generator(seed, "batches").integers(potential.batches, size=sampling.steps).tolist()
    weights, out = centres.clone(), np.empty((len(centres), sampling.steps))
    for t, batch in enumerate(order):
        loss, gradient = potential(weights, batch)
        out[:, t] = scale * (loss - start[batch]).double().numpy()
        move = (weights - centres).mul_(-sampling.step / 2 * sampling.localization)
        move.add_(gradient, alpha=-sampling.step / 2 * scale)
        for row, random in zip(move, noise, strict=True):
            row.add_(torch.randn(len(row), generator=random, dtype=row.dtype), alpha=sampling.step**0.5)
        weights += move if free is None else move.mul_(free)
    return out


def binned(chains: np.ndarray) -> np.ndarray:
    """Chains [C, T] as means over BINS stretches of equal length [C, BINS]."""
    return np.stack([part.mean(1) for part in np.array_split(chains, BINS, axis=1)], 1)


def drawn(trace: np.ndarray, sampling: Sampling) -> np.ndarray:
    """What is left of traces [..., BINS] after burn-in."""
    return trace[..., -(-sampling.burn_in * BINS // sampling.steps) :]


def coefficients(trace: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The estimate of each chain [..., C], from its trace [..., C, BINS]."""
    return drawn(trace, sampling).mean(-1)


def status(trace: np.ndarray, sampling: Sampling) -> str:
    """Whether the chains of a checkpoint [C, BINS] give an estimate: "valid", or why not: "not finite"; "negative"; "unstable"
    where in some stretch a chain has more than RUN_OFF times the estimate; or "drifting" where, over all chains, the two halves
    of the draws differ by more than DRIFT of their mean."""
    draws = drawn(trace, sampling)
    mean = draws.mean(0)
    if not np.isfinite(mean).all():
        return "not finite"
    if mean.mean() <= 0:
        return "negative"
    if draws.max() > RUN_OFF * mean.mean():
        return "unstable"
    half = len(mean) // 2
    return "drifting" if abs(mean[-half:].mean() - mean[:half].mean()) > DRIFT * mean.mean() else "valid"


# --- networks -----------------------------------------------------------------------------------------------------------


class TrainingLoss:
    """The training loss of a run, for the chains of one centre."""

    def __init__(self, run: Run, sampling: Sampling):
        self.model, self.task, self.loss = run.model, run.task, LOSSES[run.task.loss]
        data, chains = run.task.data(), sampling.chains
        self.examples = len(data.train)
        self.batches = max(round(self.examples / sampling.batch), 1)
        self.gradient = torch.zeros(chains, run.length)
        self.parts = []
        for rows in np.array_split(generator(run.seed, "sgld batches").permutation(data.train), self.batches):
            inputs = torch.from_numpy(data.inputs[rows]).expand(chains, *data.inputs[rows].shape)
            labels = torch.from_numpy(data.labels[rows]).expand(chains, -1)[..., None]
            self.parts.append((self.model.lookup(inputs, self.task), labels))

    def __call__(self, weights: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Mean loss [C] of a batch and its gradient [C, n]."""
        lookup, labels = self.parts[batch]
        matrices, gradients = (self.model.matrices(x, self.task) for x in (weights, self.gradient))
        losses = []

        def slope(logits: Tensor, labels: Tensor) -> Tensor:
            # The loss first, as its gradient may overwrite the logits.
            losses.append(self.loss.value(logits, labels).double().mean(1))
            return self.loss.gradient(logits, labels)

        differentiate(self.model, matrices, gradients, lookup, labels, slope)
        return losses[0], self.gradient


def of_network(run: Run, weights: np.ndarray, free: np.ndarray, sampling: Sampling, seed: int = 0) -> np.ndarray:
    """The trace [C, BINS] at weights [n] of a run; free: those that may move [n], bool."""
    with without_gradients(run.model), products.one_thread():
        centre, moving = torch.from_numpy(weights), torch.from_numpy(free).to(torch.float32)
        return binned(sgld(TrainingLoss(run, sampling), centre, sampling, seed, moving))


# The follow-up's settings, and some with which chains settle: the pull to the centre acts within 2 / (step * localization) steps,
# 20,000 with the first and 67 with the second.
SAMPLINGS = {"follow-up": Sampling(), "settled": Sampling(step=3e-5, localization=1000.0)}

# What the estimate at the end of training becomes with other settings: those of SAMPLINGS, and the factors that change them.
THREE_TIMES_THE_STEPS = {"burn_in": 3, "draws": 3}
VARIANTS: dict[str, tuple[str, dict[str, float]]] = {
    "follow-up": ("follow-up", {}),
    "step × 1/3": ("follow-up", {"step": 1 / 3}),
    "step × 3": ("follow-up", {"step": 3}),
    "localization × 10": ("follow-up", {"localization": 10}),
    "three times the draws": ("follow-up", {"draws": 3}),
    "batches of a quarter": ("follow-up", {"batch": 0.25}),
    "twice the chains": ("follow-up", {"chains": 2}),
    "settled": ("settled", {}),
    "settled, step × 1/3, three times the steps": ("settled", {"step": 1 / 3} | THREE_TIMES_THE_STEPS),
    "settled, step × 3": ("settled", {"step": 3}),
    "settled, localization × 1/3, three times the steps": ("settled", {"localization": 1 / 3} | THREE_TIMES_THE_STEPS),
    "settled, localization × 3": ("settled", {"localization": 3}),
    "settled, three times the draws": ("settled", {"draws": 3}),
}


def sampling_of(run: Run, variant: str = "follow-up") -> Sampling:
    """The settings for a run by one of VARIANTS; shorter chains where its budget is small."""
    name, factors = VARIANTS[variant]
    usual = SAMPLINGS[name]
    burn_in = min(max(run.epochs // 300, 4), usual.burn_in)
    usual = replace(usual, burn_in=burn_in, draws=burn_in * usual.draws // usual.burn_in)
    changed = {name: factor * getattr(usual, name) for name, factor in factors.items()}
    whole = {name: round(x) for name, x in changed.items() if isinstance(getattr(usual, name), int)}
    return replace(usual, **changed | whole)


def _prepare_thread() -> None:
    prepare_thread()
    torch.set_num_threads(1)


def checkpoint_epochs(run: Run) -> list[int]:
    """Epochs at which the coefficient is estimated: 10 over the budget and every 60th of it up to 0.4 of it, where networks grok;
    5 over a small budget; and 1, 3 and 6 three-hundredths."""
    sixtieths = {*range(0, 25), *range(30, 61, 6)} if run.epochs >= 3000 else {*range(0, 61, 12)}
    return sorted({run.epochs * i // 60 for i in sixtieths} | {run.epochs * i // 300 for i in (1, 3, 6)})


def summarize(run: Run, snapshots: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of the chains: llc_epochs [U], llc_traces [SAMPLINGS, U, C, BINS]; of a dense network llc_variants [VARIANTS, BINS], means
    over chains at the last checkpoint with other settings.

    Weights that are zero at every checkpoint are held there by a mask and do not move.
    """
    epochs = checkpoint_epochs(run)
    free = np.any([snapshots[epoch] != 0 for epoch in epochs], axis=0)
    jobs = [(epoch, sampling_of(run, name)) for name in SAMPLINGS for epoch in epochs]
    if isinstance(run.start, Dense):
        jobs += [(epochs[-1], sampling_of(run, variant)) for variant in VARIANTS]
    threads = torch.get_num_threads()
    try:  # as the trainer does, threads share out checkpoints and not products
        with ThreadPoolExecutor(threads, initializer=_prepare_thread) as pool:
            found = list(pool.map(lambda job: of_network(run, snapshots[job[0]], free, job[1], seed=job[0]), jobs))
    finally:
        torch.set_num_threads(threads)
    count = len(SAMPLINGS) * len(epochs)
    traces = np.stack(found[:count]).astype(np.float32)
    kept = {
        "llc_epochs": np.array(epochs),
        "llc_traces": traces.reshape(len(SAMPLINGS), len(epochs), *traces.shape[1:]),
    }
    others = [trace.mean(0) for trace in found[count:]]
    return kept | ({"llc_variants": np.stack(others).astype(np.float32)} if others else {})
