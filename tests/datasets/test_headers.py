"""Headers of real files."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from sedcrnn.datasets.headers import AudioHeader, read_audio_header, read_video_header
from sedcrnn.errors import ClipError


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((48001, 2)), 48000, subtype="PCM_24")
    return path


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, audio: bool = True, video: bool = True, **options: str) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options) as container:
            streams = []
            if video:
                film = container.add_stream("libx264", rate=Fraction(30000, 1001))
                film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
                images = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
                streams += [(film, [av.VideoFrame.from_ndarray(image, format="rgb24") for image in images])]
            if audio:
                track = container.add_stream("aac", rate=44100, layout="stereo")
                frame = av.AudioFrame.from_ndarray(np.zeros((2, 88200), np.float32), format="fltp", layout="stereo")
                frame.sample_rate = 44100
                streams += [(track, [frame])]
            for stream, frames in streams:
                for frame in [*frames, None]:
                    container.mux(stream.encode(frame))
        return path

    return write


def test_audio_files_say_rate_channels_and_samples(wav: Path) -> None:
    header = read_audio_header(wav)
    assert header == AudioHeader(rate=48000, channels=2, samples=48001, coding="PCM_24")
    assert header.seconds == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_a_video_with_audio_has_both_headers(film: Callable[..., Path], name: str) -> None:
    path = film(name)
    video, audio = read_video_header(path), read_audio_header(path)
    assert (video.width, video.height, video.coding) == (64, 48, "h264")
    assert video.rate == pytest.approx(29.97, abs=0.01)
    assert video.seconds == pytest.approx(2.002, abs=0.05)
    assert (audio.rate, audio.channels, audio.coding) == (44100, 2, "aac")
    assert audio.seconds == pytest.approx(2, abs=0.1)


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_truncated_files_are_named(wav: Path, film: Callable[..., Path]) -> None:
    with pytest.raises(ClipError, match=r"a\.wav' is truncated: it has [\d,]+ bytes, and its header names 288,050"):
        read_audio_header(cut(wav, 0.5))
    with pytest.raises(ClipError, match=r"a\.mp4' is truncated"):
        read_video_header(cut(film("a.mp4"), 0.5))  # the header is at the end
    with pytest.raises(ClipError, match=r"b\.mp4' is truncated: it has [\d,]+ bytes, and its header names"):
        read_video_header(cut(film("b.mp4", movflags="faststart"), 0.5))


def test_a_wav_written_to_a_pipe_is_not_truncated(wav: Path) -> None:
    content = bytearray(wav.read_bytes())
    content[40:44] = (0xFFFFFFFF).to_bytes(4, "little")
    wav.write_bytes(content)
    assert read_audio_header(wav).samples == 48001


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no media at all" * 100])
@pytest.mark.parametrize(("name", "read"), [("a.wav", read_audio_header), ("a.mp4", read_video_header)])
def test_what_is_no_medium_is_told(tmp_path: Path, name: str, read: Callable, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=rf"{name}' cannot be read"):
        read(tmp_path / name)


def test_missing_streams_and_empty_audio_are_named(film: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="has no audio"):
        read_audio_header(film("a.mp4", audio=False))
    with pytest.raises(ClipError, match="has no video"):
        read_video_header(film("b.mp4", video=False))
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 48000)
    with pytest.raises(ClipError, match="holds 0 samples of audio"):
        read_audio_header(tmp_path / "a.wav")
