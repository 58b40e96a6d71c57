"""Command line: `python -m lib status`, `train`, `pack` and `judge`. `python -m lib --help` tells more."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lib.experiments import chapters, parameters
from lib.experiments.images import with_images_at_hand
from lib.files import CACHE, RESULTS, StoreError
from lib.records.plan import execute, make_plan
from lib.records.store import Store
from lib.train.trainer import Diverged

if TYPE_CHECKING:
    import distributed


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code
    except (StoreError, Diverged, ValueError) as error:  # ParameterError and ClaimsError are ValueErrors
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted: finished stacks are recorded, the same command goes on from there", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m lib", description="Records and verdicts of the replication.")
    commands = top.add_subparsers(required=True, metavar="command")
    for name, command, text in (
        ("status", status, "list what is recorded, missing, damaged or out of date, and why it would be trained"),
        ("train", train, "train what is missing; the paper profile's records go to results/, others to .cache/"),
        ("pack", pack, "merge small files of records into larger ones"),
        ("judge", judge, "compute every verdict from the records and write them as JSON"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--profile", default="paper", help="a file in params/ (default: paper)")
        if name in ("status", "train"):
            sub.add_argument(
                "--chapter", action="append", choices=list(chapters.CHAPTERS), help="only this chapter's runs"
            )
        if name == "train":
            sub.add_argument("--renew", action="store_true", help="train what is out of date anew, too")
            sub.add_argument("--device", choices=["cpu", "cuda"], help="in place of the profile's")
            sub.add_argument(
                "--results", type=Path, help="write the records to this folder, and read none from results/"
            )
            where = sub.add_mutually_exclusive_group()
            where.add_argument(
                "--workers", type=int, help="train on so many processes of this machine, one thread each"
            )
            where.add_argument("--scheduler", help="train on the workers of a Dask scheduler, such as tcp://node:8786")
    return top


@contextmanager
def client_of(options: argparse.Namespace) -> Iterator["distributed.Client | None"]:
    """The Dask client that --workers or --scheduler asks for, or None."""
    if options.workers is None and options.scheduler is None:
        yield None
        return
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers is {options.workers}; it must be at least 1")
    from distributed import Client

    try:
        client = Client(options.scheduler, timeout=10) if options.scheduler else Client(
            n_workers=options.workers, threads_per_worker=1, dashboard_address=None
        )  # fmt: skip
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {options.scheduler} ({error})") from error
    with client:
        yield client


def chosen(options: argparse.Namespace) -> list[str]:
    """The chapters that the options name, or all."""
    return options.chapter or list(chapters.CHAPTERS)


def status(options: argparse.Namespace) -> int:
    """Lists the state of every run, and what training them would do; 0 if nothing is missing or damaged."""
    store, of = Store(), chapters.wanted(parameters.load(options.profile), chosen(options))
    states = {run: store.status(run) for run in of.runs}
    jobs = [job for level in make_plan(of.runs, store, of.probed, of.masked) for job in level]
    lacking = [job for job in jobs if job.record and states[job.run].state in ("recorded", "out of date")]
    counts = Counter(state.state for state in states.values())
    order = ("damaged", "missing", "out of date", "recorded")
    words = [f"{counts[state]} {state}" for state in order if counts[state]]
    words += [f"{len(lacking)} without probes or mask"] if lacking else []
    words += [f"{len(store.unreadable())} unreadable files"] if store.unreadable() else []
    print(f"{options.profile} profile, {len(of.runs)} runs: {', '.join(words)}")
    for run, state in states.items():
        if state.state in ("recorded", "out of date"):
            print(f"  {state.state:12} {run}{' (' + state.why + ')' if state.why else ''}")
    for job in jobs:
        state = states[job.run].state if job.record else "checkpoint"
        print(f"  {state:12} {job.run}\n{'':15}would be trained for {job.until:,} epochs: {job.why}")
    for problem in store.unreadable():
        print(f"  {problem}")
    return int(bool(jobs))


def train(options: argparse.Namespace) -> int:
    """Trains what is missing."""
    commit = options.results is not None or options.profile == "paper"
    store = Store(
        options.results or RESULTS,
        CACHE if options.results is None else CACHE / f"of-{options.results.resolve().name}",
        commit,
    )
    settings, note = with_images_at_hand(parameters.load(options.profile), store, chosen(options))
    if note:
        print(note, file=sys.stderr)
    of = chapters.wanted(settings, chosen(options))
    levels = make_plan(of.runs, store, of.probed, of.masked, renew=options.renew)
    device = parameters.validate(dict(settings) | {"device": options.device or settings.device}, "--device").device
    with client_of(options) as client:
        execute(levels, store, device=device, client=client)
    print(f"{options.profile} profile: {len(of.runs)} runs recorded, {sum(map(len, levels))} trained just now")
    return 0


def pack(options: argparse.Namespace) -> int:
    """Merges small files of records."""
    print(f"{Store(commit=options.profile == 'paper').pack()} files fewer")
    return 0


def judge(options: argparse.Namespace) -> int:
    """Writes the verdicts, unless records are damaged or verdicts would be lost."""
    from lib.claims import judging  # SciPy's statistics take a while to import, and `status` is to be quick

    settings, store = parameters.load(options.profile), Store()
    path = judging.VERDICTS if options.profile == "paper" else CACHE / f"verdicts-{options.profile}.json"
    states = {run: store.status(run) for run in chapters.wanted(settings).runs}
    damaged = [(run, state.why) for run, state in states.items() if state.state == "damaged"]
    missing = [run for run, state in states.items() if state.state == "missing"]
    problems = [f"{why}; it is that of: {run}" for run, why in damaged] + (store.unreadable() if missing else [])
    if problems:
        raise StoreError(
            f"{problems[0]}. `python -m lib train --profile {options.profile}` makes it anew; "
            f"{len(problems)} damaged in all, and {path.name} is left as it was"
        )
    found = judging.verdicts(settings, store.versions, settings.label)
    old = {(verdict.id, verdict.system): verdict.verdict for verdict in judging.read_verdicts(path)}
    lost = [one for one in found if one.verdict == "not run" and old.get((one.id, one.system), "not run") != "not run"]
    if lost:
        raise StoreError(
            f"{len(missing)} records are missing, so that {lost[0].id} on {lost[0].system} and {len(lost) - 1} others would lose "
            f"their verdicts; train them (`python -m lib train`), or delete {path.name} to judge without them"
        )
    judging.write_verdicts(path, found)
    counts = Counter(verdict.verdict for verdict in found)
    shown = path.relative_to(RESULTS.parent)
    print(f"{shown}: {len(found)} verdicts, " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
