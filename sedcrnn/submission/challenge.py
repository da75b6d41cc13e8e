"""A trained network and the evaluation set of DCASE 2021 Task 1B -> the challenge's table of predictions, checked."""

from dataclasses import replace
from pathlib import Path

from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.datasets.tau2021 import EVALUATION_FILES, Tau2021Evaluation
from sedcrnn.datasets.window_dataset import WindowDataset, window_loader
from sedcrnn.datasets.windows import ConsecutiveWindows
from sedcrnn.errors import CheckpointError, SubmissionError, check_choice
from sedcrnn.evaluation.predictions import predict
from sedcrnn.features.extraction import extract_all
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks.execution import choose_device
from sedcrnn.networks.probabilities import scaled
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.submission.output import check_output, write_output


def submit(
    run: str,
    root: str,
    output: Path,
    head: str | None = None,
    calibrated: bool = False,
    files: int = EVALUATION_FILES,
    batch_size: int = 32,
    extraction_workers: int = 2,
    store: str = "data/store",
    device: str = "auto",
) -> None:
    """Predict the evaluation set, audio/0.wav, video/0.mp4 and so on in the folder `root`; arguments are those of
    `sedcrnn submit`. Whatever can be refused is refused before the first clip is read.

    Raises:
        CheckpointError: no checkpoint, one of other scenes, or one without the temperature that is asked for.
        ConfigError: a head that the network does not have, or a device that is not there.
        DataError: the evaluation set is not complete.
        SubmissionError: there is such a table already.
    """
    if output.exists():
        raise SubmissionError(
            f"{output} exists", "A submission is never written over", "Remove it, or give output=<file>"
        )
    checkpoint = load_checkpoint(run)
    if checkpoint.scenes != TAU_SCENES:
        raise CheckpointError(
            f"{checkpoint.path} was trained for the scenes {', '.join(checkpoint.scenes)}",
            f"The challenge has {', '.join(TAU_SCENES)}",
            "Name a run that was trained on the challenge's scenes",
        )
    if checkpoint.multi_label:
        raise CheckpointError(
            f"{checkpoint.path} was trained on multi-label data, and answers to each scene by itself",
            "The challenge's clips have one scene each",
            "Name a run that was trained on one label to a clip",
        )
    device, network = choose_device(device), checkpoint.build()
    head = head or network.head_names[-1]
    check_choice("head", head, network.head_names)
    made = {name: build(node, "feature", trusted=False) for name, node in checkpoint.features.items()}
    # Whatever training kept, frames that are predicted from are read from the store.
    features = {name: one if one.stored else replace(one, storage="raw") for name, one in made.items()}
    if calibrated and head not in checkpoint.temperatures:
        raise CheckpointError(
            f"calibrated=true, and {checkpoint.path} has no temperature: {checkpoint.no_temperatures}",
            "It is fitted on the validation fold at the end of a training",
            "Train the stage again, or leave calibrated=false",
        )
    clips = Tau2021Evaluation(root, files).clips(features.values())
    kept = FeatureStore(Path(store))
    # A clip without a prediction makes a submission invalid, so none may be skipped.
    extract_all(clips, list(features.values()), kept, extraction_workers, unreadable="stop")
    dataset = WindowDataset(clips, TAU_SCENES, features, kept)
    loader = window_loader(dataset, ConsecutiveWindows(dataset.steps, batch_size), 0)
    found = predict(network, loader, device)
    if calibrated:
        values = scaled(found.log_probabilities[head], checkpoint.temperatures[head])
        found = replace(found, log_probabilities={head: values})
    probabilities = found.per_clip().log_probabilities[head].exp()
    write_output(output, [clip.id for clip in clips], probabilities)
    check_output(output, files)
