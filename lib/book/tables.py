"""What chapters show beside their figures, as frames and as HTML: tables, downloads, verdicts, provenance. Shapes: S seeds."""

import base64
import hashlib
import html
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from lib.analysis import progress, times
from lib.claims.claims import Claim
from lib.claims.criteria import edition_of
from lib.claims.judging import (
    Judgement,
    effect_text,
    evidence_text,
    exploratory_text,
    is_exploratory,
    part_text,
    result_text,
)
from lib.claims.measures import ArmName, crossing, falls_of_squares, label, probes_of
from lib.claims.statistics import MIN_SEEDS, between, elsewhere, least
from lib.experiments.arms import Arm
from lib.experiments.comparison import Comparison
from lib.experiments.parameters import Parameters
from lib.train.trainer import METRICS

Comparisons = Iterable[Comparison]

# --- frames -------------------------------------------------------------------------------------------------------


def curves(comparisons: Comparisons, metrics: Sequence[str] = METRICS, every: int = 1) -> pd.DataFrame:
    """Metrics over epochs, one row a setting, arm, seed and (every so many) evaluation: the figures' data."""
    parts = [
        pd.DataFrame(
            {"epoch": record.epochs[::every], **{name: record.metrics[name][::every] for name in metrics}}
        ).assign(setting=comparison.name, arm=one.name, value=one.value, seed=record.seed)
        for comparison in comparisons
        for one, records in comparison.arms.items()
        for record in records
    ]
    return pd.concat(parts, ignore_index=True)[["setting", "arm", "value", "seed", "epoch", *metrics]]


def ends(comparisons: Comparisons) -> pd.DataFrame:
    """One row a setting, arm and seed: when it fits and generalizes (empty: never), and how it ends."""
    rows = []
    for comparison in comparisons:
        tau = comparison.tau
        for one, records in comparison.arms.items():
            for record in records:
                head = {
                    "setting": comparison.name,
                    "arm": one.name,
                    "value": one.value,
                    "seed": record.seed,
                    "tau": tau,
                }
                fitted, t_gen = times.fitting_epoch(record, tau), times.generalization_epoch(record, tau)
                last = {f"final_{name}": record.metrics[name][-1] for name in METRICS}
                rows.append({**head, "epoch_fitted": fitted, "t_gen": t_gen, **last})
    return pd.DataFrame(rows).astype({"epoch_fitted": "Int64", "t_gen": "Int64"})


def seeds_text(seeds: Iterable[int]) -> str:
    """Seeds in short: "seeds 0–4, 7"."""
    runs: list[list[int]] = []
    seeds = set(seeds)
    for seed in sorted(seeds):
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    parts = [f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a}–{b}" for a, b in runs]
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(parts)}"


def seeds_of(comparisons: Iterable[Comparison], parameters: Parameters) -> str:
    """The seeds of comparisons in short, by setting where they differ; most of many settings are "the others"."""
    by_seeds: dict[str, list[str]] = {}
    for comparison in comparisons:
        kind = "exploratory " if is_exploratory(comparison, parameters) else ""
        by_seeds.setdefault(kind + seeds_text(comparison.seeds), []).append(comparison.label)
    if len(by_seeds) == 1:
        return next(iter(by_seeds))
    most = max(by_seeds.values(), key=len)
    if len(most) > 3:
        most[:] = ["the others"]
    return "; ".join(f"{seeds} ({', '.join(labels)})" for seeds, labels in by_seeds.items())


def epochs_text(epochs: Sequence[int | None], budget: int) -> str:
    """Median and range of epochs over seeds, "(all)" if they are the same; None is later than the budget."""
    values = np.array([np.inf if epoch is None else epoch for epoch in epochs])
    numbers = times.median_time(epochs), values.min(), values.max()
    median, low, high = (f"> {budget:,}" if np.isinf(value) else f"{value:,.0f}" for value in numbers)
    return f"{median} (all)" if low == high else f"{median} ({low} – {high})"


