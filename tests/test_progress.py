"""Progress measures: against explicit sums, brute force, and a network built by hand that adds by known frequencies."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax

from lib.analysis import fourier, progress
from lib.train.models import MLP, AnswerTransformer
from lib.train.runs import Run
from lib.train.tasks import ModularTask
from lib.train.trainer import train

P, KEYS = 23, (3, 7, 10)
LABELS = progress.sums(P)


def adder(keys=KEYS, p=P, phases=16, scale=30.0):
    """An MLP, as its tables [h, p], that adds modulo p by waves of known frequencies.

    Neuron (k, phi) is ReLU(cos(wa + phi) + cos(wb + phi)) = ReLU(2 cos(w(a - b)/2) cos(w(a + b)/2 + phi)). Read with weights
    cos(wc + 2 phi) and summed over phi it gives |cos(w(a - b)/2)| cos w(a + b - c), up to waves that cancel.
    """
    w, angles = 2 * np.pi / p, 2 * np.pi * np.arange(phases) / phases
    token = np.arange(p)
    inputs = np.stack([np.cos(w * k * token + phi) for k in keys for phi in angles])
    outputs = scale * np.stack([np.cos(w * k * token + 2 * phi) for k in keys for phi in angles])
    return inputs, outputs


@pytest.fixture(scope="module")
def by_hand():
    return progress.of_tables(*adder())


@pytest.fixture(scope="module")
def some_pairs():
    return np.random.default_rng(0).random((P, P)) < 0.4


def test_the_network_built_by_hand_adds(by_hand):
    assert np.array_equal(by_hand.logits.argmax(2), LABELS)


@pytest.mark.parametrize("keys", [KEYS, (1,), (2, 4, 8, 11)])
def test_its_key_frequencies_are_found_exactly(keys):
    assert progress.key_frequencies(progress.of_tables(*adder(keys)).neurons).tolist() == list(keys)


def test_key_frequencies_are_found_under_noise(by_hand):
    noise = np.random.default_rng(0).standard_normal(by_hand.neurons.shape)
    assert progress.key_frequencies(by_hand.neurons + 0.2 * noise).tolist() == list(KEYS)


def test_where_nothing_is_explained_one_frequency_is_key():
    noise = np.random.default_rng(0).standard_normal((P, P, 40))
    assert len(progress.key_frequencies(noise)) == 1
    assert len(progress.key_frequencies(np.zeros((P, P, 4)))) == 1


def test_its_restricted_loss_is_near_zero_and_its_excluded_losses_are_large(by_hand, some_pairs):
    found = progress.measures(by_hand, KEYS, LABELS, some_pairs)
    assert found["train_loss"] < 1e-3 and found["test_loss"] < 1e-3
    assert found["restricted"] < 1e-3 and found["restricted_train"] < 1e-3
    of_keys, others = found["excluded"][np.array(KEYS) - 1], np.delete(found["excluded"], np.array(KEYS) - 1)
    assert of_keys.min() > 30 * others.max()
    assert of_keys.min() > 0.05
    without_any = by_hand.logits - sum(progress.wave(progress.by_sum(by_hand.logits), k) for k in KEYS)[LABELS]
    assert progress.losses(without_any, LABELS)[some_pairs].mean() > 1


def test_what_a_network_has_memorized_is_not_in_its_restricted_loss(some_pairs):
    """Right answers on the training pairs alone, put in by hand: excluded loss stays low, restricted loss high."""
    logits = np.zeros((P, P, P))
    a, b = np.nonzero(some_pairs)
    logits[a, b, LABELS[a, b]] = 20
    found = progress.measures(progress.Grid(logits, np.zeros((P, P, 2))), KEYS, LABELS, some_pairs)
    assert found["train_loss"] < 1e-6 and found["test_loss"] > 3
    assert found["restricted"] > 1 and found["excluded"].max() < 0.01


def test_of_tables_is_the_model_itself():
    task = ModularTask(prime=7, train_fraction=0.5, seed=0)
    run = Run(task=task, model=MLP(width=9, hidden=5), seed=0)
    weights = run.initial_weights()
    one, other = progress.on_grid(run, weights), progress.of_tables(*fourier.tables(run, weights))
    np.testing.assert_allclose(one.logits, other.logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.neurons, other.neurons, rtol=1e-5, atol=1e-6)


def test_projections_are_explicit_sums():
    rng = np.random.default_rng(0)
    p = 7
    logits, labels = rng.standard_normal((p, p, p)), progress.sums(p)
    for k in (1, 3):
        w = 2 * np.pi * k / p
        removed = np.zeros_like(logits)
        for of in (np.cos, np.sin):
            basis = np.array([[of(w * (a + b)) for b in range(p)] for a in range(p)])
            basis /= np.sqrt((basis**2).sum())
            for c in range(p):
                removed[:, :, c] += sum(basis[a, b] * logits[a, b, c] for a in range(p) for b in range(p)) * basis
        np.testing.assert_allclose(progress.wave(progress.by_sum(logits), k)[labels], removed, atol=1e-12)
        train = rng.random((p, p)) < 0.5
        wanted = -np.mean([log_softmax(logits[a, b] - removed[a, b])[labels[a, b]] for a, b in np.argwhere(train)])
        excluded = progress.measures(progress.Grid(logits, logits), [k], labels, train)["excluded"]
        assert excluded[k - 1] == pytest.approx(wanted, rel=1e-12)
        left = removed + logits.mean((0, 1))
        wanted = [[-log_softmax(left[a, b])[labels[a, b]] for b in range(p)] for a in range(p)]
        np.testing.assert_allclose(progress.restricted_losses(logits, [k], labels), wanted, rtol=1e-12)


def test_all_waves_and_the_constant_are_the_table():
    table = np.random.default_rng(0).standard_normal((P, P))
    total = table.mean(0) + sum(progress.wave(table, k) for k in range(1, P // 2 + 1))
    np.testing.assert_allclose(total, table, atol=1e-12)


def test_shares_of_variance_are_explicit_sums():
    rng, p = np.random.default_rng(0), 5
    neuron = rng.standard_normal((p, p))
    a, b = np.indices((p, p)) * 2 * np.pi / p
    centred, shares = neuron - neuron.mean(), []
    for k in (1, 2):
        one, other = (np.cos(k * a), np.sin(k * a)), (np.cos(k * b), np.sin(k * b))
        terms = [*one, *other, *(x * y for x in one for y in other)]
        shares.append(sum((x * centred).sum() ** 2 / (x**2).sum() for x in terms) / (centred**2).sum())
    share, variance = progress.explained(neuron[..., None])
    np.testing.assert_allclose(share[0], shares, rtol=1e-12)
    assert variance[0] == pytest.approx(neuron.var())


@pytest.mark.parametrize("seed", range(3))
def test_gini_is_its_definition(seed):
    x = np.random.default_rng(seed).exponential(size=17)
    n = len(x)
    wanted = sum(abs(x[i] - x[j]) for i in range(n) for j in range(n)) / (2 * n**2 * x.mean())
    assert progress.gini(x) == pytest.approx(wanted, rel=1e-12)


def test_gini_at_its_ends():
    assert progress.gini(np.full(9, 3.0)) == pytest.approx(0)
    assert progress.gini(np.eye(9)[4]) == pytest.approx(8 / 9)
    assert progress.gini(np.zeros(9)) == 0


def test_fourier_norms_are_explicit_sums_and_find_known_waves():
    p, rng = 11, np.random.default_rng(0)
    table, angles = rng.standard_normal((p, 4)), 2 * np.pi * np.arange(p) / p
    wanted = [np.linalg.norm(np.sqrt(2 / p) * of(k * angles) @ table) for of in (np.cos, np.sin) for k in range(1, 6)]
    np.testing.assert_allclose(progress.fourier_norms(table), wanted, rtol=1e-12)
    pure = progress.fourier_norms(np.cos(3 * angles)[:, None] * rng.standard_normal(4))
    assert progress.gini(pure) > 0.88 > 0.3 > progress.gini(progress.fourier_norms(rng.standard_normal((p, 400))))


# --- curves -------------------------------------------------------------------------------------------------------------


def record(log_loss, excluded=None, every=100):
    """A record with a log test loss at evaluations `every` epochs apart, and an excluded loss of one frequency."""
    epochs = np.arange(len(log_loss)) * every
    probes = None
    if excluded is not None:
        probes = {"epochs": epochs, "excluded": np.asarray(excluded, float)[:, None], "keys": np.array([1], np.uint8)}
    return SimpleNamespace(seed=0, epochs=epochs, metrics={"test_loss": np.exp(log_loss)}, probes=probes)


GROKKING = np.concatenate(
    [np.linspace(1.5, 3, 11), np.linspace(3, 2.8, 60), np.linspace(2.8, -15, 30), np.full(200, -15)]
)
EXCLUDED = np.concatenate([np.linspace(5, 1, 15), np.linspace(1, 6, 286)])


def test_phases_of_a_made_up_run_end_where_they_were_put():
    ends = progress.phase_ends(record(GROKKING, EXCLUDED))
    assert ends.memorization == 1400
    assert 7100 <= ends.circuit_formation <= 7500  # 10% of 18 nats: the third step of the fall
    assert 9700 <= ends.cleanup <= 10000
    assert ends.complete


def test_a_run_that_does_not_grok_ends_with_its_budget():
    ends = progress.phase_ends(record(np.full(50, 2.0), np.linspace(5, 1, 50)))
    assert ends == (4900, 4900, 4900, False)


def test_phases_need_probes():
    with pytest.raises(progress.MeasureError, match="^seed 0: nothing is recorded of the weights$"):
        progress.phase_ends(record(GROKKING))


@pytest.mark.parametrize("height", [0.0, 0.4, 2.0])
def test_a_second_rise_has_the_height_that_was_put_in(height):
    bump = GROKKING.copy()
    bump[110:150] += height * np.sin(np.linspace(0, np.pi, 40))
    bump[200] += 9  # a spike of one evaluation
    assert progress.second_rise(record(bump)) == pytest.approx(height, rel=0.01, abs=1e-9)
    assert np.isnan(progress.second_rise(record(np.full(50, 2.0))))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_falls_are_counted(steps):
    epochs = np.arange(0, 30_001, 100)
    middles = np.array([600, 3000, 15_000])[:steps]
    drops = [1 / (1 + np.exp(-(np.log(np.maximum(epochs, 1)) - np.log(m)) / 0.12)) for m in middles]
    found = progress.separate_falls(epochs, -sum(drops))
    assert len(found) == steps
    np.testing.assert_allclose(found, middles, rtol=0.15)


def test_a_curve_that_rises_has_no_fall():
    epochs = np.arange(0, 1001, 10)
    assert progress.separate_falls(epochs, 1.0 + epochs) == []
    assert progress.separate_falls(epochs, np.ones(101)) == []


def test_the_steepest_fall_is_between_its_points():
    assert progress.steepest_fall(np.array([0, 10, 20, 40]), np.array([5.0, 5.0, 1.0, 0.0])) == 15


# --- of a run ------------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_run_is_what_the_measures_say():
    task = ModularTask(prime=7, pairs="ordered", train_fraction=0.6, equals_sign=True, seed=0)
    run = Run(task=task, model=AnswerTransformer(width=8, heads=2, head_width=4, hidden=6), epochs=60, seed=0)
    [trained] = train([run], [(run.initial_weights(), None)], {run: set(progress.snapshot_epochs(run))})
    kept = progress.summarize(run, trained.snapshots)
    epochs = kept["epochs"].tolist()
    assert epochs == progress.snapshot_epochs(run) and epochs[-1] == 60
    data = task.data()
    at = np.searchsorted(run.evaluated_epochs, 60)
    for name in ("train_loss", "test_loss"):
        assert kept[name][-1] == pytest.approx(trained.metrics[name][at], rel=1e-4)
    assert kept["squares"].sum(1)[-1] == pytest.approx(trained.metrics["l2"][at] ** 2, rel=1e-5)
    labels, pairs = progress.task_grid(run)
    grid = progress.on_grid(run, trained.snapshots[60])
    assert sorted(map(tuple, np.argwhere(pairs))) == sorted(map(tuple, data.inputs[data.train, :2]))
    keys = progress.key_frequencies(grid.neurons)
    assert kept["keys"].tolist() == keys.tolist()
    wanted = progress.measures(grid, keys, labels, pairs)
    np.testing.assert_allclose(kept["excluded"][-1], wanted["excluded"], rtol=1e-6)
    assert kept["restricted"][-1] == pytest.approx(wanted["restricted"], rel=1e-6)


def test_unordered_pairs_lie_on_the_grid_in_both_orders():
    run = Run(task=ModularTask(prime=7, train_fraction=0.5, seed=0), model=MLP(width=9, hidden=5), seed=0)
    labels, train = progress.task_grid(run)
    assert np.array_equal(labels, progress.sums(7)) and np.array_equal(train, train.T)
    ordered = dataclasses.replace(run, task=dataclasses.replace(run.task, pairs="ordered"))
    assert progress.task_grid(ordered)[1].sum() == ordered.task.train_count
