"""What a config, and what a file, may make this package import and call."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from sedcrnn.config import targets
from sedcrnn.config.targets import build, check_names, resolve, trusted_packages
from sedcrnn.errors import ConfigError, SedcrnnError, TrustError
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.inference.predictor import Predictor
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.runs.checkpoints import Checkpoint

AUDIO = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "filters": [2, 2, 4]}
VISUAL = {"_target_": "sedcrnn.networks.visual.VisualNetwork", "backbone": "test_resnet", "hidden": 2}
FUSION = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": AUDIO, "visual": VISUAL, "hidden": 2}
BANK = {"_target_": "sedcrnn.features.filterbanks.short_time.MelBank", "bands": 64, "window": 0.04}
SPECTROGRAM = {"_target_": "sedcrnn.features.spectrogram.Spectrogram", "bank": BANK}

FUNCTIONS = (
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "shutil.rmtree",
    "sedcrnn.runs.files.write_text",
    "sedcrnn.sweeps.processes.run_jobs",
    "sedcrnn.sweeps.processes.Job",
    "sedcrnn.runs.checkpoints.torch.load",
    "sedcrnn.networks.visual.torch.load",
    "sedcrnn.networks.backbones.build_backbone",
    "sedcrnn.errors.import_extra",
    "sedcrnn.config.targets.build",
    "torch.load",
    "torch.hub.load",
    "torch.nn.Linear",
    "pytorch_lightning.Trainer",
    "evil_package.Network",
)
OF_ANOTHER_ROLE = (
    "sedcrnn.training.modules.SceneModule",
    "sedcrnn.training.loggers.TensorBoardLog",
    "sedcrnn.datasets.synthetic.Synthetic",
    "sedcrnn.networks.backbones.FrameEncoder",
    "sedcrnn.networks.audio.OrderedDict",
    "sedcrnn.networks.audio.nn.Module",
)


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages that leave a mark when they are imported; what the tests of this process have named is forgotten."""
    mark = tmp_path / "mark"
    for package in ("evil_package", "kind_package"):
        (tmp_path / f"{package}.py").write_text(
            textwrap.dedent(f"""
                from pathlib import Path
                from sedcrnn.networks import SceneNetwork
                from sedcrnn.networks.audio import AudioNetwork
                Path({str(mark)!r}).touch()
                class Network(AudioNetwork):
                    kind = "own"
                def network(**arguments):
                    return Network(**arguments)
            """)
        )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(targets.TRUST, raising=False)
    monkeypatch.setattr(targets, "_named", set())
    yield mark
    for package in ("evil_package", "kind_package"):
        sys.modules.pop(package, None)


