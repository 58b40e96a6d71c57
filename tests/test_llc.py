"""The learning coefficient by SGLD, where it is known: regular and singular minima; and of networks."""

import dataclasses

import numpy as np
import pytest
import reference
import torch

from lib.analysis import llc
from lib.analysis.llc import Sampling
from lib.train.models import AnswerTransformer, cut
from lib.train.runs import Run, Ticket
from lib.train.tasks import ModularTask


class Made:
    """A loss of a few weights, without batches, by autograd."""

    batches = 1

    def __init__(self, loss, examples):
        self.loss, self.examples = loss, examples

    def __call__(self, weights, batch):
        leaf = weights.detach().clone().requires_grad_()
        loss = self.loss(leaf)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient


def sample(loss, d, *, examples=1000, centre=None, **settings):
    sampling = Sampling(**{"chains": 3, "burn_in": 1000, "draws": 2000, "localization": 1e-3} | settings)
    centre = torch.zeros(d, dtype=torch.float64) if centre is None else centre
    return llc.binned(llc.sgld(Made(loss, examples), centre, sampling, 0)), sampling


def estimate(loss, d, **settings):
    trace, sampling = sample(loss, d, **settings)
    assert llc.status(trace, sampling) == "valid"
    return llc.coefficients(trace, sampling).mean()


# Coefficients add up over weights that do not meet in the loss: sums of many copies leave little to chance.


@pytest.mark.parametrize("d", [20, 200])
def test_a_regular_minimum_has_half_its_dimension(d):
    curvatures = torch.linspace(0.5, 2, d, dtype=torch.float64)
    assert estimate(lambda w: (curvatures * w**2).sum(1) / 2, d, step=4e-4) == pytest.approx(d / 2, rel=0.06)


def test_flat_directions_count_for_nothing():
    found = estimate(lambda w: (w[:, :100] ** 2).sum(1), 150, step=2e-4, localization=1.0)
    assert found == pytest.approx(50, rel=0.06)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_the_pull_to_the_centre_counts_directions_by_their_curvature(share):
    """A direction of curvature h counts n beta h / (n beta h + localization) of a half."""
    pull = share * 1000 / np.log(1000)
    found = estimate(lambda w: (w**2).sum(1) / 2, 200, step=2e-4, localization=pull)
    assert found == pytest.approx(100 / (1 + share), rel=0.06)


def test_quartic_minima_have_a_quarter_each():
    assert estimate(lambda w: (w**4).sum(1), 100, step=2e-3) == pytest.approx(25, rel=0.06)


def test_quartics_of_a_norm_have_a_quarter_of_its_dimension():
    found = estimate(lambda w: (w.view(len(w), -1, 4) ** 2).sum(2).square().sum(1), 200, step=2e-3)
    assert found == pytest.approx(50, rel=0.06)


def exact(loss, examples, localization, width):
    """n beta E[L] of two weights over the localized density, by quadrature on a grid that is finer near the axes."""
    scale = examples / np.log(examples)
    half = np.concatenate([[0], np.geomspace(1e-7, width, 3000)])
    middle, size = (half[1:] + half[:-1]) / 2, np.diff(half)
    x, y = np.meshgrid(middle, middle)
    value = scale * loss(x, y)
    density = np.exp(-value - localization / 2 * (x**2 + y**2)) * np.outer(size, size)
    return (value * density).sum() / density.sum()


def test_crossing_lines_are_found_as_quadrature_has_them_and_tend_to_one_half():
    """w1^2 w2^2 has the coefficient 1/2 with multiplicity 2: at finite n it is below by about 1 / log n."""
    settings = {"step": 4e-4, "localization": 20.0, "examples": 2000, "burn_in": 2000, "draws": 4000}
    found = estimate(lambda w: (w[:, ::2] * w[:, 1::2]).square().sum(1), 400, **settings)
    wanted = exact(lambda x, y: (x * y) ** 2, 2000, 20.0, 2)
    assert found / 200 == pytest.approx(wanted, rel=0.05)
    sequence = [exact(lambda x, y: (x * y) ** 2, n, 5.0, 4) for n in (1e4, 1e8, 1e12)]
    assert sequence == sorted(sequence) and 0.44 < sequence[-1] < 0.5


def test_stronger_localization_lowers_it_as_algebra_says():
    """n beta / (n beta + gamma) of d/2."""
    scale = 1000 / np.log(1000)
    found = estimate(lambda w: (w**2).sum(1) / 2, 100, step=2e-4, localization=scale)
    assert found == pytest.approx(25, rel=0.06)


def test_at_a_maximum_it_is_negative_and_said_to_be():
    trace, sampling = sample(lambda w: -(w**2).sum(1) / 2, 3, step=1e-4, localization=400.0)
    assert llc.status(trace, sampling) == "negative"


def test_chains_that_have_not_settled_are_said_to_drift():
    trace, sampling = sample(lambda w: (w**2).sum(1) / 2, 100, step=2e-6, burn_in=200, draws=1000)
    assert llc.status(trace, sampling) == "drifting"
    assert llc.coefficients(trace, sampling).mean() < 30  # of 50


@pytest.mark.parametrize(("at_most", "said"), [(2.0, "valid"), (30.0, "unstable"), (np.nan, "not finite")])
def test_a_chain_that_runs_off_for_a_while_is_unstable(at_most, said):
    trace = np.ones((3, llc.BINS))
    trace[1, 7] = at_most
    assert llc.status(trace, Sampling()) == said
    early = np.ones((3, llc.BINS))
    early[1, 0] = at_most  # within burn-in
    assert llc.status(early, Sampling()) == "valid"


