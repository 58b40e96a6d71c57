"""Scores at initialisation, each against its definition written out once more, on nets of a hundred weights."""

from collections import defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
import reference
import torch
from conftest import as_matrices, logits_of, masked_gently
from reference import sizes

from lib.train.models import MLP, Transformer
from lib.train.pruning import SCORES, grasp, loss_gradient, prune_by_score, random_score, snip, synflow
from lib.train.runs import Run
from lib.train.tasks import ModularTask

pytestmark = pytest.mark.slow

PRIME = 5
TASK = ModularTask(prime=PRIME, train_fraction=0.6, seed=0)  # 9 of 15 pairs
PLAIN = {"mlp": MLP(width=6, hidden=4), "transformer": Transformer(width=4, head_width=2, hidden=3)}
NETS = PLAIN | {
    "deeper mlp": MLP(width=4, hidden=3, hidden_layers=3),
    "transformer with all options": Transformer(width=4, heads=2, head_width=2, hidden=3, positions=True, biases=True),
}
EVERY_NET = pytest.mark.parametrize("model", NETS.values(), ids=NETS.keys())
PLAIN_NET = pytest.mark.parametrize("model", PLAIN.values(), ids=PLAIN.keys())
EVERY_SCORE = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES.keys())


def drawn(model, seed=0):
    """Weights [n] float64 of which none is zero, nor small throughout a matrix."""
    n = sum(rows * cols for rows, cols in model.shapes(sizes(PRIME)).values())
    return 0.7 * np.random.default_rng(seed).standard_normal(n)


def mean_loss(model, rows="train"):
    """Weights [n] -> the reference's mean loss over the training (or test) pairs."""
    data, shapes = TASK.data(), model.shapes(sizes(PRIME))
    chosen = getattr(data, rows)
    lengths = [rows * cols for rows, cols in shapes.values()]

    def loss(weights):
        W = {name: part.view(shape) for part, (name, shape) in zip(weights.split(lengths), shapes.items(), strict=True)}
        return reference.mean_loss(W, data.inputs[chosen], data.labels[chosen], logits_of(model))

    return loss


# --- SNIP and GraSP -------------------------------------------------------------------------------------------------------


@EVERY_NET
@pytest.mark.parametrize("rows", ["train", "test"])
def test_the_gradient_is_that_of_the_mean_loss_over_the_rows_that_were_asked_for(model, rows):
    weights = torch.from_numpy(drawn(model)).requires_grad_()
    mean_loss(model, rows)(weights).backward()
    np.testing.assert_allclose(
        loss_gradient(model, TASK, weights.detach().numpy(), rows=rows), weights.grad, rtol=1e-9, atol=1e-12
    )


@EVERY_NET
def test_snip_is_what_the_loss_loses_as_a_weight_is_masked_gently(model):
    """|dL/dc| at c = 1, where c multiplies the weight: by finite differences of the loss itself."""
    weights = torch.from_numpy(drawn(model))
    wanted = masked_gently(mean_loss(model), weights)
    np.testing.assert_allclose(snip(model, TASK, weights.numpy()), wanted, rtol=1e-5, atol=1e-9)
    assert np.median(wanted) > 1e-3


