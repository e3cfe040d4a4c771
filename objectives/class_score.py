"""A class score: a logit, by number or by name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import TargetError
from dreamopt.objective import Activations, Layers, Unit, UnitObjective, frozen_units, highest, pick, target_string


@dataclass(frozen=True)
class ClassScore(UnitObjective):
    r"""One class's score; ``"fc8:281"`` or ``"fc8:tabby cat"`` as a string.

    .. math:: s_n = \frac{1}{H W} \sum_{y, x} a_{n, c_n, y, x}

    where a classifier that slides over the image, (N, K, H, W), is averaged over space; on (N, K) it is the score. Aim at
    the layer before the softmax: a probability can also rise by pushing the other classes down.

    Parameters
    ----------
    layer : str
        The classifier's last layer before the softmax, for instance ``fc8``. Where a ReLU works in place on it, the
        layer's own name is the value before, the ReLU's name the value after.
    unit : int, str, or a sequence of these
        The class's number, or its name when the network knows its labels; a sequence gives one to each item.

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2014, section 2.

    Examples
    --------
    >>> print(ClassScore("fc8", "tabby cat") + ClassScore("fc8", 3))
    fc8:tabby cat + fc8:3
    """

    examples: ClassVar = (
        "class_score({classifier}, 5)",
        "class_score({classifier}, (5, 1, 0))",
        "class_score({classifier}, {label})",
        "class_score({classifier}, ({label}, 6, 3))",
        "class_score({layer}, 4)",
        "class_score({layer}, (4, 3, 2))",
    )

    layer: str
    unit: Unit

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", frozen_units(self.unit))

    def value(self, activations: Activations) -> Tensor:
        """Return each item's class score."""
        a = activations[self.layer]
        unit = self.checked_unit(tuple(a.shape[1:]))
        return pick(a, unit).reshape(a.shape[0], -1).mean(1)

    def is_argmax(self, activations: Activations) -> Tensor:
        """Whether the unit is the highest of its layer."""
        return highest(activations[self.layer], self.checked_unit(tuple(activations[self.layer].shape[1:])))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> ClassScore:
        """Turn names into numbers and check them.

        Raises
        ------
        TargetError
            For an unknown layer, a name that is no label or several, or a number out of range.
        """
        layer = network.resolve(self.layer)
        shape = network.shape_of(layer, size)
        if not shape:
            raise TargetError(f"layer '{layer}' has no classes: it is a single number")
        units = self.unit if isinstance(self.unit, tuple) else (self.unit,)
        numbers = tuple(network.find_label(unit) if isinstance(unit, str) else unit for unit in units)
        bound = dataclasses.replace(self, layer=layer, unit=numbers if isinstance(self.unit, tuple) else numbers[0])
        return dataclasses.replace(bound, unit=bound.checked_unit(shape))

    def __str__(self) -> str:
        return target_string(self.layer, self.unit)
