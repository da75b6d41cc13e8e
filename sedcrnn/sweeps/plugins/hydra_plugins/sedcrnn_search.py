"""`hydra/sweeper=optuna_tpe`, here because Hydra builds sweepers of the namespace package `hydra_plugins` alone."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class KeptSearch(Sweeper):
    """Optuna's sweeper, whose study is a file in the folder of the sweep: the same command goes on with it. Arguments
    are those of `hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper`; `study_name` begins the study's."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a search needs; of Optuna nothing is loaded yet."""
        self.given = {"hydra_context": hydra_context, "task_function": task_function, "config": config}

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are left."""
        from sedcrnn.sweeps.search import search

        search(self.arguments, self.given, arguments)