@EVERY_NET
def test_grasp_takes_the_highest_of_what_its_authors_rank_by(model):
    """-(H g) * w with H written out, all n^2 of it."""
    weights, loss = torch.from_numpy(drawn(model)).requires_grad_(), mean_loss(model)
    [gradient] = torch.autograd.grad(loss(weights), weights)
    hessian = torch.autograd.functional.hessian(loss, weights.detach())
    wanted = -(hessian @ gradient * weights.detach()).numpy()
    scores = grasp(model, TASK, weights.detach().numpy())
    np.testing.assert_allclose(-scores, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
    for rate in (0.2, 0.6):
        pruned = np.flatnonzero(~prune_by_score(grasp, model, TASK, weights.detach().numpy(), rate))
        assert set(pruned) == set(np.argsort(wanted)[len(wanted) - round(rate * len(wanted)) :])
    assert (wanted > 0).any() and (wanted < 0).any()


def test_grasp_at_the_papers_size_is_free_of_the_relus_jumps():
    """The loss's gradient jumps where one of 44,000 ReLUs switches: a difference that spans a jump is not H g."""
    run = Run(task=ModularTask(seed=0), model=MLP(), seed=0)
    data, initial = run.task.data(), run.initial_weights().astype(np.float64)
    W = {name: torch.tensor(w, requires_grad=True) for name, w in as_matrices(initial, MLP().shapes(sizes(67))).items()}
    a, b = torch.from_numpy(data.inputs[data.train]).T
    hidden = torch.relu((W["W_E"][a] + W["W_E"][b]) @ W["W_in"].T)
    loss = torch.nn.functional.cross_entropy(
        hidden @ W["W_out"].T @ W["W_U"].T, torch.from_numpy(data.labels[data.train])
    )
    gradients = torch.autograd.grad(loss, W.values(), create_graph=True)
    products = torch.autograd.grad(sum((g * g.detach()).sum() for g in gradients), W.values())
    wanted = np.concatenate([(Hg * w).detach().numpy().ravel() for Hg, w in zip(products, W.values(), strict=True)])
    scores = grasp(run.model, run.task, run.initial_weights())
    assert np.linalg.norm(scores - wanted) < 1e-5 * np.linalg.norm(wanted)


# --- SynFlow --------------------------------------------------------------------------------------------------------------


def mlp_paths(model):
    """Every path from a token to a logit: the entries (matrix, row, column) on it, and its share."""
    d, h = range(model.width), range(model.hidden)
    for token, i, k, logit in product(range(PRIME), d, d, range(PRIME)):
        for hidden in product(h, repeat=model.hidden_layers):
            further = [(f"W_h{layer}", hidden[layer], hidden[layer - 1]) for layer in range(1, model.hidden_layers)]
            ends = ("W_out", k, hidden[-1]), ("W_U", logit, k)
            yield [("W_E", token, i), ("W_in", hidden[0], i), *further, *ends], 1.0


def residual_paths(model):
    """Every path from an input to the residual stream of the last position, after attention: entries, share, place."""
    d, attention = range(model.width), range(model.heads * model.head_width)
    for position, i in product((0, 1), d):
        inputs = [("W_E", token, i) for token in range(PRIME)]
        inputs += [("W_pos", position, i)] if model.positions else []
        for entry in inputs:
            if position == 1:
                yield [entry], 1.0, i
            for a, o in product(attention, d):  # half of the attention goes to each position
                yield [entry, ("W_V", a, i), ("W_O", o, a)], 0.5, o


def transformer_paths(model):
    """Every path from an input (token, position or bias) to a logit: past the hidden layer, and through it."""
    d, h, logits = range(model.width), range(model.hidden), range(PRIME)
    for entries, share, o in residual_paths(model):
        for logit in logits:
            yield [*entries, ("W_U", logit, o)], share
        for j, k, logit in product(h, d, logits):
            yield [*entries, ("W_in", j, o), ("W_out", k, j), ("W_U", logit, k)], share
    if model.biases:
        for j, k, logit in product(h, d, logits):
            yield [("b_in", 0, j), ("W_out", k, j), ("W_U", logit, k)], 1.0
        for k, logit in product(d, logits):
            yield [("b_out", 0, k), ("W_U", logit, k)], 1.0


@EVERY_NET
def test_synflow_is_the_sum_over_all_paths_through_a_weight(model):
    weights = drawn(model)
    W = {name: np.abs(matrix).tolist() for name, matrix in as_matrices(weights, model.shapes(sizes(PRIME))).items()}
    flow = defaultdict(float)
    for entries, share in (mlp_paths if isinstance(model, MLP) else transformer_paths)(model):
        for name, row, col in entries:
            share *= W[name][row][col]
        for entry in entries:
            flow[entry] += share
    scores = as_matrices(synflow(model, TASK, weights), model.shapes(sizes(PRIME)))
    for name, matrix in scores.items():
        wanted = [[flow[name, row, col] for col in range(matrix.shape[1])] for row in range(matrix.shape[0])]
        np.testing.assert_allclose(matrix, wanted, rtol=1e-10, atol=0, err_msg=name)
        assert (matrix > 0).all() != (name in ("W_Q", "W_K")), name
    assert (scores.get("W_Q", np.zeros(1)) == 0).all() and (scores.get("W_K", np.zeros(1)) == 0).all()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("rate", [0.0, 0.6])
def test_synflow_is_conserved_from_layer_to_layer_and_at_every_neuron(layers, rate):
    model = MLP(width=6, hidden=4, hidden_layers=layers)
    weights = drawn(model)
    weights *= prune_by_score(synflow, model, TASK, weights, rate, rounds=100)
    scores = as_matrices(synflow(model, TASK, weights), model.shapes(sizes(PRIME)))
    total = scores["W_U"].sum()
    assert total > 0
    assert [matrix.sum() for matrix in scores.values()] == pytest.approx([total] * len(scores), rel=1e-12)
    chain = [scores["W_E"].T, scores["W_in"], *(scores[f"W_h{i}"] for i in range(1, layers))]
    chain += [scores["W_out"], scores["W_U"]]
    for before, after in pairwise(chain):
        np.testing.assert_allclose(before.sum(1), after.sum(0), rtol=1e-10, atol=1e-12 * total)


def test_grasp_of_a_net_without_paths_is_zero():
    """Nothing is left to rank by, yet the mask's share stays exact and nothing is divided by zero."""
    weights = drawn(PLAIN["mlp"])
    as_matrices(weights, PLAIN["mlp"].shapes(sizes(PRIME)))["W_out"][:] = 0
    as_matrices(weights, PLAIN["mlp"].shapes(sizes(PRIME)))["W_U"][:] = 0
    assert (grasp(PLAIN["mlp"], TASK, weights) == 0).all()


def test_synflow_uses_no_data():
    model, other = NETS["mlp"], ModularTask(prime=PRIME, operation="a*b", train_fraction=0.4, seed=3)
    assert np.array_equal(synflow(model, TASK, drawn(model)), synflow(model, other, drawn(model)))


# --- from scores to masks -------------------------------------------------------------------------------------------------


def chain_scores(model, weights):
    """SynFlow's scores [n] again, layer by layer: what arrives at a weight, times it, times what leads on from it."""
    W = {name: np.abs(matrix) for name, matrix in as_matrices(weights, model.shapes(sizes(PRIME))).items()}
    tokens, logits = np.ones(PRIME), np.ones(PRIME)
    at_width = W["W_E"].T @ tokens
    if isinstance(model, MLP):
        from_hidden = W["W_out"].T @ (W["W_U"].T @ logits)
        arrives = {"W_E": tokens, "W_in": at_width, "W_out": W["W_in"] @ at_width}
        arrives["W_U"] = W["W_out"] @ arrives["W_out"]
        leads_on = {"W_E": W["W_in"].T @ from_hidden, "W_in": from_hidden, "W_out": W["W_U"].T @ logits}
    else:
        attended = W["W_V"] @ at_width
        residual = at_width + W["W_O"] @ attended
        hidden = W["W_in"] @ residual
        from_out = W["W_U"].T @ logits
        from_hidden = W["W_out"].T @ from_out
        from_residual = from_out + W["W_in"].T @ from_hidden
        from_attended = W["W_O"].T @ from_residual
        arrives = {"W_E": tokens, "W_V": at_width, "W_O": attended, "W_in": residual, "W_out": hidden}
        arrives["W_U"] = residual + W["W_out"] @ hidden
        leads_on = {"W_E": from_residual + W["W_V"].T @ from_attended, "W_V": from_attended, "W_O": from_residual}
        leads_on |= {"W_in": from_hidden, "W_out": from_out}
    leads_on["W_U"] = logits
    scores = []
    for name, matrix in W.items():
        if name in ("W_Q", "W_K"):
            scores.append(np.zeros(matrix.size))
        elif name == "W_E":  # a row for each token: from row to column
            scores.append((np.outer(arrives[name], leads_on[name]) * matrix).ravel())
        else:
            scores.append((np.outer(leads_on[name], arrives[name]) * matrix).ravel())
    return np.concatenate(scores)


@PLAIN_NET
@pytest.mark.parametrize(("rate", "rounds"), [(0.6, 1), (0.6, 2), (0.3, 100), (0.6, 100), (0.9, 100)])
def test_synflow_in_rounds_is_its_authors_loop(model, rate, rounds):
    """In round k of K all but a share (1 - rate)^(k / K) is gone: the lowest of the scores of what was left."""
    weights = drawn(model)
    left = list(range(len(weights)))
    for k in range(1, rounds + 1):
        masked = np.zeros(len(weights))
        masked[left] = weights[left]
        scores = chain_scores(model, masked)
        gone = round(len(weights) * (1 - (1 - rate) ** (k / rounds)))
        left = sorted(left, key=lambda i: (scores[i], i))[len(left) + gone - len(weights) :]
    mask = prune_by_score(synflow, model, TASK, weights, rate, rounds)
    assert np.flatnonzero(mask).tolist() == sorted(left)
    assert (~mask).sum() == round(rate * len(weights))


@PLAIN_NET
def test_rounds_matter_to_synflow(model):
    masks = [prune_by_score(synflow, model, TASK, drawn(model), 0.6, rounds) for rounds in (1, 100)]
    assert not np.array_equal(*masks)


@PLAIN_NET
@EVERY_SCORE
@pytest.mark.parametrize("rounds", [1, 12])
def test_masks_shrink_from_round_to_round_by_the_same_factor(model, score, rounds):
    weights, seen = drawn(model), []

    def watched(model, task, masked):
        assert (masked[masked != 0] == weights[masked != 0]).all()
        seen.append(masked != 0)
        return score(model, task, masked)

    seen.append(prune_by_score(watched, model, TASK, weights, 0.8, rounds))
    assert len(seen) == rounds + 1
    assert all((before | ~after).all() for before, after in pairwise(seen))
    kept = [mask.sum() for mask in seen]
    assert kept == pytest.approx([len(weights) * 0.2 ** (k / rounds) for k in range(rounds + 1)], abs=0.5 + 1e-9)


@PLAIN_NET
@EVERY_SCORE
@pytest.mark.parametrize("rounds", [1, 3])
def test_the_pruned_share_is_exact(model, score, rounds):
    for rate in (0.0, 0.1, 0.6, 0.95):
        mask = prune_by_score(score, model, TASK, drawn(model), rate, rounds)
        assert mask.dtype == bool
        assert (~mask).sum() == round(rate * len(mask))


@pytest.mark.parametrize("rounds", [1, 2, 100])
def test_the_last_round_rounds_like_the_rate_itself(rounds):
    """0.1 of 15 is 1.5, but 1 - 0.9 is a little less than 0.1."""
    mask = prune_by_score(lambda model, task, weights: weights, None, None, np.arange(1.0, 16.0), 0.1, rounds)
    assert (~mask).sum() == round(0.1 * 15) != round((1 - 0.9) * 15)


@PLAIN_NET
@EVERY_SCORE
def test_the_largest_pruned_score_is_at_most_the_smallest_kept_and_masks_are_nested(model, score):
    weights, masks = drawn(model), []
    scores = score(model, TASK, weights)
    for rate in np.arange(1, 10) / 10:
        masks.append(prune_by_score(score, model, TASK, weights, rate))
        assert scores[~masks[-1]].max() <= scores[masks[-1]].min()
    assert all((before | ~after).all() for before, after in pairwise(masks))


@EVERY_NET
@EVERY_SCORE
def test_a_score_is_float64_and_leaves_the_weights_alone(model, score):
    weights = drawn(model).astype(np.float32)
    before = weights.copy()
    scores = score(model, TASK, weights)
    assert scores.dtype == np.float64
    assert scores.shape == weights.shape
    assert np.array_equal(weights, before)


# --- random ---------------------------------------------------------------------------------------------------------------


def test_random_scores_belong_to_the_tasks_seed_alone():
    model = NETS["mlp"]
    first = random_score(model, TASK, drawn(model))
    np.random.seed(1)
    torch.manual_seed(1)
    state = np.random.get_state()[1].tobytes(), torch.get_rng_state()
    assert np.array_equal(random_score(model, TASK, drawn(model, 1)), first)
    assert state[0] == np.random.get_state()[1].tobytes() and torch.equal(state[1], torch.get_rng_state())
    other = random_score(model, ModularTask(prime=PRIME, train_fraction=0.6, seed=1), drawn(model))
    assert not np.isin(first, other).any()


def test_random_scores_are_uniform_and_know_nothing_of_the_weights():
    run = Run(task=ModularTask(seed=0), model=MLP(), seed=0)
    weights = run.initial_weights()
    scores = random_score(run.model, run.task, weights)
    n = len(weights)
    counts = np.histogram(scores, bins=10, range=(0, 1))[0]
    assert counts.sum() == n
    assert np.abs(counts - n / 10).max() < 4.5 * (n * 0.09) ** 0.5
    assert abs(np.corrcoef(scores, np.abs(weights))[0, 1]) < 4.5 * n**-0.5
    mask = prune_by_score(random_score, run.model, run.task, weights, 0.6)
    for part in run.parts().values():  # every matrix loses its share
        size = part.stop - part.start
        assert abs(mask[part].mean() - 0.4) < 4.5 * (0.24 / size) ** 0.5


def test_random_pruning_does_not_depend_on_its_rounds():
    model = NETS["mlp"]
    masks = [prune_by_score(random_score, model, TASK, drawn(model), 0.6, rounds) for rounds in (1, 10)]
    assert np.array_equal(*masks)
