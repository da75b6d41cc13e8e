"""Sweep -> jobs -> scores: Hydra's launcher for sweeps whose jobs may train with several processes each.

Every job is the same command again, as a single run with a clean environment (see docs/sweeps.md).
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from sedcrnn.distributed import place
from sedcrnn.errors import ConfigError, JobsFailedError
from sedcrnn.files import locked
from sedcrnn.jobs import Job, Outcome, gpu_slots, run_jobs


class ProcessLauncher(Launcher):
    """Runs each job of a sweep as a process of its own; see conf/hydra/launcher/processes.yaml.

    Args:
        jobs: how many at the same time.
        gpus_per_job: GPUs that each has to itself; 0: it sees what the sweep sees.
    """

    __module__ = "hydra_plugins.sedcrnn"  # Hydra builds launchers of this name space alone; `register` puts it there

    outcomes: ClassVar[list[Outcome]] = []
    """Of all jobs of this process's sweep. A sweeper may launch several times, and may pass over failures."""

    def __init__(self, jobs: int, gpus_per_job: int) -> None:
        self.slots = gpu_slots(jobs, gpus_per_job)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what jobs are composed from; the function itself runs in the jobs' processes."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep, or of one round of it; see `failures_raised` for those that fail.

        Raises:
            ConfigError: this process is one of several that were started together, or the sweep's folder is in use.
        """
        rank, world_size = place()
        if rank > 0:
            raise ConfigError(
                f"This is process {rank} of {world_size} that start the same sweep",
                "A sweep is started once; it starts the processes of its jobs itself",
                "Start it without torchrun or srun",
            )
        jobs = [self._job(number, job) for number, job in enumerate(job_overrides, start=initial_job_idx)]
        folder = Path(self.config.hydra.sweep.dir)
        in_use = ConfigError(
            f"Another sweep is running in {folder}",
            "One sweep at a time may write a folder",
            "Wait for it to end, or choose another folder: hydra.sweep.dir=<folder>",
        )
        with locked(folder / ".lock", in_use):
            outcomes = run_jobs(jobs, self.slots)
        self.outcomes.extend(outcomes)
        return [_returned(outcome) for outcome in outcomes]

    def _job(self, number: int, overrides: Sequence[str]) -> Job:
        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        # The sweep's own settings go along; what they say of launcher and sweeper has no meaning in a single run.
        settings = [setting for setting in self.config.hydra.overrides.hydra if not setting.startswith("hydra.mode=")]
        arguments = [*settings, *overrides, f"hydra.job.num={number}", "hydra.mode=RUN"]
        folder = Path(config.hydra.sweep.dir) / str(config.hydra.sweep.subdir)
        return Job(number, " ".join(filter_overrides(overrides)), [*self._command(), *arguments], folder)

    def _command(self) -> list[str]:
        """What started this sweep, without its arguments: a module (`python -m`) or a script."""
        module = sys.modules["__main__"].__spec__
        program = [os.path.abspath(sys.argv[0])] if module is None else ["-m", module.name]  # noqa: PTH100
        chosen = {"main": "--config-path", "command-line": "--config-dir"}
        for source in self.config.hydra.runtime.config_sources:
            if source.provider in chosen:
                program += [chosen[source.provider], source.path]
        return [sys.executable, *program, "--config-name", self.config.hydra.job.config_name]


def _returned(outcome: Outcome) -> JobReturn:
    """What the sweeper gets: the score, or None of a job that failed, as one of status FAILED would end the sweep."""
    value = JobReturn(status=JobStatus.COMPLETED)
    value.return_value = outcome.result.get("score")
    return value


def register() -> None:
    """Make the launcher known to Hydra, without which a config that names it cannot be used."""
    Plugins.instance().register(ProcessLauncher)


@contextmanager
def failures_raised() -> Iterator[None]:
    """Around a command: a sweep of which any job failed fails in the end, with a list of these jobs.

    Raises:
        JobsFailedError: instead of whatever a sweeper raises for want of a result.
    """
    try:
        yield
    except Exception as error:
        _raise_failures(error)
        raise
    _raise_failures(None)


def _raise_failures(cause: Exception | None) -> None:
    failed = [outcome for outcome in ProcessLauncher.outcomes if outcome.failed]
    if failed:
        print("\nFailed jobs:\n" + "\n".join(f"  {outcome}" for outcome in failed), file=sys.stderr)
        raise JobsFailedError(
            f"{len(failed)} of {len(ProcessLauncher.outcomes)} jobs failed",
            "They are listed above with their logs",
            "Run the same command again: what is finished is not trained again, what was killed goes on",
        ) from cause
