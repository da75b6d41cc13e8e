"""A misspelt key is an error wherever it stands, and names the nearest valid one; every experiment composes."""

import inspect
from dataclasses import asdict
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from sedcrnn.config.checking import checked, described, digest, dotted_keys
from sedcrnn.config.composition import CONF, choices, compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build, resolve
from sedcrnn.config.values import keys_of
from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork
from sedcrnn.pipeline import PipelineConfig
from sedcrnn.training.init_from import complete_network

EXPERIMENTS = choices("experiment")


def composed(*overrides: str) -> TrainConfig:
    config: TrainConfig = checked(compose("train", list(overrides)))
    return config


def test_there_is_an_experiment_for_every_stage_of_the_paper() -> None:
    assert {"audio", "visual", "visual_finetune", "fusion", "fusion_finetune"} <= set(EXPERIMENTS)


@pytest.fixture(scope="module")
def new_parts() -> dict[str, Any]:
    """Configs of new subnetworks, for fusion networks that get theirs from checkpoints."""
    return {part: composed(f"experiment={part}", "features=small").model["network"] for part in ("audio", "visual")}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_instantiates_and_changes_only_keys_that_exist(
    experiment: str, new_parts: dict[str, Any]
) -> None:
    config = compose("train", [f"experiment={experiment}"])
    body = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")
    kind = OmegaConf.select(config, "model._target_").split(".")[-1].removesuffix("Module").lower()
    base = set(dotted_keys(compose("_stage", [f"model={kind}"])))
    free = ("recipe.l2.", "recipe.head_weights.", "recipe.learning_rates.")  # keys: parts and heads of the network
    own = {key for key in dotted_keys(body) if not key.startswith(("defaults", *free))}
    assert own <= base
    stage: TrainConfig = checked(config)
    node = {key: new_parts[key] if value is None else value for key, value in stage.model["network"].items()}
    with torch.device("meta"):  # shapes without values
        network = build(complete_network(node, {}, {"scenes": 10, "channels": 3, "height": 64, "width": 64}), "network")
    assert isinstance(network, SceneNetwork)
    for part in [*stage.recipe.frozen, *stage.recipe.l2, *stage.recipe.learning_rates]:
        network.get_submodule(part)
    weighted = {head for head, weight in stage.recipe.head_weights.items() if weight is not None}
    assert weighted <= set(network.head_names)
    optimizer = build(stage.recipe.optimizer, "optimizer", params=[torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["lr"] == stage.recipe.optimizer["lr"]


@pytest.mark.parametrize("stages", choices("stages"))
def test_every_list_of_stages_composes(stages: str) -> None:
    config: PipelineConfig = checked(compose("pipeline", [f"stages={stages}"]), PipelineConfig)
    assert set(config.stages) <= set(EXPERIMENTS)
    assert set(config.robustness) <= set(config.stages)


@pytest.mark.parametrize(
    ("group", "choice"),
    [
        (group, choice)
        for group in ("data", "features", "features/spectrogram", "model", "trainer", "logger", "callbacks", "debug")
        for choice in choices(group)
    ],
)
def test_every_choice_of_every_group_composes(group: str, choice: str) -> None:
    overrides = ["experiment=audio", f"{group}={choice}", "data.root=x"]
    assert isinstance(composed(*overrides), TrainConfig)


def test_several_loggers_may_be_chosen_at_once() -> None:
    config = composed("experiment=audio", "logger=[wandb,tensorboard]", "logger.wandb.project=mine")
    assert set(config.logger) == {"wandb", "tensorboard"}
    assert config.logger["wandb"]["project"] == "mine"  # type: ignore[index]


@pytest.mark.parametrize(
    ("experiment", "batch_size", "rate", "frozen", "plateau", "stop", "mixup"),
    [
        ("audio", 32, 1e-3, [], 15, 80, 0.4),
        ("visual", 16, 1e-4, ["encoder"], 20, 40, 0.0),
        ("visual_finetune", 16, 1e-6, [], 20, 40, 0.0),
        ("fusion", 16, 1e-4, ["audio", "visual"], 15, 80, 0.0),
        ("fusion_finetune", 16, 1e-6, [], 15, 80, 0.0),
    ],
)
def test_the_stages_have_the_papers_recipe(
    experiment: str, batch_size: int, rate: float, frozen: list[str], plateau: int, stop: int, mixup: float
) -> None:
    config = composed(f"experiment={experiment}")
    recipe = config.recipe
    assert (recipe.batch_size, recipe.optimizer["lr"], recipe.frozen) == (batch_size, rate, frozen)
    assert recipe.scheduler == {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "factor": 0.5,
        "patience": plateau - 1,  # torch waits one epoch longer than Keras
        "threshold": 1e-4,
        "threshold_mode": "abs",  # Keras' min_delta
    }
    assert (recipe.early_stopping_patience, recipe.mixup_alpha) == (stop, mixup)
    assert config.trainer["max_epochs"] == 200
    assert recipe.l2 == {"visual": {"dense": 1e-3}, "visual_finetune": {"dense": 1e-3, "encoder": 2e-4}}.get(
        experiment, {}
    )


@pytest.mark.parametrize(
    "node",
    [
        composed("experiment=audio").model["network"],
        composed("experiment=audio_encoder").model["network"],
        composed("experiment=visual").model["network"],
        composed("experiment=fusion").model["network"],
        *(composed("experiment=audio").features.spectrogram, composed("experiment=audio").features.frames),
        *asdict(composed("experiment=audio").recipe.augmentation).values(),
    ],
    ids=lambda node: node["_target_"].rpartition(".")[2],
)
def test_what_the_configs_choose_is_what_the_classes_do_by_default(node: dict[str, Any]) -> None:
    role = {"networks": "network", "features": "feature", "augmentation": "augmentation"}[
        node["_target_"].split(".")[1]
    ]
    parameters = inspect.signature(resolve(node["_target_"], role)).parameters
    defaults = {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}
    stated = {key: value for key, value in node.items() if key in defaults and not isinstance(value, dict)}
    chosen_by_size = {"storage"}  # JPEG for the paper's frames, raw by default
    assert stated
    for key, value in stated.items():
        if key not in chosen_by_size:
            assert (list(defaults[key]) if isinstance(defaults[key], tuple) else defaults[key]) == value, key


@pytest.mark.parametrize(
    "target",
    [
        "sedcrnn.networks.audio.AudioNetwork",
        "sedcrnn.networks.audio_encoder.AudioEncoderNetwork",
        "sedcrnn.networks.visual.VisualNetwork",
        "sedcrnn.networks.fusion.FusionNetwork",
        "sedcrnn.features.frames.Frames",
    ],
)
def test_the_keys_that_are_described_are_those_that_the_class_takes(target: str) -> None:
    role = "feature" if ".features." in target else "network"
    assert set(described(keys_of(target))) == set(inspect.signature(resolve(target, role)).parameters)


@pytest.mark.parametrize(
    ("body", "key", "nearest"),
    [
        ({"recipe": {"mixup_alfa": 0.1}}, "recipe.mixup_alfa", "recipe.mixup_alpha"),
        ({"recpie": {"mixup_alpha": 0.1}}, "recpie", "recipe"),
        ({"trainer": {"max_epoch": 3}}, "trainer.max_epoch", "trainer.max_epochs"),
        ({"model": {"network": {"filtres": [1]}}}, "model.network.filtres", "model.network.filters"),
        ({"recipe": {"optimizer": {"learning": 1}}}, "recipe.optimizer.learning", "recipe.optimizer.lr"),
        ({"data": {"source": {"rot": "x"}}}, "data.source.rot", "data.source.root"),
        (
            {"features": {"spectrogram": {"bank": {"band": 3}}}},
            "features.spectrogram.bank.band",
            "features.spectrogram.bank.bands",
        ),
    ],
)
def test_a_misspelt_key_in_a_file_names_itself_and_the_nearest(body: dict[str, object], key: str, nearest: str) -> None:
    config = compose("train", ["experiment=audio"])
    OmegaConf.set_struct(config, False)  # as Hydra merges experiment files
    with pytest.raises(ConfigError) as error:
        checked(OmegaConf.merge(config, body))
    assert f"'{key}'" in str(error.value)
    assert f"'{nearest}" in str(error.value)


def test_classes_of_the_users_own_are_checked_when_they_are_built() -> None:
    plain = OmegaConf.to_container(compose("train", ["experiment=audio"]), resolve=True)
    config = checked({**plain, "model": {**plain["model"], "network": {"_target_": "mine.Network", "depth": 3}}})
    assert config.model["network"] == {"_target_": "mine.Network", "depth": 3}
    with pytest.raises(ConfigError, match=r"There is no class 'mine\.Network'"):
        build(config.model["network"], "network")


def test_a_class_of_another_role_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"recipe.optimizer is sedcrnn.networks.audio.AudioNetwork"):
        composed("experiment=audio", "recipe.optimizer={_target_:sedcrnn.networks.audio.AudioNetwork}")
    with pytest.raises(ConfigError, match="is no network"):
        build({"_target_": "torch.nn.Linear"}, "network")
    with pytest.raises(ConfigError, match="is no logger"):
        build({"_target_": "os.system", "command": "true"}, "logger")


def test_digests_cover_every_value_and_not_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert len({digest(value) for value in ({"a": 1}, {"a": 1.5}, {"a": [1]}, {"b": 1}, {"a": "1"})}) == 5
