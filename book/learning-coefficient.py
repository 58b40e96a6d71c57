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
# # The learning coefficient

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

from lib.analysis import llc, progress
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.claims import Judged, load_claims
from lib.claims.judging import judge, result_text
from lib.claims.measures import coefficient_lag, coefficients_of, label, no_second_fall, probes_of
from lib.experiments.arms import arm

chapter = Chapter.open("learning-coefficient", globals())
nanda, tickets = chapter["nanda-transformer"], ("base", *progress.PHASES)

[c46] = [claim for claim in load_claims() if claim.id == "C46"]
of_loss_itself = {}
for sampling in llc.SAMPLINGS:
    judged = Judged.model_validate({"setting": nanda.name, "with": {"sampling": sampling, "logarithm": False}})
    of_loss_itself[sampling] = judge(c46, judged, nanda, chapter.parameters.label)
would_be = " and ".join(dict.fromkeys(one.verdict.verdict for one in of_loss_itself.values()))


def how_many_valid(sampling):
    """How many estimates of the base and the three tickets are valid, in words."""
    states = [state for one in tickets for record in nanda[one] for state in coefficients_of(record, sampling).status]
    return f"{states.count('valid')} of {len(states)} estimates are valid under the {sampling} settings"


# %% tags=["remove-input"]
chapter.in_short(f"{how_many_valid('follow-up')}, and the rules take those that drift, too", f"C46 looks at the logarithm of the test loss, and of the loss itself its rule would say {would_be}")


# %% [markdown]
# **Claims C46 and C47, question Q07.** The local learning coefficient counts the directions in which a minimum of the loss is curved, flat
# ones counting less ({cite:t}`lau2023`). {cite:t}`chen2023` saw it fall in three phases while a network groks, the last time before the test
# loss does, and fall once where a ticket generalizes without a wait. If it belongs to the circuit, it needs no knowledge of the task.
#
# ## Method
#
# At weights $w^*$, with the mean training loss $L$ over $n$ examples and $\beta = 1 / \log n$,
#
# $$
# \hat\lambda = n \beta \bigl( \mathbb{E}\, L(w) - L(w^*) \bigr) , \qquad
# w \sim \exp\Bigl( - n \beta L(w) - \tfrac{\gamma}{2} \lVert w - w^* \rVert^2 \Bigr) .
# $$
#
# Chains of stochastic gradient Langevin dynamics (SGLD) draw the weights: a step of size $\epsilon$ adds
# $- \tfrac{\epsilon}{2} \bigl( n \beta \nabla L + \gamma (w - w^*) \bigr)$ and noise of variance $\epsilon$. The pull to $w^*$ takes $2 / (\epsilon
# \gamma)$ steps to act. With the follow-up's settings, $\epsilon = 10^{-5}$ and $\gamma = 10$, these are 20,000, many more than its chains had: in flat
# directions they only spread. A second estimate, called *settled*, has $\epsilon = 3 \cdot 10^{-5}$ and $\gamma = 1{,}000$, so 67 steps. Three chains at
# each of 34 checkpoints take 100 steps that do not count (burn-in) and 150 that do, each on a batch of about 512 training pairs; both losses
# are taken on the same batch. A ticket's chains leave its pruned weights at zero.
#
# The pull decides what is counted: a direction of curvature $h$ adds half of $n \beta h / (n \beta h + \gamma)$. With $\gamma = 1{,}000$ that takes
# curvatures of 2 and more, and the chains stay closer to $w^*$ than the follow-up meant them to; with its own pull they do not settle in the time
# that there is. The two estimates are therefore of different things, and both are judged.
#
# An estimate is *invalid* where it is negative, which means that $w^*$ is no minimum. It is *unstable* where a chain runs off: a stretch of its draws
# has more than five times the estimate. It *drifts* where the halves of the draws differ by more than a quarter of it, which means that the
# chains have not settled: it then depends on their length. The tests hold the estimator against minima whose coefficient is known,
# $d / 2$ in $d$ curved directions, their share above for a strong pull, $1/4$ for $w^4$, and $w_1^2 w_2^2$ by quadrature.
#
# Falls of the coefficient are told apart as those of the squared weights in {doc}`progress-measures`, between 30 points.
#
# ## Over training

