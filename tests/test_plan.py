"""The plan: what is trained, in which order and company, and that nothing is trained twice."""

import dataclasses
import shutil

import numpy as np
import pytest
from conftest import Poisoned, assert_same, damage, forget, ticket_of, tiny_run

import lib.records.store
import lib.train.runs
from lib.files import StoreError
from lib.records import plan
from lib.records.plan import STACK, Job, execute, make_plan, obtain, stacks, starts_of
from lib.records.store import Kept, Store
from lib.train.models import MLP, AnswerTransformer
from lib.train.optim import AdamW
from lib.train.runs import EdgePopup, Run
from lib.train.tasks import ModularTask
from lib.train.trainer import METRICS, Diverged, train

BASES = [tiny_run(seed=seed) for seed in range(2)]
TICKETS = [ticket_of(base) for base in BASES]
RUNS = [*TICKETS, *BASES]  # a ticket before its base: the order asked for is not the order of training


@pytest.fixture
def calls(monkeypatch):
    """The stacks that were trained, each as its list of (run, until)."""
    calls, train = [], plan.train

    def listen(runs, starts, snapshots, until, **options):
        calls.append([(run, until) for run in runs])
        return train(runs, starts, snapshots, until=until, **options)

    monkeypatch.setattr(plan, "train", listen)
    return calls


def metrics(record):
    return {name: record.metrics[name].tobytes() for name in METRICS}


# --- order --------------------------------------------------------------------------------------------------------------------


def test_bases_come_before_their_tickets(store):
    levels = make_plan(RUNS, store)
    assert [{job.run for job in level} for level in levels] == [set(BASES), set(TICKETS)]
    for job in levels[0]:
        assert (job.until, job.record, job.snapshots) == (230, True, {150})
    for job in levels[1]:
        assert (job.until, job.record, job.snapshots) == (230, True, set())


def test_a_ticket_alone_brings_the_base_that_it_needs_and_no_more(store):
    [[base], [ticket]] = make_plan(TICKETS[:1], store)
    assert (base.run, base.until, base.record, base.snapshots) == (BASES[0], 150, False, {150})
    assert base.why == f"its weights at epoch 150 are needed by: {TICKETS[0]}"
    assert (ticket.run, ticket.record) == (TICKETS[0], True)
    assert ticket.why == "missing: no record of this run"


def test_tickets_of_one_base_share_its_training(store, calls):
    tickets = [ticket_of(BASES[0], epoch=epoch, rate=rate) for epoch in (50, 150) for rate in (0.3, 0.6)]
    [[base], rest] = make_plan(tickets, store)
    assert (base.run, base.until, base.record, base.snapshots) == (BASES[0], 150, False, {50, 150})
    assert [job.run for job in rest] == tickets
    obtain(tickets, store, progress=False)
    assert calls == [[(BASES[0], 150)], [(ticket, 230) for ticket in tickets]]


def test_a_ticket_of_a_dense_runs_start_needs_no_training_of_it(store):
    [[job]] = make_plan([ticket_of(BASES[0], epoch=0)], store)
    assert job.run == ticket_of(BASES[0], epoch=0)


def test_a_ticket_of_a_ticket_waits_for_both(store):
    second = ticket_of(TICKETS[0], epoch=100, rate=0.75)
    levels = make_plan([second], store)
    assert [[(job.run, job.until) for job in level] for level in levels] == [
        [(BASES[0], 150)], [(TICKETS[0], 100)], [(second, 230)]
    ]  # fmt: skip
    assert obtain([second], store, progress=False)[0].run == second


def test_a_ticket_of_a_tickets_start_trains_that_ticket_not_at_all(store, calls):
    second = ticket_of(TICKETS[0], epoch=0, rate=0.75)
    obtain([second], store, progress=False)
    assert [until for stack in calls for run, until in stack if run == TICKETS[0]] == [0]


