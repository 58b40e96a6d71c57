"""papermill reads chapters as they are, from every place that a user may name them by."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest
from conftest import NOTEBOOK_HEADER

import tools.execute
from lib.files import StoreError
from tools.execute import execute
from tools.notebooks import ChapterError, handler, is_chapter, parse, unparse

pytestmark = pytest.mark.slow

PAPERMILL = Path(sys.executable).with_name("papermill")

CHAPTER = (
    NOTEBOOK_HEADER
    + """
# A chapter

```{code-cell} ipython3
:tags: [parameters, hide-input]

profile = "none"
seeds = [0]
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: nothing
---
print(profile, seeds)
```
"""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a chapter as `.md` and `.py`, and a file of parameters."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "chapter.md").write_text(CHAPTER)
    (tmp_path / "book" / "chapter.py").write_text(unparse(parse(CHAPTER, "chapter.md"), "chapter.py"))
    (tmp_path / "smoke.yml").write_text("profile: smoke\nseeds: [0]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PAPERMILL, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def printed(notebook: Path) -> str:
    return nbformat.read(notebook, as_version=4).cells[-1].outputs[0].text


@pytest.mark.parametrize("prefix", ["book", "./book", "../{name}/book", "{folder}/book"])
def test_command_runs_a_chapter_named_in_any_way(folder: Path, prefix: str) -> None:
    chapter = prefix.format(name=folder.name, folder=folder) + "/chapter.md"
    done = run(chapter, "out.ipynb", "-f", "smoke.yml", "-y", "{seeds: [7]}")
    assert done.returncode == 0, done.stderr
    assert printed(folder / "out.ipynb") == "smoke [7]\n"
    assert "does not end in one of" not in done.stderr


def test_command_runs_the_paired_script(folder: Path) -> None:
    done = run("book/chapter.py", "book/out.ipynb", "-f", "smoke.yml")
    assert done.returncode == 0, done.stderr
    assert printed(folder / "book" / "out.ipynb") == "smoke [0]\n"


def test_command_still_runs_notebooks(folder: Path) -> None:
    nbformat.write(parse(CHAPTER, "chapter.md"), folder / "book" / "chapter.ipynb")
    done = run("book/chapter.ipynb", folder / "out.ipynb")
    assert done.returncode == 0, done.stderr
    assert printed(folder / "out.ipynb") == "none [0]\n"


@pytest.mark.parametrize(
    ("chapter", "output", "message"),
    [
        ("book/absent.md", "out.ipynb", "Cannot read the chapter book/absent.md: No such file or directory."),
        ("book/chapter.md", "book/chapter.md", "Will not write over the source book/chapter.md"),
        ("book/chapter.md", "book/chapter.py", "Will not write over the source book/chapter.py"),
        ("book/prose.md", "out.ipynb", "book/prose.md is not a notebook: its header does not name jupytext."),
        ("book/broken.md", "out.ipynb", "book/broken.md is not a notebook that jupytext can read"),
    ],
)
def test_command_says_in_a_sentence_what_is_wrong(folder: Path, chapter: str, output: str, message: str) -> None:
    (folder / "book" / "prose.md").write_text("# Only prose\n")
    (folder / "book" / "broken.md").write_text(CHAPTER.replace("    alt: nothing", "  \talt: ["))
    done = run(chapter, output)
    assert done.returncode == 1
    assert f"Error: {message}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "book" / "chapter.md").read_text() == CHAPTER


def test_papermill_reads_chapters_from_python(folder: Path) -> None:
    notebook = papermill.execute_notebook("book/chapter.md", None, {"seeds": [1, 2]}, progress_bar=False)
    assert notebook.cells[-1].outputs[0].text == "none [1, 2]\n"


def test_handler_passes_other_files_on(folder: Path) -> None:
    assert handler.read("./smoke.yml") == "profile: smoke\nseeds: [0]\n"
    assert sorted(handler.listdir("./book")) == ["./book/chapter.md", "./book/chapter.py"]
    assert json.loads(handler.read("./book/chapter.md"))["metadata"]["kernelspec"]["name"] == "python3"


def test_a_private_kernel_name_does_not_survive() -> None:
    assert parse(CHAPTER.replace("name: python3", "name: my-env"), "x.md").metadata["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize(
    ("text", "answer"), [(CHAPTER, True), ("# Prose\n", False), ("---\ntitle: x\n---\n# Prose\n", False)]
)
def test_is_chapter(text: str, answer: bool) -> None:
    assert is_chapter(text) is answer


def test_execute_writes_a_notebook_that_names_no_folder_of_this_machine(folder: Path) -> None:
    execute(
        folder / "book" / "chapter.md", folder / "deep" / "out.ipynb", {"seeds": [3]}, metadata={"fingerprint": "x"}
    )
    notebook = nbformat.read(folder / "deep" / "out.ipynb", as_version=4)
    assert printed(folder / "deep" / "out.ipynb") == "none [3]\n"
    assert notebook.metadata["book"] == {"fingerprint": "x"}
    assert not os.path.isabs(notebook.metadata["papermill"]["input_path"])
    injected = next(cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", []))
    assert "hide-input" in injected.metadata["tags"]
    assert [path.name for path in (folder / "deep").iterdir()] == ["out.ipynb"]


def test_execute_names_the_failed_cell_in_a_few_lines(folder: Path) -> None:
    chapter = folder / "book" / "chapter.md"
    chapter.write_text(CHAPTER.replace("print(profile, seeds)", "\n# why\nint('seven')"))
    with pytest.raises(ChapterError) as caught:
        execute(chapter, folder / "out.ipynb", {})
    assert "chapter.md, cell [2] `# why`" in caught.value.message
    assert "ValueError: invalid literal for int() with base 10: 'seven'" in caught.value.message
    assert len(caught.value.message.splitlines()) < 6
    assert not (folder / "out.ipynb").exists()


def test_what_a_kernels_own_sockets_log_is_not_told(folder: Path, capfd: pytest.CaptureFixture) -> None:
    """A thread logs behind the kernel's back, as its event loop does: what a cell logs goes into the notebook instead."""
    log = (
        "import logging, sys\nlogging.getLogger('tornado.general').addHandler(logging.StreamHandler(sys.__stderr__))\n"
    )
    log += "logging.getLogger('tornado.general').error('Uncaught exception in a callback')\nprint(profile, seeds)"
    chapter = folder / "book" / "chapter.md"
    chapter.write_text(CHAPTER.replace("print(profile, seeds)", log))
    execute(chapter, folder / "out.ipynb", {})
    assert "Uncaught" not in capfd.readouterr().err


