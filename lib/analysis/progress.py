"""Progress measures of a network that learns to add modulo p, and the phases that they tell apart (Nanda et al. 2023).

All of them look at what the network gives for every ordered pair (a, b), the *grid*. A function on it that depends on a + b
alone is a table over the p sums; what else there is in the logits averages out over the p pairs of a sum.

Shapes: p tokens (an odd number), F = p // 2 frequencies 1 ... F, h hidden neurons, T snapshots or evaluations. Logits of the
grid are [a, b, class], neurons [a, b, neuron].
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
import torch
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from lib.analysis.times import MeasureError, Record, series
from lib.train.losses import cross_entropy
from lib.train.models import Transformer
from lib.train.runs import Run

EXPLAINED = 0.5  # share of a neuron's variance from which a frequency explains it
LEAST_VARIANCE = 0.02  # share of the variance of all neurons that a key frequency has to explain


class Grid(NamedTuple):
    """What a network does on all ordered pairs: logits [p, p, p], neurons [p, p, h] after the ReLU."""

    logits: np.ndarray
    neurons: np.ndarray


def on_grid(run: Run, weights: np.ndarray) -> Grid:
    """The grid of a run with weights [n]."""
    p, model = run.task.classes, run.model
    pairs = np.argwhere(np.ones((p, p), bool))
    inputs = np.pad(pairs, ((0, 0), (0, run.task.length - 2)), constant_values=p)
    with torch.inference_mode():
        matrices = model.matrices(torch.from_numpy(weights)[None], run.task)
        logits, saved = model.forward(matrices, model.lookup(torch.from_numpy(inputs)[None], run.task))
        neurons = saved[-2] if isinstance(model, Transformer) else saved[0][-1]
    return Grid(logits[0].view(p, p, p).double().numpy(), neurons[0].view(p, p, -1).double().numpy())


def of_tables(inputs: np.ndarray, outputs: np.ndarray) -> Grid:
    """The grid of an MLP with one hidden layer, from both sides of its neurons, each [h, p] (lib/analysis/fourier.py)."""
    side = inputs.T.astype(np.float64)
    neurons = np.maximum(side[:, None] + side[None], 0)
    return Grid(neurons @ outputs.astype(np.float64), neurons)


# --- frequencies ----------------------------------------------------------------------------------------------------


def explained(neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each neuron's variance over the grid that each frequency explains [h, F], and the variances [h].

    A frequency's terms are cos and sin of wa and of wb, and their four products.
    """
    p = len(neurons)
    power = np.abs(scipy.fft.fft2(neurons, axes=(0, 1))) ** 2 / p**4  # [p, p, h]
    power[0, 0] = 0
    variance = power.sum((0, 1))
    k = np.arange(1, p // 2 + 1)
    of_k = 2 * (power[k, 0] + power[0, k] + power[k, k] + power[k, p - k])  # twice: -k is the same wave
    return (of_k / np.where(variance > 0, variance, 1)).T, variance


def key_frequencies(neurons: np.ndarray) -> np.ndarray:
    """The frequencies that best explain the neurons [K], in ascending order.

    A neuron belongs to the frequency that explains most of it, if that is at least EXPLAINED. Key is a frequency whose neurons
    have at least LEAST_VARIANCE of the variance of all; where there is none, the one that explains most.
    """
    share, variance = explained(neurons)
    best = share.argmax(1)
    counted = np.where(share.max(1) >= EXPLAINED, variance, 0)
    of_frequency = np.bincount(best, counted, minlength=share.shape[1])
    keys = np.flatnonzero(of_frequency >= LEAST_VARIANCE * max(variance.sum(), 1e-300))
    return (keys if len(keys) else np.array([(variance @ share).argmax()])) + 1


def gini(values: np.ndarray) -> float:
    """Gini coefficient of numbers that are not negative: 0 if all are alike, near 1 if one has all; 0 if all are 0."""
    x = np.sort(np.asarray(values, np.float64))
    n, total = len(x), x.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total)) if total > 0 else 0.0


def fourier_norms(table: np.ndarray) -> np.ndarray:
    """Norm of each Fourier component of a table [p, d] over its p rows, cos and sin of each frequency, the constant left out:
    [p - 1]."""
    F = np.fft.rfft(table.astype(np.float64), axis=0)[1:] * np.sqrt(2 / len(table))
    return np.linalg.norm(np.concatenate([F.real, F.imag]), axis=1)


# --- losses -----------------------------------------------------------------------------------------------------------


def by_sum(logits: np.ndarray) -> np.ndarray:
    """Mean of the logits over the pairs of each sum: [p, p, p] -> [sum, class]."""
    p = len(logits)
    a = np.arange(p)
    return np.stack([logits[a, (s - a) % p].mean(0) for s in range(p)])


