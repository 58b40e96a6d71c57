"""Tasks: the exact pairs and split, labels by brute force, randomness that is nobody else's."""

import dataclasses

import numpy as np
import pytest
import torch

from lib.train.tasks import ModularTask, generator

PAPER = ModularTask(seed=0)

# Each operation once more, on plain whole numbers.
BY_HAND = {
    "a+b": lambda a, b: a + b,
    "a-b": lambda a, b: a - b,
    "a*b": lambda a, b: a * b,
    "a^2+b^2": lambda a, b: a * a + b * b,
    "a^2+ab+b^2": lambda a, b: a * a + a * b + b * b,
}
PAIRS_BY_HAND = {
    "unordered": lambda p: [(a, b) for a in range(p) for b in range(p) if a <= b],
    "ordered": lambda p: [(a, b) for a in range(p) for b in range(p)],
    "descending": lambda p: [(a, b) for a in range(p) for b in range(1, a)],
}


def test_the_papers_split_has_911_training_and_1367_test_pairs():
    data = PAPER.data()
    assert data.inputs.shape == (2278, 2)
    assert (len(data.train), len(data.test)) == (911, 1367)
    assert PAPER.train_count == 911


@pytest.mark.parametrize("prime", [5, 67])
@pytest.mark.parametrize("pairs", PAIRS_BY_HAND)
def test_pairs(pairs, prime):
    data = ModularTask(prime=prime, pairs=pairs, seed=0).data()
    assert [tuple(pair) for pair in data.inputs.tolist()] == PAIRS_BY_HAND[pairs](prime)


LABELLED = [(o, pairs) for o in BY_HAND for pairs in PAIRS_BY_HAND if (o, pairs) != ("a-b", "unordered")]


@pytest.mark.parametrize(("operation", "pairs"), LABELLED)
def test_labels_by_brute_force(operation, pairs):
    data = ModularTask(operation=operation, pairs=pairs, seed=0).data()
    assert data.labels.tolist() == [BY_HAND[operation](a, b) % 67 for a, b in data.inputs.tolist()]
    assert data.labels.min() >= 0  # a - b too: the remainder, not its sign


@pytest.mark.parametrize("task", [PAPER, ModularTask(prime=7, pairs="ordered", train_fraction=0.3, seed=5)], ids=str)
def test_train_and_test_are_disjoint_and_cover_all(task):
    data = task.data()
    assert sorted([*data.train, *data.test]) == list(range(len(data.inputs)))


def test_the_split_is_shuffled():
    assert abs(PAPER.data().train.mean() - 2277 / 2) < 5 * 2278 / np.sqrt(12 * 911)


def test_random_labels_are_drawn_uniformly_and_belong_to_the_seed():
    task = dataclasses.replace(PAPER, operation="random")
    labels = task.data().labels
    assert np.array_equal(labels, task.data().labels)
    assert not np.array_equal(labels, dataclasses.replace(task, seed=1).data().labels)
    counts = np.bincount(labels, minlength=67)
    assert len(counts) == 67
    assert ((counts - 34) ** 2 / 34).sum() < 120  # chi-squared with 66 degrees of freedom: p = 5e-5
    assert np.array_equal(task.data().train, PAPER.data().train)  # drawing labels leaves the split alone


def test_same_seed_same_split_and_other_seeds_other_splits():
    splits = [tuple(ModularTask(seed=seed).data().train) for seed in (0, 1, 2, 0)]
    assert splits[0] == splits[3]
    assert len(set(splits)) == 3


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(1)
    torch.manual_seed(1)
    first = PAPER.data()
    after = np.random.random(), torch.rand(1).item()
    np.random.seed(1)
    torch.manual_seed(1)
    assert after == (np.random.random(), torch.rand(1).item())
    np.random.seed(2)
    torch.manual_seed(2)
    assert np.array_equal(first.train, PAPER.data().train)


def test_each_purpose_has_random_numbers_of_its_own():
    draws = {
        tuple(generator(seed, purpose).integers(1000, size=8)) for seed in (0, 1) for purpose in ("split", "weights")
    }
    assert len(draws) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"operation": "a/b"},
            r"^operation is 'a/b'; it must be one of a\+b, a-b, a\*b, a\^2\+b\^2, a\^2\+ab\+b\^2, random$",
        ),
        ({"pairs": "all"}, "^pairs is 'all'; it must be one of unordered, ordered, descending$"),
        ({"prime": 2}, "^prime is 2; it must be at least 3$"),
        ({"train_fraction": 0.0}, "^train_fraction is 0.0; it must lie between 0 and 1 "),
        ({"train_fraction": 1.0}, "^train_fraction is 1.0; it must lie between 0 and 1 "),
        ({"train_fraction": -0.4}, "^train_fraction is -0.4; it must lie between 0 and 1 "),
        ({"train_fraction": 40}, "^train_fraction is 40; it must lie between 0 and 1 "),
        ({"train_fraction": float("nan")}, "^train_fraction is nan; it must lie between 0 and 1 "),
        ({"train_fraction": 0.1, "prime": 3}, "^train_fraction is 0.1; .* leave pairs on both sides$"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        ModularTask(seed=0, **options)


def test_subtraction_has_no_unordered_pairs():
    with pytest.raises(
        ValueError, match="^a-b is not symmetric; its pairs must be 'ordered' or 'descending', not 'unordered'$"
    ):
        ModularTask(operation="a-b", seed=0)
