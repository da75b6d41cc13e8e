"""Stages from config to run folder, on real media."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.runs.checkpoints import BEST, LAST, load_checkpoint
from sedcrnn.training.init_from import check_initial, load_initial
from sedcrnn.training.stage import make_datamodule, train

Stage = Callable[..., TrainConfig]


def test_a_run_folder_holds_config_record_metrics_and_checkpoint(stage: Stage) -> None:
    run = train(stage("audio"))
    record = json.loads((run / "record.json").read_text())
    assert record["status"] == "finished"
    assert record["seed"] == 0
    assert record["selection"] == "location_disjoint"
    assert record["inputs"]["data"]["clips"] == 16
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4
    assert {"epoch", "validation/macro_accuracy", "validation/log_loss", "train/loss"} <= set(rows[0].split(","))
    assert "mixup_alpha: 0.4" in (run / "config.yaml").read_text()
    assert (run / BEST).is_file()
    assert not (run / LAST).exists()


def test_every_epoch_is_told_in_a_line_with_its_time(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(stage("audio"))
    told = [line for line in capsys.readouterr().out.splitlines() if " epoch " in line]
    expected = [
        f"epoch {row['epoch']}: loss {float(row['train/loss']):.3f}; validation: "
        f"macro accuracy {100 * float(row['validation/macro_accuracy']):.1f} %, "
        f"log loss {float(row['validation/log_loss']):.3f}"
        for row in csv.DictReader((run / "metrics.csv").open())
    ]
    assert [line.split(" ", 1)[1] for line in told] == expected
    assert len(told) == 3
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", line.split(" ")[0]) for line in told)


def test_a_finished_stage_is_reused_and_a_changed_one_is_not(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    first = train(stage("audio"))
    before = (first / BEST).stat().st_mtime_ns
    assert train(stage("audio")) == first
    assert (first / BEST).stat().st_mtime_ns == before
    assert "reusing" in capsys.readouterr().out
    # where things lie, how fast they are made and what is shown change nothing; frames are no input of the audio stage
    elsewhere = ("data.num_workers=1", "trainer.enable_progress_bar=true", "features.frames.height=48")
    assert train(stage("audio", *elsewhere)) == first
    assert train(stage("audio", "recipe.mixup_alpha=0.3")) != first


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


@pytest.fixture
def fusion_parts(stage: Stage) -> dict[str, Path]:
    return {kind: train(stage(kind, "trainer.max_epochs=1")) for kind in ("audio", "visual")}


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


def test_a_round_trip_through_a_checkpoint_gives_identical_logits(stage: Stage) -> None:
    run = train(stage("audio"))
    spectrogram = torch.rand(3, 3, 64, 50, generator=torch.Generator().manual_seed(1))
    first, second = (load_checkpoint(source).build() for source in (str(run), str(run / BEST)))
    assert torch.equal(first.heads(spectrogram=spectrogram)["audio"], second.heads(spectrogram=spectrogram)["audio"])
    assert not first.training


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


def test_a_run_killed_after_an_epoch_ends_as_the_uninterrupted_one(stage: Stage, tmp_path: Path) -> None:
    options = ["trainer.max_epochs=6", "recipe.scheduler.patience=0", "recipe.optimizer.lr=0.01"]
    options += ["model.network.dropout=0.2"]
    whole = train(stage("audio", *options, f"runs={tmp_path / 'whole'}"))

    class Killed(BaseException):
        """Stands for a signal: nothing in training may catch it."""

    from pytorch_lightning import Callback

    class KillDuringEpochThree(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):  # type: ignore[no-untyped-def]
            if trainer.current_epoch == 3:
                raise Killed

    import sedcrnn.training.stage as module

    config = stage("audio", *options, f"runs={tmp_path / 'killed'}")
    original = module.EarlyStopping
    try:
        module.EarlyStopping = lambda *a, **k: KillDuringEpochThree()  # type: ignore[assignment,misc]
        with pytest.raises(Killed):
            train(config)
    finally:
        module.EarlyStopping = original  # type: ignore[misc]
    killed = next((tmp_path / "killed").iterdir())
    assert json.loads((killed / "record.json").read_text())["status"] == "running"
    assert (killed / LAST).is_file()
    assert train(stage("audio", *options, f"runs={tmp_path / 'killed'}")) == killed
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert load_checkpoint(str(killed)).digest == load_checkpoint(str(whole)).digest
    assert len({line.split(",")[6] for line in (whole / "metrics.csv").read_text().splitlines()}) > 2


def test_how_frames_are_kept_may_differ_from_the_start(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    def check(override: str) -> None:
        config = stage("fusion", *starts(fusion_parts), override)
        datamodule = make_datamodule(config)
        datamodule.prepare_data()
        check_initial(config, load_initial(config), datamodule.manifest.scenes, datamodule.folds)

    check("features.frames.storage=jpeg")
    with pytest.raises(CheckpointError, match=r"features\.frames\.antialias is True, but .* was trained with False"):
        check("features.frames.antialias=true")


def test_wrong_starts_are_refused(stage: Stage, fusion_parts: dict[str, Path], tmp_path: Path) -> None:
    audio, visual = fusion_parts["audio"], fusion_parts["visual"]
    with pytest.raises(CheckpointError, match="holds a network of the stage 'visual'"):
        train(stage("fusion", f"init_from.audio={visual}", f"init_from.visual={visual}"))
    with pytest.raises(CheckpointError, match=r"There is no checkpoint at .*nowhere"):
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
