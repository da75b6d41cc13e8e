"""A few steps of the authors' recipe with the numbers of Keras (keras_recipe.py, keras_recipe.json)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.networks.squeeze_excitation import ScSE
from sedcrnn.training.keras_adam import KerasAdam
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.stage import StopEarly
from tests.waves import wave

Stage = Callable[..., TrainConfig]

KERAS = json.loads((Path(__file__).parent / "keras_recipe.json").read_text())


def steps_of(make: Callable[[list[Tensor]], torch.optim.Optimizer], interrupted_after: int | None = None) -> Tensor:
    """The kernel after each of 12 steps; after some of them, the optimiser may be made anew from its state."""
    kernel = wave((3, 4), 0.0).requires_grad_()
    optimizer, kernels = make([kernel]), []
    for step in range(12):
        if step == interrupted_after:
            state, optimizer = optimizer.state_dict(), make([kernel])
            optimizer.load_state_dict(state)
        kernel.grad = 1e-5 * wave((3, 4), step + 1.0)
        optimizer.step()
        kernels.append(kernel.detach().clone())
    return torch.stack(kernels)


@pytest.mark.parametrize("how", [{"fused": True}, {"foreach": True}, {"foreach": False}])
def test_twelve_steps_of_adam_are_those_of_keras(how: dict[str, bool]) -> None:
    expected = torch.tensor(KERAS["adam"])
    keras = steps_of(lambda kernels: KerasAdam(kernels, lr=1e-3, eps=1e-7, **how))
    torch.testing.assert_close(keras, expected, atol=3e-7, rtol=0)
    torchs = steps_of(lambda kernels: torch.optim.Adam(kernels, lr=1e-3, eps=1e-7, **how))
    assert (torchs - expected).abs()[-1].max() > 1e-3


def test_an_interrupted_adam_goes_on_with_the_epsilon_of_its_step() -> None:
    whole, resumed = (steps_of(lambda kernels: KerasAdam(kernels, lr=1e-3), after) for after in (None, 5))
    assert torch.equal(whole, resumed)


DENSE = """
from torch import Tensor, nn
from sedcrnn.networks import SceneNetwork


class DenseNetwork(SceneNetwork):
    kind, inputs, head_names, scenes = "dense", ("spectrogram",), ("dense",), 3

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 3)

    def heads(self, spectrogram: Tensor) -> dict[str, Tensor]:
        return {"dense": self.dense(spectrogram)}
"""


class Epochs(Checkpoint):
    """What is logged of each epoch, after the module has seen its end."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.seen.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def epochs_until_it_stops(recipe: dict[str, Any]) -> list[dict[str, float]]:
    """The training of keras_recipe.watched_loss: a dense layer of which L2 shrinks the kernel."""
    module = SceneModule({"_target_": "dense_as_in_keras.DenseNetwork"}, recipe, ["a", "b", "c"], {}, {}, [], seed=0)
    dense = module.network.get_submodule("dense")
    assert isinstance(dense, torch.nn.Linear)
    with torch.no_grad():
        dense.weight.copy_(wave((6, 3), 0.2).T)
        dense.bias.zero_()
    train_batch = {"spectrogram": wave((9, 6), 0.4), "scene": torch.arange(9) % 3}
    others, truth = wave((6, 6), 3.0), torch.arange(6) % 3
    parts = [{"spectrogram": others[:4], "scene": truth[:4]}, {"spectrogram": others[4:], "scene": truth[4:]}]
    watching = [StopEarly(module.watched, patience=7, min_delta=0.0), epochs := Epochs()]
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", max_epochs=80, callbacks=watching, num_sanity_val_steps=0, **quiet)
    loaders = [torch.utils.data.DataLoader(one, batch_size=None) for one in ([train_batch], parts)]  # type: ignore[arg-type]
    trainer.fit(module, *loaders)
    return epochs.seen


def test_plateau_and_early_stopping_watch_the_loss_with_its_l2_terms_as_in_keras(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dense_as_in_keras.py").write_text(DENSE)
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = ["recipe.optimizer.lr=0.05", "recipe.mixup_alpha=0.0", "recipe.scheduler.patience=2"]  # Keras' 3
    config = stage("audio", "recipe=authors", *kept).recipe
    recipe = {**vars(config), "loss": vars(config.loss), "l2": {"dense": 0.02}}
    epochs = epochs_until_it_stops(recipe)
    for name, of_keras in (("loss", "loss"), ("log_loss", "log_loss")):
        seen = [epoch[f"validation/{name}"] for epoch in epochs]
        assert seen == pytest.approx(KERAS["watched"][of_keras], abs=2e-5), name
    assert [epoch["train/learning_rate"] for epoch in epochs] == pytest.approx(KERAS["watched"]["learning_rate"])
    assert len(epochs) == 15
    # The log loss alone rises from the first epoch on, while the kernel shrinks.
    other = epochs_until_it_stops(recipe | {"watched": "log_loss"})
    assert len(other) == 8
    assert "validation/loss" not in other[0]


def test_the_spatial_kernel_may_start_from_keras_he_normal() -> None:
    torch.manual_seed(0)
    he, glorot = (
        torch.cat([ScSE(128, kind="sse", spatial_start=start).spatial.weight.flatten() for _ in range(400)])
        for start in ("he_normal", "glorot")
    )
    assert he.std().item() == pytest.approx(KERAS["he_normal"]["deviation"], rel=0.01)
    assert he.abs().max().item() == pytest.approx(KERAS["he_normal"]["greatest"], rel=0.01)
    assert glorot.abs().max().item() == pytest.approx((6 / 129) ** 0.5, rel=0.01)
