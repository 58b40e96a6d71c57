"""Which runs each chapter is about, what a chapter shows, and the verdicts that follow from records."""

import base64
import dataclasses
import io
import json
import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import forget, made_up_images
from made_up import comparison as made_up

from lib.book import figures, tables
from lib.book.chapter import Chapter, known_before, to_come
from lib.book.scorecard import forest, scorecard
from lib.claims import judging
from lib.claims.claims import Claim, load_claims
from lib.experiments import chapters
from lib.experiments.arms import ARMS, Arm, arm, family
from lib.experiments.chapters import CHAPTERS, PAIR, RATES, wanted
from lib.experiments.comparison import compare
from lib.experiments.images import with_images_at_hand
from lib.experiments.parameters import load
from lib.experiments.settings import SETTINGS
from lib.records.store import Record, Status, Store
from lib.train import images
from lib.train.models import ImageMLP
from lib.train.optim import AdamW
from lib.train.runs import Dense, Redense, Rescaled, Scored, Ticket
from lib.train.tasks import ImageTask

pytestmark = pytest.mark.slow

SMOKE, PAPER = load("smoke"), load("paper")


def runs_of(chapter, parameters=PAPER):
    """Setting -> arm -> runs."""
    return wanted(parameters, [chapter]).by_arm[chapter]


def opened(name, parameters, store, monkeypatch):
    """A chapter on a store of its own."""
    monkeypatch.setattr("lib.book.chapter.Store", lambda: store)
    return Chapter.open(name, parameters.model_dump())


# --- arms and settings ------------------------------------------------------------------------------------------------


def test_arms_have_labels_and_colours_of_their_own():
    labels = [kind.label for kind in ARMS.values()]
    assert len(set(labels)) == len(labels)
    families = [
        ("ticket", "rate", "epoch", "moment"),
        ("ticket-no-decay", "rate-no-decay"),
        ("l2-matrices", "l2-rate"),
        ("l1-matrices", "l1-rate"),
        ("random", "random-rate"),
    ]
    alone = [kind.colour for name, kind in ARMS.items() if not any(name in names[1:] for names in families)]
    assert len(set(alone)) == len(alone)


@pytest.mark.parametrize(
    ("where", "label"),
    [
        ("ticket", "ticket"),
        (("rate", 0.3), "ticket, rate 0.3"),
        (["kill", 0.05], "kill only, threshold 0.05"),
        (("epoch", 2000), "ticket of epoch 2,000"),
    ],
)
def test_arms_are_named_as_claims_name_them(where, label):
    assert arm(where).label == label
    assert arm(arm(where)) == arm(where)


@pytest.mark.parametrize("where", ["tickte", ("ticket", 0.3), "rate"])
def test_what_is_no_arm_is_one_sentence(where):
    with pytest.raises(ValueError, match="arm") as caught:
        arm(where)
    assert "\n" not in str(caught.value)


def test_names_of_settings_are_their_keys_and_their_runs_differ():
    assert all(name == setting.name for name, setting in SETTINGS.items())
    runs = {name: setting.base(0, PAPER).key for name, setting in SETTINGS.items() if "a+b" not in name}
    assert len(set(runs.values())) == len(runs)


def test_paper_profile_is_the_papers_scale():
    found = runs_of("main-results")
    assert set(found) == {"mlp", "transformer"}
    for arms in found.values():
        for i, (dense, ticket) in enumerate(zip(arms[Arm("base")], arms[Arm("ticket")], strict=True)):
            assert dense.seed == ticket.seed == dense.task.seed == i
            assert (dense.task.prime, dense.task.train_fraction, dense.epochs) == (67, 0.4, 30_000)
            assert dense.start == Dense()
            assert ticket == dataclasses.replace(dense, start=Ticket(base=dense, epoch=28_000, rate=0.6))
            o = dense.optimizer
            assert (o.learning_rate, o.beta1, o.beta2, o.weight_decay) == (0.001, 0.9, 0.98, 1.0)


def test_chapters_share_their_base_runs():
    everything = wanted(SMOKE).runs
    assert len(everything) == len(set(everything))
    main = runs_of("main-results", SMOKE)
    assert len(set(wanted(SMOKE, ["main-results"]).runs)) == 2 * (3 + 4) < len(everything)
    for chapter in CHAPTERS:
        found = runs_of(chapter, SMOKE)
        for setting in {"mlp", "transformer"} & set(found):
            for one in {Arm("base"), Arm("ticket")} & set(found[setting]):
                assert found[setting][one] == main[setting][one], chapter


def test_no_two_runs_share_a_key():
    runs = wanted(PAPER, whole=True).runs
    assert len({run.key for run in runs}) == len(runs) > 3_000


# --- which seeds are shown, and which the book is to have -------------------------------------------------------------


def with_records(runs, t_gen=20_000):
    """A store that has made-up records of these runs, which step to 1 at t_gen."""
    epochs = np.arange(0, 30_001, 100)
    runs = set(runs)

    def load(run):
        metrics = {"test_accuracy": (epochs >= t_gen) * 1.0, "train_accuracy": np.ones(len(epochs))}
        return Record(run, epochs, metrics, {}) if run in runs else None

    return SimpleNamespace(load=load, status=lambda run: Status("recorded" if run in runs else "missing", ""))


