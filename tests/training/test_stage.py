"""Stages from config to run folder, on real media."""

import csv
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.runs.checkpoints import BEST, LAST, load_checkpoint
from sedcrnn.training import epoch_table
from sedcrnn.training.init_from import check_initial, load_initial
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.stage import make_datamodule, train

Stage = Callable[..., TrainConfig]


def test_a_run_folder_holds_config_record_metrics_and_checkpoint_and_every_epoch_is_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(epoch_table, "BETWEEN_LINES", 0.0)
    run = train(stage("audio"))
    assert run is not None
    record = json.loads((run / "record.json").read_text())
    assert record["status"] == "finished"
    assert record["seed"] == 0
    assert record["selection"] == "location_disjoint"
    assert record["inputs"]["data"]["clips"] == 16
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    text = (run / "metrics.csv").read_text().splitlines()
    assert len(text) == 4
    assert {"epoch", "validation/macro_accuracy", "validation/log_loss", "train/loss"} <= set(text[0].split(","))
    assert "mixup_alpha: 0.4" in (run / "config.yaml").read_text()
    assert (run / BEST).is_file()
    assert not (run / LAST).exists()
    lines = [line for line in caplog.messages if " epoch " in line]
    expected = [
        f"epoch {int(row['epoch']) + 1} of 3: loss {float(row['train/loss']):.3f}; validation: "
        f"macro accuracy {100 * float(row['validation/macro_accuracy']):.1f} %, "
        f"log loss {float(row['validation/log_loss']):.3f}"
        for row in csv.DictReader((run / "metrics.csv").open())
    ]
    assert [line.split(" ", 1)[1].split("; about")[0] for line in lines] == expected
    assert [bool(re.search(r"; about \d+ s left$", line)) for line in lines] == [True, True, False]
    assert len(lines) == 3
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", line.split(" ")[0]) for line in lines)
    spectrogram = torch.rand(3, 3, 64, 50, generator=torch.Generator().manual_seed(1))
    first, second = (load_checkpoint(source).build() for source in (str(run), str(run / BEST)))
    assert torch.equal(first.heads(spectrogram=spectrogram)["audio"], second.heads(spectrogram=spectrogram)["audio"])
    assert not first.training


