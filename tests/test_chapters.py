"""Every chapter runs at the smoke profile and keeps the rules of the house."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import Executed

from tools.build import chapters, pages
from tools.notebooks import ROOT, parse
from tools.sync import sync

pytestmark = pytest.mark.slow

CHAPTERS = chapters()


def test_every_chapter_in_the_folder_is_in_the_table_of_contents() -> None:
    assert {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")} == set(pages())


def test_chapters_and_their_pairs_agree() -> None:
    assert [str(path) for path in sync(ROOT, check=True)] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_runs(executed: Executed, chapter: str) -> None:
    notebook = nbformat.read(executed.notebook(chapter), as_version=4)
    injected = [cell.source for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "seeds = [7]" in injected[0]
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip())


def test_the_command_of_the_readme_works_as_typed(tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    command = f'papermill book/main-results.md {output} -f params/smoke.yml -p seeds "[7]"'
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert output.exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ('-p seedz "[7]"', "unknown parameter seedz; the parameters are"),
        ("-p pruning_rate 1.5", "pruning_rate is 1.5; input should be less than or equal to 0.99"),
        ("-p epochs many", "epochs is 'many'; input should be a valid integer"),
    ],
)
def test_a_bad_parameter_stops_the_chapter_with_one_sentence(tmp_path: Path, option: str, sentence: str) -> None:
    command = f"papermill book/typical-grokking.md {tmp_path / 'out.ipynb'} -f params/smoke.yml {option}"
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "lib/experiments/parameters.py" not in done.stderr  # the sentence stands alone, not under a traceback


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_parameters_cell_is_the_paper_profile(chapter: str) -> None:
    path = ROOT / f"{chapter}.md"
    (cell,) = [cell for cell in parse(path.read_text(), path).cells if "parameters" in cell.metadata.get("tags", [])]
    values: dict[str, object] = {}
    exec(cell.source, values)
    del values["__builtins__"]
    paper = yaml.safe_load((ROOT / "params" / "paper.yml").read_text())
    if not chapter.startswith("book/mnist"):
        del paper["images"]  # which only these chapters have
    assert values == paper


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_only_one_liners_are_hidden_for_good(chapter: str) -> None:
    """What a reader cannot unfold is a call that says what it shows; the parameters stand in the text."""
    path = ROOT / f"{chapter}.md"
    for cell in parse(path.read_text(), path).cells:
        tags = cell.metadata.get("tags", [])
        if "remove-input" in tags and "parameters" not in tags:
            assert len(cell.source.splitlines()) == 1, cell.source


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_folded_ends_before_the_next_heading(chapter: str) -> None:
    """A section is an element of its own: a fold that crossed its end would swallow the rest of the page or nothing."""
    path, is_open = ROOT / f"{chapter}.md", False
    for cell in parse(path.read_text(), path).cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else []:
            if line.startswith("<details"):
                assert not is_open and line == '<details class="fold">'
                is_open = True
            elif line == "</details>":
                assert is_open
                is_open = False
            assert not (is_open and line.startswith("#")), line
    assert not is_open


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_warns_of_nothing(executed: Executed, chapter: str) -> None:
    notebook = nbformat.read(executed.notebook(chapter), as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr" and "Warning" in output.text] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_is_there_and_has_alt_text(executed: Executed, chapter: str) -> None:
    notebook = nbformat.read(executed.notebook(chapter), as_version=4)
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        assert not figure or any(kind.startswith("image/") for kind in kinds), f"no figure came of:\n{cell.source}"
        if any(kind.startswith("image/") for kind in kinds):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert alt.strip(), f"no alt text (mystnb: image: alt) for the figure of the cell:\n{cell.source}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_caption_begins_with_what_the_figure_shows(executed: Executed, chapter: str) -> None:
    for cell in nbformat.read(executed.notebook(chapter), as_version=4).cells:
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            found = cell.metadata.get("finding", "")
            assert re.search(r"\d", found), f"no finding with a number ends the cell:\n{cell.source}"
            # At smoke hardly any network generalizes, and each that does not takes two words more.
            assert len(found.replace("later than", "").split()) <= 30, found
            assert figure["caption"].startswith(f"**{found}.** ")
            assert not any("finding" in output.get("metadata", {}) for output in cell.outputs)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_source_has_one_parameters_cell_and_no_outputs_of_papermill(chapter: str) -> None:
    path = ROOT / f"{chapter}.md"
    tags = [tag for cell in parse(path.read_text(), path).cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    assert "injected-parameters" not in tags


@pytest.mark.parametrize("profile", sorted((ROOT / "params").glob("*.yml")), ids=lambda path: path.stem)
def test_profiles_set_plain_values(profile: Path) -> None:
    """YAML reads `1e-3` as text; every text in a profile that is a number was meant as one."""

    def check(value: object) -> None:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for child in value:
                check(child)
        elif isinstance(value, str):
            with pytest.raises(ValueError):
                float(value)

    check(yaml.safe_load(profile.read_text()))
