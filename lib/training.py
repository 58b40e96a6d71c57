"""The trainer: full-batch AdamW for a stack of runs at once.

The weights of R runs lie in one flat buffer, matrix after matrix, each [R, rows, cols]; a step is a handful of batched
products and one fused update. What a run computes does not depend on the runs stacked with it, nor on the number of
threads: the same run gives the same bits on one machine.
"""

import ctypes
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lib.models import Weights
from lib.runs import Run

METRICS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "l1", "l2", "mean_l1", "mean_l2")

Report = Callable[[int], None]  # called with the number of run-epochs that are newly done


class Diverged(RuntimeError):
    """A run's loss became NaN or infinite."""


@dataclass
class Trained:
    """What training left of one run."""

    run: Run
    metrics: dict[str, np.ndarray]  # name in METRICS -> float64 [T] over `run.evaluated_epochs`
    snapshots: dict[int, np.ndarray] = field(default_factory=dict)  # epoch -> weights [n] float32
    diverged_at: int | None = None  # evaluated epoch at which the loss was found not to be finite


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
    """Gradient of the mean cross-entropy over the samples of each run: logits [R, B, p], labels [R, B, 1] -> [R, B, p].

    It takes the place of the logits in memory. For wrong classes the softmax itself; for the right one minus their sum,
    which keeps its digits where 1 - softmax would be rounded to zero.
    """
    gradient = torch.softmax(logits, -1, out=logits).scatter_(-1, labels, 0.0)
    gradient.scatter_(-1, labels, -gradient.sum(-1, keepdim=True))
    return gradient.div_(logits.shape[1])


def threads_for(runs: int) -> int:
    """Threads that a stack of so many runs uses: those torch has been given, but no more than there are products."""
    return min(torch.get_num_threads(), max(runs, 2))


