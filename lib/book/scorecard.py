"""The scorecard: a row for each claim, its settings folded below, every interval drawn against the rule that judges it."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from lib.book.tables import anchor, badge
from lib.claims.claims import Claim, Judged, Question
from lib.claims.judging import (
    OUTCOMES,
    Judgement,
    Verdict,
    complete,
    effect_text,
    evidence_text,
    exploratory_text,
    outcome_of_claim,
    part_text,
    result_text,
)
from lib.claims.statistics import IntervalRule, ShareRule
from lib.experiments.chapters import CHAPTERS
from lib.experiments.settings import SETTINGS

Key = tuple[str, str]  # claim and system


def scorecard(
    entries: Sequence[Claim | Question],
    judgements: Iterable[Judgement],
    profile: str,
    levels: Mapping[Key, str],
    stable: Mapping[Key, str],
) -> str:
    """All claims and questions as an HTML table with filters, which need JavaScript; without it every row stands open.

    levels, stable: whether the outcome is the same at other levels of what counts as generalized, and on trainings that only
    rounding tells apart, in a few words; the column "stable" has both.
    """
    by_key = {(one.claim.id, one.judged.system): one for one in judgements}
    verdicts = {(one.id, one.system): one for one in complete((j.verdict for j in by_key.values()), entries, profile)}
    groups: list[str] = []
    options: dict[str, set[str]] = {"outcome": set(), "setting": set(), "chapter": set()}
    for entry in entries:
        if isinstance(entry, Question):
            groups.append(_question(entry))
            continue
        own = [verdicts[entry.id, judged.system] for judged in entry.judged]
        outcome = outcome_of_claim(own)
        rows = []
        for judged, verdict in zip(entry.judged, own, strict=True):
            key = entry.id, judged.system
            kept = f"levels: {levels.get(key, 'none')}", f"rounding: {stable.get(key, 'not tried')}"
            rows.append(_row(entry, judged, verdict, outcome, by_key.get(key), kept))
        data = {
            "outcome": [outcome, *(verdict.verdict for verdict in own)],
            "setting": [SETTINGS[judged.setting].label for judged in entry.judged],
            "chapter": [judged.chapter or entry.chapter for judged in entry.judged],
        }
        for name, values in data.items():
            options[name] |= set(values)
        attributes = " ".join(f'data-{name}="{html.escape("|".join(dict.fromkeys(xs)))}"' for name, xs in data.items())
        groups.append(f'<tbody id="{anchor(entry.id)}" {attributes}>{"".join(rows)}</tbody>')
    heads = "".join(
        f"<th scope=col>{name}</th>" for name in ("claim, setting", "verdict, against its rule", "estimate", "stable")
    )
    return (
        f'<div class="filters" hidden>{_filters(options)}<output></output></div><div class="wide-table" tabindex="0">'
        f'<table class="dataframe scorecard"><thead><tr>{heads}</tr></thead>{"".join(groups)}</table></div>'
    )


def _filters(options: Mapping[str, set[str]]) -> str:
    """A menu for each name, outcomes in their usual order."""
    return "".join(
        f'<label>{name} <select data-filter="{name}"><option value="">all</option>'
        + "".join(f"<option>{html.escape(one)}</option>" for one in sorted(values, key=_place))
        + "</select></label> "
        for name, values in options.items()
    )


def _place(option: str) -> tuple[int, str]:
    return OUTCOMES.index(option) if option in OUTCOMES else len(OUTCOMES), option


def _row(
    entry: Claim, judged: Judged, verdict: Verdict, outcome: str, judgement: Judgement | None, kept: Iterable[str]
) -> str:
    """One setting of a claim: the first has the claim's title and, if it is not the only one, the outcome of all. kept: the column
    "stable" of a judgement that is there."""
    first = judged is entry.judged[0]
    label, judged_as = html.escape(judged.label), badge(verdict.verdict)
    link = f'<a href="{judged.chapter or entry.chapter}.html#{anchor(entry.id, judged.system)}">{label}</a>'
    head = f"{_title(entry) if first else ''}<small>{link if judgement else label}</small>"
    if first and len(entry.judged) > 1:
        judged_as = f"{badge(outcome)} in all<br><small>{label}: {judged_as}</small>"
    texts = evidence_text, part_text, effect_text, exploratory_text
    notes = [text(judgement) for text in texts] if judgement else []
    notes += [f"Paper: {entry.paper}"] if entry.paper and first else []
    cells = (
        judged_as + (forest(judgement) if judgement else ""),
        "<br>".join(filter(None, [html.escape(result_text(verdict)), *_small(notes)])),
        "<br>".join(_small(kept)) if judgement else "",
    )
    kind = "" if first else ' class="variant"'
    return f"<tr{kind}><th scope=row>{head}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _small(notes: Iterable[str]) -> list[str]:
    return [f"<small>{html.escape(note)}</small>" for note in notes if note]


def _link(entry: Claim | Question) -> str:
    return f'<a class="anchor" href="#{anchor(entry.id)}" aria-label="link to {entry.id}">{entry.id}</a>'


def _title(entry: Claim) -> str:
    more = (
        f'<button type="button" aria-expanded="true" hidden>{len(entry.judged) - 1} more</button> '
        if len(entry.judged) > 1
        else ""
    )
    return f'{_link(entry)} <span title="{html.escape(entry.claim)}">{html.escape(entry.title)}</span><br>{more}'


def _question(entry: Question) -> str:
    ready = entry.chapter in CHAPTERS
    chapter = entry.chapter if ready else entry.partly
    where = (
        f'{"" if ready else "in part: "}<a href="{chapter}.html">{chapter}</a>'
        if chapter
        else "no chapter takes it up yet"
    )
    return (
        f'<tbody id="{anchor(entry.id)}" data-outcome="" data-setting="" data-chapter="{entry.chapter}"><tr><th scope=row>'
        f"{_link(entry)} {html.escape(entry.title)}</th><td>{badge('taken up' if ready else 'open')}</td>"
        f"<td colspan=2>{html.escape(entry.question)} <small>{where}</small></td></tr></tbody>"
    )


def forest(judgement: Judgement) -> str:
    """Estimate and interval of the part that decides, as a dot and a bar on the axis of its unit, over the rule's regions."""
    part = judgement.deciding
    rule, (low, high), estimate = part.part.rule, part.interval, part.estimate
    regions = _regions(rule)
    thresholds = sorted({x for _, *ends in regions for x in ends if math.isfinite(x)})
    numbers = [x for x in (low, high, estimate) if x is not None]
    scale = math.log if part.unit == "times" else float
    start, end = (0.25, 64.0) if part.unit == "times" else _axis([*numbers, *thresholds], part.unit)

    def place(x: float) -> float:
        share = (scale(min(max(x, start), end)) - scale(start)) / (scale(end) - scale(start))
        return round(100 * share, 1)

    def span(kind: str, a: float, b: float) -> str:
        left, right = place(a), place(b)
        return f'<i class="{kind}" style="left:{left}%;width:{max(right - left, 0):.1f}%"></i>'

    drawn = [span(kind, max(a, start), min(b, end)) for kind, a, b in regions]
    if numbers:
        drawn.append(span("bar", start if low is None else low, end if high is None else high))
    if estimate is not None:
        drawn.append(f'<i class="dot {part.outcome}" style="left:{place(estimate)}%"></i>')
    words = f"{result_text(judgement.verdict)}; {rule}"
    axis = f"<small>{start:g}</small><b>{''.join(drawn)}</b><small>{end:g}</small>"
    return f'<div class="forest" role="img" aria-label="{html.escape(words)}" title="{html.escape(str(rule))}">{axis}</div>'


def _regions(rule: IntervalRule | ShareRule) -> list[tuple[str, float, float]]:
    """Where a rule says "replicated" and "refuted", as stretches of its axis."""
    if isinstance(rule, ShareRule):
        return [("yes", rule.replicated_above, 1.0), ("no", 0.0, rule.refuted_below)]
    low = -math.inf if rule.replicated_above is None else rule.replicated_above
    high = math.inf if rule.replicated_below is None else rule.replicated_below
    out = [("yes", low, high)]
    out += [("no", -math.inf, rule.refuted_below)] if rule.refuted_below is not None else []
    out += [("no", rule.refuted_above, math.inf)] if rule.refuted_above is not None else []
    return out


def _axis(numbers: Sequence[float], unit: str) -> tuple[float, float]:
    """Ends of a linear axis: 0 to 1 or -1 to 1 where that holds all numbers, else wide enough for them."""
    least, most = min(numbers), max(numbers)
    if unit != "%" and least >= -1 and most <= 1:
        return (0.0, 1.0) if least >= 0 else (-1.0, 1.0)
    room = 0.15 * (most - least or 1.0)
    return float(f"{least - room:.2g}"), float(f"{most + room:.2g}")
