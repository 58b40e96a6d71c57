"""Structure: distances and graph measures against scikit-learn, networkx and closed forms; the measures of C26 to C28."""

import dataclasses
import itertools
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
from conftest import tiny_run
from made_up import judge
from networkx.algorithms import bipartite
from sklearn.metrics import jaccard_score

from lib.analysis import structure
from lib.claims import measures
from lib.experiments.arms import arm
from lib.experiments.comparison import Comparison
from lib.train import pruning
from lib.train.models import MLP, Transformer
from lib.train.runs import Ticket

MODEL = MLP(width=6, hidden=4)


def distance_of(one, other):
    """Jaccard distance of two masks."""
    return structure.jaccard_distances([one, other])[0, 1]


def drawn(sizes, share, seed=0):
    """A chain of random matrices (bool) between layers of these sizes."""
    rng = np.random.default_rng(seed)
    return [rng.random(shape) < share for shape in itertools.pairwise(sizes)]


def full(*sizes):
    """A chain of layers with all edges."""
    return [np.ones(shape, bool) for shape in itertools.pairwise(sizes)]


def networkx_graph(matrices):
    """The graph of a chain, edge by edge."""
    G, start = nx.Graph(), 0
    G.add_nodes_from(range(len(matrices[0]) + sum(part.shape[1] for part in matrices)))
    for part in matrices:
        G.add_edges_from((start + i, start + len(part) + j) for i, j in zip(*np.nonzero(part), strict=True))
        start += len(part)
    return G


CHAINS = {
    "full": full(3, 5, 2, 4),
    "dense": drawn((5, 9, 4, 9, 5), 0.5),
    "sparse, in pieces": drawn((5, 9, 4, 9, 5), 0.12, 1),
    "wide outside": drawn((9, 3, 8), 0.3, 2),
    "two layers": drawn((6, 7), 0.4, 3),
    "no edges": drawn((3, 2, 3), 0.0),
}
EVERY_CHAIN = pytest.mark.parametrize("matrices", CHAINS.values(), ids=CHAINS.keys())


# --- distances between masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_jaccard_distance_is_that_of_scikit_learn(share):
    rng = np.random.default_rng(0)
    masks = rng.random((4, 300)) < share
    found = structure.jaccard_distances(masks)
    for i, j in itertools.product(range(4), repeat=2):
        expected = 1 - jaccard_score(masks[i], masks[j])
        assert distance_of(masks[i], masks[j]) == pytest.approx(expected)
        assert found[i, j] == pytest.approx(expected)


def test_jaccard_distance_of_equal_disjoint_and_empty_masks():
    mask = np.array([True, True, False, False])
    assert distance_of(mask, mask) == 0
    assert distance_of(mask, ~mask) == 1
    assert distance_of(mask & ~mask, mask & ~mask) == 0
    assert distance_of(mask, np.array([True, False, True, False])) == pytest.approx(2 / 3)


def test_expected_jaccard_of_independent_masks():
    assert structure.expected_jaccard(0.4, 0.4) == pytest.approx(0.75)  # 1 - 0.16 / 0.64
    assert structure.expected_jaccard(1, 0.3) == pytest.approx(0.7)
    assert structure.expected_jaccard(0, 0) == 0
    rng = np.random.default_rng(0)
    one, other = rng.random(400_000) < 0.4, rng.random(400_000) < 0.2
    assert distance_of(one, other) == pytest.approx(structure.expected_jaccard(0.4, 0.2), abs=2e-3)


def test_distance_by_chance_is_that_of_masks_shuffled_within_each_matrix():
    run = tiny_run()
    rng = np.random.default_rng(0)
    one, other = rng.random((2, run.length)) < np.linspace(0.1, 0.9, run.length)
    parts = run.split(np.arange(run.length)).values()
    shuffled = [np.concatenate([rng.permutation(one[part.ravel()]) for part in parts]) for _ in range(200)]
    found = np.mean([structure.jaccard_distances([mask, other])[0, 1] for mask in shuffled])
    assert structure.distance_by_chance(run, one, other) == pytest.approx(found, abs=5e-3)


