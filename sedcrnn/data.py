"""Download a data set, or check one: what it holds and what is wrong with it; exit code 0 says that it can be used.

sedcrnn data download data=tau2021 data.root=<folder> only=meta,audio
sedcrnn data check data=folder data.root=recordings
"""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.stage_config import DataConfig
from sedcrnn.config.values import CHECKED, Count, Flag, Name, Seed
from sedcrnn.errors import ConfigError, DataError


@dataclass(config=CHECKED, kw_only=True)
class DataOptions:
    """Which data set, and what to do with it."""

    action: Annotated[Literal["download", "check"], "What to do; a download of TAU 2021 is 108 GB."]
    data: DataConfig
    seed: Annotated[Seed, "Seed of the draw for validation, which check tries."] = 0
    jobs: Annotated[
        Count | None, "Archives that are fetched, or clips that are read, at a time; null: 4, or one for each core."
    ] = None
    similar: Annotated[
        Flag, "Whether a check compares how clips sound, to find one recording in two formats; false: only their bytes."
    ] = True
    set: Annotated[
        Literal["development", "evaluation", "both"], "What to download; evaluation goes into <root>/evaluation."
    ] = "development"
    only: Annotated[list[Name] | None, "Parts to download: doc, meta, examples, audio, video; null: all."] = None
    remove_archives: Annotated[
        Flag, "Remove archives when they are unpacked; otherwise they stay in <root>/archives."
    ] = False
    url: Annotated[str, Field(pattern="^https?://"), "Where the archives are."] = "https://zenodo.org/records"


@command(DataOptions, words=["action"], groups={"data": "tau2021"})
def main(options: DataOptions) -> None:
    """Download or check the data set."""
    from sedcrnn.config.composition import repeated
    from sedcrnn.config.targets import build

    source, data = build(options.data.source, "data_source"), options.data
    if options.action == "download":
        from sedcrnn.datasets.download import download, read_archives, select

        if not hasattr(source, "archives"):
            raise ConfigError(
                f"The data set {type(source).__name__} has no archives to download",
                "data=tau2021 has; a synthetic set is rendered where it is needed",
                "Give data=tau2021 data.root=<folder>",
            )
        archives = select(read_archives(source.archives), options.set, options.only)
        download(archives, source.root, options.url, options.jobs or 4, options.remove_archives)
        parts = ", ".join(dict.fromkeys(archive.part for archive in archives))
        print(f"\n{len(archives)} archive(s) are unpacked in {source.root}: {parts} of the {options.set} set(s).")
        submit = f"submit run=<run> data.root={source.root / 'evaluation'}"
        print("Next: sedcrnn", submit if options.set == "evaluation" else f"data check {repeated('data')}")
        return
    from sedcrnn.datasets.check import check

    known = getattr(source, "known_faults", {})
    report = check(
        source.manifest(),
        data.selection,
        data.validation_fraction,
        data.validation_seed,
        options.jobs,
        known,
        options.similar,
    )
    print(report)
    if report.errors:
        raise DataError(
            f"The data set '{report.manifest.name}' cannot be used as it is",
            "The errors are listed above",
            "Mend them; clips that cannot be mended are left out with data.unreadable=skip",
        )
    print(f"\nAll is well{', but for the warnings' if report.warnings else ''}.")
    print(f"Next: sedcrnn extract {repeated('data')}")


if __name__ == "__main__":
    main()
