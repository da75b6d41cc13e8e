"""Folds by group: each clip held out once, no group cut, scenes about alike in all; and what is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import DataConfig, TrainConfig
from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.cross_validation import draw_folds, hold_out, parts
from sedcrnn.datasets.folds import make_folds
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.pipeline import PipelineConfig


def clip(scene: str, group: str, number: int, fold: str = "train", city: str = "") -> Clip:
    name = f"{scene}-{group}-{number}"
    return Clip(name, Path(f"{name}.wav"), Path(f"{name}.mp4"), scene, city, group, fold)


def made(*clips: Clip) -> Manifest:
    return Manifest("made", tuple(sorted({one.scene for one in clips})), clips)


@pytest.fixture
def manifest() -> Manifest:
    """Buses of 11 groups with 1 to 4 clips, parks of 7 with 2, in both folds; two cities."""
    buses = [("bus", f"b{group}", n) for group in range(11) for n in range(group % 4 + 1)]
    parks = [("park", f"p{group}", n) for group in range(7) for n in range(2)]
    return made(
        *(
            clip(*one, fold="test" if one[1][1:] == "0" else "train", city="oslo" if one[2] else "rome")
            for one in buses
        ),
        *(clip(*one, fold="test" if one[1][1:] == "0" else "train", city="oslo") for one in parks),
    )


@pytest.fixture
def data() -> DataConfig:
    config: TrainConfig = checked(compose("train", ["experiment=audio", "data=folder", "data.root=nowhere"]))
    return config.data


def test_every_clip_is_held_out_once_and_no_group_is_cut(manifest: Manifest, data: DataConfig) -> None:
    for seed in range(20):
        held_out: Counter[str] = Counter()
        for number in range(1, 6):
            divided = hold_out(manifest, replace(data, folds=5, held_out=number, folds_seed=seed))
            test, train = divided.fold("test"), divided.fold("train")
            assert {one.id for one in (*test, *train)} == {one.id for one in manifest.clips}
            assert not {one.location for one in test} & {one.location for one in train}
            assert {one.scene for one in test} == {"bus", "park"}
            held_out.update(one.id for one in test)
        assert held_out == {one.id: 1 for one in manifest.clips}


def test_folds_differ_in_no_scene_by_more_than_its_largest_group(manifest: Manifest) -> None:
    for seed in range(50):
        fold_of = draw_folds(manifest.clips, 5, seed)
        for scene, largest in (("bus", 4), ("park", 2)):
            counts = Counter(fold_of[one.location] for one in manifest.clips if one.scene == scene)
            assert max(counts.values()) - min(counts.values()) <= largest
            assert set(counts) == {1, 2, 3, 4, 5}


def test_folds_of_groups_of_all_scenes_are_alike() -> None:
    clips = [clip(scene, f"g{group}", 0) for group in range(10) for scene in ("bus", "park", "tram")]
    for seed in range(10):
        assert Counter(draw_folds(clips, 5, seed).values()) == dict.fromkeys(range(1, 6), 2)


def test_the_seed_decides_and_the_order_of_clips_does_not(manifest: Manifest) -> None:
    drawn = [draw_folds(manifest.clips, 5, seed) for seed in range(20)]
    assert draw_folds(manifest.clips[::-1], 5, 3) == drawn[3]
    assert len({tuple(sorted(one.items())) for one in drawn}) > 15


def test_validation_of_the_rest_shares_no_location_with_either(manifest: Manifest, data: DataConfig) -> None:
    for number in range(1, 4):
        divided = hold_out(manifest, replace(data, folds=3, held_out=number))
        folds = make_folds(divided, data.selection, 0.2, seed=1)
        sides = [{one.location for one in side} for side in (folds.train, folds.validation, folds.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 18


def test_of_the_training_fold_alone_the_test_fold_takes_no_part(manifest: Manifest, data: DataConfig) -> None:
    of_train = replace(data, folds=3, folds_of="train")
    held_out = [one for n in (1, 2, 3) for one in hold_out(manifest, replace(of_train, held_out=n)).fold("test")]
    assert sorted(one.id for one in held_out) == sorted(one.id for one in manifest.fold("train"))
    assert len(hold_out(manifest, replace(of_train, held_out=1)).clips) == len(manifest.fold("train"))


def test_what_a_pipeline_holds_out_in_turn(manifest: Manifest, data: DataConfig) -> None:
    assert parts(manifest, data, None) == [[]]
    assert parts(manifest, data, 3) == [["data.folds=3", f"data.held_out={number}"] for number in (1, 2, 3)]
    two = made(*(clip(s, f"{s}{c}{g}", g, city=c) for s in ("bus", "park") for c in ("rome", "oslo") for g in range(3)))
    words = parts(two, replace(data, leave_out_city="all"), None)
    assert words == [["data.leave_out_city='oslo'"], ["data.leave_out_city='rome'"]]


def test_a_scene_with_fewer_groups_than_folds_is_refused_with_its_number(manifest: Manifest, data: DataConfig) -> None:
    with pytest.raises(DataError, match=r"8 folds cannot be drawn by group: 'park' has 7") as caught:
        parts(manifest, data, 8)
    assert "Take 7 folds or fewer" in caught.value.remedy


def test_groups_that_do_not_suffice_for_validation_are_refused_before_any_training(data: DataConfig) -> None:
    clips = [clip(scene, f"{scene}{group}", 0) for scene in ("bus", "park") for group in range(2)]
    with pytest.raises(DataError, match="The validation fold cannot be drawn"):
        parts(made(*clips), data, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folds": 5}, r"data\.folds=5 with data\.held_out=null"),
        ({"folds": 5, "held_out": 6}, r"data\.folds=5 with data\.held_out=6"),
        ({"held_out": 2}, r"data\.held_out=2, and data\.folds is not given"),
        ({"folds": 5, "held_out": 2, "leave_out_city": "oslo"}, r"data\.folds=5 and data\.leave_out_city=oslo"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    manifest: Manifest, data: DataConfig, given: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        hold_out(manifest, replace(data, **given))


def test_a_pipeline_takes_folds_or_cities(manifest: Manifest, data: DataConfig) -> None:
    with pytest.raises(ConfigError, match=r"folds=3 is given to a pipeline, and data\.leave_out_city=all too"):
        parts(manifest, replace(data, leave_out_city="all"), 3)
    with pytest.raises(ConfigError, match=r"folds=3 is given to a pipeline, and data\.held_out=2 too"):
        parts(manifest, replace(data, held_out=2), 3)


def test_all_cities_are_refused_where_not_every_clip_has_one(data: DataConfig) -> None:
    every = replace(data, leave_out_city="all")
    with pytest.raises(ConfigError, match="has 2 clips of 3 without a city"):
        parts(made(clip("bus", "a", 0), clip("park", "b", 0), clip("bus", "c", 0, city="oslo")), every, None)
    with pytest.raises(ConfigError, match="is of one city, oslo"):
        parts(made(clip("bus", "a", 0, city="oslo"), clip("park", "b", 0, city="oslo")), every, None)


@pytest.mark.parametrize(("key", "options"), [("data.folds", TrainConfig), ("folds", PipelineConfig)])
def test_one_fold_is_refused(key: str, options: type) -> None:
    page = "train" if options is TrainConfig else "pipeline"
    composed = compose(
        page, ["data=folder", "data.root=nowhere", *(page == "train") * ["experiment=audio"], f"{key}=1"]
    )
    with pytest.raises(ConfigError, match=rf"{key} is 1"):
        checked(composed, options)
