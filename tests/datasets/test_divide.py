"""Your own data: label order, and test folds that are drawn by group or checked as given."""

from pathlib import Path

import pytest

from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.folds import LOCATION_DISJOINT, divide, label_order, make_folds
from sedcrnn.errors import ConfigError, DataError


def clip(scene: str, number: int, group: str = "", fold: str = "") -> Clip:
    name = f"{scene}/{number}"
    return Clip(name, Path(f"{name}.mp4"), Path(f"{name}.mp4"), scene, "", group or name, fold)


def test_a_test_fold_is_drawn_by_group_and_leaves_enough_for_validation() -> None:
    """Groups of 1 to 5 clips in each scene, one that both scenes share, and clips without a group."""
    clips = [
        clip(scene, 10 * g + n, f"{scene}-{g}") for scene in ("bus", "park") for g in range(5) for n in range(g + 1)
    ]
    clips += [clip("bus", 90, "both"), clip("park", 91, "both"), clip("bus", 92), clip("park", 93)]
    drawn = set()
    for seed in range(100):
        manifest = divide("made", clips, None, 0.25, seed, "made")
        assert manifest.scenes == ("bus", "park")
        assert [c.id for c in manifest.clips] == [c.id for c in clips]
        folds = make_folds(manifest, LOCATION_DISJOINT, 0.15, seed)
        sides = [{c.location for c in side} for side in (folds.train, folds.validation, folds.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 13  # no group on two sides
        assert all({c.scene for c in side} == {"bus", "park"} for side in (folds.train, folds.validation, folds.test))
        for scene in ("bus", "park"):
            assert sum(c.scene == scene for c in folds.test) >= 0.25 * 17
        drawn.add(frozenset(sides[2]))
    assert len(drawn) > 20
    assert divide("made", clips, None, 0.25, 3, "made") == divide("made", clips, None, 0.25, 3, "made")


def test_three_clips_a_scene_are_the_fewest_that_can_be_divided() -> None:
    clips = [clip(scene, n) for scene in ("bus", "park") for n in range(3)]
    manifest = divide("made", clips, None, 0.25, 0, "made")
    folds = make_folds(manifest, LOCATION_DISJOINT, 0.15, 0)
    assert [len(side) for side in (folds.train, folds.validation, folds.test)] == [2, 2, 2]
    with pytest.raises(DataError) as error:
        divide("made", [*clips, clip("tram", 0), clip("zoo", 0), clip("zoo", 1)], None, 0.25, 0, "made")
    assert "test fold cannot be drawn: 'tram' has 1 location(s): tram/0; 'zoo' has 2 location(s)" in str(error.value)
    one_group = [clip("bus", n, "line 5") for n in range(9)]
    with pytest.raises(DataError, match=r"'bus' has 1 location\(s\): line 5\. .*\(or group\) is never cut"):
        divide("made", [*one_group, *clips[3:]], None, 0.25, 0, "made")


def test_given_folds_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clips = [clip(scene, n, fold="test" if n > 2 else "train") for scene in ("bus", "park") for n in range(5)]
    manifest = divide("made", clips, ["park", "bus"], 0.25, 0, "clips.csv")
    assert manifest.clips == tuple(clips)
    assert manifest.scenes == ("park", "bus")
    assert caplog.messages == ["clips.csv: 2 scenes, 6 clips to train and 4 to test, as given"]


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([clip("bus", 0, fold="train"), clip("park", 1)], "'park/1' is in no fold"),
        ([clip("bus", 0, fold="train"), clip("park", 1, fold="dev")], "'park/1' is in the fold 'dev'.*train, test"),
        (
            [clip("bus", 0, fold="train"), clip("bus", 1, fold="test"), clip("park", 2, fold="train")],
            "test fold has no clips of: park",
        ),
        (
            [
                clip(scene, number, f"line {scene}", fold)
                for number, fold in enumerate(("train", "test"))
                for scene in ("bus", "park")
            ],
            r"share 2 group\(s\): line bus, line park",
        ),
    ],
)
def test_given_folds_that_cannot_be_are_refused(clips: list[Clip], message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide("made", clips, None, 0.25, 0, "made")


def test_labels_are_sorted_unless_an_order_is_given() -> None:
    assert label_order(["tram", "bus", "tram", "Park"]) == ("Park", "bus", "tram")
    assert label_order(["tram", "bus", "tram"], ["tram", "bus"]) == ("tram", "bus")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "There are no labels"),
        (["bus", "bus"], "All clips have the label 'bus'"),
        (["bus", "park", "bus "], "The labels 'bus' and 'bus ' differ only in case, in space"),
        (["bus", "park", "Bus"], "The labels 'Bus' and 'bus' differ only in case"),
        (["cafe\u0301", "caf\u00e9"], r"The labels 'cafe\\u0301' and 'caf\\xe9' differ only in"),
    ],
)
def test_labels_without_an_order_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        label_order(labels)


def test_given_scenes_are_different_and_have_clips() -> None:
    with pytest.raises(DataError, match=r"names trma, of which there are no clips.*labels bus, tram"):
        label_order(["tram", "bus"], ["trma", "bus"])
    with pytest.raises(ConfigError, match=r"data\.source\.scenes is .*\[bus,tram\]"):
        label_order(["tram", "bus"], ["bus", "bus"])
