"""The store: a file is whole or it is not there, whatever happens to its writer or to the disk."""

import contextlib
import dataclasses
import io
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from conftest import random_mask, ticket_of, tiny_run, train_dense

import lib.files
import lib.records.store
import lib.train.runs
from lib.analysis.probes import snapshot_epochs, summarize
from lib.files import Content, StoreError, keys, read, sweep, write
from lib.records.store import Kept, Store
from lib.train.models import MLP
from lib.train.optim import AdamW
from lib.train.runs import Dense, Run, Scored
from lib.train.tasks import ModularTask
from lib.train.trainer import METRICS

ARRAYS = {"a": np.arange(5, dtype=np.float32), "b": np.random.default_rng(0).random((3, 4))}
NOTE = {"numerics": 1, "run": {"seed": 0}}
CONTENT = Content(ARRAYS, NOTE)


@pytest.fixture(scope="module")
def trained():
    """What training left of a tiny run."""
    run = tiny_run()
    return train_dense([run], snapshots={run: {150, 230}})[0]


@pytest.fixture
def path(tmp_path):
    """A file of the store."""
    write(tmp_path / "file.zip", {"one": CONTENT})
    return tmp_path / "file.zip"


PROBES = {"epochs": np.arange(3)}


def save(store, *trained, seconds=1, **kept):
    """Saves runs together, with all that was kept of them."""
    for one in trained:
        store.save_checkpoints(one, one.snapshots)
    store.save([Kept(one, masked=True, **kept) for one in trained], seconds)


def file_of(store):
    """The only file of records."""
    (path,) = [path for path in store.write_to.iterdir() if not path.name.startswith(".")]
    return path


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def same(arrays, note):
    return note == NOTE and sorted(arrays) == list(ARRAYS) and all(np.array_equal(arrays[n], ARRAYS[n]) for n in ARRAYS)


# --- what goes in comes out -----------------------------------------------------------------------------------------------


def test_round_trip(store, trained):
    save(store, trained, seconds=12.345)
    record = store.load(trained.run)
    assert record.run == trained.run
    assert record.mask is None
    assert record.epochs.tolist() == [0, 10, 100, 200, 230]
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
        save(store, one)
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
    save(store, train_dense([run])[0])
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
    save(store, trained)
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
    save(Store(tmp_path / "results", tmp_path / "cache", commit=True), trained)
    assert len(left_in(tmp_path / "results")) == 1
    assert left_in(tmp_path / "cache") == ["000150.zip", "000230.zip"]
    assert Store(tmp_path / "results", tmp_path / "cache").load(trained.run) is not None


@pytest.mark.parametrize(
    ("products", "kernels"),
    [
        ("OpenBLAS 0.3.31.188.0 (SkylakeX)", "SkylakeX"),
        ("OpenBLAS 0.3.31.188.0 (Haswell) OPENBLAS_CORETYPE=Haswell", "Haswell"),
        ("torch 2.13.0+cpu", "torch"),
        (None, "torch"),  # of a GPU, before provenance named it
    ],
)
def test_kernels_are_those_that_provenance_names(trained, products, kernels):
    provenance = {} if products is None else {"products": products}
    assert lib.records.store.Record(trained.run, np.array([]), {}, provenance).kernels == kernels


def test_provenance_says_what_made_the_record(store, trained):
    save(store, trained, seconds=12.345)
    provenance = store.load(trained.run).provenance
    assert provenance["run"] == json.loads(trained.run.canonical)
    assert provenance["run"]["seed"] == trained.run.seed
    assert provenance["numerics"] == lib.train.runs.NUMERICS
    assert provenance["torch"] == lib.records.store.torch.__version__
    assert provenance["numpy"] == np.__version__
    assert provenance["python"] == sys.version.split()[0]
    assert provenance["machine"].endswith(f", {os.cpu_count()} cores")
    assert provenance["seconds"] == 12.35 or provenance["seconds"] == 12.34


