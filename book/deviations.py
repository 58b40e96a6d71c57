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
# # Deviations
#
# The paper's text and its authors' code do not always say the same, and neither can be copied to the letter. This chapter lists
# each such place, what this book does, and, where it could matter, runs that show whether the central result depends on it. It
# judges no claim of its own.
#
# ## Method
#
# Each variant changes one thing of {doc}`main-results` and keeps the rest; the last one, *as in the text*, changes width, positions
# and biases of the Transformer together. The base is trained from its own initial weights, its mask is cut at the same epoch and rate, and
# the ticket is trained. The criterion of C01 is then applied to the variant as if it were a system: with $s_i$ the speed-up of seed $i$,
# the 95% interval of the median of $s_1, \dots, s_n$ must lie above 2; a seed whose base had not generalized when its mask was cut is no
# case.
#
# One variant is a control that the literature on lottery tickets asks for {cite:p}`frankle2019`: the ticket's mask on *new*
# random weights, in place of the initial values that the base had. What the authors' code calls "reinitialize" is the rewinding to
# those initial values, so that this control is missing there.

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

from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.claims import load_claims
from lib.claims.judging import judge_elsewhere
from lib.claims.statistics import median_text
from lib.experiments.chapters import EXPLORATORY, PAIR, wanted
from lib.experiments.comparison import compare
from lib.experiments.parameters import RECORDED
from lib.records.store import Store, other_machines

chapter = Chapter.open("deviations", globals())
[criterion] = [entry for entry in load_claims() if entry.id == "C01"]


def judged(comparison, faster):
    """Times of base and arm, the median speed-up and its interval, and what the criterion of C01 says of it."""
    part = judge_elsewhere(criterion, comparison, chapter.parameters.label, faster).deciding
    base, other = (findings.epoch(comparison.t_gen(one), comparison.budget) for one in ("base", faster))
    return {
        "median t_gen of base": base,
        "of the pruned network": other,
        "speed-up (95% interval)": median_text(part.low, part.high),
        "cases": f"{len(part.low)} of {len(comparison.seeds)}",
        "by C01": part.outcome,
    }


# %% [markdown]
# ## Sensitivity runs

# %% mystnb={"figure": {"caption": "The first row is the book's own setting, with the ticket's mask on new weights beside it. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds.", "name": "fig-deviations"}, "image": {"alt": "Panels of test accuracy over epochs, one for each variant, with base and ticket; in the panels of the two main systems also the ticket's mask on new random weights."}} tags=["hide-input"]
figure, axes = figures.panels(4, 2, height=2.7, sharex=True, sharey=True)
for ax, comparison in zip(axes.flat, chapter, strict=False):
    figures.curves(ax, comparison)
    ax.set(xlabel="epoch" if ax in axes[-1] else "", ylabel="test accuracy" if ax in axes[:, 0] else "")
for ax in axes.flat[len(chapter.comparisons) :]:
    ax.remove()
if len(chapter.comparisons) < axes.size:
    axes[-2, 1].tick_params(labelbottom=True)
chapter.sign(figure, legend=3)
chapter.finding(findings.gains(chapter))

# %% [markdown]
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-deviations-share"}, "image": {"alt": "A panel for each setting and variant with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(figures.generalized, height=2.4, legend=3)
chapter.finding(findings.generalizing(chapter, "base", "ticket"))

# %% [markdown]
# </details>
#
# The speed-up of each variant over its base, and what the criterion of C01 says of it. A *case* is a seed whose base had generalized when
# the mask was cut:

# %% tags=["hide-input"]
rows, outcomes = [], {}
for comparison in chapter:
    for one in list(comparison.arms)[1:]:
        found = judged(comparison, one)
        outcomes[comparison.name, one.name] = found["by C01"]
        rows.append({tables.LEVEL_COLUMN: tables.with_level(comparison, None if one.name == "ticket" else one), **found})
chapter.table(pd.DataFrame(rows))


# %% [markdown]
# ## All deviations
#
# <details class="fold">
# <summary>All deviations: the text, the authors’ code, this book, and the effect</summary>

# %% tags=["hide-input"]
def effect(*variants):
    """What the runs of the variants say, in a few words."""
    return "; ".join(f"{chapter[name].label}: {outcomes[name, arm]}" for name, arm in variants)


