"""Scene -> recipe: a look shared with some scenes, an ambience shared with others, and cues that lean towards it.

No two scenes share both look and ambience, so the pair names the scene. Inside one look or ambience the scenes differ
only in cues: normal variables of unit variance, drawn anew per location and clip, whose mean a scene shifts a little.
Painters and audio layers turn a cue into a level, a rate, a tempo or a shade: one modality alone stays in doubt.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

LOCATION_SHARE = 0.2  # part of a cue's variance that all clips of a location have in common


@dataclass(frozen=True)
class Recipe:
    """What a scene looks and sounds like, and the mean of every cue of that look and that ambience."""

    look: str
    ambience: str
    look_cues: dict[str, float]
    ambience_cues: dict[str, float]


RECIPES: dict[str, Recipe] = {
    "airport": Recipe("hall", "chimes", {"glass": 1.3, "signs": -0.7, "crowd": -0.3}, {"whine": -0.6, "calls": 0.6}),
    "bus": Recipe(
        "cabin", "engine", {"dark": -0.6, "panes": 1.0, "seats": 0.6, "pace": -0.3}, {"flow": -0.6, "company": 0.6}
    ),
    "metro": Recipe(
        "cabin", "rail", {"dark": 1.2, "panes": 0.0, "seats": 0.0, "pace": 0.3}, {"tempo": 0.6, "bustle": -0.6}
    ),
    "metro_station": Recipe(
        "hall", "rail", {"glass": -1.3, "signs": -0.7, "crowd": 0.0}, {"tempo": -0.6, "bustle": 0.6}
    ),
    "park": Recipe("green", "birds", {"trees": 0.0, "crowd": 0.0}, {"song": 0.6, "company": -0.6}),
    "public_square": Recipe(
        "street", "birds", {"open": 1.2, "crowd": -0.2, "cars": -0.6}, {"song": -0.6, "company": 0.6}
    ),
    "shopping_mall": Recipe(
        "hall", "babble", {"glass": 0.0, "signs": 1.4, "crowd": 0.3}, {"music": 0.6, "steps": -0.6}
    ),
    "street_pedestrian": Recipe(
        "street", "babble", {"open": -0.6, "crowd": 1.1, "cars": -0.7}, {"music": -0.6, "steps": 0.6}
    ),
    "street_traffic": Recipe(
        "street", "engine", {"open": -0.4, "crowd": -0.7, "cars": 1.2}, {"flow": 0.6, "company": -0.6}
    ),
    "tram": Recipe(
        "cabin", "chimes", {"dark": -0.6, "panes": -1.0, "seats": -0.6, "pace": 0.0}, {"whine": 0.6, "calls": -0.6}
    ),
}


def generator(*key: str | int) -> np.random.Generator:
    """A random generator that depends on nothing but its key, such as (seed, "location", "lisbon-7")."""
    digest = blake2b("\n".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def draw_cues(means: dict[str, float], location: np.random.Generator, clip: np.random.Generator) -> dict[str, float]:
    """One value per cue: unit variance about the scene's mean, shared in part by the clips of a location."""
    return {
        cue: mean
        + LOCATION_SHARE**0.5 * float(location.standard_normal())
        + (1 - LOCATION_SHARE) ** 0.5 * float(clip.standard_normal())
        for cue, mean in means.items()
    }
