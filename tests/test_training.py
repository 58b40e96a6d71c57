"""The trainer: exact losses, AdamW as PyTorch defines it, runs that nothing but themselves can change."""

import dataclasses
import math
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext

import numpy as np
import pytest
import reference
import torch
from conftest import Poisoned, as_matrices, assert_same, random_mask, ticket_of, tiny_run, train_dense

import lib.train.trainer
from lib.analysis.times import decay_ended, generalization_epoch
from lib.records.store import Record
from lib.train.losses import cross_entropy, cross_entropy_gradient
from lib.train.models import MLP, Transformer
from lib.train.optim import AdamW
from lib.train.runs import Run
from lib.train.tasks import ModularTask
from lib.train.trainer import METRICS, _shares, train

pytestmark = pytest.mark.slow

LOGITS_OF = {
    "mlp": reference.mlp_logits,
    "transformer": lambda W, a, b: reference.transformer_logits(W, a, b, heads=1),
}
BOTH_MODELS = pytest.mark.parametrize("model", LOGITS_OF)


# --- exact cross-entropy ----------------------------------------------------------------------------------------------


def exact(logits, label):
    """Cross-entropy and its gradient with a hundred digits: the definition, term by term."""
    with localcontext(prec=100):
        terms = [Decimal(float(z) - float(logits[label])).exp() for z in logits]
        s = sum(terms) - terms[label]
        loss = float((1 + s).ln())
        gradient = [float(-s / (1 + s)) if j == label else float(t / (1 + s)) for j, t in enumerate(terms)]
    return loss, gradient


def leading(gap, label=2, leader=2, p=8):
    """Logits [p] among which `leader` is `gap` ahead of all others."""
    z = np.zeros(p)
    z[leader] = gap
    return z, label


CASES = {
    **{f"ordinary {i}": (np.random.default_rng(i).normal(0, 3, 8), i) for i in range(6)},
    **{f"right by {gap}": leading(gap) for gap in (1, 10, 17, 20, 40, 60, 80, 1e4)},
    **{f"wrong by {gap}": leading(gap, leader=5) for gap in (1e-3, 1, 17, 20, 80, 100, 1e4)},
    "right by 30, far from zero": (np.array([-500, -512, -530, -512, -600, -530, -530, -530.0]) - 18, 0),
    "all tied": (np.full(8, 3.0), 4),
    "tied with a wrong one, far ahead": (np.array([0, 50, 50, 0, 0, 0, 0, 0.0]), 1),
    "two wrong ones tied ahead": (np.array([0, 60, 60, 0, 0, 0, 0, 0.0]), 0),
    "two classes": (np.array([-25.0, 25.0]), 1),
}


