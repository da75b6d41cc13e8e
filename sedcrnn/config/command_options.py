"""Options that several commands have: which run, which fold, where the data lie, on which device and how."""

from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from sedcrnn.config.values import CHECKED, Name, PathName

RunName = Annotated[
    PathName, "Run folder, checkpoint or ONNX file; or the beginning of a run folder's name in runs/, or latest."
]
Fold = Annotated[Literal["train", "validation", "test"], "Fold of the data set."]
Device = Annotated[Name, "torch device; auto: the GPU where there is one."]

Calibrated = Annotated[bool, "Probabilities after the temperature fitted on validation; false: the network's own."]

Precision = Annotated[
    Literal["auto", "32-true", "bf16-mixed"],
    "Arithmetic; auto: bf16-mixed where the processor or GPU computes in it natively, 32-true elsewhere.",
]


@dataclass(config=CHECKED, kw_only=True)
class DataFolder:
    """Where the data set lies now."""

    root: Annotated[PathName | None, "Folder of the data set; null: where it lay in training."] = None
