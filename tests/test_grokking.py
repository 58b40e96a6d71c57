"""The phenomenon itself, small: an MLP that groks, and whose ticket groks sooner.

Model, optimizer and pruning rate are the paper's. What differs is the size of the task, so that it takes seconds:
p = 31 instead of 67, which takes a larger share of the pairs to generalize from (0.8 instead of 0.4) and fewer epochs.
Both were chosen by trials of the base alone.
"""

import dataclasses

import numpy as np
import pytest

from lib.analysis.times import fitting_epoch, generalization_epoch
from lib.records.plan import obtain
from lib.records.store import Store
from lib.train.models import MLP
from lib.train.runs import Run, Ticket
from lib.train.tasks import ModularTask

pytestmark = pytest.mark.slow

SEEDS = (0, 1)
EPOCHS = 4000
TAU = 0.95


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Base and ticket records [S], trained through the plan and the store like any chapter's."""
    folder = tmp_path_factory.mktemp("grokking")
    task = ModularTask(prime=31, train_fraction=0.8, seed=0)
    base = [Run(task=dataclasses.replace(task, seed=seed), model=MLP(), epochs=EPOCHS, seed=seed) for seed in SEEDS]
    tickets = [dataclasses.replace(run, start=Ticket(base=run, epoch=EPOCHS, rate=0.6)) for run in base]
    found = obtain(base + tickets, Store(folder / "results", folder / "cache"), progress=False)
    return {"base": found[: len(SEEDS)], "ticket": found[len(SEEDS) :]}


def test_every_base_groks(records):
    """It fits its training pairs at once, knows nothing of the others then, and all of them long after."""
    for record in records["base"]:
        fitted, generalized = fitting_epoch(record, 0.99), generalization_epoch(record, TAU)
        assert fitted is not None and generalized is not None, f"seed {record.seed}"
        assert generalized >= 10 * fitted
        assert record.metrics["test_accuracy"][record.epochs == fitted] < 0.2


def test_every_ticket_generalizes(records):
    assert all(generalization_epoch(record, TAU) for record in records["ticket"])


def test_the_ticket_groks_sooner_than_its_base(records):
    base, ticket = ([generalization_epoch(record, TAU) for record in records[kind]] for kind in ("base", "ticket"))
    assert np.median(np.array(base) / np.array(ticket)) > 1, f"base {base}, ticket {ticket}"
