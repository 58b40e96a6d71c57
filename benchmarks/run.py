"""`make bench`: milliseconds a run-epoch, the plain per-sample loop against the stacked trainer, in one process.

Writes benchmarks/results.json. Medians over repeats. The baseline is timed first: the trainer tells the C library to
keep freed memory, which would speed up the baseline too. The stack's time includes its evaluation every 100 epochs, the
baseline's its own every epoch.
"""

import json
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.baseline import Baseline, EagerMLP, EagerTransformer, Masked
from lib import experiments, parameters
from lib.plan import STACK
from lib.runs import EVALUATE_EVERY
from lib.store import machine
from lib.training import Stack, train

RESULTS = Path(__file__).parent / "results.json"
EAGER = {"mlp": EagerMLP, "transformer": EagerTransformer}
WARM_UP, EAGER_EPOCHS, CHUNKS = 5, 100, 9


def median_ms(work: Callable[[], object], repeats: int, warm_up: int) -> float:
    """Median time of `work` in milliseconds."""
    times = []
    for i in range(warm_up + repeats):
        begun = time.perf_counter()
        work()
        if i >= warm_up:
            times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def peak_gflops() -> float:
    """Matrix-product peak: the best of many products of 1,024 x 1,024 float32 matrices."""
    a, b = torch.randn(2, 1024, 1024)
    best = min(median_ms(lambda: a @ b, repeats=5, warm_up=1) for _ in range(10))
    return 2 * 1024**3 / best / 1e6


def baseline(model: Callable[[], Masked], settings: parameters.Parameters) -> float:
    """The plain loop: milliseconds an epoch of its one run."""
    data = experiments.base("mlp", 0, settings).task.data()
    return median_ms(Baseline(model(), data).epoch, EAGER_EPOCHS, WARM_UP)


def stacked(system: str, settings: parameters.Parameters) -> tuple[float, float]:
    """A stack of base runs: milliseconds a run-epoch, and the floating-point operations of its matrix products."""
    runs = [experiments.base(system, seed, settings) for seed in range(STACK)]
    starts = [(run.initial_weights(), None) for run in runs]
    ends: dict[int, list[float]] = {}  # each of the trainer's threads reports after every evaluation
    train(
        runs,
        starts,
        until=(CHUNKS + 1) * EVALUATE_EVERY,
        report=lambda run_epochs: ends.setdefault(threading.get_ident(), []).append(time.perf_counter()),
    )
    chunks = [seconds for times in ends.values() for seconds in np.diff(times)[1:]]  # the first one warms up
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Stack(runs, starts).step()
    return 1000 * statistics.median(chunks) / EVALUATE_EVERY / STACK, counter.get_total_flops() / STACK


def main() -> None:
    """Measures everything, prints a table and writes the file."""
    settings = parameters.load("paper")
    # In a thread of its own: where threads of it are left idle, those of the trainer no longer spin at their barriers,
    # and every operation waits for the system.
    with ThreadPoolExecutor(1) as pool:
        eager = {system: pool.submit(baseline, model, settings).result() for system, model in EAGER.items()}
        peak = pool.submit(peak_gflops).result()
    models = {}
    for system in EAGER:
        ms, flops = stacked(system, settings)
        models[system] = {
            "ms_eager": round(eager[system], 3),
            "ms_stacked": round(ms, 4),
            "ratio": round(eager[system] / ms, 1),
            "peak_share": round(flops / ms / 1e6 / peak, 3),
        }
    results = {"models": models, "peak_gflops": round(peak, 1), "machine": machine()}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{machine()}, matrix-product peak {peak:.0f} GFLOP/s, {STACK} runs a stack, milliseconds a run-epoch")
    for system, row in models.items():
        print(
            f"{system:12} eager {row['ms_eager']:7.2f}   stacked {row['ms_stacked']:6.3f}   "
            f"{row['ratio']:5.1f} times faster, {row['peak_share']:.0%} of peak"
        )


if __name__ == "__main__":
    main()