def wave(table: np.ndarray, frequency: int) -> np.ndarray:
    """The projection of a table [p sums, p classes] on cos w(a + b) and sin w(a + b), for each class."""
    angles = 2 * np.pi * frequency * np.arange(len(table)) / len(table)
    basis = np.stack([np.cos(angles), np.sin(angles)]) * np.sqrt(2 / len(table))  # orthonormal
    return basis.T @ (basis @ table)


def sums(p: int) -> np.ndarray:
    """(a + b) mod p on the grid [p, p]."""
    a, b = np.indices((p, p))
    return (a + b) % p


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row in float64: logits [..., p], labels [...] -> [...]."""
    return cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)[..., None]).numpy()


def restricted_losses(logits: np.ndarray, keys: Sequence[int], labels: np.ndarray) -> np.ndarray:
    """Loss of each pair [p, p] where only the key frequencies' waves in a + b and the mean over all pairs are left."""
    table = by_sum(logits)
    left = table.mean(0) + sum(wave(table, k) for k in keys)
    return losses(left[sums(len(logits))], labels)


def measures(grid: Grid, keys: Sequence[int], labels: np.ndarray, train: np.ndarray) -> dict[str, object]:
    """Losses of a network whose key frequencies are known. labels [p, p]; train: the training pairs on the grid, bool.

    train_loss, test_loss; restricted and restricted_train, over all pairs and over the training pairs; excluded [F], the
    training loss without each frequency.
    """
    found, restricted = losses(grid.logits, labels), restricted_losses(grid.logits, keys, labels)
    table, of_sum = by_sum(grid.logits), sums(len(labels))[train]
    trained, labels = grid.logits[train], labels[train]
    excluded = [losses(trained - wave(table, k)[of_sum], labels).mean() for k in range(1, len(train) // 2 + 1)]
    return {
        "train_loss": found[train].mean(),
        "test_loss": found[~train].mean(),
        "restricted": restricted.mean(),
        "restricted_train": restricted[train].mean(),
        "excluded": np.array(excluded),
    }


def task_grid(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Labels and training pairs of a run's task on the grid, both [p, p]; of unordered pairs both orders."""
    p, data = run.task.classes, run.task.data()
    labels, train = np.zeros((p, p), np.int64), np.zeros((p, p), bool)
    a, b = data.inputs[:, :2].T
    is_unordered = run.task.pairs == "unordered"  # type: ignore[attr-defined]
    for one, other in ((b, a), (a, b)) if is_unordered else ((a, b),):
        labels[one, other] = data.labels
        train[one[data.train], other[data.train]] = True
    return labels, train


# --- what is kept of a run ----------------------------------------------------------------------------------------------


def snapshot_epochs(run: Run) -> list[int]:
    """Epochs at which measures are taken: 60 over the budget, 20 over a small one, and every 300th of it up to a thirtieth (1,000
    of 30,000)."""
    count = 60 if run.epochs >= 3000 else 20
    return sorted({run.epochs * i // count for i in range(count + 1)} | {run.epochs * i // 300 for i in range(11)})


def summarize(run: Run, snapshots: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of the weights of a network on three tokens at `snapshot_epochs`, small enough to be committed.

    epochs [T]; keys [K], the key frequencies at the last of them; explained [F], the share of all neurons' variance that each
    frequency explains there; the `measures`, each [T], excluded [T, F]; squares [T, matrices], the sum of squared weights of
    each; gini_embedding and gini_logits [T], of the Fourier components of W_E and of the neuron-logit map W_U W_out.
    """
    epochs, p = snapshot_epochs(run), run.task.classes
    labels, train = task_grid(run)
    last = on_grid(run, snapshots[epochs[-1]]).neurons
    keys, (share, variance) = key_frequencies(last), explained(last)
    rows: dict[str, list] = {}
    for epoch in epochs:
        W = run.split(snapshots[epoch])
        row = measures(on_grid(run, snapshots[epoch]), list(keys), labels, train)
        row["squares"] = np.array([np.square(matrix, dtype=np.float64).sum() for matrix in W.values()])
        row["gini_embedding"] = gini(fourier_norms(W["W_E"][:p]))
        row["gini_logits"] = gini(fourier_norms(W["W_U"] @ W["W_out"]))
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    return {
        "epochs": np.array(epochs),
        "keys": keys.astype(np.uint8 if p < 512 else np.uint16),
        "explained": (variance @ share / max(variance.sum(), 1e-300)).astype(np.float32),
        **{name: np.stack(values).astype(np.float32) for name, values in rows.items()},
    }


def excluded(probes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean over the key frequencies of the excluded loss [T]."""
    return probes["excluded"][:, probes["keys"].astype(int) - 1].astype(np.float64).mean(1)


# --- phases -------------------------------------------------------------------------------------------------------------

PHASES = ("memorization", "circuit-formation", "cleanup")  # as tickets are called that are cut at their ends
BEGUN, DONE = 0.1, 0.9  # shares of the fall of the log test loss at which cleanup begins and is over


class PhaseEnds(NamedTuple):
    """The epochs at which the three phases end, and whether they are all there: the network grokked within its budget."""

    memorization: int
    circuit_formation: int
    cleanup: int
    complete: bool


def log_test_loss(record: Record) -> np.ndarray:
    """Logarithm of the test loss [T], which may not be 0."""
    return np.log(np.maximum(series(record, "test_loss"), 1e-300))


def plateau(values: np.ndarray) -> float:
    """Where a curve [T] ends: the median of its last tenth."""
    return float(np.median(values[-max(len(values) // 10, 1) :]))


def fall(record: Record) -> np.ndarray:
    """How far the log test loss has come down from its maximum to its last level [T]: 0 up to the maximum, about 1 at the end.

    The last level is the median of the last tenth of the evaluations. All 0 where that is no nat below the maximum.
    """
    values = log_test_loss(record)
    top, last = int(values.argmax()), plateau(values)
    if values[top] - last < 1:
        return np.zeros(len(values))
    return np.where(np.arange(len(values)) < top, 0, (values[top] - values) / (values[top] - last))


def phase_ends(record: Record) -> PhaseEnds:
    """When the phases of a network end, from its own measures.

    Cleanup is over at the first evaluation by which the log test loss has made 90% of its way from its maximum to its last
    level, and begins, which ends circuit formation, at the last one before with at most 10%. Memorization ends where the
    excluded loss, mean over key frequencies, is lowest before that: then circuits of key frequencies begin to carry what was
    memorized. A network whose test loss stays up ends its last two phases with its budget, and is not complete.
    """
    if record.probes is None:
        raise MeasureError(f"seed {record.seed}: nothing is recorded of the weights")
    done, epochs = fall(record), record.epochs
    complete = bool((done >= DONE).any())
    if complete:
        over = int(np.argmax(done >= DONE))
        formed, cleaned = int(epochs[np.flatnonzero(done[: over + 1] <= BEGUN)[-1]]), int(epochs[over])
    else:
        formed = cleaned = int(epochs[-1])
    at = np.asarray(record.probes["epochs"])
    early = at <= max(formed, at[1])
    memorized = int(at[early][excluded(record.probes)[early].argmin()])
    return PhaseEnds(min(memorized, formed), formed, cleaned, complete)


def second_rise(record: Record) -> float:
    """Height in nats of the largest rise of the log test loss once it has made half of its fall; 0 if it only falls, nan if
    it never makes half of it.

    Of running medians over five evaluations, so that a spike of one or two does not count.
    """
    done = fall(record)
    if not (done >= 0.5).any():
        return float("nan")
    values = median_filter(log_test_loss(record), 5, mode="nearest")[int(np.argmax(done >= 0.5)) :]
    return float((values - np.minimum.accumulate(values)).max())


PROMINENCE = 0.15  # share of the steepest fall by which a separate one stands out


def separate_falls(epochs: np.ndarray, values: np.ndarray, points: int = 60) -> list[float]:
    """Epochs of the separate falls of a curve [T] after its maximum, on a logarithmic axis of epochs.

    Its slope d value / d log(epoch) is taken between `points` epochs evenly spaced on a logarithmic axis and smoothed
    over five of them; a fall is a peak of the rate of fall that stands out from its neighbours by at least PROMINENCE of
    the steepest.
    """
    top = int(np.argmax(values))
    start = max(float(epochs[top]), float(epochs[1]))
    if start >= epochs[-1]:
        return []
    log_epochs = np.linspace(np.log(start), np.log(float(epochs[-1])), points)
    rate = -np.diff(np.interp(np.exp(log_epochs), epochs, values)) / np.diff(log_epochs)
    rate = np.convolve(np.pad(rate, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    if rate.max() <= 0:
        return []
    peaks, _ = find_peaks(np.pad(rate, 1, constant_values=min(rate.min(), 0)), prominence=PROMINENCE * rate.max())
    middles = np.exp((log_epochs[1:] + log_epochs[:-1]) / 2)
    return [float(middles[peak - 1]) for peak in peaks]


def steepest_fall(epochs: np.ndarray, values: np.ndarray) -> float:
    """Epoch, half-way between two points, at which a curve [T] falls fastest."""
    rates = np.diff(values) / np.diff(epochs)
    i = int(np.argmin(rates))
    return float(epochs[i] + epochs[i + 1]) / 2
