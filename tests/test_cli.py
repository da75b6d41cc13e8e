"""The command line: help and mistakes are answered before torch is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sedcrnn.__main__ import commands
from sedcrnn.cli import scored
from sedcrnn.errors import HopelessRunError
from sedcrnn.sweeps.processes import RESULT

NOTED = """
from pytorch_lightning.accelerators import CUDAAccelerator
from sedcrnn.cli import _show_messages
if {silenced}:
    _show_messages()
CUDAAccelerator.set_nvidia_flags(local_rank=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("silenced", [False, True])
def test_what_lightning_notes_of_gpus_is_not_shown(silenced: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTED.format(silenced=silenced)], capture_output=True, text=True, check=True
    )
    assert ("CUDA_VISIBLE_DEVICES" in done.stdout + done.stderr) is not silenced


def test_a_list_that_nobody_reads_to_its_end_ends_quietly() -> None:
    with subprocess.Popen([sys.executable, "-m", "sedcrnn"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        listing.stdout.close()
        assert listing.stderr is not None
        assert (listing.wait(60), listing.stderr.read()) == (141, b"")


# Each of these takes seconds to load: a mistake is answered without any of them.
HEAVY = {
    "torch",
    "timm",
    "pytorch_lightning",
    "torchmetrics",
    "torchvision",
    "scipy",
    "matplotlib",
    "numba",
    "wandb",
    "numpy",
}

PROBE = """
import sys, runpy
sys.argv = ["sedcrnn", *{arguments!r}]
try:
    runpy.run_module("sedcrnn", run_name="__main__", alter_sys=True)
except SystemExit as stopped:
    print("exit code", stopped.code)
print("loaded:", *sorted(set(sys.modules) & {heavy!r}))
"""


def answer(*arguments: str, folder: Path | None = None) -> tuple[str, str]:
    """What a command prints to both streams, in a fresh process that then says which heavy modules it has loaded."""
    code = PROBE.format(arguments=list(arguments), heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ["predict     The scene of every second of media files"]),
        ("--version", ["sedcrnn 0."]),
        ("train --version", ["sedcrnn 0."]),
        ("trian", ["There is no command 'trian'", "'train'"]),
        (
            "train --help",
            ["Usage: sedcrnn train", "sedcrnn train experiment=audio", "recipe.batch_size=32", "1 or more"],
        ),
        ("train --help experiment=fusion", ["model.network.early=gru", "cross_attention, linear, none)"]),
        ("predict --help", ["Usage: sedcrnn predict [<files> ...] [key=value ...]", "top=3"]),
        ("train experiment=audio --cfg job", ["batch_size: 32"]),
        ("train experiment=audio --cfg job recipe.batch_size=7", ["batch_size: 7"]),
        ("train", ["experiment=<choice> is not given", "audio_mel"]),
        ("train experiment=audoi", ["no choice 'experiment=audoi'", "the nearest is 'audio'"]),
        ("train experment=audio experiment=audio", ["'experment'", "'experiment'"]),
        ("train experiment=audio trainer.max_epoch=3", ["'trainer.max_epoch'", "'trainer.max_epochs'"]),
        ("train experiment=audio +trainer.max_epoch=3", ["'trainer.max_epoch'", "'trainer.max_epochs'"]),
        ("train experiment=audio recipe.batch_size=0", ["recipe.batch_size is 0", "greater than or equal to 1"]),
        ("train experiment=audio recipe.batch_size=-4", ["recipe.batch_size is -4"]),
        ("train experiment=audio trainer.max_epochs=many", ["trainer.max_epochs is 'many'", "a valid integer"]),
        ("train experiment=audio recipe.optimizer.lr=nan", ["recipe.optimizer.lr is nan"]),
        ("train experiment=audio model.network.dropout=1.5", ["model.network.dropout is 1.5"]),
        ("train experiment=audio trainer.precision=fp16", ["trainer.precision is 'fp16'", "'16-mixed'"]),
        ("train experiment=audio data.selection=test", ["data.selection is 'test'", "location_disjoint"]),
        ("train experiment=audio data.validation_fraction=1.5", ["data.validation_fraction is 1.5", "less than 1"]),
        ("train experiment=audio seed=-1", ["seed", "greater than or equal to 0"]),
        ("train experiment=audio recipe.early_stopping_patience=-1", ["recipe.early_stopping_patience is -1"]),
        ("train experiment=audio recipe.mixup_alpha=-1", ["recipe.mixup_alpha is -1"]),
        ("train experiment=audio name=", ["name is ''"]),
        ("train experiment=audio data=/recordings", ["data=folder data.root=<folder>"]),
        ("train experiment=audio data=folder", ["The folder of the data set is not given", "data.root=<folder>"]),
        ("train experiment=audio root=recordings", ["'root'", "'data.root'"]),
        ("train experiment=audio model._target_=sedcrnn.networks.audio.AudioNetwork", ["should be a module"]),
        ("train --experiment audio", ["--experiment"]),
        ("predict run=x topp=3", ["'topp'", "'top'"]),
        ("predict clip.mp4", ["'run' is not set"]),
        ("evaluate run=x fold=tset", ["fold is 'tset'", "'test'"]),
        ("data chek", ["action is 'chek'", "'check'"]),
        ("weights improt x.h5", ["action is 'improt'", "'import'"]),
        ("web run=x port=99999", ["port is 99999"]),
    ],
)
def test_help_and_mistakes_are_answered_in_words_and_without_anything_heavy(
    arguments: str, expected: list[str], tmp_path: Path
) -> None:
    out, err = answer(*arguments.split(), folder=tmp_path)
    *shown, loaded = out.strip().splitlines()
    assert loaded == "loaded:"
    assert all(text in "\n".join([*shown, err]) for text in expected), (shown, err)
    assert "Traceback" not in err
    assert "Error executing job" not in err
    mistake = not any(word.startswith("--") for word in arguments.split()) or "--experiment" in arguments
    if arguments and mistake:
        assert shown[-1] in ("exit code 1", "exit code 2")
        assert not list(tmp_path.iterdir())


