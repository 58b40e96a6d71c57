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
# # Uniform attention
#
# A ticket of the transformer differs from its base in two ways. It is sparse, and, in the model of the authors' code, it does not attend:
# global magnitude pruning takes away $W_Q$ and $W_K$ (below), so that attention no longer depends on what it reads. A dense network can be
# given the second property without the first. How much of the ticket's speed-up is left beside that network? The paper does not ask;
# this chapter explores it. No claim is judged here, and no rule was fixed for its numbers. Where uniform attention enters a claim, it does
# so as a variant with a rule, in the claim's own chapter: C02 ({doc}`main-results`), C10 ({doc}`weight-norm`), C16
# ({doc}`pruning-at-init`), C21 ({doc}`tasks`) and C29 ({doc}`re-dense`).
#
# ## Method
#
# The answer is read at the last position, where attention mixes $x_a$ and $x_b$ by the softmax of their scores ({doc}`setup`). With
# $W_Q = W_K = 0$ all scores are zero and both get one half, for every pair and every head. It stays so while training: the gradient of
# each of the two matrices has the other one as a factor. Such a network is not blind to the order of $a$ and $b$, as $x_b$ enters once
# more beside attention.
#
# Besides base and ticket there are five networks. All share a seed's initial weights and its training pairs:
#
# * *dense, uniform attention*: all initial weights but those of $W_Q$ and $W_K$;
# * *random, uniform attention*: a random mask of the ticket's pruning rate that takes $W_Q$ and $W_K$ first;
# * *ticket, attention given back*: the ticket and all initial weights of $W_Q$ and $W_K$, which are trained;
# * *ticket's mask, shuffled by matrix*: as many edges as the ticket in each matrix, at random places;
# * *ticket's mask, shuffled, degrees kept*: edges are traded between rows until little of the pattern is left, and each row and each
#   column of a matrix keeps its number {cite:p}`strona2014`.
#
# From the base to the ticket they make a chain: take the scores away, prune each matrix as much as the ticket does, then each neuron, then
# the right edges. As in the claims, a seed whose base had not generalized
# when its ticket was cut is left out of all ratios.
#
# <details class="fold">
# <summary>How the ticket's gain is divided along the chain</summary>
#
# Speed-ups multiply along it,
#
# $$
# s^{\text{ticket}} = \frac{t_{gen}^{\text{base}}}{t_{gen}^{\text{uniform}}} \cdot \frac{t_{gen}^{\text{uniform}}}{t_{gen}^{\text{by matrix}}}
# \cdot \frac{t_{gen}^{\text{by matrix}}}{t_{gen}^{\text{by degrees}}} \cdot \frac{t_{gen}^{\text{by degrees}}}{t_{gen}^{\text{ticket}}} ,
# $$
#
# so that $\log s / \log s^{\text{ticket}}$ is the share of the ticket's gain that a network has, on the scale on which factors add up. It is
# known where the ticket is faster than the base.
#
# </details>

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

from lib.book import figures, findings
from lib.book.chapter import Chapter
from lib.claims.measures import speed_up
from lib.claims.statistics import median_interval, median_text
from lib.experiments.arms import SCORING, arm

chapter = Chapter.open("attention", globals())
CHAIN = ["base", "uniform", "shuffled", "shuffled-degrees", "ticket"]  # each has one more property of the ticket
BESIDE = ["random-uniform", "ticket-attention"]
beside = "uniform" if any(arm("uniform") in comparison.arms for comparison in chapter) else "base"


def has(comparison, *arms):
    """Whether all these arms are recorded."""
    return all(arm(one) in comparison.arms for one in arms)


# %% [markdown]
# ## What a mask keeps of each matrix

# %% mystnb={"figure": {"caption": "A mark for each seed; the dashed line is the share of all weights that the ticket keeps. Settings whose masks are not stored are left out.", "name": "fig-attention-kept"}, "image": {"alt": "A panel for each setting with stored masks, with the weight matrices from left to right and the share kept from 0 to 1 upwards, one mark a seed and mask."}} tags=["hide-input"]
MASKED = ["ticket", "random-uniform", "ticket-attention"]
kept = []
for comparison in chapter:
    for name in filter(lambda one: has(comparison, one), MASKED):
        for record in comparison[name]:
            if record.mask is not None:
                shares = {matrix: float(part.mean()) for matrix, part in record.run.split(record.mask).items()}
                kept += [{"setting": comparison.name, "arm": name, "seed": record.seed, "matrix": m, "kept": x} for m, x in shares.items()]
