"""What the book judges, and how records become verdicts.

book/claims.yml fixes each claim and its criterion before the runs. A *measure* (lib/claims/measures.py) takes one number a
seed from the records, as a pair of bounds. The claim's *rule* turns the bounds of all seeds into an interval and a
verdict. A claim of several parts has a measure and a rule for each: it is replicated if all parts are, refuted if one
is. Shapes: S seeds.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from scipy.stats import binomtest

from lib.claims.measures import MEASURES, ClaimsError, Groups, Measured, threshold

MIN_SEEDS = 3  # with fewer, no verdict
EXACT_UP_TO = 6  # 6^6 = 46,656 resamples can all be listed

# A kind of net; after a slash, the part of the claim that is judged: a task, a method, a way of taking norms.
System = Annotated[
    str,
    Field(pattern=r"^(mlp|transformer|mnist-mlp|transformer-4-heads|mlp-deep|nanda-transformer)(/[a-z0-9.+*^-]+)?$"),
]
Outcome = Literal["replicated", "refuted", "inconclusive", "not run"]
Text = Annotated[str, Field(min_length=1)]


# --- claims.yml ---------------------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class IntervalRule(_Strict):
    """Replicated if the interval satisfies every `replicated_*` given, refuted if it satisfies any `refuted_*`.

    by: "median" where the criterion asks for the median itself, and not its interval, to satisfy `replicated_*`.
    """

    kind: Literal["interval"]
    by: Literal["interval", "median"] = "interval"
    replicated_above: float | None = None
    replicated_below: float | None = None
    refuted_above: float | None = None
    refuted_below: float | None = None

    @model_validator(mode="after")
    def _is_consistent(self):
        pairs = (self.refuted_below, self.replicated_above), (self.replicated_below, self.refuted_above)
        given = [pair for pair in pairs if pair != (None, None)]
        if not given or any(None in pair or pair[0] > pair[1] for pair in given):
            raise ValueError("needs refuted_below <= replicated_above or replicated_below <= refuted_above, or both")
        return self

    def outcome(self, low: float | None, high: float | None, median: float | None = None) -> Outcome:
        """Verdict for the interval from low to high; None is an end without a bound, or a median not known."""
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        least, most = low, high
        if self.by == "median" and median is not None:
            least = most = median
        wanted = [least > x for x in [self.replicated_above] if x is not None]
        wanted += [most < x for x in [self.replicated_below] if x is not None]
        excluded = [low > x for x in [self.refuted_above] if x is not None]
        excluded += [high < x for x in [self.refuted_below] if x is not None]
        return "replicated" if all(wanted) else "refuted" if any(excluded) else "inconclusive"

    def __str__(self) -> str:
        def sides(above, below, joint):
            return joint.join(f"{word} {x:g}" for word, x in (("above", above), ("below", below)) if x is not None)

        wanted = sides(self.replicated_above, self.replicated_below, " and ")
        excluded = sides(self.refuted_above, self.refuted_below, " or ")
        return f"replicated if the {self.by} lies {wanted}, refuted if the interval lies {excluded}"


class NormLimits(_Strict):
    """Limits of C17 and C18. Epochs are meant on the scale of `of_budget` epochs; other budgets scale them."""

    peak_after: float  # 0 asks for a rise: a norm that only falls peaks at epoch 0
    peak_before: float
    flat_after: float
    of_budget: float = Field(gt=0)
    drift_below: float = Field(gt=0)


class ShareRule(_Strict):
    """Judges the share of seeds on which a claim holds."""

    kind: Literal["share"]
    replicated_at_least: float = Field(ge=0, le=1)
    refuted_at_most: float = Field(ge=0, le=1)
    limits: NormLimits | None = None

    @model_validator(mode="after")
    def _is_consistent(self):
        if self.refuted_at_most >= self.replicated_at_least:
            raise ValueError("needs refuted_at_most < replicated_at_least")
        return self

    def outcome(self, low: float, high: float) -> Outcome:
        """Verdict for a share of at least low (undecided seeds failed) and at most high (all of them held)."""
        replicated, refuted = low >= self.replicated_at_least, high <= self.refuted_at_most
        return "replicated" if replicated else "refuted" if refuted else "inconclusive"

    def __str__(self) -> str:
        replicated, refuted = self.replicated_at_least, self.refuted_at_most
        return f"replicated if it holds on at least {replicated:.0%} of the seeds, refuted if on at most {refuted:.0%}"


class _Entry(_Strict):
    title: Text
    source: Text
    chapter: Text

    @field_validator("title")
    @classmethod
    def _is_short(cls, title: str) -> str:
        if len(title.split()) > 8:
            raise ValueError("has more than eight words")
        return title


Rule = Annotated[IntervalRule | ShareRule, Field(discriminator="kind")]


class Claim(_Entry):
    """A claim and the criterion it is judged by. Several rules: one for each part that its measure returns."""

    id: str = Field(pattern=r"^C\d\d$")
    systems: list[System] = Field(min_length=1)
    claim: Text
    measure: Text
    criterion: Text
    rule: Rule | list[Rule] | None = None

    @property
    def rules(self) -> list[IntervalRule | ShareRule]:
        """The rules of all parts."""
        return self.rule if isinstance(self.rule, list) else [] if self.rule is None else [self.rule]


class Question(_Entry):
    """A question without a reference answer."""

    id: str = Field(pattern=r"^Q\d\d$")
    question: Text


def load_claims(path: str | Path) -> list[Claim | Question]:
    """Read and check book/claims.yml. Raises ClaimsError: one sentence that names the file, the claim and the field."""
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
            raise ClaimsError(f"{path}: claim {name}, {_first_error(error)}") from None
    return list(claims.values())


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"field '{'.'.join(map(str, first['loc']))}': {first['msg'].removeprefix('Value error, ')}"


# --- statistics over seeds ----------------------------------------------------------------------------------------


def bootstrap_median(
    low: Sequence[float], high: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> tuple[float | None, float | None, float | None]:
    """Median over seeds and its 95% percentile bootstrap interval (Efron 1979), from each seed's bounds low, high [S].

    Returns (estimate, low end, high end). The estimate is None where censoring leaves the median open; an end is None
    where it has no bound or there are fewer than MIN_SEEDS seeds. The low end is taken from the low bounds alone, the
    high end from the high ones: values anywhere within the bounds give an interval inside this one. Up to EXACT_UP_TO
    seeds all S^S resamples are listed. Quantiles invert the distribution function: interpolation would make nan of inf.

    For three to five seeds the interval is the range of the seeds. Its coverage, 1 - 2 / 2^S, is 75%, 88% and 94%.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    n = len(low)
    if low.shape != high.shape or low.ndim != 1 or n == 0 or not (low <= high).all():
        raise ValueError("bounds must be two equally long rows of numbers with low <= high")
    medians = np.median(low), np.median(high)
    estimate = _finite(medians[0]) if medians[0] == medians[1] else None
    if n < MIN_SEEDS:
        return estimate, None, None
    if n <= EXACT_UP_TO:
        chosen = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        chosen = np.random.default_rng(seed).integers(n, size=(resamples, n))
    low_end = np.quantile(np.median(low[chosen], axis=1), 0.025, method="inverted_cdf")
    high_end = np.quantile(np.median(high[chosen], axis=1), 0.975, method="inverted_cdf")
    return estimate, _finite(low_end), _finite(high_end)


