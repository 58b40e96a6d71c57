"""The build on a small book of its own: what is executed when, and what stops it."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest

from tools import build
from tools.notebooks import ROOT, ChapterError

pytestmark = pytest.mark.slow

HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
CELL = """
# {title}

```{{code-cell}} ipython3
:tags: [parameters]

seeds = [0]
```

```{{code-cell}} ipython3
import time
print(time.time_ns())
```
"""
FIGURE = """
```{{code-cell}} ipython3
---
mystnb:
  figure:
    caption: {caption}
    name: fig-one
  image:
    alt: A square.
---
from IPython.display import SVG, Markdown, display

display(Markdown("**3 of 4 (MLP).**"), metadata={{"finding": "3 of 4 (MLP)"}})
SVG('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>')
```
"""
TOC = """\
format: jb-book
root: book/intro
parts:
  - caption: First
    chapters:
      - file: book/one
        sections:
          - file: book/two
  - caption: Second
    chapters:
      - file: book/prose
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with three chapters and a page of prose, which the build takes for its own."""
    for folder in ("book/_static", "book/_extra", "lib/train", "params", "results"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("intro", "one", "two"):
        (tmp_path / "book" / f"{name}.md").write_text(HEADER + CELL.format(title=name))
    (tmp_path / "book" / "prose.md").write_text("# Prose\n\nNo code.\n")
    (tmp_path / "book" / "claims.yml").write_text("[]\n")
    (tmp_path / "lib" / "train" / "tasks.py").write_text("p = 67\n")
    shutil.copy(ROOT / "params" / "smoke.yml", tmp_path / "params")
    (tmp_path / "results" / "record").write_text("1")
    for name in ("book/criteria.yml", "results/verdicts.json"):
        (tmp_path / name).write_text("[]\n")
    (tmp_path / "_toc.yml").write_text(TOC)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return tmp_path


def outputs(root: Path) -> dict[str, str]:
    """What each chapter printed: the time at which it was executed."""
    notebooks = (root / "_build" / "smoke" / "source" / "book").glob("*.ipynb")
    return {path.stem: nbformat.read(path, as_version=4).cells[-1].outputs[0].text for path in notebooks}


def execute_all(root: Path) -> dict[str, str]:
    assert build.execute_chapters(build.chapters(), root / "_build" / "smoke" / "source", {"seeds": [1]}) == {}
    return outputs(root)


def test_pages_come_in_reading_order(root: Path) -> None:
    assert build.pages() == ["book/intro", "book/one", "book/two", "book/prose"]
    assert build.chapters() == ["book/intro", "book/one", "book/two"]


def test_build_writes_the_book_and_leaves_the_sources_alone(root: Path) -> None:
    before = {path: path.read_bytes() for path in (root / "book").rglob("*") if path.is_file()}
    index = build.build("smoke")
    assert index == root / "_build" / "smoke" / "html" / "index.html"
    assert "No code." in (index.parent / "book" / "prose.html").read_text()
    assert outputs(root)["one"].strip() in (index.parent / "book" / "one.html").read_text()
    assert {path: path.read_bytes() for path in (root / "book").rglob("*") if path.is_file()} == before


def test_only_what_changed_is_executed_again(root: Path) -> None:
    first = execute_all(root)
    assert execute_all(root) == first
    with (root / "book" / "one.md").open("a") as chapter:
        chapter.write("\nMore prose.\n\n```{code-cell} ipython3\nprint('new')\n```\n")
    second = execute_all(root)
    assert second == first | {"one": "new\n"}


def test_new_words_keep_the_outputs(root: Path) -> None:
    first = execute_all(root)
    chapter = root / "book" / "one.md"
    text = chapter.read_text().replace("# one", "# Number one\n\nMore prose.")
    chapter.write_text(
        text.replace("```{code-cell} ipython3\nimport", "```{code-cell} ipython3\n:tags: [hide-input]\n\nimport")
    )
    assert execute_all(root) == first
    notebook = nbformat.read(root / "_build" / "smoke" / "source" / "book" / "one.ipynb", as_version=4)
    assert notebook.cells[0].source == "# Number one\n\nMore prose."
    assert [cell.metadata.get("tags") for cell in notebook.cells[1:]] == [
        ["parameters"],
        ["injected-parameters"],
        ["hide-input"],
    ]


def test_what_a_figure_shows_begins_its_caption_and_stays_there(root: Path) -> None:
    chapter, executed = root / "book" / "one.md", root / "_build" / "smoke" / "source" / "book" / "one.ipynb"
    text = chapter.read_text()
    for caption in ("How to read it.", "How to read it.", "Other words."):  # executed, built once more, changed
        chapter.write_text(text + FIGURE.format(caption=caption))
        html = build.build("smoke").parent / "book" / "one.html"
        *_, cell = nbformat.read(executed, as_version=4).cells
        assert cell.metadata.mystnb.figure.caption == f"**3 of 4 (MLP).** {caption}"
        assert [output.output_type for output in cell.outputs] == ["execute_result"]
        assert f"<strong>3 of 4 (MLP).</strong> {caption}" in html.read_text()


def test_readers_see_no_progress_of_a_training_but_what_else_was_said(root: Path) -> None:
    chapter, executed = root / "book" / "one.md", root / "_build" / "smoke" / "source" / "book" / "one.ipynb"
    bar = "50%| 1/2 [00:01, 3 run-epochs/s]"
    for text in (bar, "Warning: late", f"Warning: early\n{bar}"):
        cell = f"\n```{{code-cell}} ipython3\nimport sys\n\nprint({text!r}, file=sys.stderr)\n```\n"
        chapter.write_text(chapter.read_text() + cell)
    build.build("smoke")
    texts = [
        output.get("text", "") for cell in build.code(nbformat.read(executed, as_version=4)) for output in cell.outputs
    ]
    assert {"Warning: late\n", "Warning: early\n"} <= set(texts) and not any("run-epochs" in text for text in texts)


@pytest.mark.parametrize("path", ["lib/train/tasks.py", "book/claims.yml", "results/record"])
def test_every_input_counts(root: Path, path: str) -> None:
    before = build.fingerprints(build.chapters(), {})
    (root / path).write_text("2")
    after = build.fingerprints(build.chapters(), {})
    assert all(before[name] != after[name] for name in before)


def test_parameters_count() -> None:
    assert build.fingerprints(["book/intro"], {"seeds": [0]}) != build.fingerprints(["book/intro"], {"seeds": [1]})


def test_only_executes_the_chapter_that_is_named(root: Path) -> None:
    with pytest.raises(
        ChapterError, match="Not executed yet at profile smoke: book/intro, book/two; build once without --only"
    ):
        build.build("smoke", only=["book/one.md"])
    assert list(outputs(root)) == ["one"]


def test_a_failed_cell_stops_the_build_and_is_named(root: Path) -> None:
    chapter = root / "book" / "two.md"
    chapter.write_text(chapter.read_text().replace("import time", "1 / 0"))
    with pytest.raises(ChapterError) as caught:
        build.build("smoke")
    assert "two.md, cell [3] `1 / 0`\n    ZeroDivisionError: division by zero" in caught.value.message
    assert not (root / "_build" / "smoke" / "html").exists()
    assert sorted(outputs(root)) == ["intro", "one"]


def test_a_warning_of_jupyter_book_stops_the_build_and_keeps_the_last_book(root: Path) -> None:
    index = build.build("smoke")
    (root / "book" / "prose.md").write_text("# Prose\n\n[nowhere](absent.md)\n")
    with pytest.raises(ChapterError, match=r"prose.md.*WARNING.*absent.md"):
        build.build("smoke")
    assert "No code." in (index.parent / "book" / "prose.html").read_text()


def test_command_says_in_a_sentence_what_is_wrong(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--profile", "big"]) == 1
    assert capsys.readouterr().err == "there is no profile 'big' in params/; there are smoke\n"
    assert build.main(["--profile", "smoke", "--only", "three"]) == 1
    assert capsys.readouterr().err == "There is no chapter 'three'; there are: book/intro, book/one, book/two.\n"


@pytest.mark.parametrize(
    ("prime", "wrong"),
    [("8", "smoke.yml: prime is 8; must be a prime number"), ("[", "smoke.yml is not YAML: ")],
)
def test_command_says_in_a_sentence_what_is_wrong_with_a_profile(
    root: Path, capsys: pytest.CaptureFixture[str], prime: str, wrong: str
) -> None:
    profile = root / "params" / "smoke.yml"
    profile.write_text(profile.read_text().replace("prime: 11", f"prime: {prime}"))
    assert build.main(["--profile", "smoke"]) == 1
    said = capsys.readouterr().err
    assert wrong in said
    assert said.count("\n") == 1
    assert not (root / "_build").exists()


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (8, "4"), (None, "1")])
def test_kernels_share_the_cores_unless_told_otherwise(monkeypatch, cores, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    build._share_cores()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    build._share_cores()
    assert os.environ["OMP_NUM_THREADS"] == threads
