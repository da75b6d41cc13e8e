"""The names of scores, of what is logged, and of the files that evaluations leave; one home for all of them."""

from collections.abc import Container, Mapping
from typing import Any

# Scores, as they are logged (`validation/<name>`) and written to metrics.json.
MACRO_ACCURACY = "macro_accuracy"  # mean over scenes of the accuracy on that scene's examples
MACRO_LOG_LOSS = "macro_log_loss"  # mean over scenes of the mean log loss on that scene's examples
ACCURACY = "accuracy"  # over examples
LOG_LOSS = "log_loss"  # over examples

# Of multi-label data, whose log loss is that of each scene's being there or not, over examples and scenes alike.
MEAN_PRECISION = "mean_average_precision"  # mean over scenes of the average precision (docs/multi_label.md)
PRECISION = "average_precision"  # of a scene
MACRO_F1 = "macro_f1"  # mean over scenes of the F1 score at the scene's threshold
MICRO_F1 = "micro_f1"  # of all decisions together
F1 = "f1"  # of a scene

# What selects the checkpoint, and what steers the learning rate and stops the training (docs/paper.md).
CHECKPOINT_MONITOR = f"validation/{MACRO_ACCURACY}"
MULTI_LABEL_MONITOR = f"validation/{MEAN_PRECISION}"
PLATEAU_MONITOR = f"validation/{LOG_LOSS}"

WHOLE_LOSS = "validation/loss"  # all that training minimises, on the validation windows; logged where it is watched

TRAIN_LOSS = "train/loss"  # of the heads as the recipe weighs them, with its L2 terms; mean over an epoch's windows

# The one axis of everything logged in training; Lightning adds it, under this name, to what is logged.
EPOCH = "epoch"

# What loggers keep of the best checkpoint.
BEST_SCORES = "best"
CONFUSION, CLASS_WISE = "validation/confusion", "validation/class_wise"
EXAMPLE_INPUTS, EXAMPLE_AUDIO = EXAMPLES = "validation/examples/inputs", "validation/examples/audio"

# Files of an evaluation: evaluation/<fold>/metrics.json and so on, within a run folder.
EVALUATION = "evaluation"
METRICS, PREDICTIONS, ROBUSTNESS = "metrics.json", "predictions.csv", "robustness.json"
LATENCY = "latency.json"  # beside the folds, since it depends on the machine
POOL = "folds.json"  # in a folder of the pooled results of several runs, in place of a run's record

SCHEMA_VERSION = 5
"""Of metrics.json; raised whenever the file says more or something else, so that an earlier one is made again."""

ROBUSTNESS_SCHEMA_VERSION = 3


def main_score(scores: Container[str]) -> str:
    """By which networks are compared: the macro accuracy, or, of multi-label data, the mean average precision."""
    return MEAN_PRECISION if MEAN_PRECISION in scores else MACRO_ACCURACY


def monitor_of(logged: Container[str]) -> str:
    """The name under which that score of the validation fold is logged, among all that is."""
    return MULTI_LABEL_MONITOR if MULTI_LABEL_MONITOR in logged else CHECKPOINT_MONITOR


def in_words(logged: Mapping[str, float]) -> str:
    """That score and the log loss, as a line of the log has them."""
    monitor, log_loss = monitor_of(logged), f"log loss {logged[PLATEAU_MONITOR]:.3f}"
    if monitor == MULTI_LABEL_MONITOR:
        return f"mean average precision {logged[monitor]:.3f}, {log_loss}"
    return f"macro accuracy {100 * logged[monitor]:.1f} %, {log_loss}"


def is_whole(report: Mapping[str, Any]) -> bool:
    """Whether a metrics.json holds what its readers ask of it, and was not damaged since."""
    try:
        levels = [head[level] for head in report["heads"].values() for level in ("window", "clip")]
        numbers = [level[name] for level in levels for name in (main_score(level), MACRO_LOG_LOSS)]
        tables = [level["confusion"] for level in levels]
        known = isinstance(report["of"], dict) and isinstance(report["skipped_clips"], list)
        return known and bool(levels) and all(isinstance(one, float | int) for one in numbers) and all(tables)
    except (KeyError, TypeError, AttributeError):
        return False
