"""The transformer of Nanda et al. and its task: three tokens, tables of differences from "=", warm-up."""

import dataclasses

import numpy as np
import pytest
import reference
import torch
from conftest import assert_same, random_mask, ticket_of, train_dense
from reference import sizes

from lib.train.losses import cross_entropy_gradient
from lib.train.models import AnswerTransformer, Transformer, cut, draw
from lib.train.optim import AdamW
from lib.train.runs import Run
from lib.train.tasks import ModularTask, generator

PRIME, R = 7, 3
TOKENS = sizes(PRIME + 1, PRIME, 3)
MODELS = {f"{heads} heads": AnswerTransformer(width=10, heads=heads, head_width=4, hidden=6) for heads in (1, 3)}
TINY = AnswerTransformer(width=12, heads=2, head_width=4, hidden=9)


def tiny_run(seed: int = 0, *, epochs: int = 40, warm_up: int = 10, **options: object) -> Run:
    task = ModularTask(prime=PRIME, pairs="ordered", train_fraction=0.5, equals_sign=True, seed=seed)
    return Run(task=task, model=TINY, optimizer=AdamW(warm_up=warm_up), epochs=epochs, seed=seed, **options)


# --- task -------------------------------------------------------------------------------------------------------------


def test_the_equals_sign_is_a_third_token_and_no_class():
    task = ModularTask(prime=113, pairs="ordered", train_fraction=0.3, equals_sign=True, seed=0)
    data, pairs = task.data(), dataclasses.replace(task, equals_sign=False).data()
    assert (task.tokens, task.classes, task.length, task.train_count) == (114, 113, 3, 3830)
    assert data.inputs.tolist() == [[a, b, 113] for a in range(113) for b in range(113)]
    assert np.array_equal(data.labels, pairs.labels) and data.labels.max() == 112
    assert np.array_equal(data.train, pairs.train)  # the same split as without
    assert task.shape != dataclasses.replace(task, equals_sign=False).shape


@pytest.mark.parametrize(
    ("model", "equals_sign"), [(AnswerTransformer(), False), (Transformer(positions=True, biases=True), True)]
)
def test_three_tokens_and_the_model_for_them_go_together(model, equals_sign):
    task = ModularTask(pairs="ordered", equals_sign=equals_sign, seed=0)
    with pytest.raises(ValueError, match="an AnswerTransformer takes three tokens, no other$"):
        Run(task=task, model=model, seed=0)


# --- model ------------------------------------------------------------------------------------------------------------


@pytest.fixture(
    params=[(name, samples) for name in MODELS for samples in (8, 50)], ids=lambda one: f"{one[0]}, {one[1]} samples"
)
def case(request, double):
    """A model; weights, inputs and labels that differ between R runs; the logits; what `backward` needs. Samples are fewer than
    table rows, or more, which changes the order of the products."""
    model, B, rng = MODELS[request.param[0]], request.param[1], torch.Generator().manual_seed(0)
    n = sum(rows * cols for rows, cols in model.shapes(TOKENS).values())
    weights = torch.randn(R, n + 5, generator=rng)
    inputs = torch.randint(PRIME, (R, B, 3), generator=rng)
    inputs[:, :, 2] = PRIME
    labels = torch.randint(PRIME, (R, B), generator=rng)
    lookup = model.lookup(inputs, TOKENS)
    assert model.pushed(lookup) == (B == 50)
    logits, saved = model.forward(model.matrices(weights, TOKENS), lookup)
    return model, weights, inputs, labels, lookup, logits, saved


def one(model, weights, run):
    """Run's matrices, as leaves of a graph."""
    found = cut(weights, model.shapes(TOKENS))
    return {name: matrices[run].clone().requires_grad_() for name, matrices in found.items()}


def test_logits_are_the_references(case):
    model, weights, inputs, _, _, logits, _ = case
    assert logits.shape == (R, inputs.shape[1], PRIME)
    for run in range(R):
        W = one(model, weights, run)
        pairs = inputs[run, :, :2].tolist()
        wanted = torch.stack([reference.transformer_logits(W, a, b, model.heads) for a, b in pairs])
        torch.testing.assert_close(logits[run], wanted.detach(), rtol=1e-10, atol=1e-10)


