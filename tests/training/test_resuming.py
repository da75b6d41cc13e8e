"""A run that was killed, or whose time was over, goes on with the same command and ends as one that was not."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import Timer

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import SedcrnnError
from sedcrnn.runs.checkpoints import BEST, LAST, load_checkpoint
from sedcrnn.runs.files import locked
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    "schedule",
    [
        "steps",
        pytest.param("plateau", marks=pytest.mark.slow),
        pytest.param("cosine", marks=pytest.mark.slow),
        "cosine over the recipe's steps",
    ],
)
def test_a_run_killed_after_an_epoch_ends_as_the_uninterrupted_one(
    stage: Stage, tmp_path: Path, killed_at: Callable[..., None], schedule: str
) -> None:
    options = ["trainer.max_epochs=5", "recipe.optimizer.lr=0.01", "model.network.dropout=0.2"]
    options += ["recipe.scheduler.patience=0"] if schedule == "plateau" else ["recipe/scheduler=cosine"]
    if schedule == "cosine over the recipe's steps":  # 8 clips, batches of 4: 4 steps an epoch
        options += ["recipe.steps=18", "trainer.max_epochs=null", "recipe.windows_per_clip=2"]

    def config(runs: str) -> TrainConfig:
        made = stage("audio", *options, f"runs={tmp_path / runs}")
        if schedule == "steps":
            made.recipe.scheduler = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 2, "gamma": 0.5}
        return made

    whole = train(config("whole"))
    assert whole is not None
    killed_at(config("killed"), 3, 1)
    (killed,) = (tmp_path / "killed").iterdir()
    assert json.loads((killed / "record.json").read_text())["status"] == "running"
    assert (killed / LAST).is_file()
    assert train(config("killed")) == killed
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert load_checkpoint(str(killed)).digest == load_checkpoint(str(whole)).digest
    rates = [float(row["train/learning_rate"]) for row in csv.DictReader((whole / "metrics.csv").open())]
    if schedule == "steps":
        assert rates == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])
    elif schedule.startswith("cosine"):
        assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(5)])
    assert len(set(rates)) > 1
    steps = json.loads((killed / "record.json").read_text())["steps"]
    assert steps == (20 if schedule == "cosine over the recipe's steps" else 10)


def left(tmp_path: Path) -> list[str]:
    """Run folders, and whatever else lies beside them."""
    return sorted(path.name for path in (tmp_path / "runs").iterdir())


def test_a_run_that_never_finished_an_epoch_leaves_no_folder(
    stage: Stage, tmp_path: Path, killed_at: Callable[..., None]
) -> None:
    def look() -> None:
        (folder,) = (tmp_path / "runs").iterdir()
        assert json.loads((folder / "record.json").read_text())["status"] == "running"

    killed_at(stage("audio"), 0, 1, look)
    assert left(tmp_path) == []
    # SIGKILL leaves a folder, which the next training removes; one that has an epoch, or is held, stays
    for name, checkpoint in (("audio-s7-00000000", None), ("audio-s8-00000000", LAST), ("audio-s9-00000000", None)):
        folder = tmp_path / "runs" / name
        folder.mkdir()
        (folder / "record.json").write_text('{"status": "running", "name": "audio", "seed": 7}')
        if checkpoint:
            (folder / checkpoint).parent.mkdir()
            (folder / checkpoint).touch()
    with locked(tmp_path / "runs" / "audio-s9-00000000" / ".lock", RuntimeError()):
        run = train(stage("audio", "trainer.max_epochs=1"))
    assert run is not None
    assert left(tmp_path) == sorted(["audio-s8-00000000", "audio-s9-00000000", run.name])


@pytest.mark.parametrize("given", ["callback", pytest.param("trainer", marks=pytest.mark.slow)])
def test_when_its_time_is_over_a_run_goes_on_with_the_same_command(
    stage: Stage, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(stage("audio", f"runs={tmp_path / 'whole'}"))
    begun = tmp_path / "runs"
    monkeypatch.setattr(Timer, "time_elapsed", lambda *_: 1e9 if list(begun.glob("*/checkpoints/last.ckpt")) else 0.0)
    options = ["+trainer.max_time=00:01:00:00"] if given == "trainer" else ["callbacks=timer"]
    with pytest.raises(SedcrnnError, match=r"time of audio was over after 2 epochs.*same command again"):
        train(stage("audio", *options))
    monkeypatch.undo()
    run = train(stage("audio", *options))
    assert run is not None
    assert whole is not None
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_a_run_goes_on_and_is_used_wherever_it_lies(
    stage: Stage, tmp_path: Path, killed_at: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(stage("audio", f"runs={tmp_path / 'whole'}"))
    assert whole is not None
    killed_at(stage("audio"), 2, 1)
    (killed,) = (tmp_path / "runs").iterdir()
    # Moved to another folder, which is named by a link, and under another name.
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    killed.rename(moved)
    (tmp_path / "link").symlink_to(moved.parent)
    assert train(stage("audio", f"runs={tmp_path / 'link'}")) == tmp_path / "link" / "renamed"
    assert (moved / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert load_checkpoint(str(moved)).digest == load_checkpoint(str(whole)).digest
    best = [json.loads((run / "record.json").read_text())["best"] for run in (moved, whole)]
    assert best[0] == best[1]
    # A copy is the same run; nothing of it is written.
    copy = tmp_path / "copies" / moved.name
    shutil.copytree(moved, copy)
    before = {file: file.stat().st_mtime_ns for file in copy.rglob("*")}
    caplog.clear()
    assert train(stage("audio", f"runs={copy.parent}")) == copy
    assert {file: file.stat().st_mtime_ns for file in copy.rglob("*")} == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_finished_run_whose_network_is_cut_short_or_gone_is_trained_again(
    stage: Stage, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(stage("audio"))
    assert run is not None
    digest, table = load_checkpoint(str(run)).digest, (run / "metrics.csv").read_text()
    best = run / BEST
    best.unlink() if content is None else best.write_bytes(content)
    assert train(stage("audio")) == run
    assert f"{best} is missing or cut short: it is trained again." in caplog.messages
    assert (load_checkpoint(str(run)).digest, (run / "metrics.csv").read_text()) == (digest, table)
