"""Folds share no location, for every seed; and other divisions and labels of the same clips."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import (
    LOCATION_DISJOINT,
    TEST_FOLD_AS_AUTHORS,
    Folds,
    check_selection,
    leave_city_out,
    make_folds,
    shuffle_labels,
)
from sedcrnn.datasets.tau2021 import read_tau_layout
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.training.stage import make_datamodule, train

Stage = Callable[..., TrainConfig]


def clip(scene: str, location: str, number: int, fold: str = "train") -> Clip:
    name = f"{scene}-{location}-{number}"
    city = location.split("-")[0]
    return Clip(name, Path(f"{name}.wav"), Path(f"{name}.mp4"), scene, city, location, fold)


@pytest.fixture
def manifest() -> Manifest:
    """Two scenes of 6 locations with 1 to 6 clips; 'both-9' holds both scenes."""
    clips = [
        clip(scene, f"{scene}-{place}", n) for scene in ("bus", "park") for place in range(6) for n in range(place + 1)
    ]
    clips += [clip("bus", "both-9", 0), clip("park", "both-9", 1)]
    clips += [clip("bus", "test-1", 0, "test"), clip("park", "test-2", 0, "test")]
    return Manifest("made", ("bus", "park"), tuple(clips))


def test_no_location_on_both_sides_and_every_scene_on_both_over_many_seeds(manifest: Manifest) -> None:
    drawn = set()
    for seed in range(200):
        folds = make_folds(manifest, LOCATION_DISJOINT, 0.2, seed)
        train, validation = ({c.location for c in side} for side in (folds.train, folds.validation))
        assert not train & validation
        assert {c.scene for c in folds.train} == {c.scene for c in folds.validation} == {"bus", "park"}
        assert {*folds.train, *folds.validation} == set(manifest.fold("train"))
        assert all(c.fold == "test" for c in folds.test)
        drawn.add(frozenset(validation))
    assert len(drawn) > 20  # the seed matters


def test_validation_reaches_its_share_of_every_scene(manifest: Manifest) -> None:
    folds = make_folds(manifest, LOCATION_DISJOINT, 0.2, seed=3)
    total = Counter(c.scene for c in manifest.fold("train"))
    held = Counter(c.scene for c in folds.validation)
    assert all(held[scene] >= 0.2 * total[scene] for scene in total)


def test_same_seed_draws_the_same_folds(manifest: Manifest) -> None:
    assert make_folds(manifest, LOCATION_DISJOINT, 0.2, 7) == make_folds(manifest, LOCATION_DISJOINT, 0.2, 7)


def test_the_authors_protocol_selects_on_the_test_fold_only_by_name(manifest: Manifest) -> None:
    folds = make_folds(manifest, TEST_FOLD_AS_AUTHORS, 0.2, 0)
    assert folds.validation == folds.test == manifest.fold("test")
    assert folds.train == manifest.fold("train")


def test_scenes_with_one_training_location_are_an_error_that_names_them_all() -> None:
    clips = [clip("bus", "a-1", 0), clip("park", "a-2", 0), clip("park", "a-3", 0), clip("tram", "a-4", 0)]
    manifest = Manifest("made", ("bus", "park", "tram"), tuple(clips))
    with pytest.raises(DataError, match=r"'bus' has 1 location\(s\): a-1; 'tram' has 1 location\(s\): a-4\."):
        make_folds(manifest, LOCATION_DISJOINT, 0.2, 0)


def test_a_location_with_most_of_a_scene_stays_in_training() -> None:
    clips = [clip("bus", "big-1", n) for n in range(9)] + [clip("bus", "small-1", 0), clip("bus", "small-2", 0)]
    clips += [clip("park", f"park-{n}", 0) for n in range(2)]
    manifest = Manifest("made", ("bus", "park"), tuple(clips))
    for seed in range(50):
        folds = make_folds(manifest, LOCATION_DISJOINT, 0.1, seed)
        assert "big-1" not in {c.location for c in folds.validation}
    # unless nothing else is left to reach the share
    folds = make_folds(manifest, LOCATION_DISJOINT, 0.5, 0)
    assert {c.location for c in folds.validation if c.scene == "bus"} == {"small-1", "small-2"}


def test_the_official_folds_divide_without_leakage(tmp_path: Path, tau2021_names: dict[str, list[str]]) -> None:
    setup = tmp_path / "TAU.meta" / "evaluation_setup"
    setup.mkdir(parents=True)
    # CR alone, as the authors read them
    for file, fold, newline in (("fold1_train.csv", "train", "\r"), ("fold1_evaluate.csv", "test", "\r\n")):
        rows = [f"audio/{name}.wav\tvideo/{name}.mp4\t{name.split('-')[0]}" for name in tau2021_names[fold]]
        content = newline.join(["filename_audio\tfilename_video\tscene_label", *rows])
        (setup / file).write_bytes(content.encode())
    manifest = read_tau_layout(tmp_path, "tau2021")
    assert (len(manifest.fold("train")), len(manifest.fold("test"))) == (8646, 3645)
    assert Counter(c.scene for c in manifest.fold("train"))["metro_station"] == 893
    assert Counter(c.scene for c in manifest.fold("test"))["tram"] == 308
    folds = make_folds(manifest, LOCATION_DISJOINT, 0.15, 0)
    locations = [{c.location for c in side} for side in (folds.train, folds.validation, folds.test)]
    assert not locations[0] & locations[1]
    assert not (locations[0] | locations[1]) & locations[2]
    assert len(locations[0] | locations[1]) == 305
    assert len(locations[2]) == 126
    assert 0.15 <= len(folds.validation) / 8646 < 0.2


@pytest.fixture
def cities() -> Manifest:
    names = ("lisbon", "lyon", "paris")
    clips = [clip(scene, f"{city}-{place}", 0) for city in names for place in range(3) for scene in ("bus", "park")]
    return Manifest("made", ("bus", "park"), (*clips, clip("bus", "lyon-9", 0, "test")))


def test_a_citys_clips_are_the_test_fold_and_all_others_the_training_fold(cities: Manifest) -> None:
    left = leave_city_out(cities, "lyon")
    assert left.name == "made, lyon held out"
    assert {c.city for c in left.fold("test")} == {"lyon"}
    assert {c.city for c in left.fold("train")} == {"lisbon", "paris"}
    assert len(left.fold("test")) == 7
    assert len(left.clips) == len(cities.clips) == 19


def test_a_city_that_is_not_there_is_refused_with_those_that_are(cities: Manifest) -> None:
    with pytest.raises(ConfigError, match=r"has clips of lisbon, lyon, paris.*the nearest is 'lisbon'"):
        leave_city_out(cities, "lisboa")
    placeless = Manifest("own", ("bus",), (clip("bus", "-1", 0),))
    with pytest.raises(ConfigError, match="no known city"):
        leave_city_out(placeless, "lyon")
    one = Manifest("one", ("bus",), (clip("bus", "lyon-1", 0),))
    with pytest.raises(ConfigError, match="at least two cities"):
        leave_city_out(one, "lyon")


def test_labels_change_places_within_each_fold_and_the_test_fold_keeps_its_own(cities: Manifest) -> None:
    folds = Folds(cities.clips[:12], cities.clips[12:18], cities.clips[18:])
    shuffled = shuffle_labels(folds, seed=1)
    assert shuffled.test == folds.test
    for before, after in ((folds.train, shuffled.train), (folds.validation, shuffled.validation)):
        assert [c.id for c in before] == [c.id for c in after]
        assert Counter(c.scene for c in before) == Counter(c.scene for c in after)
    assert [c.scene for c in folds.train] != [c.scene for c in shuffled.train]
    assert shuffle_labels(folds, seed=1) == shuffled != shuffle_labels(folds, seed=2)


def test_what_selection_used_of_the_test_fold_is_counted(cities: Manifest) -> None:
    train_clips, others = cities.clips[:6], cities.clips[12:18]
    assert check_selection(Folds(train_clips, others, cities.clips[18:]), LOCATION_DISJOINT) == {
        "test_clips_in_selection": 0,
        "test_locations_in_selection": 0,
        "test_fold_took_no_part": True,
    }
    assert check_selection(Folds(train_clips, others, others), TEST_FOLD_AS_AUTHORS) == {
        "test_clips_in_selection": 6,
        "test_locations_in_selection": 3,
        "test_fold_took_no_part": False,
    }
    neighbour = (clip("bus", "paris-0", 1, "test"),)  # another clip of a location that selection used
    used = Folds(train_clips, others, neighbour)
    assert check_selection(used, TEST_FOLD_AS_AUTHORS)["test_locations_in_selection"] == 1
    for leaking in (used, Folds(train_clips, others, others)):
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
        data.setup()
    assert control.folds.test == plain.folds.test
    assert [c.id for c in control.folds.train] == [c.id for c in plain.folds.train]
    assert [c.scene for c in control.folds.train] != [c.scene for c in plain.folds.train]
    scenes = control.manifest.scenes
    labels = [scenes[index] for index in control.dataset("train").scene]
    assert labels == [c.scene for c in control.folds.train]