def test_gradients_are_autograds_through_the_reference(case):
    model, weights, inputs, labels, lookup, logits, saved = case
    gradients, before = torch.full_like(weights, torch.nan), weights.clone()
    dlogits = cross_entropy_gradient(logits, labels[..., None])
    model.backward(model.matrices(weights, TOKENS), model.matrices(gradients, TOKENS), lookup, saved, dlogits)
    assert torch.equal(weights, before)
    gradients = cut(gradients, model.shapes(TOKENS))
    for run in range(R):
        W = one(model, weights, run)
        pairs = inputs[run, :, :2]
        reference.mean_loss(
            W, pairs, labels[run], lambda W, a, b: reference.transformer_logits(W, a, b, model.heads)
        ).backward()
        for name, matrix in W.items():
            torch.testing.assert_close(
                gradients[name][run], matrix.grad, rtol=1e-9, atol=1e-11, msg=lambda m, name=name: f"{name}: {m}"
            )


def test_it_is_the_general_transformer_on_three_tokens(case):
    """The tables of differences against those of whole tokens, which know nothing of a constant token."""
    model, weights, inputs, _, _, logits, _ = case
    general = Transformer(**dataclasses.asdict(model))
    lookup = general.lookup(inputs, TOKENS)
    wanted, _ = general.forward(general.matrices(weights, TOKENS), lookup)
    torch.testing.assert_close(logits, wanted, rtol=1e-10, atol=1e-10)


def test_the_reference_sees_the_third_token(double):
    model, rng = MODELS["3 heads"], torch.Generator().manual_seed(0)
    W = {name: 0.5 * torch.randn(shape, generator=rng) for name, shape in model.shapes(TOKENS).items()}
    logits = reference.transformer_logits(W, 1, 2, 3)
    for name in ("W_E", "W_pos"):
        changed = W[name].clone()
        changed[-1] += 1
        assert not torch.allclose(reference.transformer_logits(W | {name: changed}, 1, 2, 3), logits)


SIZES = {
    "W_E": (114, 128, 128**-0.5),
    "W_pos": (3, 128, 128**-0.5),
    "W_U": (113, 128, 114**-0.5),
    "W_in": (512, 128, 128**-0.5),
    "W_out": (128, 512, 128**-0.5),
    "b_in": (1, 512, 0),
    "b_out": (1, 128, 0),
} | dict.fromkeys(("W_Q", "W_K", "W_V", "W_O"), (128, 128, 128**-0.5))


def test_initial_weights_are_nandas():
    task = ModularTask(prime=113, pairs="ordered", train_fraction=0.3, equals_sign=True, seed=0)
    run = Run(task=task, model=AnswerTransformer(), seed=0)
    vector = run.initial_weights()
    assert len(vector) == run.length == sum(rows * cols for rows, cols, _ in SIZES.values())
    for name, matrix in run.split(vector.astype(float)).items():
        *shape, deviation = SIZES[name]
        assert matrix.shape == (*shape,)
        assert abs(matrix.mean()) <= 4.5 * deviation / matrix.size**0.5, name
        assert abs(matrix.std() - deviation) <= 4.5 * deviation / (2 * matrix.size) ** 0.5, name


@pytest.mark.parametrize("option", ["positions", "biases"])
def test_it_always_has_positions_and_biases(option):
    with pytest.raises(ValueError, match="an AnswerTransformer has both$"):
        AnswerTransformer(**{option: False})


