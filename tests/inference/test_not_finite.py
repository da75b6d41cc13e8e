"""A probability that is not finite is an error with the file, the second and the head, and never an answer."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import sedcrnn
from sedcrnn.errors import ClipError, SedcrnnError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.inference.media_predictions import predict_files
from sedcrnn.inference.onnx_export import write_onnx
from sedcrnn.runs.checkpoints import load_checkpoint, read_content, write_checkpoint

WORDS = r"probabilities for second \d of '.*', by its head '{}', are not finite"


@pytest.fixture(scope="module")
def broken(make_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audio network one of whose weights is not a number, as a training that went wrong leaves it."""
    path = tmp_path_factory.mktemp("broken") / "broken.ckpt"
    content = read_content(make_checkpoint("audio") / "checkpoints" / "best.ckpt")
    content["state_dict"]["network.dense.weight"][3, 2] = math.nan
    write_checkpoint(content, path)
    return path


def test_a_file_is_not_answered_for_and_listed(
    broken: Path, write_media: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_media(tmp_path / "clip.wav.mp4", video=0)
    with pytest.raises(ClipError, match=r"for second 0 of '.*clip\.wav\.mp4', by its head 'audio', are not finite"):
        sedcrnn.load(broken).predict(clip)
    options = dict.fromkeys(("audio", "head", "json", "plot", "batch_size"))
    with pytest.raises(SedcrnnError, match="1 of 1 files could not be predicted"):
        predict_files(
            str(broken),
            [str(clip)],
            top=1,
            csv=str(tmp_path / "a.csv"),
            calibrated=False,
            device="cpu",
            precision="32-true",
            damage="skip",
            **options,
        )
    shown = capsys.readouterr()
    assert "are not finite" in shown.err
    assert "nan" not in shown.out + (tmp_path / "a.csv").read_text()


def test_later_seconds_are_named_by_their_number(
    make_checkpoint: Callable[[str], Path],
    write_media: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = sedcrnn.load(make_checkpoint("audio"))
    original, calls = predictor.model.probabilities, []

    def with_infinity(inputs):
        found = original(inputs)
        calls.append(len(found["audio"]))
        if len(calls) == 2:
            found["audio"][1, 0] = math.inf
        return found

    monkeypatch.setattr(predictor.model, "probabilities", with_infinity)
    with pytest.raises(ClipError, match="for second 3 of"):
        predictor.predict(write_media(tmp_path / "clip.mp4", video=0, audio=5), batch_size=2)


def test_no_fold_is_scored(broken: Path, shared_store: Path, tmp_path: Path) -> None:
    run = tmp_path / "broken.ckpt"
    shutil.copy(broken, run)
    for score in (evaluate, robustness):
        with pytest.raises(SedcrnnError, match=WORDS.format("audio")):
            score(str(run), store=str(shared_store), extraction_workers=0)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.slow
def test_an_onnx_file_does_not_answer_either(broken: Path, write_media: Callable[..., Path], tmp_path: Path) -> None:
    checkpoint = load_checkpoint(str(broken))
    examples = {"spectrogram": torch.zeros(2, 3, 64, 50)}
    write_onnx(checkpoint.build(), examples, tmp_path / "a.onnx", checkpoint.scenes, checkpoint.features)
    with pytest.raises(ClipError, match=WORDS.format("audio")):
        sedcrnn.load(tmp_path / "a.onnx").predict(write_media(tmp_path / "clip.mp4", video=0))
