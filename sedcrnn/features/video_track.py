"""Video file -> its video track -> every frame decoded in order, with its time from the track's start.

Seeking would not be faster with long groups of pictures, and decoding only key frames shows the wrong ones
(docs/front_end.md), so every frame is decoded.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sedcrnn.features.damage import Damage
from sedcrnn.features.feature import unreadable
from sedcrnn.features.media_file import MediaClock, cause, check_end, decoding, open_media, video_start, video_stream

Shown = tuple[Fraction, Fraction, av.VideoFrame]

OBLIQUE = 0.0175  # tangent of the degree by which a picture may be off a right angle, as for FFmpeg's own program
UPRIGHT = (1, 0, 0, 1)


def decode_video_track(path: Path, damage: str = "stop") -> Iterator[Shown]:
    """All frames of a video, in order of display, as they are coded (not turned upright): each with its start, in
    seconds from the track's, and its duration by itself.

    Time counts from the track's start, which is that of its audio too (`open_audio`): its first packet that edit lists
    do not leave out. A video that was cut without regard to key frames begins with packets that cannot be decoded: they
    are passed over, and the first frame then has a start above zero.

    Containers round times (Matroska to 1/1000 s). A time within such a step of a multiple of the frame period is taken
    for the multiple: otherwise frame 6 at 30000/1001 frames per second, due at 0.2002 s, would be shown at 0.2 s.

    Where frames come at irregular times, as from screen recorders, the last one stays until the other tracks end.

    `damage` says what becomes of pieces that cannot be decoded (`damage.Damage`).

    Raises:
        ClipError: the file cannot be opened, has no frame that can be decoded, is turned by other than right angles,
            jumps in time (`MediaClock`), or is damaged or truncated; MissingTrackError where it has no video track and
            nothing is damaged.
    """
    check_end(path, damage)
    with open_media(path) as container, decoding(path):
        stream = video_stream(path, container)
        tick = stream.time_base or Fraction(1)
        period = 1 / stream.guessed_rate if stream.guessed_rate else Fraction(0)
        stream.codec_context.thread_count = 1  # the extraction runs one process per core
        # AVI has no times: FFmpeg counts frames as they are stored, and with B-frames the first one seems to come late.
        begin = None if container.format.name == "avi" else video_start(container)
        clock, watch = MediaClock(path, container), Damage(path, "video", damage, container)
        waiting: Shown | None = None  # held back, because the last one may stay longer
        pace = Pace()
        for frame in _decoded(clock, stream, watch):
            turn(frame, path)
            duration = frame.duration * tick if frame.duration else period
            if frame.pts is None:  # raw streams have no times
                start = waiting[0] + waiting[1] if waiting else Fraction(0)
            else:
                begin = frame.pts * tick if begin is None else begin
                start = frame.pts * tick - begin
            multiple = round(start / period) * period if period else start
            if waiting is not None:
                pace.add(start - waiting[0], waiting[1])
                yield waiting
            waiting = (multiple if abs(multiple - start) <= tick else start), duration, frame
        if waiting is None:
            raise unreadable(path, "holds no frame that can be decoded")
        start, duration, frame = waiting
        if begin is not None and pace.uneven:
            duration = max(duration, clock.end - begin - start)
        yield start, duration, frame
        watch.tell()


class Pace:
    """How pictures follow each other. It is `uneven` where one has stayed for more than twice its own duration, or that
    of another, as from screen recorders; then the last one stays until the file ends."""

    def __init__(self) -> None:
        self._shortest = self._longest = Fraction(0)

    def add(self, seconds: Fraction, duration: Fraction) -> None:
        """A picture, by the seconds until the next one and its duration by itself."""
        lengths = [length for length in (seconds, duration, self._shortest) if length > 0]
        self._shortest, self._longest = min(lengths, default=Fraction(0)), max(self._longest, seconds)

    @property
    def uneven(self) -> bool:
        """Whether pictures stay until the next one, however long."""
        return self._longest > 2 * self._shortest


def aspect_ratio(path: Path) -> float:
    """Width over height of a video when it is upright, as players show it; errors as `decode_video_track`."""
    *_, frame = next(decode_video_track(path, "end"))
    with open_media(path) as container:
        pixel = float(video_stream(path, container).sample_aspect_ratio or 1)
    ratio = frame.width * pixel / frame.height
    return ratio if turn(frame, path)[0] else 1 / ratio


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """RGB pixels (height, width, channel=3), turned and mirrored as the file's display matrix asks."""
    pixels: NDArray[Any] = frame.to_ndarray(format="rgb24")
    a, b, c, d = turn(frame)
    if not a:
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[::d, ::a])


def turn(frame: av.VideoFrame, path: Path | None = None) -> tuple[int, int, int, int]:
    """The signs of a, b, c, d of a frame's display matrix: a point (x, y) is shown at (a x + c y, b x + d y).

    Raises:
        ClipError: it turns the picture by no right angle.
    """
    side: Any = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return UPRIGHT
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(side, np.int32))
    large = max(map(abs, (a, b, c, d)))
    signs = tuple(0 if abs(value) <= OBLIQUE * large else (1 if value > 0 else -1) for value in (a, b, c, d))
    if large == 0:
        return UPRIGHT
    if signs[0] == signs[3] == 0 != signs[1] * signs[2] or signs[1] == signs[2] == 0 != signs[0] * signs[3]:
        return signs[0], signs[1], signs[2], signs[3]
    raise unreadable(path or Path(), f"is to be turned by {frame.rotation} degrees, which is no right angle")


def _decoded(clock: MediaClock, stream: av.VideoStream, watch: Damage) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded whole: from a key frame on, at the beginning, after a join and after damage."""
    keyed, key, joins = False, None, 0
    for packet in clock.packets():  # all tracks: the clock is theirs together
        if packet.stream is not stream:
            continue
        if clock.joins > joins:
            keyed, joins = False, clock.joins
        if not keyed and packet.is_keyframe:
            keyed, key = True, packet.pts
        if not keyed:
            continue  # without a key frame, some decoders fail and others invent frames
        try:
            frames = stream.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            watch.met(f"cannot be read: {cause(error)}")
            keyed, frames = False, []
        for frame in frames:
            if key is not None and frame.pts is not None and frame.pts < key:
                continue  # it needs frames before the key frame
            if frame.is_corrupt:  # FFmpeg patches damaged frames up and only marks them
                watch.met("holds a damaged frame")
                keyed = False
            elif keyed:
                watch.passed()
                yield frame
        if watch.ended:
            return
