"""`make bench`: milliseconds a run-epoch of the stacked trainer, a plain per-sample loop, and JAX, in one process.

Writes benchmarks/results.json. The three take turns, round after round; medians count. Ours includes its evaluations, as many
to an epoch as a whole run has, the plain loop its own every epoch (but for images), JAX none. Where MNIST is not at hand, made-up images with as
many lit pixels take its place. FLOPs are those of all matrix products that are done, counted as they are called, and of the
sums over lit pixels; the peak is that of the fastest library. Without JAX its numbers are null.
"""

import json
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.baseline import Baseline, EagerAnswerTransformer, EagerImageMLP, EagerMLP, EagerTransformer
from lib.experiments import parameters
from lib.experiments.settings import SETTINGS, image_task
from lib.records.plan import STACK
from lib.records.store import machine
from lib.train import images, models, products
from lib.train.models import Pixels
from lib.train.optim import AdamW
from lib.train.runs import Origin, Run
from lib.train.trainer import Stack, train

try:
    from benchmarks.jax_peer import STEPS, Peer
except ImportError:
    Peer = None

RESULTS = Path(__file__).parent / "results.json"
EAGER = {
    "mlp": EagerMLP,
    "transformer": EagerTransformer,
    "nanda-transformer": EagerAnswerTransformer,
    "mnist-mlp": EagerImageMLP,
}
IMAGES = ("mnist-mlp",)
ROUNDS = 3
EAGER_EPOCHS, OUR_EPOCHS, JAX_CALLS = 10, 100, 2  # in each round


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def peak_gflops(n: int = 1024, repeats: int = 20) -> float:
    """Products of n x n float32 matrices on all cores, by the fastest library there is."""
    threads = torch.get_num_threads()
    factors = [torch.randn(2, n, n) for _ in range(threads)]

    def all_at_once(product: Callable[[torch.Tensor, torch.Tensor], object]) -> float:
        def work(pair: torch.Tensor) -> None:
            for _ in range(4):
                product(*pair)

        with ThreadPoolExecutor(threads) as pool:
            return min(seconds(lambda: list(pool.map(work, factors))) for _ in range(repeats)) / 4 / threads

    torch.set_num_threads(1)
    with products.one_thread():
        best = [all_at_once(torch.mm), all_at_once(lambda a, b: a.numpy() @ b.numpy())]
    torch.set_num_threads(threads)
    best.append(min(seconds(lambda: torch.mm(*factors[0])) for _ in range(repeats)))
    return 2 * n**3 / min(best) / 1e9


def image_set() -> str:
    """MNIST where it is at hand, else made-up images, as many and as dark."""
    try:
        return images.load(images.MNIST).name
    except images.ImagesError:
        rng = np.random.default_rng(0)
        made_up = rng.integers(1, 256, (10_000, 784)) * (rng.random((10_000, 784)) < 0.19)
        return images.keep(made_up.astype(np.uint8), rng.integers(10, size=10_000).astype(np.uint8), "made up")


def bases(name: str) -> list[Run]:
    """A stack of base runs."""
    paper = parameters.load("paper")
    if name not in IMAGES:
        return [SETTINGS[name].base(seed, paper) for seed in range(STACK)]
    images_name, optimizer = image_set(), AdamW(weight_decay=0.1)
    tasks = [image_task(images_name, seed) for seed in range(STACK)]
    return [Run(task=task, model=models.ImageMLP(), optimizer=optimizer, seed=task.seed) for task in tasks]


def starts_of(runs: list[Run]) -> list[Origin]:
    return [Origin(run.initial_weights()) for run in runs]


def stacked(runs: list[Run]) -> tuple[list[float], list[float]]:
    """Seconds a run of every step and of every evaluation of the trainer's stacks, the first left out; and, as all threads work at
    once, divided by their number."""
    times: dict[str, dict[int, list[float]]] = {"step": {}, "evaluate": {}}

    def timed(name: str) -> Callable:
        plain = getattr(Stack, name)

        def call(stack: Stack) -> object:
            begun = time.perf_counter()
            out = plain(stack)
            times[name].setdefault(threading.get_ident(), []).append((time.perf_counter() - begun) / len(stack.runs))
            return out

        return call

    with patch.multiple(Stack, **{name: timed(name) for name in times}):
        train(runs, starts_of(runs), until=OUR_EPOCHS)
    threads = len(times["step"])
    return tuple([s / threads for found in times[name].values() for s in found[1:]] for name in ("step", "evaluate"))


