"""Manifest -> train, validation and test folds, no location on two sides."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sedcrnn.clips import Clip, Manifest
from sedcrnn.errors import ConfigError, DataError

# Checkpoints are selected on a part of the training fold that shares no location with the rest ...
LOCATION_DISJOINT = "location_disjoint"
# ... or, only when a config says so by this name, on the test fold itself, as the authors did: the test
# figures are then figures of a selection set.
TEST_FOLD_AS_AUTHORS = "test_fold_as_the_authors_did"

Selection = Literal["location_disjoint", "test_fold_as_the_authors_did"]


@dataclass(frozen=True)
class Folds:
    """The clips that are trained on, that select the checkpoint, and that are reported."""

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]


def make_folds(manifest: Manifest, selection: str, validation_share: float, seed: int) -> Folds:
    """Split a manifest's training fold into train and validation, or take the authors' protocol.

    Args:
        manifest: clips with their own `train` and `test` folds.
        selection: `location_disjoint` or `test_fold_as_the_authors_did`.
        validation_share: share of each scene's training clips that validation gets, in (0, 1); reached or
            just exceeded, since locations are never cut.
        seed: seed of the draw.

    Raises:
        ConfigError: an unknown selection or a share outside (0, 1).
        DataError: a scene whose training clips all come from one location.
    """
    train, test = manifest.fold("train"), manifest.fold("test")
    if selection == TEST_FOLD_AS_AUTHORS:
        return Folds(train, validation=test, test=test)
    if selection != LOCATION_DISJOINT:
        raise ConfigError(
            f"data.selection is '{selection}'",
            f"It may be '{LOCATION_DISJOINT}' or '{TEST_FOLD_AS_AUTHORS}'",
            f"Use data.selection={LOCATION_DISJOINT} unless you want the authors' protocol",
        )
    if not 0 < validation_share < 1:
        raise ConfigError(
            f"data.validation_share is {validation_share}",
            "It is a share of the training clips, above 0 and below 1",
            "Use data.validation_share=0.15",
        )
    held_out = _draw_locations(train, validation_share, np.random.default_rng(seed))
    return Folds(
        train=tuple(clip for clip in train if clip.location not in held_out),
        validation=tuple(clip for clip in train if clip.location in held_out),
        test=test,
    )


def _draw_locations(clips: tuple[Clip, ...], share: float, rng: np.random.Generator) -> set[str]:
    """Locations for validation: for every scene, in random order, until it has its share of that scene's clips.

    A location may hold several scenes; it moves as a whole, and never if that would leave one of its scenes
    without a training location.
    """
    clips_of_scene = Counter(clip.scene for clip in clips)
    locations_of_scene: defaultdict[str, set[str]] = defaultdict(set)
    scenes_at_location: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        locations_of_scene[clip.scene].add(clip.location)
        scenes_at_location[clip.location][clip.scene] += 1

    held_out: set[str] = set()
    held_out_clips: Counter[str] = Counter()
    for scene, locations in sorted(locations_of_scene.items()):
        for location in rng.permutation(sorted(locations)).tolist():
            if held_out_clips[scene] >= share * clips_of_scene[scene]:
                break
            leaves_none = any(locations_of_scene[s] <= held_out | {location} for s in scenes_at_location[location])
            if location not in held_out and not leaves_none:
                held_out.add(location)
                held_out_clips += scenes_at_location[location]
        if not held_out_clips[scene]:
            raise DataError(
                f"Scene '{scene}' has {len(locations)} training location(s): {', '.join(sorted(locations))}",
                "Validation needs a location of every scene that is not trained on, so at least two",
                f"Add clips of '{scene}' from another location, or select by name on the test fold with "
                f"data.selection={TEST_FOLD_AS_AUTHORS}",
            )
    return held_out
