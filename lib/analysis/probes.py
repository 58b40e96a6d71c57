"""Probes: what is kept of a probed run's weights over training, for the chapters that look into the networks.

Of networks on modular tasks lib/analysis/fourier.py says what; of those on three tokens lib/analysis/progress.py, and of bases and
tickets among them lib/analysis/llc.py too, unless they have no weight decay. Of an image classifier: its answers to the first test images, and the
first-layer weights of its first neurons (of all equal by initialisation, so that nothing is picked).
"""

import numpy as np
import torch

from lib.analysis import fourier, llc, progress
from lib.train import images
from lib.train.models import AnswerTransformer
from lib.train.runs import Dense, Run, Ticket
from lib.train.tasks import ImageTask

ANSWERED = 200  # test images whose answers are kept
NEURONS = 16  # neurons whose weights are kept


def snapshot_epochs(run: Run) -> list[int]:
    """Epochs at which something is kept of a run's weights; of an image classifier every `evaluate_every` up to
    1,000 and 30 over the budget."""
    if isinstance(run.model, AnswerTransformer):
        return sorted({*progress.snapshot_epochs(run), *llc.checkpoint_epochs(run)})
    return sorted(fourier.dense_epochs(run)) if isinstance(run.task, ImageTask) else fourier.snapshot_epochs(run)


def weight_epochs(run: Run) -> list[int]:
    """Epochs at which an image classifier's first-layer weights are kept: 0 and 1, 2, 4, 8, 15 and 30 thirtieths."""
    return sorted({run.epochs * i // 30 for i in (0, 1, 2, 4, 8, 15, 30)})


def summarize(run: Run, snapshots: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of a run's weights at `snapshot_epochs`, small enough to be committed.

    For an image classifier: epochs [T]; the first `ANSWERED` test images [A, pixels] uint8, their labels [A] and the
    network's answers [T, A]; weight_epochs [U] and weights [U, NEURONS, pixels] float16.
    """
    if isinstance(run.model, AnswerTransformer):
        sampled = isinstance(run.start, Dense | Ticket) and run.optimizer.weight_decay > 0  # type: ignore[attr-defined]
        return progress.summarize(run, snapshots) | (llc.summarize(run, snapshots) if sampled else {})
    if not isinstance(run.task, ImageTask):
        return fourier.summarize(run, snapshots)
    data = run.task.data()
    shown = data.test[:ANSWERED]
    epochs, kept = snapshot_epochs(run), weight_epochs(run)
    first = [run.split(snapshots[epoch])["W_1"][:, :NEURONS].T for epoch in kept]
    return {
        "epochs": np.array(epochs),
        "images": images.load(run.task.images).images[shown],
        "labels": data.labels[shown].astype(np.uint8),
        "answers": np.stack([answers(run, snapshots[epoch], data.inputs[shown]) for epoch in epochs]),
        "weight_epochs": np.array(kept),
        "weights": np.stack(first).astype(np.float16),
    }


def answers(run: Run, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """The class that an image classifier with weights [n] gives to each image [A, pixels]: [A] uint8."""
    model = run.model
    matrices = model.matrices(torch.from_numpy(weights)[None], run.task)
    outputs, _ = model.forward(matrices, model.lookup(torch.from_numpy(inputs)[None], run.task))
    return outputs[0].argmax(1).numpy().astype(np.uint8)
