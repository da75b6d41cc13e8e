"""Clips that lack their audio or their video: which ones, and what stands in batches where their values would.

Values of another clip are read in the place of what there is not, so that batches keep their form; `present` says of
every window what it has, and the network looks at nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sedcrnn.augmentation.batch_augmentation import TRACKS
from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import DataError


@dataclass(frozen=True)
class Incomplete:
    """Of every feature that some clips lack: their ids, and a clip that has it."""

    lacking: Mapping[str, frozenset[str]] = field(default_factory=dict)
    stand_in: Mapping[str, Clip] = field(default_factory=dict)

    def lacks(self, name: str, clip: Clip) -> bool:
        """Whether a clip lacks what a feature is made from."""
        return clip.id in self.lacking.get(name, ())

    def instead(self, name: str, clip: Clip) -> Clip:
        """The clip whose values of a feature are read: itself, unless it lacks them."""
        return self.stand_in[name] if self.lacks(name, clip) else clip

    def present(self, names: Sequence[str], clips: Sequence[Clip]) -> Tensor | None:
        """(clip, input) whether it has them; None where all clips have all."""
        if not self.lacking:
            return None
        present = torch.tensor([[not self.lacks(name, clip) for name in names] for clip in clips])
        return None if present.all() else present


COMPLETE = Incomplete()


def make_incomplete(clips: Sequence[Clip], lacking: Mapping[str, frozenset[str]]) -> Incomplete:
    """Of some clips, those that lack a feature, by its name.

    Raises:
        DataError: all clips lack it.
    """
    stand_in = {}
    for name in (name for name, ids in lacking.items() if ids):
        has = next((clip for clip in clips if clip.id not in lacking[name]), None)
        if has is None:
            track = TRACKS.get(name, name)
            raise DataError(
                f"No clip of the data set has {track}",
                "A network of audio and video learns from clips of which some have both",
                f"Train a network that takes no {track}: model=audio or model=visual",
            )
        stand_in[name] = has
    return Incomplete({name: lacking[name] for name in stand_in}, stand_in)
