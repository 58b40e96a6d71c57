"""What captions say first: the words are right for any times, those that were never reached among them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up import jumping

from lib.book import findings
from lib.experiments.arms import Arm
from lib.experiments.comparison import Comparison

MLP = jumping("mlp", {"base": [300, 200, 300], "ticket": [100, 100, 200], "random": [None, 300, None]})
OTHER = jumping("transformer", {"base": [300, None, None], "ticket": [100, 200, None], "random": [None] * 3})
ONE = jumping("mlp-deep", {"base": [200], "ticket": [None]}, seeds=[7])


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        ([21_000, 470, 30_000], "21,000"),
        ([470, None, None], "later than 30,000"),
        ([None], "later than 30,000"),
        ([], "none"),
        ([470, None], "470"),  # the lower of two
    ],
)
def test_a_median_epoch_is_never_a_number_where_most_never_get_there(epochs, text):
    assert findings.epoch(epochs, 30_000) == text


def test_times_name_each_setting_where_there_are_several():
    assert (
        findings.times([MLP], "base", "ticket")
        == "Median epochs to generalization over 3 seeds: 300 (base), 100 (ticket)"
    )
    own = findings.times([MLP], {"ours": "ticket"})
    assert own == "Median epochs to generalization over 3 seeds: 100 (ours)"
    text = "Median epochs to generalization over 3 seeds, MLP: 300 (base); Transformer: later than 300 (base)"
    assert findings.times([MLP, OTHER], "base") == text


def test_one_seed_has_no_median():
    text = "Epochs to generalization with seed 7: 200 (base), later than 300 (ticket)"
    assert findings.times([ONE], "base", "ticket") == text


def test_numbers_of_seeds_that_differ_are_both_given():
    assert findings.over_seeds([MLP, ONE]) == f"over 3 ({MLP.label}) and 1 ({ONE.label}) seeds"
    assert findings.over_seeds([MLP, MLP, ONE]) == "over 1 to 3 seeds"


def test_first_and_last_do_not_choose_among_those_that_never_generalize():
    lead = "Median epochs to generalization over 3 seeds"
    assert findings.first_and_last([MLP]) == f"{lead}: 100 (ticket) to later than 300 (random)"
    assert findings.first_and_last([MLP], "ticket", "base") == f"{lead}: 100 (ticket) to 300 (base)"
    assert findings.first_and_last([MLP], "ticket") == f"{lead}: 100 (ticket)"
    assert findings.first_and_last([OTHER]) == f"{lead}: 200 (ticket) to later than 300 (2 of 3 networks)"
    assert findings.first_and_last([OTHER], "base", "random") == f"{lead}: all later than 300"


def test_gains_leave_out_seeds_whose_base_had_not_generalized_at_the_cut():
    """Of MLP's seeds the factors are 3, 2 and 1.5; of the other's only the first is a case."""
    lead = "Median speed-up of ticket over base"
    assert findings.gains([MLP]) == f"{lead}: 2.00 times (3 of 3 seeds sooner)"
    both = f"{lead}, MLP: 2.00 times (3 of 3 seeds sooner); Transformer: 3.00 times (1 of 1 seeds sooner)"
    assert findings.gains([MLP, OTHER]) == both


def test_gains_with_censored_times_are_bounds():
    never = jumping("mlp", {"base": [100, 100, 100], "ticket": [None, 200, None]})
    assert findings.gains([never]).endswith("at most 0.33 times (0 of 3 seeds sooner)")
    least = "Median speed-up of base over random: at least 1.00 times (1 of 3 seeds sooner)"  # 1, 1.5 and 1 at least
    assert findings.gains([MLP], "random", "base") == least


def test_gains_of_many_settings_are_the_least_and_the_most():
    late = jumping("transformer-4-heads", {"base": [None], "ticket": [100]}, seeds=[1])  # no case
    slow = jumping("mlp-deep", {"base": [100] * 3, "ticket": [200] * 3})
    text = "in 3 settings, from 0.50 times (Deeper MLP) to 3.00 times (Transformer)"
    assert findings.gains([MLP, OTHER, late, slow]).endswith(text)
    assert findings.gains([late]).endswith("not known, 0 seeds to compare")
    assert findings.gains([MLP, late]).endswith("over base, MLP: 2.00 times (3 of 3 seeds sooner)")


def test_the_least_and_the_most_gain_are_those_of_settings_with_enough_seeds_for_a_verdict():
    five = [jumping(name, {"base": [300] * 5, "ticket": [t] * 5}) for name, t in (("mlp-deep", 200), ("mlp/a*b", 100))]
    text = "in 2 settings with 5 seeds or more to compare, from 1.50 times (Deeper MLP) to 3.00 times (MLP, ab)"
    extreme = jumping("mlp", {"base": [100], "ticket": [300]})
    assert findings.gains([extreme, *five]).endswith(text)


def test_pairs_of_settings_with_one_budget_have_it_in_words():
    one = jumping("mlp", {"base": [300], "ticket": [100]})
    two = jumping("mlp-deep", {"base": [300], "ticket": [100]})
    assert findings.sooner([one, two], "base", "ticket").endswith("on 2 of 2 pairs, 2 settings of 300 epochs together")


def test_an_arm_with_a_comma_in_its_name_is_quoted():
    pair = jumping("mlp", {"base": [300], "ticket": [100], "l2-matrices": [200]})
    assert findings.gains([pair], "l2-matrices").startswith(
        "Median speed-up of ticket over “dense, ticket's L2”: 2.00 times"
    )


def test_sooner_counts_a_run_that_never_generalizes_as_later_and_two_as_neither():
    assert findings.sooner([MLP, OTHER], "base", "ticket") == (
        "Ticket generalizes before base on 5 of 6 pairs, 2 settings of 300 epochs together"
    )
    assert findings.sooner([MLP], "base", "random") == "Random generalizes before base on 0 of 3 seeds"
    assert findings.sooner([MLP, ONE], "base", "random").endswith(
        "on 0 of 3 seeds"
    )  # which one of the two does not have


def test_generalizing_counts_by_setting_and_together_where_there_are_many():
    lead = "Networks that generalize within 300 epochs"
    text = f"{lead} over 3 seeds, MLP: 3 (base), 1 (random); Transformer: 1 (base), 0 (random)"
    assert findings.generalizing([MLP, OTHER], "base", "random") == text
    whole = f"{lead}, 3 settings together: 5 of 7 (base), 5 of 7 (ticket)"
    assert findings.generalizing([MLP, OTHER, ONE], "base", "ticket") == whole


def test_ends_are_medians_of_the_last_accuracy():
    text = "Median test accuracy at the end over 3 seeds: 1.00 (ticket), 0.00 (random)"
    assert findings.ends([MLP], "ticket", "random") == text


def test_changes_go_from_the_first_evaluation_to_the_last():
    record = MLP["base"][0]
    record.metrics["l2"] = np.array([9.0, 7.0, 5.0, 4.0])
    one = MLP.of_seeds([0])
    assert findings.changes([one], "l2", "L2 norm", "base") == "L2 norm, start to end, with seed 0: 9.0 to 4.0 (base)"


def test_extremes_name_a_single_number_once():
    assert findings.extremes({"W_U": 0.8, "W_E": 0.1, "W_in": 0.3}) == "0.10 (W_E) to 0.80 (W_U)"
    assert findings.extremes({"W_E": 0.1}) == "0.10 (W_E)"


def test_a_median_over_nothing_is_none():
    assert findings.median([np.nan, 2.0, 4.0]) == "3.00"
    assert findings.median([np.nan]) == "none"


def test_levels_name_the_claims_whose_outcome_changes():
    same = pd.DataFrame({"outcome": ["replicated"] * 2})
    other = pd.DataFrame({"outcome": ["replicated", "refuted"]})
    assert findings.levels({("C01", "mlp"): same}) == "0 of 1 verdict changes at other levels"
    found = {("C02", "a"): other, ("C02", "b"): other, ("C01", "mlp"): other, ("C03", "x"): same}
    assert findings.levels(found) == "3 of 4 verdicts change at other levels: C01, C02"
    del found["C02", "a"], found["C02", "b"]
    assert findings.levels(found) == "1 of 2 verdicts changes at other levels: C01"


def test_what_is_kept_of_attention_needs_a_stored_mask():
    def record(seed, mask):
        parts = {"W_E": np.ones(4, bool), "W_Q": np.array([True, False, False, False]), "W_K": np.zeros(4, bool)}
        run = SimpleNamespace(task=None, split=lambda mask: parts)
        return SimpleNamespace(seed=seed, run=run, epochs=np.array([0]), metrics={}, mask=mask)

    for masks, text in (([None, "stored"], "25.0% of W_Q and 0.0% of W_K"), ([None], "")):
        records = [record(*pair) for pair in enumerate(masks)]
        assert findings.scoring_kept(Comparison("transformer", {Arm("base"): records, Arm("ticket"): records})) == text
