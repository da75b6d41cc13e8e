"""Clips -> entries of the store: makes what is missing or damaged, in parallel, and resumes after a kill."""

import logging
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError
from sedcrnn.features.feature import Feature
from sedcrnn.features.known_files import Known
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


def extract_all(
    clips: Sequence[Clip], features: Sequence[Feature], store: FeatureStore, workers: int, unreadable: str
) -> tuple[Unreadable, ...]:
    """Make sure that the store holds every feature of every readable clip.

    Every entry is whole or not there, so that a run that was killed is resumed by running it again. Processes that
    were started together (by torchrun or srun, on any number of nodes that see the store) share the work; each returns
    when the store holds everything, with the clips that were skipped (`unreadable=skip`) and the first message.

    Raises:
        ClipError: under `unreadable=stop`, of the first clip that cannot be read, or that kills the process that reads
            it; work under way is finished and kept.
    """
    failures: dict[str, str] = {}
    made = 0
    to_do: list[Task] = []
    for feature in features:
        known = store.known([feature.source(clip) for clip in clips], feature)
        to_do += [(clip, feature) for clip, is_known in zip(clips, known, strict=True) if not is_known]
    bar = progress(total=len(to_do), unit="file", disable=not to_do)
    # Closed at once when a clip stops the run, and not when the error's traceback is forgotten.
    outcomes = _prepare_all(shared(to_do), store, workers)
    with store.saving_every(SAVE_EVERY), bar, closing(outcomes):
        for (clip, feature), error in outcomes:
            bar.set_description_str(f"Preparing {feature.name}", refresh=False)
            bar.update()
            made += error is None
            if error is not None:
                if unreadable == "stop":
                    raise error
                failures.setdefault(clip.id, str(error))
    if made:
        log.info("The features of %d clips are in %s.", len(clips) - len(failures), store.root)
    return tuple(Unreadable(clip.id, failures[clip.id]) for clip in clips if clip.id in failures)


def _prepare_all(tasks: Sequence[Task], store: FeatureStore, workers: int) -> Generator[tuple[Task, ClipError | None]]:
    """Every task with what was wrong with its clip, as soon as it is done."""
    prepare = partial(_prepare_apart if workers else _prepare, store)
    with closing(each_apart(prepare, tasks, workers)) as outcomes:
        for task, outcome in outcomes:
            clip, feature = task
            if isinstance(outcome, KilledError):
                yield (
                    task,
                    _too_much(feature.source(clip), "the process that reads it is killed, also when it is alone"),
                )
            else:
                error, learnt = outcome
                store.remember(learnt)
                yield task, error


def _prepare(store: FeatureStore, task: Task) -> tuple[ClipError | None, Known]:
    """Make one entry unless it is there and whole, perhaps made by another process meanwhile; what is wrong with its
    clip, and nothing."""
    clip, feature = task
    source = feature.source(clip)
    try:
        if not store.knows(source, feature) and not store.verify(store.path(source, feature)):
            store.write(source, feature, extracted(feature, source))
    except ClipError as error:
        return error, {}
    return None, {}


def _prepare_apart(store: FeatureStore, task: Task) -> tuple[ClipError | None, Known]:
    """As `_prepare`, in a worker, with what it learns of files: the process that started it writes that down, of many
    clips at once."""
    with store.saving_every(math.inf):
        return _prepare(store, task)[0], store.take_unsaved()


def extracted(feature: Feature, source: Path) -> NDArray[Any]:
    """The feature of a file.

    Raises:
        ClipError: the file cannot be read, or takes more memory than there is.
    """
    try:
        return feature.extract(source)
    except MemoryError as error:
        raise _too_much(source, f"there is not enough memory for it{f' ({error})' if str(error) else ''}") from error
    except OSError as error:
        raise ClipError(
            f"The file '{source}' cannot be read: {error.strerror or error}",
            "Every listed clip has its audio and its video file",
            "Complete the data set, or choose data.unreadable=skip",
        ) from error


def _too_much(source: Path, problem: str) -> ClipError:
    return ClipError(
        f"The file '{source}' cannot be read: {problem}",
        "A file may be damaged in a way that no decoder survives, or be longer than it should",
        "Write it again, or choose data.unreadable=skip",
    )
