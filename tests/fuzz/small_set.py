"""A small data set with two trained and evaluated runs, and the overrides of stages on it."""

from dataclasses import dataclass
from pathlib import Path

from tests.conftest import small_overrides, write_sound, write_video

RANDOM = ("init_from.audio=null", "init_from.visual=null", "init_from.encoder=random")
NETWORKS = {
    "audio": ("model.network.filters=[4,4,8]",),
    "visual": ("model.network.backbone=test_resnet", "model.network.hidden=4", "init_from.encoder=random"),
    "fusion": (
        "model=fusion_new",
        "model.network.audio.filters=[4,4,8]",
        "model.network.visual.backbone=test_resnet",
        "model.network.hidden=4",
        *RANDOM,
    ),
}


@dataclass(frozen=True)
class SmallSet:
    """Where they lie: data/, store/ and runs/ of a folder."""

    folder: Path

    @property
    def data(self) -> tuple[str, ...]:
        """The overrides that name the data set."""
        return "data=tau2021", f"data.root={self.folder}/data"

    @property
    def clip(self) -> str:
        """A sound."""
        return str(min((self.folder / "data" / "audio").iterdir()))

    def stage(self, experiment: str) -> list[str]:
        """The overrides of a stage."""
        places = small_overrides(self.folder / "store", self.folder / "runs")
        bands = "features.spectrogram.bank.bands=16"
        return [f"experiment={experiment}", *self.data, *places, bands, *NETWORKS[experiment]]


def make_small_set(folder: Path, clips: int = 12) -> SmallSet:
    """Make it: clips of two scenes, the last four of them to test; runs of the seeds 0 and 1."""
    from sedcrnn.config.checking import checked
    from sedcrnn.config.composition import compose
    from sedcrnn.evaluation.fold_scores import evaluate
    from sedcrnn.training.stage import train

    root = folder / "data"
    for name in ("audio", "video", "evaluation_setup"):
        (root / name).mkdir(parents=True)
    rows: dict[str, list[str]] = {"fold1_train.csv": [], "fold1_evaluate.csv": []}
    for number in range(clips):
        scene, colour = [("bus", (180, 40, 40)), ("park", (40, 160, 40))][number % 2]
        name = f"{scene}-lisbon-{number}-{1000 + number}"
        write_sound(root / "audio" / f"{name}.wav", scene == "bus", number)
        write_video(root / "video" / f"{name}.mp4", colour, number)
        fold = "fold1_evaluate.csv" if number >= clips - 4 else "fold1_train.csv"
        rows[fold].append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for file, lines in rows.items():
        text = "\n".join(["filename_audio\tfilename_video\tscene_label", *lines])
        (root / "evaluation_setup" / file).write_text(text)
    small = SmallSet(folder)
    for seed in (0, 1):
        config = checked(compose("train", [*small.stage("audio"), "trainer.max_epochs=1", f"seed={seed}"]))
        evaluate(str(train(config)), store=str(folder / "store"))
    return small
