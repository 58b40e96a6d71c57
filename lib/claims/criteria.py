"""When the criteria were settled: book/criteria.yml, with a fingerprint of every rule that shows if it was changed since."""

import hashlib
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from lib.claims.claims import Claim, ClaimsError, Question, first_error
from lib.claims.statistics import Strict
from lib.files import ROOT

CRITERIA = ROOT / "book" / "criteria.yml"


class Settled(Strict):
    """A claim's rule: its fingerprint, and whether its first form was written before any run of it, or when runs existed."""

    fingerprint: str = Field(pattern="^[0-9a-f]{12}$")
    first_written: Literal["before its runs", "when runs of seeds 0 to 4 existed"]


class Edition(Strict):
    """An edition of the criteria: its tag and commit in the repository, when that was made (UTC), and the rules of it."""

    tag: str
    commit: str = Field(pattern="^[0-9a-f]{40}$|^$")
    settled: datetime
    claims: dict[str, Settled]


def fingerprint(claim: Claim) -> str:
    """A hash of all that decides a claim's verdict: criterion, measures with their arguments, rules, settings, variants."""
    text = claim.model_dump_json(include={"criterion", "judged", "parts"}, by_alias=True)
    plain = json.dumps(json.loads(text), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


@cache
def load_edition(path: str | Path = CRITERIA) -> Edition:
    """Reads and checks book/criteria.yml. Raises ClaimsError: one sentence that names the file and the field."""
    try:
        return Edition.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")), strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ClaimsError(f"{path}: {first_error(error)}") from None


def changed(entries: list[Claim | Question], edition: Edition) -> list[str]:
    """The claims of an edition whose rules are not those that were settled."""
    claims = {entry.id: entry for entry in entries if isinstance(entry, Claim)}
    return [
        name
        for name, settled in edition.claims.items()
        if name not in claims or fingerprint(claims[name]) != settled.fingerprint
    ]
