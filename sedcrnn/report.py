"""What evaluated runs say, over seeds: results.csv, the table in experiments/README.md, and one HTML page.

sedcrnn report
sedcrnn report runs=runs seeds=0,1,2,3,4
"""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.values import CHECKED, Name, PathName, Seed


@dataclass(config=CHECKED, kw_only=True)
class ReportOptions:
    """Which runs are reported, and where."""

    runs: Annotated[PathName, "Folder of run folders."] = "runs"
    tables: Annotated[PathName | None, "Which experiments are rows of which table; null: experiments/tables.yaml."] = (
        None
    )
    seeds: Annotated[list[Seed] | None, "Seeds that every row should have; null: those that are there."] = None
    leave_out: Annotated[list[Name], "Names of run folders to ignore."] = field(default_factory=list)
    results: Annotated[PathName, "Written: a line per row, seed and level."] = "experiments/results.csv"
    readme: Annotated[PathName | None, "The table between its markers is written; null: none."] = (
        "experiments/README.md"
    )
    page: Annotated[PathName, "Written: the page."] = "runs/report.html"


@command(ReportOptions, words=["runs"])
def main(options: ReportOptions) -> None:
    """Report the runs, and list what was written."""
    from sedcrnn.reporting.report_files import write_report

    written = write_report(
        Path(options.runs),
        Path(options.tables) if options.tables else None,
        options.seeds,
        options.leave_out,
        Path(options.results),
        Path(options.readme) if options.readme else None,
        Path(options.page),
    )
    print(*written, sep="\n")
    print(f"Next: open {options.page} in a browser")


if __name__ == "__main__":
    main()
