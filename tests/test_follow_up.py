"""The follow-up's settings and arms, and the measures of its claims on made-up records."""

import dataclasses
import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.analysis import llc, probes, progress
from lib.book import figures, tables
from lib.claims.claims import Claim, load_claims
from lib.claims.criteria import edition_of
from lib.claims.judging import judge
from lib.claims.measures import FEWEST, MEASURES, coefficient_lag, coefficients_of, crossing
from lib.experiments.arms import ARMS, Arm
from lib.experiments.chapters import CHAPTERS, MISSING, until_known, wanted
from lib.experiments.comparison import Comparison
from lib.experiments.parameters import follow_up, load
from lib.experiments.settings import SETTINGS
from lib.files import ROOT
from lib.records.plan import obtain
from lib.records.store import Status
from lib.train.models import AnswerTransformer
from lib.train.runs import Dense, Run, Scored, Ticket
from lib.train.tasks import ModularTask
from tools.explorer import line, spectra, spectrum

PAPER, SMOKE = load("paper"), load("smoke")
NANDA = "nanda-transformer"

# --- settings and arms --------------------------------------------------------------------------------------------------


def test_the_papers_profile_is_nandas_scale():
    run = SETTINGS[NANDA].base(3, PAPER)
    assert run.task == ModularTask(prime=113, pairs="ordered", train_fraction=0.3, equals_sign=True, seed=3)
    assert (run.task.train_count, run.epochs, run.seed) == (3830, 30_000, 3)
    assert run.model == AnswerTransformer(width=128, heads=4, head_width=32, hidden=512)
    o = run.optimizer
    assert (o.learning_rate, o.beta1, o.beta2, o.weight_decay, o.warm_up) == (0.001, 0.9, 0.98, 1.0, 10)
    assert follow_up(PAPER).pruning_rate == 0.4


def test_what_a_reader_changes_holds_for_the_follow_up_too():
    changed = PAPER.model_copy(update={"prime": 31, "pruning_rate": 0.5})
    assert (follow_up(changed).prime, follow_up(changed).pruning_rate, follow_up(changed).train_fraction) == (
        31,
        0.5,
        0.3,
    )
    assert SETTINGS[NANDA].base(0, SMOKE).task.prime == 11


@pytest.mark.parametrize("name", progress.PHASES)
def test_tickets_are_cut_where_a_phase_of_their_base_ends(name):
    base = SETTINGS[NANDA].base(0, PAPER)
    run = Arm(name).run(base, PAPER, 4200)
    assert run == dataclasses.replace(base, start=Ticket(base=base, epoch=4200, rate=0.4))
    without = Arm(f"{name}-no-decay").run(base, PAPER, 4200)
    assert without == dataclasses.replace(run, optimizer=dataclasses.replace(base.optimizer, weight_decay=0.0))
    assert Arm(name).needs_base
    assert Arm(name).own_epoch(SimpleNamespace(probes=None)) is None


def test_controls_of_the_follow_up():
    of = wanted(PAPER.model_copy(update={"seeds": [0]}), ["phase-controls"]).by_arm["phase-controls"][NANDA]
    [base], [random], [without] = (of[one] for one in (Arm("base"), Arm("random-rate", 0.4), Arm("base-no-decay")))
    assert base.start == Dense() == without.start and without.optimizer.weight_decay == 0
    assert random.start == Scored(method="random", rate=0.4)
    assert not any(of[Arm(name)] for name in progress.PHASES)  # not known before the base is trained


def tiny(seed, parameters):
    task = ModularTask(prime=7, pairs="ordered", train_fraction=0.6, equals_sign=True, seed=seed)
    return Run(task=task, model=AnswerTransformer(width=8, heads=2, head_width=4, hidden=6), epochs=60, seed=seed)


