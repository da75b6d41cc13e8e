"""Clocks that wait for the device, medians of many rounds, arithmetic, and the speed of a matrix product."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")

Row = dict[str, str | int | float]


def now() -> float:
    """Seconds of a clock, when the device has done its work."""
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(task: Callable[[], object], tiny: bool = False) -> float:
    """Seconds of a call: after three that are not counted, the median of 5 to 15 rounds of so many calls that a round
    lasts 20 ms at least, and all of them half a second or so. `tiny`: one round of one call."""

    def a_round(calls: int) -> float:
        started = now()
        for _ in range(calls):
            task()
        return (now() - started) / calls

    for _ in range(1 if tiny else 3):
        once = a_round(1)
    calls = 1 if tiny else math.ceil(0.02 / once)
    rounds = 1 if tiny else max(5, min(15, round(0.5 / (once * calls))))
    return statistics.median(a_round(calls) for _ in range(rounds))


def matrix_speed(dtype: torch.dtype, size: int) -> float:
    """Operations per second of a product of two square matrices of random values."""
    one, other = torch.randn(2, size, size, device=DEVICE).to(dtype)
    return 2 * size**3 / seconds_of(lambda: torch.mm(one, other), tiny=size < 1024)


@contextmanager
def arithmetic(tf32: bool) -> Iterator[None]:
    """Whether the matrix units may take float32 for TF32, in products and in convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
