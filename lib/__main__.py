"""Command line: `python -m lib status`, `train`, `verify`, `run`, ...; `python -m lib --help` tells more."""

import argparse
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lib.experiments import chapters, parameters
from lib.experiments.images import with_digits, without_images
from lib.experiments.settings import SETTINGS
from lib.files import CACHE, RESULTS, StoreError
from lib.records.plan import WorkersKilled, execute, make_plan
from lib.records.store import Store
from lib.train.trainer import Diverged

MOST_WRONG = 0.05  # how often a rule may say "replicated" where that is wrong

if TYPE_CHECKING:
    import distributed

    from lib.claims import judging


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code
    except parameters.ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (StoreError, Diverged, WorkersKilled, ValueError) as error:  # ClaimsError is a ValueError
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
        ("train", train, "train what is missing; with the paper's values records go to results/, else to .cache/"),
        ("verify", verify, "train a sample of the records anew and compare: 1 if one differs"),
        ("run", run, "run a chapter of the book with values of one's own"),
        ("pack", pack, "drop masks and probes that nothing reads, and merge small files of records"),
        ("judge", judge, "compute every verdict from the records and write them as JSON"),
        ("power", power, "simulate how often every rule errs, and how often it finds what is there"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if name != "power":
            sub.add_argument("--profile", default="paper", help="a file in params/ (default: paper)")
        if name in ("status", "train", "judge", "verify"):
            text = "in place of the profile's, such as prime=97; may be repeated"
            sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)
        if name in ("status", "train", "verify"):
            sub.add_argument(
                "--chapter", action="append", choices=list(chapters.CHAPTERS), help="only this chapter's runs"
            )
            sub.add_argument(
                "--setting",
                action="append",
                choices=list(SETTINGS),
                default=[],
                metavar="SETTING",
                help="only this setting's runs, such as mlp or transformer/a-b",
            )
        if name in ("status", "train"):
            sub.add_argument("--seeds", help="in place of the profile's: 7,8,9, or 5:25 for 5 to 24")
        if name == "verify":
            sub.add_argument("--sample", type=int, default=3, help="how many records (default: 3)")
            sub.add_argument("--seed", type=int, default=0, help="draws the sample (default: 0)")
            sub.add_argument(
                "--longest", type=int, metavar="EPOCHS", help="only runs of so many epochs, bases included"
            )
        if name == "run":
            sub.add_argument("name", metavar="CHAPTER", help="such as main-results")
            text = "in place of the profile's, such as -p seeds '[7, 8]'; may be repeated"
            sub.add_argument(
                "-p", action="append", nargs=2, default=[], metavar=("NAME", "VALUE"), dest="set", help=text
            )
            sub.add_argument("--output", type=Path, default=Path("out.ipynb"), help="(default: out.ipynb)")
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
            n_workers=options.workers, threads_per_worker=1, dashboard_address=":0"  # any free port
        )  # fmt: skip
    except (OSError, TimeoutError, ValueError) as error:
        what = f"no Dask scheduler answers at {options.scheduler}" if options.scheduler else "the workers did not start"
        raise ValueError(f"{what} ({error})") from error
    with client:
        yield client


def status(options: argparse.Namespace) -> int:
    """Lists the state of every run that the book shows, and what training them would do; 0 if nothing is missing or damaged.

    Runs that the book is to have and does not show yet are counted, and listed if damaged.
    """
    store = Store()
    settings = given(options)
    of, whole = (wanted(options, settings, store, whole) for whole in (False, True))
    shown = set(of.runs)
    planned = {run: store.status(run) for run in whole.runs if run not in shown}
    broken = {run: state for run, state in planned.items() if state.state == "damaged"}
    states = {run: store.status(run) for run in of.runs} | broken
    jobs = [job for level in make_plan(of.runs, store, of.probed, of.masked) for job in level]
    lacking = [job for job in jobs if job.record and states[job.run].is_there]
    counts = Counter(state.state for state in states.values())
    order = ("damaged", "missing", "out of date", "recorded")
    words = [f"{counts[state]} {state}" for state in order if counts[state]]
    words += [f"{len(lacking)} without probes or mask"] if lacking else []
    words += [f"{len(store.unreadable())} unreadable files"] if store.unreadable() else []
    print(f"{title(settings)}, {len(states)} runs: {', '.join(words)}")
    if planned:
        there = sum(state.is_there for state in planned.values())
        later = f", and {whole.pending} that depend on bases yet to be trained" if whole.pending else ""
        print(f"to come: {len(planned)} runs, of which {there} are recorded{later} (python -m lib train --all)")
    for run, state in states.items():
        if state.is_there:
            print(f"  {state.state:12} {run}{' (' + state.why + ')' if state.why else ''}")
    for job in jobs:
        what = states[job.run].state if job.record else "checkpoint"
        print(f"  {what:12} {job.run}\n{'':15}would be trained for {job.until:,} epochs: {job.why}")
    for problem in store.unreadable():
        print(f"  {problem}")
    return int(bool(jobs or broken))


