"""Speed and exactness on this machine, each table from one run. Not in the wheel; `make bench-audio` and so on."""

import resource
import time
from collections.abc import Callable


def cpu_seconds(task: Callable[[], object], repeats: int = 5) -> float:
    """The least CPU time of some repetitions, after one that is not counted; programs that a task runs and waits for
    count too."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    def taken() -> float:
        started = used()
        task()
        return used() - started

    task()
    return min(taken() for _ in range(repeats))
