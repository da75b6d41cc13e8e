"""Clips -> train, validation and test folds, no location (or group of own clips) on two sides; and other protocols."""

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sedcrnn.datasets.clips import UNLABELLED, Clip, Manifest
from sedcrnn.errors import ConfigError, DataError, nearest, visible

log = logging.getLogger(__name__)

FOLDS = ("train", "test")  # those of a data set itself; validation is drawn from its training fold
UNDIVIDED = ""  # fold of a clip that was given none

# Checkpoints are selected on a part of the training fold that shares no location with the rest ...
LOCATION_DISJOINT = "location_disjoint"
# ... or, only when a config says so by this name, on the test fold itself, as the authors did: the test
# figures are then figures of a selection set.
TEST_FOLD_AS_AUTHORS = "test_fold_as_the_authors_did"


@dataclass(frozen=True)
class Folds:
    """The clips that are trained on, that select the checkpoint, and that are reported."""

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]


def make_folds(manifest: Manifest, selection: str, validation_fraction: float, seed: int) -> Folds:
    """Split a manifest's training fold into train and validation, or take the authors' protocol; as `DataConfig` says.

    Raises:
        DataError: scenes whose training clips all come from one location.
    """
    train, test = manifest.fold("train"), manifest.fold("test")
    if selection == TEST_FOLD_AS_AUTHORS:
        return Folds(train, validation=test, test=test)
    otherwise = f"select by name on the test fold with data.selection={TEST_FOLD_AS_AUTHORS}"
    held_out = _draw_locations(train, validation_fraction, seed, 1, "validation", otherwise)
    return Folds(
        train=tuple(clip for clip in train if clip.location not in held_out),
        validation=tuple(clip for clip in train if clip.location in held_out),
        test=test,
    )


def divide(
    name: str, clips: Sequence[Clip], scenes: Sequence[str] | None, test_fraction: float, test_seed: int, source: str
) -> Manifest:
    """A manifest of own clips, in folds as given, or with a test fold drawn by group; the log says that of `source`.

    Raises:
        DataError: labels that cannot be put in order; a draw without enough groups; given folds that lack a scene,
            share a group, or are given to some clips only.
        ConfigError: a scene that `scenes` names twice.
    """
    manifest = Manifest(name, label_order((scene for clip in clips for scene in clip.scenes), scenes), tuple(clips))
    if given := any(clip.fold != UNDIVIDED for clip in clips):
        _check_given(manifest)
    else:
        otherwise = "say yourself which clips are in the train and which in the test fold"
        held_out = _draw_locations(clips, test_fraction, test_seed, 2, "test", otherwise)  # 2: validation needs one too
        drawn = (replace(clip, fold="test" if clip.location in held_out else "train") for clip in clips)
        manifest = replace(manifest, clips=tuple(drawn))
    train, test = (len(manifest.fold(fold)) for fold in FOLDS)
    how = "as given" if given else f"drawn with data.source.test_seed={test_seed}"
    labels = ", any number to a clip" if manifest.multi_label else ""
    found = f"{source}: {len(manifest.scenes)} scenes{labels}, {train} clips to train and {test} to test, {how}"
    log.info(visible(found), extra={"once": True})  # stages, and their evaluations, each read the data set
    return manifest


def label_order(labels: Iterable[str], chosen: Sequence[str] | None = None) -> tuple[str, ...]:
    """The scenes of a data set in label order: as chosen, or sorted.

    Raises:
        DataError: fewer than two scenes; labels that a reader takes for one; or a chosen scene that no clip shows.
        ConfigError: a scene that is chosen twice.
    """
    found = sorted(set(labels))
    if len(found) < 2:
        raise DataError(
            f"All clips have the label '{found[0]}'" if found else "There are no labels",
            "A network tells scenes from each other, so there are at least two",
            "Add clips of another scene",
        )
    spelt: dict[str, str] = {}
    for label in found:
        if label != visible(label):
            raise DataError(
                f"The label '{visible(label)}' is no line of text in UTF-8",
                "Labels stand in tables and figures",
                "Rename it, and its folder where it has one",
            )
        other = spelt.setdefault(unicodedata.normalize("NFKC", label).strip().casefold(), label)
        if other != label:
            raise DataError(
                f"The labels {other!a} and {label!a} differ only in case, in space or in how a letter is encoded",
                "A scene is spelt in one way",
                "Rename one of them, so that all clips of the scene have one label",
            )
    scenes = tuple(found if chosen is None else chosen)
    if len(set(scenes)) != len(scenes):
        raise ConfigError(
            f"data.source.scenes is {chosen}",
            "It is a list of different labels in label order, or null: sorted",
            f"Set data.source.scenes=[{','.join(found)}], in the order that you like",
        )
    if absent := [scene for scene in scenes if scene not in found]:
        raise DataError(
            f"data.source.scenes names {', '.join(absent)}, of which there are no clips",
            f"The clips have the labels {', '.join(found)}",
            "Correct the spelling, or leave the scene out",
        )
    return scenes


