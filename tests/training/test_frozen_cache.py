"""What frozen parts make of clips, kept: equal to making it anew, made once, refused where it would not be equal."""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.window_dataset import EncodedDataset, WindowDataset
from sedcrnn.datasets.windows import Window
from sedcrnn.errors import ConfigError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.features.feature import Stored
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.audio_encoder import SpectrogramEncoder
from sedcrnn.networks.backbones import FrameEncoder
from sedcrnn.networks.visual import VisualNetwork
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.frozen_cache import EncodedFeature, FrozenEncoder, check_cacheable
from sedcrnn.training.modules import AudioModule, FusionModule, SceneModule, VisualModule
from sedcrnn.training.stage import make_datamodule, train

Stage = Callable[..., TrainConfig]

AUDIO = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "scenes": 3, "filters": [4, 4, 8]}
VISUAL = {
    "_target_": "sedcrnn.networks.visual.VisualNetwork",
    "scenes": 3,
    "backbone": "test_resnet",
    "normalisation": "imagenet",
    "hidden": 4,
}
FUSION = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": AUDIO, "visual": VISUAL, "hidden": 4}
ENCODER = {
    "_target_": "sedcrnn.networks.audio_encoder.AudioEncoderNetwork",
    "scenes": 3,
    "backbone": "test_resnet",
    "dropout": 0.3,
}
KINDS = {
    "audio": (AudioModule, AUDIO, ["blocks"]),
    "audio_encoder": (AudioModule, ENCODER, ["encoder"]),
    "visual": (VisualModule, VISUAL, ["encoder"]),
    "fusion": (FusionModule, FUSION, ["audio", "visual"]),
    "fusion_encoder": (FusionModule, {**FUSION, "audio": ENCODER}, ["audio", "visual"]),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_trained_on_kept_values_is_in_training_mode_and_what_made_them_is_not(
    stage: Stage, fusion_parts: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts = [f"init_from.{kind}={run}" for kind, run in fusion_parts.items()]
    modes: list[tuple[bool, ...]] = []
    step = FusionModule.training_step

    def watched(module: SceneModule, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        network = module.network
        modes.append((network.early.training, network.late.training, network.audio.training, network.visual.training))
        return step(module, batch, index)

    monkeypatch.setattr(FusionModule, "training_step", watched)
    train(stage("fusion", *starts, "trainer.max_epochs=1", f"store={tmp_path / 'store'}"))  # nothing is encoded yet
    assert set(modes) == {(True, True, False, False)}


def test_values_are_packed_once_however_a_seed_divides_the_training_fold(stage: Stage, tmp_path: Path) -> None:
    module, packs = make_module("visual", stage), []
    for seed in (0, 1):
        overrides = [f"data.validation_seed={seed}", f"store={tmp_path / 'store'}", "model.network.hidden=4"]
        data = make_datamodule(stage("visual", *overrides))
        data.prepare_data()
        data.setup()
        encoded = data.encoded_by(FrozenEncoder(module.network, VISUAL, data.features))
        encoded.setup()
        validation = encoded.dataset("validation")
        (window,) = validation.batch([Window(1, 3)])["visual_steps"]
        kept = FrozenEncoder(module.network, VISUAL, data.features).kept["visual_steps"]
        stored = data.store.read(validation.clips[1].video, kept)[3:8]
        assert torch.equal(window, torch.tensor(stored))
        packs.append(({path.name for path in (tmp_path / "store").glob("visual_steps-*/packed/*.npy")}, data.folds))
    assert packs[0][0] == packs[1][0]
    assert len(packs[0][0]) == 2  # the values, and where each clip's end
    assert packs[0][1].validation != packs[1][1].validation


def make_module(kind: str, stage: Stage) -> SceneModule:
    module, node, frozen = KINDS[kind]
    torch.manual_seed(0)
    recipe = asdict(stage(kind.split("_")[0]).recipe) | {"frozen": frozen, "l2": {}, "mixup_alpha": 0.0}
    made = module(node, recipe, ["beach", "bus", "park"], {}, {}, [], seed=0)
    for norm in (part for part in made.network.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean, std=0.3)  # statistics that tell evaluation mode from training mode
    return made.train()


@pytest.fixture
def datasets(
    kind: str, own_stage: Stage, stage: Stage, own_root: Path
) -> tuple[SceneModule, WindowDataset, EncodedDataset]:
    """A network, and clips of one to seven seconds as their features and as what its frozen part makes of them."""
    config = own_stage(kind.split("_")[0], "data=folder", f"data.root={own_root}")
    data = make_datamodule(config)
    data.prepare_data()
    data.setup()
    module = make_module(kind, stage)
    features = {name: data.features[name] for name in module.network.inputs}
    plain = WindowDataset(data.manifest.clips, data.manifest.scenes, features, data.store)
    encoder = FrozenEncoder(module.network, module.hparams["network"], features)
    encoder.encode_all(plain.clips, data.store, workers=2)
    return module, plain, EncodedDataset(plain.clips, data.manifest.scenes, encoder.read(plain.clips, data.store))


def test_every_window_is_what_the_network_would_have_made_of_it(
    datasets: tuple[SceneModule, WindowDataset, EncodedDataset],
) -> None:
    module, plain, encoded = datasets
    assert encoded.steps == plain.steps
    assert sorted(plain.steps)[0] == 5
    assert max(plain.steps) == 35
    windows = [Window(clip, step) for clip, steps in enumerate(plain.steps) for step in range(steps - 4)]
    inputs, kept = plain.network_inputs(plain.batch(windows)), encoded.batch(windows)
    assert kept.keys() == {"scene", "clip", "window", *module.network.encoded}
    with torch.no_grad():
        expected = module.network.encode(**{name: inputs[name] for name in module.network.inputs})
    for name, values in expected.items():
        assert values.flatten(1).std(0).mean() > 1e-4  # windows differ, so a wrong row would show
        torch.testing.assert_close(kept[name], values, atol=1e-5, rtol=1e-5)
    for name in ("scene", "clip", "window"):
        assert torch.equal(kept[name], inputs[name])


def test_loss_gradients_and_scores_of_a_training_step_are_equal(
    datasets: tuple[SceneModule, WindowDataset, EncodedDataset],
) -> None:
    module, plain, encoded = datasets
    windows = [Window(clip, (7 * clip) % (steps - 4)) for clip, steps in enumerate(plain.steps)]
    results = []
    for dataset in (plain, encoded):
        module.zero_grad()
        torch.manual_seed(3)  # of the dropout, which acts behind what is kept
        loss = module.training_step(dataset.network_inputs(dataset.batch(windows)), 0)
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
        scores = {head: one.compute() for head, one in module.count_scores("train").items()}
        results.append((loss.detach(), gradients, scores))
    assert results[0][1].keys() == {name for name, p in module.named_parameters() if p.requires_grad}
    assert all(gradient.abs().max() > 1e-6 for name, gradient in results[0][1].items() if "weight_hh" not in name)
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)


def metrics(run: Path) -> torch.Tensor:
    with (run / "metrics.csv").open() as file:
        return torch.tensor([[float(value) for value in row.values()] for row in csv.DictReader(file)])


@pytest.mark.slow
def test_a_cached_stage_trains_and_scores_as_the_uncached_one(stage: Stage) -> None:
    parts = {kind: train(stage(kind, "trainer.max_epochs=1")) for kind in ("audio", "visual")}
    for kind, starts in (("visual", []), ("fusion", [f"init_from.{part}={run}" for part, run in parts.items()])):
        runs = [train(stage(kind, *starts, f"recipe.cache_frozen={cached}")) for cached in ("true", "false")]
        torch.testing.assert_close(metrics(runs[0]), metrics(runs[1]), atol=1e-4, rtol=1e-4)
        for mine, other in zip(*(load_checkpoint(str(run)).weights.values() for run in runs), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
        store = Path(stage(kind).store)
        tables = [evaluate(str(run), store=str(store)).with_name("predictions.csv") for run in runs]
        rows = [list(csv.DictReader(table.open())) for table in tables]
        assert len(rows[0]) > 0
        for mine, other in zip(*rows, strict=True):
            assert all(
                mine[key] == other[key]
                if key in ("clip", "location", "window", "label", "head")
                else float(mine[key]) == pytest.approx(float(other[key]), abs=1e-4)
                for key in other
            )


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


@pytest.mark.parametrize(
    ("kind", "override", "reason"),
    [
        ("visual", "recipe.frozen=[]", r"recipe.frozen=\[\] leaves encoder to be trained"),
        ("visual", "recipe.mixup_alpha=0.3", "mixup_alpha=0.3 mixes inputs, in front of the frozen part"),
        ("fusion", "recipe.mixup_alpha=0.3", "mixup_alpha=0.3 mixes inputs, in front of the frozen part"),
        ("fusion", "recipe.frozen=[audio]", "leaves visual to be trained"),
        ("fusion", "recipe.augmentation.spectrogram.gain=6", "augmentation.spectrogram changes inputs"),
        ("visual", "recipe.augmentation.frames.flip=0.5", "augmentation.frames changes inputs"),
    ],
)
def test_a_cache_that_would_not_be_exact_is_refused_with_the_reason(
    stage: Stage, kind: str, override: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        train(stage(kind, override))


def test_an_augmentation_of_what_the_stage_does_not_take_is_no_reason(stage: Stage) -> None:
    config = stage("visual", "recipe.augmentation.spectrogram.gain=6")
    assert config.recipe.augmentation.spectrogram["gain"] == 6
    check_cacheable(config.recipe, VisualNetwork, {})


class OwnNetwork(SceneNetwork):
    kind, inputs, head_names = "own", ("spectrogram", "frames"), ("own",)


def test_networks_of_ones_own_are_refused_where_nothing_can_be_kept(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="OwnNetwork has no part"):
        check_cacheable(stage("fusion").recipe, OwnNetwork, {})
    with pytest.raises(ConfigError, match="OwnNetwork takes spectrogram and frames, and of networks of your own only"):
        check_cacheable(stage("fusion").recipe, type("OwnNetwork", (OwnNetwork,), {"encoding_parts": ("audio",)}), {})
