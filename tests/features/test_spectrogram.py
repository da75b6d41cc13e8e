import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.errors import ClipError, ConfigError
from sedcrnn.features.audio_file import resampled
from sedcrnn.features.filterbanks import LAYOUTS
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.filterbanks.short_time import CQTBank, GammatoneSTFTBank, MelBank
from sedcrnn.features.spectrogram import Spectrogram, scale_windows

PAPER = Spectrogram(bank=RecursiveGammatone())
FEW = Spectrogram(bank=RecursiveGammatone(bands=4))  # where the number of bands does not matter


def noise(samples, channels=2):
    return np.round(0.1 * np.random.default_rng(2).standard_normal((channels, samples)) * 2**23) / 2**23


def scale_window(decibels):
    windows = torch.from_numpy(np.ascontiguousarray(decibels, np.float32))
    return (scale_windows(windows) if windows.ndim > 3 else scale_windows(windows[None])[0]).numpy()


def decibels_of(waveform, rate=44100):
    analysed = resampled([waveform], rate, 44100)
    rms = np.concatenate(
        list(RecursiveGammatone().columns(analysed, 44100, 0.02, LAYOUTS["left_right_difference"])), -1
    )
    return 20 * np.log10(np.maximum(rms, 1e-7))


def test_values_are_the_decibels_of_the_bank(tmp_path, write_audio):
    waveform = noise(48000)
    stored = PAPER.extract(write_audio(tmp_path / "a.wav", waveform=waveform))
    assert (stored.shape, stored.dtype) == ((50, 3, 64), np.int16)
    np.testing.assert_allclose(stored[:49].transpose(1, 2, 0) / 200, decibels_of(waveform, 48000), atol=0.00251)
    np.testing.assert_array_equal(stored[49], stored[48])


@pytest.mark.parametrize(
    ("samples", "columns"),
    [(479_999, 500), (480_000, 500), (480_001, 500), (47_999, 50), (52_000, 50), (57_600, 60), (100_800, 100)],
)
def test_ten_columns_per_step_of_a_fifth_second(tmp_path, write_audio, samples, columns):
    path = write_audio(tmp_path / "a.wav", waveform=noise(samples))
    assert FEW.extract(path).shape == (columns, 3, 4)


@pytest.mark.parametrize(("samples", "whole"), [(440_999, 498), (441_001, 499)])
def test_columns_are_filled_up_with_the_last(tmp_path, write_audio, samples, whole):
    stored = FEW.extract(write_audio(tmp_path / "a.wav", waveform=noise(samples), rate=44100))
    assert len(stored) == 500
    assert (stored[whole:] == stored[whole - 1]).all()
    assert (stored[whole - 1] != stored[whole - 2]).any()


def test_audio_shorter_than_a_second_is_refused(tmp_path, write_audio):
    with pytest.raises(ClipError, match=r"short\.wav' lasts 0\.80 s"):
        PAPER.extract(write_audio(tmp_path / "short.wav", seconds=0.8))
    with pytest.raises(ClipError, match=r"short\.wav' lasts 0\.02 s"):
        PAPER.extract(write_audio(tmp_path / "short.wav", seconds=0.02))


@pytest.mark.parametrize("bank", [RecursiveGammatone(), MelBank(), GammatoneSTFTBank(), CQTBank()])
def test_silence_lies_at_the_floor_and_scales_to_minus_one(tmp_path, write_audio, bank):
    feature = Spectrogram(bank=bank)
    stored = feature.extract(write_audio(tmp_path / "a.wav", waveform=np.zeros((2, 48000))))
    assert (feature.decoded(stored) == -140).all()
    assert (scale_window(feature.decoded(stored.transpose(1, 2, 0))) == -1).all()


def test_silent_channels_and_equal_channels_stay_finite(tmp_path, write_audio):
    one_sided, same = noise(48000), noise(48000)
    one_sided[1], same[1] = 0, same[0]
    for name, waveform, silent in (("one_sided", one_sided, 1), ("same", same, 2)):
        decibels = FEW.decoded(FEW.extract(write_audio(tmp_path / f"{name}.wav", waveform=waveform)))
        assert (decibels[:, silent] == -140).all()
        assert decibels[:, 0].min() > -100
        scaled = scale_window(decibels.transpose(1, 2, 0))
        assert (scaled.min(), scaled.max()) == (-1, 1)


def test_a_digital_gap_falls_to_the_floor_and_comes_back(tmp_path, write_audio):
    waveform = noise(3 * 44100)
    waveform[:, 44100 : 2 * 44100] = 0
    decibels = PAPER.decoded(PAPER.extract(write_audio(tmp_path / "gap.wav", waveform=waveform, rate=44100)))
    assert (decibels[80:98] == -140).all()  # the filters have rung out after six tenths of a second
    assert decibels[:49].min() > -100
    assert decibels[102:150].min() > -100
    assert np.isfinite(scale_window(decibels[50:100].transpose(1, 2, 0))).all()


def test_direct_current_lies_in_the_lowest_band(tmp_path, write_audio):
    waveform = np.array([[0.25], [0.0]]) + 0 * noise(2 * 44100)
    decibels = PAPER.decoded(PAPER.extract(write_audio(tmp_path / "dc.wav", waveform=waveform, rate=44100)))
    assert decibels[60, 0, 63] == pytest.approx(20 * np.log10(0.25), abs=0.01)
    assert (decibels[60, 1] == -140).all()
    assert decibels[60, 0, :50].max() < 20 * np.log10(0.25) - 50


