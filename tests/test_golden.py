"""A short run at full size against numbers on file: notices when the trainer's arithmetic has changed.

Rounding differs between machines and grows along a run, so only early epochs are compared, and loosely: moving every
initial weight by one unit in its last place changes these metrics by less than a third of the tolerance. Where the change
is meant, raise NUMERICS in lib/train/runs.py and write the file anew: `python tests/test_golden.py`.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lib.train import runs
from lib.train.models import MLP, ImageMLP, Transformer
from lib.train.optim import AdamW
from lib.train.runs import Run, Ticket
from lib.train.tasks import ImageTask, ModularTask
from lib.train.trainer import METRICS, train

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).with_name("golden.json")
RELATIVE = 0.02
ABSOLUTE = {"train_accuracy": 0.1, "test_accuracy": 0.02}  # shares of a thousand pairs, some of them about to tip over
EPOCHS, TICKET_EPOCH = 300, 200
PAIRS = ModularTask(seed=0)
DIGITS = ImageTask(images="digits", pixels=64, train_count=200, test_count=1597, seed=0)
BASES = {
    "mlp": Run(task=PAIRS, model=MLP(), epochs=EPOCHS, seed=0),
    "transformer": Run(task=PAIRS, model=Transformer(), epochs=EPOCHS, seed=0),
    "digits": Run(task=DIGITS, model=ImageMLP(), optimizer=AdamW(weight_decay=0.1), epochs=EPOCHS, seed=0),
}


def measure(name: str) -> dict[str, dict[str, list[float]]]:
    """The metrics of a base and its ticket every hundred epochs."""
    base = BASES[name]
    ticket = dataclasses.replace(base, start=Ticket(base=base, epoch=TICKET_EPOCH, rate=0.6))
    [dense] = train([base], [(base.initial_weights(), None)], {base: {TICKET_EPOCH}})
    start = ticket.start.make(ticket, lambda run, epoch: dense.snapshots[epoch])
    [masked] = train([ticket], [start])
    every = np.isin(base.evaluated_epochs, base.deciding_epochs)
    return {
        kind: {metric: one.metrics[metric][every].tolist() for metric in METRICS}
        for kind, one in (("base", dense), ("ticket", masked))
    }


def test_the_file_belongs_to_the_numerics_of_the_trainer():
    stored = json.loads(GOLDEN.read_text())["numerics"]
    assert stored == runs.NUMERICS, (
        f"{GOLDEN.name} was written at NUMERICS {stored}, the trainer is at {runs.NUMERICS}: "
        "write it anew with `python tests/test_golden.py`"
    )


@pytest.mark.parametrize("name", BASES)
def test_a_short_run_gives_the_numbers_on_file(name):
    stored = json.loads(GOLDEN.read_text())[name]
    for kind, metrics in measure(name).items():
        for metric, values in metrics.items():
            np.testing.assert_allclose(
                values, stored[kind][metric], rtol=RELATIVE, atol=ABSOLUTE.get(metric, 0),
                err_msg=f"{name} {kind}, {metric} at epochs 0, 100, 200, 300 is not what it was. If the arithmetic was "
                "changed on purpose, raise NUMERICS in lib/train/runs.py, then write the file anew with "
                "`python tests/test_golden.py`; every record is then trained again.",
            )  # fmt: skip


if __name__ == "__main__":
    golden = {"numerics": runs.NUMERICS} | {name: measure(name) for name in BASES}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
