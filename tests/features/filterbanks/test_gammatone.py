import json
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.benchmarks.audio_benchmark import KINDS
from sedcrnn.errors import ConfigError
from sedcrnn.features.filterbanks import LAYOUTS
from sedcrnn.features.filterbanks.gammatone import Cascades, centre_frequencies
from sedcrnn.features.filterbanks.gammatone_fourier import FourierGammatone
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone

GOLDEN = np.load(Path(__file__).with_name("gammatone_white.npz"))  # of the reference package, too
REFERENCE = json.loads(Path(__file__).with_name("gammatone_reference.json").read_text())
FLOOR = 1e-7  # of the spectrogram: what lies under it is equally silent

EXACT = RecursiveGammatone()
BANKS = [
    pytest.param(EXACT, 1e-6, id="recursive"),
    pytest.param(FourierGammatone(dtype="float64"), 1e-5, id="fourier64", marks=pytest.mark.slow),
    pytest.param(FourierGammatone(), 0.1, id="fourier32"),
]
BOTH = [RecursiveGammatone(bands=6), FourierGammatone(bands=6, dtype="float64")]


def analyse(bank, waveform, layout="left_right_difference", hop=0.02, block=None):
    size = block or waveform.shape[1]
    blocks = [waveform[:, start : start + size] for start in range(0, waveform.shape[1], size)]
    columns = list(bank.columns(blocks, 44100, hop, LAYOUTS[layout]))
    return np.concatenate(columns, axis=-1) if columns else np.zeros((len(LAYOUTS[layout].names), bank.bands, 0))


def in_db(rms):
    return 20 * np.log10(np.maximum(rms, FLOOR))


def noise(samples, seed=3):
    return 0.1 * np.random.default_rng(seed).standard_normal((2, samples))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bank", "tolerance"), BANKS)
def test_equals_the_reference_package_on_every_kind_of_audio(bank, tolerance, kind):
    rms = analyse(bank, KINDS[kind]())
    assert rms.shape == (3, 64, 499)
    *places, expected = np.array(REFERENCE[kind]).T
    errors = np.abs(in_db(rms[tuple(np.array(places, dtype=int))]) - in_db(expected))
    assert len(errors) == 40
    assert errors.max() < tolerance
    assert errors.mean() < tolerance / 10


@pytest.mark.parametrize(("bank", "tolerance"), BANKS)
def test_equals_the_reference_package_in_every_band_from_beginning_to_end(bank, tolerance):
    rms = analyse(bank, KINDS["noise"]())[..., GOLDEN["columns"]]
    assert rms.shape == (3, 64, 59)
    assert np.abs(in_db(rms) - in_db(GOLDEN["rms"])).max() < tolerance


def test_centre_frequencies():
    centres = centre_frequencies(22050, 64, 0)
    assert centres[0] == pytest.approx(20511.9, abs=0.05)
    assert centres[62] == pytest.approx(16.97, abs=0.005)
    assert centres[63] == pytest.approx(0, abs=1e-9)
    assert centre_frequencies(22050, 10, 50)[-1] == pytest.approx(50)
    limited = RecursiveGammatone(bands=10, low_hz=50, high_hz=8000).centres(44100)
    assert 7000 > limited[0] > limited[-1] == pytest.approx(50)


def test_every_filter_has_unit_gain_at_its_centre_and_little_an_octave_off():
    centres = centre_frequencies(22050, 64, 0)
    filters = Cascades(centres, 44100)
    turns = 2 * np.pi * centres / 44100
    at_centres = np.abs(filters.response(turns))
    np.testing.assert_allclose(np.diag(at_centres), 1, rtol=1e-9)
    assert np.abs(filters.response(turns[:, None] / 2))[:40].max() < 0.02


@pytest.mark.parametrize("bank", BOTH)
@pytest.mark.parametrize("block", [1, 881, 882, 883, 3000, 44100])
def test_the_sizes_of_the_blocks_change_nothing(bank, block):
    waveform = noise(4410 + 17) if block == 1 else noise(100_003)
    np.testing.assert_allclose(analyse(bank, waveform, block=block), analyse(bank, waveform), rtol=1e-9)


@pytest.mark.parametrize("bank", [EXACT, FourierGammatone()])
def test_a_tone_is_loudest_in_its_band_at_its_own_rms(bank):
    centre = bank.centres(44100)[20]
    tone = np.sin(2 * np.pi * centre * np.arange(44100) / 44100)
    rms = analyse(bank, np.stack([0.5 * tone, 0.2 * tone]))
    assert list(rms[:, :, 40].argmax(1)) == [20, 20, 20]
    np.testing.assert_allclose(rms[:, 20, 40], np.array([0.5, 0.2, 0.3]) / np.sqrt(2), rtol=1e-3)


