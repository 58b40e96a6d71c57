"""An edit on either side of a chapter arrives on the other; contradictory edits stop everything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import NOTEBOOK_HEADER

from tools.notebooks import ROOT, ChapterError, parse, unparse
from tools.sync import content, convert, main, sync

MD = (
    NOTEBOOK_HEADER
    + """
# One

Prose with $x^2$ and a list:

- a
- b

```{note}
A directive in prose.
```

+++ {"tags": ["remove-cell"]}

A second cell of prose.

```{code-cell} ipython3
:tags: [parameters]

seeds = [0]
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: 'Median, band: "over" seeds'
tags: [hide-input]
---
%matplotlib inline
print(seeds)  # a comment
```
"""
)
PY = unparse(parse(MD, "one.md"), "one.py")


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A git repository without a commit, with an empty book/."""
    git(tmp_path, "init")
    (tmp_path / "book").mkdir()
    return tmp_path


@pytest.fixture
def repo(empty: Path) -> Path:
    """A git repository in which the chapter `one` is committed, and its two sides agree."""
    md(empty).write_text(MD)
    py(empty).write_text(PY)
    git(empty, "add", ".")
    git(empty, "commit", "-m", "one")
    return empty


def md(root: Path) -> Path:
    return root / "book" / "one.md"


def py(root: Path) -> Path:
    return root / "book" / "one.py"


def edit(path: Path, old: str = "# One", new: str = "# Two") -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def agree(root: Path) -> bool:
    return content(parse(md(root).read_text(), md(root))) == content(parse(py(root).read_text(), py(root)))


def test_agreeing_sides_are_left_alone(repo: Path) -> None:
    assert sync(repo) == []
    assert (md(repo).read_text(), py(repo).read_text()) == (MD, PY)


@pytest.mark.parametrize(("edited", "other"), [(md, py), (py, md)])
@pytest.mark.parametrize("misleading", [True, False])
def test_an_edit_arrives_on_the_other_side_whatever_the_file_times(repo: Path, edited, other, misleading: bool) -> None:
    edit(edited(repo))
    text = edited(repo).read_text()
    older, newer = (edited, other) if misleading else (other, edited)
    os.utime(older(repo), (1_000_000_000, 1_000_000_000))
    os.utime(newer(repo), (2_000_000_000, 2_000_000_000))
    assert sync(repo) == [other(repo)]
    assert "# Two" in other(repo).read_text()
    assert edited(repo).read_text() == text
    assert agree(repo)
    assert sync(repo) == []


@pytest.mark.parametrize("present", [md, py])
@pytest.mark.parametrize("root", ["empty", "repo"])
def test_a_missing_side_is_made(request: pytest.FixtureRequest, root: str, present) -> None:
    root = request.getfixturevalue(root)
    for side, text in ((md, MD), (py, PY)):
        side(root).unlink(missing_ok=True)
        if side is present:
            side(root).write_text(text)
    assert len(sync(root)) == 1
    assert agree(root)


def test_both_edited_and_disagreeing_names_both_and_writes_nothing(repo: Path) -> None:
    edit(md(repo), new="# Two")
    edit(py(repo), new="# Three")
    (repo / "book" / "new.md").write_text(MD)
    before = {path: path.read_text() for path in (repo / "book").iterdir()}
    with pytest.raises(ChapterError) as caught:
        sync(repo)
    assert "book/one.md and book/one.py were both edited" in caught.value.message
    assert {path: path.read_text() for path in (repo / "book").iterdir()} == before


def test_both_edited_alike_is_fine(repo: Path) -> None:
    edit(md(repo))
    edit(py(repo))
    assert sync(repo) == []


def test_neither_edited_yet_disagreeing_is_an_error(empty: Path) -> None:
    md(empty).write_text(MD)
    py(empty).write_text(PY.replace("# One", "# Two"))
    git(empty, "add", ".")
    git(empty, "commit", "-m", "out of sync")
    with pytest.raises(ChapterError, match=r"book/one.md and book/one.py were left unedited, yet disagree"):
        sync(empty)


def test_untracked_sides_that_disagree_are_an_error_without_a_commit(empty: Path) -> None:
    md(empty).write_text(MD)
    py(empty).write_text(PY.replace("# One", "# Two"))
    with pytest.raises(ChapterError, match=r"book/one.md and book/one.py"):
        sync(empty)


