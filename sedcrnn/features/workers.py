"""Work on many files in processes of their own, of which one may be killed by what it reads.

A file on which a decoder crashes, or that takes more memory than there is, ends the process that reads it, and with it
the whole pool. Which of those under way it was, nobody can say; so each of them is tried once more, alone.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from sedcrnn import signals

Task = TypeVar("Task")
Result = TypeVar("Result")


class KilledError(Exception):
    """Stands for the result of a task that ends the process that does it."""


def each_apart(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Generator[tuple[Task, Result | KilledError]]:
    """Every task with its result, as soon as it is done, by so many processes; by this one where there are none.

    Raises:
        Exception: what the function raises; work under way is finished.
        BrokenProcessPool: processes are killed before they do anything.
    """
    if workers == 0:
        for task in tasks:
            yield task, function(task)
        return
    left = list(tasks)
    while left:
        suspects: list[Task] = []
        yield from _until_killed(function, left, workers, suspects)
        for task in suspects:
            alone: list[Task] = []
            yield from _until_killed(function, [task], 1, alone)
            if alone:
                with _pool(1) as pool:
                    pool.submit(int).result()  # it is the task's doing, if a process can live at all
                yield task, KilledError()


def _until_killed(
    function: Callable[[Task], Result], left: list[Task], workers: int, suspects: list[Task]
) -> Generator[tuple[Task, Result]]:
    """As `each_apart`, until a process is killed: then the tasks that were under way are `suspects`, and `left` holds
    those that were not begun."""
    under_way: dict[Future[Result], Task] = {}
    left.reverse()  # so that the next one is taken from its end
    pool = _pool(workers)
    try:
        while left or under_way:
            while left and len(under_way) < 2 * workers:  # one for each process, and one to go on with
                under_way[pool.submit(function, left[-1])] = left[-1]
                left.pop()
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                yield under_way.pop(future), result
    except BrokenProcessPool:
        suspects += under_way.values()
    finally:
        pool.shutdown(cancel_futures=True)
        left.reverse()


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not a fork of this process, which would copy its threads (torch, Lightning, tqdm) in whatever state they are.
    context = multiprocessing.get_context("forkserver")
    # Loaded once for all workers, so that nothing is left to import when they run the main module's imports again.
    context.set_forkserver_preload(sorted(name for name in sys.modules if name.startswith("sedcrnn.")))
    signals.before_workers()
    return ProcessPoolExecutor(workers, context, initializer=_start_worker)


def _start_worker() -> None:
    """One thread per worker, and an end with the process that started it."""
    signals.start_worker()
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when a feature first imports it
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
