"""Recipe -> look (what stands still, what moves, and how) -> camera -> frames (frame, height, width, 3) uint8.

Each look is a generator function that draws the place from the location's generator, the people and vehicles from
the clip's, and then yields canvases (height, width, 3) for the given times (s).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.synthetic.drawing import (
    Canvas,
    Frames,
    Rng,
    Sprite,
    camera,
    car,
    colour,
    facades,
    fill,
    paste,
    person,
    shade,
    speckle,
    tree,
)
from sedcrnn.datasets.synthetic.scene_definitions import Recipe, draw_cues

Cues = dict[str, float]
Times = NDArray[np.float64]

GLASS = np.full(3, -1, np.float32)  # a colour that no paint has, where the outside shows through


class Traffic:
    """People and vehicles that cross the view at a steady speed, entering again on the other side."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.movers: list[tuple[float, float, float, float, tuple[Sprite, ...]]] = []

    def starts(self, rng: Rng, count: float) -> Times:
        """Positions over two widths, even enough that every part of a busy place looks busy."""
        number = round(count)
        return (np.arange(number) + rng.uniform(0, 1, number)) * (2 * self.width / max(number, 1))

    def walkers(self, rng: Rng, count: float, horizon: float) -> None:
        """Add people, larger the farther below the horizon they walk."""
        for start in self.starts(rng, count):
            depth = rng.uniform(0, 1)
            tall = self.height * (0.22 + 0.3 * depth)
            ground = self.height * (horizon + (0.98 - horizon) * (0.25 + 0.75 * depth))
            speed = rng.choice([-1, 1]) * tall * rng.uniform(0.5, 0.9)
            self.movers.append((ground, start, speed, 4.0, person(rng, tall)))

    def cars(self, rng: Rng, count: float, horizon: float) -> None:
        """Add vehicles in two lanes."""
        for start in self.starts(rng, count):
            lane = int(rng.integers(2))
            ground, tall = self.height * (horizon + 0.12 + 0.18 * lane), self.height * (0.16 + 0.08 * lane)
            image = car(rng, tall)[:, :: (-1, 1)[lane]]
            speed = (-1, 1)[lane] * self.width * rng.uniform(0.25, 0.8)
            self.movers.append((ground, start, speed, 0.0, (image,)))

    def draw(self, canvas: Canvas, time: float) -> None:
        """Paste everything where it is at this time, the nearest last."""
        for ground, start, speed, strides, postures in sorted(self.movers, key=lambda mover: mover[0]):
            margin = postures[0].shape[1]
            x = (start + speed * time) % (2 * self.width + margin) - margin
            paste(canvas, postures[int(time * strides) % len(postures)], x, ground)

    def cross(self, rng: Rng, panorama: Canvas, times: Times) -> Iterator[Canvas]:
        """A window on a wider place, at a random position and slowly panning, with everything that moves there."""
        room = panorama.shape[1] - self.width
        start, speed = rng.uniform(0.1, 0.9) * room, rng.normal(0, 0.04) * self.width
        for time in times:
            left = round(min(max(start + speed * time, 0), room))
            canvas = panorama[:, left : left + self.width].copy()
            self.draw(canvas, time)
            yield canvas


def sky(location: Rng, canvas: Canvas, bottom: float) -> None:
    """Paint a sky down to a row, from grey to blue."""
    paint = colour(0.58, location.uniform(0.05, 0.5), location.uniform(0.75, 1.0))
    shade(canvas, 0, bottom, paint, paint)


