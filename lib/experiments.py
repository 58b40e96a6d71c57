"""Experiments: which runs each chapter is about, from a set of parameters.

A chapter's function returns its runs as system -> kind of net -> runs, one for each seed. To add a chapter, write its
function and list it in `CHAPTERS`: training, `python -m lib status`, and the verdicts follow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lib import claims
from lib.models import MLP, Transformer
from lib.parameters import Parameters
from lib.plan import obtain
from lib.runs import Run, Ticket
from lib.store import ROOT, Record, Store
from lib.tasks import ModularTask

MODELS = {"mlp": MLP(), "transformer": Transformer()}
CLAIMS = ROOT / "book" / "claims.yml"
VERDICTS = ROOT / "results" / "verdicts.json"

Kinds = dict[str, list[Run]]


def base(system: str, seed: int, parameters: Parameters) -> Run:
    """The dense run of a system on modular addition; one seed draws weights and split."""
    task = ModularTask(prime=parameters.prime, train_fraction=parameters.train_fraction, seed=seed)
    return Run(task=task, model=MODELS[system], epochs=parameters.epochs, seed=seed)


def ticket(of: Run, parameters: Parameters) -> Run:
    """The ticket of a base run: its mask at `ticket_epoch` on its initial weights."""
    start = Ticket(base=of, epoch=parameters.ticket_epoch, rate=parameters.pruning_rate)
    return Run(task=of.task, model=of.model, start=start, optimizer=of.optimizer, epochs=of.epochs, seed=of.seed)


def typical_grokking(parameters: Parameters) -> dict[str, Kinds]:
    """App. C: the base alone."""
    return {system: {"base": [base(system, seed, parameters) for seed in parameters.seeds]} for system in MODELS}


def main_results(parameters: Parameters) -> dict[str, Kinds]:
    """Section 4.1: base and ticket."""
    return {
        system: {"base": kinds["base"], "ticket": [ticket(run, parameters) for run in kinds["base"]]}
        for system, kinds in typical_grokking(parameters).items()
    }


CHAPTERS: dict[str, Callable[[Parameters], dict[str, Kinds]]] = {
    "typical-grokking": typical_grokking,
    "main-results": main_results,
}


@dataclass(frozen=True)
class Results:
    """A chapter's records, system -> kind of net -> records in the order of the seeds, and its judgements."""

    records: dict[str, dict[str, list[Record]]]
    judgements: list[claims.Judgement]


def runs_of(parameters: Parameters, chapters: Iterable[str] = CHAPTERS) -> list[Run]:
    """All runs that the chapters are about, each once."""
    wanted = (CHAPTERS[chapter](parameters) for chapter in chapters)
    return list(
        dict.fromkeys(
            run for systems in wanted for kinds in systems.values() for runs in kinds.values() for run in runs
        )
    )


def results(chapter: str, parameters: Parameters, store: Store | None = None) -> Results:
    """A chapter's records and judgements; what is missing is trained first."""
    store = store or Store()
    systems = CHAPTERS[chapter](parameters)
    wanted = runs_of(parameters, [chapter])
    found = dict(zip(wanted, obtain(wanted, store, device=parameters.device), strict=True))
    records = {
        system: {kind: [found[run] for run in runs] for kind, runs in kinds.items()}
        for system, kinds in systems.items()
    }
    return Results(records, _judge(chapter, records, parameters))


def _judge(chapter: str, records: dict[str, dict[str, list[Record]]], parameters: Parameters) -> list[claims.Judgement]:
    return [
        claims.judge(claim, system, records[system], parameters.profile)
        for claim in claims.load_claims(CLAIMS)
        if isinstance(claim, claims.Claim) and claim.chapter == chapter and claim.id in claims.MEASURES
        for system in claim.systems
    ]


def verdicts(parameters: Parameters, store: Store) -> list[claims.Verdict]:
    """A verdict for every claim and system, from what is recorded; nothing is trained, the rest is "not run"."""
    found = {}
    for chapter, systems_of in CHAPTERS.items():
        records = {
            system: {kind: [store.load(run) for run in runs] for kind, runs in kinds.items()}
            for system, kinds in systems_of(parameters).items()
        }
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