def share_interval(held: int, undecided: int, n: int) -> tuple[float, float]:
    """95% Wilson interval of a share (Wilson 1927): the low end for `held` of n, the high for `held + undecided`."""
    worst, best = (binomtest(k, n).proportion_ci(0.95, method="wilson") for k in (held, held + undecided))
    return float(worst.low), float(best.high)


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


# --- verdicts -----------------------------------------------------------------------------------------------------


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

    @field_validator("estimate", "low", "high", mode="before")
    @classmethod
    def _finite_or_none(cls, value):
        return _finite(value) if isinstance(value, float) else value


@dataclass(frozen=True)
class Part:
    """One measure of a claim, judged by its own rule."""

    measured: Measured
    rule: IntervalRule | ShareRule
    outcome: Outcome
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Judgement:
    """A verdict and what a chapter shows beside it; without tau and parts where nothing was run."""

    claim: Claim
    verdict: Verdict
    tau: float | None = None
    parts: tuple[Part, ...] = ()

    @property
    def deciding(self) -> Part | None:
        """The part that settles the verdict, whose numbers the verdict has: the first of the worst outcome."""
        order = "refuted", "inconclusive", "replicated"
        return min(self.parts, key=lambda part: order.index(part.outcome), default=None)

    @property
    def measured(self) -> Measured | None:
        """What was measured for the deciding part."""
        return self.deciding and self.deciding.measured


