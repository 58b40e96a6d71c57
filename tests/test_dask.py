"""Training on Dask workers: the same records, and a killed worker loses nothing."""

import os
import signal
import time
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed import Client

from lib.experiments.arms import Arm
from lib.experiments.parameters import load
from lib.experiments.settings import SETTINGS
from lib.records import plan
from lib.records.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def runs():
    settings = load("smoke").model_copy(update={"seeds": [0, 1, 2]})
    bases = [SETTINGS["mlp"].base(seed, settings) for seed in settings.seeds]
    return bases + [Arm("ticket").run(base, settings) for base in bases]


# A worker that is killed leaves its sockets open: the warnings are Dask's own.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_same_records_though_a_worker_is_killed(runs, tmp_path):
    here = Store(tmp_path / "a", tmp_path / "b")
    expected = plan.obtain(runs, here, probed=runs[:2], progress=False)

    store = Store(tmp_path / "c", tmp_path / "d")
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        plan.execute(plan.make_plan(runs, store, runs[:2]), store, progress=False, client=client)
    for run, record in zip(runs, expected, strict=True):
        got = store.load(run)
        assert got is not None
        for name, values in record.metrics.items():
            np.testing.assert_array_equal(got.metrics[name], values)
        assert (got.probes is None) == (record.probes is None) == (run not in runs[:2])
        for name, values in (record.probes or {}).items():
            np.testing.assert_array_equal(got.probes[name], values)
    assert plan.make_plan(runs, store) == []


def fatal(stack, *rest):
    """Training that no worker survives."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stack_that_kills_every_worker_is_one_sentence(runs, tmp_path, monkeypatch):
    store = Store(tmp_path / "c", tmp_path / "d")
    monkeypatch.setattr(plan, "_train_on_worker", fatal)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        Client(n_workers=1, threads_per_worker=1, dashboard_address=":0") as client,
        pytest.raises(plan.WorkersKilled, match="every worker that trained 3 runs such as MLP, Dense .* was killed"),
    ):
        plan.execute(plan.make_plan(runs, store), store, progress=False, client=client)


def test_the_bar_moves_while_workers_train(runs, tmp_path, monkeypatch):
    moved = []

    def slow(stack, starts, report, device):
        """Trains nothing, and ends when the bar has moved."""
        time.sleep(1.1)
        report(3)
        report(4)  # within the same second: not worth a message
        end = time.monotonic() + 10
        while not moved and time.monotonic() < end:
            time.sleep(0.01)
        return [], 0.0

    monkeypatch.setattr(plan, "_train_stack", slow)  # the worker is a thread of this process
    jobs = [plan.Job(run, "", 10, True) for run in runs[:2]]
    bar = SimpleNamespace(update=moved.append)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
        (done,) = plan._train_stacks([jobs], Store(tmp_path / "c", tmp_path / "d"), "cpu", bar, client)
    assert done == (jobs, [], 0.0)
    assert moved == [3, 17]


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ({"n_workers": 0}, r"no worker is at (\S+); start some with `dask worker \1 --nthreads 1`"),
        (
            {"n_workers": 1, "threads_per_worker": 2},
            r"a worker at (\S+) has 2 threads; .*: `dask worker \1 --nthreads 1`",
        ),
    ],
    ids=["none", "two threads"],
)
def test_workers_that_do_not_serve_are_one_sentence(runs, tmp_path, monkeypatch, workers, message):
    monkeypatch.setattr(plan, "_train_stacks", lambda *_: pytest.fail("something was trained"))
    store = Store(tmp_path / "c", tmp_path / "d")
    with (
        Client(processes=False, dashboard_address=":0", **workers) as client,
        pytest.raises(ValueError, match=f"^{message}$"),
    ):
        plan.execute(plan.make_plan(runs, store), store, progress=False, client=client)


def test_stacks_keep_all_workers_busy(runs):
    jobs = [plan.Job(run, "", run.epochs, True) for run in runs]
    assert [len(stack) for stack in plan.stacks(jobs)] == [6]
    assert [len(stack) for stack in plan.stacks(jobs, workers=2)] == [3, 3]
    assert [len(stack) for stack in plan.stacks(jobs, workers=100)] == [1] * 6
