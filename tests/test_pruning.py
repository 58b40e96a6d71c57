"""Pruning: what masks have to satisfy, whatever the weights."""

import numpy as np
import pytest

from lib.train.pruning import magnitude, prune_lowest, pruned_count

RATES = [0.0, 0.1, 0.3, 0.6, 0.9, 0.999]
WEIGHTS = np.random.default_rng(0).standard_normal(115_000).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_the_pruned_share_is_exact(rate):
    mask = magnitude(WEIGHTS, rate)
    assert mask.dtype == bool
    assert mask.shape == WEIGHTS.shape
    assert (~mask).sum() == round(rate * 115_000) == pruned_count(115_000, rate)


def test_the_papers_ticket_keeps_46000_weights():
    assert magnitude(WEIGHTS, 0.6).sum() == 46_000


@pytest.mark.parametrize("rate", RATES[1:])
def test_the_largest_pruned_magnitude_is_at_most_the_smallest_kept(rate):
    mask = magnitude(WEIGHTS, rate)
    assert np.abs(WEIGHTS[~mask]).max() <= np.abs(WEIGHTS[mask]).min()


@pytest.mark.parametrize("weights", [WEIGHTS, np.round(WEIGHTS)], ids=["distinct", "tied"])
def test_masks_of_growing_rates_are_nested(weights):
    masks = [magnitude(weights, rate) for rate in RATES]
    assert all((masks[i] | ~masks[i + 1]).all() for i in range(len(masks) - 1))


def test_ties_go_by_position():
    assert magnitude(np.array([1.0, -1.0, 1.0, 2.0, -1.0]), 0.4).tolist() == [False, False, True, True, True]
    tied = np.round(WEIGHTS)
    by_position = sorted(range(len(tied)), key=lambda i: (abs(tied[i]), i))[: round(0.6 * len(tied))]
    assert np.array_equal(np.flatnonzero(~magnitude(tied, 0.6)), sorted(by_position))


def test_signs_do_not_matter_for_magnitude_but_do_for_scores():
    scores = np.array([-3.0, 1.0, 2.0, -0.5])
    assert magnitude(scores, 0.5).tolist() == [True, False, True, False]
    assert prune_lowest(scores, 0.5).tolist() == [False, True, True, False]


def test_weights_are_left_alone():
    before = WEIGHTS.copy()
    magnitude(WEIGHTS, 0.6)
    assert np.array_equal(WEIGHTS, before)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, 60, float("nan")])
def test_an_impossible_rate_is_refused_by_name(rate):
    with pytest.raises(ValueError, match=f"^pruning rate is {rate}; it must be at least 0 and below 1$"):
        magnitude(WEIGHTS, rate)