def test_every_command_has_a_line_of_its_own_and_help(tmp_path: Path) -> None:
    lines = commands()
    assert {"train", "pipeline", "evaluate", "predict", "report", "weights", "data"} <= lines.keys()
    assert all(line.endswith((".", ":")) or line.endswith(")") or "->" in line for line in lines.values()), lines
    assert len(set(lines.values())) == len(lines)


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_help_of_every_command_has_usage_examples_and_keys_in_sentences(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = __import__(f"sedcrnn.{name}", fromlist=["main"])
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    module.main()
    text = capsys.readouterr().out
    assert f"Usage: sedcrnn {name}" in text
    assert f"\nsedcrnn {name}" in text
    keys = text[text.index("Keys (key=value)") :].splitlines()[1:]
    described = [line for line in keys if line.startswith("  ") and "=" in line]
    assert described
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("arguments", ["train --help experiment=fusion", "weights list"])
def test_whoever_reads_the_output_may_stop_reading(arguments: str) -> None:
    command = f"{sys.executable} -u -m sedcrnn {arguments} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_training_that_its_sweep_ended_hands_back_the_score_so_far_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @scored
    def work(config: str) -> float:
        if config == "well":
            return 0.9
        raise HopelessRunError("It was ended", "Few are", "Go on", tmp_path)

    monkeypatch.setenv(RESULT, str(tmp_path / "result.json"))
    record = {"status": "hopeless", "name": "audio", "seed": 0, "best": {"validation/macro_accuracy": 0.25}}
    (tmp_path / "record.json").write_text(json.dumps({**record, "finished": "2026-01-01T00:00:00"}))
    assert (work("well"), capsys.readouterr().out) == (0.9, "")
    assert not (tmp_path / "result.json").exists()
    assert work("badly") == 0.25
    assert capsys.readouterr().out == "\nIt was ended. Few are. Go on.\n"
    handed_back = json.loads((tmp_path / "result.json").read_text())
    assert (handed_back["score"], handed_back["hopeless"]) == (0.25, True)
