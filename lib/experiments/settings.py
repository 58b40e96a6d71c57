"""Settings: what the arms of a comparison share: task, model, optimizer and budget, given by their base run.

A setting's name is its first part alone ("mlp"), or says after a slash how it differs ("mlp/a-b": another operation).
"""

from collections.abc import Callable
from dataclasses import dataclass

from lib.experiments.parameters import Parameters, follow_up
from lib.train import images
from lib.train.models import MLP, AnswerTransformer, ImageMLP, Model, Transformer
from lib.train.optim import AdamW
from lib.train.runs import Run
from lib.train.tasks import ImageTask, ModularTask


@dataclass(frozen=True)
class Setting:
    """A name, a label, how the base run of a seed is made, and how many times the usual budget its runs have."""

    name: str
    label: str
    base: Callable[[int, Parameters], Run]
    longer: float = 1


def modular(
    name: str,
    label: str,
    model: Model,
    operation: str = "a+b",
    pairs: str = "unordered",
    longer: float = 1,
    rounding: int = 0,
) -> Setting:
    """A setting on a modular task; one seed draws weights and split."""

    def base(seed: int, parameters: Parameters) -> Run:
        task = ModularTask(
            operation=operation,
            prime=parameters.prime,
            pairs=pairs,
            train_fraction=parameters.train_fraction,
            seed=seed,
        )
        return Run(task=task, model=model, epochs=round(longer * parameters.epochs), seed=seed, rounding=rounding)

    return Setting(name, label, base, longer)


def three_tokens(name: str, label: str, model: AnswerTransformer) -> Setting:
    """A setting of the follow-up: ordered pairs and "=", learning rate warmed up over ten steps (Nanda et al. 2023)."""

    def base(seed: int, parameters: Parameters) -> Run:
        own = follow_up(parameters)
        task = ModularTask(
            prime=own.prime, pairs="ordered", train_fraction=own.train_fraction, equals_sign=True, seed=seed
        )
        return Run(task=task, model=model, optimizer=AdamW(warm_up=10), epochs=own.epochs, seed=seed)

    return Setting(name, label, base)


def image(name: str, label: str, model: ImageMLP, where: str | None = None) -> Setting:
    """A setting on images (App. A.1); where: as the parameter `images`, which holds unless told."""

    def base(seed: int, parameters: Parameters) -> Run:
        task = image_task(images.find(where or parameters.images), seed)
        optimizer = AdamW(weight_decay=0.1)
        return Run(task=task, model=model, optimizer=optimizer, epochs=parameters.epochs, seed=seed)

    return Setting(name, label, base)


def image_task(name: str, seed: int) -> ImageTask:
    """The task on a set of images: 1,000 of MNIST to train on, fewer of a smaller set."""
    if name == images.MNIST:
        return ImageTask(seed=seed)
    if name == images.DIGITS:
        return ImageTask(images=name, pixels=64, train_count=200, test_count=1597, seed=seed)
    count, pixels = images.load(name).images.shape  # a file of one's own
    return ImageTask(images=name, pixels=pixels, test_count=min(9000, max(count - 1000, 1)), seed=seed)


ROUNDINGS = (1, 2)  # replicas beside the runs themselves
LONGER = 10 / 3  # times 30,000 epochs: 100,000
MODELS: dict[str, tuple[str, Model]] = {"mlp": ("MLP", MLP()), "transformer": ("Transformer", Transformer())}
# App. F; the last two are the authors' code's, and App. F's random labels.
TASKS = {
    "a+b": ("a + b", "a+b", "unordered"),
    "a-b": ("a − b", "a-b", "descending"),
    "a*b": ("ab", "a*b", "unordered"),
    "a^2+b^2": ("a² + b²", "a^2+b^2", "unordered"),
    "a^2+ab+b^2": ("a² + ab + b²", "a^2+ab+b^2", "unordered"),
    "random-labels": ("random labels", "random", "unordered"),
}

SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        *(modular(name, label, model) for name, (label, model) in MODELS.items()),
        *(
            modular(f"{name}/{task}", f"{label}, {words}", model, operation, pairs)
            for name, (label, model) in MODELS.items()
            for task, (words, operation, pairs) in TASKS.items()
        ),
        *(
            modular(f"{name}/ordered", f"{label}, ordered pairs", model, pairs="ordered")
            for name, (label, model) in MODELS.items()
        ),
        modular("mlp-deep", "Deeper MLP", MLP(hidden_layers=2)),
        modular("transformer-4-heads", "Transformer, 4 heads", Transformer(heads=4, head_width=32)),
        # For networks that do not all generalize within 30,000 epochs.
        modular("mlp/long", "MLP, 100,000 epochs", MLP(), longer=LONGER),
        modular("mlp-deep/long", "Deeper MLP, 100,000 epochs", MLP(hidden_layers=2), longer=LONGER),
        modular(
            "transformer-4-heads/long",
            "Transformer, 4 heads, 100,000 epochs",
            Transformer(heads=4, head_width=32),
            longer=LONGER,
        ),
        modular(
            "transformer/a-b-long", "Transformer, a − b, 100,000 epochs", Transformer(), "a-b", "descending", LONGER
        ),
        modular("transformer/width-500", "Transformer, width 500", Transformer(width=500)),
        modular("transformer/positions", "Transformer, positions", Transformer(positions=True)),
        modular("transformer/biases", "Transformer, biases", Transformer(biases=True)),
        # The model as the paper's text has it, all at once.
        modular("transformer/text", "Transformer, as in the text", Transformer(width=500, positions=True, biases=True)),
        # The follow-up's, and two that are narrower.
        three_tokens("nanda-transformer", "Nanda's transformer", AnswerTransformer()),
        *(
            three_tokens(f"nanda-transformer/hidden-{h}", f"Nanda's, {h} hidden neurons", AnswerTransformer(hidden=h))
            for h in (128, 256)
        ),
        # Replicas that part from the setting by one unit in the last place of every initial weight.
        *(
            modular(f"{name}/rounding-{i}", f"{label}, rounding {i}", model, rounding=i)
            for name, (label, model) in MODELS.items()
            for i in ROUNDINGS
        ),
        image("mnist-mlp", "MNIST MLP", ImageMLP()),
        image("mnist-mlp/digits", "MLP on 8×8 digits, not MNIST", ImageMLP(), "digits"),
        image("mnist-mlp/four-matrices", "MNIST MLP, four matrices", ImageMLP(hidden_layers=3)),
    )
}
