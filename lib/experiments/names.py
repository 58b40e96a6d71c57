"""What kinds of nets, systems and operations are called in figures, tables and verdicts."""

LABELS = {
    "base": "base (dense)",
    "ticket": "ticket",
    "l2-matrices": "dense, ticket's L2",
    "l1-matrices": "dense, ticket's L1",
    "l2-all": "dense, ticket's L2 (all weights)",
    "l1-all": "dense, ticket's L1 (all weights)",
    "dense, no decay": "dense, no weight decay",
    "ticket, no decay": "ticket, no weight decay",
    "base, switched off": "base, decay switched off",
    "ticket, switched off": "ticket, decay switched off",
    "random": "random",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "synflow-100": "SynFlow, 100 rounds",
    "snip, trained": "SNIP, trained net",
    "grasp, trained": "GraSP, trained net",
    "synflow, trained": "SynFlow, trained net",
    "re-dense": "re-dense",
    "kill": "kill only, threshold",
    "revive": "revive, threshold",
    "reinitialized": "ticket's mask, new weights",
    "shuffled": "ticket's mask, shuffled",
    "rate": "rate",
    "epoch": "ticket of epoch",
}
SYSTEMS = {
    "mlp": "MLP",
    "transformer": "Transformer",
    "mlp-deep": "Deeper MLP",
    "transformer-4-heads": "Transformer, 4 heads",
    "mnist-mlp": "MNIST MLP",
    "mnist-mlp/of-best": "MNIST MLP, 0.95 of the base's best",
    "mnist-mlp/digits": "MLP on 8×8 digits, not MNIST",
    "mnist-mlp/four-matrices": "MNIST MLP, four matrices",
    "nanda-transformer": "Transformer of Nanda et al.",
}


def name(kind: str) -> str:
    """A kind of net in words."""
    word, _, number = kind.partition(" ")
    return LABELS.get(kind) or f"{LABELS[word]} {float(number):,g}"


def system(key: str) -> str:
    """A system in words: "mlp/a-b" is "MLP, a-b", "mlp/snip" is "MLP, SNIP", and "mlp/0.2" is "MLP, threshold 0.2"."""
    if key in SYSTEMS:
        return SYSTEMS[key]
    model, _, part = key.partition("/")
    part = f"threshold {part}" if part[:1].isdigit() else LABELS.get(part) or operation(part)
    return SYSTEMS.get(model, model) + (f", {part}" if part else "")


def operation(key: str) -> str:
    """An operation as it is written: "a^2+ab+b^2" is "a² + ab + b²"; other text stays."""
    for sign, written in {"^2": "²", "+": " + ", "-b": " − b", "a*b": "ab"}.items():
        key = key.replace(sign, written)
    return key
