"""Manifest or folds -> the same clips, divided or labelled in another way, which tells how far to trust results."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS, Folds
from sedcrnn.errors import ConfigError, DataError, nearest


def leave_city_out(manifest: Manifest, city: str) -> Manifest:
    """The manifest with all clips of one city as its test fold, and all others as its training fold.

    Scores on cities that took part in training are higher than on others (frontier.md): one run per city tells by how
    much.

    Raises:
        ConfigError: no clip is of that city, or all are.
    """
    cities = {clip.city for clip in manifest.clips if clip.city}
    if city not in cities or len({clip.city for clip in manifest.clips}) == 1:
        near = f"; the nearest is {nearest(city, cities)}" if cities else ""
        raise ConfigError(
            f"data.leave_out_city is '{city}', and the data set '{manifest.name}' has clips of "
            f"{', '.join(sorted(cities)) or 'no known city'}",
            f"It is one of at least two cities of the data set{near}",
            "Correct the name, or set data.leave_out_city=null for the data set's own folds",
        )
    clips = (replace(clip, fold="test" if clip.city == city else "train") for clip in manifest.clips)
    return replace(manifest, name=f"{manifest.name} without {city}", clips=tuple(clips))


def shuffle_labels(folds: Folds, seed: int) -> Folds:
    """The negative control: labels change places at random within what is trained on, and within what selects the
    checkpoint, so that nothing can be learnt from them; those of the test fold stay. Whatever is better than chance
    after that has seen the test fold.

    Args:
        folds: with true labels.
        seed: seed of the permutation.
    """
    rng = np.random.default_rng(seed)

    def shuffled(clips: Sequence[Clip]) -> tuple[Clip, ...]:
        scenes = rng.permutation([clip.scene for clip in clips]).tolist()
        return tuple(replace(clip, scene=scene) for clip, scene in zip(clips, scenes, strict=True))

    return Folds(shuffled(folds.train), shuffled(folds.validation), folds.test)


def check_selection(folds: Folds, selection: str) -> dict[str, object]:
    """Make sure that the test fold takes no part in training and selection, and count how much of it does: what a run
    records of its selection.

    Args:
        folds: of the run.
        selection: protocol, as `data.selection` names it.

    Raises:
        DataError: clips or locations of the test fold take part, and the protocol does not say so by name.
    """
    used = (*folds.train, *folds.validation)
    clips = {clip.id for clip in folds.test} & {clip.id for clip in used}
    locations = {clip.location for clip in folds.test} & {clip.location for clip in used}
    if (clips or locations) and selection != TEST_FOLD_AS_AUTHORS:
        raise DataError(
            f"{len(clips)} clips and {len(locations)} locations of the test fold are among those that are trained on "
            f"or select the checkpoint: {', '.join(sorted(clips | locations)[:3])}",
            "No location is on two sides",
            f"Correct the data set's lists, or say it by name: data.selection={TEST_FOLD_AS_AUTHORS}",
        )
    return {
        "test_clips_in_selection": len(clips),
        "test_locations_in_selection": len(locations),
        "test_fold_took_no_part": not clips and not locations,
    }
