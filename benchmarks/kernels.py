"""`python -m benchmarks.kernels`: GFLOP/s of the matrix products that training calls, by each library that this machine has.

On one thread. The sums over tokens and lit pixels, which no library makes, are left out. To be run before and after a change of
lib/train/skylakex.c.
"""

import time
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.run import EAGER, bases, operations, starts_of
from lib.records.store import machine
from lib.train import models, products
from lib.train.trainer import Stack

STEPS, ROUNDS = 5, 5


def gflops(name: str, library: str) -> float:
    """The best of some rounds of a few steps, of as many runs as a thread of the trainer takes at once."""
    runs = bases(name)
    runs = runs[: runs[0].model.runs_at_once]
    plain, done, spent = products.product, 0, 0.0

    def timed(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        nonlocal done, spent
        begun = time.perf_counter()
        result = plain(a, b, out)
        spent += time.perf_counter() - begun
        done += operations(a, b)
        return result

    found = []
    with (
        patch.multiple(products, product=timed, library=lambda: library),
        patch.object(models, "product", timed),
        products.one_thread(),
        torch.no_grad(),
    ):
        stack = Stack(runs, starts_of(runs))
        stack.step()
        for _ in range(ROUNDS):
            done, spent = 0, 0.0
            for _ in range(STEPS):
                stack.step()
            found.append(done / spent / 1e9)
    return max(found)


def available(library: str) -> bool:
    """Whether this machine has the library."""
    with patch.dict("os.environ", {products.VARIABLE: library}):
        try:
            products.library.__wrapped__()
        except ValueError as error:
            print(error)
            return False
    return True


def main() -> None:
    """Measures and prints a table."""
    libraries = [library for library in products.LIBRARIES if available(library)]
    print(
        f"{machine()}, {torch.get_num_threads()} thread(s): GFLOP/s\n{'':18}"
        + "".join(f"{library:>10}" for library in libraries)
    )
    for name in EAGER:
        print(f"{name:18}" + "".join(f"{gflops(name, library):10.1f}" for library in libraries))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
