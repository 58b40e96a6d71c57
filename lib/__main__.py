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

MOST_WRONG = 0.05  # how often a rule may say "replicated" where that is wrong

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
        ("power", power, "simulate how often every rule errs, and how often it finds what is there"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if name != "power":
            sub.add_argument("--profile", default="paper", help="a file in params/ (default: paper)")
        if name in ("status", "train"):
            sub.add_argument(
                "--chapter", action="append", choices=list(chapters.CHAPTERS), help="only this chapter's runs"
            )
            sub.add_argument("--seeds", help="in place of the profile's: 7,8,9, or 5:25 for 5 to 24")
        if name == "train":
            sub.add_argument(
                "--all", action="store_true", help="all runs that the book is to have, not only those that it shows"
            )
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
    import dask
    from distributed import Client

    # A profiler in each worker looks at every Python frame a hundred times a second: a tenth of the training time.
    dask.config.set({"distributed.worker.profile.enabled": False})
    try:
        client = Client(options.scheduler, timeout=10) if options.scheduler else Client(
            n_workers=options.workers, threads_per_worker=1, dashboard_address=None
        )  # fmt: skip
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {options.scheduler} ({error})") from error
    with client:
        yield client


def chosen(options: argparse.Namespace) -> list[str] | None:
    """The chapters that the options name, None for all."""
    return options.chapter


def status(options: argparse.Namespace) -> int:
    """Lists the state of every run that the book shows, and what training them would do; 0 if nothing is missing or damaged.

    Runs that the book is to have and does not show yet are counted, and listed if damaged.
    """
    store = Store()
    settings = with_seeds(parameters.load(options.profile), options)
    of, whole = (chapters.wanted(settings, chosen(options), store, whole=whole) for whole in (False, True))
    shown = set(of.runs)
    planned = {run: store.status(run) for run in whole.runs if run not in shown}
    broken = {run: state for run, state in planned.items() if state.state == "damaged"}
    states = {run: store.status(run) for run in of.runs} | broken
    jobs = [job for level in make_plan(of.runs, store, of.probed, of.masked) for job in level]
    lacking = [job for job in jobs if job.record and states[job.run].state in ("recorded", "out of date")]
    counts = Counter(state.state for state in states.values())
    order = ("damaged", "missing", "out of date", "recorded")
    words = [f"{counts[state]} {state}" for state in order if counts[state]]
    words += [f"{len(lacking)} without probes or mask"] if lacking else []
    words += [f"{len(store.unreadable())} unreadable files"] if store.unreadable() else []
    print(f"{options.profile} profile, {len(states)} runs: {', '.join(words)}")
    if planned:
        there = sum(state.state in ("recorded", "out of date") for state in planned.values())
        later = f", and {whole.pending} that depend on bases yet to be trained" if whole.pending else ""
        print(f"to come: {len(planned)} runs, of which {there} are recorded{later} (python -m lib train --all)")
    for run, state in states.items():
        if state.state in ("recorded", "out of date"):
            print(f"  {state.state:12} {run}{' (' + state.why + ')' if state.why else ''}")
    for job in jobs:
        what = states[job.run].state if job.record else "checkpoint"
        print(f"  {what:12} {job.run}\n{'':15}would be trained for {job.until:,} epochs: {job.why}")
    for problem in store.unreadable():
        print(f"  {problem}")
    return int(bool(jobs or broken))


def with_seeds(settings: parameters.Parameters, options: argparse.Namespace) -> parameters.Parameters:
    """The parameters with the seeds of --seeds, such as 7,8,9 or 5:25 (5 to 24)."""
    if options.seeds is None:
        return settings
    try:
        seeds = [seed for part in options.seeds.split(",") for seed in _range(part)]
    except ValueError:
        raise parameters.ParameterError(
            f"--seeds is {options.seeds!r}; it must be seeds such as 7,8,9, or from and up to as in 5:25 (5 to 24)"
        ) from None
    return parameters.validate(dict(settings) | {"seeds": seeds}, "--seeds")


def _range(part: str) -> range:
    first, colon, end = part.partition(":")
    return range(int(first), int(end) if colon else int(first) + 1)


def train(options: argparse.Namespace) -> int:
    """Trains what is missing."""
    commit = options.results is not None or options.profile == "paper"
    store = Store(
        options.results or RESULTS,
        CACHE if options.results is None else CACHE / f"of-{options.results.resolve().name}",
        commit,
    )
    settings, note = with_images_at_hand(with_seeds(parameters.load(options.profile), options), store, chosen(options))
    if note:
        print(note, file=sys.stderr)
    device = parameters.validate(dict(settings) | {"device": options.device or settings.device}, "--device").device
    trained = 0

    def train_all(of: chapters.Wanted) -> None:
        nonlocal trained
        levels = make_plan(of.runs, store, of.probed, of.masked, renew=options.renew)
        execute(levels, store, device=device, client=client)
        trained += sum(map(len, levels))

    with client_of(options) as client:
        of = chapters.until_known(
            lambda: chapters.wanted(settings, chosen(options), store, whole=options.all), train_all
        )
    print(f"{options.profile} profile: {len(of.runs)} runs recorded, {trained} trained just now")
    return 0


def pack(options: argparse.Namespace) -> int:
    """Merges small files of records."""
    print(f"{Store(commit=options.profile == 'paper').pack()} files fewer")
    return 0


def power(options: argparse.Namespace) -> int:
    """Prints the error rates and the power of every rule; 1 if one is wrong too often."""
    from lib.claims.claims import load_claims
    from lib.claims.power import most_wrong, table

    found = table(load_claims())
    for rule, rows in found.groupby("rule", sort=False):
        print(f"\n{rule}\n  {rows['claims'].iloc[0]}")
        print(rows.drop(columns=["rule", "claims"]).to_string(index=False, float_format="{:.3f}".format))
    print(f"\nwrongly replicated at most {most_wrong(found):.1%} of the time")
    return int(most_wrong(found) > MOST_WRONG)


def judge(options: argparse.Namespace) -> int:
    """Writes the verdicts, unless records are damaged or verdicts would be lost."""
    from lib.claims import judging  # SciPy's statistics take a while to import, and `status` is to be quick

    settings, store = parameters.load(options.profile), Store()
    path = judging.VERDICTS if options.profile == "paper" else CACHE / f"verdicts-{options.profile}.json"
    whole = chapters.wanted(settings, store=store, whole=True)
    states = {run: store.status(run) for run in whole.runs}
    damaged = [(run, state.why) for run, state in states.items() if state.state == "damaged"]
    missing = [run for run, state in states.items() if state.state == "missing"]
    problems = [f"{why}; it is that of: {run}" for run, why in damaged] + (store.unreadable() if missing else [])
    if problems:
        raise StoreError(
            f"{problems[0]}. `python -m lib train --profile {options.profile}` makes it anew; "
            f"{len(problems)} damaged in all, and {path.name} is left as it was"
        )
    found = judging.verdicts(settings, store)
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
