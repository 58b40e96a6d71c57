"""Image classifiers: outputs, gradients, training and scores against the equations, image by image."""

import dataclasses
import math
from collections import defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
import reference
import torch
from conftest import (
    as_matrices,
    assert_same,
    made_up_images,
    masked_gently,
    random_mask,
    tiny_image_run,
    tiny_run,
    train_dense,
)
from reference import sizes

from lib.records.plan import Job, stacks
from lib.train import images
from lib.train.losses import squared_error, squared_error_gradient
from lib.train.models import MLP, ImageMLP, Pixels, Transformer, cut, draw
from lib.train.optim import AdamW
from lib.train.pruning import loss_gradient, prune_by_score, snip, synflow
from lib.train.runs import Run, Ticket
from lib.train.tasks import ImageTask, ModularTask, generator
from lib.train.trainer import METRICS

pytestmark = pytest.mark.slow

PIXELS, CLASSES, R, B = 6, 4, 3, 12
TASK = sizes(PIXELS, CLASSES)
MODELS = {f"{n} hidden": ImageMLP(width=5, hidden_layers=n) for n in (1, 2, 3)}
EVERY_DEPTH = pytest.mark.parametrize("depth", [1, 2, 3])


def with_dark_pixels(rng):
    """Images [R, B, pixels], two pixels in five dark; pixel 2 in all, and in each run all pixels of the first image.

    Of the last run, also all of the last image, and the last pixel.
    """
    shape = R, B, PIXELS
    inputs = torch.rand(shape, generator=rng) * (torch.rand(shape, generator=rng) < 0.6)
    inputs[:, 0] = 0
    inputs[:, :, 2] = 0
    inputs[-1, -1] = 0
    inputs[-1, :, -1] = 0
    return inputs


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def case(request, double):
    """A model; weights, inputs and labels that differ between R runs; the outputs; what `backward` needs."""
    model, rng = request.param, torch.Generator().manual_seed(0)
    weights = torch.randn(R, sum(rows * cols for rows, cols in model.shapes(TASK).values()) + 5, generator=rng)
    inputs, labels = with_dark_pixels(rng), torch.randint(CLASSES, (R, B), generator=rng)
    lookup = model.lookup(inputs, TASK)
    outputs, saved = model.forward(model.matrices(weights, TASK), lookup)
    return model, weights, inputs, labels, lookup, outputs, saved


def one(model, weights, run):
    """Run's matrices, from weights [R, n], as leaves of a graph."""
    return {name: matrices[run].clone().requires_grad_() for name, matrices in cut(weights, model.shapes(TASK)).items()}


def leaves(weights, shapes):
    """Weights [n] as float64 matrices, leaves of a graph."""
    matrices = as_matrices(weights, shapes).items()
    return {name: torch.tensor(matrix, dtype=torch.float64, requires_grad=True) for name, matrix in matrices}


# --- outputs and gradients --------------------------------------------------------------------------------------------


def test_the_reference_on_numbers_worked_out_by_hand():
    W = {"W_1": [[1, -1, 2], [2, 1, 0]], "W_2": [[1, 0], [0, 1], [-1, 1]], "W_3": [[3, 1, -2], [5, 0, 1]]}
    W = {name: torch.tensor(matrix, dtype=torch.float64) for name, matrix in W.items()}
    image = torch.tensor([1.0, 0.5], dtype=torch.float64)  # (2, -0.5, 2), then (0, 2)
    assert reference.image_outputs(W, image).tolist() == [10, 0, 2]
    assert reference.image_outputs({"W_1": W["W_1"], "W_2": W["W_2"]}, image).tolist() == [0, 2]
    assert reference.squared_error(torch.tensor([1.5, 0.5, 0.0, -1.0]), 0).item() == (0.25 + 0.25 + 0 + 1) / 4


def test_outputs_are_the_references(case):
    model, weights, inputs, _, _, outputs, _ = case
    assert outputs.shape == (R, B, CLASSES)
    for run in range(R):
        wanted = torch.stack([reference.image_outputs(one(model, weights, run), image) for image in inputs[run]])
        torch.testing.assert_close(outputs[run], wanted.detach(), rtol=1e-10, atol=1e-10)
    assert (outputs[:, 0] == 0).all()
    assert (outputs != 0).any(-1).double().mean() > 0.5


