"""Starts: where each kind of run begins, and what is held while it trains."""

import dataclasses
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TINY_MODELS, as_matrices, assert_same, logits_of, tiny_run, train_dense
from reference import mean_loss, sizes

from lib.experiments.arms import Arm
from lib.experiments.parameters import load
from lib.train.models import MLP, Transformer, draw
from lib.train.optim import AdamW
from lib.train.pruning import SCORES, TopScores, loss_gradient, prune_by_score
from lib.train.runs import DeadNeurons, Dense, EdgePopup, Edited, Redense, Rescaled, Run, Scored, Shuffled, Ticket
from lib.train.tasks import generator
from lib.train.trainer import train

EPOCH, RATE = 150, 0.6
BASE = tiny_run()
TICKET = Ticket(base=BASE, epoch=EPOCH, rate=RATE)


@dataclasses.dataclass(frozen=True)
class Case:
    """A base, its weights at EPOCH [n], and the ticket that they make."""

    base: Run
    weights: np.ndarray
    ticket: Ticket

    def weights_of(self, run, epoch):
        """The weights that a start may ask for."""
        assert (run, epoch) == (self.base, EPOCH)
        return self.weights

    def make(self, run):
        """Starting weights and mask of a run."""
        assert set(run.start.needs()) <= {(self.base, EPOCH)}
        return run.start.make(run, self.weights_of)[:2]

    def run(self, start, **changes):
        """The base with another start."""
        return dataclasses.replace(self.base, start=start, **changes)

    def kept(self):
        """The ticket's mask, from the definition: all but the share RATE smallest weights of the base."""
        order = sorted(range(len(self.weights)), key=lambda i: abs(self.weights[i]))
        mask = np.ones(len(order), bool)
        mask[order[: round(RATE * len(order))]] = False
        return mask


@pytest.fixture(scope="module", params=TINY_MODELS)
def case(request):
    base = tiny_run(request.param)
    [trained] = train_dense([base], snapshots={base: {EPOCH}})
    return Case(base, trained.snapshots[EPOCH], Ticket(base=base, epoch=EPOCH, rate=RATE))


def trained(case, runs, epochs):
    """Weights of each run at some epochs, from a stack of its own: [{epoch: [n]}]."""
    return [one.snapshots for one in train(runs, [case.make(run) for run in runs], {run: set(epochs) for run in runs})]


# --- Dense, Ticket --------------------------------------------------------------------------------------------------------


def test_dense_is_all_initial_weights(case):
    weights, mask = case.make(case.base)
    assert np.array_equal(weights, draw(case.base.model, sizes(7), generator(case.base.seed, "weights")))
    assert mask is None


def test_a_ticket_is_the_masked_initial_weights(case):
    weights, mask = case.make(case.run(case.ticket))
    assert np.array_equal(mask, case.kept())
    assert np.array_equal(weights, case.base.initial_weights() * mask)
    assert weights.dtype == np.float32


def test_a_ticket_with_another_seed_is_the_bases_mask_on_that_seeds_weights(case):
    other = case.run(case.ticket, seed=1001)
    weights, mask = case.make(other)
    assert np.array_equal(mask, case.kept())
    fresh = draw(case.base.model, sizes(7), generator(1001, "weights"))
    assert not np.isin(fresh, case.base.initial_weights()).all()
    assert np.array_equal(weights, fresh * mask)
    assert other.task == case.base.task  # the same split


def test_a_ticket_that_is_not_rewound_keeps_the_trained_weights(case):
    run = case.run(dataclasses.replace(case.ticket, rewound=False))
    weights, mask = case.make(run)
    assert np.array_equal(mask, case.kept())
    assert np.array_equal(weights, np.where(case.kept(), case.weights, 0))
    assert weights.dtype == np.float32
    assert (weights[mask] != case.base.initial_weights()[mask]).all()
    [moved] = trained(case, [run], [0, 50])
    assert (moved[50][~mask] == 0).all()
    assert (moved[50][mask] != moved[0][mask]).all()


# --- Redense --------------------------------------------------------------------------------------------------------------


def test_redense_starts_from_the_ticket_and_then_all_weights_move(case):
    ticket, redense = case.run(case.ticket), case.run(Redense(ticket=case.ticket))
    (masked, mask), (start, held) = case.make(ticket), case.make(redense)
    assert start.tobytes() == masked.tobytes()
    assert held is None
    assert (start[~mask] == 0).all() and (start[mask] != 0).all()
    epochs = [0, 1, 37, 230]
    sparse, dense = trained(case, [ticket, redense], epochs)
    assert dense[0].tobytes() == sparse[0].tobytes()
    for epoch in epochs[1:]:
        assert (sparse[epoch][~mask] == 0).all()
    assert (dense[230][~mask] != 0).mean() > 0.9  # not quite all: some never see a gradient
    assert (sparse[230][mask] != sparse[0][mask]).all()


