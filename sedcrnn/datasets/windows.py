"""Clips -> aligned 1-s windows of sound and picture: which ones, in which order, in which batches.

Both modalities are cut on one grid of 1/5 s, the period of the frames: step i is frame i of the picture and
spectrogram frames 10*i to 10*i + 9 (paper.md, Inputs).
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from sedcrnn.errors import DataError
from sedcrnn.features.feature import STEPS_PER_SECOND

STEPS_PER_WINDOW = STEPS_PER_SECOND  # one second


class Window(NamedTuple):
    """One second of one clip.

    Attributes:
        clip: index of the clip in its fold.
        step: first step of the window, in 1/5 s from the start of the clip.
        draw: number that the window's augmentation is drawn from; None: it is not augmented.
    """

    clip: int
    step: int
    draw: int | None = None


def random_number(seed: int, epoch: int, clip_id: str, purpose: str = "") -> int:
    """64 random bits for a clip in an epoch: a function of these values alone, so that they depend neither on other
    clips nor on the processes, nor on whether a run was interrupted."""
    key = f"{seed}/{epoch}/{clip_id}{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def random_step(steps: int, seed: int, epoch: int, clip_id: str) -> int:
    """The first step of a clip's training window in an epoch, uniform."""
    return random_number(seed, epoch, clip_id) % (steps - STEPS_PER_WINDOW + 1)


class RandomWindows(Sampler[list[Window]]):
    """Batches for training: one random window per clip and epoch, in random order.

    The processes of a distributed run divide each batch among them, so that n processes with batches of b see what
    one process with batches of n*b would, and all see as many batches (a process with one less would hang the rest).
    The clips are divided evenly over the batches, so the last one is never much smaller than the others.

    Args:
        clip_ids: the fold's clips.
        steps: length of each clip in steps.
        batch_size: the most windows in a batch of one process.
        seed: seed of order and offsets; with the epoch and the clip it determines both.
        rank: this process among `world_size`.
        world_size: number of processes.

    Raises:
        DataError: fewer clips than processes.
    """

    def __init__(
        self,
        clip_ids: Sequence[str],
        steps: Sequence[int],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.clip_ids, self.steps = clip_ids, steps
        self.seed, self.rank, self.world_size = seed, rank, world_size
        _check_shares(len(clip_ids), world_size)
        self.batches = -(-len(clip_ids) // (batch_size * world_size))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's windows; Lightning calls this at the start of each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Window]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.clip_ids))
        for batch in np.array_split(order, self.batches):
            yield [self._window(clip) for clip in batch[self.rank :: self.world_size].tolist()]

    def __len__(self) -> int:
        return self.batches

    def _window(self, clip: int) -> Window:
        key = self.seed, self.epoch, self.clip_ids[clip]
        return Window(clip, random_step(self.steps[clip], *key), random_number(*key, "/augmentation"))


class ConsecutiveWindows(Sampler[list[Window]]):
    """Batches for evaluation: every whole second of every clip once, in order; over ranks, each clip on one.

    Ranks may have different numbers of batches, but each has one: with the first, they share BN statistics.

    Raises:
        DataError: fewer clips than processes.
    """

    def __init__(self, steps: Sequence[int], batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        _check_shares(len(steps), world_size)
        self.windows = [
            Window(clip, window * STEPS_PER_WINDOW)
            for clip in range(rank, len(steps), world_size)
            for window in range(steps[clip] // STEPS_PER_WINDOW)
        ]
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[Window]]:
        for start in range(0, len(self.windows), self.batch_size):
            yield self.windows[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)


def _check_shares(clips: int, world_size: int) -> None:
    if clips < world_size:
        raise DataError(
            f"A fold has {clips} clips, and {world_size} processes are to share them",
            "Each process needs at least one clip",
            "Train with fewer processes (trainer.devices, trainer.num_nodes)",
        )