def test_mono_is_stereo_with_equal_channels(tmp_path, write_audio):
    waveform = noise(48000, channels=1)
    mono = FEW.extract(write_audio(tmp_path / "mono.wav", waveform=waveform))
    stereo = FEW.extract(write_audio(tmp_path / "stereo.wav", waveform=np.concatenate([waveform, waveform])))
    np.testing.assert_array_equal(mono, stereo)
    assert (FEW.decoded(mono)[:, 2] == -140).all()


def test_scaling_the_waveform_first_as_the_authors_do_changes_nothing(tmp_path, write_audio):
    waveform = noise(48000)
    louder = waveform / (waveform.max() - waveform.min())
    scaled = [
        scale_window(FEW.decoded(FEW.extract(write_audio(tmp_path / f"{i}.wav", waveform=x, subtype="DOUBLE"))))
        for i, x in enumerate((waveform, louder))
    ]
    np.testing.assert_allclose(scaled[0], scaled[1], atol=4e-4)


def test_rounding_moves_scaled_values_by_less_than_4e_4():
    decibels = decibels_of(noise(44100))[None]
    stored = np.round(200 * decibels).astype(np.int16)
    exact, rounded = scale_window(decibels), scale_window(PAPER.decoded(stored))
    assert np.abs(exact - rounded).max() <= 4e-4
    assert np.abs(exact - rounded).max() > 1e-6  # the comparison is not of one thing with itself


def test_windows_are_scaled_each_by_itself_over_all_channels():
    windows = np.array([[[[-80, -60]], [[-40, -50]]], [[[0, 1]], [[2, 4]]], [[[7, 7]], [[7, 7]]]], dtype=np.float32)
    expected = [[[[-1, 0]], [[1, 0.5]]], [[[-1, -0.5]], [[0, 1]]], [[[-1, -1]], [[-1, -1]]]]
    scaled = scale_window(windows)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    milliseconds=st.integers(0, 4000),
    extra=st.integers(-1, 1),
    rate=st.sampled_from([8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]),
    channels=st.sampled_from([1, 2, 3, 6]),
    level=st.sampled_from([0.0, 1e-8, 1e-3, 0.9]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    hop=st.sampled_from([0.02, 0.01]),
)
def test_any_audio_is_finite_aligned_and_as_long_as_it_is(
    tmp_path_factory, milliseconds, extra, rate, channels, level, layout, hop
):
    samples = max(0, milliseconds * rate // 1000 + extra)
    feature = Spectrogram(bank=RecursiveGammatone(bands=3), channels=layout, hop=hop)
    path = tmp_path_factory.mktemp("any") / "a.wav"
    waveform = level * np.random.default_rng(samples).uniform(-1, 1, (samples, channels))
    soundfile.write(path, waveform, rate, subtype="DOUBLE")
    steps = round(samples / rate * 5)
    if steps < 5:
        with pytest.raises(ClipError, match=r"holds 0 samples|lasts 0\.\d\d s"):
            feature.extract(path)
        return
    stored = feature.extract(path)
    assert stored.shape == (steps * feature.per_step, len(LAYOUTS[layout].names), 3)
    decibels = feature.decoded(stored)
    assert decibels.min() >= -140
    assert decibels.max() <= 20
    if level == 0:
        assert (decibels == -140).all()
    scaled = scale_window(decibels[: 5 * feature.per_step].transpose(1, 2, 0))
    assert scaled.min() == -1
    assert scaled.max() in (-1, 1)


@pytest.mark.slow
def test_an_hour_of_audio_needs_little_memory(tmp_path):
    """Ten minutes against 20 s here, each in a process of its own: what is stored takes 12 MB, and again as a copy."""
    peaks = []
    for seconds in (20, 600):
        path = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(path, "w", 48000, 2, "PCM_16") as file:
            for second in range(seconds):
                file.write(0.1 * np.random.default_rng(second % 7).standard_normal((48000, 2)))
        code = (
            "import resource, sys; from pathlib import Path;"
            "from sedcrnn.features.spectrogram import Spectrogram;"
            "from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone;"
            f"stored = Spectrogram(bank=RecursiveGammatone()).extract(Path({str(path)!r}));"
            f"assert stored.shape == ({seconds * 50}, 3, 64);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout) * 1024)
    assert peaks[1] - peaks[0] < 80e6  # all at once it would be 600 * 48000 * 2 * 8 bytes, 460 MB, several times


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("channels=stereo", r"features\.spectrogram\.channels.*left_right"),
        ("hop=0.0", r"features\.spectrogram\.hop"),
        ("amin=1e-9", r"features\.spectrogram\.amin.*0\.00000001"),
        ("bank.bands=0", r"features\.spectrogram\.bank\.bands"),
    ],
)
def test_values_that_do_not_exist_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        checked(compose("train", ["experiment=audio", f"features.spectrogram.{wrong}"]))


@pytest.mark.parametrize("hop", [0.03, 0.4])
def test_a_hop_that_does_not_fit_into_a_step_is_refused(hop):
    with pytest.raises(ConfigError, match=rf"hop={hop}.*hop=0\.02"):
        Spectrogram(bank=RecursiveGammatone(), hop=hop)


def test_parameters_are_all_arguments_and_survive_json():
    parameters = Spectrogram(bank=RecursiveGammatone(low_hz=20.0)).parameters()
    assert json.loads(json.dumps(parameters)) == {
        "version": 3,
        "bank": {
            "method": "gammatone",
            "version": 2,
            "bands": 64,
            "low_hz": 20.0,
            "high_hz": None,
            "window": 0.04,
        },
        "channels": "left_right_difference",
        "analysis_rate": 44100,
        "hop": 0.02,
        "floor": 1e-7,
    }
