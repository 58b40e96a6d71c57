"""What pages say of verdicts: when their rule was written, which seeds are drawn, how the outcome depends on its level."""

import dataclasses
import html
import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_up import BY_ID, comparison

from lib.book import figures, tables
from lib.book.scorecard import scorecard
from lib.claims.criteria import edition_of
from lib.claims.judging import Verdict, effect_text, evidence_text, exploratory_text, judgements, part_text
from lib.claims.statistics import IntervalRule, elsewhere
from lib.experiments.parameters import load

PAPER, SMALL = load("paper"), load("smoke")


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([7], "seed 7"), ([0, 1], "seeds 0, 1"), ([4, 3, 5, 9], "seeds 3–5, 9"), (range(5, 15), "seeds 5–14")],
)
def test_seeds_in_short(seeds, text):
    assert tables.seeds_text(seeds) == tables.seeds_text(iter(seeds)) == text


def test_seeds_that_differ_are_named_by_setting_and_exploratory_ones_so_called():
    alike = [comparison("mlp", range(5)), comparison("transformer", range(5))]
    assert tables.seeds_of(alike, PAPER) == "exploratory seeds 0–4"
    assert tables.seeds_of(alike, SMALL) == "seeds 0–4"  # whose runs were not known
    both = tables.seeds_of([comparison("mlp", range(5, 15)), alike[1]], PAPER)
    assert both == "seeds 5–14 (MLP); exploratory seeds 0–4 (Transformer)"
    many = [comparison(name, range(5)) for name in ("mlp/a*b", "mlp/a-b", "transformer", "transformer/a*b")]
    assert tables.seeds_of([comparison("mlp", [7]), *many], SMALL) == "seed 7 (MLP); seeds 0–4 (the others)"


def test_a_seed_that_a_setting_lacks_is_no_seed_that_never_generalizes():
    frame = tables.epochs_by_seed([comparison("mlp", [0, 1], [None, 200]), comparison("transformer", [5])])
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in tables.table(frame).split("<tr>")[1:]]
    assert {row[0]: row[2:] for row in rows} == {
        "MLP (0.80)": ["never", "200", "–"],
        "Transformer (0.95)": ["–", "–", "200"],
    }


def test_a_verdict_says_how_many_of_its_seeds_are_a_case():
    def judged(cases, seeds, profile="paper", undecided=0, several=0):
        deciding, other = SimpleNamespace(open_seeds=undecided), SimpleNamespace()
        verdict = Verdict(id="C01", system="mlp", verdict="inconclusive", seeds=list(range(seeds)), profile=profile)
        return SimpleNamespace(cases=cases, verdict=verdict, deciding=deciding, parts=(other, deciding)[1 - several :])

    assert evidence_text(judged(10, 10)) == "10 seeds"
    assert evidence_text(judged(1, 1)) == "1 seed, too few for a verdict"
    assert evidence_text(judged(4, 10)) == "4 of 10 seeds (the others are no case), too few for a verdict"
    assert evidence_text(judged(10, 10, undecided=2)) == "10 seeds, 2 left open by the budget"
    assert part_text(judged(10, 10, several=1)) == "the numbers are of part 2 of 2" and part_text(judged(10, 10)) == ""
    assert evidence_text(judged(6, 10)) == "6 of 10 seeds (the others are no case)"
    assert evidence_text(judged(0, 5, "paper, exploratory")) == "0 of 5 exploratory seeds (none is a case)"


