"""The W&B workspace and the sweep file, as far as they go without W&B."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import CONF
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.training.wandb_workspace import WorkspaceConfig, make_workspace

pytest.importorskip("wandb_workspaces")


def workspace(output: Path | None) -> WorkspaceConfig:
    return WorkspaceConfig("us", "scenes", "Table", ["bus", "park"], None if output is None else str(output))


def test_its_json_holds_the_panels_of_the_ablation(tmp_path: Path) -> None:
    make_workspace(workspace(tmp_path / "workspace.json"))
    view = json.loads((tmp_path / "workspace.json").read_text())
    assert (view["entity"], view["project"], view["displayName"]) == ("us", "scenes", "Table")
    sections = {one["name"]: one["panels"] for one in view["spec"]["section"]["panelBankConfig"]["sections"]}
    curves = sections["Validation curves, mean over seeds"]
    assert [panel["config"]["metrics"] for panel in curves[:2]] == [
        ["validation/macro_accuracy"],
        ["validation/log_loss"],
    ]
    assert {panel["config"]["xAxis"] for panel in curves} == {"epoch"}
    bars = [panel for own in sections.values() for panel in own if panel["viewType"] == "Bar Chart"]
    assert [panel["config"]["metrics"] for panel in bars] == [
        ["best/macro_accuracy"],
        ["best/macro_log_loss"],
        ["best/accuracy/bus", "best/accuracy/park"],
    ]
    assert {panel["config"]["groupBy"] for panel in [*curves, *bars]} == {"group"}
    (scatter,) = (panel["config"] for own in sections.values() for panel in own if "Scatter" in panel["viewType"])
    assert (scatter["xAxis"], scatter["yAxis"]) == ("summary:best/macro_log_loss", "summary:best/macro_accuracy")
    assert [panel["viewType"] for panel in sections["Configs"]] == ["Run Comparer"]
    assert "validation/class_wise" in json.dumps(sections["Scenes"])


def test_without_a_key_it_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"no API key.*output=workspace\.json"):
        make_workspace(workspace(None))


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
        with initialize_config_dir(str(CONF), version_base="1.3"):
            chosen = [f"{name}={choices[pick]}" for name, choices in values.items()]
            config: TrainConfig = checked(compose("train", [*command[4:-1], *chosen]))
        assert config.logger is not None
        assert config.logger["offline"] is False
        assert config.recipe.optimizer["lr"] == [1e-4, 1e-2][pick]
        assert config.seed == values["seed"][pick]
