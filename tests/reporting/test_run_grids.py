"""The terminal's tables of evaluated runs, cell by cell."""

import json
from pathlib import Path

from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.reporting.grids import Grid
from sedcrnn.reporting.run_grids import conditions_grid, heads_grid, stages_grid


def write_metrics(path: Path, scenes: tuple[str, ...] = TAU_SCENES, **accuracy: float) -> Path:
    def level(value: float, examples: int) -> dict[str, object]:
        loss = 1 - value
        drawn = {"macro_accuracy": [value - 0.1, value + 0.1], "macro_log_loss": [loss / 2, 2 * loss]}
        return {
            "macro_accuracy": value,
            "macro_log_loss": loss,
            "examples": examples,
            "class_wise": dict.fromkeys(scenes),
            "intervals": {
                "published": {"macro_accuracy": [value - 0.01, value + 0.01]},
                "locations": {**drawn, "locations": 126, "replicates": 1000},
            },
        }

    heads = {
        head: {"parameters": 1234567, "window": level(value, 20), "clip": level(value + 0.1, 2)}
        for head, value in accuracy.items()
    }
    of = {"fold": "test", "data": {"name": "synthetic"}}
    path.write_text(json.dumps({"of": of, "selection": "location_disjoint", "heads": heads}))
    return path


def cells(grid: Grid) -> dict[str, tuple[str, ...]]:
    """Label -> the first line of each cell."""
    return {label: tuple(cell.split("\n")[0] for cell in others) for label, *others in grid.rows}


def test_rows_are_ours_beside_what_was_published(tmp_path: Path) -> None:
    audio = write_metrics(tmp_path / "a.json", audio=0.5)
    fusion = write_metrics(tmp_path / "f.json", audio=0.4, visual=0.6, early=0.7, late=0.75)
    grid = heads_grid([[audio, fusion]])
    ours = {label: (*row[:2], *row[4:]) for label, row in cells(grid).items()}
    assert ours == {
        "audio": ("50.0", "0.500", "1,234,567", "69.0", "0.969", "323,274"),  # trained alone
        "visual": ("60.0", "0.400", "1,234,567", "87.0", "0.616", "14,820,170"),
        "early fusion": ("70.0", "0.300", "1,234,567", "89.2", "-", "-"),
        "late fusion": ("75.0", "0.250", "1,234,567", "90.0", "0.556", "15,416,148"),
    }
    assert grid.columns[-3] == "published, other data: accuracy %"
    assert grid.title == "synthetic, test fold"
    assert "20 windows of 1 s. Checkpoints were selected by: location_disjoint." in grid.notes[0]
    assert "89.2 is from a later list of benchmarks on that data set, not from the paper" in grid.notes[-1]


def test_published_figures_stand_beside_tau_scenes_only(tmp_path: Path) -> None:
    grid = heads_grid([[write_metrics(tmp_path / "a.json", ("bus", "park", "tram"), audio=0.5, late=0.75)]])
    assert cells(grid) == {
        "audio": ("50.0", "0.500", "60.0", "0.400", "1,234,567"),
        "late fusion": ("75.0", "0.250", "85.0", "0.150", "1,234,567"),
    }
    assert "ublished" not in grid.text()


def test_both_intervals_stand_under_each_score(tmp_path: Path) -> None:
    grid = heads_grid([[write_metrics(tmp_path / "a.json", audio=0.6)]])
    (row,) = grid.rows
    assert list(row[1:5]) == [
        "60.0\n50.0-70.0\nDCASE 59.0-61.0",
        "0.400\n0.200-0.800",
        "70.0\n60.0-80.0\nDCASE 69.0-71.0",
        "0.300\n0.150-0.600",
    ]
    assert "126 locations" in grid.notes[1]


def test_spread_over_seeds_by_hand(tmp_path: Path) -> None:
    first = write_metrics(tmp_path / "1.json", audio=0.5, visual=0.6, early=0.7, late=0.8)
    second = write_metrics(tmp_path / "2.json", audio=0.7, visual=0.6, early=0.7, late=0.9)
    grid = heads_grid([[first], [second]])
    assert cells(grid)["audio"][:2] == ("60.0 ± 14.1", "0.400 ± 0.141")
    assert cells(grid)["late fusion"][:2] == ("85.0 ± 7.1", "0.150 ± 0.071")
    assert grid.notes[1] == "Mean ± standard deviation over 2 training seeds."
    assert grid.notes[2].endswith("by seed: +10.0 +0.0 points")
    assert grid.notes[3].endswith("by seed: +20.0 +20.0 points")


def test_stages_have_a_row_each_with_their_answer(tmp_path: Path) -> None:
    seeds = [
        {
            "first": write_metrics(tmp_path / f"{seed}-1.json", audio=0.5 + seed / 5),
            "second": write_metrics(tmp_path / f"{seed}-2.json", audio=0.1, late=0.8),
        }
        for seed in (0, 1)
    ]
    assert {label: row[:2] for label, row in cells(stages_grid(seeds)).items()} == {
        "first": ("60.0 ± 14.1", "0.400 ± 0.141"),
        "second": ("80.0 ± 0.0", "0.200 ± 0.000"),
    }


def test_conditions_are_those_of_the_answer() -> None:
    scores = {"audio": {"macro_accuracy": 0.1, "macro_log_loss": 3.0}}
    report = {
        "conditions": {
            "complete": {**scores, "late": {"macro_accuracy": 0.9, "macro_log_loss": 0.3}},
            "silence": {**scores, "late": {"macro_accuracy": 0.5, "macro_log_loss": 1.25}},
        },
        "confidence_rises": {"silence": {"audio": 0.0, "late": 0.25}},
        "batch_invariance": {"largest_difference": 2.5e-7},
    }
    grid = conditions_grid(report)
    assert grid.rows == (("complete", "90.0", "0.300", ""), ("silence", "50.0", "1.250", "25"))
    assert "2.5e-07" in grid.notes[-1]