def wanted(
    options: argparse.Namespace,
    settings: parameters.Parameters,
    store: Store,
    whole: bool = False,
    names: Iterable[str] | None = None,
) -> chapters.Wanted:
    """The runs that --chapter, or names in its place, and --setting name. Raises ParameterError as `chosen` does."""
    names = chosen(options, settings, names or options.chapter or chapters.CHAPTERS)
    return chapters.wanted(settings, names, store, whole=whole, settings=options.setting)


def chosen(options: argparse.Namespace, settings: parameters.Parameters, names: Iterable[str]) -> list[str]:
    """Those of the chapters that have a setting of --setting, all unless it is given. Raises ParameterError if none has."""
    of = {name: set(chapters.CHAPTERS[name].settings(settings)) for name in names}
    found = [name for name in of if not options.setting or of[name] & set(options.setting)]
    if not found:
        there = ", ".join(sorted(set().union(*of.values())))
        raise parameters.ParameterError(f"--setting is {', '.join(options.setting)}; there are {there}")
    return found


def given(options: argparse.Namespace) -> parameters.Parameters:
    """The profile's parameters, with the values of --set and the seeds of --seeds. Raises ParameterError."""
    settings, changes = parameters.load(options.profile), {}
    for text in options.set:
        name, equals, value = text.partition("=") if isinstance(text, str) else (text[0], "=", text[1])
        if not equals or name == "profile":
            raise parameters.ParameterError(
                f"{name} cannot be set; name a parameter and its value, as in prime=97 (--profile names the profile)"
            )
        changes[name] = value
    settings = parameters.validate(dict(settings) | changes, "parameters") if changes else settings
    return with_seeds(settings, options.seeds) if "seeds" in options else settings


def with_seeds(settings: parameters.Parameters, text: str | None) -> parameters.Parameters:
    """The parameters with the seeds of --seeds, such as 7,8,9 or 5:25 (5 to 24)."""
    if text is None:
        return settings
    try:
        every = (seed for part in text.split(",") for seed in _range(part))
        seeds = list(islice(every, parameters.MOST_SEEDS + 1))
    except ValueError:
        raise parameters.ParameterError(
            f"--seeds is {text!r}; it must be seeds such as 7,8,9, or from and up to as in 5:25 (5 to 24)"
        ) from None
    return parameters.validate(dict(settings) | {"seeds": seeds}, "--seeds")


def title(settings: parameters.Parameters) -> str:
    """What a command's output is about: "paper profile", "paper profile, with prime = 97"."""
    return f"{settings.profile} profile{settings.label.removeprefix(settings.profile)}"


def _range(part: str) -> range:
    first, colon, end = part.partition(":")
    return range(int(first), int(end) if colon else int(first) + 1)


def train(options: argparse.Namespace) -> int:
    """Trains what is missing; where MNIST cannot be had, the digits in the chapters that must train on it, and in no other."""
    settings = given(options)
    settings = parameters.validate(dict(settings) | {"device": options.device or settings.device}, "--device")
    names = chosen(options, settings, options.chapter or chapters.CHAPTERS)
    how = {"whole": options.all, "settings": options.setting, "renew": options.renew}
    lacking, note = without_images(settings, store_of(options), names, **how)
    others = [name for name in names if name not in lacking]
    with client_of(options) as client:
        if others:
            train_chapters(others, settings, options, client)
        if lacking:
            print(note, file=sys.stderr)
            train_chapters(lacking, with_digits(settings), options, client)
    return 0


def train_chapters(
    names: list[str],
    settings: parameters.Parameters,
    options: argparse.Namespace,
    client: "distributed.Client | None",
) -> None:
    """Trains what is missing of some chapters, and says how much that was."""
    store = store_of(options, commit=options.results is not None or settings.is_paper)
    trained = 0

    def train_all(of: chapters.Wanted) -> None:
        nonlocal trained
        levels = make_plan(of.runs, store, of.probed, of.masked, renew=options.renew)
        execute(levels, store, device=settings.device, client=client)
        trained += sum(map(len, levels))

    of = chapters.until_known(lambda: wanted(options, settings, store, options.all, names), train_all)
    # A chapter that was run has left records in .cache/.
    adopted = store.adopt(of.runs, of.probed, of.masked) if settings.is_paper else 0
    taken = f", {adopted} taken from .cache/" if adopted else ""
    print(f"{title(settings)}: {len(of.runs)} runs recorded, {trained} trained just now{taken}")


def store_of(options: argparse.Namespace, commit: bool = False) -> Store:
    """The store that `train` reads and writes: results/ and .cache/, or what --results names and a cache of its own."""
    own = options.results
    return Store(RESULTS, CACHE, commit) if own is None else Store(own, CACHE / f"of-{own.resolve().name}", commit)


