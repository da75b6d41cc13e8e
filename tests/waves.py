"""Values that any library and version computes alike, for comparisons with other programs."""

import numpy as np
import torch
from torch import Tensor


def wave(shape: tuple[int, ...], phase: float) -> Tensor:
    """Values in -1..1."""
    return torch.from_numpy(np.sin(0.7 * np.arange(np.prod(shape)) ** 1.1 + phase).reshape(shape)).float()
