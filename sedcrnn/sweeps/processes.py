"""Commands -> processes of their own, so many at a time, each with its GPUs, log and result: the jobs of a sweep."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from sedcrnn.errors import ConfigError

RESULT = "SEDCRNN_JOB_RESULT"
"""Environment variable of a job: the file that it writes its result to."""

GRACE = 10.0
"""Seconds that interrupted jobs have to end by themselves."""

# What says that a process is one of several. A job is started as if it were alone, whatever started the sweep.
_DISTRIBUTED = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_",
                "TORCHELASTIC_", "SLURM_", "PMI_", "OMPI_", "PL_GLOBAL_SEED", RESULT)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One command of a sweep.

    Attributes:
        number: in the sweep.
        title: what it does that the others do not.
        command: with its arguments.
        folder: for its log and its result.
    """

    number: int
    title: str
    command: Sequence[str]
    folder: Path

    @property
    def log(self) -> Path:
        """What it writes to standard output and standard error."""
        return self.folder / "log.txt"

    @property
    def result(self) -> Path:
        """What it hands back, where it hands anything back."""
        return self.folder / "result.json"

    def __str__(self) -> str:
        return f"[{self.number}] {self.title}".rstrip()


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job: which.
        exit_code: of its process; negative: the signal that ended it.
        result: what it handed back: `score`, `runs` and when these were `finished`; empty where it does not.
    """

    job: Job
    exit_code: int
    result: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it did not end well."""
        return self.exit_code != 0

    def __str__(self) -> str:
        return f"{self.job}: {_end_in_words(self.exit_code)}; log: {self.job.log}"


@dataclass(frozen=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    gpus: str | None
    started: float


def gpu_slots(jobs: int, gpus_per_job: int) -> list[str | None]:
    """Places for jobs that run at the same time: the GPUs of each (CUDA_VISIBLE_DEVICES); None: it is not told any.

    Args:
        jobs: how many at most.
        gpus_per_job: how many GPUs each has to itself; 0: jobs see what the sweep sees.

    Raises:
        ConfigError: no jobs, or fewer GPUs than one job needs.
    """
    if jobs < 1 or gpus_per_job < 0:
        raise ConfigError(
            f"hydra.launcher.jobs is {jobs} and hydra.launcher.gpus_per_job is {gpus_per_job}",
            "The first is 1 or more, the second 0 or more",
            "Correct them",
        )
    if gpus_per_job == 0:
        return [None] * jobs
    gpus = _visible_gpus()
    if len(gpus) < gpus_per_job:
        raise ConfigError(
            f"hydra.launcher.gpus_per_job is {gpus_per_job}",
            f"The number of visible GPUs is {len(gpus)}",
            "Ask for fewer, or for 0 to train without",
        )
    groups = [gpus[first : first + gpus_per_job] for first in range(0, len(gpus) - gpus_per_job + 1, gpus_per_job)]
    return [",".join(group) for group in groups[:jobs]]


def _visible_gpus() -> list[str]:
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip()]
    import torch  # here, because it takes seconds to load

    return [str(gpu) for gpu in range(torch.cuda.device_count())]


def run_jobs(jobs: Sequence[Job], slots: Sequence[str | None]) -> list[Outcome]:
    """Run every job, whatever becomes of the others.

    Each is a process group of its own, of which nothing is left when the job ends. If this process is interrupted or
    told to end, so are the jobs.

    Args:
        jobs: in the order in which they are started.
        slots: a place for each job that runs at the same time, with its GPUs; see `gpu_slots`.

    Returns:
        The outcomes in the order of the jobs.
    """
    waiting, free, running = deque(jobs), list(slots), list[_Running]()
    outcomes: dict[int, Outcome] = {}
    with _ended_by_signals():
        try:
            while waiting or running:
                while waiting and free:
                    running.append(_start(waiting.popleft(), free.pop(0)))
                for ended in [one for one in running if one.process.poll() is not None]:
                    outcomes[ended.job.number] = _end(ended)
                    running.remove(ended)
                    free.append(ended.gpus)
                time.sleep(0.1)
        except BaseException:
            _stop(running)
            left = [*(one.job for one in running), *waiting]
            _tell(f"\n{len(left)} of {len(jobs)} jobs are not finished; the same command goes on with them:")
            _tell("\n".join(f"  {job}" for job in left))
            raise
    return [outcomes[job.number] for job in jobs]


def _start(job: Job, gpus: str | None) -> _Running:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_DISTRIBUTED)}
    environment[RESULT] = str(job.result.absolute())
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    job.folder.mkdir(parents=True, exist_ok=True)
    job.result.unlink(missing_ok=True)
    with job.log.open("wb") as log:
        process = subprocess.Popen(
            job.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _tell(f"{job}: started" + (f" on GPU {gpus}" if gpus else "") + f"; log: {job.log}")
    return _Running(job, process, gpus, time.time())


def _end(ended: _Running) -> Outcome:
    """What came out; ends what is left of the job's processes."""
    _signal(ended.process, signal.SIGKILL)
    job, exit_code = ended.job, ended.process.returncode
    handed_back = exit_code == 0 and job.result.is_file()
    result: dict[str, Any] = json.loads(job.result.read_text(encoding="utf-8")) if handed_back else {}
    outcome = Outcome(job, exit_code, result)
    if outcome.failed:
        last = job.log.read_text(encoding="utf-8", errors="replace").split("\n")
        told = f"{_end_in_words(exit_code)}: {next((line for line in reversed(last) if line.strip()), '')}"
    else:
        told = f"finished in {time.time() - ended.started:.0f} s"
    if result:
        before = datetime.fromisoformat(result["finished"]).timestamp() < int(ended.started)
        told = "was finished before" if before else told
        told += f"; score {result['score']:.4f}; {', '.join(result['runs'])}"
    _tell(f"{job}: {told}")
    return outcome


def _stop(running: Sequence[_Running]) -> None:
    """End jobs as Ctrl-C would, and kill what is still there after the grace period, or at a second Ctrl-C."""
    try:
        for one in running:
            _signal(one.process, signal.SIGINT)
        deadline = time.monotonic() + GRACE
        while any(one.process.poll() is None for one in running) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        for one in running:
            _signal(one.process, signal.SIGKILL)
            one.process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to all processes of a job that are left."""
    with suppress(ProcessLookupError, PermissionError):  # none is; macOS has the second word for it
        os.killpg(process.pid, number)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and the terminal's end pass through `finally` and `except`, unless the user has them ignored."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    signals = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in signals:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)


def _end_in_words(exit_code: int) -> str:
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"failed with exit code {exit_code}"


def _tell(message: str) -> None:
    print(message, flush=True)
