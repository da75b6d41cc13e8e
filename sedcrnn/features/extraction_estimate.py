"""Data set -> features of all its clips in the store, in parallel; estimated first, and bad files listed at the end.

python -m sedcrnn.extract data=tau2021 data.root=<folder> [only=spectrogram] [data.extraction_workers=2]
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.extraction import Unreadable, extract_all
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.store import FeatureStore
from sedcrnn.sweeps.ranks import rank_and_world_size, shared

TRIED = 3
"""Clips that are made first, for the estimate."""

TAU_CLIPS, TAU_SECONDS = 12_291, 10
"""TAU Urban Audio-Visual Scenes 2021, development set (dataset.md), for comparison."""


@dataclass(frozen=True)
class Cost:
    """What a feature takes, measured on a few clips.

    Attributes:
        feature: its name.
        seconds: of one process, per step of 1/5 s.
        size: bytes per step.
        steps: per clip.
    """

    feature: str
    seconds: float
    size: float
    steps: float

    def told(self, what: str, clips: int, steps: float, processes: int) -> str:
        """A line that says how long so many clips of so many steps take, and how much room."""
        duration = clips * steps * self.seconds / processes
        room = clips * steps * self.size
        told = f"{room / 1e9:.2f} GB" if room > 1e9 else f"{room / 1e6:.1f} MB"
        return f"  {self.feature:12} {what}: about {in_words(duration)} and {told}"


def extract(clips: Sequence[Clip], wanted: Sequence[Feature], root: Path, workers: int) -> tuple[Unreadable, ...]:
    """Make what is missing of a data set's features.

    Returns:
        The clips that could not be read.

    Raises:
        ConfigError: `only` names no feature.
        DataError: what the data set's lists raise, or too little room on the disk.
    """
    features = []
    for feature in wanted:
        if feature.stored:
            features.append(feature)
        else:
            print(f"{feature.name}: nothing to be made, since features.{feature.name}.storage=none")
    store = FeatureStore(root)
    processes = max(1, workers) * rank_and_world_size()[1]
    costs = []
    for feature in features:
        missing = [clip for clip in clips if not store.knows(feature.source(clip), feature)]
        print(f"{feature.name}: {len(missing)} of {len(clips)} clips are to be made or verified.")
        if missing and (cost := measure(shared(missing), feature, store)):
            costs.append((cost, len(missing)))
    if costs:
        print(f"Estimate from {TRIED} clips, on {processes} process(es):")
        for cost, missing_clips in costs:
            print(cost.told(f"here, {missing_clips} clips", missing_clips, cost.steps, processes))
            tau = f"for TAU 2021, {TAU_CLIPS:,} clips of {TAU_SECONDS} s"
            print(cost.told(tau, TAU_CLIPS, TAU_SECONDS * STEPS_PER_SECOND, processes))
        _check_room(sum(clips * cost.steps * cost.size for cost, clips in costs), store.root)
    started = time.monotonic()
    bad = extract_all(clips, features, store, workers, "skip")
    duration = time.monotonic() - started
    made = sum(missing_clips for _, missing_clips in costs)
    if made:
        print(f"{made} files took {in_words(duration)}: {made / duration:.1f} per second.")
    return bad


def measure(clips: Sequence[Clip], feature: Feature, store: FeatureStore) -> Cost | None:
    """Time a feature on the first few clips that can be read, and keep what is made; None where none can be read."""
    seconds, steps, size, tried = 0.0, 0.0, 0, 0
    for clip in clips:
        source = feature.source(clip)
        try:
            if tried == 0:
                feature.extract(source)  # the first time compiles and loads what the others find
            started = time.process_time()
            values = feature.extract(source)
            seconds += time.process_time() - started
            entry = store.write(source, feature, values)
        except ClipError:
            continue  # told by the extraction itself, with all others
        tried, steps, size = tried + 1, steps + len(values) / feature.per_step, size + entry.stat().st_size
        if tried == TRIED:
            break
    return Cost(feature.name, seconds / steps, size / steps, steps / tried) if tried else None


def in_words(seconds: float) -> str:
    """A duration as people say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _check_room(needed: float, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"The features need about {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB left",
            "There has to be room for all of them",
            "Make room, or choose another folder with store=<folder>",
        )
