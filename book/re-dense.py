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
# # Re-dense
#
# **Claim C29.** What a ticket starts from is enough. Zero the pruned weights once, at the start, and train all weights from there:
# this dense net still generalizes sooner than the base ({cite:t}`minegishi2023`, App. I). With as many free weights as the base
# has, it answers the objection that a ticket is fast only because there is less to train.
#
# ## Method
#
# Three nets share a seed's initial weights $\theta_0$ and its training pairs. The base starts at $\theta_0$. The ticket starts at
# $\theta_0 \odot m$, with the mask $m$ of {doc}`main-results`, and holds it. The *re-dense* net starts at $\theta_0 \odot m$ too,
# but no mask is held: weights that start at zero receive gradients and grow back. The name is from the last phase of
# dense-sparse-dense training {cite:p}`han2017`.
#
# To see how much of the ticket's gain is in the starting weights, take the speed-ups over the base on a logarithmic scale, where
# factors add up. The share on seed $i$ is
#
# $$
# \frac{\log s_i^{\text{re-dense}}}{\log s_i^{\text{ticket}}}, \qquad s_i = \frac{t_{gen}^{\text{base}}}{t_{gen}},
# $$
#
# 1 if holding the mask adds nothing, 0 if it adds everything. It is known where all three nets generalize and the ticket is faster
# than the base.

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
results = experiments.results("re-dense", settings)
taus = {system: measures.threshold(kinds["base"]) for system, kinds in results.records.items()}
Markdown(
    f"Masks are taken at epoch {settings.ticket_epoch:,} with pruning rate {settings.pruning_rate}, so that this share of a re-dense "
    f"net's weights starts at zero; every run has {settings.epochs:,} epochs."
)

# %% [markdown]
# ## Results

# %% mystnb={"figure": {"caption": "Test accuracy of the base, its ticket and the re-dense net, as in the paper's Fig. 23 but with epochs on a logarithmic axis. Thick lines are medians over seeds, bands reach from the lowest seed to the highest, thin lines are single seeds; the dashed line is \u03c4.", "name": "fig-re-dense"}, "image": {"alt": "Two panels, MLP and Transformer, of test accuracy over epochs on a logarithmic axis, for base, ticket and re-dense net, each with one thin line a seed, the median and the range."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.6, sharey=True)
for ax, (system, kinds) in zip(axes[0], results.records.items(), strict=True):
    for kind, records in kinds.items():
        figures.curve(ax, records, "test_accuracy", kind)
    ax.axhline(taus[system], color="0.4", linewidth=0.8, linestyle="--")
    ax.set(xscale="log", xlim=(EVALUATE_EVERY, settings.epochs))
    figures.label(ax, figures.system(system), figures.AXES["test_accuracy"])
axes[0, 1].set_ylabel("")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=10)
figures.sign(figure, settings)

# %% mystnb={"figure": {"caption": "When each seed generalizes. Lines join the three nets of one seed; the vertical axis is logarithmic.", "name": "fig-re-dense-epochs"}, "image": {"alt": "Two panels, MLP and Transformer, with the epoch of generalization of every seed for base, ticket and re-dense net on a logarithmic axis, one line a seed."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.2, sharey=True)
for ax, (system, kinds) in zip(axes[0], results.records.items(), strict=True):
    times = {kind: measures.generalization_epochs(records, taus[system]) for kind, records in kinds.items()}
    figures.paired_epochs(ax, times, settings.epochs, figures.system(system))
axes[0, 1].set_ylabel("")
figures.sign(figure, settings)

# %% tags=["remove-input"]
HTML(report.download(report.ends(results), "re-dense") + report.download(report.curves(results, ["test_accuracy"]), "re-dense-curves"))

# %% [markdown]
# Median and range over seeds:

# %% tags=["remove-input"]
HTML(report.table(report.summary(results)))

# %% [markdown]
# Seed by seed: both speed-ups over the base, what holding the mask adds (t_gen of the re-dense net over that of the ticket), and the
# share of the ticket's logarithmic speed-up that the starting weights give alone.