def cabin(cues: Cues, location: Rng, clip: Rng, height: int, width: int, times: Times) -> Iterator[Canvas]:
    """Inside a vehicle: seats, poles and passengers in front of windows where the outside goes by."""
    room = np.empty((height, width, 3), np.float32)
    shade(room, 0, height, colour(0.1, 0.1, 0.8), colour(0.6, 0.1, location.uniform(0.25, 0.5)))
    fill(room, 0, height * 0.06, 0, width, colour(0.15, 0.1, 1.0))
    upper, lower = height * location.uniform(0.14, 0.2), height * (0.57 + 0.05 * np.tanh(cues["panes"]))
    pane = width * 0.42 * 2 ** (0.35 * cues["panes"]) * location.uniform(0.9, 1.1)
    for x in np.arange(-pane * location.uniform(0, 1), width, pane):
        fill(room, upper, lower, x, x + pane * 0.85, GLASS)
    seat = width / location.uniform(4, 8)
    for x in np.arange(-seat * location.uniform(0, 1), width, seat):
        cloth = colour(0.3 + 0.16 * cues["seats"], 0.6, location.uniform(0.35, 0.6))
        fill(room, height * 0.68, height, x, x + seat * 0.8, cloth)
        fill(room, height * 0.68, height * 0.72, x, x + seat * 0.8, cloth * 0.7)
    for x in location.uniform(0.05, 0.95, 2) * width:
        fill(room, 0, height, x, x + width * 0.015, colour(0.14, location.uniform(0, 0.8), 0.85))
    for x in clip.uniform(-0.1, 1, clip.poisson(1.5)) * width:
        paste(room, person(clip, height * clip.uniform(0.6, 0.8))[0], x, height * 1.02)

    speed = height * 1.5 * 2 ** (0.6 * cues["pace"])
    scenery = np.empty((height, width + int(speed * times[-1]) + 2, 3), np.float32)
    length, light = scenery.shape[1], 0.12 + 0.88 / (1 + np.exp(3 * cues["dark"]))
    shade(scenery, 0, height, colour(0.58, 0.25, 0.95), colour(0.3, 0.2, 0.5))
    facades(clip, scenery, lower, clip.uniform(0, 1), height * 0.35)
    for x in np.arange(0, length, height * 0.6):
        tree(clip, scenery, x + clip.uniform(0, height * 0.5), lower, height * clip.uniform(0.25, 0.5))
    scenery *= np.float32(light)
    for x in np.arange(clip.uniform(0, height), length, height * 0.8):
        lamp = colour(0.13, 0.3, 1 - 0.4 * light)
        fill(scenery, upper + height * 0.08, upper + height * 0.12, x, x + height * 0.06, lamp)
    if clip.uniform() < 0.5:
        scenery = scenery[:, ::-1]  # and so it goes by in the other direction
        speed = -speed

    for time in times:
        left = round(speed * time) if speed > 0 else length - width + round(speed * time)
        canvas = np.roll(room, round(0.6 * float(clip.standard_normal())), axis=0)
        outside = canvas[..., :1] < 0
        yield np.where(outside, scenery[:, left : left + width], canvas)


def hall(cues: Cues, location: Rng, clip: Rng, height: int, width: int, times: Times) -> Iterator[Canvas]:
    """A hall: rows of ceiling lights, a wall of glass, tiles and signs, columns, a shining floor, people."""
    place = np.empty((height, 2 * width, 3), np.float32)
    horizon, lift = location.uniform(0.5, 0.6), location.uniform(0.28, 0.36)
    wall = colour(location.uniform(0, 1), location.uniform(0, 0.25), location.uniform(0.55, 0.7))
    shade(place, 0, lift * height, wall * 0.5, wall * 0.8)
    for row, depth in enumerate((0.25, 0.5, 0.8)):
        spacing = width * (0.32 - 0.08 * row)
        for x in np.arange(location.uniform(0, spacing), 2 * width, spacing):
            y = lift * height * depth
            fill(place, y, y + height * 0.03, x, x + spacing * 0.5, colour(0.14, 0.1, 1.0))
    fill(place, lift * height, horizon * height, 0, 2 * width, wall * 0.75)
    bay = width * location.uniform(0.18, 0.3)
    for x in np.arange(0, 2 * width, bay):
        bright = 1 / (1 + np.exp(-2 * cues["glass"] - location.normal(0, 0.4)))
        pane = colour(0.56, 0.25, 0.15 + 0.85 * bright)
        fill(place, (lift + 0.02) * height, (horizon - 0.01) * height, x + bay * 0.08, x + bay * 0.92, pane)
    shade(place, horizon * height, height, wall * 0.7, wall * 0.4)
    for y in horizon + (1 - horizon) * np.linspace(0.1, 1, 5) ** 2:
        fill(place, y * height, y * height + 1, 0, 2 * width, wall * 0.35)
    for x in np.arange(location.uniform(0, bay), 2 * width, bay * 1.7):
        fill(place, 0, height * (horizon + 0.06), x, x + width * 0.03, wall * 0.95)
    for x in clip.uniform(0, 2, round(6 * 2 ** (1.2 * cues["signs"]))) * width:
        y, wide = height * clip.uniform(lift - 0.08, horizon - 0.15), width * clip.uniform(0.06, 0.16)
        fill(place, y, y + height * 0.1, x, x + wide, colour(clip.uniform(), 0.85, clip.uniform(0.6, 1)))
        fill(place, y + height * 0.04, y + height * 0.06, x + wide * 0.2, x + wide * 0.8, colour(0, 0, 0.95))
    people = Traffic(height, width)
    people.walkers(clip, 9 * 2 ** (0.9 * cues["crowd"]), horizon)
    yield from people.cross(clip, place, times)