def operations(a: torch.Tensor, b: torch.Tensor) -> int:
    """Multiplications and additions in a [R, m, k] @ b [R, k, n]."""
    return 2 * a.shape[0] * a.shape[1] * a.shape[2] * b.shape[2]


def megaflops(run: Run) -> float:
    """Operations of one step of one run, from the shapes of the products that it calls."""
    total = 0

    def counting(plain: Callable) -> Callable:
        def call(*arguments: torch.Tensor, **options: object) -> torch.Tensor:
            nonlocal total
            total += operations(*arguments[-2:])
            return plain(*arguments, **options)

        return call

    counted = {name: counting(getattr(products, name)) for name in ("product", "add_product")}
    with patch.multiple(models, **counted), torch.no_grad():
        stack = Stack([run], starts_of([run]))
        stack.step()
    if isinstance(stack.train[0], Pixels):
        total += 2 * 2 * len(stack.train[0].values) * run.model.width
    return total / 1e6


def measure(name: str, peak: float, pool: ThreadPoolExecutor) -> dict[str, float | None]:
    """One row of the results."""
    runs = bases(name)
    loop = Baseline(EAGER[name](), runs[0].task.data(), logs=name not in IMAGES)
    peer = None if Peer is None else Peer(name, runs)
    if peer is not None:
        peer.advance()  # compiles
    eager, steps, evaluations, jax = [], [], [], []
    for _ in range(ROUNDS):
        # In a thread of its own: where threads of it are left idle, those of the trainer no longer spin at their barriers,
        # and every operation waits for the system.
        eager += pool.submit(lambda: [seconds(loop.epoch) for _ in range(EAGER_EPOCHS)]).result()[1:]
        for found, seconds_each in zip((steps, evaluations), stacked(runs), strict=True):
            found += seconds_each
        jax += [seconds(peer.advance) for _ in range(JAX_CALLS)] if peer else []
    ms_eager = 1000 * statistics.median(eager)
    often = len(runs[0].evaluated_epochs) / runs[0].epochs
    ms = 1000 * (statistics.median(steps) + often * statistics.median(evaluations))
    ms_jax = 1000 * statistics.median(jax) / STEPS / STACK if jax else None
    mflop = megaflops(runs[0])
    return {
        "ms_eager": round(ms_eager, 3),
        "ms_stacked": round(ms, 4),
        "ratio": round(ms_eager / ms, 1),
        "peak_share": round(mflop / ms / peak, 3),
        "ms_jax": ms_jax and round(ms_jax, 4),
        "ratio_jax": ms_jax and round(ms_jax / ms, 2),
        "mflop": round(mflop, 1),
    }


def main() -> None:
    """Measures everything, prints a table and writes the file."""
    if Peer is None:
        print("JAX is not installed, so it is not measured: pip install -e .[bench]")
    with ThreadPoolExecutor(1) as pool:
        peak = pool.submit(peak_gflops).result()
        rows = {name: measure(name, peak, pool) for name in EAGER}
    where = {"peak_gflops": round(peak, 1), "machine": machine(), "products": products.describe()}
    RESULTS.write_text(json.dumps({"models": rows, **where}, indent=1) + "\n")
    print(
        f"{machine()}, {products.describe()}, peak {peak:.0f} GFLOP/s; milliseconds a run-epoch, {STACK} runs a stack"
    )
    for name, row in rows.items():
        text = "" if row["ms_jax"] is None else f"   JAX {row['ms_jax']:6.3f} ({row['ratio_jax']:.2f} of ours)"
        print(
            f"{name:12} eager {row['ms_eager']:7.2f} ({row['ratio']:5.1f} of ours)   stacked {row['ms_stacked']:6.3f} "
            f"({row['mflop']:.1f} MFLOP, {row['peak_share']:.0%} of peak){text}"
        )


if __name__ == "__main__":
    main()
