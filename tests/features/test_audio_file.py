import numpy as np
import pytest
import soundfile
import soxr

from sedcrnn.errors import ClipError
from sedcrnn.features import sound as module
from sedcrnn.features.audio_file import open_sound, resampled


def read(path):
    """(rate, waveform, samples counted)"""
    with open_sound(path) as sound:
        blocks = list(sound.blocks())
    return sound.sample_rate, np.concatenate(blocks, axis=1), sound.samples


def test_reads_24_bit_samples_exactly(tmp_path, write_sound):
    waveform = np.array([[0, 0.5, -1, 2**-23], [0.25, -0.125, 1 - 2**-23, -(2**-23)]])
    rate, heard, samples = read(write_sound(tmp_path / "a.wav", waveform=waveform))
    assert (rate, samples, heard.dtype) == (48000, 4, np.float64)
    np.testing.assert_array_equal(heard, waveform)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_32", 2**-31),
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "FLOAT", 2**-24),
        ("a.wav", "DOUBLE", 0),
        ("a.flac", "PCM_24", 2**-23),
        ("a.flac", "PCM_16", 2**-15),
    ],
)
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_any_depth_and_rate(tmp_path, write_sound, name, subtype, tolerance, rate):
    waveform = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 1000))
    told, heard, _ = read(write_sound(tmp_path / name, waveform=waveform, rate=rate, subtype=subtype))
    assert told == rate
    np.testing.assert_allclose(heard, waveform, atol=tolerance, rtol=0)


def test_mono_is_both_sides(tmp_path, write_sound):
    waveform = np.array([[0.5, -0.25, 0.125]])
    _, heard, samples = read(write_sound(tmp_path / "a.wav", waveform=waveform))
    np.testing.assert_array_equal(heard, np.repeat(waveform, 2, axis=0))
    assert samples == 3


def test_more_channels_are_mixed_down_to_their_sides(tmp_path, write_sound):
    half, root = 0.25, np.sqrt(0.5)
    for channel, expected in enumerate([(1, 0), (0, 1), (root, root), (0, 0), (root, 0), (0, root)]):
        waveform = np.zeros((6, 100))  # front left, front right, centre, low frequencies, side left, side right
        waveform[channel] = half
        _, heard, _ = read(write_sound(tmp_path / f"{channel}.wav", waveform=waveform))
        np.testing.assert_allclose(heard[:, 50], half * np.array(expected), atol=1e-6)


def test_long_files_come_in_blocks(tmp_path, write_sound, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1000)
    waveform = np.round(np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3500)) * 2**23) / 2**23
    with open_sound(write_sound(tmp_path / "a.wav", waveform=waveform)) as sound:
        blocks = list(sound.blocks())
    assert [block.shape[1] for block in blocks] == [1000, 1000, 1000, 500]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), waveform)


def test_float_files_may_pass_full_scale_a_little(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav", waveform=np.array([[1.5, -1.25]] * 2), subtype="DOUBLE")
    np.testing.assert_array_equal(read(path)[1], [[1.5, -1.25]] * 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, write_sound, value):
    waveform = np.zeros((2, 100))
    waveform[1, 7] = value
    path = write_sound(tmp_path / "a.wav", waveform=waveform, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"a\.wav.*1 samples that are not finite.*200"):
        read(path)


def test_integers_stored_as_floats_are_refused(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav", waveform=np.array([[12000.0, -3.0]]), subtype="FLOAT")
    with pytest.raises(ClipError, match=r"peak of 12000.*integers stored as floats.*32768"):
        read(path)


def test_truncated_files_are_refused(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ClipError, match=r"truncated.*288000 bytes"):
        read(path)
    flac = tmp_path / "a.flac"
    soundfile.write(flac, np.random.default_rng(0).uniform(-1, 1, (48000, 2)), 48000)
    flac.write_bytes(flac.read_bytes()[:100_000])
    with pytest.raises(ClipError, match=r"a\.flac' (cannot be read|is truncated)"):
        read(flac)


def test_streamed_files_are_read_although_their_header_cannot_know_their_length(tmp_path, write_sound):
    path = write_sound(tmp_path / "a.wav")
    content = path.read_bytes()
    place = content.index(b"data") + 4
    path.write_bytes(content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :])
    assert read(path)[1].shape == (2, 48000)


def test_absent_empty_and_foreign_files_are_refused(tmp_path, write_sound):
    with pytest.raises(ClipError, match=r"gone\.wav' is listed but absent"):
        read(tmp_path / "gone.wav")
    with pytest.raises(ClipError, match="holds 0 samples"):
        read(write_sound(tmp_path / "empty.wav", seconds=0))
    for content in (b"this is not sound", b""):
        (tmp_path / "text.wav").write_bytes(content)
        with pytest.raises(ClipError, match=r"text\.wav' cannot be read"):
            read(tmp_path / "text.wav")


@pytest.mark.parametrize("size", [100, 999, 48000])
def test_resampling_in_blocks_is_resampling_at_once(size):
    sound = np.random.default_rng(0).standard_normal((2, 48000))
    blocks = [sound[:, start : start + size] for start in range(0, 48000, size)]
    heard = np.concatenate(list(resampled(blocks, 48000, 44100)), axis=1)
    np.testing.assert_allclose(heard, soxr.resample(sound.T, 48000, 44100, quality="HQ").T, atol=1e-12)


def test_resampling_keeps_tones_and_lets_nothing_alias():
    time = np.arange(48000) / 48000
    sound = np.stack([np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 23500 * time)])
    heard = np.concatenate(list(resampled([sound], 48000, 44100)), axis=1)
    assert heard.shape == (2, 44100)
    expected = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    np.testing.assert_allclose(heard[0, 1000:-1000], expected[1000:-1000], atol=1e-4)
    assert np.abs(heard[1, 1000:-1000]).max() < 1e-4


def test_equal_rates_change_nothing():
    sound = np.random.default_rng(0).standard_normal((2, 100))
    assert next(resampled([sound], 48000, 48000)) is sound