def places(payload: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """A node in every place where a file may have one, and the role of the outermost."""
    return [
        (payload, "network"),
        ({**FUSION, "audio": payload}, "network"),
        ({**FUSION, "visual": {**VISUAL, "backbone": payload}}, "network"),
        ({**FUSION, "early": payload}, "network"),
        (payload, "feature"),
        ({**SPECTROGRAM, "bank": payload}, "feature"),
        (payload, "data_source"),
    ]


@pytest.mark.parametrize("target", FUNCTIONS)
def test_a_file_cannot_make_anything_be_imported_or_called(
    target: str, evil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "written"
    payload = {
        "_target_": target,
        "path": written,
        "text": "x",
        "command": f"touch {written}",
        "args": f"touch {written}",
    }
    imported: list[str] = []
    monkeypatch.setattr(targets, "_built", lambda *_: pytest.fail("built"))
    original = targets.importlib.import_module
    monkeypatch.setattr(targets.importlib, "import_module", lambda name: imported.append(name) or original(name))
    for node, role in places(payload):
        with pytest.raises(SedcrnnError):
            build(node, role, trusted=False)
    assert not written.exists()
    assert not evil.exists()
    assert "evil_package" not in sys.modules
    assert all(name.startswith("sedcrnn.networks") for name in imported), (
        "only for a name inside the package of networks"
    )


@pytest.mark.parametrize("target", OF_ANOTHER_ROLE)
def test_a_class_of_another_role_is_refused_in_every_place(target: str, evil: Path, tmp_path: Path) -> None:
    for node, role in places({"_target_": target, "root": str(tmp_path / "made"), "network": {}, "name": "vgg16"}):
        if (role, target) != ("data_source", "sedcrnn.datasets.synthetic.Synthetic"):
            with pytest.raises(SedcrnnError):
                build(node, role, trusted=False)
    assert not (tmp_path / "made").exists()


def test_a_function_or_an_imported_class_of_a_trusted_package_is_refused(
    evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(targets.TRUST, "other, evil_package")
    assert trusted_packages() == ("sedcrnn", "other", "evil_package")
    node = {"_target_": "evil_package.Network", "filters": [2, 2, 4]}
    assert build(node, "network", trusted=False).kind == "own"
    assert evil.exists()
    for name in ("network", "AudioNetwork", "SceneNetwork", "Path"):
        with pytest.raises(ConfigError, match=f"'evil_package.{name}' is no network"):
            build({**node, "_target_": f"evil_package.{name}"}, "network", trusted=False)


def test_one_untrusted_name_is_refused_before_any_trusted_one_is_imported(
    evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(targets.TRUST, "evil_package")
    node = {**FUSION, "audio": {"_target_": "evil_package.Network"}, "visual": {"_target_": "other_package.Network"}}
    with pytest.raises(TrustError, match=r"'other_package\.Network'.*SEDCRNN_TRUST=other_package"):
        build(node, "network", trusted=False)
    assert not evil.exists()


def test_what_the_users_own_config_names_is_trusted_by_this_process(evil: Path) -> None:
    node = {"_target_": "kind_package.Network", "filters": [2, 2, 4]}
    with pytest.raises(TrustError):
        build(node, "network", trusted=False)
    assert not evil.exists()
    resolve("kind_package.Network", "network")
    check_names(node, "network", trusted=False)
    resolve("torch.optim.Adam", "optimizer")
    assert "torch" not in trusted_packages(), "an optimiser is named by no file"


def test_checkpoints_and_onnx_files_are_built_as_files(evil: Path, tmp_path: Path) -> None:
    payload = {"_target_": "evil_package.Network"}
    checkpoint = Checkpoint(
        path=tmp_path / "best.ckpt",
        kind="own",
        network=payload,
        scenes=("a", "b"),
        features={"spectrogram": payload},
        data={"source": payload},
        recipe={},
        locations=frozenset(),
        seed=0,
        temperatures={},
        no_temperatures="",
        weights={},
    )
    with pytest.raises(TrustError):
        checkpoint.build()
    with pytest.raises(TrustError):
        checkpoint.data_config()

    class Model:
        path, scenes, features, heads = tmp_path, ("a", "b"), {"spectrogram": payload}, {"audio": ("spectrogram",)}

    with pytest.raises(TrustError):
        Predictor(Model())  # type: ignore[arg-type]
    assert not evil.exists()


def test_nodes_are_built_with_those_inside_them() -> None:
    feature = build(SPECTROGRAM, "feature", trusted=False)
    assert isinstance(feature, Spectrogram)
    assert feature.bank.bands == 64
    early = {"_target_": "sedcrnn.networks.early_fusion.GatedFusion"}
    network = build({**FUSION, "early": early}, "network", trusted=False)
    assert isinstance(network, FusionNetwork)
    assert type(network.early).__name__ == "GatedFusion"
    assert network.head_names == ("audio", "visual", "early", "late")
    optimizer = build({"_target_": "torch.optim.SGD", "lr": 0.1}, "optimizer", params=[torch.zeros(1)])
    assert isinstance(optimizer, torch.optim.SGD)


@pytest.mark.parametrize(
    ("node", "role", "words"),
    [
        ({"_target_": "sedcrnn.networks.audio.AudioNetwrk"}, "network", "There is no class"),
        ({"_target_": "nowhere.Network"}, "network", "There is no class 'nowhere.Network'"),
        ({**AUDIO, "filtres": [1]}, "network", "no argument 'filtres'. The nearest is 'filters'"),
        ({"_target_": "torch.optim.Adam"}, "scheduler", "'torch.optim.Adam' is no scheduler"),
        ({**FUSION, "early": {"_target_": "os.system"}}, "network", "'os.system' is no early fusion"),
    ],
)
def test_mistakes_in_the_users_own_config_are_errors_in_words(node: dict[str, Any], role: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(node, role)
