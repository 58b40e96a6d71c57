"""Experiments: which runs each chapter is about, from a set of parameters.

A chapter's function returns its runs as system -> kind of net -> runs, one for each seed. To add a chapter, write its
function and list it in `CHAPTERS`: training, `python -m lib status`, and the verdicts follow.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lib.claims import judging as claims
from lib.train import images
from lib.files import ROOT
from lib.claims.measures import MEASURES
from lib.train.models import MLP, ImageMLP, Transformer
from lib.experiments.parameters import Parameters
from lib.records.plan import make_plan, obtain
from lib.train.runs import AdamW, DeadNeurons, Redense, Rescaled, Run, Scored, Ticket
from lib.records.store import Record, Store
from lib.train.tasks import ImageTask, ModularTask

MODELS = {"mlp": MLP(), "transformer": Transformer()}
MNIST_DECAY = AdamW(weight_decay=0.1)
DIGITS_TASK = {"images": images.DIGITS, "pixels": 64, "train_count": 200, "test_count": 1597}
CLAIMS = ROOT / "book" / "claims.yml"
VERDICTS = ROOT / "results" / "verdicts.json"

GRID = 15  # tickets are cut at so many epochs, evenly spaced up to the end
RATES = tuple(round(0.1 * i, 2) for i in range(1, 10))
FINE_RATES = tuple(round(0.05 * i, 2) for i in range(2, 19))  # the search for the critical rate
OPERATIONS = {"a+b": "unordered", "a-b": "descending", "a*b": "unordered", "a^2+b^2": "unordered"}  # App. F
MORE_OPERATIONS = {"a^2+ab+b^2": "unordered", "random": "unordered"}  # the authors' code; App. F
METHODS = {"random": ("random", 1), "snip": ("snip", 1), "grasp": ("grasp", 1), "synflow": ("synflow", 1)} | {
    "synflow-100": ("synflow", 100)
}
THRESHOLDS = (0.01, 0.05, 0.2)  # of a dead neuron's norm, relative to the largest
SWITCHED_OFF_AT = {"mlp": 0.99, "transformer": 0.9}  # test accuracy at which weight decay ends
VARIANTS = {  # where text and code of the paper differ
    "transformer/width-500": Transformer(width=500),
    "transformer/positions": Transformer(positions=True),
    "transformer/biases": Transformer(biases=True),
}

Kinds = dict[str, list[Run]]
Systems = dict[str, Kinds]


def base(system: str, seed: int, parameters: Parameters, *, operation: str = "a+b", pairs: str = "unordered") -> Run:
    """The dense run of a system, on modular addition unless told; one seed draws weights and split."""
    task = ModularTask(
        operation=operation,
        prime=parameters.prime,
        pairs=pairs,
        train_fraction=parameters.train_fraction,
        seed=seed,
    )
    return Run(task=task, model=MODELS[system], epochs=parameters.epochs, seed=seed)


def ticket_start(of: Run, parameters: Parameters, *, epoch: int | None = None, rate: float | None = None) -> Ticket:
    """The mask of a base run, at the profile's epoch and rate unless told."""
    return Ticket(
        base=of,
        epoch=parameters.ticket_epoch if epoch is None else epoch,
        rate=parameters.pruning_rate if rate is None else rate,
    )


def ticket(of: Run, parameters: Parameters, **where: float) -> Run:
    """The ticket of a base run, rewound to its initial weights."""
    return dataclasses.replace(of, start=ticket_start(of, parameters, **where))


