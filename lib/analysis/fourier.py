"""What the neurons compute: their weights over the p tokens, and the frequencies in them (appendix G).

Shapes: h hidden neurons, p tokens (an odd number), d embedding width, T snapshots. A *table* has a row of p weights
for each neuron: on the input side W_in W_E, on the output side W_out^T W_U (both with W_E and W_U as in the equations,
[d, p]).
"""

import numpy as np
from scipy.special import digamma
from scipy.stats import entropy

from lib.train.models import MLP
from lib.train.runs import Run


def snapshot_epochs(run: Run) -> list[int]:
    """Epochs at which tables are kept: for the MLP every `evaluate_every` up to 1,000 and 30 over the budget, else 10."""
    epochs = dense_epochs(run) if isinstance(run.model, MLP) else {run.epochs * i // 10 for i in range(11)}
    return sorted(epochs | {embedding_epochs(run)[1]})


def dense_epochs(run: Run) -> set[int]:
    """Every `evaluate_every` (100) epochs up to 1,000, and 30 evenly spaced up to the end of the budget."""
    even = {run.epochs * i // 30 for i in range(31)}
    return even | set(range(0, min(1000, run.epochs) + 1, run.evaluate_every))


def embedding_epochs(run: Run) -> list[int]:
    """Epochs at which the embedding is kept: the start, 2,000 of 30,000, the end."""
    return [0, run.epochs // 15, run.epochs]


def tables(run: Run, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Input side and output side of every neuron, each [h, p], from a run's weights [n]."""
    W = run.split(weights)
    return W["W_in"] @ W["W_E"].T, (W["W_U"] @ W["W_out"]).T


def summarize(run: Run, snapshots: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of a run's weights at `snapshot_epochs`, small enough to be committed.

    epochs [T]; inputs, outputs [T, h, p] float16; singular values of W_E and of W_in W_E [T, ...]; the embedding itself
    [3, p, d] float16 at `embedding_epochs`.
    """
    epochs = snapshot_epochs(run)
    sides = [tables(run, snapshots[epoch]) for epoch in epochs]
    embeddings = [run.split(snapshots[epoch])["W_E"] for epoch in epochs]
    kept = [run.split(snapshots[epoch])["W_E"] for epoch in embedding_epochs(run)]
    return {
        "epochs": np.array(epochs),
        "inputs": np.stack([side[0] for side in sides]).astype(np.float16),
        "outputs": np.stack([side[1] for side in sides]).astype(np.float16),
        "singular_embedding": np.stack([np.linalg.svd(W, compute_uv=False) for W in embeddings]).astype(np.float32),
        "singular_inputs": np.stack([np.linalg.svd(side[0], compute_uv=False) for side in sides]).astype(np.float32),
        "embedding": np.stack(kept).astype(np.float16),
    }


def amplitudes(table: np.ndarray) -> np.ndarray:
    """`|F|` of every neuron at the frequencies 1 ... p // 2, without the constant: [..., h, p] -> [..., h, p // 2]."""
    return np.abs(np.fft.rfft(table.astype(np.float64), axis=-1))[..., 1:]


def live(table: np.ndarray) -> np.ndarray:
    """Which neurons have a row with at least 5% of the largest norm: [..., h, p] -> bool [..., h]."""
    norms = np.linalg.norm(table.astype(np.float64), axis=-1)
    return (norms >= 0.05 * norms.max(-1, keepdims=True)) & (norms > 0)


def frequency_entropy(table: np.ndarray) -> np.ndarray:
    """-sum p log p (nats) of the amplitudes normalised to sum to one, mean over neurons that are not zero (App. G.1).

    [..., h, p] -> [...]. 0 for pure waves, log(p // 2) where all frequencies are alike.
    """
    found = entropy(amplitudes(table), axis=-1)  # nan for a neuron that is zero
    there = np.isfinite(found)
    return np.where(there, found, 0).sum(-1) / np.maximum(there.sum(-1), 1)


def top_frequency(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each neuron's strongest frequency (1 ... p // 2) and its share of the neuron's spectral power: both [..., h]."""
    power = amplitudes(table) ** 2
    total = power.sum(-1)
    return power.argmax(-1) + 1, power.max(-1) / np.where(total > 0, total, 1)


def median_share(table: np.ndarray) -> np.ndarray:
    """Median over live neurons of the top frequency's share of power: [..., h, p] -> [...]; 0 if none is live."""
    shares = np.ma.array(top_frequency(table)[1], mask=~live(table))
    return np.ma.filled(np.ma.median(shares, axis=-1), 0.0)


def noise_entropy(frequencies: int) -> float:
    """Entropy to expect of white noise, whose amplitudes are Rayleigh distributed, up to terms of 1 / frequencies."""
    return float(np.log(frequencies) + (np.log(np.pi / 4) - digamma(1.5)) / 2)


def noise_share(frequencies: int) -> float:
    """Top frequency's mean share of power in white noise: the largest of so many exponential variables over their sum."""
    return float(np.mean(1 / np.arange(1, frequencies + 1)))


def half_way_epoch(epochs: np.ndarray, values: np.ndarray, last: float) -> float | None:
    """First epoch at which a curve [T] is down by half of the way from its start to `last`, linear between snapshots.

    0 if it starts no higher than `last`; None if it never gets there.
    """
    goal = (values[0] + last) / 2
    there = np.flatnonzero(values <= goal)
    if values[0] <= last or not len(there):
        return 0.0 if values[0] <= last else None
    i = there[0]
    return float(np.interp(goal, values[[i, i - 1]], epochs[[i, i - 1]]))


def effective_rank(singular_values: np.ndarray) -> np.ndarray:
    """exp of the entropy of the singular values normalised to sum to one (Roy and Vetterli 2007), 0 if all are 0."""
    return np.nan_to_num(np.exp(entropy(singular_values.astype(np.float64), axis=-1)))
