"""A run's predictions -> one head's scores per 1-s window and per clip, before and after temperature scaling."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sedcrnn.config import digest
from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.errors import CheckpointError, ConfigError, nearest
from sedcrnn.evaluation.fold_scores import EVALUATION, METRICS, PREDICTIONS
from sedcrnn.evaluation.intervals import bootstrap_scores
from sedcrnn.evaluation.metrics import MACRO_LOG_LOSS, score
from sedcrnn.evaluation.predictions import Predictions, read_predictions
from sedcrnn.reporting.calibration import brier_score, fit_temperature, reliability, scaled
from sedcrnn.reporting.collection import VALIDATION, Run
from sedcrnn.reporting.results_tables import LEVELS

# Names of the scores that this module adds to those of `evaluation.metrics`.
BRIER, CALIBRATION_ERROR = "brier_score", "expected_calibration_error"
SCALED_LOG_LOSS, SCALED_CALIBRATION_ERROR = f"scaled_{MACRO_LOG_LOSS}", f"scaled_{CALIBRATION_ERROR}"


@dataclass(frozen=True, eq=False)
class Level:
    """Scores of all windows, or of all clips.

    Attributes:
        scene: (example,) true class indices.
        log_probabilities: (example, scene).
        scaled: (example, scene), after temperature scaling; None where there is no temperature.
        scores: by name; those after scaling are absent where there is no temperature.
        class_wise: scene -> accuracy; NaN for a scene without examples.
        confusion: (true scene, predicted scene) counts.
        replicates: (replicate,) macro accuracy and macro log loss of the bootstrap over locations, by name; the same
            locations are drawn for every run on the same fold.
    """

    scene: Tensor
    log_probabilities: Tensor
    scaled: Tensor | None
    scores: dict[str, float]
    class_wise: dict[str, float]
    confusion: list[list[int]]
    replicates: dict[str, Tensor]

    @property
    def examples(self) -> int:
        """How many they are."""
        return len(self.scene)

    @property
    def right(self) -> Tensor:
        """(example,) whether the likeliest scene is the true one."""
        return self.log_probabilities.argmax(-1) == self.scene


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """One head of one run on the reported fold.

    Attributes:
        run: the run.
        head: the network's answer, or the head that a row asks for.
        scenes: label order.
        clips: ids, in the order of the clips' examples.
        locations: of the clips.
        temperature: fitted on the validation fold; None: see `no_temperature`.
        no_temperature: why there is none; empty where there is one.
        levels: `window` and `clip`.
    """

    run: Run
    head: str
    scenes: tuple[str, ...]
    clips: tuple[str, ...]
    locations: tuple[str, ...]
    temperature: float | None
    no_temperature: str
    levels: dict[str, Level]

    @property
    def fold_digest(self) -> str:
        """Hash of the fold's clips with labels and locations; runs with the same may be compared."""
        labels = self.levels["clip"].scene.tolist()
        return digest([self.scenes, sorted(zip(self.clips, self.locations, labels, strict=True))])

    @property
    def is_answer(self) -> bool:
        """Whether the head is the network's answer, to which its cost belongs."""
        return self.head == _answer(self.run)


def score_run(run: Run, head: str | None = None) -> ScoredRun:
    """Score an evaluated run from its predictions.

    Args:
        run: whose state is `EVALUATED`.
        head: None: the network's answer, its last head.

    Raises:
        ConfigError: a head that the network does not have.
        CheckpointError: predictions that are absent or damaged, or that metrics.json does not describe.
    """
    assert run.metrics is not None
    heads = run.metrics["heads"]
    head = head or _answer(run)
    if head not in heads:
        raise ConfigError(
            f"The network of {run.folder} has no head '{head}'",
            f"It has {', '.join(heads)}; the nearest is {nearest(head, heads)}",
            "Correct the row's head in rows.yaml",
        )
    folder = run.folder / EVALUATION / run.fold
    stored = read_predictions(folder / PREDICTIONS)
    temperature, reason = _temperature(run, head)
    locations = np.unique(stored.locations, return_inverse=True)[1]
    if head not in stored.predictions.log_probabilities:
        raise _mismatch(run, f"hold no head '{head}'", "has its scores")
    raw = _with_head(stored.predictions, head)
    mended = None if temperature is None else _with_head(raw, head, temperature)
    levels = {}
    for name in LEVELS:
        examples = raw if name == "window" else raw.per_clip()
        after = mended if mended is None or name == "window" else mended.per_clip()
        levels[name] = _score(
            examples.log_probabilities[head],
            None if after is None else after.log_probabilities[head],
            examples.scene,
            torch.from_numpy(locations)[examples.clip],
            stored.scenes,
        )
        _check(levels[name], heads[head][name], run)
    return ScoredRun(run, head, stored.scenes, stored.clips, stored.locations, temperature, reason, levels)


def _with_head(predictions: Predictions, head: str, temperature: float = 1.0) -> Predictions:
    """The predictions of one head alone, at a temperature."""
    return replace(predictions, log_probabilities={head: scaled(predictions.log_probabilities[head], temperature)})


def _answer(run: Run) -> str:
    assert run.metrics is not None
    return str(list(run.metrics["heads"])[-1])


def _temperature(run: Run, head: str) -> tuple[float | None, str]:
    """The temperature fitted on the validation fold, or why there is none."""
    if run.record["selection"] == TEST_FOLD_AS_AUTHORS:
        return None, "its validation fold is the test fold"
    path = run.predictions(VALIDATION)
    if path is None:
        return None, f"its {VALIDATION} fold is not evaluated"
    validation = read_predictions(path).predictions
    return fit_temperature(validation.log_probabilities[head], validation.scene), ""


def _score(
    log_probabilities: Tensor, after: Tensor | None, scene: Tensor, location: Tensor, scenes: tuple[str, ...]
) -> Level:
    counted = score(log_probabilities, scene)
    scores = {name: value.item() for name, value in counted.compute().items()}
    scores[BRIER] = brier_score(log_probabilities, scene)
    scores[CALIBRATION_ERROR] = reliability(log_probabilities, scene).error
    if after is not None:
        scores[SCALED_LOG_LOSS] = score(after, scene).compute()[MACRO_LOG_LOSS].item()
        scores[SCALED_CALIBRATION_ERROR] = reliability(after, scene).error
    return Level(
        scene=scene,
        log_probabilities=log_probabilities,
        scaled=after,
        scores=scores,
        class_wise=dict(zip(scenes, (counted.confusion.diagonal() / counted.confusion.sum(-1)).tolist(), strict=True)),
        confusion=counted.confusion.tolist(),
        replicates=bootstrap_scores(log_probabilities, scene, location),
    )


def _check(level: Level, told: dict[str, Any], run: Run) -> None:
    """Refuse predictions that are not those of which metrics.json tells the scores."""
    log_loss = level.scores[MACRO_LOG_LOSS]
    if level.confusion != told["confusion"] or not np.isclose(log_loss, told[MACRO_LOG_LOSS], rtol=1e-6):
        raise _mismatch(run, f"have the macro log loss {log_loss:.6f}", f"says {told[MACRO_LOG_LOSS]:.6f}")


def _mismatch(run: Run, predictions: str, metrics: str) -> CheckpointError:
    folder = run.folder / EVALUATION / run.fold
    return CheckpointError(
        f"The predictions in {folder / PREDICTIONS} {predictions}, and {METRICS} beside them {metrics}",
        "One evaluation wrote both, and their scores and confusion matrices agree",
        f"Remove {folder}, and evaluate the run again",
    )
