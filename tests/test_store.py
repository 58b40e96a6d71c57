"""The store: a file is whole or it is not there, whatever happens to its writer or to the disk."""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import random_mask, ticket_of, tiny_run, train_dense

import lib.files
import lib.train.runs
import lib.records.store
from lib.files import StoreError, read, sweep, write
from lib.train.models import MLP
from lib.train.runs import Run, Scored
from lib.records.store import Store
from lib.train.tasks import ModularTask
from lib.train.trainer import METRICS

ARRAYS = {"a": np.arange(5, dtype=np.float32), "b": np.random.default_rng(0).random((3, 4))}
NOTE = {"numerics": 1, "run": {"seed": 0}}


@pytest.fixture(scope="module")
def trained():
    """What training left of a tiny run."""
    run = tiny_run()
    return train_dense([run], snapshots={run: {150, 230}})[0]


@pytest.fixture
def path(tmp_path):
    """A file of the store."""
    write(tmp_path / "file.npz", ARRAYS, NOTE)
    return tmp_path / "file.npz"


def record_path(store, run):
    return store.write_to / f"{run.key}.npz"


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def same(arrays, note):
    return note == NOTE and list(arrays) == list(ARRAYS) and all(np.array_equal(arrays[n], ARRAYS[n]) for n in ARRAYS)


# --- what goes in comes out -----------------------------------------------------------------------------------------------


def test_round_trip(store, trained):
    store.save(trained, 12.345)
    record = store.load(trained.run)
    assert record.run == trained.run
    assert record.mask is None
    assert record.epochs.tolist() == [0, 100, 200, 230]
    assert set(record.metrics) == set(METRICS)
    for name in METRICS:
        assert record.metrics[name].dtype == np.float64
        assert np.array_equal(record.metrics[name], trained.metrics[name].astype(np.float32))
    for epoch in (150, 230):
        assert np.array_equal(store.weights(trained.run, epoch), trained.snapshots[epoch])
    assert store.weights(trained.run, 149) is None


@pytest.mark.parametrize(("prime", "model", "n"), [(7, MLP(width=12, hidden=8), 360), (5, MLP(width=7, hidden=5), 140)])
def test_the_mask_that_was_held_comes_back_bit_for_bit(store, prime, model, n):
    """Bits are kept in bytes: 360 weights fill 45, 140 do not fill 18."""
    runs = [dataclasses.replace(tiny_run(seed=seed, prime=prime, epochs=1), model=model) for seed in range(4)]
    masks = [random_mask(runs[0], 0), random_mask(runs[1], 1, kept=0.9), np.ones(n, bool), None]
    for one in train_dense(runs, masks):
        store.save(one, 1)
    for run, mask in zip(runs, masks, strict=True):
        found = store.load(run).mask
        if mask is None:
            assert found is None
        else:
            assert found.dtype == bool
            assert found.tolist() == mask.tolist()


def test_a_records_seed_is_that_of_its_split(store):
    """A ticket with new initial weights is still compared with the base that shares its split."""
    run = dataclasses.replace(tiny_run(seed=3, epochs=1), seed=1003)
    store.save(train_dense([run])[0], 1)
    assert store.load(run).seed == run.task.seed == 3


def test_weights_at_epoch_0_need_no_file_where_no_other_run_is_needed(store):
    run = tiny_run()
    scored = dataclasses.replace(run, start=Scored(method="synflow", rate=0.6))
    assert np.array_equal(store.weights(run, 0), run.initial_weights())
    assert np.array_equal(store.weights(scored, 0), scored.start.make(scored, None)[0])
    assert store.weights(ticket_of(run), 0) is None


def test_what_is_not_there_is_none(store):
    assert store.load(tiny_run()) is None
    assert store.weights(tiny_run(), 150) is None


