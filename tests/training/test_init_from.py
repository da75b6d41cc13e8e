"""A stage's frame encoder from a file of weights: what goes into the network, the run's key and the checkpoint."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from sedcrnn import pipeline
from sedcrnn.config.checking import checked
from sedcrnn.config.composition import choices, compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.networks.backbones import build_backbone
from sedcrnn.pretrained.encoder_weights import EncoderWeights, load_encoder_weights
from sedcrnn.runs.checkpoints import BEST, load_checkpoint
from sedcrnn.training.init_from import load_encoders
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]


def write(path: Path, normalisation: str = "places365", seed: int = 3) -> Path:
    torch.manual_seed(seed)
    state = build_backbone("test_resnet").state_dict()
    EncoderWeights("test_resnet", "imagenet", normalisation, "CC BY", "original.pth", "0" * 32, state).save(path)
    return path


def test_a_stage_trains_on_the_weights_of_the_file_and_its_checkpoint_needs_it_no_more(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = write(tmp_path / "weights.safetensors")
    run = train(stage("visual", f"init_from.encoder={file}", "trainer.max_epochs=1"))
    weights = load_encoder_weights(file)
    assert "test_resnet trained on imagenet (licence: CC BY)" in caplog.text
    record = json.loads((run / "record.json").read_text())
    assert record["inputs"]["init_from"] == {"encoder": weights.digest}
    told = {"backbone": "test_resnet", "trained_on": "imagenet", "normalisation": "places365", "licence": "CC BY"}
    told |= {"source": "original.pth", "md5": "0" * 32, "digest": weights.digest}
    assert record["published_weights"] == {"encoder": told}
    # the same weights elsewhere are the same stage; other weights, or none, are another
    moved = file.rename(tmp_path / "moved.safetensors")
    again = stage("visual", f"init_from.encoder={moved}", "trainer.max_epochs=1")
    before = (run / BEST).stat().st_mtime_ns
    assert train(again) == run
    assert (run / BEST).stat().st_mtime_ns == before
    other = write(tmp_path / "other.safetensors", seed=4)
    assert train(stage("visual", f"init_from.encoder={other}", "trainer.max_epochs=1")) != run
    assert train(stage("visual", "init_from.encoder=random", "trainer.max_epochs=1")) != run
    moved.unlink()
    network = load_checkpoint(str(run)).build()
    kept = network.get_submodule("encoder.backbone").state_dict()
    assert kept.keys() == weights.weights.keys()
    assert all(torch.equal(kept[name], value) for name, value in weights.weights.items())


def test_a_fusion_network_that_is_new_takes_them_too(stage: Stage, tmp_path: Path) -> None:
    file = write(tmp_path / "weights.safetensors")
    audio, visual = (stage(kind).model["network"] for kind in ("audio", "visual"))
    config = stage("fusion", "init_from.audio=null", "init_from.visual=null", "trainer.max_epochs=1")
    config.model["network"] |= {"audio": audio, "visual": visual}
    with pytest.raises(ConfigError, match=r"recipe\.frozen=\['visual'\] keeps the encoder 'visual\.encoder' as it is"):
        train(config)
    config.init_from.encoder = str(file)
    kept = load_checkpoint(str(train(config))).build().get_submodule("visual.encoder.backbone").state_dict()
    assert all(torch.equal(kept[name], value) for name, value in load_encoder_weights(file).weights.items())


def test_published_is_one_key_for_every_new_encoder_and_a_file_is_for_those_whose_backbone_it_holds(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a fusion network whose audio network has a backbone too, and no normalisation."""
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "weights" / "test_resnet-places365.safetensors")
    state = build_backbone("test_vit").state_dict()
    vit = EncoderWeights("test_vit", "places365_torch", "imagenet", "CC BY", "vit.pth", "0" * 32, state)
    vit.save(tmp_path / "weights" / "test_vit-places365.safetensors")
    config = stage("fusion", "init_from.audio=null", "init_from.visual=null", "init_from.encoder=published")
    visual = stage("visual").model["network"]
    audio = {"_target_": visual["_target_"], "backbone": "test_vit"}
    config.model["network"] |= {"audio": audio, "visual": visual}
    found = load_encoders(config)
    assert {path: weights.backbone for path, weights in found.items()} == {
        "audio.encoder": "test_vit",
        "visual.encoder": "test_resnet",
    }
    config.init_from.encoder = str(file)
    with pytest.raises(ConfigError, match=r"recipe\.frozen=\['audio'\] keeps the encoder 'audio\.encoder' as it is"):
        load_encoders(config)
    config.recipe.frozen = ["visual"]
    assert load_encoders(config).keys() == {"visual.encoder"}
    config.init_from.audio = "a run"
    config.init_from.encoder = "published"
    assert load_encoders(config).keys() == {"visual.encoder"}


