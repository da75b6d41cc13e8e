"""A checkpoint, or an earlier run, of another version of the config: what differs is told by key, with both values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sedcrnn
from sedcrnn.checkpoints import BEST, load_checkpoint
from sedcrnn.compatibility import check_resumable, unknown
from sedcrnn.config import DataConfig, TrainConfig
from sedcrnn.differences import ABSENT, differences, told
from sedcrnn.errors import CheckpointError
from sedcrnn.evaluate import evaluate
from sedcrnn.train import train

Stage = Callable[..., TrainConfig]


def test_differences_are_told_by_dotted_key() -> None:
    old = {"seed": 1, "recipe": {"alpha": 0.4, "frozen": ["a"]}, "gone": True}
    new = {"seed": 1, "recipe": {"alpha": 0.3, "frozen": ("a",), "more": None}}
    found = differences(old, new)
    assert found == {"recipe.alpha": (0.4, 0.3), "recipe.more": (ABSENT, None), "gone": (True, ABSENT)}
    assert told(found) == "recipe.alpha: 0.4 -> 0.3; recipe.more: (absent) -> None; gone: True -> (absent)"
    assert told({str(number): (0, 1) for number in range(8)}).endswith("5: 0 -> 1; and 2 more")
    assert differences({"a": {"b": 1}}, {"a": {"b": 1}}) == {}


def test_what_a_target_does_not_take_is_found() -> None:
    audio = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "ratio": "two", "filterz": [4], "filters": [4, 4.5, 8]}
    fusion = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": audio, "hidden": 4}
    found = unknown({"network": fusion})
    assert found["network.audio.filterz"] == ([4], ABSENT)
    assert found["network.audio.ratio"] == ("two", "int")
    assert found["network.audio.filters"][0] == [4, 4.5, 8]
    assert found["network.visual"][0] is ABSENT
    assert len(found) == 4
    assert unknown({"network": {"_target_": "sedcrnn.networks.audio.Old"}}) == {
        "network._target_": ("sedcrnn.networks.audio.Old", ABSENT)
    }
    assert unknown({"selection": 1}, "data", DataConfig)["data.selection"] == (1, "str")


@pytest.fixture
def run(stage: Stage) -> Path:
    return train(stage("audio", "trainer.max_epochs=1"))


def change(run: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    content = torch.load(run / BEST, weights_only=True)
    edit(content)
    torch.save(content, run / BEST)
    return run / BEST


def test_checkpoints_of_another_version_say_what_differs(run: Path, stage: Stage, tmp_path: Path) -> None:
    assert load_checkpoint(str(run)).version == sedcrnn.__version__
    change(run, lambda content: content["hyper_parameters"]["data"].update(folds=5))
    load_checkpoint(str(run)).build()  # predictions do not ask for the data
    with pytest.raises(CheckpointError, match=r"data\.folds: 5 -> \(absent\)"):
        evaluate(str(run), store=str(tmp_path))
    change(run, lambda content: content["state_dict"].update({"network.dense.bias": torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r"dense\.bias: \[7\] -> \[10\]"):
        load_checkpoint(str(run)).build()

    def older(content: dict[str, Any]) -> None:
        content["sedcrnn"] = "0.0.9"
        content["hyper_parameters"]["network"].update(ratio="two", squeeze=3)

    change(run, older)
    words = rf"written by sedcrnn 0\.0\.9, and this is sedcrnn {sedcrnn.__version__}; they differ in "
    words += r"network\.ratio: two -> int; network\.squeeze: 3 -> \(absent\)"
    with pytest.raises(CheckpointError, match=words):
        sedcrnn.load(run)
    with pytest.raises(CheckpointError, match=words):
        train(stage("fusion", f"start_from.audio={run}", f"start_from.visual={run}"))


def test_a_training_does_not_go_on_with_other_arguments(run: Path) -> None:
    content = torch.load(run / BEST, weights_only=True)
    described, state = content["hyper_parameters"], content["state_dict"]
    moved = {**described, "data": {**described["data"], "loader_workers": 7}}
    check_resumable(run / BEST, moved, state)
    other = {**described, "recipe": {**described["recipe"], "mixup_alpha": 0.1}}
    with pytest.raises(CheckpointError, match=r"recipe\.mixup_alpha: 0\.4 -> 0\.1"):
        check_resumable(run / BEST, other, state)


def test_a_changed_stage_says_in_one_line_what_changed(
    run: Path, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "differs from" not in capsys.readouterr().out
    other = train(stage("audio", "trainer.max_epochs=1", "recipe.mixup_alpha=0.3", "recipe.batch_size=6"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "differs from" in line]
    words = "recipe.batch_size: 4 -> 6; recipe.mixup_alpha: 0.4 -> 0.3"
    assert lines == [f"audio: trained anew, for it differs from {run} in {words}"]
    train(stage("audio", "trainer.max_epochs=1", "recipe.mixup_alpha=0.3", "recipe.batch_size=5"))
    assert f"differs from {other} in recipe.batch_size: 6 -> 5\n" in capsys.readouterr().out
