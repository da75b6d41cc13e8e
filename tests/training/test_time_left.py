"""What a pipeline has left to train, by hand."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training.time_left import TimeLeft

Stage = Callable[..., TrainConfig]


def test_stages_to_come_take_what_they_took_for_another_seed_or_else_what_others_took(
    stage: Stage, tmp_path: Path
) -> None:
    # 64 clips in batches of 4: 16 steps an epoch
    stages = {
        "audio": stage("audio", "trainer.max_epochs=10"),
        "visual": stage("visual", "trainer.max_epochs=5"),
        "fusion": stage("fusion", "recipe.steps=320", "trainer.max_epochs=null"),
    }

    def run(name: str, steps: int, seconds: float) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        record = {"status": "running", "name": name, "seed": 0, "clips": {"train": 64}}
        (folder / "record.json").write_text(json.dumps({**record, "steps": steps, "seconds": seconds}))
        return folder

    left = TimeLeft([stages, stages])
    # 0.5 s a step; 2 x (80 + 320) + 160 steps are to come
    assert left.after("audio", run("audio", 160, 80.0)) == "; about 8 min of training left"
    # 1.5 s a step, for fusion 1 s: 320 + 160 * 0.5 + 80 * 1.5 + 320 s
    assert left.after("visual", run("visual", 80, 120.0)) == "; about 14 min of training left"
    # without anything to train; the other two stages as before, fusion still at 1 s
    assert left.after("fusion", run("fusion", 0, 0.0)) == "; about 9 min of training left"
    assert left.after("audio", run("audio", 160, 16.0)) == "; about 6 min of training left"
    assert left.after("visual", run("visual", 80, 8.0)) == "; about 32 s of training left"
    assert left.after("fusion", run("fusion", 320, 3.2)) == ""


def test_after_a_stage_that_was_there_nothing_is_said_and_its_pace_is_known(stage: Stage, tmp_path: Path) -> None:
    stages = {"audio": stage("audio", "trainer.max_epochs=10"), "fusion": stage("fusion", "trainer.max_epochs=5")}
    record = {"status": "finished", "name": "audio", "seed": 0, "clips": {"train": 64}, "steps": 160, "seconds": 80.0}
    left = TimeLeft([stages, stages])
    (tmp_path / "record.json").write_text(json.dumps(record | {"finished": "2026-01-01T00:00:00+00:00"}))
    assert left.after("audio", tmp_path) == ""
    (tmp_path / "record.json").write_text(
        json.dumps(record | {"finished": datetime.now(UTC).isoformat(timespec="seconds")})
    )
    assert left.after("fusion", tmp_path) == "; about 2 min of training left"  # 240 steps of 0.5 s


def test_nothing_is_said_where_nothing_is_known(stage: Stage, tmp_path: Path) -> None:
    record = {"status": "running", "name": "fusion", "seed": 0, "steps": 0, "seconds": 0.0}
    (tmp_path / "record.json").write_text(json.dumps(record))
    left = TimeLeft([{"fusion": stage("fusion"), "audio": stage("audio")}])
    assert left.after("fusion", tmp_path) == ""
