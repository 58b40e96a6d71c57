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
# Each variant changes one thing of {doc}`main-results` and keeps the rest: the base is trained from its own initial weights, its
# mask is cut at the same epoch and rate, and the ticket is trained. The criterion of C01 is then applied to the variant as if it
# were a system: with $s_i$ the speed-up of seed $i$, the 95% interval of the median of $s_1, \dots, s_n$ must lie above 2.
#
# One variant is a control that the literature on lottery tickets asks for {cite:p}`frankle2019`: the ticket's mask on *new*
# random weights, in place of the initial values that the base had. What the authors' code calls "reinitialize" is the rewinding to
# those initial values, so that this control is missing there.

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
import pandas as pd
from IPython.display import HTML, Markdown

from lib.book import figures, report
from lib.claims import judging as claims, measures
from lib.experiments import chapters as experiments, parameters
from lib.records.store import CACHE, RESULTS, Store

settings = parameters.check(globals())
results = experiments.results("deviations", settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
(rule,) = next(entry for entry in claims.load_claims(experiments.CLAIMS) if entry.id == "C01").rules
Markdown(f"Masks are taken at epoch {settings.ticket_epoch:,} with pruning rate {settings.pruning_rate}; every run has {settings.epochs:,} epochs.")

# %% [markdown]
# ## Sensitivity runs

# %% mystnb={"figure": {"caption": "Test accuracy of base and ticket in each variant; the first row is the book's own setting, with the ticket's mask on new weights beside it. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds.", "name": "fig-deviations"}, "image": {"alt": "Panels of test accuracy over epochs, one for each variant, with base and ticket; in the panels of the two main systems also the ticket's mask on new random weights."}} tags=["hide-input"]
figure, axes = figures.panels(4, 2, height=2.7, sharex=True, sharey=True)
for ax, (system, kinds) in zip(axes.flat, results.records.items(), strict=False):
    for kind, records in kinds.items():
        figures.curve(ax, records, "test_accuracy", kind)
    figures.label(ax, figures.system(system), "test accuracy" if ax in axes[:, 0] else "", x="epoch" if ax in axes[-1] else "")
for ax in axes.flat[len(results.records) :]:
    ax.remove()
axes[-2, 1].tick_params(labelbottom=True)
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=10)
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(report.ends(results), "deviations") + report.download(report.curves(results, ["test_accuracy"], every=5), "deviations-curves"))

# %% [markdown]
# The speed-up of each variant over its base, and what the criterion of C01 says of it:

