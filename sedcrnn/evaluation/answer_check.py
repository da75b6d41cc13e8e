"""Predictions of the validation fold -> where a network's answer is worse than one of its own heads, or than a network
of one modality, by more than noise: the 95 % interval of the paired difference, over locations, leaves out zero.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sedcrnn.evaluation.intervals import LEVEL, bootstrap_scores
from sedcrnn.evaluation.predictions import StoredPredictions, read_predictions
from sedcrnn.evaluation.result_names import (
    MACRO_ACCURACY,
    MACRO_LOG_LOSS,
    MEAN_PRECISION,
    METRICS,
    PREDICTIONS,
    main_score,
)
from sedcrnn.evaluation.scores import score

FEWEST_LOCATIONS = 5
"""With fewer, drawing locations says nothing of noise, and no answer is called worse."""

SAME = 1e-4
"""Of a probability: the answer of a network that differs by less from a head is that head, trained before."""


def answer_warnings(metrics: Path, singles: Sequence[Path] = ()) -> list[str]:
    """Sentences, none or one, on a network whose answer is worse than others, with figures and with what to do.

    Args:
        metrics: its metrics.json of some fold; nothing is said where the same weights are not evaluated on the
            validation fold.
        singles: metrics.json of networks of one modality; those that were evaluated on other clips take no part.
    """
    own = _validation(metrics)
    if own is None or len(set(own.locations)) < FEWEST_LOCATIONS:
        return []
    *heads, answer = own.predictions.log_probabilities
    rivals = {f"its head '{head}'": own.predictions.log_probabilities[head] for head in heads}
    for single in singles:
        other = _validation(single)
        if other is None or not _same_examples(own, other):
            continue
        values = list(other.predictions.log_probabilities.values())[-1]
        if not any(torch.allclose(values.exp(), known.exp(), rtol=0, atol=SAME) for known in rivals.values()):
            rivals[f"{single.parents[2].name} alone"] = values
    found = _worse_than(own, answer, rivals)
    if not found:
        return []
    remedy = "Train it longer (recipe.steps)"
    if json.loads(metrics.read_text(encoding="utf-8"))["stage"] == "fusion":
        remedy += ", or start its late layer as an average of both networks (model.network.late_start=average)"
    return [f"By the validation fold, the answer of {metrics.parents[2].name} is worse than others: {found}. {remedy}."]


def _validation(metrics: Path) -> StoredPredictions | None:
    """The predictions of the validation fold by the weights of a metrics.json."""
    beside = metrics.parents[1] / "validation" / METRICS
    if not beside.is_file():
        return None
    of, expected = (json.loads(path.read_text(encoding="utf-8"))["of"] for path in (beside, metrics))
    same = of == {**expected, "fold": "validation"}
    return read_predictions(beside.with_name(PREDICTIONS)) if same else None


def _same_examples(one: StoredPredictions, other: StoredPredictions) -> bool:
    ours, theirs = one.predictions, other.predictions
    named = (one.scenes, one.clips, one.locations) == (other.scenes, other.clips, other.locations)
    return named and torch.equal(ours.clip, theirs.clip) and torch.equal(ours.window, theirs.window)


def _worse_than(own: StoredPredictions, answer: str, rivals: Mapping[str, Tensor]) -> str:
    """Both figures of every score in which the answer is worse than a rival beyond noise, on 1-s windows."""
    scene = own.predictions.scene
    location = torch.from_numpy(np.unique(own.locations, return_inverse=True)[1])[own.predictions.clip]

    def figures(values: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return score(values, scene).compute(), bootstrap_scores(values, scene, location)

    ours, our_draws = figures(own.predictions.log_probabilities[answer])
    main = main_score(ours)
    better: dict[str, list[str]] = {main: [], MACRO_LOG_LOSS: []}
    for name, values in rivals.items():
        theirs, their_draws = figures(values)
        for each, sign in ((main, -1), (MACRO_LOG_LOSS, 1)):
            excess = sign * (our_draws[each] - their_draws[each])
            if np.quantile(excess.numpy(), LEVEL[0]) > 0:
                better[each].append(f"{_figure(each, theirs)} of {name}")
    names = {MACRO_ACCURACY: "accuracy", MEAN_PRECISION: "mean average precision", MACRO_LOG_LOSS: "log loss"}
    listed = [(each, " and ".join(others)) for each, others in better.items() if others]
    return "; ".join(f"{names[each]} {_figure(each, ours)}, but {others}" for each, others in listed)


def _figure(name: str, scores: Mapping[str, Tensor]) -> str:
    value = scores[name].item()
    return f"{100 * value:.1f} %" if name == MACRO_ACCURACY else f"{value:.3f}"