def test_expected_jaccard_of_masks_that_are_independent_within_matrices():
    sizes, d1, d2 = [300_000, 100_000], [0.1, 0.9], [0.2, 0.7]
    rng = np.random.default_rng(0)
    one, other = (np.concatenate([rng.random(n) < x for n, x in zip(sizes, d, strict=True)]) for d in (d1, d2))
    expected = structure.expected_jaccard(d1, d2, sizes)
    assert distance_of(one, other) == pytest.approx(expected, abs=2e-3)
    assert expected < structure.expected_jaccard(one.mean(), other.mean())  # dense where the other is dense


# --- random masks -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run():
    return dataclasses.replace(tiny_run(), model=MODEL)


@pytest.fixture(scope="module")
def mask(run):
    """A mask with a share of its own in each matrix, and a neuron without edges."""
    out = np.random.default_rng(0).random(len(run.initial_weights())) < 0.5
    parts = run.split(out)
    parts["W_E"][:, ::2] = True
    parts["W_in"][1], parts["W_out"][:, 1] = False, False
    return out


def test_random_masks_keep_what_they_say(run, mask):
    def counts(of):
        return {name: int(part.sum()) for name, part in run.split(of).items()}

    def sums(of):
        return {name: (part.sum(0).tolist(), part.sum(1).tolist()) for name, part in run.split(of).items()}

    made = {keep: pruning.random_mask_like(run, mask, keep, seed=3) for keep in pruning.KEEPS}
    assert all(one.sum() == mask.sum() and one.dtype == bool and (one != mask).any() for one in made.values())
    assert counts(made["count"]) != counts(mask)
    assert counts(made["matrix"]) == counts(made["neuron"]) == counts(mask)
    assert sums(made["matrix"]) != sums(mask)
    assert sums(made["neuron"]) == sums(mask)
    for keep, one in made.items():
        assert np.array_equal(one, pruning.random_mask_like(run, mask, keep, seed=3))
        assert not np.array_equal(one, pruning.random_mask_like(run, mask, keep, seed=4))


def test_trading_edges_reaches_every_matrix_alike():
    """Of 2 x 4 matrices with row sums (2, 2) and column sums (1, 1, 1, 1) there are six."""
    found = {}
    rng = np.random.default_rng(0)
    for _ in range(1_200):
        part = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
        pruning._trade(part, rng)
        assert part.sum(1).tolist() == [2, 2] and part.sum(0).tolist() == [1, 1, 1, 1]
        found[part.tobytes()] = found.get(part.tobytes(), 0) + 1
    assert len(found) == 6
    assert all(140 < count < 260 for count in found.values())


def test_an_unknown_kind_of_random_mask_is_named(run, mask):
    with pytest.raises(ValueError, match="keep is 'layer'; it must be one of count, matrix, neuron"):
        pruning.random_mask_like(run, mask, "layer", seed=0)


# --- the graph of a mask ------------------------------------------------------------------------------------------


def test_a_chain_follows_the_weights_from_token_to_logit(run, mask):
    chain, p = structure.chain(run, mask), run.task.prime
    assert [part.shape for part in chain] == [(p, 6), (6, 4), (4, 6), (6, p)]
    weights = run.split(run.initial_weights() * mask)
    through = chain[0].astype(float) @ chain[1] @ chain[2] @ chain[3]
    expected = (np.abs(weights["W_U"] @ weights["W_out"]) > 0) @ (np.abs(weights["W_in"] @ weights["W_E"].T) > 0)
    assert np.array_equal(through.T > 0, expected)
    assert structure.graph(chain).sum() == 2 * mask.sum()