def range_text(values: Sequence[float], form: str = ".3f") -> str:
    """Median and range of numbers over seeds; "–" where none is known."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return f"{np.median(known):{form}} ({known.min():{form}} – {known.max():{form}})" if len(known) else "–"


LEVEL_COLUMN = "setting (τ)"  # a column of `with_level`


def with_level(comparison: Comparison, arm: Arm | None = None) -> str:
    """A setting, or an arm of it, and the test accuracy from which on it counts as generalized: "MLP (0.95)"."""
    named = comparison.label if arm is None else f"{comparison.label}, {arm.label}"
    return f"{named} ({comparison.tau:.2f})"


def summary(comparisons: Comparisons) -> pd.DataFrame:
    """One row a setting and arm: when it fits, generalizes, and how it ends; medians and ranges over seeds."""
    rows = []
    for comparison in comparisons:
        tau, budget = comparison.tau, comparison.budget
        for one, records in comparison.arms.items():
            rows.append(
                {
                    LEVEL_COLUMN: with_level(comparison),
                    "arm": one.label,
                    "training accuracy at τ (epoch)": epochs_text(
                        [times.fitting_epoch(record, tau) for record in records], budget
                    ),
                    "t_gen (epoch)": epochs_text(comparison.t_gen(one), budget),
                    "generalize": f"{sum(t is not None for t in comparison.t_gen(one))} of {len(records)}",
                    "test accuracy at the end": range_text([times.final(record) for record in records]),
                }
            )
    return pd.DataFrame(rows)


def plateaus(comparison: Comparison, arms: Iterable[ArmName]) -> pd.DataFrame:
    """Where the measures of some arms end, as medians and ranges over seeds, a row an arm."""
    rows = []
    for one in arms:
        records = comparison[one]
        row = {
            "arm": label(one),
            "log test loss": range_text(
                [progress.plateau(progress.log_test_loss(record)) for record in records], ".2f"
            ),
            "excluded loss": range_text(
                [progress.plateau(progress.excluded(probes_of(record))) for record in records], ".2f"
            ),
            "squared weights": range_text([progress.plateau(record.metrics["l2"] ** 2) for record in records], ".0f"),
            "second rise (nats)": range_text([progress.second_rise(record) for record in records], ".2f"),
            "falls of squared weights": range_text([falls_of_squares(record) for record in records], ".0f"),
            "restricted < training loss (epoch)": epochs_text(list(map(crossing, records)), comparison.budget),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def epochs_by_seed(comparisons: Comparisons) -> pd.DataFrame:
    """t_gen, one row a setting and arm, one column a seed: <NA> where it is never reached, NaN where a setting lacks the seed."""
    rows = []
    for comparison in comparisons:
        for one in comparison.arms:
            times = [pd.NA if t is None else t for t in comparison.t_gen(one)]
            found = {f"seed {seed}": t for seed, t in zip(comparison.seeds, times, strict=True)}
            rows.append({LEVEL_COLUMN: with_level(comparison), "arm": one.label, **found})
    return pd.DataFrame(rows, dtype=object)


# --- HTML ---------------------------------------------------------------------------------------------------------


def table(frame: pd.DataFrame, precision: int = 2) -> str:
    """A frame as an HTML table that scrolls sideways where the page is narrow. A missing epoch reads "never", what else is missing "–"."""

    def text(value: object) -> str:
        if value is pd.NA:
            return "never"
        if value is None:
            return "–"
        if isinstance(value, bool | np.bool_):
            return "yes" if value else "no"
        if isinstance(value, float):
            return "–" if np.isnan(value) else "no bound" if np.isinf(value) else f"{value:,.{precision}f}"
        return f"{value:,}" if isinstance(value, int | np.integer) else str(value)

    body = frame.astype(object).map(text).to_html(index=False, border=0, classes="dataframe", escape=True)
    body = re.sub(r"<td>(?=[^<]{41})", '<td class="long">', body)
    body = re.sub(r"(?<=[\s(>])-(?=\d)", "−", body)  # a minus, which a line is not broken after
    body = body.replace(" – ", "\u00a0–\u2060\u00a0").replace("&gt; ", "&gt;\u00a0")  # a range stays on its line
    return f'<div class="wide-table" tabindex="0">{body}</div>'


def download(frame: pd.DataFrame, name: str) -> str:
    """A link that saves the frame as name.csv; the data are in the link itself, so that it works without a server."""
    data = base64.b64encode(frame.to_csv(index=False, float_format="%.6g").encode()).decode()
    size = len(data) * 3 // 4 // 1024
    return (
        f'<p class="download"><a download="{name}.csv" href="data:text/csv;base64,{data}">'
        f"Data of this figure: {name}.csv</a> ({max(size, 1)} kB)</p>"
    )


# Follows a player's HTML; `player` puts in the id and the data.
_PLAY = """(() => {
  const frames = FRAMES, labels = LABELS;
  const [button, range, label, image] = ["button", "input", "span", "img"].map(
    (tag) => document.getElementById("ID").querySelector(tag));
  let timer = null;
  const show = () => {
    image.src = "data:image/png;base64," + frames[range.value];
    label.textContent = labels[range.value];
    range.setAttribute("aria-valuetext", labels[range.value]);
  };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "\u25b6 Play"; };
  const step = () => { if (+range.value < frames.length - 1) { range.value++; show(); } else stop(); };
  range.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (+range.value === frames.length - 1) { range.value = 0; show(); }
    timer = setInterval(step, 350);
    button.textContent = "\u275a\u275a Pause";
  });
})();"""


def player(frames: Sequence[bytes], labels: Sequence[str], alt: str) -> str:
    """An animation of PNG frames to play, pause and scrub, with a text for each frame. All of it is in the HTML."""
    data = [base64.b64encode(frame).decode() for frame in frames]
    key = "player-" + hashlib.sha256(b"".join(frames)).hexdigest()[:12]
    words = json.dumps(list(labels)).replace("</", "<\\/")  # text that ends no script
    script = _PLAY.replace("ID", key).replace("LABELS", words).replace("FRAMES", json.dumps(data))
    control = "color:inherit;background:none;border:1px solid currentColor;border-radius:.3rem;padding:.3rem .7rem"
    return (
        f'<div class="player" id="{key}" role="group" aria-label="{html.escape(alt)}" style="max-width:40rem">'
        f'<p style="display:flex;gap:.7rem;align-items:center"><button type="button" style="{control};min-width:6.5rem">'
        f'&#9654; Play</button><input type="range" min="0" max="{len(data) - 1}" value="0" style="flex:1;min-width:4rem" '
        f'aria-label="frame" aria-valuetext="{html.escape(labels[0])}"></p><p><span>{html.escape(labels[0])}</span></p>'
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data[0]}" style="width:100%"></div>'
        f"<script>{script}</script>"
    )


MARKS = {"replicated": "✓", "refuted": "✗", "inconclusive": "?", "mixed": "±", "taken up": "→"}


def badge(outcome: str) -> str:
    """A verdict as a coloured word with a mark."""
    mark = f'<span aria-hidden="true">{MARKS.get(outcome, "–")}</span> '
    return f'<span class="badge {outcome.replace(" ", "-")}">{mark}{outcome}</span>'


def anchor(claim: str, system: str = "") -> str:
    """The id of a claim's box, or of its verdict on a system: "c16", "c16-transformer-snip"."""
    return "-".join([claim.lower(), *"".join(c if c.isalnum() else " " for c in system).split()])


