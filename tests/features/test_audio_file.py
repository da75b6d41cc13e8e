import av
import numpy as np
import pytest
import soundfile
import soxr

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features import audio_file as module
from sedcrnn.features.audio_file import open_audio, resampled


def read(path):
    """(rate, waveform, samples counted)"""
    with open_audio(path) as reader:
        blocks = list(reader.blocks())
    return reader.sample_rate, np.concatenate(blocks, axis=1), reader.samples


def test_reads_24_bit_samples_exactly(tmp_path, write_audio):
    waveform = np.array([[0, 0.5, -1, 2**-23], [0.25, -0.125, 1 - 2**-23, -(2**-23)]])
    rate, result, samples = read(write_audio(tmp_path / "a.wav", waveform=waveform))
    assert (rate, samples, result.dtype) == (48000, 4, np.float64)
    np.testing.assert_array_equal(result, waveform)


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
def test_any_depth_and_rate(tmp_path, write_audio, name, subtype, tolerance, rate):
    waveform = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 1000))
    found, result, _ = read(write_audio(tmp_path / name, waveform=waveform, rate=rate, subtype=subtype))
    assert found == rate
    np.testing.assert_allclose(result, waveform, atol=tolerance, rtol=0)


def test_mono_is_both_sides(tmp_path, write_audio):
    waveform = np.array([[0.5, -0.25, 0.125]])
    _, result, samples = read(write_audio(tmp_path / "a.wav", waveform=waveform))
    np.testing.assert_array_equal(result, np.repeat(waveform, 2, axis=0))
    assert samples == 3


def test_more_channels_are_mixed_down_to_their_sides(tmp_path, write_audio):
    half, root = 0.25, np.sqrt(0.5)
    for channel, expected in enumerate([(1, 0), (0, 1), (root, root), (0, 0), (root, 0), (0, root)]):
        waveform = np.zeros((6, 100))  # front left, front right, centre, low frequencies, side left, side right
        waveform[channel] = half
        _, result, _ = read(write_audio(tmp_path / f"{channel}.wav", waveform=waveform))
        np.testing.assert_allclose(result[:, 50], half * np.array(expected), atol=1e-6)


def test_long_files_come_in_blocks(tmp_path, write_audio, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1000)
    waveform = np.round(np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3500)) * 2**23) / 2**23
    with open_audio(write_audio(tmp_path / "a.wav", waveform=waveform)) as reader:
        blocks = list(reader.blocks())
    assert [block.shape[1] for block in blocks] == [1000, 1000, 1000, 500]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), waveform)


def test_float_files_may_pass_full_scale_a_little(tmp_path, write_audio):
    path = write_audio(tmp_path / "a.wav", waveform=np.array([[1.5, -1.25]] * 2), subtype="DOUBLE")
    np.testing.assert_array_equal(read(path)[1], [[1.5, -1.25]] * 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, write_audio, value):
    waveform = np.zeros((2, 100))
    waveform[1, 7] = value
    path = write_audio(tmp_path / "a.wav", waveform=waveform, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"a\.wav.*1 samples that are not finite.*200"):
        read(path)


def test_integers_stored_as_floats_are_refused(tmp_path, write_audio):
    path = write_audio(tmp_path / "a.wav", waveform=np.array([[12000.0, -3.0]]), subtype="FLOAT")
    with pytest.raises(ClipError, match=r"peak of 12000.*integers stored as floats.*32768"):
        read(path)


def test_truncated_files_are_refused(tmp_path, write_audio):
    path = write_audio(tmp_path / "a.wav")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ClipError, match=r"truncated: it has [\d,]+ bytes, and its header names 288,0"):
        read(path)
    flac = tmp_path / "a.flac"
    soundfile.write(flac, np.random.default_rng(0).uniform(-1, 1, (48000, 2)), 48000)
    flac.write_bytes(flac.read_bytes()[:100_000])
    with pytest.raises(ClipError, match=r"a\.flac' (cannot be read|is truncated)"):
        read(flac)


def test_streamed_files_are_read_although_their_header_cannot_know_their_length(tmp_path, write_audio):
    path = write_audio(tmp_path / "a.wav")
    content = path.read_bytes()
    place = content.index(b"data") + 4
    path.write_bytes(content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :])
    assert read(path)[1].shape == (2, 48000)


def test_absent_empty_and_foreign_files_are_refused(tmp_path, write_audio):
    with pytest.raises(ClipError, match=r"gone\.wav' is not an existing file"):
        read(tmp_path / "gone.wav")
    with pytest.raises(ClipError, match="holds 0 samples"):
        read(write_audio(tmp_path / "empty.wav", seconds=0))
    for content in (b"this is not sound", b""):
        (tmp_path / "text.wav").write_bytes(content)
        with pytest.raises(ClipError, match=r"text\.wav' cannot be read"):
            read(tmp_path / "text.wav")


@pytest.mark.parametrize("size", [100, 999, 48000])
def test_resampling_in_blocks_is_resampling_at_once(size):
    waveform = np.random.default_rng(0).standard_normal((2, 48000))
    blocks = [waveform[:, start : start + size] for start in range(0, 48000, size)]
    result = np.concatenate(list(resampled(blocks, 48000, 44100)), axis=1)
    np.testing.assert_allclose(result, soxr.resample(waveform.T, 48000, 44100, quality="HQ").T, atol=1e-12)


