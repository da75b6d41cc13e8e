"""metrics.json files -> one table of heads, beside the figures that the paper publishes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS


@dataclass(frozen=True)
class Published:
    """Figures of arXiv 2107.13180 on 1-s windows of the TAU 2021 development test fold, which also selected the
    checkpoints (paper.md, Published results).

    Attributes:
        accuracy: mean of class accuracies, in percent.
        log_loss: mean of class-wise log losses; None: not published.
        parameters: None: not published.
    """

    accuracy: float
    log_loss: float | None
    parameters: int | None


PUBLISHED = {
    "audio": Published(69.0, 0.969, 323_274),
    "visual": Published(87.0, 0.616, 14_820_170),
    "early": Published(89.2, None, None),
    "late": Published(90.0, 0.556, 15_416_148),
}
LABELS = {"audio": "audio", "visual": "visual", "early": "early fusion", "late": "late fusion"}


def results_table(metrics: Iterable[Path]) -> str:
    """One row per head. A head that several files have (a subnetwork alone and inside a fusion network) is
    taken from the first, where it was trained as a network of its own."""
    heads: dict[str, dict[str, Any]] = {}
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in metrics]
    for report in reports:
        heads = {**report["heads"], **heads}
    fold = reports[0]["of"]["fold"]
    data = reports[0]["of"]["data"]["name"]
    lines = [
        f"{'':14}{'this run: ' + data + ', ' + fold + ' fold':^44}{'published: TAU 2021, not comparable':^40}",
        f"{'':14}" + 2 * f"{'accuracy %':>12}{'log loss':>12}{'parameters':>16}",
    ]
    for head, label in LABELS.items():
        if head not in heads:
            continue
        scores = heads[head]["window"]
        ours = _cells(100 * scores[MACRO_ACCURACY], scores[MACRO_LOG_LOSS], heads[head]["parameters"])
        told = PUBLISHED[head]
        lines.append(f"{label:14}{ours}{_cells(told.accuracy, told.log_loss, told.parameters)}")
    examples = {report["heads"][head]["window"]["examples"] for report in reports for head in report["heads"]}
    lines += [
        "",
        f"Accuracy and log loss are means over scenes, on {' and '.join(map(str, sorted(examples)))} windows of 1 s.",
        "Published: arXiv 2107.13180 on TAU Urban Audio-Visual Scenes 2021 (development test fold, which also "
        "selected its checkpoints): another, real data set.",
    ]
    selections = {report["selection"] for report in reports}
    lines.append(f"Checkpoints of this run were selected by: {' and '.join(sorted(selections))}.")
    return "\n".join(lines)


def _cells(accuracy: float, log_loss: float | None, parameters: int | None) -> str:
    loss = "-" if log_loss is None else f"{log_loss:.3f}"
    count = "-" if parameters is None else f"{parameters:,}"
    return f"{accuracy:>12.1f}{loss:>12}{count:>16}"
