"""Clips of your own data, with folds or without -> a manifest whose clips are in a train and a test fold, by group.

Validation is drawn later from the training fold, in the same way (folds).
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import draw_locations
from sedcrnn.datasets.scenes import label_order
from sedcrnn.errors import ConfigError, DataError

FOLDS = ("train", "test")
UNDIVIDED = ""  # the fold of a clip that was given none


def divide(
    name: str, clips: Sequence[Clip], scenes: Sequence[str] | None, test_fraction: float, test_seed: int, source: str
) -> Manifest:
    """A manifest of the clips, in folds as given, or with a test fold drawn by group where none is given.

    Args:
        name: of the data set.
        clips: each with its group as its location and a fold of `FOLDS`, or all `UNDIVIDED`.
        scenes: label order; None: sorted.
        test_fraction: share of each scene's clips that a drawn test fold gets, in (0, 1).
        test_seed: seed of that draw; not the training seed, so that all seeds are tested on the same clips.
        source: where the clips come from, for the line that tells the user what was found.

    Raises:
        DataError: labels that cannot be put in order; a draw without enough groups; given folds that lack a scene,
            share a group, or are given to some clips only.
        ConfigError: a share outside (0, 1), or a seed that is not a whole number.
    """
    manifest = Manifest(name, label_order((clip.scene for clip in clips), scenes), tuple(clips))
    if given := any(clip.fold != UNDIVIDED for clip in clips):
        _check_given(manifest)
    else:
        manifest = replace(manifest, clips=_drawn(manifest.clips, test_fraction, test_seed))
    train, test = (len(manifest.fold(fold)) for fold in FOLDS)
    how = "as given" if given else f"drawn with data.source.test_seed={test_seed}"
    told = f"{source}: {len(manifest.scenes)} scenes, {train} clips to train and {test} to test, {how}"
    print(told, file=sys.stderr)
    return manifest


def _drawn(clips: tuple[Clip, ...], share: float, seed: int) -> tuple[Clip, ...]:
    if not (isinstance(share, float) and 0 < share < 1 and isinstance(seed, int) and seed >= 0):
        raise ConfigError(
            f"data.source.test_fraction is {share} and data.source.test_seed is {seed}",
            "They are a share of each scene's clips, above 0 and below 1, and a whole number",
            "Use data.source.test_fraction=0.25 and data.source.test_seed=0",
        )
    # Two locations of every scene stay: one to train on and one for validation.
    otherwise = "say yourself which clips are in the train and which in the test fold"
    held_out = draw_locations(clips, share, seed, leaving=2, fold="test", otherwise=otherwise)
    return tuple(replace(clip, fold="test" if clip.location in held_out else "train") for clip in clips)


def _check_given(manifest: Manifest) -> None:
    """Every clip in one fold, every scene in both, every group in one."""
    folds_at_location: defaultdict[str, set[str]] = defaultdict(set)
    for clip in manifest.clips:
        if clip.fold not in FOLDS:
            raise DataError(
                f"Clip '{clip.id}' is in " + (f"the fold '{clip.fold}'" if clip.fold else "no fold"),
                f"Where folds are given, every clip is in one of: {', '.join(FOLDS)} (validation is drawn from train)",
                "Correct the fold, or give none at all to have the test fold drawn",
            )
        folds_at_location[clip.location].add(clip.fold)
    for fold in FOLDS:
        seen = {clip.scene for clip in manifest.fold(fold)}
        if missing := [scene for scene in manifest.scenes if scene not in seen]:
            raise DataError(
                f"The {fold} fold has no clips of: {', '.join(missing)}",
                "Every scene is trained on and tested",
                "Move clips of it there, or give no folds to have the test fold drawn",
            )
    if shared := sorted(location for location, folds in folds_at_location.items() if len(folds) > 1):
        raise DataError(
            f"The train and the test fold share {len(shared)} group(s): {', '.join(shared[:3])}",
            "The clips of a group resemble each other, so it is never on both sides",
            "Move each group to one fold, or give no folds to have the test fold drawn",
        )
