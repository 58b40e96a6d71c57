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
# # MNIST and the norm
#
# The image classifier of {doc}`mnist` starts from weights eight times as large as usual. {cite:t}`liu2022` made it grok in this way, and
# explain its late generalization by the norm: it cannot generalize before weight decay has brought its weights down. If so, its time to
# generalization is a clock that any smaller start sets forward, and a ticket, which starts with a smaller norm than its base, would
# be early for that reason alone. This chapter computes what the clock says and compares it with what the networks do. No claim is
# judged here and no rule was fixed for it; C03, C09 and C15 on this network are judged in {doc}`mnist`.
#
# ## Method
#
# With learning rate $\eta$ and weight decay $\lambda$, AdamW {cite:p}`loshchilov2019` multiplies each weight by $1 - \eta \lambda$ at every
# epoch, besides what the gradient does. If the gradient did nothing to the norm, it would be
#
# $$
# \lVert \theta_t \rVert \approx \lVert \theta_0 \rVert\, e^{-\eta \lambda t} .
# $$
#
# Let $N$ be the L2 norm of a seed's base when it generalizes. A network that does so at the same norm, and decays as above, does it at
#
# $$
# \hat t_{gen} = \frac{1}{\eta \lambda} \ln \frac{\lVert \theta_0 \rVert}{N} ,
# $$
#
# or at once where it starts below $N$. This prediction takes two numbers: the norm that a network starts with, and $N$, from
# the base of its seed. Nothing is fitted, and nothing of the network but its start is used. It is compared with the outcome for
#
# * tickets and random masks of several pruning rates,
# * dense networks that start with the L2 or L1 norm of the tickets of these rates ({doc}`weight-norm`), whose starts have the base's
#   direction,
# * the ticket's start trained densely ({doc}`re-dense`), and
# * a pruned network that is not rewound: the trained weights of the base at the end of its budget, with the mask cut from them. This is
#   the authors' configuration for MNIST, which puts no initial values back.
#
# For the base itself the prediction only tests the law of decay, as $N$ is its own. Norms are over all weights together.

# %% tags=["parameters", "remove-input"]
profile = "paper"
seeds = "recorded"
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

from lib.analysis.times import series
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.claims.statistics import median_text
from lib.experiments.arms import ARMS, Arm
from lib.experiments.chapters import wanted
from lib.experiments.parameters import RECORDED
from lib.records.store import Store

chapter = Chapter.open("mnist-norm", globals())
main = next(iter(chapter))
base_run = main["base"][0].run
DECAY = base_run.optimizer.learning_rate * base_run.optimizer.weight_decay  # of an epoch
RATE = chapter.parameters.pruning_rate
# Arms that differ by pruning rate alone: the one of the profile's rate, and the name of those of other rates.
FAMILIES = {"ticket": "rate", "random": "random-rate", "l2-matrices": "l2-rate", "l1-matrices": "l1-rate"}
SINGLE = {rated: name for name, rated in FAMILIES.items()}


def kind(one):
    """The arm in words, without its rate."""
    return Arm(SINGLE.get(one.name, one.name)).label


def members(name):
    """The arms that are recorded of a family, by pruning rate in ascending order."""
    rates = {RATE: Arm(name)} if Arm(name) in complete.arms else {}
    return dict(sorted((rates | {rate: Arm(FAMILIES[name], rate) for rate in complete.family(FAMILIES[name])}).items()))


def l2_at(record, epoch):
    """A network's L2 norm at an evaluated epoch."""
    return float(series(record, "l2")[np.searchsorted(record.epochs, epoch)])


def clock_of(comparison, arms):
    """What the clock says of these arms and what they do, a row for each seed and arm."""
    for seed in comparison.one_by_one():
        t_base = seed.t_gen("base")
        if t_base is not None:  # else there is no N
            at_base = l2_at(seed["base"], t_base)
            for one in arms:
                record, t = seed[one], seed.t_gen(one)
                start = float(series(record, "l2")[0])
                numbers = {"predicted": max(np.log(start / at_base) / DECAY, 0.0), "t_gen": np.nan if t is None else float(t)}
                norms = {"start over N": start / at_base, "at t_gen over N": np.nan if t is None else l2_at(record, t) / at_base}
                yield {"arm": one, "seed": seed.seed, **numbers, **norms}


