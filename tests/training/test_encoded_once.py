"""What frozen parts make of clips is made once for all stages, folds and evaluations, and anew when it would differ."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.features.feature import Stored
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.audio_encoder import SpectrogramEncoder
from sedcrnn.networks.backbones import FrameEncoder
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.frozen_cache import EncodedFeature, FrozenEncoder
from sedcrnn.training.stage import make_datamodule, train
from tests.training.frozen_parts import ENCODER, FUSION, VISUAL, Stage, make_module, metrics


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str, str]]:
    """How often a store was given what a frozen part makes of a file: (file, name of the values, part)."""
    written: Counter[tuple[str, str, str]] = Counter()
    write = FeatureStore.write

    def counted(self: FeatureStore, source: Path, feature: Stored, values: NDArray[Any]) -> Path:
        if isinstance(feature, EncodedFeature):
            written[source.name, feature.name, str(feature.part["weights"])] += 1
        return write(self, source, feature, values)

    monkeypatch.setattr(FeatureStore, "write", counted)
    return written


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many frames and windows of spectrograms encoders have run on."""
    seen: Counter[str] = Counter()
    encode_frames, encode_windows = FrameEncoder.forward, AudioNetwork.embed
    encode_images = SpectrogramEncoder.forward

    def frames_counted(self: FrameEncoder, frames: torch.Tensor) -> torch.Tensor:
        seen["frames"] += 0 if frames.is_meta else frames.shape[0] * frames.shape[1]  # meta: to see whether they fit
        return encode_frames(self, frames)

    def windows_counted(self: AudioNetwork, spectrogram: torch.Tensor) -> torch.Tensor:
        seen["windows"] += 0 if spectrogram.is_meta else len(spectrogram)
        return encode_windows(self, spectrogram)

    def images_counted(self: SpectrogramEncoder, spectrogram: torch.Tensor) -> torch.Tensor:
        seen["images"] += 0 if spectrogram.is_meta else len(spectrogram)
        return encode_images(self, spectrogram)

    monkeypatch.setattr(FrameEncoder, "forward", frames_counted)
    monkeypatch.setattr(AudioNetwork, "embed", windows_counted)
    monkeypatch.setattr(SpectrogramEncoder, "forward", images_counted)
    return seen


def test_folds_that_share_frozen_weights_encode_every_clip_once(
    stage: Stage, tmp_path: Path, encodings: Counter[tuple[str, str, str]]
) -> None:
    store = tmp_path / "store"

    def hold_out(fold: int) -> Path:
        held_out = [f"store={store}", "data.folds=3", f"data.held_out={fold}"]
        run = train(stage("visual", *held_out, "trainer.max_epochs=1"))
        assert run is not None
        return run

    runs = [hold_out(1)]
    of_first = set(encodings)
    assert 10 <= len(of_first) <= 11  # sixteen clips, but those of one of three folds
    runs.append(hold_out(2))
    assert len(encodings) == 16
    assert len({weights for _, _, weights in encodings}) == 1
    added = {file for file, *_ in encodings} - {file for file, *_ in of_first}
    assert added == {f"{row['clip']}.mp4" for row in predicted(runs[0], store)}
    for run in [*runs, hold_out(3)]:
        predicted(run, store)
    assert set(encodings.values()) == {1}
    assert len(encodings) == 16


def predicted(run: Path, store: Path) -> list[dict[str, str]]:
    """The rows of the predictions of the test fold."""
    metrics = evaluate(str(run), fold="test", extraction_workers=0, store=str(store))
    with metrics.with_name("predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_pipeline_and_its_evaluations_encode_every_clip_once_in_any_precision(
    stage: Stage, tmp_path: Path, encodings: Counter[tuple[str, str, str]]
) -> None:
    store = f"store={tmp_path / 'store'}"
    bf16 = [store, "trainer.precision=bf16-mixed"]
    audio = train(stage("audio", store, "trainer.max_epochs=1"))
    visual = train(stage("visual", *bf16))
    starts = [f"init_from.audio={audio}", f"init_from.visual={visual}", store]
    runs = [
        audio,
        visual,
        train(stage("fusion", *starts, *bf16)),
        train(stage("fusion", *starts, "recipe.optimizer.lr=0.01")),
    ]
    runs.append(train(stage("fusion_late_average", *starts)))
    for fold in ("train", "validation", "test"):
        for run in runs:
            evaluate(str(run), fold=fold, store=str(tmp_path / "store"))
    assert set(encodings.values()) == {1}
    parts = Counter((name, part) for _, name, part in encodings)
    assert set(parts.values()) == {16}  # clips, of the test fold too
    assert sorted(name for name, _ in parts) == ["audio", "audio_steps", "visual", "visual_steps"]


