"""Video file -> its video track -> every frame decoded in order, with its time from the track's start.

Seeking would not be faster with long groups of pictures, and decoding only key frames shows the wrong ones
(docs/front_end.md), so every frame is decoded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from sedcrnn.errors import MissingTrackError
from sedcrnn.features.feature import unreadable

# Decoders raise their own errors; bad files also make av fail in ways that are errors of Python.
DECODER_ERRORS = (av.FFmpegError, soundfile.SoundFileError, OSError, EOFError, ValueError, LookupError, OverflowError)

# Seconds by which a track may fall short of its declared length: encoders count what they pad, and dropped frames.
MISSING_END = Fraction(1, 5)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns a decoder's errors, and that of an absent file, into ClipErrors."""
    if not path.is_file():
        raise unreadable(path, "is not an existing file")
    try:
        yield
    except DECODER_ERRORS as error:
        raise unreadable(path, f"cannot be read: {error}") from error


def decode_video_track(path: Path) -> Iterator[tuple[Fraction, Fraction, av.VideoFrame]]:
    """All frames of a video, in order of display, as they are coded (not turned upright): each with its start, in
    seconds from the track's, and its duration by itself.

    Time counts from the track's start, which is that of its audio too (`open_audio`): its first packet that edit lists
    do not leave out. A video that was cut without regard to key frames begins with packets that cannot be decoded: they
    are passed over, and the first frame then has a start above zero.

    Containers round times (Matroska to 1/1000 s). A time within such a step of a multiple of the frame period is taken
    for the multiple: otherwise frame 6 at 30000/1001 frames per second, due at 0.2002 s, would be shown at 0.2 s.

    Raises:
        ClipError: the file cannot be opened, has no frame that can be decoded, is turned by other than right angles,
            or is damaged or truncated anywhere; MissingTrackError where it has no video track and nothing is damaged.
    """
    with decoding(path), av.open(path, metadata_errors="ignore") as container:  # metadata need not be UTF-8
        stream = video_stream(container)
        if stream is None:
            raise unreadable(path, "has no video", MissingTrackError)
        tick = stream.time_base
        if stream.codec_context is None or tick is None:
            raise unreadable(path, "has video in a format that FFmpeg cannot decode")
        if cut := truncation(path, stream):
            raise unreadable(path, cut)
        stream.codec_context.thread_count = 1  # the extraction runs one process per core
        # AVI has no times: FFmpeg counts frames as they are stored, and with B-frames the first one seems to come late.
        begin = None if container.format.name == "avi" else video_start(container)
        keyed, key = False, None
        frames, end = 0, Fraction(0)
        for packet in container.demux():  # all tracks: Matroska declares the length of the longest only
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * (packet.time_base or tick))
            if packet.stream is not stream:
                continue
            if not keyed and packet.is_keyframe:
                keyed, key = True, packet.pts
            if not keyed:
                continue  # without a key frame, some decoders fail and others invent frames
            for frame in stream.decode(packet):
                if key is not None and frame.pts is not None and frame.pts < key:
                    continue  # it needs frames before the key frame
                pts = _checked(path, frame)
                begin = pts * tick if begin is None else begin
                frames += 1
                period = 1 / stream.guessed_rate if stream.guessed_rate else Fraction(0)
                start = pts * tick - begin
                multiple = round(start / period) * period if period else start
                duration = frame.duration * tick if frame.duration else period
                yield multiple if abs(multiple - start) <= tick else start, duration, frame
        if frames == 0:
            raise unreadable(path, "holds no frame that can be decoded")
        _check_end(path, container, stream, end)


def aspect_ratio(path: Path) -> float:
    """Width over height of a video when it is upright; errors as `decode_video_track`."""
    *_, frame = next(decode_video_track(path))
    return frame.width / frame.height if frame.rotation % 180 == 0 else frame.height / frame.width


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """RGB pixels (height, width, channel=3), turned as the file's display matrix asks."""
    pixels: NDArray[Any] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


def video_stream(container: InputContainer) -> av.VideoStream | None:
    """The video track. The cover of a piece of music is a still image, and no video."""
    stream = container.streams.best("video")
    if isinstance(stream, av.VideoStream) and not stream.disposition & Disposition.attached_pic:
        return stream
    return None


def video_start(container: InputContainer) -> Fraction | None:
    """When the video begins, in seconds: with its first packet that edit lists do not leave out, whether it can be
    decoded or not. None without video, or without such a time."""
    stream = video_stream(container)
    if stream is None or stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def truncation(path: Path, stream: av.AudioStream | av.VideoStream) -> str | None:
    """How a file ends before the end of the packets that its header names (in mp4, mov and avi), which FFmpeg does not
    notice; None if it is whole."""
    size = path.stat().st_size
    end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    return f"is truncated: it has {size:,} bytes, and its header names {end:,}" if end > size else None


def _checked(path: Path, frame: av.VideoFrame) -> int:
    """A frame's time, in ticks of the container's clock."""
    if frame.is_corrupt:  # FFmpeg patches damaged frames up and only marks them
        raise unreadable(path, "holds a damaged frame")
    if frame.rotation % 90:
        raise unreadable(path, f"is to be turned by {frame.rotation} degrees, which is no right angle")
    if frame.pts is None:
        raise unreadable(path, "holds a frame without a time")
    return frame.pts


def _check_end(path: Path, container: InputContainer, stream: av.VideoStream, end: Fraction) -> None:
    """Refuse a file without an index whose tracks all end before the time that its header declares."""
    declared = Fraction(0)
    if container.format.name == "avi" and stream.average_rate:
        declared = stream.frames / stream.average_rate
    elif "matroska" in container.format.name:
        declared = Fraction(container.duration or 0, av.time_base)
    if end < declared - MISSING_END:
        raise unreadable(path, f"is truncated: {float(end):.2f} s are left of {float(declared):.2f} s")
