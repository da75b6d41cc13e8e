"""The authors' stages: where windows start, what dropout acts on, how windows are mixed, what is trained in turn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.windows import Drawing, Window
from sedcrnn.errors import ConfigError
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.batch_changes import changed
from sedcrnn.training.modules import FusionModule, SceneModule
from sedcrnn.training.stage import make_datamodule, train, with_used_features
from tests.waves import wave

Stage = Callable[..., TrainConfig]


def test_audio_windows_start_where_the_authors_do(stage: Stage) -> None:
    drawings = {
        starts: make_datamodule(stage("audio", f"recipe.window_starts={starts}")).drawing
        for starts in ("steps", "columns", "first_columns")
    }
    assert drawings == {
        "steps": Drawing(),
        "columns": Drawing(columns=10),
        "first_columns": Drawing(columns=10, starts=14),
    }
    assert make_datamodule(stage("authors_audio")).drawing == Drawing(columns=10, starts=14, partners=True)


def test_a_window_that_starts_at_a_column_is_cut_there(stage: Stage) -> None:
    data = make_datamodule(with_used_features(stage("authors_audio")))
    data.prepare_data()
    data.setup()
    dataset, feature = data.dataset("train"), data.features["spectrogram"]
    batch = dataset.network_inputs(dataset.batch([Window(1, 2, column=3), Window(0, 0, column=9)]))
    for row, (clip, first) in enumerate(((1, 23), (0, 9))):
        stored = data.store.read(dataset.clips[clip].audio, feature)[first : first + 50]
        expected = feature.network_input(feature.decode(torch.tensor(stored[None])))
        assert torch.equal(batch["spectrogram"][row], expected[0])


def test_frames_and_stored_values_stay_on_their_grid(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    starts = [f"init_from.{kind}={run}" for kind, run in fusion_parts.items()]
    with pytest.raises(ConfigError, match="this stage trains on stored values"):
        train(stage("fusion", *starts, "recipe.window_starts=columns"))


def fusion_module(stage: Stage, *overrides: str) -> SceneModule:
    """Small fusion layers on frozen subnetworks, with every head's loss."""
    audio = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "scenes": 3, "filters": [4, 4, 8]}
    visual = {"_target_": "sedcrnn.networks.visual.VisualNetwork", "scenes": 3, "backbone": "test_resnet", "hidden": 4}
    node = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": audio, "visual": visual, "hidden": 4}
    recipe = vars(stage("fusion", *overrides).recipe)
    torch.manual_seed(0)
    return FusionModule(node, {**recipe, "loss": vars(recipe["loss"])}, ["a", "b", "c"], {}, {}, [], seed=0).train()


def test_dropout_of_the_visual_classifier_alone_acts_on_stored_values(stage: Stage) -> None:
    off, on = fusion_module(stage), fusion_module(stage, "recipe.frozen_dropout=true")
    on.network.load_state_dict(off.network.state_dict())
    visual = on.network.get_submodule("visual")
    active = {name for name, part in visual.named_modules() if part.training}
    assert active == {"dropout"}
    assert not any(part.training for part in on.network.get_submodule("audio").modules())
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "spectrogram": 2 * torch.rand(4, 3, 16, 50, generator=generator) - 1,
        "frames": torch.randint(0, 256, (4, 5, 3, 32, 32), generator=generator, dtype=torch.uint8),
    }
    scene = torch.tensor([0, 1, 2, 2])
    with torch.no_grad():
        stored = off.network.encode(**inputs)

    def losses(module: SceneModule, seed: int, batch: dict[str, Tensor]) -> dict[str, float]:
        torch.manual_seed(seed)
        module.training_step({**batch, "scene": scene}, 0)
        return {head: scores.compute()["log_loss"].item() for head, scores in module.count_scores("train").items()}

    first, without = losses(on, 3, stored), losses(off, 3, stored)
    assert losses(on, 3, stored) == first
    assert losses(on, 3, inputs) == pytest.approx(first, abs=1e-6)  # as if nothing were stored
    assert losses(off, 4, stored) == without
    assert {head for head in first if first[head] != pytest.approx(without[head], abs=1e-6)} == {"visual", "late"}
    assert losses(on, 4, stored)["visual"] != pytest.approx(first["visual"], abs=1e-4)
    on._step({**stored, "scene": scene}, "validation")
    validated = on.eval().count_scores("validation")["visual"].compute()["log_loss"].item()
    assert validated == pytest.approx(without["visual"], abs=1e-6)


