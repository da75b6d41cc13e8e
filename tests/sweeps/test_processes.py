"""Jobs as processes: slots, environments, failures and interruptions, with commands that take no time to start."""

import logging
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from sedcrnn.errors import ConfigError
from sedcrnn.sweeps.processes import Job, gpu_slots, run_jobs, time_left

pytestmark = pytest.mark.timeout(120)


def job(folder: Path, number: int, code: str) -> Job:
    return Job(number, f"job={number}", [sys.executable, "-c", code], folder / str(number))


def test_gpus_are_divided_into_slots_for_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5, 7,GPU-8,9")
    assert gpu_slots(jobs=9, gpus_per_job=1) == ["3", "5", "7", "GPU-8", "9"]
    assert gpu_slots(jobs=9, gpus_per_job=2) == ["3,5", "7,GPU-8"]
    assert gpu_slots(jobs=1, gpus_per_job=2) == ["3,5"]
    assert gpu_slots(jobs=3, gpus_per_job=0) == [None, None, None]
    with pytest.raises(ConfigError, match=r"gpus_per_job is 6. The number of visible GPUs is 5"):
        gpu_slots(jobs=1, gpus_per_job=6)
    with pytest.raises(ConfigError, match="jobs is 0"):
        gpu_slots(jobs=0, gpus_per_job=0)
    with pytest.raises(ConfigError, match="jobs is two"):
        gpu_slots(jobs="two", gpus_per_job=0)


def test_jobs_wait_for_a_slot_and_no_two_share_a_gpu(tmp_path: Path) -> None:
    code = (
        "import os, time; print(time.time(), os.environ['CUDA_VISIBLE_DEVICES'], os.environ['SEDCRNN_JOB_SHARE'])\n"
        "time.sleep(0.5); print(time.time())"
    )
    outcomes = run_jobs([job(tmp_path, number, code) for number in range(5)], ["3", "5"])
    assert [outcome.job.number for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert not any(outcome.failure for outcome in outcomes)
    spans: dict[str, list[tuple[float, float]]] = {}
    for outcome in outcomes:
        start, gpu, share, end = outcome.job.log_file.read_text().split()
        assert share == {"3": "0/2", "5": "1/2"}[gpu]
        spans.setdefault(gpu, []).append((float(start), float(end)))
    assert spans.keys() == {"3", "5"}
    for times in spans.values():
        times.sort()
        assert all(first[1] < second[0] for first, second in pairwise(times))
    both = [(a, b) for a in spans["3"] for b in spans["5"] if a[0] < b[1] and b[0] < a[1]]
    assert both, "no two jobs ran at the same time"


def test_after_each_job_it_is_said_how_many_are_done_and_how_long_the_others_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run_jobs([job(tmp_path, number, "pass") for number in range(3)], [None])
    told = [record.message for record in caplog.records if "jobs are done" in record.message]
    assert [message.split(";")[0] for message in told] == ["1 of 3 jobs are done", "2 of 3 jobs are done"]
    begun = time.time()
    running = [SimpleNamespace(started=begun - ago) for ago in (90, 20)]
    # Two that wait and 10 and 80 s of two that run, in two slots; one that waits takes its time in any case.
    assert time_left(100, 2, running, 2) == pytest.approx(145, abs=1)
    assert time_left(100, 1, running, 3) == pytest.approx(100, abs=1)


def test_a_job_starts_as_if_it_were_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind = {"LOCAL_RANK": "0", "NODE_RANK": "0", "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}
    left_behind |= {"MASTER_PORT": "1", "SLURM_PROCID": "0", "TORCHELASTIC_RUN_ID": "b", "PL_GLOBAL_SEED": "1"}
    for name, value in {**left_behind, "KEPT": "yes"}.items():
        monkeypatch.setenv(name, value)
    (outcome,) = run_jobs([job(tmp_path, 0, "import os; print(*os.environ)")], [None])
    seen = set(outcome.job.log_file.read_text().split())
    assert "KEPT" in seen
    assert not seen & left_behind.keys()


def test_a_failed_job_leaves_the_others_alone_and_no_process_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    child = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    failing = f"{child}; sys.exit('Error: no such thing.')"
    writing = "import os, json; json.dump({'score': 0.5, 'runs': ['r'], 'finished': '2100-01-01T00:00:00+00:00'}, "
    writing += "open(os.environ['SEDCRNN_JOB_RESULT'], 'w'))"
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "result.json").write_text('{"score": 1}')  # of an earlier sweep
    killed, failed, well = run_jobs(
        [
            job(tmp_path, 0, "import os; os.kill(os.getpid(), 9)"),
            job(tmp_path, 1, failing),
            job(tmp_path, 2, writing),
        ],
        [None],
    )
    assert [killed.exit_code, failed.exit_code, well.exit_code] == [-9, 1, 0]
    assert killed.result == failed.result == {}
    assert well.result["score"] == 0.5
    assert not alive(int(failed.job.log_file.read_text().split()[0]))
    lines = caplog.messages
    assert "[0] job=0: killed by SIGKILL: " in lines
    assert "[1] job=1: failed with exit code 1: Error: no such thing." in lines
    assert any(line.endswith("; score 0.5000; r") for line in lines)


@pytest.mark.parametrize(
    ("code", "hands_back", "failure"),
    [
        ("pass", True, "ended without a result"),
        ("pass", False, ""),
        ("import sys; sys.exit(143)", True, "ended by SIGTERM"),
    ],
)
def test_a_job_that_trains_has_failed_without_a_result(
    tmp_path: Path, code: str, hands_back: bool, failure: str
) -> None:
    (outcome,) = run_jobs([replace(job(tmp_path, 0, code), hands_back=hands_back)], [None])
    assert outcome.failure == failure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_ends_its_jobs_and_says_what_is_left(tmp_path: Path, number: signal.Signals) -> None:
    stubborn = "import signal, os, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); "
    program = (
        "import logging, sys; from pathlib import Path; import sedcrnn.sweeps.processes as jobs; jobs.GRACE = 0.5\n"
        "from sedcrnn.signals import ended_by_signals\n"
        "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(message)s')\n"
        "folder = Path(sys.argv[1])\n"
        "job = lambda number, code: jobs.Job(number, '', [sys.executable, '-c', code], folder / str(number))\n"
        "with ended_by_signals():\n"
        f"    jobs.run_jobs([job(0, 'pass'), job(1, {stubborn + 'time.sleep(60)'!r}), job(2, 'pass')], [None])"
    )
    sweep = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    log = tmp_path / "1" / "log.txt"
    while not (log.is_file() and log.read_text().endswith("\n")):
        assert sweep.poll() is None
        time.sleep(0.05)
    sweep.send_signal(number)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + number
    assert "2 of 3 jobs are not finished; the same command goes on with them:\n  [1]\n  [2]\n" in output
    assert not alive(int(log.read_text()))


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return False
        time.sleep(0.05)
    return True