# Not every seed that is shown need have the networks of all pruning rates: `complete` has the seeds that do.
store, complete = Store(), main
if chapter.parameters.seeds == RECORDED:
    of_all = wanted(chapter.parameters, [chapter.name], store)
    if seeds_of_all := [seed for seed in of_all.confirmed(chapter.name, main.name) if seed in main.seeds]:
        complete = of_all.only(seeds_of_all).comparisons(chapter.name, store.versions)[main.name]
rows = [*clock_of(main, main.arms), *clock_of(complete, [one for one in complete.arms if one not in main.arms])]
clock = pd.DataFrame(rows, columns=["arm", "seed", "predicted", "t_gen", "start over N", "at t_gen over N"])
clock_of_rates = clock[clock["seed"].isin(complete.seeds)]
TINTS = {kind(one): one.colour for one in [*main.arms, *complete.arms]}

# %% [markdown]
# ## The law of decay

# %% mystnb={"figure": {"caption": "Left, dotted lines are what weight decay alone would leave of the median start. Right, the measured norm over that, up to the epoch at which the seed generalizes, where a mark stands. Thick lines are medians over seeds, thin lines single seeds.", "name": "fig-clock-norm"}, "image": {"alt": "Two panels. Left, L2 norm over epochs of base, ticket and controls with dotted straight lines for pure decay. Right, the ratio of measured to predicted norm over epochs, one line a seed that ends at its time to generalization."}} tags=["hide-input"]
shown = [one for one in main.arms if one.value is None]
pure = np.exp(-DECAY * main.epochs)
figure, axes = figures.panels(1, 2, height=4.2)
left, right = axes[0]
figures.curves(left, main, "l2", arms=shown, band=False)
for one in shown:
    start = np.median([series(record, "l2")[0] for record in main[one]])
    left.plot(main.epochs, start * pure, ":", color=one.colour, linewidth=1)
left.set_ylim(auto=True)
left.set_yscale("log")
left.set_ylim(top=1.1 * max(series(record, "l2").max() for one in shown for record in main[one]))
left.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
for one in shown:
    for record, t in zip(main[one], main.t_gen(one), strict=True):
        until = record.epochs <= (main.budget if t is None else t)
        over = series(record, "l2") / (series(record, "l2")[0] * pure)
        right.plot(record.epochs[until], over[until], color=one.colour, linewidth=0.8, alpha=0.7)
        if t is not None:
            right.scatter(t, over[until][-1], s=16, color=[one.colour], zorder=3)
right.axhline(1, **figures.DASHED)
figures.label(right, "", "L2 norm, over the law's")
chapter.sign(figure, legend=4)
own = clock[clock["arm"] == Arm("base")]
above_law = own["at t_gen over N"] / own["start over N"] * np.exp(DECAY * own["t_gen"])
chapter.finding(f"The base's norm when it generalizes, over what weight decay alone would leave: {findings.median(above_law)}, median over {len(own)} seeds")

# %% [markdown]
# <details class="fold">
# <summary>How far the law holds, in numbers</summary>
#
# How far the law holds: the measured norm over the predicted one at several shares of the network's own time to generalization, median
# and range over seeds.

# %% tags=["hide-input"]
rows = []
for one in shown:
    found = {share: [] for share in (0.25, 0.5, 0.75, 1.0)}
    for record, t in zip(main[one], main.t_gen(one), strict=True):
        if t:
            for share, values in found.items():
                epoch = main.epochs[np.searchsorted(main.epochs, share * t)]
                values.append(l2_at(record, epoch) / (series(record, "l2")[0] * np.exp(-DECAY * epoch)))
    texts = {f"at {share:g} t_gen": tables.range_text(values) for share, values in found.items()}
    rows.append({"arm": one.label, **texts, "seeds": len(found[1.0])})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What the clock predicts

# %% mystnb={"figure": {"caption": "On the dashed diagonal prediction and measurement are equal, above it a network generalizes later than its norm predicts. Hollow marks never generalize within the budget. Right, bars are medians.", "name": "fig-clock-predicted"}, "image": {"alt": "Left, a scatter of measured against predicted epochs of generalization with a dashed diagonal, one mark for each seed and network. Right, the norm at generalization relative to the base, a row of marks for each kind of network, with a dashed line at 1."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=4.8)
left, right = axes[0]
words = clock["arm"].map(kind)
never = clock["t_gen"].isna()
for name, found in clock.groupby(words, sort=False):
    drawn = found["t_gen"].fillna(1.05 * main.budget)
    faces = ["white" if censored else TINTS[name] for censored in found["t_gen"].isna()]
    left.scatter(found["predicted"], drawn, s=20, color=faces, edgecolor=TINTS[name], linewidth=0.9, label=name)