@pytest.fixture(params=["UTC", "Asia/Tokyo"])
def _local_time(request, monkeypatch):
    """Where the clock on the wall is, until the test ends."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_local_time")
def test_a_record_says_in_utc_when_it_was_made(store, trained):
    """The commits of the rules do so too, and which came first is seen from both."""
    save(store, trained)
    recorded = datetime.fromisoformat(store.load(trained.run).provenance["recorded"])
    assert abs(recorded - datetime.now(UTC)) < timedelta(seconds=60)


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_a_truncated_file_is_refused_at_any_length(path):
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 13), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="is damaged"):
            read(path, "one")


def test_a_flipped_byte_is_noticed_or_harmless(path):
    whole, noticed = path.read_bytes(), 0
    rng = np.random.default_rng(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert same(*read(path, "one")), f"byte {place}"
        except StoreError:
            noticed += 1
    assert noticed > len(whole) / 2


@pytest.mark.parametrize("compression", [0, 9, 12, 14, 93, 99])
def test_a_compression_that_is_not_ours_is_refused(path, compression):
    """A single byte of the directory can send the content to another decompressor, with errors of its own."""
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + 10] = compression
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="is damaged"):
        read(path, "one")


def rewritten(path, change):
    """The same zip file with one member changed: name -> content."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | change(members)).items():
            archive.writestr(name, content)


def test_content_that_does_not_fit_its_checksum_is_refused(path):
    def swapped(members):
        note = json.loads(members["one/note.json"])
        return {"one/note.json": json.dumps(note | {"note": note["note"] | {"numerics": 2}})}

    rewritten(path, swapped)
    with pytest.raises(StoreError, match="checksum does not match"):
        read(path, "one")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a record\n", b"\x93NUMPY\x01\x00", b"\x80\x04N.", bytes(5000)])
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        read(path, "one")


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(path, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil(tmp_path / "pwned")], dtype=object), allow_pickle=True)
    rewritten(path, lambda members: {"one/a.npy": buffer.getvalue()})
    with pytest.raises(StoreError, match="is damaged"):
        read(path, "one")
    assert not (tmp_path / "pwned").exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        read(tmp_path / "absent.zip", "one")
    with pytest.raises(StoreError, match="is damaged"):
        read(tmp_path, "one")


# --- writers that end badly -------------------------------------------------------------------------------------------------


KILLED_WRITERS = """
    import os, signal, sys, zipfile
    from pathlib import Path
    import numpy as np
    from lib.files import Content, write

    def die(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    # before the content is written, before the directory of the file, before it is on the disk, before it is in place
    moments = [(zipfile.ZipFile, "open"), (zipfile.ZipFile, "close"), (os, "fsync"), (os, "replace")]
    for target in map(Path, sys.argv[1:]):
        for place, name in moments:
            child = os.fork()
            if child == 0:
                setattr(place, name, die)
                write(target, {"one": Content({"a": np.zeros(10_000)}, {})})
                os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_none(path):
    new = path.with_name("new.zip")
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED_WRITERS), str(path), str(new)]
    done = subprocess.run(command, cwd=lib.files.ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [str(-signal.SIGKILL.value)] * 8, done.stderr
    assert same(*read(path, "one"))
    assert not new.exists()
    leftovers = [p for p in path.parent.iterdir() if p != path]
    assert leftovers and all(p.name.endswith(".part") for p in leftovers)
    sweep(path.parent)
    assert all(p.exists() for p in leftovers)  # their writers may still be at work
    for leftover in leftovers:
        os.utime(leftover, (time.time() - 7200,) * 2)
    sweep(path.parent)
    assert left_in(path.parent) == ["file.zip"]


def test_opening_the_store_sweeps(tmp_path, trained):
    store = Store(tmp_path / "results", tmp_path / "cache")
    save(store, trained)
    before = left_in(tmp_path)
    for folder in (store.write_to, store.checkpoints / trained.run.key):
        leftover = folder / ".x.zip.123.part"
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
    new = path.with_name("new.zip")
    for target in (path, new):
        with room_for(n), pytest.raises(StoreError) as caught:
            write(target, {"one": Content({"a": np.random.default_rng(0).random(1000)}, {})})
        assert str(caught.value) == f"cannot write {target}: File too large; free some space or check the folder"
    assert left_in(path.parent) == ["file.zip"]
    assert same(*read(path, "one"))


def test_a_folder_that_cannot_be_made_is_one_sentence(path):
    with pytest.raises(StoreError, match=f"^cannot write {path}/x.zip: .*; free some space or check the folder$"):
        write(path / "x.zip", {"one": CONTENT})
    assert same(*read(path, "one"))


def test_an_interrupt_while_writing_leaves_nothing(path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, {"one": CONTENT})
    assert left_in(path.parent) == ["file.zip"]
    assert same(*read(path, "one"))


def test_two_processes_may_write_the_same_file(path):
    script = """
        import sys
        from pathlib import Path
        import numpy as np
        from lib.files import Content, write

        for i in range(40):
            write(Path(sys.argv[1]), {"one": Content({"a": np.full(5_000, i)}, {"writer": sys.argv[2]})})
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    writers = [subprocess.Popen([*command, name], cwd=lib.files.ROOT) for name in "xy"]
    while any(writer.poll() is None for writer in writers):
        read(path, "one")  # whole at any time
    assert [writer.returncode for writer in writers] == [0, 0]
    arrays, note = read(path, "one")
    assert note["writer"] in "xy"
    assert (arrays["a"] == 39).all()
    assert left_in(path.parent) == ["file.zip"]


