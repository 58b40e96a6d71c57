"""The trainer: full-batch AdamW for a stack of runs at once.

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

import numpy as np
import torch
from torch import Tensor

from lib.train.runs import Run

METRICS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "l1", "l2", "mean_l1", "mean_l2")

Report = Callable[[int], None]  # called with the number of run-epochs that are newly done


class Diverged(RuntimeError):
    """A run's loss became NaN or infinite."""


@dataclass
class Trained:
    """What training left of one run."""

    run: Run
    metrics: dict[str, np.ndarray]  # name in METRICS -> float64 [T] over `run.evaluated_epochs`
    mask: np.ndarray | None = None  # the mask held while training [n], bool
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
    """Gradient of the cross-entropy summed over the samples of each run: logits [R, B, p], labels [R, B, 1] -> [R, B, p].

    It takes the place of the logits in memory. For wrong classes the softmax itself; for the right one minus their sum,
    which keeps its digits where 1 - softmax would be rounded to zero.
    """
    gradient = torch.softmax(logits, -1, out=logits).scatter_(-1, labels, 0.0)
    return gradient.scatter_(-1, labels, -gradient.sum(-1, keepdim=True))


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over the classes of (output - one-hot label)^2 for each sample: [..., classes], [..., 1] int64 -> [...]."""
    target = torch.zeros_like(outputs).scatter_(-1, labels, 1.0)
    return (outputs - target).square_().mean(-1)


def squared_error_gradient(outputs: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the squared error summed over the samples of each run; it takes the place of the outputs in memory."""
    right = outputs.gather(-1, labels) - 1
    return outputs.scatter_(-1, labels, right).mul_(2 / outputs.shape[-1])


# A task's loss by name: of each sample, and the gradient of its sum over the samples.
LOSSES = {
    "cross-entropy": (cross_entropy, cross_entropy_gradient),
    "squared error": (squared_error, squared_error_gradient),
}


