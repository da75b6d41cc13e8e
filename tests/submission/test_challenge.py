"""From a trained network and numbered files to a checked submission; and what is refused before any file is read."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from sedcrnn import submit as submit_command
from sedcrnn.config.checking import checked
from sedcrnn.config.composition import CONF
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.errors import CheckpointError, ClipError, ConfigError, DataError, SubmissionError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.features.spectrogram import scale_window
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.submission.challenge import SubmitConfig, submit
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]
LABEL = "Cobos_UV_task1b_1"
FILES = 12
ENTRY = f"""
defaults: [submit, _self_]
files: {FILES}
workers: 0
batch_size: 5
submission:
  label: {LABEL}
  name: Squeeze-excitation CRNN
  abbreviation: SE-CRNN
  authors:
    - lastname: Cobos
      firstname: Maximo
      email: m@example.org
      corresponding: true
      affiliation: {{abbreviation: UV, institute: Universitat de València, location: "València, Spain"}}
system:
  description: {{external_data_usage: null}}
  external_datasets: []
"""


@pytest.fixture(scope="module")
def ten_scenes(tau_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media of the shared data set, under names of all ten scenes: three places in training, one in test."""
    root = tmp_path_factory.mktemp("ten")
    for folder in ("audio", "video", "evaluation_setup"):
        (root / folder).mkdir()
    media = sorted((tau_root / "audio").iterdir())
    lists: dict[str, list[str]] = {"fold1_train.csv": [], "fold1_evaluate.csv": []}
    for number, scene in enumerate(4 * TAU_SCENES):
        source, name = media[number % len(media)].stem, f"{scene}-lisbon-{number}-1"
        shutil.copy(tau_root / "audio" / f"{source}.wav", root / "audio" / f"{name}.wav")
        shutil.copy(tau_root / "video" / f"{source}.mp4", root / "video" / f"{name}.mp4")
        fold = "fold1_evaluate.csv" if number >= 30 else "fold1_train.csv"
        lists[fold].append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for fold, rows in lists.items():
        lines = ["filename_audio\tfilename_video\tscene_label", *rows]
        (root / "evaluation_setup" / fold).write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def evaluation_set(make_evaluation_set: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation_set(tmp_path_factory.mktemp("evaluation") / "set", FILES)


@pytest.fixture
def audio_run(stage: Stage, ten_scenes: Path) -> Path:
    return train(stage("audio", f"data.root={ten_scenes}", "trainer.max_epochs=1"))


@pytest.fixture
def arguments(tmp_path: Path, shared_store: Path, evaluation_set: Path) -> list[str]:
    """Command line of a submission by the authors of `ENTRY`, without the run."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "entry.yaml").write_text(ENTRY)
    return [f"root={evaluation_set}", f"store={shared_store}", f"out={tmp_path / 'out'}"]


@pytest.fixture
def config(arguments: list[str], tmp_path: Path) -> Callable[..., SubmitConfig]:
    def compose_config(*overrides: str) -> SubmitConfig:
        with initialize_config_dir(str(tmp_path / "my"), version_base="1.3"):
            search = f"hydra.searchpath=[{CONF}]"
            composed: SubmitConfig = checked(compose("entry", [search, *arguments, *overrides]), SubmitConfig)
        return composed

    return compose_config


def run_submit(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sedcrnn.submit", *arguments])
    try:
        submit_command.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def direct_forward_pass(run: Path, evaluation_set: Path) -> dict[str, torch.Tensor]:
    """Head -> (file, scene) probabilities, from the files to the network by hand, all in one batch."""
    checkpoint = load_checkpoint(str(run))
    network = checkpoint.build()
    features = {name: build(node, "feature") for name, node in checkpoint.features.items()}
    spectrogram, frames = [], []
    for number in range(FILES):
        columns = features["spectrogram"].extract(evaluation_set / "audio" / f"{number}.wav")
        decibels = features["spectrogram"].decode(columns.transpose(1, 2, 0))
        spectrogram.append(torch.from_numpy(scale_window(decibels)))
        pictures = features["frames"].extract(evaluation_set / "video" / f"{number}.mp4")
        frames.append(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    with torch.inference_mode():
        heads = network.heads(spectrogram=torch.stack(spectrogram), frames=torch.stack(frames))
    return {head: logits.softmax(-1) for head, logits in heads.items()}


def read_output(folder: Path) -> list[dict[str, str]]:
    with (folder / f"{folder.name}.output.csv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def probabilities(rows: list[dict[str, str]]) -> torch.Tensor:
    return torch.tensor([[float(row[scene]) for scene in TAU_SCENES] for row in rows])


def test_a_fusion_network_from_training_to_a_checked_submission(
    stage: Stage,
    audio_run: Path,
    ten_scenes: Path,
    evaluation_set: Path,
    shared_store: Path,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = [f"data.root={ten_scenes}", "trainer.max_epochs=1"]
    visual_run = train(stage("visual", *own))
    run = train(stage("fusion", *own, f"init_from.audio={audio_run}", f"init_from.visual={visual_run}"))
    metrics = json.loads(evaluate(str(run), workers=0, store=str(shared_store)).read_text())
    command = ["--config-dir", str(tmp_path / "my"), "--config-name", "entry", *arguments, f"run={run}"]

    assert run_submit(monkeypatch, *command) == 0
    folder = tmp_path / "out" / "task1" / LABEL
    assert str(folder / f"{LABEL}.output.csv") in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [f"{LABEL}.meta.yaml", f"{LABEL}.output.csv"]
    rows = read_output(folder)
    assert [row["filename"] for row in rows] == [f"{number}.wav" for number in range(FILES)]
    expected = direct_forward_pass(run, evaluation_set)
    torch.testing.assert_close(probabilities(rows), expected["late"], rtol=1e-4, atol=1e-6)
    assert [row["scene_label"] for row in rows] == [TAU_SCENES[index] for index in expected["late"].argmax(-1)]
    meta = yaml.safe_load((folder / f"{LABEL}.meta.yaml").read_text(encoding="utf-8"))
    late = metrics["heads"]["late"]
    assert meta["system"]["complexity"]["total_parameters"] == late["parameters"]
    assert meta["submission"]["authors"][0]["affiliation"]["institute"] == "Universitat de València"
    results = meta["results"]["development_dataset"]
    assert results["overall"]["logloss"] == pytest.approx(late["window"]["macro_log_loss"], abs=1e-4)
    assert results["overall"]["accuracy"] == pytest.approx(100 * late["window"]["macro_accuracy"], abs=0.01)
    assert results["class_wise"]["tram"]["logloss"] == pytest.approx(
        late["window"]["class_wise"]["tram"]["log_loss"], abs=1e-4
    )

    # The early head, under a label of its own; and a submission is never written over.
    assert run_submit(monkeypatch, *command, "head=early", "submission.label=Cobos_UV_task1b_2") == 0
    early = read_output(tmp_path / "out" / "task1" / "Cobos_UV_task1b_2")
    torch.testing.assert_close(probabilities(early), expected["early"], rtol=1e-4, atol=1e-6)
    capsys.readouterr()
    assert run_submit(monkeypatch, *command) == 1
    assert "never written over" in capsys.readouterr().err

    # The finished folder by itself.
    assert run_submit(monkeypatch, f"check={folder}", f"files={FILES}") == 0
    assert "keeps the rules" in capsys.readouterr().out
    assert run_submit(monkeypatch, f"check={folder}") == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "71,988 file names are missing" in told


def test_what_cannot_be_submitted_is_refused_and_leaves_nothing(
    audio_run: Path,
    ten_scenes: Path,
    evaluation_set: Path,
    shared_store: Path,
    config: Callable[..., SubmitConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CheckpointError, match=r"metrics\.json does not exist\..*python -m sedcrnn\.evaluate run="):
        submit(config(f"run={audio_run}"))
    metrics = evaluate(str(audio_run), workers=0, store=str(shared_store))
    for overrides, error, message in [
        ([f"run={tmp_path}"], CheckpointError, "There is no checkpoint"),
        (["head=audoi"], ConfigError, "head is 'audoi'.*nearest is 'audio'"),
        (["submission.label=Cobos_UV_task1b_9"], SubmissionError, "breaks 1 rule .*submission.label"),
        (["submission.abbreviation=elevenchars"], SubmissionError, "breaks 1 rule .*at most 10 characters"),
        (["+system.description.optimiser=Adam"], SubmissionError, "description.optimiser is no key of the form"),
        (["system.description=null"], SubmissionError, "breaks 11 rules .*description.input_channels is missing"),
        (["root=nowhere"], DataError, "does not exist: nowhere"),
        (["files=0"], ConfigError, "files is 0.*1 or more"),
        (["workers=-1"], ConfigError, "workers is -1.*0 or more"),
        (["device=gpu"], ConfigError, "device is 'gpu', which torch refuses: Expected one of cpu"),
        (["files=14"], DataError, "2 of 14 files"),
    ]:
        with pytest.raises(error, match=message):
            submit(config(f"run={audio_run}", *overrides))
    with monkeypatch.context() as patch:
        patch.setattr(submit_command, "TAU_SCENES", ("bus", "park"))
        with pytest.raises(CheckpointError, match=r"trained for the scenes airport.*challenge has bus, park"):
            submit(config(f"run={audio_run}"))
    broken = shutil.copytree(evaluation_set, tmp_path / "broken")
    (broken / "audio" / "7.wav").write_bytes(b"RIFF")
    with pytest.raises(ClipError, match=r"7\.wav"):
        submit(config(f"run={audio_run}", f"root={broken}"))
    report = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**report, "of": {**report["of"], "checkpoint": "another"}}))
    with pytest.raises(CheckpointError, match="tells of other weights"):
        submit(config(f"run={audio_run}"))
    metrics.write_text(json.dumps(report))
    assert not (tmp_path / "out").exists()

    # A system that only listens asks for no video.
    shutil.rmtree(broken / "video")
    shutil.copy(evaluation_set / "audio" / "7.wav", broken / "audio" / "7.wav")
    folder = submit(config(f"run={audio_run}", f"root={broken}"))
    meta = yaml.safe_load((folder / f"{LABEL}.meta.yaml").read_text(encoding="utf-8"))
    assert meta["system"]["complexity"]["total_parameters_visual"] == 0
    assert meta["system"]["description"]["visual_embeddings"] is None
    assert len(read_output(folder)) == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run=x", "root=y"], ["'submission.label'", "mandatory"]),
        (["rum=x"], ["'rum'", "'run'"]),
        (["submission.lable=x"], ["'submission.lable'", "'submission.label'"]),
        (["check=nowhere"], ["There is no folder nowhere"]),
        (["check=nowhere", "files=many"], ["files", "many"]),
        (["check=nowhere", "+fils=12"], ["'fils'", "'files'"]),
    ],
)
def test_mistakes_on_the_command_line_are_one_paragraph(
    arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_submit(monkeypatch, *arguments) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "\n" not in told[told.index("Error: ") :].strip()
    assert all(word in told for word in words)
