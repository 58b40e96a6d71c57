# ---
# jupyter:
#   jupytext:
#     default_lexer: ipython3
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rounding
#
# Two computers that train the same run part in the last digit of a sum, and grokking amplifies the difference until the times to
# generalization differ by thousands of epochs. A verdict is worth little if such a difference can turn it. This chapter trains the same
# seeds several times from starts that only rounding tells apart, and judges each claim on each of them. No claim is about this, and no
# rule was fixed for it.
#
# ## Method
#
# A *replica* of a run has the same task, split and settings. Each of its initial weights is moved by one unit in the last place of a
# 32-bit number, up or down by the toss of a coin: the smallest change there is. Base, ticket and controls of a
# replica follow from it as those of the run itself do from the run. So there are several trainings of each seed that no reader of the
# paper could tell apart.
#
# The variance of $\log t_{gen}$ has two parts, one within seeds, which is that of rounding, and one between seeds. Their
# mean squares give both (one-way random effects), and the share of rounding is the first part over the sum, with the interval that
# the F distribution of their ratio gives. What counts as generalized is the same in all trainings here: the lowest of the levels that
# they have by themselves, since a level that differs would be taken for rounding. Seeds with a training that never generalizes are left
# out, which makes the share look smaller than it is. A claim is *stable* if all
# replicas give it the same outcome on the same seeds, each with the level that its own bases reach, as its rule has it. There are few of these, so that outcomes are less certain here than on all seeds;
# what counts is whether they agree.

# %% tags=["parameters", "remove-input"]
profile = "paper"
seeds = "recorded"
prime = 67
train_fraction = 0.4
epochs = 30000
ticket_epoch = 28000
pruning_rate = 0.6
device = "cpu"

# %% tags=["hide-input"]
import numpy as np
import pandas as pd

from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.claims import load_claims
from lib.claims.judging import result_text
from lib.claims.stability import at_one_level, replicas, rounding_share, stability
from lib.claims.statistics import between
from lib.experiments.settings import MODELS

chapter = Chapter.open("stability", globals())
found = {name: at_one_level(replicas(name, chapter.comparisons)) for name in MODELS if name in chapter.comparisons}
found = {name: comparisons for name, comparisons in found.items() if comparisons}


def times_of(comparisons, one):
    """t_gen of an arm [S, K], nan where it never generalizes."""
    return np.array([comparison.t_gen(one) for comparison in comparisons], float).T


def apart(times):
    """Largest over smallest t_gen of a seed, the median over seeds whose trainings all generalize; nan without one."""
    known = times[np.isfinite(times).all(1)]
    return np.median(known.max(1) / known.min(1).clip(1)) if len(known) else np.nan


# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "The run itself and each replica; a line joins what differs by rounding alone. Hollow marks are runs that never generalize.", "name": "fig-stability"}, "image": {"alt": "A panel for each setting with the epoch of generalization of base and ticket for every seed, one mark a replica, on a logarithmic axis."}} tags=["hide-input"]
shown = list(found.values()) or [[chapter[name]] for name in MODELS]  # the runs alone, until there are replicas
figure, axes = figures.panels(1, len(shown), height=3.6)
for ax, comparisons in zip(axes[0], shown, strict=True):
    figures.replicas(ax, comparisons, ("base", "ticket"))
chapter.sign(figure, [comparisons[0] for comparisons in shown], legend=2)
runs, lead = [of[0] for of in shown], "Latest over earliest time to generalization of a seed's trainings, median"
factors = {of[0].name: {findings.named(one): findings.median([apart(times_of(of, one))]) for one in ("base", "ticket")} for of in shown}
said = findings.by_setting(lead, runs, lambda c: findings.listed(factors[c.name]))
chapter.finding(said if found else findings.times(runs, "base", "ticket"))

# %% [markdown]
# Which kernels multiplied the matrices, and so rounded ({doc}`limits`), in the run itself and in each replica, over all arms:

# %% tags=["hide-input"]
rows = []
for name, comparisons in found.items():
    kinds = [", ".join(sorted({record.kernels for records in of.arms.values() for record in records})) for of in comparisons]
    rows.append({"setting": comparisons[0].label, "run itself": kinds[0], **{f"replica {i}": kind for i, kind in enumerate(kinds[1:], 1)}})
none = pd.DataFrame({"": ["no replica is recorded yet"]})
chapter.table(pd.DataFrame(rows) if rows else none)

# %% [markdown]
# The share of the variance of $\log t_{gen}$ that rounding alone makes, and how far the replicas of one seed lie apart:

# %% tags=["hide-input"]
rows = []
for comparisons in found.values():
    for one in comparisons[0].arms:
        if all(one in comparison.arms for comparison in comparisons):
            times = times_of(comparisons, one)
            counts = {"seeds": len(times), "all replicas generalize": int(np.isfinite(times).all(1).sum())}
            row = {"setting": comparisons[0].label, "arm": one.label, **counts}
            share, *interval = rounding_share(times)
            row |= {"largest over smallest t_gen of a seed (median)": apart(times), "share of rounding": share}
            rows.append(row | {"95% interval": between(*interval) if np.isfinite(share) else ""})
shares = pd.DataFrame(rows)
chapter.table(shares if rows else none)

# %% [markdown]
# Each claim whose arms the replicas have, judged on the run itself and on each replica. On so few seeds one run that never generalizes
# leaves the interval without an end, and the claim inconclusive whatever the estimate:

# %% tags=["hide-input"]
rows = []
for one in stability(load_claims(), chapter.comparisons):
    itself, *replicas = (f"{verdict.verdict}, {result_text(verdict)}" for verdict in one.verdicts)
    row = {"claim": f"{one.claim.id}: {one.claim.title} ({one.judged.label})", "stable": "yes" if one.is_stable else "no"}
    row |= {"run itself": itself, "replicas": " · ".join(f"{i}: {text}" for i, text in enumerate(replicas, 1))}
    rows.append(row | {"seeds": tables.seeds_text(one.seeds)})
chapter.table(pd.DataFrame(rows) if rows else none)

# %% [markdown]
# ## What differs from the paper
#
# The paper has one run of each network and does not say what rounding does to it.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close()
