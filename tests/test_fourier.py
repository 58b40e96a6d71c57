"""Fourier: the measures of App. G against closed forms, and against a DFT that is written out."""

import base64
import io
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lib.analysis import fourier
from lib.book import figures, tables
from lib.claims import measures
from lib.experiments import parameters
from lib.experiments.arms import Arm
from lib.experiments.comparison import Comparison
from lib.experiments.settings import SETTINGS
from lib.records.store import Store

P, HALF = 67, 33
X = np.arange(P)


def wave(k, phase=0.3, size=1.0, constant=0.0):
    return constant + size * np.cos(2 * np.pi * k * X / P + phase)


NOISE = np.random.default_rng(0).standard_normal((20_000, P))


# --- spectra --------------------------------------------------------------------------------------------------------


def dft(f):
    """|F(w)| for w = 1 ... p // 2, the sum of App. G as it stands there."""
    N = len(f)
    return np.array(
        [abs(sum(f[x] * np.exp(-1j * 2 * np.pi * w * x / N) for x in range(N))) for w in range(1, N // 2 + 1)]
    )


@pytest.mark.parametrize("p", [3, 11, 67])
def test_amplitudes_are_the_sum_of_the_appendix_and_numpys_fft(p):
    table = np.random.default_rng(p).standard_normal((4, p))
    found = fourier.amplitudes(table)
    assert found.shape == (4, p // 2)
    np.testing.assert_allclose(found, [dft(row) for row in table], rtol=1e-10)
    np.testing.assert_allclose(found, np.abs(np.fft.fft(table))[:, 1 : p // 2 + 1], rtol=1e-10)


def test_half_of_the_power_is_all_of_it_but_the_constant():
    """Parseval: 2 sum_w |F(w)|^2 = p sum_x (f(x) - mean)^2."""
    power = 2 * (fourier.amplitudes(NOISE[:5]) ** 2).sum(-1)
    np.testing.assert_allclose(power, P**2 * NOISE[:5].var(-1), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 14, 33])
def test_a_cosine_has_all_power_at_its_frequency_and_entropy_0(k):
    table = np.stack([wave(k), wave(k, phase=2.0, size=0.01, constant=5.0)])
    frequency, share = fourier.top_frequency(table)
    assert frequency.tolist() == [k, k]
    np.testing.assert_allclose(share, 1, atol=1e-12)
    np.testing.assert_allclose(fourier.frequency_entropy(table), 0, atol=1e-9)
    np.testing.assert_allclose(fourier.amplitudes(table)[:, k - 1], [P / 2, 0.01 * P / 2], rtol=1e-9)


def test_sixteen_bits_keep_a_cosine():
    table = wave(14)[None].astype(np.float16)
    assert fourier.frequency_entropy(table) < 0.03
    assert fourier.top_frequency(table)[1] == pytest.approx(1, abs=1e-6)


def test_two_waves_share_by_amplitude_and_by_power():
    table = (wave(3, size=3.0) + wave(20, size=1.0))[None]
    frequency, share = fourier.top_frequency(table)
    assert frequency[0] == 3
    assert share[0] == pytest.approx(9 / 10)
    assert fourier.frequency_entropy(table) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


def test_an_impulse_has_all_frequencies_alike():
    table = np.eye(P)[:3]
    assert fourier.frequency_entropy(table) == pytest.approx(np.log(HALF))
    np.testing.assert_allclose(fourier.top_frequency(table)[1], 1 / HALF)


def test_white_noise_has_the_entropy_that_rayleigh_amplitudes_have():
    """log K + log E[a] - E[a log a] / E[a] for many frequencies; App. G's 33 are off by the order of 1 / 33."""
    a = np.random.default_rng(1).rayleigh(size=2_000_000)
    assert fourier.noise_entropy(HALF) == pytest.approx(
        np.log(HALF) + np.log(a.mean()) - (a * np.log(a)).mean() / a.mean(), abs=2e-3
    )
    assert fourier.frequency_entropy(NOISE) == pytest.approx(fourier.noise_entropy(HALF), abs=0.01)
    long = np.random.default_rng(2).standard_normal((20, 20_001))
    assert fourier.frequency_entropy(long) == pytest.approx(fourier.noise_entropy(10_000), abs=0.002)


def test_white_noise_has_the_top_share_of_a_broken_stick():
    """The largest of K exponential variables is H_K / K of their sum in the mean."""
    assert fourier.noise_share(HALF) == pytest.approx(sum(1 / i for i in range(1, HALF + 1)) / HALF)
    assert fourier.top_frequency(NOISE)[1].mean() == pytest.approx(fourier.noise_share(HALF), rel=0.01)


@pytest.mark.parametrize("change", [lambda t: 7 * t, lambda t: t + 3, lambda t: np.roll(t, 5, -1), lambda t: t[::-1]])
def test_scale_constant_shift_and_order_of_neurons_change_nothing(change):
    table = NOISE[:48]
    for measure in (fourier.frequency_entropy, fourier.median_share):
        if measure is fourier.median_share:
            assert fourier.live(table).all()
        assert measure(change(table)) == pytest.approx(measure(table))


# --- neurons that are not there -----------------------------------------------------------------------------------


def test_zero_neurons_are_left_out():
    table = np.stack([wave(3), np.zeros(P), wave(5)])
    assert fourier.live(table).tolist() == [True, False, True]
    assert fourier.frequency_entropy(table) == pytest.approx(0, abs=1e-9)
    assert fourier.top_frequency(table)[1].tolist() == pytest.approx([1, 0, 1])
    assert fourier.median_share(table) == pytest.approx(1)


def test_a_net_of_zeros_has_no_live_neuron_and_no_warning():
    table = np.zeros((4, P), np.float16)
    assert not fourier.live(table).any()
    assert fourier.frequency_entropy(table) == fourier.median_share(table) == 0
    assert fourier.effective_rank(np.zeros(5)) == 0


def test_live_neurons_have_a_twentieth_of_the_largest_norm():
    table = np.outer([1, 0.051, 0.049], wave(3))
    assert fourier.live(table).tolist() == [True, True, False]


def test_the_median_is_over_live_neurons_alone():
    noise = 0.01 * NOISE[:6] / np.linalg.norm(NOISE[:6], axis=1, keepdims=True)
    table = np.vstack([wave(3)[None], noise])
    assert fourier.median_share(table) == pytest.approx(1)


def test_measures_take_snapshots_at_once():
    tables = NOISE[:60].reshape(3, 20, P)
    for measure in (fourier.frequency_entropy, fourier.median_share, lambda t: fourier.live(t).sum(-1)):
        np.testing.assert_allclose(measure(tables), [measure(table) for table in tables])


# --- ranks --------------------------------------------------------------------------------------------------------


def test_effective_rank_of_equal_values_is_their_number_whatever_their_size():
    assert fourier.effective_rank(np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert fourier.effective_rank(np.array([5.0, 0.0])) == pytest.approx(1)
    values = np.array([[4.0, 2.0, 1.0], [3.0, 3.0, 0.0]], np.float32)
    np.testing.assert_allclose(fourier.effective_rank(values), fourier.effective_rank(10 * values), rtol=1e-6)
    p = values[0] / values[0].sum()
    assert fourier.effective_rank(values)[0] == pytest.approx(np.prod(p**-p), rel=1e-6)


def test_a_circle_has_two_directions():
    circle = np.stack([wave(3, 0), wave(3, np.pi / 2)]).T @ np.random.default_rng(0).standard_normal((2, 40))
    assert fourier.effective_rank(np.linalg.svd(circle, compute_uv=False)) <= 2 + 1e-6


# --- half-way -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "last", "epoch"),
    [
        ([4, 3, 2, 1], 0, 200),  # at a snapshot
        ([4, 3, 1, 1], 0, 150),  # between two
        ([4, 1, 4, 1], 0, 200 / 3),  # the first time counts
        ([4, 3, 3, 3], 0, None),
        ([4, 3, 2, 1], 4, 0),  # nothing to cover
        ([4, 3, 2, 1], 5, 0),
    ],
)
def test_half_way_epoch(values, last, epoch):
    found = fourier.half_way_epoch(np.array([0, 100, 200, 300]), np.array(values, float), last)
    assert found is epoch or found == pytest.approx(epoch)


# --- claims -------------------------------------------------------------------------------------------------------


EPOCHS = np.array([0, 100, 200, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000])
RUN = SimpleNamespace(epochs=30_000, task=None)


def net(kinds, t_gen=9_000, seed=0, outputs=None):
    """A record whose neurons are waves ("w") or noise ("n") at each of EPOCHS, and whose accuracy steps at t_gen."""

    def table(letters):
        waves, noise = np.stack([wave(k) for k in range(1, 9)]), NOISE[:8]
        return np.stack([waves if letter == "w" else noise for letter in letters])

    epochs = np.arange(0, 10_001, 100)
    accuracy = (epochs >= (np.inf if t_gen is None else t_gen)) * 1.0
    probes = {"epochs": EPOCHS, "inputs": table(kinds), "outputs": table(outputs or kinds)}
    metrics = {"test_accuracy": accuracy, "train_accuracy": accuracy}
    return SimpleNamespace(seed=seed, epochs=epochs, metrics=metrics, mask=None, probes=probes, run=RUN)


def seed_of(base, ticket=None):
    """What a measure sees of these records."""
    arms = {Arm("base"): [base]} | ({} if ticket is None else {Arm("ticket"): [ticket]})
    return next(Comparison("mlp", arms).one_by_one())


def test_memorizing_is_the_last_snapshot_before_half_of_t_gen():
    assert measures.memorizing_epoch(net("nnnnnnnnw"), 9_000) == 4_000
    assert measures.memorizing_epoch(net("nnnnnnnnw"), 8_000) == 2_000  # 4,000 is not before it
    assert measures.memorizing_epoch(net("nnnnnnnnw"), 0) == 0
    assert measures.memorizing_epoch(net("nnnnnnnnw"), None) is None


MOMENTS = "after generalization", "at the start", "while memorizing"


def test_c23_takes_end_start_and_half_of_t_gen_on_each_side():
    seed = seed_of(net("nnnnnwwww", 9_000, outputs="nnnnnnnnw"))
    shares = [measures.top_share(seed, side, moment).low for side in ("inputs", "outputs") for moment in MOMENTS]
    assert [share > 0.8 for share in shares] == [True, False, True, True, False, False]
    assert all(share < 0.4 for share in np.array(shares)[[1, 4, 5]])


def test_c23_is_open_where_the_base_never_generalizes():
    seed = seed_of(net("nnnnnnnnn", None))
    found = [measures.top_share(seed, "inputs", moment) for moment in MOMENTS]
    assert [(one.low, one.high) == (0, 1) for one in found] == [True, False, True]


def test_c24_takes_2000_epochs_of_ticket_and_base():
    seed = seed_of(net("nnnnnnnnw"), net("nnnnwwwww"))
    assert [measures.top_share(seed, "inputs", "early", arm).low > 0.6 for arm in ("ticket", "base")] == [True, False]


def test_c25_is_the_ratio_of_half_way_epochs():
    for side in ("inputs", "outputs"):
        found = measures.entropy_falls(seed_of(net("nnnnnnnww"), net("nnnwwwwww")), side)
        assert found.low == found.high == pytest.approx(7_000 / 600)  # both half-way between two snapshots


def test_c25_leaves_open_what_it_cannot_know():
    never = measures.entropy_falls(seed_of(net("nnnnnnnnw"), net("nnnnnnnnn")), "inputs")
    assert (never.low, never.high) == (0, pytest.approx(0.9))
    flat = measures.entropy_falls(seed_of(net("nnnnnnnnn"), net("nnnwwwwww")), "inputs")
    assert (flat.low, flat.high) == (0, np.inf)
    at_once = measures.entropy_falls(seed_of(net("nnnnnnnww"), net("wwwwwwwww")), "inputs")
    assert at_once.low == pytest.approx(7_000 / 100)  # epoch 0 counts as an evaluation


# --- tables of a real net -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["mlp", "transformer"])
def test_tables_are_the_products_of_the_equations(system):
    run = SETTINGS[system].base(0, parameters.load("smoke"))
    weights = run.initial_weights()
    W = run.split(weights)
    inputs, outputs = fourier.tables(run, weights)
    W_E, W_U = W["W_E"].T, W["W_U"].T  # [d, p], as in the equations
    np.testing.assert_allclose(inputs, W["W_in"] @ W_E, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs, W["W_out"].T @ W_U, rtol=1e-4, atol=1e-5)


def test_kept_singular_values_are_those_of_the_kept_tables():
    probes = Store().load(SETTINGS["mlp"].base(5, parameters.load("paper"))).probes
    found = np.linalg.svd(probes["inputs"][-1].astype(float), compute_uv=False)
    np.testing.assert_allclose(probes["singular_inputs"][-1][:10], found[:10], rtol=1e-2)
    found = np.linalg.svd(probes["embedding"][-1].astype(float), compute_uv=False)
    np.testing.assert_allclose(probes["singular_embedding"][-1][:10], found[:10], rtol=1e-2)


# --- pictures -----------------------------------------------------------------------------------------------------


def test_a_player_holds_all_frames_and_asks_nobody():
    page = tables.player([b"first", b"second", b"third"], ["a </script>", "b", "c"], 'neurons "all"')
    assert page.count("<script>") == page.count("</script>") == 1
    assert "://" not in page
    assert "src=" in page
    for frame in (b"first", b"second", b"third"):
        assert base64.b64encode(frame).decode() in page
    assert 'max="2"' in page
    assert 'aria-label="neurons &quot;all&quot;"' in page
    assert page.split('id="')[1].split('"')[0] in page.partition("<script>")[2]
    assert tables.player([b"x"], [""], "") != tables.player([b"y"], [""], "")  # two players have two ids


def test_small_multiples_draw_every_neuron_and_zeros():
    figure, axes = plt.subplots(figsize=(4, 4))
    for table in (NOISE[:10], np.zeros((10, P))):
        figures.small_multiples(axes, table, Arm("base"), "network")
        assert len(axes.collections[-1].get_segments()) == 10
        image = Image.open(io.BytesIO(figures.small_png(figure, [Arm("base"), Arm("ticket")])))
        assert image.mode == "P"
        blue = tuple(round(255 * c) for c in to_rgb(Arm("base").colour))
        assert {(255, 255, 255), blue} <= {colour for _, colour in image.convert("RGB").getcolors()}
    plt.close(figure)
