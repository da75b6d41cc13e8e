"""Predict the evaluation set of DCASE 2021 Task 1B with a trained network, and pack it as the challenge asks.

python -m sedcrnn.submit run=<run folder or checkpoint> root=<evaluation set>
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from torch import Tensor

from sedcrnn.checkpoints import Checkpoint, load_checkpoint
from sedcrnn.clips import Clip
from sedcrnn.commands import command
from sedcrnn.config import Node, check_at_least, checked, instantiate
from sedcrnn.datasets.tau2021_evaluation import Tau2021Evaluation
from sedcrnn.errors import CheckpointError, ConfigError, SubmissionError, nearest
from sedcrnn.evaluate import METRICS, evaluation_folder
from sedcrnn.evaluation.prediction import check_device, predict
from sedcrnn.features.extraction import extract_all
from sedcrnn.features.store import FeatureStore
from sedcrnn.files import atomic_folder
from sedcrnn.networks import SceneNetwork
from sedcrnn.scenes import TAU_SCENES
from sedcrnn.submission.check import check_submission, meta_file, output_file, refuse
from sedcrnn.submission.meta import check_meta, describe, write_meta
from sedcrnn.submission.output import write_output
from sedcrnn.window_dataset import WindowDataset, window_loader
from sedcrnn.windows import ConsecutiveWindows


@dataclass
class CheckConfig:
    """Which finished submission to check; see conf/submit.yaml."""

    check: str | None = MISSING
    files: int = MISSING


@dataclass
class SubmitConfig(CheckConfig):
    """Which network to submit, on what, and by whom; see conf/submit.yaml."""

    run: str = MISSING
    root: str = MISSING
    out: str = MISSING
    head: str | None = MISSING
    batch_size: int = MISSING
    workers: int = MISSING
    loader_workers: int = MISSING
    store: str = MISSING
    device: str = MISSING
    submission: Node = MISSING
    system: Node = MISSING


def submit(config: SubmitConfig) -> Path:
    """Make a submission; whatever can be refused is refused before the first clip is read.

    Returns:
        The folder `task1/<label>`, with both files, checked.

    Raises:
        CheckpointError: no checkpoint, one of other scenes, or one that has not been evaluated.
        ConfigError: a head that the network does not have, a device that is not there, or a number out of range.
        DataError: the evaluation set is not all there.
        SubmissionError: the submission would break a rule of the challenge, or is there already.
    """
    check_at_least(1, files=config.files, batch_size=config.batch_size)
    check_at_least(0, workers=config.workers, loader_workers=config.loader_workers)
    check_device(config.device)
    checkpoint = load_checkpoint(config.run)
    if checkpoint.scenes != TAU_SCENES:
        raise CheckpointError(
            f"{checkpoint.path} was trained for the scenes {', '.join(checkpoint.scenes)}",
            f"The challenge has {', '.join(TAU_SCENES)}",
            "Name a run that was trained on the challenge's scenes",
        )
    network = checkpoint.build()
    heads = network.head_names
    head = heads[-1] if config.head is None else config.head
    if head not in heads:
        raise ConfigError(
            f"head is '{head}'",
            f"{checkpoint.path} has {', '.join(heads)}; the nearest is {nearest(head, heads)}",
            "Correct the name, or leave head=null for the network's answer",
        )
    scores = _development_scores(checkpoint, head)
    meta = describe(config.submission, config.system, network, head, scores)
    label = str(config.submission.get("label"))
    refuse(check_meta(meta, label), f"The submission '{label}'")
    folder = Path(config.out) / "task1" / label
    if folder.exists():
        raise SubmissionError(
            f"There is a submission in {folder} already",
            "A submission is never written over",
            "Remove it, or give another submission.label or another out=<folder>",
        )
    features = {name: instantiate(node) for name, node in checkpoint.features.items()}
    clips = Tau2021Evaluation(config.root, config.files).clips(features.values())
    probabilities = _predict(config, network, head, features, clips)
    with atomic_folder(folder) as made:
        write_output(output_file(made), [clip.id for clip in clips], probabilities)
        write_meta(meta_file(made), meta)
        check_submission(made, config.files)
    return folder


def _development_scores(checkpoint: Checkpoint, head: str) -> dict[str, Any]:
    """The scores of a head on 1-s windows of the test fold, from the run's own evaluation of the same weights."""
    metrics = evaluation_folder(checkpoint, "test") / METRICS
    report = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else None
    if report is None or report["of"]["checkpoint"] != checkpoint.digest:
        raise CheckpointError(
            f"{metrics} " + ("does not exist" if report is None else "tells of other weights"),
            "A submission states the results on the development set's test fold",
            f"Run `python -m sedcrnn.evaluate run={checkpoint.path}` first",
        )
    scores: dict[str, Any] = report["heads"][head]["window"]
    return scores


def _predict(
    config: SubmitConfig,
    network: SceneNetwork,
    head: str,
    features: dict[str, Any],
    clips: tuple[Clip, ...],
) -> Tensor:
    """(clip, scene) probabilities, made as in every evaluation."""
    store = FeatureStore(Path(config.store))
    # Whatever training kept, frames that are predicted from are read from the store.
    features = {
        name: feature if feature.stored else replace(feature, storage="raw") for name, feature in features.items()
    }
    # A clip without a prediction makes a submission invalid, so none may be skipped.
    extract_all(clips, list(features.values()), store, config.workers, unreadable="stop")
    dataset = WindowDataset(clips, TAU_SCENES, features, store)
    loader = window_loader(dataset, ConsecutiveWindows(dataset.steps, config.batch_size), config.loader_workers)
    return predict(network, loader, config.device).per_clip().log_probabilities[head].exp()


@command("submit")
def main(config: DictConfig) -> None:
    """Make the submission that the command line describes, or check a finished one."""
    if config.check is None:
        folder, files = submit(options := checked(config, SubmitConfig)), options.files
    else:
        # Without what only the making of a submission takes, which need not be given; other keys are errors as ever.
        of_making = {field.name for field in fields(SubmitConfig)} - {field.name for field in fields(CheckConfig)}
        kept = OmegaConf.masked_copy(config, [str(key) for key in config if key not in of_making])
        options = checked(kept, CheckConfig)
        check_submission(Path(options.check), options.files)
        folder, files = Path(options.check).resolve(), options.files
    print(f"{folder} keeps the rules of DCASE 2021 Task 1B, for {files:,} files.")
    print(f"{output_file(folder)}\n{meta_file(folder)}")


if __name__ == "__main__":
    main()