# %% tags=["remove-input"]
rows = []
for system, kinds in results.records.items():
    pairs = {"ticket": ("base", "ticket"), "re-dense": ("base", "re-dense"), "mask": ("re-dense", "ticket")}
    speed = {name: measures.speed_up(kinds, taus[system], *pair) for name, pair in pairs.items()}
    for i, record in enumerate(kinds["base"]):
        bounds = {name: (measured.low[i], measured.high[i]) for name, measured in speed.items()}
        known = all(low == high for low, high in bounds.values()) and bounds["ticket"][0] > 1
        rows.append(
            {
                "system": system,
                "seed": record.seed,
                **{name: claims.between(*bound) for name, bound in bounds.items()},
                "share": np.log(bounds["re-dense"][0]) / np.log(bounds["ticket"][0]) if known else np.nan,
            }
        )
shares = pd.DataFrame(rows)
heads = {"ticket": "speed-up of the ticket", "re-dense": "speed-up of the re-dense net", "mask": "ticket over re-dense"}
HTML(report.table(shares.assign(system=shares["system"].map(figures.system)).rename(columns=heads)))

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
HTML("".join(report.verdict(judgement) for judgement in results.judgements))


# %% [markdown]
# How much of the ticket's gain the starting weights give, which net comes first, and which ends higher:

# %% tags=["remove-input"]
def order(kinds, tau, other):
    """On which seeds the re-dense net generalizes earlier, and on which later, than another kind of net, in words."""
    found = {}
    for one, two in zip(kinds["re-dense"], kinds[other], strict=True):
        t, t_other = (measures.generalization_epoch(record, tau) for record in (one, two))
        comes_later = measures.later(t, t_other)
        word = "never, like" if comes_later is None else "later than" if comes_later else "together with" if t == t_other else "earlier than"
        found.setdefault(word, []).append(one.seed)
    return ", ".join(f"{word} its {other}{',' * ('never' in word)} on {report.seeds_text(seeds)}" for word, seeds in found.items())


lines = []
for system, kinds in results.records.items():
    known = shares.loc[shares["system"] == system, "share"].dropna()
    share = f"the median is {known.median():.2f} ({known.min():.2f} to {known.max():.2f})" if len(known) else "there is no median"
    ends = {kind: np.array([measures.final(record) for record in group]) for kind, group in kinds.items()}
    higher = " and ".join(f"above that of its {kind} on {(ends['re-dense'] > ends[kind]).sum()}" for kind in ("base", "ticket"))
    lines.append(
        f"* **{figures.system(system)}**: the share of the ticket's logarithmic speed-up that the starting weights give is known on "
        f"{len(known)} of {len(settings.seeds)} seeds; {share}. The re-dense net generalizes {order(kinds, taus[system], 'base')}; "
        f"{order(kinds, taus[system], 'ticket')}. Its test accuracy at the end is {higher} of {len(settings.seeds)} seeds."
    )
Markdown("\n".join(lines))

# %% tags=["remove-input"]
HTML(report.evidence(results.judgements))

# %% [markdown]
# ## What differs from the paper
#
# * The paper shows one run of each net and gives no number for the gain; here all three share the split and the initial weights of
#   each of several seeds, and the share above puts the gain in numbers.
# * The paper does not say on which architecture Fig. 23 was made; here are both.
# * The start $\theta_0 \odot m$ also has a smaller norm than $\theta_0$. Whether the norm alone could explain the gain is tested in
#   {doc}`weight-norm`, on dense nets whose start has this norm and no zeros.
# * Adam's first steps have the size of the learning rate whatever the gradient, so the zeroed weights leave zero at once. Nothing
#   here says that the re-dense net keeps the ticket's structure: records hold no weights but the mask.
#
# ## Rerun this chapter

# %% tags=["remove-input"]
Markdown(f"```bash\n{report.rerun('re-dense')}\n```")

# %% tags=["remove-input"]
HTML(report.provenance(results, settings))
