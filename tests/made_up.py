"""Made-up records, and judging them."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from lib.claims import judging
from lib.claims.claims import Claim, load_claims
from lib.experiments.arms import Arm, arm
from lib.experiments.comparison import Comparison

BY_ID = {entry.id: entry for entry in load_claims()}


def judge(
    claim: str | Claim, groups: Mapping[object, Sequence], system: str | None = None, profile: str = "paper"
) -> judging.Judgement:
    """Judges a claim on records by arm; system: as results/verdicts.json calls it, the claim's first unless told."""
    entry = BY_ID[claim] if isinstance(claim, str) else claim
    (judged,) = [one for one in entry.judged if one.system == (system or entry.judged[0].system)]
    comparison = Comparison(judged.setting, {arm(where): records for where, records in groups.items()})
    return judging.judge(entry, judged, comparison, profile)


def comparison(name: str, seeds, tops=None, epochs=(0, 100, 200, 300)) -> Comparison:
    """Made-up records whose test accuracy jumps to 1 at an epoch (None: never), base and ticket alike."""
    tops = tops or [200] * len(seeds)
    records = [
        SimpleNamespace(
            seed=seed,
            run=SimpleNamespace(task=None),
            epochs=np.array(epochs),
            metrics={"test_accuracy": np.array([float(top is not None and e >= top) for e in epochs])},
        )
        for seed, top in zip(seeds, tops, strict=True)
    ]
    return Comparison(name, {Arm("base"): records, Arm("ticket"): records})