def folded(summary: str, content: str, key: str = "") -> str:
    """Content (HTML) that a reader unfolds below a summary (HTML), as chapters fold theirs; a link to its key unfolds it too."""
    name = f' id="{key}"' if key else ""
    return f'<details class="fold"{name}><summary>{summary}</summary>{content}</details>'


def settled(claim: Claim, system: str, recorded: Mapping[str, Sequence[str]]) -> str:
    """When a claim's rule was written for a system, and when the runs were made that it is judged on: their times in ISO 8601, UTC,
    by arm."""
    edition = edition_of(claim)
    if edition is None:
        return "This criterion is in no edition yet: it may change before its runs."
    when, times = f"{edition.settled:%Y-%m-%dT%H:%M:%SZ}", sorted(itertools.chain(*recorded.values()))
    first, last = times[0][:10], times[-1][:10]
    made = first if first == last else f"{first} to {last}"
    order = "after" if times[0] > when else "before" if times[-1] < when else "partly before"
    after = [name for name, found in recorded.items() if min(found) > when] if order == "partly before" else []
    late = f"; all after it: {', '.join(after)}" if after else ""
    return (
        f"The criterion was settled on {edition.settled:%Y-%m-%d} ({edition.tag}, commit {edition.commit[:8]}) with "
        f"{edition.known} known; its first form was written {edition.claims[claim.id].written(system)}. The runs shown were made {order} that ({made}){late}."
    )


def depends(levels: pd.DataFrame) -> str:
    """How an outcome depends on its level, from `judging.sensitivity`; "" where it does not."""
    if levels["outcome"].nunique() < 2:
        return ""
    outcomes = levels[1:].groupby("outcome", sort=False)["level"].agg(", ".join)
    return "The outcome depends on the level: " + "; ".join(f"{one} at {at}" for one, at in outcomes.items()) + "."


def part_rows(judgement: Judgement) -> pd.DataFrame:
    """One row a part: what was measured, median or share, interval, for ratios of times the geometric mean by a model of log
    time with censoring, rule, outcome."""
    rows = []
    for one in judgement.parts:
        share = one.unit == "share of seeds"
        middle = np.mean if share else np.median
        numbers = (middle(one.low), middle(one.high)) if one.low else (None, None)  # every seed may be no case
        rows.append(
            {
                "measured": one.words,
                "share of seeds" if share else "median": between(*numbers, floor=least(one.unit)),  # type: ignore[arg-type]
                "unit": "" if share else one.unit,
                "95% interval": between(*one.interval, floor=least(one.unit)),
                "geometric mean": ""
                if one.modelled is None
                else f"{one.modelled[0]:.3g} ({between(*one.modelled[1:])})",
                "no case": len(one.table) - len(one.low),
                "open seeds": one.open_seeds,
                "rule": str(one.part.rule),
                "at other thresholds of the rule": elsewhere(one.part.rule, *one.interval),
                "outcome": one.outcome,
            }
        )
    return pd.DataFrame(rows).fillna("")