ends = [0, 1.05 * max(clock["predicted"].max(), clock["t_gen"].max()) if (~never).any() else main.budget]
left.plot(ends, ends, **figures.DASHED)
figures.label(left, main.label, "t_gen (epochs)")
left.set_xlabel("predicted t_gen (epochs)")
left.yaxis.set_major_formatter(left.xaxis.get_major_formatter())
kinds = list(dict.fromkeys(words))
for y, name in enumerate(kinds):
    values = clock.loc[(words == name) & ~never, "at t_gen over N"]
    right.scatter(values, np.full(len(values), y), s=16, alpha=0.6, color=[TINTS[name]])
    if len(values):
        right.vlines(values.median(), y - 0.3, y + 0.3, color=TINTS[name], linewidth=2)
right.axvline(1, **figures.DASHED)
figures.rows_of_labels(right, kinds)
figures.label(right, main.label, "", x="L2 norm at t_gen, over N")
chapter.sign(figure, legend=4)
both = {Arm(name): clock[clock["arm"] == Arm(name)] for name in ("ticket", "l2-matrices")}
measured = {one: findings.epoch([None if np.isnan(t) else t for t in found["t_gen"]], main.budget) for one, found in both.items()}
texts = {one.label: f"{findings.median(found['predicted'], ',.0f')} and {measured[one]}" for one, found in both.items()}
chapter.finding(f"Median epochs to generalization, predicted and measured, over {clock['seed'].nunique()} seeds: {findings.listed(texts)}")


# %% [markdown]
# <details class="fold">
# <summary>Predicted and measured times of every network, and how far the clock is off</summary>
#
# Medians over seeds, with 95% intervals of the median where there are five seeds or more. The error is the measured time minus the
# predicted one: where it is positive, the network generalizes later than its norm predicts. Beside it stands the error of a clock that knows
# nothing of norms and predicts the base's time for all.

# %% tags=["hide-input"]
def median(low, high=None, form=",.0f"):
    """Median and interval in words, of numbers of either sign."""
    return median_text(low, high, f"{{:{form}}}", floor=-np.inf)


t_base = clock[clock["arm"] == Arm("base")].set_index("seed")["t_gen"]
rows = []
for one, found in clock.groupby("arm", sort=False):
    found = found.set_index("seed")
    early, late, base = found["t_gen"].fillna(main.budget), found["t_gen"].fillna(np.inf), t_base[found.index]
    rows.append(
        {
            "arm": one.label,
            "L2 at the start, over N": f"{found['start over N'].median():.2f}",
            "predicted t_gen": f"{found['predicted'].median():,.0f}",
            "t_gen, median (range)": tables.epochs_text([None if np.isnan(t) else t for t in found["t_gen"]], main.budget),
            "error": median(early - found["predicted"], late - found["predicted"]),
            "error of the base's t_gen": "–" if one.name == "base" else median(early - base, late - base),
            "seeds": len(found),
        }
    )
chapter.table(pd.DataFrame(rows) if rows else pd.DataFrame({"": ["no base generalizes: there is nothing to predict from"]}))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Where the error comes from: the law of decay, or another norm than N</summary>
#
# The error has two sources, which add up to it on each seed. The norm at the true $t_{gen}$ need not be what the law of decay leaves, and it
# need not be $N$:
#
# $$
# t_{gen} - \hat t_{gen} = \frac{1}{\eta \lambda} \left( \ln \frac{\lVert \theta_t \rVert}{\lVert \theta_0 \rVert e^{-\eta \lambda t}}
# + \ln \frac{N}{\lVert \theta_t \rVert} \right), \qquad t = t_{gen} .
# $$
#
# The first says how the norm moves, the second at which norm the network generalizes. Runs that never generalize, or are predicted to do so at
# once, have no such parts.

# %% tags=["hide-input"]
rows = []
for one, found in clock[(clock["predicted"] > 0) & ~never].groupby("arm", sort=False):
    error = found["t_gen"] - found["predicted"]
    other_norm = (0 - np.log(found["at t_gen over N"])) / DECAY
    parts = {"by the law of decay": median(error - other_norm), "by another norm than N": median(other_norm)}
    norm = {"L2 at t_gen, over N": median(found["at t_gen over N"], form=".2f")}
    rows.append({"arm": one.label, "error": median(error)} | parts | norm | {"seeds": len(found)})