def test_a_finished_stage_is_reused_and_a_changed_one_is_not(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first = train(stage("audio"))
    before = (first / BEST).stat().st_mtime_ns
    assert train(stage("audio")) == first
    assert (first / BEST).stat().st_mtime_ns == before
    assert "reusing" in caplog.text
    # where things lie, how fast they are made and what is shown change nothing; frames are no input of the audio stage
    elsewhere = ("data.num_workers=1", "trainer.enable_progress_bar=true", "features.frames.height=48")
    assert train(stage("audio", *elsewhere)) == first
    assert train(stage("audio", "recipe.mixup_alpha=0.3", "trainer.max_epochs=1")) != first
    changes = "recipe.mixup_alpha: 0.4 -> 0.3; trainer.max_epochs: 3 -> 1"
    assert f"audio: trained anew, for it differs from {first} in {changes}" in caplog.messages


@pytest.mark.slow
def test_two_runs_with_one_seed_are_identical_and_another_seed_differs(stage: Stage, tmp_path: Path) -> None:
    runs = [
        train(stage("audio", f"runs={tmp_path / name}", f"seed={seed}"))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    texts = [(run / "metrics.csv").read_text() for run in runs]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    digests = [load_checkpoint(str(run)).digest for run in runs]
    assert digests[0] == digests[1] != digests[2]


def starts(parts: dict[str, Path]) -> list[str]:
    return [f"init_from.{kind}={run}" for kind, run in parts.items()]


def test_fusion_starts_from_both_and_is_self_contained(
    stage: Stage, fusion_parts: dict[str, Path], tmp_path: Path
) -> None:
    run = train(stage("fusion", *starts(fusion_parts)))
    # as if on another machine: one file, and nothing that it was made from
    moved = tmp_path / "elsewhere" / "fusion.ckpt"
    moved.parent.mkdir()
    (run / BEST).rename(moved)
    torch.manual_seed(0)
    inputs = {"spectrogram": torch.rand(2, 3, 64, 50), "frames": torch.randint(0, 256, (2, 5, 3, 32, 32))}
    loaded = load_checkpoint(str(moved), "fusion").build()
    heads = loaded.heads(**inputs)
    for kind, part in fusion_parts.items():
        # the frozen subnetworks are to the bit what they were, running statistics included
        alone = load_checkpoint(str(part), kind)
        inside = loaded.get_submodule(kind).state_dict()
        assert inside.keys() == alone.weights.keys()
        assert all(torch.equal(inside[name], value) for name, value in alone.weights.items())
        name = alone.build().inputs[0]
        torch.testing.assert_close(heads[kind], alone.build().heads(**{name: inputs[name]})[kind])


def test_a_network_without_anything_to_train_is_scored_as_it_is(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    average = ["model.network.early=none", "model.network.late=average", "recipe.head_weights={early:null}"]
    run = train(stage("fusion", *starts(fusion_parts), *average))
    record = json.loads((run / "record.json").read_text())
    assert (record["status"], record["epochs"]) == ("finished", 0)
    (row,) = csv.DictReader((run / "metrics.csv").open())
    assert float(row["validation/macro_accuracy"]) == record["best"]["validation/macro_accuracy"]
    weights = load_checkpoint(str(run), "fusion").weights
    for kind, part in fusion_parts.items():
        expected = load_checkpoint(str(part), kind).weights
        assert all(torch.equal(weights[f"{kind}.{name}"], value) for name, value in expected.items())
    assert train(stage("fusion", *starts(fusion_parts), *average)) == run


def test_another_training_seed_may_share_the_validation_draw(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    run = train(stage("fusion", *starts(fusion_parts), "seed=7", "data.validation_seed=0", "trainer.max_epochs=1"))
    assert "-s7-" in run.name


def test_finetuning_takes_the_previous_weights_and_trains_all_of_them(
    stage: Stage, fusion_parts: dict[str, Path]
) -> None:
    run = train(stage("visual_finetune", f"init_from.visual={fusion_parts['visual']}", "recipe.optimizer.lr=1e-3"))
    before = load_checkpoint(str(fusion_parts["visual"])).weights
    after = load_checkpoint(str(run)).weights
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("encoder.") for name in moved)
    assert any(name.startswith("gru.") for name in moved)


def test_how_frames_are_kept_may_differ_from_the_start(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    def check(override: str) -> None:
        config = stage("fusion", *starts(fusion_parts), override)
        datamodule = make_datamodule(config)
        datamodule.prepare_data()
        datamodule.setup()
        check_initial(config, load_initial(config), datamodule.manifest, datamodule.folds)

    check("features.frames.storage=jpeg")
    with pytest.raises(CheckpointError, match=r"features\.frames\.antialias is True, but .* was trained with False"):
        check("features.frames.antialias=true")


def test_wrong_starts_are_refused(stage: Stage, fusion_parts: dict[str, Path], tmp_path: Path) -> None:
    audio, visual = fusion_parts["audio"], fusion_parts["visual"]
    with pytest.raises(CheckpointError, match="holds a network of the kind 'visual'"):
        train(stage("fusion", f"init_from.audio={visual}", f"init_from.visual={visual}"))
    with pytest.raises(CheckpointError, match=r"There is no checkpoint at nowhere, and no finished run of that name"):
        train(stage("fusion", "init_from.audio=nowhere", f"init_from.visual={visual}"))
    with pytest.raises(ConfigError, match=r"only a pipeline can tell"):
        train(stage("fusion"))
    with pytest.raises(ConfigError, match=r"Neither init_from\.audio nor model\.network\.audio"):
        train(stage("fusion", "init_from.audio=null", f"init_from.visual={visual}"))
    with pytest.raises(ConfigError, match=r"init_from\.visual is given to a stage"):
        train(stage("audio", f"init_from.visual={visual}"))
    with pytest.raises(CheckpointError, match=r"features.frames.height is 48, but .* was trained with 32"):
        train(stage("fusion", *starts(fusion_parts), "features.frames.height=48"))
    # with another draw, the subnetworks would have been trained on clips that select the fusion's checkpoint
    with pytest.raises(CheckpointError, match=r"data.validation_seed is 7, but .* was trained with 0"):
        train(stage("fusion", *starts(fusion_parts), "seed=7"))
    torn = tmp_path / "torn.ckpt"
    torn.write_bytes((audio / BEST).read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        train(stage("fusion", f"init_from.audio={torn}", f"init_from.visual={visual}"))


@pytest.mark.parametrize("experiment", ["audio", "fusion"])
def test_a_trial_runs_every_fold_and_leaves_nothing(
    stage: Stage, fusion_parts: dict[str, Path], tmp_path: Path, experiment: str
) -> None:
    given = starts(fusion_parts) if experiment == "fusion" else []
    assert train(stage(experiment, "debug=fast_dev_run", *given)) is None
    assert not (tmp_path / "runs").exists()


def test_a_few_batches_are_trained_on_over_and_over(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: dict[int, list[list[int]]] = {}
    begin_batch = SceneModule.on_train_batch_start

    def noted(module: SceneModule, batch: Any, batch_idx: int) -> None:
        batches.setdefault(module.current_epoch, []).append(batch["clip"].tolist())
        begin_batch(module, batch, batch_idx)

    monkeypatch.setattr(SceneModule, "on_train_batch_start", noted)
    run = train(stage("audio", "debug=overfit", "trainer.max_epochs=2", "recipe.batch_size=2"))
    assert run is not None
    assert run.name.startswith("overfit-s0-")
    assert len(batches[0]) == 3
    assert batches[1] == batches[0]


def test_a_profile_is_written_beside_the_metrics(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = train(stage("audio", "debug=profiler"))
    assert run is not None
    (profile,) = run.glob("*profile*")
    assert "run_training_epoch" in profile.read_text()
    assert any(str(profile) in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("experiment", "override", "message"),
    [
        ("audio", "trainer.strategy=dpp", "invalid strategy name"),
        ("audio", "recipe.frozen=[foo]", "no part 'foo'"),
        ("visual", "model.network.backbone=vgg61", "no architecture 'vgg61'"),
    ],
)
def test_what_the_trainer_or_the_network_would_refuse_is_refused_before_the_data_are_touched(
    stage: Callable[..., TrainConfig], tmp_path: Path, experiment: str, override: str, message: str
) -> None:
    own = ["recipe.frozen=[]", "recipe.cache_frozen=false"] if experiment == "visual" else []
    config = stage(experiment, *own, f"data.root={tmp_path / 'nowhere'}", override)
    with pytest.raises(ConfigError, match=message):
        train(config)


def test_a_gpu_that_is_to_decode_has_to_be_there(stage: Callable[..., TrainConfig], tmp_path: Path) -> None:
    overrides = ["features.frames.storage=jpeg", "features.frames.jpeg_decoder=gpu", f"store={tmp_path / 'none'}"]
    with pytest.raises(ConfigError, match=r"jpeg_decoder=gpu, and this stage is not trained on a GPU"):
        train(stage("visual", *overrides))
    assert not list(tmp_path.glob("none/*/*.npy"))  # said before anything is made