def street(cues: Cues, location: Rng, clip: Rng, height: int, width: int, times: Times) -> Iterator[Canvas]:
    """Open air before a row of houses: sky, trees, pavement, people and cars."""
    place, horizon = np.empty((height, 2 * width, 3), np.float32), location.uniform(0.55, 0.66)
    sky(location, place, horizon * height)
    tall = height * 0.42 * 2 ** (-0.35 * cues["open"])
    facades(location, place, horizon * height, location.uniform(0.02, 0.12), tall)
    ground = colour(location.uniform(0, 1), 0.06, 0.42 - 0.14 * np.tanh(cues["cars"]) + location.normal(0, 0.04))
    shade(place, horizon * height, height, ground, ground * 0.8)
    speckle(location, place[round(horizon * height) :], 0.06, 2)
    for x in clip.uniform(0, 2, round(4 * 2 ** (0.8 * cues["open"]))) * width:
        tree(clip, place, x, height * (horizon + 0.05), height * clip.uniform(0.3, 0.6))
    traffic = Traffic(height, width)
    traffic.walkers(clip, 7 * 2 ** (1.2 * cues["crowd"]), horizon)
    traffic.cars(clip, 3 * 2 ** (1.2 * cues["cars"]), horizon)
    yield from traffic.cross(clip, place, times)


def green(cues: Cues, location: Rng, clip: Rng, height: int, width: int, times: Times) -> Iterator[Canvas]:
    """A park: sky, a lawn with a path, many trees, a few people."""
    place, horizon = np.empty((height, 2 * width, 3), np.float32), location.uniform(0.45, 0.6)
    sky(location, place, horizon * height)
    lawn = colour(location.uniform(0.24, 0.32), location.uniform(0.4, 0.7), location.uniform(0.35, 0.6))
    shade(place, horizon * height, height, lawn, lawn * 0.8)
    speckle(location, place[round(horizon * height) :], 0.15, 1)
    path = horizon + location.uniform(0.15, 0.3)
    gravel = colour(0.1, 0.25, location.uniform(0.5, 0.75))
    fill(place, path * height, (path + 0.1) * height, 0, 2 * width, gravel)
    for x in location.uniform(0, 2, location.poisson(14 * 2 ** (0.5 * cues["trees"]))) * width:
        ground = height * (horizon + location.uniform(0, 0.1))
        tree(location, place, x, ground, height * location.uniform(0.4, 0.75))
    traffic = Traffic(height, width)
    traffic.walkers(clip, 3 * 2 ** (0.7 * cues["crowd"]), horizon)
    yield from traffic.cross(clip, place, times)


LOOKS = {look.__name__: look for look in (cabin, hall, street, green)}


def film(recipe: Recipe, city: Rng, location: Rng, clip: Rng, size: tuple[int, int], rate: int, frames: int) -> Frames:
    """The video of one clip, (frames, height, width, 3) in RGB, for a size (height, width) and a rate in frames/s.

    The generators of city and location start anew for each clip, so that clips of one place share its nuisances.
    """
    cues = draw_cues(recipe.look_cues, location, clip)
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