@pytest.mark.slow
def test_dropout_is_active_after_clips_were_encoded_and_a_killed_run_goes_on_exactly(
    stage: Stage,
    fusion_parts: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    killed_at: Callable[..., None],
    tmp_path: Path,
) -> None:
    starts = [f"init_from.{kind}={run}" for kind, run in fusion_parts.items()]
    given = ["authors_fusion", *starts, f"store={tmp_path / 'store'}", "trainer.max_epochs=2"]
    modes: list[tuple[bool, ...]] = []
    step = FusionModule.training_step

    def watched(module: SceneModule, batch: dict[str, Tensor], index: int) -> Tensor:
        visual = module.network.get_submodule("visual")
        modes.append((visual.dropout.training, visual.gru.training, visual.training))  # type: ignore[union-attr]
        return step(module, batch, index)

    monkeypatch.setattr(FusionModule, "training_step", watched)
    killed_at(stage(*given, f"runs={tmp_path / 'killed'}"), 1, 1)
    runs = [train(stage(*given, f"runs={tmp_path / name}")) for name in ("killed", "whole")]
    assert set(modes) == {(True, False, False)}
    assert runs[0] is not None
    assert len({load_checkpoint(str(run)).digest for run in runs}) == 1


@pytest.mark.slow
def test_dropout_inside_what_is_stored_is_refused(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    audio = train(stage("audio", "model.network.dropout=0.1", "trainer.max_epochs=1"))
    starts = [f"init_from.audio={audio}", f"init_from.visual={fusion_parts['visual']}", "recipe.frozen_dropout=true"]
    with pytest.raises(ConfigError, match=r"audio\.blocks\.dropout1 is a dropout of 0\.1"):
        train(stage("fusion", *starts))
    assert train(stage("fusion", *starts, "recipe.cache_frozen=false", "trainer.max_epochs=1")) is not None


def test_windows_are_mixed_with_partners_of_another_stream(stage: Stage) -> None:
    recipe = vars(stage("authors_audio").recipe)
    node = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "scenes": 3, "filters": [4, 4, 8]}
    network = build(node, "network")
    own, partners = wave((3, 3, 8, 50), 0.1), wave((3, 3, 8, 50), 0.9)
    target = torch.eye(3)[[0, 1, 2, 1, 2, 2]]
    torch.manual_seed(5)
    weights = torch.distributions.Beta(0.4, 0.4).sample((3,))
    torch.manual_seed(5)
    mixed, label = changed({"spectrogram": torch.cat([own, partners])}, target, network, recipe)
    share = weights.view(3, 1, 1, 1)
    torch.testing.assert_close(mixed["spectrogram"], share * own + (1 - share) * partners)
    first, second, _ = weights.tolist()
    expected = torch.tensor([[first, 1 - first, 0], [0, second, 1 - second], [0, 0, 1]])
    torch.testing.assert_close(label, expected)


AUTHORS: dict[str, dict[str, Any]] = {
    "authors_audio": {"window_starts": "first_columns", "mixup_alpha": 0.4, "l2": {}},
    "authors_visual": {"l2": {"dense": 1e-3}, "frozen": ["encoder"]},
    "authors_visual_finetune": {"l2": {"dense": 1e-3, "encoder": 2e-4}, "frozen": [], "select_by": "last"},
    "authors_visual_finetune_again": {"l2": {"dense": 1e-3, "encoder": 2e-4}, "frozen": []},
    "authors_fusion": {"head_weights": {"early": None, "late": 1.0}, "cache_frozen": True},
    "authors_fusion_finetune": {
        "head_weights": {"early": None, "late": 1.0},
        "l2": {"visual.encoder": 2e-4, "visual.dense": 1e-3},
    },
}


@pytest.mark.parametrize("experiment", AUTHORS)
def test_the_authors_stages_say_what_the_notebooks_do(stage: Stage, experiment: str) -> None:
    recipe = vars(stage(experiment).recipe)
    common = {"watched": "loss", "select_by": "window_accuracy", "mixup_partners": "independent"}
    expected = common | {"frozen_dropout": True} | AUTHORS[experiment]
    assert {key: recipe[key] for key in expected} == expected
    assert recipe["optimizer"]["_target_"] == "sedcrnn.training.keras_adam.KerasAdam"


@pytest.mark.slow
def test_the_authors_stages_train_one_after_another(stage: Stage) -> None:
    short = "trainer.max_epochs=1"
    audio = train(stage("authors_audio", short))
    visual = train(stage("authors_visual", short, "init_from.encoder=random"))
    first = train(stage("authors_visual_finetune", "trainer.max_epochs=2", f"init_from.visual={visual}"))
    assert json.loads((Path(str(first)) / "record.json").read_text())["best"]["epoch"] == 2  # the last weights
    visual = train(stage("authors_visual_finetune_again", short, f"init_from.visual={first}"))
    fusion = train(stage("authors_fusion", short, f"init_from.audio={audio}", f"init_from.visual={visual}"))
    last = train(stage("authors_fusion_finetune", short, f"init_from.fusion={fusion}"))
    record = json.loads((Path(str(last)) / "record.json").read_text())
    assert 0 <= record["best"]["validation/accuracy"] <= 1
    # The L2 of 13 convolutions, and of the dense layer, is part of the loss that is watched.
    header, row = (Path(str(last)) / "metrics.csv").read_text().splitlines()[:2]
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert float(values["validation/loss"]) > float(values["validation/log_loss"]) + 1e-4
