"""Tables and runs -> one HTML page that needs nothing beside itself, with what a reader has to be warned of."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.evaluation.result_names import MACRO_LOG_LOSS
from sedcrnn.inference.file_prediction import scene_in_words
from sedcrnn.reporting import class_grids, figures, table_grids
from sedcrnn.reporting.collection import EVALUATED, FOLD, ReportedRun, missing_folds
from sedcrnn.reporting.comparison import outdone
from sedcrnn.reporting.examples import find_examples, picture_examples
from sedcrnn.reporting.grids import NOTHING
from sedcrnn.reporting.headline import headline, headline_rows, latest
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

ENVIRONMENT.filters["scene"] = scene_in_words


def build_page(tables: Sequence[Table], runs: Sequence[ReportedRun], folder: Path) -> str:
    """The page as text, from tables and from all run folders that were read, also those without scores; links lead from
    the folder that it lies in."""
    used, first = _used(tables), latest(tables)
    with figures.styled():
        top, parts = _top(first), [_part(table) for table in tables]
    return ENVIRONMENT.get_template("page.html").render(
        titles=[*(table.title for table in tables), "Where the figures come from"],
        top=top,
        top_title=first.title,
        parts=parts,
        used=[_origin(run, folder) for run in used],
        unused=[_origin(run, folder) for run in runs if run not in used],
        warnings=find_warnings(tables),
        versions=", ".join(f"{package} {' / '.join(found)}" for package, found in _versions(used).items()),
    )


def _top(table: Table) -> dict[str, Any]:
    """What stands above all tables: an answer, and the seconds that it gets most wrong and most right."""
    rows = headline_rows(table)
    answer = next(iter(rows[-1].runs.values()))
    worst, best = find_examples(answer)
    pictures, reason = picture_examples(answer, [*worst, *best])
    return {
        "sentence": headline(rows),
        "about": describe_data(table),
        "figures": {
            f"{label}: {', '.join(row.label for row in rows)}": _svg(figures.draw_score(rows, score))
            for score, label in ((table.main_score, table.main_in_words), (MACRO_LOG_LOSS, "Log loss"))
        },
        "seeds": len(rows[-1].runs),
        "multi_label": table.multi_label,
        "run": answer.run.folder.name,
        "calibrated": answer.temperature is not None,
        "examples": {"Most wrong": worst, "Most right": best},
        "pictures": pictures,
        "no_pictures": reason,
    }


def _part(table: Table) -> dict[str, Any]:
    """What page.html shows of a table."""
    scenes, reference = table.runs[0].scenes, table.reference
    # Single modalities and the reference, as in the paper; where a table has neither, the first few.
    chosen = [row for row in table.rows if row in table.single_modality or row is reference]
    rows = chosen[: len(figures.COLOURS)] or list(table.rows[:3])
    return {
        "about": describe_data(table),
        "note": table.spec.note,
        "reference": reference and reference.label,
        "results": table_grids.results_grid(table),
        "variants": {row.label: row.variant for row in table.rows if row.variant},
        "grids": [
            class_grids.labels_grid(table),
            table_grids.folds_grid(table),
            table_grids.gain_grid(table),
            table_grids.comparison_grid(table),
            table_grids.calibration_grid(table),
            table_grids.robustness_grid(table),
        ],
        "multi_label": table.multi_label,
        "main": table.main_in_words,
        "bars": _svg(figures.draw_classes(rows, scenes)),
        "classes": class_grids.class_grid(table),
        "rows": [
            {
                "label": row.label,
                "confusion": None if table.multi_label else _svg(figures.draw_confusion(row, scenes)),
                "reliability": _svg(figures.draw_reliability(row)),
                "curves": _curves(row),
            }
            for row in rows
        ],
        "several": any(len(row.runs) > 1 for row in rows),
        "cost": table_grids.cost_grid(table),
    }


def _curves(row: Row) -> Markup | None:
    figure = figures.draw_curves([run.run for run in row.runs.values()])
    return None if figure is None else _svg(figure)


def _svg(figure: Figure) -> Markup:
    """A figure as markup; matplotlib has escaped the names in it."""
    return Markup(figures.as_svg(figure))


def describe_data(table: Table) -> str:
    """What a table's figures are of, in two sentences."""
    example, selection = table.runs[0], table.data["selection"]
    windows = sorted({len(run.levels["window"].scene) for run in table.runs})
    fold = "every clip held out once" if example.run.folds else f"{FOLD} fold"
    return (
        f"Data: {example.run.data_set}, {fold}, {' or '.join(map(str, windows))} windows of 1 s in "
        f"{len(example.clips)} clips from {len(set(example.locations))} locations, {len(example.scenes)} "
        f"scenes. Checkpoints were selected {SELECTIONS.get(selection, selection)}."
    )


def find_warnings(tables: Sequence[Table]) -> list[str]:
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
    }
    told = [f"{warning}: {concerned}." for warning, concerned in warnings.items() if concerned]
    told += [f"{sentence}." for sentence in missing_folds(used)]
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


def _origin(run: ReportedRun, folder: Path) -> dict[str, str]:
    """What the page tells of a run folder, and the way there."""
    return {
        "name": run.folder.name,
        "link": quote(f"{os.path.relpath(run.folder, folder)}/"),
        "experiment": run.experiment,
        "seed": str(run.seed),
        "data": run.data_set,
        "selection": str(run.data["selection"]).replace("_", " "),
        "commit": _short(str(run.record["git_commit"])),
        "finished": str(run.record.get("finished", NOTHING))[:16].replace("T", " "),  # to the minute
        "state": run.state if run.state != EVALUATED else "evaluated, of a seed that was not asked for",
    }