@pytest.mark.parametrize(("logits", "label"), CASES.values(), ids=CASES.keys())
def test_cross_entropy_and_gradient_are_exact(logits, label):
    logits = logits.astype(np.float32)
    loss, gradient = exact(logits, label)
    z, c = torch.from_numpy(logits)[None, None], torch.tensor([[[label]]])
    assert cross_entropy(z, c).dtype == torch.float32
    assert cross_entropy(z, c).item() == pytest.approx(loss, rel=2e-6, abs=1e-37)
    np.testing.assert_allclose(cross_entropy_gradient(z, c)[0, 0].numpy(), gradient, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("gap", [20, 40, 80])
def test_the_plain_float32_loss_would_have_been_zero(gap):
    """Why the loss is written out by hand: the usual one loses what drives a confident net."""
    z, c = torch.from_numpy(leading(gap)[0]).float(), torch.tensor(2)
    assert torch.nn.functional.cross_entropy(z, c).item() == 0
    assert cross_entropy(z[None, None], c[None, None, None]).item() > 0


def test_gradient_is_that_of_the_mean_over_samples_of_each_run():
    z = torch.randn(3, 10, 8, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    c = torch.arange(30).view(3, 10) % 8
    (torch.nn.functional.cross_entropy(z.flatten(0, 1), c.flatten(), reduction="sum") / 10).backward()
    torch.testing.assert_close(cross_entropy_gradient(z.detach().clone(), c[..., None]), z.grad)


def test_a_logit_that_is_not_a_number_is_not_hidden():
    c = torch.tensor([[[0]]])
    for z in ([math.nan, 0.0, 0.0], [0.0, math.nan, 0.0], [math.inf, 0.0, math.inf], [-math.inf, -math.inf, -math.inf]):
        assert not np.isfinite(cross_entropy(torch.tensor([[z]]), c).item())


# --- AdamW ------------------------------------------------------------------------------------------------------------


def adamw_by_pytorch(run, mask, steps, before_step=lambda epoch, W, optimizer: None):
    """The run's weights [n] after so many steps of PyTorch's own AdamW on the reference model, in float64."""
    data = run.task.data()
    inputs, labels = data.inputs[data.train], data.labels[data.train]
    shapes, mask = run.model.shapes(run.task), np.ones(len(run.initial_weights())) if mask is None else mask
    W = {
        n: torch.tensor(w, dtype=torch.float64, requires_grad=True)
        for n, w in as_matrices(run.initial_weights() * mask, shapes).items()
    }
    held = {n: torch.tensor(m, dtype=torch.float64) for n, m in as_matrices(mask, shapes).items()}
    optimizer = torch.optim.AdamW(
        W.values(), lr=run.optimizer.learning_rate, betas=(0.9, 0.98), weight_decay=1.0, fused=False, foreach=False
    )
    for epoch in range(steps):
        before_step(epoch, W, optimizer)
        optimizer.zero_grad()
        reference.mean_loss(W, inputs, labels, LOGITS_OF[type(run.model).__name__.lower()]).backward()
        for name, matrix in W.items():
            matrix.grad *= held[name]
        optimizer.step()
    return np.concatenate([matrix.detach().numpy().ravel() for matrix in W.values()])


@BOTH_MODELS
@pytest.mark.parametrize("masked", [False, True])
def test_fifty_steps_are_those_of_pytorchs_adamw(model, masked, double):
    runs = [tiny_run(model, seed, prime=5, epochs=50) for seed in range(3)]
    masks = [None, random_mask(runs[1]), random_mask(runs[2], 1)] if masked else [None] * 3
    for run, mask, one in zip(
        runs, masks, train_dense(runs, masks, snapshots={run: {50} for run in runs}), strict=True
    ):
        wanted = adamw_by_pytorch(run, mask, 50)
        np.testing.assert_allclose(one.snapshots[50], wanted, rtol=1e-9, atol=1e-10)
        assert np.abs(wanted - run.initial_weights()).max() > 0.02


def ending_decay(run, ended):
    """For `adamw_by_pytorch`: ends weight decay at a test accuracy of at least 1/2, and notes the epoch in `ended`."""
    data = run.task.data()

    def evaluate(epoch, W, optimizer):
        if epoch % 10 == 0 and not ended:
            logits = [LOGITS_OF[type(run.model).__name__.lower()](W, *data.inputs[row]) for row in data.test]
            right = [z.argmax().item() == c for z, c in zip(logits, data.labels[data.test], strict=True)]
            if np.mean(right) >= 0.5:
                optimizer.param_groups[0]["weight_decay"] = 0.0
                ended.append(epoch)

    return evaluate


# Seed -> epoch of the first evaluation with such an accuracy, without masks. The second of each falls below again.
SWITCHED_OFF = {"mlp": {28: 30, 29: 20, 25: None}, "transformer": {22: 30, 25: 20, 21: None}}


@BOTH_MODELS
@pytest.mark.parametrize("masked", [False, True])
def test_weight_decay_ends_for_each_run_at_the_test_accuracy_that_it_is_to_last_until(
    model, masked, double, monkeypatch
):
    optimizer = AdamW(learning_rate=0.003, decay_until=0.5)
    base = tiny_run(model, prime=5, epochs=50, evaluate_every=10, optimizer=optimizer)
    tasks = [dataclasses.replace(base.task, operation="a*b", seed=seed) for seed in SWITCHED_OFF[model]]
    runs = [dataclasses.replace(base, task=task, seed=task.seed) for task in tasks]
    masks = [random_mask(run, kept=0.98) if masked else None for run in runs]
    found, all_ended = train_dense(runs, masks, snapshots={run: {50} for run in runs}), []
    for run, mask, one in zip(runs, masks, found, strict=True):
        ended = []
        wanted = adamw_by_pytorch(run, mask, 50, ending_decay(run, ended))
        np.testing.assert_allclose(one.snapshots[50], wanted, rtol=1e-9, atol=1e-10)
        decayed_to_the_end = adamw_by_pytorch(run, mask, 50)
        assert (np.abs(wanted - decayed_to_the_end).max() > 0.01) == bool(ended)
        all_ended.append(ended[0] if ended else None)
    assert masked or all_ended == list(SWITCHED_OFF[model].values())
    assert None in all_ended and any(all_ended)  # within one stack


@pytest.mark.parametrize(
    ("setting", "value", "rest"),
    [
        ("decay_until", 0, "it must be a test accuracy above 0 and at most 1"),
        ("decay_until", -0.5, "it must be a test accuracy above 0 and at most 1"),
        ("decay_until", 1.01, "it must be a test accuracy above 0 and at most 1"),
        ("decay_until", 99, "it must be a test accuracy above 0 and at most 1"),
        ("decay_until", math.nan, "it must be a test accuracy above 0 and at most 1"),
        ("learning_rate", 0, "it must be above 0"),
        ("learning_rate", math.nan, "it must be above 0"),
        ("weight_decay", -0.1, "it must be 0 or more"),
        ("weight_decay", math.nan, "it must be 0 or more"),
    ],
)
def test_impossible_settings_of_the_optimizer_are_refused_by_name(setting, value, rest):
    with pytest.raises(ValueError, match=f"^{setting} is {value}; {rest}$"):
        AdamW(**{setting: value})


@pytest.mark.parametrize("betas", [(1.0, 0.98), (-0.1, 0.98), (0.9, 1.0), (0.9, math.nan)])
def test_impossible_betas_are_refused(betas):
    with pytest.raises(ValueError, match=rf"^beta1, beta2 are {betas[0]}, {betas[1]}; both must lie in \[0, 1\)$"):
        AdamW(beta1=betas[0], beta2=betas[1])


@BOTH_MODELS
def test_float32_stays_near_float64(model):
    run = tiny_run(model, prime=5, epochs=50)
    got = train_dense([run], snapshots={run: {50}})[0].snapshots[50]
    assert got.dtype == np.float32
    wanted = adamw_by_pytorch(run, None, 50)
    assert np.linalg.norm(got - wanted) < 1e-4 * np.linalg.norm(wanted - run.initial_weights())


@pytest.mark.parametrize("change", [{"learning_rate": 0.002}, {"beta1": 0.8}, {"beta2": 0.999}, {"weight_decay": 0.5}])
def test_every_setting_of_the_optimizer_counts(change):
    runs = [tiny_run(epochs=20), tiny_run(epochs=20, optimizer=AdamW(**change))]
    one, other = (train_dense([run], snapshots={run: {20}})[0].snapshots[20] for run in runs)
    assert not np.array_equal(one, other)


# --- a run does not depend on its neighbours ----------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "epochs"), [(MLP(), 200), (Transformer(), 120)], ids=["mlp", "transformer"])
def test_alone_or_stacked_with_one_thread_or_two_the_bits_are_the_same(model, epochs, threads):
    """At the paper's size: how work is cut up among threads depends on it."""
    runs = [Run(task=ModularTask(seed=seed), model=model, epochs=epochs, seed=seed) for seed in range(8)]
    keep = {run: {0, 77, epochs} for run in runs}
    threads(2)
    wanted = dict(zip(runs, train_dense(runs, snapshots=keep), strict=True))
    assert len({one.snapshots[epochs].tobytes() for one in wanted.values()}) == 8
    mask = random_mask(runs[0])
    for n in (1, 2):
        threads(n)
        for stack in ([3], [6, 3], [5, 7, 3, 0, 1], [7, 6, 5, 4, 3, 2, 1, 0])[: 4 if n == 1 else 3]:
            for one in train_dense([runs[i] for i in stack], snapshots=keep):
                assert_same(one, wanted[one.run])
        # A masked neighbour turns masking on for the whole stack.
        _, beside_masked = train_dense([runs[0], runs[3]], [mask, None], snapshots=keep)
        assert_same(beside_masked, wanted[runs[3]])


@BOTH_MODELS
def test_a_masked_run_does_not_depend_on_its_neighbours_either(model):
    runs = [tiny_run(model, seed) for seed in range(3)]
    masks = [random_mask(run, i) for i, run in enumerate(runs)]
    keep = {run: {200} for run in runs}
    [alone] = train_dense(runs[:1], masks[:1], snapshots=keep)
    assert_same(train_dense(runs, masks, snapshots=keep)[0], alone)
    assert_same(train_dense(runs[::-1], [None, None, masks[0]], snapshots=keep)[2], alone)


# --- masks --------------------------------------------------------------------------------------------------------------


@BOTH_MODELS
def test_masked_weights_are_zero_for_ever_and_the_others_move(model):
    run = tiny_run(model, epochs=1000)
    mask = random_mask(run)
    keep = {0, 1, 2, 99, 500, 1000}
    [one] = train_dense([run], [mask], snapshots={run: keep})
    assert set(one.snapshots) == keep
    assert all((weights[~mask] == 0).all() for weights in one.snapshots.values())
    assert (one.snapshots[1][mask] != one.snapshots[0][mask]).all()
    assert np.array_equal(one.snapshots[0], run.initial_weights() * mask)


# --- divergence ---------------------------------------------------------------------------------------------------------


def poisoned_later(run):
    """A start that is finite, as are its logits, and whose first gradient is not: MLP weights of 1e18, W_out zero."""
    matrices = as_matrices(run.initial_weights().copy(), run.model.shapes(run.task))
    return np.concatenate([(w * (0 if name == "W_out" else 1e18)).ravel() for name, w in matrices.items()])


@BOTH_MODELS
def test_a_run_that_starts_broken_is_reported_and_its_neighbours_are_unharmed(model):
    runs = [tiny_run(model, seed) for seed in range(3)]
    keep = {run: {200} for run in runs}
    wanted = train_dense(runs, snapshots=keep)
    starts = [(run.initial_weights(), None) for run in runs]
    starts[1] = Poisoned().make(runs[1], None)
    before, broken, after = train(runs, starts, keep)
    assert broken.diverged_at == 0
    assert np.isnan(broken.metrics["train_loss"]).all()
    assert_same(before, wanted[0])
    assert_same(after, wanted[2])
    assert (before.diverged_at, after.diverged_at) == (None, None)


def test_a_run_that_diverges_on_the_way_is_reported_with_its_epoch_and_its_neighbours_are_unharmed():
    runs = [tiny_run(seed=seed) for seed in range(2)]
    wanted = train_dense(runs)
    healthy, broken = train(runs, [(runs[0].initial_weights(), None), (poisoned_later(runs[1]), None)])
    assert np.isfinite(broken.metrics["train_loss"][0])
    assert broken.diverged_at == 10
    assert_same(healthy, wanted[0])


def test_a_stack_that_has_diverged_as_a_whole_is_not_trained_on():
    runs = [tiny_run(seed=seed, epochs=5000, optimizer=AdamW(learning_rate=1e10)) for seed in range(2)]
    reported = []
    trained = train_dense(runs, report=reported.append)
    assert [one.diverged_at for one in trained] == [10, 10]
    assert sum(reported) == 2 * 10
    assert np.isnan(trained[0].metrics["l2"][2:]).all()


# --- metrics and snapshots ----------------------------------------------------------------------------------------------


@BOTH_MODELS
def test_metrics_are_those_of_the_weights(model):
    runs = [tiny_run(model, seed) for seed in range(2)]
    epochs = [0, 10, 100, 200, 230]
    for run, one in zip(runs, train_dense(runs, snapshots={run: set(epochs) for run in runs}), strict=True):
        assert run.evaluated_epochs.tolist() == epochs
        assert set(one.metrics) == set(METRICS)
        data = run.task.data()
        for at, epoch in enumerate(epochs):
            weights = one.snapshots[epoch].astype(np.float64)
            matrices = as_matrices(weights, run.model.shapes(run.task))
            wanted = {
                "l1": np.abs(weights).sum(),
                "l2": np.sqrt((weights**2).sum()),
                "mean_l1": np.mean([np.abs(w).sum() for w in matrices.values()]),
                "mean_l2": np.mean([np.linalg.norm(w) for w in matrices.values()]),
            }
            W = {name: torch.tensor(w) for name, w in matrices.items()}
            for side, rows in (("train", data.train), ("test", data.test)):
                logits = [LOGITS_OF[model](W, *data.inputs[row]) for row in rows]
                labels = data.labels[rows]
                losses = [reference.cross_entropy(z, c).item() for z, c in zip(logits, labels, strict=True)]
                wanted[f"{side}_loss"] = np.mean(losses)
                wanted[f"{side}_accuracy"] = np.mean(
                    [z.argmax().item() == c for z, c in zip(logits, labels, strict=True)]
                )
            for name in METRICS:
                assert one.metrics[name][at] == pytest.approx(wanted[name], rel=1e-5), (name, epoch)


def test_epoch_0_is_the_start():
    run = tiny_run()
    [one] = train_dense([run], snapshots={run: {0}})
    assert np.array_equal(one.snapshots[0], run.initial_weights())
    assert one.metrics["l1"][0] == pytest.approx(np.abs(run.initial_weights().astype(float)).sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("epochs", "evaluated"),
    [(1, [0, 1]), (99, [0, 99]), (100, [0, 100]), (101, [0, 100, 101]), (230, [0, 10, 100, 200, 230])],
)
def test_evaluations_are_at_0_every_100_and_the_last_and_more_often_early_on(epochs, evaluated):
    [one] = train_dense([tiny_run(epochs=epochs)])
    assert one.run.evaluated_epochs.tolist() == evaluated
    assert all(values.shape == (len(evaluated),) and np.isfinite(values).all() for values in one.metrics.values())


def test_at_the_papers_scale_the_first_2000_epochs_are_evaluated_every_10():
    run = tiny_run(epochs=30_000)
    assert run.evaluated_epochs.tolist() == [*range(0, 2_000, 10), *range(2_000, 30_001, 100)]
    assert run.deciding_epochs.tolist() == list(range(0, 30_001, 100))


def test_the_optimizer_hears_of_the_deciding_epochs_alone(monkeypatch):
    heard = []
    monkeypatch.setattr(AdamW, "evaluated", lambda self, accuracy, state: heard.append(accuracy.tolist()))
    run = tiny_run()
    [one] = train_dense([run])
    at = np.isin(run.evaluated_epochs, run.deciding_epochs)
    assert heard == [[accuracy] for accuracy in one.metrics["test_accuracy"][at]]


def test_decay_ends_where_the_weights_say_so():
    """Until the end of decay a run has the weights of one with decay throughout, and none from the next epoch on."""
    throughout = tiny_run(seed=26, prime=11, evaluate_every=20)
    [one] = train_dense([throughout], snapshots={throughout: set(range(231))})
    run = dataclasses.replace(throughout, optimizer=dataclasses.replace(throughout.optimizer, decay_until=0.12))
    [other] = train_dense([run], snapshots={run: set(range(231))})
    record = Record(run, run.evaluated_epochs, other.metrics, {})
    same = [epoch for epoch in range(231) if np.array_equal(one.snapshots[epoch], other.snapshots[epoch])]
    assert same == list(range(decay_ended(record) + 1)) and decay_ended(record) == 20
    assert generalization_epoch(record, 0.12) == 4  # where the optimizer does not look
    never = dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, decay_until=1.0))
    assert decay_ended(Record(never, run.evaluated_epochs, one.metrics, {})) is None