def test_a_run_that_is_asked_for_twice_is_trained_once(store, calls):
    records = obtain([BASES[0], BASES[0]], store, progress=False)
    assert len(records) == 2
    assert calls == [[(BASES[0], 230)]]


# --- what is recorded stays ---------------------------------------------------------------------------------------------------


def test_recorded_runs_are_not_trained_again(store, calls):
    first = obtain(RUNS, store, progress=False)
    assert [record.run for record in first] == RUNS
    calls.clear()
    again = obtain(RUNS, store, progress=False)
    assert calls == []
    assert make_plan(RUNS, store) == []
    assert [metrics(record) for record in again] == [metrics(record) for record in first]


def test_committed_records_are_enough(tmp_path, calls):
    """A fresh clone has results/ and no cache."""
    obtain(RUNS, Store(tmp_path / "results", tmp_path / "cache", commit=True), progress=False)
    shutil.rmtree(tmp_path / "cache")
    calls.clear()
    obtain(RUNS, Store(tmp_path / "results", tmp_path / "cache"), progress=False)
    assert calls == []


def test_interrupted_work_goes_on_with_the_stack_it_was_at(store, calls, monkeypatch):
    runs = [*RUNS, *(tiny_run("transformer", seed) for seed in range(2))]
    listening = plan.train

    def interrupt(runs, *arguments, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return listening(runs, *arguments, **options)

    monkeypatch.setattr(plan, "train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        obtain(runs, store, progress=False)
    done = {run for stack in calls for run, _ in stack}
    assert done == {run for run in runs if store.status(run).state == "recorded"}
    assert 0 < len(done) < len(runs)
    monkeypatch.setattr(plan, "train", listening)
    calls.clear()
    obtain(runs, store, progress=False)
    assert {run for stack in calls for run, _ in stack} == set(runs) - done
    assert make_plan(runs, store) == []


@pytest.mark.parametrize("place", ["results", "cache"])
def test_where_the_store_cannot_be_written_nothing_is_trained(tmp_path, calls, place):
    (tmp_path / place).touch()
    store = Store(tmp_path / "results", tmp_path / "cache", commit=True)
    with pytest.raises(StoreError, match=f"^cannot write {tmp_path / place}/.*; free some space or check the folder$"):
        obtain(RUNS, store, progress=False)
    assert calls == []


def test_a_damaged_record_is_trained_again_alone(store, calls):
    first = obtain(RUNS, store, progress=False)
    for run in (TICKETS[0], BASES[1]):
        damage(store, run)
        calls.clear()
        [[job]] = make_plan(RUNS, store)
        assert job.run == run and job.why.startswith(f"damaged: record {run.key} in ")
        again = obtain(RUNS, store, progress=False)
        assert calls == [[(run, 230)]]
        assert [metrics(record) for record in again] == [metrics(record) for record in first]
        assert store.status(run).state == "recorded"


# --- checkpoints --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["deleted", "damaged"])
def test_a_lost_checkpoint_is_made_again_and_the_ticket_is_the_same_bit_for_bit(store, calls, loss):
    first = obtain(RUNS, store, progress=False)
    forget(store, TICKETS[0])
    if loss == "deleted":
        shutil.rmtree(store.checkpoints)
    else:
        for path in store.checkpoints.rglob("*.zip"):
            path.write_bytes(path.read_bytes()[:-20])
    before = store.load(BASES[0]).provenance
    calls.clear()
    again = obtain(RUNS, store, progress=False)
    assert calls == [[(BASES[0], 150)], [(TICKETS[0], 230)]]  # the base only as far as the ticket needs it
    assert store.load(BASES[0]).provenance == before
    assert [metrics(record) for record in again] == [metrics(record) for record in first]


def test_a_base_that_comes_out_otherwise_than_its_record_is_named(store, recwarn):
    obtain(BASES, store)
    shutil.rmtree(store.checkpoints, ignore_errors=True)
    obtain(TICKETS[:1], store)  # trains its base up to the cut, to the same bits
    assert not recwarn.list
    forget(store, BASES[1])
    [trained] = train([BASES[0]], [BASES[0].start.make(BASES[0], store.weights)])
    store.save([Kept(dataclasses.replace(trained, run=BASES[1]))], 1.0)
    with pytest.warns(UserWarning, match="seed 1.*differs from its record.*replica that rounding tells apart"):
        obtain(TICKETS[1:], store)


@pytest.mark.parametrize(
    ("made_by", "here", "setting"),
    [
        ("OpenBLAS 0.3.31 (SkylakeX)", "OpenBLAS 0.3.31 (Haswell)", "GROKKING_TICKETS_PRODUCTS=skylakex"),
        ("OpenBLAS 0.3.31 (SkylakeX)", "torch 2.13.0", "GROKKING_TICKETS_PRODUCTS=skylakex"),
        ("OpenBLAS 0.3.31 (Haswell)", "OpenBLAS 0.3.31 (SkylakeX)", "OPENBLAS_CORETYPE=Haswell"),
        ("OpenBLAS 0.3.31 (Haswell)", "torch 2.13.0", None),
        ("OpenBLAS 0.3.31 (Haswell)", "OpenBLAS 0.3.31 (Haswell)", None),
        ("OpenBLAS 0.3.31 (Zen)", "OpenBLAS 0.3.31 (Haswell)", None),
        ("torch 2.13.0", "OpenBLAS 0.3.31 (Haswell)", None),
    ],
)
def test_a_base_of_other_kernels_comes_with_what_would_repeat_it(store, monkeypatch, made_by, here, setting):
    [trained] = train([BASES[0]], [BASES[0].start.make(BASES[0], store.weights)])
    monkeypatch.setattr(plan.products, "describe", lambda: made_by)
    store.save([Kept(dataclasses.replace(trained, run=BASES[1]))], 1.0)
    monkeypatch.setattr(plan.products, "describe", lambda: here)
    with pytest.warns(UserWarning, match="differs from its record") as caught:
        obtain(TICKETS[1:], store)
    words = str(caught[0].message)
    assert words.endswith(f"; {setting} should give the record's bits" if setting else "that rounding tells apart")


def test_a_checkpoint_that_is_there_spares_the_base(store, calls):
    obtain(RUNS, store, progress=False)
    forget(store, *RUNS[:2])
    calls.clear()
    obtain(RUNS, store, progress=False)
    assert {run for stack in calls for run, _ in stack} == set(TICKETS)


# --- stacks -------------------------------------------------------------------------------------------------------------------


def jobs_of(runs, until=None):
    return [Job(run, "", until or run.epochs, True) for run in runs]


def test_runs_of_a_kind_are_stacked_whatever_their_seed_and_start():
    jobs = jobs_of([*BASES, *TICKETS])
    assert stacks(jobs) == [jobs]


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17, 25])
def test_stacks_are_few_and_at_most_so_large(n):
    jobs = jobs_of([tiny_run(seed=seed) for seed in range(n)])
    found = stacks(jobs)
    assert [job for stack in found for job in stack] == jobs
    sizes = [len(stack) for stack in found]
    assert max(sizes) <= STACK == 8
    assert len(sizes) == -(-n // STACK)
    assert all(size % 2 == 0 for size in sizes[:-1])  # two threads share a stack


@pytest.mark.parametrize(
    ("n", "workers", "device", "sizes"),
    [
        (25, 2, "cpu", [4, 4, 4, 4, 4, 4, 1]),  # a worker has one thread, which trains four side by side
        (6, 2, "cpu", [3, 3]),
        (6, 100, "cpu", [1] * 6),
        (250, 1, "cuda", [250]),
        (300, 1, "cuda", [150, 150]),
    ],
)
def test_stacks_fit_the_workers_and_the_device(n, workers, device, sizes):
    jobs = jobs_of([tiny_run(seed=seed) for seed in range(n)])
    assert [len(stack) for stack in stacks(jobs, workers, device)] == sizes


def test_workers_train_large_networks_one_by_one():
    task = ModularTask(prime=7, pairs="ordered", train_fraction=0.6, equals_sign=True, seed=0)
    model = AnswerTransformer(width=8, heads=2, head_width=4, hidden=6)
    jobs = jobs_of([Run(task=task, model=model, epochs=60, seed=seed) for seed in range(3)])
    assert [len(stack) for stack in stacks(jobs, workers=2)] == [1, 1, 1]
    assert [len(stack) for stack in stacks(jobs)] == [3]


def test_operations_with_as_many_examples_share_a_stack_and_the_bits_are_those_of_each_alone(store):
    tasks = [ModularTask(operation=name, prime=7, train_fraction=0.6, seed=0) for name in ("a*b", "a^2+b^2", "random")]
    runs = [BASES[0], *(dataclasses.replace(BASES[0], task=task) for task in tasks)]
    runs += [ticket_of(run, epoch=0) for run in runs[:2]]
    jobs = jobs_of(runs)
    assert stacks(jobs) == [jobs]
    keep = {run: {100, 230} for run in runs}
    together = train(runs, starts_of(jobs, store), keep)
    assert len({one.snapshots[230].tobytes() for one in together}) == len(runs)
    for job, one in zip(jobs, together, strict=True):
        [alone] = train([job.run], starts_of([job], store), keep)
        assert_same(one, alone)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(BASES[0], model=MLP(width=12, hidden=9)),
        dataclasses.replace(BASES[0], optimizer=AdamW(weight_decay=0.5)),
        dataclasses.replace(BASES[0], epochs=231),
        dataclasses.replace(BASES[0], task=ModularTask(prime=11, train_fraction=0.6, seed=0)),
        dataclasses.replace(BASES[0], task=ModularTask(prime=7, train_fraction=0.5, seed=0)),
        dataclasses.replace(BASES[0], task=ModularTask(prime=7, train_fraction=0.6, pairs="ordered", seed=0)),
    ],
    ids=["model", "optimizer", "epochs", "prime", "train fraction", "pairs"],
)
def test_runs_that_differ_in_anything_else_are_kept_apart(other):
    assert [len(stack) for stack in stacks(jobs_of([BASES[0], other, BASES[1]]))] == [2, 1]


