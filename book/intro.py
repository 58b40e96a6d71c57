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
import re
from collections import Counter

from IPython.display import HTML

from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.book.scorecard import scorecard
from lib.claims.claims import Claim, load_claims
from lib.claims.judging import (
    OUTCOMES,
    all_judgements,
    complete,
    evidence_text,
    outcome_of_claim,
    result_text,
    sensitivity,
)
from lib.claims.stability import stability
from lib.experiments.chapters import wanted
from lib.records.store import Store

chapter = Chapter.open("intro", globals(), of="main-results")
claims, store = load_claims(), Store()
judged = list(all_judgements(chapter.parameters, store, claims))
found = complete((judgement.verdict for judgement, _ in judged), claims, chapter.parameters.label)
by_key = {(verdict.id, verdict.system): verdict for verdict in found}
seeds_of = {(one.claim.id, one.judged.system): evidence_text(one) for one, _ in judged}


def said(*keys):
    """The outcome on claims and systems, all of them together, in a word or two, and the numbers of each."""
    verdicts = [by_key[key] for key in keys]
    word = {"replicated": "Yes.", "refuted": "No.", "not run": "Not run yet.", "inconclusive": "Not decided."}
    numbers = (f"{result_text(by_key[key])}, {seeds_of[key]}" if key in seeds_of else "not run" for key in keys)
    return word.get(outcome_of_claim(verdicts), "In part."), *numbers


def denied(word, *numbers):
    """The answer to the opposite question, with the same numbers."""
    return {"Yes.": "No.", "No.": "Yes."}.get(word, word), *numbers


gain = said(("C01", "mlp"), ("C02", "transformer"))
norm, norm_of_images = denied(*said(("C09", "mlp"), ("C10", "transformer"))), denied(*said(("C09", "mnist-mlp")))
_, on_images, over_uniform = said(("C03", "mnist-mlp"), ("C02", "transformer/uniform"))
new_weights = {one.label: one.t_gen("new-weights") for one in chapter}
others = " and ".join(f"{sum(t is not None for t in ts)} of {len(ts)} {label}s" for label, ts in new_weights.items())
[criterion] = [claim for claim in claims if claim.id == "C01"]
in_text = findings.in_text(criterion, chapter.parameters, store)
if in_text:
    in_text = f"""<li>The transformer is that of the authors' code. With the width, the positions and the biases of the paper's text its ticket's
    gain is {in_text} (<a href="attention.html">Uniform attention</a>).</li>"""
attended = re.sub(r"W_(\w)", r"<i>W<sub>\1</sub></i>", findings.scoring_kept(chapter["transformer"]))
pruned = f"The transformer's ticket keeps {attended}, the weights of attention's scores (medians). " if attended else ""
by_claim = Counter(outcome_of_claim(v for v in found if v.id == claim.id) for claim in claims if isinstance(claim, Claim))
link = '<a href="?outcome={}#scorecard">{} {}</a>'
counts = ", ".join(link.format(word.replace(" ", "+"), by_claim[word], tables.badge(word)) for word in OUTCOMES if by_claim[word])
small = "" if chapter.parameters.is_paper else f"Profile {chapter.parameters.label}, not the paper's scale. "
HTML(
    f"""<div class="in-short answer"><p><strong>Does a ticket, the sparse network left when a network that has generalized is pruned,
    generalize without the long wait?</strong></p><div class="beside"><ul>
    <li><strong>{gain[0]}</strong> How much sooner than the dense network that it was cut from: MLP {gain[1]}; transformer {gain[2]}.</li>
    <li>Is it because the ticket begins with small weights? <strong>{norm[0]}</strong> How much sooner than a dense
    network of its norm: MLP {norm[1]}; transformer {norm[2]}. On MNIST <strong>{norm_of_images[0].rstrip('.').lower()}</strong>:
    {norm_of_images[1]}.</li></ul>
    <div><p>Surprises:</p><ul>
    <li>On MNIST the ticket's gain over its base is {on_images}.</li>
    <li>With the ticket's mask on other initial weights {others} generalize.</li>
    <li>{pruned}Over a dense network with uniform attention its gain is {over_uniform}.</li>
    {in_text}</ul></div></div>
    <p>{sum(by_claim.values())} claims: {counts}</p><p><small>{small}In brackets 95% intervals over seeds: of medians by order statistics (of five seeds
    their range, 94%), of shares Wilson's. Seeds are <a
    href="glossary.html#term-confirmatory-exploratory">confirmatory</a> unless they are called exploratory.</small></p></div>"""
)

