"""A W&B workspace that compares the runs of a sweep: curves, best scores, scenes, configs (extra `wandb`).

sedcrnn workspace entity=<user or team>
sedcrnn workspace entity=<user or team> project=<project> name=Ablation
sedcrnn workspace entity=<user or team> multi_label=true scenes=crowd,rails,street
"""

from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.values import CHECKED, Flag, Name, Project


@dataclass(config=CHECKED, kw_only=True)
class WorkspaceOptions:
    """Which project's workspace, and what it shows."""

    entity: Annotated[Name, "User or team that the project belongs to."]
    project: Annotated[Project, "Project of W&B, as in conf/logger/wandb.yaml."] = "sedcrnn"
    name: Annotated[Name, "Name of the workspace."] = "Ablation"
    scenes: Annotated[list[Name] | None, "Scenes of the class-wise panel; null: TAU's ten."] = None
    multi_label: Annotated[Flag, "Panels of what multi-label runs log: average precision and F1."] = False


@command(WorkspaceOptions)
def main(options: WorkspaceOptions) -> None:
    """Make the workspace, and print where it is."""
    from sedcrnn.training.wandb_workspace import make_workspace

    print(make_workspace(**vars(options)))
    print("Next: open it in a browser; runs of logger=wandb appear in it")


if __name__ == "__main__":
    main()
