"""Environment and trainer config -> this process among those of one command; what may be swept with several of them."""

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from sedcrnn.errors import ConfigError

# Set by torchrun (or by hand), by srun, and by Lightning where it starts the other processes itself.
_RANK = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_WORLD_SIZE = ("WORLD_SIZE", "SLURM_NTASKS")

# Environment variable of a job of a sweep: its place among those that run at the same time, as in 0/2.
SHARE = "SEDCRNN_JOB_SHARE"

T = TypeVar("T")


def rank_and_world_size() -> tuple[int, int]:
    """Rank of this process and number of processes; (0, 1) for a process that is alone."""
    # In an interactive job, what is started by hand is no task of the job's; Lightning goes by the same names.
    by_hand = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    given = {name: value for name, value in os.environ.items() if not (by_hand and name.startswith("SLURM_"))}
    rank, world_size = (
        next((int(given[name]) for name in names if name in given), None) for names in (_RANK, _WORLD_SIZE)
    )
    return rank or 0, world_size or 1


def is_first_process() -> bool:
    """Whether this is the process of a (distributed) run that writes and reports."""
    return rank_and_world_size()[0] == 0


def shared(tasks: Sequence[T]) -> list[T]:
    """The tasks in the order of this process: its own share, then those of the others, in which it helps, at random.

    Processes that leave out what they find done share the work so without talking. They are those of a distributed run,
    and of the jobs that a sweep runs at the same time, of which some may have no part in it.
    """
    rank, world_size = rank_and_world_size()
    job, jobs = map(int, os.environ.get(SHARE, "0/1").split("/"))
    rank, world_size = job * world_size + rank, jobs * world_size
    own = range(rank, len(tasks), world_size)
    others = [number for number in range(len(tasks)) if number not in own]
    random.Random(rank).shuffle(others)
    return [tasks[number] for number in (*own, *others)]


def count_processes(trainer: Mapping[str, Any]) -> int:
    """The processes that a trainer's config asks for, counted by Lightning (which knows what `auto` means here)."""
    quiet = {
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "precision": "32-true",
    }
    from sedcrnn.config.targets import build  # here, because Lightning takes seconds to load

    made = build({**trainer, **quiet}, "trainer")
    return int(made.num_devices * made.num_nodes)


def check_world_size(processes: int) -> None:
    """Make sure that a trainer asks for as many processes as were started, where it does not start them itself.

    Raises:
        ConfigError: it does not; the processes would wait for others, or train apart from each other.
    """
    _, world_size = rank_and_world_size()
    if world_size not in (1, processes):
        raise ConfigError(
            f"{world_size} processes were started, and the trainer asks for {processes}",
            "torchrun and srun start trainer.devices processes on each of trainer.num_nodes computers",
            "Start as many, or set trainer=ddp, trainer.devices and trainer.num_nodes (trainer=slurm takes both from "
            "--ntasks-per-node and --nodes)",
        )


def check_sweep(trainer: Mapping[str, Any]) -> None:
    """Make sure that a job of a sweep that trains with several processes has processes of its own.

    In other launchers Lightning, which starts the other processes by repeating the whole command, repeats the sweep.
    Jobs of `hydra/launcher=processes` are single runs of their own, so they never come here as a sweep's.

    Raises:
        ConfigError: another launcher; SLURM's with another number of tasks than the trainer's processes.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return
    processes = count_processes(trainer)
    launcher = HydraConfig.get().launcher
    target = launcher["_target_"]
    # Here SLURM starts every process of a job, and Lightning none.
    slurm = target.endswith(".SlurmLauncher") and launcher["tasks_per_node"] * launcher["nodes"] == processes
    if processes > 1 and not slurm:
        raise ConfigError(
            f"A job of this sweep trains with {processes} processes, and the launcher is {target}",
            "Only hydra/launcher=processes can sweep over several processes a job, and hydra/launcher=slurm where "
            "tasks_per_node is trainer.devices and nodes is trainer.num_nodes",
            "Leave hydra/launcher out",
        )
