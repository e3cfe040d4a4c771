"""Excitation backpropagation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.backward_rule import RECTIFIERS, BackwardRule, LayerPass, LayerTraits
from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, degree, quotient, share, signed_part


@dataclass(frozen=True)
class Excitation(RelevanceRule):
    r"""Excitation backprop: the probability that a value is the one that won, down from the winners above.

    .. math:: P_i = x_i \sum_j \frac{w_{ij}^+ P_j}{\sum_k w_{kj}^+ x_k}, \quad \frac{0}{0} = 0

    The bias takes no part, so that what comes down sums up to what came, but where nothing raises an output. Made for what ReLUs write:
    values of 0 and more; read maps in the middle of a net, not at the image. Average pooling (0 where a window's sum is 0 or less) and
    sums of an Eltwise share in proportion; max pooling gives to the winner; LRN, BatchNorm, Scale, Bias, Dropout and smooth activations
    copy; ReLUs of any slope have their ordinary backward pass. BatchNorm and the like are not folded into the layer before.

    References
    ----------
    .. [1] J. Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, equation 9; jimmie33/Caffe-ExcitationBP.

    Examples
    --------
    >>> str(Excitation())
    'Excitation()'
    """

    examples: ClassVar[tuple[str, ...]] = ("excitation()",)
    folds: ClassVar[bool] = False

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it is linear, a mean, a sum, a product, or copies; rectifiers keep their own backward pass."""
        return layer.type not in RECTIFIERS and super().applies_to(layer)

    @property
    def others(self) -> BackwardRule | None:
        """What layers follow that no entry of a list names: this rule."""
        return Excitation()

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's probabilities."""
        return share(layer, [(x, signed_part(layer, False)[0], None)], lambda z: quotient(grad, z))

    def share_affine(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return what came."""
        return [grad[0]]

    def share_sum(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return each bottom's part in proportion; none of a mean that is 0 or less."""
        z = y[0].clamp(min=0) if layer.traits.operation in ("AVE", "MEAN") else y[0]
        return [
            None if part is None else x[k] * part for k, part in enumerate(layer.gradient([quotient(grad[0], z * degree(layer.traits))]))
        ]
