"""Figures that fit: the form for phones, what a notebook shows of a figure, and how a page takes both."""

import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from conftest import Executed
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from made_up import comparison

from lib.book import figures
from tools import build, pictures


@pytest.fixture
def figure() -> Iterator[figures.Panels]:
    """Two systems by two measures, with titles above and labels at the left and bottom edges alone, and a legend."""
    figure, axes = figures.panels(2, 2, sharex=True, sharey="row")
    for column, title in zip(axes.T, ("MLP", "Transformer"), strict=True):
        for ax in column:
            ax.plot([1, 2, 3], label="the base's")
            ax.plot([3, 2, 1], label="the ticket's")
        figures.label(column[0], title, "accuracy", x="")
        figures.label(column[1], "", "norm")
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.supxlabel(
        "a foot that is far too long to stand in one line of a page as narrow as a phone, seeds 0 to 9", fontsize=9
    )
    yield figure
    plt.close(figure)


def texts(svg: str) -> list[str]:
    """The texts of an SVG in the order drawn; Matplotlib writes them beside their paths."""
    return re.findall(r"<!-- (.*?) -->", svg, re.S)


def frames(svg: str) -> list[tuple[float, float]]:
    """The left and upper edge of each of an SVG's axes."""
    paths = re.findall(
        r'<g id="axes_\d+">\s*<g id="patch_\d+">\s*<path d="M ([\d.]+) [\d.]+ \nL [^"]*?([\d.]+) \nz', svg
    )
    return [(float(x), float(y)) for x, y in paths]


def overlapping(svg: str) -> list[str]:
    """Texts of an SVG that stand upright, one below the other, and run into one another."""
    places = []
    for text, x, y, size, glyphs in re.findall(
        r"<!-- ([^<>]*) -->\s*<g transform=\"translate\(([\d.]+) ([\d.]+)\) rotate\(-90\) scale\(([\d.]+) -[\d.]+\)\">(.*?)</g>",
        svg,
        re.S,
    ):
        starts = [float(start) for start in re.findall(r"<use [^>]*translate\(([\d.]+)", glyphs)]
        places.append((text, float(x), float(y) - float(size) * max(starts, default=0), float(y)))
    return [
        one
        for (one, x, top, end), (_, other_x, other_top, other_end) in itertools.combinations(places, 2)
        if abs(x - other_x) < 6 and top < other_end and other_top < end
    ]


def width(svg: str) -> float:
    """Inches."""
    return float(re.search(r'width="([\d.]+)pt"', svg)[1]) / 72


def test_on_a_phone_each_panel_stands_below_the_last_with_labels_of_its_own(figure: figures.Panels) -> None:
    wide, narrow = figure.svg(), figure.narrow_svg()
    assert len(frames(wide)) == len(frames(narrow)) == 4
    assert len({x for x, _ in frames(wide)}) == 2 and len({x for x, _ in frames(narrow)}) == 1
    assert len({y for _, y in frames(narrow)}) == 4
    for label, shown in (("accuracy", 1), ("norm", 1), ("epoch", 2)):
        assert texts(wide).count(label) == shown
        assert texts(narrow).count(label) == (4 if label == "epoch" else 2)
    assert width(narrow) < 4 < 8 < width(wide)
    # Both measures of a system follow its title.
    tops = {title: texts(narrow).index(title) for title in ("MLP", "Transformer")}
    assert texts(narrow).count("1.0") > texts(wide).count("1.0") and tops["MLP"] < tops["Transformer"]
    assert next(text for text in texts(wide) if text.startswith("a foot")) not in texts(narrow)  # it is wrapped


def test_the_figure_itself_stays_as_it_was(figure: figures.Panels) -> None:
    def state() -> list[object]:
        labels = [(ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), str(ax.get_subplotspec())) for ax in figure.axes]
        words = [text.get_text() for text in [*figure.texts, *figure.legends[0].get_texts()]]
        return [labels, words, figure.get_size_inches().tolist(), plt.get_fignums()]

    before = state()
    figure.narrow_svg()
    assert state() == before


def test_what_is_narrow_already_has_no_other_form() -> None:
    figure, _ = figures.panels(2, 1)
    assert figure.narrow_svg() is None
    plt.close(figure)


