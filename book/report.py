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
# # \[Re\] Grokking Tickets: Lottery Tickets Accelerate Grokking

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
import pandas as pd
import yaml
from IPython.display import HTML, Markdown

from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.claims import Claim, load_claims
from lib.claims.criteria import load_editions
from lib.claims.judging import OUTCOMES, all_judgements, complete, evidence_text, outcome_of_claim, result_text
from lib.experiments.chapters import CONFIRMATORY, EXPLORATORY, LEAST, LEAST_OF_LONG
from lib.experiments.settings import SETTINGS
from lib.files import ROOT
from lib.records.store import Store

chapter = Chapter.open("report", globals(), of="main-results")
given, editions, citation = chapter.parameters, load_editions(), yaml.safe_load((ROOT / "CITATION.cff").read_text())
claims = {claim.id: claim for claim in load_claims() if isinstance(claim, Claim)}
store = Store()
judged = [judgement for judgement, _ in all_judgements(given, store, list(claims.values()))]
seeds_of = {(one.claim.id, one.judged.system): evidence_text(one) for one in judged}
verdicts = {key: [] for key in claims}
for verdict in complete((one.verdict for one in judged), list(claims.values()), given.label):
    verdicts[verdict.id].append(verdict)
labels = {(key, one.system): one.label for key, claim in claims.items() for one in claim.judged}
outcomes = {key: outcome_of_claim(found) for key, found in verdicts.items()}
by_outcome = {word: [key for key in claims if outcomes[key] == word] for word in OUTCOMES}
every = [one for found in verdicts.values() for one in found if one.seeds]
known = sum(one.is_exploratory for one in every)
CENTRAL = ("C01", "C02", "C03", "C09", "C10", "C15", "C16")


def number(key):
    """What was measured for a claim, system by system."""
    return "; ".join(f"{labels[one.id, one.system]} {result_text(one)}" for one in verdicts[key] if one.seeds) or "not run"


def people(authors):
    return ", ".join(one.get("name") or f"{one['given-names']} {one['family-names']}" for one in authors)


def head():
    (paper,) = citation["references"]
    rows = {
        "Authors": people(citation["authors"]),
        "Replication of": f"{people(paper['authors'])} ({paper['year']}): {paper['title']}, {paper['url']}",
        "Version": f"{citation['version']}; criteria {', '.join(one.tag for one in editions)}; profile {given.label}",
        "Licence": f"code {citation['license']}; text, figures and records CC BY 4.0",
    }
    return Markdown("\n".join(f"**{name}.** {text}  " for name, text in rows.items()))


def abstract():
    counts = ", ".join(f"{len(keys)} {word}" for word, keys in by_outcome.items() if keys)
    gain = findings.in_text(claims["C01"], given, store)
    in_text = f" The transformer of these claims is that of the authors' code; with the width, positions and biases of the paper's text: {gain}."
    return Markdown(
        f"The paper says that a sparse network found by pruning a network that has grokked, its *ticket*, generalizes without the long wait. "
        f"We run its experiments, and those of a follow-up study, again over several seeds with code of our own, and judge {len(claims)} claims "
        f"by criteria on intervals over seeds. Outcome by claim: {counts}. The ticket's speed-up over its dense network: "
        f"{number('C01')} (C01); {number('C02')} (C02).{in_text if gain else ''}"
    )


def scope():
    return Markdown("\n".join(f"* **{key}, {claims[key].title}.** {claims[key].claim}" for key in CENTRAL))


def methods():
    run = SETTINGS["mlp"].base(0, given)
    counts = {len(run.task.data().train): "to train on", len(run.task.data().test): "to test on"}
    return Markdown(
        f"The data are the pairs of a + b mod {given.prime} ({', '.join(f'{n:,} {what}' for n, what in counts.items())}). Training is full-batch AdamW, "
        f"learning rate {run.optimizer.learning_rate:g}, weight decay {run.optimizer.weight_decay:g}, {given.epochs:,} epochs. A ticket keeps the share "
        f"{1 - given.pruning_rate:g} of the weights that is largest at epoch {given.ticket_epoch:,}, put back to their initial values."
    )


def statistics():
    when = "; ".join(
        f"{' to '.join(dict.fromkeys([min(one.claims), max(one.claims)]))} on {one.settled:%Y-%m-%d} ({one.tag}), with {one.known} known"
        for one in editions
    )
    return Markdown(
        f"The criteria were settled before the runs of confirmatory seeds: {when}. {known or 'None'} of {len(every)} verdicts on runs "
        f"rest{'s' if known == 1 else ''} on seeds that were known by then. {tables.seeds_text(EXPLORATORY).capitalize()} are exploratory and "
        f"{tables.seeds_text(CONFIRMATORY)} confirmatory; trials of the dense network on the digits, with seeds of their own, came earlier and were "
        f"not recorded. A claim is judged on confirmatory seeds where at least {LEAST} of its setting are recorded, {LEAST_OF_LONG} of the follow-up's, "
        f"and on exploratory ones elsewhere, which the table says."
    )


def accuracies():
    """The figure of the main experiment."""
    chapter.panels(figures.curves, height=2.9, legend=3)
    chapter.finding(findings.gains(chapter))


