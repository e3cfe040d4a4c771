"""What other nets say of an image of a class."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dreamopt.network.class_layer import same_class
from dreamopt.study.classes import class_of, class_output
from dreamopt.study.measure import Finished

Answer = tuple[NDArray[np.float64], int]
"""The probability of each class, and the number of the one that is asked for."""
_answers: WeakKeyDictionary[Finished, tuple[Answer, ...]] = WeakKeyDictionary()
"""Of runs that are still measured: two measures ask the same."""


def answers_of(finished: Finished) -> tuple[Answer, ...]:
    """Return the answers of those other nets that have the image's class; none where it is made for no class, or shows planes."""
    if finished not in _answers:
        _answers[finished] = tuple(_asked(finished))
    return _answers[finished]


def label_of(finished: Finished) -> tuple[str, int | None] | None:
    """Return the name of the class that is asked for, and its number; None where it is none, or has no name."""
    unit = class_of(finished.network, finished.objective)
    number = finished.class_index if finished.class_index is not None or unit is None else unit.number
    if finished.label:
        return finished.label, number
    labels = finished.network.labels
    if unit is None or labels is None or unit.number >= len(labels) or not labels[unit.number]:
        return None
    return labels[unit.number], unit.number


def _asked(finished: Finished) -> list[Answer]:
    label = label_of(finished)
    answers: list[Answer] = []
    if label is None or finished.network.input_shape[0] not in (1, 3):
        return answers
    for other in finished.others.values():
        output = class_output(other) if other.has_image_input and other.labels is not None else None
        number = None if output is None or other.labels is None else same_class(other.labels, *label)
        if output is None or number is None or number >= output.count:
            continue
        seen = other.activations_of(finished.rgb[..., :3], [output.layer])[output.layer]
        answers.append((output.probabilities(seen)[0].cpu().numpy(), number))
    return answers