deviations = [
    ("Pairs", "0 < a, b < p", "unordered pairs a ≤ b where the operation is symmetric", "as the code", effect(("mlp/ordered", "ticket"), ("transformer/ordered", "ticket"))),
    ("Width of the Transformer's embedding", "500", "128", "as the code", effect(("transformer/width-500", "ticket"))),
    ("Positions in the Transformer", "W_pos is added", "commented out", "none", effect(("transformer/positions", "ticket"))),
    ("Biases in the Transformer's MLP", "b_in and b_out", "none", "none", effect(("transformer/biases", "ticket"))),
    ("The three together", "in the text's model", "none of them", "as the code", effect(("transformer/text", "ticket"))),
    ("What is pruned in the Transformer", "query and key matrices, not the connections between layers", "every matrix", "every matrix", "not run apart"),
    ("New weights under the mask", "not mentioned", "“reinitialize” puts back the initial values", "initial values", effect(("mlp", "new-weights"), ("transformer", "new-weights"))),
    ("Pruning rate", "fraction removed, 0.6", "“sparsity” is the fraction kept, 0.4", "fraction removed", "none: the same networks"),
    ("Norm of the controls", "L1 and L2 norm", "mean over matrices of each matrix's norm", "both", "see the chapter on weight norm"),
    ("Shuffled masks", "not mentioned", "a control whose shuffling has no effect", "two that do shuffle, for the Transformer", "see the chapter on uniform attention"),
    ("SynFlow", "product of absolute weights, no data", "data through a net whose masks were made absolute too", "the definition, in 1 round and in 100", "see the chapter on pruning at initialisation"),
    ("GraSP", "-(H g) ⊙ θ", "the loss at temperature 200", "the definition, temperature 1", "see the chapter on pruning at initialisation"),
    ("Operation a² + ab + b²", "not mentioned", "there", "run, judged by no claim", "see the chapter on tasks"),
    ("Pairs of a − b", "0 < b < a < p", "ordered pairs", "as the text", "not run apart"),
    ("Cross-entropy", "not mentioned", "log-softmax in float64", "an exact formula in float32", "none: tested against float64"),
    ("MNIST: layers", "four layers", "three weight matrices, no biases", "as the code; four as a variant", "see the chapter on MNIST"),
    ("MNIST: split", "not mentioned", "the loaders are swapped: 1,000 images of the test file to train on, the training file to test on", "1,000 of 10,000 images to train on, the 9,000 others to test on", "not run apart"),
    ("MNIST: loss and initial weights", "squared error", "mean over images and classes; eight times the usual deviation", "as the code", "not run apart"),
    ("MNIST: epochs", "not mentioned", "100,000", f"{chapter.parameters.epochs:,}, the budget of most chapters", "not run apart"),
    ("MNIST: rewinding", "weights are put back to their initial values", "“reinitialize” is off in its configuration", "put back; not put back as an arm", "see the chapter on MNIST's norm"),
    ("MNIST: what sets t_gen", "not mentioned", "not mentioned", "weight decay: prediction from the initial norm beside the outcome", "see the chapter on MNIST's norm"),
    ("MNIST: a ticket before any training", "not mentioned", "not mentioned", "its test accuracy, above chance", "see the chapter on MNIST's norm"),
    ("MNIST: epoch of the mask", "not mentioned", "the last, 100,000", f"{chapter.parameters.ticket_epoch:,}; the last for the network that is not put back", "see the chapter on MNIST's norm"),
    ("MNIST: numbers", "none in the text at hand", "–", "times and accuracies over seeds", "only the direction can be compared"),
    ("Seeds", "not mentioned", "one", tables.seeds_of(chapter, chapter.parameters), "verdicts rest on intervals over seeds"),
]
chapter.table(pd.DataFrame(deviations, columns=["what", "the text", "the authors' code", "this book", "effect on the ticket's speed-up (criterion of C01)"]))

# %% [markdown]
# </details>
#
# ## The same seeds on other machines
#
# On one processor a record is the same, bit for bit, each time that it is made. On another processor, with another library or on
# a GPU, where sums are taken in no fixed order, the same run drifts apart: rounding differs in the last digit, and grokking
# amplifies it until $t_{gen}$ moves by thousands of epochs. What should agree are the statistics over seeds. Below,
# base and ticket of {doc}`main-results` on the exploratory seeds, by every machine and every version of the trainer's arithmetic
# (*numerics*) that has recorded them.

# %% tags=["hide-input"]
given = chapter.parameters
seeds_here = list(EXPLORATORY) if given.seeds == RECORDED else given.seeds
everything = wanted(given.model_copy(update={"seeds": seeds_here}), ["main-results"]).by_arm["main-results"]
rows = []
for store in (Store(), other_machines()):
    for setting, arms in everything.items():
        versions = {run: store.versions(run) for one in PAIR for run in arms[one]}
        kinds = {(n, found[n].provenance["machine"]) for found in versions.values() for n in found}
        for numerics, machine in sorted(kinds, reverse=True):
            made_so = lambda run: {n: r for n, r in versions[run].items() if (n, r.provenance["machine"]) == (numerics, machine)}
            whole = [i for i, runs in enumerate(zip(*(arms[one] for one in PAIR), strict=True)) if all(map(made_so, runs))]
            for comparison in compare({setting: {one: [arms[one][i] for i in whole] for one in PAIR}}, made_so).values() if whole else ():
                row = {tables.LEVEL_COLUMN: tables.with_level(comparison), "machine, numerics": f"{machine}, {numerics}"}
                rows.append({**row, **judged(comparison, "ticket")})
chapter.table(pd.DataFrame(rows).sort_values(tables.LEVEL_COLUMN, kind="stable"))

# %% [markdown]
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close()
