"""Checkpoints of strangers: whatever they say of themselves, they are a network that answers, or an error in words."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sedcrnn
from sedcrnn.errors import SedcrnnError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.inference.media_predictions import predict_files
from sedcrnn.inference.onnx_export import export
from sedcrnn.inference.web_page import serve
from sedcrnn.runs.checkpoints import read_content, write_checkpoint
from sedcrnn.submission.challenge import submit
from sedcrnn.training.init_from import load_initial

DESCRIBED = "hyper_parameters"
REFUSED = r"strange\.ckpt|^The file names the class"  # and nothing else that a command may refuse


def endless() -> dict[str, Any]:
    """A mapping that contains itself."""
    value: dict[str, Any] = {}
    value["audio"] = value
    return value


def bomb() -> list[Any]:
    """A few bytes that stand for 10^40 values."""
    value: list[Any] = [1]
    for _ in range(40):
        value = [value] * 10
    return value


def node(target: Any, **arguments: Any) -> dict[str, Any]:
    return {"_target_": target, **arguments}


def write(path: str, text: str = "x") -> dict[str, Any]:
    return node("sedcrnn.runs.files.write_text", path=path, text=text)


# Kind of network, dotted key, and what takes its place.
NETWORKS: list[tuple[str, str, Any]] = [
    ("audio", "network", None),
    ("audio", "network", [1]),
    ("audio", "network", write("pwned")),
    ("audio", "network", node("os.system", command="touch pwned")),
    ("audio", "network", node("sedcrnn.networks.SceneNetwork")),
    ("audio", "network", node("sedcrnn.networks.AudioSubnetwork")),
    ("audio", "network", node("sedcrnn.networks.backbones.timm.create_model", model_name="hf-hub:a/b")),
    ("audio", "network", node("sedcrnn.runs.checkpoints.torch.load", f="x")),
    ("audio", "network._target_", 5),
    ("audio", "network._target_", "sedcrnn.networks..audio.AudioNetwork"),
    ("audio", "network._target_", "sedcrnn.networks." + 100_000 * "a" + ".B"),
    ("audio", "network._target_", "torch.nn.Linear"),
    ("audio", "network._args_", [1]),
    ("audio", "network._recursive_", False),
    ("audio", "network._convert_", "all"),
    ("audio", "network.audio", endless()),
    ("audio", "network.filters", [10**9, 4, 8]),
    ("audio", "network.filters", [4] * 4000),
    ("audio", "network.filters", [10**40, 4, 8]),
    ("audio", "network.filters", ["4", 4, 8]),
    ("audio", "network.filters", [write("pwned"), 4, 8]),
    ("audio", "network.scenes", 10**9),
    ("audio", "network.channels", -1),
    ("audio", "network.dropout", "x"),
    ("audio", "network.recalibration", "${oc.env:HOME}"),
    ("visual", "network.backbone", "hf-hub:stranger/network"),
    ("visual", "network.backbone", "hf_hub:stranger/network"),
    ("visual", "network.backbone", "local-dir:/tmp"),
    ("visual", "network.backbone", "${oc.env:HOME}"),
    ("visual", "network.backbone", "vit_giant_patch14_224"),
    ("visual", "network.backbone", node("os.system", command="touch pwned")),
    ("visual", "network.height", 10**7),
    ("visual", "network.hidden", 10**15),
    ("fusion", "network.hidden", 10**12),
    ("fusion", "network.early", node("torch.nn.Linear", in_features=1, out_features=1)),
    ("fusion", "network.early", node("sedcrnn.networks.early_fusion.nn.Module")),
    ("fusion", "network.audio", node("stranger.Network")),
    ("fusion", "network.audio", node("sedcrnn.networks.visual.VisualNetwork", backbone="test_resnet")),
    ("fusion", "network.visual", [node("os.system")]),
]
OTHERS: list[tuple[str, str, Any]] = [
    ("audio", "features.spectrogram", write("pwned")),
    ("audio", "features.spectrogram", node("sedcrnn.features.feature.Feature")),
    ("audio", "features.spectrogram", node("sedcrnn.features.store.FeatureStore", folder="pwned")),
    ("audio", "features.spectrogram.bank", node("stranger.Bank")),
    ("audio", "features.spectrogram.bank.bands", 10**9),
    ("audio", "features.spectrogram.bank.low_hz", float("nan")),
    ("audio", "features.spectrogram.hop", 0.0),
    ("audio", "features.spectrogram.hop", 1e-12),
    ("audio", "features.spectrogram.sample_rate", 10**12),
    ("audio", "features.spectrogram.channels", "all"),
    ("visual", "features.frames.height", 10**7),
    ("visual", "features", {"frames": [1]}),
    ("audio", "data.source", write("pwned")),
    ("audio", "data.num_workers", "all"),
    ("audio", "recipe", None),
    ("audio", "recipe.l2", {"blocks": bomb()}),
    ("audio", "scenes", ["a", "b", "c"]),
    ("audio", "scenes", "abcdefghij"),
    ("audio", "locations", {"lisbon"}),
    ("audio", "seed", 10**400),
]


def changed(run: Path, path: Path, key: str, value: Any) -> Path:
    content = copy.deepcopy(read_content(run / "checkpoints" / "best.ckpt"))
    *before, last = key.split(".")
    place = content[DESCRIBED]
    for name in before:
        place = place[name]
    place[last] = value
    write_checkpoint(content, path)
    return path


@pytest.mark.parametrize(("kind", "key", "value"), NETWORKS + OTHERS)
def test_what_makes_no_sense_is_an_error_in_words(
    kind: str,
    key: str,
    value: Any,
    make_checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = changed(make_checkpoint(kind), tmp_path / "strange.ckpt", key, value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SedcrnnError, match=REFUSED) as refused:
        sedcrnn.load(path)
    assert len(str(refused.value)) < 1500
    assert [one.name for one in tmp_path.iterdir()] == ["strange.ckpt"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1],
        {1: torch.zeros(1)},
        {"network.dense.weight": "x"},
        {"network.dense.weight": torch.zeros(10, 8).to_sparse()},
        {"network.dense.weight": torch.zeros(10, 8, device="meta")},
        {"network.dense.weight": torch.zeros(1).expand(10**13)},
        {},
    ],
)
def test_weights_that_are_none_are_an_error_in_words(
    value: Any, make_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    content = read_content(make_checkpoint("audio") / "checkpoints" / "best.ckpt")
    write_checkpoint({**content, "state_dict": value}, tmp_path / "strange.ckpt")
    with pytest.raises(SedcrnnError, match=r"strange\.ckpt"):
        sedcrnn.load(tmp_path / "strange.ckpt")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_temperatures_are_positive_numbers(value: Any, make_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    content = read_content(make_checkpoint("audio") / "checkpoints" / "best.ckpt")
    write_checkpoint({**content, "temperatures": {"audio": value}}, tmp_path / "strange.ckpt")
    with pytest.raises(SedcrnnError, match=r"temperatures\.audio"):
        sedcrnn.load(tmp_path / "strange.ckpt")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("audio", "network", node("stranger.Network")),
        ("audio", "network", write("pwned")),
        ("audio", "network.filters", [10**9, 4, 8]),
        ("audio", "network.audio", endless()),
        ("audio", "features.spectrogram.bank", node("os.system", command="touch pwned")),
    ],
)
def test_every_command_refuses_it_before_anything_is_built_read_or_written(
    kind: str,
    key: str,
    value: Any,
    make_checkpoint: Callable[[str], Path],
    tau_root: Path,
    stage: Callable[..., Any],
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = str(changed(make_checkpoint(kind), tmp_path / "strange.ckpt", key, value))
    config = stage("fusion", f"init_from.audio={path}")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    clip = str(next((tau_root / "audio").iterdir()))
    options = dict.fromkeys(("audio", "head", "json", "csv", "plot", "batch_size"))
    commands: dict[str, Callable[[], Any]] = {
        "load": lambda: sedcrnn.load(path),
        "predict": lambda: predict_files(
            path, [clip], top=1, calibrated=True, device="cpu", precision="32-true", damage="skip", **options
        ),
        "evaluate": lambda: evaluate(path, store="store", extraction_workers=0),
        "robustness": lambda: robustness(path, store="store", extraction_workers=0),
        "export": lambda: export(path, "out.onnx"),
        "web": lambda: serve(path, port, 1, True, "cpu"),
        "submit": lambda: submit(path, str(tau_root), Path("out.csv"), store="store", extraction_workers=0),
        "init_from": lambda: [start.build() for start in load_initial(config).values()],
    }
    for name, run in commands.items():
        if name == "init_from" and key.startswith("features"):
            continue  # a stage compares them with its own, which it builds
        with pytest.raises(SedcrnnError, match=REFUSED):
            run()
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("value", [[0.5], [0.5, 0.5, 0.5], [0.5, -0.1], [0.5, float("nan")], [0.5, "1"], 0.5])
def test_thresholds_are_a_probability_for_each_scene(
    value: Any, make_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    content = read_content(make_checkpoint("audio") / "checkpoints" / "best.ckpt")
    write_checkpoint({**content, "thresholds": {"audio": value}}, tmp_path / "strange.ckpt")
    with pytest.raises(SedcrnnError, match="thresholds"):
        sedcrnn.load(tmp_path / "strange.ckpt", "cpu")
