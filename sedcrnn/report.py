"""Run folders -> experiments/results.csv, the table in experiments/README.md, and one HTML page.

python -m sedcrnn.report runs=<folder of runs>
"""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING, DictConfig

from sedcrnn.commands import command
from sedcrnn.config import CONF, checked
from sedcrnn.errors import CheckpointError
from sedcrnn.files import write_text
from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.outputs import read_around, write_readme, write_results
from sedcrnn.reporting.page import build_page
from sedcrnn.reporting.rows import make_tables
from sedcrnn.reporting.rows_file import read_rows


@dataclass
class ReportConfig:
    """Which runs are reported, and where; see conf/report.yaml."""

    runs: str = MISSING
    rows: str | None = MISSING
    seeds: list[int] | None = MISSING
    leave_out: list[str] = MISSING
    results: str = MISSING
    readme: str | None = MISSING
    page: str = MISSING


def report(config: ReportConfig) -> list[Path]:
    """Read run folders, and write what they say; nothing is written unless all of it can be.

    Returns:
        The files written.

    Raises:
        SedcrnnError: no runs, runs that cannot be read or do not fit together, or a file that has no place for a table.
    """
    specs = read_rows(Path(config.rows) if config.rows is not None else CONF / "experiment" / "rows.yaml")
    if config.readme is not None:
        read_around(Path(config.readme))
    runs = collect(Path(config.runs), fold="test", leave_out=config.leave_out)
    tables = make_tables(runs, specs, config.seeds)
    if not tables:
        states = sorted({f"{run.folder.name}: {run.state}" for run in runs})
        raise CheckpointError(
            f"None of the {len(runs)} runs in {config.runs} has scores to report ({'; '.join(states[:3])}"
            + (", ...)" if len(states) > 3 else ")"),
            "A run is reported once it is trained and evaluated, and if its seed is among `seeds`",
            "Evaluate them: python -m sedcrnn.evaluate run=<run folder>, with fold=validation and with fold=test",
        )
    page = build_page(tables, runs)
    write_results(Path(config.results), tables)
    write_text(Path(config.page), page)
    written = [Path(config.results), Path(config.page)]
    if config.readme is not None:
        write_readme(Path(config.readme), tables)
        written.append(Path(config.readme))
    return written


@command("report")
def main(config: DictConfig) -> None:
    """Report the runs that the command line names."""
    for path in report(checked(config, ReportConfig)):
        print(path)


if __name__ == "__main__":
    main()
