"""Products: each library against float64, the choice, and that no run depends on the stack around it under any.

That skylakex.c sums as OpenBLAS does on AVX-512 is shown twice: by its definition, and by a run that was recorded there.
"""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from conftest import TINY_MODELS, assert_same, tiny_run, train_dense
from threadpoolctl import threadpool_info

from lib.analysis import llc
from lib.experiments.parameters import load
from lib.experiments.settings import SETTINGS
from lib.records.store import Store
from lib.train import products, pruning, skylakex
from lib.train.models import MLP, Lookup, product
from lib.train.trainer import train

HAS_OPENBLAS = any(info["internal_api"] == "openblas" for info in threadpool_info())
HAS_SKYLAKEX = torch.backends.cpu.get_cpu_capability().startswith("AVX") and shutil.which("cc") is not None
needs_skylakex = pytest.mark.skipif(not HAS_SKYLAKEX, reason="no processor with AVX2, or no C compiler")
LIBRARIES = [
    "torch",
    pytest.param("skylakex", marks=needs_skylakex),
    pytest.param("openblas", marks=pytest.mark.skipif(not HAS_OPENBLAS, reason="this NumPy does not bring OpenBLAS")),
]


@pytest.fixture
def choose(monkeypatch):
    """Forces a library, as the environment variable does."""

    def choose(name):
        monkeypatch.setenv(products.VARIABLE, name)
        products.library.cache_clear()

    yield choose
    monkeypatch.undo()
    products.library.cache_clear()


