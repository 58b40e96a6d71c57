"""Made-up records, compared and judged."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from lib.claims import judging
from lib.claims.claims import Claim, load_claims
from lib.experiments.arms import arm
from lib.experiments.comparison import Comparison

BY_ID = {entry.id: entry for entry in load_claims()}


def jumping(
    name: str,
    times: Mapping[object, Sequence[int | None]],
    seeds: Sequence[int] | None = None,
    epochs: Sequence[int] = (0, 100, 200, 300),
    cut: int = 300,
) -> Comparison:
    """Records whose test accuracy jumps from 0 to 1 at an epoch (None: never), by arm; tickets are cut at `cut`."""

    def record(seed: int, top: int | None) -> SimpleNamespace:
        accuracy = np.array([float(top is not None and epoch >= top) for epoch in epochs])
        run = SimpleNamespace(task=None, start=SimpleNamespace(epoch=cut))
        return SimpleNamespace(seed=seed, run=run, epochs=np.array(epochs), metrics={"test_accuracy": accuracy})

    return Comparison(
        name,
        {
            arm(where): [record(*pair) for pair in zip(seeds or range(len(tops)), tops, strict=True)]
            for where, tops in times.items()
        },
    )


def comparison(name: str, seeds: Sequence[int], tops: Sequence[int | None] = (), **options: object) -> Comparison:
    """Base and ticket that generalize alike, at 200 unless told; options of `jumping`."""
    return jumping(name, dict.fromkeys(("base", "ticket"), tops or [200] * len(seeds)), seeds, **options)


def judge(
    claim: str | Claim, groups: Mapping[object, Sequence], system: str | None = None, profile: str = "paper"
) -> judging.Judgement:
    """Judges a claim on records by arm; system: as results/verdicts.json calls it, the claim's first unless told."""
    entry = BY_ID[claim] if isinstance(claim, str) else claim
    (judged,) = [one for one in entry.judged if one.system == (system or entry.judged[0].system)]
    comparison = Comparison(judged.setting, {arm(where): records for where, records in groups.items()})
    return judging.judge(entry, judged, comparison, profile)