def padded_size(runs: int) -> int:
    """Runs in a stack after padding: at least 2, and as many for each thread."""
    threads = threads_for(runs)
    return -(-max(runs, 2) // threads) * threads


class Stack:
    """R runs that share task shape, model and optimizer, on one device."""

    def __init__(
        self,
        runs: Sequence[Run],
        starts: Sequence[tuple[np.ndarray, np.ndarray | None]],
        device: str = "cpu",
    ):
        self.runs = list(runs)
        # Company that is thrown away. A batch of one, or one that threads cannot share out evenly, has products that
        # take another path in the libraries below: the bits of a run would depend on the stack around it.
        missing = padded_size(len(self.runs)) - len(self.runs)
        padded, starts = self.runs + self.runs[:1] * missing, list(starts) + list(starts[:1]) * missing
        self.size, self.model, prime = len(padded), padded[0].model, padded[0].task.prime
        self.shapes = self.model.shapes(prime)
        length = sum(rows * cols for rows, cols in self.shapes.values()) * self.size
        # Padded to whole vector registers, so that no weight falls to another code path for being the last.
        buffers = torch.zeros(3, -(-length // 64) * 64, device=device)
        self.weights, self.gradients, self.masks = (self.views(buffer) for buffer in buffers)
        self._gradient, self._mask = buffers[1], None
        for i, (weights, _) in enumerate(starts):
            self._load(self.weights, i, weights)
        if any(mask is not None for _, mask in starts):
            self._mask = buffers[2].fill_(1.0)
            for i, (_, mask) in enumerate(starts):
                if mask is not None:
                    self._load(self.masks, i, mask)
        parameter = torch.nn.Parameter(buffers[0])
        parameter.grad = self._gradient
        o = padded[0].optimizer
        self.optimizer = torch.optim.AdamW(
            [parameter], lr=o.learning_rate, betas=(o.beta1, o.beta2), weight_decay=o.weight_decay, fused=True
        )
        data = [run.task.data() for run in padded]

        def examples(rows: str) -> tuple[object, Tensor]:
            inputs = torch.from_numpy(np.stack([d.inputs[getattr(d, rows)] for d in data])).to(device)
            labels = torch.from_numpy(np.stack([d.labels[getattr(d, rows)] for d in data])).to(device)
            return self.model.lookup(inputs, prime), labels[..., None]

        self.train, self.test = examples("train"), examples("test")

    def views(self, buffer: Tensor) -> Weights:
        """The matrices in a flat buffer: name -> [R, rows, cols]."""
        sizes = [self.size * rows * cols for rows, cols in self.shapes.values()]
        parts = buffer[: sum(sizes)].split(sizes)
        return {
            name: part.view(self.size, *shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }

    def _load(self, matrices: Weights, i: int, vector: np.ndarray) -> None:
        parts = torch.from_numpy(vector.astype(np.float32)).split([rows * cols for rows, cols in self.shapes.values()])
        for matrix, part in zip(matrices.values(), parts, strict=True):
            matrix[i] = part.view_as(matrix[i])

    def vector(self, i: int) -> np.ndarray:
        """Run i's weights [n], all matrices one after another."""
        return torch.cat([matrix[i].flatten() for matrix in self.weights.values()]).cpu().numpy()

    def step(self) -> None:
        """One epoch: gradient over the whole training set, masked, and one AdamW update."""
        lookup, labels = self.train
        logits, saved = self.model.forward(self.weights, lookup)
        self.model.backward(self.weights, self.gradients, lookup, saved, cross_entropy_gradient(logits, labels))
        if self._mask is not None:
            self._gradient.mul_(self._mask)  # masked weights start at zero and stay there: decay keeps zero at zero
        self.optimizer.step()

    def evaluate(self) -> dict[str, np.ndarray]:
        """Every metric of every run: name -> float64 [R]. Norms are over all weights together; mean_l1 and mean_l2 are
        the means over matrices of each matrix's norm, as the authors' code takes them."""
        out = {}
        for name, (lookup, labels) in (("train", self.train), ("test", self.test)):
            logits, _ = self.model.forward(self.weights, lookup)
            out[f"{name}_loss"] = cross_entropy(logits, labels).double().mean(1)
            out[f"{name}_accuracy"] = (logits.argmax(-1, keepdim=True) == labels).double().mean((1, 2))
        l1 = torch.stack([w.abs().sum((1, 2), dtype=torch.float64) for w in self.weights.values()])
        l2_squared = torch.stack([w.square().sum((1, 2), dtype=torch.float64) for w in self.weights.values()])
        out |= {
            "l1": l1.sum(0),
            "mean_l1": l1.mean(0),
            "l2": l2_squared.sum(0).sqrt(),
            "mean_l2": l2_squared.sqrt().mean(0),
        }
        return {name: out[name].cpu().numpy() for name in METRICS}


def train(
    runs: Sequence[Run],
    starts: Sequence[tuple[np.ndarray, np.ndarray | None]],
    snapshots: Mapping[Run, set[int]] | None = None,
    until: int | None = None,
    report: Report = lambda run_epochs: None,
    device: str = "cpu",
) -> list[Trained]:
    """Trains a stack of runs from their starts (weights [n], mask [n] or None) and returns what each left.

    snapshots: epochs whose weights are kept, by run. until: stop after so many epochs (the metrics end there too).
    A run whose loss stops being finite is marked as diverged; the others go on unharmed.
    """
    # A fresh thread, because flushing subnormal numbers to zero is a setting of the thread and of those it starts
    # (without weight decay, subnormal second moments made the same run take 2.5 times as long).
    stop = threading.Event()

    def report_or_stop(run_epochs: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        report(run_epochs)

    with ThreadPoolExecutor(1, initializer=prepare_thread) as pool:
        until = runs[0].epochs if until is None else until
        threads = torch.get_num_threads()
        future = pool.submit(_train, runs, starts, snapshots or {}, until, report_or_stop, device)
        try:
            return future.result()
        except BaseException:  # an interrupt arrives here, in the caller's thread: end the trainer's at its next report
            stop.set()
            raise
        finally:
            torch.set_num_threads(threads)


def prepare_thread() -> None:
    """Settings that the trainer's thread needs, before its first tensor operation."""
    torch.set_flush_denormal(True)
    # Let the C library keep freed memory: handing each step's buffers back and forth costs a third of the time.
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None where the C library is not glibc
        for option in (-3, -1) if mallopt else ():  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(option, 1 << 30)


@torch.no_grad()
def _train(
    runs: Sequence[Run],
    starts: Sequence[tuple[np.ndarray, np.ndarray | None]],
    snapshots: Mapping[Run, set[int]],
    until: int,
    report: Report,
    device: str,
) -> list[Trained]:
    torch.set_num_threads(threads_for(len(runs)))
    stack = Stack(runs, starts, device)
    evaluated = [int(epoch) for epoch in runs[0].evaluated_epochs if epoch <= until]
    trained = [Trained(run, {name: np.full(len(evaluated), np.nan) for name in METRICS}) for run in runs]
    stops = sorted({*evaluated, *(e for run in runs for e in snapshots.get(run, ()) if e <= until)})
    epoch = 0
    for stop in stops:
        for _ in range(epoch, stop):
            stack.step()
        report((stop - epoch) * len(runs))
        epoch = stop
        for i, run in enumerate(runs):
            if epoch in snapshots.get(run, ()):
                trained[i].snapshots[epoch] = stack.vector(i)
        if epoch in evaluated:
            values = stack.evaluate()
            at = evaluated.index(epoch)
            for i, one in enumerate(trained):
                for name in METRICS:
                    one.metrics[name][at] = values[name][i]
                if one.diverged_at is None and not all(np.isfinite(values[name][i]) for name in METRICS):
                    one.diverged_at = epoch
            if all(one.diverged_at is not None for one in trained):
                break
    return trained
