"""A chapter of the book: its parameters, its comparisons, and what every chapter shows of them."""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.book import figures, findings, tables
from lib.claims.claims import Claim
from lib.claims.judging import Judgement, is_exploratory, judgements, read_verdicts, result_text, sensitivity
from lib.experiments import parameters as parameter_sets
from lib.experiments.chapters import CHAPTERS, CONFIRMATORY, until_known, wanted
from lib.experiments.comparison import Comparison, compare
from lib.experiments.images import with_images_at_hand
from lib.experiments.parameters import Parameters
from lib.experiments.settings import SETTINGS
from lib.records.plan import obtain
from lib.records.store import Store


@dataclass
class Chapter:
    """What `Chapter.open` gives a notebook. comparisons: by the name of the setting."""

    name: str
    parameters: Parameters
    comparisons: dict[str, Comparison]
    judgements: list[Judgement]

    @classmethod
    def open(cls, name: str, namespace: Mapping[str, Any], of: str | None = None) -> "Chapter":
        """Checks the parameters in a notebook's globals(), trains what is missing and judges the chapter's claims.

        of: the chapter whose runs are shown, where this one has none of its own. Raises ParameterError.
        """
        parameters, store = parameter_sets.check(namespace), Store()
        parameters, note = with_images_at_hand(parameters, store, [of or name])
        all_of = until_known(
            lambda: wanted(parameters, [of or name], store),
            lambda now: obtain(now.runs, store, probed=now.probed, masked=now.masked, device=parameters.device),
        )
        comparisons = all_of.comparisons(of or name, store.versions)
        for text in (note, to_come(of or name, parameters, comparisons), known_before(comparisons, parameters)):
            if text:
                display(Markdown(text))
        known = compare(all_of.exploratory(of or name), store.versions)
        return cls(name, parameters, comparisons, judgements(name, comparisons, parameters, exploratory=known))

    def __getitem__(self, setting: str) -> Comparison:
        """A setting's comparison."""
        return self.comparisons[setting]

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.comparisons.values())

    # --- figures --------------------------------------------------------------------------------------------------

    def panels(
        self,
        *draw: Callable[[Axes, Comparison], None],
        settings: Sequence[str] | None = None,
        height: float = 3.6,
        legend: int = 0,
        **options: Any,
    ) -> None:
        """A figure with a panel for each setting, two in a row; or, where there are several ways to draw it, with a column for
        each setting and a row for each way. It is signed at its foot.

        legend: columns of a legend above all panels, 0 for none. options: of plt.subplots; rows share the vertical axis, all
        the horizontal one.
        """
        shown = [self[name] for name in settings or self.comparisons]
        several = len(draw) > 1
        rows = [shown] * len(draw) if several else [shown[i : i + 2] for i in range(0, len(shown), 2)]
        how: dict[str, Any] = {"sharey": "row", "sharex": True} | options
        figure, axes = figures.panels(len(rows), len(rows[0]), height=height, **how)
        for i, (row, comparisons) in enumerate(zip(axes, rows, strict=True)):
            for ax, comparison in zip(row, comparisons, strict=False):
                draw[i % len(draw)](ax, comparison)
                if several and i > 0:
                    ax.set_title("")
                if several and i < len(rows) - 1:
                    ax.set_xlabel("")
                else:
                    ax.tick_params(labelbottom=True)
            for ax in row[1:]:
                ax.set_ylabel("")
            for ax in row[len(comparisons) :]:
                ax.set_axis_off()
        self.sign(figure, shown, legend)

    @staticmethod
    def _legend(figure: Figure, columns: int) -> None:
        """One legend above all panels, each label once."""
        unique: dict[str, Artist] = {}
        for ax in figure.axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                unique.setdefault(label, handle)
        figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=columns, fontsize=10)

    def sign(self, figure: Figure, shown: Iterable[Comparison] | None = None, legend: int = 0) -> None:
        """Writes profile, data and the seeds of the comparisons that are shown, all unless told, at the figure's foot.

        legend: columns of a legend above all panels, 0 for none.
        """
        if legend:
            self._legend(figure, legend)
        comparisons = list(self if shown is None else shown)
        small = "" if self.parameters.is_paper else " (not the paper's scale)"
        data = "; ".join(dict.fromkeys(one.data for one in comparisons))
        figures.sign(figure, f"{self.parameters.label}{small}, {data}, {tables.seeds_of(comparisons, self.parameters)}")

    @staticmethod
    def finding(text: str) -> None:
        """Ends a figure's cell with what the figure shows, in a sentence; in the book it begins the figure's caption."""
        text = re.sub(r"\bW_(\w+)", r"$W_{\1}$", text)
        display(Markdown(f"**{text}.**"), metadata={"finding": text})

    # --- tables and ends ------------------------------------------------------------------------------------------

    def only(self, *arms: object) -> list[Comparison]:
        """The comparisons with these arms (and the base) alone."""
        return [comparison.only(*arms) for comparison in self]

    def table(self, frame: pd.DataFrame, precision: int = 2) -> HTML:
        """A frame as a table that scrolls sideways where the page is narrow."""
        return HTML(tables.table(frame, precision))

    def summary(self, *arms: object) -> HTML:
        """Folded: when each arm fits and generalizes, and how it ends, as medians and ranges over seeds and seed by seed.

        arms: only these and the base.
        """
        shown = self.only(*arms) if arms else list(self)
        by_seed = tables.folded("t_gen, seed by seed", tables.table(tables.epochs_by_seed(shown)))
        head = "When each network generalizes and how it ends: medians, ranges, every seed"
        return HTML(tables.folded(head, tables.table(tables.summary(shown)) + by_seed))

    def verdicts(self) -> HTML:
        """The verdicts on every claim of the chapter, with their numbers, when its rule was written, and what they depend on."""
        boxes = []
        for own in self._by_claim.values():
            when = [self._settled(one) for one in own]
            shared = when[:1] if len(set(when)) == 1 else []
            each = [
                tables.verdict(one, ["" if shared else note, tables.depends(self._levels(one))])
                for one, note in zip(own, when, strict=True)
            ]
            boxes.append(tables.box(own[0].claim, each, shared))
        return HTML("".join(boxes))

    def in_short(self, *caveats: str) -> HTML:
        """A box for the chapter's head: each claim's outcome and number, and what limits them. caveats: the chapter's own."""
        if not self.judgements:
            return HTML("")
        rows, limits = [], list(caveats)
        for claim, own in self._by_claim.items():
            badges = " ".join(
                f"{html.escape(one.judged.label)} {tables.badge(one.verdict.verdict)} {html.escape(result_text(one.verdict))};"
                for one in own[:2]
            ).removesuffix(";")
            more = f' and <a href="#{tables.anchor(claim)}">{len(own) - 2} more</a>' if len(own) > 2 else ""
            more += self._elsewhere(own[0].claim)
            rows.append(
                f'<li><a href="#{tables.anchor(claim)}">{html.escape(own[0].claim.title)}</a> ({claim}): {badges}{more}</li>'
            )
        if not self.parameters.is_paper:
            limits.append("this is not the paper's scale")
        exploratory = {one.claim.id for one in self.judgements if one.verdict.is_exploratory}
        if exploratory:
            limits.append(f"{_listed(exploratory)} on seeds that were known when the rules were settled")
        fragile = {one.claim.id for one in self.judgements if self._levels(one)["outcome"].nunique() > 1}
        if fragile:
            limits.append(f"{_listed(fragile)} with another outcome at another level of what counts as generalized")
        text = "; ".join(limits) or "no verdict changes with the level of what counts as generalized"
        return HTML(
            f'<div class="in-short"><p><strong>In short</strong></p><ul>{"".join(rows)}</ul><p>Mind: {text}.</p></div>'
        )

    def _elsewhere(self, claim: Claim) -> str:
        """The recorded verdicts on a claim that stand in other chapters, each with a link."""
        if not self.parameters.is_paper:
            return ""
        found = {one.system: one for one in read_verdicts() if one.id == claim.id}
        links: dict[str, list[str]] = {}  # by what they say
        for judged in claim.judged:
            chapter = judged.chapter or claim.chapter
            if chapter != self.name and (verdict := found.get(judged.system)):
                place = f"{chapter}.html#{tables.anchor(claim.id, judged.system)}"
                says = f"{tables.badge(verdict.verdict)} {html.escape(result_text(verdict))}".strip()
                links.setdefault(says, []).append(f'<a href="{place}">{html.escape(judged.label)}</a>')
        words = "; ".join(f"{', '.join(those)} {says}" for says, those in links.items())
        return f"; elsewhere {words}" if words else ""

    def _settled(self, judgement: Judgement) -> str:
        if not self.parameters.is_paper:
            return ""
        recorded = {
            one.label: [record.provenance["recorded"] for record in records]
            for one, records in self[judgement.judged.setting].arms.items()
        }
        return tables.settled(judgement.claim, judgement.judged.system, recorded)

    @property
    def _by_claim(self) -> dict[str, list[Judgement]]:
        found: dict[str, list[Judgement]] = {}
        for one in self.judgements:
            found.setdefault(one.claim.id, []).append(one)
        return found

    @cached_property
    def _by_level(self) -> dict[tuple[str, str], pd.DataFrame]:
        return {
            (one.claim.id, one.judged.system): sensitivity(one, self[one.judged.setting]) for one in self.judgements
        }

    def _levels(self, judgement: Judgement) -> pd.DataFrame:
        return self._by_level[judgement.claim.id, judgement.judged.system]

    def sensitivity(self) -> None:
        """A figure of every verdict that could depend on its level: estimate, interval and outcome at each; none without verdicts."""
        if not self.judgements:
            return
        found = [(one, self._levels(one)) for one in self.judgements]
        shown = [(one, levels) for one, levels in found if len(levels) > 1] or found
        columns = min(len(shown), 2)
        figure, axes = figures.panels(-(-len(shown) // columns), columns, height=2.6)
        for ax, (judgement, levels) in zip(axes.flat, shown, strict=False):
            figures.levels(ax, judgement, levels)
        for ax in axes.flat[len(shown) :]:
            ax.set_axis_off()
        self.sign(figure, [self[name] for name in dict.fromkeys(one.judged.setting for one, _ in shown)], legend=3)
        self.finding(findings.levels(self._by_level))

    def close(self, metrics: Sequence[str] = ("test_accuracy",), every: int = 5, **frames: pd.DataFrame) -> HTML:
        """The command that runs the chapter anew; folded, the data as files and where the records come from.

        metrics: whose curves are offered, at every so many evaluations. frames: further data, by the end of the file's name.
        """
        files = {self.name: tables.ends(self), f"{self.name}-curves": tables.curves(self, metrics, every)}
        files |= {f"{self.name}-{name.replace('_', '-')}": frame for name, frame in frames.items()}
        command = f'papermill book/{self.name}.md out.ipynb -p seeds "{[CONFIRMATORY.stop + i for i in range(3)]}"'
        data = "".join(tables.download(frame, name) for name, frame in files.items())
        return HTML(
            f'<p>With other seeds (<a href="rerun.html">set-up and costs</a>):</p><pre>{command}</pre>'
            + tables.folded("Data of the figures as files", data)
            + tables.folded("Where the records come from", tables.provenance(self, self.parameters))
        )


def to_come(name: str, parameters: Parameters, comparisons: Mapping[str, Comparison]) -> str:
    """A list of the arms of a chapter that are not recorded, and so not shown, as Markdown; empty where all are."""
    settings_of: dict[str, list[str]] = {}  # by what they lack
    for setting, arms in CHAPTERS[name].settings(parameters).items():
        if setting not in comparisons:
            settings_of.setdefault("all networks", []).append(SETTINGS[setting].label)
        elif lacking := dict.fromkeys(one.kind for one in arms if one not in comparisons[setting].arms):
            settings_of.setdefault("; ".join(lacking), []).append(SETTINGS[setting].label)
    rows = [f"* *{'; '.join(settings)}*: {lacking}" for lacking, settings in settings_of.items()]
    return "\n".join(["Not recorded yet of every seed that is shown:", "", *rows]) if rows else ""


def known_before(comparisons: Mapping[str, Comparison], parameters: Parameters) -> str:
    """Which settings of a chapter are shown on exploratory seeds, as Markdown; empty where none is."""
    known = [one.label for one in comparisons.values() if is_exploratory(one, parameters)]
    if not known:
        return ""
    which = "All settings" if len(known) == len(comparisons) else "; ".join(known)
    return f"On *exploratory* seeds, whose runs were known when the criteria were settled: {which}."


def _listed(claims: Iterable[str]) -> str:
    return ", ".join(sorted(claims))
