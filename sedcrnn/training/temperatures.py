"""The best checkpoint on the validation fold -> the temperature of every head, and in multi-label data its thresholds,
kept in the checkpoint."""

import logging
from typing import Any

from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.evaluation.calibration import fit_temperature
from sedcrnn.evaluation.predictions import Predictions
from sedcrnn.evaluation.thresholds import choose_thresholds
from sedcrnn.runs.checkpoints import BEST, read_checkpoint, write_temperatures
from sedcrnn.runs.run_folder import Run
from sedcrnn.training.showcase import predict_validation

log = logging.getLogger(__name__)


def keep_temperatures(run: Run, data: SceneDataModule, found: Predictions | None, device: str) -> dict[str, Any]:
    """Fit the temperatures of all heads at the end of a training, and add them to its best checkpoint, unless its
    validation fold is the test fold; `found` are its predictions of the validation fold, if they were made already.

    Returns:
        What the run's record says of them.
    """
    temperatures: dict[str, float] = {}
    thresholds: dict[str, list[float]] = {}
    reason = "its validation fold is the test fold" if run.config.data.selection == TEST_FOLD_AS_AUTHORS else ""
    if reason:
        log.info("%s: no temperatures, for %s", run.config.name, reason)
    else:
        found = found or predict_validation(read_checkpoint(run.folder / BEST), data, device)
        temperatures = {head: fit_temperature(found, head) for head in found.log_probabilities}
        listed = ", ".join(f"{head} {temperature:.2f}" for head, temperature in temperatures.items())
        log.info("%s: temperatures, by %d validation windows: %s", run.config.name, len(found.scene), listed)
        if found.multi_label:
            values = found.log_probabilities
            thresholds = {head: choose_thresholds(values[head], found.scene) for head in values}
            chosen = zip(data.manifest.scenes, list(thresholds.values())[-1], strict=True)
            listed = ", ".join(f"{scene} {threshold:.2f}" for scene, threshold in chosen)
            log.info("%s: thresholds of its answer, by the same windows: %s", run.config.name, listed)
    write_temperatures(run.folder / BEST, temperatures, reason, thresholds)
    kept: dict[str, Any] = {"temperatures": temperatures, "no_temperatures": reason}
    return {**kept, "thresholds": thresholds} if thresholds else kept