# --- Rescaled -------------------------------------------------------------------------------------------------------------


def norm_of(run, weights, norm, over):
    """The norm that a `Rescaled` speaks of."""
    power = {"l1": 1, "l2": 2}[norm]
    matrices = as_matrices(weights.astype(np.float64), run.model.shapes(run.task)).values()
    sums = [(np.abs(matrix) ** power).sum() for matrix in matrices]
    if over == "matrices":
        return np.mean([s ** (1 / power) for s in sums])
    return sum(sums) ** (1 / power)


@pytest.mark.parametrize("over", ["all", "matrices"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_rescaled_has_the_tickets_norm_and_its_own_direction(case, norm, over):
    run = case.run(Rescaled(ticket=case.ticket, norm=norm, over=over))
    weights, mask = case.make(run)
    initial, wanted = case.base.initial_weights(), norm_of(run, case.base.initial_weights() * case.kept(), norm, over)
    assert mask is None
    assert weights.dtype == np.float32
    assert norm_of(run, weights, norm, over) == pytest.approx(wanted, rel=1e-6)
    ratio = wanted / norm_of(run, initial, norm, over)
    assert 0.2 < ratio < 0.95
    np.testing.assert_allclose(weights, initial.astype(np.float64) * ratio, rtol=1e-6)


def test_the_two_l2_norms_are_two():
    """Else the test above could not tell them apart; the two L1 norms are one, up to the number of matrices."""
    run = tiny_run()
    kept = np.arange(len(run.initial_weights())) % 7 > 3
    kept[: run.parts()["W_E"].stop] = True
    ratios = {
        (norm, over): norm_of(run, run.initial_weights() * kept, norm, over)
        / norm_of(run, run.initial_weights(), norm, over)
        for norm in ("l1", "l2")
        for over in ("all", "matrices")
    }
    assert abs(ratios["l2", "all"] - ratios["l2", "matrices"]) > 1e-3
    assert ratios["l1", "all"] == pytest.approx(ratios["l1", "matrices"], rel=1e-12)


# --- Scored ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("method", SCORES)
def test_scores_of_the_initial_weights_mask_them_and_the_mask_is_held(case, method, rounds):
    run = case.run(Scored(method=method, rate=RATE, rounds=rounds))
    assert run.start.needs() == []
    weights, mask, _ = run.start.make(run, None)
    initial = case.base.initial_weights()
    assert np.array_equal(mask, prune_by_score(SCORES[method], run.model, run.task, initial, RATE, rounds))
    assert (~mask).sum() == round(RATE * len(mask))
    assert np.array_equal(weights, initial * mask)
    [moved] = trained(case, [run], [0, 50])
    assert (moved[50][~mask] == 0).all()
    assert (moved[50][mask] != moved[0][mask]).mean() > 0.5


@pytest.mark.parametrize("method", SCORES)
def test_scores_of_trained_weights_mask_the_initial_ones(case, method):
    run = case.run(Scored(method=method, rate=RATE, trained=case.ticket))
    assert run.start.needs() == [(case.base, EPOCH)]
    weights, mask = case.make(run)
    assert np.array_equal(mask, prune_by_score(SCORES[method], run.model, run.task, case.weights, RATE))
    assert np.array_equal(weights, case.base.initial_weights() * mask)
    of_initial = Scored(method=method, rate=RATE).make(run, None)[1]
    assert np.array_equal(mask, of_initial) == (method == "random")


def test_every_method_has_a_mask_of_its_own(case):
    masks = [Scored(method=method, rate=RATE).make(case.base, None)[1].tobytes() for method in SCORES]
    assert len({*masks, case.kept().tobytes()}) == 5


# --- without attention's scores -------------------------------------------------------------------------------------------

SCORING = ("W_Q", "W_K")
HEADS = {1: TINY_MODELS["transformer"], 2: Transformer(width=12, heads=2, head_width=6, hidden=8, positions=True)}


@pytest.fixture(scope="module", params=HEADS, ids=lambda heads: f"{heads} heads")
def attending(request):
    """A case of a transformer, whose ticket keeps some of every matrix."""
    base = dataclasses.replace(tiny_run("transformer"), model=HEADS[request.param])
    [of_base] = train_dense([base], snapshots={base: {EPOCH}})
    out = Case(base, of_base.snapshots[EPOCH], Ticket(base=base, epoch=EPOCH, rate=RATE))
    assert all(0 < part.mean() < 1 for part in as_matrices(out.kept(), base.model.shapes(sizes(7))).values())
    return out


def scoring(run):
    """Mask [n] of W_Q and W_K, entry by entry of the matrices in their order."""
    shapes = run.model.shapes(sizes(7))
    return np.concatenate([np.full(rows * cols, name in SCORING) for name, (rows, cols) in shapes.items()])


def uniform_logits(W, a, b):
    """Logits of a transformer that attends to both tokens alike, whatever W_Q and W_K: all heads see their mean."""
    x = [W["W_E"][token] + (W["W_pos"][i] if "W_pos" in W else 0) for i, token in enumerate((a, b))]
    residual = x[1] + W["W_O"] @ (W["W_V"] @ (x[0] + x[1])) / 2
    return W["W_U"] @ (residual + W["W_out"] @ torch.relu(W["W_in"] @ residual))


def test_without_its_scores_a_transformer_attends_to_both_tokens_alike(attending):
    run = attending.run(Edited(of=Dense(), without=SCORING))
    weights, mask = attending.make(run)
    gone, data = scoring(run), run.task.data()
    assert np.array_equal(mask, ~gone)
    assert np.array_equal(weights, np.where(gone, 0, run.initial_weights()))
    assert weights.dtype == np.float32
    [dense] = train([run], [(weights, mask)], {run: {0, 37, 230}})
    for epoch, at in dense.snapshots.items():
        assert (at[gone] == 0).all() and (at[~gone] != 0).all()
        W = {name: torch.from_numpy(x).double() for name, x in as_matrices(at, run.model.shapes(sizes(7))).items()}
        [row] = np.flatnonzero(run.evaluated_epochs == epoch) if epoch != 37 else [None]
        for rows in ("train", "test"):
            pairs, labels = data.inputs[getattr(data, rows)], data.labels[getattr(data, rows)]
            wanted = mean_loss(W, pairs, labels, uniform_logits)
            assert mean_loss(W, pairs, labels, logits_of(run.model)).item() == pytest.approx(wanted.item(), rel=1e-12)
            if row is not None:
                assert dense.metrics[f"{rows}_loss"][row] == pytest.approx(wanted.item(), rel=1e-4)


def test_scores_that_are_zero_get_no_gradient_so_that_no_mask_needs_to_hold_them(attending):
    run = attending.run(Edited(of=Dense(), without=SCORING))
    weights, mask = attending.make(run)
    gone = scoring(run)
    gradient = loss_gradient(run.model, run.task, weights)
    assert (gradient[gone] == 0).all() and (gradient[~gone] != 0).mean() > 0.9
    assert (loss_gradient(run.model, run.task, run.initial_weights())[gone] != 0).all()
    one_alone = attending.make(attending.run(Edited(of=Dense(), without=SCORING[:1])))[0]
    assert (loss_gradient(run.model, run.task, one_alone)[gone & (one_alone == 0)] != 0).all()
    held, free = (train([run], [(weights, m)], {run: {230}})[0].snapshots[230] for m in (mask, None))
    assert (free[gone] == 0).all()
    assert np.array_equal(free, held)


def test_a_random_mask_takes_attention_first(attending):
    run = attending.run(Scored(method="random", rate=RATE, first=SCORING))
    weights, mask = attending.make(run)
    gone, plain = scoring(run), Scored(method="random", rate=RATE).make(run, None).mask
    assert gone.sum() < round(RATE * len(mask)) == (~mask).sum()
    assert not mask[gone].any() and plain[gone].any()
    assert np.array_equal(weights, run.initial_weights() * mask)
    # What else goes are the lowest of the same random numbers.
    scores = generator(run.task.seed, "random pruning").random(len(mask))
    assert scores[~gone & ~mask].max() < scores[mask].min()
    kept = as_matrices(mask, run.model.shapes(sizes(7)))
    expected = (1 - RATE) * len(mask) / (~gone).sum()
    for name, part in kept.items():
        if name not in SCORING:
            assert abs(part.mean() - expected) < 4 * math.sqrt(expected * (1 - expected) / part.size)


def test_matrices_larger_than_the_rate_are_emptied_as_far_as_it_allows(attending):
    run = attending.run(Scored(method="random", rate=0.1, first=SCORING))
    mask, gone = attending.make(run)[1], scoring(run)
    assert (~mask).sum() == round(0.1 * len(mask)) < gone.sum()
    assert mask[~gone].all()


@pytest.mark.parametrize("over", ["all", "matrices"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_dense_network_without_scores_gets_the_tickets_norm(attending, norm, over):
    run = attending.run(Rescaled(ticket=attending.ticket, norm=norm, over=over, without=SCORING))
    weights, mask = attending.make(run)
    gone, initial = scoring(run), run.initial_weights()
    assert np.array_equal(mask, ~gone)
    assert (weights[gone] == 0).all()
    assert weights.dtype == np.float32
    wanted = norm_of(run, initial * attending.kept(), norm, over)
    assert norm_of(run, weights, norm, over) == pytest.approx(wanted, rel=1e-6)
    ratios = weights[~gone].astype(np.float64) / initial[~gone]
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=1e-6)


def test_a_ticket_gets_its_attention_back(attending):
    run = attending.run(Edited(of=attending.ticket, whole=SCORING))
    assert run.start.needs() == [(attending.base, EPOCH)]
    weights, mask = attending.make(run)
    gone = scoring(run)
    assert np.array_equal(mask, attending.kept() | gone)
    assert mask.sum() > attending.kept().sum()
    assert np.array_equal(weights, np.where(mask, run.initial_weights(), 0))
    [moved] = trained(attending, [run], [50])
    assert (moved[50][~mask] == 0).all()
    assert (moved[50][gone] != run.initial_weights()[gone]).all()


def test_what_is_taken_and_given_back_stays_away(attending):
    """A matrix that is named in both is zero and held."""
    mask = attending.make(attending.run(Edited(of=attending.ticket, without=["W_Q"], whole=list(SCORING))))[1]
    parts = as_matrices(mask, attending.base.model.shapes(sizes(7)))
    assert not parts["W_Q"].any() and parts["W_K"].all()


# --- Shuffled -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["matrix", "neuron"])
def test_a_shuffled_ticket_keeps_its_counts_and_moves_its_edges(case, keep):
    run = case.run(Shuffled(ticket=case.ticket, keep=keep))
    assert run.start.needs() == [(case.base, EPOCH)]
    weights, mask = case.make(run)
    assert mask.dtype == bool
    assert np.array_equal(weights, np.where(mask, run.initial_weights(), 0))
    shapes = run.model.shapes(sizes(7))
    pairs = [(as_matrices(mask, shapes)[name], as_matrices(case.kept(), shapes)[name]) for name in shapes]
    assert all(one.sum() == other.sum() for one, other in pairs)
    same_degrees = [all(np.array_equal(one.sum(axis), other.sum(axis)) for axis in (0, 1)) for one, other in pairs]
    assert all(same_degrees) if keep == "neuron" else not all(same_degrees)
    moved = (mask & ~case.kept()).sum() / case.kept().sum()
    assert 0.1 < moved < 1
    assert np.array_equal(case.make(run)[1], mask)
    other_seed = dataclasses.replace(run, seed=1)
    assert not np.array_equal(case.make(other_seed)[1], mask)


# --- replicas -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [*TINY_MODELS.values(), Transformer(width=12, head_width=6, hidden=8, biases=True)], ids=str
)
def test_a_replica_is_one_unit_in_the_last_place_away(model):
    run = dataclasses.replace(tiny_run(), model=model)
    replicas = [dataclasses.replace(run, rounding=i).initial_weights() for i in (1, 2)]
    weights = run.initial_weights()
    drawn = weights != 0  # biases start at zero and stay there
    for replica in replicas:
        assert replica.dtype == np.float32
        assert np.array_equal(replica[~drawn], weights[~drawn])
        # The next numbers of one sign have the next integers as their bits.
        steps = replica.view(np.int32)[drawn].astype(np.int64) - weights.view(np.int32)[drawn]
        assert set(steps.tolist()) == {-1, 1}
        apart = np.abs(replica.astype(float) - weights.astype(float))[drawn]
        nearest = np.minimum(np.abs(weights[drawn]), np.abs(replica[drawn]))
        assert np.array_equal(apart, np.spacing(nearest).astype(float))
        assert 0.4 < (replica > weights)[drawn].mean() < 0.6
    assert not np.array_equal(*replicas)
    assert np.array_equal(dataclasses.replace(run, rounding=1).initial_weights(), replicas[0])
    assert not np.array_equal(dataclasses.replace(run, rounding=1, seed=1).initial_weights(), replicas[0])


def test_a_replica_is_a_run_of_its_own_and_a_run_without_is_what_it_was():
    """Fields that were added later leave the names of all earlier runs alone."""
    run = tiny_run()
    assert tiny_run(rounding=0) == run
    assert len({tiny_run(rounding=i).key for i in range(3)}) == 3
    assert str(tiny_run(rounding=2)) == "MLP (width 12, hidden 8), Dense on a+b mod 7, seed 0, rounding 2, 230 epochs"
    assert '"rounding":2' in tiny_run(rounding=2).canonical
    keys = {  # as they were before there were replicas, `rewound`, `without` and `first`
        "3ad69c90925445b57f9e": Dense(),
        "79b834435df69f0315a3": TICKET,
        "e9086af5dc7cb2ed9731": Rescaled(ticket=TICKET, norm="l2", over="all"),
        "deeebd2f1e868399dd7c": Scored(method="random", rate=RATE),
    }
    for key, start in keys.items():
        found = dataclasses.replace(run, start=start)
        assert found.key == key
        assert not any(f'"{name}"' in found.canonical for name in ("rounding", "rewound", "without", "first"))


# --- the arms that these are made for -------------------------------------------------------------------------------------

PROFILE = load("paper").model_copy(update={"epochs": 230, "ticket_epoch": EPOCH, "pruning_rate": RATE})


@pytest.mark.parametrize(
    ("arm", "start"),
    [
        (Arm("uniform"), lambda t: Edited(of=Dense(), without=SCORING)),
        (Arm("random-uniform"), lambda t: Scored(method="random", rate=RATE, first=SCORING)),
        (Arm("l2-uniform"), lambda t: Rescaled(ticket=t, norm="l2", over="matrices", without=SCORING)),
        (Arm("l1-uniform"), lambda t: Rescaled(ticket=t, norm="l1", over="matrices", without=SCORING)),
        (Arm("ticket-attention"), lambda t: Edited(of=t, whole=SCORING)),
        (Arm("shuffled"), lambda t: Shuffled(ticket=t, keep="matrix")),
        (Arm("shuffled-degrees"), lambda t: Shuffled(ticket=t, keep="neuron")),
        (Arm("un-rewound"), lambda t: Ticket(base=t.base, epoch=230, rate=RATE, rewound=False)),
        (Arm("random-rate", 0.9), lambda t: Scored(method="random", rate=0.9)),
        (Arm("l2-rate", 0.9), lambda t: Rescaled(ticket=dataclasses.replace(t, rate=0.9), norm="l2", over="matrices")),
        (Arm("l1-rate", 0.9), lambda t: Rescaled(ticket=dataclasses.replace(t, rate=0.9), norm="l1", over="matrices")),
    ],
    ids=lambda x: x.label if isinstance(x, Arm) else "",
)
@pytest.mark.parametrize("rounding", [0, 1])
def test_an_arm_differs_from_its_base_in_its_start_alone(arm, start, rounding):
    base = tiny_run("transformer", rounding=rounding)
    run = arm.run(base, PROFILE)
    assert run == dataclasses.replace(base, start=start(Ticket(base=base, epoch=EPOCH, rate=RATE)))


def test_the_mask_of_an_unrewound_network_is_of_the_last_epoch():
    long = tiny_run(epochs=460)  # another budget: the ticket is cut at the same share of it, this one at its end
    assert Arm("un-rewound").run(long, PROFILE).start.epoch == 460
    assert Arm("ticket").run(long, PROFILE).start.epoch == 2 * EPOCH


# --- DeadNeurons ----------------------------------------------------------------------------------------------------------

NORMS = [0.5, 0.004, 1.0, 0.04, 0.0, 0.3, 0.06, 0.02]  # of the rows of W_in W_E, by hand


@pytest.fixture
def dead():
    """A case with one MLP whose hidden neurons have NORMS as the norms of their rows of W_in W_E."""
    base = tiny_run()
    weights = np.random.default_rng(0).standard_normal(len(base.initial_weights())).astype(np.float32)
    matrices = as_matrices(weights, base.model.shapes(sizes(7)))  # views: what follows lands in `weights`
    matrices["W_E"][:, :2] = 0  # nothing of an embedding reaches what W_in reads in its first two columns
    embedding = matrices["W_E"].astype(np.float64)
    for neuron, norm in enumerate(NORMS):
        # Every other neuron answers to one token alone, the others to all alike: other norms than L2 would differ.
        row = np.eye(7)[neuron % 7] if neuron % 2 == 0 else np.full(7, 7**-0.5)
        matrices["W_in"][neuron] = np.linalg.lstsq(embedding, norm * row)[0]
        matrices["W_in"][neuron, :2] = 100 - 10 * neuron  # so the rows of W_in alone say nothing
    return Case(base, weights, Ticket(base=base, epoch=EPOCH, rate=RATE))


def edges_of(neurons):
    """Mask [n] of what leads into and out of hidden neurons, entry by entry: W_E 7 x 12, W_in 8 x 12, W_out 12 x 8."""
    edges = np.zeros(7 * 12 + 8 * 12 + 12 * 8 + 7 * 12, bool)
    for neuron in neurons:
        for i in range(12):
            edges[7 * 12 + neuron * 12 + i] = True
            edges[7 * 12 + 8 * 12 + i * 8 + neuron] = True
    return edges


THRESHOLDS = pytest.mark.parametrize(
    ("threshold", "neurons"),
    [(0.001, [4]), (0.01, [1, 4]), (0.05, [1, 3, 4, 7]), (0.2, [1, 3, 4, 6, 7]), (0.99, [0, 1, 3, 4, 5, 6, 7])],
)


@THRESHOLDS
def test_kill_prunes_the_edges_of_dead_neurons_and_nothing_else(dead, threshold, neurons):
    run = dead.run(DeadNeurons(ticket=dead.ticket, revive=False, threshold=threshold))
    weights, mask = dead.make(run)
    assert np.array_equal(mask, ~edges_of(neurons))
    assert (~mask).sum() == len(neurons) * 24
    assert np.array_equal(weights, dead.base.initial_weights() * mask)


@THRESHOLDS
def test_revive_gives_the_ticket_the_edges_of_dead_neurons_and_nothing_else(dead, threshold, neurons):
    run = dead.run(DeadNeurons(ticket=dead.ticket, revive=True, threshold=threshold))
    weights, mask = dead.make(run)
    assert np.array_equal(mask, dead.kept() | edges_of(neurons))
    assert mask.sum() > dead.kept().sum()
    assert np.array_equal(weights, dead.base.initial_weights() * mask)


def test_a_dead_neuron_is_dead_relative_to_the_largest(dead):
    """The same net with all embeddings ten times as large: more norms lie above 0.05, and no other neuron is dead."""
    start = DeadNeurons(ticket=dead.ticket, revive=False)
    assert start.threshold == 0.05
    as_matrices(dead.weights, dead.base.model.shapes(sizes(7)))["W_E"][:] *= 10
    assert np.array_equal(dead.make(dead.run(start))[1], ~edges_of([1, 3, 4, 7]))


# --- what is refused ------------------------------------------------------------------------------------------------------

WEIGHTS = BASE.initial_weights()
RATE_RULE = "it must be at least 0 and below 1"
ONE_LAYER = "dead neurons are those of an MLP with one hidden layer, not of "


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *(
            (lambda rate=rate, start=start: start(rate), f"pruning rate is {rate}; {RATE_RULE}")
            for rate in (-0.1, 1.0, 60, math.nan)
            for start in (
                lambda rate: Ticket(base=BASE, epoch=EPOCH, rate=rate),
                lambda rate: Scored(method="snip", rate=rate),
            )
        ),
        *(
            (
                lambda epoch=epoch: Ticket(base=BASE, epoch=epoch, rate=RATE),
                f"epoch is {epoch}; it must lie between 0 and the base's 230",
            )
            for epoch in (-1, 231)
        ),
        (lambda: Rescaled(ticket=TICKET, norm="l3", over="all"), "norm is 'l3'; it must be 'l1' or 'l2'"),
        (lambda: Rescaled(ticket=TICKET, norm=2, over="all"), "norm is 2; it must be 'l1' or 'l2'"),
        (lambda: Rescaled(ticket=TICKET, norm="l2", over="mean"), "over is 'mean'; it must be 'all' or 'matrices'"),
        (
            lambda: Scored(method="magnitude", rate=RATE),
            "method is 'magnitude'; it must be one of random, snip, grasp, synflow",
        ),
        (lambda: Scored(method="synflow", rate=RATE, rounds=0), "rounds is 0; it must be at least 1"),
        *(
            (
                lambda threshold=threshold: DeadNeurons(ticket=TICKET, revive=True, threshold=threshold),
                f"threshold is {threshold}; it must lie between 0 and 1",
            )
            for threshold in (-0.1, 0, 1, 5, math.nan)
        ),
        *(
            (
                lambda model=model: DeadNeurons(
                    ticket=dataclasses.replace(TICKET, base=dataclasses.replace(BASE, model=model)), revive=False
                ),
                f"{ONE_LAYER}{model}",
            )
            for model in (TINY_MODELS["transformer"], MLP(width=12, hidden=8, hidden_layers=2))
        ),
        *(
            (
                lambda keep=keep: Shuffled(ticket=TICKET, keep=keep),
                f"keep is {keep!r}; it must be one of count, matrix, neuron",
            )
            for keep in ("layer", None)
        ),
        *(
            (
                lambda start=start: dataclasses.replace(BASE, start=start).start.make(BASE, lambda run, epoch: WEIGHTS),
                f"there is no matrix 'W_Q'; the matrices of {BASE.model} are W_E, W_in, W_out, W_U",
            )
            for start in (
                Edited(of=Dense(), without=SCORING),
                Edited(of=TICKET, whole=SCORING),
                Scored(method="random", rate=RATE, first=SCORING),
                Rescaled(ticket=TICKET, norm="l2", over="all", without=SCORING),
            )
        ),
        (lambda: EdgePopup(base=BASE, epoch=231, rate=RATE), "epoch is 231; it must lie between 0 and the base's 230"),
        (
            lambda: EdgePopup(base=BASE, epoch=1, rate=1.0),
            "pruning rate is 1.0; it must be at least 0 and below 1",
        ),
        (
            lambda: EdgePopup(base=tiny_run("transformer"), epoch=1, rate=RATE),
            f"edge-popup is done on an MLP, not on {TINY_MODELS['transformer']}",
        ),
        (lambda: tiny_run(epochs=0), "epochs is 0; it must be at least 1"),
    ],
)
def test_an_impossible_setting_is_refused_in_one_sentence_that_names_it(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


# --- EdgePopup ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def popup():
    """A base, its weights at EPOCH, and two runs whose scores choose among them, with decay and without."""
    [base] = train_dense([BASE], snapshots={BASE: {EPOCH}})
    start = EdgePopup(base=BASE, epoch=EPOCH, rate=RATE)
    runs = [dataclasses.replace(BASE, start=start, optimizer=AdamW(learning_rate=0.01, weight_decay=x)) for x in (1, 0)]
    weights = base.snapshots[EPOCH]
    return SimpleNamespace(
        weights=weights, runs=runs, starts=[run.start.make(run, lambda *of: weights) for run in runs]
    )


def chosen(run, scores):
    """The mask that scores [n] choose, from the definition: of each matrix all but the share RATE smallest by absolute value."""
    parts = []
    for matrix in as_matrices(scores, run.model.shapes(run.task)).values():
        order = sorted(range(matrix.size), key=lambda i: abs(matrix.flat[i]))
        mask = np.ones(matrix.size, bool)
        mask[order[: round(RATE * matrix.size)]] = False
        parts.append(mask)
    return np.concatenate(parts)


def test_scores_of_edge_popup_start_within_the_root_of_the_fan_in_and_weights_are_the_bases(popup):
    run, (scores, mask, to_weights) = popup.runs[0], popup.starts[0]
    assert run.start.needs() == [(BASE, EPOCH)] and mask is None and scores.dtype == np.float32
    for name, part in as_matrices(scores, run.model.shapes(run.task)).items():
        bound = {"W_E": 7, "W_in": 12, "W_out": 8, "W_U": 12}[name] ** -0.5
        assert 0.8 * bound < abs(part).max() <= bound and abs(part.mean()) < bound / 4
    assert np.array_equal(to_weights.weights(torch.from_numpy(scores)).numpy(), popup.weights * chosen(run, scores))


def test_edge_popup_moves_scores_as_pytorch_does_with_the_gradient_passed_straight_through(popup, double):
    steps = 50
    trained_runs = [
        train([run], [start], {run: {steps}}, until=steps)[0]
        for run, start in zip(popup.runs, popup.starts, strict=True)
    ]
    data, shapes = BASE.task.data(), BASE.model.shapes(BASE.task)
    fixed = torch.from_numpy(popup.weights).double()
    for run, (start, *_), one in zip(popup.runs, popup.starts, trained_runs, strict=True):
        scores = torch.from_numpy(start).double().requires_grad_()
        theirs = torch.optim.AdamW(
            [scores], lr=0.01, betas=(0.9, 0.98), weight_decay=run.optimizer.weight_decay, eps=1e-8
        )
        for _ in range(steps):
            mask = torch.from_numpy(chosen(run, scores.detach().numpy())).double()
            through = mask + scores.abs() - scores.abs().detach()
            weights = as_matrices(fixed * through, shapes)
            theirs.zero_grad()
            mean_loss(weights, data.inputs[data.train], data.labels[data.train], logits_of(BASE.model)).backward()
            theirs.step()
        assert (chosen(run, scores.detach().numpy()) != chosen(run, start)).sum() > 10  # the choice has changed
        assert np.array_equal(one.snapshots[steps], popup.weights * chosen(run, scores.detach().numpy()))
        assert np.array_equal(one.mask, chosen(run, scores.detach().numpy()))


def test_edge_popup_holds_the_weights_and_keeps_an_exact_share_of_each_matrix(popup):
    epochs = [0, 1, 37, 230]
    for run, start in zip(popup.runs, popup.starts, strict=True):
        [one] = train([run], [start], {run: set(epochs)})
        for weights in one.snapshots.values():
            assert np.array_equal(weights[weights != 0], popup.weights[weights != 0])
            for part in BASE.parts().values():
                assert (weights[part] == 0).sum() == round(RATE * (part.stop - part.start))
        assert np.array_equal(one.mask, one.snapshots[230] != 0)
        assert one.metrics["train_loss"][-1] < one.metrics["train_loss"][0]


def test_edge_popup_alone_or_stacked_with_others_has_the_same_bits(popup):
    [alone] = train(popup.runs[:1], popup.starts[:1], {popup.runs[0]: {230}})
    plain = dataclasses.replace(BASE, optimizer=popup.runs[0].optimizer)
    stacked, _ = train(
        [popup.runs[0], plain], [popup.starts[0], (BASE.initial_weights(), None)], {popup.runs[0]: {230}}
    )
    assert_same(alone, stacked)
    assert np.array_equal(alone.mask, stacked.mask)


def test_equal_scores_are_cut_to_the_exact_share_too():
    top = TopScores(torch.ones(10), [slice(0, 10)], [4])
    for scores in (torch.zeros(10), torch.tensor([2.0, -2] * 5), torch.tensor([0.0] * 8 + [1, -3])):
        mask = top.mask(scores).bool()
        assert mask.sum() == 4 and scores.abs()[~mask].max() <= scores.abs()[mask].min()


# --- what a run says of itself --------------------------------------------------------------------------------------------


def test_every_setting_of_every_start_is_part_of_what_a_run_is():
    starts = [
        Dense(),
        TICKET,
        Redense(ticket=TICKET),
        *(Rescaled(ticket=TICKET, norm=norm, over=over) for norm in ("l1", "l2") for over in ("all", "matrices")),
        *(Scored(method=method, rate=RATE) for method in SCORES),
        Scored(method="synflow", rate=0.5),
        Scored(method="synflow", rate=RATE, rounds=100),
        Scored(method="synflow", rate=RATE, trained=TICKET),
        Scored(method="synflow", rate=RATE, trained=dataclasses.replace(TICKET, epoch=149)),
        *(DeadNeurons(ticket=TICKET, revive=revive, threshold=t) for revive in (True, False) for t in (0.05, 0.2)),
        dataclasses.replace(TICKET, rewound=False),
        Scored(method="random", rate=RATE, first=SCORING),
        Scored(method="random", rate=RATE, first=SCORING[:1]),
        Rescaled(ticket=TICKET, norm="l1", over="all", without=SCORING),
        *(Edited(of=of, without=SCORING) for of in (Dense(), TICKET)),
        Edited(of=TICKET, whole=SCORING),
        *(Shuffled(ticket=TICKET, keep=keep) for keep in ("matrix", "neuron")),
        *(EdgePopup(base=BASE, epoch=epoch, rate=rate) for epoch, rate in ((0, 0.6), (EPOCH, 0.6), (EPOCH, 0.5))),
    ]
    starts += [Redense(ticket=dataclasses.replace(TICKET, rate=0.5))]
    runs = [dataclasses.replace(BASE, start=start) for start in starts]
    runs += [dataclasses.replace(BASE, optimizer=AdamW(decay_until=x)) for x in (0.9, 0.99)]
    runs += [dataclasses.replace(BASE, rounding=i) for i in (1, 2)]
    assert len({run.key for run in runs}) == len({str(run) for run in runs}) == len(set(runs)) == len(runs)


def test_a_run_in_words():
    assert str(BASE) == "MLP (width 12, hidden 8), Dense on a+b mod 7, seed 0, 230 epochs"
    long = Run(
        task=BASE.task,
        model=MLP(),
        start=Redense(ticket=TICKET),
        optimizer=AdamW(weight_decay=0.5, decay_until=0.99),
        epochs=230,
        seed=3,
    )
    assert str(long) == (
        "MLP, Redense (Ticket (epoch 150, rate 0.6)) on a+b mod 7, seed 3, 230 epochs (weight_decay 0.5, decay_until 0.99)"
    )


@pytest.mark.parametrize("name", TINY_MODELS)
def test_the_parts_of_a_run_are_its_matrices(name):
    run = tiny_run(name)
    vector = np.arange(len(run.initial_weights()))
    wanted = as_matrices(vector, run.model.shapes(sizes(7)))
    assert list(run.parts()) == list(run.split(vector)) == list(wanted)
    for matrix in wanted:
        assert np.array_equal(run.split(vector)[matrix], wanted[matrix])
        assert np.array_equal(vector[run.parts()[matrix]], wanted[matrix].ravel())
    run.split(vector)["W_U"][:] = -1  # a view
    assert (vector[run.parts()["W_U"]] == -1).all()