def ticket_epochs(parameters: Parameters) -> list[int]:
    """The epochs at which tickets are cut: 2,000, 4,000, ..., 30,000 at the paper's scale."""
    return [parameters.epochs * i // GRID for i in range(1, GRID + 1)]


def bases(parameters: Parameters) -> Systems:
    """App. C: the base alone."""
    return {system: {"base": [base(system, seed, parameters) for seed in parameters.seeds]} for system in MODELS}


def with_tickets(dense: list[Run], parameters: Parameters) -> Kinds:
    """Base runs and their tickets."""
    return {"base": dense, "ticket": [ticket(run, parameters) for run in dense]}


def with_others(dense: list[Run], parameters: Parameters, others: Callable[[Run], dict[str, Run]]) -> Kinds:
    """Base runs, their tickets, and `others` of each base by kind."""
    kinds = with_tickets(dense, parameters)
    for run in dense:
        for kind, other in others(run).items():
            kinds.setdefault(kind, []).append(other)
    return kinds


def base_and(
    parameters: Parameters, others: Callable[[Run], dict[str, Run]], systems: Iterable[str] = MODELS
) -> Systems:
    """For each system its bases, their tickets, and `others` of each base by kind."""
    dense = bases(parameters)
    return {system: with_others(dense[system]["base"], parameters, others) for system in systems}


def main_results(parameters: Parameters) -> Systems:
    """Section 4.1: base and ticket."""
    return base_and(parameters, lambda run: {})


def tickets_by_epoch(parameters: Parameters) -> Systems:
    """Section 4.2, D.1: tickets from a grid of epochs."""
    epochs = ticket_epochs(parameters)
    return base_and(
        parameters, lambda run: {f"epoch {epoch}": ticket(run, parameters, epoch=epoch) for epoch in epochs}
    )


def tickets_by_rate(parameters: Parameters) -> Systems:
    """Section 4.3, D.2: tickets of a grid of pruning rates."""
    return base_and(parameters, lambda run: {f"rate {rate}": ticket(run, parameters, rate=rate) for rate in RATES})


def weight_norm(parameters: Parameters) -> Systems:
    """Section 5.1, D.3: dense nets that start with the ticket's norm, taken both ways."""
    return base_and(
        parameters,
        lambda run: {
            f"{norm}-{over}": dataclasses.replace(
                run, start=Rescaled(ticket=ticket_start(run, parameters), norm=norm, over=over)
            )
            for over in ("matrices", "all")
            for norm in ("l2", "l1")
        },
    )


def no_weight_decay(parameters: Parameters) -> Systems:
    """Section 5.1, D.4: weight decay 0 from the start, for the dense net and a fine grid of rates, or from t_gen on."""
    none = AdamW(weight_decay=0.0)
    out = base_and(
        parameters,
        lambda run: (
            {"dense, no decay": dataclasses.replace(run, optimizer=none)}
            | {
                f"rate {rate}": dataclasses.replace(ticket(run, parameters, rate=rate), optimizer=none)
                for rate in FINE_RATES
            }
        ),
    )
    for system, kinds in out.items():
        until = AdamW(decay_until=SWITCHED_OFF_AT[system])
        for kind in ("base", "ticket"):
            kinds[f"{kind}, switched off"] = [dataclasses.replace(run, optimizer=until) for run in kinds[kind]]
    return out


def pruning_at_init(parameters: Parameters) -> Systems:
    """Section 5.2, D.5: masks from before training, and from the same scores of the trained net."""

    def others(run: Run) -> dict[str, Run]:
        out = {}
        for kind, (method, rounds) in METHODS.items():
            start = Scored(method=method, rate=parameters.pruning_rate, rounds=rounds)
            out[kind] = dataclasses.replace(run, start=start)
        for method in ("snip", "grasp", "synflow"):
            start = Scored(method=method, rate=parameters.pruning_rate, trained=ticket_start(run, parameters))
            out[f"{method}, trained"] = dataclasses.replace(run, start=start)
        return out

    return base_and(parameters, others)


def redense(parameters: Parameters) -> Systems:
    """App. I: the ticket's initial weights, trained densely."""
    return base_and(
        parameters,
        lambda run: {"re-dense": dataclasses.replace(run, start=Redense(ticket=ticket_start(run, parameters)))},
    )


def dead_neurons(parameters: Parameters) -> Systems:
    """App. J: dead neurons removed from the base, or given back to the ticket, by several thresholds."""
    return base_and(
        parameters,
        lambda run: {
            f"{kind} {threshold}": dataclasses.replace(
                run,
                start=DeadNeurons(ticket=ticket_start(run, parameters), revive=kind == "revive", threshold=threshold),
            )
            for threshold in THRESHOLDS
            for kind in ("kill", "revive")
        },
        ["mlp"],
    )


def tasks(parameters: Parameters) -> Systems:
    """App. F: base and ticket on other operations, and on random labels."""
    out = {}
    for system in MODELS:
        for operation, pairs in (OPERATIONS | MORE_OPERATIONS).items():
            dense = [base(system, seed, parameters, operation=operation, pairs=pairs) for seed in parameters.seeds]
            out[f"{system}/{operation}"] = with_tickets(dense, parameters)
    return out


def _with_model(model: MLP | Transformer, parameters: Parameters) -> Kinds:
    dense = [dataclasses.replace(base("mlp", seed, parameters), model=model) for seed in parameters.seeds]
    return with_tickets(dense, parameters)


def architectures(parameters: Parameters) -> Systems:
    """App. E: a deeper MLP, a transformer with four heads."""
    return {
        "mlp-deep": _with_model(MLP(hidden_layers=2), parameters),
        "transformer-4-heads": _with_model(Transformer(heads=4, head_width=32), parameters),
    }


def deviations(parameters: Parameters) -> Systems:
    """Where text and code differ: models as the text has them, ordered pairs; and tickets on new initial weights."""
    out = {}
    for system, kinds in main_results(parameters).items():
        dense = kinds["base"]
        new = [dataclasses.replace(run, seed=run.seed + 1000) for run in kinds["ticket"]]
        out[system] = kinds | {"reinitialized": new}
        dense = [base(system, seed, parameters, pairs="ordered") for seed in parameters.seeds]
        out[f"{system}/ordered"] = with_tickets(dense, parameters)
    return out | {name: _with_model(model, parameters) for name, model in VARIANTS.items()}


def image_bases(parameters: Parameters, model: ImageMLP, **task: object) -> list[Run]:
    """Dense runs of an image classifier (App. A.1)."""
    return [
        Run(task=ImageTask(**task, seed=seed), model=model, optimizer=MNIST_DECAY, epochs=parameters.epochs, seed=seed)
        for seed in parameters.seeds
    ]


def image_controls(run: Run, parameters: Parameters) -> dict[str, Run]:
    """The controls of sections 5.1 and 5.2 and App. I that apply to an image classifier, of one base run."""
    start, none = ticket_start(run, parameters), dataclasses.replace(run.optimizer, weight_decay=0.0)
    starts = {f"{norm}-matrices": Rescaled(ticket=start, norm=norm, over="matrices") for norm in ("l2", "l1")} | {
        "random": Scored(method="random", rate=parameters.pruning_rate),
        "re-dense": Redense(ticket=start),
    }
    return {kind: dataclasses.replace(run, start=other) for kind, other in starts.items()} | {
        "dense, no decay": dataclasses.replace(run, optimizer=none),
        "ticket, no decay": dataclasses.replace(run, start=start, optimizer=none),
    }


def mnist(parameters: Parameters) -> Systems:
    """App. A.1: an image classifier on the images that the parameters name, with controls; then base and ticket on the
    digits, and of a net of four matrices, as the text has it."""
    name = images.find(parameters.images)
    if name == images.DIGITS:
        task = DIGITS_TASK
    elif name == images.MNIST:
        task = {}
    else:  # a file of one's own
        count, pixels = images.load(name).images.shape
        task = {"images": name, "pixels": pixels, "test_count": min(9000, max(count - 1000, 1))}
    first = with_others(
        image_bases(parameters, ImageMLP(), **task), parameters, lambda run: image_controls(run, parameters)
    )
    if name == images.DIGITS:
        return {"mnist-mlp/digits": first}
    return {
        "mnist-mlp": first,
        "mnist-mlp/digits": with_tickets(image_bases(parameters, ImageMLP(), **DIGITS_TASK), parameters),
        "mnist-mlp/four-matrices": with_tickets(image_bases(parameters, ImageMLP(hidden_layers=3), **task), parameters),
    }


CHAPTERS: dict[str, Callable[[Parameters], Systems]] = {
    "typical-grokking": bases,
    "main-results": main_results,
    "ticket-epochs": tickets_by_epoch,
    "pruning-rate": tickets_by_rate,
    "weight-norm": weight_norm,
    "no-weight-decay": no_weight_decay,
    "pruning-at-init": pruning_at_init,
    "re-dense": redense,
    "dead-neurons": dead_neurons,
    "tasks": tasks,
    "architectures": architectures,
    "mnist": mnist,
    "deviations": deviations,
    "representations": main_results,
    "structure": tickets_by_epoch,
}


LOOKED_INTO = {"representations": ("base", "ticket"), "mnist": ("base", "ticket")}  # nets of which tables are kept


@dataclass(frozen=True)
class Results:
    """A chapter's records, system -> kind of net -> records in the order of the seeds, and its judgements.

    parameters: those given, but for digits in place of MNIST where that cannot be had; note: a sentence on that, or "".
    """

    records: dict[str, dict[str, list[Record]]]
    judgements: list[claims.Judgement]
    parameters: Parameters
    note: str = ""


def runs_of(parameters: Parameters, chapters: Iterable[str] = CHAPTERS) -> list[Run]:
    """All runs that the chapters are about, each once."""
    wanted = (CHAPTERS[chapter](parameters) for chapter in chapters)
    return list(
        dict.fromkeys(
            run for systems in wanted for kinds in systems.values() for runs in kinds.values() for run in runs
        )
    )


def tabled_runs(parameters: Parameters, chapters: Iterable[str] = CHAPTERS) -> set[Run]:
    """Those of the chapters' runs whose tables are wanted (lib/analysis/probes.py)."""
    return {
        run
        for chapter in set(chapters) & set(LOOKED_INTO)
        for kinds in CHAPTERS[chapter](parameters).values()
        for kind in LOOKED_INTO[chapter]
        for run in kinds[kind]
    }


def with_images_at_hand(
    parameters: Parameters, store: Store, chapters: Iterable[str] = CHAPTERS
) -> tuple[Parameters, str]:
    """The parameters, with digits in place of MNIST where it must be trained on and cannot be had; a sentence on that."""
    if "mnist" not in chapters or images.find(parameters.images) != images.MNIST:
        return parameters, ""
    levels = make_plan(runs_of(parameters, ["mnist"]), store, tabled_runs(parameters, ["mnist"]))
    if not any(job.run.task.images == images.MNIST for level in levels for job in level):
        return parameters, ""
    try:
        images.load(images.MNIST)
    except images.ImagesError as error:
        note = f"What follows is about {images.title(images.DIGITS)}: {error}."
        return parameters.model_copy(update={"images": "digits"}), note
    return parameters, ""


def results(chapter: str, parameters: Parameters, store: Store | None = None) -> Results:
    """A chapter's records and judgements; what is missing is trained first."""
    store = store or Store()
    parameters, note = with_images_at_hand(parameters, store, [chapter])
    wanted, tabled = runs_of(parameters, [chapter]), tabled_runs(parameters, [chapter])
    found = dict(zip(wanted, obtain(wanted, store, tabled=tabled, device=parameters.device), strict=True))
    records = _records(chapter, parameters, store, found.__getitem__)
    return Results(records, _judge(chapter, records, parameters), parameters, note)


def _records(
    chapter: str, parameters: Parameters, store: Store, load: Callable[[Run], Record | None]
) -> dict[str, dict[str, list[Record | None]]]:
    """A chapter's records, with tables where it looks into the nets; None for what is not there."""

    tabled = tabled_runs(parameters, [chapter])

    def complete(run: Run) -> Record | None:
        record = load(run)
        if record is None or run not in tabled:
            return record
        tables = store.tables(run)
        return None if tables is None else dataclasses.replace(record, tables=tables)

    return {
        system: {kind: [complete(run) for run in runs] for kind, runs in kinds.items()}
        for system, kinds in CHAPTERS[chapter](parameters).items()
    }


def _judge(chapter: str, records: dict[str, dict[str, list[Record]]], parameters: Parameters) -> list[claims.Judgement]:
    return [
        claims.judge(claim, system, groups, parameters.profile)
        for claim in claims.load_claims(CLAIMS)
        if isinstance(claim, claims.Claim) and claim.chapter == chapter and claim.id in MEASURES
        for system in claim.systems
        if (groups := records.get(system) or records.get(system.partition("/")[0]))
    ]


def verdicts(parameters: Parameters, store: Store) -> list[claims.Verdict]:
    """A verdict for every claim and system, from what is recorded; nothing is trained, the rest is "not run"."""
    found = {}
    load = cache(store.load)  # most chapters share bases and tickets
    for chapter in CHAPTERS:
        records = _records(chapter, parameters, store, load)
        if all(record for kinds in records.values() for group in kinds.values() for record in group):
            for judgement in _judge(chapter, records, parameters):
                found[judgement.verdict.id, judgement.verdict.system] = judgement.verdict
    return [
        found.get((claim.id, system)) or claims.not_run(claim, system, parameters.profile).verdict
        for claim in claims.load_claims(CLAIMS)
        if isinstance(claim, claims.Claim)
        for system in claim.systems
    ]


def verdicts_path(profile: str) -> Path:
    """Where a profile's verdicts are written: results/ for the paper profile, the cache for others."""
    return VERDICTS if profile == "paper" else ROOT / ".cache" / f"verdicts-{profile}.json"
