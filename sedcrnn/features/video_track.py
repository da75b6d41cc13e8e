"""Video file -> its picture track -> every frame decoded in order, with its time from the track's start.

Seeking would not be faster with long groups of pictures, and decoding only key frames shows the wrong ones
(frontend.md), so every frame is decoded.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.containers import DECODER_ERRORS, MISSING_END, picture_start, picture_stream, truncation


class TimedFrame(NamedTuple):
    """A decoded frame.

    Attributes:
        start: when it is shown first, in seconds from the track's start.
        duration: for how long by itself, in seconds.
        frame: the picture, as it is coded: not turned upright.
    """

    start: Fraction
    duration: Fraction
    frame: av.VideoFrame


def decode_picture_track(path: Path) -> Iterator[TimedFrame]:
    """All frames of a video, in order of display.

    Time counts from the track's start, which is that of its sound too (`decode_sound_track`): its first packet that
    edit lists do not leave out. A video that was cut without regard to key frames begins with packets that cannot be
    decoded: they are passed over, and the first frame then has a start above zero.

    Containers round times (Matroska to 1/1000 s). A time within such a step of a multiple of the frame period is taken
    for the multiple: otherwise frame 6 at 30000/1001 frames per second, due at 0.2002 s, would be shown at 0.2 s.

    Raises:
        ClipError: the file cannot be opened, has no frame that can be decoded, is turned by other than right angles,
            or is damaged or truncated anywhere; of the kind MissingTrackError where it just has no picture.
    """
    if not path.is_file():
        raise _unreadable(path, "is listed but absent")
    try:
        # Metadata need not be UTF-8, and is of no interest.
        with av.open(path, metadata_errors="ignore") as container:
            yield from _decode(path, container)
    except DECODER_ERRORS as error:
        raise _unreadable(path, f"cannot be read: {error}") from error


def aspect_ratio(path: Path) -> float:
    """Width over height of a video's picture when it is upright; errors as `decode_picture_track`."""
    frame = next(decode_picture_track(path)).frame
    across = frame.rotation % 180 != 0
    return frame.height / frame.width if across else frame.width / frame.height


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """RGB pixels (height, width, channel=3), turned as the file's display matrix asks."""
    pixels: NDArray[Any] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


def _decode(path: Path, container: InputContainer) -> Iterator[TimedFrame]:
    stream = picture_stream(container)
    if stream is None:
        raise _unreadable(path, "has no picture", MissingTrackError)
    tick = stream.time_base
    if stream.codec_context is None or tick is None:
        raise _unreadable(path, "has a picture in a format that FFmpeg cannot decode")
    if cut := truncation(path, stream):
        raise _unreadable(path, cut)
    stream.codec_context.thread_count = 1  # the extraction runs one process per core
    # AVI has no times: FFmpeg counts frames as they are stored, so that with B-frames the first one seems to come late.
    begin = None if container.format.name == "avi" else picture_start(container)
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
            continue  # without a key frame, some decoders fail and others make pictures up
        for frame in stream.decode(packet):
            if key is not None and frame.pts is not None and frame.pts < key:
                continue  # it needs frames before the key frame
            pts = _checked(path, frame)
            begin = pts * tick if begin is None else begin
            frames += 1
            yield _timed(frame, pts * tick - begin, tick, stream.guessed_rate)
    if frames == 0:
        raise _unreadable(path, "holds no frame that can be decoded")
    _check_end(path, container, stream, end)


def _checked(path: Path, frame: av.VideoFrame) -> int:
    """A frame's time, in ticks of the container's clock."""
    if frame.is_corrupt:  # FFmpeg patches damaged pictures up and only marks them
        raise _unreadable(path, "holds a damaged frame")
    if frame.rotation % 90:
        raise _unreadable(path, f"is to be turned by {frame.rotation} degrees, which is no right angle")
    if frame.pts is None:
        raise _unreadable(path, "holds a frame without a time")
    return frame.pts


def _timed(frame: av.VideoFrame, start: Fraction, tick: Fraction, rate: Fraction | None) -> TimedFrame:
    """A frame with its duration and its start, freed of the clock's rounding."""
    period = 1 / rate if rate else Fraction(0)
    duration = frame.duration * tick if frame.duration else period
    multiple = round(start / period) * period if period else start
    return TimedFrame(multiple if abs(multiple - start) <= tick else start, duration, frame)


def _check_end(path: Path, container: InputContainer, stream: av.VideoStream, end: Fraction) -> None:
    """Refuse a file without an index whose tracks all end before the time that its header declares."""
    declared = Fraction(0)
    if container.format.name == "avi" and stream.average_rate:
        declared = stream.frames / stream.average_rate
    elif "matroska" in container.format.name:
        declared = Fraction(container.duration or 0, av.time_base)
    if end < declared - MISSING_END:
        raise _unreadable(path, f"is truncated: {float(end):.2f} s are left of {float(declared):.2f} s")


def _unreadable(path: Path, what: str, kind: type[ClipError] = ClipError) -> ClipError:
    return kind(
        f"The video file '{path}' {what}",
        "A clip has a whole video that FFmpeg can decode",
        "Fetch or convert the file again; where it is one of a data set, data.unreadable=skip leaves it out",
    )
