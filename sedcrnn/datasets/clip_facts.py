"""Clips -> what their files are, by the code that reads them, in parallel; one bad file never ends it."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.fingerprint import Codes, fingerprint
from sedcrnn.datasets.headers import AudioHeader, VideoHeader, read_audio_header, read_video_header
from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.workers import KilledError, each_apart
from sedcrnn.progress import progress

AT_ONCE = 16  # clips that a process reads before it asks for more
FEW = 64  # clips that are read sooner than processes start

Header = TypeVar("Header", AudioHeader, VideoHeader)


@dataclass(frozen=True)
class TrackFacts(Generic[Header]):
    """What there is of a clip's audio or video: its header, or a fault in words, which is empty for a missing file. A
    file that has the clip's other track alone is not at fault: `is_absent`."""

    header: Header | None = None
    fault: str = ""
    is_absent: bool = False


@dataclass(frozen=True)
class ClipFacts:
    """What there is of both tracks of a clip, and the fingerprint of its audio, if any."""

    audio: TrackFacts[AudioHeader]
    video: TrackFacts[VideoHeader]
    codes: Codes = field(default_factory=lambda: np.zeros(0, np.uint16))


def read_facts(clips: Sequence[Clip], processes: int, fingerprints: bool) -> list[ClipFacts]:
    """The facts of all clips, by so many processes."""
    facts: dict[str, ClipFacts] = {}
    read = partial(_read_some, fingerprints=fingerprints)
    tasks = [tuple(clips[start : start + AT_ONCE]) for start in range(0, len(clips), AT_ONCE)]
    workers = processes if processes > 1 and len(clips) > FEW else 0
    with progress(about="Reading clips", total=len(clips), unit="clip") as bar:
        while tasks:
            killed: list[tuple[Clip, ...]] = []
            with closing(each_apart(read, tasks, workers)) as outcomes:
                for some, outcome in outcomes:
                    if not isinstance(outcome, KilledError):
                        facts |= {clip.id: one for clip, one in zip(some, outcome, strict=True)}
                        bar.update(len(some))
                    elif len(some) > 1:
                        killed += [(clip,) for clip in some]
                    else:
                        fault = f"'{some[0].video}' cannot be read: the process that reads it is killed"
                        facts[some[0].id] = ClipFacts(TrackFacts(fault=fault), TrackFacts(fault=fault))
                        bar.update()
            tasks = killed
    return [facts[clip.id] for clip in clips]


def all_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_some(clips: Sequence[Clip], fingerprints: bool) -> list[ClipFacts]:
    return [_read(clip, fingerprints) for clip in clips]


def _read(clip: Clip, fingerprints: bool) -> ClipFacts:
    is_one_file = clip.audio == clip.video
    audio = _track(clip.audio, read_audio_header, is_one_file)
    video = _track(clip.video, read_video_header, is_one_file)
    if audio.is_absent and video.is_absent:
        neither = f"'{clip.video}' has neither audio nor video"
        return ClipFacts(TrackFacts(fault=neither), TrackFacts(fault=neither))
    if audio.header is None or not fingerprints:
        return ClipFacts(audio, video)
    try:
        return ClipFacts(audio, video, fingerprint(clip.audio))
    except ClipError as error:  # further on than headers tell
        return ClipFacts(TrackFacts(fault=error.found), video)


def _track(path: Path, read: Callable[[Path], Header], may_lack: bool) -> TrackFacts[Header]:
    try:
        return TrackFacts(read(path)) if path.is_file() else TrackFacts()
    except MissingTrackError as error:
        return TrackFacts(fault=error.found, is_absent=may_lack)
    except ClipError as error:
        return TrackFacts(fault=error.found)
