"""Tables and runs -> one HTML page that needs nothing beside itself, with what a reader has to be warned of."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib
import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader
from matplotlib.figure import Figure

from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.plotting.answer_figures import confusion_figure
from sedcrnn.reporting import table_grids
from sedcrnn.reporting.collection import EVALUATED, FOLD, ReportedRun
from sedcrnn.reporting.comparison import outdone
from sedcrnn.reporting.grids import NOTHING, Grid
from sedcrnn.reporting.scoring import reliability
from sedcrnn.reporting.tables import Row, Table

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

SELECTIONS = {
    TEST_FOLD_AS_AUTHORS: "on the test fold itself, as the paper's authors did",
    "location_disjoint": "on a part of the training fold that shares no location with the rest",
}

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
"""Of the rows in a figure, in order; they can be distinguished without red and green."""

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sedcrnn",  # the same figure is the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def build_page(tables: Sequence[Table], runs: Sequence[ReportedRun]) -> str:
    """The page as text, from tables and from all run folders that were read, also those without scores."""
    with matplotlib.rc_context(STYLE):
        parts = [_part(table) for table in tables]
    versions = _versions(_used(tables)).items()
    return ENVIRONMENT.get_template("page.html").render(
        titles=[*(table.title for table in tables), "Where the figures come from"],
        parts=parts,
        runs=_runs_grid(runs),
        evaluated=sum(run.state == EVALUATED for run in runs),
        warnings=find_warnings(runs, tables),
        versions=", ".join(f"{package} {' / '.join(found)}" for package, found in versions),
    )


def _part(table: Table) -> dict[str, Any]:
    """What page.html shows of a table."""
    scenes, having, reference = table.runs[0].scenes, table.with_runs, table.reference
    # Single modalities and the reference, as in the paper; where a table has neither, the first few.
    chosen = [row for row in having if row in table.single_modality or row is reference]
    rows = chosen[: len(COLOURS)] or having[:3]
    return {
        "about": describe_data(table),
        "note": table.spec.note,
        "reference": reference and reference.label,
        "results": table_grids.results_grid(table),
        "grids": [
            table_grids.gain_grid(table),
            table_grids.comparison_grid(table),
            table_grids.calibration_grid(table),
            table_grids.robustness_grid(table),
        ],
        "bars": _image(draw_classes(rows, scenes)),
        "classes": table_grids.class_grid(table),
        "rows": [
            {
                "label": row.label,
                "confusion": _image(draw_confusion(row, scenes)),
                "reliability": _image(draw_reliability(row)),
            }
            for row in rows
        ],
        "cost": table_grids.cost_grid(table),
    }


def describe_data(table: Table) -> str:
    """What a table's figures are of, in two sentences."""
    example, selection = table.runs[0], table.data["selection"]
    windows = sorted({len(run.levels["window"].scene) for run in table.runs})
    return (
        f"Data: {table.data['name']}, {FOLD} fold, {' or '.join(map(str, windows))} windows of 1 s in "
        f"{len(example.clips)} clips from {len(set(example.locations))} locations, {len(example.scenes)} "
        f"scenes. Checkpoints were selected {SELECTIONS.get(selection, selection)}."
    )


def find_warnings(runs: Sequence[ReportedRun], tables: Sequence[Table]) -> list[str]:
    """What a reader has to know before believing a figure."""
    used = _used(tables)
    commits = sorted({_short(str(run.record["git_commit"])) for run in used})
    short = [(table, number) for table in tables if (number := sum(bool(row.missing) for row in table.rows))]
    warnings = {
        "The checkpoint was selected on the test fold, so test figures are too good": _names(
            run for run in used if run.record["selection"] == TEST_FOLD_AS_AUTHORS
        ),
        "The runs come from different commits": ", ".join(commits) if len(commits) > 1 else "",
        "Files differed from the commit when these were trained": _names(
            run for run in used if str(run.record["git_commit"]).endswith("-dirty")
        ),
        "Trained outside a git checkout, so the commit is not known": _names(
            run for run in used if run.record["git_commit"] is None
        ),
        **{
            f"The runs were made with different versions of {package}": ", ".join(versions)
            for package, versions in _versions(used).items()
            if len(versions) > 1
        },
        "Seeds are missing in": ", ".join(f"{one.title} ({number} of {len(one.rows)} rows)" for one, number in short),
        "Unreadable clips were left out of": _names(run for run in used if run.metrics["skipped_clips"]),
        "Runs without scores": _names(run for run in runs if run.state != EVALUATED),
    }
    told = [f"{warning}: {concerned}." for warning, concerned in warnings.items() if concerned]
    return told + list(dict.fromkeys(warning for table in tables for warning in outdone(table)))


