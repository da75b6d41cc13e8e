"""Two processes (gloo) see what one process with the joint batch sees, and come to the same gradients and scores."""

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.windows import ConsecutiveWindows, RandomWindows
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.sweeps.ranks import check_sweep, check_world_size, count_processes, rank_and_world_size, shared
from sedcrnn.training.stage import make_datamodule
from tests.training.two_processes import one_and_two

PROGRAM = Path(__file__).with_name("distributed_program.py")
CPU = {"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu"}
SHELL = {"SLURM_JOB_NAME": "bash", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}

pytestmark = pytest.mark.timeout(900)

Stage = Callable[..., TrainConfig]
Results = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """What the processes saw, once they have run."""
    return []


@pytest.fixture
def results(own_stage: Stage, own_root: Path, found: list[dict[str, Any]], tmp_path: Path) -> Results:
    """What one process with batches of four saw, and the first and second of two with batches of two. The clips are of
    1 to 7 s: the two have parts of different sizes in training, and different numbers of batches in evaluation."""
    if not found:
        config = own_stage("fusion", "data=folder", f"data.root={own_root}")
        OmegaConf.save(OmegaConf.create(asdict(config)), tmp_path / "config.yaml")
        datamodule = make_datamodule(config)
        datamodule.prepare_data()
        datamodule.setup()
        assert (len(datamodule.folds.train), len(datamodule.folds.validation)) == (6, 3)
        found += one_and_two(PROGRAM, tmp_path, lambda rank: {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}, timeout=800)
    one, first, second = found
    return one, first, second


@pytest.mark.slow
def test_each_clip_is_seen_once_an_epoch_in_the_same_batches(results: Results) -> None:
    one, first, second = results
    assert len(one["batches"]) == len(first["batches"]) == len(second["batches"]) == 2 * 2
    for whole, part, rest in zip(one["batches"], first["batches"], second["batches"], strict=True):
        assert sorted(whole) == sorted(part + rest)
        assert (len(whole), len(part), len(rest)) == (3, 2, 1)
    for epoch in (one["batches"][:2], one["batches"][2:]):
        clips = [clip for clip, _ in chain(*epoch)]
        assert sorted(clips) == list(range(6))


@pytest.mark.slow
def test_dropout_and_mixup_draw_differently_in_each_process(results: Results) -> None:
    _, first, second = results
    seeds = [*first["seeds"], *second["seeds"]]
    assert len(set(seeds)) == len(seeds) == 8


@pytest.mark.slow
def test_gradients_are_those_of_the_joint_batch(results: Results) -> None:
    one, first, second = results
    assert len(one["gradients"]) == 4
    for whole, part, rest in zip(one["gradients"], first["gradients"], second["gradients"], strict=True):
        assert whole.keys() == part.keys() == rest.keys()
        assert {
            "early.gru.weight_ih_l0",
            "early.dense.weight",
            "early.dense.bias",
            "late.weight",
            "late.bias",
        } <= whole.keys()
        for name, gradient in whole.items():
            assert gradient.abs().max() > 0, name
            torch.testing.assert_close(part[name], gradient, rtol=1e-4, atol=1e-6)
            assert torch.equal(part[name], rest[name])


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_processes(results: Results) -> None:
    one, first, second = results
    for name, value in one["weights"].items():
        assert torch.equal(value, first["weights"][name])
        assert torch.equal(value, second["weights"][name])
    for split in ("fit", "validation", "test"):
        assert one[split].keys() == first[split].keys()
        for name, value in one[split].items():
            assert not math.isnan(value), name
            assert first[split][name] == second[split][name] == pytest.approx(value, rel=1e-6), name
    assert {f"test/early/{score}" for score in ("macro_accuracy", "log_loss")} <= one["test"].keys()
    assert {"train/loss", "validation/macro_accuracy", "validation/log_loss"} <= one["fit"].keys()


def test_a_fold_of_fewer_clips_than_processes_is_refused() -> None:
    with pytest.raises(DataError, match="A fold has 2 clips, and 3 processes are to share them"):
        RandomWindows(["a", "b"], [50, 50], batch_size=4, seed=0, rank=0, world_size=3)
    with pytest.raises(DataError, match="Train with fewer processes"):
        ConsecutiveWindows([50, 50], batch_size=4, rank=0, world_size=3)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, (3, 4)),  # torchrun
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}, (5, 8)),  # srun
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, (1, 2)),  # Lightning
        # Lightning, in a shell that srun started
        ({**SHELL, "LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, (1, 2)),
        (SHELL, (0, 1)),
    ],
)
def test_rank_and_world_size_are_those_that_started_the_process(
    environment: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert rank_and_world_size() == expected


def test_work_is_shared_by_own_parts_first_and_then_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared("abc") == ["a", "b", "c"]
    monkeypatch.setenv("WORLD_SIZE", "3")
    orders = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        orders.append(shared(range(20)))
    assert [order[:4] for order in orders] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert all(sorted(order) == list(range(20)) for order in orders)
    rest = [number for number in orders[0] if number % 3 == 2]
    assert rest != [number for number in orders[1] if number % 3 == 2], "two helpers of the third go separate ways"


def test_jobs_at_the_same_time_begin_with_different_parts_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    first = []
    for job in range(2):
        monkeypatch.setenv("SEDCRNN_JOB_SHARE", f"{job}/2")
        for rank in range(2):
            monkeypatch.setenv("RANK", str(rank))
            order = shared(range(8))
            assert sorted(order) == list(range(8))
            first.append(order[:2])
    assert first == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_processes_are_counted_as_lightning_does() -> None:
    assert count_processes(CPU | {"devices": 1}) == 1
    assert count_processes(CPU | {"devices": 3, "num_nodes": 2, "strategy": "ddp"}) == 6
    assert count_processes(CPU | {"devices": "auto"}) == 1


def test_a_trainer_for_another_number_of_processes_than_were_started_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_world_size(3)  # Lightning will start them
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_world_size(2)
    with pytest.raises(ConfigError, match="2 processes were started, and the trainer asks for 1"):
        check_world_size(1)


@pytest.mark.parametrize(
    ("mode", "launcher", "refused"),
    [
        ("RUN", {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, False),
        ("MULTIRUN", {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, True),
        ("MULTIRUN", {"_target_": "a.submitit_launcher.LocalLauncher", "tasks_per_node": 2, "nodes": 1}, True),
        ("MULTIRUN", {"_target_": "a.submitit_launcher.SlurmLauncher", "tasks_per_node": 1, "nodes": 1}, True),
        ("MULTIRUN", {"_target_": "a.submitit_launcher.SlurmLauncher", "tasks_per_node": 2, "nodes": 1}, False),
    ],
)
def test_what_may_be_swept_with_several_processes_a_job(
    mode: str, launcher: dict[str, Any], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hydra = OmegaConf.create({"hydra": {"mode": RunMode[mode], "launcher": launcher}})
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra.hydra)
    check_sweep(CPU | {"devices": 1})
    if refused:
        with pytest.raises(ConfigError, match="trains with 2 processes, and the launcher is"):
            check_sweep(CPU | {"devices": 2})
    else:
        check_sweep(CPU | {"devices": 2})
