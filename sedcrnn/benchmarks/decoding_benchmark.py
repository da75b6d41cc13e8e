"""Frames of ten-second clips: ours, OpenCV, and moviepy as the authors used it, in one run; then raw against JPEG.

python -m sedcrnn.benchmarks.decoding_benchmark     (make bench-visual installs the packages to compare with first)
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch.nn.functional import interpolate

from sedcrnn.benchmarks.timing import cpu_seconds
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import WindowDataset
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, Window
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.frames import Frames, read_frames
from sedcrnn.features.jpeg import Pictures
from sedcrnn.features.store import FeatureStore

SECONDS, RATE, GROUPS = 10, Fraction(30000, 1001), (15, 250)
HEIGHT, WIDTH, BITS_PER_SECOND = 720, 1280, 5_000_000  # TAU's mean bit rate (frontend.md)
SIZE = 224
STEPS = SECONDS * STEPS_PER_SECOND
REPEATS, WINDOWS = 3, 32

Films = Mapping[str, Path]


def write_films(folder: Path) -> Films:
    """The same ten seconds in H.264 at 720p, with short and with long groups of pictures."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, HEIGHT // 16, WIDTH // 8)).astype(np.float32))
    scenery = interpolate(coarse, (HEIGHT, 2 * WIDTH), mode="bicubic")[0].permute(1, 2, 0).numpy()
    grain = rng.normal(0, 4, (8, HEIGHT, WIDTH, 1)).astype(np.float32)
    films = {f"720p, key frame every {group}": folder / f"{group}.mp4" for group in GROUPS}
    for group, path in zip(GROUPS, films.values(), strict=True):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.bit_rate, stream.codec_context.gop_size = BITS_PER_SECOND, group
            for number in range(round(SECONDS * RATE)):
                seen = scenery[:, 4 * number :][:, :WIDTH] + grain[number % len(grain)]
                pixels = np.clip(seen, 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    return films


def ours(path: Path) -> Pictures:
    """Frames (time, height, width, channel=3) of this package."""
    return read_frames(path, height=SIZE, width=SIZE)


def with_opencv(path: Path) -> Pictures:
    """The authors' frames, read one after another, and only those decoded to pixels."""
    cv2 = _package("cv2")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    rate = capture.get(cv2.CAP_PROP_FPS)
    wanted = [int(rate * step / STEPS_PER_SECOND + 1e-5) for step in range(STEPS)]
    frames = []
    for number in range(wanted[-1] + 1):
        capture.grab()
        if number in wanted:
            _, pixels = capture.retrieve()
            frames.append(cv2.resize(pixels, (SIZE, SIZE))[:, :, ::-1])
    capture.release()
    return np.stack(frames)


def with_moviepy(path: Path) -> Pictures:
    """As the authors did: moviepy's frame at every 1/5 s, resized by OpenCV."""
    cv2, moviepy = _package("cv2"), _package("moviepy")
    with moviepy.VideoFileClip(str(path), audio=False) as film:
        times = [step / STEPS_PER_SECOND for step in range(STEPS)]
        return np.stack([cv2.resize(film.get_frame(time), (SIZE, SIZE)) for time in times])


WAYS: dict[str, Callable[[Path], Pictures]] = {
    "ours (PyAV, torch)": ours,
    "OpenCV (grab, retrieve, resize)": with_opencv,
    "moviepy and OpenCV (the authors)": with_moviepy,
}


def decode_table(films: Films) -> float:
    """CPU time of every way on every film, and how far its frames are from ours; returns our mean CPU time."""
    own = []
    for film, path in films.items():
        frames, base = ours(path), cpu_seconds(lambda path=path: ours(path), REPEATS)  # type: ignore[misc]
        own.append(base)
        print(
            f"{film + f' ({path.stat().st_size / 1e6:.1f} MB)':36}{'seconds':>10}{'x ours':>9}  difference: mean, max"
        )
        for name, way in WAYS.items():
            seconds = base if way is ours else cpu_seconds(lambda way=way, path=path: way(path), REPEATS)  # type: ignore[misc]
            away = np.abs(way(path).astype(int) - frames)
            print(f"{name:36}{seconds:10.2f}{seconds / base:9.2f}{away.mean():18.2f}{away.max():5}")
    return statistics.fmean(own)


def storage_table(films: Films, folder: Path) -> None:
    """Room and reading speed of raw frames and of JPEG, in batches of windows from files that are in memory."""
    clips = [Clip(film, path, path, "bus", "here", "here-1", "train") for film, path in films.items()]
    rng = np.random.default_rng(0)
    starts = rng.integers(0, STEPS - STEPS_PER_WINDOW + 1, WINDOWS).tolist()
    windows = [Window(number % len(clips), start) for number, start in enumerate(starts)]
    exact = [ours(clip.video) for clip in clips]
    print(f"{'in the store':36}{'MB a clip':>10}{'windows/s':>11}  difference: mean, max")
    for storage in ("raw", "jpeg"):
        feature = Frames(height=SIZE, width=SIZE, storage=storage)
        store = FeatureStore(folder)
        size = sum(store.write(clip.video, feature, feature.extract(clip.video)).stat().st_size for clip in clips)
        dataset = WindowDataset(clips, ["bus"], {"frames": feature}, store)
        seconds = cpu_seconds(lambda dataset=dataset: dataset[windows])  # type: ignore[misc]
        stored = [feature.decode(store.read(clip.video, feature)) for clip in clips]
        away = np.abs(np.stack(stored).astype(int) - np.stack(exact))
        print(f"{storage:36}{size / len(clips) / 1e6:10.2f}{WINDOWS / seconds:11.0f}{away.mean():16.2f}{away.max():5}")


def _package(name: str) -> Any:
    try:
        package = import_module(name)
    except ModuleNotFoundError as error:
        sys.exit(
            f"The package '{error.name}' is missing: `make bench-visual`, or `pip install --no-deps "
            "opencv-python-headless moviepy imageio imageio-ffmpeg proglog decorator python-dotenv`."
        )
    if name == "cv2":
        package.setNumThreads(1)
    return package


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        films = write_films(Path(folder))
        print(f"CPU time, one core, {SECONDS} s of H.264 to {STEPS} frames of {SIZE}x{SIZE}")
        decode_table(films)
        print()
        storage_table(films, Path(folder) / "store")


if __name__ == "__main__":
    main()
