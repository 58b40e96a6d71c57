"""Which runs each chapter is about, and the verdicts that follow from records."""

import dataclasses
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
    everything = experiments.runs_of(SMOKE)
    assert len(everything) == len(set(everything))
    main = set(experiments.runs_of(SMOKE, ["main-results"]))
    assert len(main) == 8
    assert set(experiments.runs_of(SMOKE, ["typical-grokking"])) < main < set(everything)
    for chapter in set(experiments.CHAPTERS) - {"typical-grokking", "architectures", "dead-neurons"}:
        assert main <= set(experiments.runs_of(SMOKE, [chapter])), chapter


def test_no_two_runs_share_a_key():
    runs = experiments.runs_of(load("paper"))
    assert len({run.key for run in runs}) == len(runs)


def test_grids_are_the_papers():
    paper = load("paper")
    assert experiments.ticket_epochs(paper) == list(range(2000, 30_001, 2000))
    kinds = experiments.tickets_by_rate(paper)["mlp"]
    assert [kind for kind in kinds if kind.startswith("rate")] == [f"rate 0.{i}" for i in range(1, 10)]
    assert kinds["rate 0.6"] == kinds["ticket"]
    by_epoch = experiments.tickets_by_epoch(paper)["transformer"]
    assert by_epoch["epoch 28000"] == by_epoch["ticket"]


def test_controls_differ_from_the_base_in_nothing_but_what_they_control():
    paper = load("paper")
    for chapter in ("weight-norm", "pruning-at-init", "re-dense", "dead-neurons"):
        for kinds in experiments.CHAPTERS[chapter](paper).values():
            for kind, runs in kinds.items():
                for run, dense in zip(runs, kinds["base"], strict=True):
                    assert dataclasses.replace(run, start=Dense()) == dense, (chapter, kind)
    for kinds in experiments.no_weight_decay(paper).values():
        for kind, runs in kinds.items():
            for run, dense in zip(runs, kinds["base"], strict=True):
                assert dataclasses.replace(run, start=Dense(), optimizer=dense.optimizer) == dense
                decays = run.optimizer.weight_decay > 0
                assert decays == (kind in ("base", "ticket") or "switched off" in kind)
                assert (run.optimizer.decay_until is not None) == ("switched off" in kind)


def test_every_chapter_judges_claims_of_its_own():
    entries = [entry for entry in claims.load_claims(experiments.CLAIMS) if entry.id in claims.MEASURES]
    assert {entry.chapter for entry in entries} == set(experiments.CHAPTERS) - {"deviations"}


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
