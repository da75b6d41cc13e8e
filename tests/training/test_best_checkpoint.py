"""Which epoch best.ckpt is of, also where a run was interrupted and its folder moved."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.evaluation.result_names import CHECKPOINT_MONITOR, PLATEAU_MONITOR
from sedcrnn.runs.checkpoints import BEST, load_checkpoint
from sedcrnn.runs.records import describe_run
from sedcrnn.training.best_checkpoint import BestCheckpoint
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]
NAN = float("nan")


class FakeTrainer:
    """Epochs with given accuracies and log losses, and which of them were saved, counted from 1."""

    def __init__(self) -> None:
        self.current_epoch, self.callback_metrics = -1, {}
        self.strategy = SimpleNamespace(reduce_boolean_decision=bool)
        self.saved: list[int] = []

    def end_epoch(self, callback: BestCheckpoint, accuracy: float, log_loss: float, over_windows: float = NAN) -> None:
        self.current_epoch += 1
        scores = {CHECKPOINT_MONITOR: accuracy, PLATEAU_MONITOR: log_loss, "validation/accuracy": over_windows}
        self.callback_metrics = {name: torch.tensor(value) for name, value in scores.items()}
        callback.on_train_epoch_end(self, None)  # type: ignore[arg-type]

    def save_checkpoint(self, path: Path, weights_only: bool) -> None:
        assert weights_only
        self.saved.append(self.current_epoch + 1)


@pytest.mark.parametrize(
    ("select_by", "epochs", "saved"),
    [
        ("accuracy", [(0.5, 0.9), (1.0, 0.945), (1.0, 0.06), (0.9, 0.01), (1.0, 0.06), (1.0, 0.152)], [1, 2, 3]),
        ("log_loss", [(0.5, 0.9), (1.0, 0.945), (1.0, 0.06), (0.9, 0.01), (1.0, 0.01), (1.0, 0.01)], [1, 3, 4, 5]),
        # what has diverged is worst, and something is saved all the same
        ("accuracy", [(0.1, NAN), (0.1, NAN), (0.1, 2.3), (0.1, NAN)], [1, 3]),
        ("log_loss", [(0.1, NAN), (0.1, 2.3), (0.2, NAN)], [1, 2]),
    ],
)
def test_the_best_epoch_is_kept_and_ties_go_to_the_other_score(
    select_by: str, epochs: list[tuple[float, float]], saved: list[int]
) -> None:
    trainer, callback = FakeTrainer(), BestCheckpoint(Path("best.ckpt"), select_by)
    for scores in epochs:
        trainer.end_epoch(callback, *scores)
        again = BestCheckpoint(Path("elsewhere/best.ckpt"), select_by)  # as if resumed after every epoch
        again.load_state_dict(callback.state_dict())
        callback = again
    assert trainer.saved == saved
    accuracy, log_loss = epochs[saved[-1] - 1]
    assert callback.best == {
        CHECKPOINT_MONITOR: pytest.approx(accuracy),
        PLATEAU_MONITOR: pytest.approx(log_loss),
        "epoch": saved[-1],
    }


def test_accuracy_over_windows_and_the_last_may_choose_other_epochs_than_accuracy_over_scenes() -> None:
    epochs = [(0.5, 0.60, 0.9), (0.7, 0.55, 0.8), (0.4, 0.65, 1.2), (0.9, 0.65, 0.7), (0.3, 0.50, NAN)]
    saved = {}
    for select_by in ("accuracy", "last", "window_accuracy"):
        trainer, callback = FakeTrainer(), BestCheckpoint(Path("best.ckpt"), select_by)
        for macro, over_windows, log_loss in epochs:
            trainer.end_epoch(callback, macro, log_loss, over_windows)
        saved[select_by] = trainer.saved
    # Of the two with 0.65 the earlier, as Keras keeps it, although its log loss is higher.
    assert saved == {"accuracy": [1, 2, 4], "last": [1, 2, 3, 4, 5], "window_accuracy": [1, 3]}
    assert callback.best["validation/accuracy"] == pytest.approx(0.65)
    assert callback.best[CHECKPOINT_MONITOR] == pytest.approx(0.4)


def rows(run: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader((run / "metrics.csv").open()))


@pytest.mark.parametrize("select_by", ["accuracy", "log_loss"])
def test_the_record_says_both_scores_and_the_epoch_and_a_moved_run_goes_on_from_them(
    stage: Stage, tmp_path: Path, killed_at: Callable[..., None], select_by: str
) -> None:
    # a rate at which validation gets worse after the first epochs
    options = ["trainer.max_epochs=5", "recipe.optimizer.lr=0.05", f"recipe.select_by={select_by}"]
    killed_at(stage("audio", *options, f"runs={tmp_path / 'here'}"), 3, 1)
    shutil.move(tmp_path / "here", tmp_path / "there")
    run = train(stage("audio", *options, f"runs={tmp_path / 'there'}"))
    whole = train(stage("audio", *options, f"runs={tmp_path / 'whole'}"))
    assert run is not None
    assert whole is not None
    assert run.name == whole.name
    record, expected = (json.loads((folder / "record.json").read_text()) for folder in (run, whole))
    assert record["best"] == expected["best"]
    assert (record["epochs"], record["steps"]) == (5, 10)
    assert record["clips"] == {"train": 8, "validation": 4, "test": 4}
    assert record["seconds"] > 0

    def rank(row: dict[str, Any]) -> tuple[float, float]:
        accuracy, loss = float(row[CHECKPOINT_MONITOR]), float(row[PLATEAU_MONITOR])
        return (accuracy, -loss) if select_by == "accuracy" else (-loss, accuracy)

    best = max(rows(whole), key=rank)
    assert record["best"] == {
        CHECKPOINT_MONITOR: float(best[CHECKPOINT_MONITOR]),
        PLATEAU_MONITOR: float(best[PLATEAU_MONITOR]),
        "epoch": int(best["epoch"]) + 1,
        "checkpoint": str(BEST),
        "bytes": (run / BEST).stat().st_size,
    }
    assert load_checkpoint(str(run)).digest == load_checkpoint(str(whole)).digest
    accuracy, log_loss = (float(best[name]) for name in (CHECKPOINT_MONITOR, PLATEAU_MONITOR))
    scores = f"macro accuracy {100 * accuracy:.1f} %, log loss {log_loss:.3f}"
    which = f"best of 5 epochs is epoch {int(best['epoch']) + 1}"
    assert describe_run(run) == f"audio: {which} (validation: {scores}), in {run}"
