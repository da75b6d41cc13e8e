"""Media file -> what its header says of its sound or picture, without decoding."""

from dataclasses import dataclass
from pathlib import Path

import av
import soundfile

from sedcrnn.errors import ClipError
from sedcrnn.features.audio_file import open_sound_file
from sedcrnn.features.containers import truncation


@dataclass(frozen=True)
class SoundHeader:
    """A sound as its file describes it.

    Attributes:
        rate: samples per second.
        channels: number of channels.
        samples: length.
        coding: sample format or codec: `PCM_24`, `aac`.
    """

    rate: int
    channels: int
    samples: int
    coding: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.rate


@dataclass(frozen=True)
class PictureHeader:
    """A video as its file describes it.

    Attributes:
        width: in pixels.
        height: in pixels.
        rate: mean frames per second.
        seconds: length.
        coding: codec: `h264`.
    """

    width: int
    height: int
    rate: float
    seconds: float
    coding: str


def read_sound_header(path: Path) -> SoundHeader:
    """Read the header of a sound file, or of the sound in a video file.

    Raises:
        ClipError: the file cannot be read, has no sound, or ends before the end that its header declares.
    """
    try:
        if (file := open_sound_file(path)) is not None:
            with file:
                header = SoundHeader(file.samplerate, file.channels, file.frames, file.subtype)
        else:
            # Metadata need not be UTF-8, and is of no interest.
            with av.open(path, metadata_errors="ignore") as container:
                stream = container.streams.best("audio")
                if not isinstance(stream, av.AudioStream):
                    raise _unreadable(path, "has no sound")
                if stream.codec_context is None:
                    raise _unreadable(path, "has sound in a format that FFmpeg cannot decode")
                _check_whole(path, stream)
                samples = round(_seconds(container, stream) * stream.rate)
                header = SoundHeader(stream.rate, stream.channels, samples, stream.codec_context.name)
    except (soundfile.SoundFileError, av.FFmpegError, OSError, ValueError, LookupError) as error:
        raise _unreadable(path, f"cannot be read: {error}") from error
    if header.samples == 0:
        raise _unreadable(path, "holds no sound")
    return header


def read_picture_header(path: Path) -> PictureHeader:
    """Read the header of a video file.

    Raises:
        ClipError: the file cannot be read, has no picture, or ends before the end that its header declares.
    """
    try:
        with av.open(path, metadata_errors="ignore") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream):
                raise _unreadable(path, "has no picture")
            if stream.codec_context is None:
                raise _unreadable(path, "has a picture in a format that FFmpeg cannot decode")
            _check_whole(path, stream)
            seconds, context = _seconds(container, stream), stream.codec_context
            rate = float(stream.average_rate or 0)
            header = PictureHeader(context.width, context.height, rate, seconds, context.name)
    except (av.FFmpegError, OSError, ValueError, LookupError) as error:
        raise _unreadable(path, f"cannot be read: {error}") from error
    if header.seconds <= 0 or not header.rate:
        raise _unreadable(path, "holds no pictures")
    return header


def _seconds(container: av.container.InputContainer, stream: av.AudioStream | av.VideoStream) -> float:
    """Length of a stream; of the whole file where the stream does not say (mkv)."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _check_whole(path: Path, stream: av.AudioStream | av.VideoStream) -> None:
    if cut := truncation(path, stream):
        raise _unreadable(path, cut)


def _unreadable(path: Path, what: str) -> ClipError:
    return ClipError(f"'{path}' {what}", "Every listed clip has sound and picture", "Fetch or convert the file again")
