"""The W&B workspace and the sweep file, as far as they go without W&B."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import CONF, compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.evaluation.label_scores import LabelScores
from sedcrnn.training.wandb_workspace import build_workspace, make_workspace

pytest.importorskip("wandb_workspaces")


def test_it_holds_the_panels_of_the_ablation() -> None:
    workspace = build_workspace("us", "scenes", "Table", ["bus", "park"])
    assert (workspace.entity, workspace.project, workspace.name) == ("us", "scenes", "Table")
    sections = {section.name: section.panels for section in workspace.sections}
    curves = sections["Validation curves, mean over seeds"]
    assert [curve.y for curve in curves[:2]] == [["validation/macro_accuracy"], ["validation/log_loss"]]
    assert {curve.x for curve in curves} == {"epoch"}
    bars = [panel for own in sections.values() for panel in own if type(panel).__name__ == "BarPlot"]
    assert [panel.metrics for panel in bars] == [
        ["best/macro_accuracy"],
        ["best/macro_log_loss"],
        ["best/accuracy/bus", "best/accuracy/park"],
    ]
    assert {panel.groupby for panel in [*curves, *bars]} == {"Group"}
    (scatter,) = (panel for own in sections.values() for panel in own if type(panel).__name__ == "ScatterPlot")
    assert (scatter.x.name, scatter.y.name) == ("best/macro_log_loss", "best/macro_accuracy")
    assert [type(panel).__name__ for panel in sections["Configs"]] == ["RunComparer"]
    assert "validation/class_wise" in {getattr(panel, "table_name", "") for panel in sections["Scenes"]}


def test_of_multi_label_runs_it_holds_the_scores_that_they_log() -> None:
    workspace = build_workspace("us", "scenes", "Labels", ["crowd", "rails"], multi_label=True)
    sections = {section.name: section.panels for section in workspace.sections}
    curves = sections["Validation curves, mean over seeds"]
    scores = ["mean_average_precision", "log_loss", "macro_f1", "micro_f1"]
    assert [curve.y for curve in curves[:4]] == [[f"validation/{score}"] for score in scores]
    assert [curve.title for curve in curves[:4]] == ["Mean average precision", "Log loss", "Macro F1", "Micro F1"]
    *bars, scatter = sections["Best checkpoint, by experiment"]
    bests = ["best/mean_average_precision", "best/macro_log_loss", "best/macro_f1", "best/micro_f1"]
    assert [panel.metrics for panel in bars] == [[score] for score in bests]
    assert (scatter.x.name, scatter.y.name) == (bests[1], bests[0])
    by_scene, *tables = sections["Scenes"]
    assert by_scene.metrics == ["best/average_precision/crowd", "best/average_precision/rails"]
    assert [panel.table_name for panel in tables] == ["validation/class_wise"]
    assert workspace.runset_settings.pinned_columns[-4:] == [f"summary:{score}" for score in bests]
    logged = LabelScores(2)
    logged.update(torch.zeros(1, 2), torch.ones(1, 2))
    assert {score.split("/")[1] for score in bests} | set(scores) <= logged.compute().keys()


def test_multi_label_runs_have_scenes_of_their_own() -> None:
    with pytest.raises(ConfigError, match=r"scenes is not given.*scenes=crowd,rails"):
        make_workspace("us", "scenes", "Labels", None, multi_label=True)


def test_without_a_key_it_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no API key"):
        make_workspace("us", "scenes", "Table", ["bus", "park"])


def test_the_sweep_files_command_and_every_parameter_compose() -> None:
    sweep = yaml.safe_load((CONF / "wandb_sweep.yaml").read_text())
    command = sweep["command"]
    assert command[:4] == ["${env}", "${interpreter}", "-m", "${program}"]
    assert command[-1] == "${args_no_hyphens}"
    assert sweep["program"] == "sedcrnn.train"
    values: dict[str, list[Any]] = {
        name: one.get("values") or [one["min"], one["max"]] for name, one in sweep["parameters"].items()
    }
    for pick in (0, -1):
        chosen = [f"{name}={choices[pick]}" for name, choices in values.items()]
        config: TrainConfig = checked(compose("train", [*command[4:-1], *chosen]))
        assert config.logger["wandb"]["offline"] is False
        assert config.recipe.optimizer["lr"] == [1e-4, 1e-2][pick]
        assert config.seed == values["seed"][pick]
