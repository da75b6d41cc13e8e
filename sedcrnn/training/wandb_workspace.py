"""Runs of a W&B project -> a workspace that compares them: curves, best scores by experiment, scenes, configs."""

from collections.abc import Sequence
from typing import Any

from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.errors import ConfigError, import_extra
from sedcrnn.evaluation import result_names as names


def check_key(wandb: Any, otherwise: str) -> None:
    """Make sure that the package wandb knows who its user is.

    Raises:
        ConfigError: no key, and no terminal on which to ask for one; it says what to do `otherwise`.
    """
    try:
        known = wandb.login(verify=False)
    except wandb.errors.UsageError:
        known = False
    if not known:
        raise ConfigError(
            "Weights & Biases has no API key",
            "What is sent to it needs one, in WANDB_API_KEY or from `wandb login`",
            f"Log in, or {otherwise}",
        )


def build_workspace(entity: str, project: str, name: str, scenes: Sequence[str]) -> Any:
    """The workspace, a `wandb_workspaces.workspaces.Workspace`, in memory alone.

    Raises:
        MissingExtraError: wandb-workspaces is not installed.
    """
    workspaces = import_extra("wandb_workspaces.workspaces", "wandb", "The workspace needs")
    panels = import_extra("wandb_workspaces.reports.v2", "wandb", "The workspace needs")
    accuracy, log_loss = f"{names.BEST_SCORES}/{names.MACRO_ACCURACY}", f"{names.BEST_SCORES}/{names.MACRO_LOG_LOSS}"
    accuracies = [f"{names.BEST_SCORES}/{names.ACCURACY}/{scene}" for scene in scenes]
    # W&B calls a run's group "Group"; it is its experiment, which its seeds share.
    spread = {"groupby": "Group", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}

    def curve(title: str, metric: str) -> Any:
        return panels.LinePlot(title=title, x=names.EPOCH, y=[metric], **spread)

    def bars(title: str, *metrics: str) -> Any:
        return panels.BarPlot(title=title, metrics=list(metrics), **spread)

    best = panels.ScatterPlot(
        title="Accuracy against log loss", x=panels.SummaryMetric(log_loss), y=panels.SummaryMetric(accuracy)
    )
    sections = {
        "Validation curves, mean over seeds": [
            curve("Macro accuracy", names.CHECKPOINT_MONITOR),
            curve("Log loss", names.PLATEAU_MONITOR),
            curve("Macro log loss", f"validation/{names.MACRO_LOG_LOSS}"),
            curve("Training loss", names.TRAIN_LOSS),
            curve("Learning rate", "train/learning_rate"),
        ],
        "Best checkpoint, by experiment": [bars("Macro accuracy", accuracy), bars("Macro log loss", log_loss), best],
        "Scenes": [
            bars("Accuracy by scene", *accuracies),
            panels.WeavePanelSummaryTable(table_name=names.CLASS_WISE),
            panels.WeavePanelSummaryTable(table_name=f"{names.CONFUSION}_table"),
        ],
        "Configs": [panels.RunComparer(diff_only="split")],
        "Examples": [panels.MediaBrowser(media_keys=[key]) for key in names.EXAMPLES],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=name, panels=own, is_open=True) for name, own in sections.items()],
        settings=workspaces.WorkspaceSettings(x_axis=names.EPOCH),
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric("Group")],
            pinned_columns=[f"summary:{accuracy}", f"summary:{log_loss}"],
        ),
    )


def make_workspace(entity: str, project: str, name: str, scenes: Sequence[str] | None) -> str:
    """Save the workspace on W&B; its address.

    Raises:
        MissingExtraError: a package is not installed.
        ConfigError: W&B has no key.
    """
    workspace = build_workspace(entity, project, name, scenes or TAU_SCENES)
    wandb = import_extra("wandb", "wandb", "The workspace needs")
    check_key(wandb, "look at the runs with another logger, such as logger=tensorboard")
    return str(workspace.save().url)
