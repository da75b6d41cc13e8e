"""A local page: drop a clip, or choose an example, and see its scenes while it plays.

sedcrnn web fusion
sedcrnn web run=fusion.onnx port=7861
sedcrnn web run=fusion host=0.0.0.0
"""

from typing import Annotated

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.command_options import Calibrated, Device, RunName
from sedcrnn.config.values import CHECKED, Count, Name


@dataclass(config=CHECKED, kw_only=True)
class WebOptions:
    """Whose predictions are shown, and where."""

    run: RunName
    host: Annotated[
        Name,
        "Address that the page is served at: this computer's own, or 0.0.0.0 for its network, to those who know the "
        "token in the address that is printed.",
    ] = "127.0.0.1"
    port: Annotated[int, Strict(), Field(ge=1, le=65535), "Port of this computer."] = 7860
    max_upload_mb: Annotated[Count, "The largest clip that the page takes, in megabytes."] = 1000
    calibrated: Calibrated = True
    device: Device = "auto"


@command(WebOptions, words=["run"])
def main(options: WebOptions) -> None:
    """Serve the page for the run until the command is interrupted."""
    from sedcrnn.inference.web_page import serve

    serve(**vars(options))


if __name__ == "__main__":
    main()
