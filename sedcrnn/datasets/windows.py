"""Clips -> aligned 1-s windows of audio and video: which ones, in which order, in which batches.

Both modalities are cut on one grid of 1/5 s, the period of the frames: step i is video frame i and, in the paper,
columns 10*i to 10*i + 9 of the spectrogram (docs/paper.md).
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
    """One second of one clip."""

    clip: int  # index in its fold
    step: int  # the first one, in 1/5 s from the start of the clip
    draw: int | None = None  # number that its augmentation is drawn from; None: it is not augmented


def random_number(seed: int, epoch: int, clip_id: str, purpose: str = "") -> int:
    """64 random bits for a clip in an epoch, whatever the other clips, the number of processes and interruptions."""
    key = f"{seed}/{epoch}/{clip_id}{purpose}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def random_step(steps: int, seed: int, epoch: int, clip_id: str, purpose: str = "") -> int:
    """The first step of a clip's training window in an epoch, uniform."""
    return random_number(seed, epoch, clip_id, purpose) % (steps - STEPS_PER_WINDOW + 1)


def count_batches(clips: int, windows_per_clip: int, batch_size: int, world_size: int) -> int:
    """The batches that each process has in an epoch of training."""
    return -(-clips * windows_per_clip // (batch_size * world_size))


class RandomWindows(Sampler[list[Window]]):
    """Batches for training, as a `batch_sampler`: random windows of every clip in each epoch, in random order.

    Ranks divide each batch among them, so that n processes with batches of b get what one process with batches of n*b
    would, and all get as many batches (a process with one less would hang the rest). Batches are about equally large.

    Args:
        clip_ids, steps: id and length of every clip of the fold.
        batch_size: the most windows in a batch of one process.
        seed: with the epoch, the clip and the window's number, it determines order and offsets.
        windows_per_clip: how many in an epoch; the first of them is the same however many there are.

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
        windows_per_clip: int = 1,
    ) -> None:
        self.clip_ids, self.steps = clip_ids, steps
        self.seed, self.rank, self.world_size = seed, rank, world_size
        _check_shares(len(clip_ids), world_size)
        self.windows = windows_per_clip * len(clip_ids)
        self.batches = count_batches(len(clip_ids), windows_per_clip, batch_size, world_size)
        self.epoch = 0

    @property
    def sampler(self) -> "RandomWindows":
        """Itself: Lightning calls `set_epoch` of a loader's `batch_sampler.sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the windows of an epoch, as Lightning does at its start."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Window]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.windows)
        for batch in np.array_split(order, self.batches):
            yield [self._draw(number) for number in batch[self.rank :: self.world_size].tolist()]

    def _draw(self, number: int) -> Window:
        """A window of the epoch: first those of every clip's first draw, then those of the second ..."""
        again, clip = divmod(number, len(self.clip_ids))
        key, purpose = (self.seed, self.epoch, self.clip_ids[clip]), f"/window {again + 1}" if again else ""
        step = random_step(self.steps[clip], *key, purpose)
        return Window(clip, step, random_number(*key, f"{purpose}/augmentation"))

    def __len__(self) -> int:
        return self.batches


class ConsecutiveWindows(Sampler[list[Window]]):
    """Batches for evaluation, as a `batch_sampler`: every whole second of every clip once, in order.

    A clip belongs to one rank. Ranks may have different numbers of batches, but each has one: with the first, they
    share BN statistics. Parameters and errors are those of `RandomWindows`.
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
