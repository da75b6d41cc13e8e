"""A trained network as an ONNX file, checked against torch, which predicts without the run (extra `onnx`).

sedcrnn export fusion output=fusion.onnx
sedcrnn export run=runs/fusion-s0-1a2b3c4d output=audio.onnx part=audio
"""

from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.command_options import RunName
from sedcrnn.config.values import CHECKED, Name, PathName


@dataclass(config=CHECKED, kw_only=True)
class ExportOptions:
    """Which network goes into which file."""

    run: RunName
    output: Annotated[PathName, "The file to write, which ends in .onnx."]
    part: Annotated[Name | None, "audio or visual: that subnetwork of a fusion network; null: the whole network."] = (
        None
    )


@command(ExportOptions, words=["run"])
def main(options: ExportOptions) -> None:
    """Export the run, and say how far the file's answers are from torch's."""
    from sedcrnn.inference.onnx_export import export
    from sedcrnn.runs.outputs import check_place

    check_place("output", options.output)
    differences = export(options.run, options.output, options.part)
    listed = ", ".join(f"{head} {difference:.1e}" for head, difference in differences.items())
    print(f"Largest difference to torch in a probability: {listed}\n{options.output}")
    print(f"Next: sedcrnn predict run={options.output} <files>")


if __name__ == "__main__":
    main()