@pytest.mark.parametrize(
    ("claim", "outcome", "interval", "said"),
    [
        ("C03", "refuted", (1.05, 1.1), "lies above 1: there is a difference, of less than the 1.2 that counts"),
        ("C03", "refuted", (0.9, 0.95), ""),  # the other way
        ("C03", "refuted", (0.95, 1.1), ""),
        ("C03", "replicated", (3.0, 4.0), ""),
        ("C03", "inconclusive", (1.1, 1.5), ""),
        ("C15", "replicated", (1.1, 1.15), "lies above 1"),
        ("C15", "replicated", (0.2, 0.3), ""),  # slower, as claimed
        ("C32", "replicated", (1.04, 1.24), "lies above 1: there is a difference, of less than the 1.5 that counts"),
        ("C32", "replicated", (0.7, 0.9), "lies below 1: there is a difference, of less than the 0.67 that counts"),
        ("C32", "replicated", (0.9, 1.1), ""),
        ("C32", "refuted", (1.6, 2.0), ""),
    ],
)
def test_a_difference_too_small_to_count_is_told(claim, outcome, interval, said):
    part = SimpleNamespace(interval=interval, part=BY_ID[claim].parts[0], unit="times")
    text = effect_text(SimpleNamespace(deciding=part, verdict=SimpleNamespace(verdict=outcome)))
    assert said in text and bool(said) == bool(text)
    if outcome != "inconclusive":
        assert BY_ID[claim].parts[0].rule.outcome(*interval) == outcome


def test_a_box_says_what_its_criterion_leaves_out():
    assert BY_ID["C46"].mind and BY_ID["C46"].mind in html.unescape(tables.box(BY_ID["C46"], []))
    assert "Mind:" not in tables.box(BY_ID["C01"], [])


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        (["2020-01-01T00:00:00Z"], "were made before that (2020-01-01)"),
        (["2099-01-01T00:00:00Z", "2099-01-03T00:00:00Z"], "were made after that (2099-01-01 to 2099-01-03)"),
        (["2020-01-01T00:00:00Z", "2099-01-03T00:00:00Z"], "were made partly before that"),
    ],
)
def test_a_verdict_says_when_its_rule_and_its_runs_were_made(recorded, said):
    edition = edition_of(BY_ID["C01"])
    text = tables.settled(BY_ID["C01"], "mlp", {"base": recorded})
    assert said in text and edition.tag in text and edition.commit[:8] in text and edition.known in text
    assert "first form was written before its runs" in text
    for claim, system in (("C04", "mlp"), ("C09", "mnist-mlp"), ("C21", "transformer/a-b")):
        assert "written when runs of seeds 0 to 4 existed" in tables.settled(BY_ID[claim], system, {"base": recorded})
    assert "written before its runs" in tables.settled(BY_ID["C09"], "mlp", {"base": recorded})


def test_of_runs_partly_before_a_rule_the_arms_that_came_after_it_are_named():
    text = tables.settled(
        BY_ID["C33"], "mlp", {"base": ["2020-01-01T00:00:00Z"], "edge-popup": ["2099-01-01T00:00:00Z"]}
    )
    assert "partly before that (2020-01-01 to 2099-01-01); all after it: edge-popup." in text


def test_a_rule_that_is_not_the_settled_one_is_said_to_be_in_no_edition():
    changed = BY_ID["C01"].model_copy(update={"criterion": "Replicated if it looks good."})
    for claim in (changed, BY_ID["C34"]):
        assert "in no edition" in tables.settled(claim, "mlp", {"base": ["2099-01-01T00:00:00Z"]})


def test_dependence_on_the_level_in_words():
    frame = pd.DataFrame({"level": ["as judged", "a", "b", "c"], "outcome": ["replicated"] * 4})
    assert tables.depends(frame) == ""
    frame.loc[2, "outcome"] = "inconclusive"
    assert tables.depends(frame).endswith("level: replicated at a, c; inconclusive at b.")


