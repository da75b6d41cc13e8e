"""Manifest -> train, validation and test folds, no location on two sides."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sedcrnn.datasets.clips import Clip, Manifest
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


def make_folds(manifest: Manifest, selection: str, validation_fraction: float, seed: int) -> Folds:
    """Split a manifest's training fold into train and validation, or take the authors' protocol.

    Args:
        manifest: clips with their own `train` and `test` folds.
        selection: `location_disjoint` or `test_fold_as_the_authors_did`.
        validation_fraction: share of each scene's training clips that validation gets, in (0, 1); reached or
            just exceeded, since locations are never cut.
        seed: seed of the draw.

    Raises:
        ConfigError: an unknown selection or a share outside (0, 1).
        DataError: scenes whose training clips all come from one location.
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
    if not 0 < validation_fraction < 1:
        raise ConfigError(
            f"data.validation_fraction is {validation_fraction}",
            "It is a share of the training clips, above 0 and below 1",
            "Use data.validation_fraction=0.15",
        )
    held_out = draw_locations(
        train,
        validation_fraction,
        seed,
        leaving=1,
        fold="validation",
        otherwise=f"select by name on the test fold with data.selection={TEST_FOLD_AS_AUTHORS}",
    )
    return Folds(
        train=tuple(clip for clip in train if clip.location not in held_out),
        validation=tuple(clip for clip in train if clip.location in held_out),
        test=test,
    )


def draw_locations(
    clips: Sequence[Clip], share: float, seed: int, *, leaving: int, fold: str, otherwise: str
) -> set[str]:
    """Locations to hold out: for every scene, in random order, until it has its share of that scene's clips.

    A location may hold several scenes; it moves as a whole, and never if that would leave one of its scenes
    with fewer than `leaving` locations. One that has most of a scene's clips is the last to be drawn for a scene.

    Args:
        clips: to draw from.
        share: of each scene's clips, in (0, 1); reached or just exceeded where the locations allow it.
        seed: seed of the draw.
        leaving: locations that every scene keeps, 1 or more.
        fold: what they are drawn for, for the message.
        otherwise: what the user can do instead of adding clips, for the message.

    Raises:
        DataError: naming all scenes of which no location could be held out.
    """
    clips_of_scene = Counter(clip.scene for clip in clips)
    locations_of_scene: defaultdict[str, set[str]] = defaultdict(set)
    scenes_at_location: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        locations_of_scene[clip.scene].add(clip.location)
        scenes_at_location[clip.location][clip.scene] += 1

    def holds_most_of_a_scene(location: str) -> bool:
        return any(2 * count > clips_of_scene[scene] for scene, count in scenes_at_location[location].items())

    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    held_out_clips: Counter[str] = Counter()
    for scene, locations in sorted(locations_of_scene.items()):
        for location in sorted(rng.permutation(sorted(locations)).tolist(), key=holds_most_of_a_scene):
            if held_out_clips[scene] >= share * clips_of_scene[scene]:
                break
            left = (locations_of_scene[other] - held_out - {location} for other in scenes_at_location[location])
            if location not in held_out and all(len(others) >= leaving for others in left):
                held_out.add(location)
                held_out_clips += scenes_at_location[location]
    if short := [scene for scene in sorted(locations_of_scene) if not held_out_clips[scene]]:
        counts = (f"'{scene}' has {_told(locations_of_scene[scene])}" for scene in short)
        raise DataError(
            f"The {fold} fold cannot be drawn: {'; '.join(counts)}",
            f"It takes a location of every scene and leaves at least {leaving} of each; a location (or group) is never "
            "cut, and a clip without one counts as a location of its own",
            f"Add clips of these scenes from other locations, or {otherwise}",
        )
    return held_out


def _told(locations: set[str]) -> str:
    """How many they are, and the first of them."""
    names = sorted(locations)
    return f"{len(names)} location(s): {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
