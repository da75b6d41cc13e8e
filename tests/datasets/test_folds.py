"""Folds share no location, for every seed."""

from collections import Counter
from pathlib import Path

import pytest

from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import LOCATION_DISJOINT, TEST_FOLD_AS_AUTHORS, make_folds
from sedcrnn.datasets.tau2021 import read_tau_layout
from sedcrnn.errors import ConfigError, DataError

TAU_META = Path(__file__).parents[1] / "../shared/reference/tau_meta"


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
    with pytest.raises(ConfigError, match="location_disjoint"):
        make_folds(manifest, "test", 0.2, 0)


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


@pytest.mark.skipif(not TAU_META.is_dir(), reason="the real file lists are not here")
def test_the_real_lists_divide_without_leakage(tmp_path: Path) -> None:
    setup = tmp_path / "TAU.meta" / "evaluation_setup"
    setup.mkdir(parents=True)
    header = "filename_audio\tfilename_video\tscene_label"
    train = [header]
    for name in ("train.csv", "val.csv"):
        train += ["\t".join(line.split(",")[:3]) for line in (TAU_META / name).read_text().splitlines()[1:]]
    names = [line.removesuffix(".wav") for line in (TAU_META / "test.csv").read_text().splitlines()[1:]]
    test = [header, *(f"audio/{name}.wav\tvideo/{name}.mp4\t{name.split('-')[0]}" for name in names)]
    (setup / "fold1_train.csv").write_bytes("\r".join(train).encode())  # CR alone, as the authors read them
    (setup / "fold1_evaluate.csv").write_bytes("\r\n".join(test).encode())
    manifest = read_tau_layout(tmp_path, "tau2021")
    assert (len(manifest.fold("train")), len(manifest.fold("test"))) == (8646, 3645)
    assert Counter(c.scene for c in manifest.fold("train"))["metro_station"] == 893
    assert Counter(c.scene for c in manifest.fold("test"))["tram"] == 308
    folds = make_folds(manifest, LOCATION_DISJOINT, 0.15, 0)
    places = [{c.location for c in side} for side in (folds.train, folds.validation, folds.test)]
    assert not places[0] & places[1]
    assert not (places[0] | places[1]) & places[2]
    assert len(places[0] | places[1]) == 305
    assert len(places[2]) == 126
    assert 0.15 <= len(folds.validation) / 8646 < 0.2
