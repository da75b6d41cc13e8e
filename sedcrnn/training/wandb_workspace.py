"""Runs of a W&B project -> a workspace that compares them: curves, best scores by experiment, scenes, configs.

python -m sedcrnn.workspace entity=<user or team>
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.errors import import_extra
from sedcrnn.evaluation.metrics import (
    ACCURACY,
    CHECKPOINT_MONITOR,
    EPOCH,
    MACRO_ACCURACY,
    MACRO_LOG_LOSS,
    PLATEAU_MONITOR,
    TRAIN_LOSS,
)
from sedcrnn.runs.files import write_text
from sedcrnn.training.loggers import check_key, import_wandb
from sedcrnn.training.showcase import BEST_SCORES, CLASS_WISE, CONFUSION, EXAMPLES_HEARD, EXAMPLES_SEEN

GROUP = "Group"
"""W&B's name of a run's group, which is its experiment; seeds of an experiment share it."""

NEEDING = "The workspace needs"


def build_workspace(entity: str, project: str, name: str, scenes: Sequence[str]) -> Any:
    """The workspace, a `wandb_workspaces.workspaces.Workspace`, in memory alone.

    Raises:
        MissingExtraError: wandb-workspaces is not installed.
    """
    workspaces = import_extra("wandb_workspaces.workspaces", "wandb", NEEDING)
    panels = import_extra("wandb_workspaces.reports.v2", "wandb", NEEDING)
    accuracy, log_loss = f"{BEST_SCORES}/{MACRO_ACCURACY}", f"{BEST_SCORES}/{MACRO_LOG_LOSS}"
    accuracies = [f"{BEST_SCORES}/{ACCURACY}/{scene}" for scene in scenes]

    def curve(title: str, metric: str) -> Any:
        spread = {"groupby": GROUP, "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        return panels.LinePlot(title=title, x=EPOCH, y=[metric], **spread)

    def bars(title: str, *metrics: str) -> Any:
        spread = {"groupby": GROUP, "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        return panels.BarPlot(title=title, metrics=list(metrics), **spread)

    summary = panels.SummaryMetric
    sections = {
        "Validation curves, mean over seeds": [
            curve("Macro accuracy", CHECKPOINT_MONITOR),
            curve("Log loss", PLATEAU_MONITOR),
            curve("Macro log loss", f"validation/{MACRO_LOG_LOSS}"),
            curve("Training loss", TRAIN_LOSS),
            curve("Learning rate", "train/learning_rate"),
        ],
        "Best checkpoint, by experiment": [
            bars("Macro accuracy", accuracy),
            bars("Macro log loss", log_loss),
            panels.ScatterPlot(title="Accuracy against log loss", x=summary(log_loss), y=summary(accuracy)),
        ],
        "Scenes": [
            bars("Accuracy by scene", *accuracies),
            panels.WeavePanelSummaryTable(table_name=CLASS_WISE),
            panels.WeavePanelSummaryTable(table_name=f"{CONFUSION}_table"),
        ],
        "Configs": [panels.RunComparer(diff_only="split")],
        "Examples": [panels.MediaBrowser(media_keys=[EXAMPLES_SEEN]), panels.MediaBrowser(media_keys=[EXAMPLES_HEARD])],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=name, panels=own, is_open=True) for name, own in sections.items()],
        settings=workspaces.WorkspaceSettings(x_axis=EPOCH),
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric(GROUP)],
            pinned_columns=[f"summary:{accuracy}", f"summary:{log_loss}"],
        ),
    )


def workspace_json(workspace: Any) -> str:
    """What W&B would be sent."""
    view = workspace._to_model()  # the package has no public way to see it
    return json.dumps(view.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2) + "\n"


def make_workspace(entity: str, project: str, name: str, scenes: Sequence[str] | None, output: str | None) -> str:
    """Save the workspace on W&B, or write its JSON, and say where it is.

    Raises:
        MissingExtraError: a package is not installed.
        ConfigError: it is to be saved, and W&B has no key.
    """
    workspace = build_workspace(entity, project, name, scenes or TAU_SCENES)
    if output is not None:
        write_text(Path(output), workspace_json(workspace))
        return output
    check_key(import_wandb(NEEDING), "write it to a file: output=workspace.json")
    return str(workspace.save().url)
