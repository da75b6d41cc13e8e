"""Sweep -> jobs -> scores: every job is the command again, as a single run in a process of its own.

In Hydra's own launchers a job cannot train with several processes (docs/sweeps.md).
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from omegaconf import DictConfig, open_dict

from sedcrnn.errors import ConfigError, JobsFailedError
from sedcrnn.runs.files import locked
from sedcrnn.sweeps.processes import Job, Outcome, Slots, run_jobs
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
    returned = [JobReturn(status=JobStatus.COMPLETED) for _ in outcomes]
    for value, outcome in zip(returned, outcomes, strict=True):
        value.return_value = outcome.result.get("score")
    return returned


def _job(loader: ConfigLoader, config: DictConfig, number: int, overrides: Sequence[str]) -> Job:
    own = loader.load_sweep_config(config, list(overrides))
    with open_dict(own):
        own.hydra.job.id, own.hydra.job.num = str(number), number
    # The sweep's settings go along; what they say of launcher and sweeper has no meaning in a single run.
    settings = [setting for setting in config.hydra.overrides.hydra if not setting.startswith("hydra.mode=")]
    arguments = [*settings, *overrides, f"hydra.job.num={number}", "hydra.mode=RUN"]
    folder = Path(own.hydra.sweep.dir) / str(own.hydra.sweep.subdir)
    common = [override.lower() for override in config.hydra.overrides.task]  # Hydra writes `false` as `False`
    swept = [override for override in filter_overrides(overrides) if override.lower() not in common]
    started = sys.modules["__main__"].__spec__
    name = config.hydra.job.config_name
    module = started.name if started is not None and started.name.startswith("sedcrnn.") else f"sedcrnn.{name}"
    own_configs = [source.path for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    options = [word for path in own_configs for word in ("--config-dir", path)]
    command = [sys.executable, "-m", module, *options, "--config-name", name, *arguments]
    return Job(number, " ".join(swept), command, folder, hands_back=name in ("train", "pipeline"))


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
    failed = [f"  {one.job}: {one.failure}; log: {one.job.log_file}" for one in _outcomes if one.failure]
    if failed:
        print("\n".join(["\nFailed jobs:", *failed]), file=sys.stderr)
        raise JobsFailedError(
            f"{len(failed)} of {len(_outcomes)} jobs failed",
            "They are listed above with their logs",
            "Run the same command again: what is finished is not trained again, what was killed goes on",
        ) from cause
    if cause is not None:
        raise cause
