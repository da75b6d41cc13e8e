"""A scored run -> the seconds that it gets most wrong and most right, with pictures of what the network gets."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sedcrnn.config.checking import checked
from sedcrnn.config.stage_config import DataConfig, FeaturesConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import NO_SCENE, Clip
from sedcrnn.datasets.windows import Window
from sedcrnn.errors import MissingTrackError, SedcrnnError
from sedcrnn.evaluation.predictions import read_predictions
from sedcrnn.evaluation.result_names import EVALUATION, PREDICTIONS
from sedcrnn.evaluation.scores import example_losses
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.video_track import aspect_ratio
from sedcrnn.plotting.network_inputs import beginning, drawable, spectrogram_panels
from sedcrnn.reporting.collection import FOLD
from sedcrnn.reporting.scoring import ScoredRun
from sedcrnn.runs.records import read_config

NUMBER = 4  # of each kind


@dataclass(frozen=True)
class Picture:
    """What the network gets of a second, as an image in the page."""

    what: str
    data: str  # a PNG file in base64
    aspect_ratio: float  # in which it is shown


@dataclass(frozen=True)
class ShownSecond:
    """A second of a clip, and the answer."""

    clip: str
    second: int  # of the clip, counted from 0
    scene: str  # true; all of them in multi-label data, and so below
    probability: float  # of the true scene; how probable the true scenes, and no others, are on average
    answer: str  # likeliest scene; all that reach their thresholds
    answer_probability: float


def find_examples(scored: ScoredRun) -> tuple[list[ShownSecond], list[ShownSecond]]:
    """The wrong windows whose true scene is least probable, each of another clip; and the right ones that are surest,
    each of another scene."""
    windows = read_predictions(scored.run.folder / EVALUATION / FOLD / PREDICTIONS).predictions
    level = scored.levels["window"]
    values = level.log_probabilities if level.scaled is None else level.scaled
    if scored.multi_label:  # the geometric mean, over scenes, of the probability of what is true of each
        truth = (-example_losses(values, level.scene)).exp().tolist()
        named = [[_together(scored.scenes, row) for row in rows] for rows in (level.scene, level.scene ^ level.wrong)]
        columns = [named[0], truth, named[1], truth]
    else:
        likeliest, best = values.exp().max(-1)
        true = values.exp().gather(-1, level.scene[:, None]).squeeze(-1)
        named = [[scored.scenes[scene] for scene in scenes.tolist()] for scenes in (level.scene, best)]
        columns = [named[0], true.tolist(), named[1], likeliest.tolist()]
    examples = [
        ShownSecond(scored.clips[clip], second, *row)
        for clip, second, *row in zip(windows.clip.tolist(), windows.window.tolist(), *columns, strict=True)
    ]
    rising = sorted(examples, key=lambda one: one.probability)
    worst = [one for one in _one_each(rising, lambda one: one.clip) if one.answer != one.scene]
    best_ones = [one for one in _one_each(rising[::-1], lambda one: one.scene) if one.answer == one.scene]
    return worst[:NUMBER], best_ones[:NUMBER]


def _together(scenes: Sequence[str], there: Tensor) -> str:
    return " + ".join(scene for scene, one in zip(scenes, there.tolist(), strict=True) if one) or NO_SCENE


def _one_each(examples: Sequence[ShownSecond], of: Callable[[ShownSecond], str]) -> list[ShownSecond]:
    """The first example of each kind."""
    found: dict[str, ShownSecond] = {}
    for example in examples:
        found.setdefault(of(example), example)
    return list(found.values())


def picture_examples(
    scored: ScoredRun, examples: Sequence[ShownSecond]
) -> tuple[dict[ShownSecond, list[Picture]], str]:
    """Pictures of the examples whose media are where they were in training; and why others have none, if any."""
    reason = ""
    pictures: dict[ShownSecond, list[Picture]] = {}
    try:
        config = read_config(scored.run.folder)
        source = checked(config.get("data", {}), DataConfig).source
        nodes = vars(checked(config.get("features", {}), FeaturesConfig))
        clips = {clip.id: clip for clip in build(source, "data_source", trusted=False).manifest().clips}
        features = {name: build(node, "feature", trusted=False) for name, node in nodes.items() if node is not None}
    except (SedcrnnError, OSError) as error:
        return {}, _reason(error)
    for example in examples:
        try:
            if example.clip in clips:
                pictures[example] = _pictures(clips[example.clip], example.second, drawable(features))
        except (SedcrnnError, OSError) as error:
            reason = _reason(error)
    return pictures, reason


def _reason(error: SedcrnnError | OSError) -> str:
    return error.found if isinstance(error, SedcrnnError) else str(error)


def _pictures(clip: Clip, second: int, features: dict[str, Feature]) -> list[Picture]:
    """The frame in the middle of a second, and its spectrogram; of several channels the first."""
    pictures = []
    for feature in features.values():
        end = (second + 1) * STEPS_PER_SECOND * feature.per_step
        try:
            values = beginning(feature.stream(feature.source(clip)), end)
        except MissingTrackError:  # of a clip that was used without it
            continue
        if isinstance(feature, Frames):
            frame = values[second * STEPS_PER_SECOND + STEPS_PER_SECOND // 2]
            pictures.append(_picture("frame", frame, aspect_ratio(clip.video)))
        elif isinstance(feature, Spectrogram):
            window = Window(clip=0, step=second * STEPS_PER_SECOND)
            channel = spectrogram_panels(feature, values, [window]).values[0]
            colours = matplotlib.colormaps["magma"]((channel + 1) / 2)[..., :3]
            pictures.append(_picture("spectrogram", (255 * colours).astype(np.uint8), 1.0))
    return pictures


def _picture(what: str, pixels: NDArray[Any], shape: float) -> Picture:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Picture(what, base64.b64encode(file.getvalue()).decode(), shape)
