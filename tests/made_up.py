"""Judging made-up records."""

from collections.abc import Mapping, Sequence

from lib.claims import judging
from lib.claims.claims import Claim, load_claims
from lib.experiments.arms import arm
from lib.experiments.comparison import Comparison

BY_ID = {entry.id: entry for entry in load_claims()}


def judge(
    claim: str | Claim, groups: Mapping[object, Sequence], system: str | None = None, profile: str = "paper"
) -> judging.Judgement:
    """Judges a claim on records by arm; system: as results/verdicts.json calls it, the claim's first unless told."""
    entry = BY_ID[claim] if isinstance(claim, str) else claim
    (judged,) = [one for one in entry.judged if one.system == (system or entry.judged[0].system)]
    comparison = Comparison(judged.setting, {arm(where): records for where, records in groups.items()})
    return judging.judge(entry, judged, comparison, profile)
