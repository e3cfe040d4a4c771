"""A class score: a logit, by number or by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from dreamopt.objective import Activations, Unit, UnitObjective, pick, target_string


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

    takes_labels: ClassVar[bool] = True

    layer: str
    unit: Unit

    @property
    def additive(self) -> Literal["mean"]:
        """A mean over places."""
        return "mean"

    def value(self, activations: Activations) -> Tensor:
        """Return each item's class score."""
        a = activations[self.layer]
        unit = self.checked_unit(tuple(a.shape[1:]))
        return pick(a, unit).reshape(a.shape[0], -1).mean(1)

    def __str__(self) -> str:
        return target_string(self.layer, self.unit)