class Stack:
    """R runs that share task shape, model and optimizer, on one device."""

    def __init__(
        self,
        runs: Sequence[Run],
        starts: Sequence[tuple[np.ndarray, np.ndarray | None]],
        device: str = "cpu",
    ):
        self.runs = list(runs)
        # A run alone gets company that is thrown away: a batch of one takes another path in the libraries below, and the
        # bits of a run would depend on the stack around it.
        missing = max(2 - len(self.runs), 0)
        padded, starts = self.runs + self.runs[:1] * missing, list(starts) + list(starts[:1]) * missing
        self.size, self.model, size = len(padded), padded[0].model, padded[0].task.size
        self._loss, self._loss_gradient = LOSSES[padded[0].task.loss]
        self.shapes = self.model.shapes(size)
        # A row for each run, padded to whole vector registers, so that no weight falls to another code path for being
        # the last.
        self.length = sum(rows * cols for rows, cols in self.shapes.values())
        buffers = torch.zeros(3, self.size, -(-self.length // 64) * 64, device=device)
        self._weights, self._gradient, self._mask = buffers[0], buffers[1], None
        self.weights, self.gradients = (self.model.matrices(buffer, size) for buffer in buffers[:2])
        if any(mask is not None for _, mask in starts):
            self._mask = buffers[2].fill_(1.0)
        for i, (weights, mask) in enumerate(starts):
            self._weights[i, : self.length] = torch.from_numpy(weights)
            if mask is not None:
                self._mask[i, : self.length] = torch.from_numpy(mask)
        self._optimizer = padded[0].optimizer
        self._steps = torch.zeros((), device=device)
        moments = torch.zeros_like(buffers[:2])
        self._state = [self._weights], [self._gradient], [moments[0]], [moments[1]], [], [self._steps]
        # Where weight decay is switched off run by run: what it multiplies each run's weights by, [R, 1].
        self._shrink = None
        if self._optimizer.decay_until is not None:
            kept = 1 - self._optimizer.learning_rate * self._optimizer.weight_decay
            self._shrink = torch.full((self.size, 1), kept, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        data = [run.task.data() for run in padded]

        def examples(rows: str) -> tuple[object, Tensor]:
            inputs = torch.from_numpy(np.stack([d.inputs[getattr(d, rows)] for d in data])).to(device)
            labels = torch.from_numpy(np.stack([d.labels[getattr(d, rows)] for d in data])).to(device)
            return self.model.lookup(inputs, size), labels[..., None]

        self.train, self.test = examples("train"), examples("test")
        self._samples = torch.tensor(self.train[1].shape[1], dtype=torch.float32, device=device)

    def vector(self, i: int) -> np.ndarray:
        """Run i's weights [n], all matrices one after another."""
        return self._weights[i, : self.length].cpu().numpy().copy()

    def step(self) -> None:
        """One epoch: gradient over the whole training set, masked, and one AdamW update."""
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
        logits, saved = self.model.forward(self.weights, lookup)
        self.model.backward(self.weights, self.gradients, lookup, saved, self._loss_gradient(logits, labels))
        if self._mask is not None:
            self._gradient.mul_(self._mask)  # masked weights start at zero and stay there: decay keeps zero at zero
        o = self._optimizer
        if self._shrink is not None:
            self._weights.mul_(self._shrink)
        # What torch.optim.AdamW(fused=True) calls; it also divides by the samples, which makes of the sum a mean.
        self._steps += 1
        torch._fused_adamw_(
            *self._state,
            lr=o.learning_rate,
            beta1=o.beta1,
            beta2=o.beta2,
            weight_decay=o.weight_decay if self._shrink is None else 0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
            grad_scale=self._samples,
        )

    def evaluate(self) -> dict[str, np.ndarray]:
        """Every metric of every run: name -> float64 [R]; may end weight decay (`AdamW.decay_until`). Norms are over all weights together; mean_l1 and mean_l2 are
        the means over matrices of each matrix's norm, as the authors' code takes them."""
        out = {}
        for name, (lookup, labels) in (("train", self.train), ("test", self.test)):
            logits, _ = self.model.forward(self.weights, lookup)
            out[f"{name}_loss"] = self._loss(logits, labels).double().mean(1)
            out[f"{name}_accuracy"] = (logits.argmax(-1, keepdim=True) == labels).double().mean((1, 2))
        matrices = [self.weights[name] for name in self.shapes]
        l1 = torch.stack([w.abs().sum((1, 2), dtype=torch.float64) for w in matrices])
        l2_squared = torch.stack([w.square().sum((1, 2), dtype=torch.float64) for w in matrices])
        out |= {
            "l1": l1.sum(0),
            "mean_l1": l1.mean(0),
            "l2": l2_squared.sum(0).sqrt(),
            "mean_l2": l2_squared.sqrt().mean(0),
        }
        if self._shrink is not None:
            self._shrink[out["test_accuracy"] >= self._optimizer.decay_until] = 1.0
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
    until = runs[0].epochs if until is None else until
    stop, one_at_a_time = threading.Event(), threading.Lock()

    def report_or_stop(run_epochs: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        with one_at_a_time:
            report(run_epochs)

    def train_share(share: slice) -> list[Trained]:
        # On few examples two threads wait for each other longer than they work.
        torch.set_num_threads(threads // len(shares) if runs[0].task.train_count > 256 else 1)
        return _train(runs[share], starts[share], snapshots or {}, until, report_or_stop, device)

    # Threads that share out the runs, each with a stack of its own, wait for each other far less than threads that share
    # out every product. Fresh ones, because flushing subnormal numbers to zero is a setting of the thread (without weight
    # decay, subnormal second moments made the same run take 2.5 times as long).
    threads = torch.get_num_threads()
    shares = _shares(len(runs), threads if device == "cpu" else 1)
    with ThreadPoolExecutor(len(shares), initializer=prepare_thread) as pool:
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


def _shares(runs: int, threads: int) -> list[slice]:
    """The runs of a stack in as many equal parts as there are threads, but at least two runs in each."""
    count = max(1, min(threads, runs // 2))
    cuts = [runs * i // count for i in range(count + 1)]
    return [slice(*ends) for ends in itertools.pairwise(cuts)]


def prepare_thread() -> None:
    """Settings that the trainer's thread needs, before its first tensor operation."""
    torch.set_flush_denormal(True)
    # Let the C library keep freed memory: handing each step's buffers back and forth costs a third of the time.
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None where the C library is not glibc
        for option in (-3, -1) if mallopt else ():  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(option, 1 << 30)


@torch.inference_mode()
def _train(
    runs: Sequence[Run],
    starts: Sequence[tuple[np.ndarray, np.ndarray | None]],
    snapshots: Mapping[Run, set[int]],
    until: int,
    report: Report,
    device: str,
) -> list[Trained]:
    stack = Stack(runs, starts, device)
    evaluated = [int(epoch) for epoch in runs[0].evaluated_epochs if epoch <= until]
    trained = [
        Trained(run, {name: np.full(len(evaluated), np.nan) for name in METRICS}, mask)
        for run, (_, mask) in zip(runs, starts, strict=True)
    ]
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
