"""Media file -> opened by FFmpeg: what its sound and its picture have in common."""

from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

# av raises its own errors; bad files also make it fail in ways that are errors of Python.
DECODER_ERRORS = (av.FFmpegError, OSError, EOFError, ValueError, LookupError, OverflowError)

MISSING_END = Fraction(1, 5)
"""Seconds by which a track may fall short of its declared length: encoders count what they pad, and frames that they
dropped."""


def picture_stream(container: InputContainer) -> av.VideoStream | None:
    """The (moving) picture. The cover of a piece of music is a still image, and no picture of what sounds."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or stream.disposition & Disposition.attached_pic:
        return None
    return stream


def picture_start(container: InputContainer) -> Fraction | None:
    """When the picture begins, in seconds: FFmpeg's start of the track, which is that of its first packet that edit
    lists do not leave out, whether it can be decoded or not. None without a picture, or without such a time."""
    stream = picture_stream(container)
    if stream is None or stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def truncation(path: Path, stream: av.AudioStream | av.VideoStream) -> str | None:
    """How a file ends before the end of the packets that its header names (in mp4, mov and avi); None: it does not.

    FFmpeg reads what is left of such a file without an error.
    """
    size = path.stat().st_size
    end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    return f"is truncated: it has {size:,} bytes, and its header names {end:,}" if end > size else None
