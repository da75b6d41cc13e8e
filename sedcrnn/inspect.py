"""What a network sees of a recording, as a figure: spectrogram windows and frames on one time axis.

sedcrnn inspect clip.mp4
sedcrnn inspect clip.wav clip.mp4 start=60 seconds=5
"""

from pathlib import Path
from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.stage_config import FeaturesConfig
from sedcrnn.config.values import CHECKED, Count, CountOrNone, PathName


@dataclass(config=CHECKED, kw_only=True)
class InspectOptions:
    """What to draw of which file."""

    file: Annotated[PathName, "File with audio, video or both."]
    video: Annotated[PathName | None, "File with the video, where it lies apart from the audio."] = None
    output: Annotated[PathName | None, "The figure; null: <name of the file>.png in the current folder."] = None
    start: Annotated[CountOrNone, "First second shown."] = 0
    seconds: Annotated[Count, "Seconds shown, at most."] = 10
    features: FeaturesConfig


@command(InspectOptions, words=["file", "video"], groups={"features": "paper"})
def main(options: InspectOptions) -> None:
    """Draw the file, and print where the figure is."""
    from sedcrnn.config.targets import build
    from sedcrnn.plotting.network_inputs import draw_file

    features = {name: build(node, "feature") for name, node in vars(options.features).items() if node is not None}
    file, video = Path(options.file), Path(options.video) if options.video else None
    print(draw_file(file, video, Path(options.output or f"{file.stem}.png"), options.start, options.seconds, features))


if __name__ == "__main__":
    main()