# %% mystnb={"figure": {"caption": "Dotted lines are training accuracy, solid lines test accuracy, medians and ranges over seeds; the wait between the two is the delay that grokking is known for.", "name": "fig-intro"}, "image": {"alt": "Accuracy over epochs of the MLP. The dense network's training accuracy rises at once, its test accuracy much later; the ticket's test accuracy is drawn beside them."}} tags=["hide-input"]
comparison = chapter["mlp"]
figure, axes = figures.panels(1, 1, height=3.4, width=8)
figures.accuracies(axes[0, 0], comparison, arms=["base", "ticket"])
axes[0, 0].set_title(f"MLP on a + b mod {chapter.parameters.prime}")
chapter.sign(figure, [comparison], legend=4)
chapter.finding(findings.times([comparison], "base", "ticket"))

# %% [markdown]
# <link rel="stylesheet" href="../explorer/uPlot.min.css">
# <link rel="stylesheet" href="../explorer/explorer.css">
# <div data-grokking="lead" data-epoch="28000" data-rate="0.6" data-instead="#fig-intro"></div>
# <script defer src="../explorer/explorer.js"></script>
#
# ## Background
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
# every claim that it judges, says when it was written, repeats each run over several seeds, and says of each claim whether it holds, that the
# seeds do not decide it, or that it has not been run yet.
#
# ## Scorecard
#
# Each claim that this book judges, and each question that it takes up, whether run or not. The bar is the 95% interval over seeds and the
# dot its estimate, drawn over the region where the claim's rule says *replicated* (green) and where it says *refuted* (orange).
# *Stable*, levels: whether the outcome is the same where another test accuracy counts as generalized ("none": the rule asks for no such
# accuracy, and the bar shows how far the interval is from the rule's threshold); rounding: whether trainings of the same seeds that only
# rounding tells apart give the same outcome ({doc}`stability`). What the exploratory seeds gave stands beside a verdict on others and does
# not enter it. {doc}`limits` says what these verdicts can show and what they cannot.

# %% tags=["hide-input"]
levels = {}
for judgement, records in judged:
    outcomes = sensitivity(judgement, records)["outcome"]
    if len(outcomes) > 1:
        levels[judgement.verdict.id, judgement.verdict.system] = "same" if outcomes.nunique() == 1 else "changes"
replicas = wanted(chapter.parameters, ["stability"], store).comparisons("stability", store.versions)
stable = {
    (one.claim.id, one.judged.system): f"{'same' if one.is_stable else 'changes'} ({len(one.seeds)} seeds)"
    for one in stability(claims, replicas)
}
exploratory = sum(verdict.is_exploratory for verdict in found)
waiting = ", ".join(claim.id for claim in claims if isinstance(claim, Claim) and {v.verdict for v in found if v.id == claim.id} == {"not run"})
waiting = f" Runs of {waiting} are still to come." if waiting else ""
HTML(
    scorecard(claims, (judgement for judgement, _ in judged), chapter.parameters.label, levels, stable)
    + f"<p>{sum(by_claim.values())} claims and {len(claims) - sum(by_claim.values())} questions. A claim that is judged on several settings has a "
    f"verdict on each, {len(found)} in all; {exploratory or 'none'} of those on runs rest on exploratory seeds, which were known when the criteria were "
    f"settled.{waiting} As data, at the paper's scale: <a href='../data/verdicts.json'>verdicts.json</a>; claims and criteria: <a "
    "href='../data/claims.yml'>claims.yml</a>.</p>"
)

# %% [markdown]
# ## How to use this book
#
# *Read it*: each chapter states a claim, the method, the figure, the numbers and the verdict. *Rerun it*: each chapter ends
# with the command that runs it with other seeds, on a laptop; {doc}`rerun` has the costs and all other commands. *Change it*: each chapter is one text file, in two forms that
# are kept equal. {doc}`setup` has the settings that most chapters share.

# %% tags=["remove-input"]
chapter.close(every=20)

# %% [markdown]
# <details class="fold">
# <summary>References</summary>
#
# ```{bibliography}
# ```
#
# </details>
