"""Sweep, or the parts of one command -> jobs -> scores: every job is the command again, as a single run in a process
of its own.

In Hydra's own launchers a job cannot train with several processes (docs/sweeps.md).
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from omegaconf import DictConfig, open_dict

from sedcrnn.errors import ConfigError, JobsFailedError
from sedcrnn.runs.files import locked
from sedcrnn.sweeps.processes import RESULT, Job, Outcome, Slots, gpu_slots, run_jobs
from sedcrnn.sweeps.ranks import rank_and_world_size

# Of all jobs of this process's sweep: a sweeper may launch several times, and pass over failures.
_outcomes: list[Outcome] = []


def launch(
    loader: ConfigLoader, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int, slots: Slots
) -> list[JobReturn]:
    """Run the jobs of a sweep, or of one round of it, in the slots of `processes.gpu_slots`, numbered from `first`.

    Returns:
        A score for each job; None where it failed (`failures_raised` reports it), as a sweeper would stop at an error.
    """
    _check_first_process()
    jobs = [_job(loader, config, number, overrides) for number, overrides in enumerate(job_overrides, start=first)]
    with _alone_in(Path(config.hydra.sweep.dir)):
        outcomes = run_jobs(jobs, slots)
    _outcomes.extend(outcomes)
    returned = [JobReturn(status=JobStatus.COMPLETED) for _ in outcomes]
    for value, outcome in zip(returned, outcomes, strict=True):
        value.return_value = outcome.result.get("score")
    return returned


def own_slots() -> Slots:
    """For the jobs of this command, which is no sweep, as its launcher says; one where it is itself a job."""
    if RESULT in os.environ or not HydraConfig.initialized() or "jobs" not in HydraConfig.get().launcher:
        return [None]
    return gpu_slots(HydraConfig.get().launcher.jobs, HydraConfig.get().launcher.gpus_per_job)


def launch_parts(parts: Sequence[Sequence[str]], common: Sequence[str], slots: Slots) -> None:
    """Run this command, which is no sweep, once for each of its parts.

    Args:
        parts: overrides of each.
        common: overrides of all of them.
        slots: see `own_slots`.

    Raises:
        JobsFailedError: some failed, which are listed.
    """
    _check_first_process()
    config = HydraConfig.get()
    folder = Path(config.sweep.dir)
    jobs = [
        Job(
            number,
            " ".join(part),
            _command(config, [*config.overrides.task, *common, *part]),
            folder / str(number),
            hands_back=True,
        )
        for number, part in enumerate(parts)
    ]
    with _alone_in(folder):
        outcomes = run_jobs(jobs, slots)
    _raise_failures(outcomes)


def _check_first_process() -> None:
    rank, world_size = rank_and_world_size()
    if rank > 0:
        raise ConfigError(
            f"This is process {rank} of {world_size} that start the same jobs",
            "What has jobs is started once; it starts the processes of its jobs itself",
            "Start it without torchrun or srun",
        )


def _alone_in(folder: Path) -> AbstractContextManager[None]:
    in_use = ConfigError(
        f"Another sweep is running in {folder}",
        "One sweep at a time may write a folder",
        "Wait for it to end, or choose another folder: hydra.sweep.dir=<folder>",
    )
    return locked(folder / ".lock", in_use)


def _job(loader: ConfigLoader, config: DictConfig, number: int, overrides: Sequence[str]) -> Job:
    own = loader.load_sweep_config(config, list(overrides))
    with open_dict(own):
        own.hydra.job.id, own.hydra.job.num = str(number), number
    folder = Path(own.hydra.sweep.dir) / str(own.hydra.sweep.subdir)
    common = [override.lower() for override in config.hydra.overrides.task]  # Hydra writes `false` as `False`
    swept = [override for override in filter_overrides(overrides) if override.lower() not in common]
    command = _command(config.hydra, [*overrides, f"hydra.job.num={number}"])
    return Job(number, " ".join(swept), command, folder, config.hydra.job.config_name in ("train", "pipeline"))


def _command(config: DictConfig | HydraConf, overrides: Sequence[str]) -> list[str]:
    """A single run of this command with such overrides; `config` is Hydra's own."""
    # Settings go along, but those of the jobs: a job has none of its own, and no others' GPUs.
    of_jobs = ("hydra.mode=", "hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper")
    settings = [setting for setting in config.overrides.hydra if not setting.lstrip("+~").startswith(of_jobs)]
    started = sys.modules["__main__"].__spec__
    name = str(config.job.config_name)
    module = started.name if started is not None and started.name.startswith("sedcrnn.") else f"sedcrnn.{name}"
    own_configs = [source.path for source in config.runtime.config_sources if source.provider == "command-line"]
    options = [word for path in own_configs for word in ("--config-dir", path)]
    return [sys.executable, "-m", module, *options, "--config-name", name, *settings, *overrides, "hydra.mode=RUN"]


def find_plugins() -> None:
    """Make Hydra find the launcher: wherever this package lies, its folder is a part of the namespace of plugins."""
    sys.path.append(str(Path(__file__).parent / "plugins"))


@contextmanager
def failures_raised() -> Iterator[None]:
    """Around a command: a sweep of which any job failed fails in the end with a JobsFailedError, whatever its sweeper
    raises for want of a result."""
    cause = None
    try:
        yield
    except Exception as error:
        cause = error
    _raise_failures(_outcomes, cause)
    if cause is not None:
        raise cause


def _raise_failures(outcomes: Sequence[Outcome], cause: Exception | None = None) -> None:
    failed = [f"  {one.job}: {one.failure}; log: {one.job.log_file}" for one in outcomes if one.failure]
    if failed:
        print("\n".join(["\nFailed jobs:", *failed]), file=sys.stderr)
        raise JobsFailedError(
            f"{len(failed)} of {len(outcomes)} jobs failed",
            "They are listed above with their logs",
            "Run the same command again: what is finished is not trained again, what was killed goes on",
        ) from cause
