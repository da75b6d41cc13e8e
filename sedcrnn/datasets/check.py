"""Manifest -> lists and folds, headers of all media -> what is there, and what is wrong with it, in one screen."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from statistics import median_low
from typing import Generic, TypeVar

from tqdm import tqdm

from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import make_folds
from sedcrnn.datasets.headers import PictureHeader, SoundHeader, read_picture_header, read_sound_header
from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.feature import count_steps

FOLDS = ("train", "test")

SKEW = 0.5
"""Seconds by which sound and picture of a clip may differ in length."""

# Of a table's rows, and of a finding's names, so that the report fits a screen.
_ROWS, _NAMES = 20, 3

Header = TypeVar("Header", SoundHeader, PictureHeader)


@dataclass
class Report:
    """What a data set holds, and what is wrong with it.

    Attributes:
        manifest: the data set's clips.
        media: what its media are, a line for sound and one for picture.
        errors: what keeps it from being used as it is.
        warnings: what it can be used with, but should be known.
    """

    manifest: Manifest
    media: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        clips = self.manifest.clips
        scenes, cities = _table("scene", clips, lambda clip: clip.scene), _table("city", clips, lambda clip: clip.city)
        pairs = zip_longest(scenes, cities, fillvalue="")
        lines = [f"{scene:{len(scenes[0])}}      {city}".rstrip() for scene, city in pairs]
        for title, findings in (("Media", self.media), ("Errors", self.errors), ("Warnings", self.warnings)):
            if findings:
                lines += ["", title, *(f"  {finding}" for finding in findings)]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Media(Generic[Header]):
    """The headers of a kind of media, by clip; the clips without a file, and those whose file has what is wrong."""

    kind: str
    headers: Mapping[str, Header]
    missing: Sequence[str]
    unreadable: Mapping[str, str]


def check(
    manifest: Manifest, selection: str, validation_fraction: float, seed: int, jobs: int, known: Mapping[str, str]
) -> Report:
    """Check lists, folds and the headers of all media of a data set.

    Args:
        manifest: its clips.
        selection: how the checkpoint is going to be selected, as `make_folds` takes it.
        validation_fraction: share of the training clips that is to select it.
        seed: seed of that draw.
        jobs: files that are read at a time.
        known: clip -> what is known to be wrong with its picture, which is then a warning.
    """
    report = Report(manifest)
    _check_scenes(report)
    _check_folds(report, selection, validation_fraction, seed)
    sounds = _read("sound", {clip.id: clip.audio for clip in manifest.clips}, read_sound_header, jobs)
    pictures = _read("picture", {clip.id: clip.video for clip in manifest.clips}, read_picture_header, jobs)
    _check_presence(report, sounds, known={})
    _check_presence(report, pictures, known)
    _check_formats(report, sounds.headers, pictures.headers)
    report.media = [_describe(sounds), _describe(pictures)]
    return report


def _check_scenes(report: Report) -> None:
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for scene in report.manifest.scenes:
        spellings[scene.strip().casefold()].append(repr(scene))
    for alike in spellings.values():
        if len(alike) > 1:
            report.errors.append(f"labels that differ only in case or space: {', '.join(alike)}")
    for fold, findings in zip(FOLDS, (report.errors, report.warnings), strict=True):
        present = {clip.scene for clip in report.manifest.fold(fold)}
        absent = [scene for scene in report.manifest.scenes if scene not in present]
        findings += _found(f"scenes without clips in the {fold} fold", absent)


def _check_folds(report: Report, selection: str, validation_fraction: float, seed: int) -> None:
    train, test = ({clip.location for clip in report.manifest.fold(fold)} for fold in FOLDS)
    report.errors += _found("locations in both folds", sorted(train & test))
    try:
        make_folds(report.manifest, selection, validation_fraction, seed)
    except DataError as error:
        report.errors.append(str(error))


def _check_presence(report: Report, media: _Media[Header], known: Mapping[str, str]) -> None:
    for clip in (*media.missing, *media.unreadable):
        if clip in known:
            report.warnings.append(f"{clip}: {known[clip]}, and so it is here; data.unreadable=skip leaves it out")
    report.errors += _found(f"{media.kind} missing", [clip for clip in media.missing if clip not in known])
    unreadable = [clip for clip in media.unreadable if clip not in known]
    report.errors += _found(f"{media.kind} unreadable", unreadable)
    report.errors += [f"  {media.unreadable[clip]}" for clip in unreadable[:_NAMES]]


def _check_formats(report: Report, sounds: Mapping[str, SoundHeader], pictures: Mapping[str, PictureHeader]) -> None:
    # All of these are read as they are: resampled, mixed down, sampled at 5 frames per second.
    report.warnings += _odd("sample rate", {clip: header.rate for clip, header in sounds.items()})
    report.warnings += _odd("number of channels", {clip: header.channels for clip, header in sounds.items()})
    # The real recordings vary by a sample.
    report.warnings += _odd("sound length in samples", {clip: header.samples for clip, header in sounds.items()}, 1)
    report.warnings += _odd("frame rate", {clip: header.rate for clip, header in pictures.items()}, 0.1)
    report.warnings += _odd("video length in seconds", {clip: header.seconds for clip, header in pictures.items()}, 0.1)
    seconds = [{clip: header.seconds for clip, header in headers.items()} for headers in (sounds, pictures)]
    for kind, lengths in zip(("sound", "picture"), seconds, strict=True):
        report.errors += _found(f"{kind} shorter than 1 s", [clip for clip in lengths if _is_short(lengths[clip])])
    apart = [clip for clip in seconds[0].keys() & seconds[1].keys() if abs(seconds[0][clip] - seconds[1][clip]) > SKEW]
    report.warnings += _found(f"sound and picture differ by more than {SKEW:g} s in length", sorted(apart))


def _is_short(seconds: float) -> bool:
    """Whether the features refuse the clip. They count in steps, so a sample less than a second is enough."""
    try:
        count_steps(seconds, Path())
    except ClipError:
        return True
    return False


def _odd(what: str, values: Mapping[str, float], tolerance: float = 0.0) -> list[str]:
    """The clips whose value is not the usual one. A value with a tolerance may have no usual one, and then nothing is
    odd: recordings of one's own may have any length."""
    if not values:
        return []
    usual = median_low(values.values())
    odd = [clip for clip, value in values.items() if abs(value - usual) > tolerance]
    if 2 * len(odd) >= len(values) and tolerance:
        return []
    examples = [f"{clip} with {values[clip]:,g}" for clip in odd]
    return _found(f"{what} other than the usual {usual:,g}", examples)


