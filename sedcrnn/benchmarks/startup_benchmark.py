"""Time and memory from the command to the first training step, by number of clips, where nothing has changed.

python -m sedcrnn.benchmarks.startup_benchmark     (make bench-start; `... fusion 500 5000` measures that alone)

The clips are files of a few bytes, of which a first command stores made-up features in the usual way. Every other one
is the real command in a process of its own; it is stopped after its first step, so that the next one trains again. What
grows with the clips is given beside one `stat` per file of a clip, the least that notices a change.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

STARTED = time.perf_counter()
SIZES = (500, 5_000, 20_000)
RANDOM = ["init_from.audio=null", "init_from.visual=null", "init_from.encoder=random"]
STAGES = {
    "audio": ["experiment=audio", "model.network.filters=[2,2,2]", "trainer=cpu"],
    "fusion, cached": ["experiment=fusion", "model=fusion_new", *RANDOM, "trainer=cpu"],
    "audio, 2 ranks": ["experiment=audio", "model.network.filters=[2,2,2]", "trainer=ddp_cpu"],
}
COMMON = ["data=tau2021", "features=small", "data.extraction_workers=0", "trainer.enable_progress_bar=false"]
PHASES = ("imports", "config", "manifest", "store", "folds", "digest", "datasets", "the rest", "first step")
PROBE = "SEDCRNN_STARTUP_BENCHMARK"  # in the environment of a command: the folder for what it measures of itself


class Clock:
    """Seconds of each phase, of a clock and of the processor; a phase that is entered within another one interrupts
    it."""

    def __init__(self) -> None:
        self.phase, self.since = "imports", (STARTED, 0.0)
        self.spent: dict[str, tuple[float, float]] = {}

    def turn_to(self, phase: str) -> str:
        """Enter a phase; returns the one before."""
        before, now = self.phase, (time.perf_counter(), time.process_time())
        wall, cpu = self.spent.get(before, (0.0, 0.0))
        self.spent[before] = (wall + now[0] - self.since[0], cpu + now[1] - self.since[1])
        self.phase, self.since = phase, now
        return before

    def watch(self, owner: Any, name: str, phase: str) -> None:
        """Count what a function or a property of a module or a class takes as a phase."""
        found = vars(owner)[name]
        work: Callable[..., Any] = getattr(found, "fget", found)

        @wraps(work)
        def watched(*arguments: Any, **named: Any) -> Any:
            before = self.turn_to(phase)
            try:
                return work(*arguments, **named)
            finally:
                self.turn_to(before)

        setattr(owner, name, property(watched) if isinstance(found, property) else watched)


def probe(folder: Path) -> None:
    """Run `sedcrnn train` with the arguments of this process up to its first step; in an empty folder, store features
    of the right shapes first."""
    import pytorch_lightning

    from sedcrnn.datasets import scene_data, tau2021
    from sedcrnn.sweeps.ranks import rank_and_world_size
    from sedcrnn.training import frozen_cache, modules, stage

    importlib.import_module("sedcrnn.networks.fusion")
    if not any(folder.iterdir()):
        make_up_features()
    clock = Clock()
    clock.turn_to("config")
    clock.watch(stage, "train", "the rest")
    clock.watch(tau2021.Tau2021, "manifest", "manifest")
    clock.watch(scene_data, "extract_all", "store")
    clock.watch(frozen_cache.FrozenEncoder, "encode_all", "store")
    clock.watch(scene_data, "make_folds", "folds")
    clock.watch(scene_data.SceneData, "identity", "digest")
    clock.watch(scene_data.SceneData, "dataset", "datasets")
    clock.watch(pytorch_lightning.Trainer, "fit", "first step")

    def stop(*_: Any) -> NoReturn:
        clock.turn_to("")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rank, _world_size = rank_and_world_size()
        measured = {"rank": rank, "MB": peak, "phases": clock.spent}
        (folder / f"{time.time_ns()}-{rank}.json").write_text(json.dumps(measured))
        time.sleep(0.5)  # the other rank has come as far
        os._exit(0)

    patch.object(modules.SceneModule, "on_train_batch_end", stop).start()
    importlib.import_module("sedcrnn.train").main()


def make_up_features() -> None:
    """Store zeros of one second in place of features, and what a frozen part makes of the first clip for all."""
    import numpy as np

    from sedcrnn.features.frames import Frames
    from sedcrnn.features.spectrogram import Spectrogram
    from sedcrnn.training.frozen_cache import FrozenEncoder

    def columns(self: Spectrogram, _: Path) -> Any:
        return np.zeros((5 * self.per_step, self.dimensions["channels"], self.bank.bands), np.int16)

    def pixels(self: Frames, _: Path) -> Any:
        return self._encode(np.zeros((5, self.height, self.width, 3), np.uint8))

    encode: Callable[..., None] = FrozenEncoder._encode
    first: list[Any] = []

    def encode_first(self: FrozenEncoder, clip: Any, inputs: Any, store: Any) -> None:
        if not first:
            encode(self, clip, inputs, store)
            first.extend(store.read(feature.source(clip), feature) for feature in self.kept.values())
        for feature, values in zip(self.kept.values(), first, strict=True):
            store.write(feature.source(clip), feature, values)

    patch.object(os, "fsync", lambda _: None).start()  # none of this is to last
    patch.object(Spectrogram, "extract", columns).start()
    patch.object(Frames, "extract", pixels).start()
    patch.object(FrozenEncoder, "_encode", encode_first).start()


def make_clips(root: Path, clips: int) -> None:
    """A data set in TAU layout: ten scenes of forty locations each, a quarter of them to test."""
    from sedcrnn.datasets.clips import TAU_SCENES

    for name in ("audio", "video", "evaluation_setup"):
        (root / name).mkdir(parents=True)
    rows: dict[bool, list[str]] = {False: [], True: []}
    for number in range(clips):
        scene, location = TAU_SCENES[number % 10], number // 10 % 40
        name = f"{scene}-lisbon-{number % 10}{location:02}-{number}"
        for kind, suffix in (("audio", "wav"), ("video", "mp4")):
            (root / kind / f"{name}.{suffix}").write_text(f"{kind} {number}")
        rows[location % 4 == 0].append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for is_test, file in ((False, "fold1_train.csv"), (True, "fold1_evaluate.csv")):
        text = "\n".join(["filename_audio\tfilename_video\tscene_label", *rows[is_test]])
        (root / "evaluation_setup" / file).write_text(text)


def measure(stage: str, folder: Path, rounds: int = 3) -> Iterator[tuple[int, float, dict[str, tuple[float, float]]]]:
    """Rank, MB, and the least seconds of each phase of some commands, of the clock and of the processor."""
    found = folder / stage
    found.mkdir()
    places = [f"data.root={folder}/data", f"store={folder}/store", f"runs={folder}/runs"]
    command = [sys.executable, "-m", "sedcrnn.benchmarks.startup_benchmark", *STAGES[stage], *COMMON, *places]
    for _ in range(1 + rounds):
        subprocess.run(command, env={**os.environ, PROBE: str(found)}, check=True, capture_output=True)
    made = [json.loads(file.read_text()) for file in sorted(found.glob("*.json"))]
    for rank in sorted({one["rank"] for one in made}):
        own = [one for one in made if one["rank"] == rank][1:]  # the first one made the features
        taken = [{name: one["phases"].get(name, (0.0, 0.0)) for name in PHASES} for one in own]
        least = {name: (min(one[name][0] for one in taken), min(one[name][1] for one in taken)) for name in PHASES}
        yield rank, max(one["MB"] for one in own), least


def seconds_of_stats(folder: Path) -> float:
    """What one `stat` of one file of every clip takes, in seconds of the processor."""
    files = list((folder / "data" / "audio").iterdir())
    started = time.process_time()
    for file in files:
        file.stat()
    return time.process_time() - started


def main(words: Sequence[str]) -> None:
    """Print the table."""
    sizes = [int(word) for word in words if word.isdigit()] or SIZES
    begin = next((word for word in words if not word.isdigit()), "")
    columns = "".join(f"{phase:>11}" for phase in (*PHASES, "after"))
    print(f"{'seconds':31}{'clips':>7}{columns}{'in stats':>10}{'MB':>7}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_clips(folder / "data", size)
            for stage in [stage for stage in STAGES if stage.startswith(begin)]:
                for rank, peak, phases in measure(stage, folder):
                    one_stat_each = seconds_of_stats(folder)
                    for clock, kind in enumerate(("wall", "CPU")):
                        seconds = [phases[phase][clock] for phase in PHASES]
                        after = sum(seconds[1:])
                        cells = "".join(f"{one:11.3f}" for one in (*seconds, after))
                        label = f"{stage}: rank {rank}, {kind}"
                        print(f"{label:31}{size:7}{cells}{after / one_stat_each:10.0f}{peak:7.0f}", flush=True)


if __name__ == "__main__":
    if PROBE in os.environ:
        probe(Path(os.environ[PROBE]))
    else:
        main(sys.argv[1:])