@pytest.mark.parametrize(("height", "found"), [(1.2, ["twenty-eight letters all told"]), (4, [])])
def test_labels_that_run_into_one_another_are_found(height: float, found: list[str]) -> None:
    figure, axes = figures.panels(2, 1, height=height)
    for ax in axes.flat:
        ax.set_ylabel("twenty-eight letters all told")
    figure.savefig(written := io.StringIO(), format="svg")
    assert overlapping(written.getvalue()) == found
    plt.close("all")


def test_a_legend_that_is_wider_than_its_panel_is_folded() -> None:
    figure, axes = figures.panels(1, 1)
    for i in range(6):
        axes[0, 0].plot([i, i], label=f"a long name, number {i}")
    figure.legend(loc="outside upper center", ncols=3)
    assert width(figure.svg()) > 6 and width(figure.narrow_svg()) < 4
    figure.legends[0].remove()
    assert figure.narrow_svg() is None
    plt.close(figure)


def test_a_legend_without_anything_to_name_does_no_harm() -> None:
    figure, _ = figures.panels(1, 2)
    figure.legend([], [], loc="outside upper center")
    assert width(figure.narrow_svg()) < 4
    plt.close(figure)


def test_a_grid_of_pictures_keeps_the_columns_it_asks_for() -> None:
    figure, axes = figures.panels(2, 6, height=2, narrow=3)
    for ax in axes.flat:
        ax.imshow(np.eye(3))
        ax.set_axis_off()
    axes[1, 5].remove()
    narrow = figure.narrow_svg()
    assert len(re.findall(r'<g id="axes_\d+">', narrow)) == 11
    lefts = {round(float(x)) for x in re.findall(r'clipPath id="\w+">\s*<rect x="([\d.]+)"', narrow)}
    assert len(lefts) == 3
    plt.close(figure)


@pytest.mark.parametrize("words", [False, True])
def test_curves_are_lower_on_a_phone_and_rows_of_words_are_not(words: bool) -> None:
    figure, axes = figures.panels(1, 2, height=4)
    for ax in axes.flat:
        ax.plot([0, 1])
        if words:
            figures.rows_of_labels(ax, ["base", "ticket"])
    (_, first), (_, second) = frames(figure.narrow_svg())
    assert abs(second - first) / 72 == pytest.approx(4 if words else figures.NARROW_HEIGHT, abs=0.15)
    plt.close(figure)


def test_squares_leave_no_gap_on_a_phone() -> None:
    figure, axes = figures.panels(1, 2, height=5)
    image = [ax.imshow(np.eye(3)) for ax in axes[0]][-1]
    figure.colorbar(image, ax=axes)
    (_, first), (_, second), _ = frames(figure.narrow_svg())
    assert abs(second - first) <= figures.NARROW_WIDTH * 72
    plt.close(figure)


def test_colour_bars_stay_beside_their_panels() -> None:
    figure, axes = figures.panels(3, 2, height=2)
    for ax in axes.flat:
        figure.colorbar(ax.imshow(np.eye(3), aspect="auto"), ax=ax)
    places = frames(figure.narrow_svg())
    panels, bars = places[:6], places[6:]
    assert len({x for x, _ in panels}) == len({x for x, _ in bars}) == 1
    assert [y for _, y in panels] == pytest.approx([y for _, y in bars])
    plt.close(figure)


def test_a_notebook_shows_one_image_of_a_figure(figure: figures.Panels) -> None:
    shell = InteractiveShell.instance()
    with capture_output(display=True) as captured:
        shell.user_ns["figure"] = figure
        shell.run_cell("display(figure)")
    (output,) = captured.outputs
    assert set(output.data) == {"text/plain", "image/svg+xml"}
    assert len(frames(output.data["image/svg+xml"])) == len(frames(output.metadata[figures.NARROW])) == 4
    InteractiveShell.clear_instance()