# --- training -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_warm_up_is_pytorchs_adamw_with_a_lambda_lr(double, masked):
    """60 steps against PyTorch's optimizer and scheduler on the reference model, sample by sample in float64."""
    run, steps = tiny_run(epochs=60), 15
    run = dataclasses.replace(run, epochs=steps)
    mask = random_mask(run) if masked else None
    [trained] = train_dense([run], [mask], snapshots={run: {1, steps}})
    data = run.task.data()
    start = torch.from_numpy(run.initial_weights() * (1 if mask is None else mask)).double()
    W = {name: x[0].clone().requires_grad_() for name, x in cut(start[None], run.model.shapes(run.task)).items()}
    optimizer = torch.optim.AdamW(W.values(), lr=0.001, betas=(0.9, 0.98), weight_decay=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 10, 1))
    pairs, labels = data.inputs[data.train, :2], data.labels[data.train]
    kept = torch.ones(run.length) if mask is None else torch.from_numpy(mask).double()
    kept = {name: x[0] for name, x in cut(kept[None], run.model.shapes(run.task)).items()}
    for _ in range(steps):
        optimizer.zero_grad()
        reference.mean_loss(W, pairs, labels, lambda W, a, b: reference.transformer_logits(W, a, b, 2)).backward()
        for name, matrix in W.items():
            matrix.grad *= kept[name]
        optimizer.step()
        scheduler.step()
    wanted = torch.cat([matrix.detach().flatten() for matrix in W.values()])
    np.testing.assert_allclose(trained.snapshots[steps], wanted.numpy(), rtol=2e-4, atol=2e-6)
    np.testing.assert_array_equal(trained.snapshots[1], start.float().numpy())  # the first rate is 0


def test_without_warm_up_the_optimizer_is_as_it_was():
    assert tiny_run(warm_up=0).optimizer == AdamW()
    assert "warm_up" not in tiny_run(warm_up=0).canonical
    assert "equals_sign" not in Run(task=ModularTask(seed=0), model=Transformer(), seed=0).canonical


def test_warm_up_does_not_go_with_decay_that_is_switched_off():
    with pytest.raises(ValueError, match="^warm_up and decay_until do not go together"):
        AdamW(warm_up=10, decay_until=0.9)


@pytest.mark.parametrize("epochs", [15])
def test_alone_or_stacked_with_one_thread_or_two_the_bits_are_the_same(epochs, threads):
    runs = [tiny_run(seed, epochs=epochs) for seed in range(6)]
    keep = {run: {epochs} for run in runs}
    masks = [random_mask(run, i) if i % 2 else None for i, run in enumerate(runs)]
    alone = {run: train_dense([run], [mask], snapshots=keep)[0] for run, mask in zip(runs, masks, strict=True)}
    for n in (1, 2):
        threads(n)
        for stack in ([3], [1, 3], [5, 3, 0, 1], [5, 4, 3, 2, 1, 0]):
            for trained in train_dense([runs[i] for i in stack], [masks[i] for i in stack], snapshots=keep):
                expected = alone[trained.run]
                if trained.mask is None:
                    expected = dataclasses.replace(expected, mask=None)
                assert_same(trained, expected)


@pytest.mark.slow
def test_at_full_size_alone_or_stacked_the_bits_are_the_same(threads):
    task = ModularTask(prime=113, pairs="ordered", train_fraction=0.3, equals_sign=True, seed=0)
    runs = [Run(task=task, model=AnswerTransformer(), optimizer=AdamW(warm_up=10), epochs=3, seed=s) for s in range(3)]
    keep = {run: {3} for run in runs}
    alone = {run: train_dense([run], snapshots=keep)[0] for run in runs}
    threads(1)
    for trained in train_dense(runs[::-1], snapshots=keep):
        assert_same(trained, alone[trained.run])


def test_biases_are_masked_like_the_rest():
    run = tiny_run()
    mask = random_mask(run)
    [trained] = train_dense([run], [mask], snapshots={run: {run.epochs}})
    final = run.split(trained.snapshots[run.epochs])
    for name in ("b_in", "b_out"):
        assert not run.split(run.initial_weights())[name].any()  # zero at the start
        assert not final[name][~run.split(mask)[name]].any()
    assert np.array_equal(final["b_out"] != 0, run.split(mask)["b_out"])
    assert final["b_in"].any()
    ticket = ticket_of(run, epoch=run.epochs, rate=0.4)
    weights = trained.snapshots[run.epochs]
    kept = ticket.start.make(ticket, lambda run, epoch: weights).mask
    assert kept.sum() == round(0.6 * run.length)


def test_seeds_draw_weights_alone():
    model = AnswerTransformer(width=8, head_width=2, hidden=5)
    first, again = (draw(model, TOKENS, generator(0, "weights")) for _ in range(2))
    assert np.array_equal(first, again)
