"""The tables, character by character where it matters."""

import json
from pathlib import Path

from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.reporting.results_tables import intervals_table, results_table, spread_table


def write_metrics(path: Path, scenes: tuple[str, ...] = TAU_SCENES, **accuracy: float) -> Path:
    class_wise = dict.fromkeys(scenes)
    heads = {
        head: {
            "parameters": 1234567,
            "window": {
                "macro_accuracy": value,
                "macro_log_loss": 1 - value,
                "examples": 20,
                "class_wise": class_wise,
            },
        }
        for head, value in accuracy.items()
    }
    of = {"fold": "test", "data": {"name": "synthetic"}}
    path.write_text(json.dumps({"of": of, "selection": "location_disjoint", "heads": heads}))
    return path


def test_rows_are_ours_beside_what_the_paper_published(tmp_path: Path) -> None:
    audio = write_metrics(tmp_path / "a.json", audio=0.5)
    fusion = write_metrics(tmp_path / "f.json", audio=0.4, visual=0.6, early=0.7, late=0.75)
    lines = results_table([audio, fusion]).splitlines()
    assert lines[2].split() == ["audio", "50.0", "0.500", "1,234,567", "69.0", "0.969", "323,274"]  # trained alone
    assert lines[3].split() == ["visual", "60.0", "0.400", "1,234,567", "87.0", "0.616", "14,820,170"]
    assert lines[4].split() == ["early", "fusion", "70.0", "0.300", "1,234,567", "89.2", "-", "-"]
    assert lines[5].split() == ["late", "fusion", "75.0", "0.250", "1,234,567", "90.0", "0.556", "15,416,148"]
    assert "published: TAU 2021, not comparable" in lines[0]
    assert "location_disjoint" in lines[8]


def test_published_figures_stand_beside_tau_scenes_only(tmp_path: Path) -> None:
    lines = results_table([write_metrics(tmp_path / "a.json", ("bus", "park", "tram"), audio=0.5, late=0.75)])
    assert lines.splitlines()[2].split() == ["audio", "50.0", "0.500", "1,234,567"]
    assert lines.splitlines()[3].split() == ["late", "fusion", "75.0", "0.250", "1,234,567"]
    assert "ublished" not in lines
    assert "20 windows of 1 s" in lines
    assert lines.endswith("selected by: location_disjoint.")


def test_spread_over_seeds_by_hand(tmp_path: Path) -> None:
    first = write_metrics(tmp_path / "1.json", audio=0.5, visual=0.6, early=0.7, late=0.8)
    second = write_metrics(tmp_path / "2.json", audio=0.7, visual=0.6, early=0.7, late=0.9)
    lines = spread_table([[first], [second]]).splitlines()
    assert lines[0].startswith("2 seeds")
    assert lines[1].split() == ["audio", "60.0", "+-", "14.1", "0.400", "+-", "0.141"]
    assert lines[4].split() == ["late", "fusion", "85.0", "+-", "7.1", "0.150", "+-", "0.071"]
    assert lines[5].endswith("by seed: +10.0 +0.0 points")
    assert lines[6].endswith("by seed: +20.0 +20.0 points")


def test_both_intervals_stand_beside_each_score(tmp_path: Path) -> None:
    def level(accuracy: float, log_loss: float) -> dict[str, object]:
        drawn = {"macro_accuracy": [accuracy - 0.1, accuracy + 0.1], "macro_log_loss": [log_loss / 2, 2 * log_loss]}
        intervals = {
            "published": {"macro_accuracy": [accuracy - 0.01, accuracy + 0.01]},
            "locations": {**drawn, "locations": 126, "replicates": 1000},
        }
        return {"macro_accuracy": accuracy, "macro_log_loss": log_loss, "intervals": intervals}

    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"heads": {"audio": {"window": level(0.6, 1.0), "clip": level(0.7, 0.5)}}}))
    lines = intervals_table(path).splitlines()
    assert lines[1].split() == ["%", "as", "DCASE", "locations", "locations"]
    assert lines[2].split() == [
        "audio,",
        "per",
        "1-s",
        "window",
        "60.0",
        "59.0-61.0",
        "50.0-70.0",
        "1.000",
        "0.500-2.000",
    ]
    assert lines[3].split() == ["audio,", "per", "clip", "70.0", "69.0-71.0", "60.0-80.0", "0.500", "0.250-1.000"]
    assert "126 locations" in lines[6]
