"""The scorecard: a row for each claim, its settings folded below, every interval drawn against the rule that judges it."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from lib.book.tables import anchor, badge
from lib.claims.claims import Claim, Question
from lib.claims.judging import (
    OUTCOMES,
    Judgement,
    complete,
    evidence_text,
    exploratory_text,
    outcome_of_claim,
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
    groups, settings, chapters, outcomes = [], set(), set(), set()
    for entry in entries:
        if isinstance(entry, Question):
            groups.append(_question(entry))
            continue
        own = [verdicts[entry.id, judged.system] for judged in entry.judged]
        outcome = outcome_of_claim(own)
        labels = [SETTINGS[judged.setting].label for judged in entry.judged]
        settings |= set(labels)
        chapters |= {judged.chapter or entry.chapter for judged in entry.judged}
        outcomes |= {outcome, *(verdict.verdict for verdict in own)}
        rows = []
        for place, (judged, verdict) in enumerate(zip(entry.judged, own, strict=True)):
            key = entry.id, judged.system
            chapter = judged.chapter or entry.chapter
            target = f"{chapter}.html#{anchor(*key)}"
            evidence = [evidence_text(by_key[key]), exploratory_text(by_key[key])] if key in by_key else []
            link = f'<a href="{target}">{html.escape(judged.label)}</a>' if key in by_key else ""
            head = f"<small>{link or html.escape(judged.label)}</small>"
            judged_as = badge(verdict.verdict)
            if place == 0:
                head = _title(entry) + head
                if len(own) > 1:
                    judged_as = f"{badge(outcome)} in all<br><small>{html.escape(judged.label)}: {judged_as}</small>"
            drawn = forest(by_key[key]) if key in by_key and by_key[key].parts else ""
            notes = [*evidence, f"Paper: {entry.paper}" if entry.paper and place == 0 else ""]
            estimate = [
                html.escape(result_text(verdict)),
                *(f"<small>{html.escape(note)}</small>" for note in notes if note),
            ]
            kept = f"levels: {levels.get(key, 'none')}", f"rounding: {stable.get(key, 'not tried')}"
            last = "<br>".join(f"<small>{html.escape(words)}</small>" for words in kept) if key in by_key else ""
            cells = judged_as + drawn, "<br>".join(filter(None, estimate)), last
            kind = ' class="variant"' if place else ""
            rows.append(f"<tr{kind}><th scope=row>{head}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        data = {
            "outcome": "|".join(dict.fromkeys([outcome, *(verdict.verdict for verdict in own)])),
            "setting": "|".join(dict.fromkeys(labels)),
            "chapter": "|".join(dict.fromkeys(judged.chapter or entry.chapter for judged in entry.judged)),
        }
        attributes = " ".join(f'data-{name}="{html.escape(text)}"' for name, text in data.items())
        groups.append(f'<tbody id="{anchor(entry.id)}" {attributes}>{"".join(rows)}</tbody>')
    order = [one for one in OUTCOMES if one in outcomes]
    filters = "".join(
        f'<label>{name} <select data-filter="{name}"><option value="">all</option>'
        + "".join(f"<option>{html.escape(one)}</option>" for one in options)
        + "</select></label> "
        for name, options in (("outcome", order), ("setting", sorted(settings)), ("chapter", sorted(chapters)))
    )
    heads = "".join(
        f"<th scope=col>{name}</th>" for name in ("claim, setting", "verdict, against its rule", "estimate", "stable")
    )
    return (
        f'<div class="filters" hidden>{filters}<output></output></div><div class="wide-table" tabindex="0">'
        f'<table class="dataframe scorecard"><thead><tr>{heads}</tr></thead>{"".join(groups)}</table></div>'
    )


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
