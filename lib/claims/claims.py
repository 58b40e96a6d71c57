"""book/claims.yml: the claims, the settings on which each is judged, and the measures and rules that judge it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from lib.claims.measures import MEASURES
from lib.claims.statistics import Rule, Strict
from lib.experiments.settings import SETTINGS
from lib.files import ROOT

CLAIMS = ROOT / "book" / "claims.yml"

Text = Annotated[str, Field(min_length=1)]


class ClaimsError(ValueError):
    """The claims file, the verdicts file or the records do not fit; the message says where."""


class Entry(Strict):
    """What claims and questions have in common."""

    title: Text
    source: Text
    chapter: Text

    @field_validator("title")
    @classmethod
    def _is_short(cls, title: str) -> str:
        if len(title.split()) > 8:
            raise ValueError("has more than eight words")
        return title


class Part(Strict):
    """A measure with its arguments, and the rule that judges it. In the file: `- {speed_up: {faster: re-dense}, rule: ...}`.

    vary: other values of arguments at which the chapter shows the outcome too: name -> values. No measure: not yet judged.
    """

    measure: str | None = None
    arguments: dict[str, Any] = {}
    vary: dict[str, list[float]] = {}
    rule: Rule

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, part: Any) -> Any:
        if not isinstance(part, Mapping):
            return part
        named = [key for key in part if key not in ("vary", "rule")]
        if len(named) > 1 or any(name not in MEASURES for name in named):
            raise ValueError(f"needs one measure of lib/claims/measures.py, not {', '.join(named)}")
        rest = {key: part[key] for key in ("vary", "rule") if key in part}
        return rest | ({"measure": named[0], "arguments": part[named[0]]} if named else {})


class Judged(Strict):
    """Records that a claim is judged on: a setting, or a variant of the judgement on the same records, which differs in
    arguments (`with`: of every part, or a list of one entry for each); words: what readers see of the variant; chapter: the
    one whose records it is, where that is not the claim's."""

    setting: str
    variant: str = ""
    words: str = ""
    chapter: str = ""
    changed: dict[str, Any] | list[dict[str, Any]] = Field(default={}, alias="with")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, judged: Any) -> Any:
        return {"setting": judged} if isinstance(judged, str) else judged

    @field_validator("setting")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in SETTINGS:
            raise ValueError(f"there is no setting {name!r}; the settings are {', '.join(SETTINGS)}")
        return name

    @property
    def system(self) -> str:
        """What results/verdicts.json calls it: the setting, and the variant after a slash."""
        return f"{self.setting}/{self.variant}" if self.variant else self.setting

    @property
    def label(self) -> str:
        """The same in words."""
        return ", ".join(filter(None, [SETTINGS[self.setting].label, self.words or self.variant]))


class Claim(Entry):
    """A claim and the criterion it is judged by: replicated if all parts are, refuted if one is.

    paper: the number that the paper itself gives, and where; mind: what the criterion does not test. They decide nothing.
    """

    id: str = Field(pattern=r"^C\d\d$")
    judged: list[Judged] = Field(min_length=1)
    claim: Text
    measure: Text
    criterion: Text
    paper: Text | None = None
    mind: Text | None = None
    parts: list[Part] = []

    @field_validator("paper")
    @classmethod
    def _is_a_number(cls, paper: str | None) -> str | None:
        if paper is not None and not re.match(r"[^:]+: .*\d", paper):
            raise ValueError("needs a place and a number, as in 'App. C: 25,000 epochs'")
        return paper

    @model_validator(mode="after")
    def _is_unambiguous(self) -> "Claim":
        systems = [judged.system for judged in self.judged]
        for judged in self.judged:
            if systems.count(judged.system) > 1 or (judged.variant and judged.system in SETTINGS):
                raise ValueError(f"field 'judged': {judged.system} names two things")
            if isinstance(judged.changed, list) and len(judged.changed) != len(self.parts):
                raise ValueError(
                    f"field 'judged': {judged.system} changes {len(judged.changed)} of {len(self.parts)} parts"
                )
        return self

    @property
    def is_measured(self) -> bool:
        """Whether there is something to judge it by."""
        return bool(self.parts) and all(part.measure for part in self.parts)


class Question(Entry):
    """A question without a reference answer. partly: a chapter that takes up a part of it, where its own is not written yet."""

    id: str = Field(pattern=r"^Q\d\d$")
    question: Text
    partly: str = ""


def load_claims(path: str | Path = CLAIMS) -> list[Claim | Question]:
    """Reads and checks book/claims.yml. Raises ClaimsError: one sentence that names the file, the claim and the field."""
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(entries, list) or not entries:
        raise ClaimsError(f"{path} must be a list of claims, one '- id: ...' each")
    claims: dict[str, Claim | Question] = {}
    for place, entry in enumerate(entries, start=1):
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise ClaimsError(f"{path}: entry {place} has no field 'id' with a text such as C01")
        if name in claims:
            raise ClaimsError(f"{path}: claim {name}, field 'id': two entries have it")
        try:
            claims[name] = (Question if name.startswith("Q") else Claim).model_validate(entry)
        except ValidationError as error:
            raise ClaimsError(f"{path}: claim {name}, {first_error(error)}") from None
    return list(claims.values())


def first_error(error: ValidationError) -> str:
    """The first thing wrong, in a sentence."""
    first = error.errors()[0]
    field = f"field '{'.'.join(map(str, first['loc']))}': " if first["loc"] else ""
    return field + first["msg"].removeprefix("Value error, ")
