"""Folds of clips with any number of labels: every scene on every side, no location on two."""

from pathlib import Path

import numpy as np
import pytest

from sedcrnn.datasets.clips import UNLABELLED, Clip, Manifest
from sedcrnn.datasets.cross_validation import draw_folds
from sedcrnn.datasets.folds import divide, make_folds, shuffle_labels
from sedcrnn.errors import DataError

SCENES = ("crowd", "rails", "water")


def clip(number: int, location: str, *labels: str, fold: str = "") -> Clip:
    path = Path(f"{number}.mp4")
    return Clip(str(number), path, path, UNLABELLED, "", location, fold, tuple(sorted(labels)))


def clips(seed: int, locations: int = 24) -> list[Clip]:
    """Three clips of each location, whose labels are the location's; a few have none."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(locations):
        labels = [scene for scene in SCENES if rng.random() < 0.4]
        found += [clip(3 * place + number, f"l{place}", *labels) for number in range(3)]
    return found


@pytest.mark.parametrize("seed", range(20))
def test_every_scene_is_on_every_side_and_no_location_on_two(seed: int) -> None:
    manifest = divide("manifest", clips(seed), None, 0.25, 0, "table")
    folds = make_folds(manifest, "location_disjoint", 0.25, 0)
    places = [{one.location for one in fold} for fold in (folds.train, folds.validation, folds.test)]
    assert sum(map(len, places)) == len(set().union(*places))
    for fold in (folds.train, folds.validation, folds.test):
        assert {scene for one in fold for scene in one.scenes} == set(SCENES)
    whole = [scene for one in manifest.clips for scene in one.scenes]
    held = [scene for one in folds.test for scene in one.scenes]
    for scene in SCENES:  # a quarter or more, at most by what locations of other scenes bring
        assert 0.25 <= held.count(scene) / whole.count(scene) < 0.7
    without = {one.location for one in manifest.clips if not one.scenes}
    if len(without) > 3:
        assert without & places[2]


@pytest.mark.parametrize("seed", range(20))
def test_folds_to_be_held_out_in_turn_share_the_scenes_and_what_has_none(seed: int) -> None:
    found = draw_folds(clips(seed, 40), 4, seed)
    counts = {fold: [0, 0, 0, 0] for fold in range(1, 5)}
    for one in clips(seed, 40):
        for column, scene in enumerate((*SCENES, None)):
            counts[found[one.location]][column] += scene in one.scenes if scene else not one.scenes
    numbers = np.array([*counts.values()])
    assert numbers[:, :3].min() >= 3
    assert (np.ptp(numbers, axis=0) <= 9).all()  # three locations


def test_shuffled_labels_stay_together() -> None:
    manifest = divide("manifest", clips(1), None, 0.25, 0, "table")
    folds = make_folds(manifest, "location_disjoint", 0.25, 0)
    shuffled = shuffle_labels(folds, 3)
    assert sorted(str(one.labels) for one in shuffled.train) == sorted(str(one.labels) for one in folds.train)
    assert [one.labels for one in shuffled.train] != [one.labels for one in folds.train]


def test_a_fold_without_a_scene_and_a_scene_of_one_location_are_refused() -> None:
    given = [clip(0, "a", "crowd", fold="train"), clip(1, "b", "rails", "crowd", fold="train"),
             clip(2, "c", "crowd", fold="test")]  # fmt: skip
    with pytest.raises(DataError, match="The test fold has no clips of: rails"):
        divide("manifest", given, None, 0.25, 0, "table")
    alone = [*clips(2, 12), clip(99, "only", "tunnel")]
    with pytest.raises(DataError, match=r"'tunnel' has 1 location\(s\): only"):
        divide("manifest", alone, None, 0.25, 0, "table")
    with pytest.raises(DataError, match=r"3 folds cannot be drawn by group: 'tunnel' has 1"):
        draw_folds(alone, 3, 0)


def test_clips_of_one_scene_do_not_stand_beside_those_of_any_number() -> None:
    single = Clip("x", Path("x"), Path("x"), "crowd", "", "x", "train")
    with pytest.raises(DataError, match="some clips have one scene, and others a list"):
        Manifest("own", ("crowd", "rails"), (single, clip(0, "a", "rails")))