# %% tags=["remove-input"]
rows, outcomes, evidence = [], {}, []
for system, kinds in results.records.items():
    for kind in [kind for kind in kinds if kind != "base"]:
        measured = measures.speed_up(kinds, taus[system], faster=kind)
        median, low, high = claims.bootstrap_median(measured.low, measured.high)
        enough = len(settings.seeds) >= claims.MIN_SEEDS
        outcomes[system, kind] = rule.outcome(low, high) if enough else "inconclusive"
        rows.append(
            {
                "system": figures.system(system),
                "net": figures.name(kind),
                "τ": taus[system],
                "t_gen of base": report.epochs_text(measures.generalization_epochs(kinds["base"], taus[system]), settings.epochs),
                "t_gen of net": report.epochs_text(measures.generalization_epochs(kinds[kind], taus[system]), settings.epochs),
                "median speed-up": claims.between(*(sorted(side)[len(side) // 2] for side in (measured.low, measured.high))),
                "95% interval": claims.between(low, high),
                "by the criterion of C01": outcomes[system, kind],
            }
        )
        table = measured.table.rename(columns={f"t_gen {kind}": "t_gen of net", "low": "at least", "high": "at most"})
        evidence.append(table.assign(system=figures.system(system), net=figures.name(kind)))
HTML(report.table(pd.DataFrame(rows)))

# %% tags=["remove-input"]
lines = []
for (system, kind), outcome in outcomes.items():
    model = system.partition("/")[0]
    if system == model and kind == "ticket":
        continue
    own = outcomes[model, "ticket"]
    what = f"{figures.system(system)}, {figures.name(kind)}"
    same = f"{outcome}, as in the book's own setting" if outcome == own else f"{outcome}, where the book's own setting is {own}"
    lines.append(f"* **{what}**: {same}.")
Markdown("\n".join(lines))


# %% [markdown]
# ## All deviations

# %% tags=["remove-input"]
def effect(*variants):
    """What the runs of the variants say, in a few words."""
    return "; ".join(f"{figures.system(system)}: {outcomes[system, kind]}" for system, kind in variants)


deviations = [
    ("Pairs", "0 < a, b < p", "unordered pairs a ≤ b where the operation is symmetric", "as the code", effect(("mlp/ordered", "ticket"), ("transformer/ordered", "ticket"))),
    ("Width of the Transformer's embedding", "500", "128", "as the code", effect(("transformer/width-500", "ticket"))),
    ("Positions in the Transformer", "W_pos is added", "commented out", "none", effect(("transformer/positions", "ticket"))),
    ("Biases in the Transformer's MLP", "b_in and b_out", "none", "none", effect(("transformer/biases", "ticket"))),
    ("What is pruned in the Transformer", "query and key matrices, not the connections between layers", "every matrix", "every matrix", "not run apart"),
    ("New weights under the mask", "not mentioned", "“reinitialize” puts back the initial values", "initial values", effect(("mlp", "reinitialized"), ("transformer", "reinitialized"))),
    ("Pruning rate", "fraction removed, 0.6", "“sparsity” is the fraction kept, 0.4", "fraction removed", "none: the same nets"),
    ("Norm of the controls", "L1 and L2 norm", "mean over matrices of each matrix's norm", "both", "see the chapter on weight norm"),
    ("Shuffled masks", "not mentioned", "a control whose shuffling has no effect", "left out", "not run"),
    ("SynFlow", "product of absolute weights, no data", "data through a net whose masks were made absolute too", "the definition, in 1 round and in 100", "see the chapter on pruning at initialisation"),
    ("GraSP", "-(H g) ⊙ θ", "the loss at temperature 200", "the definition, temperature 1", "see the chapter on pruning at initialisation"),
    ("Operation a² + ab + b²", "not mentioned", "there", "run, judged by no claim", "see the chapter on tasks"),
    ("Pairs of a − b", "0 < b < a < p", "ordered pairs", "as the text", "not run apart"),
    ("Cross-entropy", "not mentioned", "log-softmax in float64", "an exact formula in float32", "none: tested against float64"),
    ("MNIST: layers", "four layers", "three weight matrices, no biases", "as the code; four as a variant", "see the chapter on MNIST"),
    ("MNIST: split", "not mentioned", "the loaders are swapped: 1,000 images of the test file to train on, the training file to test on", "1,000 of 10,000 images to train on, the 9,000 others to test on", "not run apart"),
    ("MNIST: loss and initial weights", "squared error", "mean over images and classes; eight times the usual deviation", "as the code", "not run apart"),
    ("MNIST: epochs", "not mentioned", "100,000", f"{settings.epochs:,}, the budget of all chapters", "not run apart"),
    ("Seeds", "not mentioned", "one", f"{len(settings.seeds)} here", "every verdict has an interval over seeds"),
]
HTML(report.table(pd.DataFrame(deviations, columns=["what", "the text", "the authors' code", "this book", "effect on the ticket's speed-up (criterion of C01)"])))

# %% [markdown]
# ## The same seeds on another machine
#
# On one processor a record is the same, bit for bit, each time that it is made. On another processor, with another library or on
# a GPU, where sums are taken in no fixed order, the same run drifts apart: rounding differs in the last digit, and grokking
# amplifies it until $t_{gen}$ moves by thousands of epochs. What should agree are the statistics over seeds. Below,
# {doc}`main-results` on the machine of this book's records and on a second one.

# %% tags=["remove-input"]
second = Store(results=RESULTS / "other-machine", cache=CACHE / "other-machine")
rows = []
for system, kinds in experiments.main_results(settings).items():
    for store in (Store(), second):
        found = {kind: [store.load(run) for run in runs] for kind, runs in kinds.items()}
        if any(record is None for group in found.values() for record in group):
            continue
        tau = measures.threshold(found["base"])
        measured = measures.speed_up(found, tau)
        _, low, high = claims.bootstrap_median(measured.low, measured.high)
        rows.append(
            {
                "system": figures.system(system),
                "machine": str(found["base"][0].provenance["machine"]),
                "τ": tau,
                "t_gen of base": report.epochs_text(measures.generalization_epochs(found["base"], tau), settings.epochs),
                "t_gen of ticket": report.epochs_text(measures.generalization_epochs(found["ticket"], tau), settings.epochs),
                "95% interval of the speed-up": claims.between(low, high),
                "by the criterion of C01": rule.outcome(low, high) if len(settings.seeds) >= claims.MIN_SEEDS else "inconclusive",
            }
        )
machines = {row["machine"] for row in rows}
HTML(report.table(pd.DataFrame(rows)) if len(machines) > 1 else "<p>There are no records of a second machine for these settings.</p>")

# %% [markdown]
# Seed by seed, the speed-ups of the sensitivity runs:

# %% tags=["remove-input"]
columns = ["system", "net", "seed", "t_gen base", "t_gen of net", "at least", "at most"]
HTML(report.table(pd.concat(evidence, ignore_index=True)[columns]))

# %% [markdown]
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('deviations')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
