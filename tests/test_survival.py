"""Times to generalization as survival times, against a product done by hand, SciPy's t interval and its fit to censored data,
and simulation."""

import numpy as np
import pytest
from scipy import stats

from lib.analysis.survival import kaplan_meier, paired_ratio


def test_without_censoring_the_curve_is_the_share_of_seeds():
    times = [300, 100, 100, 700]
    found = kaplan_meier(times, 1_000)
    assert found.epochs.tolist() == [100, 300, 700]
    assert found.share == pytest.approx([0.5, 0.75, 1.0])


def test_the_product_limit_by_hand():
    """Budgets are alike here, so that all censored seeds come last; a seed that is done at the budget still counts."""
    found = kaplan_meier([200, None, 500, None, 1_000], 1_000)
    survived = np.cumprod([1 - 1 / 5, 1 - 1 / 4, 1 - 1 / 3])
    assert found.epochs.tolist() == [200, 500, 1_000]
    assert found.share == pytest.approx(1 - survived)
    assert (found.low[:2] < found.share[:2]).all() and (found.share[:2] < found.high[:2]).all()


def test_nothing_generalizes():
    found = kaplan_meier([None] * 3, 1_000)
    assert found.share.max() == 0


@pytest.mark.parametrize("n", [3, 5, 20])
def test_without_censoring_the_ratio_has_the_t_interval_of_its_logarithm(n):
    ratios = np.random.default_rng(n).lognormal(1, 0.6, n)
    logs = np.log(ratios)
    low, high = stats.t.interval(0.95, n - 1, logs.mean(), stats.sem(logs))
    assert paired_ratio(ratios, ratios) == pytest.approx(np.exp([logs.mean(), low, high]), rel=1e-3)


def test_ratios_that_are_alike():
    assert paired_ratio([2, 2, 2], [2, 2, 2]) == pytest.approx((2, 2, 2), rel=1e-3)


def test_a_bound_pulls_the_estimate_its_way():
    known = [2.0, 2.5, 3.0, 3.5]
    plain = paired_ratio(known, known).estimate
    more = paired_ratio([*known, 4.0], [*known, np.inf])
    less = paired_ratio([*known, 0.0], [*known, 1.5])
    assert less.estimate < plain < more.estimate
    between = paired_ratio([*known, 2.7], [*known, 2.8]).estimate
    assert between == pytest.approx(paired_ratio([*known, 2.75], [*known, 2.75]).estimate, rel=1e-3)


def test_the_estimate_under_censoring_is_the_one_of_scipy():
    exact, above, below, between = [1.2, 2.0, 2.2, 3.5], [4.0], [1.5], np.array([[2.5, 2.9], [1.0, 1.3]])
    logs = map(np.log, (exact, above, below, between))
    mean, _ = stats.norm.fit(
        stats.CensoredData(**dict(zip(("uncensored", "right", "left", "interval"), logs, strict=True)))
    )
    found = paired_ratio([*exact, *above, 0.0, *between[:, 0]], [*exact, np.inf, *below, *between[:, 1]])
    assert found.estimate == pytest.approx(np.exp(mean), rel=1e-3)


def test_a_seed_of_which_nothing_is_known_says_nothing():
    known = [2.0, 2.5, 3.0]
    assert paired_ratio([*known, 0.0], [*known, np.inf]) == pytest.approx(paired_ratio(known, known))


@pytest.mark.parametrize(("low", "high"), [([], []), ([2.0], [2.0]), ([2.0, 3.0, 4.0], [2.0, np.inf, np.inf])])
def test_with_fewer_than_two_known_ratios_there_is_no_model(low, high):
    assert paired_ratio(low, high) is None


@pytest.mark.slow
def test_the_interval_covers_the_true_ratio_under_censoring():
    """True geometric mean 3, of ten seeds those above 5 are only known to be above: the interval holds it about 95% of the time."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(80):
        truth = rng.lognormal(np.log(3), 0.5, 10)
        low = np.minimum(truth, 5)
        found = paired_ratio(low, np.where(truth > 5, np.inf, truth))
        held += found.low <= 3 <= found.high
    assert held / 80 >= 0.88
