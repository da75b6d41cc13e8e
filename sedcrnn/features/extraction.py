"""Clips -> entries of the store: makes what is missing or damaged, in parallel, and resumes after a kill."""

import logging
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.feature import Feature
from sedcrnn.features.feature import unreadable as unreadable_file
from sedcrnn.features.known_files import Known
from sedcrnn.features.media_file import within_memory
from sedcrnn.features.store import SAVE_EVERY, FeatureStore
from sedcrnn.features.workers import KilledError, each_apart
from sedcrnn.progress import progress
from sedcrnn.sweeps.ranks import shared

log = logging.getLogger(__name__)

Task = tuple[Clip, Feature]


@dataclass(frozen=True)
class Unreadable:
    """A clip that was left out, by its id, and why."""

    clip: str
    message: str


@dataclass(frozen=True)
class Extraction:
    """What an extraction could not make: clips that it left out, and, of every feature, the ids of clips that are kept
    although they lack the track that it is made from."""

    unreadable: tuple[Unreadable, ...] = ()
    lacking: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackEntry:
    """The entry, without values, by which the store remembers that a file has a track, or has it not."""

    track: str
    is_there: bool

    @property
    def name(self) -> str:
        """See `Stored`."""
        return f"{'has' if self.is_there else 'no'}-{self.track}"

    def parameters(self) -> dict[str, object]:
        """See `Stored`."""
        return {"track": self.track, "is_there": self.is_there, "version": 1}


def extract_all(
    clips: Sequence[Clip],
    features: Sequence[Feature],
    store: FeatureStore,
    workers: int,
    unreadable: str,
    incomplete: str = "unreadable",
) -> Extraction:
    """Make sure that the store holds every feature of every readable clip.

    Every entry is whole or not there, so that a run that was killed is resumed by running it again. Processes that
    were started together (by torchrun or srun, on any number of nodes that see the store) share the work; each returns
    when the store holds everything, with the clips that were skipped (`unreadable=skip`) and the first message. With
    `incomplete=use`, clips that lack one of several tracks are no failure; of features that are not stored, the store
    then remembers which clips have their track.

    Raises:
        ClipError: under `unreadable=stop`, of the first clip that cannot be read, or that kills the process that reads
            it; work under way is finished and kept.
    """
    uses_incomplete = incomplete == "use"
    failures: dict[str, str] = {}
    number = 0
    to_do: list[Task] = []
    for feature in features:
        if not feature.stored and not uses_incomplete:
            continue
        made_of = feature if feature.stored else TrackEntry(feature.track, is_there=True)
        known = store.known([feature.source(clip) for clip in clips], made_of)
        unknown = [clip for clip, is_known in zip(clips, known, strict=True) if not is_known]
        absent = _lacking(unknown, feature, store) if uses_incomplete else frozenset()
        to_do += [(clip, feature) for clip in unknown if clip.id not in absent]
    bar = progress(total=len(to_do), unit="file", disable=not to_do)
    # Closed at once when a clip stops the run, and not when the error's traceback is forgotten.
    outcomes = _prepare_all(shared(to_do), store, workers, uses_incomplete)
    with store.saving_every(SAVE_EVERY), bar, closing(outcomes):
        for (clip, feature), error in outcomes:
            bar.set_description_str(f"Preparing {feature.name}", refresh=False)
            bar.update()
            number += error is None
            if error is not None:
                if unreadable == "stop":
                    raise error
                failures.setdefault(clip.id, str(error))
    lacking = {each.name: _lacking(clips, each, store) for each in features} if uses_incomplete else {}
    for clip in clips:
        if len(features) > 1 and all(clip.id in ids for ids in lacking.values()) and lacking:
            neither = unreadable_file(features[0].source(clip), "has neither audio nor video")
            if unreadable == "stop":
                raise neither
            failures.setdefault(clip.id, str(neither))
    if number:
        log.info("The features of %d clips are in %s.", len(clips) - len(failures), store.root)
    return Extraction(tuple(Unreadable(clip.id, failures[clip.id]) for clip in clips if clip.id in failures), lacking)


def _lacking(clips: Sequence[Clip], feature: Feature, store: FeatureStore) -> frozenset[str]:
    """Ids of the clips that are known to lack what a feature is made from."""
    known = store.known([feature.source(clip) for clip in clips], TrackEntry(feature.track, is_there=False))
    return frozenset(clip.id for clip, is_known in zip(clips, known, strict=True) if is_known)


def _prepare_all(
    tasks: Sequence[Task], store: FeatureStore, workers: int, uses_incomplete: bool
) -> Generator[tuple[Task, ClipError | None]]:
    """Every task with what was wrong with its clip, as soon as it is done."""
    prepare = partial(_prepare_apart if workers else _prepare, store, uses_incomplete)
    with closing(each_apart(prepare, tasks, workers)) as outcomes:
        for task, outcome in outcomes:
            clip, feature = task
            if isinstance(outcome, KilledError):
                yield task, _killed(feature.source(clip))
            else:
                error, learnt = outcome
                store.remember(learnt)
                yield task, error


def _prepare(store: FeatureStore, uses_incomplete: bool, task: Task) -> tuple[ClipError | None, Known]:
    """Make one entry unless it is there and whole, perhaps made by another process meanwhile; what is wrong with its
    clip, and nothing."""
    clip, feature = task
    source = feature.source(clip)
    try:
        if not feature.stored:
            made(lambda path: next(feature.stream(path)), source)
            store.write(source, TrackEntry(feature.track, is_there=True), np.zeros(0, np.uint8))
        elif not store.knows(source, feature) and not store.verify(store.path(source, feature)):
            store.write(source, feature, made(feature.extract, source))
    except MissingTrackError as error:
        if not uses_incomplete:
            return error, {}
        store.write(source, TrackEntry(feature.track, is_there=False), np.zeros(0, np.uint8))
    except ClipError as error:
        return error, {}
    return None, {}


def _prepare_apart(store: FeatureStore, uses_incomplete: bool, task: Task) -> tuple[ClipError | None, Known]:
    """As `_prepare`, in a worker, with what it learns of files: the process that started it writes that down, of many
    clips at once."""
    with store.saving_every(math.inf):
        return _prepare(store, uses_incomplete, task)[0], store.take_unsaved()


def made(make: Callable[[Path], NDArray[Any]], source: Path) -> NDArray[Any]:
    """What `make`, such as `Feature.extract`, makes of a file.

    Raises:
        ClipError: the file cannot be read, or takes more memory than there is.
    """
    try:
        with within_memory(source):
            return make(source)
    except OSError as error:
        raise ClipError(
            f"The file '{source}' cannot be read: {error.strerror or error}",
            "Every listed clip has its audio and its video file",
            "Complete the data set, or choose data.unreadable=skip",
        ) from error


def _killed(source: Path) -> ClipError:
    return ClipError(
        f"The file '{source}' cannot be read: the process that reads it is killed, also when it is alone",
        "A file may be damaged in a way that no decoder survives, or be longer than it should",
        "Write it again, or choose data.unreadable=skip",
    )