def test_every_visual_preset_asks_for_its_own_weights_by_the_experiments_own_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for preset in choices("network"):
        if preset.startswith("visual"):
            config = checked(compose("train", ["experiment=visual", f"model={preset}"]))
            backbone = config.model["network"]["backbone"]
            if preset == "visual_lite":
                assert load_encoders(config)["encoder"].are_of(backbone)
            else:
                with pytest.raises(WeightsError, match=f"published weights of '{backbone}' are not on this machine"):
                    load_encoders(config)


def test_a_frozen_encoder_with_random_weights_is_refused_unless_said(stage: Stage) -> None:
    for part in ("encoder", "encoder.backbone.layer1"):
        with pytest.raises(ConfigError, match=r"its weights are random.*init_from\.encoder=random"):
            load_encoders(stage("visual", "init_from.encoder=null", f"recipe.frozen=[{part}]"))
    assert load_encoders(stage("visual", "init_from.encoder=null", "recipe.frozen=[]")) == {}
    assert load_encoders(stage("visual", "init_from.encoder=random")) == {}
    assert load_encoders(checked(compose("train", ["experiment=demo_visual"]))) == {}


def test_weights_for_other_frames_or_another_network_are_refused_but_raw_is_allowed(
    stage: Stage, tmp_path: Path
) -> None:
    file = write(tmp_path / "imagenet.safetensors", "imagenet")
    given = f"init_from.encoder={file}"
    with pytest.raises(WeightsError, match=r"normalisation 'imagenet', and model.* is 'places365'.*raw"):
        load_encoders(stage("visual", given))
    for normalisation in ("imagenet", "raw"):
        weights = load_encoders(stage("visual", given, f"model.network.normalisation={normalisation}"))["encoder"]
        assert (weights.trained_on, weights.normalisation) == ("imagenet", "imagenet")
    with pytest.raises(WeightsError, match=r"weights of 'test_resnet' \(.*and model\.network\.backbone is 'vgg16'"):
        load_encoders(stage("visual", given, "model.network.backbone=vgg16"))


def test_timms_weights_go_with_their_tag(stage: Stage, tmp_path: Path) -> None:
    state = build_backbone("test_resnet").state_dict()
    file = tmp_path / "tagged.safetensors"
    EncoderWeights("test_resnet", "r160_in1k", "timm", "Apache-2.0", "model.safetensors", "0" * 32, state).save(file)
    given = f"init_from.encoder={file}"
    tagged = "model.network.backbone=test_resnet.r160_in1k"
    weights = load_encoders(stage("visual", given, tagged, "model.network.normalisation=timm"))["encoder"]
    assert weights.frames.mean == (127.5, 127.5, 127.5)
    remedy = r"Set model\.network\.backbone=test_resnet\.r160_in1k model\.network\.normalisation=timm"
    with pytest.raises(WeightsError, match=remedy):
        load_encoders(stage("visual", given, "model.network.normalisation=imagenet"))
    other = write(tmp_path / "other.safetensors", "imagenet")
    with pytest.raises(WeightsError, match="a tag names the same weights"):
        load_encoders(stage("visual", f"init_from.encoder={other}", tagged, "model.network.normalisation=imagenet"))


def test_weights_where_no_encoder_is_new_are_refused(stage: Stage, tmp_path: Path) -> None:
    given = f"init_from.encoder={write(tmp_path / 'weights.safetensors')}"
    for experiment, *more in (("audio",), ("visual", "init_from.visual=run"), ("fusion",), ("visual_finetune",)):
        with pytest.raises(ConfigError, match="has no new encoder"):
            load_encoders(stage(experiment, given, *more))


def test_a_pipeline_reports_missing_weights_before_its_first_stage_trains(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sedcrnn.pipeline", *small])
    with pytest.raises(SystemExit) as stopped:
        pipeline.main()
    assert stopped.value.code == 1
    assert "there is no file weights/vgg16-places365.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
