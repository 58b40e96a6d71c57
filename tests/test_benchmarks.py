"""The benchmark's peer trains the same networks, and its count of operations is that of the equations."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import tiny_image_run, tiny_run, train_dense

from benchmarks import kernels
from benchmarks.baseline import EagerAnswerTransformer
from benchmarks.run import megaflops
from lib.train.models import MLP, AnswerTransformer, Transformer
from lib.train.optim import AdamW
from lib.train.runs import Run
from lib.train.tasks import ModularTask

pytestmark = pytest.mark.slow


def tiny_answer_run(seed: int) -> Run:
    task = ModularTask(prime=7, pairs="ordered", train_fraction=0.6, equals_sign=True, seed=seed)
    model = AnswerTransformer(width=12, heads=4, head_width=3, hidden=8)
    return Run(task=task, model=model, optimizer=AdamW(warm_up=10), seed=seed)


@pytest.mark.parametrize("name", ["mlp", "transformer", "nanda-transformer", "mnist-mlp"])
def test_jax_trains_the_same_networks(name):
    peers = pytest.importorskip("benchmarks.jax_peer", reason="JAX is not installed: pip install -e .[bench]")
    tiny = {"mnist-mlp": tiny_image_run, "nanda-transformer": tiny_answer_run}
    runs = [tiny[name](seed) if name in tiny else tiny_run(name, seed=seed) for seed in range(4)]
    if name == "transformer":  # scores are over the root of the width there
        model = Transformer(width=12, head_width=12, hidden=8)
        runs = [dataclasses.replace(run, model=model) for run in runs]
    runs = [dataclasses.replace(run, evaluate_every=10, epochs=50) for run in runs]
    losses = peers.Peer(name, runs).advance()
    ours = np.array([one.metrics["train_loss"] for one in train_dense(runs)])  # [runs, T]
    by_device = ours.reshape(losses.shape[0], -1, ours.shape[1]).sum(1)
    before = [epoch for epoch in runs[0].evaluated_epochs if epoch < 50]
    np.testing.assert_allclose(losses[:, before], by_device[:, : len(before)], rtol=2e-3)


def test_the_eager_answer_transformer_is_the_same_network():
    run = tiny_answer_run(0)
    eager, data = EagerAnswerTransformer(7, 12, 4, 8), run.task.data()
    weights = torch.from_numpy(run.initial_weights())
    with torch.no_grad():
        for name, matrix in run.split(weights.numpy()).items():
            stored = getattr(eager, name)
            stored.copy_(torch.from_numpy(matrix if name not in ("W_E", "W_U") else matrix.T))
            stored += 0.1
        moved = {
            name: getattr(eager, name).T if name in ("W_E", "W_U") else getattr(eager, name) for name in run.parts()
        }
        wanted = eager(torch.from_numpy(data.inputs))
        vector = torch.cat([matrix.flatten() for matrix in moved.values()])[None]
        lookup = run.model.lookup(torch.from_numpy(data.inputs)[None], run.task)
        found, _ = run.model.forward(run.model.matrices(vector, run.task), lookup)
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-5)


def test_operations_are_those_of_the_equations():
    p, d, h, B = 7, 12, 8, tiny_run().task.train_count
    table, logits = 2 * p * d * h, 2 * B * h * p
    assert megaflops(tiny_run()) * 1e6 == 6 * table + 3 * logits
    paper = dataclasses.replace(tiny_run(prime=67), model=MLP())
    paper = dataclasses.replace(paper, task=dataclasses.replace(paper.task, train_fraction=0.4))
    assert megaflops(paper) == pytest.approx(36.9, abs=0.1)
    assert megaflops(dataclasses.replace(paper, model=Transformer())) == pytest.approx(103.3, abs=0.1)


def test_kernels_are_timed_by_every_library_that_is_there(monkeypatch, capsys):
    for name, value in {"EAGER": ["mlp"], "STEPS": 1, "ROUNDS": 1}.items():
        monkeypatch.setattr(kernels, name, value)
    monkeypatch.setattr(kernels, "available", lambda library: library != "skylakex")
    kernels.main()
    head, row = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert head == ["torch", "openblas"] and row[0] == "mlp" and all(float(number) > 0 for number in row[1:])