kept = pd.DataFrame(kept)


def shares_kept(ax, comparison):
    found = kept[kept["setting"] == comparison.name]
    matrices = list(found["matrix"].unique())
    arms = list(found["arm"].unique())
    for i, name in enumerate(arms):
        of_arm = found[found["arm"] == name]
        x = of_arm["matrix"].map(matrices.index) + 0.22 * (i - (len(arms) - 1) / 2)
        ax.scatter(x, of_arm["kept"], s=16, alpha=0.7, color=arm(name).colour, label=arm(name).label)
    ax.axhline(1 - chapter.parameters.pruning_rate, **figures.DASHED)
    ax.set_xticks(range(len(matrices)), [f"${name[0]}_{{{name[2:]}}}$" for name in matrices])
    ax.tick_params(axis="x", rotation=90 if len(matrices) > 8 else 0)
    ax.set_ylim(-0.03, 1.05)
    figures.label(ax, comparison.label, "share of weights kept", x="")


masked = [chapter[name] for name in kept["setting"].unique()]
chapter.panels(shares_kept, settings=[one.name for one in masked], height=3.4, legend=3, sharex=False)
chapter.finding(findings.by_setting("Median share that the ticket keeps", masked, findings.scoring_kept))

# %% [markdown]
# <details class="fold">
# <summary>How many of the ticket’s masks keep nothing of a matrix</summary>
#
# Of the ticket's masks, how many keep nothing at all of a matrix:

# %% tags=["hide-input"]
tickets = kept[kept["arm"] == "ticket"].assign(nothing=lambda frame: frame["kept"] == 0)
counts = tickets.groupby(["setting", "matrix"], sort=False)["nothing"].agg(["sum", "count"]).reset_index()
counts["text"] = [f"{k} of {n}" for k, n in zip(counts["sum"], counts["count"], strict=True)]
frame = counts.pivot(index="setting", columns="matrix", values="text")[counts["matrix"].unique()].fillna("–")
frame.index = [chapter[name].label for name in frame.index]
chapter.table(frame.rename_axis(index="setting", columns=None).reset_index())

# %% [markdown]
# </details>
#
# ## Tickets that go on attending
#
# Where a mask keeps a part of $W_Q$ and $W_K$, is the ticket still fast? The figure sets one against the other. It was thought of after
# the masks of *Transformer, as in the text* had been seen.

# %% mystnb={"figure": {"caption": "A mark is a seed whose base had generalized when its ticket was cut; hollow marks are bounds, of tickets that never generalize. The dashed line is a ticket as fast as its base. Speed-ups are on a logarithmic axis.", "name": "fig-attention-attending"}, "image": {"alt": "A panel for each setting with stored masks, with the share of W_Q and W_K that a ticket keeps from left to right and its speed-up over the base upwards on a logarithmic axis, one mark a seed."}} tags=["hide-input"]
scores = kept[(kept["arm"] == "ticket") & kept["matrix"].isin(SCORING)].groupby(["setting", "seed"])["kept"].mean()


def attending(ax, comparison):
    for seed in comparison.one_by_one():
        found = speed_up(seed, grokked=True)
        if found.is_case:
            known = found.low == found.high
            ax.scatter(100 * scores[comparison.name, seed.seed], found.high, s=30, color=arm("ticket").colour, facecolor=None if known else "none")
    ax.axhline(1, **figures.DASHED)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figures.label(ax, comparison.label, "speed-up of the ticket", x="$W_Q$ and $W_K$ kept (%)")


chapter.panels(attending, settings=[one.name for one in masked], height=3.2)
chapter.finding(findings.gains(masked))

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Thick lines are medians over seeds, thin lines single seeds; the dashed line is \u03c4. Epochs are logarithmic.", "name": "fig-attention-curves"}, "image": {"alt": "A panel for each setting of the transformer, of test accuracy over epochs on a logarithmic axis, with one curve for base, ticket and each network between them, one thin line a seed and the median."}} tags=["hide-input"]
chapter.panels(lambda ax, comparison: figures.curves(ax, comparison, band=False, logarithmic=True), height=3.4, legend=4, sharex=False)
chapter.finding(findings.generalizing(chapter, "base", "ticket"))