def test_two_threads_may_write_the_same_file(path):
    errors = []

    def work():
        try:
            for _ in range(30):
                write(path, {"one": Content({"a": np.zeros(5000)}, {})})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    read(path, "one")
    assert left_in(path.parent) == ["file.zip"]


# --- many records in a file -------------------------------------------------------------------------------------------------


@pytest.fixture
def three(store):
    """Three runs that were saved together."""
    trained = train_dense([tiny_run(seed=seed) for seed in range(3)])
    save(store, *trained)
    return trained


def test_runs_that_were_trained_together_share_a_file(store, three):
    assert sorted(keys(file_of(store))) == sorted(one.run.key for one in three)
    for one in three:
        assert np.array_equal(store.load(one.run).metrics["l2"], one.metrics["l2"].astype(np.float32))


def test_floats_are_packed_and_come_back_bit_for_bit(tmp_path):
    rng, special = np.random.default_rng(0), [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-7, 3e4]
    for dtype in (np.float16, np.float32, np.float64):
        for array in (
            np.array(special).astype(dtype),
            rng.standard_normal((5, 2, 3)).astype(dtype),
            np.zeros(0, dtype),
        ):
            write(tmp_path / "x.zip", {"one": Content({"a": array}, {})})
            back = read(tmp_path / "x.zip", "one").arrays["a"]
            assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_two_writers_at_the_same_second_leave_a_file_each(store, trained, monkeypatch):
    """Of a run that two processes train at once, one may keep the mask or the probes and the other not."""
    same = {"numerics": lib.records.store.NUMERICS, "seconds": 1.0, "recorded": "2026-01-01T00:00:00Z"}
    monkeypatch.setattr(lib.records.store, "provenance", lambda seconds, device: same)
    mask = dataclasses.replace(trained, mask=np.ones(trained.run.length, bool))
    for masked in (True, False):
        store.save([Kept(mask, masked)], 1.0)
    assert len(list(store.write_to.glob("*.zip"))) == 2
    fresh = Store(store.folders[0].parent, store.folders[1].parent)
    assert fresh.status(trained.run).has_mask and fresh.load(trained.run).mask is not None


def test_the_file_of_a_run_is_that_of_its_best_record(store, trained):
    assert store.file(trained.run) is None
    held = dataclasses.replace(trained, mask=np.ones(trained.run.length, bool))
    store.save([Kept(held)], 1.0)
    [poor] = store.write_to.glob("*.zip")
    assert store.file(trained.run) == poor
    store.save([Kept(held, masked=True)], 1.0)
    best = store.file(trained.run)
    assert best != poor and best.parent == store.write_to
    best.write_bytes(b"damaged")
    assert store.file(trained.run) == poor


def test_a_damaged_copy_does_not_keep_a_sound_one_from_being_adopted(tmp_path, store, trained):
    held = dataclasses.replace(trained, mask=np.ones(trained.run.length, bool))
    store.save([Kept(held)], 1.0)
    [sound] = store.write_to.glob("*.zip")
    store.save([Kept(held, masked=True)], 1.0)
    [other] = set(store.write_to.glob("*.zip")) - {sound}
    content = bytearray(other.read_bytes())
    content[200] ^= 255  # not in the directory: the file still names its records
    other.write_bytes(content)
    results, cache = (folder.parent for folder in store.folders)
    committing = Store(results, cache, commit=True)
    with pytest.raises(StoreError):
        read(other, trained.run.key)
    assert committing.adopt([trained.run]) == 1 and committing.adopt([trained.run]) == 0
    assert Store(results, tmp_path / "none").status(trained.run).state == "recorded"


