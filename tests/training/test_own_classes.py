"""A user's own package, outside the repository, trains by config alone; files may name it only where it is trusted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PACKAGE = '''
import torch
from pathlib import Path
from pytorch_lightning import Callback
from torch import Tensor, nn

from sedcrnn.datasets.clips import Clip, DataSource, Manifest
from sedcrnn.networks import SceneNetwork


class BandNetwork(SceneNetwork):
    """Mean level of each band over the window -> two dense layers."""

    kind = "bands"
    inputs = ("spectrogram",)
    encoded = ("levels",)
    head_names = ("bands",)

    def __init__(self, scenes: int, channels: int, bands: int, hidden: int) -> None:
        super().__init__()
        self.scenes = scenes
        self.layers = nn.Sequential(nn.Linear(channels * bands, hidden), nn.ReLU(), nn.Linear(hidden, scenes))

    def encode(self, spectrogram: Tensor) -> dict[str, Tensor]:
        return {"levels": spectrogram.mean(-1).flatten(1)}

    def decode(self, levels: Tensor) -> dict[str, Tensor]:
        return {"bands": self.layers(levels)}


class WholeNetwork(SceneNetwork):
    """Both means -> one layer, without parts that could be kept."""

    kind, inputs, head_names = "whole", ("spectrogram", "frames"), ("whole",)

    def __init__(self, scenes: int) -> None:
        super().__init__()
        self.scenes, self.dense = scenes, nn.Linear(6, scenes)

    def heads(self, spectrogram: Tensor, frames: Tensor) -> dict[str, Tensor]:
        means = [spectrogram.mean((-2, -1)), frames.float().mean((1, 3, 4)) / 255]
        return {"whole": self.dense(torch.cat(means, -1))}


class Concatenated(nn.Module):
    def __init__(self, audio: int, visual: int, hidden: int, scenes: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.dense = nn.Linear(audio + visual, hidden), nn.Linear(hidden, scenes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        means = torch.cat([audio_steps.mean(1), visual_steps.mean(1)], -1)
        return self.dense(self.dropout(self.hidden(means).relu()))


class NumberedClips(DataSource):
    """bus-lisbon-3-1003.wav and .mp4 in two folders; even numbers above eleven are the test fold."""

    def __init__(self, root: str, last: int) -> None:
        self.root, self.last = Path(root), last

    def manifest(self) -> Manifest:
        clips = []
        for path in sorted((self.root / "audio").iterdir()):
            scene, _, number, _ = path.stem.split("-")
            fold = "test" if int(number) >= self.last else "train"
            clips.append(Clip(path.stem, path, self.root / "video" / f"{path.stem}.mp4", scene, "", number, fold))
        return Manifest("numbered", ("bus", "park"), tuple(clips))


class WeightNorm(Callback):
    def on_train_epoch_end(self, trainer, module):
        norms = [parameter.norm() for parameter in module.parameters() if parameter.requires_grad]
        module.log("train/weight_norm", sum(norm**2 for norm in norms) ** 0.5)
'''

CONFIGS = {
    "data/numbered.yaml": """
        defaults: [_common, _self_]
        source: {_target_: mykit.NumberedClips, root: "${data.root}", last: 12}
    """,
    "model/bands.yaml": """
        _target_: sedcrnn.training.modules.SceneModule
        network: {_target_: mykit.BandNetwork, bands: 64, hidden: 8}
    """,
    "model/whole.yaml": """
        _target_: sedcrnn.training.modules.SceneModule
        network: {_target_: mykit.WholeNetwork}
    """,
    "experiment/bands.yaml": """
        # @package _global_
        defaults: [{override /model: bands}]
        name: bands
    """,
    "experiment/whole.yaml": """
        # @package _global_
        defaults: [{override /model: whole}]
        name: whole
    """,
    "experiment/fusion_concatenated.yaml": """
        # @package _global_
        defaults: [fusion]
        name: fusion_concatenated
        model: {network: {early: {_target_: mykit.Concatenated, dropout: 0.1}}}
    """,
    "callbacks/weight_norm.yaml": "weight_norm: {_target_: mykit.WeightNorm}",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the repository with the package, its configs, and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "lib").mkdir()
    (folder / "lib" / "mykit.py").write_text(PACKAGE)
    for name, text in CONFIGS.items():
        path = folder / "my_conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        path.write_text("\n".join(line.removeprefix("        ") for line in lines) + "\n")
    return folder


def sedcrnn(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(place / "lib"), str(root)])
    clean = {name: value for name, value in os.environ.items() if name != "SEDCRNN_TRUST"}
    command = [sys.executable, "-m", "sedcrnn", *arguments]
    return subprocess.run(
        command,
        cwd=place,
        env={**clean, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(place: Path, tau_root: Path) -> Path:
    """The folder, in which every own class has been trained."""
    small = ["--config-dir", "my_conf", "data=numbered", f"data.root={tau_root}", "data.extraction_workers=0"]
    small += ["data.validation_fraction=0.3", "features=small", "features.frames.storage=raw", "trainer=cpu"]
    small += ["features.frames.height=32", "features.frames.width=32", "trainer.max_epochs=1", "recipe.batch_size=4"]
    small += ["trainer.precision=32-true", "trainer.enable_progress_bar=false"]
    tiny = {"audio": "model.network.filters=[4,4,8]", "visual": "model.network.backbone=test_resnet"}
    stages = [
        ["experiment=bands", "callbacks=weight_norm"],
        ["experiment=whole"],
        ["experiment=audio", tiny["audio"]],
        ["experiment=visual", tiny["visual"], "init_from.encoder=random"],
        [
            "experiment=fusion_concatenated",
            "init_from.audio=audio",
            "init_from.visual=visual",
            "model.network.hidden=4",
        ],
    ]
    for stage in stages:
        done = sedcrnn(place, "train", *small, *stage)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"best of \d+ epochs is epoch \d+ \(validation: macro accuracy", done.stdout)
    return place


def join(audio: Path, video: Path, path: Path) -> Path:
    """One file with the tracks of two."""
    with av.open(path, "w") as joined, av.open(audio) as sound, av.open(video) as frames:
        streams = [(source, joined.add_stream_from_template(source.streams[0])) for source in (sound, frames)]
        for source, stream in streams:
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    joined.mux(packet)
    return path


@pytest.mark.parametrize(("name", "kind"), [("bands", "bands"), ("whole", "whole"), ("fusion_concatenated", "fusion")])
def test_own_classes_train_and_are_refused_in_a_file_unless_they_are_trusted(
    trained: Path, tau_root: Path, name: str, kind: str
) -> None:
    (run,) = (trained / "runs").glob(f"{name}-s0-*")
    assert json.loads((run / "record.json").read_text())["inputs"]["data"]["name"] == "numbered"
    media = tau_root / "audio" / "bus-lisbon-0-1000.wav"
    if name != "bands":
        media = join(media, tau_root / "video" / "bus-lisbon-0-1000.mp4", trained / "both.mkv")
    given = ["predict", f"run={name}", str(media), "json=answer.json"]
    refused = sedcrnn(trained, *given)
    assert refused.returncode == 1
    assert "of a package that you have not said to trust" in refused.stderr
    assert "SEDCRNN_TRUST=mykit" in refused.stderr
    assert "Traceback" not in refused.stderr
    accepted = sedcrnn(trained, *given, SEDCRNN_TRUST="mykit")
    assert accepted.returncode == 0, accepted.stderr
    assert (trained / "answer.json").is_file()
    evaluated = sedcrnn(trained, "evaluate", f"run={name}", SEDCRNN_TRUST="mykit")
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads((run / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["stage"] == kind


def test_an_own_callback_logs_and_a_file_may_not_name_it(trained: Path) -> None:
    (run,) = (trained / "runs").glob("bands-s0-*")
    assert "train/weight_norm" in (run / "metrics.csv").read_text().splitlines()[0]
    assert "mykit.WeightNorm" in (run / "config.yaml").read_text()