@pytest.mark.slow
def test_a_new_visual_network_leaves_what_was_made_of_the_audio_and_the_frames(
    stage: Stage, tmp_path: Path, fusion_parts: dict[str, Path], embedded: Counter[str]
) -> None:
    store = f"store={tmp_path / 'store'}"
    visual = train(stage("visual", store))
    assert embedded == {"frames": 12 * 10}  # twelve clips of two seconds at five frames each; four are to test
    starts = [f"init_from.audio={fusion_parts['audio']}", store]
    train(stage("fusion", *starts, f"init_from.visual={visual}"))
    assert embedded == {"frames": 12 * 10, "windows": 12 * 6}
    other = train(stage("visual", store, "recipe.optimizer.lr=0.01"))  # on the same frame encoder
    assert load_checkpoint(str(other)).digest != load_checkpoint(str(visual)).digest
    train(stage("fusion", *starts, f"init_from.visual={other}"))
    assert embedded == {"frames": 12 * 10, "windows": 12 * 6}
    train(stage("visual", store, "seed=1", "data.validation_seed=0"))  # another random encoder
    assert embedded["frames"] == 2 * 12 * 10


@pytest.mark.slow
def test_a_window_is_encoded_once_for_all_stages_on_the_same_audio_encoder(
    stage: Stage, small: list[str], fusion_parts: dict[str, Path], embedded: Counter[str], tmp_path: Path
) -> None:
    store = f"store={tmp_path / 'store'}"
    every = ["experiment=audio_encoder_frozen", *small, "model.network.backbone=test_resnet", store]
    every += ["init_from.encoder=random", "trainer.max_epochs=2"]
    frozen: TrainConfig = checked(compose("train", every))
    run = train(frozen)
    assert embedded == {"images": 12 * 6}  # twelve clips of two seconds with six windows each
    starts = [f"init_from.audio={run}", f"init_from.visual={fusion_parts['visual']}", "trainer.max_epochs=1", store]
    train(stage("fusion", *starts))
    assert embedded["images"] == 12 * 6
    plain: TrainConfig = checked(compose("train", [*every, "recipe.cache_frozen=false"]))
    torch.testing.assert_close(metrics(train(plain)), metrics(run), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_frozen_parts_compute_in_float32_in_any_precision_of_the_stage(
    stage: Stage,
    tmp_path: Path,
    fusion_parts: dict[str, Path],
    encodings: Counter[tuple[str, str, str]],
    precision: str,
) -> None:
    starts = [f"init_from.{kind}={run}" for kind, run in fusion_parts.items()]
    given = [*starts, f"store={tmp_path / 'store'}", "trainer.max_epochs=1"]
    train(stage("fusion", *given, f"trainer.precision={precision}"))
    train(stage("fusion", *given))
    assert set(encodings.values()) == {1}


def test_what_is_kept_is_keyed_by_weights_config_and_kind_of_device(stage: Stage) -> None:
    data = make_datamodule(stage("fusion"))
    network = make_module("fusion", stage).network

    def keys(node: dict[str, object], device: str = "cpu") -> dict[str, str]:
        encoder = FrozenEncoder(network, node, data.features, torch.device(device))
        return {feature.name: str(feature.parameters()) for feature in encoder.kept.values()}

    first = keys(FUSION)
    assert keys(FUSION) == first
    assert not set(keys(FUSION, "cuda").values()) & set(first.values())
    other_head = keys({**FUSION, "visual": {**VISUAL, "hidden": 5}})
    assert {name for name in first if other_head[name] != first[name]} == {"visual"}
    pooled = keys({**FUSION, "visual": {**VISUAL, "frame_pooling": "average"}})
    assert {name for name in first if pooled[name] != first[name]} == {"visual", "visual_steps"}
    with torch.no_grad():
        network.audio.blocks.block1.norm1.running_mean += 1
    assert {name for name in first if keys(FUSION)[name] != first[name]} == {"audio", "audio_steps"}


def test_steps_of_an_audio_encoder_are_shared_by_all_that_differ_in_their_heads_alone(stage: Stage) -> None:
    data = make_datamodule(stage("fusion"))
    fusion = make_module("fusion_encoder", stage).network
    whole = {**FUSION, "audio": ENCODER}

    def keys(network: SceneNetwork, node: dict[str, object]) -> dict[str, str]:
        kept = FrozenEncoder(network, node, data.features).kept
        return {name: str(each.parameters()) for name, each in kept.items()}

    first, alone = keys(fusion, whole), keys(fusion.audio, ENCODER)
    assert alone == {"audio_steps": first["audio_steps"]}
    assert keys(fusion.audio, {**ENCODER, "dropout": 0.1}) == alone
    assert keys(fusion.audio, {**ENCODER, "image_width": 192}) != alone
    with torch.no_grad():
        fusion.audio.dense.bias += 1
    assert {name for name, key in keys(fusion, whole).items() if key != first[name]} == {"audio"}
    with torch.no_grad():
        fusion.audio.encoder.backbone.bn1.running_mean += 1
    assert {name for name, key in keys(fusion, whole).items() if key != first[name]} == {"audio", "audio_steps"}
    assert keys(fusion.audio, ENCODER) != alone
