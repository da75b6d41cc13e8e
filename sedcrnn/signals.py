"""SIGINT, SIGTERM and SIGHUP -> an orderly end within seconds, and an exit code that says which of them it was.

Whoever asks a command to end (Ctrl-C, `timeout`, a scheduler, a closed terminal) gets 130, 143 or 129 and one line.
The signal becomes an exception in the main thread, so that every `with` and `finally` does its part. What takes longer
than `GRACE`, such as a collective that waits for a process that is gone, is cut off: files are whole or not there, and
locks end with their process. No process that a command has started outlives it, even if it was killed.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from subprocess import Popen, TimeoutExpired
from types import FrameType
from typing import NoReturn

GRACE = 5.0  # seconds for an orderly end; schedulers send SIGKILL after ten or more

PARENT = "SEDCRNN_PARENT"  # environment variable: the process that started this one, if it is one of ours

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK = 0.5  # seconds between two looks at other processes


class Ended(BaseException):
    """A signal has asked this process to end. No `Exception`, so that nothing handles it as a failure."""


@dataclass
class _Command:
    """What this process was asked, and the processes that it has started for the same work.

    Attributes:
        parent: number of the process that started this one, if it is one of ours.
        failed: exit code of the first of them that failed by itself; 0: none.
        raised: the main thread knows.
        told: the user knows.
    """

    parent: int | None
    received: signal.Signals | None = None
    failed: int = 0
    raised: bool = False
    told: bool = False
    sources: list[Callable[[], Sequence[Popen[bytes]]]] = field(default_factory=list)

    @property
    def children(self) -> list[Popen[bytes]]:
        """The processes, as far as they are started."""
        return [child for source in self.sources for child in source()]

    @property
    def orphaned(self) -> bool:
        """Whether the parent has died, which has given this process another one."""
        return self.parent is not None and os.getppid() != self.parent

    def failed_child(self) -> int:
        """As `failed`, now."""
        return next((code for child in self.children if (code := child.poll())), 0)


_command: _Command | None = None  # that runs; a process has one at a time


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Around a command: end it when a signal asks for it; one that is ignored, as under `nohup`, stays so.

    Raises:
        SystemExit: with 128 and the number of the signal, whatever the work raised because of it.
    """
    global _command
    if _command is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    is_ours = os.environ.get(PARENT) == str(os.getppid())
    _command = command = _Command(os.getppid() if is_ours else None)
    before = {number: signal.getsignal(number) for number in _ASKING}
    reading, writing = os.pipe()
    os.environ[PARENT] = str(os.getpid())
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _watch(_cut_off, command, reading)
    _watch(_end_with_parent, command)
    handle_signals()
    try:
        yield
        if command.received:
            _end(command)
    except BaseException as error:
        if command.received or (not isinstance(error, SystemExit) and asked_to_end()):
            _end(command)
        raise
    finally:
        _command = None
        _kill(command.children)
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(writing)  # which ends the thread that reads
        del os.environ[PARENT]


def handle_signals() -> None:
    """Let the signals end this process by an exception, also where a library has put handlers of its own before."""
    if _command is not None:
        for number in _ASKING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _raise)


def adopt(started: Callable[[], Sequence[Popen[bytes]]]) -> None:
    """Let the processes of the same work that `started` gives, now or later, end with this one, and this one with the
    first of them that fails."""
    if _command is not None:
        _command.sources.append(started)
        _watch(_end_with_children, _command)


def asked_to_end() -> bool:
    """Whether a signal has asked this process, or another of the same work, to end, so that what has failed here has
    failed because of it; the others are given time to end."""
    if _command is not None and not _command.received:
        _ask_others(_command)
    return _command is not None and _command.received is not None


def before_workers() -> None:
    """Start the process by which `multiprocessing` keeps books, before it starts others: one that the end of a terminal
    ended would be missed aloud."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    resource_tracker.ensure_running()
    signal.signal(signal.SIGHUP, before)


def start_worker() -> None:
    """In a worker of `multiprocessing`: end with the process that it works for, even if that was killed, and leave
    Ctrl-C, which a terminal sends to both, to that one."""

    def wait() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _watch(wait)


def end_without_reader() -> NoReturn:
    """End a command whose output nobody reads any more, as `head` does when it has had enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)


def _kill(processes: Sequence[Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        with suppress(TimeoutExpired):  # where a driver holds it
            process.wait(_LOOK)


def _watch(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _raise(number: int, _frame: FrameType | None) -> None:
    if _command is None or _command.raised:
        return
    _command.raised = True
    _command.received = _command.received or signal.Signals(number)
    for child in _command.children:  # before this process closes what they wait for
        child.terminate()
    raise Ended


def _cut_off(command: _Command, reading: int) -> None:
    """Python hands a signal to the main thread, which may be in a library's loop; the pipe tells of it at once."""
    with os.fdopen(reading, "rb", buffering=0) as pipe:  # open to the end: a second signal writes to it too
        while (number := pipe.read(1)) and number[0] not in _ASKING:
            pass
        if number:
            command.received = command.received or signal.Signals(number[0])
            time.sleep(GRACE)
            _kill(command.children)
            os._exit(_say(command))


def _end_with_parent(command: _Command) -> None:
    while command.parent and command is _command and not command.orphaned:
        time.sleep(_LOOK)
    if command.orphaned and command is _command:
        os.kill(os.getpid(), signal.SIGTERM)


def _end_with_children(command: _Command) -> None:
    while command is _command and not command.failed_child():
        time.sleep(_LOOK)
    time.sleep(2 * _LOOK)  # for the main thread, which may fail by itself
    if command is _command and command.received is None:
        command.failed = command.failed_child()
        os.kill(os.getpid(), signal.SIGTERM)


def _ask_others(command: _Command) -> None:
    """Where one of several processes was asked to end, the others fail for want of it, perhaps before it is gone."""
    if command.orphaned:
        command.received = signal.SIGTERM
    deadline = time.monotonic() + GRACE
    while command.children and not command.failed_child() and time.monotonic() < deadline:
        time.sleep(_LOOK / 10)
    if _asked(command.failed_child()):
        command.failed, command.received = command.failed_child(), signal.SIGTERM


def _asked(code: int) -> signal.Signals | None:
    """The signal that ended a process in an orderly way, or at once; None for other exit codes."""
    number = -code if code < 0 else code - 128
    return signal.Signals(number) if number in _ASKING else None


def _end(command: _Command) -> NoReturn:
    sys.exit(_say(command))


def _say(command: _Command) -> int:
    """Tell why the command ends, once for all its processes; returns the exit code."""
    asked = _asked(command.failed) if command.failed else command.received
    if asked:
        text = f"Ended by {asked.name}. What is finished is kept; the same command goes on from there."
    else:
        text = f"Error: another process of the same training ended with exit code {command.failed}, as it says above."
    from sedcrnn.sweeps.ranks import is_first_process  # here, because its imports would delay the start

    if is_first_process() and not command.told:
        command.told = True
        with suppress(OSError):  # the terminal may be gone
            print(f"\n{text}", file=sys.stderr, flush=True)
    return 128 + asked if asked else 1


def _forget_in_fork() -> None:
    """A fork, such as a process that loads data, is not the command: its signals are its own."""
    global _command
    if _command is not None:
        _command = None
        signal.set_wakeup_fd(-1)
        for number in _ASKING:
            if signal.getsignal(number) == _raise:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_in_fork)
