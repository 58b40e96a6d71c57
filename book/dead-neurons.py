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
# # Dead neurons
#
# **Claims C30, C31 and C32.** In a generalized MLP some hidden neurons receive no input any more (C30). Tickets are not fast
# because they lack these neurons: a net that loses their edges and no others gains nothing (C31), and a ticket that gets their
# edges back stays fast (C32). All three are from App. J of {cite:t}`minegishi2023`.
#
# ## Method
#
# Hidden neuron $j$ sees token $a$ through $w_{ja} = (W_{in} W_E)_{ja}$. At the epoch at which the ticket is cut, it is *dead* if
#
# $$
# \lVert w_j \rVert_2 < \vartheta \max_k \lVert w_k \rVert_2 .
# $$
#
# The paper says that these weights become zero. Weight decay leaves them small and not exactly zero, so that a threshold
# $\vartheta$ must be chosen; every claim is judged at the main one and at two others, one smaller and one larger. The edges of neuron
# $j$ are row $j$ of $W_{in}$ and column $j$ of $W_{out}$. With $d$ the mask that is 0 on the edges of dead neurons and 1 elsewhere,
# and $m$ the mask of the ticket of {doc}`main-results`, two more nets are trained from the same initial weights, masks held:
#
# $$
# \text{kill only: } \theta_0 \odot d, \qquad \text{revive: } \theta_0 \odot \max(m, 1 - d) .
# $$

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
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from lib.book import figures, report
from lib.claims import judging as claims, measures
from lib.experiments import chapters as experiments, parameters
from lib.train.runs import EVALUATE_EVERY

settings = parameters.check(globals())
results = experiments.results("dead-neurons", settings)
kinds = results.records["mlp"]
tau = measures.threshold(kinds["base"])
panels_of = ("base", "kill", "killed"), ("ticket", "revive", "revived")
thresholds = [f"{threshold:g}" for threshold in experiments.THRESHOLDS]
Markdown(
    f"Neurons are judged, and masks are taken, at epoch {settings.ticket_epoch:,}; the pruning rate is {settings.pruning_rate} and every "
    f"run has {settings.epochs:,} epochs. The thresholds are {report.listed(thresholds)}, {measures.DEAD} being the main one."
)

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy of the base and of the net that lost its dead neurons only (left), and of the ticket and of the ticket that got their edges back (right), at the main threshold, as in the paper's Fig. 24 but with epochs on a logarithmic axis. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; the dashed line is \u03c4.", "name": "fig-dead-neurons"}, "image": {"alt": "Two panels of test accuracy over epochs on a logarithmic axis, base and kill-only net on the left, ticket and revived ticket on the right, each with one thin line a seed, the median and the range."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.6, sharey=True)
for ax, (known, changed, done) in zip(axes[0], panels_of, strict=True):
    for kind in (known, f"{changed} {measures.DEAD}"):
        figures.curve(ax, kinds[kind], "test_accuracy", kind)
    ax.axhline(tau, color="0.4", linewidth=0.8, linestyle="--")
    ax.set(xscale="log", xlim=(EVALUATE_EVERY, settings.epochs))
    figures.label(ax, f"dead neurons {done}", figures.AXES["test_accuracy"])
axes[0, 1].set_ylabel("")
figure.legend(loc="outside upper center", ncols=4, fontsize=10)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "When each seed generalizes, by threshold. Lines join the nets of one seed; the vertical axis is logarithmic and the same in both panels.", "name": "fig-dead-neurons-epochs"}, "image": {"alt": "Two panels with the epoch of generalization of every seed on a logarithmic axis, base and kill-only nets of three thresholds on the left, ticket and revived tickets of three thresholds on the right, one line a seed."}} tags=["hide-input"]
times = {kind: measures.generalization_epochs(records, tau) for kind, records in kinds.items()}
figure, axes = figures.panels(1, 2, height=3.6, sharey=True)
for ax, (known, changed, done) in zip(axes[0], panels_of, strict=True):
    shown = {kind: times[kind] for kind in (known, *(f"{changed} {threshold}" for threshold in thresholds))}
    figures.paired_epochs(ax, shown, settings.epochs, f"dead neurons {done}")
    ax.set_xticks(range(len(shown)), [figures.name(known), *thresholds], rotation=0, ha="center")
    ax.set_xlabel("threshold")
axes[0, 1].set_ylabel("")
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(report.ends(results), "dead-neurons") + report.download(report.curves(results, ["test_accuracy"]), "dead-neurons-curves"))

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
HTML(report.table(report.summary(results)))

# %% [markdown]
# The epoch at which each seed's net generalizes:

# %% tags=["remove-input"]
HTML(report.table(report.epochs_by_seed(results)))

# %% [markdown]
# How many neurons are dead, by threshold and seed. "Of the hidden layer" is the share of neurons, and so also of the edges into and
# out of the hidden layer; "of all weights" counts $W_E$ and $W_U$ too; "kept by the ticket" is the share of the dead neurons' edges
# that the ticket's own mask leaves, so that the rest is what reviving adds.