def pack(options: argparse.Namespace) -> int:
    """Drops masks and probes that no chapter reads from the committed records, and merges small files. Not while something trains:
    that looks for records where they were."""
    store, settings, thinned = Store(commit=options.profile == "paper"), parameters.load(options.profile), 0
    if settings.is_paper:
        whole = chapters.wanted(settings, store=store, whole=True)
        thinned = store.thin(whole.masked, whole.probed)
    print(f"{thinned} records smaller, {store.pack()} files fewer")
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


def train_command(options: argparse.Namespace) -> str:
    """The command that trains what these options are about."""
    values = "".join(f" --set {shlex.quote(text)}" for text in options.set)
    return f"python -m lib train --profile {options.profile}{values}"


def committed() -> Store:
    """What is committed, and nothing else: a folder that is not there is in place of the cache."""
    return Store(RESULTS, CACHE / "none")


def verify(options: argparse.Namespace) -> int:
    """Trains a random sample of the records anew and compares; 1 if one differs."""
    from lib.records.verify import compare_anew, drawn, train_anew

    settings = given(options)
    store = committed() if settings.is_paper else Store()
    runs = wanted(options, settings, store).runs
    records = drawn(runs, store, options.sample, options.seed, options.longest)
    agree = True
    for record, anew in zip(records, train_anew(records), strict=True):
        same, words = compare_anew(record, anew)
        print(f"{'agrees' if same else 'DIFFERS'}  {record.run}: {words}")
        agree &= same
    return int(not agree)


def run(options: argparse.Namespace) -> int:
    """Runs a chapter and writes its notebook; what goes wrong in it is one sentence."""
    from tools import build, execute, notebooks

    if options.output.suffix != ".ipynb":
        raise ValueError(f"--output is {str(options.output)!r}; it must end in .ipynb")
    try:
        values = given(options).model_dump(exclude_defaults=True)
        if values.get("images") not in (None, "mnist", "digits"):
            values["images"] = str(Path(values["images"]).expanduser().resolve())  # the chapter runs in another folder
        chapter = notebooks.ROOT / f"{build.chapter_named(options.name, build.chapters())}.md"
        execute.execute(chapter, options.output, values, watched=True)
    except notebooks.ChapterError as error:
        raise ValueError(execute.sentence(error)) from None
    except parameters.ParameterError as error:  # as it would stop the chapter
        raise ValueError(str(error)) from None
    print(options.output)
    return 0


def judge(options: argparse.Namespace) -> int:
    """Writes the verdicts, unless records are damaged or verdicts would be lost."""
    from lib.claims import judging  # SciPy's statistics take a while to import, and `status` is to be quick

    settings = given(options)
    own_seeds = settings.seeds != parameters.load(options.profile).seeds
    of_the_book = settings.is_paper and not own_seeds
    store = committed() if of_the_book else Store()
    name = f"{settings.label} {settings.seeds}" if own_seeds else settings.label
    name = f"verdicts-{re.sub('[^a-z0-9.]+', '-', name).strip('-')}.json"
    path = judging.VERDICTS if of_the_book else CACHE / name
    whole = chapters.wanted(settings, store=store, whole=True)
    states = {run: store.status(run) for run in whole.runs}
    damaged = [(run, state.why) for run, state in states.items() if state.state == "damaged"]
    missing = [run for run, state in states.items() if state.state == "missing"]
    problems = [f"{why}; it is that of: {run}" for run, why in damaged] + (store.unreadable() if missing else [])
    if problems:
        raise StoreError(
            f"{problems[0]}. `{train_command(options)}` makes it anew; "
            f"{len(problems)} damaged in all, and {path.name} is left as it was"
        )
    found = judging.verdicts(settings, store)
    old = {(verdict.id, verdict.system): verdict.verdict for verdict in verdicts_before(path)}
    lost = [one for one in found if one.verdict == "not run" and old.get((one.id, one.system), "not run") != "not run"]
    if lost:
        raise StoreError(
            f"{len(missing)} records are missing, so that {lost[0].id} on {lost[0].system} and {len(lost) - 1} others would lose "
            f"their verdicts; train them (`{train_command(options)}`), or delete {path.name} to judge without them"
        )
    judging.write_verdicts(path, found)
    counts = Counter(verdict.verdict for verdict in found)
    shown = path.relative_to(RESULTS.parent)
    print(f"{shown}: {len(found)} verdicts, " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 0


def verdicts_before(path: Path) -> list["judging.Verdict"]:
    """The verdicts that a file holds; none, and a warning, where it is damaged."""
    from lib.claims import claims, judging

    try:
        return judging.read_verdicts(path)
    except claims.ClaimsError as error:
        print(f"warning: {error}", file=sys.stderr)
        return []


if __name__ == "__main__":
    sys.exit(main())