@pytest.mark.parametrize(
    "model", [MLP(width=6, hidden=4, hidden_layers=2), Transformer(width=4, head_width=2, hidden=3)]
)
def test_a_net_that_is_no_chain_of_four_is_refused(run, mask, model):
    with pytest.raises(ValueError, match="an MLP with one hidden layer, not of"):
        structure.chain(dataclasses.replace(run, model=model), mask)


@EVERY_CHAIN
def test_adjacency_is_that_of_networkx(matrices):
    assert np.array_equal(structure.graph(matrices), nx.to_numpy_array(networkx_graph(matrices)) > 0)


@EVERY_CHAIN
def test_distances_are_those_of_networkx(matrices):
    G = networkx_graph(matrices)
    expected = np.full((len(G), len(G)), np.inf)
    for node, lengths in nx.all_pairs_shortest_path_length(G):
        expected[node, list(lengths)] = list(lengths.values())
    found = structure.distances(matrices)
    assert np.array_equal(found, expected)
    if np.isfinite(expected).all():
        assert structure.average_path_length(matrices) == pytest.approx(nx.average_shortest_path_length(G))
    if G.edges:
        assert 1 / structure.mean_length(found, harmonic=True) == pytest.approx(nx.global_efficiency(G))
    else:
        assert np.isnan(structure.average_path_length(matrices))


def test_path_length_of_graphs_with_known_answers():
    path = full(1, 1, 1, 1, 1)  # five nodes in a row: (n + 1) / 3
    assert structure.average_path_length(path) == pytest.approx(2)
    a, b = 3, 4  # complete bipartite: 1 across, 2 within a side
    within, across = a * (a - 1) / 2 + b * (b - 1) / 2, a * b
    assert structure.average_path_length(full(a, b)) == pytest.approx((2 * within + across) / (within + across))
    cut = [path[0], np.zeros((1, 1), bool), path[2], path[3]]  # nodes 1-2 and 3-4-5
    assert structure.average_path_length(cut) == pytest.approx((1 + 1 + 1 + 2) / 4)
    assert structure.mean_length(structure.distances(cut), harmonic=True) == pytest.approx(10 / (1 + 1 + 1 + 1 / 2))


@EVERY_CHAIN
def test_clustering_is_that_of_networkx(matrices):
    G = networkx_graph(matrices)
    live = G.subgraph([node for node, degree in G.degree if degree])
    expected = bipartite.average_clustering(live) if live else np.nan
    assert structure.clustering(matrices) == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert sum(nx.triangles(G).values()) == 0  # which is why the usual coefficient says nothing


@EVERY_CHAIN
def test_square_clustering_is_that_of_networkx(matrices):
    G = networkx_graph(matrices)
    found = structure.square_clustering(matrices)
    if np.isnan(found):
        assert bipartite.robins_alexander_clustering(G) == 0  # networkx's word for no path of three edges
    else:
        assert found == pytest.approx(bipartite.robins_alexander_clustering(G))


def test_clustering_of_graphs_with_known_answers():
    assert structure.clustering(full(3, 4)) == structure.square_clustering(full(3, 4)) == 1
    star = full(1, 5)
    assert structure.clustering(star) == pytest.approx(5 / 6)  # the leaves share all, the centre has no peer
    assert np.isnan(structure.square_clustering(star))
    ring = [np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)]  # six nodes in a ring: share 1 of 3
    assert structure.clustering(ring) == pytest.approx(1 / 3)
    assert structure.square_clustering(ring) == 0


def test_clustering_among_neurons():
    """Neurons 0 to 2 share their inputs, 3 and 4 theirs, 5 has none: one triangle and one edge."""
    inputs = np.zeros((6, 8), bool)
    inputs[:3, :4], inputs[3:5, 4:] = True, True
    chain = [np.ones((2, 8), bool), inputs.T, inputs, np.ones((8, 2), bool)]
    assert structure.neuron_clustering(chain) == pytest.approx(3 / 5)
    assert structure.neuron_clustering(chain, dead=True) == pytest.approx(3 / 6)
    nothing = [part & False for part in chain]
    assert np.isnan(structure.neuron_clustering(nothing))
    assert structure.neuron_clustering([part | True for part in chain]) == 0  # no two share more than chance gives