def _found(what: str, names: Collection[str]) -> list[str]:
    """No finding, or one that says how many there are and names a few."""
    if not names:
        return []
    more = ", ..." if len(names) > _NAMES else ""
    return [f"{what}: {len(names):,} ({', '.join(islice(names, _NAMES))}{more})"]


def _read(kind: str, paths: Mapping[str, Path], read: Callable[[Path], Header], jobs: int) -> _Media[Header]:
    """The headers of all files, read in parallel: this waits for the disk more than it computes."""

    def outcome(path: Path) -> Header | ClipError | None:
        try:
            return read(path) if path.is_file() else None
        except ClipError as error:
            return error

    with ThreadPoolExecutor(jobs) as pool:
        progress = tqdm(pool.map(outcome, paths.values()), f"Reading headers ({kind})", len(paths), unit="file")
        outcomes = dict(zip(paths, progress, strict=True))
    return _Media(
        kind,
        headers={clip: found for clip, found in outcomes.items() if isinstance(found, SoundHeader | PictureHeader)},
        missing=[clip for clip, found in outcomes.items() if found is None],
        unreadable={clip: found.found for clip, found in outcomes.items() if isinstance(found, ClipError)},
    )


def _table(title: str, clips: Sequence[Clip], key: Callable[[Clip], str]) -> list[str]:
    """Lines of a table: clips and locations per fold, by scene or by city, and in all."""
    names = sorted({key(clip) for clip in clips})
    groups = {name: [clip for clip in clips if key(clip) == name] for name in names[:_ROWS]}
    if len(names) > _ROWS:
        groups[f"{len(names) - _ROWS} more"] = [clip for clip in clips if key(clip) in names[_ROWS:]]
    groups["all"] = list(clips)
    width = max(len(name) for name in (title, *groups))
    lines = [f"{title:<{width}}  {'train':>7}  {'test':>7}  locations"]
    for name, group in groups.items():
        counts = [sum(clip.fold == fold for clip in group) for fold in FOLDS]
        places = "+".join(str(len({clip.location for clip in group if clip.fold == fold})) for fold in FOLDS)
        lines.append(f"{name:<{width}}  {counts[0]:>7,}  {counts[1]:>7,}  {places:>9}")
    return lines


def _describe(media: _Media[Header]) -> str:
    """What the files of a kind are, the most common format first."""
    formats: Counter[str] = Counter()
    for header in media.headers.values():
        if isinstance(header, SoundHeader):
            formats[f"{header.rate:,} Hz, {header.channels} channel(s), {header.coding}"] += 1
        else:
            formats[f"{header.width}x{header.height}, {header.rate:.5g} frames/s, {header.coding}"] += 1
    listed = f"{media.kind:<8}{len(media.headers):,} readable"
    if not formats:
        return listed
    lengths = [f"{length:.5g}" for length in sorted(header.seconds for header in media.headers.values())]
    span = " to ".join(dict.fromkeys((lengths[0], lengths[-1])))
    kinds = "; ".join(f"{name} ({count:,})" for name, count in formats.most_common(_NAMES))
    more = "; ..." if len(formats) > _NAMES else ""
    return f"{listed}, {span} s: {kinds}{more}"
