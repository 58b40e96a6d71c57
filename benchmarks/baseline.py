"""The baseline of `make bench`: one run, sample by sample, as a plain PyTorch script would train it.

What the authors' code does, written anew: embedding lookup, every product over samples, masks multiplied in at every
forward pass, log-softmax in float64, test loss and weight norms every epoch, torch.optim.AdamW as it comes.
"""

import torch
from torch import Tensor, nn


def matrix(rows: int, cols: int, deviation: float) -> nn.Parameter:
    return nn.Parameter(deviation * torch.randn(rows, cols))


class Masked(nn.Module):
    """Weights with a mask each, of ones unless one is set."""

    def add(self, **matrices: nn.Parameter) -> None:
        for name, weight in matrices.items():
            self.register_parameter(name, weight)
            self.register_buffer("mask_" + name, torch.ones_like(weight))

    def masked(self, name: str) -> Tensor:
        return getattr(self, name) * getattr(self, "mask_" + name)


class EagerMLP(Masked):
    """The paper's MLP: ReLU(W_in (e_a + e_b)) and two more products, for a batch of pairs."""

    def __init__(self, prime: int = 67, width: int = 500, hidden: int = 48):
        super().__init__()
        self.add(
            W_E=matrix(width, prime, prime**-0.5),
            W_in=matrix(hidden, width, width**-0.5),
            W_out=matrix(width, hidden, hidden**-0.5),
            W_U=matrix(width, prime, width**-0.5),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        embedded = torch.einsum("dbl->bld", self.masked("W_E")[:, inputs]).sum(1)  # [B, d]
        hidden = torch.relu(torch.einsum("hd,bd->bh", self.masked("W_in"), embedded))
        out = torch.einsum("dh,bh->bd", self.masked("W_out"), hidden)
        return torch.einsum("dp,bd->bp", self.masked("W_U"), out)


class EagerTransformer(Masked):
    """One layer, one or more heads, causal attention; logits from the last position."""

    def __init__(self, prime: int = 67, width: int = 128, heads: int = 1, hidden: int = 128):
        super().__init__()
        self.heads = heads
        scale = width**-0.5
        self.add(W_E=matrix(width, prime, prime**-0.5))
        self.add(**{name: matrix(width, width, scale) for name in ("W_Q", "W_K", "W_V", "W_O")})
        self.add(W_in=matrix(hidden, width, scale), W_out=matrix(width, hidden, scale), W_U=matrix(width, prime, scale))
        self.register_buffer("causal", torch.ones(2, 2).tril())

    def attended(self, x: Tensor) -> Tensor:
        """What attention adds to the residual stream [B, L, d]."""
        query, key, value = (
            torch.einsum("ed,bld->ble", self.masked(name), x).unflatten(2, (self.heads, -1))
            for name in ("W_Q", "W_K", "W_V")
        )  # [B, L, H, k]
        scores = torch.einsum("bihk,bjhk->bhij", query, key) / key.shape[-1] ** 0.5
        scores = scores.masked_fill(self.causal == 0, -torch.inf)
        mixed = torch.einsum("bhij,bjhk->bihk", scores.softmax(-1), value).flatten(2)
        return torch.einsum("de,ble->bld", self.masked("W_O"), mixed)

    def forward(self, inputs: Tensor) -> Tensor:
        x = torch.einsum("dbl->bld", self.masked("W_E")[:, inputs])  # [B, L, d]
        x = x + self.attended(x)
        hidden = torch.relu(torch.einsum("hd,bld->blh", self.masked("W_in"), x))
        x = x + torch.einsum("dh,blh->bld", self.masked("W_out"), hidden)
        return torch.einsum("dp,bld->blp", self.masked("W_U"), x)[:, -1]


class EagerAnswerTransformer(EagerTransformer):
    """The transformer of Nanda et al.: a third, constant token, learned positions, biases; logits from the last position."""

    def __init__(self, prime: int = 113, width: int = 128, heads: int = 4, hidden: int = 512):
        super().__init__(prime + 1, width, heads, hidden)
        scale = width**-0.5
        self.add(W_E=matrix(width, prime + 1, scale), W_U=matrix(width, prime, (prime + 1) ** -0.5))
        self.add(W_pos=matrix(3, width, scale), b_in=matrix(1, hidden, 0.0), b_out=matrix(1, width, 0.0))
        self.register_buffer("causal", torch.ones(3, 3).tril())

    def forward(self, inputs: Tensor) -> Tensor:
        x = torch.einsum("dbl->bld", self.masked("W_E")[:, inputs]) + self.masked("W_pos")  # [B, L, d]
        x = x + self.attended(x)
        hidden = torch.relu(torch.einsum("hd,bld->blh", self.masked("W_in"), x) + self.masked("b_in"))
        x = x + torch.einsum("dh,blh->bld", self.masked("W_out"), hidden) + self.masked("b_out")
        return torch.einsum("dp,bld->blp", self.masked("W_U"), x)[:, -1]


class EagerImageMLP(Masked):
    """The MLP for images: ReLU after every product but the last."""

    def __init__(self, pixels: int = 784, width: int = 200, classes: int = 10, scale: float = 8.0):
        super().__init__()
        self.add(
            W_1=matrix(width, pixels, scale * pixels**-0.5),
            W_2=matrix(width, width, scale * width**-0.5),
            W_3=matrix(classes, width, scale * width**-0.5),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(inputs @ self.masked("W_1").T)
        hidden = torch.relu(hidden @ self.masked("W_2").T)
        return hidden @ self.masked("W_3").T


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error to the one-hot labels, over samples and classes."""
    return nn.functional.mse_loss(outputs, nn.functional.one_hot(labels, outputs.shape[1]).float())


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy with the log-softmax in float64."""
    return -logits.double().log_softmax(-1).gather(1, labels[:, None]).mean()


class Baseline:
    """One run of it; `epoch()` trains for one epoch and returns what a script would log.

    logs: whether it does so every epoch. On images that would take ten times as long as training: there it does not.
    """

    def __init__(self, model: Masked, data, logs: bool = True):
        self.model, self.logs = model, logs
        self.loss = cross_entropy if data.inputs.dtype == int else squared_error
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
        inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
        self.train = inputs[data.train], labels[data.train]
        self.test = inputs[data.test], labels[data.test]

    def epoch(self) -> dict[str, float] | None:
        """One full-batch step, then test loss and accuracy and the norms."""
        inputs, labels = self.train
        loss = self.loss(self.model(inputs), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if not self.logs:
            return None
        with torch.no_grad():
            inputs, labels = self.test
            logits = self.model(inputs)
            weights = list(self.model.parameters())
            return {
                "train_loss": loss.item(),
                "test_loss": self.loss(logits, labels).item(),
                "test_accuracy": (logits.argmax(1) == labels).float().mean().item(),
                "l1": sum(w.abs().sum() for w in weights).item() / len(weights),
                "l2": sum(w.norm() for w in weights).item() / len(weights),
            }
