"""Models: how to draw initial weights, how to compute logits and their gradient, for R runs at once.

After setups in arXiv 2310.19470 (sections 3, A.1 and A.2) and the authors' code; see the book's set-up chapter.

In the modular tasks every sample is a pair of tokens, and there are only p tokens, so all that comes before the first nonlinearity is
formed once for each token and then looked up: W_in W_E is a [hidden, p] table, and so are the transformer's keys,
queries and values, and what each token's residual vector adds to the hidden layer and to the logits. This is exact
algebra, not an approximation; `tests/reference.py` computes each sample by itself, and the two agree.

Shapes: R runs, B samples, p tokens, d embedding width, h hidden width, H heads, L tokens in a sample.
Weights are a dict from name to tensor [R, rows, cols]. W_E and W_U, both [d, p] in the equations, are stored with a
row for each token, [p, d]: matrix products run best when the last dimension is not the odd one, p.
Gradients are written by hand: half the time of autograd.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lib.train.products import add_product, product
from lib.train.tasks import Task

Weights = dict[str, Tensor]


class Model(Protocol):
    """What trainer, starts and scores ask of a model. What `lookup` gives, and what `forward` saves, is its own affair.

    A model may also have `backward(weights, gradients, lookup, saved, dlogits)`, which writes the gradient of every matrix into
    `gradients`, from that of the logits [R, B, classes]; one without gets its gradients from autograd (`differentiate`).

    runs_at_once: how many runs a thread trains side by side. With fewer, starting small operations takes longer than doing
    them; with more, what the runs hold no longer fits the processor's cache.
    """

    runs_at_once: ClassVar[int]

    def shapes(self, task: Task) -> dict[str, tuple[int, int]]:
        """Name -> (rows, cols) of each weight matrix, in the order in which they lie in the weights [n]."""

    def deviations(self, task: Task) -> dict[str, float]:
        """Name -> standard deviation with which each matrix is drawn; 0 of one that starts at zero."""

    def matrices(self, buffer: Tensor, task: Task) -> Weights:
        """The weight matrices in a buffer [R, n or more] as views [R, rows, cols], as `forward` takes them."""

    def lookup(self, inputs: Tensor, task: Task) -> Any:
        """What `forward` needs of inputs [R, B, tokens or pixels of a sample]."""

    def forward(self, weights: Weights, lookup: Any) -> tuple[Tensor, Any]:
        """Logits [R, B, classes], and what `backward` needs."""

    def flow(self, weights: Weights) -> Tensor:
        """Sum over all paths from inputs to logits of the products of their weights [R], for SynFlow."""


def without_gradients(model: Model) -> AbstractContextManager:
    """Where a model is trained and evaluated: inference mode, or no_grad for one without `backward`, as autograd cannot go through
    tensors of inference mode."""
    return torch.inference_mode() if hasattr(model, "backward") else torch.no_grad()


def differentiate(
    model: Model,
    weights: Weights,
    gradients: Weights,
    lookup: Any,
    labels: Tensor,
    slope: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Writes the gradient of a loss: by the model's `backward`, or of a model without by autograd.

    slope: the loss's gradient [R, B, classes] from logits and labels; it may overwrite the logits.
    """
    if hasattr(model, "backward"):
        logits, saved = model.forward(weights, lookup)
        model.backward(weights, gradients, lookup, saved, slope(logits, labels))
        return
    with torch.enable_grad():
        leaves = {name: matrix.detach().requires_grad_() for name, matrix in weights.items()}
        logits, _ = model.forward(leaves, lookup)
    found = torch.autograd.grad(logits, list(leaves.values()), slope(logits.detach().clone(), labels))
    for name, gradient in zip(leaves, found, strict=True):
        gradients[name].copy_(gradient)


with warnings.catch_warnings():  # PyTorch says, once, that these tensors are in beta
    warnings.simplefilter("ignore", UserWarning)
    torch.sparse_csr_tensor([0, 0], [], torch.empty(0), (1, 1), check_invariants=False)


def bag_sums(table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor | None) -> Tensor:
    """Sums of table rows [n, k], times weights if given, over consecutive bags of `rows`: [bags, k].

    What torch.nn.functional.embedding_bag calls, without what it does besides, which takes as long as a small sum.
    """
    return torch._embedding_bag_forward_only(table, rows, starts, False, 0, False, weights)[0]


