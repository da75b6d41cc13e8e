"""What evaluated runs say, over seeds, as one HTML page; and, where they are named, results.csv and a README's tables.

sedcrnn report
sedcrnn report seeds=0,1,2,3,4 results=experiments/results.csv readme=experiments/README.md
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
    results: Annotated[PathName | None, "Table to renew, such as experiments/results.csv: a line per row and seed."] = (
        None
    )
    readme: Annotated[PathName | None, "File whose tables to renew, such as experiments/README.md."] = None
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
        Path(options.results) if options.results else None,
        Path(options.readme) if options.readme else None,
        Path(options.page),
    )
    print(*written, sep="\n")
    print(f"Next: open {options.page} in a browser")


if __name__ == "__main__":
    main()