# %% [markdown]
# <details class="fold">
# <summary>When each seed generalizes</summary>

# %% mystnb={"figure": {"caption": "Each line joins one seed's networks; hollow marks never generalize within the budget. Epochs are logarithmic.", "name": "fig-attention-epochs"}, "image": {"alt": "A panel for each setting with the epoch of generalization of every seed for base, ticket and each network between them, on a logarithmic axis, one line a seed."}} tags=["hide-input"]
def epochs_of_chain(ax, comparison):
    figures.paired_epochs(ax, comparison, arms=[one for one in CHAIN + BESIDE if has(comparison, one)])


chapter.panels(epochs_of_chain, height=3.6, sharey=False)
chapter.finding(findings.sooner(chapter, beside, "ticket"))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>The share of seeds that have generalized, over epochs</summary>

# %% mystnb={"figure": {"caption": "The share of seeds that have generalized, with pointwise 95% bands (Kaplan-Meier curves), epochs on a logarithmic axis.", "name": "fig-attention-share"}, "image": {"alt": "A panel for each setting with one step curve an arm, the share of seeds that have generalized by each epoch."}} tags=["hide-input"]
chapter.panels(figures.generalized, height=3, legend=3, sharex=False)
chapter.finding(findings.generalizing(chapter, "base", "ticket"))

# %% [markdown]
# </details>

# %% tags=["remove-input"]
chapter.summary()

# %% [markdown]
# ## From the base to the ticket

# %% mystnb={"figure": {"caption": "Each step is the ratio of two times to generalization, drawn between networks that are recorded. Points are medians over seeds, bars their 95% intervals (none with fewer than five seeds), faint marks single seeds; where a run never generalizes, a mark stands at its bound and an open median has no point. The dashed line is no change.", "name": "fig-attention-steps"}, "image": {"alt": "A panel for each setting with the steps from base to ticket from top to bottom and the factor of each on a logarithmic axis, a point with a bar for the median and its interval, and one faint mark a seed."}} tags=["hide-input"]
STEPS = {
    "uniform": "uniform attention",
    "shuffled": "pruned by matrix",
    "shuffled-degrees": "pruned by neuron",
    "ticket": "the right edges",
}


def rows_of(comparison):
    """What is drawn of a setting: slower arm, faster arm, name."""
    chain = [name for name in CHAIN if has(comparison, name)]
    rows = [("base", "ticket", "ticket over base")]
    return rows + [(slower, faster, STEPS[faster]) for slower, faster in zip(chain, chain[1:], strict=False) if len(chain) > 2]