def test_a_committed_record_does_not_keep_one_that_has_what_is_wanted_from_being_adopted(tmp_path, store, trained):
    """A chapter that reads masks has trained anew, into the cache, what was committed without."""
    held, run = dataclasses.replace(trained, mask=np.ones(trained.run.length, bool)), trained.run
    results, cache = (folder.parent for folder in store.folders)
    committing = Store(results, cache, commit=True)
    committing.save([Kept(held)], 1.0)
    store.save([Kept(held, masked=True)], 1.0)
    committing = Store(results, cache, commit=True)
    assert committing.adopt([run]) == 0  # nothing reads the mask
    assert committing.adopt([run], masked=[run]) == 1 and committing.adopt([run], masked=[run]) == 0
    assert Store(results, tmp_path / "none").status(run).has_mask


def test_what_records_of_one_training_keep_is_found_whichever_is_newer(store, trained):
    held = dataclasses.replace(trained, mask=np.arange(trained.run.length) % 2 == 0)
    for kept in (Kept(held, probes=PROBES), Kept(held, masked=True), Kept(held)):
        store.save([kept], 1.0)
    fresh = Store(store.folders[0].parent, store.folders[1].parent)
    status, record = fresh.status(trained.run), fresh.load(trained.run)
    assert status.has_mask and status.has_probes
    assert np.array_equal(record.mask, held.mask) and record.probes["epochs"].tolist() == [0, 1, 2]


def test_what_another_training_keeps_is_not_mixed_in(store, trained):
    held = dataclasses.replace(trained, mask=np.ones(trained.run.length, bool))
    other = dataclasses.replace(held, metrics={name: values * 1.01 for name, values in held.metrics.items()})
    store.save([Kept(held, masked=True)], 1.0)
    store.save([Kept(other, probes=PROBES)], 1.0)
    fresh = Store(store.folders[0].parent, store.folders[1].parent)
    status, record = fresh.status(trained.run), fresh.load(trained.run)
    assert (status.has_mask, status.has_probes) == (record.mask is not None, record.probes is not None)
    assert status.has_mask != status.has_probes


def test_damage_to_one_record_leaves_the_others_of_its_file_alone(store, three):
    path, lost = file_of(store), three[1].run
    rewritten(path, lambda members: {f"{lost.key}/metrics.series.npy": b"nothing"})
    store = Store(store.folders[0].parent, store.folders[1].parent)
    assert [store.status(one.run).state for one in three] == ["recorded", "damaged", "recorded"]
    assert f"record {lost.key} in {path} is damaged" in store.status(lost).why


def test_of_two_records_of_a_run_the_newer_numerics_count_and_then_the_newer(store, three, monkeypatch):
    one = three[0]
    monkeypatch.setattr(lib.records.store, "NUMERICS", 2)
    save(store, one, seconds=7)
    assert store.load(one.run).provenance["seconds"] == 1
    monkeypatch.setattr(lib.records.store, "NUMERICS", 2001)
    save(store, one, seconds=9)
    assert store.load(one.run).provenance["seconds"] == 9


def test_pack_merges_small_files_and_loses_nothing(store):
    trained = train_dense([tiny_run(seed=seed) for seed in range(5)])
    for one in trained:
        save(store, one)
    before = {one.run: store.load(one.run).metrics["l2"].tobytes() for one in trained}
    (store.write_to / "notes.txt").write_text("hello")
    assert store.pack() == 4
    assert len(left_in(store.write_to)) == 2
    store = Store(store.folders[0].parent, store.folders[1].parent)
    assert {run: store.load(run).metrics["l2"].tobytes() for run in before} == before
    assert store.pack() == 0


def test_pack_keeps_a_run_once_for_each_arithmetic(store, trained, monkeypatch):
    """Comparisons take the newest arithmetic that all their runs have, which need not be the newest of each."""
    for numerics in (1, 2, 2):
        monkeypatch.setattr(lib.records.store, "NUMERICS", numerics)
        save(store, trained)
        save(store, dataclasses.replace(trained, run=tiny_run(seed=numerics + 10)))
    assert store.pack() > 0
    fresh = Store(store.folders[0].parent, store.folders[1].parent)
    assert set(fresh.versions(trained.run)) == {1, 2}