def leave_city_out(manifest: Manifest, city: str) -> Manifest:
    """The manifest with all clips of one city as its test fold, and all others as its training fold (docs/trust.md); a
    ConfigError where no clip is of that city, or all are."""
    cities = {clip.city for clip in manifest.clips if clip.city}
    if city not in cities or len({clip.city for clip in manifest.clips}) == 1:
        near = f"; the nearest is {nearest(city, cities)}" if cities else ""
        raise ConfigError(
            f"data.leave_out_city is '{city}', and the data set '{manifest.name}' has clips of "
            f"{', '.join(sorted(cities)) or 'no known city'}",
            f"It is one of at least two cities of the data set{near}",
            "Correct the name, set data.leave_out_city=null for the data set's own folds, or take each city in turn: "
            "sedcrnn pipeline data.leave_out_city=all",
        )
    clips = (replace(clip, fold="test" if clip.city == city else "train") for clip in manifest.clips)
    return replace(manifest, name=f"{manifest.name}{city_in_name(city)}", clips=tuple(clips))


def city_in_name(city: str | None) -> str:
    """What follows the name of a data set of which a city is the test fold; nothing where none is."""
    return f", {city} held out" if city else ""


def shuffle_labels(folds: Folds, seed: int) -> Folds:
    """The negative control: labels at random within the training and within the validation fold. Whatever is better
    than chance after that has used the test fold."""
    rng = np.random.default_rng(seed)

    def shuffled(clips: Sequence[Clip]) -> tuple[Clip, ...]:
        order = [clips[number] for number in rng.permutation(len(clips))]
        return tuple(
            replace(clip, scene=other.scene, labels=other.labels) for clip, other in zip(clips, order, strict=True)
        )

    return Folds(shuffled(folds.train), shuffled(folds.validation), folds.test)


def check_selection(folds: Folds, selection: str) -> dict[str, object]:
    """What a run records of its selection: how much of the test fold takes part in training and selection; a DataError
    where any does, and the protocol does not say so by name."""
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


def _draw_locations(
    clips: Sequence[Clip], fraction: float, seed: int, leaving: int, fold: str, otherwise: str
) -> set[str]:
    """Locations to hold out: for every scene, in random order, until it has its fraction of that scene's clips.

    A location may hold several scenes; it moves as a whole, and never if that would leave one of its scenes
    with fewer than `leaving` locations. One that has most of a scene's clips is the last to be drawn for a scene.
    Clips without any scene count as one more, where there are enough locations of them.
    """
    clips_of_scene: Counter[str] = Counter()
    locations_of_scene: defaultdict[str, set[str]] = defaultdict(set)
    scenes_at_location: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        for scene in clip.scenes or (UNLABELLED,):
            clips_of_scene[scene] += 1
            locations_of_scene[scene].add(clip.location)
            scenes_at_location[clip.location][scene] += 1
    if len(locations_of_scene.get(UNLABELLED, ())) <= leaving:
        locations_of_scene.pop(UNLABELLED, None)

    def holds_most_of_a_scene(location: str) -> bool:
        return any(2 * count > clips_of_scene[scene] for scene, count in scenes_at_location[location].items())

    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    held_out_clips: Counter[str] = Counter()
    for scene, locations in sorted(locations_of_scene.items()):
        for location in sorted(rng.permutation(sorted(locations)).tolist(), key=holds_most_of_a_scene):
            if held_out_clips[scene] >= fraction * clips_of_scene[scene]:
                break
            others = scenes_at_location[location].keys() & locations_of_scene.keys()
            left = (locations_of_scene[other] - held_out - {location} for other in others)
            if location not in held_out and all(len(one) >= leaving for one in left):
                held_out.add(location)
                held_out_clips += scenes_at_location[location]
    if short := {scene: sorted(all_of) for scene, all_of in locations_of_scene.items() if not held_out_clips[scene]}:
        counts = (
            f"'{scene}' has {len(names)} location(s): {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for scene, names in sorted(short.items())
        )
        raise DataError(
            f"The {fold} fold cannot be drawn: {'; '.join(counts)}",
            f"It takes a location of every scene and leaves at least {leaving} of each; a location (or group) is never "
            "cut, and a clip without one counts as a location of its own",
            f"Add clips of these scenes from other locations, or {otherwise}",
        )
    return held_out


def _check_given(manifest: Manifest) -> None:
    """Every clip in one fold, every scene in both, every group in one."""
    for clip in manifest.clips:
        if clip.fold not in FOLDS:
            raise DataError(
                f"Clip '{clip.id}' is in " + (f"the fold '{clip.fold}'" if clip.fold else "no fold"),
                f"Where folds are given, every clip is in one of: {', '.join(FOLDS)} (validation is drawn from train)",
                "Correct the fold, or give none at all to have the test fold drawn",
            )
    for fold in FOLDS:
        present = {scene for clip in manifest.fold(fold) for scene in clip.scenes}
        if missing := [scene for scene in manifest.scenes if scene not in present]:
            raise DataError(
                f"The {fold} fold has no clips of: {', '.join(missing)}",
                "Every scene is trained on and tested",
                "Move clips of it there, or give no folds to have the test fold drawn",
            )
    train, test = ({clip.location for clip in manifest.fold(fold)} for fold in FOLDS)
    if shared := sorted(train & test):
        raise DataError(
            f"The train and the test fold share {len(shared)} group(s): {', '.join(shared[:3])}",
            "The clips of a group resemble each other, so it is never on both sides",
            "Move each group to one fold, or give no folds to have the test fold drawn",
        )
