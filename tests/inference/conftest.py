"""Untrained networks as checkpoints, and media of every kind."""

import socket
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.inference.onnx_export import export
from sedcrnn.runs.checkpoints import KIND_KEY, SCHEMA_KEY, SCHEMA_VERSION, load_checkpoint, write_checkpoint
from sedcrnn.training.init_from import complete_network

NETWORKS = {
    "audio": ["model.network.filters=[4,4,8]"],
    "audio_encoder": ["model.network.backbone=test_vit", "model.network.image_width=80"],
    "visual": ["model.network.backbone=test_resnet", "model.network.hidden=4", "model.network.normalisation=imagenet"],
    "fusion": ["model.network.hidden=4"],
}
RATE, FPS = 44100, 10


@pytest.fixture(scope="session")
def make_checkpoint(tau_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Kind of network, or several labels to a clip -> a run folder that holds one with random weights, made once. Its
    answers differ widely."""
    runs = tmp_path_factory.mktemp("runs")

    def make(kind: str, multi_label: bool = False) -> Path:
        run = runs / f"{kind}{'-multi-label' * multi_label}"
        file = run / "checkpoints" / "best.ckpt"
        if file.is_file():
            return run
        common = ["data=tau2021", f"data.root={tau_root}", "data.validation_fraction=0.3", "features=small"]
        config: TrainConfig = checked(compose("train", [f"experiment={kind}", *common, *NETWORKS[kind]]))
        parts = ("audio", "visual") if kind == "fusion" else ()
        starts = {part: load_checkpoint(str(make(part, multi_label))) for part in parts}
        dimensions = {"scenes": len(TAU_SCENES), "channels": 3} | ({"multi_label": True} if multi_label else {})
        node = complete_network(config.model["network"], starts, dimensions)
        torch.manual_seed(0)
        network = build(node, "network")
        with torch.no_grad():
            for name, values in network.named_parameters():
                if name.endswith(("dense.weight", "late.weight")):
                    values *= 20
        features = {name: asdict(config.features)[name] for name in network.inputs}
        described = {"network": node, "scenes": list(TAU_SCENES), "features": features, "data": asdict(config.data)}
        state = {f"network.{name}": values for name, values in network.state_dict().items()}
        described |= {"recipe": asdict(config.recipe), "locations": [], "seed": 0}
        schema = {SCHEMA_KEY: SCHEMA_VERSION, KIND_KEY: network.kind}
        write_checkpoint({"hyper_parameters": described, "state_dict": state, **schema}, file)
        return run

    return make


@pytest.fixture(scope="session")
def exported(make_checkpoint: Callable[[str], Path]) -> Path:
    """The fusion network as an ONNX file, alone in its folder."""
    path = make_checkpoint("fusion").parent / "exported" / "fusion.onnx"
    if not path.is_file():
        export(str(make_checkpoint("fusion")), str(path))
    return path


@pytest.fixture(scope="session")
def write_media() -> Callable[..., Path]:
    """Write a file with so many seconds of video and of audio, either of which may be none; both change with time."""

    def write(path: Path, video: float = 3, audio: float = 3, seed: int = 0) -> Path:
        colours, noise = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
        with av.open(str(path), "w") as container:
            images = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"}) if video else None
            wave = container.add_stream("aac", rate=RATE, layout="stereo") if audio else None
            if images is not None:
                images.width, images.height, images.pix_fmt = 64, 48, "yuv420p"
                for number in range(round(video * FPS)):
                    if number % FPS == 0:
                        image = np.kron(colours.integers(0, 256, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
                    container.mux(images.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                container.mux(images.encode(None))
            if wave is not None:
                resampler = av.AudioResampler(format=wave.format.name, layout="stereo", rate=RATE, frame_size=1024)
                for second in range(int(np.ceil(audio))):
                    length = round(min(1, audio - second) * RATE)
                    tone = np.sin(2 * np.pi * noise.uniform(100, 5000) / RATE * np.arange(length))
                    samples = 0.3 * tone + noise.uniform(0.01, 0.1) * noise.standard_normal((2, length))
                    frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="stereo")
                    frame.rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), second * RATE
                    for part in resampler.resample(frame):
                        container.mux(wave.encode(part))
                for part in resampler.resample(None):
                    container.mux(wave.encode(part))
                container.mux(wave.encode(None))
        return path

    return write


@pytest.fixture
def port() -> int:
    """A port of this computer that is free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number: int = server.getsockname()[1]
        return number
