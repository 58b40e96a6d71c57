"""Matrix products of the models, by the library that is fastest on this processor.

On processors by AMD the MKL inside PyTorch takes a slow path, and OpenBLAS, which NumPy brings, is up to twice as fast; on
others PyTorch's own products are taken. The environment variable GROKKING_TICKETS_PRODUCTS (torch, openblas, or skylakex, see
skylakex.py) overrules.
The choice is by rule and not by a measurement, which noise could tip: two libraries round differently, and the same run is
to give the same bits on one machine every time. Either way each run of a stack is a product of its own, so that its bits
depend neither on the stack around it nor on the number of threads. On a GPU, and where autograd records, PyTorch multiplies.

OPENBLAS_CORETYPE, where set from outside, makes OpenBLAS use the kernels of another processor: the products still are right
but may take twice as long and round as theirs do (`to_repeat`), so `describe` names what is in force. OPENBLAS_NUM_THREADS has
no effect on training: `one_thread` holds OpenBLAS to the thread that calls it.
"""

import os
import platform
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from lib.train import skylakex

VARIABLE = "GROKKING_TICKETS_PRODUCTS"
LIBRARIES = ("torch", "openblas", "skylakex")
REPEATED = " repeated by skylakex.c"  # ends the provenance of products that OpenBLAS did not make itself


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def library() -> str:
    """One of LIBRARIES. Raises ValueError where the environment variable names something else, or what this machine lacks."""
    asked = os.environ.get(VARIABLE, "")
    if asked and asked not in LIBRARIES:
        raise ValueError(f"{VARIABLE} is {asked!r}; it must be {', '.join(LIBRARIES[:-1])} or {LIBRARIES[-1]}")
    if asked == "skylakex":
        skylakex.kernels()
    openblas = _controller().select(internal_api="openblas").info()
    if asked == "openblas" and not openblas:
        raise ValueError(
            f"{VARIABLE} is 'openblas', but this NumPy does not bring OpenBLAS; leave it unset or take torch"
        )
    return asked or ("openblas" if openblas and by_amd() else "torch")


def by_amd() -> bool:
    """Whether the processor is one by AMD."""
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return "AuthenticAMD" in platform.processor()


def describe() -> str:
    """The library in words, for provenance: version, kernels, and what was set from outside."""
    if library() == "torch":
        return f"torch {torch.__version__}"
    if library() == "skylakex":
        return f"OpenBLAS 0.3.31 (SkylakeX){REPEATED}"
    found = _controller().select(internal_api="openblas").info()
    info = next(
        (one for one in found if "numpy" in one["filepath"]), found[0]
    )  # SciPy brings another, which NumPy does not use
    outside = [f"{name}={os.environ[name]}" for name in ("OPENBLAS_CORETYPE",) if name in os.environ]
    return " ".join([f"OpenBLAS {info['version']} ({info.get('architecture', 'unknown')})", *outside])


def to_repeat(kernels: str) -> str | None:
    """The setting of the environment that gives the bits of OpenBLAS's `kernels` ("Haswell") on this machine; None where they
    are in force already, or nothing here is known to give them."""
    found = describe()
    if f"({kernels})" in found:
        return None
    if kernels == "SkylakeX":
        return f"{VARIABLE}=skylakex"
    return "OPENBLAS_CORETYPE=Haswell" if kernels == "Haswell" and found.startswith("OpenBLAS") else None


def one_thread() -> AbstractContextManager:
    """A context in which OpenBLAS works on the thread that calls it: training shares out runs, not products."""
    return _controller().limit(limits=1, user_api="blas")


def product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a [R, m, k] @ b [R, k, n] -> [R, m, n], into `out` where given."""
    if a.is_cuda or a.requires_grad or b.requires_grad:
        return torch.matmul(a, b) if out is None else torch.bmm(a, b, out=out)
    if out is None:
        out = a.new_empty(a.shape[0], a.shape[1], b.shape[2])
    if library() == "skylakex":
        skylakex.product(a.numpy(), b.numpy(), out.numpy())
    elif library() == "openblas":
        np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    else:
        for one, other, into in zip(a.unbind(), b.unbind(), out.unbind(), strict=True):
            torch.mm(one, other, out=into)
    return out


def add_product(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """total [R, m, n] += a [R, m, k] @ b [R, k, n]; returns total."""
    if total.is_cuda:
        return total.baddbmm_(a, b)
    if a.requires_grad or b.requires_grad or total.requires_grad:
        return total + a @ b
    return total.add_(product(a, b))
