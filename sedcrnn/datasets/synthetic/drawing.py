"""Generator -> textures (facades, trees) and sprites (people, cars) -> on a canvas -> camera -> mp4 file.

A canvas is float32 (height, width, 3) and holds light in [0, 1]; rows run downwards. Positions and sizes are in
pixels; colours are three numbers.
"""

import colorsys
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Sprite = NDArray[np.float32]  # (height, width, 4): colour and coverage
Frames = NDArray[np.uint8]
Rng = np.random.Generator


def colour(hue: float, saturation: float, value: float) -> Canvas:
    """A colour from hue (turns, any real number), saturation and value, as three numbers in [0, 1]."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, np.clip(saturation, 0, 1), np.clip(value, 0, 1)), np.float32)


def fill(canvas: Canvas, top: float, bottom: float, left: float, right: float, paint: Canvas) -> None:
    """Paint a rectangle, cut to the canvas."""
    canvas[max(round(top), 0) : max(round(bottom), 0), max(round(left), 0) : max(round(right), 0)] = paint


def shade(canvas: Canvas, top: float, bottom: float, upper: Canvas, lower: Canvas) -> None:
    """Paint rows from top to bottom with a gradient."""
    rows = canvas[max(round(top), 0) : max(round(bottom), 0)]
    way = np.linspace(0, 1, rows.shape[0], dtype=np.float32)[:, None, None]
    rows[:] = upper + (lower - upper) * way


def speckle(rng: Rng, region: Canvas, strength: float, grain: int) -> None:
    """Roughen a part of a canvas with grains of a given size."""
    height, width = region.shape[:2]
    grains = rng.normal(1, strength, (height // grain + 1, width // grain + 1, 1)).astype(np.float32)
    region *= np.maximum(grains.repeat(grain, 0).repeat(grain, 1)[:height, :width], 0)


def facades(rng: Rng, canvas: Canvas, ground: float, hue: float, tall: float) -> None:
    """A row of houses with windows, standing on the ground row and about `tall` pixels high."""
    left = -rng.uniform(0, tall / 2)
    while left < canvas.shape[1]:
        right, top = left + tall * rng.uniform(0.5, 1.1), ground - tall * rng.uniform(0.75, 1.2)
        wall = colour(hue + rng.normal(0, 0.04), rng.uniform(0.1, 0.45), rng.uniform(0.35, 0.8))
        fill(canvas, top, ground, left, right, wall)
        fill(canvas, top, top + tall * 0.05, left, right, wall * 0.6)
        across, down = tall * rng.uniform(0.14, 0.24), tall * rng.uniform(0.18, 0.28)
        glass = colour(0.6, 0.2, rng.uniform(0.1, 0.3))
        for y in np.arange(top + down * 0.5, ground - down, down):
            for x in np.arange(left + across * 0.35, right - across * 0.6, across):
                fill(canvas, y, y + down * 0.55, x, x + across * 0.5, glass)
        fill(canvas, ground - down * 0.7, ground, left + across / 2, right - across / 2, wall * 0.45)
        left = right


def tree(rng: Rng, canvas: Canvas, x: float, ground: float, tall: float) -> None:
    """A trunk and a crown of leaves."""
    fill(canvas, ground - tall * 0.5, ground, x - tall * 0.03, x + tall * 0.03, colour(0.08, 0.5, 0.25))
    radius, middle = tall * rng.uniform(0.28, 0.38), ground - tall * 0.65
    top, left = max(round(middle - radius), 0), max(round(x - radius), 0)
    region = canvas[top : max(round(middle + radius), 0), left : max(round(x + radius), 0)]
    if region.size:
        rows, columns = np.ogrid[top : top + region.shape[0], left : left + region.shape[1]]
        inside = ((rows - middle) / radius) ** 2 + ((columns - x) / radius) ** 2
        leaves = inside + rng.normal(0, 0.2, region.shape[:2]) < 0.9
        green = colour(rng.normal(0.29, 0.03), rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.55))
        light = rng.uniform(0.5, 1.15, region.shape[:2]).astype(np.float32)
        region[leaves] = green * light[leaves, None]


def sprite(height: float, width: float) -> Sprite:
    """An empty sprite."""
    return np.zeros((max(round(height), 3), max(round(width), 3), 4), np.float32)


def patch(image: Sprite, top: float, bottom: float, left: float, right: float, paint: Canvas) -> None:
    """Paint a rectangle of a sprite, in fractions of its size."""
    height, width = image.shape[:2]
    rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
    columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
    image[rows, columns] = np.append(paint, np.float32(1))


def person(rng: Rng, tall: float) -> tuple[Sprite, Sprite]:
    """Somebody walking: two postures, legs apart and legs together."""
    coat = colour(rng.uniform(), rng.uniform(0, 0.7), rng.uniform(0.1, 0.8))
    legs = colour(rng.uniform(0.55, 0.7), 0.4, rng.uniform(0.05, 0.35))
    skin = colour(0.07, 0.45, rng.uniform(0.3, 0.85))
    postures = []
    for apart in (0.0, 0.28):
        image = sprite(tall, tall * 0.36)
        patch(image, 0.0, 0.16, 0.34, 0.66, skin)
        patch(image, 0.16, 0.58, 0.18, 0.82, coat)
        patch(image, 0.55, 1.0, 0.28 - apart, 0.48 - apart, legs)
        patch(image, 0.55, 1.0, 0.54 + apart, 0.74 + apart, legs)
        postures.append(image)
    return postures[0], postures[1]


def car(rng: Rng, tall: float) -> Sprite:
    """A car or a van from its side."""
    van = rng.uniform() < 0.3
    image = sprite(tall, tall * rng.uniform(2.2, 2.9))
    body = colour(rng.uniform(), rng.choice([0.1, 0.75]), rng.uniform(0.25, 0.95))
    patch(image, 0.0 if van else 0.4, 0.85, 0.0, 1.0, body)
    patch(image, 0.05, 0.45, 0.08 if van else 0.22, 0.92 if van else 0.75, body * 0.8)
    patch(image, 0.12, 0.42, 0.72 if van else 0.26, 0.95 if van else 0.7, colour(0.55, 0.3, 0.2))
    for wheel in (0.12, 0.7):
        patch(image, 0.72, 1.0, wheel, wheel + 0.16, colour(0, 0, 0.04))
    patch(image, 0.5, 0.62, 0.95, 1.0, colour(0.13, 0.3, 1.0))
    return image


def paste(canvas: Canvas, image: Sprite, x: float, ground: float) -> None:
    """Put a sprite on the canvas with its feet on a row and its left edge at x, cut to the canvas."""
    height, width = image.shape[:2]
    left, top = round(x), round(ground) - height
    image = image[max(-top, 0) : max(canvas.shape[0] - top, 0), max(-left, 0) : max(canvas.shape[1] - left, 0)]
    region = canvas[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if region.size:
        region += (image[..., :3] - region) * image[..., 3:]


def camera(city: Rng, location: Rng, clip: Rng) -> NDArray[np.int16]:
    """Nuisance: a tone curve per colour channel, (3, 256), from colour cast, exposure, contrast and black level."""
    cast = city.normal(0, 0.04, 3) + location.normal(0, 0.05, 3) + clip.normal(0, 0.02, 3)
    exposure = city.normal(0, 0.08) + location.normal(0, 0.12) + clip.normal(0, 0.06)
    contrast, black = 2 ** location.normal(0, 0.12), location.uniform(0, 0.08)
    light = np.linspace(0, 1, 256) ** contrast * np.exp(cast + exposure)[:, None]
    return ((black + (1 - black) * np.clip(light, 0, 1)) * 255).astype(np.int16)


def mp4(frames: Frames, rate: int) -> bytes:
    """The bytes of an mp4 file: frames (frame, height, width, 3) as H.264 in yuv420p, without audio."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "24"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the bits must not depend on how many cores there are
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
