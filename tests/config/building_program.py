"""Builds every class that a file may name, by its plain arguments, and prints what was done on the way beside that.

Run as a program by `test_built_classes`, for a hook of the interpreter's events stays until the process ends.
"""

import importlib
import json
import pkgutil
import sys
from typing import Any

import torch

import sedcrnn
from sedcrnn.config.targets import ROLES, build, resolve
from sedcrnn.errors import SedcrnnError

BANK = {"_target_": "sedcrnn.features.filterbanks.short_time.MelBank", "bands": 8, "low_hz": 0.0}
AUDIO = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "filters": [2, 2, 4]}
VISUAL = {"_target_": "sedcrnn.networks.visual.VisualNetwork", "backbone": "test_resnet", "hidden": 2}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AudioEncoderNetwork": {"backbone": "test_vit"},
    "VisualNetwork": {"backbone": "test_resnet", "hidden": 2},
    "FusionNetwork": {"audio": AUDIO, "visual": VISUAL, "hidden": 2},
    "Spectrogram": {"bank": BANK},
    "Frames": {"height": 32, "width": 32},
    "Folder": {"root": "made", "scenes": None, "test_fraction": 0.2, "test_seed": 0},
    "Tau2021": {"root": "made"},
    "Tau2021Evaluation": {"root": "made", "files": 1},
}
ARGUMENTS["ManifestFile"] = ARGUMENTS["Folder"] | {"manifest": "made/list.csv"}
ARGUMENTS["ManifestFile"] |= dict.fromkeys(
    ("video_column", "audio_column", "label_column", "group_column", "fold_column"), "x"
)
ARGUMENTS["Synthetic"] = {"root": "made", "seed": 0, "cities": 1, "clip_seconds": 1.0, "height": 32, "width": 32}
ARGUMENTS["Synthetic"] |= dict.fromkeys(("locations", "test_locations", "segments", "frame_rate", "workers"), 1)
EARLY = {"audio": 4, "visual": 4, "hidden": 2, "scenes": 3}

FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "socket.", "os.mkdir",
             "os.remove", "os.rename", "os.symlink", "os.link", "shutil.", "ctypes.dlopen", "pickle.")  # fmt: skip


def nameable() -> list[tuple[str, str]]:
    """Role and name of every class of the package, wherever it is shown, that passes for a role."""
    found = []
    for module in pkgutil.walk_packages(sedcrnn.__path__, "sedcrnn."):
        if module.name.startswith(("sedcrnn.benchmarks", "sedcrnn.sweeps.plugins", "sedcrnn.__main__")):
            continue
        shown = importlib.import_module(module.name)
        for name in vars(shown):
            for role in ROLES:
                try:
                    resolve(f"{module.name}.{name}", role, trusted=False)
                except SedcrnnError:
                    continue
                found.append((role, f"{module.name}.{name}"))
    return found


def main() -> None:
    """Print a line of JSON: the classes, those that were built, and what was done on the way."""
    passing = nameable()
    build(ARGUMENTS["Spectrogram"] | {"_target_": "sedcrnn.features.spectrogram.Spectrogram"}, "feature")
    build(VISUAL, "network")  # what torch imports on first use
    before, events, built = set(sys.modules), [], []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and (str(arguments[1]) not in ("r", "rb", "None") or (arguments[2] or 0) & 3)
        if writes or event.startswith(FORBIDDEN):
            events.append(f"{event} {str(arguments)[:100]}")

    sys.addaudithook(watch)
    for role, target in passing:
        name = target.rpartition(".")[2]
        arguments = EARLY if role == "early_fusion" else {}
        try:
            made = build({"_target_": target, **ARGUMENTS.get(name, {})}, role, trusted=False)
            if role == "early_fusion":
                made(**arguments)
            built.append(target)
        except SedcrnnError:
            pass  # an abstract one
    new = sorted({one.partition(".")[0] for one in set(sys.modules) - before} - set(sys.stdlib_module_names))
    print(
        json.dumps({"passing": passing, "built": built, "events": events, "imported": new, "torch": torch.__version__})
    )


if __name__ == "__main__":
    main()
