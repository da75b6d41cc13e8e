"""Why a network answers as it does: what it answers to each track alone, and where in its inputs it looked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.features.feature import Feature
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.modality_shares import guessed
from sedcrnn.inference.scene_models import Probabilities, SceneModel


@dataclass(frozen=True, eq=False)
class Explanation:
    """Reasons for the answer to one file.

    Attributes:
        prediction: the answer, with `Prediction.alone`.
        scene: the one that is explained.
        shares: track -> (second,) its share in the scene's probability (`Prediction.shares`), of all seconds.
        seconds: (number,) those of which there are heat maps.
        heat: input -> (number, ...) what in it speaks for the scene (`grad_cam.heat_maps`), in [0, 1]: of a spectrogram
            (number, band, column), highest band first; of frames (number, time, height, width).
        inputs: input -> (number, ...) what the network got.
    """

    prediction: Prediction
    scene: str
    shares: Mapping[str, NDArray[np.float64]]
    seconds: NDArray[np.int64]
    heat: Mapping[str, NDArray[np.float32]]
    inputs: Mapping[str, NDArray[Any]]


def tracks_not_alone(model: SceneModel, features: Mapping[str, Feature], head: str) -> list[str]:
    """The tracks to which the model has no answer where they are alone: of a network of one's own that needs both."""
    needed = model.heads[head]
    tracks = dict.fromkeys(features[name].track for name in needed)
    return [
        track for track in tracks if not model.answering([name for name in needed if features[name].track == track])
    ]


def alone(
    model: SceneModel,
    features: Mapping[str, Feature],
    head: str,
    inputs: Mapping[str, NDArray[Any]],
    found: Probabilities,
) -> Probabilities:
    """What is answered to each track of a batch as if there were no other: track -> (second, scene) probabilities.

    It is what the model answers to a file that lacks the other track: with the same head, or with the subnetwork's. A
    head that does not look at a track gives all scenes the same probability.

    Args:
        head: the one that answers to the whole.
        found: what the model answers to the whole, after temperatures.
    """
    answers: Probabilities = {}
    for track in dict.fromkeys(features[name].track for name in inputs):
        there = {
            name: values
            for name, values in inputs.items()
            if features[name].track == track and name in model.heads[head]
        }
        if not there:
            answers[track] = np.full_like(found[head], guessed(len(model.scenes), model.multi_label))
            continue
        answering = model.answering(there)
        chosen = head if head in answering else answering[-1]
        if there.keys() == inputs.keys():
            answers[track] = found[head]
        elif set(model.heads[chosen]) <= there.keys():  # it does not see the other track
            answers[track] = found[chosen]
        else:
            answers[track] = model.calibrated_probabilities(there)[chosen]
    return answers
