"""Packets of an open media file -> the same packets on one clock for all tracks, which never goes back."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from sedcrnn.features.feature import unreadable
from sedcrnn.features.file_end import MISSING_END
from sedcrnn.features.media_file import still, tell

TIMES_MAY_JUMP = 0x200  # FFmpeg's AVFMT_TS_DISCONT, of broadcasts and Ogg
BACK = Fraction(1, 2)  # seconds by which a track's time may go back without being a new beginning
JUMP = Fraction(10)  # seconds in which no track begins anything, from which on it is a jump; FFmpeg's own threshold
LONGEST_JUMP, LONGEST_IN_ALL = Fraction(300), Fraction(1800)  # seconds that are bridged, at once and in a file
COUNTED = ("flac", "wv", "tta", "ape")  # formats whose header has the number of samples
TIMED = ("matroska", "ogg")  # formats whose header has the time when the last track ends


class MediaClock:
    """The packets of all tracks of an open file, in the order of the file, on one clock that never goes back.

    Files that were joined, and broadcasts, begin their time anew or far ahead. There, the clock goes on where the track
    has ended, for all tracks alike, as FFmpeg's own program does. Elsewhere a time in which no track has anything, as
    of a recording that was paused, is kept up to a bound.

    `spans` has the beginning and end of every track so far, by the index of its stream, in seconds; `joins` counts new
    beginnings.
    """

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.path, self.joins = path, 0
        self.spans: dict[int, tuple[Fraction, Fraction]] = {}
        self._container = container
        self._broken = bool(int(container.format.flags) & TIMES_MAY_JUMP)
        self._shift = Fraction(0)  # from the file's time to the clock's, since the last new beginning
        self._shifts: dict[int, Fraction] = {}  # of each track: its last packets may come behind another's first
        self._reached: dict[int, Fraction] = {}  # how far each track has come
        self._bridged = Fraction(0)

    def packets(self) -> Iterator["av.Packet[Any]"]:
        """The packets of audio and video, with times on the clock; the last ones, without content, end each track.

        Raises:
            ClipError: jumps ahead of more than 300 s, or of 1,800 s in all, with their times.
        """
        tracks = [stream for stream in self._container.streams if stream.type in ("audio", "video")]
        moving = {stream.index for stream in tracks if not still(stream)}
        for packet in self._container.demux(tracks):
            time = packet.dts if packet.dts is not None else packet.pts
            if time is not None and packet.time_base is not None and packet.stream_index in moving:
                self._place(packet, time * packet.time_base, packet.time_base)
                if not packet.size:  # says that the picture stays; to a decoder it would be the end
                    continue
            yield packet
        self._bridge(max(self._reached.values(), default=self.end), self.end)

    @property
    def end(self) -> Fraction:
        """When the last track ends, in seconds."""
        return max((end for _, end in self.spans.values()), default=Fraction(0))

    def shortfall(self, stream: av.AudioStream | av.VideoStream) -> str | None:
        """How the packets end before the time that the header states, in words; None where they do not, or it states
        none."""
        name, stated, end = self._container.format.name, Fraction(0), self.end
        if name in COUNTED and stream.duration and stream.time_base:
            stated = stream.duration * stream.time_base
        elif name.startswith(TIMED):
            stated = Fraction(self._container.duration or 0, av.time_base)
        elif name == "avi" and isinstance(stream, av.VideoStream) and stream.average_rate:
            stated = stream.frames / stream.average_rate
        if not self.spans or end >= stated - MISSING_END:
            return None
        return f"is truncated or damaged: {float(end):.2f} s are left of {float(stated):.2f} s"

    def _place(self, packet: "av.Packet[Any]", time: Fraction, tick: Fraction) -> None:
        """Give a packet its times on the clock, and note how far its track has come."""
        track = packet.stream_index
        shift = self._choose(track, time)
        shift = self._shifts[track] = round(shift / tick) * tick
        if shift:
            for kind in ("dts", "pts"):
                if (stamp := getattr(packet, kind)) is not None:
                    setattr(packet, kind, stamp + round(shift / tick))
        lasting = (packet.duration or 0) * tick
        self._reached[track] = time + shift + min(lasting, JUMP)
        shown = time + shift if packet.pts is None else packet.pts * tick
        first, last = self.spans.get(track, (shown, shown))
        self.spans[track] = min(first, shown), max(last, shown + lasting)

    def _choose(self, track: int, time: Fraction) -> Fraction:
        """What to add to the time of a track's next packet: as to the one before, as to other tracks since a new
        beginning, or as this one's new beginning asks."""
        shift = self._shifts.get(track, self._shift)
        before = self._reached.get(track, time + self._shift)
        latest = max(self._reached.values(), default=before)
        fitting = [each for each in (shift, self._shift) if time + each >= before - BACK]
        if fitting:
            shift = min(fitting, key=lambda each: abs(time + each - before))
            ahead = time + shift - latest
            if ahead <= JUMP:
                return shift
            if not self._broken:
                self._bridge(latest, time + shift)
                return shift
        anew = latest if fitting else before
        jump = f"from {float(before):.1f} s to {float(time + shift):.1f} s"
        tell(f"The time in '{self.path}' jumps {jump}; it is read as if it went on.")
        self.joins += 1
        self._shift = anew - time
        return self._shift

    def _bridge(self, begin: Fraction, end: Fraction) -> None:
        gap = end - begin
        self._bridged += gap if gap > JUMP else 0
        if gap > LONGEST_JUMP or self._bridged > LONGEST_IN_ALL:
            raise unreadable(
                self.path,
                f"jumps in time from {float(begin):.1f} s to {float(end):.1f} s, and holds nothing in between; "
                f"{LONGEST_JUMP} s at once, and {LONGEST_IN_ALL} s in all, are bridged",
            )
