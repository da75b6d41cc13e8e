"""Audio-visual scene classification with squeeze-excitation convolutional recurrent networks.

The data flow, which is also the order in which to read the package:

    datasets     where clips come from: a folder in TAU layout, the synthetic set that is rendered into one, or your own
                 recordings in class folders or listed in a table
    clips        clip records, scenes and locations; train, validation and test folds
    features     sound -> gammatone spectrogram, video -> frames at 5 fps; the content-addressed store
    augmentation random changes of a training window's sound and picture
    datamodule   aligned 1-s windows of both, in batches of named tensors (window_dataset, protocols)
    pretrained   published weights of frame encoders, from the files that people have (weights: the command)
    networks     pure torch: audio (scSE CNN), visual (VGG16 or any timm encoder, BiGRU), fusion (early and late)
    frozen       what frozen parts make of clips, computed once, in place of the features
    modules      the LightningModules: one shared base, and what audio, visual and fusion add to it
    train        one stage, from a resolved config to a run folder (checkpoints, runs: what that folder holds)
    pipeline     the stages in order, each reused when nothing that made it has changed
    sweeps       many runs of one command, each in processes of its own (jobs, distributed)
    loggers      curves, confusion, examples to W&B or TensorBoard (showcase, workspace)
    evaluation   predictions per window and clip, DCASE's metrics, their intervals, the table beside published figures
    robustness   scores where sound or picture is missing, corrupted, late or of another clip
    reporting    run folders -> tables over seeds, comparisons, calibration, one page (report: the command)
    submission   predictions of DCASE's evaluation set in the official form, and a check of that form
    inference    any media file -> the scene of every second, from a checkpoint or an ONNX file

    sedcrnn.load("runs/...").predict("clip.mp4").top(3)
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedcrnn.inference.predictor import Predictor

__version__ = "0.1.0"


def load(path: str | Path, device: str = "cpu") -> "Predictor":
    """A predictor from a run folder, a checkpoint or an ONNX file; see `sedcrnn.inference.predictor.load`."""
    from sedcrnn.inference import predictor  # here, because it takes torch and seconds to load

    return predictor.load(path, device)
