import json

import numpy as np
import pytest

from sedcrnn.errors import ClipError, ConfigError
from sedcrnn.features.gammatone import gammatone_rms
from sedcrnn.features.sound import resample
from sedcrnn.features.spectrogram import GammatoneSpectrogram, scale_window

FEW = {"bands": 4}  # bands, where their number does not matter


def noise(samples, channels=2):
    return np.round(0.1 * np.random.default_rng(2).standard_normal((channels, samples)) * 2**23) / 2**23


def test_values_are_the_decibels_of_the_bank(tmp_path, write_sound):
    sound = noise(48000)
    stored = GammatoneSpectrogram(48000, 2).extract(write_sound(tmp_path / "a.wav", waveform=sound))
    assert (stored.shape, stored.dtype) == ((50, 3, 64), np.int16)
    decibels = 20 * np.log10(gammatone_rms(resample(sound, 48000, 44100)))
    np.testing.assert_allclose(stored[:49].transpose(1, 2, 0) / 200, decibels, atol=0.00251)
    np.testing.assert_array_equal(stored[49], stored[48])


@pytest.mark.parametrize(
    ("samples", "columns"),
    [(479_999, 500), (480_000, 500), (480_001, 500), (47_999, 50), (52_000, 50), (57_600, 60), (100_800, 100)],
)
def test_ten_columns_per_step_of_a_fifth_second(tmp_path, write_sound, samples, columns):
    path = write_sound(tmp_path / "a.wav", waveform=noise(samples))
    assert GammatoneSpectrogram(48000, 2, **FEW).extract(path).shape == (columns, 3, 4)


@pytest.mark.parametrize(("samples", "whole"), [(440_999, 498), (441_001, 499)])
def test_columns_are_filled_up_with_the_last(tmp_path, write_sound, samples, whole):
    path = write_sound(tmp_path / "a.wav", waveform=noise(samples), rate=44100)
    stored = GammatoneSpectrogram(44100, 2, **FEW).extract(path)
    assert len(stored) == 500
    assert (stored[whole:] == stored[whole - 1]).all()
    assert (stored[whole - 1] != stored[whole - 2]).any()


def test_sound_shorter_than_a_second_is_refused(tmp_path, write_sound):
    with pytest.raises(ClipError, match=r"short\.wav' lasts 0\.80 s"):
        GammatoneSpectrogram(48000, 2).extract(write_sound(tmp_path / "short.wav", seconds=0.8))


def test_silence_lies_at_the_floor_and_scales_to_minus_one(tmp_path, write_sound):
    feature = GammatoneSpectrogram(48000, 2, **FEW)
    stored = feature.extract(write_sound(tmp_path / "a.wav", waveform=np.zeros((2, 48000))))
    assert (feature.decode(stored) == -140).all()
    assert (scale_window(feature.decode(stored.transpose(1, 2, 0))) == -1).all()


def test_silent_channels_and_equal_channels_stay_finite(tmp_path, write_sound):
    feature = GammatoneSpectrogram(48000, 2, **FEW)
    one_sided, same = noise(48000), noise(48000)
    one_sided[1], same[1] = 0, same[0]
    for name, sound, silent in (("one_sided", one_sided, 1), ("same", same, 2)):
        decibels = feature.decode(feature.extract(write_sound(tmp_path / f"{name}.wav", waveform=sound)))
        assert (decibels[:, silent] == -140).all()
        assert decibels[:, 0].min() > -100
        scaled = scale_window(decibels.transpose(1, 2, 0))
        assert (scaled.min(), scaled.max()) == (-1, 1)


def test_mono_is_stereo_with_equal_channels(tmp_path, write_sound):
    sound = noise(48000, channels=1)
    mono = GammatoneSpectrogram(48000, 1, **FEW).extract(write_sound(tmp_path / "mono.wav", waveform=sound))
    both = np.concatenate([sound, sound])
    stereo = GammatoneSpectrogram(48000, 2, **FEW).extract(write_sound(tmp_path / "stereo.wav", waveform=both))
    np.testing.assert_array_equal(mono, stereo)


def test_scaling_the_waveform_first_as_the_authors_do_changes_nothing(tmp_path, write_sound):
    feature = GammatoneSpectrogram(48000, 2, **FEW)
    sound = noise(48000)
    louder = sound / (sound.max() - sound.min())
    scaled = [
        scale_window(feature.decode(feature.extract(write_sound(tmp_path / f"{i}.wav", waveform=x, subtype="DOUBLE"))))
        for i, x in enumerate((sound, louder))
    ]
    np.testing.assert_allclose(scaled[0], scaled[1], atol=4e-4)


def test_rounding_moves_scaled_values_by_less_than_4e_4():
    decibels = 20 * np.log10(gammatone_rms(noise(44100)))[None]
    stored = np.round(200 * decibels).astype(np.int16)
    exact, rounded = scale_window(decibels), scale_window(GammatoneSpectrogram(48000, 2).decode(stored))
    assert np.abs(exact - rounded).max() <= 4e-4
    assert np.abs(exact - rounded).max() > 1e-6  # the comparison is not of one thing with itself


def test_windows_are_scaled_each_by_itself_over_all_channels():
    windows = np.array([[[[-80, -60]], [[-40, -50]]], [[[0, 1]], [[2, 4]]], [[[7, 7]], [[7, 7]]]], dtype=np.float32)
    expected = [[[[-1, 0]], [[1, 0.5]]], [[[-1, -0.5]], [[0, 1]]], [[[-1, -1]], [[-1, -1]]]]
    scaled = scale_window(windows)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, atol=1e-7)


def test_impossible_arguments_are_refused():
    with pytest.raises(ConfigError, match=r"channels=6.*mono.*stereo"):
        GammatoneSpectrogram(48000, 6)
    with pytest.raises(ConfigError, match=r"hop=0\.01.*hop=0\.02"):
        GammatoneSpectrogram(48000, 2, hop=0.01)


def test_parameters_are_all_arguments_and_survive_json():
    parameters = GammatoneSpectrogram(48000, 2, low_hz=20.0).parameters()
    assert json.loads(json.dumps(parameters)) == {
        "method": "gammatone",
        "version": 1,
        "sample_rate": 48000,
        "channels": 2,
        "analysis_rate": 44100,
        "bands": 64,
        "window": 0.04,
        "hop": 0.02,
        "low_hz": 20.0,
        "floor": 1e-7,
    }
