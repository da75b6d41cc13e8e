"""What frozen parts make of clips, kept: equal to making it anew."""

import csv
from pathlib import Path

import pytest
import torch

from sedcrnn.datasets.window_dataset import EncodedDataset, WindowDataset
from sedcrnn.datasets.windows import Window
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.frozen_cache import FrozenEncoder
from sedcrnn.training.modules import FusionModule, SceneModule
from sedcrnn.training.stage import make_datamodule, train
from tests.training.frozen_parts import KINDS, VISUAL, Stage, make_module, metrics


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