def of_seeds(chapter, seeds):
    return wanted(PAPER.model_copy(update={"seeds": list(seeds)}), [chapter]).runs


def seeds_of(found, setting="mlp"):
    return {run.task.seed for runs in found[setting].values() for run in runs}


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        (range(0, 5), range(0, 5)),
        (range(0, 14), range(0, 5)),  # nine confirmatory seeds are too few
        (range(0, 15), range(5, 15)),
        (range(7, 19), range(7, 19)),
        (range(0, 25), range(5, 25)),
    ],
)
def test_confirmatory_seeds_are_shown_where_there_are_enough(there, shown):
    found = wanted(PAPER, ["re-dense"], with_records(of_seeds("re-dense", there))).by_arm["re-dense"]
    assert seeds_of(found) == set(shown) and set(found["mlp"]) == {Arm("base"), Arm("ticket"), Arm("re-dense")}


@pytest.mark.parametrize(("there", "shown"), [(range(0, 9), range(0, 3)), (range(0, 10), range(5, 10))])
def test_where_runs_are_long_five_confirmatory_seeds_are_enough(there, shown):
    setting = "nanda-transformer/hidden-128"
    runs = wanted(PAPER.model_copy(update={"seeds": list(there)}), ["learning-coefficient"], settings=[setting]).runs
    store = with_records(runs)
    recorded = store.status
    store.status = lambda run: dataclasses.replace(recorded(run), has_probes=True)
    found = wanted(PAPER, ["learning-coefficient"], store).by_arm["learning-coefficient"]
    assert seeds_of(found, setting) == set(shown)


def test_a_seed_that_lacks_an_arm_does_not_count():
    runs = of_seeds("re-dense", range(0, 15))
    lost = [run for run in runs if run.seed == 9 and isinstance(run.start, Redense)]
    found = wanted(PAPER, ["re-dense"], with_records(set(runs) - set(lost))).by_arm["re-dense"]
    assert lost and seeds_of(found) == set(range(0, 5))


def test_seeds_with_all_arms_are_counted_even_where_they_are_too_few_to_be_shown():
    runs = of_seeds("re-dense", range(0, 9))
    lost = [run for run in runs if run.seed == 7 and isinstance(run.start, Redense)]
    found = wanted(PAPER, ["re-dense"], with_records(set(runs) - set(lost)))
    assert found.confirmed("re-dense", "mlp") == [5, 6, 8] and seeds_of(found.by_arm["re-dense"]) == set(range(0, 5))


@pytest.mark.parametrize(("there", "shown"), [(range(0, 15), range(5, 15)), (range(0, 14), range(0, 5))])
def test_where_no_claim_is_judged_some_arms_are_enough(there, shown):
    of = wanted(PAPER.model_copy(update={"seeds": list(there)}), ["attention"], settings=["transformer/a-b"])
    runs, lost = of.runs, of.by_arm["attention"]["transformer/a-b"][Arm("uniform")][5:]
    found = wanted(PAPER, ["attention"], with_records(set(runs) - set(lost)))
    arms = found.by_arm["attention"]
    assert lost and seeds_of(arms, "transformer/a-b") == set(shown)
    assert (Arm("uniform") in arms["transformer/a-b"]) == (shown[0] == 0)
    assert found.confirmed("attention", "transformer/a-b") == []


def test_no_claim_is_judged_where_a_family_may_be_shown_in_part():
    judged_in = {
        one.chapter or claim.chapter for claim in load_claims() if isinstance(claim, Claim) for one in claim.judged
    }
    assert [name for name, chapter in CHAPTERS.items() if chapter.enough and name in judged_in] == []


def test_settings_on_exploratory_seeds_are_named():
    old, new = made_up("mlp", range(5)), made_up("transformer", range(5, 15))
    assert known_before({"mlp": old, "transformer": new}, PAPER).endswith(": MLP.")
    assert known_before({"mlp": old}, PAPER).endswith(": All settings.")
    assert known_before({"transformer": new}, PAPER) == known_before({"mlp": old}, SMOKE) == ""


def test_runs_of_exploratory_seeds_are_there_beside_others_though_some_arms_are_not():
    runs = of_seeds("re-dense", range(0, 15))
    lost = [run for run in runs if run.seed == 2 and isinstance(run.start, Redense)]
    store = with_records(set(runs) - set(lost))
    found = wanted(PAPER, ["re-dense"], store).exploratory("re-dense")
    assert seeds_of(found) == seeds_of(found, "transformer") == set(range(0, 5))
    assert Arm("re-dense") not in found["mlp"] and Arm("ticket") in found["mlp"]
    assert wanted(PAPER.model_copy(update={"seeds": [7]}), ["re-dense"], store).exploratory("re-dense") == {}


