"""Recipe -> look -> camera (colour cast, exposure, noise) -> frames (frame, height, width, 3) uint8."""

import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.synthetic.drawing import Rng
from sedcrnn.datasets.synthetic.looks import LOOKS
from sedcrnn.datasets.synthetic.scene_definitions import Recipe, draw_cues

Frames = NDArray[np.uint8]


def film(recipe: Recipe, city: Rng, location: Rng, clip: Rng, size: tuple[int, int], rate: int, frames: int) -> Frames:
    """The picture of one clip, (frames, height, width, 3) in RGB, for a size (height, width) and a rate in frames/s.

    The generators of city and location start anew for each clip, so that clips of one place share its nuisances.
    """
    cues = draw_cues(recipe.looks, location, clip)
    grade = camera(city, location, clip)
    times = np.arange(frames) / rate
    grain = clip.normal(0, location.uniform(0.5, 4), (size[0] + 16, size[1] + 16, 1)).astype(np.int16)
    out = np.empty((frames, *size, 3), np.uint8)
    for frame, canvas in zip(out, LOOKS[recipe.look](cues, location, clip, *size, times), strict=True):
        levels = (np.clip(canvas, 0, 1) * 255).astype(np.uint8)
        y, x = clip.integers(16, size=2)
        noisy = np.stack([grade[channel][levels[..., channel]] for channel in range(3)], -1)
        frame[:] = np.clip(noisy + grain[y : y + size[0], x : x + size[1]], 0, 255)
    return out


def camera(city: Rng, location: Rng, clip: Rng) -> NDArray[np.int16]:
    """Nuisance: a tone curve per colour channel, (3, 256), from colour cast, exposure, contrast and black level."""
    cast = city.normal(0, 0.04, 3) + location.normal(0, 0.05, 3) + clip.normal(0, 0.02, 3)
    exposure = city.normal(0, 0.08) + location.normal(0, 0.12) + clip.normal(0, 0.06)
    contrast, black = 2 ** location.normal(0, 0.12), location.uniform(0, 0.08)
    light = np.linspace(0, 1, 256) ** contrast * np.exp(cast + exposure)[:, None]
    return ((black + (1 - black) * np.clip(light, 0, 1)) * 255).astype(np.int16)
