"""Task -> the CPU time that it takes."""

import resource
import time
from collections.abc import Callable

REPEATS = 5


def cpu_seconds(task: Callable[[], object], repeats: int = REPEATS) -> float:
    """The least CPU time of some repetitions, after one that is not counted; programs that a task runs and waits for
    count too."""
    task()
    times = []
    for _ in range(repeats):
        started = _now()
        task()
        times.append(_now() - started)
    return min(times)


def _now() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
