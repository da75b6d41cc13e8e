import numpy as np
import pytest
import soundfile

from sedcrnn.errors import ClipError
from sedcrnn.features.sound import read_waveform, resample


def test_reads_24_bit_samples_exactly(tmp_path, write_sound):
    waveform = np.array([[0, 0.5, -1, 2**-23], [0.25, -0.125, 1 - 2**-23, -(2**-23)]])
    path = write_sound(tmp_path / "a.wav", waveform=waveform)
    read = read_waveform(path, 48000, 2)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, waveform)


def test_float_files_may_pass_full_scale_a_little(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav", waveform=np.array([[1.5, -1.25]]), subtype="DOUBLE")
    np.testing.assert_array_equal(read_waveform(path, 48000, 1), [[1.5, -1.25]])


def test_what_is_not_as_declared_is_refused_with_both_numbers(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav")
    with pytest.raises(ClipError, match=r"a\.wav.*48000 Hz.*44100 Hz"):
        read_waveform(path, 44100, 2)
    with pytest.raises(ClipError, match=r"a\.wav.*2 channel.*declares 1"):
        read_waveform(path, 48000, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, write_sound, value):
    waveform = np.zeros((2, 100))
    waveform[1, 7] = value
    path = write_sound(tmp_path / "a.wav", waveform=waveform, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"a\.wav.*1 samples that are not finite.*200"):
        read_waveform(path, 48000, 2)


def test_integers_stored_as_floats_are_refused(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav", waveform=np.array([[12000.0, -3.0]]), subtype="FLOAT")
    with pytest.raises(ClipError, match=r"peak of 12000.*integers stored as floats.*32768"):
        read_waveform(path, 48000, 1)


def test_truncated_files_are_refused(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ClipError, match=r"truncated.*288000 bytes"):
        read_waveform(path, 48000, 2)
    flac = tmp_path / "a.flac"
    soundfile.write(flac, np.random.default_rng(0).uniform(-1, 1, (48000, 2)), 48000)
    flac.write_bytes(flac.read_bytes()[:100_000])
    with pytest.raises(ClipError, match=r"a\.flac' cannot be read"):
        read_waveform(flac, 48000, 2)


def test_streamed_files_are_read_although_their_header_cannot_know_their_length(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav")
    content = path.read_bytes()
    place = content.index(b"data") + 4
    path.write_bytes(content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :])
    assert read_waveform(path, 48000, 2).shape == (2, 48000)


def test_absent_empty_and_foreign_files_are_refused(tmp_path, write_sound):
    with pytest.raises(ClipError, match=r"gone\.wav' is listed but absent"):
        read_waveform(tmp_path / "gone.wav", 48000, 2)
    with pytest.raises(ClipError, match="holds 0 samples"):
        read_waveform(write_sound(tmp_path / "empty.wav", seconds=0), 48000, 2)
    (tmp_path / "text.wav").write_text("this is not sound")
    with pytest.raises(ClipError, match=r"text\.wav' cannot be read"):
        read_waveform(tmp_path / "text.wav", 48000, 2)


def test_resampling_keeps_tones_and_lets_nothing_alias():
    time = np.arange(48000) / 48000
    sound = np.stack([np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 23500 * time)])
    resampled = resample(sound, 48000, 44100)
    assert resampled.shape == (2, 44100)
    expected = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    np.testing.assert_allclose(resampled[0, 1000:-1000], expected[1000:-1000], atol=1e-4)
    assert np.abs(resampled[1, 1000:-1000]).max() < 1e-4


def test_equal_rates_change_nothing():
    sound = np.random.default_rng(0).standard_normal((2, 100))
    assert resample(sound, 48000, 48000) is sound
