"""Frozen frame encoders: frames that one encodes in each arithmetic, and clips from the store and back into it."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sedcrnn.benchmarks.data_benchmark import JPEG, RAW, STEPS, stored_clips
from sedcrnn.benchmarks.gpu_stages import make_stage
from sedcrnn.benchmarks.gpu_timing import DEVICE, GPU, Row, arithmetic, now, seconds_of
from sedcrnn.datasets.clips import Clip
from sedcrnn.features.frames import Frames
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.visual import VisualNetwork
from sedcrnn.training.frozen_cache import FrozenEncoder

WAYS = ("bf16", *(["TF32"] if GPU else []), "fp32")
DRAWN = 8  # clips of differing content; drawing and coding one takes a third of a second
CLIPS = 64
READERS = (2, 8)  # clips that are read ahead


def encoders(tiny: bool, preset: str, size: int) -> Iterator[Row]:
    """Frames that an encoder encodes, 320 at a time, in each arithmetic, and how far that is from float32."""
    frame = [f"features.frames.{side}={size}" for side in ("height", "width")]
    stage = make_stage("visual, frozen VGG16", 64, tiny, f"model={preset}", *frame)
    network: SceneNetwork = stage.module.network.eval()
    assert isinstance(network, VisualNetwork)
    frames = stage.batch["frames"]
    number = frames.shape[0] * frames.shape[1]

    @torch.inference_mode()
    def embed(way: str) -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16) if way == "bf16" else nullcontext():
            return network.embed(frames).float()

    with arithmetic(tf32=False):
        exact = embed("fp32")
    for way in WAYS:
        with arithmetic(tf32=way == "TF32"):
            error = torch.linalg.vector_norm(embed(way) - exact) / torch.linalg.vector_norm(exact)
            seconds = seconds_of(partial(embed, way), tiny)
        row: Row = {
            "network": f"{preset}: {network.encoder.backbone.__class__.__name__}",
            "height": frames.shape[-2],
            "frames": number,
            "arithmetic": way,
            "frames/s": number / seconds,
            "ms a batch": 1e3 * seconds,
        }
        yield row | ({"relative error to fp32": error.item()} if way != "fp32" else {})


def stored(tiny: bool) -> Iterator[Row]:
    """Frames of stored clips of ten seconds that EfficientNet-Lite0 encodes at 224x224 before a stage is trained, by
    how they are kept and how many clips are read ahead."""
    stage = make_stage("visual_lite, frozen", 2, tiny)
    node, network = stage.module.hparams["network"], stage.module.network
    for feature in (RAW, JPEG):
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder) / "store")
            clips = _many_clips(Path(folder), store, feature, tiny)
            for readers in READERS:
                with torch.no_grad():  # other weights, of which the store knows nothing
                    next(network.parameters()).mul_(1.001)
                encoder = FrozenEncoder(network, node, {"frames": feature}, DEVICE)
                encoder.encode_all(clips[:1], store, readers)  # a GPU takes seconds for its first
                started = now()
                encoder.encode_all(clips[1:], store, readers)
                speed = STEPS * (len(clips) - 1) / (now() - started)
                yield {"frames": feature.storage, "clips read ahead": readers, "frames/s": speed}


def _many_clips(folder: Path, store: FeatureStore, feature: Frames, tiny: bool) -> Sequence[Clip]:
    """So many clips, of which some have the same content."""
    drawn = stored_clips(folder, store, feature, 1 if tiny else DRAWN)
    clips = []
    for number in range(2 if tiny else CLIPS):
        like = drawn[number % len(drawn)]
        file = folder / f"copy-{number}.bin"
        file.write_bytes(f"{feature.storage} {number}".encode())
        store.write(file, feature, store.read(feature.source(like), feature))
        clips.append(Clip(f"copy{number}", file, file, "park", "", str(number), "train"))
    return clips
