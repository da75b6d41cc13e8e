"""Writers of real media: every video frame shows its own number, so that a test can read which frame it got."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from sedcrnn.datasets.clips import Clip

BLOCK = 16  # pixels; a frame number is 16 black or white blocks, four by four
SIZE = 4 * BLOCK
QUICK = {
    "libx264": {"crf": "10", "preset": "ultrafast"},
    "libx265": {"crf": "10", "preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "10", "deadline": "realtime", "cpu-used": "8"},
    "mpeg4": {"b": "4000000"},
}


def draw_number(number: int) -> np.ndarray:
    bits = (number >> np.arange(16)) & 1
    blocks = np.kron(bits.reshape(4, 4), np.ones((BLOCK, BLOCK)))
    return np.repeat((255 * blocks).astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.fixture(scope="session")
def read_numbers() -> Callable[[np.ndarray], list[int]]:
    """(time, 64, 64, 3) -> the numbers that the frames show."""

    def read(frames: np.ndarray) -> list[int]:
        blocks = frames.mean(-1).reshape(len(frames), 4, BLOCK, 4, BLOCK).mean((2, 4)).reshape(len(frames), 16)
        return [int(number) for number in (blocks > 128) @ (1 << np.arange(16))]

    return read


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Write frames at a constant rate, or at given times (in 1/600 s); the first packets may be left out (`skipped`).

    `coder` and `muxer` are options of FFmpeg.
    """

    def write(
        path: Path,
        rate: Fraction | int = 25,
        count: int = 50,
        times: Sequence[int] | None = None,
        pictures: Sequence[np.ndarray] | None = None,
        first: int = 0,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        b_frames: int = 0,
        group: int = 12,
        skipped: int = 0,
        coder: Mapping[str, str] | None = None,
        muxer: Mapping[str, str] | None = None,
    ) -> Path:
        pictures = pictures if pictures is not None else [draw_number(number) for number in range(count)]
        packets = []
        with av.open(str(path), "w", options=dict(muxer or {})) as container:
            stream = container.add_stream(codec, rate=rate, options={**QUICK[codec], **(coder or {})})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pixels
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = group, b_frames
            base = Fraction(1, 600) if times else 1 / Fraction(rate)
            stream.codec_context.time_base = base
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.time_base, frame.pts = base, times[number] if times else first + number
                packets += stream.encode(frame)
            packets += stream.encode(None)
            container.mux(packets[skipped:])
        return path

    return write


@pytest.fixture(scope="session")
def write_sound() -> Callable[..., Path]:
    """Write noise (or a given (channel, sample) waveform) as a wav file."""

    def write(
        path: Path,
        seconds: float = 1,
        seed: int = 0,
        waveform: np.ndarray | None = None,
        rate: int = 48000,
        subtype: str = "PCM_24",
    ) -> Path:
        if waveform is None:
            waveform = 0.1 * np.random.default_rng(seed).standard_normal((2, round(seconds * rate)))
        soundfile.write(path, waveform.T, rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def make_clips(tmp_path: Path, write_sound: Callable[..., Path]) -> Callable[..., list[Clip]]:
    """Clips with different sounds; their videos do not exist."""

    def make(count: int, seconds: float = 1) -> list[Clip]:
        folder = tmp_path / "media"
        folder.mkdir(exist_ok=True)
        return [
            Clip(
                f"clip{number}",
                write_sound(folder / f"clip{number}.wav", seconds, seed=number),
                folder / f"clip{number}.mp4",
                "bus",
                "lisbon",
                "lisbon-1",
                "train",
            )
            for number in range(count)
        ]

    return make