def test_jobs_of_different_length_are_kept_apart():
    assert len(stacks(jobs_of(BASES[:1], 150) + jobs_of(BASES[1:]))) == 2


# --- divergence ---------------------------------------------------------------------------------------------------------------


def test_a_diverged_base_and_its_dependants_are_named_and_all_else_is_recorded(store):
    lost = dataclasses.replace(tiny_run(seed=5), start=Poisoned())
    ticket = ticket_of(lost)
    second = ticket_of(ticket, epoch=100, rate=0.75)
    with pytest.raises(Diverged) as caught:
        obtain([*RUNS, lost, ticket, second], store, progress=False)
    message = str(caught.value)
    assert f"{lost}: loss not finite at epoch 0; " in message
    assert f"{ticket}: needs {lost}, which diverged; " in message
    assert f"{second}: needs {ticket}, which diverged. All other runs are recorded." in message
    assert str(BASES[0]) not in message
    assert all(store.load(run) is not None for run in RUNS)
    assert all(store.load(run) is None for run in (lost, ticket, second))


def test_records_are_the_same_beside_a_diverged_run(tmp_path):
    alone, beside = (Store(tmp_path / name / "results", tmp_path / name / "cache") for name in ("alone", "beside"))
    wanted = obtain(RUNS, alone, progress=False)
    with pytest.raises(Diverged):
        obtain([dataclasses.replace(tiny_run(seed=5), start=Poisoned()), *RUNS], beside, progress=False)
    assert [metrics(beside.load(run)) for run in RUNS] == [metrics(record) for record in wanted]