def test_runs_do_not_share_a_record(store, trained):
    store.save(trained, 1)
    for other in (tiny_run(seed=1), tiny_run(epochs=231), tiny_run("transformer"), ticket_of(tiny_run())):
        assert store.load(other) is None


def test_same_run_same_key_and_other_runs_other_keys():
    runs = [
        tiny_run(), tiny_run(seed=1), tiny_run(epochs=231), tiny_run("transformer"), tiny_run(prime=11),
        ticket_of(tiny_run()), ticket_of(tiny_run(), epoch=151), ticket_of(tiny_run(), rate=0.6), ticket_of(tiny_run(seed=1)),
    ]  # fmt: skip
    assert len({run.key for run in runs}) == len(runs)
    assert tiny_run().key == tiny_run().key


def test_committed_records_go_to_results_and_checkpoints_never(tmp_path, trained):
    Store(tmp_path / "results", tmp_path / "cache", commit=True).save(trained, 1)
    assert left_in(tmp_path / "results") == [f"{trained.run.key}.npz"]
    assert left_in(tmp_path / "cache") == ["000150.npz", "000230.npz"]
    assert Store(tmp_path / "results", tmp_path / "cache").load(trained.run) is not None


def test_provenance_says_what_made_the_record(store, trained):
    store.save(trained, 12.345)
    provenance = store.load(trained.run).provenance
    assert provenance["run"] == json.loads(trained.run.canonical())
    assert provenance["run"]["seed"] == trained.run.seed
    assert provenance["numerics"] == lib.train.runs.NUMERICS
    assert provenance["torch"] == lib.records.store.torch.__version__
    assert provenance["numpy"] == np.__version__
    assert provenance["python"] == sys.version.split()[0]
    assert provenance["machine"].endswith(f", {os.cpu_count()} cores")
    assert provenance["seconds"] == 12.35 or provenance["seconds"] == 12.34
    assert (
        abs(time.time() - time.mktime(time.strptime(provenance["recorded"] + " UTC", "%Y-%m-%dT%H:%M:%SZ %Z"))) < 90_000
    )


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_a_truncated_file_is_refused_at_any_length(path):
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 13), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="is damaged or not a record of this project"):
            read(path)


def test_a_flipped_byte_is_noticed_or_harmless(path):
    whole, noticed = path.read_bytes(), 0
    rng = np.random.default_rng(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert same(*read(path)), f"byte {place}"
        except StoreError:
            noticed += 1
    assert noticed > len(whole) / 2


@pytest.mark.parametrize("compression", [0, 9, 12, 14, 93, 99])
def test_a_compression_that_is_not_ours_is_refused(path, compression):
    """A single byte of the directory can send the content to another decompressor, with errors of its own."""
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + 10] = compression
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="is damaged or not a record"):
        read(path)