def test_snapshots_are_taken_at_any_epoch_and_change_nothing():
    run = tiny_run()
    odd = [1, 37, 101, 229]
    [one] = train_dense([run], snapshots={run: set(odd)})
    assert sorted(one.snapshots) == odd
    for epoch in odd:
        short = dataclasses.replace(run, epochs=epoch)
        assert np.array_equal(
            one.snapshots[epoch], train_dense([short], snapshots={short: {epoch}})[0].snapshots[epoch]
        )
    assert_same(dataclasses.replace(one, snapshots={}), train_dense([run])[0])


def test_each_run_keeps_its_own_snapshots():
    runs = [tiny_run(seed=seed) for seed in range(3)]
    one, two, three = train_dense(runs, snapshots={runs[0]: {10}, runs[1]: {20, 230}})
    assert (set(one.snapshots), set(two.snapshots), set(three.snapshots)) == ({10}, {20, 230}, set())


@pytest.mark.parametrize("until", [0, 100, 150, 230])
def test_until_stops_early_on_the_same_path(until):
    run = tiny_run()
    keep = {run: {0, 37, 100, 150, 230}}
    [full] = train_dense([run], snapshots=keep)
    done = []
    [part] = train_dense([run], snapshots=keep, until=until, report=done.append)
    assert sum(done) == until
    evaluated = [epoch for epoch in run.evaluated_epochs if epoch <= until]
    assert all(np.array_equal(part.metrics[name], full.metrics[name][: len(evaluated)]) for name in METRICS)
    assert sorted(part.snapshots) == [epoch for epoch in sorted(full.snapshots) if epoch <= until]
    assert all(np.array_equal(weights, full.snapshots[epoch]) for epoch, weights in part.snapshots.items())