def test_gradients_are_autograds_through_the_reference(case):
    model, weights, inputs, labels, lookup, outputs, saved = case
    gradients, before = torch.full_like(weights, torch.nan), weights.clone()
    doutputs = squared_error_gradient(outputs, labels[..., None])
    model.backward(model.matrices(weights, TASK), model.matrices(gradients, TASK), lookup, saved, doutputs)
    assert torch.equal(weights, before)
    gradients = cut(gradients, model.shapes(TASK))
    for run in range(R):
        W = one(model, weights, run)
        reference.mean_image_loss(W, inputs[run], labels[run]).backward()
        for name, matrix in W.items():
            found, wanted = gradients[name][run].numpy(), matrix.grad.numpy()
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11, err_msg=name)
        dark = (inputs[run] == 0).all(0)
        assert dark[2] and not dark.all()
        assert torch.equal((W["W_1"].grad == 0).all(1), dark)
        assert torch.equal((gradients["W_1"][run] == 0).all(1), dark)


def test_gather_and_scatter_are_the_dense_products(double):
    rng = torch.Generator().manual_seed(1)
    inputs, table, samples = with_dark_pixels(rng), *(torch.randn(R, n, 5, generator=rng) for n in (PIXELS, B))
    pixels = Pixels(inputs)
    torch.testing.assert_close(pixels.gather(table), inputs @ table, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(pixels.scatter(samples), inputs.mT @ samples, rtol=1e-12, atol=1e-14)


# --- initial weights --------------------------------------------------------------------------------------------------

PAPER = {"W_1": (784, 200), "W_2": (200, 200), "W_3": (200, 10)}
FOUR = {"W_1": (784, 200), "W_2": (200, 200), "W_3": (200, 200), "W_4": (200, 10)}


@pytest.mark.parametrize(("model", "wanted"), [(ImageMLP(), PAPER), (ImageMLP(hidden_layers=3), FOUR)])
def test_initial_weights_have_8_times_the_usual_deviation(model, wanted):
    assert model.shapes(ImageTask(seed=0)) == wanted
    vector = draw(model, ImageTask(seed=0), generator(0, "weights"))
    assert vector.dtype == np.float32
    assert len(vector) == sum(rows * cols for rows, cols in wanted.values())
    for name, matrix in as_matrices(vector.astype(float), wanted).items():
        n, deviation = matrix.size, 8 / matrix.shape[0] ** 0.5
        assert abs(matrix.mean()) <= 4.5 * deviation / n**0.5, name
        assert abs(matrix.std() - deviation) <= 4.5 * deviation / (2 * n) ** 0.5, name


def test_initial_weights_belong_to_the_seed_alone():
    first = draw(ImageMLP(), ImageTask(seed=0), generator(0, "weights"))
    assert np.array_equal(draw(ImageMLP(), ImageTask(seed=0), generator(0, "weights")), first)
    other = draw(ImageMLP(), ImageTask(seed=0), generator(1, "weights"))
    assert abs(np.corrcoef(first, other)[0, 1]) < 5 * len(first) ** -0.5


# --- squared error ----------------------------------------------------------------------------------------------------


def test_squared_error_and_its_gradient_are_pytorchs_and_the_references():
    z = torch.randn(3, 10, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    c = torch.arange(30).view(3, 10) % 8
    target = torch.nn.functional.one_hot(c, 8).double()
    wanted = torch.nn.functional.mse_loss(z, target, reduction="none").mean(-1)
    (wanted.sum() / 10).backward()
    outputs = z.detach().clone()
    found = squared_error(outputs, c[..., None])
    torch.testing.assert_close(found, wanted.detach())
    assert torch.equal(outputs, z)  # the answers are read from them afterwards
    for run, sample in product(range(3), range(10)):
        by_hand = reference.squared_error(z[run, sample].detach(), int(c[run, sample]))
        torch.testing.assert_close(found[run, sample], by_hand)
    torch.testing.assert_close(squared_error_gradient(outputs, c[..., None]), z.grad)


def test_an_output_that_is_not_a_number_is_not_hidden():
    for z in ([torch.nan, 0.0, 0.0], [0.0, torch.nan, 0.0], [0.0, 0.0, torch.inf]):
        assert not torch.isfinite(squared_error(torch.tensor([[z]]), torch.tensor([[[0]]]))).any()


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def exact(double, monkeypatch):
    """Float64 throughout, the images too."""
    data = ImageTask.data

    def in_double(task):
        found = data(task)
        return dataclasses.replace(found, inputs=found.inputs.astype(np.float64))

    monkeypatch.setattr(ImageTask, "data", in_double)


def adamw_by_pytorch(run, mask, steps):
    """The run's weights [n] after so many steps of PyTorch's own AdamW on the reference model, in float64."""
    data = run.task.data()
    inputs = torch.tensor(data.inputs[data.train], dtype=torch.float64)
    shapes, mask = run.model.shapes(run.task), np.ones(len(run.initial_weights())) if mask is None else mask
    W = leaves(run.initial_weights() * mask, shapes)
    optimizer = torch.optim.AdamW(W.values(), lr=0.001, betas=(0.9, 0.98), weight_decay=0.1, fused=False, foreach=False)
    for _ in range(steps):
        optimizer.zero_grad()
        reference.mean_image_loss(W, inputs, data.labels[data.train]).backward()
        for matrix, held in zip(W.values(), as_matrices(mask, shapes).values(), strict=True):
            matrix.grad *= torch.tensor(held, dtype=torch.float64)
        optimizer.step()
    return np.concatenate([matrix.detach().numpy().ravel() for matrix in W.values()])


@EVERY_DEPTH
@pytest.mark.parametrize("masked", [False, True])
def test_steps_are_those_of_pytorchs_adamw_on_the_mean_squared_error(depth, masked, exact):
    model = ImageMLP(width=8, hidden_layers=depth)
    runs = [tiny_image_run(seed, train_count=5, epochs=25, model=model) for seed in range(3)]
    masks = [None, random_mask(runs[1]), random_mask(runs[2], 1)] if masked else [None] * 3
    for run, mask, trained in zip(
        runs, masks, train_dense(runs, masks, snapshots={run: {25} for run in runs}), strict=True
    ):
        wanted = adamw_by_pytorch(run, mask, 25)
        np.testing.assert_allclose(trained.snapshots[25], wanted, rtol=1e-9, atol=1e-10)
        assert np.abs(wanted - run.initial_weights() * (1 if mask is None else mask)).max() > 0.02


def test_float32_stays_near_float64():
    run = tiny_image_run(train_count=5, epochs=25)
    got = train_dense([run], snapshots={run: {25}})[0].snapshots[25]
    assert got.dtype == np.float32
    wanted = adamw_by_pytorch(run, None, 25)
    assert np.linalg.norm(got - wanted) < 1e-4 * np.linalg.norm(wanted - run.initial_weights())


def test_metrics_are_those_of_the_weights():
    runs = [tiny_image_run(seed, epochs=120) for seed in range(2)]
    for run, trained in zip(runs, train_dense(runs, snapshots={run: {0, 100, 120} for run in runs}), strict=True):
        data = run.task.data()
        for at, epoch in enumerate([0, 100, 120]):
            W = leaves(trained.snapshots[epoch], run.model.shapes(run.task))
            norms = [(np.abs(w).sum(), np.linalg.norm(w)) for w in (matrix.detach().numpy() for matrix in W.values())]
            l1, l2 = np.array(norms).T
            wanted = {"l1": l1.sum(), "mean_l1": l1.mean(), "l2": (l2**2).sum() ** 0.5, "mean_l2": l2.mean()}
            for side, rows in (("train", data.train), ("test", data.test)):
                inputs = torch.from_numpy(data.inputs[rows]).double()
                wanted[f"{side}_loss"] = reference.mean_image_loss(W, inputs, data.labels[rows]).item()
                answers = [reference.image_outputs(W, image).argmax().item() for image in inputs]
                wanted[f"{side}_accuracy"] = np.mean(answers == data.labels[rows])
            for name in METRICS:
                assert trained.metrics[name][at] == pytest.approx(wanted[name], rel=1e-5), (name, epoch)


def test_alone_or_stacked_with_one_thread_or_two_the_bits_are_the_same(monkeypatch, threads):
    """At the paper's size but for the number of images: how work is cut up among threads depends on it."""
    pixels, labels = made_up_images(400, (784,))
    monkeypatch.setattr(images, "load", lambda name: images.ImageSet(name, pixels, labels, 255, "made up"))
    splits = [ImageTask(train_count=300, test_count=20, seed=seed) for seed in (0, 1, 2)]
    runs = [
        Run(task=task, model=ImageMLP(), optimizer=AdamW(weight_decay=0.1), epochs=3, seed=seed)
        for seed, task in enumerate([*splits, splits[0], splits[1]])
    ]
    keep = {run: {0, 2, 3} for run in runs}
    threads(2)
    wanted = dict(zip(runs, train_dense(runs, snapshots=keep), strict=True))
    assert len({trained.snapshots[3].tobytes() for trained in wanted.values()}) == 5
    for n in (1, 2):
        threads(n)
        for stack in ([3], [2, 1], [4, 3, 0, 2]):
            for trained in train_dense([runs[i] for i in stack], snapshots=keep):
                assert_same(trained, wanted[trained.run])
    _, beside_masked = train_dense([runs[0], runs[3]], [random_mask(runs[0]), None], snapshots=keep)
    assert_same(beside_masked, wanted[runs[3]])


def test_a_masked_run_does_not_depend_on_its_neighbours_either():
    runs = [tiny_image_run(seed) for seed in range(3)]
    masks = [random_mask(run, i) for i, run in enumerate(runs)]
    keep = {run: {200} for run in runs}
    [alone] = train_dense(runs[:1], masks[:1], snapshots=keep)
    assert_same(train_dense(runs, masks, snapshots=keep)[0], alone)
    assert_same(train_dense(runs[::-1], [None, None, masks[0]], snapshots=keep)[2], alone)


def test_masked_weights_are_zero_for_ever_and_those_of_lit_pixels_move():
    run = tiny_image_run(epochs=400)
    mask, keep = random_mask(run), {0, 1, 99, 400}
    [trained] = train_dense([run], [mask], snapshots={run: keep})
    assert set(trained.snapshots) == keep
    assert all((weights[~mask] == 0).all() for weights in trained.snapshots.values())
    assert np.array_equal(trained.snapshots[0], run.initial_weights() * mask)
    moved = trained.snapshots[400] != trained.snapshots[0]
    assert moved[mask].all()  # decay alone moves the others


def test_weights_of_dark_pixels_decay_and_do_nothing_else():
    run = tiny_image_run(epochs=100)
    data = run.task.data()
    dark = (data.inputs[data.train] == 0).all(0)
    assert 0 < dark.sum() < 64
    [trained] = train_dense([run], snapshots={run: {100}})
    before, after = (run.split(weights)["W_1"] for weights in (run.initial_weights(), trained.snapshots[100]))
    np.testing.assert_allclose(after[dark], before[dark] * (1 - 0.001 * 0.1) ** 100, rtol=1e-5)
    assert np.isclose(after[~dark], before[~dark] * (1 - 0.001 * 0.1) ** 100, rtol=1e-5).mean() < 0.5


# --- scores at initialisation -----------------------------------------------------------------------------------------


def drawn(model, task, seed=0):
    """Weights [n] float64 of which none is zero."""
    n = sum(rows * cols for rows, cols in model.shapes(task).values())
    return np.random.default_rng(seed).standard_normal(n)


def test_synflow_is_the_sum_over_all_paths_through_a_weight():
    for model in MODELS.values():
        task = ImageTask(pixels=PIXELS, seed=0)
        weights, flow = drawn(model, task), defaultdict(float)
        W = {name: np.abs(matrix).tolist() for name, matrix in as_matrices(weights, model.shapes(task)).items()}
        for nodes in product(range(PIXELS), *[range(model.width)] * model.hidden_layers, range(task.classes)):
            path = [(f"W_{i}", row, col) for i, (row, col) in enumerate(pairwise(nodes), 1)]
            share = math.prod(W[name][row][col] for name, row, col in path)
            for entry in path:
                flow[entry] += share
        for name, matrix in as_matrices(synflow(model, task, weights), model.shapes(task)).items():
            wanted = [[flow[name, row, col] for col in range(matrix.shape[1])] for row in range(matrix.shape[0])]
            np.testing.assert_allclose(matrix, wanted, rtol=1e-10, atol=0, err_msg=name)


def image_loss(run, rows="train"):
    """Weights [n] -> the reference's mean loss over the training (or test) images."""
    data, shapes = run.task.data(), run.model.shapes(run.task)
    chosen, lengths = getattr(data, rows), [rows * cols for rows, cols in shapes.values()]
    inputs, labels = torch.from_numpy(data.inputs[chosen]).double(), data.labels[chosen]

    def loss(weights):
        W = {name: part.view(shape) for part, (name, shape) in zip(weights.split(lengths), shapes.items(), strict=True)}
        return reference.mean_image_loss(W, inputs, labels)

    return loss


@EVERY_DEPTH
@pytest.mark.parametrize("rows", ["train", "test"])
def test_the_gradient_is_that_of_the_mean_loss_over_the_rows_that_were_asked_for(depth, rows):
    run = tiny_image_run(model=ImageMLP(width=3, hidden_layers=depth))
    weights = torch.from_numpy(drawn(run.model, run.task)).requires_grad_()
    image_loss(run, rows)(weights).backward()
    found = loss_gradient(run.model, run.task, weights.detach().numpy(), rows=rows)
    np.testing.assert_allclose(found, weights.grad, rtol=1e-9, atol=1e-12)


@EVERY_DEPTH
def test_snip_is_what_the_loss_loses_as_a_weight_is_masked_gently(depth):
    """|dL/dc| at c = 1, where c multiplies the weight: by finite differences of the loss itself."""
    run = tiny_image_run(train_count=4, model=ImageMLP(width=2, hidden_layers=depth))
    weights = torch.from_numpy(drawn(run.model, run.task))
    wanted = masked_gently(image_loss(run), weights)
    np.testing.assert_allclose(snip(run.model, run.task, weights.numpy()), wanted, rtol=1e-5, atol=1e-8)
    assert np.median(wanted) > 1e-3


@pytest.mark.parametrize("score", [snip, synflow], ids=["snip", "synflow"])
def test_the_pruned_share_is_exact(score):
    run = tiny_image_run()
    mask = prune_by_score(score, run.model, run.task, run.initial_weights(), 0.6)
    assert (~mask).sum() == round(0.6 * len(mask))


# --- runs and stacks --------------------------------------------------------------------------------------------------

IMAGES, PAIRS = ImageTask(seed=0), ModularTask(seed=0)


@pytest.mark.parametrize(
    ("task", "model", "words"),
    [
        (IMAGES, MLP(), "MLP(width=500, hidden=48, hidden_layers=1) cannot learn 1,000 images of MNIST"),
        (IMAGES, Transformer(), f"{Transformer()} cannot learn 1,000 images of MNIST"),
        (PAIRS, ImageMLP(), f"{ImageMLP()} cannot learn a+b mod 67"),
    ],
)
def test_a_model_of_pairs_learns_no_images_and_the_other_way_round(task, model, words):
    with pytest.raises(ValueError) as caught:
        Run(task=task, model=model, seed=0)
    assert str(caught.value) == f"{words}: an ImageMLP takes images, all others pairs"


def test_a_run_says_what_it_learns():
    run = Run(task=ImageTask(seed=3), model=ImageMLP(), optimizer=AdamW(weight_decay=0.1), seed=3)
    assert str(run) == "ImageMLP, Dense on 1,000 images of MNIST, seed 3, 30000 epochs (weight_decay 0.1)"
    deep = dataclasses.replace(run, model=ImageMLP(hidden_layers=3), start=Ticket(base=run, epoch=28_000, rate=0.6))
    assert str(deep) == (
        "ImageMLP (hidden_layers 3), Ticket (epoch 28000, rate 0.6) on 1,000 images of MNIST, seed 3, 30000 epochs "
        "(weight_decay 0.1)"
    )
    assert " on 12 images of scikit-learn's 8×8 digits, not MNIST, seed 1, " in str(tiny_image_run(1))
    own = dataclasses.replace(run, task=ImageTask(images="0123456789ab", seed=3))
    assert " on 1,000 images of a file of images with hash 0123456789ab, seed 3, " in str(own)


def test_runs_that_differ_in_their_images_have_records_of_their_own():
    changes = {"images": images.MNIST, "pixels": 49, "train_count": 13, "test_count": 21, "seed": 1}
    run = tiny_image_run()
    others = [dataclasses.replace(run, task=dataclasses.replace(run.task, **{k: v})) for k, v in changes.items()]
    assert len({run.key, *(other.key for other in others)}) == 1 + len(changes)
    assert tiny_image_run().key == run.key


def test_stacks_hold_images_of_one_set_and_size_and_never_pairs_as_well():
    tasks = [
        dataclasses.replace(tiny_image_run().task, **change, seed=seed)
        for change in ({}, {"train_count": 13}, {"test_count": 21}, {"pixels": 49}, {"images": images.MNIST})
        for seed in range(3)
    ]
    runs = [dataclasses.replace(tiny_image_run(), task=task, seed=task.seed) for task in tasks]
    pairs = [dataclasses.replace(tiny_run(seed=seed), optimizer=AdamW(weight_decay=0.1)) for seed in range(3)]
    found = stacks([Job(run, "", until=run.epochs, record=True) for run in (*runs, *pairs)[::-1]])
    tasks_of = [[job.run.task for job in stack] for stack in found]
    assert sorted(map(len, tasks_of)) == [3] * 6
    assert all(len({(type(task), task.shape) for task in tasks}) == 1 for tasks in tasks_of)