def test_what_is_wanted_becomes_known_as_bases_are_trained(store, monkeypatch):
    monkeypatch.setitem(SETTINGS, NANDA, dataclasses.replace(SETTINGS[NANDA], base=tiny))
    arms = {NANDA: (Arm("base"), *map(Arm, progress.PHASES), Arm("random-rate", 0.6))}
    monkeypatch.setitem(
        CHAPTERS, "phase-controls", dataclasses.replace(CHAPTERS["phase-controls"], settings=lambda p: arms)
    )
    parameters, rounds = SMOKE.model_copy(update={"seeds": [0, 1]}), []

    def train(of):
        rounds.append((len(of.runs), of.pending))
        obtain(of.runs, store, probed=of.probed, masked=of.masked, progress=False)

    of = until_known(lambda: wanted(parameters, ["phase-controls"], store), train)
    assert rounds[0] == (4, 6) and rounds[-1][1] == 0
    found = of.by_arm["phase-controls"][NANDA]
    for base, *tickets in zip(found[Arm("base")], *(found[Arm(name)] for name in progress.PHASES), strict=True):
        record = store.load(base)
        assert [ticket.start.epoch for ticket in tickets] == list(progress.phase_ends(record)[:3])
        assert {"llc_traces", "llc_variants", "excluded", "keys"} <= set(record.probes)
        assert record.probes["epochs"].tolist() == progress.snapshot_epochs(base)
    [random, _] = found[Arm("random-rate", 0.6)]
    assert "llc_traces" not in store.load(random).probes and "excluded" in store.load(random).probes
    assert set(progress.snapshot_epochs(base)) | set(llc.checkpoint_epochs(base)) == set(probes.snapshot_epochs(base))


