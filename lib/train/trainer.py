"""The trainer: full-batch training of a stack of runs at once.

The weights of R runs lie in one buffer with a row for each run, its matrices one after another; a step is a handful of
batched products and one fused update. What a run computes does not depend on the runs stacked with it, nor on the number of
threads: the same run gives the same bits on one machine.
"""

import ctypes
import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.train import products
from lib.train.losses import LOSSES
from lib.train.models import differentiate, without_gradients
from lib.train.runs import Origin, Run

METRICS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "l1", "l2", "mean_l1", "mean_l2")

Report = Callable[[int], None]  # called with the number of run-epochs that are newly done


class Diverged(RuntimeError):
    """A run's loss became NaN or infinite."""


@dataclass
class Trained:
    """What training left of one run."""

    run: Run
    metrics: dict[str, np.ndarray]  # name in METRICS -> float64 [T] over `run.evaluated_epochs`
    mask: np.ndarray | None = (
        None  # the mask held while training [n], bool; where scores choose, what they chose at the end
    )
    snapshots: dict[int, np.ndarray] = field(default_factory=dict)  # epoch -> weights [n] float32
    diverged_at: int | None = None  # evaluated epoch at which the loss was found not to be finite


class Stack:
    """R runs that share task shape, model and optimizer, on one device."""

    def __init__(self, runs: Sequence[Run], starts: Sequence[Origin], device: str = "cpu"):
        self.runs, self.task, self.model = list(runs), runs[0].task, runs[0].model
        self._loss = LOSSES[self.task.loss]
        self.shapes = self.model.shapes(self.task)
        self.length = sum(rows * cols for rows, cols in self.shapes.values())
        # A row for each run, padded to whole vector registers, so that no weight falls to another code path for being
        # the last.
        buffers = torch.zeros(3, len(runs), -(-self.length // 64) * 64, device=device)
        self._weights, self._gradient, self._mask = buffers[0], buffers[1], None  # [R, n or more]
        self.weights, self.gradients = (self.model.matrices(buffer, self.task) for buffer in buffers[:2])
        if any(start.mask is not None for start in starts):
            self._mask = buffers[2].fill_(1.0)
        # What is trained: the weights themselves, but for runs whose start maps other parameters to them.
        self._maps = [
            (i, start.to_weights.to(device)) for i, start in enumerate(starts) if start.to_weights is not None
        ]
        self._trained = torch.zeros_like(self._weights) if self._maps else self._weights
        for i, start in enumerate(starts):
            self._trained[i, : self.length] = torch.from_numpy(start.trained)
            if start.mask is not None:
                self._mask[i, : self.length] = torch.from_numpy(start.mask)
        self._map()
        self._optimizer = runs[0].optimizer
        self._state = self._optimizer.state(self._trained)
        self._graph: torch.cuda.CUDAGraph | None = None
        data = [run.task.data() for run in runs]

        def examples(rows: str) -> tuple[object, Tensor]:
            inputs = torch.from_numpy(np.stack([d.inputs[getattr(d, rows)] for d in data])).to(device)
            labels = torch.from_numpy(np.stack([d.labels[getattr(d, rows)] for d in data])).to(device)
            return self.model.lookup(inputs, self.task), labels[..., None]

        self.train, self.test = examples("train"), examples("test")

    def vector(self, i: int) -> np.ndarray:
        """Run i's weights [n], all matrices one after another."""
        return self._weights[i, : self.length].cpu().numpy().copy()

    def chosen(self) -> list[tuple[int, np.ndarray]]:
        """Of each run whose weights are mapped from other parameters, its place and the mask [n] that these say."""
        return [(i, to.mask(self._trained[i, : self.length]).bool().cpu().numpy()) for i, to in self._maps]

    def _map(self) -> None:
        """Weights from the trained parameters, where they are not the same."""
        if self._maps:
            self._weights.copy_(self._trained)
        for i, to_weights in self._maps:
            self._weights[i, : self.length] = to_weights.weights(self._trained[i, : self.length])

    def step(self) -> None:
        """One epoch: gradient over the whole training set, masked, and one update by the optimizer."""
        if self._graph is not None:
            self._graph.replay()
            return
        self._step()
        if self._weights.is_cuda:
            # Starting a hundred small kernels takes longer than running them: record them once, replay them after.
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._step()

    def _step(self) -> None:
        lookup, labels = self.train
        differentiate(self.model, self.weights, self.gradients, lookup, labels, self._loss.gradient)
        for i, to_weights in self._maps:
            row = self._gradient[i, : self.length]
            row.copy_(to_weights.gradient(self._trained[i, : self.length], row))
        if self._mask is not None:
            self._gradient.mul_(self._mask)  # masked weights start at zero and stay there: decay keeps zero at zero
        self._optimizer.step(self._trained, self._gradient, self._state)
        self._map()

    def evaluate(self) -> dict[str, np.ndarray]:
        """Every metric of every run: name -> float64 [R].

        Norms are over all weights together; mean_l1 and mean_l2 are the means over matrices of each matrix's norm, as the
        authors' code takes them.
        """
        out: dict[str, Any] = {}
        for name, (lookup, labels) in (("train", self.train), ("test", self.test)):
            logits, _ = self.model.forward(self.weights, lookup)
            out[f"{name}_loss"] = self._loss.value(logits, labels).double().mean(1)
            out[f"{name}_accuracy"] = (logits.argmax(-1, keepdim=True) == labels).double().mean((1, 2))
        matrices = [self.weights[name] for name in self.shapes]
        # First over rows, then over these sums, one by one: in one go the order would depend on how many runs there are.
        l1 = [w.abs().sum(2, dtype=torch.float64).sum(1) for w in matrices]  # of each matrix [R]
        l2_squared = [w.square().sum(2, dtype=torch.float64).sum(1) for w in matrices]
        out |= {
            "l1": sum(l1),
            "mean_l1": sum(l1) / len(matrices),
            "l2": sum(l2_squared).sqrt(),  # type: ignore[union-attr]
            "mean_l2": sum(x.sqrt() for x in l2_squared) / len(matrices),
        }
        return {name: out[name].cpu().numpy() for name in METRICS}

    def decide(self, test_accuracy: np.ndarray) -> None:
        """Tells the optimizer the test accuracy [R] of every run, which may change what it does next."""
        self._optimizer.evaluated(torch.from_numpy(test_accuracy).to(self._weights.device), self._state)


def train(
    runs: Sequence[Run],
    starts: Sequence[Origin],
    snapshots: Mapping[Run, set[int]] | None = None,
    until: int | None = None,
    report: Report = lambda run_epochs: None,
    device: str = "cpu",
) -> list[Trained]:
    """Trains a stack of runs from their starts and returns what each left.

    snapshots: epochs whose weights are kept, by run. until: stop after so many epochs (the metrics end there too).
    A run whose loss stops being finite is marked as diverged; the others go on unharmed.
    """
    until = runs[0].epochs if until is None else until
    starts = [Origin(*start) for start in starts]
    stop, one_at_a_time = threading.Event(), threading.Lock()

    def report_or_stop(run_epochs: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        with one_at_a_time:
            report(run_epochs)

    def train_share(share: slice) -> list[Trained]:
        # On few examples two threads wait for each other longer than they work.
        torch.set_num_threads(max(threads // len(shares), 1) if runs[0].task.train_count > 256 else 1)
        with without_gradients(runs[0].model):
            return _train(runs[share], starts[share], snapshots or {}, until, report_or_stop, device)

    # Threads that share out the runs, each with a stack of its own, wait for each other far less than threads that share
    # out every product. Fresh ones, because flushing subnormal numbers to zero is a setting of the thread (without weight
    # decay, subnormal second moments made the same run take 2.5 times as long).
    threads = torch.get_num_threads()
    shares = _shares(len(runs), threads, runs[0].model.runs_at_once) if device == "cpu" else [slice(0, len(runs))]
    workers = min(threads, len(shares))
    with products.one_thread(), ThreadPoolExecutor(workers, initializer=prepare_thread) as pool:
        try:
            futures = [pool.submit(train_share, share) for share in shares]
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in ended:
                future.result()  # raises what went wrong in a thread, while others still train
            return [trained for future in futures for trained in future.result()]
        except BaseException:  # an interrupt arrives here, in the caller's thread: end the others at their next report
            stop.set()
            raise
        finally:
            torch.set_num_threads(threads)


def _shares(runs: int, threads: int, at_once: int) -> list[slice]:
    """The runs of a stack in equal parts: as many as there are threads, or more, of at most so many runs at once."""
    count = min(runs, threads)
    count = min(count * -(-runs // (count * at_once)), runs)
    cuts = [runs * i // count for i in range(count + 1)]
    return [slice(*ends) for ends in itertools.pairwise(cuts)]


def prepare_thread() -> None:
    """Settings that the trainer's thread needs, before its first tensor operation."""
    torch.set_flush_denormal(True)
    np.seterr(all="ignore")  # a loss that is not finite is found at the next evaluation
    # Let the C library keep freed memory: handing each step's buffers back and forth costs a third of the time.
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None where the C library is not glibc
        for option in (-3, -1) if mallopt else ():  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(option, 1 << 30)


def _train(
    runs: Sequence[Run],
    starts: Sequence[Origin],
    snapshots: Mapping[Run, set[int]],
    until: int,
    report: Report,
    device: str,
) -> list[Trained]:
    """Trains some runs on this thread."""
    stack = Stack(runs, starts, device)
    evaluated = [int(epoch) for epoch in runs[0].evaluated_epochs if epoch <= until]
    trained = [
        Trained(run, {name: np.full(len(evaluated), np.nan) for name in METRICS}, start.mask)
        for run, start in zip(runs, starts, strict=True)
    ]
    deciding = set(runs[0].deciding_epochs.tolist())
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
            if epoch in deciding:
                stack.decide(values["test_accuracy"])
            at = evaluated.index(epoch)
            for i, one in enumerate(trained):
                for name in METRICS:
                    one.metrics[name][at] = values[name][i]
                if one.diverged_at is None and not all(np.isfinite(values[name][i]) for name in METRICS):
                    one.diverged_at = epoch
            if all(one.diverged_at is not None for one in trained):
                break
    for i, mask in stack.chosen():
        trained[i].mask = mask
    return trained
