"""The command line: status, train and judge, on stores of their own."""

import json
import subprocess
import sys

import pytest

import lib.__main__ as command
import lib.runs
import lib.store
from lib import claims, experiments
from lib.parameters import load
from lib.store import ROOT, Store, StoreError

SMOKE = load("smoke").model_copy(update={"seeds": [0], "epochs": 200, "ticket_epoch": 100})
PROFILES = {"smoke": SMOKE, "paper": SMOKE.model_copy(update={"profile": "paper"})}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """What the commands find in place of results/ and .cache/, and of the profiles: smaller ones."""

    def open_store(commit=False):
        return Store(tmp_path / "results", tmp_path / ".cache", commit=commit)

    monkeypatch.setattr(command, "Store", open_store)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(experiments, "ROOT", tmp_path)
    monkeypatch.setattr(experiments, "VERDICTS", tmp_path / "results" / "verdicts.json")
    monkeypatch.setattr(
        command.parameters, "load", lambda profile: PROFILES[profile] if profile in PROFILES else load(profile)
    )
    return open_store()


def run(capsys, *arguments):
    """Exit status, standard output, standard error."""
    status = command.main(list(arguments))
    return status, *capsys.readouterr()


def records(folder):
    return sorted(path.name for path in folder.rglob("records/*"))


def test_help_as_typed():
    done = subprocess.run([sys.executable, "-m", "lib", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("usage: python -m lib", "status", "train", "judge"))


def test_a_bad_profile_as_typed_is_one_line_and_status_1():
    done = subprocess.run(
        [sys.executable, "-m", "lib", "status", "--profile", "big"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: there is no profile 'big' in params/; there are paper, smoke\n"


@pytest.mark.parametrize("name", ["status", "train", "judge"])
def test_every_command_refuses_a_bad_profile(store, capsys, name):
    status, out, err = run(capsys, name, "--profile", "big")
    assert (status, out) == (1, "")
    assert err.startswith("error: there is no profile 'big'") and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["status", "--chapter", "nowhere"], ["judge", "--chapter", "main-results"]]
)
def test_what_is_no_command_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m lib" in capsys.readouterr().err


def test_status_of_an_empty_store_says_what_training_would_do(store, capsys, tmp_path):
    status, out, err = run(capsys, "status", "--profile", "smoke")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "smoke profile, 4 runs: 4 missing"
    assert lines[1] == "  missing      MLP dense on a+b mod 11, seed 0, 200 epochs"
    assert lines[2] == "               would be trained for 200 epochs: missing: no record of this run"
    assert len(lines) == 9
    assert records(tmp_path) == []


@pytest.fixture
def trained(store, capsys):
    """The store after `train --profile smoke`."""
    status, out, _ = run(capsys, "train", "--profile", "smoke")
    assert (status, out) == (0, "smoke profile: 4 runs recorded, 4 trained just now\n")
    return store


def test_train_then_status_then_train_again(trained, capsys, tmp_path):
    assert records(tmp_path / "results") == []
    assert len(records(tmp_path / ".cache")) == 4
    status, out, _ = run(capsys, "status", "--profile", "smoke")
    assert status == 0
    assert out.splitlines()[0] == "smoke profile, 4 runs: 4 recorded"
    assert out.count("\n  recorded ") == 4 and "would be trained" not in out
    assert run(capsys, "train", "--profile", "smoke")[:2] == (0, "smoke profile: 4 runs recorded, 0 trained just now\n")


def test_status_gives_the_reason_for_each_run(trained, capsys, monkeypatch):
    [base], [ticket] = experiments.main_results(SMOKE)["mlp"].values()
    path = trained.write_to / f"{base.key}.npz"
    path.write_bytes(b"x")
    (trained.write_to / f"{ticket.key}.npz").unlink()
    (trained.write_to / "notes.txt").write_text("hello")
    for checkpoint in trained.checkpoints.rglob("*.npz"):
        checkpoint.unlink()
    _, out, _ = run(capsys, "status", "--profile", "smoke")
    assert out.splitlines()[0] == "smoke profile, 4 runs: 1 damaged, 2 recorded, 1 missing"
    assert f"  damaged      {base}\n               would be trained for 200 epochs: damaged: {path} is damaged" in out
    assert f"  foreign file {trained.write_to / 'notes.txt'}: not a record of this project, left alone\n" in out
    path.unlink()
    for module in (lib.runs, lib.store):
        monkeypatch.setattr(module, "NUMERICS", 2001)
    _, out, _ = run(capsys, "status", "--profile", "smoke")
    assert "2 out of date" in out.splitlines()[0]
    assert "would be trained for 200 epochs: out of date: recorded with numerics " in out


def test_status_tells_a_checkpoint_that_would_be_made_again(trained, capsys):
    [base], [ticket] = experiments.main_results(SMOKE)["mlp"].values()
    (trained.write_to / f"{ticket.key}.npz").unlink()
    for checkpoint in trained.checkpoints.rglob("*.npz"):
        checkpoint.unlink()
    _, out, _ = run(capsys, "status", "--profile", "smoke")
    assert (
        f"  checkpoint   {base}\n               would be trained for 100 epochs: its weights at epoch 100 are needed by: {ticket}"
        in out
    )


def test_one_chapter_alone(store, capsys, tmp_path):
    status, out, _ = run(capsys, "train", "--profile", "smoke", "--chapter", "typical-grokking")
    assert (status, out) == (0, "smoke profile: 2 runs recorded, 2 trained just now\n")
    assert run(capsys, "status", "--profile", "smoke", "--chapter", "typical-grokking")[1].startswith(
        "smoke profile, 2 runs: 2 recorded\n"
    )


def test_the_paper_profile_commits_its_records(store, capsys, tmp_path):
    assert run(capsys, "train", "--profile", "paper", "--chapter", "typical-grokking")[0] == 0
    assert len(records(tmp_path / "results")) == 2
    assert records(tmp_path / ".cache") == []


@pytest.mark.parametrize(
    ("profile", "path"), [("smoke", ".cache/verdicts-smoke.json"), ("paper", "results/verdicts.json")]
)
def test_judge_writes_a_verdict_for_every_claim_and_trains_nothing(store, capsys, tmp_path, profile, path):
    status, out, err = run(capsys, "judge", "--profile", profile)
    assert (status, err) == (0, "")
    wanted = [
        (c.id, s) for c in claims.load_claims(experiments.CLAIMS) if isinstance(c, claims.Claim) for s in c.systems
    ]
    assert out == f"{path}: {len(wanted)} verdicts, {len(wanted)} not run\n"
    text = (tmp_path / path).read_text()
    assert all(claim in text and system in text for claim, system in wanted)
    json.loads(text)
    assert records(tmp_path) == []


def test_judge_uses_what_is_recorded(trained, capsys):
    _, out, _ = run(capsys, "judge", "--profile", "smoke")
    assert "not run" in out and " inconclusive" in out  # one seed is too few for any other verdict


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (StoreError("cannot write x"), 1, "error: cannot write x\n"),
        (ValueError("pruning rate is 2"), 1, "error: pruning rate is 2\n"),
        (KeyboardInterrupt(), 130, "interrupted: finished stacks are recorded, the same command goes on from there\n"),
    ],
)
def test_errors_and_interrupts_are_one_line(store, capsys, monkeypatch, error, status, message):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(command, "execute", fail)
    assert run(capsys, "train", "--profile", "smoke") == (status, "", message)
