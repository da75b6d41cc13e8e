"""Clips -> their features in the store, with an estimate of time and room before it starts."""

import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.extraction import Unreadable, extract_all, made
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.store import FeatureStore
from sedcrnn.features.workers import KilledError, each_apart
from sedcrnn.progress import time_in_words
from sedcrnn.sweeps.ranks import rank_and_world_size, shared

log = logging.getLogger(__name__)

TRIED = 3  # clips that are made first, for the estimate
TAU_CLIPS, TAU_SECONDS = 12_291, 10  # of TAU 2021's development set (docs/data_sets.md), for comparison


@dataclass(frozen=True)
class Cost:
    """What a feature takes, measured on a few clips: seconds of one process and bytes per step of 1/5 s; steps per
    clip."""

    feature: str
    seconds: float
    size: float
    steps: float

    def describe(self, what: str, clips: int, steps: float, processes: int) -> str:
        """A line that says how long some clips of a length in steps take, and how much room."""
        room = clips * steps * self.size
        space = f"{room / 1e9:.2f} GB" if room > 1e9 else f"{room / 1e6:.1f} MB"
        return (
            f"  {self.feature:12} {what}: about {time_in_words(clips * steps * self.seconds / processes)} and {space}"
        )


def extract(
    clips: Sequence[Clip], features: Sequence[Feature], root: Path, workers: int, incomplete: str = "unreadable"
) -> tuple[Unreadable, ...]:
    """Make what is missing of a data set's features; the clips that could not be read.

    Raises:
        DataError: too little room on the disk.
    """
    store, costs = FeatureStore(root), []
    processes = max(1, workers) * rank_and_world_size()[1]
    for feature in features:
        if not feature.stored:
            log.info("%s: nothing to be made, since features.%s.storage=none", feature.name, feature.name)
            continue
        known = store.known([feature.source(clip) for clip in clips], feature)
        missing = [clip for clip, is_known in zip(clips, known, strict=True) if not is_known]
        log.info("%s: %d of %d clips are to be made or verified.", feature.name, len(missing), len(clips))
        if missing and (cost := _measure(shared(missing), feature, store, workers)):
            costs.append((cost, len(missing)))
    if costs:
        log.info("Estimate from %d clips, on %d process(es):", TRIED, processes)
        for cost, number in costs:
            log.info(cost.describe(f"here, {number} clips", number, cost.steps, processes))
            tau = f"for TAU 2021, {TAU_CLIPS:,} clips of {TAU_SECONDS} s"
            log.info(cost.describe(tau, TAU_CLIPS, TAU_SECONDS * STEPS_PER_SECOND, processes))
        needed = sum(number * cost.steps * cost.size for cost, number in costs)
        free = shutil.disk_usage(store.root).free
        if needed > free:
            raise DataError(
                f"The features need about {needed / 1e9:.1f} GB, and {store.root} has {free / 1e9:.1f} GB left",
                "There has to be room for all of them",
                "Make room, or choose another folder with store=<folder>",
            )
    started = time.monotonic()
    stored = [feature for feature in features if feature.stored]
    unreadable = extract_all(clips, stored, store, workers, "skip", incomplete).unreadable
    duration = time.monotonic() - started
    if files := sum(number for _, number in costs):
        log.info("%d files took %s: %.1f per second.", files, time_in_words(duration), files / duration)
    return unreadable


def _measure(clips: Sequence[Clip], feature: Feature, store: FeatureStore, workers: int) -> Cost | None:
    """Time a feature on the first few clips that can be read, and keep what is made; None where none can be read."""
    seconds, steps, size, tried = 0.0, 0.0, 0, 0
    with closing(each_apart(partial(_time, feature, store), clips, min(1, workers))) as outcomes:
        for _, outcome in outcomes:
            if outcome is None or isinstance(outcome, KilledError):
                continue  # the extraction reports it with all others
            tried, seconds, steps, size = tried + 1, seconds + outcome[0], steps + outcome[1], size + outcome[2]
            if tried == TRIED:
                break
    return Cost(feature.name, seconds / steps, size / steps, steps / tried) if tried else None


def _time(feature: Feature, store: FeatureStore, clip: Clip) -> tuple[float, float, int] | None:
    """Seconds, steps and bytes of a clip's feature, which is stored; None where the clip cannot be read."""
    source = feature.source(clip)
    try:
        if type(feature) not in _loaded:
            made(feature.extract, source)  # the first time compiles and loads what the others find
            _loaded.add(type(feature))
        started = time.process_time()
        values = made(feature.extract, source)
        seconds = time.process_time() - started
        return seconds, len(values) / feature.per_step, store.write(source, feature, values).stat().st_size
    except ClipError:
        return None


_loaded: set[type[Feature]] = set()  # kinds of features that this process has made
