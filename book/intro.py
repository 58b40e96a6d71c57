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
# # Grokking tickets, replicated
#
# Train a small network on a table of sums modulo a prime number, showing it a part of the entries. It soon knows those by
# heart and gets the others wrong. Train on, long after nothing seems left to learn, and it suddenly gets nearly all of the
# others right as well. This late jump from memorizing to generalizing is called *grokking* {cite:p}`power2022`.
#
# The *lottery ticket hypothesis* {cite:p}`frankle2019` says that a large network contains small ones that would have
# learned as well by themselves. To find one, train the network, delete its smallest weights, put the remaining ones back
# to the values that they started from, and train this sparse network, the *ticket*, again.
#
# Minegishi and colleagues {cite:p}`minegishi2023` put the two together. A ticket taken from a network that has grokked
# generalizes almost at once, so they ask whether the long wait in grokking is the search for that sparse network. This book
# runs their experiments again, and those of a follow-up study, from code written for the purpose. It has a criterion for
# every claim, says when it was written, repeats each run over several seeds, and says of every claim whether it holds.

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
from collections import Counter

import numpy as np
from IPython.display import HTML

from lib.book import figures, tables
from lib.book.chapter import Chapter
from lib.claims.claims import load_claims
from lib.claims.judging import all_judgements, complete, sensitivity
from lib.claims.stability import stability
from lib.experiments.chapters import wanted
from lib.experiments.comparison import Comparison, compare
from lib.records.store import Store

chapter = Chapter.open("intro", globals(), of="main-results")

# %% mystnb={"figure": {"caption": "Grokking in one network, and in the ticket taken from it. Dotted lines are training accuracy, solid lines test accuracy; the wait between the two is the delay that grokking is known for.", "name": "fig-intro"}, "image": {"alt": "Accuracy over epochs of one MLP. The dense network's training accuracy rises at once, its test accuracy much later; the ticket's test accuracy is drawn beside them."}} tags=["hide-input"]
comparison = chapter["mlp"]
one_seed = Comparison("mlp", {arm: records[:1] for arm, records in comparison.arms.items()})
figure, axes = figures.panels(1, 1, height=3.4)
figure.set_figwidth(8)
figures.accuracies(axes[0, 0], one_seed, arms=["base", "ticket"])
axes[0, 0].set_title(f"MLP on a + b mod {chapter.parameters.prime}, seed {comparison.seeds[0]}")
axes[0, 0].legend(loc="center right")
figures.sign(figure, chapter.parameters, tables.seeds_text(comparison.seeds[:1]))

# %% [markdown]
# ## Scorecard
#
# Every claim that this book judges, and every question that it takes up, whether run or not. An estimate stands with its
# 95% interval over seeds; "not run" means that no chapter has run it yet. "Same at other levels": whether the outcome is the same
# where another test accuracy counts as generalized; "stable": whether trainings that only rounding tells apart give the same outcome
# ({doc}`stability`). Both are empty where this was not tried. {doc}`limits` says what these verdicts can show and what they cannot.

# %% tags=["hide-input"]
claims, store = load_claims(), Store()
judged = list(all_judgements(chapter.parameters, store, claims))
found = complete((judgement.verdict for judgement, _ in judged), claims, chapter.parameters.label)
levels = {}
for judgement, records in judged:
    outcomes = sensitivity(judgement, records)["outcome"]
    levels[judgement.verdict.id, judgement.verdict.system] = "" if len(outcomes) < 2 else "yes" if outcomes.nunique() == 1 else "no"
of = wanted(chapter.parameters, ["stability"], store)
replicas = compare(of.by_arm["stability"], of.complete(store.versions))
stable = {(one.claim.id, one.judged.system): "yes" if one.is_stable else "no" for one in stability(claims, replicas)}
exploratory = sum("exploratory" in verdict.profile for verdict in found)
counts = ", ".join(f"{n} {word}" for word, n in Counter(verdict.verdict for verdict in found).most_common())
HTML(
    f"<p>{len(found)} verdicts: {counts}. Profile {chapter.parameters.label}; {exploratory} of them rest on exploratory seeds, which were known when "
    f"the criteria were settled. As data: <code>results/verdicts.json</code>; criteria: <code>book/claims.yml</code>.</p>"
    + tables.scorecard(claims, found, levels, stable)
)

# %% [markdown]
# ## How to use this book
#
# *Read it*: each chapter states a claim, the method, the figure, the numbers and the verdict. *Rerun it*: each chapter ends
# with the command that runs it with other seeds, on a laptop; {doc}`rerun` has the costs and all other commands. *Change it*: each chapter is one text file, in two forms that
# are kept equal. {doc}`setup` has the settings that all chapters share.

# %% tags=["remove-input"]
chapter.close()

# %% [markdown]
# ```{bibliography}
# ```