class Lookup:
    """Sums table rows into samples, and its transpose: sums samples back into table rows.

    rows: [R, B, K] int64, the K table rows that each sample adds up, out of `table_rows` rows a run.
    Both directions are embedding bags, whose sums are in a fixed order: no result depends on the stack around it.
    """

    def __init__(self, rows: Tensor, table_rows: int):
        self.runs, self.samples, self.terms = rows.shape
        self.table_rows = table_rows
        offsets = table_rows * torch.arange(self.runs, device=rows.device)
        self.flat = (rows + offsets[:, None, None]).flatten()  # the table row of each term
        self.sample = torch.arange(len(self.flat), device=rows.device) // self.terms  # and its sample

    @cached_property
    def by_row(self) -> Tensor:
        """Where each table row is used: the terms, row by row, in the order of samples."""
        return torch.argsort(self.flat, stable=True)

    @cached_property
    def sample_by_row(self) -> Tensor:
        """The sample of each term in that order."""
        return self.sample[self.by_row]

    @cached_property
    def starts(self) -> Tensor:
        """Where each table row begins in that order."""
        counts = torch.bincount(self.flat, minlength=self.runs * self.table_rows)
        return counts.cumsum(0) - counts

    @cached_property
    def bag_starts(self) -> Tensor:
        """Where the terms of each sample begin."""
        counts = torch.bincount(self.sample, minlength=self.runs * self.samples)
        return counts.cumsum(0) - counts

    @cached_property
    def places(self) -> list[Tensor]:
        """Of each run a sparse matrix [B, rows] of zeros, with a place for every term."""
        starts = torch.arange(0, self.samples * self.terms + 1, self.terms, device=self.flat.device)
        rows, size = self.flat.view(self.runs, -1) % self.table_rows, (self.samples, self.table_rows)
        blank = torch.zeros(rows.shape[1], device=rows.device)
        return [torch.sparse_csr_tensor(starts, one, blank, size, check_invariants=False) for one in rows]

    def gather(self, table: Tensor, weights: Tensor | None = None) -> Tensor:
        """table [R, rows, k] -> [R, B, k], each term times its weight [R, B, K] where given."""
        weights = None if weights is None else weights.flatten()
        return bag_sums(table.flatten(0, 1), self.flat, self.bag_starts, weights).view(self.runs, self.samples, -1)

    def sort_weights(self, weights: Tensor) -> Tensor:
        """The weights [R, B, K] of all terms in the order in which `scatter` adds them up."""
        return weights.flatten().index_select(0, self.by_row)

    def scatter(self, samples: Tensor, weights: Tensor | None = None) -> Tensor:
        """samples [R, B, k] -> [R, rows, k]: the transpose of `gather`; weights as `sort_weights` gives them."""
        out = bag_sums(samples.flatten(0, 1), self.sample_by_row, self.starts, weights)
        return out.view(self.runs, self.table_rows, -1)

    def dots(self, samples: Tensor, table: Tensor) -> Tensor:
        """Dot products of every sample [R, B, k] with its table rows, of [R, rows, k]: [R, B, K].

        A matrix product at the few places that matter. The table rows of a sample have to ascend.
        """
        found = []
        for run, places in enumerate(self.places):
            where = places.to(samples.dtype)
            found.append(torch.sparse.sampled_addmm(where, samples[run], table[run].mT, beta=0).values())
        return torch.stack(found).view(self.runs, self.samples, self.terms)


class Pixels(Lookup):
    """The same for images [R, B, pixels]: samples are the products images @ table, summed over lit pixels alone.

    Four pixels in five of MNIST are dark, so this takes well under half the time of the matrix products.
    """

    def __init__(self, images: Tensor):
        self.runs, self.samples, self.table_rows = images.shape
        run, sample, pixel = images.nonzero(as_tuple=True)
        self.flat, self.sample = run * self.table_rows + pixel, run * self.samples + sample
        self.values = images[run, sample, pixel]

    @cached_property
    def sorted_values(self) -> Tensor:
        """The lit pixels in the order in which `scatter` adds them up."""
        return self.sort_weights(self.values)

    def gather(self, table: Tensor) -> Tensor:  # type: ignore[override]
        """images @ table: [R, pixels, k] -> [R, B, k]."""
        return super().gather(table, self.values)

    def scatter(self, samples: Tensor) -> Tensor:  # type: ignore[override]
        """images^T @ samples: [R, B, k] -> [R, pixels, k]."""
        return super().scatter(samples, self.sorted_values)


def relu_gradient(gradient: Tensor, output: Tensor) -> Tensor:
    """Gradient at the input of a ReLU from that at its output, in place: zero where the output is zero."""
    return torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


