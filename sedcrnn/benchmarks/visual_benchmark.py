"""Decoding beside OpenCV, and beside moviepy as the authors used it; and what storing frames costs, in one run.

python -m sedcrnn.benchmarks.visual_benchmark     (make bench-visual installs the packages to compare with first)
"""

import statistics
import sys
import tempfile
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch.nn.functional import interpolate

from sedcrnn.benchmarks import cpu_seconds
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import WindowDataset
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, Window
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.frames import Frames, Pixels
from sedcrnn.features.store import FeatureStore

SECONDS, RATE, GROUPS = 10, Fraction(30000, 1001), (15, 250)
HEIGHT, WIDTH, BITS_PER_SECOND = 720, 1280, 5_000_000  # TAU's mean bit rate (docs/front_end.md)
SIZE, STEPS = 224, SECONDS * STEPS_PER_SECOND
REPEATS, WINDOWS = 3, 32
TAU_CLIPS = 12_291  # of the development set; they have ten seconds


def write_films(folder: Path) -> dict[str, Path]:
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
                frame = scenery[:, 4 * number :][:, :WIDTH] + grain[number % len(grain)]
                pixels = np.clip(frame, 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    return films


def ours(path: Path) -> Pixels:
    """Frames (time, height, width, channel=3) of this package."""
    return Frames(height=SIZE, width=SIZE).extract(path)


def with_opencv(path: Path) -> Pixels:
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


def with_moviepy(path: Path) -> Pixels:
    """As the authors did: moviepy's frame at every 1/5 s, resized by OpenCV."""
    cv2, moviepy = _package("cv2"), _package("moviepy")
    with moviepy.VideoFileClip(str(path), audio=False) as film:
        times = [step / STEPS_PER_SECOND for step in range(STEPS)]
        return np.stack([cv2.resize(film.get_frame(time), (SIZE, SIZE)) for time in times])


def decode_table(films: dict[str, Path]) -> None:
    """CPU time of every way on every film, and how far its frames are from ours."""
    own, others = [], {"OpenCV (grab, retrieve, resize)": with_opencv, "moviepy and OpenCV (the authors)": with_moviepy}
    for film, path in films.items():
        frames, base = ours(path), cpu_seconds(partial(ours, path), REPEATS)
        own.append(base)
        film += f" ({path.stat().st_size / 1e6:.1f} MB)"
        print(f"{film:36}{'seconds':>10}{'x ours':>9}  difference: mean, max")
        print(f"{'ours (PyAV, torch)':36}{base:10.2f}{1:9.2f}")
        for name, way in others.items():
            seconds = cpu_seconds(partial(way, path), REPEATS)
            away = np.abs(way(path).astype(int) - frames)
            print(f"{name:36}{seconds:10.2f}{seconds / base:9.2f}{away.mean():18.2f}{away.max():5}")
    hours = TAU_CLIPS * statistics.fmean(own) / 3600
    print(f"All {TAU_CLIPS:,} clips of TAU, at the {statistics.fmean(own):.2f} s measured here: {hours:.1f} core hours")


def storage_table(films: dict[str, Path], folder: Path) -> None:
    """Room and reading speed of raw frames and of JPEG, for files that are in memory already."""
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
        seconds = cpu_seconds(partial(dataset.batch, windows))
        stored = [feature.decoded(store.read(clip.video, feature)) for clip in clips]
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
