"""A run's predictions -> one head's scores per 1-s window and per clip, before and after temperature scaling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sedcrnn.config import digest
from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.errors import CheckpointError, ConfigError, nearest
from sedcrnn.evaluation.calibration import fit_temperature
from sedcrnn.evaluation.intervals import bootstrap_scores
from sedcrnn.evaluation.predictions import Predictions, read_predictions
from sedcrnn.evaluation.result_names import ACCURACY, EVALUATION, MACRO_LOG_LOSS, METRICS, PRECISION, PREDICTIONS
from sedcrnn.evaluation.scores import score
from sedcrnn.networks.probabilities import scaled
from sedcrnn.reporting.collection import FOLD, VALIDATION, ReportedRun
from sedcrnn.reporting.grids import LEVELS

# Names of the scores that this module adds to those of `evaluation.metrics`.
BRIER, CALIBRATION_ERROR = "brier_score", "expected_calibration_error"
SCALED_LOG_LOSS, SCALED_CALIBRATION_ERROR = f"scaled_{MACRO_LOG_LOSS}", f"scaled_{CALIBRATION_ERROR}"

BINS = 15


class Reliability(NamedTuple):
    """Examples by the probability of their likeliest scene, in `BINS` bins of equal width; (bin,) each. In multi-label
    data every scene of every example is one, by its probability, and right where the scene is there."""

    number: NDArray[np.float64]
    confidence: NDArray[np.float64]  # mean of that probability; NaN in an empty bin
    accuracy: NDArray[np.float64]  # share of examples that are right; NaN in an empty bin

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over examples of their bin's |accuracy - confidence|."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.number * gaps).sum() / self.number.sum())


@dataclass(frozen=True, eq=False)
class Level:
    """Scores of all windows, or of all clips."""

    scene: Tensor  # (example,) true class indices; (example, scene) labels in multi-label data
    log_probabilities: Tensor  # (example, scene)
    scaled: Tensor | None  # the same after temperature scaling; None where there is no temperature
    scores: dict[str, float]  # by name; those after scaling are absent where there is no temperature
    wrong: Tensor  # (example,) whether the answer is; (example, scene) in multi-label data
    class_wise: dict[str, float]  # scene -> accuracy, or average precision; NaN for a scene without examples
    confusion: list[Any]  # (true scene, predicted scene) counts; or for each scene (true, answered)
    replicates: dict[str, Tensor]  # (replicate,) scores of the bootstrap, whose draws are the same for every run
    class_replicates: Tensor | None  # (replicate, scene) average precisions, in multi-label data

    @property
    def right(self) -> Tensor:
        """(example,) whether the answer is right, and in multi-label data right for every scene."""
        return ~self.wrong if self.wrong.ndim == 1 else ~self.wrong.any(-1)


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """One head of one run on the test fold."""

    run: ReportedRun
    head: str
    is_answer: bool  # whether the head is the network's answer, to which its cost belongs
    scenes: tuple[str, ...]
    clips: tuple[str, ...]  # ids, in the order of the clips' examples
    locations: tuple[str, ...]  # of the clips
    temperature: float | None  # fitted on the validation fold; of several folds their mean
    no_temperature: str  # why there is none; empty where there is one
    levels: dict[str, Level]  # `window` and `clip`

    @property
    def multi_label(self) -> bool:
        """Whether an example may have any number of scenes."""
        return self.levels["window"].scene.ndim == 2

    @cached_property
    def fold(self) -> tuple[str, str]:
        """Hashes of the data, and of the fold's clips, labels and locations; runs with the same may be compared."""
        labels = self.levels["clip"].scene.tolist()
        clips = sorted(zip(self.clips, self.locations, labels, strict=True))
        return digest(self.run.data), digest([self.scenes, clips])


def score_run(run: ReportedRun, head: str | None = None) -> ScoredRun:
    """Score an evaluated run from its predictions; without a head, that of the network's answer, its last one.

    Raises:
        ConfigError: a head that the network does not have.
        CheckpointError: predictions that are absent or damaged, or that metrics.json does not describe.
    """
    heads = run.metrics["heads"]
    answer = list(heads)[-1]
    head = head or answer
    if head not in heads:
        raise ConfigError(
            f"The network of {run.folder} has no head '{head}'",
            f"It has {', '.join(heads)}; the nearest is {nearest(head, heads)}",
            "Correct the head of the row in tables.yaml",
        )
    stored = read_predictions(run.folder / EVALUATION / FOLD / PREDICTIONS)
    if head not in stored.predictions.log_probabilities:
        raise _mismatch(run, f"hold no head '{head}'", "has its scores")
    temperatures, reason = _temperatures(run, head)
    locations = torch.from_numpy(np.unique(stored.locations, return_inverse=True)[1])
    raw = _with_head(stored.predictions, head)
    clips = [fold["clips"] for fold in run.folds] or [len(stored.clips)]
    of_clip = (
        torch.tensor(temperatures, dtype=torch.float64).repeat_interleave(torch.tensor(clips)) if temperatures else None
    )
    corrected = None if of_clip is None else _with_head(raw, head, of_clip[raw.clip, None])
    bounds = _thresholds(run, head, clips) if raw.multi_label else None
    levels = {}
    for name in LEVELS:
        examples, after = (raw, corrected) if name == "window" else (raw.per_clip(), corrected and corrected.per_clip())
        scaled_values = after.log_probabilities[head] if after else None
        own = bounds[examples.clip] if bounds is not None else None
        level = _score(examples, head, scaled_values, own, locations, stored.scenes)
        described, log_loss = heads[head][name], level.scores[MACRO_LOG_LOSS]
        if level.confusion != described["confusion"] or not np.isclose(log_loss, described[MACRO_LOG_LOSS], rtol=1e-6):
            raise _mismatch(run, f"have the macro log loss {log_loss:.6f}", f"says {described[MACRO_LOG_LOSS]:.6f}")
        levels[name] = level
    about = stored.scenes, stored.clips, stored.locations
    temperature = fmean(temperatures) if temperatures else None
    return ScoredRun(run, head, head == answer, *about, temperature, reason, levels)