def steps(ax, comparison):
    rows = rows_of(comparison)
    for y, (slower, faster, _) in enumerate(rows):
        low, high = findings.speed_ups(comparison, slower, faster)
        tint = arm(faster).colour if y else "0.2"
        marks = np.where(low > 0, low, high)  # the bound, where only one is known
        marks = marks[np.isfinite(marks) & (marks > 0)]
        ax.scatter(marks, np.full(len(marks), y + 0.2), s=12, alpha=0.5, color=[tint], linewidth=0)
        if len(low):
            middle, *ends = median_interval(low, high)
            if middle is not None:
                ax.scatter(middle, y, s=36, color=[tint], zorder=3)
            if None not in ends and ends[0] > 0:
                ax.plot(ends, [y, y], color=tint, linewidth=2)
    if not findings.speed_ups(comparison, "base", "ticket").size:
        ax.text(0.5, 0.75, "no base had generalized\nwhen its ticket was cut", transform=ax.transAxes, ha="center", fontsize=9, color="0.35")
    ax.axvline(1, **figures.DASHED)
    ax.set_yticks(range(len(rows)), [words for *_, words in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(lambda *_: "")
    figures.label(ax, comparison.label, "", x="factor of t_gen")


pairs = [comparison for comparison in chapter if has(comparison, "base", "ticket")]
chapter.panels(steps, settings=[one.name for one in pairs], height=1.4 + 0.3 * max(len(rows_of(one)) for one in pairs), sharey=False)
chapter.finding(findings.gains(pairs, beside))


# %% [markdown]
# <details class="fold">
# <summary>Every network against the base and against uniform attention, in numbers</summary>
#
# Every network against the base and against the dense network with uniform attention: medians over seeds with their 95% intervals, and the
# network's share of the ticket's logarithmic speed-up, which is 1 for the ticket and 0 for the base. In the row of the ticket, the column
# over uniform attention is what is left of its gain; in the row of uniform attention, the share is what that property gives alone.

# %% tags=["hide-input"]
def shares(comparison, name):
    """Bounds of the share of the ticket's logarithmic speed-up [cases where the ticket is faster than the base]."""
    ticket, found = findings.speed_ups(comparison, "base", "ticket"), findings.speed_ups(comparison, "base", name)
    faster = ticket[0] > 1
    with np.errstate(divide="ignore"):
        return np.log(found[:, faster]) / np.log(ticket[0, faster])


rows, by_seed = [], []
for comparison in pairs:
    cases = findings.speed_ups(comparison, "base", "ticket").shape[1]
    for one in comparison.arms:
        row = {"setting": comparison.label, "arm": one.label}
        row["over the base"] = "–" if one.name == "base" else median_text(*findings.speed_ups(comparison, "base", one))
        beside = has(comparison, "uniform") and one.name != "uniform"
        row["over uniform attention"] = median_text(*findings.speed_ups(comparison, "uniform", one)) if beside else "–"
        row["share of the ticket's gain"] = "–" if one.name in ("base", "ticket") else median_text(*shares(comparison, one))
        rows.append(row | {"seeds": cases})
        for seed in comparison.one_by_one():
            found = speed_up(seed, "base", one, grokked=True)
            head = {"setting": comparison.name, "arm": one.name, "seed": seed.seed, "case": found.is_case}
            by_seed.append(head | {"speed_up_low": found.low, "speed_up_high": found.high})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Three comparisons outside the chain: a random mask, attention given back, and what the mask adds</summary>
#
# Three comparisons outside the chain. A random mask without attention's scores says what sparsity gives by itself once attention is uniform. The
# ticket with attention given back says whether the scores would be in the way. The ticket beside the dense network of uniform attention
# says what the mask adds.

# %% tags=["hide-input"]
OTHERS = {
    "random mask, beside dense (both uniform)": ("uniform", "random-uniform"),
    "ticket, beside itself with attention given back": ("ticket-attention", "ticket"),
    "ticket, beside dense with uniform attention": ("uniform", "ticket"),
}
rows = []
for comparison in pairs:
    for name, pair in OTHERS.items():
        if has(comparison, *pair):
            low, high = findings.speed_ups(comparison, *pair)
            sooner = {"sooner": int((low > 1).sum()), "later": int((high < 1).sum()), "seeds": len(low)}
            rows.append({"setting": comparison.label, "": name, "speed-up (95% interval)": median_text(low, high), **sooner})
chapter.table(pd.DataFrame(rows) if rows else pd.DataFrame({"": ["these networks are not recorded yet"]}))

# %% [markdown]
# </details>
#
# ## How to read it
#
# <details class="fold">
# <summary>What each outcome would mean, and what the chain cannot say</summary>
#
# * If uniform attention alone had the ticket's speed-up, the factor of the ticket over it would be 1 and the share 1: the ticket would be
#   fast for the lack of attention's scores. If attention played no part, the share would be 0 and the first step of the chain a factor of 1.
# * The steps of the chain depend on their order. That the scores go first is a choice; the ticket with attention given back takes the same
#   step at the other end.
# * Dense networks with uniform attention train more weights than the ticket, and start with a larger norm. {doc}`weight-norm` has those that
#   start with the ticket's norm.
# * A shuffled mask does not keep what is shared between matrices: which neurons have edges on both sides. The mask with degrees kept does,
#   as a neuron's edges in each matrix keep their number.
# * How the embedding of the base comes to make its scores superfluous is not seen here: records hold no weights but the mask.
#
# </details>
#
# ## What differs from the paper
#
# * The paper has none of these networks. It says of the transformer that what is pruned in the attention layer is $W_Q$ and $W_K$ (App. D.1);
#   the authors' code prunes every matrix, as here.
# * *Transformer, as in the text* has the width, positions and biases of the paper's text ({doc}`deviations`), the others those of the
#   authors' code. What its ticket keeps of $W_Q$ and $W_K$ is in the first figure; where it keeps something, the ticket's attention is
#   sparse and not uniform, so that the chain from base to ticket takes away more than the ticket does.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(speed_ups=pd.DataFrame(by_seed), kept=kept)
