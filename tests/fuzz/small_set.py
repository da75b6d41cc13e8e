"""A small data set with two trained and evaluated runs, and the overrides of stages on it."""

from dataclasses import dataclass
from pathlib import Path

from tests.conftest import small_overrides, write_tau_set

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

    write_tau_set(folder / "data", clips)
    small = SmallSet(folder)
    for seed in (0, 1):
        config = checked(compose("train", [*small.stage("audio"), "trainer.max_epochs=1", f"seed={seed}"]))
        evaluate(str(train(config)), store=str(folder / "store"))
    return small
