"""The official form of meta.yaml, and a value -> where it deviates from a form.

A form is a `Value` that says what is allowed, a list with the form of all items, or a mapping from keys to forms, in
which a key that ends in `?` may be left out or null.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sedcrnn.errors import nearest
from sedcrnn.scenes import TAU_SCENES

_NAME = r"(?:[^\W_]|-)+"
_LABEL = re.compile(rf"{_NAME}_{_NAME}_task1b_[1-4]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
LONGEST_ABBREVIATION = 10


@dataclass(frozen=True)
class Value:
    """What a single value may be.

    Attributes:
        allowed: in words, after "it is".
        fits: whether a value is that.
    """

    allowed: str
    fits: Callable[[Any], bool]


Form = Value | list[Any] | Mapping[str, Any]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_description(value: Any) -> bool:
    words = value if isinstance(value, list) else [value]
    return value is None or (bool(words) and all(_is_text(word) or _is_number(word, 0, math.inf) for word in words))


TEXT = Value("a text", _is_text)
WHOLE = Value("a whole number", _is_whole)
DESCRIPTION = Value("a text, a number, a list of them, or null", _is_description)
LABEL = Value(
    "Lastname_Inst_task1b_N with N from 1 to 4", lambda value: _is_text(value) and bool(_LABEL.fullmatch(value))
)
SCORES = {
    "logloss": Value("a number of 0 or more", lambda value: _is_number(value, 0, 1e6)),
    "accuracy": Value("a number from 0 to 100, in percent", lambda value: _is_number(value, 0, 100)),
}

META = {
    "submission": {
        "label": LABEL,
        "name": TEXT,
        "abbreviation": Value(
            f"a text of at most {LONGEST_ABBREVIATION} characters",
            lambda value: _is_text(value) and len(value) <= LONGEST_ABBREVIATION,
        ),
        "authors": [
            {
                "lastname": TEXT,
                "firstname": TEXT,
                "email": Value("an address", lambda value: _is_text(value) and bool(_EMAIL.fullmatch(value))),
                "affiliation": {"abbreviation": TEXT, "institute": TEXT, "department?": TEXT, "location": TEXT},
                "corresponding?": Value("true or false", lambda value: isinstance(value, bool)),
            }
        ],
    },
    "system": {
        "description": {
            "input_channels": DESCRIPTION,
            "input_sampling_rate": DESCRIPTION,
            "acoustic_features": DESCRIPTION,
            "audio_embeddings": DESCRIPTION,
            "visual_embeddings": DESCRIPTION,
            "data_augmentation": DESCRIPTION,
            "machine_learning_method": DESCRIPTION,
            "ensemble_method_subsystem_count": Value(
                "a whole number or null", lambda value: value is None or _is_whole(value)
            ),
            "modality_combination": DESCRIPTION,
            "decision_making": DESCRIPTION,
            "external_data_usage": DESCRIPTION,
        },
        "complexity": {"total_parameters": WHOLE, "total_parameters_audio": WHOLE, "total_parameters_visual": WHOLE},
        "external_datasets": [{"name": TEXT, "url": TEXT, "total_audio_length": WHOLE}],
        "source_code": Value("an address or null", lambda value: value is None or _is_text(value)),
    },
    "results": {
        "development_dataset": {"overall": SCORES, "class_wise": dict.fromkeys(TAU_SCENES, SCORES)},
    },
}


def deviations(value: Any, form: Form, key: str = "") -> Iterator[str]:
    """Every place where a value deviates from a form, in words.

    Args:
        value: plain data, as read from YAML.
        form: what it should be.
        key: where the value stands, `a.b[0].c`.
    """
    if isinstance(form, Value):
        if not form.fits(value):
            yield f"{key} is {value!r}, but it is {form.allowed}"
    elif isinstance(form, list):
        if not isinstance(value, list):
            yield f"{key} is {value!r}, but it is a list"
            return
        for number, item in enumerate(value):
            yield from deviations(item, form[0], f"{key}[{number}]")
    else:
        yield from _deviations_of_keys(value, form, key)


def _deviations_of_keys(value: Any, form: Mapping[str, Any], key: str) -> Iterator[str]:
    names = [name.rstrip("?") for name in form]
    if not isinstance(value, Mapping):
        yield f"{key or 'the content'} is {value!r}, but it has the keys {', '.join(names)}"
        return
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in names:
            yield f"{prefix}{name} is no key of the form; the nearest is {nearest(str(name), names)}"
    for name, (spelt, inner) in zip(names, form.items(), strict=True):
        optional = spelt.endswith("?")
        if name not in value:
            if not optional:
                yield f"{prefix}{name} is missing"
        elif not (optional and value[name] is None):
            yield from deviations(value[name], inner, prefix + name)
