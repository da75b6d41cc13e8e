"""Sound tracks in files that the tests write, and in real ones that break naive readers."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.audio_file import open_sound

AWKWARD = Path(__file__).parents[2] / "../shared/media/awkward"
TONE = 1000.0


def sine(seconds, rate=48000):
    return 0.5 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)


def write_media(path, waveform, rate=48000, codec="aac", picture=0.0, sound_at=0.0):
    """(channel, sample) with a picture of so many seconds; the sound begins at `sound_at`."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(waveform)]
    with av.open(str(path), "w") as container:
        sound = container.add_stream(codec, rate=rate, layout=layout)
        if picture:
            video = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for _ in range(round(picture * 10)):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        packed = waveform.T.reshape(1, -1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(sound_at * rate)
        resampler = av.AudioResampler(format=sound.format.name, layout=layout, rate=rate, frame_size=1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


def read(path):
    with open_sound(path) as sound:
        return sound.sample_rate, np.concatenate(list(sound.blocks()), axis=1)


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
def test_the_tracks_of_videos_are_read_at_their_own_rate(tmp_path, name, codec, rate):
    wave = sine(2, rate)
    told, heard = read(write_media(tmp_path / name, np.stack([wave, 0.5 * wave]), rate, codec, picture=2))
    assert told == rate
    assert abs(heard.shape[1] - 2 * rate) <= 2048  # encoders fill their last frame up
    middle = slice(rate // 2, rate)
    np.testing.assert_allclose(np.sqrt((heard[:, middle] ** 2).mean(1)), np.sqrt(0.125) * np.array([1, 0.5]), rtol=0.02)
    spectrum = np.abs(np.fft.rfft(heard[0, :rate]))
    assert spectrum.argmax() == TONE  # one bin per hertz


def test_lossless_tracks_are_read_exactly(tmp_path):
    wave = np.round(np.random.default_rng(0).uniform(-0.9, 0.9, (2, 48000)) * 2**15) / 2**15
    _, heard = read(write_media(tmp_path / "a.mov", wave, codec="pcm_s16le"))
    np.testing.assert_array_equal(heard, wave)


@pytest.mark.parametrize("sound_at", [0.5, 0.2])
def test_sound_that_starts_later_than_the_picture_keeps_its_place(tmp_path, sound_at):
    path = write_media(tmp_path / "a.mkv", np.stack([sine(1)] * 2), codec="pcm_s16le", picture=2, sound_at=sound_at)
    _, heard = read(path)
    first = np.flatnonzero(np.abs(heard[0]) > 0.01)[0]
    assert first / 48000 == pytest.approx(sound_at, abs=0.002)
    assert np.abs(heard[:, : first - 10]).max() == 0


def test_mono_tracks_are_both_sides_and_surround_is_mixed_down(tmp_path):
    _, heard = read(write_media(tmp_path / "mono.mp4", sine(1)[None]))
    np.testing.assert_array_equal(heard[0], heard[1])
    surround = np.zeros((6, 48000))
    surround[0] = sine(1)  # front left
    _, heard = read(write_media(tmp_path / "surround.mkv", surround, codec="flac"))
    level = np.sqrt((heard**2).mean(1))
    assert level[0] == pytest.approx(np.sqrt(0.125), rel=1e-3)
    assert level[1] < 1e-6
    surround[2], surround[0] = surround[0], 0  # the centre
    _, heard = read(write_media(tmp_path / "centre.mkv", surround, codec="flac"))
    np.testing.assert_allclose(np.sqrt((heard**2).mean(1)), [0.25, 0.25], rtol=1e-3)


def test_a_truncated_track_is_refused_with_both_lengths(tmp_path):
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
    with pytest.raises(ClipError, match=r"fast\.mp4' (is truncated: 3\.\d+ s of sound are left of 5\.\d+|cannot be)"):
        read(moved)


def test_files_without_sound_are_refused(tmp_path, write_video):
    with pytest.raises(MissingTrackError, match=r"silent\.mp4' has no sound"):
        read(write_video(tmp_path / "silent.mp4", count=25))


@pytest.mark.skipif(not AWKWARD.is_dir(), reason="the awkward files are not here")
@pytest.mark.parametrize(
    ("name", "rate", "seconds"),
    [
        ("creative_common.mp4", 48000, 2.261),  # metadata that are not UTF-8
        ("bigbuckbunny.mp4", 48000, 5.312),  # six channels
        ("no_duration.webm", 48000, 4.875),
        ("silent-black-10s.mp4", 44100, 10.008),
        ("sine_mono_s32_8000.wav", 8000, 4.0),
        ("fire2.mp4", 48000, 2.261),
    ],
)
def test_awkward_files_are_read(name, rate, seconds):
    told, heard = read(AWKWARD / name)
    assert told == rate
    assert heard.shape == (2, round(heard.shape[1]))
    assert heard.shape[1] / rate == pytest.approx(seconds, abs=0.03)


@pytest.mark.skipif(not AWKWARD.is_dir(), reason="the awkward files are not here")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sample_ac4.mp4", "a format that FFmpeg cannot decode"),
        ("corrupted.mp4", "has no sound"),
        ("sample_malformed_free_box.mp4", "cannot be read"),
        ("large_stbl_truncated_after_moov.m4b", "holds 0 samples"),
        ("test1_empty.wav", "holds 0 samples"),
        ("bikes.mp4", "has no sound"),
    ],
)
def test_awkward_files_are_refused(name, words):
    with pytest.raises(ClipError, match=words):
        read(AWKWARD / name)