def operands(R=3, m=7, k=5, n=4):
    """Factors as they are, transposed views, and parts of a wider buffer."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(R, m, k, generator=rng), torch.randn(R, k, n, generator=rng)
    wide = torch.randn(R, m, k + 9, generator=rng)
    yield a, b
    yield a.mT.contiguous().mT, b.mT.contiguous().mT
    yield wide[:, :, 2 : 2 + k], b
    yield a[:1], b[:1]


@pytest.mark.parametrize("name", LIBRARIES)
def test_products_are_those_of_float64(choose, name):
    choose(name)
    for a, b in operands():
        exact = np.einsum("rmk,rkn->rmn", a.double().numpy(), b.double().numpy())
        np.testing.assert_allclose(products.product(a, b), exact, rtol=1e-5, atol=1e-5)
        buffer = torch.full((len(a), 200), torch.nan)
        out = buffer[:, 3 : 3 + exact[0].size].unflatten(1, exact[0].shape)
        products.product(a, b, out=out)
        np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-5)
        assert buffer.isnan().sum() == buffer.numel() - out.numel()  # nothing is written beside it
        total = torch.ones(exact.shape)
        assert products.add_product(total, a, b) is total
        np.testing.assert_allclose(total, 1 + exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("model", TINY_MODELS)
def test_a_run_has_the_same_bits_alone_and_in_any_stack_on_one_thread_or_two(choose, threads, name, model):
    choose(name)
    runs = [tiny_run(model, seed=seed, prime=23, epochs=40) for seed in range(9)]
    keep = {run: {40} for run in runs}
    threads(2)
    together = train_dense(runs, snapshots=keep)
    for count in (1, 2):
        threads(count)
        for some in (runs[:1], runs[3:5], runs[2:9]):
            for one in train_dense(some, snapshots=keep):
                assert_same(one, together[runs.index(one.run)])


def test_gradients_flow_where_they_are_recorded(choose):
    choose("openblas" if HAS_OPENBLAS else "torch")
    a, b = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 4, 5)
    products.product(a, b).sum().backward()
    torch.testing.assert_close(a.grad, b.sum(2)[:, None].expand(2, 3, 4))


@pytest.mark.parametrize(("amd", "wanted"), [(True, "openblas" if HAS_OPENBLAS else "torch"), (False, "torch")])
def test_the_processor_decides_unless_the_variable_does(monkeypatch, amd, wanted):
    monkeypatch.delenv(products.VARIABLE, raising=False)
    monkeypatch.setattr(products, "by_amd", lambda: amd)
    products.library.cache_clear()
    assert products.library() == wanted
    products.library.cache_clear()


def test_a_library_that_is_not_known_is_one_sentence(choose):
    choose("mkl")
    with pytest.raises(
        ValueError, match="^GROKKING_TICKETS_PRODUCTS is 'mkl'; it must be torch, openblas or skylakex$"
    ):
        products.library()


@pytest.mark.skipif(not HAS_OPENBLAS, reason="this NumPy does not bring OpenBLAS")
def test_the_openblas_that_is_named_is_numpys(choose):
    import scipy.linalg  # noqa: F401 - brings another

    choose("openblas")
    products._controller.cache_clear()
    (wanted,) = [one for one in products._controller().info() if "numpy" in one["filepath"]]
    assert products.describe().startswith(f"OpenBLAS {wanted['version']} ")


@pytest.mark.skipif(not HAS_OPENBLAS, reason="this NumPy does not bring OpenBLAS")
def test_what_is_set_from_outside_is_named_and_training_holds_openblas_to_one_thread(choose, monkeypatch):
    choose("openblas")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert products.describe().startswith("OpenBLAS ")
    assert products.describe().endswith("OPENBLAS_CORETYPE=Haswell")
    before = [info["num_threads"] for info in threadpool_info() if info["internal_api"] == "openblas"]
    with products.one_thread():
        assert {i["num_threads"] for i in threadpool_info() if i["internal_api"] == "openblas"} == {1}
    assert [info["num_threads"] for info in threadpool_info() if info["internal_api"] == "openblas"] == before


# --- what the trainer leaves to others ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainMLP:
    """The MLP written without a thought of speed, and without a backward pass."""

    inner: MLP

    def __getattr__(self, name):
        if name == "backward":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def lookup(self, inputs, task):
        return torch.nn.functional.one_hot(inputs, task.tokens).sum(2).to(torch.get_default_dtype())  # [R, B, tokens]

    def forward(self, W, counts):
        hidden = torch.relu(counts @ W["W_E"] @ W["W_in"].mT)
        return hidden @ W["W_out"].mT @ W["W_U"].mT, None


def test_a_model_without_backward_gets_autograds(double):
    run = tiny_run(epochs=60)
    plain = dataclasses.replace(run, model=PlainMLP(inner=run.model))
    [wanted], [found] = (train_dense([one], snapshots={one: {60}}) for one in (run, plain))
    np.testing.assert_allclose(found.snapshots[60], wanted.snapshots[60], rtol=1e-8, atol=1e-10)
    assert not np.allclose(found.snapshots[60], run.initial_weights())


@pytest.mark.parametrize("score", ["snip", "grasp"])
def test_a_model_without_backward_is_scored_as_well(double, score):
    run = tiny_run()
    wanted, found = (
        getattr(pruning, score)(model, run.task, run.initial_weights())
        for model in (run.model, PlainMLP(inner=run.model))
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-9)  # GraSP is a difference of gradients
    assert np.abs(wanted).max() > 0


def test_a_model_without_backward_has_a_learning_coefficient():
    run, sampling = tiny_run(), llc.Sampling(step=1e-2, burn_in=5, draws=15, chains=2)
    weights = run.initial_weights()
    wanted, found = (
        llc.of_network(dataclasses.replace(run, model=model), weights, weights != 0, sampling)
        for model in (run.model, PlainMLP(inner=run.model))
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(wanted).max() > 0.1


class Scaled:
    """Weights are twice what is trained."""

    def to(self, device):
        return self

    def mask(self, trained):
        return trained != 0

    def weights(self, trained):
        return 2 * trained

    def gradient(self, trained, gradient):
        return 2 * gradient


@dataclasses.dataclass(frozen=True)
class HalfStart:
    """Trains the halves of the weights."""

    def needs(self):
        return []

    def make(self, run, weights_of):
        from lib.train.runs import Origin

        return Origin(run.initial_weights() / 2, None, Scaled())


def test_what_is_trained_need_not_be_the_weights(double):
    """Against torch.optim on the halves, with autograd through the map."""
    from reference import mean_loss, mlp_logits

    from lib.train.trainer import train

    run = dataclasses.replace(tiny_run(epochs=5), start=HalfStart())
    plain = tiny_run(seed=1, epochs=5)
    starts = [run.start.make(run, None), plain.start.make(plain, None)]
    found = train([run, plain], starts, {run: {0, 5}, plain: {5}})
    np.testing.assert_array_equal(found[0].snapshots[0], run.initial_weights())
    halves = torch.from_numpy(run.initial_weights().astype(float) / 2).requires_grad_()
    optimizer = torch.optim.AdamW([halves], lr=0.001, betas=(0.9, 0.98), weight_decay=1.0)
    data = run.task.data()
    for _ in range(5):
        optimizer.zero_grad()
        parts = {name: (2 * halves)[part].view(run.model.shapes(run.task)[name]) for name, part in run.parts().items()}
        mean_loss(parts, data.inputs[data.train], data.labels[data.train], mlp_logits).backward()
        optimizer.step()
    np.testing.assert_allclose(found[0].snapshots[5], 2 * halves.detach().numpy(), rtol=1e-6, atol=1e-9)
    assert np.array_equal(found[0].mask, found[0].snapshots[5] != 0) and found[1].mask is None
    assert_same(found[1], train([plain], starts[1:], {plain: {5}})[0])  # its neighbour is none the wiser


def test_lookup_and_product_are_what_the_models_use():
    assert product is products.product and Lookup.__module__ == "lib.train.models"


def fused(total, a, b):
    """a * b + total in float32, rounded once: products of two are exact in long double, and sums nearly always are."""
    return (np.longdouble(a) * np.longdouble(b) + np.longdouble(total)).astype(np.float32)


@needs_skylakex
@pytest.mark.parametrize(
    ("k", "blocks"),
    [
        (3, [3]),
        (448, [448]),
        (449, [224, 225]),
        (500, [256, 244]),
        (911, [448, 240, 223]),
        (1400, [448, 448, 256, 248]),
    ],
)
def test_skylakex_fuses_over_blocks_of_k_and_adds_the_blocks_in_turn(k, blocks):
    rng = np.random.default_rng(k)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((2, 8, k), (2, k, 19)))
    expected, start = np.zeros((2, 8, 19), np.float32), 0
    for size in blocks:
        block = np.zeros_like(expected)
        for t in range(start, start + size):
            block = fused(block, a[:, :, t, None], b[:, t, None, :])
        expected, start = expected + block, start + size
    assert start == k
    out = np.empty_like(expected)
    skylakex.product(a, b, out)
    assert np.array_equal(out, expected)
    skylakex.product(a.swapaxes(1, 2).copy().swapaxes(1, 2), b.swapaxes(1, 2).copy().swapaxes(1, 2), out)
    assert np.array_equal(out, expected)


@needs_skylakex
@pytest.mark.skipif(not (HAS_OPENBLAS and products.by_amd()), reason="the records are of AMD processors with OpenBLAS")
@pytest.mark.parametrize("setting", ["mlp", "transformer", "transformer-4-heads", "nanda-transformer"])
def test_skylakex_repeats_the_bits_of_a_record_made_on_avx_512(choose, setting):
    choose("skylakex")
    run = SETTINGS[setting].base(5, load("paper"))
    record = Store().load(run)
    assert record.kernels == "SkylakeX"
    (anew,) = train([run], [run.start.make(run, None)], until=20)
    for name, values in anew.metrics.items():
        assert np.array_equal(values.astype(np.float32), record.metrics[name][: len(values)]), name


def test_what_skylakex_lacks_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ValueError, match=r"^skylakex.c cannot be compiled by 'no-such-compiler': .*No such file"):
        skylakex.kernels.__wrapped__(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(ValueError, match="need a processor with AVX2; this one has DEFAULT$"):
        skylakex.kernels.__wrapped__(tmp_path)


def test_the_compiler_may_come_with_options(monkeypatch, tmp_path):
    """As in CC="gcc -O2"; what compiles here only tells how it was called."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\necho "called with $1" >&2; exit 1\n')
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", f"{compiler} -O2")
    with pytest.raises(ValueError, match=f"^skylakex.c cannot be compiled by '{compiler} -O2': called with -O2$"):
        skylakex.kernels.__wrapped__(tmp_path / "cache")


@needs_skylakex
def test_skylakex_leaves_float64_to_numpy_and_an_empty_sum_is_zero():
    a = np.random.default_rng(0).standard_normal((2, 5, 5))
    out = np.empty_like(a)
    skylakex.product(a, a, out)
    assert np.array_equal(out, a @ a)
    empty, out = np.empty((2, 5, 0), np.float32), np.ones((2, 5, 5), np.float32)
    skylakex.product(empty, empty.swapaxes(1, 2), out)
    assert not out.any()


def test_skylakex_names_rows_that_are_not_contiguous():
    a = np.ones((1, 2, 2), np.float32)
    with pytest.raises(ValueError, match="^the rows of out have a stride of 8 bytes; they must be contiguous$"):
        skylakex.product(a, a, a.swapaxes(1, 2))


@needs_skylakex
def test_what_repeats_the_kernels_says_so(choose):
    choose("skylakex")
    assert products.describe() == "OpenBLAS 0.3.31 (SkylakeX) repeated by skylakex.c"
