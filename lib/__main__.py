"""Command line: `python -m lib status`, `train` and `judge`. `python -m lib --help` tells more."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lib.claims import judging as claims
from lib.experiments import chapters as experiments, parameters
from lib.files import CACHE, RESULTS, StoreError
from lib.records.plan import execute, make_plan
from lib.train.runs import Run
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
    except (parameters.ParameterError, claims.ClaimsError, StoreError, Diverged, ValueError) as error:
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
        ("judge", judge, "compute every verdict from the records and write them as JSON"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--profile", default="paper", help="a file in params/ (default: paper)")
        if name != "judge":
            sub.add_argument(
                "--chapter", action="append", choices=list(experiments.CHAPTERS), help="only this chapter's runs"
            )
        if name == "train":
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


def wanted(options: argparse.Namespace, settings: parameters.Parameters) -> tuple[list[Run], set[Run]]:
    """The runs that the options ask for, and those of them whose tables are wanted."""
    chapters = options.chapter or list(experiments.CHAPTERS)
    return experiments.runs_of(settings, chapters), experiments.tabled_runs(settings, chapters)


def status(options: argparse.Namespace) -> int:
    """Lists the state of every run, and what training them would do."""
    store = Store()
    runs, tabled = wanted(options, parameters.load(options.profile))
    states = {run: store.status(run) for run in runs}
    counts = Counter(state.state for state in states.values())
    print(f"{options.profile} profile, {len(runs)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    for run, state in states.items():
        if state.state == "recorded":
            print(f"  {state.state:12} {run}")
    jobs = [job for level in make_plan(runs, store, tabled) for job in level]
    for job in jobs:
        state = states[job.run].state if job.record else "checkpoint"
        print(f"  {state:12} {job.run}\n{'':15}would be trained for {job.until:,} epochs: {job.why}")
    for path in store.foreign():
        print(f"  foreign file {path}: not a record of this project, left alone")
    return 0


def train(options: argparse.Namespace) -> int:
    """Trains what is missing."""
    commit = options.results is not None or options.profile == "paper"
    store = Store(
        options.results or RESULTS,
        CACHE if options.results is None else CACHE / f"of-{options.results.resolve().name}",
        commit,
    )
    settings, note = experiments.with_images_at_hand(
        parameters.load(options.profile), store, options.chapter or list(experiments.CHAPTERS)
    )
    if note:
        print(note, file=sys.stderr)
    runs, tabled = wanted(options, settings)
    levels = make_plan(runs, store, tabled)
    device = parameters.validate(dict(settings) | {"device": options.device or settings.device}, "--device").device
    with client_of(options) as client:
        execute(levels, store, device=device, client=client)
    print(f"{options.profile} profile: {len(runs)} runs recorded, {sum(map(len, levels))} trained just now")
    return 0


def judge(options: argparse.Namespace) -> int:
    """Writes the verdicts."""
    path = experiments.verdicts_path(options.profile)
    found = experiments.verdicts(parameters.load(options.profile), Store())
    claims.write_verdicts(path, found)
    counts = Counter(verdict.verdict for verdict in found)
    shown = path.relative_to(RESULTS.parent)
    print(f"{shown}: {len(found)} verdicts, " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