# --- C26 to C28 ---------------------------------------------------------------------------------------------------

CUTS = [2_000 * i for i in range(1, 16)]
EPOCHS = np.arange(0, 30_001, 100)


def record(run, mask, accuracy):
    metrics = {"test_accuracy": accuracy, "train_accuracy": np.ones(len(EPOCHS))}
    return SimpleNamespace(run=run, seed=run.seed, epochs=EPOCHS, metrics=metrics, mask=mask)


def groups_of(run, masks, accuracy, seeds=5):
    """Base and tickets by epoch of several seeds, with the masks [T] of the cuts; the ticket is that of 28,000."""
    bases = [dataclasses.replace(run, seed=seed, epochs=30_000) for seed in range(seeds)]
    tickets = [dataclasses.replace(base, start=Ticket(base=base, epoch=28_000, rate=0.6)) for base in bases]
    out = {"base": [record(base, None, accuracy) for base in bases]}
    out["ticket"] = [record(ticket, masks[13], accuracy) for ticket in tickets]
    for cut, mask in zip(CUTS, masks, strict=True):
        out["epoch", cut] = [record(ticket, mask, accuracy) for ticket in tickets]
    return out


def drifting(n, kept=40, step=2):
    """Masks [T] of which each loses the first of its weights and gains as many new ones."""
    return [(np.arange(n) >= step * k) & (np.arange(n) < step * k + kept) for k in range(15)]


RISING = np.clip(EPOCHS / 20_000, 0, 1)


def test_masks_that_drift_are_acquired_gradually(run):
    n = len(run.initial_weights())
    steady = judge("C26", groups_of(run, drifting(n), RISING))
    assert steady.verdict.verdict == "replicated"
    assert steady.verdict.estimate == pytest.approx(1)
    rng = np.random.default_rng(0)
    loose = judge("C26", groups_of(run, [rng.random(n) < 0.4 for _ in CUTS], RISING))
    assert loose.verdict.verdict == "refuted"
    same = judge("C26", groups_of(run, [drifting(n)[0]] * 15, RISING))
    assert same.verdict.verdict == "inconclusive" and same.parts[0].open_seeds == 5


def test_distance_to_the_final_mask_leaves_the_final_mask_out(run):
    masks = drifting(len(run.initial_weights()))
    plain, given_epoch = judge("C27", groups_of(run, masks, EPOCHS / 30_000)).parts
    to_final = [distance_of(mask, masks[-1]) for mask in masks[:-1]]
    assert plain.estimate == pytest.approx(np.corrcoef(to_final, CUTS[:-1])[0, 1])
    assert plain.outcome == "replicated"
    assert given_epoch.open_seeds == 5  # accuracy is the epoch over again: nothing of its own
    assert judge("C27", groups_of(run, masks, 1 - EPOCHS / 30_000)).verdict.verdict == "refuted"
    flat = judge("C27", groups_of(run, masks, np.zeros(len(EPOCHS))))
    assert flat.verdict.verdict == "inconclusive" and flat.parts[0].open_seeds == 5


def test_the_partial_correlation_is_that_of_the_textbook_formula(run):
    """(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)), z the epoch."""
    masks = drifting(len(run.initial_weights()))
    accuracy = np.clip(EPOCHS / 20_000, 0, 1) ** 2 + 0.05 * np.sin(EPOCHS / 3_000)
    x, z = [distance_of(mask, masks[-1]) for mask in masks[:-1]], CUTS[:-1]
    r = np.corrcoef([x, np.interp(z, EPOCHS, accuracy), z])
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert judge("C27", groups_of(run, masks, accuracy)).parts[1].estimate == pytest.approx(expected)