def test_the_explorers_spectrum_of_a_mask_leaves_the_third_token_out():
    run = tiny(0, SMOKE)
    mask = np.random.default_rng(0).random(run.length) < 0.5
    found = spectra(SimpleNamespace(run=run, probes={}, mask=mask))
    assert list(found) == ["mask"] and {len(row) for row in found["mask"]["rows"]} == {run.task.classes // 2}
    paths = run.split(mask.astype(float))
    assert found["mask"] == spectrum(paths["W_in"] @ paths["W_E"][:-1].T)


@pytest.mark.parametrize("name", progress.PHASES)
def test_the_explorer_has_one_line_for_tickets_of_a_phase_whenever_it_ended(name):
    runs = [Arm(name).run(SETTINGS[NANDA].base(seed, PAPER), PAPER, epoch) for seed, epoch in ((5, 1500), (6, 5300))]
    [found] = {line(NANDA, Arm(name), run) for run in runs}
    assert (found.kind, found.label, found.rate, found.cut) == (name, Arm(name).label, 0.4, "")


def test_exploratory_seeds_are_three():
    of = wanted(PAPER, ["progress-measures", "phase-controls", "learning-coefficient"], whole=True)
    for arms in (x for chapter in of.by_arm.values() for x in chapter.values()):
        assert [run.seed for run in arms[Arm("base")]] == [0, 1, 2, *range(5, 15)]


def test_bases_that_say_where_tickets_are_cut_keep_their_probes(monkeypatch):
    monkeypatch.setattr(Arm, "own_epoch", lambda self, base: 4200)
    there = Status("recorded", "", has_probes=True)
    store = SimpleNamespace(status=lambda run: there if run.seed < 15 else MISSING, load=lambda run: run)
    of = wanted(PAPER, ["learning-coefficient"], store, whole=True)
    arms = of.by_arm["learning-coefficient"]
    kept = {
        (setting, one.name): [run.seed for run in runs if run in of.probed]
        for setting, found in arms.items()
        for one, runs in found.items()
    }
    confirmatory, every = [*range(5, 15)], [0, 1, 2, *range(5, 15)]
    assert kept.pop((NANDA, "base")) == every
    assert kept and all(seeds == confirmatory for seeds in kept.values())


def test_the_chapters_prose_has_the_numbers_of_the_code():
    text = {
        name: " ".join((ROOT / f"book/{name}.md").read_text().split())
        for name in ("progress-measures", "learning-coefficient", "phase-controls")
    }
    own, base, usual, settled = follow_up(PAPER), SETTINGS[NANDA].base(0, PAPER), *llc.SAMPLINGS.values()
    for phrase in (
        f"at least {progress.LEAST_VARIANCE:.0%} of the variance",
        f"made {progress.DONE:.0%} of its way",
        f"at most {progress.BEGUN:.0%}, which ends",
        f"least {progress.PROMINENCE:.0%} of the steepest",
        f"are its own: {own.prime}, {own.train_fraction:g} and {own.pruning_rate:g} at the paper's scale",
        f"the {own.pruning_rate:.0%} of weights of least magnitude go",
        "first of the ten steps of warm-up",
    ):
        assert phrase in text["progress-measures"], phrase
    pull = {name: 2 / (one.step * one.localization) for name, one in llc.SAMPLINGS.items()}
    for phrase in (
        rf"$\epsilon = 10^{{{np.log10(usual.step):.0f}}}$ and $\gamma = {usual.localization:g}$, these are {pull['follow-up']:,.0f}",
        rf"$\epsilon = {settled.step * 1e5:.0f} \cdot 10^{{-5}}$ and $\gamma = 1{{,}}000$, so {pull['settled']:.0f} steps",
        f"each of {len(llc.checkpoint_epochs(base))} checkpoints take {usual.burn_in} steps that do not count (burn-in) and {usual.draws} that do",
        f"about {usual.batch} training pairs",
    ):
        assert phrase in text["learning-coefficient"], phrase
    in_words = usual.chains, llc.RUN_OFF, llc.DRIFT, settled.localization, base.optimizer.warm_up
    assert in_words == (3, 5, 0.25, 1000, 10)
    assert f"{own.pruning_rate:.0%} at the paper's scale" in text["phase-controls"]


def test_new_fields_left_the_keys_of_the_papers_runs_alone():
    """Keys from before there were an equals sign and a warm-up."""
    ticket = Arm("ticket").run(SETTINGS["transformer"].base(5, PAPER), PAPER)
    runs = SETTINGS["mlp"].base(0, PAPER), ticket, SETTINGS["mnist-mlp/digits"].base(1, PAPER)
    assert [run.key for run in runs] == ["10d6bd6d178c5d2eda29", "0ae215a44dabfb9cab01", "eee9643a5c81c6002b32"]


# --- measures -----------------------------------------------------------------------------------------------------------

EPOCHS = np.arange(0, 30_001, 100)
SNAPSHOTS = np.arange(0, 30_001, 500)
CHECKPOINTS = np.arange(0, 30_001, 1000)
BUDGET = SimpleNamespace(epochs=30_000, task=ModularTask(seed=0))


def drop(epochs, middle, width=0.1):
    """From 1 to 0 around an epoch, on a logarithmic axis."""
    return 1 / (1 + np.exp((np.log(np.maximum(epochs, 10)) - np.log(middle)) / width))


def record(
    seed,
    *,
    t_gen=12_000,
    loss=-14.0,
    rise=0.0,
    excluded=6.0,
    squares=(600, 12_000),
    final=900.0,
    crossing=9_000,
    coefficient=(9_000,),
):
    """A network that fits at 300, generalizes at t_gen, and whose other measures are as told."""
    log_loss = 3 + (loss - 3) * (1 - drop(EPOCHS, t_gen))
    after = 1.5 * t_gen < EPOCHS
    log_loss[after] += rise * np.sin(np.linspace(0, np.pi, after.sum())) ** 2
    log_loss[0] = 1.5
    metrics = {
        "train_accuracy": (EPOCHS >= 300).astype(float),
        "test_accuracy": (t_gen <= EPOCHS).astype(float),
        "train_loss": np.full(len(EPOCHS), 1e-5),
        "test_loss": np.exp(log_loss),
        "l2": np.sqrt(final * np.exp(sum(drop(EPOCHS, middle) for middle in squares))),
    }
    dip = np.interp(SNAPSHOTS, [0, 1500, 30_000], [5.0, 1.0, excluded])
    curve = 10 + 90 * sum(drop(CHECKPOINTS, middle) for middle in coefficient)
    kept = {
        "epochs": SNAPSHOTS,
        "keys": np.array([2], np.uint8),
        "excluded": np.stack([np.zeros(len(SNAPSHOTS)), dip], 1),
        "train_loss": np.where(SNAPSHOTS > 0, 1e-5, 5.0),
        "restricted": np.where(crossing <= SNAPSHOTS, 1e-6, 2.0),
        "llc_epochs": CHECKPOINTS,
        "llc_traces": np.repeat(curve[:, None, None], 3, 1).repeat(llc.BINS, 2)[None].repeat(2, 0),
    }
    return SimpleNamespace(run=BUDGET, seed=seed, epochs=EPOCHS, metrics=metrics, probes=kept, mask=None)


LIKE_CHEN = {
    "base": {},
    "memorization": {"t_gen": 8_000, "loss": -12.0, "rise": 0.0, "excluded": 8.0},
    "circuit-formation": {"t_gen": 700, "loss": -13.5, "rise": 1.0, "excluded": 6.0, "squares": (900,), "final": 800.0, "crossing": 500, "coefficient": (1500,)},
    "cleanup": {"t_gen": 500, "loss": -16.0, "rise": 2.0, "excluded": 4.0, "squares": (900,), "final": 700.0, "crossing": 500, "coefficient": (1500,)},
}  # fmt: skip
LIKE_CHEN["base"]["rise"] = 0.8
PAIRS = {entry.id: entry for entry in load_claims() if isinstance(entry, Claim) and "C40" <= entry.id <= "C47"}


def outcome(claim, seeds=6, **changes):
    """The outcome of a claim on seeds that are all as Chen found, but for changes of arms."""
    arms = {name: how | changes.get(name.replace("-", "_"), {}) for name, how in LIKE_CHEN.items()}
    records = {Arm(name): [record(seed, **how) for seed in range(seeds)] for name, how in arms.items()}
    return judge(PAIRS[claim], PAIRS[claim].judged[0], Comparison(NANDA, records), "test")


@pytest.mark.parametrize("claim", sorted(PAIRS))
def test_records_as_the_follow_up_describes_them_replicate_every_claim(claim):
    judgement = outcome(claim)
    assert judgement.verdict.verdict == "replicated", [part.table for part in judgement.parts]


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("C40", {"circuit_formation": {"t_gen": 9_000}}),
        ("C41", {"circuit_formation": {"loss": -15.0}}),
        ("C41", {"cleanup": {"loss": -13.8}}),
        ("C42", {"circuit_formation": {"t_gen": 7_000}}),
        ("C43", {"memorization": {"rise": 1.0}}),
        ("C43", {"cleanup": {"rise": 0.9}}),
        ("C44", {"cleanup": {"crossing": 6_000}}),
        ("C44", {"circuit_formation": {"squares": (600, 12_000)}}),
        ("C44", {"base": {"rise": 0.8, "squares": (900,)}}),
        ("C45", {"cleanup": {"excluded": 7.0}}),
        ("C45", {"cleanup": {"final": 950.0}}),
        ("C46", {"base": {"coefficient": (20_000,)}}),
        ("C47", {"cleanup": {"coefficient": (1500, 15_000)}}),
    ],
)
def test_each_statement_can_fail(claim, changes):
    assert outcome(claim, **changes).verdict.verdict == "refuted"


