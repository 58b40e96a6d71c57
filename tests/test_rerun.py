"""The page on reruns: every command on it is executed as it stands, in a copy of the repository with a small paper.yml."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

import lib.__main__ as command
from lib.files import ROOT, keys
from tools.execute import sentence
from tools.notebooks import ChapterError

pytestmark = pytest.mark.slow

PAGE = (ROOT / "book" / "rerun.md").read_text()
COMMANDS = [line for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
# What stands in for a command, or a part of it. The cells of a chapter have the paper's values, which only -f replaces.
IN_PLACE_OF = {
    "papermill book/re-dense.md out.ipynb": "papermill book/re-dense.md out.ipynb -f params/paper.yml",
    "papermill re-dense.md out.ipynb": "papermill re-dense.md out.ipynb -f ../params/paper.yml",
    "make book": f"make --dry-run book PYTHON={sys.executable}",  # installs, and takes minutes
}


def typed(text: str) -> str:
    """A command of the page as the test runs it."""
    for old, new in IN_PLACE_OF.items():
        text = text.replace(old, new)
    return text


def sh(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder)}
    return subprocess.run(["sh", "-c", text], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without records, whose profiles are tiny."""
    folder = tmp_path_factory.mktemp("copy")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if not name.startswith("results/") and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    small = yaml.safe_load((ROOT / "params" / "smoke.yml").read_text()) | {"epochs": 60, "ticket_epoch": 40}
    for profile, seeds in (("smoke", [0, 1]), ("paper", "recorded")):
        values = small | {"profile": profile, "seeds": seeds}
        (folder / "params" / f"{profile}.yml").write_text(yaml.safe_dump(values))
    return folder


def records(folder: Path) -> set[str]:
    """The keys of the records in a folder."""
    return {key for path in (folder / "records").glob("*") for key in keys(path)}


def test_every_command_of_the_page_works_as_typed(copy: Path) -> None:
    assert len(COMMANDS) > 10
    said = {}
    for text in COMMANDS:
        before = records(copy / "results")
        done = sh(typed(text), copy)
        # `status` finds records missing, and says so by its status.
        assert done.returncode == (1 if " status " in text else 0), f"{text}\n{done.stdout}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr
        said[text] = done.stdout
        if text != "python -m lib train --chapter re-dense --seeds 5:15":
            assert records(copy / "results") == before, text
    assert len(records(copy / "results")) == 70 and len(records(copy / "mine")) == 7
    assert (copy / "results" / "verdicts.json").exists()
    (changed,) = (copy / ".cache").glob("verdicts-paper-with-prime-97-train-fraction-0.3-7.json")
    profiles = {verdict["profile"] for verdict in json.loads(changed.read_text())}
    assert profiles == {"paper, with prime = 97, train_fraction = 0.3"}
    for text in (text for text in COMMANDS if " verify " in text):
        assert said[text].count(": the same to the bit\n") == int(text.split()[5]), said[text]
    assert (copy / "book" / "out.ipynb").exists()
    [*_, last] = [text for text in COMMANDS if " run " in text]
    assert "[5, 6, 7, 8, 9, 25, 26]" in last  # whose notebook is the one that is left
    assert "seeds 5–9, 25, 26" in nbformat.writes(nbformat.read(copy / "out.ipynb", 4), ensure_ascii=False)


@pytest.mark.parametrize("text", IN_PLACE_OF)
def test_what_is_replaced_stands_on_the_page(text: str) -> None:
    assert any(text in one for one in COMMANDS)


# --- python -m lib run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("re-dense", "-p", "prime", "15"), "parameters: prime is 15; must be a prime number, such as 67 (the modulus"),
        (("re-dense", "-p", "seeds", "[]"), "parameters: seeds is []; name at least one seed"),
        (("re-dense", "-p", "sedes", "[7]"), "parameters: unknown parameter sedes; the parameters are profile, seeds,"),
        (("re-dense", "--profile", "big"), "there is no profile 'big' in params/; there are paper, smoke"),
        (("nowhere",), "There is no chapter 'nowhere'; there are: book/intro, "),
        (("re-dense", "--output", "out.md"), "--output is 'out.md'; it must end in .ipynb"),
    ],
)
def test_what_cannot_be_run_is_one_sentence_before_anything_is_run(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.execute.execute", lambda *_, **__: pytest.fail("it was run"))
    assert command.main(["run", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {message}") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_in_a_chapter_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    output = tmp_path / "out.ipynb"
    text = f"python -m lib run mnist --profile smoke -p images {tmp_path / 'empty'} --output {output}"
    done = sh(text.replace("python", sys.executable, 1), ROOT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "empty") in done.stderr and not output.exists()


def test_an_error_that_is_not_the_books_own_is_told_with_its_place() -> None:
    assert (
        sentence(ChapterError("book/x.md, cell [3] `a`\n    KeyError: 'b'")) == "book/x.md, cell [3] `a` KeyError: 'b'"
    )
