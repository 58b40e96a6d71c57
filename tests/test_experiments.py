"""Which runs each chapter is about, and the verdicts that follow from records."""

import json

import pytest

from lib import claims, experiments, report
from lib.parameters import load
from lib.runs import Dense, Ticket
from lib.store import Store

SMOKE = load("smoke")


def test_paper_profile_is_the_papers_scale():
    runs = experiments.main_results(load("paper"))
    assert set(runs) == {"mlp", "transformer"}
    for kinds in runs.values():
        assert [run.seed for run in kinds["base"]] == [run.seed for run in kinds["ticket"]] == [0, 1, 2, 3, 4]
        for dense, ticket in zip(kinds["base"], kinds["ticket"], strict=True):
            assert (dense.task.prime, dense.task.train_fraction, dense.epochs) == (67, 0.4, 30_000)
            assert dense.start == Dense()
            assert ticket.start == Ticket(base=dense, epoch=28_000, rate=0.6)
            assert (ticket.task, ticket.model, ticket.optimizer, ticket.seed) == (
                dense.task, dense.model, dense.optimizer, dense.seed
            )  # fmt: skip
            o = dense.optimizer
            assert (o.learning_rate, o.beta1, o.beta2, o.weight_decay) == (0.001, 0.9, 0.98, 1.0)


def test_chapters_share_their_base_runs():
    both = experiments.runs_of(SMOKE)
    assert len(both) == len(set(both)) == 8
    assert set(experiments.runs_of(SMOKE, ["typical-grokking"])) < set(both)


def test_every_chapter_judges_claims_of_its_own():
    entries = [entry for entry in claims.load_claims(experiments.CLAIMS) if entry.id in claims.MEASURES]
    assert {entry.chapter for entry in entries} == set(experiments.CHAPTERS)


def test_verdicts_name_every_claim_and_system(tmp_path):
    store = Store(tmp_path / "results", tmp_path / "cache")
    empty = experiments.verdicts(SMOKE, store)
    assert {verdict.verdict for verdict in empty} == {"not run"}
    expected = [
        (entry.id, system)
        for entry in claims.load_claims(experiments.CLAIMS)
        if isinstance(entry, claims.Claim)
        for system in entry.systems
    ]
    assert [(verdict.id, verdict.system) for verdict in empty] == expected

    results = experiments.results("main-results", SMOKE, store)
    assert [(j.verdict.id, j.verdict.system) for j in results.judgements] == [("C01", "mlp"), ("C02", "transformer")]
    found = {verdict.id: verdict for verdict in experiments.verdicts(SMOKE, store)}
    for judgement in results.judgements:
        assert found[judgement.verdict.id] == judgement.verdict
    assert found["C17"].verdict == "inconclusive"  # two seeds; its runs are a part of main-results
    assert found["C03"].verdict == "not run"


def test_committed_verdicts_follow_from_the_committed_records(tmp_path):
    settings = load("paper")
    store = Store(cache=tmp_path)  # results/ alone
    computed = experiments.verdicts(settings, store)
    committed = claims.read_verdicts(experiments.VERDICTS)
    assert [v.model_dump() for v in committed] == [v.model_dump() for v in computed]
    for run in experiments.runs_of(settings):
        assert store.status(run).state == "recorded", f"results/ lacks {run}"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return experiments.results("main-results", SMOKE, Store(folder / "results", folder / "cache"))


def test_curves_hold_every_evaluation(results):
    frame = report.curves(results)
    assert len(frame) == 2 * 2 * 2 * 4  # systems, kinds, seeds, evaluations
    record = results.records["mlp"]["ticket"][1]
    rows = frame.query("system == 'mlp' and kind == 'ticket' and seed == @record.seed")
    assert rows["l2"].tolist() == record.metrics["l2"].tolist()
    assert rows["epoch"].tolist() == [0, 100, 200, 300]


def test_download_is_the_frame_itself(results):
    import base64
    import io
    import re

    import pandas as pd

    frame = report.curves(results)
    link = report.download(frame, "name")
    assert 'download="name.csv"' in link
    csv = base64.b64decode(re.search(r"base64,([^\"]+)", link)[1])
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(csv)), frame, rtol=1e-5)


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        ([100, 300, 200], "200 (100 – 300)"),
        ([100, None, 200], "200 (100 – > 1,000)"),
        ([100, None, None], "> 1,000 (100 – > 1,000)"),
        ([100, None], "100 (100 – > 1,000)"),
    ],
)
def test_epochs_text_never_makes_a_number_of_never(epochs, text):
    assert report.epochs_text(epochs, 1000) == text


def test_scorecard_shows_every_claim_and_question(results):
    entries = claims.load_claims(experiments.CLAIMS)
    html = report.scorecard(entries, [judgement.verdict for judgement in results.judgements])
    for entry in entries:
        assert f"<td>{entry.id}</td>" in html
    assert html.count("not-run") == sum(len(e.systems) for e in entries if isinstance(e, claims.Claim)) - 2


def test_provenance_names_records_versions_and_machine(results):
    html = report.provenance(results, SMOKE)
    record = results.records["transformer"]["ticket"][1]
    assert record.run.key[:8] in html
    for field in ("machine", "torch", "numpy", "python"):
        assert str(record.provenance[field]) in html


def test_table_says_what_is_missing():
    import pandas as pd

    frame = pd.DataFrame(
        {"epoch": pd.array([12300, None], dtype="Int64"), "high": [61.5, float("inf")], "x": [1.0, float("nan")]}
    )
    html = report.table(frame)
    for text in ("12,300", "never", "61.50", "no bound", "–"):
        assert f"<td>{text}</td>" in html


def test_verdict_json_has_the_interface_keys():
    entries = json.loads(experiments.VERDICTS.read_text())
    keys = {"id", "system", "verdict", "estimate", "low", "high", "unit", "seeds", "profile"}
    assert all(set(entry) == keys for entry in entries)
