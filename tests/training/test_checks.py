"""Whatever can be known without data is refused before they are touched."""

from collections.abc import Callable
from typing import Any

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.scene_data import SceneData
from sedcrnn.errors import ConfigError
from sedcrnn.training.stage import make_datamodule, train, with_used_features

Stage = Callable[..., TrainConfig]


class TouchedError(BaseException):
    """The data were touched."""


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    def touch(self: SceneData) -> None:
        raise TouchedError

    monkeypatch.setattr(SceneData, "prepare_data", touch)


SGD = "{_target_: torch.optim.SGD, lr: 0.1"
RMSPROP = "{_target_: torch.optim.RMSprop, lr: 0.1"
SCHEDULERS = "torch.optim.lr_scheduler"
CALLBACKS = "pytorch_lightning.callbacks"


def test_rates_that_one_cycle_would_not_heed_are_refused(stage: Stage, untouched: None) -> None:
    with pytest.raises(ConfigError, match="One cycle has one highest rate"):
        train(stage("audio", "recipe/scheduler=one_cycle", "+recipe.learning_rates.dense=0.1"))


def test_scaled_gradients_of_a_fused_optimiser_are_not_bounded(stage: Stage, untouched: None) -> None:
    with pytest.raises(ConfigError, match=r"16-mixed and a fused optimiser.*fused=false"):
        train(stage("audio", "trainer.gradient_clip_val=1", "trainer.precision=16-mixed"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("~features.spectrogram.bank", "The argument 'bank' of sedcrnn.features.spectrogram.Spectrogram is not given"),
        ("recipe.optimizer._target_=x.y", "There is no class 'x.y'"),
        (f"~recipe.optimizer,+recipe.optimizer={RMSPROP}, momentum: abc}}", "recipe cannot be made as the config says"),
        (f"~recipe.optimizer,+recipe.optimizer={SGD}, nesterov: true}}", "Nesterov momentum requires a momentum"),
        (f"~recipe.optimizer,+recipe.optimizer={RMSPROP}, nope: 1}}", "has no argument 'nope'"),
        ("+recipe.optimizer.betas=[1.0,1.0]", "Invalid beta parameter"),
        (f"~recipe.scheduler,+recipe.scheduler={{_target_: {SCHEDULERS}.StepLR, step_size: 0}}", "recipe cannot"),
        (f"~recipe.scheduler,+recipe.scheduler={{_target_: {SCHEDULERS}.StepLR}}", "step_size"),
        (f"+callbacks.mine={{_target_: {CALLBACKS}.Timer, duration: abc}}", "callbacks cannot be made"),
        (f"+callbacks.mine={{_target_: {CALLBACKS}.EarlyStopping, monitor: nope}}", "callback EarlyStopping is"),
        ("+trainer.max_time=abc", "callbacks cannot be made"),
        ("trainer.strategy=nope", "trainer cannot be made as the config says: You selected an invalid strategy"),
        ("features.spectrogram.sample_rate=1", "hop=0.02 s at 1 Hz"),
        ("features.spectrogram.bank.low_hz=99999", "asks for .* bands from 99999"),
        ("model.network.filters=[4,4,10000000]", "The weights of model.network take"),
        ("model.network.filters=[4]", "Every block has one of each"),
        ("recipe.frozen=[nope]", "nope"),
        ("recipe.mixup_embeddings=0.2", "A window is mixed once"),
        ("runs=/proc/runs", "runs=/proc/runs cannot be written"),
    ],
)  # fmt: skip
def test_what_libraries_would_refuse_later_is_refused_now(
    stage: Stage, untouched: None, override: str, expected: str
) -> None:
    values = override.split(",+") if override.startswith("~") else [override]
    with pytest.raises(ConfigError, match=expected):
        train(stage("audio", values[0], *(f"+{value}" for value in values[1:])))


@pytest.mark.parametrize("experiment", ["audio", "visual"])
def test_what_is_right_goes_on_to_the_data(stage: Stage, untouched: None, experiment: str) -> None:
    watching = f"+callbacks.mine={{_target_: {CALLBACKS}.EarlyStopping, monitor: validation/macro_log_loss}}"
    with pytest.raises(TouchedError):
        train(stage(experiment, watching))


def test_folds_are_drawn_before_features_are_made(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(*_: Any) -> None:
        raise TouchedError

    monkeypatch.setattr("sedcrnn.datasets.scene_data.extract_all", extract)
    with pytest.raises(ConfigError, match=r"data\.leave_out_city is 'nope'"):
        train(stage("audio", "data.leave_out_city=nope"))
    with pytest.raises(TouchedError):
        train(stage("audio"))


def test_augmentation_of_what_the_network_does_not_take_is_none(stage: Stage) -> None:
    data = make_datamodule(with_used_features(stage("audio", "recipe.augmentation.frames.flip=1.0")))
    assert set(data.augmentations) <= {"spectrogram"}
    data.prepare_data()
    data.setup()
    assert next(iter(data.train_dataloader())).keys() >= {"spectrogram", "scene"}