def test_arms_and_settings_without_records_are_listed():
    given = Arm("base"), Arm("rate", 0.3), Arm("rate", 0.6)
    shown = {"mlp": SimpleNamespace(arms={Arm("base"), *family("rate", RATES)})}
    assert to_come("pruning-rate", PAPER, shown).splitlines()[2:] == [
        "* *MLP*: ticket",
        "* *Transformer*: all networks",
    ]
    shown["transformer"] = SimpleNamespace(arms={*given, Arm("ticket")})
    assert "* *Transformer*: ticket, rate …" in to_come("pruning-rate", PAPER, shown)
    whole = SimpleNamespace(arms={*PAIR, *family("rate", RATES)})
    assert to_come("pruning-rate", PAPER, {"mlp": whole, "transformer": whole}) == ""


def test_settings_are_chosen_one_by_one_and_exploratory_ones_may_lack_arms():
    mlp = [run for run in of_seeds("main-results", range(5, 15)) if "MLP" in str(run)]
    transformer = wanted(PAPER.model_copy(update={"seeds": [0, 1, 2, 3, 4]}), ["re-dense"]).runs
    found = wanted(PAPER, ["main-results"], with_records([*mlp, *transformer])).by_arm["main-results"]
    assert seeds_of(found) == set(range(5, 15))
    assert seeds_of(found, "transformer") == set(range(0, 5))
    assert Arm("new-weights") in found["mlp"] and Arm("new-weights") not in found["transformer"]


def test_what_is_to_come_is_counted_whole():
    whole = wanted(PAPER, ["re-dense"], whole=True).by_arm["re-dense"]
    assert seeds_of(whole) == set(range(0, 25))
    assert seeds_of(wanted(PAPER, ["pruning-rate"], whole=True).by_arm["pruning-rate"]) == set(range(0, 15))


def test_the_whole_has_the_seeds_that_are_recorded_and_then_the_first_others():
    store = with_records(of_seeds("pruning-rate", range(15, 23)))
    whole = wanted(PAPER, ["pruning-rate"], store, whole=True).by_arm["pruning-rate"]
    assert seeds_of(whole) == {*range(0, 7), *range(15, 23)}
    store = with_records(of_seeds("pruning-rate", range(5, 17)))  # more than it is to have
    whole = wanted(PAPER, ["pruning-rate"], store, whole=True).by_arm["pruning-rate"]
    assert seeds_of(whole) == set(range(0, 17))


def test_masks_are_wanted_of_the_arms_that_a_chapter_reads():
    of = wanted(PAPER.model_copy(update={"seeds": [5]}), ["attention"])
    by_arm = of.by_arm["attention"]
    read = {name: {one.name for one, runs in arms.items() if set(runs) <= of.masked} for name, arms in by_arm.items()}
    assert read["transformer"] == {"ticket", "random-uniform", "ticket-attention"}
    assert read["transformer/text"] == {"ticket"}
    assert not any(read[name] for name in read.keys() - {"transformer", "transformer/text"})


def test_probes_are_wanted_of_the_settings_that_a_chapter_reads(monkeypatch):
    monkeypatch.setattr(images, "find", lambda where: images.MNIST)
    of = wanted(PAPER.model_copy(update={"seeds": [5]}), ["mnist"])
    read = {
        name: {one.name for one, runs in arms.items() if set(runs) <= of.probed}
        for name, arms in of.by_arm["mnist"].items()
    }
    pair = {"base", "ticket"}
    assert read == {"mnist-mlp": pair, "mnist-mlp/digits": pair, "mnist-mlp/four-matrices": set()}


@pytest.mark.parametrize(("there", "read"), [(range(0, 14), range(0, 15)), (range(0, 15), range(5, 15))])
def test_masks_and_probes_of_exploratory_seeds_are_wanted_until_confirmatory_ones_are_shown(there, read):
    store = with_records(of_seeds("representations", there))
    recorded = store.status
    store.status = lambda run: dataclasses.replace(recorded(run), has_probes=True, has_mask=True)
    whole = wanted(PAPER, ["representations", "dead-neurons"], store, whole=True)
    assert {run.task.seed for run in whole.runs} == set(range(0, 25))  # the runs themselves are wanted all the same
    assert {run.task.seed for run in whole.probed} == set(read)
    assert {run.task.seed for run in whole.masked} == set(range(0, 25))  # of dead neurons no arm is recorded in full


def test_tickets_at_multiples_of_their_bases_own_time_wait_for_the_base():
    seeds = PAPER.model_copy(update={"seeds": [3, 4]})
    unknown = wanted(seeds, ["ticket-epochs"])
    assert unknown.pending == 2 * 2 * len(chapters.MOMENTS)
    base = [SETTINGS["mlp"].base(3, PAPER)]
    known = wanted(seeds, ["ticket-epochs"], with_records(base, t_gen=8_000))
    arms = known.by_arm["ticket-epochs"]["mlp"]
    cut = {one.value: [run.start.epoch for run in runs] for one, runs in arms.items() if one.name == "moment"}
    assert cut == {m: [min(round(8_000 * m), 30_000)] for m in chapters.MOMENTS}
    assert known.pending == 3 * len(chapters.MOMENTS)


def test_training_goes_on_until_all_runs_are_known():
    seeds, there = PAPER.model_copy(update={"seeds": [3]}), set()
    calls = []

    def train(of):
        calls.append(len(of.runs))
        there.update(of.runs)

    of = chapters.until_known(lambda: wanted(seeds, ["ticket-epochs"], with_records(there)), train)
    assert of.pending == 0 and len(calls) == 2 and calls[0] < calls[1] == len(of.runs)