def cut(buffer: Tensor, shapes: dict[str, tuple[int, int]]) -> Weights:
    """The matrices in a buffer [R, n or more] that holds them one after another: name -> view [R, rows, cols]."""
    sizes = [rows * cols for rows, cols in shapes.values()]
    parts = buffer[:, : sum(sizes)].split(sizes, 1)
    return {name: part.unflatten(1, shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def draw(model: Model, task: Task, rng: np.random.Generator) -> np.ndarray:
    """A model's initial weights N(0, deviation^2), matrix after matrix as a float32 vector [n]; deviation 0 gives zeros."""
    deviations = model.deviations(task)
    parts = [
        (deviations[name] * rng.standard_normal(rows * cols)).astype(np.float32)
        for name, (rows, cols) in model.shapes(task).items()
    ]
    return np.concatenate(parts)


@dataclass(frozen=True, kw_only=True)
class MLP:
    """h = ReLU(W_in W_E (e_a + e_b)); logits = W_U^T W_out h (no biases).

    hidden_layers: 1 in the paper; each further one is a square layer with ReLU between W_in and W_out (App. E).
    """

    runs_at_once: ClassVar[int] = 4

    width: int = 500
    hidden: int = 48
    hidden_layers: int = 1

    def shapes(self, task: Task) -> dict[str, tuple[int, int]]:
        """Name -> (rows, cols) of each weight matrix."""
        further = {f"W_h{i}": (self.hidden, self.hidden) for i in range(1, self.hidden_layers)}
        return {
            "W_E": (task.tokens, self.width),
            "W_in": (self.hidden, self.width),
            **further,
            "W_out": (self.width, self.hidden),
            "W_U": (task.classes, self.width),
        }

    def deviations(self, task: Task) -> dict[str, float]:
        """Name -> 1 / sqrt(fan_in), with which each matrix is drawn (the authors' code); W_E has an input for each token."""
        fan_in = {name: cols for name, (_, cols) in self.shapes(task).items()} | {"W_E": task.tokens}
        return {name: inputs**-0.5 for name, inputs in fan_in.items()}

    def matrices(self, buffer: Tensor, task: Task) -> Weights:
        """The weight matrices in a buffer [R, n or more], as `forward` and `backward` take them."""
        return cut(buffer, self.shapes(task))

    def lookup(self, inputs: Tensor, task: Task) -> Lookup:
        """What `forward` needs of inputs [R, B, 2]."""
        return Lookup(inputs, task.tokens)

    def forward(self, weights: Weights, lookup: Lookup) -> tuple[Tensor, tuple]:
        """Logits [R, B, p], and what `backward` needs."""
        W = weights
        table = product(W["W_E"], W["W_in"].mT)  # [R, tokens, h]
        layers = [lookup.gather(table).clamp_(min=0)]  # [R, B, h]
        for i in range(1, self.hidden_layers):
            layers.append(product(layers[-1], W[f"W_h{i}"].mT).clamp_(min=0))
        unembedding = product(W["W_U"], W["W_out"])  # [R, p, h]
        return product(layers[-1], unembedding.mT), (layers, unembedding)

    def backward(self, weights: Weights, gradients: Weights, lookup: Lookup, saved: tuple, dlogits: Tensor) -> None:
        """Writes the gradient of every matrix into `gradients`, from dlogits [R, B, p]."""
        W, G = weights, gradients
        layers, unembedding = saved
        dunembedding = product(dlogits.mT, layers[-1])  # [R, p, h]
        product(W["W_U"].mT, dunembedding, out=G["W_out"])
        product(dunembedding, W["W_out"].mT, out=G["W_U"])
        dlayer = relu_gradient(product(dlogits, unembedding), layers[-1])  # [R, B, h], before the ReLU
        for i in range(self.hidden_layers - 1, 0, -1):
            product(dlayer.mT, layers[i - 1], out=G[f"W_h{i}"])
            dlayer = relu_gradient(product(dlayer, W[f"W_h{i}"]), layers[i - 1])
        dtable = lookup.scatter(dlayer)  # [R, p, h]
        product(dtable.mT, W["W_E"], out=G["W_in"])
        product(dtable, W["W_in"], out=G["W_E"])

    def flow(self, weights: Weights) -> Tensor:
        """Sum over all paths from tokens to logits of the products of their weights [R]."""
        W = weights
        x = W["W_in"] @ W["W_E"].sum(1)[..., None]
        for i in range(1, self.hidden_layers):
            x = W[f"W_h{i}"] @ x
        return (W["W_U"] @ (W["W_out"] @ x)).sum((1, 2))


@dataclass(frozen=True)
class TokenLookup:
    """What the transformer needs of its inputs, see `Transformer.lookup`."""

    residual: Lookup  # rows of the residual table that a sample adds up: its last token, then every (head, position)
    scores: Tensor  # [R, H, L * B] places in the score table
    pairs: Tensor  # [R * B * H * (L - 1) * 2] rows of the residual table in pairs: an earlier token, the last one
    pair_starts: Tensor  # where each pair begins
    signs: Tensor  # +1, -1 for each of these pairs

    def contrast(self, samples: Tensor, table: Tensor) -> Tensor:
        """<sample, row of an attended token - row of the last token> for each head and earlier position.

        samples [R, B, k], table [R, rows, k] -> [R, H, L - 1, B].
        """
        differences = bag_sums(table.flatten(0, 1), self.pairs, self.pair_starts, self.signs.to(table))
        out = differences.view(*samples.shape[:2], -1, samples.shape[-1]).mul_(samples[:, :, None]).sum(-1)
        return out.mT.unflatten(1, (self.scores.shape[1], -1))


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """One layer, causal attention, no layer norm; logits from the last position (section A.2).

    width: d_model; heads: each `head_width` wide (App. E: 4 heads of 32); positions: add W_pos; biases: b_in, b_out.
    """

    runs_at_once: ClassVar[int] = 4

    width: int = 128
    heads: int = 1
    head_width: int = 128
    hidden: int = 128
    positions: bool = False
    biases: bool = False

    def shapes(self, task: Task) -> dict[str, tuple[int, int]]:
        """Name -> (rows, cols) of each weight matrix; W_Q, W_K and W_V hold the heads one below the other."""
        attention = self.heads * self.head_width
        return {
            "W_E": (task.tokens, self.width),
            **({"W_pos": (task.length, self.width)} if self.positions else {}),
            "W_Q": (attention, self.width),
            "W_K": (attention, self.width),
            "W_V": (attention, self.width),
            "W_O": (self.width, attention),
            "W_in": (self.hidden, self.width),
            **({"b_in": (1, self.hidden)} if self.biases else {}),
            "W_out": (self.width, self.hidden),
            **({"b_out": (1, self.width)} if self.biases else {}),
            "W_U": (task.classes, self.width),
        }

    def deviations(self, task: Task) -> dict[str, float]:
        """Name -> standard deviation: 1 / sqrt(p) of W_E, 0 of biases, 1 / sqrt(d_model) of all others (the authors' code)."""
        own = {"W_E": task.tokens**-0.5, "b_in": 0.0, "b_out": 0.0}
        return {name: own.get(name, self.width**-0.5) for name in self.shapes(task)}

    def matrices(self, buffer: Tensor, task: Task) -> Weights:
        """The weight matrices in a buffer [R, n or more], and W_Q, W_K and W_V together as W_QKV: one product, not three."""
        shapes = self.shapes(task)
        joined: dict[str, tuple[int, int]] = {}
        for name, (rows, cols) in shapes.items():
            name = "W_QKV" if name in ("W_Q", "W_K", "W_V") else name
            joined[name] = joined.get(name, (0, cols))[0] + rows, cols
        return cut(buffer, shapes) | cut(buffer, joined)

    def lookup(self, inputs: Tensor, task: Task) -> TokenLookup:
        """What `forward` needs of inputs [R, B, L].

        A token at a position is one row of the residual table; without positions all positions share the rows.
        The table has those V rows first, and then V rows for each head: what attending to the token adds.
        """
        R, B, L = inputs.shape
        places = inputs + task.tokens * torch.arange(L, device=inputs.device) if self.positions else inputs
        V = task.tokens * (L if self.positions else 1)
        head = torch.arange(self.heads, device=inputs.device)
        terms = (V * (1 + head)[:, None] + places[:, :, None, :]).flatten(2)  # [R, B, H * L]
        table_rows = V * (1 + self.heads)
        residual = Lookup(torch.cat([places[:, :, -1:], terms], 2), table_rows)
        scores = (inputs[:, :, -1:] * V + places).mT  # [R, L, B]: a row for each last token, a column for each key
        scores = scores.reshape(R, 1, L * B).expand(R, self.heads, L * B).contiguous()
        attended = residual.flat.view(-1, residual.terms)[:, 1:].reshape(-1, self.heads, L)
        pairs = torch.stack([attended[:, :, :-1], attended[:, :, -1:].expand(-1, -1, L - 1)], -1).flatten()
        pair_starts = torch.arange(0, len(pairs), 2, device=inputs.device)
        signs = torch.tensor([1.0, -1.0], device=inputs.device).repeat(len(pair_starts))
        return TokenLookup(residual, scores, pairs, pair_starts, signs)

    def split(self, x: Tensor) -> Tensor:
        """[R, n, H * k] -> [R * H, n, k]: heads side by side become a batch."""
        if self.heads == 1:
            return x
        return x.unflatten(2, (self.heads, self.head_width)).transpose(1, 2).flatten(0, 1)

    def merge(self, x: Tensor) -> Tensor:
        """[R * H, n, k] -> [R, n, H * k]: undoes `split`."""
        if self.heads == 1:
            return x
        return x.unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)

    def forward(self, weights: Weights, lookup: TokenLookup) -> tuple[Tensor, tuple]:
        """Logits [R, B, p], and what `backward` needs."""
        W, H, k, B = weights, self.heads, self.head_width, lookup.residual.samples
        E = W["W_E"]  # [R, V, d], a row for each token (at each position)
        R, p, _ = E.shape
        if self.positions:
            E = (W["W_pos"][:, :, None] + E[:, None]).flatten(1, 2)
        V = E.shape[1]
        query, key, value = (self.split(x) for x in product(E, W["W_QKV"].mT).chunk(3, 2))  # [R * H, V, k]
        query = query[:, V - p :]
        moved = product(value, self.split(W["W_O"]).mT).view(R, H * V, -1)  # what attending to a token adds
        scores = product(query, key.mT).view(R, H, p * V).gather(2, lookup.scores) / k**0.5
        # Softmax over L, written out: PyTorch's own, along any but the last dimension, rounds a sample differently
        # according to where in the stack it lies and how many threads there are.
        scores = scores.view(R, H, -1, B)
        attention = (scores - scores.amax(2, keepdim=True)).exp_()
        attention.div_(attention.sum(2, keepdim=True))  # [R, H, L, B]
        # The residual stream after attention as a sum of table rows: the last token's own, and the attended ones.
        mix = torch.cat([attention.new_ones(R, B, 1), attention.flatten(1, 2).mT], 2)  # [R, B, 1 + H * L]
        rows = torch.cat([E, moved], 1)  # [R, V * (1 + H), d]
        to_hidden, to_logits = product(rows, W["W_in"].mT), product(rows, W["W_U"].mT)
        if self.biases:
            to_hidden[:, :V] += W["b_in"]
            to_logits[:, :V] += product(W["b_out"], W["W_U"].mT)
        hidden = lookup.residual.gather(to_hidden, mix).clamp_(min=0)  # [R, B, h]
        unembedding = product(W["W_U"], W["W_out"])  # [R, p, h]
        logits = add_product(lookup.residual.gather(to_logits, mix), hidden, unembedding.mT)
        return logits, (E, query, key, value, attention, mix, rows, to_hidden, to_logits, hidden, unembedding)

    def backward(
        self, weights: Weights, gradients: Weights, lookup: TokenLookup, saved: tuple, dlogits: Tensor
    ) -> None:
        """Writes the gradient of every matrix into `gradients`, from dlogits [R, B, p]."""
        W, G, H, k = weights, gradients, self.heads, self.head_width
        E, query, key, value, attention, mix, rows, to_hidden, to_logits, hidden, unembedding = saved
        R, V, d = E.shape
        p = W["W_E"].shape[1]
        dunembedding = product(dlogits.mT, hidden)  # [R, p, h]
        product(W["W_U"].mT, dunembedding, out=G["W_out"])
        dhidden = relu_gradient(product(dlogits, unembedding), hidden)  # [R, B, h], before the ReLU

        mix = lookup.residual.sort_weights(mix)
        dto_hidden, dto_logits = lookup.residual.scatter(dhidden, mix), lookup.residual.scatter(dlogits, mix)
        product(dto_hidden.mT, rows, out=G["W_in"])
        add_product(product(dto_logits.mT, rows, out=G["W_U"]), dunembedding, W["W_out"].mT)
        if self.biases:
            G["b_in"].copy_(dhidden.sum(1, keepdim=True))
            total = dlogits.sum(1, keepdim=True)  # [R, 1, p]
            product(total, W["W_U"], out=G["b_out"])
            add_product(G["W_U"], total.mT, W["b_out"])
        drows = add_product(product(dto_hidden, W["W_in"]), dto_logits, W["W_U"])  # [R, V * (1 + H), d]

        # The softmax's gradient does not change when one number is taken from all of a head's: that of the last token,
        # which leaves the last position a gradient of zero here.
        dattention = lookup.contrast(dhidden, to_hidden) + lookup.contrast(dlogits, to_logits)  # [R, H, L - 1, B]
        pulled = attention[:, :, :-1] * dattention
        dscores = torch.cat([pulled, pulled.new_zeros(R, H, 1, pulled.shape[-1])], 2)
        dscores = (dscores - attention * pulled.sum(2, keepdim=True)) / k**0.5  # [R, H, L, B]
        dtable = E.new_zeros(R, H, p * V).scatter_add_(2, lookup.scores, dscores.flatten(2)).view(R * H, p, V)
        dquery, dkey = product(dtable, key), product(dtable.mT, query)  # [R * H, tokens, k]

        dmoved = drows[:, V:].reshape(R * H, V, d)
        G["W_O"].copy_(self.merge(product(dmoved.mT, value)))
        dvalue = product(dmoved, self.split(W["W_O"]))  # [R * H, V, k]
        dquery = pad(dquery, (0, 0, V - p, 0))  # only tokens at the last position ask
        dqkv = torch.cat([self.merge(x) for x in (dquery, dkey, dvalue)], 2)  # [R, V, 3 * H * k]
        product(dqkv.mT, E, out=G["W_QKV"])
        dE = add_product(drows[:, :V], dqkv, W["W_QKV"])
        if self.positions:
            dE = dE.unflatten(1, (-1, p))  # [R, L, p, d]
            G["W_pos"].copy_(dE.sum(2))
            dE = dE.sum(1)
        G["W_E"].copy_(dE)

    def flow(self, weights: Weights) -> Tensor:
        """Sum over all paths from tokens to logits of the products of their weights [R].

        Attention spreads its weight evenly over the positions, so that no path leads through W_Q and W_K. Biases and
        positions are inputs of their own.
        """
        W = weights
        tokens = W["W_E"].sum(1)[..., None]  # [R, d, 1]
        last = tokens + (W["W_pos"][:, -1:].mT if self.positions else 0)
        attended = tokens + (W["W_pos"].mean(1)[..., None] if self.positions else 0)
        x = last + W["W_O"] @ (W["W_V"] @ attended)
        hidden = W["W_in"] @ x + (W["b_in"].mT if self.biases else 0)
        return (W["W_U"] @ (x + W["W_out"] @ hidden + (W["b_out"].mT if self.biases else 0))).sum((1, 2))


@dataclass(frozen=True, kw_only=True)
class AnswerTransformer(Transformer):
    """The transformer on pairs that a constant token "=" follows, at which it answers (Nanda et al. 2023).

    As that token is the same in every sample, so are the residual vector x that it starts from, its query and its key. Each
    score is then one of a token at a position; and since attention adds up to 1, what a head adds is what it adds when it attends
    to "=" alone, which is part of x, and attention times the difference that a token makes to it: two table rows a head.
    The table has p rows for the first position and p for the second, for each head. Where samples are more than its rows, the
    products with W_in and W_U are taken of the rows and not of the samples (`pushed`).
    """

    runs_at_once: ClassVar[int] = 1

    heads: int = 4
    head_width: int = 32
    hidden: int = 512
    positions: bool = True
    biases: bool = True

    def __post_init__(self) -> None:
        if not (self.positions and self.biases):
            raise ValueError(f"positions, biases are {self.positions}, {self.biases}; an AnswerTransformer has both")

    def deviations(self, task: Task) -> dict[str, float]:
        """Name -> standard deviation: 1 / sqrt(tokens) of W_U, 0 of biases, 1 / sqrt(d_model) of all others (Nanda's code)."""
        own = {"W_U": task.tokens**-0.5, "b_in": 0.0, "b_out": 0.0}
        return {name: own.get(name, self.width**-0.5) for name in self.shapes(task)}

    def lookup(self, inputs: Tensor, task: Task) -> Lookup:  # type: ignore[override]
        """What `forward` needs of inputs [R, B, 3], whose last token is the same throughout."""
        p = task.tokens - 1
        first = 2 * p * torch.arange(self.heads, device=inputs.device)[:, None]  # of each head
        rows = first + inputs[:, :, None, :2] + p * torch.arange(2, device=inputs.device)  # [R, B, H, 2]
        return Lookup(rows.flatten(2), 2 * p * self.heads)

    def forward(self, weights: Weights, lookup: Lookup) -> tuple[Tensor, tuple]:  # type: ignore[override]
        """Logits [R, B, p], and what `backward` needs."""
        W, H, k = weights, self.heads, self.head_width
        p = W["W_E"].shape[1] - 1
        first, second, answer = W["W_pos"].split(1, 1)
        E = torch.cat([W["W_E"][:, :p] + first, W["W_E"][:, :p] + second, W["W_E"][:, p:] + answer], 1)
        R, V, d = E.shape  # V = 2 p + 1
        query = self.split(product(E[:, -1:], W["W_QKV"][:, : H * k].mT))  # [R * H, 1, k]
        key, value = (self.split(x) for x in product(E, W["W_QKV"][:, H * k :].mT).chunk(2, 2))  # [R * H, V, k]
        scores = ((key * query).sum(2) / k**0.5).view(R, H, V)
        of_tokens, of_answer = scores[:, :, :-1].flatten(1), scores[:, None, :, -1:]  # [R, H * 2 p], [R, 1, H, 1]
        of_tokens = of_tokens.flatten().index_select(0, lookup.flat).view(R, lookup.samples, H, 2)
        top = of_tokens.amax(3, keepdim=True).maximum(of_answer)
        attention, rest = (of_tokens - top).exp_(), (of_answer - top).exp_()
        attention = attention.div_(attention[..., :1] + attention[..., 1:] + rest).flatten(2)  # [R, B, 2 H]
        moved = product(value, self.split(W["W_O"]).mT).view(R, H, V, d)  # what attending to a token adds
        x = E[:, -1:].clone()
        for head in range(H):
            x += moved[:, head, -1:]
        # The differences that tokens make, and below them the constant part.
        rows = torch.cat([(moved[:, :, :-1] - moved[:, :, -1:]).flatten(1, 2), x], 1)  # [R, 2 p H + 1, d]
        if self.pushed(lookup):
            residual, with_bias = rows, torch.cat([rows[:, :-1], x + W["b_out"]], 1)
            to_hidden, to_logits = tables = [product(residual, W["W_in"].mT), product(with_bias, W["W_U"].mT)]
            hidden = lookup.gather(to_hidden[:, :-1], attention).add_(to_hidden[:, -1:] + W["b_in"])
            logits = lookup.gather(to_logits[:, :-1], attention).add_(to_logits[:, -1:])
        else:
            tables, residual = [rows], lookup.gather(rows[:, :-1], attention).add_(x)  # [R, B, d]
            with_bias = residual + W["b_out"]
            hidden, logits = product(residual, W["W_in"].mT).add_(W["b_in"]), product(with_bias, W["W_U"].mT)
        hidden = hidden.clamp_(min=0)  # [R, B, h]
        unembedding = product(W["W_U"], W["W_out"])  # [R, p, h]
        logits = add_product(logits, hidden, unembedding.mT)
        return logits, (E, query, key, value, attention, tables, residual, with_bias, hidden, unembedding)

    def pushed(self, lookup: Lookup) -> bool:
        """Whether table rows, rather than samples, are what W_in and W_U multiply."""
        return lookup.samples > lookup.table_rows

    def backward(  # type: ignore[override]
        self, weights: Weights, gradients: Weights, lookup: Lookup, saved: tuple, dlogits: Tensor
    ) -> None:
        """Writes the gradient of every matrix into `gradients`, from dlogits [R, B, p]."""
        W, G, H, k = weights, gradients, self.heads, self.head_width
        E, query, key, value, attention, tables, residual, with_bias, hidden, unembedding = saved
        R, V, _ = E.shape
        p = V // 2
        dunembedding = product(dlogits.mT, hidden)  # [R, p, h]
        product(W["W_U"].mT, dunembedding, out=G["W_out"])
        dhidden = relu_gradient(product(dlogits, unembedding), hidden)  # [R, B, h], before the ReLU

        sorted_attention = lookup.sort_weights(attention)
        total = dlogits.sum(1, keepdim=True)  # [R, 1, p]
        G["b_in"].copy_(dhidden.sum(1, keepdim=True))
        product(total, W["W_U"], out=G["b_out"])
        if self.pushed(lookup):
            dto_hidden = torch.cat([lookup.scatter(dhidden, sorted_attention), G["b_in"]], 1)  # [R, 2 p H + 1, h]
            dto_logits = torch.cat([lookup.scatter(dlogits, sorted_attention), total], 1)
            drows = add_product(product(dto_hidden, W["W_in"]), dto_logits, W["W_U"])  # [R, 2 p H + 1, d]
            to_hidden, to_logits = (table[:, :-1] for table in tables)
            worth = lookup.dots(dhidden, to_hidden).add_(lookup.dots(dlogits, to_logits))  # [R, B, 2 H]
        else:
            dto_hidden, dto_logits = dhidden, dlogits
            dresidual = add_product(product(dhidden, W["W_in"]), dlogits, W["W_U"])  # [R, B, d]
            drows = torch.cat([lookup.scatter(dresidual, sorted_attention), dresidual.sum(1, keepdim=True)], 1)
            worth = lookup.dots(dresidual, tables[0][:, :-1])
        product(dto_hidden.mT, residual, out=G["W_in"])
        add_product(product(dto_logits.mT, with_bias, out=G["W_U"]), dunembedding, W["W_out"].mT)

        # The softmax's gradient: attention times what attending to a token is worth, less the mean of that over the sample;
        # "=" itself is worth 0, as differences are from it.
        pulls = attention * worth
        pulls -= attention * pulls.unflatten(2, (H, 2)).sum(3).repeat_interleave(2, 2)
        pulls = lookup.sort_weights(pulls)[:, None]
        dscores = bag_sums(pulls, torch.arange(len(pulls), device=pulls.device), lookup.starts, None)
        dscores = dscores.view(R, H, V - 1) / k**0.5
        dscores = torch.cat([dscores, -dscores.sum(2, keepdim=True)], 2).view(R * H, V, 1)

        dx = drows[:, -1:]
        dmoved = drows[:, :-1].unflatten(1, (H, V - 1))
        dmoved = torch.cat([dmoved, dx[:, None] - dmoved.sum(2, keepdim=True)], 2).flatten(0, 1)  # [R * H, V, d]
        G["W_O"].copy_(self.merge(product(dmoved.mT, value)))
        dvalue = product(dmoved, self.split(W["W_O"]))  # [R * H, V, k]
        dquery, dkey = (dscores * key).sum(1, keepdim=True), dscores * query
        dquery = self.merge(dquery)  # [R, 1, H * k]
        dkv = torch.cat([self.merge(dkey), self.merge(dvalue)], 2)  # [R, V, 2 * H * k]
        G["W_QKV"][:, : H * k] = dquery.mT * E[:, -1:]
        G["W_QKV"][:, H * k :] = product(dkv.mT, E)
        dE = product(dkv, W["W_QKV"][:, H * k :])  # [R, V, d]
        dE[:, -1:] += dx + product(dquery, W["W_QKV"][:, : H * k])
        G["W_pos"].copy_(torch.stack([dE[:, :p].sum(1), dE[:, p : 2 * p].sum(1), dE[:, -1]], 1))
        G["W_E"].copy_(torch.cat([dE[:, :p] + dE[:, p : 2 * p], dE[:, -1:]], 1))


@dataclass(frozen=True, kw_only=True)
class ImageMLP:
    """h = ReLU(... ReLU(x W_1) W_2 ...); outputs = h W_last, for images x of pixels in [0, 1] (App. A.1; no biases).

    Weights are stored as they stand in the equations, a row for each input: W_1 has one for each pixel.
    hidden_layers: 2 in the authors' code, so three matrices. weight_scale: initial weights are N(0, scale^2 / fan_in).
    """

    runs_at_once: ClassVar[int] = 1

    width: int = 200
    hidden_layers: int = 2
    weight_scale: float = 8.0

    def shapes(self, task: Task) -> dict[str, tuple[int, int]]:
        """Name -> (rows, cols) of each weight matrix."""
        widths = [task.tokens, *[self.width] * self.hidden_layers, task.classes]
        return {f"W_{i}": shape for i, shape in enumerate(pairwise(widths), 1)}

    def deviations(self, task: Task) -> dict[str, float]:
        """Name -> weight_scale / sqrt(fan_in), with which each matrix is drawn (the authors' code)."""
        return {name: self.weight_scale * rows**-0.5 for name, (rows, _) in self.shapes(task).items()}

    def matrices(self, buffer: Tensor, task: Task) -> Weights:
        """The weight matrices in a buffer [R, n or more], as `forward` and `backward` take them."""
        return cut(buffer, self.shapes(task))

    def lookup(self, inputs: Tensor, task: Task) -> Pixels:
        """What `forward` needs of inputs [R, B, pixels]."""
        return Pixels(inputs)

    def forward(self, weights: Weights, lookup: Pixels) -> tuple[Tensor, list[Tensor]]:
        """Outputs [R, B, classes], and what `backward` needs: the hidden layers [R, B, width]."""
        first, *others = weights.values()
        layers = [lookup.gather(first).clamp_(min=0)]
        for W in others[:-1]:
            layers.append(product(layers[-1], W).clamp_(min=0))
        return product(layers[-1], others[-1]), layers

    def backward(
        self, weights: Weights, gradients: Weights, lookup: Pixels, saved: list[Tensor], dlogits: Tensor
    ) -> None:
        """Writes the gradient of every matrix into `gradients`, from dlogits [R, B, classes]."""
        W, G = list(weights.values()), list(gradients.values())
        dlayer = dlogits
        for i in range(self.hidden_layers, 0, -1):
            product(saved[i - 1].mT, dlayer, out=G[i])
            dlayer = relu_gradient(product(dlayer, W[i].mT), saved[i - 1])
        G[0].copy_(lookup.scatter(dlayer))

    def flow(self, weights: Weights) -> Tensor:
        """Sum over all paths from pixels to outputs of the products of their weights [R]."""
        first, *others = weights.values()
        x = first.sum(1, keepdim=True)  # [R, 1, width]
        for W in others:
            x = x @ W
        return x.sum((1, 2))