# --- masks, probes, what is out of date -----------------------------------------------------------------------------------------


def test_a_mask_that_is_wanted_and_was_not_kept_is_made_again(store, calls):
    obtain(RUNS, store, progress=False)
    [[job]] = make_plan(RUNS, store, masked=[TICKETS[0], BASES[0]])  # a base holds no mask: there is none to keep
    assert (job.run, job.why, job.masked) == (TICKETS[0], "its mask is missing", True)
    assert obtain(TICKETS[:1], store, masked=TICKETS[:1], progress=False)[0].mask is not None
    assert make_plan(RUNS, store, masked=RUNS[:1]) == []


def test_the_mask_that_scores_chose_by_the_end_is_kept_like_one_that_was_held(store):
    run = dataclasses.replace(BASES[0], start=EdgePopup(base=BASES[0], epoch=100, rate=0.6))
    assert [[job.until for job in level] for level in make_plan([run], store)] == [[100], [230]]
    [record] = obtain([run], store, masked=[run], progress=False)
    held = store.weights(BASES[0], 100)
    [trained] = train([run], [run.start.make(run, store.weights)], {run: {230}})
    assert np.array_equal(trained.snapshots[230], held * record.mask)
    assert trained.metrics["l2"].astype(np.float32).tolist() == record.metrics["l2"].tolist()
    for part in run.parts().values():
        assert (~record.mask[part]).sum() == round(0.6 * (part.stop - part.start))


