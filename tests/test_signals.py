"""A command that is asked to end does so within seconds, says so in a line, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ASKING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """The body of a command -> its process, which is ready; what is left of its group in the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(body: str, before: str = "") -> subprocess.Popen[str]:
        begin = f"import os, sys, time\nfrom sedcrnn import signals\nsignals.GRACE = 1.0\n{before}\n"
        lines = "".join(f"    {line}\n" for line in f"print('ready', flush=True)\n{body}".splitlines())
        process = subprocess.Popen(
            [sys.executable, "-c", f"{begin}with signals.ended_by_signals():\n{lines}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=tmp_path,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def line(number: signal.Signals) -> str:
    return f"\nEnded by {number.name}. What is finished is kept; the same command goes on from there.\n"


@pytest.mark.parametrize("number", ASKING)
def test_the_exit_code_says_the_signal_and_what_has_to_be_put_away_is(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("try:\n    time.sleep(60)\nfinally:\n    open('put away', 'w').close()")
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (128 + number, line(number))
    assert (tmp_path / "put away").is_file()


@pytest.mark.parametrize(
    "body",
    [
        "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",  # in a library's loop, without Python
        "try:\n    time.sleep(60)\nfinally:\n    time.sleep(60)",  # an end that takes too long
        "try:\n    time.sleep(60)\nexcept BaseException:\n    time.sleep(60)",
        "import threading; threading.Thread(target=time.sleep, args=[60]).start(); time.sleep(60)",
    ],
)
def test_what_does_not_end_by_itself_is_cut_off(start: Start, body: str) -> None:
    process = start(body)
    time.sleep(0.2)
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (143, line(signal.SIGTERM))


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    time.sleep(60)\nexcept BaseException as error:\n    raise RuntimeError('worker gone') from error",
        "try:\n    time.sleep(60)\nexcept BaseException:\n    sys.exit(1)",
        "try:\n    time.sleep(60)\nexcept BaseException:\n    pass",
        "class Quiet:\n    def __del__(self):\n        time.sleep(60)\nQuiet()",
    ],
)
def test_what_fails_or_goes_on_after_a_signal_ends_by_that_signal(start: Start, body: str) -> None:
    process = start(body)
    time.sleep(0.2)
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 143
    assert errors.endswith(line(signal.SIGTERM))


def test_one_that_comes_twice_and_to_the_whole_group_is_one(start: Start) -> None:
    process = start("time.sleep(60)")
    for _ in range(3):
        os.killpg(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGHUP)
    _, errors = process.communicate(timeout=10)
    assert process.returncode in (143, 129)
    assert errors.count("Ended by") == 1


def test_more_of_them_during_the_end_change_nothing(start: Start) -> None:
    process = start("try:\n    time.sleep(60)\nfinally:\n    time.sleep(0.6)")
    for _ in range(4):
        time.sleep(0.1)
        process.terminate()
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (143, line(signal.SIGTERM))


def test_a_signal_that_is_ignored_stays_so_and_handlers_are_put_back(start: Start) -> None:
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); old = signal.getsignal(signal.SIGTERM)"
    process = start("os.kill(os.getpid(), signal.SIGHUP)\nprint('lives', file=sys.stderr)", before)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "lives\n")


def test_a_fork_has_signals_of_its_own(start: Start) -> None:
    body = "child = os.fork() or time.sleep(60)\ntime.sleep(0.2); os.kill(child, 15); print(os.wait()[1])"
    output, errors = start(body).communicate(timeout=10)
    assert (output, errors) == ("15\n", "")


CHILD = """
import subprocess
code = "import sys, time\\nfrom sedcrnn import signals\\nwith signals.ended_by_signals():\\n    {}"
start = lambda body: subprocess.Popen([sys.executable, "-c", code.format(body)])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_another_has_started_ends_with_it(start: Start, number: signal.Signals) -> None:
    process = start("print(start('time.sleep(60)').pid, flush=True)\ntime.sleep(60)", CHILD)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    time.sleep(1.0)  # until it has begun
    process.send_signal(number)
    process.wait(timeout=10)
    assert ended(child)


def test_of_processes_for_the_same_work_all_end_with_the_first(start: Start) -> None:
    body = "children = [start('time.sleep(60)'), start('time.sleep(60)')]\nsignals.adopt(lambda: children)\n"
    process = start(f"{body}print(*(child.pid for child in children), flush=True)\ntime.sleep(60)", CHILD)
    assert process.stdout is not None
    first, second = map(int, process.stdout.readline().split())
    time.sleep(1.0)
    os.kill(first, signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 143
    assert line(signal.SIGTERM) in errors
    assert ended(first)
    assert ended(second)


def test_the_failure_of_a_process_for_the_same_work_is_no_signal(start: Start) -> None:
    process = start("child = start('sys.exit(3)')\nsignals.adopt(lambda: [child])\ntime.sleep(60)", CHILD)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors == "\nError: another process of the same training ended with exit code 3, as it says above.\n"


def ended(process: int) -> bool:
    """Whether a process has ended; one that waits for its parent has."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.05)
    return False
