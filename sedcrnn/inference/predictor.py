"""Media file -> streams of sound and picture -> batches of seconds -> network -> the scenes of the file."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from sedcrnn.augmentation.modality_dropout import TRACKS
from sedcrnn.config.targets import build
from sedcrnn.errors import CheckpointError, ClipError, ConfigError, MissingTrackError, nearest
from sedcrnn.features.feature import Feature
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.onnx_file import SUFFIX, OnnxModel
from sedcrnn.inference.scene_models import SceneModel, TorchModel
from sedcrnn.inference.streams import Array, Seconds, batches, network_input
from sedcrnn.runs.checkpoints import load_checkpoint

BATCH_SIZE = 4
"""Seconds at a time. VGG16 takes 0.14 GB for each of 224x224 frames; larger batches gain little on a CPU."""


class Predictor:
    """Predicts files with one network, in little memory whatever their length.

    Args:
        model: the network.

    Attributes:
        scenes: label order.
        heads: names of the heads; the last is the network's answer.

    Raises:
        CheckpointError: the model does not say how its inputs are made.
        ConfigError: it says so in a way that this version of sedcrnn does not know.
    """

    def __init__(self, model: SceneModel) -> None:
        self.model = model
        self.scenes, self.heads = model.scenes, tuple(model.heads)
        names = list(dict.fromkeys(name for needed in model.heads.values() for name in needed))
        for name in names:
            if not model.features.get(name):
                raise CheckpointError(
                    f"{model.path} does not say how its input '{name}' is made",
                    "It holds the config of every feature that its network takes",
                    "Train the stage (and export it) again",
                )
        self.features: dict[str, Feature] = {
            name: build(model.features[name], "feature", trusted=False) for name in names
        }

    def predict(
        self,
        path: str | Path,
        sound: str | Path | None = None,
        head: str | None = None,
        batch_size: int = BATCH_SIZE,
        progress: bool = False,
    ) -> Prediction:
        """Predict every whole second of a file; what is left at the end is not predicted.

        Where a fusion network finds only sound or only a picture, its subnetwork for that answers alone.

        Args:
            path: a media file.
            sound: file whose sound is taken in place of the file's own.
            head: which head answers; None: the network's answer, or the subnetwork's where a track is missing.
            batch_size: seconds at a time; the answer does not depend on it.
            progress: show how far it is, where it takes long.

        Raises:
            ConfigError: the network has no such head.
            ClipError: the file cannot be read to its end, lasts less than a second, or lacks what the head needs.
        """
        self.check_head(head)
        path = Path(path)
        sources = {"spectrogram": Path(sound or path), "frames": path}
        for source in sources.values():
            if not source.is_file():
                raise ClipError(f"There is no file '{source}'", "A media file is named by its path", "Check the path")
        streams = {name: Seconds(feature, sources[name]) for name, feature in self.features.items()}
        windows: dict[str, Iterator[Array]] = {}
        for name, stream in streams.items():
            seconds = iter(stream)
            with suppress(MissingTrackError):  # absent, not damaged
                windows[name] = chain([next(seconds)], seconds)
        answering = [name for name, needed in self.model.heads.items() if set(needed) <= windows.keys()]
        chosen = head or (answering[-1] if answering else self.heads[-1])
        if chosen not in answering:
            raise self._lacking(path, chosen, windows.keys())
        collected: dict[str, list[Array]] = {name: [] for name in answering}
        with tqdm(desc=path.name, total=_declared(path), unit="s", leave=False, delay=1, disable=not progress) as bar:
            for stored in batches(windows, batch_size):
                inputs = {name: network_input(name, self.features[name], values) for name, values in stored.items()}
                for name, values in self.model.probabilities(inputs).items():
                    collected[name].append(values)
                bar.update(len(values))
        return Prediction(
            path=path,
            scenes=self.scenes,
            head=chosen,
            probabilities={name: np.concatenate(values) for name, values in collected.items()},
            tracks={TRACKS[name]: streams[name].count for name in windows},
        )

    def check_head(self, head: str | None) -> None:
        """Refuse a head that the network does not have.

        Raises:
            ConfigError: naming those that it has.
        """
        if head is not None and head not in self.heads:
            raise ConfigError(
                f"head={head}",
                f"{self.model.path} has {', '.join(self.heads)}; the nearest is {nearest(head, self.heads)}",
                "Correct the name, or leave it out for the network's answer",
            )

    def _lacking(self, path: Path, head: str, found: Collection[str]) -> ClipError:
        needed = self.model.heads[head]
        lacking = " and no ".join(TRACKS[name] for name in needed if name not in found)
        return ClipError(
            f"'{path}' has no {lacking}",
            f"The head '{head}' takes {' and '.join(TRACKS[name] for name in needed)}",
            "Give a file that has it, or a network or head that does without",
        )


def load(path: str | Path, device: str = "cpu") -> Predictor:
    """A predictor from a run folder, a checkpoint or an ONNX file; nothing else is needed.

    Args:
        path: of the run folder, checkpoint or ONNX file.
        device: torch device; ONNX files run on the CPU.

    Raises:
        CheckpointError: missing, or not of this package.
        ConfigError: a device that there is not.
        MissingExtraError: an ONNX file, and ONNX Runtime is not installed.
    """
    if Path(path).suffix.lower() == SUFFIX:
        return Predictor(OnnxModel(Path(path), device))
    return Predictor(TorchModel(load_checkpoint(str(path)), device))


def _declared(path: Path) -> int | None:
    """Length of a file in seconds as it declares it, for the progress bar alone."""
    with suppress(av.FFmpegError, OSError, ValueError), av.open(path, metadata_errors="ignore") as container:
        return None if container.duration is None else int(container.duration // av.time_base)
    return None
