"""Fetch a data set, or say what is there of it.

python -m sedcrnn.data download data=tau2021 root=<folder>
python -m sedcrnn.data check data=tau2021 root=<folder>
"""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING, DictConfig

from sedcrnn.commands import chosen_action, command
from sedcrnn.config import DataConfig, checked, instantiate
from sedcrnn.datasets.archives import read_archives, select
from sedcrnn.datasets.check import Report, check
from sedcrnn.datasets.download import download
from sedcrnn.errors import ConfigError, DataError

ACTIONS = ("download", "check")


@dataclass
class DataCommandConfig:
    """Which data set, and what to do with it; see conf/data.yaml."""

    action: str = MISSING
    root: str | None = MISSING
    data: DataConfig = MISSING
    seed: int = MISSING
    jobs: int = MISSING
    set: str = MISSING
    only: list[str] | None = MISSING
    remove_archives: bool = MISSING
    url: str = MISSING


def download_data(config: DataCommandConfig) -> Path:
    """Download the archives that a config asks for; the folder that they are in.

    Raises:
        ConfigError: a data set that is not downloaded, a set or part that it does not have, or no web address.
        DataError: what `download` raises.
    """
    source = instantiate(config.data.source)
    if not hasattr(source, "archives"):
        raise ConfigError(
            f"The data set {type(source).__name__} has no archives to download",
            "data=tau2021 has; a synthetic set is rendered where it is needed",
            "Give data=tau2021 root=<folder>",
        )
    if not config.url.startswith(("https://", "http://")):
        raise ConfigError(f"url={config.url}", "It begins with https:// or http://", "Leave it out, or correct it")
    archives = select(read_archives(source.archives), config.set, config.only)
    download(archives, source.root, config.url, config.jobs, config.remove_archives)
    return Path(source.root)


def check_data(config: DataCommandConfig) -> Report:
    """Check the data set of a config as it lies on disk; nothing is rendered or downloaded.

    Raises:
        DataError: lists that cannot be read.
    """
    source, data = instantiate(config.data.source), config.data
    known = getattr(source, "known_faults", {})
    return check(source.manifest(), data.selection, data.validation_share, data.validation_seed, config.jobs, known)


@command("data", positional=("action",), lists=("only",))
def main(config: DictConfig) -> None:
    """Do what the command line names with a data set."""
    usage = "Use `python -m sedcrnn.data download root=<folder>` or `python -m sedcrnn.data check root=<folder>`"
    chosen_action(config, ACTIONS, usage)
    if config.root is not None:
        config.data.source.root = config.root
    options: DataCommandConfig = checked(config, DataCommandConfig)
    if options.jobs < 1:
        raise ConfigError(f"jobs={options.jobs}", "At least one file is worked on at a time", "Set jobs=4")
    if options.action == "download":
        print(f"All that was asked for is in {download_data(options)}.")
        return
    report = check_data(options)
    print(report)
    if report.errors:
        raise DataError(
            f"The data set '{report.manifest.name}' cannot be used as it is",
            "The errors are listed above",
            "Mend them; clips that cannot be mended are left out with data.unreadable=skip",
        )
    print(f"\nAll is well{', but for the warnings' if report.warnings else ''}.")


if __name__ == "__main__":
    main()
