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


def build_workspace(entity: str, project: str, name: str, scenes: Sequence[str], multi_label: bool = False) -> Any:
    """The workspace, a `wandb_workspaces.workspaces.Workspace`, in memory alone: with the scores of runs that have one
    scene to a clip, or of multi-label runs, which log others.

    Raises:
        MissingExtraError: wandb-workspaces is not installed.
    """
    workspaces = import_extra("wandb_workspaces.workspaces", "wandb", "The workspace needs")
    panels = import_extra("wandb_workspaces.reports.v2", "wandb", "The workspace needs")
    main, of_scene = (names.MEAN_PRECISION, names.PRECISION) if multi_label else (names.MACRO_ACCURACY, names.ACCURACY)
    f1 = [names.MACRO_F1, names.MICRO_F1] if multi_label else []
    curves = [main, names.LOG_LOSS, *(f1 or [names.MACRO_LOG_LOSS])]  # both log losses are one in multi-label data
    bests = {score: f"{names.BEST_SCORES}/{score}" for score in (main, names.MACRO_LOG_LOSS, *f1)}
    # W&B calls a run's group "Group"; it is its experiment, which its seeds share.
    spread = {"groupby": "Group", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}

    def curve(title: str, metric: str) -> Any:
        return panels.LinePlot(title=title, x=names.EPOCH, y=[metric], **spread)

    def bars(title: str, *metrics: str) -> Any:
        return panels.BarPlot(title=title, metrics=list(metrics), **spread)

    best = panels.ScatterPlot(
        title=f"{_title(main)} against log loss",
        x=panels.SummaryMetric(bests[names.MACRO_LOG_LOSS]),
        y=panels.SummaryMetric(bests[main]),
    )
    tables = [names.CLASS_WISE] if multi_label else [names.CLASS_WISE, f"{names.CONFUSION}_table"]
    sections = {
        "Validation curves, mean over seeds": [
            *(curve(_title(score), f"validation/{score}") for score in curves),
            curve("Training loss", names.TRAIN_LOSS),
            curve("Learning rate", "train/learning_rate"),
        ],
        "Best checkpoint, by experiment": [*(bars(_title(score), key) for score, key in bests.items()), best],
        "Scenes": [
            bars(f"{_title(of_scene)} by scene", *(f"{names.BEST_SCORES}/{of_scene}/{scene}" for scene in scenes)),
            *(panels.WeavePanelSummaryTable(table_name=table) for table in tables),
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
            pinned_columns=[f"summary:{key}" for key in bests.values()],
        ),
    )


def _title(score: str) -> str:
    return score.replace("_", " ").capitalize().replace("f1", "F1")


def make_workspace(
    entity: str, project: str, name: str, scenes: Sequence[str] | None, multi_label: bool = False
) -> str:
    """Save the workspace on W&B; its address.

    Raises:
        MissingExtraError: a package is not installed.
        ConfigError: W&B has no key, or multi-label data no scenes.
    """
    if multi_label and not scenes:
        raise ConfigError(
            "multi_label is true, and scenes is not given",
            "TAU's ten scenes, which it is otherwise, are of data with one scene to a clip",
            "Give the labels of the data: scenes=crowd,rails",
        )
    workspace = build_workspace(entity, project, name, scenes or TAU_SCENES, multi_label)
    wandb = import_extra("wandb", "wandb", "The workspace needs")
    check_key(wandb, "look at the runs with another logger, such as logger=tensorboard")
    return str(workspace.save().url)
