"""Parameters -> plan of clips -> media rendered in parallel -> lists -> corpus.json, the mark of completeness."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from sedcrnn import signals
from sedcrnn.datasets.clips import TAU_SCENES, DataSource, Manifest
from sedcrnn.datasets.synthetic.audio_rendering import record
from sedcrnn.datasets.synthetic.drawing import mp4
from sedcrnn.datasets.synthetic.scene_definitions import RECIPES, generator
from sedcrnn.datasets.synthetic.video_rendering import film
from sedcrnn.datasets.synthetic.waves import RATE, Rng, wav
from sedcrnn.datasets.tau2021 import read_tau_layout
from sedcrnn.errors import DataError
from sedcrnn.progress import progress
from sedcrnn.runs.files import atomic, write_json, write_text
from sedcrnn.runs.records import read_json
from sedcrnn.sweeps.ranks import shared

RENDERER = 1  # raise it whenever the same parameters would render other media
CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna")
COMPLETE, UNFINISHED = "corpus.json", "corpus.unfinished.json"


@dataclass(frozen=True)
class Plan:
    """One clip to be made, of one fold."""

    scene: str
    city: str
    location: int
    segment: int
    fold: str

    @property
    def id(self) -> str:
        """Name without folder or suffix, as in TAU 2021."""
        return f"{self.scene}-{self.city}-{self.location}-{self.segment}"

    @property
    def files(self) -> tuple[str, str]:
        """Audio and video, relative to the root."""
        return f"audio/{self.id}.wav", f"video/{self.id}.mp4"


@dataclass
class Synthetic(DataSource):
    """A generated data set in the layout of TAU Urban Audio-Visual Scenes 2021, the same for the same parameters.

    What each parameter is, and its range, stands in `config.data_nodes.SyntheticKeys`. A clip's audio is a sample
    longer or shorter now and then, as in TAU. The number of workers does not change what is rendered.
    """

    root: str
    seed: int
    cities: int
    locations: int
    test_locations: int
    segments: int
    clip_seconds: float
    height: int
    width: int
    frame_rate: int
    workers: int

    def __post_init__(self) -> None:

        self.folder = Path(self.root)
        own = {key: value for key, value in asdict(self).items() if key not in ("root", "workers")}
        self.parameters = {"renderer": RENDERER, **own}  # all that the media depend on

    def prepare(self) -> None:
        """Render what is missing, then write the lists; a folder that holds another set, or other files, is refused.
        Jobs that run at the same time share the work."""
        self._claim()
        plans = self._plans()
        if missing := [plan for plan in plans if not all((self.folder / file).exists() for file in plan.files)]:
            self._render(shared(missing))
        lists = self._lists(plans)
        broken = {name: content for name, content in lists.items() if not _holds(self.folder / name, content)}
        if broken or not (self.folder / COMPLETE).exists():
            for name, content in broken.items():
                write_text(self.folder / name, content)
            write_json(self.folder / COMPLETE, self.parameters)
            (self.folder / UNFINISHED).unlink(missing_ok=True)

    def manifest(self) -> Manifest:
        """Read the lists."""
        return read_tau_layout(self.folder, name="synthetic")

    def _claim(self) -> None:
        """Make sure that the folder is ours, before anything is written: empty, or of the same parameters."""
        is_empty = not self.folder.exists() or all(path.name.startswith(".") for path in self.folder.iterdir())
        for mark in (COMPLETE, UNFINISHED):
            if (path := self.folder / mark).exists():
                found, asked = read_json(path), self.parameters
                if found is None and self._holds_these():
                    write_json(path, asked)
                    return
                if found is None:
                    raise DataError(
                        f"{path} cannot be read, and the clips beside it are not those of this config",
                        "It says which set the folder holds",
                        "Choose another data.root, or delete the folder to have it rendered anew",
                    )
                if other := sorted(key for key in {*found, *asked} if found.get(key) != asked.get(key)):
                    raise DataError(
                        f"{path} describes a set with " + ", ".join(f"{key}={found.get(key)}" for key in other),
                        "This run asks for " + ", ".join(f"{key}={asked.get(key)}" for key in other),
                        "Choose another data.root, or delete the folder to have it rendered anew",
                    )
                return
        if not is_empty:  # it was so before the marks of another job were looked for
            raise DataError(
                f"The folder {self.folder} holds files, but no {COMPLETE}",
                "The synthetic set is written to a folder that is empty, new or its own",
                "Choose another data.root, or delete the folder",
            )
        write_json(self.folder / UNFINISHED, self.parameters)

    def _holds_these(self) -> bool:
        """Whether the first clip in the folder is what these parameters render."""
        plan = self._plans()[0]
        with TemporaryDirectory() as place:
            render(replace(self, root=place), plan)
            both = [(self.folder / file, Path(place) / file) for file in plan.files]
            return all(there.is_file() and there.read_bytes() == made.read_bytes() for there, made in both)

    def _plans(self) -> list[Plan]:
        """Every clip, scene by scene; the locations of a scene take the cities in turn."""
        number, segment = count(), count()
        return [
            Plan(scene, city, location, next(segment), "train" if place < self.locations else "test")
            for first, scene in enumerate(TAU_SCENES)
            for place in range(self.locations + self.test_locations)
            for city, location in [(CITIES[(first + place) % self.cities], next(number))]
            for _ in range(self.segments)
        ]

    def _lists(self, plans: Sequence[Plan]) -> dict[str, str]:
        """File name -> content of meta.csv and the three lists of the fold."""
        rows = {plan: [*plan.files, plan.scene, f"{plan.city}-{plan.location}"] for plan in plans}

        def table(columns: int, *folds: str) -> str:
            chosen = [row for plan, row in rows.items() if plan.fold in folds]
            header = ["filename_audio", "filename_video", "scene_label", "identifier"]
            return "".join("\t".join(row[:columns]) + "\n" for row in [header, *chosen])

        return {
            "meta.csv": table(4, "train", "test"),
            "evaluation_setup/fold1_train.csv": table(3, "train"),
            "evaluation_setup/fold1_evaluate.csv": table(3, "test"),
            "evaluation_setup/fold1_test.csv": table(2, "test"),
        }

    def _render(self, plans: Sequence[Plan]) -> None:
        task = partial(render, self)
        with ExitStack() as stack:
            rendered: Iterable[None] = map(task, plans)
            if self.workers > 1:
                signals.before_workers()
                workers, context = min(self.workers, len(plans)), get_context("spawn")
                pool = ProcessPoolExecutor(workers, context, initializer=signals.start_worker)
                rendered = stack.enter_context(pool).map(task, plans, chunksize=4)
            for _ in progress(rendered, "Rendering synthetic clips", total=len(plans), unit="clip"):
                pass


def _holds(path: Path, content: str) -> bool:
    return path.is_file() and path.read_bytes() == content.encode()


def render(source: Synthetic, plan: Plan) -> None:
    """Render the audio and the video of one clip, each unless it is there already."""
    recipe = RECIPES[plan.scene]
    audio, video = (source.folder / file for file in plan.files)

    def generators(kind: str) -> tuple[Rng, Rng, Rng]:  # the kinds are part of the random draws
        keys = (plan.city, f"{plan.city}-{plan.location}", plan.id)
        city, location, clip = (generator(source.seed, kind, key) for key in keys)
        return city, location, clip

    if not audio.exists():
        city, location, clip = generators("sound")
        samples = round(source.clip_seconds * RATE) + int(clip.integers(-1, 2))
        with atomic(audio) as temporary:
            temporary.write_bytes(wav(record(recipe, city, location, clip, samples)))
    if not video.exists():
        frames = round(source.clip_seconds * source.frame_rate)
        size, rate = (source.height, source.width), source.frame_rate
        with atomic(video) as temporary:
            temporary.write_bytes(mp4(film(recipe, *generators("picture"), size, rate, frames), rate))