def test_probes_that_are_wanted_and_were_not_kept_are_made_again(store):
    obtain(BASES, store, progress=False)
    [[job]] = make_plan(BASES, store, probed=BASES[:1])
    assert (job.run, job.why, job.probed) == (BASES[0], "its probes are missing", True)
    assert obtain(BASES[:1], store, probed=BASES[:1], progress=False)[0].probes is not None
    assert make_plan(BASES, store, probed=BASES[:1]) == []


def test_a_base_that_is_trained_again_for_its_weights_alone_is_not_looked_into(store, monkeypatch):
    obtain(BASES[:1], store, probed=BASES[:1], progress=False)
    looked = []
    monkeypatch.setattr(plan, "summarize", lambda run, snapshots: looked.append(run) or {"epochs": np.arange(3)})
    obtain([BASES[0], TICKETS[0]], store, probed=[BASES[0], TICKETS[0]], progress=False)
    assert looked == TICKETS[:1] and store.load(TICKETS[0]).probes["epochs"].tolist() == [0, 1, 2]


def test_a_record_that_is_out_of_date_will_do_unless_it_is_to_be_renewed(store, calls, monkeypatch):
    obtain(RUNS, store, progress=False)
    for module in (lib.train.runs, lib.records.store):
        monkeypatch.setattr(module, "NUMERICS", 2001)
    store = Store(store.folders[0].parent, store.folders[1].parent)
    assert make_plan(RUNS, store) == []
    levels = make_plan(RUNS, store, renew=True)
    assert [{job.run for job in level} for level in levels] == [set(BASES), set(TICKETS)]
    execute(levels, store, progress=False)
    assert make_plan(RUNS, store, renew=True) == []


# --- odds and ends ------------------------------------------------------------------------------------------------------------


def test_seconds_are_shared_among_the_runs_of_a_stack(store, monkeypatch):
    clock = iter(np.arange(100) * 10.0)
    monkeypatch.setattr(plan.time, "perf_counter", lambda: next(clock))
    assert [record.provenance["seconds"] for record in obtain(BASES, store, progress=False)] == [5.0, 5.0]


def test_progress_names_what_is_trained(store, capsys):
    execute(make_plan(BASES, store), store)
    shown = capsys.readouterr().err
    assert "2 runs, MLP (width 12, hidden 8), Dense on a+b mod 7, seed 0" in shown
    assert "460/460" in shown


def test_a_record_that_vanishes_is_an_error_in_a_sentence(store, monkeypatch):
    monkeypatch.setattr(store, "load", lambda run: None)
    with pytest.raises(
        RuntimeError, match="^the record of .* was just written but cannot be read; is the disk failing"
    ):
        obtain(BASES[:1], store, progress=False)
