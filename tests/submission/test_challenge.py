"""From a trained network and numbered files to a checked table; and what is refused before any file is read."""

import csv
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from sedcrnn import submit as submit_command
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.errors import CheckpointError, ClipError, ConfigError, DataError, SubmissionError
from sedcrnn.runs.checkpoints import BEST, load_checkpoint, write_checkpoint
from sedcrnn.submission import challenge
from sedcrnn.submission.challenge import submit
from sedcrnn.training.stage import train
from tests.commands import exit_code
from tests.conftest import compose_stage, small_overrides, write_sound, write_video

FILES = 12


@pytest.fixture(scope="module")
def ten_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media under names of all ten scenes: three locations in training, one in test."""
    root = tmp_path_factory.mktemp("ten")
    for folder in ("audio", "video", "evaluation_setup"):
        (root / folder).mkdir()
    lists: dict[str, list[str]] = {"fold1_train.csv": [], "fold1_evaluate.csv": []}
    for number, scene in enumerate(4 * TAU_SCENES):
        name = f"{scene}-lisbon-{number}-1"
        write_sound(root / "audio" / f"{name}.wav", number % 2 == 0, 200 + number)
        write_video(root / "video" / f"{name}.mp4", (180, 40, 40), 200 + number)
        fold = "fold1_evaluate.csv" if number >= 30 else "fold1_train.csv"
        lists[fold].append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for fold, rows in lists.items():
        lines = ["filename_audio\tfilename_video\tscene_label", *rows]
        (root / "evaluation_setup" / fold).write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def evaluation_set(make_evaluation_set: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation_set(tmp_path_factory.mktemp("evaluation") / "set", FILES)


@pytest.fixture(scope="module")
def stage(ten_scenes: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainConfig]:
    small = small_overrides(shared_store, tmp_path_factory.mktemp("submission") / "runs")
    return partial(compose_stage, ["data=tau2021", f"data.root={ten_scenes}", *small, "trainer.max_epochs=1"])


@pytest.fixture(scope="module")
def audio_run(stage: Callable[..., TrainConfig]) -> Path:
    run = train(stage("audio"))
    assert run is not None
    return run


def run_submit(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return exit_code(monkeypatch, submit_command, *arguments)


def direct_forward_pass(run: Path, evaluation_set: Path) -> dict[str, torch.Tensor]:
    """Head -> (file, scene) probabilities, from the files to the network by hand, all in one batch."""
    checkpoint = load_checkpoint(str(run))
    network = checkpoint.build()
    features = {name: build(node, "feature") for name, node in checkpoint.features.items()}
    spectrogram, frames = [], []
    for number in range(FILES):
        columns = features["spectrogram"].extract(evaluation_set / "audio" / f"{number}.wav")
        decibels = torch.from_numpy(features["spectrogram"].decoded(columns).transpose(1, 2, 0).copy())
        low, high = decibels.min(), decibels.max()
        spectrogram.append((decibels - low) / (high - low) * 2 - 1)
        pixels = features["frames"].extract(evaluation_set / "video" / f"{number}.mp4")
        frames.append(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    with torch.inference_mode():
        heads = network.heads(spectrogram=torch.stack(spectrogram), frames=torch.stack(frames))
    return {head: logits.softmax(-1) for head, logits in heads.items()}


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def probabilities(rows: list[dict[str, str]]) -> torch.Tensor:
    return torch.tensor([[float(row[scene]) for scene in TAU_SCENES] for row in rows])


def test_a_fusion_network_from_training_to_a_checked_table(
    stage: Callable[..., TrainConfig],
    audio_run: Path,
    evaluation_set: Path,
    shared_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = train(stage("fusion", f"init_from.audio={audio_run}", f"init_from.visual={train(stage('visual'))}"))
    assert run is not None
    output = tmp_path / "out" / "submission.output.csv"
    common = [str(run), f"data.root={evaluation_set}", f"files={FILES}", "extraction_workers=0", "batch_size=5"]
    command = [*common, f"store={shared_store}", "device=cpu"]

    assert run_submit(monkeypatch, *command, f"output={output}") == 0
    assert f"{output} keeps the rules of DCASE 2021 Task 1B, for 12 files." in capsys.readouterr().out
    rows = read_table(output)
    assert [row["filename"] for row in rows] == [f"{number}.wav" for number in range(FILES)]
    expected = direct_forward_pass(run, evaluation_set)
    torch.testing.assert_close(probabilities(rows), expected["late"], rtol=1e-4, atol=1e-6)
    assert [row["scene_label"] for row in rows] == [TAU_SCENES[index] for index in expected["late"].argmax(-1)]

    # The early head, in a table of its own; and a table is never written over.
    early = tmp_path / "early.csv"
    assert run_submit(monkeypatch, *command, "head=early", f"output={early}") == 0
    torch.testing.assert_close(probabilities(read_table(early)), expected["early"], rtol=1e-4, atol=1e-6)
    capsys.readouterr()
    assert run_submit(monkeypatch, *command, f"output={output}") == 1
    assert "never written over" in capsys.readouterr().err

    # The finished table by itself.
    assert run_submit(monkeypatch, f"check={output}", f"files={FILES}") == 0
    assert "keeps the rules" in capsys.readouterr().out
    assert run_submit(monkeypatch, f"check={output}") == 1
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert "71,988 file names are missing" in message


def test_what_cannot_be_submitted_is_refused_and_leaves_nothing(
    audio_run: Path, evaluation_set: Path, shared_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out" / "output.csv"
    plain = {
        "run": str(audio_run),
        "root": str(evaluation_set),
        "output": output,
        "files": FILES,
        "extraction_workers": 0,
        "store": str(shared_store),
        "device": "cpu",
    }
    for changes, error, message in [
        ({"run": str(tmp_path / "gone")}, CheckpointError, "There is no checkpoint"),
        ({"head": "audoi"}, ConfigError, "head is 'audoi'.*nearest is 'audio'"),
        ({"root": "nowhere"}, DataError, "does not exist: nowhere.*data.root="),
        ({"device": "gpu"}, ConfigError, "gpu.*Expected one of cpu"),
        ({"files": 14}, DataError, "2 of 14 files"),
        ({"output": audio_run / "config.yaml"}, SubmissionError, "config.yaml exists.*never written over"),
    ]:
        with pytest.raises(error, match=message):
            submit(**{**plain, **changes})
    with monkeypatch.context() as patch:
        patch.setattr(challenge, "TAU_SCENES", ("bus", "park"))
        with pytest.raises(CheckpointError, match=r"trained for the scenes airport.*challenge has bus, park"):
            submit(**plain)
    broken = shutil.copytree(evaluation_set, tmp_path / "broken")
    (broken / "audio" / "7.wav").write_bytes(b"RIFF")
    with pytest.raises(ClipError, match=r"7\.wav"):
        submit(**{**plain, "root": str(broken)})
    assert not output.parent.exists()

    # Nothing is calibrated without a temperature.
    content = torch.load(audio_run / BEST, weights_only=True)
    content.pop("temperatures")
    write_checkpoint(content, tmp_path / "earlier.ckpt")
    with pytest.raises(CheckpointError, match=r"calibrated=true, and .*earlier\.ckpt has no temperature"):
        submit(**{**plain, "run": str(tmp_path / "earlier.ckpt"), "calibrated": True})

    # A system of the audio alone asks for no video.
    shutil.rmtree(broken / "video")
    shutil.copy(evaluation_set / "audio" / "7.wav", broken / "audio" / "7.wav")
    submit(**{**plain, "root": str(broken)})
    assert len(read_table(output)) == FILES
    raw, output = probabilities(read_table(output)), output.with_name("calibrated.csv")
    submit(**{**plain, "output": output, "calibrated": True})
    powers = raw.double() ** (1 / load_checkpoint(str(audio_run)).temperatures["audio"])
    expected = powers / powers.sum(1, keepdim=True)
    torch.testing.assert_close(probabilities(read_table(output)).double(), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(raw.double(), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.root=y"], ["'run' is not set"]),
        (["run=x"], ["folder of the data set is not given", "data.root=<folder>"]),
        (["rum=x"], ["'rum'", "'run'"]),
        (["check=nowhere"], ["nowhere breaks 1 rule", "the file is missing"]),
        (["check=nowhere", "files=many"], ["files", "many"]),
        (["check=nowhere", "files=0"], ["files is 0", "greater than or equal to 1"]),
        (["run=x", "data.root=y", "extraction_workers=-1"], ["extraction_workers is -1"]),
        (["check=nowhere", "+fils=12"], ["'fils'", "'files'"]),
    ],
)
def test_mistakes_on_the_command_line_are_one_paragraph(
    arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_submit(monkeypatch, *arguments) == 1
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert "\n" not in message[message.index("Error: ") :].strip()
    assert all(word in message for word in words), message
