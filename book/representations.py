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
# # Representations

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
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA

from lib.analysis import fourier
from lib.analysis.times import ratio_bounds
from lib.book import figures, findings, tables
from lib.book.chapter import Chapter
from lib.experiments.arms import Arm

chapter = Chapter.open("representations", globals())
mlp, budget, prime = chapter["mlp"], chapter.parameters.epochs, chapter.parameters.prime
seed = next(mlp.one_by_one())  # the seed of the panels
shown = {one: seed[one] for one in mlp.arms}
early = budget // 15
half = prime // 2  # frequencies
SIDES = {"inputs": "input side", "outputs": "output side"}


def at(record, side, epoch):
    """A table [h, p] at a snapshot."""
    return record.probes[side][np.searchsorted(record.probes["epochs"], epoch)].astype(float)


def before_generalization(one):
    """The last snapshot before t_gen; half-way through the budget without one."""
    epochs = shown[one].probes["epochs"]
    return int(epochs[max(np.searchsorted(epochs, seed.t_gen(one) or budget / 2) - 1, 0)])


moments = {one: sorted({0, early, before_generalization(one), budget}) for one in shown}  # epochs of the panels
order = {}  # neurons by their frequency at the end, those that are not live last
for one, record in shown.items():
    table = at(record, "inputs", budget)
    order[one] = np.lexsort((fourier.top_frequency(table)[0], ~fourier.live(table)))
tops = {one: fourier.top_frequency(at(record, "inputs", budget)[order[one]])[0] for one, record in shown.items()}

# %% tags=["remove-input"]
chapter.in_short()

# %% [markdown]
# **Claims C23, C24 and C25.** After generalization every live neuron reads and writes a wave of one frequency, and before it
# none does (C23). In the ticket the waves are there after 2,000 epochs (C24), and frequency entropy falls sooner in it than
# in the base (C25; {cite:t}`minegishi2023`, App. G, Figs 17 to 21).
#
# ## Method
#
# The MLP sees the pair $(a, b)$ only through $W_{in} W_E (e_a + e_b)$, so that what a hidden neuron reads is one row of
# $W_{in} W_E$, a weight for each token. What it writes is a row of $W_{out}^\top W_U$, a weight for each answer. Both tables
# are 48 × $p$. With $f$ a row of $p$ weights,
#
# $$
# \begin{aligned}
# F(\omega) &= \sum_{x=0}^{p-1} f(x)\, e^{-2\pi i \omega x / p}, &
# q(\omega) &= \frac{|F(\omega)|}{\sum_{\nu=1}^{(p-1)/2} |F(\nu)|}, \\[1ex]
# H &= -\sum_{\omega=1}^{(p-1)/2} q(\omega) \log q(\omega).
# \end{aligned}
# $$
#
# The constant $F(0)$ is left out. *Frequency entropy* is the mean of $H$ over neurons that are not zero, in nats: 0 for pure waves and
# $\log\frac{p-1}{2}$ where all $\frac{p-1}{2}$ frequencies are equally strong. The *top frequency* of a neuron has the largest $|F|^2$, and its *share* is that $|F|^2$ over the
# sum of all. A neuron is *live* if its row has at least 0.05 of the largest norm in the table. For the Transformer the same products
# are taken of its 128 hidden neurons: what the MLP block reads of the embedding directly, past the attention.
#
# <details class="fold">
# <summary>Waves, heat maps, entropy, circles and ranks: how to read them</summary>
#
# * **A wave.** A network that adds modulo $p$ can turn each token $a$ into an angle $2\pi k a / p$ and add angles ({cite:t}`nanda2023`). A
#   neuron that serves such a frequency $k$ has weights $\cos(2\pi k a / p + \varphi)$: its row of weights is a wave with $k$ periods.
# * **Heat maps of weights** have a row for each neuron and a column for each token. A wave is a row of even stripes; noise is a
#   row without them. Rows are sorted by the frequency that the neuron has at the end, so that neurons of one frequency lie
#   together and the order stays the same at all epochs. Neurons that are not live at the end are at the bottom.
# * **Heat maps of the DFT** have a column for each frequency instead. A wave is one bright cell, noise a row of grey.
# * **Entropy** puts a number on that: $\log((p-1)/2)$ is the top, white noise lies a little below it (its amplitudes differ by
#   chance), and a pure wave has 0. The same holds for the **share** of the top frequency, between that of white noise and 1. The entropy takes
#   amplitudes and not squares, so that a floor of weak frequencies keeps it well above 0 even where the share is close to 1.
# * **Circles.** Projected on the cosine and sine of a frequency that it uses, an embedding lies on a circle, in the order of $k a$ modulo
#   $p$. A share of power of about $2 / (p - 1)$ is that of noise. Principal components show circles only as far as the largest variances happen to belong to one frequency each.
# * **Effective rank** counts the directions that a matrix uses. A frequency takes two, a cosine and a sine.
#
# The panels show one seed, at these epochs:

