"""The jobs of a sweep: commands as processes of their own, some at a time, each with its GPUs, log and result."""

import json
import logging
import os
import signal
import statistics
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedcrnn.errors import ConfigError
from sedcrnn.progress import is_before, time_in_words
from sedcrnn.sweeps.ranks import SHARE

log = logging.getLogger(__name__)

RESULT = "SEDCRNN_JOB_RESULT"  # environment variable of a job: the file that it writes its result to
GRACE = 5.0  # seconds that jobs have to end by themselves, when the sweep is asked to

# What says that a process is one of several. A job is started as if it were alone, whatever started the sweep.
_DISTRIBUTED = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_",
                "TORCHELASTIC_", "SLURM_", "PMI_", "OMPI_", "PL_GLOBAL_SEED", RESULT, SHARE)  # fmt: skip


# CUDA_VISIBLE_DEVICES of each of the jobs that may run at the same time; None: that of the sweep.
Slots = Sequence[str | None]


@dataclass(frozen=True)
class Job:
    """One command of a sweep, with a title that tells it from the others and a folder for its log and result.

    Attributes:
        hands_back: it trains, so that one without a result has not done what it was for.
    """

    number: int
    title: str
    command: Sequence[str]
    folder: Path
    hands_back: bool = False

    @property
    def log_file(self) -> Path:
        """Its standard output and standard error."""
        return self.folder / "log.txt"

    @property
    def result(self) -> Path:
        """What it hands back, if anything."""
        return self.folder / "result.json"

    def __str__(self) -> str:
        return f"[{self.number}] {self.title}".rstrip()


@dataclass(frozen=True)
class Outcome:
    """How a job ended: the exit code, or minus the signal, of its process, and what it handed back, if anything:
    `score`, `runs` and when these were `finished`."""

    job: Job
    exit_code: int
    result: dict[str, Any]

    @property
    def failure(self) -> str:
        """In words; empty where the job ended well."""
        if self.exit_code < 0:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        if self.exit_code in (129, 130, 143):
            return f"ended by {signal.Signals(self.exit_code - 128).name}"
        if self.exit_code:
            return f"failed with exit code {self.exit_code}"
        return "ended without a result" if self.job.hands_back and not self.result else ""


@dataclass(frozen=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    slot: int
    started: float


def gpu_slots(jobs: int, gpus_per_job: int) -> Slots:
    """Slots for at most so many jobs at the same time, each with so many GPUs to itself; 0: those of the sweep."""
    if not (isinstance(jobs, int) and isinstance(gpus_per_job, int) and jobs >= 1 and gpus_per_job >= 0):
        raise ConfigError(
            f"hydra.launcher.jobs is {jobs} and hydra.launcher.gpus_per_job is {gpus_per_job}",
            "They are numbers, the first 1 or more, the second 0 or more",
            "Correct them",
        )
    if gpus_per_job == 0:
        return [None] * jobs
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        gpus = [gpu.strip() for gpu in visible.split(",") if gpu.strip()]
    else:
        import torch  # here, because it takes seconds to load

        gpus = [str(gpu) for gpu in range(torch.cuda.device_count())]
    if len(gpus) < gpus_per_job:
        raise ConfigError(
            f"hydra.launcher.gpus_per_job is {gpus_per_job}",
            f"The number of visible GPUs is {len(gpus)}",
            "Ask for fewer, or for 0 to train without",
        )
    groups = [gpus[first : first + gpus_per_job] for first in range(0, len(gpus) - gpus_per_job + 1, gpus_per_job)]
    return [",".join(group) for group in groups[:jobs]]


def run_jobs(jobs: Sequence[Job], slots: Slots) -> list[Outcome]:
    """Run every job in a slot, whatever becomes of the others; the outcomes in the order of the jobs.

    Each is a process group of its own, of which nothing is left when the job ends. Where this process is asked to end,
    so are the jobs; where it is killed, they end by themselves (`signals`).
    """
    waiting, free, running = deque(jobs), list(range(len(slots))), list[_Running]()
    outcomes: dict[int, Outcome] = {}
    taken: list[float] = []  # seconds, by each job that has ended
    try:
        while waiting or running:
            while waiting and free:
                running.append(_start(waiting.popleft(), free.pop(0), slots))
            for ended in [one for one in running if one.process.poll() is not None]:
                outcomes[ended.job.number] = _end(ended)
                running.remove(ended)
                free.append(ended.slot)
                taken.append(time.time() - ended.started)
                if waiting or running:
                    rest = time_in_words(time_left(statistics.fmean(taken), len(waiting), running, len(slots)))
                    log.info("%d of %d jobs are done; about %s left", len(outcomes), len(jobs), rest)
            time.sleep(0.1)
    except BaseException:
        _stop(running)
        left = [f"  {job}" for job in (*(one.job for one in running), *waiting)]
        ending = "jobs are not finished; the same command goes on with them:"
        log.info("\n%d of %d %s\n%s", len(left), len(jobs), ending, "\n".join(left))
        raise
    return [outcomes[job.number] for job in jobs]


def time_left(each: float, waiting: int, running: Sequence[_Running], slots: int) -> float:
    """Seconds until all jobs have ended, if each takes as long."""
    now = time.time()
    each_left = [each] * waiting + [max(0.0, one.started + each - now) for one in running]
    return max(sum(each_left) / min(slots, len(each_left)), *each_left)


def _start(job: Job, slot: int, slots: Slots) -> _Running:
    gpus = slots[slot]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_DISTRIBUTED)}
    environment[RESULT] = str(job.result.absolute())
    environment[SHARE] = f"{slot}/{len(slots)}"
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    job.folder.mkdir(parents=True, exist_ok=True)
    job.result.unlink(missing_ok=True)
    with job.log_file.open("wb") as file:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(job.command, env=environment, start_new_session=True, **streams)
    log.info("%s: started%s; log: %s", job, f" on GPU {gpus}" if gpus else "", job.log_file)
    return _Running(job, process, slot, time.time())


def _end(ended: _Running) -> Outcome:
    """End what is left of the job's processes, and log how it ended."""
    _signal(ended.process, signal.SIGKILL)
    job, exit_code = ended.job, ended.process.returncode
    handed_back = exit_code == 0 and job.result.is_file()
    result: dict[str, Any] = json.loads(job.result.read_text(encoding="utf-8")) if handed_back else {}
    outcome = Outcome(job, exit_code, result)
    if outcome.failure:
        last = job.log_file.read_text(encoding="utf-8", errors="replace").split("\n")
        message = f"{outcome.failure}: {next((line for line in reversed(last) if line.strip()), '')}"
    else:
        how = "ended as hopeless after" if result.get("hopeless") else "finished in"
        message = f"{how} {time.time() - ended.started:.0f} s"
    if result.get("runs"):
        message = "was finished before" if is_before(result["finished"], ended.started) else message
        message += f"; score {result['score']:.4f}; {', '.join(result['runs'])}"
    log.info("%s: %s", job, message)
    return outcome


def _stop(running: Sequence[_Running]) -> None:
    """Ask jobs to end, and kill what is still there after the grace period."""
    try:
        for one in running:
            _signal(one.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while any(one.process.poll() is None for one in running) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        for one in running:
            _signal(one.process, signal.SIGKILL)
            one.process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to all processes of a job that are left."""
    with suppress(ProcessLookupError, PermissionError):  # none is left; macOS raises the second
        os.killpg(process.pid, number)
