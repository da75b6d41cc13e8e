"""Clips -> entries of the store: makes what is missing or damaged, in parallel, and resumes after a kill."""

import logging
import math
import multiprocessing
import os
import sys
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError
from sedcrnn.features.feature import Feature
from sedcrnn.features.media_file import within_memory
from sedcrnn.features.store import SAVE_EVERY, FeatureStore, Known
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
        ClipError: under `unreadable=stop`, of the first clip that cannot be read; work under way is finished and kept.
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
    if workers == 0:
        for task in tasks:
            yield task, _prepare(task, store)
        return
    # Not a fork of this process, which would copy its threads (torch, Lightning, tqdm) in whatever state they are.
    context = multiprocessing.get_context("forkserver")
    # Loaded once for all workers, so that nothing is left to import when they run the main module's imports again.
    context.set_forkserver_preload(sorted(name for name in sys.modules if name.startswith("sedcrnn.")))
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        futures = {pool.submit(_prepare_apart, task, store): task for task in tasks}
        for future in as_completed(futures):
            error, learnt = future.result()
            store.remember(learnt)
            yield futures[future], error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(task: Task, store: FeatureStore) -> ClipError | None:
    """Make one entry unless it is there and whole, perhaps made by another process meanwhile."""
    clip, feature = task
    source = feature.source(clip)
    try:
        if not store.knows(source, feature) and not store.verify(store.path(source, feature)):
            with within_memory(source):
                values = feature.extract(source)
            store.write(source, feature, values)
    except ClipError as error:
        return error
    return None


def _prepare_apart(task: Task, store: FeatureStore) -> tuple[ClipError | None, Known]:
    """As `_prepare`, in a worker: what it learns of files is written down by the process that started it, of many
    clips at once."""
    with store.saving_every(math.inf):
        return _prepare(task, store), store.take_unsaved()


def _start_worker() -> None:
    """One thread per worker, and an end with the process that started it, even if that was killed."""
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when a feature first imports it
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
