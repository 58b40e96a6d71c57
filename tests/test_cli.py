"""The command line: status, train and judge, on stores of their own."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import damage, forget, tiny_run

import lib.__main__ as command
import lib.records.store
import lib.train.runs
from lib.claims import judging
from lib.claims.claims import Claim, load_claims
from lib.experiments import chapters
from lib.experiments.arms import Arm
from lib.experiments.chapters import wanted
from lib.experiments.parameters import load
from lib.files import ROOT, Content, StoreError, keys, read, write
from lib.records.plan import obtain
from lib.records.store import Record, Store
from lib.records.verify import compare_anew
from lib.train import images
from lib.train.models import MLP

pytestmark = pytest.mark.slow

SMOKE = load("smoke").model_copy(update={"seeds": [0], "epochs": 200, "ticket_epoch": 100})
ONE_CHAPTER = "--profile", "smoke", "--chapter", "main-results"  # 4 runs
PROFILES = {"smoke": SMOKE, "paper": SMOKE.model_copy(update={"profile": "paper"})}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """What the commands find in place of results/ and .cache/, and of the profiles: smaller ones."""

    def open_store(results=tmp_path / "results", cache=tmp_path / ".cache", commit=False):
        return Store(results, cache, commit)

    monkeypatch.setattr(command, "Store", open_store)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "CACHE", tmp_path / ".cache")
    monkeypatch.setattr(judging, "VERDICTS", tmp_path / "results" / "verdicts.json")
    monkeypatch.setattr(
        command.parameters, "load", lambda profile: PROFILES[profile] if profile in PROFILES else load(profile)
    )
    return open_store()


def run(capsys, *arguments):
    """Exit status, standard output, standard error."""
    status = command.main(list(arguments))
    return status, *capsys.readouterr()


def records(folder):
    """The keys of all records below a folder."""
    return sorted(key for path in folder.rglob("records/*") if path.is_file() for key in keys(path))


def pair():
    """Base and ticket of the MLP."""
    found = wanted(SMOKE, ["main-results"]).by_arm["main-results"]["mlp"]
    return found[Arm("base")][0], found[Arm("ticket")][0]


def test_help_as_typed():
    done = subprocess.run([sys.executable, "-m", "lib", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("usage: python -m lib", "status", "train", "judge"))


def test_a_bad_profile_as_typed_is_one_line_and_status_2():
    done = subprocess.run(
        [sys.executable, "-m", "lib", "status", "--profile", "big"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: there is no profile 'big' in params/; there are paper, smoke\n"


@pytest.mark.parametrize("name", ["status", "train", "judge", "verify"])
def test_every_command_refuses_a_bad_profile(store, capsys, name):
    status, out, err = run(capsys, name, "--profile", "big")
    assert (status, out) == (2, "")
    assert err.startswith("error: there is no profile 'big'") and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["status", "--chapter", "nowhere"],
        ["status", "--setting", "nowhere"],
        ["judge", "--chapter", "main-results"],
        ["train", "--device", "gpu"],
        ["train", "--workers", "2", "--scheduler", "tcp://node:8786"],
    ],
)
def test_what_is_no_command_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m lib" in capsys.readouterr().err


def test_status_of_an_empty_store_says_what_training_would_do(store, capsys, tmp_path):
    status, out, err = run(capsys, "status", *ONE_CHAPTER)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "smoke profile, 7 runs: 7 missing"
    assert lines[1] == "  missing      MLP, Dense on a+b mod 11, seed 0, 200 epochs"
    assert lines[2] == "               would be trained for 200 epochs: missing: no record of this run"
    assert len(lines) == 15
    assert records(tmp_path) == []


def test_without_a_chapter_every_chapters_runs_are_meant(store, capsys):
    n = len(wanted(SMOKE).runs)
    assert n > 100
    assert run(capsys, "status", "--profile", "smoke")[1].startswith(f"smoke profile, {n} runs: {n} missing\n")


def test_the_runs_of_one_setting(store, capsys):
    status, out, _ = run(capsys, "train", *ONE_CHAPTER, "--setting", "mlp")
    assert (status, out) == (0, "smoke profile: 3 runs recorded, 3 trained just now\n")
    runs = wanted(SMOKE, ["main-results"]).runs
    assert {type(run.model) for run in runs if store.load(run)} == {MLP}
    assert run(capsys, "status", *ONE_CHAPTER, "--setting", "mlp", "--setting", "transformer")[1].startswith(
        "smoke profile, 7 runs: 4 missing, 3 recorded\n"
    )


def test_a_setting_that_the_chapter_has_not_is_refused_with_those_that_it_has(store, capsys):
    status, out, err = run(capsys, "train", *ONE_CHAPTER, "--setting", "mlp/a-b")
    assert (status, out) == (2, "")
    assert err == "error: --setting is mlp/a-b; there are mlp, transformer\n"


@pytest.fixture
def trained(store, capsys):
    """The store after `train` of one chapter at the smoke profile."""
    status, out, _ = run(capsys, "train", *ONE_CHAPTER)
    assert (status, out) == (0, "smoke profile: 7 runs recorded, 7 trained just now\n")
    return store


def test_train_then_status_then_train_again(trained, capsys, tmp_path):
    assert records(tmp_path / "results") == []
    assert len(records(tmp_path / ".cache")) == 7
    status, out, _ = run(capsys, "status", *ONE_CHAPTER)
    assert status == 0
    assert out.splitlines()[0] == "smoke profile, 7 runs: 7 recorded"
    assert out.count("\n  recorded ") == 7 and "would be trained" not in out
    assert run(capsys, "train", *ONE_CHAPTER)[:2] == (0, "smoke profile: 7 runs recorded, 0 trained just now\n")


def test_status_gives_the_reason_for_each_run(trained, capsys, monkeypatch):
    base, ticket = pair()
    damage(trained, base)
    forget(trained, ticket)
    (trained.write_to / "notes.txt").write_text("hello")
    for checkpoint in trained.checkpoints.rglob("*.zip"):
        checkpoint.unlink()
    status, out, _ = run(capsys, "status", *ONE_CHAPTER)
    assert status == 1
    assert out.splitlines()[0] == "smoke profile, 7 runs: 1 damaged, 1 missing, 5 recorded, 1 unreadable files"
    assert (
        f"  damaged      {base}\n               would be trained for 200 epochs: damaged: record {base.key} in " in out
    )
    assert f"  {trained.write_to / 'notes.txt'} is damaged or not a file of records" in out
    assert run(capsys, "train", *ONE_CHAPTER)[0] == 0
    for module in (lib.train.runs, lib.records.store):
        monkeypatch.setattr(module, "NUMERICS", 2001)
    status, out, _ = run(capsys, "status", *ONE_CHAPTER)
    assert (status, out.splitlines()[0]) == (0, "smoke profile, 7 runs: 7 out of date, 1 unreadable files")
    assert run(capsys, "train", *ONE_CHAPTER)[1] == "smoke profile: 7 runs recorded, 0 trained just now\n"
    assert run(capsys, "train", *ONE_CHAPTER, "--renew")[1] == "smoke profile: 7 runs recorded, 7 trained just now\n"
    assert run(capsys, "status", *ONE_CHAPTER)[1].startswith("smoke profile, 7 runs: 7 recorded")


def test_status_tells_a_checkpoint_that_would_be_made_again(trained, capsys):
    base, ticket = pair()
    forget(trained, ticket)
    for checkpoint in trained.checkpoints.rglob("*.zip"):
        checkpoint.unlink()
    _, out, _ = run(capsys, "status", *ONE_CHAPTER)
    assert (
        f"  checkpoint   {base}\n               would be trained for 100 epochs: its weights at epoch 100 are needed by: {ticket}"
        in out
    )


def test_pack_leaves_fewer_files_and_the_same_records(trained, capsys, tmp_path):
    before = records(tmp_path / ".cache")
    assert run(capsys, "pack", "--profile", "smoke")[:2] == (0, "0 records smaller, 3 files fewer\n")
    assert records(tmp_path / ".cache") == before
    assert run(capsys, "status", *ONE_CHAPTER)[0] == 0


def test_one_chapter_alone(store, capsys, tmp_path):
    status, out, _ = run(capsys, "train", "--profile", "smoke", "--chapter", "typical-grokking")
    assert (status, out) == (0, "smoke profile: 3 runs recorded, 3 trained just now\n")
    assert run(capsys, "status", "--profile", "smoke", "--chapter", "typical-grokking")[1].startswith(
        "smoke profile, 3 runs: 3 recorded\n"
    )


def test_the_paper_profile_commits_its_records(store, capsys, tmp_path):
    assert run(capsys, "train", "--profile", "paper", "--chapter", "typical-grokking")[0] == 0
    assert len(records(tmp_path / "results")) == 3
    assert records(tmp_path / ".cache") == []


def test_what_a_chapter_has_trained_is_committed_by_train(store, capsys, tmp_path):
    arguments = "train", "--profile", "paper", "--chapter", "typical-grokking"
    base, *_ = wanted(PROFILES["paper"], ["typical-grokking"]).runs
    obtain([base], store, progress=False)
    assert (records(tmp_path / ".cache"), records(tmp_path / "results")) == ([base.key], [])
    assert run(capsys, *arguments)[1] == "paper profile: 3 runs recorded, 2 trained just now, 1 taken from .cache/\n"
    assert len(records(tmp_path / "results")) == 3
    assert run(capsys, *arguments)[1] == "paper profile: 3 runs recorded, 0 trained just now\n"


@pytest.mark.parametrize(
    ("profile", "path"), [("smoke", ".cache/verdicts-smoke.json"), ("paper", "results/verdicts.json")]
)
def test_judge_writes_a_verdict_for_every_claim_and_trains_nothing(store, capsys, tmp_path, profile, path):
    status, out, err = run(capsys, "judge", "--profile", profile)
    assert (status, err) == (0, "")
    every = [
        (claim.id, judged.system) for claim in load_claims() if isinstance(claim, Claim) for judged in claim.judged
    ]
    assert out == f"{path}: {len(every)} verdicts, {len(every)} not run\n"
    text = (tmp_path / path).read_text()
    assert all(claim in text and system in text for claim, system in every)
    json.loads(text)
    assert records(tmp_path) == []


def test_judge_uses_what_is_recorded(trained, capsys):
    _, out, _ = run(capsys, "judge", "--profile", "smoke")
    assert "not run" in out and " inconclusive" in out  # one seed is too few for any other verdict


def test_judge_stops_at_a_damaged_record_names_it_and_leaves_the_verdicts_alone(trained, capsys, tmp_path):
    assert run(capsys, "judge", "--profile", "smoke")[0] == 0
    before = (tmp_path / ".cache" / "verdicts-smoke.json").read_bytes()
    base, _ = pair()
    damage(trained, base)
    status, out, err = run(capsys, "judge", "--profile", "smoke")
    assert (status, out) == (1, "")
    assert err.startswith(f"error: record {base.key} in ") and err.count("\n") == 1
    assert f"that of: {base}" in err and "`python -m lib train --profile smoke` makes it anew" in err
    assert (tmp_path / ".cache" / "verdicts-smoke.json").read_bytes() == before
    assert run(capsys, "train", *ONE_CHAPTER)[0] == 0
    assert run(capsys, "judge", "--profile", "smoke")[0] == 0
    assert (tmp_path / ".cache" / "verdicts-smoke.json").read_bytes() == before


def test_judge_does_not_trade_verdicts_for_missing_records(trained, capsys, tmp_path):
    assert run(capsys, "judge", "--profile", "smoke")[0] == 0
    path = tmp_path / ".cache" / "verdicts-smoke.json"
    before = path.read_bytes()
    forget(trained, pair()[1])
    status, out, err = run(capsys, "judge", "--profile", "smoke")
    assert (status, out, path.read_bytes()) == (1, "", before)
    assert "so that C01 on mlp and 0 others would lose their verdicts" in err
    path.unlink()
    assert run(capsys, "judge", "--profile", "smoke")[0] == 0


def test_judge_takes_a_damaged_file_of_verdicts_for_none_and_says_so(trained, capsys, tmp_path):
    assert run(capsys, "judge", "--profile", "smoke")[0] == 0
    path = tmp_path / ".cache" / "verdicts-smoke.json"
    before = path.read_bytes()
    path.write_bytes(before[:-20])
    status, out, err = run(capsys, "judge", "--profile", "smoke")
    assert (status, path.read_bytes()) == (0, before) and out.startswith(".cache/verdicts-smoke.json: ")
    assert err.startswith(f"warning: {path} is damaged (`python -m lib judge` replaces it): ") and err.count("\n") == 1


def test_the_papers_verdicts_rest_on_committed_records_alone(store, capsys, tmp_path):
    obtain(wanted(PROFILES["paper"], ["main-results"]).runs, store, progress=False)
    assert "inconclusive" not in run(capsys, "judge")[1]
    assert run(capsys, "train", "--chapter", "main-results")[1].endswith(", 7 taken from .cache/\n")
    assert "inconclusive" in run(capsys, "judge")[1]


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
    assert run(capsys, "train", *ONE_CHAPTER) == (status, "", message)


# --- where to, and on what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_results_are_written_to_a_folder_of_ones_own_and_none_are_read_elsewhere(store, capsys, tmp_path, profile):
    arguments = "train", "--profile", profile, "--chapter", "main-results"
    counts = f"{profile} profile: 7 runs recorded, "
    assert run(capsys, *arguments)[:2] == (0, f"{counts}7 trained just now\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = tmp_path / "other"
    assert run(capsys, *arguments, "--results", str(other))[:2] == (0, f"{counts}7 trained just now\n")
    assert len(records(other)) == 7
    assert all(path.read_bytes() == content for path, content in before.items())
    assert records(tmp_path / "other") == records(tmp_path / ("results" if profile == "paper" else ".cache"))
    assert run(capsys, *arguments, "--results", str(other))[:2] == (0, f"{counts}0 trained just now\n")


def test_what_is_in_a_folder_of_ones_own_does_not_count_as_recorded(store, capsys, tmp_path):
    assert run(capsys, "train", *ONE_CHAPTER, "--results", str(tmp_path / "other"))[0] == 0
    assert run(capsys, "status", *ONE_CHAPTER)[1].startswith("smoke profile, 7 runs: 7 missing\n")


def test_a_gpu_that_is_not_there_is_one_line_and_status_2(store, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, out, err = run(capsys, "train", *ONE_CHAPTER, "--device", "cuda")
    assert (status, out) == (2, "")
    assert err == "error: --device: device is 'cuda'; no GPU can be used here; take cpu (cpu or cuda)\n"
    assert records(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "device"), [((), "cpu"), (("--device", "cuda"), "cuda"), (("--device", "cpu"), "cpu")]
)
def test_training_is_on_the_device_that_was_asked_for(store, capsys, monkeypatch, arguments, device):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(command, "execute", lambda *_, **options: asked.append(options["device"]))
    assert run(capsys, "train", *ONE_CHAPTER, *arguments)[0] == 0
    assert asked == [device]


def test_no_workers_are_too_few(store, capsys):
    wanted = (1, "", "error: --workers is 0; it must be at least 1\n")
    assert run(capsys, "train", *ONE_CHAPTER, "--workers", "0") == wanted


# --- images -----------------------------------------------------------------------------------------------------------

OF_MNIST = "--profile", "smoke", "--chapter", "mnist"
LITTLE = SMOKE.model_copy(update={"images": "mnist", "epochs": 14, "ticket_epoch": 1})


def test_without_mnist_the_digits_are_trained_and_a_note_says_so(store, capsys, monkeypatch, tmp_path, without_mnist):
    monkeypatch.setitem(PROFILES, "smoke", LITTLE)
    status, out, err = run(capsys, "train", *OF_MNIST)
    assert (status, out) == (0, "smoke profile, with images = digits: 8 runs recorded, 8 trained just now\n")
    assert err.startswith("What follows is about scikit-learn's 8×8 digits, not MNIST: MNIST cannot be downloaded ")
    assert len(records(tmp_path / ".cache")) == 8
    assert (
        run(capsys, "train", *OF_MNIST)[1]
        == "smoke profile, with images = digits: 8 runs recorded, 0 trained just now\n"
    )


def test_without_mnist_other_chapters_are_trained_as_they_were_to_be(
    store, capsys, monkeypatch, tmp_path, without_mnist
):
    monkeypatch.setitem(PROFILES, "paper", LITTLE.model_copy(update={"profile": "paper"}))
    status, out, err = run(capsys, "train", "--chapter", "mnist", "--chapter", "typical-grokking")
    assert status == 0 and "What follows is about scikit-learn's 8×8 digits, not MNIST" in err
    assert out == (
        "paper profile: 3 runs recorded, 3 trained just now\n"
        "paper profile, with images = digits: 8 runs recorded, 8 trained just now\n"
    )
    assert (len(records(tmp_path / "results")), len(records(tmp_path / ".cache"))) == (3, 8)


def test_a_setting_that_needs_no_mnist_is_trained_without(store, capsys, monkeypatch, without_mnist):
    monkeypatch.setitem(PROFILES, "smoke", LITTLE)
    status, out, err = run(capsys, "train", *OF_MNIST, "--setting", "mnist-mlp/digits", "--seeds", "7")
    assert (status, out) == (0, "smoke profile: 2 runs recorded, 2 trained just now\n")
    assert "What follows" not in err and set(without_mnist) == {images.DIGITS}


@pytest.mark.parametrize("option", ["--all", "--renew"])
def test_what_is_asked_for_beyond_what_is_missing_may_need_mnist_too(
    store, capsys, monkeypatch, tiny_chapter, request, option
):
    monkeypatch.setitem(PROFILES, "smoke", LITTLE.model_copy(update={"seeds": "recorded"}))
    for name, seeds in (("EXPLORATORY", [0]), ("CONFIRMATORY", [5])):
        monkeypatch.setattr(chapters, name, seeds)
    assert run(capsys, "train", *OF_MNIST)[1] == "smoke profile: 12 runs recorded, 12 trained just now\n"
    if option == "--renew":
        for module in (lib.train.runs, lib.records.store):
            monkeypatch.setattr(module, "NUMERICS", 2001)
    request.getfixturevalue("without_mnist")
    status, out, err = run(capsys, "train", *OF_MNIST, option)
    assert status == 0 and err.startswith("What follows is about scikit-learn's 8×8 digits, not MNIST: ")
    assert out.startswith("smoke profile, with images = digits: ")


def test_with_mnist_there_is_no_note(store, capsys, monkeypatch, tiny_chapter):
    monkeypatch.setitem(PROFILES, "smoke", LITTLE)
    status, out, err = run(capsys, "train", *OF_MNIST)
    assert (status, out) == (0, "smoke profile: 12 runs recorded, 12 trained just now\n")
    assert "What follows" not in err


def test_status_and_judge_ask_for_no_images(store, capsys, monkeypatch, without_mnist):
    monkeypatch.setitem(PROFILES, "smoke", LITTLE)
    assert run(capsys, "status", *OF_MNIST)[1].startswith("smoke profile, 12 runs: 12 missing\n")
    assert run(capsys, "judge", "--profile", "smoke")[0] == 0
    assert without_mnist == []


def test_images_that_are_not_there_are_one_line_and_status_1(store, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(PROFILES, "smoke", LITTLE)
    monkeypatch.setenv(images.VARIABLE, str(tmp_path / "nowhere"))
    for name in ("status", "train"):
        status, out, err = run(capsys, name, *OF_MNIST)
        assert (status, out) == (1, "")
        assert err.startswith(f"error: there is no file or folder {tmp_path / 'nowhere'}; ") and err.count("\n") == 1


# --- seeds, all runs, error rates -------------------------------------------------------------------------------------


def test_seeds_in_place_of_the_profiles(store, capsys):
    arguments = "--profile", "smoke", "--chapter", "typical-grokking", "--seeds", "5:7,9"
    status, out, _ = run(capsys, "train", *arguments)
    assert (status, out) == (0, "smoke profile: 9 runs recorded, 9 trained just now\n")
    status, out, _ = run(capsys, "status", *arguments)
    assert status == 0 and all(f"seed {seed}," in out for seed in (5, 6, 9)) and "seed 7," not in out


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("5-7", "error: --seeds is '5-7'; it must be seeds such as 7,8,9, or from and up to as in 5:25 (5 to 24)\n"),
        ("7:7", "error: --seeds: seeds is []; name at least one seed"),
        ("0:1000000000000000", "error: --seeds: seeds is [0, 1, "),
        ("-1:2", "error: --seeds: seeds is [-1, 0, 1]"),
        ("5,5", "error: --seeds: seeds is [5, 5]"),
    ],
)
def test_bad_seeds_are_one_sentence(store, capsys, seeds, message):
    status, out, err = run(capsys, "train", *ONE_CHAPTER, f"--seeds={seeds}")
    assert (status, out) == (2, "") and err.startswith(message) and err.count("\n") == 1


def test_status_counts_what_the_book_is_to_have(store, capsys, monkeypatch):
    monkeypatch.setitem(PROFILES, "smoke", SMOKE.model_copy(update={"seeds": "recorded"}))
    for name, seeds in (("EXPLORATORY", [0]), ("CONFIRMATORY", [5, 6])):
        monkeypatch.setattr(chapters, name, seeds)
    two = dataclasses.replace(chapters.CHAPTERS["re-dense"], least=2)
    monkeypatch.setitem(chapters.CHAPTERS, "re-dense", two)
    arguments = "--profile", "smoke", "--chapter", "re-dense"
    status, out, _ = run(capsys, "status", *arguments)
    assert status == 1 and out.splitlines()[:2] == [
        "smoke profile, 7 runs: 7 missing",
        "to come: 14 runs, of which 0 are recorded (python -m lib train --all)",
    ]
    assert run(capsys, "train", *arguments)[1] == "smoke profile: 7 runs recorded, 7 trained just now\n"
    assert run(capsys, "status", *arguments)[0] == 0  # what is to come is no fault
    assert run(capsys, "train", *arguments, "--all")[1] == "smoke profile: 21 runs recorded, 14 trained just now\n"
    status, out, _ = run(capsys, "status", *arguments)
    assert status == 0 and out.splitlines()[0] == "smoke profile, 14 runs: 14 recorded"  # the confirmatory ones


def test_power_prints_every_rule_and_how_often_it_errs(capsys, monkeypatch):
    monkeypatch.setattr("lib.claims.power.SIZES", (5,))
    monkeypatch.setattr("lib.claims.power.AGAIN", ((5, 10),))
    status, out, _ = run(capsys, "power")
    assert status == 0 and out.splitlines()[-1].startswith("wrongly replicated at most ")
    assert "replicated if the interval of the median lies above 2, refuted if it lies below 1.2" in out
    monkeypatch.setattr(command, "MOST_WRONG", 0.001)
    assert run(capsys, "power")[0] == 1


# --- values of one's own ----------------------------------------------------------------------------------------------

TYPICAL = "--chapter", "typical-grokking"


def test_changed_values_are_named_and_never_committed(store, capsys, tmp_path):
    changed = "--set", "prime=13", "--set", "train_fraction=0.5"
    title = "paper profile, with prime = 13, train_fraction = 0.5"
    assert run(capsys, "status", *TYPICAL, *changed)[1].startswith(f"{title}, 3 runs: 3 missing\n")
    assert run(capsys, "train", *TYPICAL, *changed)[:2] == (0, f"{title}: 3 runs recorded, 3 trained just now\n")
    assert (len(records(tmp_path / "results")), len(records(tmp_path / ".cache"))) == (0, 3)
    status, out, _ = run(capsys, "status", *TYPICAL, *changed)
    assert status == 0 and out.count("mod 13") == 3
    assert run(capsys, "status", *TYPICAL)[0] == 1  # the paper's own are still missing


@pytest.mark.parametrize("changed", [(), ("--set", "prime=11"), ("--set", "seeds=[3]"), ("--set", "device=cpu")])
def test_seeds_and_device_leave_the_papers_scale_as_it_is(store, capsys, tmp_path, changed):
    status, out, _ = run(capsys, "train", *TYPICAL, *changed)
    assert (status, out) == (0, "paper profile: 3 runs recorded, 3 trained just now\n")
    assert (len(records(tmp_path / "results")), records(tmp_path / ".cache")) == (3, [])


@pytest.mark.parametrize(
    ("changed", "name"),
    [("prime=13", "verdicts-paper-with-prime-13.json"), ("seeds=[7, 8]", "verdicts-paper-7-8.json")],
)
def test_verdicts_on_changed_values_have_a_file_of_their_own(store, capsys, tmp_path, changed, name):
    assert run(capsys, "judge")[0] == 0
    before = (tmp_path / "results" / "verdicts.json").read_bytes()
    status, out, _ = run(capsys, "judge", "--set", changed)
    assert status == 0 and out.startswith(f".cache/{name}: ")
    assert (tmp_path / "results" / "verdicts.json").read_bytes() == before


def test_digits_in_place_of_mnist_are_not_the_papers(store, capsys, monkeypatch, tmp_path, without_mnist):
    monkeypatch.setitem(PROFILES, "paper", LITTLE.model_copy(update={"profile": "paper"}))
    status, out, _ = run(capsys, "train", "--chapter", "mnist")
    assert (status, out[:40]) == (0, "paper profile, with images = digits: 8 r")
    assert records(tmp_path / "results") == [] and len(records(tmp_path / ".cache")) == 8


@pytest.mark.parametrize("command_name", ["status", "train", "judge", "verify"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prime=15", "error: parameters: prime is 15; must be a prime number, such as 67 (the"),
        ("prime=true", "error: parameters: prime is True; input should be a valid integer (the"),
        ("epochs=many", "error: parameters: epochs is 'many'; input should be a valid integer (training"),
        ("width=9", "error: parameters: unknown parameter width; the parameters are profile, seeds, prime,"),
        ("prime", "error: prime cannot be set; name a parameter and its value, as in prime=97 (--profile"),
        ("profile=smoke", "error: profile cannot be set; name"),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence_and_status_2(store, capsys, tmp_path, command_name, text, message):
    status, out, err = run(capsys, command_name, "--set", text)
    assert (status, out) == (2, "") and err.startswith(message) and err.count("\n") == 1
    assert records(tmp_path) == []


# --- records trained anew ---------------------------------------------------------------------------------------------


def rewrite(store, of, change):
    """Changes the record of a run, as (arrays, note) -> (arrays, note)."""
    (path,) = store._places[of.key]
    found = {key: read(path, key) for key in keys(path)}
    write(path, found | {of.key: Content(*change(*found[of.key]))})


def elsewhere(arrays, note):
    return arrays, note | {"machine": "another"}


def worse(arrays, note):
    metrics = arrays["metrics"].copy()
    metrics[-1, note["metrics"].index("test_accuracy")] -= 0.4
    return {**arrays, "metrics": metrics}, note


def test_records_are_made_again_to_the_bit(trained, capsys, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = run(capsys, "verify", *ONE_CHAPTER, "--sample", "7")
    assert status == 0 and "run-epochs" in err
    assert [line[:8] for line in out.splitlines()] == 7 * ["agrees  "] and out.count(": the same to the bit\n") == 7
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_sample_is_drawn_by_its_seed_and_can_be_of_short_runs_alone(trained, capsys):
    def drawn(*arguments):
        return run(capsys, "verify", *ONE_CHAPTER, "--sample", "1", *arguments)[1]

    assert drawn("--seed", "1") == drawn("--seed", "1")
    assert len({drawn("--seed", str(seed)) for seed in range(6)}) > 1
    assert all("Dense" in drawn("--longest", "200", "--seed", str(seed)) for seed in range(6))
    status, out, err = run(capsys, "verify", *ONE_CHAPTER, "--longest", "199")
    assert (status, out) == (1, "")
    assert err == "error: there is no record of at most 199 epochs from nothing to verify; the shortest takes 200\n"
    assert run(capsys, "verify", *ONE_CHAPTER, "--sample", "0")[::2] == (
        1,
        "error: --sample is 0; it must be at least 1\n",
    )


def test_a_record_that_is_another_is_named(trained, capsys):
    base, _ = pair()
    rewrite(trained, base, worse)
    status, out, _ = run(capsys, "verify", *ONE_CHAPTER, "--sample", "7")
    assert status == 1 and out.count("DIFFERS") == 1
    assert f"DIFFERS  {base}: test_accuracy differs from epoch 200 on\n" in out


def test_records_of_another_machine_are_compared_by_their_statistics(trained, capsys):
    base, ticket = pair()
    rewrite(trained, base, elsewhere)
    rewrite(trained, ticket, lambda arrays, note: elsewhere(*worse(arrays, note)))
    status, out, _ = run(capsys, "verify", *ONE_CHAPTER, "--sample", "7")
    assert status == 1
    assert (
        f"agrees  {base}: another machine; t_gen never and never (within a factor of 2), accuracies at the end " in out
    )
    assert (
        f"DIFFERS  {ticket}: another machine; t_gen never and never (within a factor of 2), accuracies at the end "
        in out
    )
    assert "within 0.400 (at most 0.1)\n" in out


@pytest.mark.parametrize(
    ("name", "value", "agrees"),
    [
        ("products", "OpenBLAS 0.1 (Zen)", True),  # the version is NumPy's
        ("products", "OpenBLAS 0.1 (Zen) repeated by skylakex.c", True),
        ("products", "OpenBLAS 0.2 (Zen) OPENBLAS_CORETYPE=Zen", True),
        ("products", "OpenBLAS 0.2 (Haswell)", False),
        ("products", "torch 2", False),
        ("numpy", "1", False),
        ("torch", "1", False),
        ("numerics", 1, False),
        ("python", "3.0", True),
    ],
)
def test_bits_are_compared_where_all_that_makes_them_is_the_same(name, value, agrees):
    note = {
        "numerics": 3,
        "torch": "2",
        "numpy": "2",
        "products": "OpenBLAS 0.2 (Zen)",
        "machine": "one",
        "python": "3",
    }
    metrics = {name: np.full(3, 0.9) for name in ("train_accuracy", "test_accuracy")}
    made = [Record(tiny_run(epochs=20), np.arange(0, 21, 10), metrics, note | change) for change in ({}, {name: value})]
    assert compare_anew(*made)[1].startswith("the same" if agrees else f"another {name}; ")


@pytest.mark.parametrize(
    ("epochs", "agrees"),
    [((100, 200), True), ((100, 210), False), ((None, 110), True), ((None, 90), False), ((0, 0), True)],
)
def test_times_to_generalization_lie_within_a_factor(epochs, agrees):
    of = tiny_run(epochs=200)
    made = []
    for i, t_gen in enumerate(epochs):
        accuracy = np.where(np.arange(0, 211, 10) >= (np.inf if t_gen is None else t_gen), 0.85, 0.79)
        accuracy[-1] = 0.8  # the ends agree
        metrics = {"test_accuracy": accuracy, "train_accuracy": np.ones_like(accuracy)}
        made.append(Record(of, np.arange(0, 211, 10), metrics, {"machine": str(i)}))
    same, words = compare_anew(*made)
    assert same is agrees, words


def test_only_committed_records_of_the_paper_are_verified(store, capsys, tmp_path):
    assert run(capsys, "train", *TYPICAL)[0] == 0
    (tmp_path / ".cache").mkdir(exist_ok=True)
    (tmp_path / "results" / "records").rename(tmp_path / ".cache" / "records")
    assert run(capsys, "verify", *TYPICAL)[::2] == (1, "error: there is no record to verify\n")