@pytest.mark.parametrize("name", ["mlp/long", "mlp-deep/long", "transformer-4-heads/long", "transformer/a-b-long"])
def test_longer_budgets_are_100_000_epochs_and_tickets_are_cut_as_far_along(name):
    base = SETTINGS[name].base(5, PAPER)
    assert base.epochs == 100_000
    ticket = Arm("ticket").run(base, PAPER)
    assert ticket.start.epoch == 28_000 * 100_000 // 30_000 and ticket.epochs == 100_000


def test_replicas_differ_from_their_setting_by_rounding_alone():
    for model in ("mlp", "transformer"):
        bases = [SETTINGS[name].base(5, PAPER) for name in (model, f"{model}/rounding-1", f"{model}/rounding-2")]
        assert [base.rounding for base in bases] == [0, 1, 2]
        assert len({dataclasses.replace(base, rounding=0) for base in bases}) == 1
        assert Arm("ticket").run(bases[1], PAPER).start.base == bases[1]


def test_grids_are_the_papers():
    assert chapters.ticket_epochs(PAPER) == list(range(2000, 30_001, 2000))
    arms = runs_of("pruning-rate")["mlp"]
    assert [one.value for one in arms if one.name == "rate"] == [i / 10 for i in range(1, 10)]
    assert arms[Arm("rate", 0.6)] == arms[Arm("ticket")]
    by_epoch = runs_of("ticket-epochs")["transformer"]
    assert by_epoch[Arm("epoch", 28_000)] == by_epoch[Arm("ticket")]


def test_controls_differ_from_the_base_in_nothing_but_what_they_control():
    for chapter in ("weight-norm", "pruning-at-init", "re-dense", "dead-neurons"):
        for arms in runs_of(chapter).values():
            for one, runs in arms.items():
                for run, dense in zip(runs, arms[Arm("base")], strict=True):
                    assert dataclasses.replace(run, start=Dense()) == dense, (chapter, one)
    for arms in runs_of("no-weight-decay").values():
        for one, runs in arms.items():
            for run, dense in zip(runs, arms[Arm("base")], strict=True):
                assert dataclasses.replace(run, start=Dense(), optimizer=dense.optimizer) == dense
                assert (run.optimizer.weight_decay > 0) == (not one.name.endswith("no-decay"))
                assert (run.optimizer.decay_until is not None) == one.name.endswith("switched-off")


def test_new_weights_are_other_weights_under_the_same_mask():
    arms = runs_of("deviations")["mlp"]
    for ticket, new in zip(arms[Arm("ticket")], arms[Arm("new-weights")], strict=True):
        assert (new.start, new.task, new.seed) == (ticket.start, ticket.task, ticket.seed + 1000)


def test_every_measured_claim_is_judged_by_a_chapter_that_has_its_settings():
    entries = [entry for entry in load_claims() if isinstance(entry, Claim) and entry.is_measured]
    assert {entry.chapter for entry in entries} <= set(CHAPTERS)
    for entry in entries:
        for judged in entry.judged:
            assert judged.setting in CHAPTERS[judged.chapter or entry.chapter].settings(PAPER), entry.id


def test_verdicts_name_every_claim_and_system(tmp_path, monkeypatch):
    store = Store(tmp_path / "results", tmp_path / "cache")
    empty = judging.verdicts(SMOKE, store)
    assert {verdict.verdict for verdict in empty} == {"not run"}
    expected = [(e.id, judged.system) for e in load_claims() if isinstance(e, Claim) for judged in e.judged]
    assert [(verdict.id, verdict.system) for verdict in empty] == expected

    chapter = opened("main-results", SMOKE, store, monkeypatch)
    systems = [("C01", "mlp"), ("C02", "transformer"), ("C02", "transformer/uniform")]
    assert [(j.verdict.id, j.verdict.system) for j in chapter.judgements] == systems
    found = {(one.id, one.system): one for one in judging.verdicts(SMOKE, store)}
    for judgement in chapter.judgements:
        assert found[judgement.verdict.id, judgement.verdict.system] == judgement.verdict
    assert found["C17", "mlp"].verdict == "inconclusive"  # two seeds; its runs are a part of main-results
    assert found["C03", "mnist-mlp"].verdict == "not run"
    assert found["C23", "mlp"].verdict == "not run"  # its runs are there, its probes are not


def test_committed_verdicts_follow_from_the_committed_records(tmp_path):
    store = Store(cache=tmp_path)  # results/ alone
    computed = judging.verdicts(PAPER, store)
    assert [v.model_dump() for v in judging.read_verdicts()] == [v.model_dump() for v in computed]
    for run in wanted(PAPER, store=store).runs:
        assert store.status(run).state in ("recorded", "out of date"), f"results/ lacks {run}"
    assert store.unreadable() == []