def test_execute_names_the_chapter_whose_kernel_was_killed(folder: Path) -> None:
    chapter = folder / "book" / "chapter.md"
    chapter.write_text(CHAPTER.replace("print(profile, seeds)", "import os\nos.kill(os.getpid(), 9)"))
    with pytest.raises(ChapterError, match="chapter.md was killed while it ran, perhaps for want of memory; "):
        execute(chapter, folder / "out.ipynb", {})
    assert not (folder / "out.ipynb").exists()


def test_execute_tries_again_when_kernels_collide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = papermill.execute_notebook, []

    def collide_once(*arguments: object, **options: object) -> nbformat.NotebookNode:
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("Address already in use (addr='tcp://127.0.0.1:1')")
        return real(*arguments, **options)

    monkeypatch.setattr(papermill, "execute_notebook", collide_once)
    monkeypatch.setattr(tools.execute, "time", SimpleNamespace(sleep=lambda seconds: None))
    execute(folder / "book" / "chapter.md", folder / "out.ipynb", {})
    assert len(calls) == 2
    assert printed(folder / "out.ipynb") == "none [0]\n"


def test_execute_passes_other_errors_on_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*arguments: object, **options: object) -> None:
        calls.append(arguments)
        raise RuntimeError("no kernel")

    monkeypatch.setattr(papermill, "execute_notebook", fail)
    with pytest.raises(RuntimeError, match="no kernel"):
        execute(folder / "book" / "chapter.md", folder / "out.ipynb", {})
    assert len(calls) == 1


def test_where_the_notebook_cannot_be_written_nothing_is_executed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(papermill, "execute_notebook", lambda *arguments, **options: pytest.fail("executed"))
    (folder / "file").touch()
    with pytest.raises(StoreError, match="cannot write .*/file/out.ipynb: .*; free some space or check the folder"):
        execute(folder / "book" / "chapter.md", folder / "file" / "out.ipynb", {})
    assert sorted(path.name for path in folder.iterdir()) == ["book", "file", "smoke.yml"]


@pytest.mark.parametrize("suffix", [".md", ".py"])
def test_command_runs_a_chapter_from_its_own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.chdir(folder / "book")
    done = run(f"chapter{suffix}", "out.ipynb")
    assert done.returncode == 0, done.stderr
    assert printed(folder / "book" / "out.ipynb") == "none [0]\n"


@pytest.mark.parametrize("path", ["s3://bucket/x.ipynb", "https://host/x.ipynb", "-"])
def test_other_readers_of_papermill_keep_their_paths(path: str) -> None:
    from papermill.iorw import papermill_io

    assert papermill_io.get_handler(path) is not handler
    assert papermill_io.get_handler("x.md") is handler
