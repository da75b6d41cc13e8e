"""Clips -> aligned 1-s windows of audio and video: which ones, in which order, in which batches.

Both modalities are cut on one grid of 1/5 s, the period of the frames: step i is video frame i and, in the paper,
columns 10*i to 10*i + 9 of the spectrogram (docs/paper.md).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from sedcrnn.errors import DataError
from sedcrnn.features.feature import STEPS_PER_SECOND

STEPS_PER_WINDOW = STEPS_PER_SECOND  # one second


class Window(NamedTuple):
    """One second of one clip."""

    clip: int  # index in its fold
    step: int  # the first one, in 1/5 s from the start of the clip
    draw: int | None = None  # number that its augmentation is drawn from; None: it is not augmented
    column: int = 0  # columns of the spectrogram by which it starts after the step


def random_number(seed: int, epoch: int, clip_id: str, purpose: str = "") -> int:
    """64 random bits for a clip in an epoch, whatever the other clips, the number of processes and interruptions."""
    key = f"{seed}/{epoch}/{clip_id}{purpose}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def random_step(steps: int, seed: int, epoch: int, clip_id: str, purpose: str = "") -> int:
    """The first step of a clip's training window in an epoch, uniform."""
    return random_number(seed, epoch, clip_id, purpose) % (steps - STEPS_PER_WINDOW + 1)


@dataclass(frozen=True)
class Drawing:
    """Which windows training draws from the clips; the defaults are one of each clip, on the grid of the frames.

    Attributes:
        windows_per_clip: how many in an epoch; the first of them is the same however many there are.
        columns: starts that a step has: the spectrogram's columns, where windows start at any of them.
        starts: the first so many of a clip's starts alone; None: all.
        balanced: windows of an epoch are of every scene alike, and of a scene's clips as evenly as that allows.
        partners: each batch is followed by as many windows of an epoch that is drawn beside it.
    """

    windows_per_clip: int = 1
    columns: int = 1
    starts: int | None = None
    balanced: bool = False
    partners: bool = False


ONE_OF_EACH = Drawing()


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
        drawing: which windows.
        scene: number of each clip's scene, for balanced windows.

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
        drawing: Drawing = ONE_OF_EACH,
        scene: Sequence[int] = (),
    ) -> None:
        self.clip_ids, self.steps, self.drawing = clip_ids, steps, drawing
        self.scene = np.array(scene if drawing.balanced else (), np.int64)
        self.seed, self.rank, self.world_size = seed, rank, world_size
        _check_shares(len(clip_ids), world_size)
        self.windows = drawing.windows_per_clip * len(clip_ids)
        self.batches = count_batches(len(clip_ids), drawing.windows_per_clip, batch_size, world_size)
        self.epoch = 0

    @property
    def sampler(self) -> "RandomWindows":
        """Itself: Lightning calls `set_epoch` of a loader's `batch_sampler.sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the windows of an epoch, as Lightning does at its start."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Window]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        batches = self._divided(self._balanced(rng, self.scene) if len(self.scene) else rng.permutation(self.windows))
        if not self.drawing.partners:
            yield from ([self._draw(number) for number in batch] for batch in batches)
            return
        beside = self._divided(np.random.default_rng([self.seed, self.epoch, 1]).permutation(self.windows))
        for batch, others in zip(batches, beside, strict=True):
            yield [*map(self._draw, batch), *(self._draw(number, "/partner") for number in others)]

    def _divided(self, order: NDArray[np.int64]) -> Iterator[list[int]]:
        """This process's part of every batch."""
        for batch in np.array_split(order, self.batches):
            yield batch[self.rank :: self.world_size].tolist()

    def _balanced(self, rng: np.random.Generator, scene_of_clip: NDArray[np.int64]) -> NDArray[np.int64]:
        """As many windows of every scene, but for one: whole rounds of its clips, and some of them once more."""
        scenes = rng.permutation(np.unique(scene_of_clip))
        numbers = []
        for place, scene in enumerate(scenes):
            own = np.flatnonzero(scene_of_clip == scene)
            wanted = self.windows // len(scenes) + (place < self.windows % len(scenes))
            rounds = [rng.permutation(own) + again * len(self.clip_ids) for again in range(-(-wanted // len(own)))]
            numbers.append(np.concatenate(rounds)[:wanted])
        return rng.permutation(np.concatenate(numbers))

    def _draw(self, number: int, beside: str = "") -> Window:
        """A window of the epoch: first those of every clip's first draw, then those of the second ..."""
        again, clip = divmod(number, len(self.clip_ids))
        key, purpose = (self.seed, self.epoch, self.clip_ids[clip]), (f"/window {again + 1}" if again else "") + beside
        starts = (self.steps[clip] - STEPS_PER_WINDOW) * self.drawing.columns + 1
        start = random_number(*key, purpose) % min(starts, self.drawing.starts or starts)
        step, column = divmod(start, self.drawing.columns)
        return Window(clip, step, random_number(*key, f"{purpose}/augmentation"), column)

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
