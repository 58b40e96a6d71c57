"""Matrix products with the bits of OpenBLAS's AVX-512 kernels, on processors that have only AVX2 (see skylakex.c).

Many records were made where OpenBLAS takes the kernels it names SkylakeX; this lets a machine without AVX-512 repeat them, and
train more from their bases. The C code is compiled when it is first called for, once for all processes.
"""

import ctypes
import hashlib
import os
import shlex
import subprocess
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from lib.files import CACHE

SOURCE = Path(__file__).with_suffix(".c")
_memory = threading.local()  # each thread packs into a buffer of its own


@cache
def kernels(cache: Path = CACHE) -> ctypes.CDLL:
    """The compiled kernels. Raises ValueError where the processor or the C compiler (CC, else cc) does not serve."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in ("AVX2", "AVX512"):
        raise ValueError(f"the kernels of skylakex.c need a processor with AVX2; this one has {capability}")
    compiler = os.environ.get("CC") or "cc"
    command = [*shlex.split(compiler), "-O3", "-mavx2", "-mfma", "-shared", "-fPIC", str(SOURCE)]
    compiled = cache / f"skylakex-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not compiled.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as folder:  # moved into place whole: other processes may compile it too
            part = Path(folder, compiled.name)
            try:
                subprocess.run([*command, "-o", str(part)], check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                why = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[0]
                raise ValueError(f"skylakex.c cannot be compiled by {compiler!r}: {why}") from error
            part.replace(compiled)
    library = ctypes.CDLL(str(compiled))
    size, pointer = ctypes.c_long, ctypes.c_void_p
    library.product.argtypes = [*[size] * 4, pointer, *[size] * 3, pointer, *[size] * 3, pointer, *[size] * 2, pointer]
    library.product.restype = None
    return library


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out [R, m, n] = a [R, m, k] @ b [R, k, n], of one type; the rows of `out` are contiguous.

    Single rows and columns are left to NumPy: what OpenBLAS multiplies vectors by sums alike with AVX-512 and without. So is
    float64, which no record is made with.
    """
    (runs, m, k), n = a.shape, b.shape[2]
    if 1 in (m, n) or a.dtype != np.float32:
        np.matmul(a, b, out=out)
        return
    if out.strides[2] != out.itemsize:
        raise ValueError(f"the rows of out have a stride of {out.strides[2]} bytes; they must be contiguous")

    def strides(array: np.ndarray) -> list[int]:
        return [stride // array.itemsize for stride in array.strides]

    packed = _buffer(k * (n + 32))
    kernels().product(
        runs, m, n, k, a.ctypes.data, *strides(a), b.ctypes.data, *strides(b), out.ctypes.data, *strides(out)[:2], packed
    )  # fmt: skip


def _buffer(size: int) -> int:
    """The address of at least so many floats, aligned to 64 bytes; the thread keeps them."""
    if getattr(_memory, "size", 0) < size:
        _memory.floats, _memory.size = np.empty(size + 16, np.float32), size
    return int(-(-_memory.floats.ctypes.data // 64) * 64)
