"""Manifest -> lists and folds, all media -> what is there, and what is wrong with it, in one screen."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, zip_longest
from statistics import median_low

from sedcrnn.datasets.clip_facts import ClipFacts, Header, TrackFacts, all_cores, read_facts
from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.fingerprint import find_alike
from sedcrnn.datasets.folds import FOLDS, label_order, make_folds
from sedcrnn.datasets.headers import AudioHeader, VideoHeader
from sedcrnn.datasets.identity import PROBLEMS, contents_of, find_copies, with_side
from sedcrnn.errors import DataError, visible
from sedcrnn.features.feature import STEPS_PER_SECOND

SKEW = 0.5  # seconds by which audio and video of a clip may differ in length
_ROWS, _NAMES = 20, 3  # of a table, and of a finding, so that the report fits a screen


@dataclass
class Report:
    """What a data set holds, and what is wrong with it."""

    manifest: Manifest
    media: list[str] = field(default_factory=list)  # a line for audio and one for video
    errors: list[str] = field(default_factory=list)  # what keeps it from being used as it is
    warnings: list[str] = field(default_factory=list)  # what it can be used with, but should be known

    def __str__(self) -> str:
        clips = self.manifest.clips
        scenes, cities = (
            _table("scene", clips, lambda clip: clip.scenes),
            _table("city", clips, lambda clip: [clip.city]),
        )
        pairs = zip_longest(scenes, cities, fillvalue="")
        lines = [f"{scene:{len(scenes[0])}}      {city}".rstrip() for scene, city in pairs]
        for title, findings in (("Media", self.media), ("Errors", self.errors), ("Warnings", self.warnings)):
            if findings:
                lines += ["", title, *(f"  {finding}" for finding in findings)]
        return "\n".join(map(visible, lines))


def check(
    manifest: Manifest,
    selection: str,
    validation_fraction: float,
    seed: int,
    jobs: int | None,
    known: Mapping[str, str],
    similar: bool = True,
) -> Report:
    """Check lists, folds (as `make_folds` makes them) and all media, by so many processes (None: all cores).

    `known` says what is known to be wrong with the videos of some clips, which is then a warning. `similar` compares
    the sound of clips, and not only the bytes of their files.
    """
    report, jobs = Report(manifest), jobs or all_cores()
    _check_lists(report, partial(make_folds, manifest, selection, validation_fraction, seed))
    facts = dict(zip(manifest.clips, read_facts(manifest.clips, jobs, similar), strict=True))
    audio = _check_track(report, "audio", {clip.id: its.audio for clip, its in facts.items()}, {})
    video = _check_track(report, "video", {clip.id: its.video for clip, its in facts.items()}, known)
    _check_formats(report, audio, video)
    _check_copies(report, facts, jobs)
    return report


def _check_lists(report: Report, draw_folds: Callable[[], object]) -> None:
    manifest = report.manifest
    train, test = (manifest.fold(fold) for fold in FOLDS)
    for fold, clips, findings in (("train", train, report.errors), ("test", test, report.warnings)):
        present = {scene for clip in clips for scene in clip.scenes}
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


def _check_track(
    report: Report, kind: str, tracks: Mapping[str, TrackFacts[Header]], known: Mapping[str, str]
) -> dict[str, Header]:
    """The headers of the clips that have one. What is known of the others is a warning, and all else an error."""
    headers = {clip: track.header for clip, track in tracks.items() if track.header is not None}
    absent = [clip for clip, track in tracks.items() if track.is_absent]
    faults = {clip: track.fault for clip, track in tracks.items() if track.header is None and not track.is_absent}
    report.warnings += [
        f"{clip}: {known[clip]}, and so it is here; data.unreadable=skip leaves it out"
        for clip in faults
        if clip in known
    ]
    report.errors += _found(f"{kind} missing", [clip for clip in faults if not faults[clip] and clip not in known])
    unreadable = [clip for clip in faults if faults[clip] and clip not in known]
    report.errors += _found(f"{kind} unreadable", unreadable)
    report.errors += [told for clip in unreadable[:_NAMES] if (told := f"  {faults[clip]}") not in report.errors]
    if absent and not headers:
        report.media.append(f"{kind:<8}none, so this is for networks that do without")
        return headers
    report.warnings += _found(f"no {kind}, so only networks that do without are trained on all clips", absent)
    report.media.append(f"{kind:<8}{_describe(list(headers.values()))}")
    return headers


def _check_copies(report: Report, facts: Mapping[Clip, ClipFacts], jobs: int) -> None:
    """The same recording on both sides of the split is an error where its bytes are the same; whatever else may be one
    recording is a warning."""
    clips, sides = report.manifest.clips, {clip.id: clip.fold for clip in report.manifest.clips}
    files = list(dict.fromkeys(file for clip in clips for file in (clip.audio, clip.video) if file.is_file()))
    with ThreadPoolExecutor(jobs) as pool:
        contents = dict(zip(files, contents_of(files, pool.map), strict=True))
    tracks = {
        "audio": [contents.get(clip.audio) for clip in clips],
        "video": [contents.get(clip.video) for clip in clips],
    }
    copies = find_copies(clips, tracks)
    for problem in (*PROBLEMS, ""):
        named = [one.named(sides) for one in copies if one.problem(sides) == problem]
        if problem:
            report.errors += _found(f"the same bytes {problem}", named)
        else:
            report.warnings += _found("the same bytes more than once", named)
    same = {(one, other) for group in copies for one in group.clips for other in group.clips}
    pairs = [(clips[one], clips[other]) for one, other in find_alike([its.codes for its in facts.values()])]
    pairs = sorted((pair for pair in pairs if pair not in same), key=lambda pair: pair[0].fold == pair[1].fold)
    named = [" and ".join(with_side(clip, sides) for clip in pair) for pair in pairs]
    report.warnings += _found("audio so alike that it may be of one recording", named)


def _table(title: str, clips: Sequence[Clip], keys: Callable[[Clip], Sequence[str]]) -> list[str]:
    """Lines of a table: clips and locations per fold, by scene (or scenes) or by city, and in all."""
    names = sorted({key for clip in clips for key in keys(clip)})
    groups = {name: [clip for clip in clips if name in keys(clip)] for name in names[:_ROWS]}
    if len(names) > _ROWS:
        groups[f"{len(names) - _ROWS} more"] = [clip for clip in clips if set(keys(clip)) & set(names[_ROWS:])]
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