# %% mystnb={"figure": {"caption": "Points are checkpoints, one colour a seed, with the range of the chains; filled where the estimate is valid, hollow where it drifts, and crosses at zero where it is negative or unstable. The line is the median over seeds of the others. Of the test loss, medians and ranges over seeds. Dashed lines are the medians of the ends of the base's phases.", "name": "fig-llc"}, "image": {"alt": "Eight panels, for the base and each of three tickets the learning coefficient of each checkpoint above and the test loss below, over epochs."}} tags=["hide-input"]
def over_training(sampling):
    figure, axes = figures.panels(4, 2, height=2.8, sharex=True)
    places = [axes[2 * (i // 2) : 2 * (i // 2) + 2, i % 2] for i in range(4)]
    for column, one in zip(places, tickets, strict=True):
        found = [coefficients_of(record, sampling) for record in nanda[one]]
        for i, of_seed in enumerate(found):
            tint, mean = figures.shade(i, max(len(found) - 1, 1)), of_seed.chains.mean(1)
            for state, how in (("valid", {"color": [tint]}), ("drifting", {"facecolor": "white", "edgecolor": [tint]})):
                there = np.array([status == state for status in of_seed.status])
                column[0].vlines(of_seed.epochs[there], of_seed.chains.min(1)[there], of_seed.chains.max(1)[there], color=tint, linewidth=0.8)
                column[0].scatter(of_seed.epochs[there], mean[there], s=16, zorder=3, **how)
            lost = np.array([status not in ("valid", "drifting") for status in of_seed.status])
            column[0].scatter(of_seed.epochs[lost], np.zeros(lost.sum()), marker="x", s=16, color=[tint])
        known = pd.DataFrame([np.where(of_seed.usable, of_seed.chains.mean(1), np.nan) for of_seed in found])
        column[0].plot(found[0].epochs, known.median(), color=arm(one).colour)
        figures.curve(column[1], nanda, one, "test_loss")
        column[1].set_yscale("log")
        for ax in column:
            figures.phase_lines(ax, nanda)
        figures.label(column[0], label(one), "coefficient", x="")
        figures.label(column[1], "", "test loss (nats)")
    chapter.sign(figure, [nanda])
    chapter.finding(f"{how_many_valid(sampling)} {findings.over_seeds([nanda])}")


over_training("follow-up")

# %% mystnb={"figure": {"caption": "As {numref}`fig-llc`, with the *settled* settings, with which most chains settle.", "name": "fig-llc-settled"}, "image": {"alt": "Eight panels as before, with the learning coefficient by the settled settings."}} tags=["hide-input"]
over_training("settled")

# %% [markdown]
# How many checkpoints of each network give a valid estimate:

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for one, records in comparison.arms.items():
        for sampling in llc.SAMPLINGS:
            status = [state for record in records for state in coefficients_of(record, sampling).status]
            counts = {state: status.count(state) for state in llc.STATES}
            rows.append({"setting": comparison.label, "arm": one.label, "settings": sampling, **counts})
validity = pd.DataFrame(rows)
chapter.table(validity)

# %% [markdown]
# ## Do the chains settle?

# %% mystnb={"figure": {"caption": "Burn-in: the estimate along the chains, mean over chains. The dotted line ends burn-in. A curve that still climbs after it gives an estimate that depends on the length of the chains.", "name": "fig-llc-burn-in"}, "image": {"alt": "Two panels, the follow-up's settings and the settled ones, of the running estimate over SGLD steps at five checkpoints."}} tags=["hide-input"]
record = nanda["base"][0]
probes = probes_of(record)
chosen = np.linspace(0, len(probes["llc_epochs"]) - 1, 5).astype(int)
figure, axes = figures.panels(1, 2, height=3.6)
for ax, traces, name in zip(axes.flat, probes["llc_traces"], llc.SAMPLINGS, strict=True):
    sampling = llc.sampling_of(record.run, name)
    steps = (np.arange(llc.BINS) + 0.5) * sampling.steps / llc.BINS
    for i in chosen:
        ax.plot(steps, traces[i].mean(0), color=figures.shade(i, chosen[-1]), label=f"epoch {probes['llc_epochs'][i]:,}")
    ax.axvline(sampling.burn_in, color="0.4", linestyle=":")
    figures.label(ax, name, "n β (L − L*)", x="SGLD step")
    ax.legend(fontsize=9)
chapter.sign(figure, [nanda.of_seeds(nanda.seeds[:1])])
valid = {name: f"{[coefficients_of(record, name).status[i] for i in chosen].count('valid')} of {len(chosen)}" for name in llc.SAMPLINGS}
chapter.finding(f"Valid estimates at the checkpoints shown, {tables.seeds_text([record.seed])}: {findings.listed(valid)}")

# %% mystnb={"figure": {"caption": "The trained base with the follow-up's settings of SGLD and with the settled ones, unchanged and with one thing changed, one mark a seed; the bar is the median. Hollow marks are not valid. The axis is linear up to 1 and logarithmic beyond.", "name": "fig-llc-settings"}, "image": {"alt": "Two panels with the learning coefficient of each seed's trained base for each of thirteen settings of the sampler."}} tags=["hide-input"]
rows = []
for place, variant in enumerate(llc.VARIANTS):
    for record in nanda["base"]:
        trace, sampling = probes_of(record)["llc_variants"][place][None].astype(float), llc.sampling_of(record.run, variant)
        rows.append({"settings": variant, "seed": record.seed, "coefficient": llc.coefficients(trace, sampling)[0], "status": llc.status(trace, sampling)})
settings = pd.DataFrame(rows)
figure, axes = figures.panels(1, 2, height=4.6, sharex=True)
for ax, name in zip(axes.flat, llc.SAMPLINGS, strict=True):
    own = [variant for variant, (base, _) in llc.VARIANTS.items() if base == name]
    for place, variant in enumerate(own):
        found = settings[settings["settings"] == variant]
        figures.estimates(ax, place, found["coefficient"], found["status"] == "valid", arm("base").colour)
    figures.rows_of_labels(ax, ["unchanged" if variant == name else variant.removeprefix(f"{name}, ") for variant in own])
    ax.tick_params(axis="y", labelsize=9)
    figures.label(ax, name, "", x="learning coefficient")
ax.set_xscale("symlog", linthresh=1)
ax.set_xlim(min(settings["coefficient"].min(), -0.5), 2 * settings["coefficient"].max())
chapter.sign(figure, [nanda])
middle = settings.groupby("settings")["coefficient"].median().to_dict()
chapter.finding(f"Median coefficient of the trained base in {len(middle)} settings {findings.over_seeds([nanda])}: {findings.extremes(middle, '.1f')}")

# %% [markdown]
# ## The coefficient of trained networks
#
# Q07 asks whether networks of different size that add by one circuit end with one coefficient.

# %% mystnb={"figure": {"caption": "The coefficient at the end of training, of bases by their number of hidden neurons and of tickets, one mark a seed; the bar is the median. Hollow marks are estimates that are not valid; an estimate below the axis is left out.", "name": "fig-llc-last"}, "image": {"alt": "Two panels, one for each of the two settings of the sampler, with the learning coefficient of each seed's trained network on a logarithmic axis, for the base, its tickets and bases of other widths."}} tags=["hide-input"]
trained = [(one, records) for comparison in chapter for one, records in comparison.arms.items()]
figure, axes = figures.panels(1, 2, height=4.6, sharey=True)
for ax, sampling in zip(axes.flat, llc.SAMPLINGS, strict=True):
    middle = {}
    for place, (one, records) in enumerate(trained):
        found = [coefficients_of(record, sampling) for record in records]
        values = [of_seed.chains[-1].mean() for of_seed in found]
        figures.estimates(ax, place, values, [of_seed.status[-1] == "valid" for of_seed in found], one.colour)
        name = f"base, {records[0].run.model.hidden} neurons" if one.name == "base" else findings.named(one)
        middle[name] = np.median(values)
    figures.logarithmic(ax)
    figures.label(ax, sampling, "", x="learning coefficient")
figures.rows_of_labels(axes[0, 0], list(middle))
chapter.sign(figure, list(chapter))
of_bases = {name.removeprefix("base, "): findings.median([value], ".2g") for name, value in middle.items() if name.startswith("base")}
chapter.finding(f"Median coefficient of trained bases {findings.over_seeds(chapter)}, {sampling}: {findings.listed(of_bases)}")

# %% [markdown]
# Median (range) over seeds at the end of training, and below it the number of weights that may move and of key frequencies:

# %% tags=["hide-input"]
rows, sizes = [], []
for comparison in chapter:
    for one, records in comparison.arms.items():
        rate, named = getattr(records[0].run.start, "rate", 0), {"setting": comparison.label, "arm": one.label}
        for sampling in llc.SAMPLINGS:
            found = [coefficients_of(record, sampling) for record in records]
            row = {
                "coefficient": tables.range_text([of_seed.chains[-1].mean() for of_seed in found], ".1f"),
                "range of chains": tables.range_text([np.ptp(of_seed.chains[-1]) for of_seed in found], ".1f"),
                "valid": f"{sum(of_seed.status[-1] == 'valid' for of_seed in found)} of {len(found)}",
            }
            rows.append(named | {"settings": sampling} | row)
        row = {
            "weights": round((1 - rate) * records[0].run.length),
            "key frequencies": tables.range_text([len(probes_of(record)["keys"]) for record in records], ".0f"),
            "test accuracy": tables.range_text([record.metrics["test_accuracy"][-1] for record in records]),
        }
        sizes.append(named | row)
last, sizes = pd.DataFrame(rows), pd.DataFrame(sizes)
chapter.table(last)

# %% tags=["remove-input"]
chapter.table(sizes)

# %% [markdown]
# ## Verdicts
#
# The rules look at the shape of the curve over checkpoints. As settled beforehand they take every estimate that is positive and stable, and
# so those that drift too; {numref}`fig-llc` and {numref}`fig-llc-settled` say how few or many are valid.

# %% tags=["remove-input"]
chapter.verdicts()

# %% [markdown]
# <details class="fold">
# <summary>What the verdicts become at other levels of what counts as generalized</summary>

# %% mystnb={"figure": {"caption": "Estimates and 95% intervals over seeds at other levels of what the rules name.", "name": "fig-llc-levels"}, "image": {"alt": "A panel for each judged claim with its estimate and interval, coloured by the outcome."}} tags=["remove-input"]
chapter.sensitivity()

# %% [markdown]
# </details>
#
# Where the coefficient of the base falls fastest, against the end of memorization:

# %% tags=["hide-input"]
rows = []
for seed in nanda.one_by_one():
    row = {"seed": seed.seed, "memorization ends": progress.phase_ends(seed["base"]).memorization}
    fastest = {s: coefficient_lag(seed, "base", s).numbers.get("coefficient falls at") for s in llc.SAMPLINGS}
    rows.append(row | {f"falls fastest at, {sampling}": epoch for sampling, epoch in fastest.items()})
chapter.table(pd.DataFrame(rows).astype("Int64"))

# %% [markdown]
# C46 takes the logarithm of the test loss, as {numref}`fig-llc` draws it, which was so when its rule was settled but was not said in its words. A logarithm goes on falling when
# hardly any loss is left. Against the test loss itself, which falls fastest when there is most to lose, the same rule would say:

# %% tags=["hide-input"]
rows = []
for sampling in llc.SAMPLINGS:
    lags, found = of_loss_itself[sampling].parts[0].table.get("lag", pd.Series(dtype=float)), of_loss_itself[sampling].verdict
    row = {"settings": sampling, "coefficient first": (lags < 0).sum(), "at the same checkpoint": (lags == 0).sum()}
    row |= {"test loss first": (lags > 0).sum(), "share of seeds": result_text(found), "the rule": found.verdict}
    rows.append(row)
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# How many separate falls each curve has, by the count of C47, seed by seed in the same order:

# %% tags=["hide-input"]
rows = []
for sampling in llc.SAMPLINGS:
    row = {"settings": sampling}
    for one in tickets:
        counts = [no_second_fall(seed, one, sampling).numbers.get("separate falls") for seed in nanda.one_by_one()]
        row[label(one)] = ", ".join("–" if count is None else f"{count:.0f}" for count in counts)
    rows.append(row)
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# ## What differs from the follow-up
#
# * The rule of C46 judges the order of the last fall and that of the test loss's logarithm alone, not that there are three falls; the tables say how many
#   there are, and on which seeds the steepest stands right where memorization ends.
# * The follow-up used the package devinterp, one chain of 1,000 draws a checkpoint and one seed; the estimator here is our own, with three
#   shorter chains, on several seeds, and what it becomes with other settings is shown.
# * The loss at $w^*$ is taken on the batch of the draw, which leaves less to chance than one number for all draws.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(metrics=("test_loss",), validity=validity, settings=settings, last=last, sizes=sizes)
