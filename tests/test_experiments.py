"""Which runs each chapter is about, and the verdicts that follow from records."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import made_up_images

from lib.book import report
from lib.claims import judging as claims
from lib.experiments import chapters as experiments
from lib.train import images
from lib.train.models import ImageMLP
from lib.experiments.parameters import load
from lib.train.optim import AdamW
from lib.train.runs import Dense, Redense, Rescaled, Scored, Ticket
from lib.records.store import Store
from lib.train.tasks import ImageTask

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
    for chapter in set(experiments.CHAPTERS) - {"typical-grokking", "architectures", "dead-neurons", "mnist"}:
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


# --- images -----------------------------------------------------------------------------------------------------------

CONTROLS = ["l2-matrices", "l1-matrices", "random", "re-dense", "dense, no decay", "ticket, no decay"]
LITTLE = SMOKE.model_copy(update={"images": "mnist", "seeds": [0], "epochs": 2, "ticket_epoch": 1})
LITTLE_DIGITS = LITTLE.model_copy(update={"images": "digits"})


def kinds_of(systems):
    return {system: list(kinds) for system, kinds in systems.items()}


def judged(results):
    return [(judgement.verdict.id, judgement.verdict.system) for judgement in results.judgements]


def test_the_smoke_profile_learns_digits():
    systems = experiments.mnist(SMOKE)
    assert kinds_of(systems) == {"mnist-mlp/digits": ["base", "ticket", *CONTROLS]}
    for dense in systems["mnist-mlp/digits"]["base"]:
        assert dense.task == ImageTask(
            images=images.DIGITS, pixels=64, train_count=200, test_count=1597, seed=dense.seed
        )
        assert (dense.model, dense.optimizer, dense.epochs) == (ImageMLP(), AdamW(weight_decay=0.1), 300)


def test_the_paper_profile_learns_mnist_digits_and_mnist_with_four_matrices(monkeypatch):
    monkeypatch.delenv(images.VARIABLE, raising=False)
    systems = experiments.mnist(load("paper"))
    assert kinds_of(systems) == {
        "mnist-mlp": ["base", "ticket", *CONTROLS],
        "mnist-mlp/digits": ["base", "ticket"],
        "mnist-mlp/four-matrices": ["base", "ticket"],
    }
    tasks = {system: (images.MNIST, 784, 1000, 9000) for system in systems} | {
        "mnist-mlp/digits": (images.DIGITS, 64, 200, 1597)
    }
    for system, kinds in systems.items():
        assert all([run.seed for run in runs] == [0, 1, 2, 3, 4] for runs in kinds.values())
        for dense, ticket in zip(kinds["base"], kinds["ticket"], strict=True):
            task = dense.task
            assert (task.images, task.pixels, task.train_count, task.test_count) == tasks[system]
            assert task.seed == dense.seed
            assert (dense.start, dense.epochs) == (Dense(), 30_000)
            o = dense.optimizer
            assert (o.learning_rate, o.beta1, o.beta2, o.weight_decay, o.decay_until) == (0.001, 0.9, 0.98, 0.1, None)
            assert ticket == dataclasses.replace(dense, start=Ticket(base=dense, epoch=28_000, rate=0.6))
            matrices = dense.model.shapes(task)
            assert len(matrices) == (4 if system == "mnist-mlp/four-matrices" else 3)
            assert dense.model.weight_scale == 8


def test_controls_of_images_differ_from_the_base_in_nothing_but_what_they_control(monkeypatch):
    monkeypatch.delenv(images.VARIABLE, raising=False)
    kinds = experiments.mnist(load("paper"))["mnist-mlp"]
    for i, run in enumerate(kinds["base"]):
        ticket, none = Ticket(base=run, epoch=28_000, rate=0.6), AdamW(weight_decay=0.0)
        changes = {
            "l2-matrices": {"start": Rescaled(ticket=ticket, norm="l2", over="matrices")},
            "l1-matrices": {"start": Rescaled(ticket=ticket, norm="l1", over="matrices")},
            "random": {"start": Scored(method="random", rate=0.6)},
            "re-dense": {"start": Redense(ticket=ticket)},
            "dense, no decay": {"optimizer": none},
            "ticket, no decay": {"start": ticket, "optimizer": none},
        }
        for kind in CONTROLS:
            assert kinds[kind][i] == dataclasses.replace(run, **changes[kind]), kind


def test_a_file_of_ones_own_is_learned_as_far_as_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "CACHE", tmp_path)
    pixels, labels = made_up_images(1005, (3, 3))
    np.savez(tmp_path / "mine.npz", images=pixels, labels=labels)
    systems = experiments.mnist(SMOKE.model_copy(update={"images": str(tmp_path / "mine.npz")}))
    assert list(systems) == ["mnist-mlp", "mnist-mlp/digits", "mnist-mlp/four-matrices"]
    for system in ("mnist-mlp", "mnist-mlp/four-matrices"):
        task = systems[system]["base"][0].task
        assert (task.pixels, task.train_count, task.test_count) == (9, 1000, 5)
        assert len(task.data().test) == 5
        assert images.load(task.images).source == "mine.npz"
    assert systems["mnist-mlp/digits"]["base"][0].task.images == images.DIGITS


def test_where_mnist_cannot_be_had_the_chapter_is_about_digits_and_says_so(without_mnist, store):
    found = experiments.results("mnist", LITTLE, store)
    error = "MNIST cannot be downloaded from OpenML (no network); take images: digits"
    assert found.note == f"What follows is about scikit-learn's 8×8 digits, not MNIST: {error}."
    assert found.parameters == LITTLE_DIGITS
    assert kinds_of(found.records) == {"mnist-mlp/digits": ["base", "ticket", *CONTROLS]}
    assert all(group[0].run.task.images == images.DIGITS for group in found.records["mnist-mlp/digits"].values())
    assert judged(found) == [("C03", "mnist-mlp/digits")]
    assert without_mnist.count(images.MNIST) == 1


def test_digits_that_were_asked_for_need_no_note_and_no_mnist(without_mnist, store):
    found = experiments.results("mnist", LITTLE_DIGITS, store)
    assert (found.note, found.parameters) == ("", LITTLE_DIGITS)
    assert set(without_mnist) == {images.DIGITS}


def test_other_chapters_ask_for_no_images(without_mnist, store):
    assert experiments.with_images_at_hand(LITTLE, store, ["main-results", "tasks"]) == (LITTLE, "")
    assert without_mnist == []


@pytest.fixture
def recorded(tiny_chapter, store):
    """A store that has all of the chapter at `LITTLE`."""
    found = experiments.results("mnist", LITTLE, store)
    assert found.note == "" and {images.MNIST, images.DIGITS} == set(tiny_chapter)
    tiny_chapter.clear()
    return store


def test_where_mnist_is_at_hand_every_part_is_trained_and_judged(recorded):
    found = experiments.results("mnist", LITTLE, recorded)
    assert kinds_of(found.records) == kinds_of(experiments.mnist(LITTLE))
    wanted = ["mnist-mlp", "mnist-mlp/of-best", "mnist-mlp/digits", "mnist-mlp/four-matrices"]
    assert judged(found) == [("C03", system) for system in wanted]
    for system, kinds in found.records.items():
        for kind, [record] in kinds.items():
            assert (record.tables is not None) == (kind in ("base", "ticket")), (system, kind)


def test_each_system_is_judged_by_its_own_records_and_of_best_by_those_of_mnist(recorded, monkeypatch):
    judge, groups_of = claims.judge, {}

    def listen(claim, system, groups, profile):
        groups_of[system] = groups
        return judge(claim, system, groups, profile)

    monkeypatch.setattr(claims, "judge", listen)
    records = experiments.results("mnist", LITTLE, recorded).records
    assert set(groups_of) == {*records, "mnist-mlp/of-best"}
    assert groups_of.pop("mnist-mlp/of-best") is records["mnist-mlp"]
    assert all(groups is records[system] for system, groups in groups_of.items())


def test_where_all_runs_are_recorded_no_images_are_asked_for(recorded, without_mnist):
    found = experiments.results("mnist", LITTLE, recorded)
    assert (found.note, found.parameters) == ("", LITTLE)
    assert without_mnist == []


def test_where_only_digits_are_missing_the_chapter_is_still_about_mnist(recorded, without_mnist):
    [run] = experiments.mnist(LITTLE)["mnist-mlp/digits"]["ticket"]
    (recorded.write_to / f"{run.key}.npz").unlink()
    found = experiments.results("mnist", LITTLE, recorded)
    assert (found.note, found.parameters) == ("", LITTLE)
    assert set(without_mnist) == {images.DIGITS}
    assert kinds_of(found.records) == kinds_of(experiments.mnist(LITTLE))


@pytest.mark.parametrize("folder", ["records", "tables"])
def test_where_a_record_or_a_table_is_missing_images_are_asked_for(recorded, without_mnist, folder):
    [run] = experiments.mnist(LITTLE)["mnist-mlp/four-matrices"]["ticket"]
    (recorded.write_to.parent / folder / f"{run.key}.npz").unlink()
    parameters, note = experiments.with_images_at_hand(LITTLE, recorded)
    assert parameters.images == "digits" and note.startswith("What follows is about ")
    assert without_mnist == [images.MNIST]
