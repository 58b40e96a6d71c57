"""A chapter that was begun with `make chapter` runs, keeps the rules of the house and shows in a preview at once."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.files import StoreError
from tools import chapter, preview
from tools.notebooks import ROOT, ChapterError

LEFT_OUT = shutil.ignore_patterns("results", "_build", ".*", "*.egg-info", "__pycache__")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the repository, without its records."""
    return shutil.copytree(ROOT, tmp_path / "copy", ignore=LEFT_OUT)


def run(root: Path, *arguments: str) -> str:
    """What a module of the copy prints; fails where it does not end well."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_new_chapter_passes_at_once(root: Path) -> None:
    wrote = run(root, "tools.chapter", "new-one")
    assert wrote == "wrote: book/new-one.md book/new-one.py _toc.yml lib/experiments/chapters.py\n"
    run(root, "tools.lint")
    run(root, "ruff", "check")
    run(root, "ruff", "format", "--check")
    tests = [
        "tests/test_chapters.py",
        "tests/test_sync.py",
        "-k",
        "new-one or folder or pairs_agree",
        "-p",
        "no:cacheprovider",
    ]
    passed = run(root, "pytest", "-v", *tests)
    for name in (
        "chapter_runs",
        "every_figure_is_there",
        "parameters_cell",
        "one_word_in",
        "in_the_folder_is_in_the_table",
    ):
        assert name in passed
    page = Path(run(root, "tools.preview", "new-one", "--profile", "smoke", "--once").strip()).read_text()
    assert "New one" in page and 'alt="A panel for each setting' in page


@pytest.mark.parametrize("name", ["Weight", "weight norm", "weight_norm", "7", "-x", "x--y", "", "../x", "é"])
def test_a_bad_name_is_one_sentence(name: str, root: Path) -> None:
    with pytest.raises(ChapterError, match="is no name for a chapter: lower-case letters, digits and hyphens"):
        chapter.begin(root, name)


@pytest.mark.parametrize("name", ["re-dense", "intro", "limits"])
def test_no_chapter_is_written_over(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / f"book/{name}.md").read_text()
    with pytest.raises(ChapterError, match=f"There is a chapter {name} already."):
        chapter.begin(root, name)
    assert (root / f"book/{name}.md").read_text() == before
    assert chapter.main([name]) == 1
    assert capsys.readouterr().err == f"There is a chapter {name} already.\n"


def test_preview_of_no_chapter_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert preview.main(["no-such-chapter", "--once"]) == 1
    assert capsys.readouterr().err.startswith("There is no chapter 'no-such-chapter'; there are: ")


def test_preview_on_a_full_disk_is_one_sentence(capsys, monkeypatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise StoreError("cannot write x")

    monkeypatch.setattr(preview, "sync", fail)
    assert preview.main(["re-dense", "--once"]) == 1
    assert capsys.readouterr().err == "cannot write x\n"


def test_preview_notices_what_the_page_depends_on() -> None:
    found = {str(path.relative_to(ROOT)) for path in preview.stamps("book/re-dense")}
    assert {"book/re-dense.md", "book/re-dense.py", "lib/book/figures.py", "book/claims.yml", "_config.yml"} <= found
    assert "book/tasks.md" not in found


def test_preview_keeps_of_every_page_what_links_lead_to() -> None:
    texts = [path.read_text() for path in (ROOT / "book").glob("*.md")]
    stubs = [preview.stub(text) for text in texts]
    assert all(stub.startswith("# ") and "\n# " not in stub for stub in stubs)
    links = {link for text in texts for link in re.findall(r"{ref}`([\w-]+)`", text)}
    assert links
    assert links <= {label for stub in stubs for label in re.findall(r"^\(([\w-]+)\)=$", stub, re.M)}