def test_sides_that_disagree_are_an_error_without_git_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book").mkdir()
    md(tmp_path).write_text(MD)
    py(tmp_path).write_text(PY.replace("# One", "# Two"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ChapterError, match=r"book/one.md and book/one.py were both edited and now disagree"):
        sync(tmp_path)


@pytest.mark.parametrize("wrong", [md, py])
def test_deleting_the_wrong_side_solves_a_disagreement(repo: Path, wrong) -> None:
    edit(md(repo), new="# Two")
    edit(py(repo), new="# Three")
    wrong(repo).unlink()
    assert sync(repo) == [wrong(repo)]
    assert agree(repo)


def test_edits_between_two_commits_may_alternate(repo: Path) -> None:
    edit(md(repo), "# One", "# Two")
    sync(repo)
    edit(py(repo), "# Two", "# Three")
    assert sync(repo) == [md(repo)]
    edit(md(repo), "# Three", "# Four")
    assert sync(repo) == [py(repo)]
    assert "# Four" in py(repo).read_text()


def test_an_edit_may_be_undone_on_the_other_side(repo: Path) -> None:
    """Against HEAD only the side that is left alone differs; what the last sync left says which was edited since."""
    edit(py(repo), "# One", "# Two")
    sync(repo)
    edit(md(repo), "# Two", "# One")
    assert sync(repo) == [py(repo)]
    assert (md(repo).read_text(), py(repo).read_text()) == (MD, PY)


def test_other_branch_after_a_sync(repo: Path) -> None:
    """What the last sync left is no help after a checkout; HEAD is."""
    git(repo, "checkout", "-b", "other")
    edit(md(repo), "# One", "# Two")
    sync(repo)
    git(repo, "commit", "-am", "two")
    git(repo, "checkout", "-")
    edit(py(repo), "# One", "# Three")
    assert sync(repo) == [md(repo)]
    assert "# Three" in md(repo).read_text()


def test_metadata_survives_both_ways(repo: Path) -> None:
    edit(py(repo), "print(seeds)", "print(seeds, seeds)")
    sync(repo)
    cells = parse(md(repo).read_text(), md(repo)).cells
    assert [cell.metadata.get("tags") for cell in cells] == [None, ["remove-cell"], ["parameters"], ["hide-input"]]
    assert cells[-1].metadata["mystnb"] == {"image": {"alt": 'Median, band: "over" seeds'}}
    assert cells[-1].source == "%matplotlib inline\nprint(seeds, seeds)  # a comment"


def test_round_trip_is_stable() -> None:
    once = unparse(parse(PY, "one.py"), "one.md")
    assert content(parse(once, "one.md")) == content(parse(MD, "one.md"))
    assert unparse(parse(once, "one.md"), "one.py") == PY
    assert unparse(parse(PY, "one.py"), "one.md") == once


def test_pages_of_prose_have_no_pair(repo: Path) -> None:
    (repo / "book" / "prose.md").write_text("# Only prose\n")
    assert sync(repo) == []


def test_command_check_writes_nothing_and_fails(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(repo), "--check"]) == 0
    edit(md(repo))
    assert main(["--root", str(repo), "--check"]) == 1
    assert capsys.readouterr().out == "to be written by `make sync`: book/one.py\n"
    assert py(repo).read_text() == PY
    assert not (repo / "_build").exists()


def test_command_writes_and_says_so(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(md(repo))
    assert main(["--root", str(repo)]) == 0
    assert capsys.readouterr().out == "wrote: book/one.py\n"


def test_command_reports_disagreement_and_unreadable_files(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(md(repo), new="# Two")
    edit(py(repo), new="# Three")
    (repo / "book" / "bad.md").write_text(MD.replace("mystnb:", "mystnb: ["))
    assert main(["--root", str(repo)]) == 1
    errors = capsys.readouterr().err
    assert "book/one.md and book/one.py" in errors
    assert "book/bad.md is not a notebook" in errors


def test_the_edited_side_is_left_in_the_form_in_which_jupytext_writes_it(repo: Path) -> None:
    """A caption on lines of one's own, or the name that JupyterLab gives the kernel, would else come back at the next edit."""
    edit(md(repo), "    alt: 'Median, band: \"over\" seeds'", '    alt: >-\n      Median,\n      band: "over" seeds')
    edit(md(repo), "display_name: Python 3", "display_name: Python 3 (ipykernel)")
    edit(md(repo))
    assert sync(repo, check=True) == sync(repo) == [md(repo), py(repo)]
    assert md(repo).read_text() == MD.replace("# One", "# Two")
    edit(py(repo), "#     default_lexer: ipython3\n", "")
    edit(py(repo), "# # Two", "# # Three")
    assert sync(repo) == [md(repo), py(repo)]
    assert md(repo).read_text() == MD.replace("# One", "# Three")


NAMES = sorted(path.stem for path in (ROOT / "book").glob("*.py"))


def changed_lines(before: str, after: str) -> int:
    return sum(one != other for one, other in zip(before.splitlines(), after.splitlines(), strict=True))


@pytest.mark.parametrize(("edited", "other"), [(".py", ".md"), (".md", ".py")])
@pytest.mark.parametrize("name", NAMES)
def test_one_word_in_is_one_word_out(name: str, edited: str, other: str) -> None:
    """An edit of one side changes its own line of the other, and no header, caption or alt text."""
    texts = {suffix: (ROOT / "book" / f"{name}{suffix}").read_text() for suffix in (edited, other)}
    assert convert(texts[edited], f"{name}{edited}", f"{name}{other}") == texts[other]
    after = convert(texts[edited].replace(" the ", " thee ", 1), f"{name}{edited}", f"{name}{other}")
    assert changed_lines(texts[other], after) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("edited", "other"), [(".py", ".md"), (".md", ".py")])
def test_jupytext_pairs_the_chapters_by_itself(tmp_path: Path, edited: str, other: str) -> None:
    """What JupyterLab and VS Code do on saving: `jupytext --sync` knows both forms from book/jupytext.toml."""
    shutil.copytree(ROOT / "book", tmp_path / "book")
    for name in NAMES:
        path = tmp_path / "book" / f"{name}{edited}"
        path.write_text(path.read_text().replace(" the ", " thee ", 1))
        os.utime(path.with_suffix(other), (0, 0))
    files = [f"book/{name}{edited}" for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-m", "jupytext", "--sync", *files], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "book" / f"{name}{suffix}" for name in NAMES for suffix in (edited, other)):
        assert changed_lines((ROOT / "book" / path.name).read_text(), path.read_text()) == 1, path.name
