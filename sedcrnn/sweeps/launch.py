"""Sweep -> jobs -> scores: every job is the command again, as a single run in a process of its own.

Hydra's own launchers run jobs inside one process, or in copies of it, which is wrong where a job trains with several
processes: Lightning starts these by repeating the whole command. docs/sweeps.md has the cases.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from omegaconf import DictConfig, open_dict

from sedcrnn.errors import ConfigError, JobsFailedError
from sedcrnn.runs.files import locked
from sedcrnn.sweeps.processes import Job, Outcome, run_jobs
from sedcrnn.sweeps.ranks import rank_and_world_size

_PLUGINS = Path(__file__).parent / "plugins"

# Of all jobs of this process's sweep: a sweeper may launch several times, and pass over failures.
_outcomes: list[Outcome] = []


def launch(
    loader: ConfigLoader,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    slots: Sequence[str | None],
) -> list[JobReturn]:
    """Run the jobs of a sweep, or of one round of it.

    Args:
        loader: composes the jobs' configs.
        config: the sweep's, composed without what it sweeps over.
        job_overrides: the overrides of each job.
        first: number of the first job.
        slots: places for jobs that run at the same time; see `jobs.gpu_slots`.

    Returns:
        A score for each job; None where it failed (`failures_raised` tells), as a sweeper would stop at an error.

    Raises:
        ConfigError: this process is one of several that were started together, or the sweep's folder is in use.
    """
    rank, world_size = rank_and_world_size()
    if rank > 0:
        raise ConfigError(
            f"This is process {rank} of {world_size} that start the same sweep",
            "A sweep is started once; it starts the processes of its jobs itself",
            "Start it without torchrun or srun",
        )
    folder = Path(config.hydra.sweep.dir)
    in_use = ConfigError(
        f"Another sweep is running in {folder}",
        "One sweep at a time may write a folder",
        "Wait for it to end, or choose another folder: hydra.sweep.dir=<folder>",
    )
    jobs = [_job(loader, config, number, overrides) for number, overrides in enumerate(job_overrides, start=first)]
    with locked(folder / ".lock", in_use):
        outcomes = run_jobs(jobs, slots)
    _outcomes.extend(outcomes)
    return [_returned(outcome) for outcome in outcomes]


def _job(loader: ConfigLoader, config: DictConfig, number: int, overrides: Sequence[str]) -> Job:
    own = loader.load_sweep_config(config, list(overrides))
    with open_dict(own):
        own.hydra.job.id = own.hydra.job.num = number
    # The sweep's settings go along; what they say of launcher and sweeper has no meaning in a single run.
    settings = [setting for setting in config.hydra.overrides.hydra if not setting.startswith("hydra.mode=")]
    arguments = [*settings, *overrides, f"hydra.job.num={number}", "hydra.mode=RUN"]
    folder = Path(own.hydra.sweep.dir) / str(own.hydra.sweep.subdir)
    common = [override.lower() for override in config.hydra.overrides.task]  # Hydra writes `false` as `False`
    swept = [override for override in filter_overrides(overrides) if override.lower() not in common]
    return Job(number, " ".join(swept), [*_command(config), *arguments], folder)


def _command(config: DictConfig) -> list[str]:
    """What started this sweep, without its overrides: a module (`python -m`) or a script."""
    module = sys.modules["__main__"].__spec__
    program = [os.path.abspath(sys.argv[0])] if module is None else ["-m", module.name]  # noqa: PTH100
    options = {"main": "--config-path", "command-line": "--config-dir"}
    for source in config.hydra.runtime.config_sources:
        if source.provider in options:
            program += [options[source.provider], source.path]
    return [sys.executable, *program, "--config-name", config.hydra.job.config_name]


def _returned(outcome: Outcome) -> JobReturn:
    value = JobReturn(status=JobStatus.COMPLETED)
    value.return_value = outcome.result.get("score")
    return value


def find_plugins() -> None:
    """Make Hydra find the launcher: wherever this package lies, its folder is a part of the namespace of plugins."""
    sys.path.append(str(_PLUGINS))


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
    failed = [outcome for outcome in _outcomes if outcome.failed]
    if failed:
        print("\nFailed jobs:\n" + "\n".join(f"  {outcome}" for outcome in failed), file=sys.stderr)
        raise JobsFailedError(
            f"{len(failed)} of {len(_outcomes)} jobs failed",
            "They are listed above with their logs",
            "Run the same command again: what is finished is not trained again, what was killed goes on",
        ) from cause
