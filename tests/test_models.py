"""Models: logits and hand-written gradients against the equations, sample by sample; initial weights against the paper."""

import numpy as np
import pytest
import reference
import torch
from conftest import logits_of
from reference import sizes

from lib.train.losses import cross_entropy_gradient
from lib.train.models import MLP, Transformer, cut, draw
from lib.train.tasks import generator

PRIME, R, B = 7, 3, 20  # B samples of 49 pairs: some tokens come often, some never
MODELS = {f"mlp, {n} hidden": MLP(width=9, hidden=5, hidden_layers=n) for n in (1, 2, 3)} | {
    f"transformer, {heads} heads, {positions=}, {biases=}": Transformer(
        width=10, heads=heads, head_width=4, hidden=6, positions=positions, biases=biases
    )
    for heads in (1, 3)
    for positions in (False, True)
    for biases in (False, True)
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def case(request, double):
    """A model; weights, inputs and labels that differ between R runs; the logits; what `backward` needs."""
    model, rng = request.param, torch.Generator().manual_seed(0)
    weights = torch.randn(R, sum(rows * cols for rows, cols in model.shapes(sizes(PRIME)).values()) + 5, generator=rng)
    inputs = torch.randint(PRIME, (R, B, 2), generator=rng)
    labels = torch.randint(PRIME, (R, B), generator=rng)
    lookup = model.lookup(inputs, sizes(PRIME))
    logits, saved = model.forward(model.matrices(weights, sizes(PRIME)), lookup)
    return model, weights, inputs, labels, lookup, logits, saved


def one(model, weights, run):
    """Run's matrices, from weights [R, n], as leaves of a graph."""
    return {
        name: matrices[run].clone().requires_grad_()
        for name, matrices in cut(weights, model.shapes(sizes(PRIME))).items()
    }


def test_logits_are_the_references(case):
    model, weights, inputs, _, _, logits, _ = case
    assert logits.shape == (R, B, PRIME)
    for run in range(R):
        wanted = torch.stack([logits_of(model)(one(model, weights, run), int(a), int(b)) for a, b in inputs[run]])
        torch.testing.assert_close(logits[run], wanted.detach(), rtol=1e-10, atol=1e-10)


def test_gradients_are_autograds_through_the_reference(case):
    model, weights, inputs, labels, lookup, logits, saved = case
    gradients, before = torch.full_like(weights, torch.nan), weights.clone()
    dlogits = cross_entropy_gradient(logits, labels[..., None])
    model.backward(
        model.matrices(weights, sizes(PRIME)), model.matrices(gradients, sizes(PRIME)), lookup, saved, dlogits
    )
    assert torch.equal(weights, before)
    gradients = cut(gradients, model.shapes(sizes(PRIME)))
    for run in range(R):
        W = one(model, weights, run)
        reference.mean_loss(W, inputs[run], labels[run], logits_of(model)).backward()
        for name, matrix in W.items():
            torch.testing.assert_close(
                gradients[name][run], matrix.grad, rtol=1e-9, atol=1e-11, msg=lambda m, name=name: f"{name}: {m}"
            )


def test_the_reference_tells_the_models_apart(double):
    """Positions, biases and the order of the pair reach the logits: else comparing them would prove nothing."""
    model = MODELS["transformer, 3 heads, positions=True, biases=True"]
    rng = torch.Generator().manual_seed(0)
    W = {name: 0.5 * torch.randn(shape, generator=rng) for name, shape in model.shapes(sizes(PRIME)).items()}
    logits = reference.transformer_logits(W, 1, 2, 3)
    for name in ("W_pos", "b_in", "b_out"):
        rest = {key: matrix for key, matrix in W.items() if key != name}
        assert not torch.allclose(reference.transformer_logits(rest, 1, 2, 3), logits)
    assert not torch.allclose(reference.transformer_logits(W, 2, 1, 3), logits)
    assert not torch.allclose(reference.transformer_logits(W, 1, 2, 1), logits)


# --- initial weights ------------------------------------------------------------------------------------------------

# Name -> shape and standard deviation, from the tables of the set-up chapter, p = 67.
PAPER_MLP = {
    "W_E": (67, 500, 67**-0.5),
    "W_in": (48, 500, 500**-0.5),
    "W_out": (500, 48, 48**-0.5),
    "W_U": (67, 500, 500**-0.5),
}
PAPER_TRANSFORMER = {"W_E": (67, 128, 67**-0.5), "W_U": (67, 128, 128**-0.5)} | dict.fromkeys(
    ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"), (128, 128, 128 ** (-0.5))
)
OPTIONS = {"W_pos": (2, 128, 128**-0.5), "b_in": (1, 128, 0), "b_out": (1, 128, 0)}


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (MLP(), PAPER_MLP),
        (MLP(hidden_layers=2), PAPER_MLP | {"W_h1": (48, 48, 48**-0.5)}),
        (Transformer(), PAPER_TRANSFORMER),
        (Transformer(heads=4, head_width=32), PAPER_TRANSFORMER),
        (Transformer(positions=True, biases=True), PAPER_TRANSFORMER | OPTIONS),
    ],
    ids=["mlp", "deeper mlp", "transformer", "4 heads", "transformer with all options"],
)
def test_initial_weights_are_the_papers(model, wanted):
    assert {name: (*shape,) for name, shape in model.shapes(sizes(67)).items()} == {n: w[:2] for n, w in wanted.items()}
    vector = draw(model, sizes(67), generator(0, "weights"))
    assert vector.dtype == np.float32
    place = 0
    for name, (rows, cols) in model.shapes(sizes(67)).items():
        n, deviation = rows * cols, wanted[name][2]
        matrix = vector[place : place + n].astype(float)
        place += n
        assert abs(matrix.mean()) <= 4.5 * deviation / n**0.5, name
        assert abs(matrix.std() - deviation) <= 4.5 * deviation / (2 * n) ** 0.5, name
    assert place == len(vector)


def test_the_papers_mlp_has_115000_weights():
    assert len(draw(MLP(), sizes(67), generator(0, "weights"))) == 115_000


@pytest.mark.parametrize("model", [MLP(), Transformer()], ids=["mlp", "transformer"])
def test_initial_weights_belong_to_the_seed_alone(model):
    np.random.seed(1)
    torch.manual_seed(1)
    first = draw(model, sizes(67), generator(0, "weights"))
    after = np.random.random(), torch.rand(1).item()
    np.random.seed(1)
    torch.manual_seed(1)
    assert after == (np.random.random(), torch.rand(1).item())
    assert np.array_equal(draw(model, sizes(67), generator(0, "weights")), first)
    other = draw(model, sizes(67), generator(1, "weights"))
    assert abs(np.corrcoef(first, other)[0, 1]) < 5 * len(first) ** -0.5