# %% tags=["hide-input"]
rows = [
    {"arm": one.label, "seed": seed.seed, "panels at epochs": ", ".join(f"{epoch:,}" for epoch in moments[one]), "t_gen": seed.t_gen(one)}
    for one in shown
]
chapter.table(pd.DataFrame(rows).astype({"t_gen": "Int64"}))


# %% [markdown]
# </details>
#
# ## Weights of single neurons

# %% tags=["hide-input"]
def heat_maps(draw, title, x):
    """A row for each of the epochs, the base to the left and the ticket to the right."""
    figure, axes = figures.panels(max(map(len, moments.values())), 2, height=2.3, sharey=True)
    for column, (one, record) in zip(axes.T, shown.items(), strict=True):
        for ax in column[len(moments[one]) :]:
            ax.set_visible(False)
        for ax, epoch in zip(column, moments[one], strict=False):
            ax.grid(False)
            image = draw(ax, one, record, epoch)
            ax.set_title(f"{one.label}, epoch {epoch:,}", color=one.colour, fontsize=11)
            figure.colorbar(image, ax=ax, pad=0.01).ax.tick_params(labelsize=9)
        column[len(moments[one]) - 1].set_xlabel(x)
    for ax in axes[:, 0]:
        ax.set_ylabel("neuron")
    figure.suptitle(f"{title}, MLP, seed {seed.seed}", fontsize=11)
    chapter.sign(figure, [mlp.of_seeds([seed.seed])])


