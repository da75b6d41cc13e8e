"""Video file -> every frame decoded in order -> those on display at 1/5-s steps -> upright RGB -> one size.

Seeking would not be faster with long groups of pictures, and decoding only key frames shows the wrong ones
(frontend.md), so every frame is decoded.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from sedcrnn.clips import Clip
from sedcrnn.errors import ClipError, ConfigError, MissingTrackError
from sedcrnn.features.feature import STEPS_PER_SECOND, count_steps

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The picture at five frames per second, as the visual network takes it.

    Args:
        rate: frames per second; one goes with ten columns of the spectrogram.
        height: of the resized frames, in pixels.
        width: of the resized frames, in pixels; the aspect ratio is not kept (paper.md, Inputs).
        antialias: smooth before resizing; the authors did not.

    Raises:
        ConfigError: a rate other than five.
    """

    rate: float = 5.0
    height: int
    width: int
    antialias: bool = False

    name = "frames"

    def __post_init__(self) -> None:
        if self.rate != STEPS_PER_SECOND:
            raise ConfigError(
                f"features.frames.rate={self.rate}",
                f"Sound and picture are aligned at {STEPS_PER_SECOND} frames per second",
                f"Set features.frames.rate={float(STEPS_PER_SECOND)}",
            )

    @property
    def per_step(self) -> int:
        """One frame per 1/5 s."""
        return 1

    def source(self, clip: Clip) -> Path:
        """The clip's video file."""
        return clip.video

    def parameters(self) -> dict[str, object]:
        """All arguments, the method and its version."""
        return {"method": "rgb", "version": 1, **asdict(self)}

    def extract(self, path: Path) -> Pictures:
        """Frames (time, height, width, channel=3), uint8 RGB; errors as `read_frames`."""
        return np.concatenate(list(self.stream(path)))

    def stream(self, path: Path) -> Iterator[Pictures]:
        """The frames one by one, each (time=1, height, width, channel=3), uint8 RGB; errors as `read_frames`."""
        arguments = asdict(self)
        for picture in stream_frames(path, frame_rate=arguments.pop("rate"), **arguments):
            yield picture[None]

    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored values, which are the pixels themselves."""
        return stored


def read_frames(path: Path, *, frame_rate: float = 5.0, height: int, width: int, antialias: bool = False) -> Pictures:
    """All frames of `stream_frames`, which has the same parameters and errors: (time, height, width, channel=3)."""
    return np.stack(list(stream_frames(path, frame_rate=frame_rate, height=height, width=width, antialias=antialias)))


def stream_frames(
    path: Path, *, frame_rate: float = 5.0, height: int, width: int, antialias: bool = False
) -> Iterator[Pictures]:
    """Read the frames on display at 0, 1/frame_rate, 2/frame_rate ... seconds after the first one.

    At a constant source rate these are the authors' frames int(fps * i / 5 + 1e-5); other rates follow the frames'
    own times. The length of a video is that of its decoded frames, whatever the file says of itself.

    Args:
        path: the file.
        frame_rate: wanted frames per second.
        height: of the result, in pixels.
        width: of the result, in pixels.
        antialias: smooth before resizing.

    Yields:
        (height, width, channel=3) uint8 RGB, rotated as the file asks; length * frame_rate, rounded, of them.

    Raises:
        ClipError: the file cannot be opened, has no decodable picture, is damaged anywhere, or lasts less than 1 s;
            of the kind MissingTrackError where it just has no picture.
    """
    rate = Fraction(frame_rate)
    on_display: av.VideoFrame | None = None
    waiting: deque[Pictures] = deque()
    shown = 0

    def show_until(moment: Fraction) -> None:
        missing = ceil(moment * rate) - shown - len(waiting)
        if on_display is not None and missing > 0:
            waiting.extend([_resize(_upright(on_display), height, width, antialias)] * missing)

    start = latest = end = Fraction(0)
    for time, frame in _decode(path):
        if on_display is None:
            start = latest = time
        latest = max(latest, time)  # what has been shown stays shown where times jump back
        show_until(latest - start)
        while len(waiting) > 1:  # the last one may lie behind the rounded end
            yield waiting.popleft()
            shown += 1
        on_display = frame
        end = latest - start + (frame.duration or 0) * (frame.time_base or 0)
    steps = count_steps(end, path, frame_rate)
    show_until(steps / rate)
    yield from list(waiting)[: steps - shown]


def aspect_ratio(path: Path) -> float:
    """Width over height of a video's picture when it is upright; errors as `read_frames`."""
    for _, frame in _decode(path):
        across = frame.rotation % 180 != 0
        return frame.height / frame.width if across else frame.width / frame.height
    raise _unreadable(path, "holds no frame")


def _decode(path: Path) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """All frames with their times in seconds, in order of display.

    Raises:
        ClipError: whatever goes wrong with the file.
    """
    if not path.is_file():
        raise _unreadable(path, "is listed but absent")
    try:
        # Metadata need not be UTF-8, and is of no interest.
        with av.open(path, metadata_errors="ignore") as container:
            stream = container.streams.best("video")
            # The cover of a piece of music is a still image, and no picture of what sounds.
            if not isinstance(stream, av.VideoStream) or stream.disposition & Disposition.attached_pic:
                raise _unreadable(path, "has no picture", MissingTrackError)
            if stream.codec_context is None:
                raise _unreadable(path, "has a picture in a format that FFmpeg cannot decode")
            stream.codec_context.thread_count = 1  # the extraction runs one process per core
            for frame in container.decode(stream):
                if frame.is_corrupt:  # FFmpeg patches damaged pictures up and only marks them
                    raise _unreadable(path, "holds a damaged frame")
                if frame.time_base is None or frame.pts is None:
                    raise _unreadable(path, "holds a frame without a time")
                yield frame.pts * frame.time_base, frame
    # av raises its own errors; bad files also make it fail in ways that are errors of Python.
    except (av.FFmpegError, OSError, EOFError, ValueError, LookupError, OverflowError) as error:
        raise _unreadable(path, f"cannot be read: {error}") from error


def _unreadable(path: Path, what: str, kind: type[ClipError] = ClipError) -> ClipError:
    return kind(
        f"The video file '{path}' {what}",
        "Every listed clip has a whole video that FFmpeg can decode",
        "Fetch or convert the file again, or choose data.unreadable=skip",
    )


def _upright(frame: av.VideoFrame) -> Pictures:
    """RGB pixels (height, width, channel=3), turned as the file's display matrix asks."""
    pixels: NDArray[Any] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


def _resize(picture: Pictures, height: int, width: int, antialias: bool) -> Pictures:
    """Bilinear, without aspect ratio; without antialias it equals OpenCV's default to one level."""
    # Here and not above: processes that make spectrograms need not load torch. And torch's own function, which is
    # what torchvision calls, because loading torchvision takes twice as long again.
    import torch

    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        pixels, (height, width), mode="bilinear", align_corners=False, antialias=antialias
    )
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