UPRIGHT = 3  # rows that stand side by side on a page


def upright(rows: pd.DataFrame) -> pd.DataFrame:
    """A table of few rows and many columns, turned by 90 degrees; one of many rows as it is."""
    if len(rows) > UPRIGHT:
        return rows
    first = rows.columns[0]
    return rows.set_index(first).T.rename_axis(first).reset_index()


NO_NUMBER = "the text at hand gives no number"  # abstract, appendices and summaries; not sections 1 to 6


def box(claim: Claim, verdicts: Iterable[str], notes: Iterable[str] = ()) -> str:
    """A claim with its verdicts (`verdict`) beside the paper's number, its criterion and what that leaves out; folded, the claim in
    full, what is measured and the notes."""
    text = "".join(
        f"<p>{html.escape(note)}</p>" for note in [claim.claim, f"Measured: {claim.measure}", *notes] if note
    )
    mind = f" <em>Mind:</em> {html.escape(claim.mind)}" if claim.mind else ""
    key = anchor(claim.id)
    return (
        f'<div class="verdict" id="{key}"><p><a class="anchor" href="#{key}">{claim.id}</a> '
        f"<strong>{html.escape(claim.title)}</strong> ({html.escape(claim.source)})</p>"
        f"<p><em>Paper:</em> {html.escape(claim.paper or NO_NUMBER)}. <em>Here</em> (parts and seeds unfold):"
        f"</p>{''.join(verdicts)}"
        f"<p><em>Criterion:</em> {html.escape(claim.criterion)}{mind}</p>"
        f"{folded('The claim in full, and when its criterion was settled', text)}</div>"
    )


def verdict(judgement: Judgement, notes: Iterable[str] = ()) -> str:
    """The verdict on one system with its result; folded, the numbers of its parts and seeds and the notes."""
    found, key = judgement.verdict, anchor(judgement.claim.id, judgement.judged.system)
    text = f"{html.escape(judgement.judged.label)}: {badge(found.verdict)} "
    text += f"{html.escape(result_text(found))} <small>on {evidence_text(judgement)}</small>"
    beside = filter(None, (part_text(judgement), effect_text(judgement), exploratory_text(judgement)))
    text += "".join(f" <small>· {html.escape(one)}</small>" for one in beside)
    of_best = judgement.judged.changed.get("of_best") if isinstance(judgement.judged.changed, Mapping) else None
    generalized = f"{of_best} of the best of its seed's base" if of_best else f"{judgement.tau:.2f}"
    few = f" No verdict either way is given on fewer than {MIN_SEEDS} seeds." if judgement.cases < MIN_SEEDS else ""
    by_seed = "".join(f"<p>{html.escape(one.words)}</p>{table(one.table)}" for one in judgement.parts)
    content = (
        f"{table(upright(part_rows(judgement)))}<p>Generalized: test accuracy {generalized}. Profile: "
        f"{html.escape(found.profile)}; {seeds_text(found.seeds)}.{few} "
        f'<a class="anchor" href="#{key}">Link to this verdict</a>.</p>'
        f"{''.join(f'<p>{html.escape(note)}</p>' for note in notes if note)}{folded('Seed by seed', by_seed)}"
    )
    return folded(text, content, key)


def provenance(comparisons: Comparisons, parameters: Parameters) -> str:
    """Which records a chapter shows, in which versions and on which machine they were made, as HTML."""
    rows, notes, comparisons = [], [], list(comparisons)
    for comparison in comparisons:
        for one, records in comparison.arms.items():
            notes += [record.provenance for record in records]
            rows.append(
                {
                    "setting": comparison.label,
                    "arm": one.label,
                    "training (s a run)": float(np.median([float(r.provenance["seconds"]) for r in records])),
                    "records": " ".join(record.run.key[:8] for record in records),
                }
            )

    def distinct(field: str, upto: int | None = None) -> str:
        return ", ".join(sorted({str(note[field])[:upto] for note in notes if field in note}))

    made = {
        "profile": parameters.label,
        "seeds": seeds_of(comparisons, parameters),
        "epochs": " or ".join(f"{budget:,}" for budget in sorted({c.budget for c in comparisons})),
        "masks": f"epoch {parameters.ticket_epoch:,}, pruning rate {parameters.pruning_rate:g}, unless told otherwise",
        "recorded": distinct("recorded", 10),
        "machine": distinct("machine"),
        "Python": distinct("python"),
        "torch": distinct("torch"),
        "NumPy": distinct("numpy"),
        "matrix products": distinct("products"),
        "numerics": distinct("numerics"),
        "images": distinct("images"),
    }
    facts = pd.DataFrame([(name, text) for name, text in made.items() if text], columns=["records", "made"])
    return table(facts) + folded("All records", table(pd.DataFrame(rows), precision=1))
