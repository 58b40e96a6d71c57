"""The benchmark's peer trains the same networks, and its count of operations is that of the equations."""

import dataclasses

import numpy as np
import pytest
from conftest import tiny_image_run, tiny_run, train_dense

from benchmarks.run import megaflops
from lib.train.models import MLP, Transformer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["mlp", "transformer", "mnist-mlp"])
def test_jax_trains_the_same_networks(name):
    peers = pytest.importorskip("benchmarks.jax_peer", reason="JAX is not installed: pip install -e .[bench]")
    runs = [tiny_image_run(seed) if name == "mnist-mlp" else tiny_run(name, seed=seed) for seed in range(4)]
    if name == "transformer":  # scores are over the root of the width there
        model = Transformer(width=12, head_width=12, hidden=8)
        runs = [dataclasses.replace(run, model=model) for run in runs]
    runs = [dataclasses.replace(run, evaluate_every=10, epochs=50) for run in runs]
    losses = peers.Peer(name, runs).advance()
    ours = np.array([one.metrics["train_loss"] for one in train_dense(runs)])  # [runs, T]
    by_device = ours.reshape(losses.shape[0], -1, ours.shape[1]).sum(1)
    np.testing.assert_allclose(losses[:, :50:10], by_device[:, :5], rtol=2e-3)


def test_operations_are_those_of_the_equations():
    p, d, h, B = 7, 12, 8, tiny_run().task.train_count
    table, logits = 2 * p * d * h, 2 * B * h * p
    assert megaflops(tiny_run()) * 1e6 == 6 * table + 3 * logits
    paper = dataclasses.replace(tiny_run(prime=67), model=MLP())
    paper = dataclasses.replace(paper, task=dataclasses.replace(paper.task, train_fraction=0.4))
    assert megaflops(paper) == pytest.approx(36.9, abs=0.1)
    assert megaflops(dataclasses.replace(paper, model=Transformer())) == pytest.approx(103.3, abs=0.1)