def test_the_figure_of_levels_draws_open_ends_to_the_edge():
    frame = pd.DataFrame(
        {
            "level": ["as judged", "0.9", "0.95"],
            "estimate": [4.0, None, None],
            "low": [2.0, 3.0, None],
            "high": [8.0, None, None],
            "unit": "times",
            "outcome": ["replicated", "replicated", "inconclusive"],
        }
    )
    judgement = SimpleNamespace(claim=BY_ID["C01"], judged=BY_ID["C01"].judged[0])
    _, axes = figures.panels(1, 1)
    figures.levels(axes[0, 0], judgement, frame)
    ends = {
        round(float(segment[0][1])): (segment[0][0], segment[1][0])
        for lines in axes[0, 0].collections
        if hasattr(lines, "get_segments")
        for segment in lines.get_segments()
    }
    assert ends == {0: (2.0, 8.0), 1: (3.0, 16.0), 2: (1.0, 16.0)}
    assert axes[0, 0].get_xscale() == "log"
    plt.close("all")


def test_the_share_that_has_generalized_ends_where_seeds_are_left():
    _, axes = figures.panels(1, 1)
    figures.generalized(axes[0, 0], comparison("mlp", range(4), [100, 200, 200, None]), arms=["base"])
    (line,) = axes[0, 0].lines
    steps = dict(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True))
    assert (steps[100], steps[200], steps[300]) == (0.25, 0.75, 0.75)
    plt.close("all")


@pytest.mark.parametrize(
    ("rule", "interval", "words"),
    [
        ({"replicated_above": 2, "refuted_below": 1.2}, (3.1, 8.4), "replicated below 3.10, refuted above 8.40"),
        ({"replicated_below": -0.7, "refuted_above": -0.7}, (-0.8, 0.1), "replicated above 0.10, refuted below −0.80"),
        ({"replicated_above": 2, "refuted_below": 1.2}, (3.1, None), "replicated below 3.10"),
        ({"replicated_above": 0.5, "replicated_below": 2, "refuted_below": 0.5, "refuted_above": 2}, (0.9, 1.1), ""),
    ],
)
def test_what_a_rule_would_say_at_other_thresholds(rule, interval, words):
    rule = IntervalRule(kind="interval", **rule)
    assert elsewhere(rule, *interval) == words
    for word, threshold in re.findall(r"(replicated|refuted) (?:below|above) ([-\d.]+)", words):
        inside = (
            {"replicated": min, "refuted": max}[word]
            if rule.replicated_above is not None
            else {"replicated": max, "refuted": min}[word]
        )
        at = inside(float(threshold) - 0.01, float(threshold) + 0.01)
        names = (
            ("replicated_above", "refuted_below")
            if rule.replicated_above is not None
            else ("replicated_below", "refuted_above")
        )
        assert IntervalRule(kind="interval", **dict.fromkeys(names, at)).outcome(*interval) == word


def test_what_exploratory_seeds_gave_stands_beside_and_decides_nothing():
    new, old = comparison("mlp", range(5, 15)), comparison("mlp", range(5))
    [judgement] = judgements("main-results", {"mlp": new}, PAPER, [BY_ID["C01"]], {"mlp": old})
    [alone] = judgements("main-results", {"mlp": new}, PAPER, [BY_ID["C01"]])
    assert judgement.verdict == alone.verdict and judgement.verdict.seeds == list(range(5, 15))
    known = judgement.exploratory.verdict
    assert known.seeds == list(range(5)) and known.profile == "paper, exploratory"
    said = exploratory_text(judgement)
    assert said.startswith(f"5 exploratory seeds beside: {known.verdict}, ") and "times" in said
    assert said in html.unescape(tables.verdict(judgement)) and said in html.unescape(
        scorecard([BY_ID["C01"]], [judgement], "paper", {}, {})
    )
    other = dataclasses.replace(judgement, exploratory=dataclasses.replace(judgement.exploratory, tau=0.9))
    assert exploratory_text(other) == f"{said}, with 0.9 for generalized"
    assert exploratory_text(alone) == "" and "exploratory" not in tables.verdict(alone)
    [known] = judgements("main-results", {"mlp": old}, PAPER, [BY_ID["C01"]], {"mlp": old})
    assert known.exploratory is None  # it is the verdict itself
