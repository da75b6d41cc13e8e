"""Parameters -> plan of clips -> media rendered in parallel -> lists -> corpus.json, the mark of completeness."""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from sedcrnn.datasets.clips import DataSource, Manifest
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.datasets.synthetic.audio_rendering import record
from sedcrnn.datasets.synthetic.encoding import mp4, wav
from sedcrnn.datasets.synthetic.scene_definitions import RECIPES, generator
from sedcrnn.datasets.synthetic.video_rendering import film
from sedcrnn.datasets.synthetic.waves import RATE, Rng
from sedcrnn.datasets.tau2021 import read_tau_layout
from sedcrnn.errors import DataError
from sedcrnn.runs.files import atomic, write_json, write_text

RENDERER = 1  # raise it whenever the same parameters would render other media
CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna")
COMPLETE, UNFINISHED = "corpus.json", "corpus.unfinished.json"


@dataclass(frozen=True)
class Plan:
    """One clip to be made: `[scene]-[city]-[location]-[segment]`, of one fold."""

    scene: str
    city: str
    location: int
    segment: int
    fold: str

    @property
    def id(self) -> str:
        """Name without folder or suffix."""
        return f"{self.scene}-{self.city}-{self.location}-{self.segment}"

    @property
    def files(self) -> tuple[str, str]:
        """Sound and picture, relative to the root."""
        return f"audio/{self.id}.wav", f"video/{self.id}.mp4"


