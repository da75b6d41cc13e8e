"""Media file -> what its audio and video tracks are, by the code that reads them, without decoding."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Stream

from sedcrnn.features.audio_file import both_told, open_exact
from sedcrnn.features.feature import unreadable
from sedcrnn.features.media_clock import JUMP, MediaClock
from sedcrnn.features.media_file import (
    audio_stream,
    check_end,
    decoding,
    open_media,
    still,
    video_start,
    video_stream,
)
from sedcrnn.features.video_track import Pace


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
    """What the audio of a file is, as `open_audio` reads it.

    Raises:
        ClipError: the file cannot be read, has no audio, or ends before the end that its header declares.
    """
    check_end(path, "stop")
    file, why = open_exact(path)
    if file is not None:
        with file:
            return AudioHeader(file.samplerate, file.channels, file.frames, file.subtype)
    with both_told(path, why), open_media(path) as container:
        stream = audio_stream(path, container)
        samples = round(_seconds(path, container, stream) * stream.rate)
        header = AudioHeader(stream.rate, stream.channels, samples, stream.codec_context.name)
    if samples <= 0:
        raise unreadable(path, "holds 0 samples of audio")
    return header


def read_video_header(path: Path) -> VideoHeader:
    """What the video of a file is, as `decode_video_track` reads it; errors as `read_audio_header`."""
    check_end(path, "stop")
    with open_media(path) as container:
        stream = video_stream(path, container)
        seconds, context = float(_seconds(path, container, stream)), stream.codec_context
        rate = float(stream.average_rate or stream.guessed_rate or 0)
    if seconds <= 0:
        raise unreadable(path, "holds no frame that can be decoded")
    return VideoHeader(context.width, context.height, rate, seconds, context.name)


def _seconds(path: Path, container: InputContainer, stream: av.AudioStream | av.VideoStream) -> Fraction:
    """From the beginning of the video, or of the audio where there is no video, to the end of a track: as the index of
    mp4 and mov has it, and elsewhere as the packets have it, because headers may guess."""
    times: dict[Fraction, Fraction] = {}  # when a picture begins, and its duration by itself
    tracks = [each for each in container.streams if each.type in ("audio", "video") and not still(each)]
    if "mp4" in container.format.name and all(_steady(each) for each in tracks):
        tick = stream.time_base or Fraction(0)
        starts = sorted(entry.timestamp * tick for entry in stream.index_entries)
        times = {start: later - start for start, later in pairwise([*starts, *starts[-1:]])}
        spans = {each.index: _span(each) for each in tracks}
    else:
        clock = MediaClock(path, container)
        with decoding(path):
            for packet in clock.packets():
                if packet.stream is stream and packet.pts is not None and packet.time_base is not None:
                    times[packet.pts * packet.time_base] = (packet.duration or 0) * packet.time_base
        if short := clock.shortfall(stream):
            raise unreadable(path, short)
        spans = clock.spans
    first, end = spans.get(stream.index, (Fraction(0), Fraction(0)))
    pace = Pace()
    for time, later in pairwise(sorted(times)):
        pace.add(later - time, times[time])
    if isinstance(stream, av.VideoStream) and pace.uneven:
        end = max(end for _, end in spans.values())
    begin = video_start(container)
    return end - (first if begin is None else begin)


def _steady(stream: Stream) -> bool:
    """Whether the index of a track has every packet, without a jump that only the clock can judge."""
    if not stream.duration or stream.time_base is None:
        return False
    stamps = sorted(entry.timestamp for entry in stream.index_entries)
    ends = [(stream.start_time or 0), *stamps, (stream.start_time or 0) + stream.duration]
    return bool(stamps) and all((later - time) * stream.time_base <= JUMP for time, later in pairwise(ends))


def _span(stream: Stream) -> tuple[Fraction, Fraction]:
    tick = stream.time_base or Fraction(0)
    start = (stream.start_time or 0) * tick
    return start, start + (stream.duration or 0) * tick