@pytest.mark.parametrize("claim", sorted(PAIRS))
def test_a_base_that_does_not_grok_is_no_case(claim):
    judgement = outcome(claim, base={"loss": 2.9})
    assert judgement.verdict.verdict == "inconclusive"
    assert all(part.low == [] for part in judgement.parts)


@pytest.mark.parametrize("late", [1, 6], ids=["one", "all"])
def test_delays_are_shown_as_epochs_though_seeds_never_generalize(late):
    arms = {name: [record(seed, **how) for seed in range(6)] for name, how in LIKE_CHEN.items()}
    arms["memorization"][:late] = [record(seed, t_gen=99_000) for seed in range(late)]
    claim = PAIRS["C42"]
    compared = Comparison(NANDA, {Arm(name): records for name, records in arms.items()})
    part, *_ = judge(claim, claim.judged[0], compared, "test").parts
    shown = part.table.filter(like="delay, ").filter(like="memorization")
    found = re.findall("<td>(.*?)</td>", tables.table(shown))
    assert found == ["never"] * late + ["7,700"] * (6 - late)


@pytest.mark.parametrize("claim", ["C40", "C42"])
def test_a_claim_without_a_case_is_shown_without_a_number(claim):
    judgement = outcome(claim, base={"loss": 2.9})
    assert set(tables.part_rows(judgement).iloc[:, 1]) == {"not known"}
    figure, axes = figures.panels(1, 1)
    tables.verdict(judgement)
    levels = pd.DataFrame(
        [
            {
                "level": "as judged",
                "estimate": None,
                "low": None,
                "high": None,
                "unit": judgement.verdict.unit,
                "outcome": "inconclusive",
            }
        ]
    )
    figures.levels(axes[0, 0], judgement, levels)
    figure.canvas.draw()
    plt.close(figure)


