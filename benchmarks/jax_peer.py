"""The peer of `make bench`: the same training written for JAX, in the fastest form found.

Compiled, on two host devices with half of the runs each, a hundred steps to a call. As in lib/train/models.py all that comes
before the first nonlinearity is formed once for each token and looked up; gradients are JAX's own. The image classifier
multiplies dense matrices: JAX has no fast sums over lit pixels.
"""

import os

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2".strip()
os.environ["JAX_PLATFORMS"] = "cpu"

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lib.train.runs import Run

STEPS = 100  # to a call
Weights = dict[str, jax.Array]


def mlp(W: Weights, inputs: jax.Array) -> jax.Array:
    """Logits [R, B, p] of R runs for pairs [R, B, 2]."""
    table = W["W_E"] @ W["W_in"].mT  # [R, p, h]
    a, b = (jnp.take_along_axis(table, inputs[:, :, i, None], 1) for i in (0, 1))
    return jax.nn.relu(a + b) @ (W["W_U"] @ W["W_out"]).mT


def transformer(W: Weights, inputs: jax.Array) -> jax.Array:
    """Logits [R, B, p] of R one-head transformers for pairs [R, B, 2], which answer at the second token."""
    E, a, b = W["W_E"], inputs[:, :, 0], inputs[:, :, 1]
    query, key, value = (E @ W[name].mT for name in ("W_Q", "W_K", "W_V"))
    moved = value @ W["W_O"].mT  # what attending to a token adds
    scores = (query @ key.mT) / E.shape[-1] ** 0.5  # [R, p, p]
    runs = jnp.arange(len(E))[:, None]
    alpha = jax.nn.sigmoid(scores[runs, b, a] - scores[runs, b, b])[..., None]  # attention to the first token

    def mixed(own: jax.Array, attended: jax.Array) -> jax.Array:
        """Sum of table rows [R, B, k]: the last token's own, and the two attended ones."""
        at = lambda table, token: jnp.take_along_axis(table, token[..., None], 1)  # noqa: E731
        return at(own, b) + alpha * at(attended, a) + (1 - alpha) * at(attended, b)

    hidden = jax.nn.relu(mixed(E @ W["W_in"].mT, moved @ W["W_in"].mT))
    return mixed(E @ W["W_U"].mT, moved @ W["W_U"].mT) + hidden @ (W["W_U"] @ W["W_out"]).mT


HEADS = 4  # of the answer transformer


def answer_transformer(W: Weights, inputs: jax.Array) -> jax.Array:
    """Logits [R, B, p] of R four-head transformers for pairs that a constant token follows [R, B, 3], which answer at it.

    Its attention by differences from that token, as ours; the residual vectors of samples, and not tables, meet W_in and W_U.
    """
    p, d = W["W_E"].shape[1] - 1, W["W_E"].shape[2]
    first, second, answer = (W["W_pos"][:, i : i + 1] for i in range(3))
    E = jnp.concatenate([W["W_E"][:, :p] + first, W["W_E"][:, :p] + second, W["W_E"][:, p:] + answer], 1)
    split = lambda x: x.reshape(*x.shape[:2], HEADS, -1)  # noqa: E731
    query, key, value = (split(E @ W[name].mT) for name in ("W_Q", "W_K", "W_V"))
    scores = (key * query[:, -1:]).sum(3) / key.shape[3] ** 0.5  # [R, V, H]
    moved = jnp.einsum("rvhk,rdhk->rvhd", value, split(W["W_O"]))
    differences = (moved[:, :-1] - moved[:, -1:]).reshape(len(E), 2 * p, -1)
    at = lambda table, token: jnp.take_along_axis(table, token[..., None], 1)  # noqa: E731
    tokens = inputs[:, :, 0], inputs[:, :, 1] + p
    own = jnp.broadcast_to(scores[:, -1:], (*inputs.shape[:2], HEADS))
    attention = jax.nn.softmax(jnp.stack([*(at(scores, token) for token in tokens), own], 2), 2)  # [R, B, 3, H]
    residual = E[:, -1:] + moved[:, -1].sum(1, keepdims=True)
    for i, token in enumerate(tokens):
        added = at(differences, token).reshape(*token.shape, HEADS, d)
        residual = residual + (attention[:, :, i, :, None] * added).sum(2)
    hidden = jax.nn.relu(residual @ W["W_in"].mT + W["b_in"])
    return (residual + W["b_out"]) @ W["W_U"].mT + hidden @ (W["W_U"] @ W["W_out"]).mT


def image_mlp(W: Weights, inputs: jax.Array) -> jax.Array:
    """Outputs [R, B, classes] for images [R, B, pixels]."""
    *hidden, last = W.values()
    for matrix in hidden:
        inputs = jax.nn.relu(inputs @ matrix)
    return inputs @ last


def cross_entropy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over samples, summed over runs."""
    right = jnp.take_along_axis(outputs, labels[..., None], 2)[..., 0]
    return (jax.nn.logsumexp(outputs, 2) - right).mean(1).sum()


def squared_error(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over samples and classes, summed over runs."""
    return jnp.square(outputs - jax.nn.one_hot(labels, outputs.shape[2])).mean((1, 2)).sum()


MODELS = {
    "mlp": mlp,
    "transformer": transformer,
    "nanda-transformer": answer_transformer,
    "mnist-mlp": image_mlp,
}


class Peer:
    """Runs of one model in training; `advance` trains all of them for STEPS epochs."""

    def __init__(self, name: str, runs: Sequence[Run]):
        self.devices = min(2, len(runs), len(jax.devices()))
        data = [run.task.data() for run in runs]

        def shared(arrays: Sequence[np.ndarray]) -> jax.Array:
            """[devices, runs of each, ...]"""
            stacked = np.stack(arrays)
            return jnp.asarray(stacked.reshape(self.devices, -1, *stacked.shape[1:]))

        first = [run.split(run.initial_weights()) for run in runs]
        weights = {matrix: shared([one[matrix] for one in first]) for matrix in first[0]}
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros(self.devices)
        self.inputs = shared([d.inputs[d.train] for d in data])
        self.labels = shared([d.labels[d.train] for d in data])
        loss = squared_error if runs[0].task.loss == "squared error" else cross_entropy
        self.train = jax.pmap(partial(_train, MODELS[name], loss, runs[0].optimizer), donate_argnums=0)

    def advance(self) -> np.ndarray:
        """The loss before each step, summed over the runs of a device: [devices, STEPS]."""
        self.state, losses = self.train(self.state, self.inputs, self.labels)
        return np.asarray(losses)  # waits for the end


def _train(model: Callable, loss: Callable, o: object, state: tuple, inputs: jax.Array, labels: jax.Array) -> tuple:
    def step(state: tuple, _: None) -> tuple:
        weights, first, second, count = state
        value, gradient = jax.value_and_grad(lambda W: loss(model(W, inputs), labels))(weights)
        rate = o.learning_rate * (jnp.minimum(count / o.warm_up, 1) if o.warm_up else 1)
        count = count + 1
        first = jax.tree.map(lambda m, g: o.beta1 * m + (1 - o.beta1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: o.beta2 * v + (1 - o.beta2) * g * g, second, gradient)
        size, root = rate / (1 - o.beta1**count), (1 - o.beta2**count) ** 0.5
        shrink = 1 - rate * o.weight_decay
        weights = jax.tree.map(
            lambda w, m, v: w * shrink - size * m / (jnp.sqrt(v) / root + 1e-8), weights, first, second
        )
        return (weights, first, second, count), value

    return jax.lax.scan(step, state, None, length=STEPS)
