"""The settled rules: none is changed, and a change shows."""

import subprocess
from datetime import datetime, timedelta

import pytest
from made_up import BY_ID

from lib.claims.claims import Claim, ClaimsError, load_claims
from lib.claims.criteria import edition_of, fingerprint, load_editions
from lib.claims.judging import all_judgements, read_verdicts
from lib.experiments import parameters
from lib.files import ROOT
from lib.records.store import Store


def changed(entries):
    """The claims of all editions whose rules are not those that were settled."""
    claims = {entry.id: entry for entry in entries if isinstance(entry, Claim)}
    names = [name for edition in load_editions() for name in edition.claims]
    return [name for name in names if name not in claims or edition_of(claims[name]) is None]


def test_no_rule_has_been_changed_since_it_was_settled():
    assert changed(load_claims()) == []


@pytest.mark.parametrize("edition", load_editions(), ids=lambda edition: edition.tag)
def test_the_rules_are_those_of_the_commit_that_the_tag_names(edition, tmp_path):
    """A fingerprint could be changed with its rule; the commit that settled it cannot."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)

    then = git("show", f"{edition.commit}:book/claims.yml")
    if then.returncode:
        pytest.skip("not a clone with its history")
    (tmp_path / "claims.yml").write_text(then.stdout)
    of_then = {entry.id: entry for entry in load_claims(tmp_path / "claims.yml")}
    assert {name: fingerprint(of_then[name]) for name in edition.claims} == {
        name: rule.fingerprint for name, rule in edition.claims.items()
    }
    if git("tag").stdout:  # a clone may come without any
        assert git("rev-parse", f"{edition.tag}^{{commit}}").stdout.strip() == edition.commit
    when = git("show", "--no-patch", "--format=%cI", edition.commit).stdout.strip()
    assert abs(datetime.fromisoformat(when) - edition.settled) < timedelta(hours=1)


@pytest.mark.slow
def test_runs_that_verdicts_rest_on_were_recorded_after_their_rules_or_the_verdict_says_so(tmp_path):
    claims, confirmed = load_claims(), 0
    for judgement, comparison in all_judgements(parameters.load("paper"), Store(cache=tmp_path), claims):
        if judgement.verdict.is_exploratory or judgement.claim.id == "C33":
            continue  # C33: tickets and dense networks were known, and criteria.yml says so
        settled = edition_of(judgement.claim).settled
        recorded = [record.provenance["recorded"] for records in comparison.arms.values() for record in records]
        assert min(map(datetime.fromisoformat, recorded)) > settled, judgement.claim.id
        confirmed += 1
    told = [v for v in read_verdicts() if v.verdict != "not run" and not v.is_exploratory and v.id != "C33"]
    assert confirmed == len(told) > 0


def test_every_claim_of_a_chapter_that_the_book_has_is_settled():
    measured = [entry for entry in load_claims() if isinstance(entry, Claim) and entry.is_measured]
    settled = [name for edition in load_editions() for name in edition.claims]
    assert len(settled) == len(set(settled)) and set(settled) <= {entry.id for entry in measured}
    assert set(settled) >= {entry.id for entry in measured}
    assert {edition_of(BY_ID[name]).tag for name in settled} == {edition.tag for edition in load_editions()}


def test_editions_are_in_order_of_time():
    times = [edition.settled for edition in load_editions()]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "change",
    [
        lambda claim: {"criterion": claim.criterion + " Or nearly."},
        lambda claim: {"judged": claim.judged[:1]},
        lambda claim: {"parts": claim.parts[:1]},
        lambda claim: {
            "parts": [claim.parts[0].model_copy(update={"arguments": {"slower": "ticket"}}), claim.parts[1]]
        },
        lambda claim: {
            "parts": [
                claim.parts[0].model_copy(
                    update={"rule": claim.parts[0].rule.model_copy(update={"replicated_above": 1.4})}
                ),
                claim.parts[1],
            ]
        },
    ],
)
def test_a_change_of_what_decides_shows(change):
    claim = BY_ID["C09"]
    other = claim.model_copy(update=change(claim))
    assert fingerprint(other) != fingerprint(claim)
    others = [entry for entry in load_claims() if entry.id != "C09"]
    assert changed([*others, other]) == ["C09"] == changed(others) and edition_of(other) is None


def test_words_that_decide_nothing_may_change():
    claim = BY_ID["C09"]
    other = {"title": "Another", "claim": "In other words.", "paper": "App. A: 7 times"}
    assert fingerprint(claim.model_copy(update=other)) == fingerprint(claim)


def test_what_is_said_of_single_systems_is_said_of_systems_that_are_judged():
    said = [(name, one) for edition in load_editions() for name, rule in edition.claims.items() for one in rule.later]
    assert said and all(one in {judged.system for judged in BY_ID[name].judged} for name, one in said)


EDITION = "- {{tag: x, commit: {}, settled: 2026-01-01T00:00:00Z, known: none, claims: {{{}}}}}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tag: [", "cannot be read"),
        (EDITION.format("''", "C01: {fingerprint: abc}"), "fingerprint"),
        (EDITION.format("short", ""), "commit"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "criteria.yml"
    path.write_text(text)
    with pytest.raises(ClaimsError, match=words) as caught:
        load_editions(path)
    assert "\n" not in str(caught.value) and "criteria.yml" in str(caught.value)
