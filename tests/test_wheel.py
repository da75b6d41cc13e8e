"""The wheel holds all that commands need: they work in an empty folder, where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as pip would install it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, check=True, capture_output=True, cwd=PROJECT)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-m", "sedcrnn", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    return start


@pytest.mark.slow
def test_an_installed_package_lists_helps_trains_evaluates_and_predicts_in_an_empty_folder(
    run: Run, installed: Path, tmp_path: Path, small: list[str], tau_root: Path
) -> None:
    assert not (installed / "sedcrnn" / "benchmarks").exists()
    assert "  train " in run().stdout
    assert "Usage: sedcrnn train" in run("train", "--help").stdout
    options = [*small, "experiment=audio", "model.network.filters=[4,4,8]", "trainer.max_epochs=2", "runs=runs"]
    trained = run("train", *options)
    assert trained.returncode == 0, trained.stderr
    assert "Next: sedcrnn evaluate run=runs/audio-s0-" in trained.stdout
    for fold in ("validation", "test"):
        evaluated = run("evaluate", "audio", f"fold={fold}")
        assert evaluated.returncode == 0, evaluated.stderr
    predicted = run("predict", "run=latest", str(next((tau_root / "audio").glob("*.wav"))))
    assert predicted.returncode == 0, predicted.stderr
    assert "audio head" in predicted.stdout
    reported = run("report")
    assert reported.returncode == 0, reported.stderr
    assert (tmp_path / "runs" / "report.html").is_file()