# %% tags=["remove-input"]
rows = []
for threshold in thresholds:
    for record, ticket in zip(kinds[f"kill {threshold}"], kinds["ticket"], strict=True):
        edges = ~record.mask
        dead = measures.killed(record)
        rows.append(
            {
                "threshold": threshold,
                "seed": record.seed,
                "dead neurons": dead,
                "of the hidden layer": f"{dead / record.run.model.hidden:.2%}",
                "their edges, of all weights": f"{edges.mean():.2%}",
                "their edges, kept by the ticket": f"{ticket.mask[edges].mean():.2%}" if dead else "–",
            }
        )
neurons = pd.DataFrame(rows)
HTML(report.table(neurons))

# %% tags=["remove-input"]
paper = 0.1875  # App. J
hidden = kinds["base"][0].run.model.hidden
matrices = kinds["base"][0].run.parts()
of_all = sum(matrices[name].stop - matrices[name].start for name in ("W_in", "W_out")) / max(part.stop for part in matrices.values())
spans = []
for threshold, group in neurons.groupby("threshold", sort=False):
    low, high = group["dead neurons"].min(), group["dead neurons"].max()
    spans.append(f"{low if low == high else f'{low} to {high}'} at threshold {threshold}")
Markdown(
    f"The paper puts the edges of dead neurons at {paper:.2%} of the total. As a share of the hidden layer that is {paper * hidden:g} of "
    f"{hidden} neurons; of all weights it would take the edges of {paper * hidden / of_all:.0f}. Here the dead "
    f"neurons are {report.listed(spans)}, of {hidden}."
)

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))

# %% [markdown]
# Whether the verdicts hang on the threshold, and what each of them rests on. Where no neuron is dead, $d$ is 1 everywhere: the killed
# net *is* the base, the revived net *is* the ticket, and that seed says nothing on C31 and C32 though it counts among the seeds.

# %% tags=["remove-input"]
by_claim = {}
for judgement in results.judgements:
    threshold = judgement.verdict.system.partition("/")[2] or measures.DEAD
    by_claim.setdefault(judgement.claim.id, {})[threshold] = judgement

lines = []
for claim, judgements in by_claim.items():
    outcomes = {threshold: judgements[threshold].verdict.verdict for threshold in thresholds}
    if len(set(outcomes.values())) == 1:
        lines.append(f"* **{claim}**: {outcomes[measures.DEAD]} at all {len(outcomes)} thresholds.")
    else:
        lines.append(f"* **{claim}** hangs on the threshold: " + ", ".join(f"{outcome} at {threshold}" for threshold, outcome in outcomes.items()) + ".")

for threshold in thresholds:
    killed, revived = kinds[f"kill {threshold}"], kinds[f"revive {threshold}"]
    dead = [measures.killed(record) for record in killed]
    without = [record.seed for record, count in zip(killed, dead, strict=True) if not count]
    text = f"* **Threshold {threshold}**: "
    if without:
        same = all(
            np.array_equal(one.metrics["test_accuracy"], other.metrics["test_accuracy"])
            for pairs in (zip(killed, kinds["base"], strict=True), zip(revived, kinds["ticket"], strict=True))
            for one, other in pairs
            if one.seed in without
        )
        text += f"no neuron is dead on {report.seeds_text(without)}, and the recorded curves there {'are' if same else 'are not'} those of base and ticket. "
    if len(without) < len(killed):
        for what, slower, faster in (("base over kill only", "base", f"kill {threshold}"), ("revived ticket over ticket", f"revive {threshold}", "ticket")):
            measured = measures.speed_up(kinds, tau, slower, faster)
            found = [(record.seed, claims.between(low, high)) for record, count, low, high in zip(killed, dead, measured.low, measured.high, strict=True) if count]
            text += f"t_gen of {what}: " + ", ".join(f"{ratio} (seed {seed})" for seed, ratio in found) + ". "
    lines.append(text)

revived, step = [t for kind in kinds if kind.startswith("revive") for t in times[kind]], int(kinds["base"][0].epochs[1])
both = [(t, other) for t, other in zip(times["ticket"] * len(thresholds), revived, strict=True) if t and other is not None]
if both:
    steps = [(other - t) // step for t, other in both]
    lines.append(
        f"* Curves are read every {step} epochs, and that is {min(step / t for t, _ in both):.0%} to {max(step / t for t, _ in both):.0%} of a "
        f"ticket's t_gen. Over all thresholds the revived ticket generalizes {min(steps)} to {max(steps)} evaluations later than the ticket."
    )
Markdown("\n".join(lines))

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows one run; whether it has dead neurons, and how many, differs by seed.
# * The paper gives no threshold. The main one was fixed before the runs (`book/claims.yml`), the other two show what depends on it.
# * The paper does not say what its share of edges is a share of; the table gives both readings.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('dead-neurons')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
