"""`make lint` finds what would else be found late: on another Python, or by a reader who cannot see the figure."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import NOTEBOOK_HEADER

from tools import lint
from tools.notebooks import ROOT

CELL = """
```{{code-cell}} ipython3
---
mystnb: {shown}
---
{source}
```
"""


def chapter(root: Path, source: str, shown: str = "{}") -> Path:
    path = root / "book" / "one.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(NOTEBOOK_HEADER + CELL.format(source=source, shown=shown))
    return path


@pytest.mark.parametrize(
    ("source", "shown", "lacking"),
    [
        ("chapter.panels(draw)", "{}", ["mystnb: image: alt", "mystnb: figure: caption"]),
        ("chapter.sign(figure)", "{figure: {caption: C}}", ["mystnb: image: alt"]),
        ("draw()", "{figure: {caption: C}}", ["mystnb: image: alt"]),
        ("chapter.sensitivity()", "{image: {alt: A}}", ["mystnb: figure: caption"]),
        ("%matplotlib inline\nchapter.panels(draw)", "{figure: {caption: C}, image: {alt: A}}", []),
        ("def draw():\n    chapter.panels()", "{}", []),
        ("chapter.summary()", "{}", []),
    ],
)
def test_a_figure_without_words_is_named(tmp_path: Path, source: str, shown: str, lacking: list[str], capsys) -> None:
    path, first = chapter(tmp_path, source, shown), source.splitlines()[0]
    assert lint.main(tmp_path) == bool(lacking)
    assert capsys.readouterr().err.splitlines() == [
        f"{path}, cell `{first}`: its figure has no {key}." for key in lacking
    ]


def test_a_cell_that_is_no_python_is_named(tmp_path: Path, capsys) -> None:
    path = chapter(tmp_path, "chapter.panels(")
    assert lint.main(tmp_path) == 1
    assert capsys.readouterr().err == f"{path}, cell `chapter.panels(`: '(' was never closed: chapter.panels(\n"


@pytest.mark.parametrize("name", ["book/one.py", "lib/one.py"])
def test_code_that_the_oldest_python_cannot_read_is_an_error_on_every_python(name: str) -> None:
    """Quotes of one kind, one within the other in an f-string, came with Python 3.12."""
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", str(ROOT / name), "-"]
    nested = subprocess.run(command, input="""print(f"{vars()["a"]}")\n""", cwd=ROOT, capture_output=True, text=True)
    plain = subprocess.run(command, input="""print(f"{vars()['a']}")\n""", cwd=ROOT, capture_output=True, text=True)
    assert nested.returncode == 1 and "Cannot reuse outer quote character in f-strings on Python 3.11" in nested.stdout
    assert plain.returncode == 0, plain.stdout


def test_before_a_commit_runs_what_make_lint_runs() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    recipe = re.search(r"\nlint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())[1]
    lines = [line.strip().replace("$(RUN)", "python") for line in recipe.splitlines()]
    assert [hook["entry"] for hook in repo["hooks"]] == lines
    assert repo["repo"] == "local" and {hook["language"] for hook in repo["hooks"]} == {"system"}  # no network


def test_make_test_begins_with_make_lint() -> None:
    assert re.search(r"^test: lint\b", (ROOT / "Makefile").read_text(), re.MULTILINE)