def test_resampling_keeps_tones_and_lets_nothing_alias():
    time = np.arange(48000) / 48000
    waveform = np.stack([np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 23500 * time)])
    result = np.concatenate(list(resampled([waveform], 48000, 44100)), axis=1)
    assert result.shape == (2, 44100)
    expected = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    np.testing.assert_allclose(result[0, 1000:-1000], expected[1000:-1000], atol=1e-4)
    assert np.abs(result[1, 1000:-1000]).max() < 1e-4


def test_equal_rates_change_nothing():
    waveform = np.random.default_rng(0).standard_normal((2, 100))
    assert next(resampled([waveform], 48000, 48000)) is waveform


# Audio tracks in files that the tests write, and in real ones that break naive readers.

TONE = 1000.0


def sine(seconds, rate=48000):
    return 0.5 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)


def read_track(path):
    return read(path)[:2]


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", "aac", 48000),
        ("a.mov", "pcm_s16le", 44100),
        ("a.mkv", "flac", 48000),
        ("a.webm", "libopus", 48000),
        ("a.m4a", "aac", 44100),
    ],
)
def test_the_tracks_of_videos_are_read_at_their_own_rate(tmp_path, write_media, name, codec, rate):
    wave = sine(2, rate)
    found, result = read_track(write_media(tmp_path / name, np.stack([wave, 0.5 * wave]), rate, codec, video=2))
    assert found == rate
    assert abs(result.shape[1] - 2 * rate) <= 2048  # encoders fill their last frame up
    middle = slice(rate // 2, rate)
    level = np.sqrt((result[:, middle] ** 2).mean(1))
    np.testing.assert_allclose(level, np.sqrt(0.125) * np.array([1, 0.5]), rtol=0.02)
    spectrum = np.abs(np.fft.rfft(result[0, :rate]))
    assert spectrum.argmax() == TONE  # one bin per hertz


def test_lossless_tracks_are_read_exactly(tmp_path, write_media):
    wave = np.round(np.random.default_rng(0).uniform(-0.9, 0.9, (2, 48000)) * 2**15) / 2**15
    _, result = read_track(write_media(tmp_path / "a.mov", wave, codec="pcm_s16le"))
    np.testing.assert_array_equal(result, wave)


@pytest.mark.parametrize("audio_at", [0.5, 0.2])
def test_audio_that_starts_later_than_the_video_keeps_its_place(tmp_path, write_media, audio_at):
    path = write_media(tmp_path / "a.mkv", np.stack([sine(1)] * 2), codec="pcm_s16le", video=2, audio_at=audio_at)
    _, result = read_track(path)
    first = np.flatnonzero(np.abs(result[0]) > 0.01)[0]
    assert first / 48000 == pytest.approx(audio_at, abs=0.002)
    assert np.abs(result[:, : first - 10]).max() == 0


def test_mono_tracks_are_both_sides_and_surround_is_mixed_down(tmp_path, write_media):
    _, result = read_track(write_media(tmp_path / "mono.mp4", sine(1)[None]))
    np.testing.assert_array_equal(result[0], result[1])
    surround = np.zeros((6, 48000))
    surround[0] = sine(1)  # front left
    _, result = read_track(write_media(tmp_path / "surround.mkv", surround, codec="flac"))
    level = np.sqrt((result**2).mean(1))
    assert level[0] == pytest.approx(np.sqrt(0.125), rel=1e-3)
    assert level[1] < 1e-6
    surround[2], surround[0] = surround[0], 0  # the centre
    _, result = read_track(write_media(tmp_path / "centre.mkv", surround, codec="flac"))
    np.testing.assert_allclose(np.sqrt((result**2).mean(1)), [0.25, 0.25], rtol=1e-3)


def test_a_truncated_track_is_refused_with_both_sizes(tmp_path, write_media):
    path = tmp_path / "a.mp4"
    write_media(path, np.random.default_rng(0).uniform(-0.5, 0.5, (2, 5 * 48000)))
    moved = tmp_path / "fast.mp4"  # the index in front, as on the web; otherwise the file would not even open
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = moved.read_bytes()
    moved.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ClipError, match=r"fast\.mp4' is truncated: it has [\d,]+ bytes, and its header names"):
        read_track(moved)


def test_files_without_audio_are_refused(tmp_path, write_video):
    with pytest.raises(MissingTrackError, match=r"silent\.mp4' has no audio"):
        read_track(write_video(tmp_path / "silent.mp4", count=25))


@pytest.mark.parametrize(
    ("name", "rate", "seconds"),
    [
        ("not_utf8.mp4", 48000, 2),
        ("six_channels.mp4", 48000, 2),
        ("no_duration.webm", 48000, 5),
        ("silent-black-10s.mp4", 44100, 10.008),
        ("mono_s32.wav", 8000, 4),
        ("irregular.mp4", 48000, 2),
    ],
)
def test_awkward_files_are_read(awkward, name, rate, seconds):
    found, waveform = read_track(awkward(name))
    assert found == rate
    assert waveform.shape == (2, round(waveform.shape[1]))
    assert waveform.shape[1] / rate == pytest.approx(seconds, abs=0.03)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sample_ac4.mp4", "a format that FFmpeg cannot decode"),
        ("corrupted.mp4", "has no audio"),
        ("malformed_free_box.mp4", "cannot be read"),
        ("cut_after_moov.m4a", "is truncated"),
        ("empty.wav", "holds 0 samples"),
        ("video_only.mp4", "has no audio"),
    ],
)
def test_awkward_files_are_refused(awkward, name, words):
    with pytest.raises(ClipError, match=words):
        read_track(awkward(name))
