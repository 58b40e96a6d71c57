"""From records to verdicts: every part of a claim measured seed by seed, put into an interval, judged by its rule."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from lib.analysis.survival import Ratio, paired_ratio
from lib.analysis.times import NoRecords
from lib.claims.claims import Claim, ClaimsError, Judged, Part, Question, first_error, load_claims
from lib.claims.measures import MEASURES
from lib.claims.statistics import (
    MIN_SEEDS,
    Outcome,
    ShareRule,
    between,
    decide,
    least,
    number,
    of_cases,
    rounded,
    worst,
)
from lib.experiments.arms import arm
from lib.experiments.chapters import CHAPTERS, EXPLORATORY, wanted
from lib.experiments.comparison import Comparison, compare
from lib.experiments.parameters import Parameters
from lib.files import ROOT, write_text
from lib.records.store import Store

VERDICTS = ROOT / "results" / "verdicts.json"


class Verdict(BaseModel):
    """What results/verdicts.json says of one claim on one system. None: not known, or an end without a bound."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    id: str
    system: str
    verdict: Outcome
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    seeds: list[int] = []
    profile: str

    @property
    def is_exploratory(self) -> bool:
        """Whether seeds count that were known when the rules were settled."""
        return "exploratory" in self.profile

    @field_validator("estimate", "low", "high", mode="before")
    @classmethod
    def _rounded(cls, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return rounded(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class JudgedPart:
    """A part of a claim, measured and judged. bounds: of each seed [S, 2], nan where it is no case; table: a row for each seed."""

    part: Part
    words: str
    unit: str
    bounds: np.ndarray
    table: pd.DataFrame
    outcome: Outcome
    estimate: float | None
    interval: tuple[float | None, float | None]

    @property
    def low(self) -> list[float]:
        """What the claim's number is at least, of each seed that is a case."""
        return of_cases(self.bounds)[:, 0].tolist()

    @property
    def high(self) -> list[float]:
        """What it is at most."""
        return of_cases(self.bounds)[:, 1].tolist()

    @property
    def open_seeds(self) -> int:
        """Seeds of which only bounds are known."""
        return sum(low < high for low, high in zip(self.low, self.high, strict=True))

    @property
    def modelled(self) -> Ratio | None:
        """The geometric mean by a model of log time with censoring, of ratios of times alone."""
        return paired_ratio(self.low, self.high) if self.unit == "times" else None


@dataclass(frozen=True)
class Judgement:
    """A verdict and what a chapter shows beside it.

    exploratory: the same claim judged on the exploratory seeds, where the verdict is that of others. It decides nothing.
    """

    claim: Claim
    judged: Judged
    verdict: Verdict
    tau: float
    parts: tuple[JudgedPart, ...]
    exploratory: "Judgement | None" = None

    @property
    def deciding(self) -> JudgedPart:
        """The part that settles the verdict, whose numbers the verdict has: the first of the worst outcome."""
        return _deciding(self.parts)

    @property
    def cases(self) -> int:
        """Of how many seeds the claim says something, in the part that settles the verdict."""
        return len(self.deciding.low)


def _deciding(parts: Sequence[JudgedPart]) -> JudgedPart:
    outcome = worst(part.outcome for part in parts)
    return next(part for part in parts if part.outcome == outcome)


def judge(claim: Claim, judged: Judged, comparison: Comparison, profile: str) -> Judgement:
    """Judges a claim on a setting's records. Raises ClaimsError for a claim without measures."""
    if not claim.is_measured:
        raise ClaimsError(f"claim {claim.id} has no measure in claims.yml yet")
    parts = tuple(_judge_part(part, judged, i, comparison) for i, part in enumerate(claim.parts))
    part = _deciding(parts)
    low, high = part.interval
    verdict = Verdict(
        id=claim.id,
        system=judged.system,
        verdict=part.outcome,
        estimate=part.estimate,
        low=low,
        high=high,
        unit=part.unit,
        seeds=comparison.seeds,
        profile=profile,
    )
    return Judgement(claim, judged, verdict, comparison.tau, parts)


def judge_elsewhere(claim: Claim, comparison: Comparison, profile: str, faster: object = "ticket") -> Judgement:
    """A claim's criterion on a setting that the claim does not name, or for another arm than the ticket: no verdict of the book."""
    judged = Judged.model_validate({"setting": comparison.name, "with": {"faster": faster}})
    return judge(claim, judged, comparison, profile)


def _scaled(value: Any, comparison: Comparison) -> Any:
    """An argument; the family "epoch" is meant on the scale of 30,000 epochs, and so scaled to the budget."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "epoch":
        return "epoch", int(value[1] * comparison.usual_budget / 30_000)
    return [_scaled(one, comparison) for one in value] if isinstance(value, list) else value


def _words(value: Any) -> Any:
    """An argument as words show it: an arm by its label."""
    try:
        return arm(value).label
    except (TypeError, ValueError):
        return value


def _judge_part(part: Part, judged: Judged, place: int, comparison: Comparison) -> JudgedPart:
    measure = MEASURES[part.measure]
    changed = judged.changed[place] if isinstance(judged.changed, list) else judged.changed
    arguments = {name: _scaled(value, comparison) for name, value in (part.arguments | changed).items()}
    everything = [measure.take(one, **arguments) for one in comparison.one_by_one()]
    bounds = np.array([(one.low, one.high) if one.is_case else (np.nan, np.nan) for one in everything])
    estimate, interval, outcome = decide(part.rule, bounds)
    shown: dict[str, Any]
    if shares := isinstance(part.rule, ShareRule):
        words = {(1.0, 1.0): "yes", (0.0, 0.0): "no", (0.0, 1.0): "undecided"}
        shown = {"holds": ["no case" if np.isnan(low) else words[low, high] for low, high in bounds.tolist()]}
    else:
        shown = {"at least": bounds[:, 0], "at most": bounds[:, 1]}
    rows = [{"seed": seed, **one.numbers} for seed, one in zip(comparison.seeds, everything, strict=True)]
    table = pd.DataFrame(rows)
    epochs = [name for name in table if name.startswith(("t_gen", "delay", "at epoch", "epochs"))]
    return JudgedPart(
        part=part,
        words=measure.named(**{"slower": "base", "faster": "ticket", "arm": "base"} | _worded(arguments)),
        unit="share of seeds" if shares else measure.unit,
        bounds=bounds,
        table=table.astype(dict.fromkeys(epochs, "Int64")).assign(**shown),
        outcome=outcome,
        estimate=estimate,
        interval=interval,
    )


# --- how a verdict depends on its levels ---------------------------------------------------------------------------

LEVELS = (0.8, 0.9, 0.95, 0.99)  # test accuracies that can count as generalized
OF_BEST = 0.95  # the same, as a share of the best of the seed's own base
# What readers see of the arguments that parts vary.
VARIED = {"level": "full from", "of_best": "share of best", "least": "rise of"}


def sensitivity(judgement: Judgement, comparison: Comparison) -> pd.DataFrame:
    """A claim judged at other levels of what counts as generalized, and at the other values that its parts `vary`.

    Columns: level, estimate, low, high and unit of the part that depends on it, outcome of the claim; one row alone where nothing depends on a level.
    """
    claim, judged = judgement.claim, judgement.judged
    variants: list[tuple[str, Claim, Comparison]] = [("as judged", claim, comparison)]
    if any(MEASURES[part.measure].by_level for part in claim.parts):
        variants += [(f"τ = {level:g}", claim, dataclasses.replace(comparison, level=level)) for level in LEVELS]
        variants.append((f"{OF_BEST:g} of base's best", claim, dataclasses.replace(comparison, of_best=OF_BEST)))
    for name, value in dict.fromkeys(
        (name, v) for part in claim.parts for name, values in part.vary.items() for v in values
    ):
        parts = [
            part.model_copy(update={"arguments": part.arguments | {name: value}}) if name in part.vary else part
            for part in claim.parts
        ]
        variants.append((f"{VARIED.get(name, name)} {value:g}", claim.model_copy(update={"parts": parts}), comparison))
    # One part throughout: the first that can depend on a level.
    place = next((i for i, part in enumerate(claim.parts) if MEASURES[part.measure].by_level or part.vary), 0)
    rows = []
    for level, one, records in variants:
        found = judge(one, judged, records, "")
        part = found.parts[place]
        rows.append(
            {
                "level": level,
                "estimate": part.estimate,
                "low": part.interval[0],
                "high": part.interval[1],
                "unit": part.unit,
                "outcome": found.verdict.verdict,
            }
        )
    same = all({**row, "level": ""} == {**rows[0], "level": ""} for row in rows)
    return pd.DataFrame(rows[:1] if same else rows)


def _worded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _words(value) for name, value in arguments.items()}


# --- all claims ---------------------------------------------------------------------------------------------------


def judgements(
    chapter: str,
    comparisons: Mapping[str, Comparison],
    parameters: Parameters,
    claims: Iterable[Claim | Question] | None = None,
    exploratory: Mapping[str, Comparison] | None = None,
) -> list[Judgement]:
    """The judgements of a chapter, of all settings and arms that have records. exploratory: those of these seeds, to stand beside."""

    def beside(claim: Claim, judged: Judged) -> Judgement | None:
        known = (exploratory or {}).get(judged.setting)
        if known is None or is_exploratory(comparisons[judged.setting], parameters):
            return None
        with contextlib.suppress(NoRecords):
            return judge(claim, judged, known, evidence(known, parameters))
        return None

    out = []
    for claim in load_claims() if claims is None else claims:
        if not isinstance(claim, Claim) or not claim.is_measured:
            continue
        for judged in claim.judged:
            if (judged.chapter or claim.chapter) == chapter and judged.setting in comparisons:
                comparison = comparisons[judged.setting]
                with contextlib.suppress(NoRecords):  # of an arm
                    found = judge(claim, judged, comparison, evidence(comparison, parameters))
                    out.append(dataclasses.replace(found, exploratory=beside(claim, judged)))
    return out


def evidence(comparison: Comparison, parameters: Parameters) -> str:
    """A verdict's profile: the parameters' label, and that the seeds are exploratory where some were there before the rules."""
    return f"{parameters.label}, exploratory" if is_exploratory(comparison, parameters) else parameters.label


def is_exploratory(comparison: Comparison, parameters: Parameters) -> bool:
    """Whether some of the runs at the paper's scale were there when the criteria were settled."""
    return parameters.is_paper and not set(comparison.seeds).isdisjoint(EXPLORATORY)


def all_judgements(
    parameters: Parameters, store: Store, claims: Sequence[Claim | Question]
) -> Iterator[tuple[Judgement, Comparison]]:
    """Every judgement that there are records for, with what it was made on; nothing is trained."""
    versions = cache(store.versions)  # chapters share bases and tickets
    for chapter in CHAPTERS:
        of = wanted(parameters, [chapter], store)
        comparisons = of.comparisons(chapter, versions)
        known = compare(of.exploratory(chapter), versions)
        for judgement in judgements(chapter, comparisons, parameters, claims, known):
            yield judgement, comparisons[judgement.judged.setting]


def verdicts(parameters: Parameters, store: Store) -> list[Verdict]:
    """A verdict for every claim and system, from what is recorded; nothing is trained, the rest is "not run"."""
    claims = load_claims()
    found = (judgement.verdict for judgement, _ in all_judgements(parameters, store, claims))
    return complete(found, claims, parameters.label)


def complete(found: Iterable[Verdict], claims: Iterable[Claim | Question], profile: str) -> list[Verdict]:
    """Verdicts in the order of claims.yml, "not run" where one is missing.

    Raises ClaimsError for a verdict on what the claims do not have, and for two on the same.
    """
    by_system: dict[tuple[str, str], Verdict] = {}
    for verdict in found:
        key = verdict.id, verdict.system
        if key in by_system:
            raise ClaimsError(f"there are two verdicts for claim {verdict.id} on {verdict.system}")
        by_system[key] = verdict
    whole = [
        by_system.pop((claim.id, judged.system), None)
        or Verdict(id=claim.id, system=judged.system, verdict="not run", profile=profile)
        for claim in claims
        if isinstance(claim, Claim)
        for judged in claim.judged
    ]
    if by_system:
        raise ClaimsError(
            f"verdicts on what claims.yml does not have: {', '.join(' on '.join(key) for key in by_system)}"
        )
    return whole


# Of claims, in the order in which they are listed.
OUTCOMES = ("replicated", "mixed", "inconclusive", "refuted", "not run")


def outcome_of_claim(verdicts: Iterable[Verdict]) -> str:
    """A claim's outcome over its systems: theirs where all that were run agree, else "mixed"."""
    found = {verdict.verdict for verdict in verdicts} - {"not run"}
    return "not run" if not found else found.pop() if len(found) == 1 else "mixed"


def evidence_text(judgement: Judgement) -> str:
    """How many seeds a verdict rests on, and whether they were known when the rules were settled: "6 of 10 seeds (the others are
    no case)"."""
    seeds, cases = len(judgement.verdict.seeds), judgement.cases
    kind = "exploratory " if judgement.verdict.is_exploratory else ""
    few = f"{cases} of " if cases < seeds else ""
    left_out = "" if cases == seeds else " (the others are no case)" if cases else " (none is a case)"
    left_out += ", too few for a verdict" if 0 < cases < MIN_SEEDS else ""
    undecided = judgement.deciding.open_seeds
    open_ones = f", {undecided} left open by the budget" if undecided else ""
    return f"{few}{seeds} {kind}seed{'s' if seeds != 1 else ''}{left_out}{open_ones}"


def part_text(judgement: Judgement) -> str:
    """Which of a criterion's parts a verdict's numbers are of, "the numbers are of part 1 of 2"; "" where there is one alone."""
    place = next(i for i, part in enumerate(judgement.parts, 1) if part is judgement.deciding)
    return f"the numbers are of part {place} of {len(judgement.parts)}" if len(judgement.parts) > 1 else ""


def effect_text(judgement: Judgement) -> str:
    """That a ratio of times is other than 1, where the outcome is one of too small a difference; "" elsewhere."""
    low, high = judgement.deciding.interval
    rule, outcome = judgement.deciding.part.rule, judgement.verdict.verdict
    if judgement.deciding.unit != "times" or isinstance(rule, ShareRule) or low is None or high is None:
        return ""
    if outcome == "replicated" and rule.replicated_below is not None:
        least, most = rule.replicated_above, rule.replicated_below
    elif outcome == "refuted" and rule.refuted_below is not None:
        least, most = None, rule.refuted_below
    else:
        return ""
    if low > 1 and high < most:
        return f"All of the interval lies above 1: there is a difference, of less than the {most:g} that counts."
    if high < 1 and least is not None:
        return f"All of the interval lies below 1: there is a difference, of less than the {least:g} that counts."
    return ""


def exploratory_text(judgement: Judgement) -> str:
    """What the exploratory seeds gave where the verdict is that of others: "5 exploratory seeds beside: replicated, 6.20 times (3.30
    to 8.10)"; else ""."""
    known = judgement.exploratory
    if known is None or not known.verdict.seeds:
        return ""
    by_level = any(MEASURES[part.part.measure].by_level for part in known.parts)
    level = f", with {known.tau:g} for generalized" if by_level and known.tau != judgement.tau else ""
    found = known.verdict
    return f"{len(found.seeds)} exploratory seeds beside: {found.verdict}, {result_text(found)}{level}"


def result_text(verdict: Verdict) -> str:
    """Estimate and interval as a reader would say them: "6.20 times (3.30 to 8.10)", "correlation 0.97 (0.91 to 0.99)"; ""
    where nothing was run. Without an estimate the median is open and the interval stands alone.

    A ratio of times whose low end is 0 has runs that never generalized within the budget in its denominator.
    """
    if verdict.verdict == "not run":
        return ""
    low, high, unit = verdict.low, verdict.high, verdict.unit or ""
    if unit == "share of seeds":
        if low is None:  # of any case there is an interval
            return "not known: no seed is a case"
        unit = "of seeds"
        known = None if verdict.estimate is None else f"{verdict.estimate:.0%} {unit}"
        span = between(low and 100 * low, high and 100 * high, "{:.0f}") + "%"
    else:
        form = {"%": "{}%", "times": "{} times"}.get(unit, f"{unit} {{}}")
        known = None if verdict.estimate is None else form.format(number(verdict.estimate)).strip()
        span = between(low, high, floor=least(unit))
    if known is not None:
        return known if low is None and high is None else f"{known} ({span})"
    if span == "not known":
        return "not known: the budget leaves too many seeds open"
    if unit == "times" and low == 0 and high is not None:
        return f"{span} times (interval; some runs never get there)"
    return f"{span} {unit}{'' if unit == 'of seeds' else ' (interval; the median is open)'}"


def write_verdicts(path: str | Path, verdicts: Iterable[Verdict]) -> None:
    """Writes verdicts.json, whole or not at all. Raises StoreError where it cannot be written."""
    text = json.dumps([verdict.model_dump() for verdict in verdicts], indent=1, allow_nan=False) + "\n"
    write_text(Path(path), text)


def read_verdicts(path: str | Path = VERDICTS) -> list[Verdict]:
    """The verdicts in verdicts.json, none if there is no such file. Raises ClaimsError if it is damaged."""
    try:
        return TypeAdapter(list[Verdict]).validate_json(Path(path).read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ClaimsError(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        raise ClaimsError(f"{path} is damaged (`python -m lib judge` replaces it): {first_error(error)}") from None
