"""An evaluated run -> how good it is and how sure one can be of it, in sentences."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.evaluation.predictions import StoredPredictions, read_predictions
from sedcrnn.evaluation.result_names import (
    MACRO_ACCURACY,
    MACRO_F1,
    MEAN_PRECISION,
    MICRO_F1,
    PRECISION,
    PREDICTIONS,
)
from sedcrnn.inference.file_prediction import scene_in_words

FEWEST_GROUPS = 5
"""Groups of a scene from which on an interval over groups keeps nearly what it promises (docs/trust.md)."""

WIDE = 0.2
"""An interval of accuracy that is wider leaves open whether a network is of use."""


def conclusion(metrics: Path) -> str:
    """Sentences, a line each, on a run that was evaluated on the test fold, of which this is the metrics.json. Groups
    are what recordings of one place are to this package: TAU's locations, groups of own recordings.
    """
    return "\n".join(_sentences(metrics))


def _sentences(metrics: Path) -> Iterator[str]:
    report = json.loads(metrics.read_text(encoding="utf-8"))
    head, scores = list(report["heads"].items())[-1]
    clips, interval = scores["clip"], scores["clip"]["intervals"]["locations"]
    if MEAN_PRECISION in clips:
        yield from _of_labels(head, clips, report, *_fewest_groups(read_predictions(metrics.with_name(PREDICTIONS))))
        return
    scenes = len(clips["class_wise"])
    accuracy, (low, high) = clips[MACRO_ACCURACY], interval[MACRO_ACCURACY]
    chance = 1 / scenes
    right = sum(row[true] for true, row in enumerate(clips["confusion"]))
    pooled = report.get("pooled")
    tested = "" if pooled else " in the test fold"
    of = f"of the data set, each held out once ({pooled})" if pooled else "of the test fold"
    yield (
        f"How good it is: the {head} head is right on {right} of {clips['examples']} clips {of}, "
        f"{100 * accuracy:.1f} % as the mean over {scenes} scenes; guessing gives {100 * chance:.1f} %."
    )
    groups, (fewest, scene) = interval["locations"], _fewest_groups(read_predictions(metrics.with_name(PREDICTIONS)))
    rests = f"It rests on {groups} groups of recordings, {fewest} of them of {scene_in_words(scene)}, which has fewest."
    if low == high:  # every group is answered alike, and drawing from them cannot show what others would bring
        low, high = (0.025 ** (1 / groups), 1.0) if accuracy == 1 else (0.0, 1.0)
    yield f"How sure that is: elsewhere it may be {100 * low:.0f} to {100 * high:.0f} % (95 % interval). {rests}"
    if report["selection"] == TEST_FOLD_AS_AUTHORS:
        yield "The checkpoint was selected on this very fold, so both figures are too good."
    if low <= chance:
        yield "So far it cannot be told from guessing."
    if fewest < FEWEST_GROUPS:
        yield (
            f"More recordings are needed: with fewer than {FEWEST_GROUPS} groups of each scene{tested}, the "
            "interval is too narrow. Record every scene in more places."
        )
    elif high - low > WIDE:
        yield f"More groups{tested} would make the interval narrower."


def _of_labels(head: str, clips: dict[str, Any], report: dict[str, Any], fewest: int, scene: str) -> Iterator[str]:
    """The same of multi-label data."""
    by_scene, bounds = clips["class_wise"], clips["intervals"]["locations"][PRECISION]
    known = {scene: one for scene, one in by_scene.items() if one[PRECISION] is not None}
    guessing = fmean(one["examples"] / clips["examples"] for one in known.values())
    low, high = clips["intervals"]["locations"][MEAN_PRECISION]
    yield (
        f"How good it is: the {head} head has a mean average precision of {clips[MEAN_PRECISION]:.3f} on "
        f"{clips['examples']} clips, over {len(known)} scenes; guessing gives {guessing:.3f}. At the thresholds of the "
        f"validation fold its F1 is {clips[MACRO_F1]:.3f} (mean over scenes), {clips[MICRO_F1]:.3f} (all decisions)."
    )
    groups = clips["intervals"]["locations"]["locations"]
    rests = f"It rests on {groups} groups of recordings, {fewest} of them of {scene_in_words(scene)}, which has fewest."
    alike = "all groups are answered alike, which says nothing of others."
    elsewhere = f"elsewhere it may be {low:.3f} to {high:.3f} (95 % interval)." if low < high else alike
    yield f"How sure that is: {elsewhere} {rests}"
    worst = min(known, key=lambda scene: known[scene][PRECISION])
    yield (
        f"Worst is {scene_in_words(worst)}: {known[worst][PRECISION]:.3f} ({bounds[worst][0]:.3f} to "
        f"{bounds[worst][1]:.3f}), of {known[worst]['examples']} clips that have it."
    )
    if absent := by_scene.keys() - known.keys():
        yield f"No clip has {', '.join(map(scene_in_words, sorted(absent)))}, of which nothing is known."
    if report["selection"] == TEST_FOLD_AS_AUTHORS:
        yield "The checkpoint was selected on this very fold, so all figures are too good."
    if low <= guessing:
        yield "So far it cannot be told from guessing."
    if fewest < FEWEST_GROUPS:
        yield (
            f"More recordings are needed: with fewer than {FEWEST_GROUPS} groups of each scene, the interval is too "
            "narrow. Record every scene in more places."
        )


def _fewest_groups(stored: StoredPredictions) -> tuple[int, str]:
    """The smallest number of groups that a scene of the fold has clips of, and that scene."""
    found: dict[str, set[str]] = {}
    clips, scenes = stored.predictions.clip, stored.predictions.scene
    if scenes.ndim == 2:  # of every scene that a window has
        pairs = [(int(clips[row]), scene) for row, scene in torch.nonzero(scenes).tolist()]
    else:
        pairs = list(zip(clips.tolist(), scenes.tolist(), strict=True))
    for clip, scene in set(pairs):
        found.setdefault(stored.scenes[scene], set()).add(stored.locations[clip])
    return min((len(groups), scene) for scene, groups in found.items())