def test_pack_makes_no_file_larger_than_told(store, monkeypatch):
    trained = train_dense([tiny_run(seed=seed) for seed in range(5)])
    for one in trained:
        save(store, one)
    sizes = [path.stat().st_size for path in store.write_to.glob("*.zip")]
    monkeypatch.setattr(lib.records.store, "LARGEST", sum(sizes) // 2)
    assert store.pack() == 2  # two files of two records, and one that is left over
    monkeypatch.setattr(lib.records.store, "LARGEST", 1)
    assert store.pack() == 0
    fresh = Store(store.folders[0].parent, store.folders[1].parent)
    assert all(fresh.load(one.run) is not None for one in trained)


def test_thin_drops_masks_and_probes_that_nothing_reads_and_nothing_else(store):
    runs = [tiny_run(seed=seed, epochs=30) for seed in range(4)]
    snapshots = {run: set(snapshot_epochs(run)) for run in runs}
    trained = train_dense(runs, [random_mask(run) for run in runs], snapshots=snapshots)
    store.save([Kept(one, True, summarize(one.run, one.snapshots)) for one in trained], 1.0)
    damaged = store.write_to / "x.zip"
    damaged.write_bytes(b"not a record")
    before = {run: store.load(run) for run in runs}
    size = sum(path.stat().st_size for path in store.write_to.glob("*.zip"))
    assert store.thin(masked=runs[:2], probed=runs[1:3]) == 3
    store = Store(store.folders[0].parent, store.folders[1].parent)
    for i, run in enumerate(runs):
        record = store.load(run)
        assert (record.mask is not None, record.probes is not None) == (i < 2, i in (1, 2))
        assert record.metrics["l2"].tobytes() == before[run].metrics["l2"].tobytes()
        assert record.provenance == before[run].provenance
    assert (store.load(runs[0]).mask == before[runs[0]].mask).all()
    assert damaged.read_bytes() == b"not a record"
    assert sum(path.stat().st_size for path in store.write_to.glob("*.zip")) < size
    assert store.thin(masked=runs[:2], probed=runs[1:3]) == 0


def test_masks_and_probes_are_kept_where_they_are_wanted(store):
    run = tiny_run(epochs=30)
    snapshots = {run: set(snapshot_epochs(run))}
    [trained] = train_dense([run], [random_mask(run)], snapshots=snapshots)
    store.save([Kept(trained)], 1)
    record = store.load(run)
    assert (record.mask, record.probes, record.provenance["masked"]) == (None, None, True)
    store.save([Kept(trained, True, summarize(run, trained.snapshots))], 1)
    record = Store(store.folders[0].parent, store.folders[1].parent).load(run)
    assert record.mask.tolist() == trained.mask.tolist()
    assert record.probes["inputs"].shape[1:] == (8, 7)


# --- status -----------------------------------------------------------------------------------------------------------------


def test_status_of_a_recorded_run_says_where(tmp_path, trained):
    for commit, folder in ((False, "cache"), (True, "results")):
        store = Store(tmp_path / "results", tmp_path / "cache", commit=commit)
        save(store, trained)
        status = store.status(trained.run)
        assert status.state == "recorded"
        assert folder in str(file_of(store))


def test_status_of_a_missing_run(store, trained):
    save(store, trained)
    status = store.status(tiny_run(seed=1))
    assert (status.state, status.why) == ("missing", "no record of this run")


def test_status_of_a_run_recorded_with_older_arithmetic(store, trained, monkeypatch):
    save(store, trained)
    monkeypatch.setattr(lib.train.runs, "NUMERICS", 2001)
    monkeypatch.setattr(lib.records.store, "NUMERICS", 2001)
    status = store.status(trained.run)
    assert status.state == "out of date"
    assert status.why.startswith("recorded with numerics ") and status.why.endswith(", the trainer is at 2001")
    assert store.load(trained.run).provenance["numerics"] != 2001  # and still to be had
    assert (
        Store(store.folders[0].parent, store.folders[1].parent).weights(trained.run, 150) is None
    )  # but no checkpoint
    assert store.status(tiny_run(seed=1)).state == "missing"


def test_status_of_a_damaged_record(store, trained):
    save(store, trained)
    path = file_of(store)
    path.write_bytes(path.read_bytes()[:500])
    status = store.status(trained.run)
    assert status.state == "damaged"
    assert status.why.startswith(f"{path} is damaged or not a file of records")
    assert store.load(trained.run) is None


def test_the_record_of_another_run_under_this_ones_name_is_not_believed(store, trained):
    save(store, trained)
    other, content = tiny_run(seed=1), read(file_of(store), trained.run.key)
    write(file_of(store), {other.key: content})
    store = Store(store.folders[0].parent, store.folders[1].parent)
    assert store.status(other).state == "damaged"
    assert store.load(other) is None


@pytest.mark.parametrize("change", ["a metric is missing", "an evaluation is missing"])
def test_a_record_that_lacks_something_is_not_believed(store, trained, change):
    """Status and load agree: else a run would count as recorded that cannot be read."""
    save(store, trained)
    arrays, note = read(file_of(store), trained.run.key)
    metrics = arrays["metrics"]  # [T, metrics]
    arrays = {"metrics": metrics[:, :-1] if change == "a metric is missing" else metrics[:-1]}
    write(file_of(store), {trained.run.key: Content(arrays, note)})
    assert store.status(trained.run).state == "damaged"
    assert store.load(trained.run) is None


def test_a_damaged_committed_record_does_not_hide_a_sound_one_in_the_cache(tmp_path, trained):
    for commit in (False, True):
        store = Store(tmp_path / "results", tmp_path / "cache", commit=commit)
        save(store, trained)
    file_of(store).write_bytes(b"x")
    assert store.status(trained.run).state == "recorded"
    assert store.load(trained.run) is not None


def test_a_damaged_checkpoint_counts_as_gone(store, trained):
    save(store, trained)
    path = next(store.checkpoints.rglob("000150.zip"))
    path.write_bytes(path.read_bytes()[:-1])
    assert store.weights(trained.run, 150) is None


def test_foreign_and_unreadable_files_are_named_and_left_alone(store, trained):
    save(store, trained)
    assert store.unreadable() == []
    (store.write_to / "notes.txt").write_text("hello")
    other = Store(store.folders[0].parent, store.folders[1].parent)
    assert [
        f"{store.write_to / 'notes.txt'} is damaged or not a file of records" in one for one in other.unreadable()
    ] == [True]
    assert other.status(trained.run).state == "recorded"


def test_the_run_of_a_record_can_be_told_from_its_file_alone(store, trained):
    """Canonical JSON survives the note's round trip: numbers such as 0.4 and 1e-3 come back as they were."""
    run = trained.run
    assert json.dumps(json.loads(run.canonical), sort_keys=True, separators=(",", ":")) == run.canonical
    paper = Run(task=ModularTask(seed=0), model=run.model, optimizer=AdamW(learning_rate=0.0003), seed=0)
    assert json.loads(paper.canonical)["optimizer"] == {"kind": "AdamW", "learning_rate": 0.0003}


def test_keys_are_what_they_were():
    """A default that changes would silently give old records to new runs: settings at their default stand in no key."""
    base = Run(task=ModularTask(seed=0), model=MLP(), seed=0)
    assert base.canonical == '{"kind":"Run","model":{"kind":"MLP"},"seed":0,"task":{"kind":"ModularTask","seed":0}}'
    defaults = {"epochs": 30_000, "evaluate_every": 100, "optimizer": AdamW(), "start": Dense()}
    assert all(getattr(base, name) == value for name, value in defaults.items())
    assert base.task == ModularTask(operation="a+b", prime=67, pairs="unordered", train_fraction=0.4, seed=0)
    assert base.model == MLP(width=500, hidden=48, hidden_layers=1)
    o = AdamW(learning_rate=0.001, beta1=0.9, beta2=0.98, weight_decay=1.0, decay_until=None)
    assert base.optimizer == o


def test_an_older_record_has_the_fewer_epochs_at_which_it_was_evaluated(store, trained):
    save(store, trained)
    arrays, note = read(file_of(store), trained.run.key)
    kept = np.isin(trained.run.evaluated_epochs, trained.run.deciding_epochs)
    older = {name: value for name, value in note.items() if name != "early"}
    write(file_of(store), {trained.run.key: Content({"metrics": arrays["metrics"][kept]}, older)})
    record = Store(store.folders[0].parent, store.folders[1].parent).load(trained.run)
    assert record.epochs.tolist() == [0, 100, 200, 230]
    assert all(np.array_equal(record.metrics[name], trained.metrics[name][kept].astype(np.float32)) for name in METRICS)