def not_run(claim: Claim, system: str, profile: str) -> Judgement:
    """The judgement where there are no records."""
    return Judgement(claim, Verdict(id=claim.id, system=system, verdict="not run", profile=profile))


def judge(claim: Claim, system: str, groups: Groups, profile: str) -> Judgement:
    """Judge a claim on one system from its records, with tau from groups["base"].

    Raises ClaimsError if the claim has no measure or rule or is not about the system, or if the kinds of net differ in
    seeds, order of seeds or evaluated epochs.
    """
    if claim.id not in MEASURES or not claim.rules:
        raise ClaimsError(f"claim {claim.id} has no measure in lib/claims/measures.py or no rule in claims.yml yet")
    if system not in claim.systems:
        raise ClaimsError(f"claim {claim.id} is about {', '.join(claim.systems)}, not about {system}")
    seeds = [int(record.seed) for record in groups.get("base", ())]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ClaimsError(f"claim {claim.id} needs base records of different seeds, not of {seeds}")
    for kind, records in groups.items():
        if [record.seed for record in records] != seeds:
            raise ClaimsError(f"claim {claim.id}: the {kind} records are not of the base's seeds {seeds} in order")
        if any(not np.array_equal(record.epochs, groups["base"][0].epochs) for record in records):
            raise ClaimsError(f"claim {claim.id}: a {kind} record is evaluated at other epochs than the base")
    tau = threshold(groups["base"])
    limits = getattr(claim.rules[0], "limits", None)
    measured = MEASURES[claim.id](groups, tau, part=system.partition("/")[2], limits=limits)
    measured = measured if isinstance(measured, list) else [measured]
    rules = claim.rules * len(measured) if len(claim.rules) == 1 else claim.rules
    if len(rules) != len(measured):
        raise ClaimsError(f"claim {claim.id} has {len(rules)} rules for {len(measured)} measures")
    parts = tuple(_judge_part(one, rule) for one, rule in zip(measured, rules, strict=True))
    judgement = Judgement(claim, Verdict(id=claim.id, system=system, verdict="not run", profile=profile), tau, parts)
    part = judgement.deciding
    numbers = {"estimate": part.estimate, "low": part.low, "high": part.high, "unit": part.measured.unit}
    verdict = Verdict(id=claim.id, system=system, verdict=part.outcome, profile=profile, seeds=seeds, **numbers)
    return dataclasses.replace(judgement, verdict=verdict)


def _judge_part(measured: Measured, rule: IntervalRule | ShareRule) -> Part:
    n = len(measured.low)
    if isinstance(rule, ShareRule):
        held, possible = int(sum(measured.low)), int(sum(measured.high))
        estimate = held / n if held == possible else None
        low, high = share_interval(held, possible - held, n)
        outcome = rule.outcome(held / n, possible / n)
    else:
        estimate, low, high = bootstrap_median(measured.low, measured.high)
        outcome = rule.outcome(low, high, estimate)
    return Part(measured, rule, outcome if n >= MIN_SEEDS else "inconclusive", estimate, low, high)


# --- words and tables ---------------------------------------------------------------------------------------------


def between(low: float | None, high: float | None) -> str:
    """A value within two bounds, in words: "6.20", "at least 3.10", "at most 0.40", "1.20 to 3.10", "not known".

    A low bound of 0 says nothing of a ratio or a share, and None is no bound.
    """
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    if low == high:
        return f"{low:.2f}"
    if np.isinf(high):
        return "not known" if low <= 0 else f"at least {low:.2f}"
    return f"at most {high:.2f}" if low in (0, -np.inf) else f"{low:.2f} to {high:.2f}"


def result_text(verdict: Verdict) -> str:
    """Estimate and interval in short: "6.20 times (3.30 to 8.10)"; "" where nothing was run."""
    if verdict.verdict == "not run":
        return ""
    estimate = "not known" if verdict.estimate is None else f"{verdict.estimate:.2f} {verdict.unit}".strip()
    return f"{estimate} (interval {between(verdict.low, verdict.high)})"