def test_content_that_does_not_fit_its_checksum_is_refused(path):
    with np.load(path) as file:
        parts = dict(file)
    np.savez(path, **parts | {"a": parts["a"] + 1})
    with pytest.raises(StoreError, match="checksum does not match"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a record\n", b"\x93NUMPY\x01\x00", b"\x80\x04N.", bytes(5000)])
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged or not a record of this project"):
        read(path)


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(path, tmp_path):
    np.savez(path, note=np.array("{}"), checksum=np.array([Evil(tmp_path / "pwned")], dtype=object))
    with pytest.raises(StoreError, match="allow_pickle=False"):
        read(path)
    np.save(tmp_path / "plain.npy", np.array([Evil(tmp_path / "pwned")], dtype=object))
    with pytest.raises(StoreError):
        read(tmp_path / "plain.npy")
    assert not (tmp_path / "pwned").exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        read(tmp_path / "absent.npz")
    with pytest.raises(StoreError, match="is damaged or not a record"):
        read(tmp_path)


# --- writers that end badly -------------------------------------------------------------------------------------------------


KILLED_WRITERS = """
    import os, signal, sys, zipfile
    from pathlib import Path
    import numpy as np
    from lib.files import write

    def die(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    # before the content is written, before the directory of the file, before it is on the disk, before it is in place
    moments = [(zipfile.ZipFile, "open"), (zipfile.ZipFile, "close"), (os, "fsync"), (os, "replace")]
    for target in map(Path, sys.argv[1:]):
        for place, name in moments:
            child = os.fork()
            if child == 0:
                setattr(place, name, die)
                write(target, {"a": np.zeros(10_000)}, {})
                os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_none(path):
    new = path.with_name("new.npz")
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED_WRITERS), str(path), str(new)]
    done = subprocess.run(command, cwd=lib.files.ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [str(-signal.SIGKILL.value)] * 8, done.stderr
    assert same(*read(path))
    assert not new.exists()
    leftovers = [p for p in path.parent.iterdir() if p != path]
    assert leftovers and all(p.name.endswith(".part") for p in leftovers)
    sweep(path.parent)
    assert all(p.exists() for p in leftovers)  # their writers may still be at work
    for leftover in leftovers:
        os.utime(leftover, (time.time() - 7200,) * 2)
    sweep(path.parent)
    assert left_in(path.parent) == ["file.npz"]


def test_opening_the_store_sweeps(tmp_path, trained):
    store = Store(tmp_path / "results", tmp_path / "cache")
    store.save(trained, 1)
    before = left_in(tmp_path)
    for folder in (store.write_to, store.checkpoints / trained.run.key):
        leftover = folder / ".x.npz.123.part"
        leftover.write_text("half")
        os.utime(leftover, (0, 0))
    Store(tmp_path / "results", tmp_path / "cache")
    assert left_in(tmp_path) == before


@contextlib.contextmanager
def room_for(n):
    """No file may grow beyond n bytes: what a full disk looks like to its writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n", [0, 1, 100, 700, 1000])
def test_a_full_disk_is_one_sentence_and_loses_nothing(path, n):
    new = path.with_name("new.npz")
    for target in (path, new):
        with room_for(n), pytest.raises(StoreError) as caught:
            write(target, {"a": np.random.default_rng(0).random(1000)}, {})
        assert str(caught.value) == f"cannot write {target}: File too large; free some space or check the folder"
    assert left_in(path.parent) == ["file.npz"]
    assert same(*read(path))


def test_a_folder_that_cannot_be_made_is_one_sentence(path):
    with pytest.raises(StoreError, match=f"^cannot write {path}/x.npz: .*; free some space or check the folder$"):
        write(path / "x.npz", ARRAYS, NOTE)
    assert same(*read(path))


def test_an_interrupt_while_writing_leaves_nothing(path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, {}, {})
    assert left_in(path.parent) == ["file.npz"]
    assert same(*read(path))


def test_two_processes_may_write_the_same_file(path):
    script = """
        import sys
        from pathlib import Path
        import numpy as np
        from lib.files import write

        for i in range(40):
            write(Path(sys.argv[1]), {"a": np.full(5_000, i)}, {"writer": sys.argv[2]})
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    writers = [subprocess.Popen([*command, name], cwd=lib.files.ROOT) for name in "xy"]
    while any(writer.poll() is None for writer in writers):
        read(path)  # whole at any time
    assert [writer.returncode for writer in writers] == [0, 0]
    arrays, note = read(path)
    assert note["writer"] in "xy"
    assert (arrays["a"] == 39).all()
    assert left_in(path.parent) == ["file.npz"]


def test_two_threads_may_write_the_same_file(path):
    errors = []

    def work():
        try:
            for _ in range(30):
                write(path, {"a": np.zeros(5000)}, {})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    read(path)
    assert left_in(path.parent) == ["file.npz"]


# --- status -----------------------------------------------------------------------------------------------------------------


def test_status_of_a_recorded_run_says_where(tmp_path, trained):
    for commit, folder in ((False, "cache"), (True, "results")):
        store = Store(tmp_path / "results", tmp_path / "cache", commit=commit)
        store.save(trained, 1)
        status = store.status(trained.run)
        assert (status.state, status.why) == ("recorded", f"in {folder}/")


def test_status_of_a_missing_run(store, trained):
    store.save(trained, 1)
    status = store.status(tiny_run(seed=1))
    assert (status.state, status.why) == ("missing", "no record of this run")


def test_status_of_a_run_recorded_with_older_arithmetic(store, trained, monkeypatch):
    store.save(trained, 1)
    monkeypatch.setattr(lib.train.runs, "NUMERICS", 2001)
    monkeypatch.setattr(lib.records.store, "NUMERICS", 2001)
    status = store.status(trained.run)
    assert status.state == "out of date"
    assert status.why.startswith("recorded with numerics ") and status.why.endswith(", the trainer is at 2001")
    assert store.load(trained.run) is None
    assert store.weights(trained.run, 150) is None  # checkpoints are out of date as well
    assert store.status(tiny_run(seed=1)).state == "missing"


def test_status_of_a_damaged_record(store, trained):
    store.save(trained, 1)
    path = record_path(store, trained.run)
    path.write_bytes(path.read_bytes()[:500])
    status = store.status(trained.run)
    assert status.state == "damaged"
    assert status.why.startswith(f"{path} is damaged or not a record of this project")
    assert store.load(trained.run) is None


def test_the_record_of_another_run_under_this_ones_name_is_not_believed(store, trained):
    store.save(trained, 1)
    other = tiny_run(seed=1)
    record_path(store, trained.run).rename(record_path(store, other))
    assert store.status(other).state == "damaged"
    assert store.load(other) is None


@pytest.mark.parametrize("change", ["a metric is missing", "an evaluation is missing"])
def test_a_record_that_lacks_something_is_not_believed(store, trained, change):
    """Status and load agree: else a run would count as recorded that cannot be read."""
    store.save(trained, 1)
    arrays, note = read(record_path(store, trained.run))
    if change == "a metric is missing":
        del arrays["l2"]
    else:
        arrays["l2"] = arrays["l2"][:-1]
    write(record_path(store, trained.run), arrays, note)
    assert store.status(trained.run).state == "damaged"
    assert store.load(trained.run) is None


def test_a_damaged_committed_record_does_not_hide_a_sound_one_in_the_cache(tmp_path, trained):
    for commit in (False, True):
        store = Store(tmp_path / "results", tmp_path / "cache", commit=commit)
        store.save(trained, 1)
    record_path(store, trained.run).write_bytes(b"x")
    assert store.status(trained.run).state == "recorded"
    assert store.load(trained.run) is not None


def test_a_damaged_checkpoint_counts_as_gone(store, trained):
    store.save(trained, 1)
    path = next(store.checkpoints.rglob("000150.npz"))
    path.write_bytes(path.read_bytes()[:-1])
    assert store.weights(trained.run, 150) is None


def test_foreign_files_are_listed_and_records_are_not(store, trained):
    store.save(trained, 1)
    assert store.foreign() == []
    strangers = [store.write_to / name for name in ("notes.txt", f"{'0' * 20}.npz")]
    strangers[0].write_text("hello")
    strangers[1].write_bytes(record_path(store, trained.run).read_bytes())
    assert sorted(store.foreign()) == sorted(strangers)


def test_the_run_of_a_record_can_be_told_from_its_file_alone(store, trained):
    """Canonical JSON survives the note's round trip: numbers such as 0.4 and 1e-3 come back as they were."""
    run = trained.run
    assert json.dumps(json.loads(run.canonical()), sort_keys=True, separators=(",", ":")) == run.canonical()
    paper = Run(task=ModularTask(seed=0), model=run.model, seed=0)
    assert json.loads(paper.canonical())["optimizer"]["learning_rate"] == 0.001
