"""What other evaluations add to a run is shown where it is there; published figures on TAU's scenes only."""

import json

import pytest

from sedcrnn.evaluation.result_names import ROBUSTNESS_SCHEMA_VERSION
from sedcrnn.reporting import table_grids
from sedcrnn.reporting.grids import Grid, spread_text
from sedcrnn.reporting.page import ENVIRONMENT
from sedcrnn.reporting.table_grids import comparison_grid, cost_grid, results_grid, robustness_grid
from sedcrnn.reporting.tables import RowSpec, TableSpec
from tests.reporting.conftest import AUDIO, LATE, SCENES


def test_comparisons_to_the_digit(runs, tables_of):
    (table,) = tables_of(runs)
    grid = comparison_grid(table)
    assert grid.title == "Difference from: Fusion"
    audio, visual = grid.rows
    assert audio[:2] == ("Audio", "2")
    assert audio[2].startswith("-25.0\n")  # of 8 windows, 5 and 6 against 7 and 8
    assert audio[3].startswith("+0.325\n")  # (0.542099 + 0.474147 - 0.260575 - 0.105361) / 2
    assert audio[-1] == "1.000\n0:1, 0:1"
    assert visual[:2] == ("Visual", "1")
    assert visual[-1] == "1.000\n0:1"
    assert "Holm-corrected over the 2 comparisons" in grid.notes[-1]


@pytest.mark.parametrize(("rows", "told"), [(25, False), (26, True)])
def test_a_table_with_too_many_comparisons_says_that_no_p_can_be_small(rows, told, write_run, tables_of, tmp_path):
    write_run("fusion", 0, LATE)
    write_run("audio", 0, AUDIO)
    more = [RowSpec("audio", f"Audio {number}") for number in range(rows)]
    spec = TableSpec("Many", [RowSpec("fusion", "Fusion"), *more], reference="fusion")
    (table, *_) = tables_of(tmp_path / "runs", [spec])
    notes = " ".join(comparison_grid(table).notes)
    assert ("the smallest p of the bootstrap is 2/1,001, and 0.052 after Holm's correction over 26" in notes) is told


def test_cost_is_that_of_the_answer_and_says_where_it_was_measured(runs, tables_of):
    (table,) = tables_of(runs)
    grid = cost_grid(table)
    assert grid.rows[0] == ("Audio", "1,000", "900", "0.00", "2.0 ± 0.7")  # 1.5 and 2.5 ms
    assert grid.rows[2] == ("Fusion", "4,000", "900", "0.00", "2.0 ± 0.7")
    assert grid.notes[-1].endswith("Measured on: A processor, threads: 2.")


OF = {"schema_version": ROBUSTNESS_SCHEMA_VERSION}


def test_robustness_is_shown_where_it_was_evaluated(write_run, tables_of, tmp_path):
    for seed, accuracy in ((0, 0.5), (1, 0.7)):
        run = write_run("fusion", seed, LATE)
        report = {
            "of": OF,
            "conditions": {
                "complete": {"late": {"macro_accuracy": 0.9, "macro_log_loss": 0.3}},
                "audio missing": {"late": {"macro_accuracy": accuracy, "macro_log_loss": 1.2}},
            },
            "confidence_rises": {"audio missing": {"late": accuracy - 0.4}},
            "batch_invariance": {"largest_difference": (2 + seed) * 1e-7},
        }
        (run / "evaluation" / "test" / "robustness.json").write_text(json.dumps(report))
    write_run("audio", 0, AUDIO)
    (table,) = tables_of(tmp_path / "runs")
    grid = robustness_grid(table)
    assert grid.columns == ("", "Fusion (n=2)")
    assert grid.rows == (
        ("complete", "90.0 ± 0.0\nlog loss 0.300 ± 0.000"),
        ("audio missing", "60.0 ± 14.1\nlog loss 1.200 ± 0.000\nmore confident in 20 ± 14 %"),
        ("other batches", "3.0e-07"),
    )


def test_robustness_that_was_not_evaluated_or_by_another_version_is_not_shown(runs, tables_of, write_run):
    (table,) = tables_of(runs)
    assert robustness_grid(table) is None
    report = {"of": {"form": 1}, "conditions": {"complete": {}}}
    (runs / "fusion-s0-abcd" / "evaluation" / "test" / "robustness.json").write_text(json.dumps(report))
    assert robustness_grid(table) is None


def test_published_figures_stand_on_tau_scenes_only_and_say_so(runs, tables_of, monkeypatch):
    (table,) = tables_of(runs)
    assert "published" not in " ".join(results_grid(table).columns)
    monkeypatch.setattr(table_grids, "TAU_SCENES", SCENES)
    other = results_grid(table)
    assert other.columns[-2:] == ("published, other data: accuracy %", "published, other data: log loss")
    assert [row[-2:] for row in other.rows] == [("69.0", "0.969"), ("-", "-"), ("90.0", "0.556")]
    assert other.notes[-1].startswith("Published: arXiv 2107.13180")
    assert "89.2 is from a later list of benchmarks on that data set, not from the paper" in other.notes[-1]
    table.data["name"] = "tau2021"
    assert results_grid(table).columns[-2] == "published: accuracy %"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "-"),
        ([0.5], "50.0"),
        ([0.01, 0.02, 0.03], "2.0 ± 1.0"),
        ([0.5, 0.7], "60.0 ± 14.1"),
        ([0.5, float("nan")], "-"),
    ],
)
def test_means_are_shown_with_their_spread(values, expected):
    assert spread_text(values, 100, 1) == expected


GRID = Grid(
    "Title",
    ("", "accuracy %, 1-s window", "p|q"),
    (("A", "56.1 ± 2.4\n50.0-60.0", "1"), ("<b>", "-", "missing")),
    ("Note.",),
)


def test_one_grid_is_text_markdown_and_html():
    assert GRID.text().splitlines() == [
        "Title",
        "     accuracy %,      p|q",
        "      1-s window",
        "A     56.1 ± 2.4        1",
        "       50.0-60.0",
        "<b>            -  missing",
        "",
        "Note.",
    ]
    assert GRID.markdown().splitlines() == [
        "|  | accuracy %, 1-s window | p\\|q |",
        "|---|---:|---:|",
        "| A | 56.1 ± 2.4<br>50.0-60.0 | 1 |",
        "| <b> | - | missing |",
        "",
        "Note.",
    ]
    page = ENVIRONMENT.get_template("grid.html").module.table(GRID, "A")
    assert '<tr class="reference"><th scope="row">A</th><td>56.1 ± 2.4<small>50.0-60.0</small></td>' in page
    assert '<th scope="row">&lt;b&gt;</th><td>-</td><td class="missing">missing</td>' in page
