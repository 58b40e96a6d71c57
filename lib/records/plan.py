"""Plan: which runs have to be trained, in which order and stacks; and their training.

A run whose record is in the store is not trained again. A ticket needs its base's weights at an epoch: where that
checkpoint is gone (the cache may be deleted at any time), the base is trained again up to that epoch.
"""

import threading
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from lib.analysis.probes import snapshot_epochs, summarize
from lib.records.store import Kept, Record, Store
from lib.train import products
from lib.train.runs import Origin, Run
from lib.train.trainer import Diverged, Report, Trained, train

if TYPE_CHECKING:
    import distributed

STACK = 8  # runs in a stack: enough for the threads of a laptop
GPU_STACK = 256  # a GPU takes all that there is
TOPIC = "run-epochs"  # of the events in which workers say how far a stack is


class WorkersKilled(RuntimeError):
    """A stack that no worker survived."""


@dataclass
class Job:
    """A run to train up to epoch `until`, keeping its weights at `snapshots` as checkpoints.

    record: its record is wanted, with its mask (masked), with what lib/analysis/probes.py keeps of its weights (probed).
    """

    run: Run
    why: str
    until: int
    record: bool
    snapshots: set[int] = field(default_factory=set)
    masked: bool = False
    probed: bool = False


def make_plan(
    runs: Iterable[Run],
    store: Store,
    probed: Collection[Run] = (),
    masked: Collection[Run] = (),
    *,
    renew: bool = False,
) -> list[list[Job]]:
    """The jobs that lead to a record of every run, in levels: a job needs nothing but jobs of earlier levels.

    probed, masked: those of the runs whose probes and masks are wanted as well. renew: records that are out of date are made
    anew; else they will do.
    """
    jobs: dict[Run, Job] = {}
    depth: dict[Run, int] = {}

    def add(run: Run, why: str, *, epoch: int | None = None) -> None:
        """Plans a run for its record, or (epoch given) for its weights at an epoch."""
        job = jobs.get(run)
        if job is None:
            job = jobs[run] = Job(run, why, until=0, record=False)
            depth[run] = 0
            for base, base_epoch in run.start.needs():
                if base in jobs or store.weights(base, base_epoch) is None:
                    add(base, f"its weights at epoch {base_epoch} are needed by: {run}", epoch=base_epoch)
                    depth[run] = max(depth[run], depth[base] + 1)
        if epoch is None:
            job.record, job.until, job.why = True, run.epochs, why
        else:
            job.snapshots.add(epoch)
            job.until = max(job.until, epoch)

    for run in dict.fromkeys(runs):
        status = store.status(run)
        if status.state in ("missing", "damaged") or (renew and status.state != "recorded"):
            add(run, f"{status.state}: {status.why}")
        elif run in probed and not status.has_probes:
            add(run, "its probes are missing")
        elif run in masked and not status.has_mask:
            add(run, "its mask is missing")
    for run, job in jobs.items():
        job.masked, job.probed = run in masked, run in probed
    levels: list[list[Job]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for run, job in jobs.items():
        levels[depth[run]].append(job)
    return levels


def stacks(jobs: Sequence[Job], workers: int = 1, device: str = "cpu") -> list[list[Job]]:
    """Jobs that can be trained together, side by side: as many examples, the same model, optimizer and length; at most `STACK`.

    workers: how many stacks can be trained at a time, each on one thread, so that no more runs are stacked than it trains side
    by side; fewer where that keeps all of them at work.
    """
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        run = job.run
        alike = run.task.shape, run.model, run.optimizer, run.epochs, run.evaluate_every, job.until
        groups.setdefault(alike, []).append(job)
    out = []
    for group in groups.values():
        most = GPU_STACK if device == "cuda" else STACK if workers == 1 else group[0].run.model.runs_at_once
        size = min(most, -(-len(jobs) // workers))
        each = -(-len(group) // -(-len(group) // size))  # as equal as can be
        if workers == 1:
            each += each % 2  # the trainer's threads share a stack
        out += [group[i : i + each] for i in range(0, len(group), each)]
    return out


def workers_of(client: "distributed.Client") -> int:
    """How many workers a Dask client has. Raises ValueError where there is none, or one with several threads: OpenBLAS has one
    number of threads for a whole process, so that what one thread sets (`products.one_thread`) changes the other's bits."""
    threads, address = client.nthreads(), client.scheduler.address
    if not threads:
        raise ValueError(f"no worker is at {address}; start some with `dask worker {address} --nthreads 1`")
    if max(threads.values()) > 1:
        raise ValueError(
            f"a worker at {address} has {max(threads.values())} threads; start workers with one each, whose bits are those of a "
            f"training without Dask: `dask worker {address} --nthreads 1`"
        )
    return len(threads)


def starts_of(jobs: Sequence[Job], store: Store) -> list[Origin]:
    """Where each job's run begins."""
    return [job.run.start.make(job.run, store.weights) for job in jobs]


def execute(
    levels: Sequence[Sequence[Job]],
    store: Store,
    *,
    device: str = "cpu",
    progress: bool = True,
    client: "distributed.Client | None" = None,
) -> None:
    """Trains all jobs and saves each stack as it ends, so that an interrupt loses no more than what is under way.

    client: a Dask client; its workers, of one thread each, then train the stacks, and this process saves what they send back.
    Raises StoreError before any training where the store cannot be written, and Diverged at the end, naming the runs whose loss stopped being finite and those that depend on them; every
    other run is in the store by then.
    """
    total = sum(job.until for level in levels for job in level)
    if levels:
        store.try_to_write()
    failed: dict[Run, str] = {}
    with tqdm(total=total, unit=" run-epochs", unit_scale=True, disable=not progress or total == 0) as bar:
        for level in levels:
            ready = []
            for job in level:
                lost = [base for base, _ in job.run.start.needs() if base in failed]
                if lost:
                    failed[job.run] = f"{job.run}: needs {lost[0]}, which diverged"
                else:
                    ready.append(job)
            waiting = stacks(ready, workers_of(client) if client else 1, device)
            for stack, kept, seconds in _train_stacks(waiting, store, device, bar, client):
                good = []
                for job, one in zip(stack, kept, strict=True):
                    if one.trained.diverged_at is not None:
                        failed[job.run] = f"{job.run}: loss not finite at epoch {one.trained.diverged_at}"
                    else:
                        good.append((job, one))
                keep(good, seconds / len(stack), store, device)
    if failed:
        raise Diverged("; ".join(failed.values()) + ". All other runs are recorded.")


def _train_stacks(
    waiting: Sequence[Sequence[Job]], store: Store, device: str, bar: tqdm, client: "distributed.Client | None"
) -> Iterator[tuple[Sequence[Job], list[Kept], float]]:
    """Trains stacks, here or on a client's workers, and yields each with its results and seconds as it ends."""
    if client is None:
        for stack in waiting:
            bar.set_description(f"{len(stack)} runs, {stack[0].run}"[:70])
            yield stack, *_train_stack(stack, starts_of(stack, store), bar.update, device)
        return
    from distributed import KilledWorker, as_completed

    futures = {
        client.submit(_train_on_worker, stack, starts_of(stack, store), device, pure=False): stack for stack in waiting
    }
    far, one_at_a_time = {future.key: 0 for future in futures}, threading.Lock()

    def show(key: str, run_epochs: int) -> None:
        """Moves the bar on; never back, though a stack may be trained again or told of late."""
        with one_at_a_time:
            if run_epochs > far.get(key, run_epochs):
                bar.update(run_epochs - far[key])
                far[key] = run_epochs

    client.subscribe_topic(TOPIC, lambda event: show(*event[1]))
    for future in as_completed(futures):
        stack = futures[future]
        try:
            kept, seconds = future.result()
        except KilledWorker:
            raise WorkersKilled(
                f"every worker that trained {len(stack)} runs such as {stack[0].run} was killed, perhaps for want of memory; "
                "what was finished is recorded, and fewer workers have more memory each"
            ) from None
        show(future.key, stack[0].until * len(stack))
        yield stack, kept, seconds


def _train_on_worker(stack: Sequence[Job], starts: list[Origin], device: str) -> tuple[list[Kept], float]:
    """`_train_stack` on a Dask worker, which says once a second how many run-epochs are behind it."""
    from distributed import get_worker

    worker = get_worker()
    key, done, last = worker.get_current_task(), 0, time.monotonic()

    def report(run_epochs: int) -> None:
        nonlocal done, last
        done += run_epochs
        if time.monotonic() > last + 1:
            last = time.monotonic()
            worker.log_event(TOPIC, (key, done))

    return _train_stack(stack, starts, report, device)


def _train_stack(stack: Sequence[Job], starts: list[Origin], report: Report, device: str) -> tuple[list[Kept], float]:
    """Trains a stack: what is to be kept of each run, of its weights no more than the job's snapshots, and the seconds that
    training took."""
    begun, probed = time.perf_counter(), [job.record and job.probed for job in stack]
    snapshots = {
        job.run: job.snapshots | set(snapshot_epochs(job.run) if one else ())
        for job, one in zip(stack, probed, strict=True)
    }
    trained = train(list(snapshots), starts, snapshots, until=stack[0].until, report=report, device=device)
    seconds, kept = time.perf_counter() - begun, []
    for job, is_probed, one in zip(stack, probed, trained, strict=True):
        probes = summarize(job.run, one.snapshots) if is_probed and one.diverged_at is None else None
        wanted = {epoch: weights for epoch, weights in one.snapshots.items() if epoch in job.snapshots}
        kept.append(Kept(replace(one, snapshots=wanted), job.masked, probes))
    return kept, seconds


def keep(kept: Sequence[tuple[Job, Kept]], seconds: float, store: Store, device: str) -> None:
    """Saves what the jobs of a stack were for: checkpoints, and then records."""
    for job, one in kept:
        store.save_checkpoints(one.trained, job.snapshots)
        record = None if job.record else store.load(job.run)
        if record is not None and differs(one.trained, record):
            setting = products.to_repeat(record.kernels)
            hint = f"; {setting} should give the record's bits" if setting else ""
            warnings.warn(
                f"{job.run}: trained again for its weights, this differs from its record (another machine, or library of matrix "
                f"products); what starts from it starts from a replica that rounding tells apart{hint}",
                stacklevel=2,
            )
    records = [one for job, one in kept if job.record]
    if records:
        store.save(records, seconds, device)


def differs(trained: Trained, record: Record) -> bool:
    """Whether a run, trained again up to some epoch, leaves the path of its record before that."""
    epochs = trained.run.evaluated_epochs[: len(trained.metrics["train_loss"])]
    ours, theirs = np.isin(epochs, record.epochs), np.isin(record.epochs, epochs)
    return any(
        not np.array_equal(values.astype(np.float32)[ours], record.metrics[name][theirs], equal_nan=True)
        for name, values in trained.metrics.items()
    )


def obtain(
    runs: Sequence[Run],
    store: Store,
    *,
    probed: Collection[Run] = (),
    masked: Collection[Run] = (),
    device: str = "cpu",
    progress: bool = True,
) -> list[Record]:
    """The records of the runs, in their order; what is missing is trained first, probes and masks too."""
    execute(make_plan(runs, store, probed, masked), store, device=device, progress=progress)
    records = [store.load(run) for run in runs]
    lost = [str(run) for run, record in zip(runs, records, strict=True) if record is None]
    if lost:
        raise RuntimeError(f"the record of {lost[0]} was just written but cannot be read; is the disk failing?")
    return [record for record in records if record is not None]