def test_chains_that_explode_are_not_finite():
    trace, sampling = sample(lambda w: (w**4).sum(1), 3, step=1.0, draws=200, burn_in=200)
    assert llc.status(trace, sampling) == "not finite"


def test_chains_have_random_numbers_of_their_own_and_belong_to_the_seed():
    loss, sampling = Made(lambda w: (w**2).sum(1), 100), Sampling(chains=3, burn_in=10, draws=30, step=1e-3)
    centre = torch.zeros(2, dtype=torch.float64)
    one, again = (llc.sgld(loss, centre, sampling, 0) for _ in range(2))
    other = llc.sgld(loss, centre, sampling, 1)
    assert np.array_equal(one, again) and not np.allclose(one[:, 5:], other[:, 5:])
    assert len({row[-1] for row in one}) == 3
    assert not one[:, 0].any()  # every chain begins at the centre


def test_burn_in_is_left_out():
    trace = np.concatenate([np.full((1, 4), 99.0), np.ones((1, 6))], 1)
    assert llc.coefficients(trace, Sampling()) == [1.0]
    assert llc.drawn(trace, Sampling(burn_in=600)).shape == (1, 2)
    assert llc.sampling_of(RUN, "three times the draws") == Sampling(burn_in=4, draws=18)
    usual = dataclasses.replace(RUN, epochs=30_000)
    assert llc.sampling_of(usual) == Sampling()
    assert llc.sampling_of(usual, "batches of a quarter") == Sampling(batch=128)
    assert llc.sampling_of(usual, "localization × 10") == Sampling(localization=100.0)


# --- networks -----------------------------------------------------------------------------------------------------------

TASK = ModularTask(prime=7, pairs="ordered", train_fraction=0.6, equals_sign=True, seed=0)
RUN = Run(task=TASK, model=AnswerTransformer(width=8, heads=2, head_width=4, hidden=6), epochs=60, seed=0)


@pytest.mark.parametrize("batch", [10, 512])
def test_the_training_loss_and_its_gradient_are_those_of_the_model(batch):
    sampling, data = Sampling(batch=batch, chains=2), TASK.data()
    loss = llc.TrainingLoss(RUN, sampling)
    assert (loss.examples, loss.batches) == (29, 3 if batch == 10 else 1)
    weights = torch.from_numpy(RUN.initial_weights()).expand(2, -1).clone()
    weights[1] *= 1.5
    pairs, labels = data.inputs[data.train, :2], data.labels[data.train]
    found = [(x.clone(), y.clone()) for x, y in (loss(weights, batch) for batch in range(loss.batches))]
    shares = [lookup.samples / 29 for lookup, _ in loss.parts]
    assert sum(shares) == pytest.approx(1)
    value, gradient = (sum(s * one for s, one in zip(shares, parts, strict=True)) for parts in zip(*found, strict=True))
    for chain in range(2):
        leaf = weights[chain : chain + 1].double().requires_grad_()
        W = {name: x[0] for name, x in cut(leaf, RUN.model.shapes(TASK)).items()}
        wanted = reference.mean_loss(W, pairs, labels, lambda W, a, b: reference.transformer_logits(W, a, b, 2))
        wanted.backward()
        assert value[chain].item() == pytest.approx(wanted.item(), rel=1e-6)
        np.testing.assert_allclose(gradient[chain], leaf.grad[0], rtol=1e-3, atol=1e-6)


def test_masked_weights_do_not_move_and_count_for_nothing():
    free = np.random.default_rng(0).random(RUN.length) < 0.5
    sampling, moved = Sampling(burn_in=5, draws=15, chains=2), []

    class Watched(llc.TrainingLoss):
        def __call__(self, weights, batch):
            moved.append(weights.numpy().copy())
            return super().__call__(weights, batch)

    centre = torch.from_numpy(RUN.initial_weights() * free)
    llc.sgld(Watched(RUN, sampling), centre, sampling, 0, torch.from_numpy(free).float())
    assert not moved[-1][:, ~free].any()
    assert (moved[-1][:, free] != centre.numpy()[free]).mean() > 0.99


def test_what_is_kept_of_a_run():
    rng = np.random.default_rng(0)
    weights = RUN.initial_weights() * (rng.random(RUN.length) < 0.5)
    kept = llc.summarize(RUN, dict.fromkeys(llc.checkpoint_epochs(RUN), weights))
    epochs = llc.checkpoint_epochs(RUN)
    assert kept["llc_epochs"].tolist() == epochs and epochs[-1] == 60
    assert kept["llc_traces"].shape == (2, len(epochs), 3, llc.BINS) and kept["llc_variants"].shape == (
        len(llc.VARIANTS),
        llc.BINS,
    )
    assert np.isfinite(kept["llc_traces"]).all()
    ticket = dataclasses.replace(RUN, start=Ticket(base=RUN, epoch=60, rate=0.4))
    assert "llc_variants" not in llc.summarize(ticket, dict.fromkeys(llc.checkpoint_epochs(RUN), weights))
    for traces, name in zip(kept["llc_traces"], llc.SAMPLINGS, strict=True):
        again = llc.of_network(RUN, weights, weights != 0, llc.sampling_of(RUN, name), seed=60)
        np.testing.assert_array_equal(traces[-1], again.astype(np.float32))  # whatever threads there are
