"""Manifest -> lists and folds, headers of all media -> what is there, and what is wrong with it, in one screen."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from statistics import median_low
from typing import TypeVar

from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import FOLDS, label_order, make_folds
from sedcrnn.datasets.headers import AudioHeader, VideoHeader, read_audio_header, read_video_header
from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.progress import progress

SKEW = 0.5  # seconds by which audio and video of a clip may differ in length
_ROWS, _NAMES = 20, 3  # of a table, and of a finding, so that the report fits a screen

Header = TypeVar("Header", AudioHeader, VideoHeader)


@dataclass
class Report:
    """What a data set holds, and what is wrong with it."""

    manifest: Manifest
    media: list[str] = field(default_factory=list)  # a line for audio and one for video
    errors: list[str] = field(default_factory=list)  # what keeps it from being used as it is
    warnings: list[str] = field(default_factory=list)  # what it can be used with, but should be known

    def __str__(self) -> str:
        clips = self.manifest.clips
        scenes, cities = _table("scene", clips, lambda clip: clip.scene), _table("city", clips, lambda clip: clip.city)
        pairs = zip_longest(scenes, cities, fillvalue="")
        lines = [f"{scene:{len(scenes[0])}}      {city}".rstrip() for scene, city in pairs]
        for title, findings in (("Media", self.media), ("Errors", self.errors), ("Warnings", self.warnings)):
            if findings:
                lines += ["", title, *(f"  {finding}" for finding in findings)]
        return "\n".join(lines)


def check(
    manifest: Manifest, selection: str, validation_fraction: float, seed: int, jobs: int, known: Mapping[str, str]
) -> Report:
    """Check lists, folds (as `make_folds` makes them) and the headers of all media, so many at a time.

    `known` says what is known to be wrong with the videos of some clips, which is then a warning.
    """
    report = Report(manifest)
    _check_lists(report, partial(make_folds, manifest, selection, validation_fraction, seed))
    audio = _read(report, "audio", {clip.id: clip.audio for clip in manifest.clips}, read_audio_header, jobs, {})
    video = _read(report, "video", {clip.id: clip.video for clip in manifest.clips}, read_video_header, jobs, known)
    _check_formats(report, audio, video)
    return report


def _check_lists(report: Report, draw_folds: Callable[[], object]) -> None:
    manifest = report.manifest
    train, test = (manifest.fold(fold) for fold in FOLDS)
    for fold, clips, findings in (("train", train, report.errors), ("test", test, report.warnings)):
        present = {clip.scene for clip in clips}
        absent = [scene for scene in manifest.scenes if scene not in present]
        findings += _found(f"scenes without clips in the {fold} fold", absent)
    shared = {clip.location for clip in train} & {clip.location for clip in test}
    report.errors += _found("locations in both folds", sorted(shared))
    for attempt in (partial(label_order, manifest.scenes), draw_folds):
        try:
            attempt()
        except DataError as error:
            report.errors.append(str(error))


def _check_formats(report: Report, audio: Mapping[str, AudioHeader], video: Mapping[str, VideoHeader]) -> None:
    # All of these are read as they are: resampled, mixed down, sampled at 5 frames per second.
    audio_seconds, video_seconds = (
        {clip: header.seconds for clip, header in headers.items()} for headers in (audio, video)
    )
    report.warnings += [
        *_odd("sample rate", {clip: header.rate for clip, header in audio.items()}),
        *_odd("number of channels", {clip: header.channels for clip, header in audio.items()}),
        # The real recordings vary by a sample.
        *_odd("audio length in samples", {clip: header.samples for clip, header in audio.items()}, 1),
        *_odd("frame rate", {clip: header.rate for clip, header in video.items()}, 0.1),
        *_odd("video length in seconds", video_seconds, 0.1),
    ]
    for kind, lengths in (("audio", audio_seconds), ("video", video_seconds)):
        short = [clip for clip, seconds in lengths.items() if round(seconds * STEPS_PER_SECOND) < STEPS_PER_SECOND]
        report.errors += _found(f"{kind} shorter than 1 s", short)
    both = sorted(audio_seconds.keys() & video_seconds.keys())
    apart = [clip for clip in both if abs(audio_seconds[clip] - video_seconds[clip]) > SKEW]
    report.warnings += _found(f"audio and video differ by more than {SKEW:g} s in length", apart)


def _odd(what: str, values: Mapping[str, float], tolerance: float = 0.0) -> list[str]:
    """The clips whose value is not the usual one. A value with a tolerance may have no usual one, and then nothing is
    odd: recordings of one's own may have any length."""
    usual = median_low(values.values()) if values else 0
    odd = [clip for clip, value in values.items() if abs(value - usual) > tolerance]
    if 2 * len(odd) >= len(values) and tolerance:
        return []
    return _found(f"{what} other than the usual {usual:,g}", [f"{clip} with {values[clip]:,g}" for clip in odd])


