"""Media file -> what its header says of its audio or video track, without decoding."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import soundfile

from sedcrnn.features.audio_file import open_audio_file
from sedcrnn.features.feature import unreadable
from sedcrnn.features.video_track import DECODER_ERRORS, truncation


class AudioHeader(NamedTuple):
    """An audio track as its file describes it; `rate` is in samples per second, `coding` is `PCM_24`, `aac`."""

    rate: int
    channels: int
    samples: int
    coding: str

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples / self.rate

    @property
    def format(self) -> str:
        """All but the length, in words."""
        return f"{self.rate:,} Hz, {self.channels} channel(s), {self.coding}"


class VideoHeader(NamedTuple):
    """A video track as its file describes it; `rate` is the mean number of frames per second, `coding` is `h264`."""

    width: int
    height: int
    rate: float
    seconds: float
    coding: str

    @property
    def format(self) -> str:
        """All but the length, in words."""
        return f"{self.width}x{self.height}, {self.rate:.5g} frames/s, {self.coding}"


def read_audio_header(path: Path) -> AudioHeader:
    """Read the header of an audio file, or of the audio track of a video file.

    Raises:
        ClipError: the file cannot be read, has no audio, or ends before the end that its header declares.
    """
    try:
        if (file := open_audio_file(path)) is not None:
            with file:
                header = AudioHeader(file.samplerate, file.channels, file.frames, file.subtype)
        else:
            with _track(path, "audio") as (stream, seconds):
                samples = round(seconds * stream.rate)
                header = AudioHeader(stream.rate, stream.channels, samples, stream.codec_context.name)
    except soundfile.SoundFileError as error:
        raise unreadable(path, f"cannot be read: {error}") from error
    if header.samples == 0:
        raise unreadable(path, "holds no audio")
    return header


def read_video_header(path: Path) -> VideoHeader:
    """Read the header of a video file; errors as `read_audio_header`."""
    with _track(path, "video") as (stream, seconds):
        context, rate = stream.codec_context, float(stream.average_rate or 0)
        header = VideoHeader(context.width, context.height, rate, seconds, context.name)
    if seconds <= 0 or not rate:
        raise unreadable(path, "holds no frames")
    return header


@contextmanager
def _track(path: Path, kind: Literal["audio", "video"]) -> Iterator[tuple[Any, float]]:
    """The file's track of a kind, which can be decoded and is not cut off, and its length in seconds."""
    try:
        # Metadata need not be UTF-8, and is of no interest.
        with av.open(path, metadata_errors="ignore") as container:
            stream = container.streams.best(kind)
            if not isinstance(stream, av.AudioStream | av.VideoStream):
                raise unreadable(path, f"has no {kind}")
            if stream.codec_context is None:
                raise unreadable(path, f"has {kind} in a format that FFmpeg cannot decode")
            if cut := truncation(path, stream):
                raise unreadable(path, cut)
            if stream.duration is not None and stream.time_base is not None:
                yield stream, float(stream.duration * stream.time_base)
            else:  # mkv
                yield stream, (container.duration or 0) / av.time_base
    except DECODER_ERRORS as error:
        raise unreadable(path, f"cannot be read: {error}") from error
