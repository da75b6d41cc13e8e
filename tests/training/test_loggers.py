"""What W&B (offline) and TensorBoard hold of a run is what metrics.csv and its best checkpoint say."""

import base64
import csv
import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.errors import ConfigError, MissingExtraError
from sedcrnn.evaluation.result_names import EPOCH, MACRO_ACCURACY
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.runs.records import read_config
from sedcrnn.training.loggers import WANDB_ID, WandbLog, check_loggers
from sedcrnn.training.stage import train
from tests.training.wandb_files import history, items, read_wandb

Stage = Callable[..., TrainConfig]


def curves(run: Path) -> dict[int, dict[str, float]]:
    """metrics.csv as epoch -> metric -> value."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {int(row.pop(EPOCH)): {k: float(v) for k, v in row.items() if k != "step"} for row in rows}


def test_wandb_offline_holds_the_run_its_curves_and_what_is_shown(stage: Stage) -> None:
    pytest.importorskip("wandb")
    run = train(stage("audio", "logger=wandb", "logger.wandb.tags=[first]"))
    (folder,) = (run / "wandb").glob("offline-run-*")
    records = read_wandb(folder)
    begun = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert begun.run_id == (run / WANDB_ID).read_text().strip()
    assert (begun.run_group, begun.job_type, begun.display_name) == ("audio", "audio", run.name)
    assert set(begun.tags) == {"location_disjoint", "first"}
    config = items(begun.config.update)
    assert {key: config[key] for key in read_config(run)} == read_config(run)

    logged = [items(r.history.item) for r in records if r.WhichOneof("record_type") == "history"]
    merged: dict[int, dict[str, Any]] = {}
    for row in logged:
        merged.setdefault(row[EPOCH], {}).update(row)
    expected = curves(run)
    assert set(expected) == {0, 1, 2}
    for epoch, values in expected.items():
        assert {name: merged[epoch][name] for name in values} == values
    axes = {r.metric.step_metric for r in records if r.WhichOneof("record_type") == "metric" and r.metric.step_metric}
    assert axes == {EPOCH}

    shown = logged[-1]
    table = json.loads((folder / "files" / shown["validation/class_wise/path"]).read_text())
    assert table["columns"] == ["head", "scene", "accuracy", "log_loss", "examples"]
    assert [row[:2] for row in table["data"]] == [["audio", scene] for scene in TAU_SCENES]
    present = {row[1]: row for row in table["data"] if row[4]}
    assert set(present) == {"bus", "park"}
    best = max(values["validation/macro_accuracy"] for values in expected.values())
    assert np.mean([row[2] for row in present.values()]) == pytest.approx(best)
    (confusion,) = (folder / "files/media/table/validation").glob("confusion_table_*")
    counts = {tuple(row[:2]): row[2] for row in json.loads(confusion.read_text())["data"]}
    assert sum(counts.values()) == sum(row[4] for row in table["data"])
    assert counts["bus", "bus"] == round(present["bus"][2] * present["bus"][4])
    figure_files = shown["validation/examples/inputs/filenames"]
    audio_files = [one["path"] for one in shown["validation/examples/audio/audio"]]
    assert 2 <= len(figure_files) == len(audio_files) <= 4
    assert all((folder / "files" / name).read_bytes()[:4] == b"\x89PNG" for name in figure_files)
    assert all(soundfile.info(folder / "files" / name).samplerate == 48000 for name in audio_files)
    captions = shown["validation/examples/inputs/captions"]
    assert all(": bus, predicted" in text or ": park, predicted" in text for text in captions)
    summary: dict[str, Any] = {}
    for record in records:
        summary |= items(record.summary.update)
    assert summary[f"best/{MACRO_ACCURACY}"] == pytest.approx(best)

    # another process of the same run goes on under the same id, and the process's own run has been ended
    again = WandbLog(str(run), project="sedcrnn")
    import wandb

    assert wandb.run is None
    assert again.version == begun.run_id
    assert again.experiment.id == begun.run_id
    again.finalize("success")
    assert wandb.run is None


def test_wandb_has_the_keys_that_the_documents_name_and_no_others(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    pytest.importorskip("wandb")
    starts = [f"init_from.{kind}={part}" for kind, part in fusion_parts.items()]
    run = train(stage("fusion", *starts, "logger=wandb", "+recipe.learning_rates.late=0.01"))
    merged, records = history(run)
    logged = {"/".join(key.split("/")[:3]) for row in merged.values() for key in row}
    for media in ("class_wise", "confusion_table"):
        logged = {f"validation/{media}" if key.startswith(f"validation/{media}/") else key for key in logged}
    summary = {item for record in records for item in items(record.summary.update)}
    logged |= {key for key in summary if key.startswith("best/")}
    text = Path(__file__).parents[2].joinpath("docs/wandb.md").read_text()
    described = text[text.index("## What is logged") : text.index("## Sending")]
    patterns = {
        key: re.compile(re.sub(r"<\w+>", "[^/]+", key.replace("<score>", "(macro_)?(accuracy|log_loss)")))
        for line in described.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`([^`]+)`", line.split("|")[1])
    }
    assert len(patterns) == 14
    patterns["validation/confusion"] = re.compile("validation/confusion_table")
    assert {key for key in logged if not any(one.fullmatch(key) for one in patterns.values())} == {
        "_timestamp",
        "_step",
        "_runtime",
    }
    assert {key for key, one in patterns.items() if not any(one.fullmatch(name) for name in logged)} == set()


def test_a_resumed_training_goes_on_in_the_same_wandb_run_and_axis(
    stage: Stage, killed_at: Callable[..., None]
) -> None:
    pytest.importorskip("wandb")
    config = stage("audio", "logger=wandb")
    killed_at(config, epoch=1, batch=0)
    run = train(config)
    assert run is not None
    merged, records = history(run)
    assert len(list((run / "wandb").glob("offline-run-*"))) == 2
    ids = {record.run.run_id for record in records if record.WhichOneof("record_type") == "run"}
    assert ids == {(run / WANDB_ID).read_text().strip()}
    for epoch, values in curves(run).items():
        assert {name: merged[epoch][name] for name in values} == values
    assert set(merged) == {0, 1, 2}


def test_the_best_checkpoint_is_an_artifact_where_that_is_asked_for(stage: Stage) -> None:
    pytest.importorskip("wandb")
    run = train(stage("audio", "logger=wandb", "logger.wandb.checkpoint=true"))
    assert run is not None
    found = [r.artifact for r in history(run)[1] if r.WhichOneof("record_type") == "artifact"]
    (artifact,) = (one for one in found if one.type == "model")  # W&B makes others of its tables
    assert (artifact.name, sorted(artifact.aliases)) == (run.name, ["best", "latest"])
    (entry,) = artifact.manifest.contents
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert entry.digest == base64.b64encode(hashlib.md5(checkpoint.read_bytes()).digest()).decode()
    assert load_checkpoint(str(run)).temperatures  # it is complete


def test_tensorboard_holds_the_curves_and_what_is_shown(stage: Stage) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(stage("audio", "logger=tensorboard"))
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    expected = curves(run)
    assert set(events.Tags()["scalars"]) == set(expected[0])
    for name in expected[0]:
        told = {event.step: event.value for event in events.Scalars(name)}
        assert told == {epoch: pytest.approx(values[name], rel=1e-6) for epoch, values in expected.items()}
    assert {"validation/confusion", "validation/examples/inputs/0"} <= set(events.Tags()["images"])
    assert "validation/examples/audio/0" in events.Tags()["audio"]
    assert "validation/class_wise/text_summary" in events.Tags()["tensors"]


def test_wandb_online_without_a_key_is_refused_before_anything_is_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    config = stage("audio", "logger=wandb", "logger.wandb.offline=false", "data.root=nowhere")
    with pytest.raises(ConfigError, match=r"no API key.*WANDB_API_KEY.*logger\.wandb\.offline=true"):
        train(config)


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboard")])
def test_a_logger_without_its_package_names_the_extra(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    config = stage("audio", f"logger={name}")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}' is not installed.*pip install 'sedcrnn\[{name}\]'"):
        check_loggers(config.logger)
    check_loggers({"none": None})