chapter.table(pd.DataFrame(rows) if rows else pd.DataFrame({"": ["no network generalizes"]}))


# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>By which factor a prediction is off</summary>
#
# By which factor a prediction is off, over the runs that generalize: $\exp$ of the root mean square of its error in $\ln t_{gen}$. Times of zero
# count as one evaluation.

# %% tags=["hide-input"]
def spread(found):
    """Typical factors between t_gen and what is predicted for it: by the clock, and by the base's t_gen."""
    least = main.epochs[1]
    measured = np.log(found["t_gen"].clip(lower=least))
    guesses = {"clock, off by a factor of": found["predicted"], "base's t_gen, off by a factor of": found["seed"].map(t_base)}
    errors = {name: measured - np.log(guess.clip(lower=least)) for name, guess in guesses.items()}
    return {name: float(np.exp(np.sqrt((error**2).mean()))) for name, error in errors.items()} | {"runs": len(found)}


others = clock[(clock["arm"] != Arm("base")) & ~never]
groups = {"dense, scaled": ("l2-matrices", "l1-matrices", "l2-rate", "l1-rate"), "masked": ("ticket", "rate", "random", "random-rate")}
groups |= {"trained densely from the ticket's start": ("re-dense",), "not rewound": ("un-rewound",)}
found = {name: others[others["arm"].map(lambda one, names=names: one.name in names)] for name, names in groups.items()}
rows = [{"networks": name, **spread(some)} for name, some in found.items() if len(some)]
chapter.table(pd.DataFrame(rows) if rows else pd.DataFrame({"": ["no network generalizes"]}))

# %% [markdown]
# </details>
#
# ## Pruning rates
#
# Of every rate there may be fewer seeds than of the profile's own; the figure has those that were trained at all of them.

# %% mystnb={"figure": {"caption": "Marks are seeds, hollow where a network never generalizes, lines join medians; crosses and dotted lines are the predictions, medians too. Below, test accuracy at the end.", "name": "fig-clock-rates"}, "image": {"alt": "Two rows of four panels, one column each for tickets, random masks and dense networks of the tickets' L2 and L1 norm. Above, epoch of generalization against pruning rate with the prediction as a dotted line; below, test accuracy at the end against pruning rate."}} tags=["hide-input"]
figure, axes = figures.panels(2, len(FAMILIES), height=2.7, sharex=True, sharey="row")
for (top, bottom), name in zip(axes.T, FAMILIES, strict=True):
    family, tint = members(name), ARMS[name].colour
    for rate, one in family.items():
        found = clock_of_rates[clock_of_rates["arm"] == one]
        drawn, censored = found["t_gen"].fillna(1.05 * main.budget), found["t_gen"].isna()
        faces = ["white" if is_censored else tint for is_censored in censored]
        top.scatter(np.full(len(found), rate), drawn, s=18, color=faces, edgecolor=tint, zorder=3)
        ends = [series(record)[-1] for record in complete[one]]
        bottom.scatter(np.full(len(ends), rate), ends, s=18, color=[tint], zorder=3)
    of_family = clock_of_rates[clock_of_rates["arm"].isin(family.values())]
    if len(of_family):
        by_rate = {rate: of_family[of_family["arm"] == one] for rate, one in family.items()}
        medians = [found["t_gen"].fillna(1.05 * main.budget).median() for found in by_rate.values()]
        top.plot(list(by_rate), medians, color=tint, linewidth=1.2)
        top.plot(list(by_rate), [found["predicted"].median() for found in by_rate.values()], "x:", color="0.2", linewidth=1, markersize=6)
    bottom.plot(list(family), [np.median([series(record)[-1] for record in complete[one]]) for one in family.values()], color=tint, linewidth=1.2)
    figures.label(top, Arm(name).label, "t_gen (epochs)", x="")
    top.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
    figures.label(bottom, "", "test accuracy at the end", x="pruning rate")
    bottom.set_ylim(-0.03, 1.05)
    bottom.set_xlim(RATE - 0.08, 1)
axes[0, 0].set_ylim(bottom=0)
for ax in axes[:, 1:].flat:
    ax.set_ylabel("")
