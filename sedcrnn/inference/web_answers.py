"""A network, and what it says of a clip, as the local page shows them: plain data with names in words."""

import re
from typing import Any

from sedcrnn.datasets.clips import NO_SCENE
from sedcrnn.inference.file_prediction import Prediction, certainty, notes, reasons_in_words, scene_in_words
from sedcrnn.inference.predictor import Predictor

ABOUT = {
    "audio": "From the audio alone.",
    "visual": "From the video alone.",
    "early": "From audio and video together, compared moment by moment.",
    "late": "From the predictions of all the other heads.",
}
"""The heads of this package's networks, each in a sentence."""


def describe_network(predictor: Predictor) -> dict[str, Any]:
    """What the page says of a network before there is a clip."""
    return {"path": str(predictor.model.path), "scenes": [scene_in_words(scene) for scene in predictor.scenes]}


def describe_answer(predictor: Predictor, prediction: Prediction) -> dict[str, Any]:
    """The answer in words, and every head that could answer, the answering one first: the scenes of each in label
    order with their (second, scene) probabilities and those of the whole clip.
    """
    heads = sorted(prediction.probabilities, key=lambda head: head != prediction.head)
    headline, sentence = answer_in_words(prediction)
    return {
        "headline": headline,
        "certainty": sentence,
        "notes": [*notes(prediction), *([reasons_in_words(prediction)] if len(prediction.alone) > 1 else [])],
        "scenes": [scene_in_words(scene) for scene in prediction.scenes],
        "seconds": len(prediction.seconds),
        "heads": [
            {
                "name": head,
                "about": about(predictor, head),
                "scene": _named(prediction, head),
                "thresholds": list(prediction.thresholds[head]) if prediction.thresholds else None,
                "clip": prediction.clip[head].tolist(),
                "probabilities": prediction.probabilities[head].tolist(),
            }
            for head in heads
        ],
    }


def answer_in_words(prediction: Prediction) -> tuple[str, str]:
    """The scene of the whole clip, or the two that it may be, and a sentence on how sure that is; in multi-label data
    all scenes that reach their thresholds."""
    if prediction.thresholds:
        found = [f"{scene_in_words(scene)} {value:.2f}" for scene, value in prediction.answers()]
        raw = "" if prediction.calibrated else " They are not calibrated, and may be far from how often they are right."
        said = f"Probabilities, the mean over {len(prediction.seconds)} s: {', '.join(found)}." if found else ""
        return _named(prediction, prediction.head), (said or "No scene reaches its threshold.") + raw
    (scene, probability), *others = [(scene_in_words(scene), value) for scene, value in prediction.top(2)]
    mean = f"{probability:.2f}, the mean over {len(prediction.seconds)} s"
    if not prediction.calibrated:
        return scene, f"Its probability is {mean}. It is not calibrated, and may be far from how often it is right."
    match certainty(probability):
        case "sure":
            return scene, f"The network is sure of it: its probability is {mean}."
        case "likely":
            return f"probably {scene}", f"It is likely, and not certain: its probability is {mean}."
    names = " or ".join([scene, *(other for other, _ in others)])
    return f"{names}?", f"The network is unsure: the probability of {scene} is {mean}."


def _named(prediction: Prediction, head: str) -> str:
    """What a head answers for the whole clip, in words."""
    return " + ".join(scene_in_words(scene) for scene, _ in prediction.answers(head=head)) or NO_SCENE


def about(predictor: Predictor, head: str) -> str:
    """What a head answers from, in a sentence."""
    tracks = dict.fromkeys(predictor.features[name].track for name in predictor.model.heads[head])
    return ABOUT.get(head, f"From {' and '.join(tracks)}.")


def safe_name(name: str) -> str:
    """The name of a clip as a file of its own may have it: no folders, no control characters, 60 characters."""
    last = re.sub(r"[\x00-\x1f\x7f]", "", re.split(r"[/\\]", name)[-1]).strip()[-60:]
    return "clip" if last in ("", ".", "..") else last