def test_an_estimate_that_is_negative_does_not_count():
    one = record(0)
    one.probes["llc_traces"][0, 3] = -1.0
    one.probes["llc_traces"][0, 5, 0, 7] = np.nan
    found = coefficients_of(one)
    assert [found.status[i] for i in (3, 4, 5)] == ["negative", "valid", "not finite"]
    assert coefficients_of(one, "settled").status[3] == "valid"
    assert not found.usable[[0, 3, 5]].any() and found.usable[[4, 6]].all()  # 0 is the start


@pytest.mark.parametrize("claim", ["C46", "C47"])
def test_each_variant_reads_the_chains_of_its_own_settings(claim):
    """Those of the settled settings fall twice, the second time after the test loss."""
    arms = {Arm(name): [record(seed, **how) for seed in range(6)] for name, how in LIKE_CHEN.items()}
    late = np.select([CHECKPOINTS < 4_000, CHECKPOINTS < 20_000], [150.0, 100.0], 10.0)
    for one in (x for records in arms.values() for x in records):
        one.probes["llc_traces"][1] = np.repeat(late[:, None, None], 3, 1).repeat(llc.BINS, 2)
    found = {one.system: judge(PAIRS[claim], one, Comparison(NANDA, arms), "test") for one in PAIRS[claim].judged}
    assert {system: one.verdict.verdict for system, one in found.items()} == {
        NANDA: "replicated",
        f"{NANDA}/settled": "refuted",
    }


def test_the_test_loss_falls_earlier_than_its_logarithm_where_most_of_it_goes_first():
    one = record(0, coefficient=(12_000,))
    one.metrics["test_loss"] = np.select([EPOCHS < 6_000, EPOCHS < 20_000], [20.0, 1.0], 1e-8)
    [seed] = Comparison(NANDA, {Arm("base"): [one]}).one_by_one()
    of_logarithm, of_itself = (coefficient_lag(seed, logarithm=logarithm) for logarithm in (True, False))
    assert (of_logarithm.low, of_itself.low) == (1, 0)
    assert of_itself.numbers["test loss falls at"] < 12_000 < of_logarithm.numbers["test loss falls at"]


def test_too_few_estimates_leave_a_seed_undecided():
    for claim in ("C46", "C47"):
        arms = {name: [record(seed, **how) for seed in range(6)] for name, how in LIKE_CHEN.items()}
        for one in (x for records in arms.values() for x in records):
            one.probes["llc_traces"][:, FEWEST - 2 :] = -1.0
        comparison = Comparison(NANDA, {Arm(name): records for name, records in arms.items()})
        judgement = judge(PAIRS[claim], PAIRS[claim].judged[0], comparison, "test")
        assert judgement.verdict.verdict == "inconclusive" and judgement.parts[0].open_seeds == 6


def test_restricted_loss_that_never_crosses_has_no_epoch():
    one = record(0, crossing=99_000)
    assert crossing(one) is None
    assert crossing(record(0, crossing=6_100)) == 6_500


def test_the_follow_ups_rules_are_an_edition_and_name_measures_that_are_there():
    assert sorted(PAIRS) == [f"C4{i}" for i in range(8)]
    assert all(entry.is_measured for entry in PAIRS.values())
    assert {edition_of(entry).tag for entry in PAIRS.values()} == {"criteria-2"}
    assert {part.measure for entry in PAIRS.values() for part in entry.parts} <= set(MEASURES)
    assert {kind.phase for kind in ARMS.values()} - {""} == set(progress.PhaseEnds._fields[:3])