def results():
    rows = []
    for key, claim in claims.items():
        ran = [one for one in verdicts[key] if one.seeds]
        first = ran[0] if ran else verdicts[key][0]
        said = f"{first.verdict}, {result_text(first)}, {seeds_of[first.id, first.system]}" if ran else first.verdict
        other = [one.verdict for one in verdicts[key] if one is not first]
        more = ", ".join(f"{other.count(word)} {word}" for word in OUTCOMES if word in other)
        rows.append(
            {
                "claim": f"{key} {claim.title}",
                "outcome": outcomes[key],
                "first setting: estimate (95% interval), seeds": f"{labels[first.id, first.system]}: {said}",
                "other settings": more,
            }
        )
    return HTML(tables.table(pd.DataFrame(rows)))


def discussion():
    lists = "\n".join(f"* *{word}*: {', '.join(keys)}" for word, keys in by_outcome.items() if keys)
    rest = f"{known} rest on exploratory seeds and show less than the others" if known else "none rests on exploratory seeds"
    return Markdown(
        f"By claim, over all settings that were run (*mixed*: the settings do not agree):\n\n{lists}\n\nOf {len(every)} verdicts that rest on runs, {rest}. No "
        f"correction is made for the number of claims."
    )


def made_on():
    notes = [record.provenance for one in chapter for records in one.arms.values() for record in records]
    made = {name: ", ".join(sorted({str(note[key]) for note in notes if key in note})) for name, key in (("machine", "machine"), ("torch", "torch"), ("NumPy", "numpy"))}
    return Markdown("The networks of the figure were trained on: " + "; ".join(f"{name} {text}" for name, text in made.items()) + ".")


# %% tags=["remove-input"]
head()

# %% [markdown]
# <p id="pdf"></p>
#
# ## Abstract

# %% tags=["remove-input"]
abstract()

# %% [markdown]
# ## Introduction
#
# A small network that learns a table of sums modulo a prime first knows its training examples by heart and gets the others right
# only much later. This is called *grokking* {cite:p}`r-power2022`. The *lottery ticket hypothesis* says that a dense network contains
# sparse ones that learn as well by themselves {cite:p}`r-frankle2019`. The paper under study {cite:p}`r-minegishi2023` prunes
# networks that have grokked and asks whether the wait is the search for such a sparse network, or only for weights of a smaller norm,
# as had been proposed {cite:p}`r-liu2022`.
#
# ## Scope of reproducibility
#
# The claims that the paper and its follow-up make are listed, each with a criterion, and all are in the table below, those too that have not
# been run yet. The paper's main sections were not at hand: what they say was taken from its abstract, its appendices and the authors' code.
# The central ones are:

# %% tags=["remove-input"]
scope()

# %% [markdown]
# ## Methods
#
# Networks, tasks and training were written anew. Where the paper's text and the authors' code differ, the code is followed in most
# places; {doc}`deviations` lists each, the exceptions too, and says which are tested by runs.

# %% tags=["remove-input"]
methods()

# %% [markdown]
# The networks are an MLP with one hidden layer and a transformer with one layer. Controls are dense networks scaled to the ticket's norm,
# random masks, and masks by SNIP {cite:p}`r-lee2019snip`, GraSP {cite:p}`r-wang2020grasp` and SynFlow {cite:p}`r-tanaka2020synflow` at
# initialisation. An image classifier on MNIST ({doc}`mnist`) and the transformer of the follow-up study ({doc}`progress-measures`), whose
# tickets are cut where the phases of its training end, have set-ups of their own.
#
# A network generalizes at the first evaluated epoch at which test accuracy reaches a threshold that only its setting's dense networks decide (0.80 for
# images). A
# run that does not get there within its budget is censored and enters as a bound. Intervals are of the median over seeds (order
# statistics) or of a share of seeds (Wilson). A claim is replicated if the interval satisfies its criterion, refuted if it lies beyond the
# other threshold, and else inconclusive.

# %% tags=["remove-input"]
statistics()

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy of the dense networks, of their tickets and of the controls of the main experiment. Thick lines are medians over seeds, bands reach from the lowest seed to the highest.", "name": "fig-report"}, "image": {"alt": "Test accuracy over epochs, a panel for the MLP and one for the transformer, with a line for each kind of network."}} tags=["remove-input"]
accuracies()

# %% tags=["remove-input"]
results()

# %% [markdown]
# ## Discussion

# %% tags=["remove-input"]
discussion()

# %% [markdown]
# A seed draws the initial weights and the split of the data; nothing is said about other primes, widths or learning rates than those that
# were run. {doc}`limits` has the error rates of the criteria.
#
# ### What was easy
#
# The authors' code is public and settles much that the text leaves open. The networks are small, so that every experiment can be repeated over seeds
# without a GPU.
#
# ### What was difficult
#
# Text and code differ in several places. Times to generalization may lie beyond the budget, and each criterion has to say what a
# bound is worth. Rounding alone can move these times ({doc}`stability`), so that other machines are promised to agree in statistics and not in
# each run.
#
# ## Reproducibility
#
# Each run is recorded with what made it, and this report is computed from the records: no result in it is typed. `make book` makes it
# again, `python -m lib verify` trains a sample of the records anew and compares them, and {doc}`rerun` has the commands for new seeds.

# %% tags=["remove-input"]
made_on()

# %% [markdown]
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# :keyprefix: r-
# ```
