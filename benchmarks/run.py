"""`make bench`: milliseconds a run-epoch, the plain per-sample loop against the stacked trainer, in one process.

Writes benchmarks/results.json. Medians over repeats. The baseline is timed first: the trainer tells the C library to keep
freed memory, which would speed up the baseline too. The stack's time includes its evaluation every 100 epochs, the
baseline's its own every epoch, but for images. Where MNIST is not at hand, made-up images with as many lit pixels take its
place. The share of peak counts the operations that are done, so sums over lit pixels alone.
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

from benchmarks.baseline import Baseline, EagerImageMLP, EagerMLP, EagerTransformer
from lib.experiments import chapters as experiments
from lib.experiments import parameters
from lib.records.plan import STACK
from lib.records.store import machine
from lib.train import images
from lib.train.models import ImageMLP, Pixels
from lib.train.runs import EVALUATE_EVERY, Run
from lib.train.tasks import Data
from lib.train.trainer import Stack, train

RESULTS = Path(__file__).parent / "results.json"
EAGER = {"mlp": EagerMLP, "transformer": EagerTransformer, "mnist-mlp": EagerImageMLP}
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


def image_set() -> str:
    """MNIST where it is at hand, else made-up images, as many and as dark."""
    try:
        return images.load(images.MNIST).name
    except images.ImagesError:
        rng = np.random.default_rng(0)
        made_up = rng.integers(1, 256, (10_000, 784)) * (rng.random((10_000, 784)) < 0.19)
        return images.keep(made_up.astype(np.uint8), rng.integers(10, size=10_000).astype(np.uint8), "made up")


def bases(system: str) -> list[Run]:
    """A stack of base runs."""
    settings = parameters.load("paper").model_copy(update={"seeds": list(range(STACK))})
    if system == "mnist-mlp":
        return experiments.image_bases(settings, ImageMLP(), images=image_set())
    return experiments.bases(settings)[system]["base"]


def baseline(system: str, data: Data) -> float:
    """The plain loop: milliseconds an epoch of its one run."""
    loop = Baseline(EAGER[system](), data, logs=system != "mnist-mlp")
    return median_ms(loop.epoch, EAGER_EPOCHS, WARM_UP)


def stacked(runs: list[Run]) -> tuple[float, float]:
    """A stack of base runs: milliseconds a run-epoch, and the floating-point operations of its products."""
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
        stack = Stack(runs, starts)
        stack.step()
    operations = counter.get_total_flops()
    if isinstance(stack.train[0], Pixels):  # their products are sums over lit pixels, which the counter does not know
        operations += 2 * 2 * len(stack.train[0].values) * runs[0].model.width
    return 1000 * statistics.median(chunks) / EVALUATE_EVERY / STACK, operations / STACK


def main() -> None:
    """Measures everything, prints a table and writes the file."""
    runs = {system: bases(system) for system in EAGER}
    # In a thread of its own: where threads of it are left idle, those of the trainer no longer spin at their barriers,
    # and every operation waits for the system.
    with ThreadPoolExecutor(1) as pool:
        eager = {system: pool.submit(baseline, system, group[0].task.data()).result() for system, group in runs.items()}
        peak = pool.submit(peak_gflops).result()
    models = {}
    for system in EAGER:
        ms, flops = stacked(runs[system])
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
