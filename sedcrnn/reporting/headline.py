"""Tables -> what stands at the top of the page: the answer of the network made last, beside those of its parts."""

from collections.abc import Sequence
from statistics import mean

from sedcrnn.evaluation.result_names import MACRO_LOG_LOSS
from sedcrnn.reporting.grids import interval_text, scores_of
from sedcrnn.reporting.run_grids import LABELS, SINGLE
from sedcrnn.reporting.scoring import SCALED_LOG_LOSS, score_run
from sedcrnn.reporting.tables import Row, RowSpec, Table

MOST_ROWS = 6  # of a table without fusion


def latest(tables: Sequence[Table]) -> Table:
    """The first table that holds the run that was finished last: what its reader has just made."""
    return max(tables, key=lambda table: max(map(_finished, table.rows)))


def headline_rows(table: Table) -> list[Row]:
    """The heads of a fusion network, its answer last: that of the reference row, or else the one finished last. Without
    fusion, rows of the table, chosen alike."""
    fusions = [row for row in table.rows if row.takes_both and all(run.is_answer for run in row.runs.values())]
    candidates = fusions or table.rows
    reference = [row for row in candidates if row is table.reference]
    answer = max(reference or candidates, key=_finished)
    if not fusions:
        return [*[row for row in table.rows if row is not answer][: MOST_ROWS - 1], answer]
    first = next(iter(answer.runs.values()))
    return [
        Row(
            RowSpec(experiment=answer.spec.experiment, label=LABELS.get(head, head).capitalize(), head=head),
            *("", ""),
            answer.runs if head == first.head else {s: score_run(run.run, head) for s, run in answer.runs.items()},
            (),
        )
        for head in first.run.metrics["heads"]
    ]


def headline(rows: Sequence[Row]) -> str:
    """What the last of these rows scores, in three sentences at most."""
    answer = rows[-1]
    example, seeds = next(iter(answer.runs.values())), len(answer.runs)
    score, (scale, digits, label) = next(iter(scores_of(example.levels["window"].scores).items()))
    value = scale * mean(answer.values("window", score))
    over = f"95 % interval over {len(set(example.locations))} locations"
    among = f", mean of {seeds} seeds" if seeds > 1 else ""
    interval = interval_text(answer.interval("window", score), scale, digits)
    what = (
        f"{label} {value:.{digits}f} on 1-s windows" if example.multi_label else f"{value:.1f} % of 1-s windows right"
    )
    told = [f"{answer.label}: {what} ({over}: {interval}{among})."]
    singles = [scale * mean(row.values("window", score)) for row in rows[:-1] if row.spec.head in SINGLE]
    if len(singles) == len(SINGLE):
        points = "" if example.multi_label else " points"
        gain = f"{value - max(singles):+.{digits}f}{points}"
        told.append(f"That is {gain} against the better of audio and video alone.")
    after = answer.values("window", SCALED_LOG_LOSS)
    calibrated = f"; {mean(after):.3f} calibrated, which is after temperature scaling" if len(after) == seeds else ""
    told.append(f"Log loss {mean(answer.values('window', MACRO_LOG_LOSS)):.3f} raw{calibrated}.")
    return " ".join(told)


def _finished(row: Row) -> str:
    """When its last run was finished."""
    return max(str(run.run.record.get("finished", "")) for run in row.runs.values())
