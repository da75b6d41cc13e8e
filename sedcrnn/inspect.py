"""What a network gets of a recording, as a figure: spectrogram windows and frames on one time axis.

sedcrnn inspect clip.mp4
sedcrnn inspect clip.wav clip.mp4 start=60 seconds=5
"""

from pathlib import Path
from shlex import quote
from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.stage_config import FeaturesConfig
from sedcrnn.config.values import CHECKED, Count, CountOrNone, OnDamage, PathName
from sedcrnn.errors import visible


@dataclass(config=CHECKED, kw_only=True)
class InspectOptions:
    """What to draw of which file."""

    file: Annotated[PathName, "File with audio, video or both."]
    video: Annotated[PathName | None, "File with the video, where it lies apart from the audio."] = None
    output: Annotated[PathName | None, "The figure; null: <name of the file>.png in the current folder."] = None
    start: Annotated[CountOrNone, "First second shown."] = 0
    seconds: Annotated[Count, "Seconds shown, at most."] = 10
    damage: OnDamage = "skip"
    features: FeaturesConfig


@command(InspectOptions, words=["file", "video"], groups={"features": "paper"})
def main(options: InspectOptions) -> None:
    """Draw the file, and print where the figure is."""
    print(visible(str(draw(options))))
    print(f"Next: sedcrnn predict run=<run> {visible(quote(options.file))}")


def draw(options: InspectOptions) -> Path:
    """Draw the file; the figure."""
    from sedcrnn.config.targets import build
    from sedcrnn.plotting.network_inputs import draw_file, drawable
    from sedcrnn.runs.outputs import check_place, name_after

    nodes = {name: node for name, node in vars(options.features).items() if node is not None}
    features = {name: build(node, "feature").with_damage(options.damage) for name, node in nodes.items()}
    file, video = Path(options.file), Path(options.video) if options.video else None
    output = Path(options.output or name_after(file, ".png"))
    check_place("output", output)
    return draw_file(file, video, output, options.start, options.seconds, drawable(features))


if __name__ == "__main__":
    main()