def _used(tables: Sequence[Table]) -> list[ReportedRun]:
    """The runs of all rows, each once."""
    return list({run.run.folder: run.run for table in tables for run in table.runs}.values())


def _versions(runs: Sequence[ReportedRun]) -> dict[str, list[str]]:
    packages = dict.fromkeys(package for run in runs for package in run.record["versions"])
    found = {name: {run.record["versions"].get(name) for run in runs} - {None} for name in packages}
    return {name: sorted(versions) for name, versions in found.items()}


def _names(runs: Iterable[ReportedRun]) -> str:
    return ", ".join(run.folder.name for run in runs)


def _short(commit: str) -> str:
    """The first ten digits of a commit, with its mark where files differ from it."""
    digits, _, dirty = commit.partition("-")
    return digits[:10] + (dirty and f"-{dirty}")


def _runs_grid(runs: Sequence[ReportedRun]) -> Grid:
    """Every run folder that was read."""
    columns = ("run", "experiment", "seed", "state", "data", "checkpoint selected by", "commit", "finished")
    rows = []
    for run in runs:
        about = run.state, str(run.data["name"]), str(run.data["selection"]), _short(str(run.record["git_commit"]))
        finished = str(run.record.get("finished", NOTHING))
        rows.append((run.folder.name, run.experiment, str(run.seed), *about, finished))
    return Grid("Runs", columns, tuple(rows))


def draw_classes(rows: Sequence[Row], scenes: Sequence[str]) -> Figure:
    """Bars of accuracy on windows, grouped by scene; mean over seeds, with whiskers of one standard deviation."""
    figure = Figure((1.5 + 0.85 * len(scenes), 3.2), layout="constrained")
    axis = figure.add_subplot()
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        runs = [run.levels["window"].class_wise for run in row.runs.values()]
        values = [[100 * run[scene] for run in runs] for scene in scenes]
        axis.bar(
            np.arange(len(scenes)) + width * (number - (len(rows) - 1) / 2),
            list(map(mean, values)),
            0.92 * width,
            yerr=list(map(stdev, values)) if len(runs) > 1 else None,
            color=COLOURS[number],
            error_kw={"elinewidth": 0.8, "ecolor": "0.25"},
            label=row.label,
        )
    axis.set_xticks(range(len(scenes)), [scene.replace("_", "\n") for scene in scenes])
    axis.set(ylim=(0, 100), ylabel="accuracy %")
    axis.grid(axis="y", linewidth=0.4, color="0.85")
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=len(rows), frameon=False)
    return figure


def draw_confusion(row: Row, scenes: Sequence[str]) -> Figure:
    """The confusion matrix on windows, summed over seeds, each true scene in percent."""
    counts = np.sum([run.levels["window"].confusion for run in row.runs.values()], axis=0)
    return confusion_figure(counts, scenes)


def draw_reliability(row: Row) -> Figure:
    """Accuracy against confidence of all seeds' windows, before and after temperature scaling."""
    levels = [run.levels["window"] for run in row.runs.values()]
    curves = {"as predicted": [level.log_probabilities for level in levels]}
    after = [level.scaled for level in levels if level.scaled is not None]
    if len(after) == len(levels):
        curves["scaled"] = after
    figure = Figure((3.5, 3.7), layout="constrained")
    axis, shares = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    for (name, values), colour in zip(curves.items(), COLOURS, strict=False):
        curve = reliability(torch.cat(values), torch.cat([level.scene for level in levels]))
        filled, label = curve.number > 0, f"{name}, ECE {curve.error:.3f}"
        axis.plot(curve.confidence[filled], curve.accuracy[filled], "o-", color=colour, markersize=3, label=label)
        middles = (np.arange(len(filled)) + 0.5) / len(filled)
        shares.step(middles, curve.number / curve.number.sum(), where="mid", color=colour)
    axis.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    shares.set(xlabel="probability of the likeliest scene", ylabel="share", ylim=(0, 1), yticks=(0, 1))
    return figure


def _image(figure: Figure) -> str:
    """A figure as an SVG of its own in base64, so that ids of several do not meet; without its date and maker."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = file.getvalue()
    return base64.b64encode(svg[svg.index("<svg") :].encode()).decode()
