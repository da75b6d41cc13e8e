"""A trained network and the evaluation set of DCASE 2021 Task 1B -> the challenge's table of predictions, checked."""

from dataclasses import replace
from pathlib import Path

from sedcrnn.config.targets import build
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.datasets.tau2021_evaluation import Tau2021Evaluation
from sedcrnn.datasets.window_dataset import WindowDataset, window_loader
from sedcrnn.datasets.windows import ConsecutiveWindows
from sedcrnn.errors import CheckpointError, SubmissionError, check_choice
from sedcrnn.evaluation.predictions import predict
from sedcrnn.features.extraction import extract_all
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks.execution import choose_device
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.submission.output import check_output, write_output


def submit(
    run: str,
    root: str,
    output: Path,
    head: str | None,
    files: int,
    batch_size: int,
    extraction_workers: int,
    store: str,
    device: str,
) -> None:
    """Predict the evaluation set; whatever can be refused is refused before the first clip is read.

    Args:
        run: run folder or checkpoint file.
        root: the evaluation set: audio/0.wav, video/0.mp4 and so on.
        output: the table that is written.
        head: None: the network's answer.
        files: in the evaluation set.
        batch_size: windows at a time.
        extraction_workers: processes that make features.
        store: where these are kept.
        device: torch device.

    Raises:
        CheckpointError: no checkpoint, or one of other scenes.
        ConfigError: a head that the network does not have, or a device that is not there.
        DataError: the evaluation set is not all there.
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
    device, network = choose_device(device), checkpoint.build()
    answering = head or network.head_names[-1]
    check_choice("head", answering, network.head_names)
    made = {name: build(node, "feature", trusted=False) for name, node in checkpoint.features.items()}
    # Whatever training kept, frames that are predicted from are read from the store.
    features = {name: one if one.stored else replace(one, storage="raw") for name, one in made.items()}
    clips = Tau2021Evaluation(root, files).clips(features.values())
    kept = FeatureStore(Path(store))
    # A clip without a prediction makes a submission invalid, so none may be skipped.
    extract_all(clips, list(features.values()), kept, extraction_workers, unreadable="stop")
    dataset = WindowDataset(clips, TAU_SCENES, features, kept)
    loader = window_loader(dataset, ConsecutiveWindows(dataset.steps, batch_size), 0)
    probabilities = predict(network, loader, device).per_clip().log_probabilities[answering].exp()
    write_output(output, [clip.id for clip in clips], probabilities)
    check_table(output, files)


def check_table(path: Path, files: int) -> None:
    """Check a table of predictions against the challenge's rules.

    Args:
        path: the table.
        files: how many files the evaluation set has.

    Raises:
        SubmissionError: naming every rule that it breaks.
    """
    if broken := list(check_output(path, files)):
        listed = "; ".join(f"({number}) {problem}" for number, problem in enumerate(broken, start=1))
        raise SubmissionError(
            f"{path} breaks {len(broken)} rule{'s' * (len(broken) > 1)} of the challenge: {listed}",
            "A table of predictions keeps the official form of DCASE 2021 Task 1B",
            "Correct these values",
        )
