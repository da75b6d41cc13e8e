"""A misspelt key is an error wherever it stands, and names the nearest valid one; every experiment composes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sedcrnn import train as train_command
from sedcrnn.config.checking import check_targets, checked, digest, dotted_keys
from sedcrnn.config.composition import CONF
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork
from sedcrnn.training.init_from import complete_network

EXPERIMENTS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix()
    for path in (CONF / "experiment").rglob("*.yaml")
    if path.name != "rows.yaml"  # the report's table of them
)


def composed(*overrides: str) -> TrainConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config: TrainConfig = checked(compose("train", list(overrides)))
    return config


def test_there_is_an_experiment_for_every_stage_of_the_paper() -> None:
    assert {"audio", "visual", "visual_finetune", "fusion", "fusion_finetune"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_instantiates_and_changes_only_keys_that_exist(experiment: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"experiment={experiment}"])
        body = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")
        choices = [f"model={OmegaConf.select(config, 'model._target_').split('.')[-1].removesuffix('Module').lower()}"]
        base = set(dotted_keys(compose("train", choices)))
    free = ("recipe.l2.", "recipe.head_weights.", "recipe.learning_rates.")  # keys: parts and heads of the network
    own = {key for key in dotted_keys(body) if not key.startswith(("defaults", *free))}
    assert own <= base
    stage: TrainConfig = checked(config)
    node = dict(stage.model["network"])
    for part in ("audio", "visual"):
        if part in node and node[part] is None:
            node[part] = composed(f"model={part}", *(["features=small"])).model["network"]
    network = build(complete_network(node, {}, {"scenes": 10, "channels": 3}), "network")
    assert isinstance(network, SceneNetwork)
    for part in [*stage.recipe.frozen, *stage.recipe.l2, *stage.recipe.learning_rates]:
        network.get_submodule(part)
    weighted = {head for head, weight in stage.recipe.head_weights.items() if weight is not None}
    assert weighted <= set(network.head_names)
    parameter = next(network.parameters())
    optimizer = build(stage.recipe.optimizer, "optimizer", params=[parameter])
    assert optimizer.param_groups[0]["lr"] == stage.recipe.optimizer["lr"]


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
    assert (recipe.plateau_patience, recipe.early_stopping_patience, recipe.mixup_alpha) == (plateau, stop, mixup)
    assert config.trainer["max_epochs"] == 200
    assert recipe.l2 == {"visual": {"dense": 1e-3}, "visual_finetune": {"dense": 1e-3, "encoder": 2e-4}}.get(
        experiment, {}
    )


@pytest.mark.parametrize(
    ("body", "key", "nearest"),
    [
        ({"recipe": {"mixup_alfa": 0.1}}, "recipe.mixup_alfa", "recipe.mixup_alpha"),
        ({"recpie": {"mixup_alpha": 0.1}}, "recpie", "recipe"),
        ({"trainer": {"max_epoch": 3}}, "trainer.max_epoch", "trainer.max_epochs"),
        ({"model": {"network": {"filtres": [1]}}}, "model.network.filtres", "model.network.filters"),
        ({"recipe": {"optimizer": {"learning": 1}}}, "recipe.optimizer.learning", "recipe.optimizer"),
        ({"data": {"source": {"rot": "x"}}}, "data.source.rot", "data.root"),
    ],
)
def test_a_misspelt_key_in_a_file_names_itself_and_the_nearest(body: dict[str, object], key: str, nearest: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train")
    OmegaConf.set_struct(config, False)  # as Hydra merges experiment files
    with pytest.raises(ConfigError) as error:
        checked(OmegaConf.merge(config, body))
    assert f"'{key}'" in str(error.value)
    assert f"'{nearest}" in str(error.value)


def run_train(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sedcrnn.train", *arguments])
    with pytest.raises(SystemExit) as stopped:
        train_command.main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("trainer.max_epoch=3", ["'trainer.max_epoch'", "'trainer.max_epochs'"]),
        ("+trainer.max_epoch=3", ["'trainer.max_epoch'", "'trainer.max_epochs'"]),
        ("experiment=audoi", ["experiment/audoi", "'audio'"]),
        ("modle=audio", ["'modle'", "'model'"]),
        ("recipe.batch_size=many", ["recipe.batch_size", "many"]),
        ("data.selection=test", ["data.selection", "location_disjoint"]),
    ],
)
def test_a_misspelt_argument_ends_the_command_with_one_paragraph(
    argument: str,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    small: list[str],
) -> None:
    assert run_train(monkeypatch, *small, argument) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    paragraph = told[told.index("Error: ") :]
    assert "\n" not in paragraph.strip()
    assert all(words in paragraph for words in expected)


def test_a_missing_data_set_ends_the_command_with_one_paragraph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small: list[str], tmp_path: Path
) -> None:
    assert run_train(monkeypatch, *small, f"data.root={tmp_path / 'nowhere'}") == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "does not exist" in told
    assert "Set data.root=<folder>" in told
    assert not (tmp_path / "runs").exists()


def test_targets_outside_the_allowed_packages_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'logger\._target_' is 'os\.system'"):
        check_targets({"logger": {"_target_": "os.system", "command": "true"}}, "")
    with pytest.raises(ConfigError, match="cannot be imported"):
        build({"_target_": "sedcrnn.networks.audio.Nothing"}, "network")


def test_digests_cover_every_value_and_not_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert len({digest(value) for value in ({"a": 1}, {"a": 1.5}, {"a": [1]}, {"b": 1}, {"a": "1"})}) == 5


def test_experiment_files_are_the_folder_that_users_see(stage: Callable[..., TrainConfig]) -> None:
    assert (CONF / "experiment").resolve() == (Path(__file__).parents[1] / "experiments").resolve()
    assert stage("audio").name == "audio"