def weights(side):
    def draw(ax, one, record, epoch):
        table = at(record, side, epoch)[order[one]]
        top = np.abs(table).max() or 1
        return ax.imshow(table, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto", interpolation="none")

    return draw


def spectra(side):
    def draw(ax, one, record, epoch):
        table = fourier.amplitudes(at(record, side, epoch)[order[one]])
        extent = (0.5, half + 0.5, len(table) - 0.5, -0.5)
        return ax.imshow(table, cmap="Greys", vmin=0, aspect="auto", interpolation="none", extent=extent)

    return draw


def waves(side, epoch):
    """All neurons of base and ticket as lines, with the frequency that each has at the end."""
    figure, axes = figures.panels(2, 1, height=4.5, width=6.4)
    for ax, (one, record) in zip(axes[:, 0], shown.items(), strict=True):
        table = at(record, side, epoch)[order[one]]
        figures.small_multiples(ax, table, one, f"{one.label}, seed {record.seed}, epoch {epoch:,}")
        rows = ax.get_ylim()[1]
        live = fourier.live(at(record, "inputs", budget)[order[one]])
        for i, frequency in enumerate(tops[one]):
            text = f"{frequency}" if live[i] else "–"
            ax.annotate(text, (i % 8 + 0.05, rows - i // 8 - 0.03), va="top", fontsize=9, color="0.25")
    chapter.sign(figure, [mlp.of_seeds([seed.seed])])
    top = {findings.named(one): f"{fourier.median_share(at(record, side, epoch)):.2f}" for one, record in shown.items()}
    chapter.finding(f"Share of a neuron's top frequency, {SIDES[side]}, epoch {epoch:,}, median over live neurons of seed {seed.seed}: {findings.listed(top)}")


def first_to_last(words, side, measure, form=".2f"):
    """The finding of a figure of one seed: a measure of its tables before training and at the end."""
    ends = {
        findings.named(one): " to ".join(f"{float(measure(at(record, side, epoch))):{form}}" for epoch in (0, budget))
        for one, record in shown.items()
    }
    chapter.finding(f"{words}, {SIDES[side]}, before training to the end, seed {seed.seed}: {findings.listed(ends)}")


def at_the_end(words, measure, form=".2f", settings=chapter):
    """The finding of a figure over seeds: the median of a measure of records, at the end and on the input side."""
    texts = {c.label: {findings.named(one): findings.median(list(map(measure, c[one])), form) for one in c.arms} for c in settings}
    chapter.finding(findings.by_setting(f"Median {words}, input side, at the end", settings, lambda c: findings.listed(texts[c.label])))


# %% [markdown]
# <details class="fold">
# <summary>Input-side weights of all neurons at the end of training</summary>

# %% mystnb={"figure": {"caption": "All 48 neurons (after Fig. 17); in each panel the token runs from 0 to p \u2212 1 from left to right, and the weight is drawn upwards, on one scale for all panels of a network. The number is the neuron's top frequency on the input side at the end, a dash a neuron that is not live.", "name": "fig-waves-inputs-end"}, "image": {"alt": "Two blocks of 48 small line plots, base above and ticket below, of each neuron's input weights over the tokens at the end of training."}} tags=["hide-input"]
waves("inputs", budget)

# %% [markdown]
# </details>

# %% mystnb={"figure": {"caption": "The same neurons at a fifteenth of the budget, where the paper finds waves in the ticket and none in the base. Numbers as in {numref}`fig-waves-inputs-end`.", "name": "fig-waves-inputs-early"}, "image": {"alt": "Two blocks of 48 small line plots, base above and ticket below, of each neuron's input weights over the tokens early in training."}} tags=["hide-input"]
waves("inputs", early)

# %% [markdown]
# <details class="fold">
# <summary>Output-side weights of the same neurons, at the end and early</summary>

# %% mystnb={"figure": {"caption": "The same neurons (after Fig. 18); from left to right the answer. Numbers as in {numref}`fig-waves-inputs-end`.", "name": "fig-waves-outputs-end"}, "image": {"alt": "Two blocks of 48 small line plots, base above and ticket below, of each neuron's output weights over the answers at the end of training."}} tags=["hide-input"]
waves("outputs", budget)

# %% mystnb={"figure": {"caption": "Output-side weights at a fifteenth of the budget, as in {numref}`fig-waves-outputs-end`.", "name": "fig-waves-outputs-early"}, "image": {"alt": "Two blocks of 48 small line plots, base above and ticket below, of each neuron's output weights over the answers early in training."}} tags=["hide-input"]
waves("outputs", early)

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Play the weights of all neurons over training</summary>
#
# Press play, or drag the slider (arrow keys move it a frame). Each panel is a neuron, in the order of the figures above; the
# scale, in the titles, changes from frame to frame. Everything is in this page, and no server is asked.

# %% tags=["hide-input"]
from IPython.display import HTML


def animate(side, words):
    """A player of the 48 neurons of base and ticket, and what it weighs."""
    figure, axes = plt.subplots(2, 1, figsize=(6, 8), dpi=80)
    figure.subplots_adjust(0.02, 0.01, 0.98, 0.96, hspace=0.08)
    frames, labels = [], []
    epochs = seed["base"].probes["epochs"]
    for epoch in epochs:
        reached = {}
        for ax, (one, record) in zip(axes, shown.items(), strict=True):
            figures.small_multiples(ax, at(record, side, epoch)[order[one]], one, f"{one.label}, epoch {epoch:,}")
            last = np.searchsorted(record.epochs, epoch, side="right") - 1  # the last evaluation
            reached[one.name] = record.metrics["test_accuracy"][last]
        frames.append(figures.small_png(figure, list(shown)))
        accuracies = ", ".join(f"{name} {value:.2f}" for name, value in reached.items())
        labels.append(f"{words}, epoch {epoch:,}; test accuracy: {accuracies}")
    plt.close(figure)
    alt = f"{words} weights of all neurons of base (above) and ticket (below), MLP, seed {seed.seed}, from epoch {epochs[0]:,} to {epochs[-1]:,}"
    return tables.player(frames, labels, alt)


players = [animate(side, words.capitalize()) for side, words in SIDES.items()]
HTML("".join(players) + f"<p>Both animations together: {sum(map(len, players)) / 1e6:.1f} MB.</p>")

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Heat maps of input-side and output-side weights</summary>

# %% mystnb={"figure": {"caption": "Neurons by tokens (after Fig. 17). Each panel has its own colour scale.", "name": "fig-heat-inputs"}, "image": {"alt": "Heat maps of input-side weights, neurons by tokens, base to the left and ticket to the right, with a row for each epoch."}} tags=["hide-input"]
heat_maps(weights("inputs"), "Input side", "input token")
first_to_last("Live neurons", "inputs", lambda table: fourier.live(table).sum(), ".0f")

# %% mystnb={"figure": {"caption": "Neurons by answers (after Fig. 18). Each panel has its own colour scale.", "name": "fig-heat-outputs"}, "image": {"alt": "Heat maps of output-side weights, neurons by answers, base to the left and ticket to the right, with a row for each epoch."}} tags=["hide-input"]
heat_maps(weights("outputs"), "Output side", "answer")
first_to_last("Live neurons", "outputs", lambda table: fourier.live(table).sum(), ".0f")

# %% [markdown]
# </details>
#
# ## Frequencies
#
# <details class="fold">
# <summary>Amplitudes of all frequencies, neuron by neuron, on both sides</summary>

# %% mystnb={"figure": {"caption": "Amplitude of each frequency in each neuron's weights (after Fig. 19), without the constant.", "name": "fig-dft-inputs"}, "image": {"alt": "Heat maps of the amplitudes of input-side weights, neurons by frequencies, base to the left and ticket to the right, with a row for each epoch."}} tags=["hide-input"]
heat_maps(spectra("inputs"), "Input side, |F|", "frequency (periods over all tokens)")
first_to_last("Frequency entropy in nats", "inputs", fourier.frequency_entropy)

# %% mystnb={"figure": {"caption": "Amplitude of each frequency in each neuron's weights (after Fig. 20), without the constant.", "name": "fig-dft-outputs"}, "image": {"alt": "Heat maps of the amplitudes of output-side weights, neurons by frequencies, base to the left and ticket to the right, with a row for each epoch."}} tags=["hide-input"]
heat_maps(spectra("outputs"), "Output side, |F|", "frequency (periods over all answers)")
first_to_last("Frequency entropy in nats", "outputs", fourier.frequency_entropy)


# %% [markdown]
# </details>

# %% mystnb={"figure": {"caption": "After Fig. 21, which has the MLP. Thick lines are medians over seeds, thin lines single seeds, bands their range. Epochs are linear up to the first mark and logarithmic from there. Dotted, what white noise has.", "name": "fig-entropy"}, "image": {"alt": "Four panels of frequency entropy over epochs for base and ticket, MLP above and Transformer below, input side to the left and output side to the right."}} tags=["hide-input"]
def over_epochs(measure, y, lines):
    """A measure of tables over epochs, systems by sides, with horizontal lines (height -> text)."""
    figure, axes = figures.panels(2, 2, height=3.2, sharey=True)
    for row, comparison in zip(axes, chapter, strict=True):
        for ax, (side, words) in zip(row, SIDES.items(), strict=True):
            for one, records in comparison.arms.items():
                epochs = records[0].probes["epochs"]
                figures.over_seeds(ax, epochs, np.stack([measure(record.probes[side]) for record in records]), one)
            ax.set_xscale("symlog", linthresh=max(int(epochs[1]), 1))
            ax.set_xlim(0, epochs[-1])
            for height, text in lines.items():
                ax.axhline(height, color="0.4", linewidth=0.8, linestyle=":")
                place = {"ha": "right"} if text == "white noise" else {}
                ax.annotate(
                    text, (0.99 if place else 0.01, height), xycoords=("axes fraction", "data"), fontsize=9, color="0.35", va="bottom", **place
                )
            figures.label(ax, f"{comparison.label}, {words}", y)
            ax.xaxis.set_major_formatter(lambda epoch, _: f"{epoch:,.0f}")
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    chapter.sign(figure, legend=2)


over_epochs(fourier.frequency_entropy, "frequency entropy (nats)", {fourier.noise_entropy(half): "white noise"})
at_the_end("frequency entropy in nats", lambda record: fourier.frequency_entropy(record.probes["inputs"][-1]))

# %% mystnb={"figure": {"caption": "Share of the top frequency in a neuron's spectral power, median over live neurons. Lines and bands as in {numref}`fig-entropy`; dotted, the thresholds of C23 (0.8 after, 0.4 before) and C24 (0.6), and what white noise has.", "name": "fig-share"}, "image": {"alt": "Four panels of the median top-frequency share over epochs for base and ticket, MLP above and Transformer below, input side to the left and output side to the right, with thresholds at 0.8, 0.6 and 0.4."}} tags=["hide-input"]
thresholds = {0.8: "0.8", 0.6: "0.6", 0.4: "0.4", fourier.noise_share(half): "white noise"}
over_epochs(fourier.median_share, "share of the top frequency", thresholds)
at_the_end("share of the top frequency", lambda record: fourier.median_share(record.probes["inputs"][-1]))

# %% tags=["hide-input"]
rows = []
for comparison in chapter:
    for one, records in comparison.arms.items():
        for record in records:
            columns = {"epoch": record.probes["epochs"]}
            for side, words in SIDES.items():
                table = record.probes[side]
                columns |= {
                    f"entropy_{side}": fourier.frequency_entropy(table),
                    f"top_share_{side}": fourier.median_share(table),
                    f"live_{side}": fourier.live(table).sum(-1),
                }
            for name in ("embedding", "inputs"):
                columns[f"effective_rank_{name}"] = fourier.effective_rank(record.probes[f"singular_{name}"])
            rows.append(pd.DataFrame(columns).assign(setting=comparison.label, arm=one.label, seed=record.seed))
curves = pd.concat(rows, ignore_index=True)

rows = []
for one, record in shown.items():
    for side in SIDES:
        table = at(record, side, budget)
        tokens = pd.DataFrame(table, columns=[f"token_{x}" for x in range(prime)])
        tokens.insert(0, "top_frequency", fourier.top_frequency(table)[0])
        rows.append(tokens.rename_axis("neuron").reset_index().assign(arm=one.name, side=side, seed=record.seed))
neurons = pd.concat(rows)


# %% [markdown]
# ### Which frequencies, and do base and ticket agree?
#
# <details class="fold">
# <summary>Frequencies of base and ticket, seed by seed, and neuron by neuron</summary>
#
# A network has *settled on* a frequency if it is the top frequency of at least two live neurons on the input side at the end; in
# brackets, of how many. If the ticket's frequencies were drawn at random, $|B| |T| \big/ \frac{p-1}{2}$ of them would be among the base's. Neuron by neuron: of those
# that are live in both networks, how many have the same top frequency, and how many would if the ticket's neurons traded places at random.

# %% tags=["hide-input"]
def settled(record):
    """Top frequencies [live neurons], and how many neurons have each that at least two share."""
    table = at(record, "inputs", budget)
    top, live = fourier.top_frequency(table)[0], fourier.live(table)
    found, counts = np.unique(top[live], return_counts=True)
    return top, live, {int(f): int(n) for f, n in zip(found, counts, strict=True) if n > 1}


rows = []
for base, ticket in zip(mlp["base"], mlp["ticket"], strict=True):
    (top, live, of_base), (other, alive, of_ticket) = settled(base), settled(ticket)
    both = live & alive
    same = np.array([(top[both] == f).mean() * (other[both] == f).sum() for f in range(1, half + 1)]) if both.any() else np.zeros(1)
    rows.append(
        {
            "seed": base.seed,
            "base": ", ".join(f"{f} ({n})" for f, n in of_base.items()) or "none",
            "ticket": ", ".join(f"{f} ({n})" for f, n in of_ticket.items()) or "none",
            "shared": len(of_base.keys() & of_ticket.keys()),
            "shared at random": len(of_base) * len(of_ticket) / half,
            "neurons live in both": int(both.sum()),
            "of one frequency": int((top == other)[both].sum()),
            "of one frequency at random": float(same.sum()),
        }
    )
agreement = pd.DataFrame(rows)
chapter.table(agreement)

# %% tags=["hide-input"]
counts = {name: [len(settled(record)[2]) for record in mlp[name]] for name in ("base", "ticket")}
rows = []
for name, records in ((name, mlp[name]) for name in counts):
    same = live = 0  # neurons live at the end that have their last top frequency at epoch 0, of how many
    for record in records:
        top, alive, _ = settled(record)
        same += int((fourier.top_frequency(at(record, "inputs", 0))[0] == top)[alive].sum())
        live += int(alive.sum())
    start = {"live neurons at the end": live, "with their last frequency before training": same, "by chance": live / half}
    rows.append({"arm": Arm(name).label, "frequencies settled on": tables.range_text(counts[name], ".0f"), **start})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## The embedding
#
# Each token has a row in the embedding. It is drawn by its products with the cosine and the sine of a frequency over all *other* tokens: with
# its own, any noise would lie on a circle. The frequencies are the three with the largest power in the embedding at the end; the top row is a control, the first of
# them before training.
#
# <details class="fold">
# <summary>Why a token's own row is left out</summary>
#
# Each token $a$ has a row $x_a$ of $W_E^\top$. Its coordinates for a frequency $k$ are its products with two directions,
#
# $$
# u_a = \sum_{b \ne a} \cos(2\pi k b / p)\, x_b, \qquad v_a = \sum_{b \ne a} \sin(2\pi k b / p)\, x_b,
# $$
#
# scaled by the length of the full sums. The token's own row is left out of them: in 500 dimensions random rows are nearly
# orthogonal, so that
#
# $$
# x_a^\top \sum_b \cos(2\pi k b/p)\, x_b \approx |x_a|^2 \cos(2\pi k a / p),
# $$
#
# and any noise would lie on a circle.
#
# </details>

# %% mystnb={"figure": {"caption": "Top row, a control: the strongest frequency of the end, before training. Colours run with the token; the grey line joins tokens in the order of k\u00b7a modulo p, and every eighth point along it has its token (below, every eighth token).", "name": "fig-circles"}, "image": {"alt": "Ten scatter plots of the tokens of base and ticket, four each on the cosine and sine of a frequency, the first before training, and one on the first two principal components."}} tags=["hide-input"]
tokens = np.arange(prime)


def circle(embedding, k):
    """Coordinates [p, 2] of the rows of an embedding [p, d] on cosine and sine of a frequency, own rows left out."""
    angle = 2 * np.pi * k * tokens / prime
    waves = np.column_stack([np.cos(angle), np.sin(angle)])
    lengths = np.maximum(np.linalg.norm(embedding.T @ waves, axis=0), 1e-30)
    products = embedding @ embedding.T
    np.fill_diagonal(products, 0)
    return products @ waves / lengths


figure, axes = figures.panels(5, 2, height=3.6)
figure.suptitle(f"Embedding, MLP, seed {seed.seed}", fontsize=11)
for column, (one, record) in zip(axes.T, shown.items(), strict=True):
    first, _, last = record.probes["embedding"].astype(float)
    powers = [(fourier.amplitudes(embedding.T) ** 2).sum(0) for embedding in (first, last)]
    best = [int(k) for k in np.argsort(-powers[1])[:3] + 1]
    views = []
    for k, embedding, power, epoch in [(best[0], first, powers[0], 0), *((k, last, powers[1], budget) for k in best)]:
        title = f"epoch {epoch:,}, k = {k}, {100 * power[k - 1] / power.sum():.0f} % of power"
        axis = [f"{wave} 2π·{k}a/p" for wave in ("cos", "sin")]
        views.append((title, circle(embedding, k), axis, np.argsort(k * tokens % prime)))
    pca = PCA(2, random_state=0).fit(last)
    axis = [f"PC {i}: {100 * part:.0f} % of variance" for i, part in enumerate(pca.explained_variance_ratio_, 1)]
    views.append((f"epoch {budget:,}, components", pca.transform(last), axis, None))
    for ax, (title, points, axis, path) in zip(column, views, strict=True):
        if path is not None:
            ax.plot(*points[[*path, path[0]]].T, color="0.75", linewidth=0.8, zorder=1)
        ax.scatter(*points.T, c=tokens, cmap="viridis", s=16, zorder=2, rasterized=True)
        for a in (tokens if path is None else path)[::8]:
            away = 9 * points[a] / max(np.linalg.norm(points[a]), 1e-12)
            ax.annotate(str(a), points[a], xytext=away, textcoords="offset points", fontsize=9, ha="center", va="center")
        ax.margins(0.1)
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_title(f"{one.name}, {title}", color=one.colour, fontsize=11)
        ax.set(xlabel=axis[0], ylabel=axis[1])
chapter.sign(figure, [mlp.of_seeds([seed.seed])])
powers = {findings.named(one): (fourier.amplitudes(record.probes["embedding"][-1].astype(float).T) ** 2).sum(0) for one, record in shown.items()}
strongest = {name: f"{power.max() / power.sum():.0%}" for name, power in powers.items()}
chapter.finding(f"Share of the embedding's power in its strongest frequency at the end, seed {seed.seed}: {findings.listed(strongest)}")

# %% [markdown]
# <details class="fold">
# <summary>Effective ranks over training, and singular values</summary>

# %% mystnb={"figure": {"caption": "Effective rank of the embedding (left) and of the input-side table (right), that is exp of the entropy of their singular values ({cite:t}`roy2007`). Lines, bands and axis of epochs as in {numref}`fig-entropy`.", "name": "fig-rank"}, "image": {"alt": "Four panels of effective rank over epochs for base and ticket, MLP above and Transformer below, embedding to the left and input-side table to the right."}} tags=["hide-input"]
matrices = {"singular_embedding": "$W_E$", "singular_inputs": "$W_{in} W_E$"}
figure, axes = figures.panels(2, 2, height=3.2, sharey="row")
for row, comparison in zip(axes, chapter, strict=True):
    for ax, (name, words) in zip(row, matrices.items(), strict=True):
        for one, records in comparison.arms.items():
            snapshots = records[0].probes["epochs"]
            ranks = np.stack([fourier.effective_rank(record.probes[name]) for record in records])
            figures.over_seeds(ax, snapshots, ranks, one)
        ax.set_xscale("symlog", linthresh=max(int(snapshots[1]), 1))
        ax.set_xlim(0, snapshots[-1])
        figures.label(ax, f"{comparison.label}, {words}", "effective rank")
        ax.xaxis.set_major_formatter(lambda epoch, _: f"{epoch:,.0f}")
        ax.set_ylim(bottom=0)
for ax in axes[:, 1]:
    ax.set_ylabel("")
chapter.sign(figure, legend=2)
at_the_end("effective rank", lambda record: fourier.effective_rank(record.probes["singular_inputs"])[-1], ".1f")

# %% mystnb={"figure": {"caption": "Relative to the largest, at the start (dotted), at a fifteenth of the budget (dashed) and at the end (solid). Medians over seeds; the bands are the range at the end.", "name": "fig-singular"}, "image": {"alt": "Two panels of singular values in descending order for base and ticket at three epochs."}} tags=["hide-input"]
figure, axes = figures.panels(1, 2, height=3.4, sharey=True)
for ax, (name, words) in zip(axes[0], matrices.items(), strict=True):
    for one, records in mlp.arms.items():
        for epoch, style in {0: ":", early: "--", budget: "-"}.items():
            where = np.searchsorted(records[0].probes["epochs"], epoch)
            values = np.stack([record.probes[name][where] / max(record.probes[name][where].max(), 1e-30) for record in records])
            index = np.arange(1, values.shape[1] + 1)
            label = f"{one.label}, epoch {epoch:,}"
            ax.plot(index, np.median(values, 0), style, color=one.colour, label=label)
            if epoch == budget:
                ax.fill_between(index, values.min(0), values.max(0), color=one.colour, alpha=0.15, linewidth=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figures.label(ax, f"MLP, {words}", "relative to the largest", x="singular value")
axes[0, 1].set_ylabel("")
chapter.sign(figure, [mlp], legend=2)
at_the_end("number of singular values above a tenth of the largest", lambda record: (record.probes["singular_inputs"][-1] > record.probes["singular_inputs"][-1].max() / 10).sum(), ".0f", [mlp])

# %% [markdown]
# </details>
#
# <details class="fold">
# <summary>Entropy, top share, live neurons and ranks in numbers</summary>
#
# Median and range over seeds; effective ranks and live neurons (on the input side) at the start and at the end:

# %% tags=["hide-input"]
columns = {
    "entropy, input side": "entropy_inputs",
    "entropy, output side": "entropy_outputs",
    "top share, input side": "top_share_inputs",
    "top share, output side": "top_share_outputs",
    "live neurons": "live_inputs",
    "effective rank of W_E": "effective_rank_embedding",
    "effective rank of W_in W_E": "effective_rank_inputs",
}
rows = []
for (setting, one), frame in curves.groupby(["setting", "arm"], sort=False):
    for epoch in (0, early, budget):
        here = frame[frame["epoch"] == epoch]
        texts = {name: tables.range_text(here[column], ".2f") for name, column in columns.items()}
        rows.append({"setting": setting, "arm": one, "epoch": epoch, **texts})
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## Verdict

# %% tags=["remove-input"]
chapter.verdicts()


# %% [markdown]
# <details class="fold">
# <summary>Whether C25 depends on neurons that are hardly there</summary>
#
# Whether C25 depends on neurons that are hardly there: its ratio, with the entropy of live neurons alone:

# %% tags=["hide-input"]
def live_ratio(side, base, ticket):
    """The ratio of C25 with the neurons that are live alone; nan where either never gets half-way."""
    only = [np.where(fourier.live(record.probes[side])[..., None], record.probes[side], 0) for record in (base, ticket)]
    entropies = [fourier.frequency_entropy(table) for table in only]
    half_way = [fourier.half_way_epoch(base.probes["epochs"], curve, entropies[0][-1]) for curve in entropies]
    if None in half_way or entropies[0][0] <= entropies[0][-1]:
        return np.nan
    return ratio_bounds(*half_way, budget, int(base.probes["epochs"][1]))[0]


rows = [
    {"seed": one.seed, **{words: live_ratio(side, one["base"], one["ticket"]) for side, words in SIDES.items()}}
    for one in mlp.one_by_one()
]
chapter.table(pd.DataFrame(rows))

# %% [markdown]
# </details>
#
# ## What differs from the paper
#
# * The paper shows one run; the curves and verdicts here are over all seeds, and the panels show the first.
# * The paper says that waves are there or not by their looks. C23 and C24 judge the share of the top frequency. Their thresholds were
#   chosen before any run; how the words became rules is entry 10 of the changelog in `book/claims.yml`, written when runs existed.
# * The entropy follows the authors' definition, with amplitudes normalised to sum to one, and neurons whose weights are all masked
#   are left out of its mean: they have no spectrum.
# * Snapshots of the MLP lie 100 epochs apart up to 1,000 and a thirtieth of the budget apart from there on; half-way epochs are interpolated.
# * Weights are kept as 16-bit floats, with a relative error of at most 0.0005.
# * The paper does not show the Transformer, the frequencies of several seeds, effective ranks, or circles of the ticket's embedding. Circles leave out each token's own row, since noise would draw one too.
#
# ## Data and rerun

# %% tags=["remove-input"]
chapter.close(over_training=curves, neurons_at_the_end=neurons)