def _found(what: str, names: Collection[str]) -> list[str]:
    """No finding, or one that says how many there are and names a few."""
    more = ", ..." if len(names) > _NAMES else ""
    return [f"{what}: {len(names):,} ({', '.join(islice(names, _NAMES))}{more})"] if names else []


def _read(
    report: Report,
    kind: str,
    paths: Mapping[str, Path],
    read: Callable[[Path], Header],
    jobs: int,
    known: Mapping[str, str],
) -> dict[str, Header]:
    """The headers of all clips that can be read, in parallel: this waits for the disk more than it computes. What is
    known of the others is a warning, and all else an error."""

    def outcome(path: Path) -> Header | str:
        try:
            return read(path) if path.is_file() else ""
        except ClipError as error:
            return error.found

    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(outcome, paths.values())
        bar = progress(found, f"Reading headers ({kind})", total=len(paths), unit="file")
        outcomes = dict(zip(paths, bar, strict=True))
    headers = {clip: found for clip, found in outcomes.items() if not isinstance(found, str)}
    faults = {clip: found for clip, found in outcomes.items() if isinstance(found, str)}
    report.warnings += [
        f"{clip}: {known[clip]}, and so it is here; data.unreadable=skip leaves it out"
        for clip in faults
        if clip in known
    ]
    report.errors += _found(f"{kind} missing", [clip for clip in faults if not faults[clip] and clip not in known])
    unreadable = [clip for clip in faults if faults[clip] and clip not in known]
    report.errors += _found(f"{kind} unreadable", unreadable)
    report.errors += [f"  {faults[clip]}" for clip in unreadable[:_NAMES]]
    report.media.append(f"{kind:<8}{_describe(list(headers.values()))}")
    return headers


def _table(title: str, clips: Sequence[Clip], key: Callable[[Clip], str]) -> list[str]:
    """Lines of a table: clips and locations per fold, by scene or by city, and in all."""
    names = sorted({key(clip) for clip in clips})
    groups = {name: [clip for clip in clips if key(clip) == name] for name in names[:_ROWS]}
    if len(names) > _ROWS:
        groups[f"{len(names) - _ROWS} more"] = [clip for clip in clips if key(clip) in names[_ROWS:]]
    groups["all"] = list(clips)
    width = max(len(name) for name in (title, *groups))
    lines = [f"{title:<{width}}    train     test  locations"]
    for name, group in groups.items():
        train, test = ([clip.location for clip in group if clip.fold == fold] for fold in FOLDS)
        locations = f"{len(set(train))}+{len(set(test))}"
        lines.append(f"{name:<{width}}  {len(train):>7,}  {len(test):>7,}  {locations:>9}")
    return lines


def _describe(headers: Sequence[AudioHeader | VideoHeader]) -> str:
    """What the files of a kind are, the most common format first."""
    if not headers:
        return "0 readable"
    formats = Counter(header.format for header in headers)
    lengths = [header.seconds for header in headers]
    span = " to ".join(dict.fromkeys(f"{length:.5g}" for length in (min(lengths), max(lengths))))
    kinds = "; ".join(f"{name} ({count:,})" for name, count in formats.most_common(_NAMES))
    more = "; ..." if len(formats) > _NAMES else ""
    return f"{len(headers):,} readable, {span} s: {kinds}{more}"
