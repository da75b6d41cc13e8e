"""Tables and runs -> one HTML page that needs nothing beside itself."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from sedcrnn.reporting.collection import EVALUATED, Run
from sedcrnn.reporting.figures import draw_classes, draw_confusion, draw_reliability, drawn_rows
from sedcrnn.reporting.grids import MISSING, Grid
from sedcrnn.reporting.network_grids import batch_grid, calibration_grid, cost_grid, robustness_grid
from sedcrnn.reporting.provenance import describe_data, describe_versions, find_warnings, runs_grid
from sedcrnn.reporting.rows import Table
from sedcrnn.reporting.score_grids import class_grid, comparison_grid, gain_grid, results_grid

TITLE = "Audio-visual scene classification: results"
ORIGIN = "Where the figures come from"
TEMPLATE = Path(__file__).with_name("page.html")


def build_page(tables: Sequence[Table], runs: Sequence[Run]) -> str:
    """The page as text.

    Args:
        tables: with their rows.
        runs: all that were looked at.
    """
    evaluated = sum(run.state == EVALUATED for run in runs)
    parts = [
        _paragraph(f"Made by python -m sedcrnn.report from {len(runs)} run folders, {evaluated} of them evaluated."),
        _warnings(find_warnings(runs, tables)),
        _contents([*(table.title for table in tables), ORIGIN]),
        *(_section(table, number) for number, table in enumerate(tables)),
        f"<section>\n{_heading(ORIGIN, len(tables))}\n{_paragraph(describe_versions(tables))}",
        _grid(runs_grid(runs)) + "\n</section>",
    ]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(title=escape(TITLE), body="\n".join(parts))


def _contents(titles: Sequence[str]) -> str:
    links = "".join(f'<li><a href="#part-{number}">{escape(title)}</a></li>' for number, title in enumerate(titles))
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _heading(title: str, number: int) -> str:
    return f'<h2 id="part-{number}">{escape(title)}</h2>'


def _section(table: Table, number: int) -> str:
    grids = [gain_grid(table), comparison_grid(table), calibration_grid(table), robustness_grid(table)]
    more = [batch_grid(table), cost_grid(table)]
    reference = table.reference.label if table.reference else None
    parts = [
        f"<section>\n{_heading(table.title, number)}",
        _paragraph(describe_data(table)),
        _paragraph(table.note) if table.note else "",
        _grid(results_grid(table), reference),
        _note("Shaded: the row that the others are compared with.") if reference else "",
        *(_grid(grid) for grid in grids if grid is not None),
        _figures(table),
        *(_grid(grid) for grid in more if grid is not None),
        "</section>",
    ]
    return "\n".join(filter(None, parts))


def _figures(table: Table) -> str:
    rows, scenes = drawn_rows(table), table.example.scenes
    labels = ", ".join(row.label for row in rows)
    bars = _figure(draw_classes(rows, scenes), f"Accuracy by scene on 1-s windows, in percent: {labels}")
    confusions = (_figure(draw_confusion(row, scenes), f"Confusion matrix: {row.label}", row.label) for row in rows)
    curves = (_figure(draw_reliability(row), f"Reliability diagram: {row.label}", row.label) for row in rows)
    return "\n".join(
        [
            f'<h3>Accuracy by scene</h3>\n<div class="scroll" tabindex="0">{bars}</div>',
            _note("1-s windows, mean over seeds, whiskers of one standard deviation."),
            _grid(class_grid(table)),
            f'<h3>Confusion matrices</h3>\n<div class="figures">{"".join(confusions)}</div>',
            _note("1-s windows of all seeds, in percent of the true scene."),
            f'<h3>Reliability diagrams</h3>\n<div class="figures">{"".join(curves)}</div>',
            _note(
                "1-s windows of all seeds together; below, the share of windows. On the dashed line, belief is right."
            ),
        ]
    )


def _figure(svg: str, description: str, caption: str = "") -> str:
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    data = base64.b64encode(svg.encode()).decode()  # an image of its own, so that ids of several do not meet
    return f'<figure>{told}<img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}"></figure>'


def _grid(grid: Grid, marked: str | None = None) -> str:
    """A grid as a table that scrolls by itself; one row may be marked by its label."""
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in grid.columns)
    rows = [
        f"<tr{_class('reference' if label == marked else '')}>"
        f'<th scope="row">{escape(label)}</th>{"".join(map(_cell, cells))}</tr>'
        for label, *cells in grid.rows
    ]
    return "\n".join(
        [
            f'<h3>{escape(grid.title)}</h3>\n<div class="scroll" tabindex="0"><table>',
            f"<thead><tr>{heads}</tr></thead>\n<tbody>",
            *rows,
            "</tbody></table></div>",
            *map(_note, grid.notes),
        ]
    )


def _cell(text: str) -> str:
    first, _, rest = text.partition("\n")
    below = f"<small>{escape(rest)}</small>" if rest else ""
    return f"<td{_class('missing' if first == MISSING else '')}>{escape(first)}{below}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _warnings(warnings: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings" role="note"><p>Before believing a figure:</p><ul>{items}</ul></div>' if items else ""


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
