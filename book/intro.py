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
# to the values that they started from, and train this sparse net, the *ticket*, again.
#
# Minegishi and colleagues {cite:p}`minegishi2023` put the two together. A ticket taken from a network that has grokked
# generalizes almost at once, so they ask whether the long wait in grokking is the search for that sparse net. This book
# runs their experiments again, and those of a follow-up study, from code written for the purpose. It fixes a criterion for
# every claim before the runs, repeats each run over several seeds, and says of every claim whether it holds.

# %% tags=["parameters", "remove-input"]
profile = "paper"
seeds = [0, 1, 2, 3, 4]
prime = 67
train_fraction = 0.4
epochs = 30000
ticket_epoch = 28000
pruning_rate = 0.6
images = "mnist"
device = "cpu"

# %% tags=["hide-input"]
from collections import Counter

from IPython.display import HTML, Markdown

from lib.book import figures, report
from lib.claims import judging as claims, measures
from lib.experiments import chapters as experiments, parameters
from lib.records.store import Store

settings = parameters.check(globals())
results = experiments.results("main-results", settings)

# %% mystnb={"figure": {"caption": "Grokking in one network, and in the ticket taken from it. Dotted lines are training accuracy, solid lines test accuracy; the wait between the two is the delay that grokking is known for.", "name": "fig-intro"}, "image": {"alt": "Accuracy over epochs of one MLP. The dense net's training accuracy rises at once, its test accuracy much later; the ticket's test accuracy is drawn beside them."}} tags=["hide-input"]
one_seed = settings.model_copy(update={"seeds": settings.seeds[:1]})
mlp = {kind: records[:1] for kind, records in results.records["mlp"].items()}
tau = measures.threshold(results.records["mlp"]["base"])

figure, axes = figures.panels(1, 1, height=3.4)
figure.set_figwidth(8)
figures.accuracies(axes[0, 0], mlp, tau, f"MLP on a + b mod {settings.prime}, seed {settings.seeds[0]}")
axes[0, 0].legend(loc="center right")
figures.sign(figure, one_seed)

# %% tags=["remove-input"]
HTML(report.download(report.curves(results).query("system == 'mlp' and seed == @settings.seeds[0]"), "intro"))

# %% [markdown]
# ## Scorecard
#
# Every claim that this book judges, and every question that it takes up, whether run or not. An estimate stands with its
# 95% interval over seeds; "not run" means that no chapter has run it yet.

# %% tags=["remove-input"]
entries = claims.load_claims(experiments.CLAIMS)
verdicts = experiments.verdicts(settings, Store())
counts = Counter(verdict.verdict for verdict in verdicts)
HTML(f"<p>{len(verdicts)} verdicts: {', '.join(f'{n} {word}' for word, n in counts.most_common())}.</p>" + report.scorecard(entries, verdicts))

# %% tags=["remove-input"]
seeds = ", ".join(map(str, settings.seeds))
Markdown(f"Shown: the **{settings.profile}** profile, seeds {seeds}. Criteria: `book/claims.yml`. All verdicts as data: `results/verdicts.json`.")

# %% [markdown]
# ## How to use this book
#
# *Read it*: each chapter states a claim, the method, the figure, the numbers and the verdict. *Rerun it*: each chapter ends
# with the command that runs it with other seeds, on a laptop. *Change it*: each chapter is one text file, in two forms that
# are kept equal. {doc}`setup` has the settings that all chapters share.

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))

# %% [markdown]
# ```{bibliography}
# ```
