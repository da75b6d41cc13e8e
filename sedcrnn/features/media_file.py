"""Media file -> opened by FFmpeg -> its tracks.

Everything that reads a file begins here, so what one part of the package says of a file holds for all.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path

import av
import soundfile
from av.container import InputContainer
from av.stream import Disposition

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.feature import unreadable
from sedcrnn.features.file_end import cut, joined

log = logging.getLogger(__name__)

# Formats that are no recordings: lists that name other files or addresses, patterns of names, devices, drawn text.
FOREIGN = {
    *("concat", "hls", "dash", "sdp", "rtp", "rtsp", "sap", "imf", "image2", "webm_dash_manifest", "vobsub", "ivr"),
    *("lavfi", "alsa", "oss", "fbdev", "kmsgrab", "x11grab", "video4linux2,v4l2"),
    *("tty", "bin", "adf", "idf", "xbin", "ffmetadata", "data"),
}


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises, and the absence of the file, into a ClipError that names it.

    Bad files make decoders and numpy fail in every way there is (MemoryError, IndexError ...), so no list of errors
    would do.
    """
    if not path.is_file():
        raise unreadable(path, "is not an existing file")
    try:
        yield
    except ClipError:
        raise
    except Exception as error:
        raise unreadable(path, f"cannot be read: {cause(error)}") from error


@contextmanager
def within_memory(path: Path) -> Iterator[None]:
    """Turns a lack of memory, in whatever is made of a file, into a ClipError; other errors are bugs, and stay."""
    try:
        yield
    except MemoryError as error:
        raise unreadable(path, f"cannot be read: {cause(error)}") from error


def cause(error: Exception) -> str:
    """What a decoder says, without the path, which the message has already."""
    match error:
        case av.FFmpegError() if error.strerror:
            return str(error.strerror)
        case soundfile.LibsndfileError():
            return str(error.error_string).rstrip(".")
        case MemoryError():
            return "it takes more memory than there is"
    return str(error) or type(error).__name__


@lru_cache(1000)
def tell(what: str) -> None:
    """Say something of a file once, though it is read for its audio, its video and its length."""
    log.warning(what)


def check_end(path: Path, damage: str) -> None:
    """Refuse a file that is cut off, or is several joined into one, unless `damage=end` says that it then ends there.

    Raises:
        ClipError: in which both lengths are told.
    """
    with decoding(path):
        how = cut(path) or joined(path)
    if how and damage != "end":
        raise unreadable(path, how)
    if how:
        tell(f"'{path}' {how}. What there is of it is read.")


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file with FFmpeg: this file alone, whatever its name and content say of others or of the network.

    Raises:
        ClipError: the file is absent, or no medium.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
    with decoding(path):  # metadata need not be UTF-8; with "file:", a name may have a colon
        container = av.open(f"file:{path.absolute()}", metadata_errors="ignore", options=options)
    with container:
        yield container


@cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - FOREIGN))


def audio_stream(path: Path, container: InputContainer) -> av.AudioStream:
    """The audio track.

    Raises:
        MissingTrackError: there is none.
        ClipError: there is one, which FFmpeg cannot decode.
    """
    stream = container.streams.best("audio")
    if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
        _check_index(path, stream)
        return stream
    raise _lacking(path, container, "audio")


def video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The video track; errors as `audio_stream`."""
    stream = _moving(container)
    if stream is not None and stream.codec_context is not None and stream.time_base is not None:
        _check_index(path, stream)
        return stream
    raise _lacking(path, container, "video")


def video_start(container: InputContainer) -> Fraction | None:
    """When the video begins, in seconds: with its first packet that edit lists do not leave out, whether it can be
    decoded or not. None without video, or without such a time."""
    stream = _moving(container)
    if stream is None or stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def _check_index(path: Path, stream: av.AudioStream | av.VideoStream) -> None:
    """Refuse an index without content: FFmpeg opens what is left of an mp4 file that was cut behind it."""
    size, first = path.stat().st_size, next(iter(stream.index_entries), None)
    if first is not None and first.pos >= size:
        raise unreadable(path, f"is truncated: it has {size:,} bytes, and its first {stream.type} is at {first.pos:,}")


def _moving(container: InputContainer) -> av.VideoStream | None:
    """The video track. The cover of a piece of music and pictures of chapters are still images, and no video."""
    stream = container.streams.best("video")
    return stream if isinstance(stream, av.VideoStream) and not still(stream) else None


def still(stream: av.stream.Stream) -> bool:
    """Whether a track of video is a picture: a cover, or one of a chapter."""
    return bool(stream.disposition & Disposition.attached_pic)


def _lacking(path: Path, container: InputContainer, kind: str) -> ClipError:
    if any(stream.type == kind and not still(stream) for stream in container.streams):
        return unreadable(path, f"has {kind} in a format that FFmpeg cannot decode")
    return unreadable(path, f"has no {kind}", MissingTrackError)
