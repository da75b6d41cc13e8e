"""Random values, overrides and edits of small files, through the real commands: each is answered in words, or works.

python -m tests.fuzz.configs [number] [seed]     (make fuzz-configs)

Stages are trained up to their first step. What ends in a traceback is a fault; so is what only a stage that has touched
its data finds out, though it could have been known before. Both are printed with what leads to them.
"""

import contextlib
import importlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from sedcrnn.config.checking import dotted_keys
from sedcrnn.config.composition import CONF, choices, compose

SECONDS = 20  # that a command may take
PLACES = ("data.root", "store", "runs", "page", "trainer.accelerator", "trainer.devices", "data.source.root")
VALUES = """abc -1 0 1 2 0.5 -0.5 1.5 nan inf -inf 1e400 1e-400 1e30 99999999999999999999999 null [] [a,b] [1,2] [null] {}
{a:1} {a:{b:c}} true false '' "x" 'x "[1, ${ ${nope} ${oc.env:NOPE} ${nope:1} a,b é 日本 ??? 0x10 1_000 yes no ~ - = == % # !a
1e3 +1 .5 5. 00 [[1]] [nan] a=b a:b (a) choice(1,2) range(1) \\ \\' $x /tmp ../.. . adam float64 cuda tpu""".split()
VALUES += ["", " ", "a b", "x" * 5000, "9" * 5000, "[" * 300, "\udcff", "\t", "a\nb"]


class ReachedError(BaseException):
    """A stage has come as far as it is to."""


@dataclass(frozen=True)
class Outcome:
    """What a command did: `code` 0 with `reached` is a stage that began; `late` is a mistake told after the data."""

    code: int
    shown: str
    late: bool

    @property
    def fault(self) -> str:
        if "Traceback" in self.shown or self.code not in (0, 1):
            return f"exit code {self.code}: " + " | ".join(self.shown.strip().splitlines()[-4:])[-500:]
        if self.code == 1 and "Error: " not in self.shown:
            return "it failed without a word"
        return f"late: {self.shown.strip().splitlines()[-1][-300:]}" if self.late else ""


def run(command: str, arguments: Sequence[str]) -> Outcome:
    """A command in this process, as far as the first step of a stage."""
    shown, touched = io.StringIO(), []

    def stop(*_: Any, **__: Any) -> None:
        raise ReachedError

    module = importlib.import_module(f"sedcrnn.{command}")
    scene_data, modules = (importlib.import_module(f"sedcrnn.{name}") for name in ("datasets.scene_data", "training.modules"))
    prepare = scene_data.SceneData.prepare_data
    before = dict(os.environ)
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", [command, *arguments]))
        stack.enter_context(patch.object(modules.SceneModule, "on_train_batch_end", stop))
        stack.enter_context(
            patch.object(scene_data.SceneData, "prepare_data", lambda self: (touched.append(1), prepare(self))[1])
        )
        stack.enter_context(contextlib.redirect_stdout(shown))
        stack.enter_context(contextlib.redirect_stderr(shown))
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(SECONDS)
        try:
            module.main()
            code: Any = 0
        except SystemExit as error:
            code = error.code
        except ReachedError:
            code = 0
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
            GlobalHydra.instance().clear()
            os.environ.clear()
            os.environ.update(before)
    code = 0 if code is None else code
    known_late = any(one in shown.getvalue() for one in KNOWN_LATE)
    late = command == "train" and code == 1 and bool(touched) and not known_late
    return Outcome(code if isinstance(code, int) else 99, shown.getvalue() + ("" if isinstance(code, int) else code), late)


KNOWN_LATE = ("data set", "fold", "clips", "clip", "The city")  # what only the data can tell


def _too_long(*_: object) -> None:
    raise TimeoutError(f"it takes more than {SECONDS} s")


@dataclass(frozen=True)
class Small:
    """A small data set, its manifest, a finished and evaluated run on it, and overrides that use them."""

    folder: Path
    overrides: tuple[str, ...]

    def stage(self, experiment: str) -> list[str]:
        return [f"experiment={experiment}", *self.overrides, *_NETWORKS[experiment]]


_NETWORKS = {
    "audio": ["model.network.filters=[4,4,8]"],
    "visual": ["model.network.backbone=test_resnet", "model.network.hidden=4", "init_from.encoder=random"],
    "fusion": ["model=fusion_new", "model.network.audio.filters=[4,4,8]", "model.network.visual.backbone=test_resnet",
               "model.network.hidden=4", "init_from.audio=null", "init_from.visual=null", "init_from.encoder=random"],
}  # fmt: skip


