"""The scene of every second of media files: any format, any length, with audio, video or both.

sedcrnn predict run=fusion clip.mp4
sedcrnn predict run=fusion clip.mp4 audio=clip.wav
sedcrnn predict run=runs/fusion-s0-1a2b3c4d recordings/ csv=scenes.csv plot=timelines
sedcrnn predict run=fusion clip.mp4 reasons=true cam=looked.png
"""

from dataclasses import field
from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.command_options import Calibrated, Device, Precision, RunName
from sedcrnn.config.values import CHECKED, Count, Name, OnDamage, PathName


@dataclass(config=CHECKED, kw_only=True)
class PredictOptions:
    """What predicts which files, and what is written."""

    run: RunName
    files: Annotated[list[PathName], "Media files and folders."] = field(default_factory=list)
    audio: Annotated[PathName | None, "File whose audio is taken in place of that of the one file to predict."] = None
    head: Annotated[Name | None, "Which head answers: audio, visual, early, late; null: the network's answer."] = None
    top: Annotated[Count, "Scenes per row."] = 3
    json: Annotated[PathName | None, "File for all probabilities of all heads."] = None
    csv: Annotated[PathName | None, "File for the same, one row per file, head and second."] = None
    plot: Annotated[
        PathName | None, "Figure of the probabilities over time: a .png file, or a folder for one per media file."
    ] = None
    reasons: Annotated[bool, "Say how much audio and video each add to the probability of the answer."] = False
    cam: Annotated[
        PathName | None,
        "Figure of where the network looked (HiResCAM) in the first ten seconds: a .png file, or a folder for one per "
        "media file; the reasons come with it.",
    ] = None
    batch_size: Annotated[Count | None, "Seconds at a time; null: 10, fewer where frames are large."] = None
    calibrated: Calibrated = True
    damage: OnDamage = "skip"
    device: Device = "auto"
    precision: Precision = "auto"


@command(PredictOptions, words=["files*"])
def main(options: PredictOptions) -> None:
    """Predict the files, print their tables and write what is asked for."""
    from sedcrnn.inference.media_predictions import FIGURES, predict_files
    from sedcrnn.runs.outputs import check_place

    check_place("json", options.json)
    check_place("csv", options.csv)
    for key, place in {"plot": options.plot, "cam": options.cam}.items():
        check_place(key, place, is_folder=not (place or "").lower().endswith(FIGURES))
    predict_files(**vars(options))


if __name__ == "__main__":
    main()
