"""Video file -> frames on display at 1/5-s steps -> upright RGB -> one size -> pixels, or JPEG files, in the store."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ConfigError
from sedcrnn.features import jpeg
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature, count_steps
from sedcrnn.features.jpeg import Pictures
from sedcrnn.features.video_track import decode_picture_track, upright

STORAGES = ("raw", "jpeg", "none")


@dataclass(frozen=True, kw_only=True)
class Frames(Feature):
    """The picture at five frames per second, as the visual network takes it.

    Args:
        rate: frames per second; one goes with ten columns of the spectrogram.
        height: of the resized frames, in pixels.
        width: of the resized frames, in pixels; the aspect ratio is not kept (paper.md, Inputs).
        antialias: smooth before resizing; the authors did not.
        storage: how frames are kept: `raw` pixels; `jpeg`, of which networks then see what JPEG leaves, in training as
            in prediction; `none`: not at all, for stages that are trained on a frozen encoder's stored features.
        jpeg_quality: 1 to 95, for `jpeg`.

    Raises:
        ConfigError: a rate other than five, an unknown storage or a quality that JPEG does not have.
    """

    rate: float = 5.0
    height: int
    width: int
    antialias: bool = False
    storage: str = "raw"
    jpeg_quality: int = 95

    name = "frames"

    def __post_init__(self) -> None:
        if self.rate != STEPS_PER_SECOND:
            raise ConfigError(
                f"features.frames.rate={self.rate}",
                f"Sound and picture are aligned at {STEPS_PER_SECOND} frames per second",
                f"Set features.frames.rate={float(STEPS_PER_SECOND)}",
            )
        if self.storage not in STORAGES:
            raise ConfigError(
                f"features.frames.storage={self.storage}",
                f"It is one of: {', '.join(STORAGES)}",
                "Set features.frames.storage=raw",
            )
        if not 1 <= self.jpeg_quality <= 95:
            raise ConfigError(
                f"features.frames.jpeg_quality={self.jpeg_quality}",
                "It is a whole number from 1 to 95; above, files grow and pictures hardly change",
                "Set features.frames.jpeg_quality=95, or features.frames.storage=raw for exact pixels",
            )

    @property
    def per_step(self) -> int:
        """One frame per 1/5 s."""
        return 1

    @property
    def stored(self) -> bool:
        """Whether frames are kept at all."""
        return self.storage != "none"

    def source(self, clip: Clip) -> Path:
        """The clip's video file."""
        return clip.video

    def parameters(self) -> dict[str, object]:
        """The method, its version and all that determines the pixels, which are the same with `raw` and `none`."""
        pixels = {"rate": self.rate, "height": self.height, "width": self.width, "antialias": self.antialias}
        coding = {"method": "jpeg", "quality": self.jpeg_quality} if self.storage == "jpeg" else {"method": "rgb"}
        return {"version": 2, **coding, **pixels}

    def extract(self, path: Path) -> NDArray[np.uint8]:
        """All frames as they are stored, or would be: (time, height, width, channel=3) uint8 RGB; for `jpeg`,
        (time, byte) uint8. Errors as `stream_frames`."""
        return self._encode(np.stack(list(self._pictures(path))))

    def stream(self, path: Path) -> Iterator[Pictures]:
        """The frames one by one as pixels, whatever the storage, since files of JPEG differ in length.

        Yields:
            (time=1, height, width, channel=3) uint8 RGB, as `decode` gives them from the store; errors as
            `stream_frames`.
        """
        for picture in self._pictures(path):
            yield self.decode(self._encode(picture[None]))

    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored frames (..., time, as stored) as pixels (..., time, height, width, channel=3) uint8 RGB."""
        return jpeg.decode(stored) if self.storage == "jpeg" else stored

    def _encode(self, pictures: Pictures) -> NDArray[np.uint8]:
        return jpeg.encode(pictures, self.jpeg_quality) if self.storage == "jpeg" else pictures

    def _pictures(self, path: Path) -> Iterator[Pictures]:
        size = {"height": self.height, "width": self.width}
        return stream_frames(path, frame_rate=self.rate, antialias=self.antialias, **size)


def read_frames(path: Path, *, frame_rate: float = 5.0, height: int, width: int, antialias: bool = False) -> Pictures:
    """All frames of `stream_frames`, which has the same parameters and errors: (time, height, width, channel=3)."""
    return np.stack(list(stream_frames(path, frame_rate=frame_rate, height=height, width=width, antialias=antialias)))


def stream_frames(
    path: Path, *, frame_rate: float = 5.0, height: int, width: int, antialias: bool = False
) -> Iterator[Pictures]:
    """Read the frames on display at 0, 1/frame_rate, 2/frame_rate ... seconds after the start of the picture track.

    At a constant source rate these are the authors' frames int(fps * i / 5 + 1e-5); other rates follow the frames'
    own times. Where the track begins with what cannot be decoded, the first frame that can is shown from the start on.

    The length of a video is the end of its last decoded frame: that one's time and duration, whatever the file says of
    itself. It is rounded to a whole number of samples, so that the last one, too, lies at least half a sample before
    the end and is a frame on display: 10.01 s are 50 samples, the last one at 9.8 s.

    Args:
        path: the file.
        frame_rate: wanted frames per second.
        height: of the result, in pixels.
        width: of the result, in pixels.
        antialias: smooth before resizing.

    Yields:
        (height, width, channel=3) uint8 RGB, rotated as the file asks; length * frame_rate, rounded, of them.

    Raises:
        ClipError: as `decode_picture_track`, or the video lasts less than 1 s.
    """
    rate = Fraction(frame_rate)
    on_display: av.VideoFrame | None = None
    waiting: deque[Pictures] = deque()
    shown = 0

    def show_until(moment: Fraction, frame: av.VideoFrame) -> None:
        missing = ceil(moment * rate) - shown - len(waiting)
        if missing > 0:
            waiting.extend([_resize(upright(frame), height, width, antialias)] * missing)

    latest = end = Fraction(0)
    for time, duration, frame in decode_picture_track(path):
        latest = max(latest, time)  # what has been shown stays shown where times jump back
        on_display = on_display or frame
        show_until(latest, on_display)
        while len(waiting) > 1:  # the last one may lie behind the rounded end
            yield waiting.popleft()
            shown += 1
        on_display, end = frame, latest + duration
    steps = count_steps(end, path, frame_rate)
    if on_display is not None:
        show_until(steps / rate, on_display)
    yield from list(waiting)[: steps - shown]


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
