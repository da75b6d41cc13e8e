"""Make the features of all clips ahead of training: estimated first, resumable, unreadable files listed at the end.

sedcrnn extract data=tau2021 data.root=<folder>
sedcrnn extract data=folder data.root=recordings features=small only=spectrogram
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.stage_config import DataConfig, FeaturesConfig
from sedcrnn.config.values import CHECKED, PathName, Seed
from sedcrnn.errors import DataError


@dataclass(config=CHECKED, kw_only=True)
class ExtractOptions:
    """Which features of which data set, and where they go."""

    data: DataConfig
    features: FeaturesConfig
    only: Annotated[Literal["spectrogram", "frames"] | None, "One of the features; null: both."] = None
    store: Annotated[PathName, "Where features are kept, by content."] = "data/store"
    seed: Annotated[Seed, "Data sets draw their validation part by it; extraction does not depend on it."] = 0


@command(ExtractOptions, groups={"data": "synthetic", "features": "paper"})
def main(options: ExtractOptions) -> None:
    """Extract what is missing."""
    from omegaconf import OmegaConf

    from sedcrnn.config.composition import compose, repeated
    from sedcrnn.config.targets import build
    from sedcrnn.features.extraction_estimate import extract

    nodes = {name: node for name, node in vars(options.features).items() if node and options.only in (None, name)}
    features = [build(node, "feature") for node in nodes.values()]
    source = build(options.data.source, "data_source")
    source.prepare()
    workers, incomplete = options.data.extraction_workers, options.data.incomplete
    unreadable = extract(source.manifest().clips, features, Path(options.store), workers, incomplete)
    if unreadable:
        lines = (f"  {one.clip}: {one.message}" for one in unreadable)
        print(f"\n{len(unreadable)} clip(s) could not be read:", *lines, sep="\n")
        raise DataError(
            f"{len(unreadable)} clip(s) could not be read; the features of all others are in {options.store}",
            "They are listed above",
            "Mend them and run the command again, or train with data.unreadable=skip",
        )
    experiment = "audio" if "spectrogram" in nodes else "visual"
    usual = OmegaConf.to_container(compose("train", [f"experiment={experiment}"]).features, resolve=True)
    same = isinstance(usual, dict) and all(usual[name] == node for name, node in nodes.items())
    print(f"\nAll features are in {options.store}: {' and '.join(nodes)}.")
    print(f"Next: sedcrnn train experiment={experiment} {repeated('data', 'store', *([] if same else ['features']))}")
    if not same:
        print(f"These are not the features that experiment={experiment} names itself: every stage needs these words.")


if __name__ == "__main__":
    main()
