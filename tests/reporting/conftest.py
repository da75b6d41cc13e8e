"""Run folders as training and evaluation leave them, written by hand: four clips of two seconds at four places, and the
probability that a head gives to the true scene in each of the eight windows."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sedcrnn.evaluation.result_names import SCHEMA_VERSION
from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.tables import RowSpec, TableSpec, make_tables

SCENES = ("bus", "park")
CLIPS = (("b1", "oslo-1", "bus"), ("b2", "oslo-2", "bus"), ("p1", "rome-1", "park"), ("p2", "rome-2", "park"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Probability of the true scene in the two windows of each clip.
AUDIO = ((0.82, 0.62), (0.36, 0.82), (0.82, 0.82), (0.36, 0.36))
AUDIO_AGAIN = ((0.82, 0.62), (0.62, 0.82), (0.82, 0.82), (0.36, 0.36))
VISUAL = ((0.36, 0.36), (0.82, 0.82), (0.82, 0.36), (0.82, 0.82))
LATE = ((0.9, 0.9), (0.9, 0.9), (0.9, 0.9), (0.9, 0.26))
LATE_AGAIN = ((0.9, 0.9), (0.9, 0.9), (0.9, 0.9), (0.9, 0.9))
# Sure to 0.9 and right in three of four windows: a temperature of ln 9 / ln 3 = 2 mends that.
VALIDATION = ((0.9, 0.9), (0.9, 0.1), (0.9, 0.9), (0.9, 0.1))

SPECS = [
    TableSpec(
        title="Networks",
        note="A sentence.",
        reference="fusion",
        single_modality=["audio", "visual"],
        rows=[
            RowSpec("audio", "Audio", published="audio"),
            RowSpec("visual", "Visual"),
            RowSpec("fusion", "Fusion", published="late"),
        ],
    )
]

HEADS = {"audio": ("audio",), "visual": ("visual",), "fusion": ("audio", "visual", "early", "late")}
PARAMETERS = {"audio": 1000, "visual": 2000, "early": 3000, "late": 4000}


def score(windows, level: str) -> dict:
    """Scores by the plainest means."""
    if level == "clip":
        windows = [(sum(pair) / 2,) for pair in windows]
    confusion, losses = [[0, 0], [0, 0]], {scene: [] for scene in SCENES}
    for (_, _, scene), values in zip(CLIPS, windows, strict=True):
        for value in values:
            true = SCENES.index(scene)
            confusion[true][true if value > 0.5 else 1 - true] += 1
            losses[scene].append(-math.log(value))
    return {
        "macro_accuracy": sum(row[true] / sum(row) for true, row in enumerate(confusion)) / 2,
        "macro_log_loss": sum(sum(of) / len(of) for of in losses.values()) / 2,
        "confusion": confusion,
    }


def write_predictions(path: Path, heads: dict) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "location", "window", "label", "head", *SCENES])
        for head, clips in heads.items():
            for (clip, location, scene), windows in zip(CLIPS, clips, strict=True):
                for window, value in enumerate(windows):
                    both = (value, 1 - value) if scene == "bus" else (1 - value, value)
                    writer.writerow([clip, location, window, scene, head, *(f"{p:.9g}" for p in both)])


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    def write(kind: str, seed: int, windows, folder: str = "", *, config=None, metrics=None, **record) -> Path:
        """A run; every head predicts the same.

        Args:
            kind: `audio`, `visual` or `fusion`.
            seed: of it.
            windows: its answer's probabilities; None: it was trained and not evaluated.
            folder: its name; otherwise as training has it.
            config: sections of config.yaml that are otherwise.
            metrics: keys of metrics.json that are otherwise.
            record: keys of record.json that are otherwise.
        """
        run = tmp_path / "runs" / (folder or f"{kind}-s{seed}-abcd")
        data = {"name": "toys", "digest": "d" + kind}
        plain = {
            "name": kind,
            "seed": seed,
            "runs": str(tmp_path),
            "data": {
                "source": {"_target_": "Toys", "root": str(seed)},
                "selection": "location_disjoint",
                "validation_fraction": 0.15,
                "validation_seed": seed,
            },
            "features": {
                "spectrogram": None if kind == "visual" else {"hop": 0.02},
                "frames": None if kind == "audio" else {"height": 32},
            },
            "recipe": {"mixup_alpha": 0.4},
            "trainer": {"max_epochs": 3, "enable_progress_bar": seed == 0},  # which makes no row of its own
            **(config or {}),
        }
        (run / "evaluation").mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(plain))
        about = {
            "status": "finished",
            "name": kind,
            "seed": seed,
            "selection": plain["data"]["selection"],
            "inputs": {"data": data, "init_from": {}},
            "versions": {"sedcrnn": "0.1.0", "torch": "2.13.0"},
            "git_commit": COMMIT,
            "finished": "2026-01-02T03:04:05+00:00",
            **record,
        }
        (run / "record.json").write_text(json.dumps(about))
        curves = [f"{fold}/{name}" for fold in ("train", "validation") for name in ("macro_log_loss", "macro_accuracy")]
        rows = ["epoch," + ",".join(curves), "0,2.0,0.25,2.5,0.25", "1,1.0,0.75,1.5,0.5"]
        (run / "metrics.csv").write_text("\n".join(rows))
        if windows is None:
            return run
        (run / "evaluation" / "latency.json").write_text(
            json.dumps({"milliseconds": 1.5 + seed, "threads": 2, "device": "A processor"})
        )
        for fold, values in (("validation", VALIDATION), ("test", windows)):
            folder_of_fold = run / "evaluation" / fold
            folder_of_fold.mkdir()
            write_predictions(folder_of_fold / "predictions.csv", dict.fromkeys(HEADS[kind], values))
            metrics_json = {
                "of": {"checkpoint": f"c{seed}", "data": data, "fold": fold, "schema_version": SCHEMA_VERSION},
                "stage": kind,
                "selection": about["selection"],
                "skipped_clips": [],
                "cost": {
                    "parameters": PARAMETERS[HEADS[kind][-1]],
                    "trainable_parameters": 900,
                    "multiply_accumulates_per_second": 2_500_000,
                },
                "heads": {
                    head: {
                        "parameters": PARAMETERS[head],
                        **{level: score(values, level) for level in ("window", "clip")},
                    }
                    for head in HEADS[kind]
                },
                **(metrics or {}),
            }
            (folder_of_fold / "metrics.json").write_text(json.dumps(metrics_json))
        return run

    return write


@pytest.fixture
def runs(tmp_path: Path, write_run: Callable[..., Path]) -> Path:
    """Two seeds of everything, but that the visual network lacks the second."""
    write_run("audio", 0, AUDIO)
    write_run("audio", 1, AUDIO_AGAIN)
    write_run("visual", 0, VISUAL)
    write_run("visual", 1, None, status="running")
    write_run("fusion", 0, LATE)
    write_run("fusion", 1, LATE_AGAIN)
    return tmp_path / "runs"


@pytest.fixture
def tables_of() -> Callable[..., list]:
    def make(folder: Path, specs=SPECS, seeds=None, leave_out=()) -> list:
        return make_tables(collect(folder, leave_out), specs, seeds)

    return make