def override(rng: random.Random, small: Small) -> tuple[str, list[str]]:
    """A command with one or two random values."""
    experiment = rng.choice([*_NETWORKS])
    arguments = small.stage(experiment)
    config = compose("train", arguments)
    keys = [key for key in dotted_keys(config) if key not in PLACES]
    for _ in range(rng.choice((1, 1, 2))):
        key, value = rng.choice(keys), rng.choice(VALUES)
        kind = rng.randrange(12)
        if kind < 8:
            arguments.append(f"{key}={value}")
        elif kind == 8:
            arguments.append(rng.choice((f"~{key}", f"+{key}.new={value}", f"++{key}={value}", f"{key[:-1]}={value}")))
        elif kind == 9:
            group = rng.choice(("model", "recipe", "trainer", "data", "features", "logger", "callbacks", "debug", "network"))
            arguments.append(f"{group}={rng.choice([*choices(group), value])}")
        elif kind == 10:
            arguments.append(rng.choice((value, f"--{value}", f"{value}=1", f"={value}", f"hydra.{value}=1", f"{key}@{value}")))
        else:
            arguments.append(f"{rng.choice(keys)}._target_={rng.choice(('os.system', 'abc', 'torch.nn.Linear', 'a.b', value))}")
    return "train", arguments


def other_command(rng: random.Random, small: Small) -> tuple[str, list[str]]:
    """A random value of another command."""
    command = rng.choice(("evaluate", "report", "predict", "data", "extract", "inspect", "summary", "submit", "weights"))
    importlib.import_module(f"sedcrnn.{command}")  # which registers its options
    run_folder = next((small.folder / "runs").glob("*-s0-*"))
    given = {
        "evaluate": ["run", str(run_folder), f"store={small.folder}/store"],
        "report": [f"runs={small.folder}/runs", f"page={small.folder}/page.html"],
        "predict": [f"run={run_folder}", str(next((small.folder / "data/audio").iterdir()))],
        "data": ["check", *small.overrides[:2]],
        "extract": [*small.overrides[:2], "features=small", "only=spectrogram", f"store={small.folder}/store"],
        "inspect": [str(next((small.folder / "data/audio").iterdir())), f"output={small.folder}/a.png", "features=small"],
        "summary": ["model=audio"],
        "submit": [f"run={run_folder}", f"data.root={small.folder}/data", f"output={small.folder}/s.csv", "files=3"],
        "weights": ["list"],
    }[command]
    given = [f"run={given[1]}", *given[2:]] if command == "evaluate" else given
    keys = [*dotted_keys(compose(command)), "files", "x"]
    return command, [*given, f"{rng.choice(keys)}={rng.choice(VALUES)}"]


def edited(rng: random.Random, content: bytes) -> bytes:
    """A small file with a random edit."""
    lines = content.splitlines(keepends=True) or [b""]
    place = rng.randrange(len(lines))
    at = rng.randrange(len(content) + 1)
    match rng.randrange(14):
        case 0:
            return b""
        case 1:
            return content[:at]
        case 2:
            del lines[place]
        case 3:
            lines.insert(place, lines[place])
        case 4:
            lines[place] = rng.choice((b" ", b"  ", b"\t")) + lines[place]
        case 5:
            lines[place] = lines[place].lstrip()
        case 6:
            lines[place] = lines[place].partition(b":")[0] + b": " + rng.choice(VALUES).encode(errors="replace") + b"\n"
        case 7:
            return content[:at] + bytes([rng.choice(b":[]{}&*!|>'\"%@#\t,-?\x00\xff\xc3")]) + content[at + 1 :]
        case 8:
            return bytes(rng.randrange(256) for _ in range(200))
        case 9:
            return rng.choice((b"[1, 2]", b"a", b"3", b"null", b"{}", b"- a\n- b\n", b"\xff\xfe", b"[" * 3000, b"{" * 500))
        case 10:
            return b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")
        case 11:
            return content + rng.choice((b"\ndefaults: 3\n", b"\n? [a]\n: b\n", b"\n1: 2\n", b"\n<<: 3\n", b"\n...\nx", b"\n---\na: 1\n"))
        case 12:
            return content.replace(rng.choice(lines).strip() or b"\n", b"")
        case _:
            swapped = rng.sample(lines, len(lines))
            return b"".join(swapped)
    return b"".join(lines)


def edit(rng: random.Random, small: Small) -> tuple[str, list[str]]:
    """A command with an edited file: of an experiment or of this machine's values, in a folder of the user's."""
    own = small.folder / "own"
    shutil.rmtree(own, ignore_errors=True)
    experiment = rng.choice([*_NETWORKS])
    name = rng.choice(("experiment/mine.yaml", "local/default.yaml", "recipe/mine.yaml", "data/mine.yaml"))
    source = {"local": b"# @package _global_\nstore: data/store\nruns: runs\ntrainer:\n  max_epochs: 3\nseed: 1\n"}.get(
        name.split("/")[0], b""
    )
    source = source or (CONF / {"experiment": f"experiment/{experiment}", "recipe": "recipe/default", "data": "data/tau2021"}[name.split("/")[0]]).with_suffix(".yaml").read_bytes()
    file = own / name
    file.parent.mkdir(parents=True)
    file.write_bytes(edited(rng, source))
    arguments = small.stage(experiment)
    arguments += {"experiment": ["experiment=mine"], "local": [], "recipe": ["recipe=mine"], "data": ["data=mine"]}[name.split("/")[0]]
    if name.startswith("experiment"):
        arguments.remove(f"experiment={experiment}")
    if name.startswith("data"):
        arguments.remove("data=tau2021")
    return "train", ["--config-dir", str(own), *arguments]


