"""Media file -> batches of its seconds -> network -> the scenes of the file, their reasons, and its embeddings."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from sedcrnn.errors import CheckpointError, ClipError, ConfigError, check_choice
from sedcrnn.evaluation.predictions import first_not_finite, not_finite
from sedcrnn.inference.file_embeddings import Embeddings
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.media_windows import Array, MediaWindows, build_features
from sedcrnn.inference.reasons import Explanation, alone, tracks_not_alone
from sedcrnn.inference.scene_models import ONNX_SUFFIX, OnnxModel, SceneModel, TorchModel, gives_no
from sedcrnn.progress import progress as progress_bar
from sedcrnn.runs.checkpoints import load_checkpoint

log = logging.getLogger(__name__)

Inputs = dict[str, Array]
"""Of one batch, by name."""


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
        reasons: bool = False,
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
            reasons: say, too, what the head answers to audio alone and to video alone (`Prediction.alone`).

        Raises:
            ConfigError: the network has no such head, or no answer to one track alone, where reasons are asked for.
            ClipError: the file cannot be read to its end, lasts less than a second, lacks what the head needs, or a
                probability is not finite.
            CheckpointError: the model cannot run on what its features make.
        """
        self.check_head(head)
        media = self._open(path, audio)
        return self._predict(media, _watched(media, batch_size, progress, watch), head, reasons)

    def _predict(self, media: MediaWindows, batches: Iterator[Inputs], head: str | None, reasons: bool) -> Prediction:
        """Of the batches of a file, which are read once."""
        answering = self.model.answering(media.names)
        chosen = head or (answering[-1] if answering else self.heads[-1])
        if chosen not in answering:
            raise self._lacking(media, f"The head '{chosen}' takes", self.model.heads[chosen])
        if reasons and (tracks := tracks_not_alone(self.model, self.features, chosen)):
            raise ConfigError(
                f"The network of {self.model.path} does not answer to {' or to '.join(tracks)} alone",
                "Reasons compare its answers to both tracks, to audio alone and to video alone",
                "Leave reasons out, or use a fusion network of this package",
            )
        collected: defaultdict[str, list[Array]] = defaultdict(list)
        apart: defaultdict[str, list[Array]] = defaultdict(list)  # of tracks alone
        for inputs in batches:
            found = self.model.calibrated_probabilities(inputs)
            for name, values in found.items():
                if (index := first_not_finite(torch.from_numpy(values))) is not None:
                    raise not_finite(str(media.path), sum(map(len, collected[name])) + index, name)
                collected[name].append(values)
            if reasons:
                for track, values in alone(self.model, self.features, chosen, inputs, found).items():
                    apart[track].append(values)
        return Prediction(
            path=media.path,
            scenes=self.scenes,
            head=chosen,
            probabilities={name: np.concatenate(collected[name]) for name in answering},
            tracks=media.tracks,
            absent=media.absent,
            temperatures={name: self.model.temperatures[name] for name in answering if name in self.model.temperatures},
            alone={track: np.concatenate(values) for track, values in apart.items()},
            thresholds={name: self.model.thresholds(name) for name in answering} if self.model.multi_label else {},
        )

    def embed(
        self,
        path: str | Path,
        audio: str | Path | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Embeddings:
        """The embeddings of every whole second of a file, those that its tracks suffice for; arguments as `predict`.

        Raises:
            ConfigError: the network has no embeddings, as ONNX files and some networks of one's own.
            ClipError: as `predict`, or an embedding is not finite.
        """
        if not self.model.embedding_names:
            raise gives_no(self.model.path, "embeddings", "classifiers")
        media = self._open(path, audio)
        if not self.model.answering(media.names):
            raise self._lacking(media, "The network takes", tuple(self.features))
        collected: defaultdict[str, list[Array]] = defaultdict(list)
        for inputs in _watched(media, batch_size, progress):
            for name, values in self.model.embeddings(inputs).items():
                if not np.isfinite(values).all():
                    raise ClipError(
                        f"The network's embedding '{name}' of '{path}' is not finite",
                        "Its weights are those of a training that went well",
                        "Use another run",
                    )
                collected[name].append(values)
        joined = {name: np.concatenate(values) for name, values in collected.items()}
        return Embeddings(Path(path), joined, media.tracks, media.absent)

    def explain(
        self,
        path: str | Path,
        audio: str | Path | None = None,
        head: str | None = None,
        scene: str | None = None,
        start: int = 0,
        seconds: int = 10,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Explanation:
        """Predict a file and say why: the tracks' shares in every second, and where the network looked in some.

        Args:
            path, audio, head, batch_size, progress: as `predict`.
            scene: which scene's reasons; None: the answer's.
            start, seconds: of how many seconds, from which on, there are heat maps; they are as large as the inputs.

        Raises:
            ConfigError: there is no such head, scene or second, or the network cannot say why: ONNX files, and
                timm networks whose last map has no rows and columns.
            ClipError: as `predict`.
        """
        self.check_head(head)
        media = self._open(path, audio)
        self.model.check_heat_maps(media.names)
        chosen: list[Inputs] = []
        batches = _kept(_watched(media, batch_size, progress), range(start, start + seconds), chosen)
        prediction = self._predict(media, batches, head, reasons=True)
        scene = scene or prediction.top(1)[0][0]
        check_choice("scene", scene, self.scenes)
        if not 0 <= start < len(prediction.seconds):
            raise ConfigError(
                f"start={start}, and '{path}' has {len(prediction.seconds)} whole seconds",
                f"The first second explained is one of 0 to {len(prediction.seconds) - 1}",
                "Correct the value",
            )
        heat = [self.model.heat_maps(second, prediction.head, self.scenes.index(scene)) for second in chosen]
        return Explanation(
            prediction=prediction,
            scene=scene,
            shares=prediction.shares(scene),
            seconds=prediction.seconds[start : start + seconds],
            heat=_joined(heat),
            inputs=_joined(chosen),
        )

    def _open(self, path: str | Path, audio: str | Path | None) -> MediaWindows:
        return MediaWindows(self.features, Path(path), Path(audio or path))

    def _lacking(self, media: MediaWindows, taker: str, needed: tuple[str, ...]) -> ClipError:
        tracks = [self.features[name].track for name in needed]
        return ClipError(
            f"'{media.path}' has no {' and no '.join(track for track in tracks if track in media.absent)}",
            f"{taker} {' and '.join(tracks)}",
            "Give a file that has it, or a network or head that does without",
        )

    def check_head(self, head: str | None) -> None:
        """Refuse a head that the network does not have.

        Raises:
            ConfigError: with the names of those that it has.
        """
        if head is not None:
            check_choice("head", head, self.heads)


def _watched(
    media: MediaWindows,
    batch_size: int | None,
    progress: bool,
    watch: Callable[[int, int | None], object] | None = None,
) -> Iterator[Inputs]:
    """The batches of a file, with a bar; `watch` is told what has been dealt with."""
    done, total = 0, media.declared
    with progress_bar(about=media.path.name, total=total, unit="s", leave=False, delay=1, disable=not progress) as bar:
        for inputs in media.batches(batch_size):
            yield inputs
            seconds = len(next(iter(inputs.values())))
            bar.update(seconds)
            done += seconds
            if watch is not None:
                watch(done, total)


def _kept(batches: Iterator[Inputs], seconds: range, chosen: list[Inputs]) -> Iterator[Inputs]:
    """The batches of a file, of which some seconds are added to `chosen`, one by one."""
    second = 0
    for inputs in batches:
        for number in range(len(next(iter(inputs.values())))):
            if second in seconds:
                chosen.append({name: values[number : number + 1] for name, values in inputs.items()})
            second += 1
        yield inputs


def _joined(batches: list[Inputs]) -> Inputs:
    return {name: np.concatenate([one[name] for one in batches]) for name in (batches[0] if batches else ())}


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