chapter.sign(figure, [complete])
chapter.finding(findings.first_and_last([complete], *members("ticket").values()))

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# ## Correct before any training
#
# A mask alone can make an untrained network classify: {cite:t}`zhou2019` call it a supermask. Where the mask is laid on initial weights
# that nothing has trained yet, test accuracy at epoch 0 says what the mask knows of the task. Base and random mask stand
# for chance. Networks without biases that are only scaled answer as the base does, the re-dense network begins as the ticket, and the one that is
# not rewound has been trained; none of these is shown. For comparison the same of the modular tasks, where the records of
# {doc}`main-results` are at hand.

# %% mystnb={"figure": {"caption": "A mark for each seed, bars are medians; the dashed line is chance, one over the number of classes.", "name": "fig-clock-untrained"}, "image": {"alt": "Test accuracy at epoch 0 from 0 to 1, a row of marks for each kind of network, with a dashed line at chance."}} tags=["hide-input"]
modular = wanted(chapter.parameters, ["main-results"], store)
settings = {main.name: main} | modular.comparisons("main-results", store.versions)
UNTRAINED = ["base", "ticket", "rate", "random", "random-rate", "new-weights"]
starts = {name: [one for kind_of in UNTRAINED for one in c.arms if one.name == kind_of] for name, c in settings.items()}
figure, axes = figures.panels(len(settings), 1, height=1.9, width=6, sharex=True)
rows = []
for ax, comparison in zip(axes[:, 0], settings.values(), strict=True):
    chance = 1 / comparison["base"][0].run.task.classes
    for y, one in enumerate(starts[comparison.name]):
        first = np.array([series(record)[0] for record in comparison[one]])
        ax.scatter(first, np.full(len(first), y), s=16, alpha=0.6, color=[one.colour])
        ax.vlines(np.median(first), y - 0.3, y + 0.3, color=one.colour, linewidth=2)
        row = {"setting": comparison.label, "arm": one.label, "test accuracy at epoch 0": median(first, form=".3f")}
        rows.append(row | {"lowest": f"{first.min():.3f}", "highest": f"{first.max():.3f}", "chance": f"{chance:.3f}", "seeds": len(first)})
    ax.axvline(chance, **figures.DASHED)
    figures.rows_of_labels(ax, [one.label for one in starts[comparison.name]])
    ax.set_xlim(-0.03, 1.03)
    figures.label(ax, comparison.label, "", x="test accuracy at epoch 0" if ax is axes[-1, 0] else "")
chapter.sign(figure, settings.values())
untrained = {c.label: findings.median([series(record)[0] for record in c["ticket"]], ".3f") for c in settings.values()}
by_chance = {c.label: f"by chance {1 / c['base'][0].run.task.classes:.3f}" for c in settings.values()}
said = lambda c: f"{untrained[c.label]}, {by_chance[c.label]}"
chapter.finding(findings.by_setting("Median test accuracy of the untrained ticket", settings.values(), said))

# %% [markdown]
# <details class="fold">
# <summary>Test accuracy before training, in numbers</summary>

# %% tags=["hide-input"]
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## How to read it
#
# * A network on the diagonal is as fast as its norm at the start makes it, whatever its mask. One below it has something more; one above it
#   is later than the clock predicts. Scaled dense networks may lie off the diagonal too, so that the dense network of the same norm is the one to
#   compare with.
# * The norm that counts need not be that of all weights. A network of three matrices without biases multiplies its output by $c^3$ if each is
#   multiplied by $c$, so what decays is the product of their norms, and a mask takes more from some matrices than from others.
# * Dense networks that are scaled differ from the base in nothing but the norm, so that they test the clock by itself. Networks that are masked, or
#   start from a mask, differ in more; what the clock leaves there is what the mask does beyond making the start smaller.
# * The network that is not rewound starts from weights that have generalized already. Its time says nothing of a ticket; it is here because the
#   authors' configuration for MNIST has this network in the ticket's place.
#
# ## What differs from the paper
#
# * The paper shows that the ticket generalizes sooner than its base and does not compare it with dense networks of its norm on MNIST.
# * The authors' mask for MNIST is that of the last epoch, and the weights stay as they were trained. Ticket and random mask here are rewound, as
#   in the paper's text; the last network of the list follows the code.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(["test_accuracy", "l2"], clock=clock.assign(arm=clock["arm"].map(lambda one: one.label)), rates=tables.ends([complete]))
