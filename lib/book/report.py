"""What chapters show beside their figures: tables, downloads, verdicts, provenance. Frames and HTML, no notebooks."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lib.book import figures
from lib.claims import judging as claims, measures
from lib.experiments.chapters import CHAPTERS, Results
from lib.experiments.parameters import Parameters
from lib.train.trainer import METRICS


def curves(results: Results, metrics: Sequence[str] = METRICS, every: int = 1) -> pd.DataFrame:
    """Metrics over epochs, one row a system, kind of net, seed and (every so many) evaluation: the figures' data."""
    parts = [
        pd.DataFrame(
            {"epoch": record.epochs[::every], **{name: record.metrics[name][::every] for name in metrics}}
        ).assign(system=system, kind=kind, seed=record.seed)
        for system, kinds in results.records.items()
        for kind, records in kinds.items()
        for record in records
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame[["system", "kind", "seed", "epoch", *metrics]]


def ends(results: Results) -> pd.DataFrame:
    """One row a system, kind of net and seed: when it fits and generalizes (empty: never), and how it ends."""
    rows = []
    for system, kinds in results.records.items():
        tau = measures.threshold(kinds["base"])
        for kind, records in kinds.items():
            for record in records:
                times = {
                    "epoch_fitted": measures.train_epoch(record, tau),
                    "t_gen": measures.generalization_epoch(record, tau),
                }
                last = {f"final_{name}": record.metrics[name][-1] for name in METRICS}
                rows.append({"system": system, "kind": kind, "seed": record.seed, "tau": tau, **times, **last})
    return pd.DataFrame(rows).astype({"epoch_fitted": "Int64", "t_gen": "Int64"})


def evidence(judgements: Iterable[claims.Judgement], precision: int = 2) -> str:
    """The numbers behind each verdict, seed by seed, as HTML: a table for each measure and all its systems."""
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for judgement in judgements:
        for part in judgement.parts:
            frame = part.measured.table.rename(columns={"low": "at least", "high": "at most"})
            frame.insert(0, "system", figures.system(judgement.verdict.system))
            key = judgement.claim.id, part.measured.quantity
            if not tables.get(key) or list(tables[key][0]) == list(frame):
                tables.setdefault(key, []).append(frame)
            else:
                tables[(*key, judgement.verdict.system)] = [frame]
    return "".join(
        f"<p><strong>{key[0]}</strong>: {html.escape(key[1])}, seed by seed</p>{table(pd.concat(frames), precision)}"
        for key, frames in tables.items()
    )


def listed(items: Iterable[object]) -> str:
    """Items in words: "1", "1 and 3", "0, 1 and 3"."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds in words: "seed 1", "seeds 0, 1 and 3"."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}"


def open_seeds(kinds: measures.Groups, tau: float) -> list[str]:
    """A sentence for each seed on which base or ticket never generalizes, and one for those on which neither does."""
    neither, sentences = [], []
    bounds = measures.speed_up(kinds, tau)
    for base, ticket, low, high in zip(kinds["base"], kinds["ticket"], bounds.low, bounds.high, strict=True):
        pair = [(record, measures.generalization_epoch(record, tau)) for record in (base, ticket)]
        if all(t is None for _, t in pair):
            neither.append((base, ticket))
        elif any(t is None for _, t in pair):
            what = [f"at epoch {t:,}" if t is not None else f"never ({_best([record])})" for record, t in pair]
            sentences.append(
                f"On seed {base.seed} the base generalizes {what[0]}, its ticket {what[1]}: "
                f"the speed-up is {claims.between(low, high)}."
            )
    if neither:
        bases, tickets = zip(*neither, strict=True)
        sentences.append(
            f"On {seeds_text([record.seed for record in bases])} neither net generalizes (base: {_best(bases)}; ticket: "
            f"{_best(tickets)}), so that nothing is known of the speed-up."
        )
    return sentences


def _best(records: Sequence[measures.Record]) -> str:
    """The highest test accuracy that runs reach, as a range."""
    best = [float(measures.series(record, "test_accuracy").max()) for record in records]
    low, high = f"{min(best):.3f}", f"{max(best):.3f}"
    return f"test accuracy at most {high}" if low == high else f"test accuracy at most {low} to {high}, by seed"


def extremes(judgement: claims.Judgement) -> str:
    """What the verdict would be with each open number at its lower bound, and at its upper one; "" if none is open."""
    part = judgement.parts[0]
    low, high = np.array(part.measured.low), np.minimum(part.measured.high, 1e12)
    if np.array_equal(low, high) or len(low) < claims.MIN_SEEDS:
        return ""
    least, most = (part.rule.outcome(*claims.bootstrap_median(x, x)[1:]) for x in (low, high))
    if least == most:
        return f"Wherever the open speed-ups lie within their bounds, the verdict is {least}."
    return f"With each open speed-up at its lower bound the verdict is {least}, at its upper bound {most}."


def epochs_text(epochs: Sequence[int | None], budget: int) -> str:
    """Median and range of epochs over seeds, in words; None is later than the budget."""
    values = np.array([np.inf if epoch is None else epoch for epoch in epochs])

    def text(value: float) -> str:
        return f"> {budget:,}" if np.isinf(value) else f"{value:,.0f}"

    # The upper median: with an even number of seeds no mean of a number and a bound is taken.
    median = np.quantile(values, 0.5, method="inverted_cdf")
    return f"{text(median)} ({text(values.min())} – {text(values.max())})"


def summary(results: Results) -> pd.DataFrame:
    """One row a system and kind of net: when it fits, generalizes, and how it ends; medians and ranges over seeds."""
    rows = []
    for system, kinds in results.records.items():
        tau = measures.threshold(kinds["base"])
        for kind, records in kinds.items():
            budget = int(records[0].epochs[-1])
            final = np.array([record.metrics["test_accuracy"][-1] for record in records])
            rows.append(
                {
                    "system": figures.system(system),
                    "net": figures.name(kind),
                    "τ": tau,
                    "training accuracy reaches τ (epoch)": epochs_text(
                        [measures.train_epoch(r, tau) for r in records], budget
                    ),
                    "t_gen (epoch)": epochs_text([measures.generalization_epoch(r, tau) for r in records], budget),
                    "test accuracy at the end": f"{np.median(final):.3f} ({final.min():.3f} – {final.max():.3f})",
                }
            )
    return pd.DataFrame(rows)


def epochs_by_seed(results: Results) -> pd.DataFrame:
    """t_gen, one row a system and kind of net, one column a seed."""
    rows = []
    for system, kinds in results.records.items():
        tau = measures.threshold(kinds["base"])
        for kind, records in kinds.items():
            times = {f"seed {record.seed}": measures.generalization_epoch(record, tau) for record in records}
            rows.append({"system": figures.system(system), "τ": tau, "net": figures.name(kind), **times})
    frame = pd.DataFrame(rows)
    return frame.astype({name: "Int64" for name in frame if name.startswith("seed ")})


def table(frame: pd.DataFrame, precision: int = 2) -> str:
    """A frame as an HTML table that scrolls sideways where the page is narrow. Missing epochs read "never"."""

    def text(value: object) -> str:
        if value is pd.NA:
            return "never"
        if isinstance(value, float):
            return "–" if np.isnan(value) else "no bound" if np.isinf(value) else f"{value:,.{precision}f}"
        return f"{value:,}" if isinstance(value, int | np.integer) else str(value)

    body = frame.astype(object).map(text).to_html(index=False, border=0, classes="dataframe", escape=True)
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


def badge(outcome: str) -> str:
    """A verdict as a coloured word."""
    return f'<span class="badge {outcome.replace(" ", "-")}">{outcome}</span>'


def verdict(judgement: claims.Judgement) -> str:
    """A claim, its criterion and its verdict in a box."""
    claim = judgement.claim
    return (
        f'<div class="verdict"><p><strong>{claim.id}</strong> ({html.escape(claim.source)}), '
        f"{figures.system(judgement.verdict.system)}: {badge(judgement.verdict.verdict)}</p>"
        f"<p>{html.escape(claim.claim)}</p><p><em>Criterion.</em> {html.escape(claim.criterion)}</p>"
        f"<p><em>Verdict.</em> {html.escape(claims.sentence(judgement))}</p></div>"
    )


def scorecard(entries: Iterable[claims.Claim | claims.Question], verdicts: Iterable[claims.Verdict]) -> str:
    """The table of all claims and questions with their verdicts, as HTML."""
    frame = claims.scorecard(entries, verdicts)
    rows = []
    for row in frame.itertuples():
        chapter = f'<a href="{row.chapter}.html">{row.chapter}</a>' if row.chapter in CHAPTERS else row.chapter
        system = figures.system(row.system)
        cells = [
            row.id,
            html.escape(row.title),
            html.escape(row.source),
            system,
            badge(row.verdict),
            html.escape(row.result),
            chapter,
        ]
        rows.append(f'<tr title="{html.escape(row.claim)}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("", "claim", "source", "system", "verdict", "estimate", "chapter"))
    return (
        f'<div class="wide-table" tabindex="0"><table class="dataframe scorecard"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def provenance(results: Results, parameters: Parameters) -> str:
    """Which records a chapter shows, in which versions and on which machine they were made, as HTML."""
    records = [record for kinds in results.records.values() for group in kinds.values() for record in group]

    def distinct(field: str, upto: int | None = None) -> str:
        found = {str(record.provenance[field])[:upto] for record in records if field in record.provenance}
        return ", ".join(sorted(found))

    rows = [
        {
            "system": figures.system(system),
            "net": figures.name(kind),
            "seeds": ", ".join(str(record.seed) for record in group),
            "training (s a run)": float(np.median([float(record.provenance["seconds"]) for record in group])),
            "records": " ".join(record.run.key[:8] for record in group),
        }
        for system, kinds in results.records.items()
        for kind, group in kinds.items()
    ]
    made = (
        f"Profile {parameters.profile}. Recorded on {distinct('recorded', 10)} on {distinct('machine')}, with Python "
        f"{distinct('python')}, torch {distinct('torch')}, numpy {distinct('numpy')}; numerics {distinct('numerics')}."
    )
    if distinct("images"):
        made += f" Images: {distinct('images')}."
    shown = table(pd.DataFrame(rows), precision=1)
    return f"<p>{html.escape(made)}</p><details><summary>All records</summary>{shown}</details>"


def rerun(chapter: str) -> str:
    """The command that runs a chapter with seeds of one's own."""
    return f'papermill book/{chapter}.md out.ipynb -p seeds "[7, 8, 9]"'