@pytest.mark.parametrize("bank", BOTH)
def test_channels_are_sums_and_differences_of_left_and_right(bank):
    waveform = noise(44100)
    left, right = waveform
    paper = analyse(bank, waveform)
    for layout, signals in {
        "left_right": (left, right),
        "mid_side": ((left + right) / 2, (left - right) / 2),
        "mono": ((left + right) / 2,),
    }.items():
        expected = np.stack([analyse(bank, np.stack([signal, signal]), "left_right")[0] for signal in signals])
        np.testing.assert_allclose(analyse(bank, waveform, layout), expected, rtol=1e-9)
    np.testing.assert_allclose(paper[:2], analyse(bank, waveform, "left_right"), rtol=1e-12)
    np.testing.assert_allclose(paper[2], 2 * analyse(bank, waveform, "mid_side")[1], rtol=1e-9)


def test_direct_current_lands_in_the_lowest_band():
    rms = analyse(EXACT, np.full((2, 44100), 0.25))
    assert rms[0, 63, -1] == pytest.approx(0.25, rel=1e-6)
    assert rms[0, :50, -1].max() < 1e-3
    assert rms[2].max() < 1e-30


def test_silent_and_equal_channels_stay_silent():
    waveform = noise(44100)
    assert analyse(EXACT, 0 * waveform).max() < 1e-90
    same = analyse(EXACT, np.stack([waveform[0], waveform[0]]))
    np.testing.assert_array_equal(same[0], same[1])
    assert same[2].max() == 0
    waveform[1] = 0
    one_sided = analyse(EXACT, waveform)
    assert one_sided[1].max() < 1e-90
    np.testing.assert_array_equal(one_sided[0], one_sided[2])


def test_silence_after_audio_decays_to_nothing():
    click = np.zeros((2, 2 * 44100))
    click[:, 100] = 1
    rms = analyse(RecursiveGammatone(bands=8), click)
    assert 0 < rms[0, :, -1].max() < 1e-90  # never denormal: smaller by far, filters would run fifty times slower


@pytest.mark.parametrize("bank", BOTH)
@pytest.mark.parametrize(
    ("samples", "columns"), [(440_999, 498), (441_000, 499), (441_001, 499), (1764, 1), (1763, 0), (5, 0)]
)
def test_number_of_columns(bank, samples, columns):
    assert analyse(bank, noise(samples)).shape == (3, 6, columns)


@pytest.mark.parametrize("bank", BOTH)
def test_windows_of_three_hops_and_other_hops(bank):
    waveform = noise(44100)
    wide = type(bank)(**{**vars(bank), "window": 0.06})
    narrow = type(bank)(**{**vars(bank), "window": 0.02})
    energy = analyse(narrow, waveform) ** 2
    expected = np.sqrt((energy[..., :-2] + energy[..., 1:-1] + energy[..., 2:]) / 3)
    np.testing.assert_allclose(analyse(wide, waveform), expected, rtol=1e-9)
    np.testing.assert_allclose(analyse(bank, waveform, hop=0.01)[..., ::2], analyse(bank, waveform), rtol=1e-9)


@pytest.mark.parametrize(("window", "hop"), [(0.05, 0.02), (0.04, 0.0125), (1.2, 0.02)])
def test_windows_that_do_not_fit_are_refused(window, hop):
    with pytest.raises(ConfigError, match=r"whole number|at most a second"):
        analyse(RecursiveGammatone(window=window), noise(44100), hop=hop)


@pytest.mark.parametrize("range_hz", [(0, 30000), (5000, 4000), (-1, 4000)])
def test_ranges_that_do_not_fit_are_refused(range_hz):
    low, high = range_hz
    with pytest.raises(ConfigError, match="lies within 0 and 22050 Hz"):
        analyse(RecursiveGammatone(low_hz=low, high_hz=high), noise(4410))


def test_a_batch_of_clips_is_filtered_at_once_as_one_by_one():
    import torch

    from sedcrnn.features.filterbanks.gammatone_fourier import Convolution

    bank = FourierGammatone(bands=4, dtype="float64")
    convolution = Convolution(bank, 44100, 882, 50)
    waveform = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((5, 2, convolution.size)))
    together = convolution(waveform)
    assert together.shape == (5, 2, 4, 50)
    torch.testing.assert_close(together, torch.stack([convolution(one) for one in waveform]))