def test_a_comparison_never_mixes_numerics_where_it_need_not():
    arms = runs_of("main-results", SMOKE)
    arms = {"mlp": {one: arms["mlp"][one] for one in (Arm("base"), Arm("ticket"))}}
    bases, tickets = arms["mlp"].values()

    def version(run, numerics):
        epochs = np.array([0, 100])
        metrics = {"test_accuracy": np.zeros(2), "train_accuracy": np.zeros(2)}
        return SimpleNamespace(run=run, seed=run.task.seed, epochs=epochs, metrics=metrics, numerics=numerics)

    def compared(*of_bases, of_tickets=(2,)):
        have = dict.fromkeys(bases, of_bases) | dict.fromkeys(tickets, of_tickets)
        found = compare({"mlp": arms["mlp"]}, lambda run: {n: version(run, n) for n in have[run]})
        return {one.name: {r.numerics for r in records} for one, records in found["mlp"].arms.items()} if found else {}

    assert compared(2, 3) == {"base": {2}, "ticket": {2}}
    assert compared(2, 3, of_tickets=(2, 3)) == {"base": {3}, "ticket": {3}}
    assert compared(3) == {"base": {3}, "ticket": {2}}  # no other way
    assert compared() == {}


def test_a_comparison_has_the_epochs_that_all_of_its_records_have(tmp_path):
    arms = runs_of("main-results", SMOKE)["mlp"]

    def record(run, epochs):
        return Record(run, np.array(epochs), {"test_accuracy": np.array(epochs) / 1000}, {})

    first = next(iter(arms.values()))[0]
    found = compare({"mlp": arms}, lambda run: {3: record(run, [0, 100, 300] if run == first else [0, 10, 100, 300])})
    for records in found["mlp"].arms.values():
        for one in records:
            assert one.epochs.tolist() == [0, 100, 300]
            assert one.metrics["test_accuracy"].tolist() == [0, 0.1, 0.3]


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        return opened("main-results", SMOKE, Store(folder / "results", folder / "cache"), patch)


def test_curves_hold_every_evaluation(chapter):
    frame = tables.curves(chapter)
    assert len(frame) == (3 + 4) * 2 * 5  # arms of both settings, seeds, evaluations
    record = chapter["mlp"]["ticket"][1]
    rows = frame.query("setting == 'mlp' and arm == 'ticket' and seed == @record.seed")
    assert rows["l2"].tolist() == record.metrics["l2"].tolist()
    assert rows["epoch"].tolist() == [0, 10, 100, 200, 300]  # early on ten times as often


def test_download_is_the_frame_itself(chapter):
    frame = tables.curves(chapter).drop(columns="value")  # which no arm here has
    link = tables.download(frame, "name")
    assert 'download="name.csv"' in link
    csv = base64.b64decode(re.search(r"base64,([^\"]+)", link)[1])
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(csv)), frame, rtol=1e-5, check_dtype=False)


def test_the_end_of_a_chapter_has_data_the_command_and_where_its_records_come_from(chapter):
    page = chapter.close(extra=pd.DataFrame({"x": [1]})).data
    for part in (
        "main-results.csv",
        "main-results-curves.csv",
        "main-results-extra.csv",
        "papermill book/main-results.md",
    ):
        assert part in page


def test_panels_keep_titles_above_and_the_horizontal_axis_below(chapter):
    chapter.panels(figures.generalized, lambda ax, comparison: figures.curves(ax, comparison), legend=2)
    figure = plt.gcf()
    above, below = figure.axes[:2], figure.axes[2:]
    assert [ax.get_title() for ax in above] == ["MLP", "Transformer"] and {ax.get_title() for ax in below} == {""}
    assert {ax.get_xlabel() for ax in below} == {"epoch"}
    assert [bool(ax.get_ylabel()) for ax in figure.axes] == [True, False] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["base (dense)", "ticket"]
    assert "seeds 0, 1" in figure._supxlabel.get_text()
    assert "(not the paper's scale)" in figure._supxlabel.get_text()
    plt.close(figure)


def test_panels_of_many_settings_stand_two_in_a_row_each_with_its_axis(chapter):
    chapter.panels(figures.generalized, settings=["mlp", "transformer", "mlp"])
    figure = plt.gcf()
    assert [ax.get_subplotspec().rowspan.start for ax in figure.axes] == [0, 0, 1, 1]
    assert [ax.axison for ax in figure.axes] == [True] * 3 + [False]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["MLP", "Transformer", "MLP"]
    assert {ax.get_xlabel() for ax in figure.axes[:3]} == {"epoch"}
    figure.draw_without_rendering()
    assert all(any(label.get_visible() for label in ax.get_xticklabels()) for ax in figure.axes[:3])
    plt.close(figure)


def test_what_is_asked_of_arms_that_are_not_there_is_one_sentence(chapter):
    with pytest.raises(ValueError, match="mlp: there are no records of arm re-dense"):
        chapter["mlp"]["re-dense"]


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        ([100, 300, 200], "200 (100 – 300)"),
        ([100, None, 200], "200 (100 – > 1,000)"),
        ([100, None, None], "> 1,000 (100 – > 1,000)"),
        ([100, None], "100 (100 – > 1,000)"),
        ([100, 100], "100 (all)"),
        ([None, None], "> 1,000 (all)"),
    ],
)
def test_epochs_text_never_makes_a_number_of_never(epochs, text):
    assert tables.epochs_text(epochs, 1000) == text