def test_pages_take_the_narrow_forms_and_downloads_lose_them(tmp_path: Path, figure: figures.Panels) -> None:
    wide, narrow = figure.svg(), figure.narrow_svg()
    output = nbformat.v4.new_output("display_data", {"image/svg+xml": wide}, metadata={figures.NARROW: narrow})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    for folder in ("_images", "_sources/book", "book"):
        (tmp_path / folder).mkdir(parents=True)
    nbformat.write(notebook, tmp_path / "_sources" / "book" / "x.ipynb")
    (tmp_path / "_images" / "abc.svg").write_text("\n".join(wide.splitlines()))  # as Jupyter Book writes it
    (tmp_path / "_images" / "other.svg").write_text("<svg/>")
    images = '<p><img alt="Two panels." src="../_images/abc.svg" /><img alt="x" src="../_images/other.svg" /></p>'
    (tmp_path / "book" / "x.html").write_text(images)
    pictures.place(tmp_path)
    pictures.place(tmp_path)  # a page that was not rendered again
    assert (tmp_path / "book" / "x.html").read_text() == (
        '<p><picture><source media="(max-width: 600px)" srcset="../_images/abc-narrow.svg">'
        '<img alt="Two panels." src="../_images/abc.svg" /></picture><img alt="x" src="../_images/other.svg" /></p>'
    )
    assert (tmp_path / "_images" / "abc-narrow.svg").read_text() == narrow
    (cell,) = nbformat.read(tmp_path / "_sources" / "book" / "x.ipynb", as_version=4).cells
    assert set(cell.outputs[0].data) == {"image/svg+xml"} and not cell.outputs[0].metadata


@pytest.mark.parametrize(("t_gen", "scale"), [(1_000, "log"), (2_000, "linear"), (None, "linear")])
def test_epochs_are_logarithmic_where_a_ticket_would_hug_the_axis(t_gen: int | None, scale: str) -> None:
    made, (_, axes) = (
        comparison("mlp", [0], [t_gen], epochs=(0, 100, 1_000, 2_000, 30_000)),
        figures.panels(1, 2, sharex=True),
    )
    figures.curves(axes[0, 0], made)
    figures.label(axes[0, 1], "which shares the axis", "")
    assert axes[0, 0].get_xscale() == axes[0, 1].get_xscale() == scale
    plt.gcf().canvas.draw()
    words = [one.get_text() for one in axes[0, 1].get_xticklabels()]
    assert ("1,000" in words) == (scale == "log") and ("10k" in words) == (scale == "linear")
    plt.close("all")


@pytest.mark.parametrize("budgets", [(30_000, 100_000), (100_000, 30_000)])
def test_axes_that_are_shared_reach_to_the_end_of_the_longest_budget(budgets: tuple[int, int]) -> None:
    _, axes = figures.panels(1, 2, sharex=True)
    for ax, budget in zip(axes.flat, budgets, strict=True):
        figures.curves(ax, comparison("mlp", [0], [1_000], epochs=(0, 100, 1_000, 2_000, budget)), logarithmic=True)
    for ax in axes.flat:
        low, high = ax.get_xlim()
        assert low == 100 and 100_000 < high < 200_000
    plt.close("all")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (10, 30_000, ["10", "100", "1,000", "10,000"]),
        (7_000, 50_000, ["10,000", "30,000"]),
        (15_000, 25_000, ["16,000", "18,000", "20,000", "22,000", "24,000"]),
    ],
)
def test_epochs_along_a_logarithmic_axis_are_whole_and_few(low: int, high: int, words: list[str]) -> None:
    _, axes = figures.panels(1, 1)
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xlim(low, high)
    figures.epoch_ticks(axes[0, 0].xaxis)
    plt.gcf().canvas.draw()
    found = {one.get_text() for one in axes[0, 0].get_xticklabels(which="both")} - {""}
    within = {int(word.replace(",", "")): word for word in found}
    assert [within[epoch] for epoch in sorted(within) if low <= epoch <= high] == words
    plt.close("all")


# --- every figure of the book ----------------------------------------------------------------------------------------


def figures_of(executed: Executed, chapter: str) -> list[nbformat.NotebookNode]:
    """The outputs of an executed chapter that show an image."""
    notebook = nbformat.read(executed.notebook(chapter), as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [one for one in outputs if any(kind.startswith("image/") for kind in one.get("data", {}))]


CHAPTERS = build.chapters()


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_fits(executed: Executed, chapter: str) -> None:
    for one in figures_of(executed, chapter):
        assert set(one.data) == {"text/plain", "image/svg+xml"}
        wide, narrow = one.data["image/svg+xml"], one.metadata.get(figures.NARROW)
        columns = len({round(x) for x, _ in frames(wide)})
        assert narrow or (columns == 1 and width(wide) < 4.6)
        for svg in filter(None, (wide, narrow)):
            assert len(svg.encode()) < 250_000
            turned = {float(turn) for turn in re.findall(r"rotate\((-?[\d.]+)", svg)}
            assert turned <= {0, 90, -90}, "slanted labels"
            assert not overlapping(svg)
        if narrow:
            assert width(narrow) < 4.6
            assert len(frames(narrow)) == len(frames(wide))
