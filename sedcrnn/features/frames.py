"""Video file -> frames on display at 1/5-s steps -> upright RGB -> one size -> pixels, or JPEG files, in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sedcrnn.features.damage import damage_parameter
from sedcrnn.features.feature import Change, Feature, count_steps, unchanged
from sedcrnn.features.video_track import decode_video_track, upright

if TYPE_CHECKING:  # see `feature`
    import torch
    from torch import Tensor

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Frames(Feature):
    """The video at five frames per second, as the visual network takes it, without its aspect ratio (docs/paper.md).

    Frames are stored as exact pixels (`raw`); as `jpeg`, of which networks then see what JPEG leaves, in training as in
    prediction; or not at all (`none`), for stages that are trained on a frozen encoder's stored features.
    """

    rate: float = 5.0
    height: int
    width: int
    antialias: bool = False
    storage: str = "raw"
    jpeg_quality: int = 95
    jpeg_decoder: str = "cpu"
    damage: str = "stop"

    name = "frames"
    track = "video"
    per_step = 1

    @property
    def stored(self) -> bool:
        """Whether frames are kept at all."""
        return self.storage != "none"

    @property
    def coded(self) -> bool:
        """Whether JPEG files are kept."""
        return self.storage == "jpeg"

    @property
    def on_device(self) -> bool:
        """Only where the GPU decodes."""
        return self.coded and self.jpeg_decoder == "gpu"

    @property
    def dimensions(self) -> dict[str, int]:
        """Height and width."""
        return {"height": self.height, "width": self.width}

    def parameters(self) -> dict[str, object]:
        """The method, its version and all that determines the pixels, which are the same with `raw` and `none`."""
        coding = {"method": "jpeg", "quality": self.jpeg_quality} if self.storage == "jpeg" else {"method": "rgb"}
        values = {"rate": self.rate, **self.dimensions, "antialias": self.antialias}
        return {"version": 3, **damage_parameter(self.damage), **coding, **values}

    def extract(self, path: Path) -> NDArray[np.uint8]:
        """All frames as they are stored, or would be: (time, height, width, channel=3) uint8 RGB; for `jpeg`,
        (time, byte) uint8.

        Raises:
            ClipError: as `decode_video_track`, or the video lasts less than 1 s.
        """
        return self._encode(np.stack(list(self._on_display(path))))

    def stream(self, path: Path) -> Iterator[Pixels]:
        """The frames one by one, (time=1, height, width, channel=3) uint8 RGB, as `decode` gives them from the store;
        errors as `extract`."""
        for frame in self._on_display(path):
            yield self.decoded(self._encode(frame[None]))

    def decode(self, stored: Tensor) -> Tensor:
        """Stored frames (..., time, as stored) as pixels (..., time, height, width, channel=3) uint8 RGB; zeros behind
        a JPEG file's end have no effect."""
        if not self.coded:
            return stored
        import torch

        files = stored.reshape(-1, stored.shape[-1]).numpy()
        frames = np.stack([np.asarray(Image.open(BytesIO(file.tobytes()))) for file in files])
        return torch.from_numpy(frames.reshape(*stored.shape[:-1], *frames.shape[1:]))

    def decode_on(self, stored: Tensor, device: torch.device) -> Tensor:
        """Stored windows as pixels on a device: by the GPU itself (nvJPEG) where it is one, whose levels may differ a
        little from those that the CPU decodes elsewhere."""
        if device.type != "cuda":
            return self.decode(stored).to(device)
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        files = list(stored.reshape(-1, stored.shape[-1]))
        frames = torch.stack(decode_jpeg(files, ImageReadMode.RGB, device=device))
        return frames.permute(0, 2, 3, 1).reshape(*stored.shape[:-1], self.height, self.width, 3)

    def network_input(self, values: Tensor, change: Change = unchanged) -> Tensor:
        """Pixels (window, time, height, width, channel=3) -> (window, time, channel=3, height, width), uint8, without
        a copy: networks turn to this layout in memory (channels_last) anyway."""
        return change(values.permute(0, 1, 4, 2, 3))

    def _encode(self, frames: Pixels) -> NDArray[np.uint8]:
        """For `jpeg`, rows (time, byte), each a file that keeps colours at full resolution (4:4:4), which torchvision
        does not write, filled up with zeros to the length of the longest."""
        if self.storage != "jpeg":
            return frames
        files = []
        for frame in frames:
            file = BytesIO()
            Image.fromarray(frame).save(file, "JPEG", quality=self.jpeg_quality, subsampling=0)
            files.append(np.frombuffer(file.getvalue(), np.uint8))
        length = max(map(len, files))
        return np.stack([np.pad(file, (0, length - len(file))) for file in files])

    def _on_display(self, path: Path) -> Iterator[Pixels]:
        """The frames on display at 0, 1/rate, 2/rate ... seconds after the start of the video track, (height, width,
        channel=3).

        At a constant source rate these are the authors' frames int(fps * i / 5 + 1e-5); other rates follow the frames'
        own times. Where the track begins with what cannot be decoded, the first frame that can is shown from the start
        on.

        The length of a video is the end of its last decoded frame: that one's time and duration, whatever the file says
        of itself. It is rounded to a whole number of samples, so that the last one, too, lies at least half a sample
        before the end and is a frame on display: 10.01 s are 50 samples, the last one at 9.8 s.
        """
        rate = Fraction(self.rate)
        on_display: av.VideoFrame | None = None
        waiting: deque[Pixels] = deque()
        shown = 0

        def show_until(moment: Fraction, frame: av.VideoFrame) -> None:
            missing = ceil(moment * rate) - shown - len(waiting)
            if missing > 0:
                waiting.extend([self._resize(upright(frame))] * missing)

        latest = end = Fraction(0)
        for time, duration, frame in decode_video_track(path, self.damage):
            latest = max(latest, time)  # what has been shown stays shown where times jump back
            on_display = on_display or frame
            show_until(latest, on_display)
            while len(waiting) > 1:  # the last one may lie behind the rounded end
                yield waiting.popleft()
                shown += 1
            on_display, end = frame, latest + duration
        steps = count_steps(end, path, self.rate)
        if on_display is not None:
            show_until(steps / rate, on_display)
        yield from list(waiting)[: steps - shown]

    def _resize(self, frame: Pixels) -> Pixels:
        """Bilinear; without antialiasing it equals OpenCV's default to one level."""
        # Here and not above: processes that make spectrograms need not load torch. And torch's own function, which is
        # what torchvision calls, because loading torchvision takes twice as long again.
        import torch

        pixels = torch.from_numpy(frame).permute(2, 0, 1)[None]
        resized = torch.nn.functional.interpolate(
            pixels, (self.height, self.width), mode="bilinear", align_corners=False, antialias=self.antialias
        )
        return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