def test_scorecard_shows_every_claim_and_question(chapter):
    entries = load_claims()
    html = scorecard(
        entries, chapter.judgements, "smoke", {("C01", "mlp"): "changes"}, {("C01", "mlp"): "same (5 seeds)"}
    )
    systems = sum(len(entry.judged) for entry in entries if isinstance(entry, Claim))
    assert html.count("<tbody ") == len(entries)
    assert html.count('class="forest"') == len(chapter.judgements)
    assert html.count('class="variant"') == systems - sum(isinstance(entry, Claim) for entry in entries)
    assert "<td><small>levels: changes</small><br><small>rounding: same (5 seeds)</small></td>" in html
    assert html.count("rounding: not tried") == len(chapter.judgements) - 1
    assert 'href="main-results.html#c02-transformer-uniform"' in html
    for entry in entries:
        assert f'id="{entry.id.lower()}"' in html
        paper = entry.paper if isinstance(entry, Claim) else None
        assert html.count(f"Paper: {paper}<") == (paper is not None)


def test_a_claim_of_several_settings_shows_their_joint_outcome_first_and_is_found_by_each(chapter):
    (claim,) = [entry for entry in load_claims() if entry.id == "C02"]
    first, second = [j for j in chapter.judgements if j.claim.id == "C02"]
    parted = [
        dataclasses.replace(one, verdict=one.verdict.model_copy(update={"verdict": word}))
        for one, word in ((first, "replicated"), (second, "refuted"))
    ]
    html = scorecard([claim], parted, "smoke", {}, {})
    assert 'data-outcome="mixed|replicated|refuted"' in html
    assert html.index(f"{tables.badge('mixed')} in all") < html.index(f"Transformer: {tables.badge('replicated')}")
    assert all(f"<option>{word}</option>" in html for word in ("mixed", "replicated", "refuted"))


def test_a_chapter_in_short_names_verdicts_on_its_claims_in_other_chapters(chapter, monkeypatch):
    (claim,) = [entry for entry in load_claims() if entry.id == "C09"]
    verdict = judging.Verdict(
        id="C09",
        system="mnist-mlp",
        verdict="refuted",
        estimate=0.9,
        low=0.8,
        high=1,
        unit="times",
        seeds=[0],
        profile="paper",
    )
    monkeypatch.setattr("lib.book.chapter.read_verdicts", lambda: [verdict])
    norm = dataclasses.replace(chapter, name="weight-norm", parameters=PAPER)
    assert norm._elsewhere(claim) == (
        f'; elsewhere <a href="mnist.html#c09-mnist-mlp">MNIST MLP</a> {tables.badge("refuted")} 0.90 times (0.80 to 1.00)'
    )
    assert dataclasses.replace(norm, parameters=SMOKE)._elsewhere(claim) == ""
    assert dataclasses.replace(norm, name="mnist")._elsewhere(claim) == ""
    alike = [verdict.model_copy(update={"system": judged.system}) for judged in claim.judged]
    monkeypatch.setattr("lib.book.chapter.read_verdicts", lambda: alike)
    html = dataclasses.replace(norm, name="another")._elsewhere(claim)  # what says the same is said once
    assert html.count("<a ") == len(claim.judged) > 1 and html.count("0.90 times") == 1


def test_a_forest_row_places_interval_and_rule_on_one_axis(chapter):
    """On the axis from 1/4 to 64, which has 8 doublings, 2 is the third; without bounds the bar has the whole width."""
    (one,) = [j for j in chapter.judgements if (j.claim.id, j.judged.system) == ("C01", "mlp")]
    part = dataclasses.replace(one.parts[0], estimate=8.0, interval=(4.0, 16.0))
    html = forest(dataclasses.replace(one, parts=(part,)))
    assert '<i class="yes" style="left:37.5%;width:62.5%">' in html
    assert '<i class="no" style="left:0.0%;width:28.3%">' in html  # up to 1.2
    assert '<i class="bar" style="left:50.0%;width:25.0%">' in html
    assert re.search(r'<i class="dot \w+" style="left:62.5%">', html)
    unbounded = dataclasses.replace(part, interval=(None, None))
    assert '<i class="bar" style="left:0.0%;width:100.0%">' in forest(dataclasses.replace(one, parts=(unbounded,)))


def test_a_chapter_without_verdicts_has_no_figure_of_what_they_depend_on(chapter, monkeypatch):
    monkeypatch.setattr(figures, "panels", lambda *_, **__: pytest.fail("a figure was begun"))
    dataclasses.replace(chapter, judgements=[]).sensitivity()


def test_a_chapter_in_short_has_each_claim_and_what_limits_it(chapter):
    html = chapter.in_short().data
    for claim in {one.claim.id for one in chapter.judgements}:
        assert html.count(f"({claim})") == 1 and f'href="#{claim.lower()}"' in html
    assert "not the paper's scale" in html  # the fixture is at smoke


def test_provenance_names_records_versions_and_machine(chapter):
    html = tables.provenance(chapter, SMOKE)
    record = chapter["transformer"]["ticket"][1]
    assert record.run.key[:8] in html
    for field in ("machine", "torch", "numpy", "python", "products"):
        assert str(record.provenance[field]) in html


