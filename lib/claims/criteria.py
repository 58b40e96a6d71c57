"""When the criteria were settled: book/criteria.yml, with a fingerprint of every rule that shows if it was changed since."""

import hashlib
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from lib.claims.claims import Claim, ClaimsError, first_error
from lib.claims.statistics import Strict
from lib.files import ROOT

CRITERIA = ROOT / "book" / "criteria.yml"


class Settled(Strict):
    """A claim's rule: its fingerprint, and whether its first form was written before any run of it, or when runs existed.

    later: systems for which it was written when their runs existed, though for the claim's first system it was not.
    """

    fingerprint: str = Field(pattern="^[0-9a-f]{12}$")
    first_written: Literal["before its runs", "when runs of seeds 0 to 4 existed"]
    later: list[str] = []

    def written(self, system: str) -> str:
        """When the rule's first form was written for a system."""
        return "when runs of seeds 0 to 4 existed" if system in self.later else self.first_written


class Edition(Strict):
    """Criteria that were settled together: their tag and commit in the repository, when that was made (UTC), the runs that were
    known by then, and the rules."""

    tag: str
    commit: str = Field(pattern="^[0-9a-f]{40}$|^$")
    settled: datetime
    known: str
    claims: dict[str, Settled]


def fingerprint(claim: Claim) -> str:
    """A hash of all that decides a claim's verdict: criterion, measures with their arguments, rules, settings, variants."""
    text = claim.model_dump_json(include={"criterion", "judged", "parts"}, by_alias=True)
    plain = json.dumps(json.loads(text), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


@cache
def load_editions(path: str | Path = CRITERIA) -> tuple[Edition, ...]:
    """Reads and checks book/criteria.yml, in order of time. Raises ClaimsError: one sentence that names the file and the field."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return TypeAdapter(tuple[Edition, ...]).validate_python(found, strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ClaimsError(f"{path}: {first_error(error)}") from None


def edition_of(claim: Claim) -> Edition | None:
    """The edition that has a claim's rule as it stands; None where no edition has it, or another rule in its place."""
    for edition in load_editions():
        if claim.id in edition.claims and edition.claims[claim.id].fingerprint == fingerprint(claim):
            return edition
    return None
