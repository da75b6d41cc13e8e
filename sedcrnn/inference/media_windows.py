"""Media file -> windows of one second of every feature, side by side -> batches of what networks take.

The windows are those of the evaluation (`datasets.windows.ConsecutiveWindows`): every whole second once. What is left
at the end, less than a second, is left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import UNLABELLED, Clip
from sedcrnn.datasets.windows import STEPS_PER_WINDOW
from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.feature import Feature, unreadable
from sedcrnn.features.media_file import open_media, within_memory

LARGEST_BATCH, BATCH_BYTES = 10, 3_100_000
"""Seconds at a time, and bytes of their inputs. Small networks gain from large batches; VGG16 gains nothing from more
than the four seconds of frames of 224x224 that these bytes hold, and takes 0.3 GB for each."""

Array = NDArray[Any]


class MediaWindows:
    """The seconds of one file, or of the video of one and the audio of another.

    Attributes:
        names: the features that it has, and `absent` the tracks that it lacks.
        declared: its length in seconds as it declares it, for progress bars alone.

    Raises:
        ClipError: there is no such file, or its beginning cannot be read.
    """

    def __init__(self, features: Mapping[str, Feature], video: Path, audio: Path) -> None:
        self.features, self.path = features, video
        clip = media_clip(audio, video)
        for source in (clip.audio, clip.video):
            if not source.is_file():
                raise ClipError(f"There is no file '{source}'", "A media file is named by its path", "Check the path")
        self._streams: dict[str, Iterator[Array]] = {}
        self._bytes = 0  # of a second's inputs
        self._lengths: Counter[str] = Counter()
        for name, feature in features.items():
            seconds = windows(feature, feature.source(clip))
            with suppress(MissingTrackError):  # absent, not damaged
                first = next(seconds)
                self._bytes += first.nbytes
                self._streams[name] = chain([first], seconds)
        self.names = tuple(self._streams)
        self.absent = tuple(sorted({features[name].track for name in features.keys() - self._streams.keys()}))
        self.declared = _declared(video)

    def batches(self, size: int | None = None) -> Iterator[dict[str, Array]]:
        """Inputs by name, of so many seconds at a time; None: 10, fewer where frames are large. To be read once.

        Raises:
            ClipError: when damage is reached.
        """
        at_once = size or max(1, min(LARGEST_BATCH, BATCH_BYTES // self._bytes))
        for decoded in batches(self._streams, at_once, self._lengths):
            yield network_inputs(self.features, decoded)

    @property
    def tracks(self) -> dict[str, int]:
        """The lengths of the tracks in seconds, once everything has been read."""
        return {self.features[name].track: self._lengths[name] for name in self.names}


def build_features(nodes: Mapping[str, Any], names: Iterable[str]) -> dict[str, Feature]:
    """The features of some inputs from their configs, which came with a file."""
    return {name: build(nodes[name], "feature", trusted=False) for name in names}


def network_inputs(features: Mapping[str, Feature], decoded: Mapping[str, Array]) -> dict[str, Array]:
    """Decoded windows of every feature (window, row, ...) as networks take them."""
    return {name: features[name].network_input(torch.from_numpy(values)).numpy() for name, values in decoded.items()}


def media_clip(audio: Path, video: Path) -> Clip:
    """A file, or two, as a clip of which nothing else is known."""
    return Clip(id=video.stem, audio=audio, video=video, scene=UNLABELLED, city="", location="", fold="")


def windows(feature: Feature, path: Path) -> Iterator[Array]:
    """The decoded windows of one feature of a file, (row, ...) each: one at least.

    Raises:
        ClipError: as the feature's `stream`, or there is no whole window.
    """
    rows = STEPS_PER_WINDOW * feature.per_step
    held: list[Array] = []
    end = 0
    with within_memory(path):
        for piece in feature.stream(path):
            held.append(piece)
            if sum(map(len, held)) >= rows:
                joined = np.concatenate(held)
                end = len(joined) // rows * rows
                yield from joined[:end].reshape(-1, rows, *joined.shape[1:])
                held = [joined[end:]]
    if not end:
        raise unreadable(path, "lasts less than one second")


def batches(
    streams: Mapping[str, Iterator[Array]], size: int, lengths: Counter[str] | None = None
) -> Iterator[dict[str, Array]]:
    """Windows of the same seconds side by side: name -> (window, row, ...), `size` of them at most.

    Seconds that not all features have are left out, but read and counted in `lengths`, so that damage is noticed
    wherever it is, as in training.
    """
    rows: list[tuple[Array, ...]] = []

    def stacked() -> dict[str, Array]:
        return {name: np.stack(column) for name, column in zip(streams, zip(*rows, strict=True), strict=True)}

    for row in zip_longest(*streams.values()):
        found = [name for name, window in zip(streams, row, strict=True) if window is not None]
        if lengths is not None:
            lengths.update(found)
        if len(found) == len(row):
            rows.append(row)
        if len(rows) == size:
            yield stacked()
            rows = []
    if rows:
        yield stacked()


def _declared(path: Path) -> int | None:
    """Length of a file in seconds as it declares it, for the progress bar alone."""
    with suppress(ClipError), open_media(path) as container:
        return None if container.duration is None else int(container.duration // av.time_base)
    return None