def test_table_says_what_is_missing():
    frame = pd.DataFrame(
        {"epoch": pd.array([12300, None], dtype="Int64"), "high": [61.5, float("inf")], "x": [1.0, float("nan")]}
    )
    html = tables.table(frame)
    for text in ("12,300", "never", "61.50", "no bound", "–"):
        assert f"<td>{text}</td>" in html


def test_table_has_words_for_true_and_false_and_a_sign_for_none():
    frame = pd.DataFrame({"holds": [True, False], "phase": [None, 7], "found": [np.True_, None]}, dtype=object)
    assert re.findall("<td>(.*?)</td>", tables.table(frame)) == ["yes", "–", "yes", "no", "7", "–"]


def test_long_cells_of_a_table_fold_and_short_ones_do_not():
    html = tables.table(pd.DataFrame({"claims": ["C01, " * 10, "C01"]}))
    assert html.count('<td class="long">') == html.count("<td>") == 1 and "<td>C01</td>" in html


def test_a_range_in_a_table_stays_on_its_line():
    html = tables.table(pd.DataFrame({"t_gen": ["10,000 (7,300 – > 30,000)"]}))
    assert "<td>10,000 (7,300\u00a0–\u2060\u00a0&gt;\u00a030,000)</td>" in html


def test_a_negative_number_in_a_table_has_a_minus_and_words_keep_their_hyphens():
    html = tables.table(pd.DataFrame({"a": [-1.5], "b": ["-15.7 (-15.8 – -15.1)"], "c": ["criteria-1, 1e-05"]}))
    for text in ("−1.50", "−15.7 (−15.8\u00a0–\u2060\u00a0−15.1)", "criteria-1, 1e-05"):
        assert f"<td>{text}</td>" in html


def test_verdict_json_has_the_interface_keys():
    entries = json.loads(judging.VERDICTS.read_text())
    keys = {"id", "system", "verdict", "estimate", "low", "high", "unit", "seeds", "profile"}
    assert all(set(entry) == keys for entry in entries)


# --- images -----------------------------------------------------------------------------------------------------------

CONTROLS = ["l2-matrices", "l1-matrices", "random", "re-dense", "base-no-decay", "ticket-no-decay"]
LITTLE = SMOKE.model_copy(update={"images": "mnist", "seeds": [0], "epochs": 14, "ticket_epoch": 1})
LITTLE_DIGITS = LITTLE.model_copy(update={"images": "digits"})


def names(settings):
    return {name: [one.name for one in arms] for name, arms in settings.items()}


def judged(chapter):
    return [(judgement.verdict.id, judgement.verdict.system) for judgement in chapter.judgements]


def test_the_smoke_profile_learns_digits():
    found = runs_of("mnist", SMOKE)
    assert names(found) == {"mnist-mlp/digits": ["base", "ticket", *CONTROLS]}
    for dense in found["mnist-mlp/digits"][Arm("base")]:
        task = ImageTask(images=images.DIGITS, pixels=64, train_count=200, test_count=1597, seed=dense.seed)
        assert (dense.task, dense.model) == (task, ImageMLP())
        assert (dense.optimizer, dense.epochs) == (AdamW(weight_decay=0.1), 300)


def test_the_paper_profile_learns_mnist_digits_and_mnist_with_four_matrices(monkeypatch):
    monkeypatch.delenv(images.VARIABLE, raising=False)
    found = runs_of("mnist")
    assert names(found) == {
        "mnist-mlp": ["base", "ticket", *CONTROLS],
        "mnist-mlp/digits": ["base", "ticket"],
        "mnist-mlp/four-matrices": ["base", "ticket"],
    }
    tasks = dict.fromkeys(found, (images.MNIST, 784, 1000, 9000)) | {"mnist-mlp/digits": (images.DIGITS, 64, 200, 1597)}
    for name, arms in found.items():
        for i, (dense, ticket) in enumerate(zip(arms[Arm("base")], arms[Arm("ticket")], strict=True)):
            task = dense.task
            assert (task.images, task.pixels, task.train_count, task.test_count) == tasks[name]
            assert task.seed == dense.seed == i
            assert (dense.start, dense.epochs) == (Dense(), 30_000)
            o = dense.optimizer
            assert (o.learning_rate, o.beta1, o.beta2, o.weight_decay, o.decay_until) == (0.001, 0.9, 0.98, 0.1, None)
            assert ticket == dataclasses.replace(dense, start=Ticket(base=dense, epoch=28_000, rate=0.6))
            assert len(dense.model.shapes(task)) == (4 if name == "mnist-mlp/four-matrices" else 3)
            assert dense.model.weight_scale == 8


