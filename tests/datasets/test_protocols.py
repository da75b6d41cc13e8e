"""Other divisions and labels of the same clips."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import LOCATION_DISJOINT, TEST_FOLD_AS_AUTHORS, Folds
from sedcrnn.datasets.protocols import check_selection, leave_city_out, shuffle_labels
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.training.stage import make_datamodule, train

Stage = Callable[..., TrainConfig]


def clip(scene: str, city: str, place: int, fold: str = "train") -> Clip:
    name = f"{scene}-{city}-{place}"
    return Clip(name, Path(f"{name}.wav"), Path(f"{name}.mp4"), scene, city, f"{city}-{place}", fold)


@pytest.fixture
def manifest() -> Manifest:
    cities = ("lisbon", "lyon", "paris")
    clips = [clip(scene, city, place) for city in cities for place in range(3) for scene in ("bus", "park")]
    return Manifest("made", ("bus", "park"), (*clips, clip("bus", "lyon", 9, "test")))


def test_a_citys_clips_are_the_test_fold_and_all_others_the_training_fold(manifest: Manifest) -> None:
    left = leave_city_out(manifest, "lyon")
    assert left.name == "made without lyon"
    assert {c.city for c in left.fold("test")} == {"lyon"}
    assert {c.city for c in left.fold("train")} == {"lisbon", "paris"}
    assert len(left.fold("test")) == 7
    assert len(left.clips) == len(manifest.clips) == 19


def test_a_city_that_is_not_there_is_told_with_those_that_are(manifest: Manifest) -> None:
    with pytest.raises(ConfigError, match=r"has clips of lisbon, lyon, paris.*the nearest is 'lisbon'"):
        leave_city_out(manifest, "lisboa")
    placeless = Manifest("own", ("bus",), (clip("bus", "", 1),))
    with pytest.raises(ConfigError, match="no known city"):
        leave_city_out(placeless, "lyon")
    one = Manifest("one", ("bus",), (clip("bus", "lyon", 1),))
    with pytest.raises(ConfigError, match="at least two cities"):
        leave_city_out(one, "lyon")


def test_labels_change_places_within_each_fold_and_the_test_fold_keeps_its_own(manifest: Manifest) -> None:
    folds = Folds(manifest.clips[:12], manifest.clips[12:18], manifest.clips[18:])
    shuffled = shuffle_labels(folds, seed=1)
    assert shuffled.test == folds.test
    for before, after in ((folds.train, shuffled.train), (folds.validation, shuffled.validation)):
        assert [c.id for c in before] == [c.id for c in after]
        assert Counter(c.scene for c in before) == Counter(c.scene for c in after)
    assert [c.scene for c in folds.train] != [c.scene for c in shuffled.train]
    assert shuffle_labels(folds, seed=1) == shuffled != shuffle_labels(folds, seed=2)


def test_what_selection_saw_of_the_test_fold_is_counted(manifest: Manifest) -> None:
    train_clips, others = manifest.clips[:6], manifest.clips[12:18]
    assert check_selection(Folds(train_clips, others, manifest.clips[18:]), LOCATION_DISJOINT) == {
        "test_clips_in_selection": 0,
        "test_locations_in_selection": 0,
        "test_fold_took_no_part": True,
    }
    assert check_selection(Folds(train_clips, others, others), TEST_FOLD_AS_AUTHORS) == {
        "test_clips_in_selection": 6,
        "test_locations_in_selection": 3,
        "test_fold_took_no_part": False,
    }
    neighbour = (clip("bus", "paris", 0, "test"),)  # another clip of a location that selection saw
    seen = Folds(train_clips, others, neighbour)
    assert check_selection(seen, TEST_FOLD_AS_AUTHORS)["test_locations_in_selection"] == 1
    for leaking in (seen, Folds(train_clips, others, others)):
        with pytest.raises(DataError, match=r"of the test fold are among those.*paris-0"):
            check_selection(leaking, LOCATION_DISJOINT)


@pytest.mark.parametrize(
    ("selection", "took_no_part"), [("location_disjoint", True), ("test_fold_as_the_authors_did", False)]
)
def test_every_run_records_whether_the_test_fold_took_part(stage: Stage, selection: str, took_no_part: bool) -> None:
    run = train(stage("audio", "trainer.max_epochs=1", f"data.selection={selection}"))
    record = json.loads((run / "record.json").read_text())
    assert record["selection_check"]["test_fold_took_no_part"] is took_no_part
    assert record["selection_check"]["test_clips_in_selection"] == (0 if took_no_part else 4)


def test_the_negative_control_trains_on_shuffled_labels_and_tests_on_true_ones(stage: Stage) -> None:
    plain, control = (make_datamodule(stage("audio", f"data.shuffle_labels={value}")) for value in ("false", "true"))
    for data in (plain, control):
        data.prepare_data()
    assert control.folds.test == plain.folds.test
    assert [c.id for c in control.folds.train] == [c.id for c in plain.folds.train]
    assert [c.scene for c in control.folds.train] != [c.scene for c in plain.folds.train]
    scenes = control.manifest.scenes
    labels = [scenes[index] for index in control.dataset("train").scene]
    assert labels == [c.scene for c in control.folds.train]
