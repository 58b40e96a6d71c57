"""Parameters: what a profile sets and a re-runner may change, checked before anything is trained."""

import ast
import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lib.files import ROOT

LOGITS = 51  # copies of a run's logits of all pairs that a stack of eight runs holds at its peak
RECORDED = "recorded"  # in place of seeds: those whose records are in results/
MEMORY = 8_000_000_000  # bytes that training may need
MOST_SEEDS = 1000  # a chapter with one takes minutes


class ParameterError(ValueError):
    """A parameter is unknown, of the wrong type or impossible; the message says which, and what would be right."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [str(self)]


class Parameters(BaseModel):
    """The parameters of every chapter. Files in params/ set all of them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    profile: Annotated[str, Field(description="the name of the set, shown on every figure", min_length=1)]
    seeds: Annotated[
        list[int] | Literal["recorded"],
        Field(description="one run of each arm for each seed, such as [0, 1, 2], or recorded: those in results/"),
    ]
    prime: Annotated[int, Field(description="the modulus p, a prime number", ge=7)]
    train_fraction: Annotated[float, Field(description="share of the pairs to train on, such as 0.4", gt=0, lt=1)]
    epochs: Annotated[int, Field(description="training steps of every run, such as 30000", ge=14, le=1_000_000)]
    ticket_epoch: Annotated[int, Field(description="epoch of the base whose magnitudes make the ticket's mask", ge=0)]
    pruning_rate: Annotated[
        float,
        Field(
            description="share of the weights that a ticket lacks, such as 0.6; with more than 0.99 whole layers are empty",
            ge=0,
            le=0.99,
        ),
    ]
    images: Annotated[str, Field(description="mnist, digits, or a local file or folder of MNIST")] = "mnist"
    device: Annotated[str, Field(description="cpu or cuda")] = "cpu"

    @property
    def is_paper(self) -> bool:
        """Whether this is the paper's scale: all values but seeds and device as in params/paper.yml."""
        return self.profile == "paper" and not self._changed()

    @property
    def label(self) -> str:
        """The profile's name, and what is not as it sets it: "paper", "paper, with prime = 11"."""
        changed = ", ".join(f"{name} = {value}" for name, value in self._changed().items())
        return f"{self.profile}, with {changed}" if changed else self.profile

    def _changed(self) -> dict[str, object]:
        try:
            of_profile = load(self.profile)
        except ParameterError:  # a profile of one's own
            return {}
        own = self.model_dump(exclude={"seeds", "device", "profile"})
        if own["images"] not in ("mnist", "digits"):
            own["images"] = "a file"
        return {name: value for name, value in own.items() if value != getattr(of_profile, name)}

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int] | str) -> list[int] | str:
        if isinstance(seeds, str):  # RECORDED
            return seeds
        if not 0 < len(seeds) <= MOST_SEEDS:
            raise ValueError(f"name at least one seed, and at most {MOST_SEEDS:,}")
        if len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
            raise ValueError("seeds must be different whole numbers from 0 to 4,294,967,295")
        return seeds

    @field_validator("prime")
    @classmethod
    def _is_prime(cls, prime: int) -> int:
        most = int((MEMORY / LOGITS / 4) ** (1 / 3))  # a logit of each of p classes for each of p^2 ordered pairs
        if prime > most:
            raise ValueError(f"it must be at most {most}, for a stack of runs to fit into 8 GB of memory")
        if any(prime % divisor == 0 for divisor in range(2, int(prime**0.5) + 1)):
            raise ValueError("must be a prime number, such as 67")
        return prime

    @field_validator("images")
    @classmethod
    def _can_be_looked_for(cls, images: str) -> str:
        # os.path takes any text for a name, where Path raises errors of several kinds.
        if images not in ("mnist", "digits") and not (images and os.path.exists(os.path.expanduser(images))):
            raise ValueError("there is no such file or folder; mnist and digits need none")
        return images

    @field_validator("device")
    @classmethod
    def _is_there(cls, device: str) -> str:
        if device not in ("cpu", "cuda"):
            raise ValueError("must be cpu or cuda")
        if device == "cuda":
            import torch  # here alone: it takes seconds, and most who check parameters do not train

            if not torch.cuda.is_available():
                raise ValueError("no GPU can be used here; take cpu")
        return device

    @model_validator(mode="after")
    def _leaves_pairs_to_train_on(self) -> "Parameters":
        fewest = (self.prime - 1) * (self.prime - 2) // 2  # 0 < b < a, the pairs of a task
        if int(self.train_fraction * fewest) == 0:
            raise ValueError(
                f"train_fraction is {self.train_fraction}; of the {fewest:,} pairs of a task with prime = {self.prime} it leaves "
                f"none to train on; it must be at least {math.ceil(1e4 / fewest) / 1e4:g} and below 1"
            )
        return self

    @model_validator(mode="after")
    def _ticket_within_budget(self) -> "Parameters":
        if self.ticket_epoch > self.epochs:
            raise ValueError(f"ticket_epoch is {self.ticket_epoch}; it must not lie beyond epochs, {self.epochs}")
        return self


