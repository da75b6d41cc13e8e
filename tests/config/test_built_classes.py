"""Of every class that a file may name: building it writes nothing, starts nothing, connects to nothing, and imports
nothing that is not trusted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("building_program.py")
OURS = {"sedcrnn", "torch", "timm", "torchvision", "torchaudio", "numpy", "numba", "scipy", "nnAudio", "librosa"}


@pytest.mark.slow
def test_building_what_a_file_may_name_has_no_side_effects(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    passing = {(role, name.rpartition(".")[2]) for role, name in said["passing"]}
    assert {role for role, _ in passing} == {"network", "early_fusion", "feature", "filter_bank", "data_source"}
    concrete = {name.rpartition(".")[2] for name in said["built"]}
    assert {"AudioNetwork", "AudioEncoderNetwork", "VisualNetwork", "FusionNetwork"} <= concrete
    assert {"Spectrogram", "Frames", "MelBank", "CQTBank", "RecursiveGammatone", "FourierGammatone"} <= concrete
    assert {"Tau2021", "Folder", "ManifestFile", "Synthetic", "GruFusion", "GatedFusion"} <= concrete
    assert said["events"] == []
    assert set(said["imported"]) <= OURS
    assert list(tmp_path.iterdir()) == []
