"""The models once more, sample by sample in float64, straight from the equations: what `lib` is held against.

Nothing here is stacked, looked up or shared between samples, and nothing is imported from `lib`.
Weights are a dict from name to float64 tensor; W_E and W_U have a row for each token. A sample is one pair (a, b),
or one image.
"""

import math
from types import SimpleNamespace

import torch
from torch import Tensor


def sizes(tokens: int, classes: int | None = None, length: int = 2) -> SimpleNamespace:
    """What models ask of a task."""
    return SimpleNamespace(tokens=tokens, classes=tokens if classes is None else classes, length=length)


def one_hot(token: int, prime: int) -> Tensor:
    e = torch.zeros(prime, dtype=torch.float64)
    e[token] = 1
    return e


def mlp_logits(W: dict[str, Tensor], a: int, b: int) -> Tensor:
    """logits = W_U W_out ReLU(... ReLU(W_in W_E^T (e_a + e_b))) (section 3; App. E for further hidden layers)."""
    p = W["W_E"].shape[0]
    h = torch.relu(W["W_in"] @ (W["W_E"].T @ (one_hot(a, p) + one_hot(b, p))))
    layer = 1
    while f"W_h{layer}" in W:
        h = torch.relu(W[f"W_h{layer}"] @ h)
        layer += 1
    return W["W_U"] @ (W["W_out"] @ h)


def transformer_logits(W: dict[str, Tensor], a: int, b: int, heads: int) -> Tensor:
    """One layer, causal attention, last position (section A.2, with scores / sqrt(d_head) as in the code).

    With three positions the last token is the constant "=", whose embedding is the last (Nanda et al. 2023).
    """
    p = W["W_E"].shape[0]
    tokens = (a, b) if W.get("W_pos", W["W_E"][:2]).shape[0] == 2 else (a, b, p - 1)
    x = [W["W_E"].T @ one_hot(token, p) for token in tokens]
    if "W_pos" in W:
        x = [x_i + W["W_pos"][i] for i, x_i in enumerate(x)]
    k = W["W_Q"].shape[0] // heads
    residual = x[-1].clone()
    for head in range(heads):
        part = slice(head * k, (head + 1) * k)
        query = W["W_Q"][part] @ x[-1]  # the last position attends to all
        scores = torch.stack([query @ (W["W_K"][part] @ x_i) for x_i in x]) / math.sqrt(k)
        weights = torch.softmax(scores, 0)
        mixed = sum(w * (W["W_V"][part] @ x_i) for w, x_i in zip(weights, x, strict=True))
        residual = residual + W["W_O"][:, part] @ mixed
    hidden = W["W_in"] @ residual
    if "b_in" in W:
        hidden = hidden + W["b_in"][0]
    out = W["W_out"] @ torch.relu(hidden)
    if "b_out" in W:
        out = out + W["b_out"][0]
    return W["W_U"] @ (residual + out)


def image_outputs(W: dict[str, Tensor], image: Tensor) -> Tensor:
    """outputs = ReLU(... ReLU(x W_1) W_2 ...) W_last for the pixels x of one image (App. A.1)."""
    *hidden, last = (W[f"W_{i}"] for i in range(1, len(W) + 1))
    for matrix in hidden:
        image = torch.relu(image @ matrix)
    return image @ last


def cross_entropy(logits: Tensor, label: int) -> Tensor:
    """-log softmax(logits)[label], in float64."""
    return torch.logsumexp(logits, 0) - logits[label]


def mean_loss(W: dict[str, Tensor], inputs, labels, logits_of) -> Tensor:
    """Mean cross-entropy over the samples, one at a time."""
    losses = [cross_entropy(logits_of(W, int(a), int(b)), int(c)) for (a, b), c in zip(inputs, labels, strict=True)]
    return torch.stack(losses).mean()


def squared_error(outputs: Tensor, label: int) -> Tensor:
    """Mean over the classes of (output - one-hot label)^2."""
    return ((outputs - one_hot(label, len(outputs))) ** 2).mean()


def mean_image_loss(W: dict[str, Tensor], images, labels) -> Tensor:
    """Mean squared error over the images, one at a time."""
    losses = [squared_error(image_outputs(W, image), int(label)) for image, label in zip(images, labels, strict=True)]
    return torch.stack(losses).mean()
