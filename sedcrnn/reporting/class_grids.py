"""Tables -> grids of their scores scene by scene, and of the decisions of multi-label data."""

from collections.abc import Sequence

import numpy as np
import torch

from sedcrnn.evaluation.intervals import LEVEL
from sedcrnn.evaluation.result_names import MACRO_F1, MICRO_F1
from sedcrnn.inference.file_prediction import scene_in_words
from sedcrnn.reporting.grids import LEVELS, Grid, interval_text, spread_text
from sedcrnn.reporting.tables import Row, Table


def class_grid(table: Table) -> Grid:
    """Accuracy of every scene on windows, or its average precision with an interval."""
    scenes = table.runs[0].scenes
    scale, digits, _ = table.scores[table.main_score]
    rows = []
    for row in table.rows:
        by_run = [run.levels["window"].class_wise for run in row.runs.values()]
        cells = [spread_text([one[scene] for one in by_run], scale, digits) for scene in scenes]
        rows.append((row.label, *map(str.__add__, cells, _bounds(row, scenes))))
    columns = ("", *(scene_in_words(scene) for scene in scenes))
    notes = table.several_seeds * ("Mean ± standard deviation over seeds.",)
    notes += table.multi_label * ("Under each figure its 95 % interval from the bootstrap over locations.",)
    title = "Average precision" if table.multi_label else "Accuracy %"
    return Grid(f"{title} by scene, 1-s windows", columns, tuple(rows), notes)


def _bounds(row: Row, scenes: Sequence[str]) -> list[str]:
    """A line with the interval of every scene, where there is one."""
    drawn = [run.levels["window"].class_replicates for run in row.runs.values()]
    known = [one for one in drawn if one is not None]
    if not known:
        return [""] * len(scenes)
    columns = torch.stack(known).mean(0).T.numpy()
    return ["" if np.isnan(one).all() else f"\n{interval_text(np.nanquantile(one, LEVEL), 1, 3)}" for one in columns]


def labels_grid(table: Table) -> Grid | None:
    """F1 scores of multi-label data at the thresholds; None of others."""
    if not table.multi_label:
        return None
    pairs = [(level, score) for level in LEVELS for score in (MACRO_F1, MICRO_F1)]
    rows = [(row.label, *(spread_text(row.values(*pair), 1, 3) for pair in pairs)) for row in table.rows]
    names = {MACRO_F1: "mean F1 over scenes", MICRO_F1: "F1 of all decisions"}
    columns = ("", *(f"{names[score]}, {LEVELS[level]}" for level, score in pairs))
    note = (
        "Whether a scene is there is decided at its threshold, which is that of the highest F1 on the 1-s windows of "
        "the validation fold; 1/2 where that is the test fold."
    )
    return Grid("F1 at the thresholds", columns, tuple(rows), (note,))