def test_controls_of_images_differ_from_the_base_in_nothing_but_what_they_control(monkeypatch):
    monkeypatch.delenv(images.VARIABLE, raising=False)
    arms = runs_of("mnist")["mnist-mlp"]
    for i, run in enumerate(arms[Arm("base")]):
        ticket, none = Ticket(base=run, epoch=28_000, rate=0.6), AdamW(weight_decay=0.0)
        changes = {
            "l2-matrices": {"start": Rescaled(ticket=ticket, norm="l2", over="matrices")},
            "l1-matrices": {"start": Rescaled(ticket=ticket, norm="l1", over="matrices")},
            "random": {"start": Scored(method="random", rate=0.6)},
            "re-dense": {"start": Redense(ticket=ticket)},
            "base-no-decay": {"optimizer": none},
            "ticket-no-decay": {"start": ticket, "optimizer": none},
        }
        for name in CONTROLS:
            assert arms[Arm(name)][i] == dataclasses.replace(run, **changes[name]), name


def test_a_file_of_ones_own_is_learned_as_far_as_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "CACHE", tmp_path)
    pixels, labels = made_up_images(1005, (3, 3))
    np.savez(tmp_path / "mine.npz", images=pixels, labels=labels)
    found = runs_of("mnist", SMOKE.model_copy(update={"images": str(tmp_path / "mine.npz")}))
    assert list(found) == ["mnist-mlp", "mnist-mlp/digits", "mnist-mlp/four-matrices"]
    for name in ("mnist-mlp", "mnist-mlp/four-matrices"):
        task = found[name][Arm("base")][0].task
        assert (task.pixels, task.train_count, task.test_count) == (9, 1000, 5)
        assert len(task.data().test) == 5
        assert images.load(task.images).source == "mine.npz"
    assert found["mnist-mlp/digits"][Arm("base")][0].task.images == images.DIGITS


def test_where_mnist_cannot_be_had_the_chapter_is_about_digits_and_says_so(without_mnist, store, monkeypatch, capsys):
    found = opened("mnist", LITTLE, store, monkeypatch)
    error = "MNIST cannot be downloaded from OpenML (no network); take images: digits"
    note = with_images_at_hand(LITTLE, Store(store.folders[0].parent / "x", store.folders[1].parent / "y"), ["mnist"])[
        1
    ]
    assert note == f"What follows is about scikit-learn's 8×8 digits, not MNIST: {error}."
    assert found.parameters == LITTLE_DIGITS
    assert names({c.name: c.arms for c in found}) == {"mnist-mlp/digits": ["base", "ticket", *CONTROLS]}
    assert judged(found) == [("C03", "mnist-mlp/digits")]


def test_the_other_chapter_on_images_does_the_same(without_mnist, store, monkeypatch):
    found = opened("mnist-norm", LITTLE, store, monkeypatch)
    assert found.parameters == LITTLE_DIGITS and list(found.comparisons) == ["mnist-mlp/digits"]


def test_digits_that_were_asked_for_need_no_note_and_no_mnist(without_mnist, store, monkeypatch):
    assert opened("mnist", LITTLE_DIGITS, store, monkeypatch).parameters == LITTLE_DIGITS
    assert set(without_mnist) == {images.DIGITS}


def test_other_chapters_ask_for_no_images(without_mnist, store):
    assert with_images_at_hand(LITTLE, store, ["main-results", "tasks"]) == (LITTLE, "")
    assert without_mnist == []


@pytest.fixture
def recorded(tiny_chapter, store, monkeypatch):
    """A store that has all of the chapter at `LITTLE`."""
    opened("mnist", LITTLE, store, monkeypatch)
    assert {images.MNIST, images.DIGITS} == set(tiny_chapter)
    tiny_chapter.clear()
    return store


def test_where_mnist_is_at_hand_every_setting_is_trained_and_judged(recorded, monkeypatch):
    found = opened("mnist", LITTLE, recorded, monkeypatch)
    assert names({c.name: c.arms for c in found}) == names(runs_of("mnist", LITTLE))
    systems = ["mnist-mlp", "mnist-mlp/of-best", "mnist-mlp/digits", "mnist-mlp/four-matrices"]
    others = [("C09", "mnist-mlp"), ("C15", "mnist-mlp/random")]
    assert judged(found) == [("C03", system) for system in systems] + others
    for comparison in found:
        for one, [record] in comparison.arms.items():
            read = one.name in ("base", "ticket") and comparison.name != "mnist-mlp/four-matrices"
            assert (record.probes is not None) == read, (comparison.name, one)


def test_where_all_runs_are_recorded_no_images_are_asked_for(recorded, without_mnist, monkeypatch):
    assert opened("mnist", LITTLE, recorded, monkeypatch).parameters == LITTLE
    assert without_mnist == []


def test_where_only_digits_are_missing_the_chapter_is_still_about_mnist(recorded, without_mnist, monkeypatch):
    forget(recorded, *runs_of("mnist", LITTLE)["mnist-mlp/digits"][Arm("ticket")])
    found = opened("mnist", LITTLE, recorded, monkeypatch)
    assert found.parameters == LITTLE
    assert set(without_mnist) == {images.DIGITS}


def test_where_a_record_is_missing_images_are_asked_for(recorded, without_mnist):
    forget(recorded, *runs_of("mnist", LITTLE)["mnist-mlp/four-matrices"][Arm("ticket")])
    parameters, note = with_images_at_hand(LITTLE, recorded)
    assert parameters.images == "digits" and note.startswith("What follows is about ")
    assert without_mnist == [images.MNIST]