def test_a_single_jump_at_generalization_is_no_gradual_change(run):
    """All masks of one phase differ by a little noise of no order, those of different phases by much."""
    n = len(run.initial_weights())
    rng, half = np.random.default_rng(0), np.arange(n) < n // 2
    masks = [(half if cut < 20_000 else ~half) ^ (rng.random(n) < 0.1) for cut in CUTS]
    overall, within = judge("C26", groups_of(run, masks, (EPOCHS >= 20_000) * 1.0)).parts
    assert abs(within.estimate) < 0.3 < overall.estimate
    assert within.outcome == "refuted"


def test_accuracy_at_a_cut_lies_between_evaluations(run):
    groups = groups_of(run, drifting(len(run.initial_weights())), RISING)
    moved = {("epoch", cut + 50 if cut == 2_000 else cut): groups["epoch", cut] for cut in CUTS}
    comparison = Comparison("mlp", {arm(one): found for one, found in {"base": groups["base"], **moved}.items()})
    found = measures.accuracy_at_cuts(next(comparison.one_by_one()))
    assert found[:2] == pytest.approx([2_050 / 20_000, 4_000 / 20_000])


@pytest.mark.parametrize(
    ("early", "late", "outcome"), [("full", "sparse", "replicated"), ("sparse", "full", "refuted")]
)
def test_graph_differences_have_the_sign_of_the_claim(run, early, late, outcome):
    """A full mask has the shortest paths and, with all neighbours shared, a clustering of 1; here random masks too."""
    n = len(run.initial_weights())
    thin = np.random.default_rng(1).random(n) < 0.5
    masks = {"full": np.ones(n, bool), "sparse": thin}
    groups = groups_of(run, [masks[early]] * 7 + [masks[late]] * 8, RISING)
    parts = judge("C28", groups).parts
    names = [part.words for part in parts]
    assert ["path" in name for name in names] == [True] * 3 + [False] * 3
    assert [("memorization" in name, "random by node" in name) for name in names] == [
        (True, False),
        (False, False),
        (False, True),
    ] * 2
    assert [part.outcome for part in parts][::3] == [outcome, outcome]
    chains = [structure.chain(run, masks[kind]) for kind in (late, early)]
    for part, measure in zip(parts[::3], (structure.average_path_length, structure.clustering), strict=True):
        assert part.estimate == pytest.approx(100 * (measure(chains[0]) / measure(chains[1]) - 1))


@pytest.mark.parametrize("t_gen", [None, 1_000, 2_000, 29_000])
def test_a_seed_without_a_grokked_mask_is_open(run, t_gen):
    accuracy = ((np.inf if t_gen is None else t_gen) <= EPOCHS) * 1.0
    found = judge("C28", groups_of(run, drifting(len(run.initial_weights())), accuracy))
    assert found.verdict.verdict == "inconclusive"
    assert found.parts[0].open_seeds == 5


@pytest.mark.parametrize(("other", "keep"), [("random", "count"), ("random by node", "neuron")])
def test_random_masks_of_c28_have_as_many_edges_in_all_or_at_each_node(run, other, keep):
    masks = drifting(len(run.initial_weights()))
    drawn = [pruning.random_mask_like(run, masks[13], keep, seed) for seed in range(5)]
    alike = [degrees(run, mask) == degrees(run, masks[13]) for mask in drawn]
    assert alike == [other == "random by node"] * 5 and {mask.sum() for mask in drawn} == {masks[13].sum()}
    parts = [part.table for part in judge("C28", groups_of(run, masks, RISING)).parts if other in part.table]
    for found, measure in zip(parts, (structure.average_path_length, structure.clustering), strict=True):
        assert found[other].tolist() == pytest.approx([measure(structure.chain(run, mask)) for mask in drawn])


def degrees(run, mask):
    """How many weights a mask keeps at each node on either side of each matrix."""
    return {name: (part.sum(0).tolist(), part.sum(1).tolist()) for name, part in run.split(mask).items()}
