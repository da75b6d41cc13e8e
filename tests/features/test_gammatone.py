from pathlib import Path

import numpy as np
import pytest

from sedcrnn.errors import ClipError, ConfigError
from sedcrnn.features.gammatone import biquads, centre_frequencies, gammatone_rms

GOLDEN = Path(__file__).parents[2] / "../shared/golden/gammatone_white.npz"

# (channel, band, frame) of `gammatone` 1.0.3 on the white noise of `golden_waveform`.
EXCERPT = {
    (0, 0, 0): 0.027469605330261326,
    (0, 20, 137): 0.016951102517680495,
    (0, 45, 300): 0.007240666510883013,
    (0, 63, 498): 0.003199220687066711,
    (1, 0, 0): 0.03041190831914782,
    (1, 20, 137): 0.016314842105990494,
    (1, 45, 300): 0.009635699964717435,
    (1, 63, 498): 0.0009221795221016324,
    (2, 0, 0): 0.04253306281395962,
    (2, 20, 137): 0.024032935810670054,
    (2, 45, 300): 0.015698026136431488,
    (2, 63, 498): 0.003758327416550302,
}


@pytest.fixture(scope="module")
def golden_waveform():
    return np.round(np.random.default_rng(5).standard_normal((2, 441000)) * 0.1 * 2**23) / 2**23


@pytest.fixture(scope="module")
def rms(golden_waveform):
    return gammatone_rms(golden_waveform)


def in_db(ratio):
    return 20 * np.log10(ratio)


def test_equals_the_reference_at_twelve_points(rms):
    assert rms.shape == (3, 64, 499)
    for place, value in EXCERPT.items():
        assert abs(in_db(rms[place] / value)) < 1e-6, place


@pytest.mark.skipif(not GOLDEN.exists(), reason="golden values are not here")
def test_equals_the_reference_everywhere(rms):
    assert np.abs(in_db(rms / np.load(GOLDEN)["rms"])).max() < 1e-6


def test_centre_frequencies():
    centres = centre_frequencies(44100, 64, 0)
    assert centres[0] == pytest.approx(20511.9, abs=0.05)
    assert centres[62] == pytest.approx(16.97, abs=0.005)
    assert centres[63] == pytest.approx(0, abs=1e-9)
    assert centre_frequencies(44100, 10, 50)[-1] == pytest.approx(50)


def test_every_band_has_unit_gain_at_its_centre():
    centres = centre_frequencies(44100, 64, 0)
    sections, gains = biquads(centres, 44100)
    z = np.exp(2j * np.pi * centres / 44100)[:, None]
    response = (sections[..., 0] + sections[..., 1] / z) / (1 + sections[..., 4] / z + sections[..., 5] / z**2)
    np.testing.assert_allclose(np.abs(response.prod(1)) / gains, 1, rtol=1e-9)


def test_a_tone_is_loudest_in_its_band_at_its_own_rms():
    centre = centre_frequencies(44100, 64, 0)[20]
    tone = np.sin(2 * np.pi * centre * np.arange(44100) / 44100)
    rms = gammatone_rms(np.stack([0.5 * tone, 0.2 * tone]))
    assert list(rms[:, :, 40].argmax(1)) == [20, 20, 20]
    np.testing.assert_allclose(rms[:, 20, 40], np.array([0.5, 0.2, 0.3]) / np.sqrt(2), rtol=1e-3)


def test_direct_current_lands_in_the_lowest_band():
    rms = gammatone_rms(np.full((2, 44100), 0.25))
    assert rms[0, 63, -1] == pytest.approx(0.25, rel=1e-6)
    assert rms[0, :50, -1].max() < 1e-3
    assert rms[2].max() < 1e-30


def test_silent_and_equal_channels_stay_silent(golden_waveform):
    noise = golden_waveform[:, :44100].copy()
    assert gammatone_rms(0 * noise).max() < 1e-90
    same = gammatone_rms(np.stack([noise[0], noise[0]]))
    np.testing.assert_array_equal(same[0], same[1])
    assert same[2].max() == 0
    noise[1] = 0
    one_sided = gammatone_rms(noise)
    assert one_sided[1].max() < 1e-90
    np.testing.assert_array_equal(one_sided[0], one_sided[2])


def test_silence_after_sound_decays_to_nothing():
    click = np.zeros((2, 2 * 44100))
    click[:, 100] = 1
    rms = gammatone_rms(click, bands=8)
    assert 0 < rms[0, :, -1].max() < 1e-90  # never denormal: smaller by far, filters would run fifty times slower


@pytest.mark.parametrize(("samples", "frames"), [(440_999, 498), (441_000, 499), (441_001, 499), (1764, 1)])
def test_number_of_frames(golden_waveform, samples, frames):
    sound = np.pad(golden_waveform, ((0, 0), (0, 1)))[:, :samples]
    assert gammatone_rms(sound, bands=1).shape == (3, 1, frames)


def test_sound_shorter_than_a_window_is_refused():
    with pytest.raises(ClipError, match=r"1763 samples.*1764"):
        gammatone_rms(np.zeros((2, 1763)))


@pytest.mark.parametrize(("window", "hop"), [(0.05, 0.02), (0.04, 0.0125)])
def test_fractions_of_hops_and_samples_are_refused(window, hop):
    with pytest.raises(ConfigError, match="whole number"):
        gammatone_rms(np.zeros((2, 44100)), window=window, hop=hop)


def test_windows_of_three_hops(golden_waveform):
    sound = golden_waveform[:, :44100]
    fine, coarse = gammatone_rms(sound, bands=4, window=0.02), gammatone_rms(sound, bands=4, window=0.06)
    energy = fine**2
    expected = np.sqrt((energy[..., :-2] + energy[..., 1:-1] + energy[..., 2:]) / 3)
    np.testing.assert_allclose(coarse, expected, rtol=1e-12)
