"""Writers of real media: every video frame shows its own number, so that a test can read which frame it got; and media
that naive readers fail on, some of them shipped in media/."""

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
def write_audio() -> Callable[..., Path]:
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


@pytest.fixture(scope="session")
def write_media() -> Callable[..., Path]:
    """Write a (channel, sample) waveform, with so many seconds of grey video; the audio begins at `audio_at`."""

    def write(
        path: Path,
        waveform: np.ndarray,
        rate: int = 48000,
        codec: str = "aac",
        video: float = 0.0,
        audio_at: float = 0.0,
        muxer: Mapping[str, str] | None = None,
        title: str | None = None,
    ) -> Path:
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(waveform)]
        with av.open(str(path), "w", options=dict(muxer or {})) as container:
            if title:
                container.metadata["title"] = title
            audio = container.add_stream(codec, rate=rate, layout=layout)
            if video:
                film = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=10)
                film.width = film.height = 64
                film.pix_fmt = "yuv420p"
                for _ in range(round(video * 10)):
                    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
                    container.mux(film.encode(frame))
                container.mux(film.encode(None))
            packed = waveform.T.reshape(1, -1).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(audio_at * rate)
            resampler = av.AudioResampler(format=audio.format.name, layout=layout, rate=rate, frame_size=1024)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
        return path

    return write


MEDIA = Path(__file__).with_name("media")


@pytest.fixture(scope="session")
def awkward(
    tmp_path_factory: pytest.TempPathFactory, write_media: Callable[..., Path], write_video: Callable[..., Path]
) -> Callable[[str], Path]:
    """Name -> a file that naive readers fail on, or read wrongly."""
    folder = tmp_path_factory.mktemp("awkward")
    noise = 0.1 * np.random.default_rng(0).standard_normal((6, 5 * 48000))
    two = noise[:2, : 2 * 48000]

    path = write_media(folder / "not_utf8.mp4", two, video=2, title="nicht UTF8")
    path.write_bytes(path.read_bytes().replace(b"nicht UTF8", b"nicht \xff\xfe\xfd!"))
    write_media(folder / "six_channels.mp4", noise[:, : 2 * 48000], video=2)
    write_media(folder / "no_duration.webm", noise[:2], codec="libopus", video=5, muxer={"live": "1"})
    write_media(folder / "short_audio.mp4", noise[:2, :36000], video=1.2)
    soundfile.write(folder / "mono_s32.wav", noise[0, :32000], 8000, subtype="PCM_32")
    soundfile.write(folder / "empty.wav", np.zeros((0, 2)), 48000)
    write_video(folder / "video_only.mp4", rate=25, count=27)
    free = MEDIA.joinpath("corrupted.mp4").read_bytes()
    (folder / "malformed_free_box.mp4").write_bytes(free[:32] + b"\0\0\0\3free" + free[32:])

    whole = write_media(folder / "whole.m4a", noise[:2], muxer={"movflags": "faststart"}).read_bytes()
    (folder / "cut_after_moov.m4a").write_bytes(whole[: whole.index(b"mdat") + 4])

    # Mono audio, video of a variable rate that is to be turned upside down.
    times = np.random.default_rng(1).integers(48, 61, 21).cumsum()
    film = write_video(folder / "film.mp4", count=21, times=[0, *times[:-1].tolist()])
    turn = bytearray(film.read_bytes())
    matrix = turn.index(b"tkhd") + 44
    for place in (0, 16):  # a and d of the display matrix, in 1/65536
        turn[matrix + place : matrix + place + 4] = (-65536).to_bytes(4, "big", signed=True)
    film.write_bytes(turn)
    with av.open(str(film)) as source, av.open(str(folder / "irregular.mp4"), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0])
        track = target.add_stream("aac", rate=48000, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = picture
                target.mux(packet)
        frame = av.AudioFrame.from_ndarray(two[:1].astype(np.float32), format="fltp", layout="mono")
        frame.rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48000, frame_size=1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            target.mux(track.encode(part))
        target.mux(track.encode(None))
    return lambda name: MEDIA / name if (MEDIA / name).exists() else folder / name


@pytest.fixture
def make_clips(tmp_path: Path, write_audio: Callable[..., Path]) -> Callable[..., list[Clip]]:
    """Clips with different sounds; their videos do not exist."""

    def make(count: int, seconds: float = 1) -> list[Clip]:
        folder = tmp_path / "media"
        folder.mkdir(exist_ok=True)
        return [
            Clip(
                f"clip{number}",
                write_audio(folder / f"clip{number}.wav", seconds, seed=number),
                folder / f"clip{number}.mp4",
                "bus",
                "lisbon",
                "lisbon-1",
                "train",
            )
            for number in range(count)
        ]

    return make