class Synthetic(DataSource):
    """A generated data set in the layout of TAU Urban Audio-Visual Scenes 2021, the same for the same parameters.

    Args:
        root: folder of the set; made if missing.
        seed: of every random draw.
        cities: number of cities, 1 to 10, over which the locations of every scene are spread.
        locations: locations per scene in the training fold.
        test_locations: locations per scene in the test fold.
        segments: clips per location.
        clip_seconds: length of a clip; its sound is a sample longer or shorter now and then, as in TAU.
        height: of the picture in pixels, even.
        width: of the picture in pixels, even.
        frame_rate: frames per second.
        workers: processes that render; 0 or 1 renders in this process. Does not change what is rendered.

    Raises:
        DataError: a parameter that cannot be rendered.
    """

    def __init__(
        self,
        root: str,
        seed: int,
        cities: int,
        locations: int,
        test_locations: int,
        segments: int,
        clip_seconds: float,
        height: int,
        width: int,
        frame_rate: int,
        workers: int,
    ) -> None:
        self.root, self.clip_seconds, self.workers = Path(root), clip_seconds, workers
        self.parameters: dict[str, int | float] = {
            "renderer": RENDERER,
            "seed": seed,
            "cities": cities,
            "locations": locations,
            "test_locations": test_locations,
            "segments": segments,
            "clip_seconds": clip_seconds,
            "height": height,
            "width": width,
            "frame_rate": frame_rate,
        }
        counts = (cities, locations, test_locations, segments, frame_rate)
        if min(counts) < 1 or cities > len(CITIES) or height % 2 or width % 2 or min(height, width) < 32:
            raise DataError(
                f"The synthetic set cannot be rendered with {self.parameters}",
                f"Allowed are 1 to {len(CITIES)} cities, counts and rates of at least 1, and an even height and width "
                "of at least 32 pixels",
                "Correct these values in data.source",
            )
        if clip_seconds < 1 or workers < 0:
            raise DataError(
                f"The synthetic set cannot be rendered with clip_seconds={clip_seconds} and workers={workers}",
                "A clip lasts at least 1 s, and the number of workers is 0 or more",
                "Correct these values in data.source",
            )

    def prepare(self) -> None:
        """Renders what is missing, then writes the lists. Returns at once if the set is complete.

        Raises:
            DataError: the folder holds another set, or files that no set of ours accounts for.
        """
        self._claim()
        plans = self._plans()
        if missing := [plan for plan in plans if not all((self.root / file).exists() for file in plan.files)]:
            self._render(missing)
        lists = self._lists(plans)
        if not all((self.root / name).exists() for name in (COMPLETE, *lists)):
            for name, content in lists.items():
                write_text(self.root / name, content)
            write_json(self.root / COMPLETE, self.parameters)
            (self.root / UNFINISHED).unlink(missing_ok=True)

    def manifest(self) -> Manifest:
        """The clips of both folds, in the order of the lists."""
        return read_tau_layout(self.root, name="synthetic")

    def _claim(self) -> None:
        """Makes sure that the folder is ours, before anything is written: empty, or of the same parameters."""
        for mark in (COMPLETE, UNFINISHED):
            if (path := self.root / mark).exists():
                found = json.loads(path.read_text())
                if found != self.parameters:
                    other = {key for key in {*found, *self.parameters} if found.get(key) != self.parameters.get(key)}
                    raise DataError(
                        f"{path} describes a set with " + ", ".join(f"{key}={found.get(key)}" for key in sorted(other)),
                        "This run asks for " + ", ".join(f"{key}={self.parameters.get(key)}" for key in sorted(other)),
                        "Choose another data.root, or delete the folder to have it rendered anew",
                    )
                return
        if self.root.exists() and any(self.root.iterdir()):
            raise DataError(
                f"The folder {self.root} holds files, but no {COMPLETE}",
                "The synthetic set is written to a folder that is empty, new or its own",
                "Choose another data.root, or delete the folder",
            )
        write_json(self.root / UNFINISHED, self.parameters)

    def _plans(self) -> list[Plan]:
        """Every clip, scene by scene; the locations of a scene go round the cities."""
        train, test, segments = (int(self.parameters[key]) for key in ("locations", "test_locations", "segments"))
        cities, number, segment = int(self.parameters["cities"]), count(), count()
        return [
            Plan(scene, city, location, next(segment), "train" if place < train else "test")
            for first, scene in enumerate(TAU_SCENES)
            for place in range(train + test)
            for city, location in [(CITIES[(first + place) % cities], next(number))]
            for _ in range(segments)
        ]

    def _lists(self, plans: Iterable[Plan]) -> dict[str, str]:
        """File name -> content of meta.csv and the three lists of the fold."""
        meta: list[str] = []
        train: list[str] = []
        evaluate: list[str] = []
        test: list[str] = []
        for plan in plans:
            files = "\t".join(plan.files)
            meta.append(f"{files}\t{plan.scene}\t{plan.city}-{plan.location}")
            (train if plan.fold == "train" else evaluate).append(f"{files}\t{plan.scene}")
            if plan.fold == "test":
                test.append(files)
        names = "filename_audio\tfilename_video"
        contents = {
            "meta.csv": [f"{names}\tscene_label\tidentifier", *meta],
            "evaluation_setup/fold1_train.csv": [f"{names}\tscene_label", *train],
            "evaluation_setup/fold1_evaluate.csv": [f"{names}\tscene_label", *evaluate],
            "evaluation_setup/fold1_test.csv": [names, *test],
        }
        return {name: "\n".join(lines) + "\n" for name, lines in contents.items()}

    def _render(self, plans: list[Plan]) -> None:
        task = partial(render, str(self.root), self.parameters)
        with tqdm(total=len(plans), desc="Rendering synthetic clips (sound and picture)", unit="clip") as bar:
            if self.workers < 2:
                for plan in plans:
                    task(plan)
                    bar.update()
                return
            with ProcessPoolExecutor(min(self.workers, len(plans)), mp_context=get_context("spawn")) as pool:
                for _ in pool.map(task, plans, chunksize=4):
                    bar.update()


def render(root: str, parameters: dict[str, int | float], plan: Plan) -> None:
    """Renders the sound and the picture of one clip, each unless it is there already."""
    seed, recipe, folder = int(parameters["seed"]), RECIPES[plan.scene], Path(root)
    sound, picture = (folder / file for file in plan.files)

    def generators(kind: str) -> tuple[Rng, Rng, Rng]:
        place = f"{plan.city}-{plan.location}"
        return generator(seed, kind, plan.city), generator(seed, kind, place), generator(seed, kind, plan.id)

    if not sound.exists():
        city, location, clip = generators("sound")
        samples = round(float(parameters["clip_seconds"]) * RATE) + int(clip.integers(-1, 2))
        save(sound, wav(record(recipe, city, location, clip, samples)))
    if not picture.exists():
        size, rate = (int(parameters["height"]), int(parameters["width"])), int(parameters["frame_rate"])
        frames = round(float(parameters["clip_seconds"]) * rate)
        save(picture, mp4(film(recipe, *generators("picture"), size, rate, frames), rate))


def save(path: Path, content: bytes) -> None:
    """Writes a media file that appears whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)