def _with_head(predictions: Predictions, head: str, temperature: float | Tensor = 1.0) -> Predictions:
    """The predictions of one head alone, at a temperature."""
    values = scaled(predictions.log_probabilities[head], temperature, predictions.multi_label)
    return replace(predictions, log_probabilities={head: values})


def _thresholds(run: ReportedRun, head: str, clips: Sequence[int]) -> Tensor:
    """(clip, scene) thresholds; of pooled results each fold has its own."""
    heads = [fold["heads"] for fold in run.metrics.get("folds", [])] or [run.metrics["heads"]]
    by_fold = torch.tensor([one[head]["thresholds"] for one in heads], dtype=torch.float64)
    return by_fold.repeat_interleave(torch.tensor(clips), 0)


def _temperatures(run: ReportedRun, head: str) -> tuple[list[float], str]:
    """The temperature fitted on the validation fold with the reported weights, or why there is none; of pooled results
    that of each fold."""
    if run.record["selection"] == TEST_FOLD_AS_AUTHORS:
        return [], "its validation fold is the test fold"
    if run.folds:
        return [fold["temperatures"][head] for fold in run.folds], ""
    if run.read(VALIDATION, METRICS).get("of") != {**run.metrics["of"], "fold": VALIDATION}:
        return [], f"its {VALIDATION} fold is not evaluated"
    found = read_predictions(run.folder / EVALUATION / VALIDATION / PREDICTIONS).predictions
    return [fit_temperature(found, head)], ""


def _score(
    examples: Predictions,
    head: str,
    after: Tensor | None,
    thresholds: Tensor | None,
    locations: Tensor,
    scenes: tuple[str, ...],
) -> Level:
    log_probabilities, scene = examples.log_probabilities[head], examples.scene
    counted = score(log_probabilities, scene, thresholds)
    scores = {name: value.item() for name, value in counted.compute().items()}
    scores[BRIER] = brier_score(log_probabilities, scene)
    scores[CALIBRATION_ERROR] = reliability(log_probabilities, scene).error
    if after is not None:
        scores[SCALED_LOG_LOSS] = score(after, scene).compute()[MACRO_LOG_LOSS].item()
        scores[SCALED_CALIBRATION_ERROR] = reliability(after, scene).error
    report = counted.report(scenes)
    if thresholds is None:
        wrong, name = log_probabilities.argmax(-1) != scene, ACCURACY
    else:
        wrong, name = (log_probabilities.exp() >= thresholds) != scene, PRECISION
    class_wise = {key: np.nan if one[name] is None else one[name] for key, one in report["class_wise"].items()}
    replicates = bootstrap_scores(log_probabilities, scene, locations[examples.clip])
    by_scene = replicates.pop(PRECISION, None)
    found = scene, log_probabilities, after, scores, wrong, class_wise
    return Level(*found, report["confusion"], replicates, by_scene)


def _mismatch(run: ReportedRun, predictions: str, metrics: str) -> CheckpointError:
    folder = run.folder / EVALUATION / FOLD
    return CheckpointError(
        f"The predictions in {folder / PREDICTIONS} {predictions}, and {METRICS} beside them {metrics}",
        "One evaluation wrote both, and their scores and confusion matrices agree",
        f"Remove {folder}, and evaluate the run again",
    )


def brier_score(log_probabilities: Tensor, scene: Tensor) -> float:
    """The mean over examples of the squared distance of probabilities and label, summed over scenes: 0 to 2, or, in
    multi-label data, 0 to their number."""
    label = scene.double() if scene.ndim == 2 else F.one_hot(scene, log_probabilities.shape[-1])
    return (log_probabilities.double().exp() - label).square().sum(-1).mean().item()


def reliability(log_probabilities: Tensor, scene: Tensor) -> Reliability:
    """(example, scene) log-probabilities and (example,) true class indices, or labels -> examples by confidence."""
    if scene.ndim == 2:
        confidence, right = log_probabilities.double().exp().flatten(), scene.flatten()
    else:
        confidence, predicted = log_probabilities.double().exp().max(-1)
        right = predicted == scene
    bins = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    number, sums, correct = (
        torch.bincount(bins, weights, minlength=BINS)
        for weights in (torch.ones_like(confidence), confidence, right.double())
    )
    return Reliability(number.numpy(), (sums / number).numpy(), (correct / number).numpy())
