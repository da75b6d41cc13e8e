"""Media file -> windows of one second of every feature -> batches -> network -> the scenes of the file.

The windows are those of the evaluation (`datasets.windows.ConsecutiveWindows`): every whole second once. What is left
at the end, less than a second, is not predicted.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import UNLABELLED, Clip
from sedcrnn.datasets.windows import STEPS_PER_WINDOW
from sedcrnn.errors import CheckpointError, ClipError, MissingTrackError, check_choice
from sedcrnn.evaluation.predictions import first_not_finite, not_finite
from sedcrnn.features.feature import Feature, unreadable
from sedcrnn.features.media_file import open_media, within_memory
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.scene_models import ONNX_SUFFIX, OnnxModel, SceneModel, TorchModel
from sedcrnn.progress import progress as progress_bar
from sedcrnn.runs.checkpoints import load_checkpoint

LARGEST_BATCH, BATCH_BYTES = 10, 3_100_000
"""Seconds at a time, and bytes of their inputs. Small networks gain from large batches; VGG16 gains nothing from more
than the four seconds of frames of 224x224 that these bytes hold, and takes 0.3 GB for each."""

Array = NDArray[Any]

log = logging.getLogger(__name__)


class Predictor:
    """Predicts files with one network, in little memory whatever their length; `heads` are its heads by name, of which
    the last is its answer, and `scenes` the label order.

    Raises:
        CheckpointError: the model does not say how its inputs are made.
    """

    def __init__(self, model: SceneModel, damage: str = "skip") -> None:
        self.model = model
        self.scenes, self.heads = model.scenes, tuple(model.heads)
        names = dict.fromkeys(name for needed in model.heads.values() for name in needed)
        for name in names:
            if not model.features.get(name):
                raise CheckpointError(
                    f"{model.path} does not say how its input '{name}' is made",
                    "It holds the config of every feature that its network takes",
                    "Train the stage (and export it) again",
                )
        self.features = {
            name: feature.with_damage(damage) for name, feature in build_features(model.features, names).items()
        }

    def predict(
        self,
        path: str | Path,
        audio: str | Path | None = None,
        head: str | None = None,
        batch_size: int | None = None,
        progress: bool = False,
        watch: Callable[[int, int | None], object] | None = None,
    ) -> Prediction:
        """Predict every whole second of a file.

        Where a fusion network finds only audio or only video, its subnetwork for that answers alone, or fusion with
        what there is, as it was trained (`FusionNetwork`, missing).

        Args:
            path: a media file.
            audio: file whose audio is taken in place of the file's own.
            head: which head answers; None: the network's answer, or the subnetwork's where a track is missing.
            batch_size: seconds at a time, on which the answer does not depend; None: 10, fewer where frames are large.
            progress: show a bar with the seconds done, where it takes long.
            watch: called with the seconds done and with those declared, if any; what it raises ends the prediction.

        Raises:
            ConfigError: the network has no such head.
            ClipError: the file cannot be read to its end, lasts less than a second, lacks what the head needs, or a
                probability is not finite.
            CheckpointError: the model cannot run on what its features make.
        """
        self.check_head(head)
        path = Path(path)
        clip = media_clip(Path(audio or path), path)
        for source in (clip.audio, clip.video):
            if not source.is_file():
                raise ClipError(f"There is no file '{source}'", "A media file is named by its path", "Check the path")
        present: dict[str, Iterator[Array]] = {}
        size = 0  # of a second's inputs in bytes
        for name, feature in self.features.items():
            seconds = windows(feature, feature.source(clip))
            with suppress(MissingTrackError):  # absent, not damaged
                first = next(seconds)
                size += first.nbytes
                present[name] = chain([first], seconds)
        absent = {self.features[name].track for name in self.features.keys() - present.keys()}
        answering = self.model.answering(present.keys())
        chosen = head or (answering[-1] if answering else self.heads[-1])
        if chosen not in answering:
            needed = [self.features[name].track for name in self.model.heads[chosen]]
            raise ClipError(
                f"'{path}' has no {' and no '.join(track for track in needed if track in absent)}",
                f"The head '{chosen}' takes {' and '.join(needed)}",
                "Give a file that has it, or a network or head that does without",
            )
        collected: dict[str, list[Array]] = {name: [] for name in answering}
        lengths: Counter[str] = Counter()
        declared = _declared(path)
        with progress_bar(about=path.name, total=declared, unit="s", leave=False, delay=1, disable=not progress) as bar:
            at_once = batch_size or max(1, min(LARGEST_BATCH, BATCH_BYTES // size))
            for decoded in batches(present, at_once, lengths):
                inputs = network_inputs(self.features, decoded)
                for name, values in self.model.calibrated_probabilities(inputs).items():
                    if (index := first_not_finite(torch.from_numpy(values))) is not None:
                        raise not_finite(str(path), sum(map(len, collected[name])) + index, name)
                    collected[name].append(values)
                bar.update(len(values))
                if watch is not None:
                    watch(sum(map(len, collected[chosen])), declared)
        return Prediction(
            path=path,
            scenes=self.scenes,
            head=chosen,
            probabilities={name: np.concatenate(values) for name, values in collected.items()},
            tracks={self.features[name].track: lengths[name] for name in present},
            absent=tuple(sorted(absent)),
            temperatures={name: self.model.temperatures[name] for name in answering if name in self.model.temperatures},
        )

    def check_head(self, head: str | None) -> None:
        """Refuse a head that the network does not have.

        Raises:
            ConfigError: with the names of those that it has.
        """
        if head is not None:
            check_choice("head", head, self.heads)


def load(
    path: str | Path, device: str = "cpu", precision: str = "32-true", calibrated: bool = True, damage: str = "skip"
) -> Predictor:
    """A predictor from a run folder, a checkpoint or an ONNX file; nothing else is needed.

    Its probabilities are calibrated by the temperatures that the file holds, if any; without, or with
    `calibrated=False`, they are the network's own, which the evaluation scores.

    The answers of `32-true` are those of the evaluation. `bf16-mixed` takes half the time where it is native, and
    changes probabilities by some thousandths; `auto` takes it there. ONNX files run in float32.

    `damage` says what becomes of pieces of a file that cannot be decoded: `skip` answers of silence and of the picture
    before, `end` up to there, `stop` not at all.

    Raises:
        CheckpointError: missing, or not of this package.
        ConfigError: a device that torch does not have here.
    """
    model: SceneModel
    if Path(path).suffix.lower() == ONNX_SUFFIX:
        model = OnnxModel(Path(path), device, precision)
    else:
        model = TorchModel(load_checkpoint(str(path)), device, precision)
    if not calibrated:
        model.temperatures = {}
    elif not model.temperatures:
        log.warning("The probabilities of %s are not calibrated: %s.", model.path, model.no_temperatures)
    return Predictor(model, damage)


def build_features(nodes: Mapping[str, Any], names: Iterable[str]) -> dict[str, Feature]:
    """The features of some inputs from their configs, which came with a file."""
    return {name: build(nodes[name], "feature", trusted=False) for name in names}


def network_inputs(features: Mapping[str, Feature], decoded: Mapping[str, Array]) -> dict[str, Array]:
    """Decoded windows of every feature (window, row, ...) as networks take them."""
    return {name: features[name].network_input(torch.from_numpy(values)).numpy() for name, values in decoded.items()}


def media_clip(audio: Path, video: Path) -> Clip:
    """A file, or two, as a clip of which nothing else is known."""
    return Clip(id=video.stem, audio=audio, video=video, scene=UNLABELLED, city="", location="", fold="")


def windows(feature: Feature, path: Path) -> Iterator[Array]:
    """The decoded windows of one feature of a file, (row, ...) each: one at least.

    Raises:
        ClipError: as the feature's `stream`, or there is no whole window.
    """
    rows = STEPS_PER_WINDOW * feature.per_step
    held: list[Array] = []
    end = 0
    with within_memory(path):
        for piece in feature.stream(path):
            held.append(piece)
            if sum(map(len, held)) >= rows:
                joined = np.concatenate(held)
                end = len(joined) // rows * rows
                yield from joined[:end].reshape(-1, rows, *joined.shape[1:])
                held = [joined[end:]]
    if not end:
        raise unreadable(path, "lasts less than one second")


def batches(
    streams: Mapping[str, Iterator[Array]], size: int, lengths: Counter[str] | None = None
) -> Iterator[dict[str, Array]]:
    """Windows of the same seconds side by side: name -> (window, row, ...), `size` of them at most.

    Seconds that not all features have are left out, but read and counted in `lengths`, so that damage is noticed
    wherever it is, as in training.
    """
    rows: list[tuple[Array, ...]] = []

    def stacked() -> dict[str, Array]:
        return {name: np.stack(column) for name, column in zip(streams, zip(*rows, strict=True), strict=True)}

    for row in zip_longest(*streams.values()):
        found = [name for name, window in zip(streams, row, strict=True) if window is not None]
        if lengths is not None:
            lengths.update(found)
        if len(found) == len(row):
            rows.append(row)
        if len(rows) == size:
            yield stacked()
            rows = []
    if rows:
        yield stacked()


def _declared(path: Path) -> int | None:
    """Length of a file in seconds as it declares it, for the progress bar alone."""
    with suppress(ClipError), open_media(path) as container:
        return None if container.duration is None else int(container.duration // av.time_base)
    return None