def damaged_run(rng: random.Random, small: Small) -> tuple[str, list[str]]:
    """A command among runs, one of which has an edited file."""
    runs = small.folder / "damaged"
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(small.folder / "runs", runs)
    chosen = rng.choice(sorted(runs.glob("*-s*")))
    name = rng.choice(("config.yaml", "record.json", "record.json", "metrics.csv", "evaluation/test/metrics.json", "evaluation/latency.json"))
    file = chosen / name
    file.write_bytes(edited(rng, file.read_bytes()))
    match rng.randrange(4):
        case 0:
            return "report", [f"runs={runs}", f"page={small.folder}/page.html"]
        case 1:
            return "evaluate", [f"run={chosen}", f"store={small.folder}/store"]
        case 2:
            return "train", [*small.stage("audio"), f"runs={runs}", f"seed={rng.randrange(2)}"]
        case _:
            return "predict", [f"run={runs}/audio", str(next((small.folder / "data/audio").iterdir()))]


def manifest(rng: random.Random, small: Small) -> tuple[str, list[str]]:
    """A check of a data set with an edited list."""
    rows = ["video,label,group,fold"]
    rows += [f"video/{file.name},{file.name.split('-')[0]},g{n}," for n, file in enumerate(sorted((small.folder / "data/video").iterdir()))]
    file = small.folder / "data" / "list.csv"
    file.write_bytes(edited(rng, "\n".join(rows).encode()))
    return "data", ["check", "data=manifest", f"data.root={small.folder}/data", "data.source.manifest=list.csv"]


KINDS: tuple[tuple[Callable[[random.Random, Small], tuple[str, list[str]]], int], ...] = (
    (override, 40), (edit, 25), (damaged_run, 15), (other_command, 12), (manifest, 8),
)  # fmt: skip


def cases(number: int, seed: int, small: Small) -> Iterator[tuple[str, str, list[str]]]:
    """Kind, command and arguments; files are written as each is asked for."""
    rng = random.Random(seed)
    only = os.environ.get("KINDS", "")
    kinds, weights = zip(*[one for one in KINDS if not only or one[0].__name__ in only], strict=True)
    for _ in range(number):
        kind = rng.choices(kinds, weights)[0]
        yield (kind.__name__, *kind(rng, small))


def make_small(folder: Path) -> Small:
    """A data set in TAU layout, and two runs of which one is evaluated."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import small_overrides, write_sound, write_video

    root = folder / "data"
    for name in ("audio", "video", "evaluation_setup"):
        (root / name).mkdir(parents=True)
    rows: dict[str, list[str]] = {"fold1_train.csv": [], "fold1_evaluate.csv": []}
    for number in range(12):
        scene, colour = [("bus", (180, 40, 40)), ("park", (40, 160, 40))][number % 2]
        name = f"{scene}-lisbon-{number}-{1000 + number}"
        write_sound(root / "audio" / f"{name}.wav", scene == "bus", number)
        write_video(root / "video" / f"{name}.mp4", colour, number)
        rows["fold1_evaluate.csv" if number >= 8 else "fold1_train.csv"].append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for file, lines in rows.items():
        (root / "evaluation_setup" / file).write_text("\n".join(["filename_audio\tfilename_video\tscene_label", *lines]))
    from sedcrnn.config.checking import checked
    from sedcrnn.evaluation.fold_scores import evaluate
    from sedcrnn.training.stage import train

    small = Small(folder, ("data=tau2021", f"data.root={root}", *small_overrides(folder / "store", folder / "runs"),
                           "features.spectrogram.bank.bands=16"))  # fmt: skip
    for seed in (0, 1):
        evaluate(str(train(checked(compose("train", [*small.stage("audio"), "trainer.max_epochs=1", f"seed={seed}"])))), store=str(folder / "store"))
    return small


def main() -> int:
    """Print the faults; how many there are is the exit code."""
    number, seed = (int(sys.argv[1]) if len(sys.argv) > 1 else 500), (int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    faults: Counter[str] = Counter()
    started, ends = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        small = make_small(Path(folder))
        print(f"made in {time.monotonic() - started:.0f} s", flush=True)
        for kind, command, arguments in cases(number, seed, small):
            begun = time.monotonic()
            outcome = run(command, arguments)
            ends[f"{kind} {outcome.code}"] += 1
            if outcome.fault:
                faults[kind] += 1
                own = [one for one in arguments if one not in small.overrides][-3:]
                print(f"--- {kind} ({time.monotonic() - begun:.1f} s): {command} {own}\n{outcome.fault}", flush=True)
    print(dict(ends), f"{number} tried in {time.monotonic() - started:.0f} s, faults: {dict(faults)}")
    return min(99, sum(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