# Where the follow-up differs from the paper: prime, train fraction and pruning rate of both.
FOLLOW_UP = {"prime": (67, 113), "train_fraction": (0.4, 0.3), "pruning_rate": (0.6, 0.4)}


def follow_up(parameters: Parameters) -> Parameters:
    """The parameters of the follow-up's runs: its own where they are the paper's, and else as they are."""
    own = {name: its for name, (papers, its) in FOLLOW_UP.items() if getattr(parameters, name) == papers}
    return parameters.model_copy(update=own)


def validate(values: Mapping[str, Any], where: str) -> Parameters:
    """The values as `Parameters`. Raises ParameterError with one sentence on the first thing wrong."""
    values = dict(values)
    fields = Parameters.model_fields
    unknown = sorted(set(values) - set(fields), key=str)
    if unknown:
        raise ParameterError(f"{where}: unknown parameter {unknown[0]}; the parameters are {', '.join(fields)}")
    for name, value in values.items():
        # papermill's -p hands over lists as text
        if isinstance(value, str) and fields[name].annotation is not str:
            with contextlib.suppress(yaml.YAMLError, ValueError):  # else it stays text, and is refused as such below
                values[name] = yaml.safe_load(value)
    if isinstance(values.get("seeds"), int):
        values["seeds"] = [values["seeds"]]
    try:
        return Parameters.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise ParameterError(f"{where}: {message}") from None
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise ParameterError(f"{where}: {name} is missing ({fields[name].description})") from None
        raise ParameterError(
            f"{where}: {name} is {_short(values[name])}; {message[0].lower()}{message[1:]} ({fields[name].description})"
        ) from None


def _short(value: object) -> str:
    """A value in a sentence."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:100]}..."


def load(profile: str, folder: Path = ROOT / "params") -> Parameters:
    """The parameters of params/<profile>.yml."""
    path = folder / f"{profile}.yml"
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yml")))
        raise ParameterError(f"there is no profile {profile!r} in params/; there are {known}") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path} must be a list of 'name: value' lines")
    return validate(values, str(path.name))


def check(namespace: Mapping[str, Any]) -> Parameters:
    """The parameters of a chapter, from the notebook's globals().

    What papermill injects is compared with the known names too: papermill itself only warns of a name that it does
    not know, and goes on without it.
    """
    injected: set[str] = set()
    for source in namespace.get("In", []):  # the cells run so far, where this is a notebook
        if source.startswith("# Parameters"):  # papermill's mark on the cell that it injects
            assigned = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assign))
            injected |= {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)}
    names = injected | (set(Parameters.model_fields) & set(namespace))
    return validate({name: namespace[name] for name in names}, "parameters")