def test_progress_counts_run_epochs():
    runs, done = [tiny_run(seed=seed) for seed in range(3)], []
    train_dense(runs, report=done.append)
    assert sum(done) == 3 * 230


# --- interrupts and settings --------------------------------------------------------------------------------------------


def test_an_interrupt_in_the_report_ends_training_at_once():
    calls = []

    def interrupt(run_epochs):
        calls.append(run_epochs)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_dense([tiny_run(epochs=50_000)], report=interrupt)
    assert calls == [0, 10]


@pytest.fixture
def control_c():
    """Python's own answer to Control-C, which a process started in the background is without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("n", [1, 4])
def test_control_c_ends_training_at_its_next_evaluation(control_c, threads, n):
    threads(2)  # which share out four runs
    calls = []

    def press(run_epochs):
        calls.append(run_epochs)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)  # as Control-C does: it arrives in the caller's thread, which waits

    with pytest.raises(KeyboardInterrupt):
        train_dense([tiny_run(seed=seed, epochs=50_000) for seed in range(n)], report=press)
    assert len(calls) < 100


def test_an_interrupt_before_all_threads_have_begun_ends_those_that_have(threads, monkeypatch):
    threads(2)
    submit, calls, submitted = ThreadPoolExecutor.submit, [], []

    def interrupted(pool, *arguments):
        submitted.append(arguments)
        if len(submitted) == 2:
            raise KeyboardInterrupt
        return submit(pool, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_dense([tiny_run(seed=seed, epochs=20_000) for seed in range(4)], report=calls.append)
    assert len(calls) < 100


def test_subnormal_numbers_are_flushed_while_training_and_nowhere_else():
    def subnormal():
        return (torch.full((64,), 1e-30) * 1e-10).max().item(), (
            np.full(64, 1e-30, np.float32) * np.float32(1e-10)
        ).max()

    assert min(subnormal()) > 0
    inside = []
    train_dense([tiny_run(epochs=1)], report=lambda _: inside.append(subnormal()[0]))
    assert inside == [0, 0]
    assert min(subnormal()) > 0
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("n", [*range(1, 10), 33, 64])
@pytest.mark.parametrize("available", [1, 2, 3, 16])
@pytest.mark.parametrize("at_once", [1, 4])
def test_threads_share_out_all_runs_evenly_in_stacks_that_fit_the_cache(n, available, at_once):
    shares = _shares(n, available, at_once)
    assert [i for share in shares for i in range(n)[share]] == list(range(n))
    sizes = [share.stop - share.start for share in shares]
    assert len(sizes) >= min(available, n)  # every thread has work
    assert len(sizes) % min(available, n) == 0 or max(sizes) == 1  # and all as much
    assert max(sizes) - min(sizes) <= 1
    assert 1 <= min(sizes) <= max(sizes) <= at_once


@pytest.mark.parametrize(
    ("prime", "n", "inside"),
    [(7, 1, {1}), (7, 4, {1}), (37, 1, {2}), (37, 3, {1}), (37, 4, {1})],  # 16 and 421 training pairs
)
def test_one_run_of_many_examples_has_all_threads_and_the_setting_is_restored(threads, prime, n, inside):
    threads(2)
    runs, seen = [tiny_run(seed=seed, prime=prime, epochs=1) for seed in range(n)], []
    trained = train_dense(runs, report=lambda _: seen.append((threading.get_ident(), torch.get_num_threads())))
    assert [one.run for one in trained] == runs
    assert {count for _, count in seen} == inside
    assert len(seen) == 2 * len(_shares(n, 2, MLP.runs_at_once))  # each share reports each of its stops
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert torch.get_num_threads() == 2


def test_a_ticket_trains_from_the_masked_initial_weights():
    base = tiny_run()
    [trained] = train_dense([base], snapshots={base: {150}})
    ticket = ticket_of(base)
    weights, mask, _ = ticket.start.make(ticket, lambda run, epoch: trained.snapshots[epoch])
    assert mask.sum() == len(mask) - round(0.5 * len(mask))
    assert np.array_equal(weights, base.initial_weights() * mask)


def test_what_goes_wrong_in_one_thread_ends_the_others_at_once(monkeypatch, threads):
    """The first share would go on for ten seconds, the second fails: nobody waits for the first."""
    told_to_stop = threading.Event()

    def share(runs, starts, snapshots, until, report, device):
        if runs[0].seed:
            raise ValueError("no memory left")
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 10:
                time.sleep(0.01)
                report(1)
        except KeyboardInterrupt:
            told_to_stop.set()
            raise
        return []

    monkeypatch.setattr(lib.train.trainer, "_train", share)
    threads(2)
    with pytest.raises(ValueError, match="^no memory left$"):
        train_dense([tiny_run(seed=seed) for seed in (0, 0, 1, 1)])
    assert told_to_stop.is_set()
