"""`hydra/launcher=processes`, here because Hydra builds launchers of the namespace package `hydra_plugins` alone."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sedcrnn.sweeps import launch, processes


class ProcessLauncher(Launcher):
    """Runs each job of a sweep as a process of its own, with `gpus_per_job` GPUs to itself (0: those of the sweep)."""

    def __init__(self, jobs: int, gpus_per_job: int) -> None:
        self.jobs, self.gpus_per_job = jobs, gpus_per_job

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what jobs are composed from; the function itself runs in the jobs' processes."""
        self.loader, self.config = hydra_context.config_loader, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep, or of one round of it."""
        slots = processes.gpu_slots(self.jobs, self.gpus_per_job)
        return launch.launch(self.loader, self.config, job_overrides, initial_job_idx, slots)
