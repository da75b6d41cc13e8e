"""Clips -> folds of which each is held out in turn, by group and stratified by scene, or by city
(docs/cross_validation.md)."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sedcrnn.config.composition import quoted
from sedcrnn.config.stage_config import DataConfig
from sedcrnn.datasets.clips import UNLABELLED, Clip, Manifest
from sedcrnn.datasets.folds import leave_city_out, make_folds
from sedcrnn.errors import ConfigError, DataError

log = logging.getLogger(__name__)

ALL = "all"  # of data.leave_out_city: every city in turn


def hold_out(manifest: Manifest, data: DataConfig) -> Manifest:
    """The manifest with the fold, or the city, that the config names as its test fold; as it is where it names none.

    Raises:
        ConfigError: keys that do not fit together; a city of which there are no clips.
        DataError: groups that do not suffice for the folds.
    """
    check_keys(data)
    if data.leave_out_city is not None:
        return leave_city_out(manifest, data.leave_out_city)
    if data.folds is None:
        return manifest
    assert data.held_out is not None  # by `check_keys`
    clips = _divided(manifest, data)
    fold_of = draw_folds(clips, data.folds, data.folds_seed)
    divided = tuple(replace(one, fold="test" if fold_of[one.location] == data.held_out else "train") for one in clips)
    held_out = sum(one.fold == "test" for one in divided)
    log.info(
        f"Fold {data.held_out} of {data.folds} (data.folds_seed={data.folds_seed}) is held out: {held_out} of "
        f"{len(divided)} clips",
        extra={"once": True},
    )
    return replace(manifest, clips=divided)


def check_keys(data: DataConfig) -> None:
    """Refuse keys that contradict each other, with a ConfigError."""
    if data.folds is not None and data.leave_out_city is not None:
        raise ConfigError(
            f"data.folds={data.folds} and data.leave_out_city={data.leave_out_city} are both given",
            "What is held out is a fold of groups, or a city",
            "Leave one of them out",
        )
    if data.folds is None and data.held_out is not None:
        raise ConfigError(
            f"data.held_out={data.held_out}, and data.folds is not given",
            "A fold is one of several",
            "Give the number of folds as well, as in data.folds=5",
        )
    if data.folds is not None and data.held_out not in range(1, data.folds + 1):
        raise ConfigError(
            f"data.folds={data.folds} with data.held_out={'null' if data.held_out is None else data.held_out}",
            f"One fold is held out, from 1 to {data.folds}",
            f"Give it as in data.held_out=1; or hold out each in turn with sedcrnn pipeline folds={data.folds}",
        )


def draw_folds(clips: Sequence[Clip], folds: int, seed: int) -> dict[str, int]:
    """Location (group) -> its fold, from 1 to `folds`: every fold has every scene, and of each about as many clips.

    Groups come in random order, those of the scenes with the fewest groups first. Each goes where most of its scenes
    are lacking, and then where there is least of them. Where each group is of one scene, no two folds differ in the
    clips of a scene by more than its largest group has.

    Raises:
        DataError: a scene with fewer groups than folds, or none for some fold in this draw.
    """
    scenes_of: defaultdict[str, Counter[str]] = defaultdict(Counter)
    groups_of: defaultdict[str, set[str]] = defaultdict(set)
    total: Counter[str] = Counter()
    for clip in clips:
        for scene in clip.scenes or (UNLABELLED,):  # clips without any are spread as if they were of one more
            scenes_of[clip.location][scene] += 1
            total[scene] += 1
            groups_of[scene].add(clip.location)
    if few := {scene: groups for scene, groups in sorted(groups_of.items()) if scene and len(groups) < folds}:
        listed = "; ".join(f"'{scene}' has {len(groups)}" for scene, groups in few.items())
        raise DataError(
            f"{folds} folds cannot be drawn by group: {listed}",
            "A group (location) is never cut, and every fold holds a group of every scene",
            f"Take {min(map(len, few.values()))} folds or fewer (2 at least), or add recordings of other groups",
        )
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    order = np.random.default_rng(seed).permutation(sorted(scenes_of)).tolist()
    fold_of: dict[str, int] = {}
    for group in sorted(order, key=lambda one: min(len(groups_of[scene]) for scene in scenes_of[one])):
        own = scenes_of[group]

        def fullness(fold: int, own: Mapping[str, int] = own) -> tuple[int, float, float]:
            lacking = sum(not held[fold][scene] for scene in own)
            load = sum(held[fold][scene] * clips / total[scene] ** 2 for scene, clips in own.items())
            return -lacking, load, sum(clips / total[scene] for scene, clips in held[fold].items())

        chosen = min(range(folds), key=fullness)
        fold_of[group] = chosen + 1
        held[chosen] += own
    for number, counts in enumerate(held, start=1):
        if lacking := [scene for scene in sorted(total) if scene and not counts[scene]]:
            raise DataError(
                f"Fold {number} of {folds} has no group of {', '.join(lacking)} with data.folds_seed={seed}",
                "Every fold holds every scene, and a group of several scenes is never cut",
                "Take fewer folds, or another seed",
            )
    return fold_of


def parts(manifest: Manifest, data: DataConfig, folds: int | None) -> list[list[str]]:
    """What a pipeline adds to the config for everything that it holds out in turn: each of `folds`, or each city where
    data.leave_out_city=all; one empty list where it holds out nothing in turn. All of them can be drawn.

    Raises:
        ConfigError: folds and cities at once; cities of which not every clip is known.
        DataError: groups that do not suffice, for test or for validation.
    """
    if folds is not None:
        taken = {"leave_out_city": data.leave_out_city, "folds": data.folds, "held_out": data.held_out}
        for key, value in taken.items():
            if value is not None:
                raise ConfigError(
                    f"folds={folds} is given to a pipeline, and data.{key}={value} too",
                    "A pipeline holds out each of its folds in turn, or what the keys of data name",
                    f"Leave folds or data.{key} out",
                )
        changed = [replace(data, folds=folds, held_out=number) for number in range(1, folds + 1)]
        words = [[f"data.folds={folds}", f"data.held_out={number}"] for number in range(1, folds + 1)]
    elif data.leave_out_city == ALL:
        cities = known_cities(manifest)
        changed = [replace(data, leave_out_city=city) for city in cities]
        words = [[f"data.leave_out_city={quoted(city)}"] for city in cities]
    else:
        return [[]]
    for one in changed:
        make_folds(hold_out(manifest, one), one.selection, one.validation_fraction, one.validation_seed)
    return words


def known_cities(manifest: Manifest) -> list[str]:
    """The cities of a data set of which every clip has one, sorted; a ConfigError where that is not so."""
    cities = Counter(clip.city for clip in manifest.clips)
    if "" in cities or len(cities) < 2:
        without = (
            f"has {cities['']} clips of {len(manifest.clips)} without a city"
            if "" in cities
            else f"is of one city, {manifest.clips[0].city}"
        )
        raise ConfigError(
            f"data.leave_out_city={ALL}, and the data set '{manifest.name}' {without}",
            "Each city is held out in turn, so there are two at least, and every clip is of one",
            "Hold out groups of recordings instead, as in folds=5",
        )
    return sorted(cities)


def _divided(manifest: Manifest, data: DataConfig) -> tuple[Clip, ...]:
    """The clips that are divided into folds."""
    return manifest.clips if data.folds_of == "all" else manifest.fold("train")