def sentence(judgement: Judgement) -> str:
    """The verdict in plain sentences, right for each of the four outcomes; every number comes from the records."""
    claim, verdict = judgement.claim, judgement.verdict
    if not judgement.parts:
        return f"Not run: there are no records for {claim.id} on the {verdict.system} in the {verdict.profile} profile."
    n = len(verdict.seeds)
    parts = [_part_words(part, "1 seed" if n == 1 else f"{n} seeds") for part in judgement.parts]
    if len(parts) > 1:
        parts = [
            f"({i}) {words}: {p.outcome}" for i, (words, p) in enumerate(zip(parts, judgement.parts, strict=True), 1)
        ]
    notes = dict.fromkeys(part.measured.note for part in judgement.parts)
    few = f"No verdict either way is given on fewer than {MIN_SEEDS} seeds." if n < MIN_SEEDS else ""
    runs = f"Profile: {verdict.profile}; seeds: {', '.join(map(str, verdict.seeds))}."
    rules = "; ".join(dict.fromkeys(str(part.rule) for part in judgement.parts))
    generalized = judgement.measured.generalized or f"test accuracy {judgement.tau:.2f}"
    rule = f"Fixed beforehand: {rules}; a net has generalized at {generalized}."
    return " ".join(filter(None, [f"{verdict.verdict.capitalize()}: {'; '.join(parts)}.", *notes, few, rule, runs]))


def _part_words(part: Part, seeds: str) -> str:
    """What was found for one part."""
    measured, interval = part.measured, f"95% interval {between(part.low, part.high)}"
    if isinstance(part.rule, ShareRule):
        n, held, possible = len(measured.low), int(sum(measured.low)), int(sum(measured.high))
        count = f"{held}" if held == possible else f"{held} to {possible}"
        share = between(held / n, possible / n)
        return f"{measured.quantity} holds on {count} of {seeds}, a share of {share} ({interval})"
    median = between(np.median(measured.low), np.median(measured.high))
    unit = f" {measured.unit}" if measured.unit and median != "not known" else ""
    return f"over {seeds} the median {measured.quantity} is {median}{unit} ({interval})"


def scorecard(claims: Iterable[Claim | Question], verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One row a claim and system in the order of claims.yml, "not run" without a verdict; questions are "open".

    Columns: id, title, claim, source, chapter, system, verdict, result (text), estimate, low, high, unit, seeds,
    profile. Raises ClaimsError for a verdict on what the claims do not have, and for two on the same.
    """
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        key = verdict.id, verdict.system
        if key in found:
            raise ClaimsError(f"there are two verdicts for claim {verdict.id} on {verdict.system}")
        found[key] = verdict
    rows = []
    for entry in claims:
        head = entry.model_dump(include={"id", "title", "source", "chapter"})
        if isinstance(entry, Question):
            none = {"system": "", "verdict": "open", "result": "", "seeds": [], "profile": ""}
            rows.append({**head, "claim": entry.question, **none})
            continue
        for system in entry.systems:
            verdict = found.pop((entry.id, system), None) or not_run(entry, system, "").verdict
            rows.append({**head, "claim": entry.claim, **verdict.model_dump(), "result": result_text(verdict)})
    if found:
        raise ClaimsError(f"verdicts on what claims.yml does not have: {', '.join(' on '.join(key) for key in found)}")
    words = ["id", "title", "claim", "source", "chapter", "system", "verdict", "result"]
    numbers = ["estimate", "low", "high"]
    columns = [*words, *numbers, "unit", "seeds", "profile"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))


def write_verdicts(path: str | Path, verdicts: Iterable[Verdict]) -> None:
    """Write results/verdicts.json in one step: a reader sees the old file or the new one, never half of it."""
    path = Path(path)
    text = json.dumps([verdict.model_dump() for verdict in verdicts], indent=1, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_verdicts(path: str | Path) -> list[Verdict]:
    """The verdicts in results/verdicts.json, none if there is no such file. Raises ClaimsError if it is damaged."""
    try:
        return TypeAdapter(list[Verdict]).validate_json(Path(path).read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ClaimsError(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        raise ClaimsError(f"{path} is damaged, judge the records again to replace it: {_first_error(error)}") from None
