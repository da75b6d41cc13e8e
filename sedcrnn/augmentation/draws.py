"""A window's number -> random draws that depend on it alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SEEDS = 1 << 63
"""torch's generators take seeds of 64 bits, signed or not; these are the ones that are both."""


@contextmanager
def drawing_from(number: int) -> Iterator[None]:
    """Borrow torch's global generator, from which torchaudio and torchvision draw, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number % SEEDS)
        yield
