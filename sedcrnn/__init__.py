"""Audio-visual scene classification with squeeze-excitation convolutional recurrent networks.

A verb at the top of the package is a command (`sedcrnn` lists them), a noun is a package. The data flow, which is also
the order in which to read:

    config        names and overrides -> a checked config -> the objects that it names
    datasets      where clips come from; folds; aligned one-second windows; the data module that all models share
    features      audio -> gammatone spectrogram, video -> frames at 5 fps; the content-addressed store
    augmentation  random changes of training windows
    networks      pure torch: audio (scSE CNN), visual (VGG16 or any timm encoder, BiGRU), fusion (early and late)
    pretrained    weights that others trained: where they come from, formats, checks
    training      the LightningModules, one stage and several in order, the frozen cache, loggers
    runs          run folders and checkpoints: what a training leaves on disk
    sweeps        many runs of one command, each in processes of its own
    evaluation    predictions, the challenge's metrics and their intervals, worse conditions, cost
    reporting     run folders -> tables over seeds, comparisons, calibration, one page
    inference     any media file or ONNX model -> the scene of every second
    plotting      what networks get and answer, as figures
    submission    predictions of DCASE's evaluation set, and a check of their form

    sedcrnn.load("fusion").predict("clip.mp4").top(3)
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedcrnn.inference.predictor import Predictor

__version__ = "0.2.0"


def load(
    path: str | Path, device: str = "auto", precision: str = "32-true", calibrated: bool = True, damage: str = "skip"
) -> "Predictor":
    """A predictor from a run folder, a checkpoint or an ONNX file; see `sedcrnn.inference.predictor.load`."""
    from sedcrnn.runs.records import find_run

    if not Path(path).is_file() and Path(path).suffix != ".onnx":
        path = find_run(str(path))  # a wrong name is answered before torch is loaded
    from sedcrnn.inference import predictor  # here, because it takes seconds to load

    return predictor.load(path, device, precision, calibrated, damage)
