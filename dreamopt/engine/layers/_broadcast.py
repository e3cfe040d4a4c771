"""The operand of Scale and Bias: a weight or a second bottom that spans some axes of the first."""

from __future__ import annotations

from torch import Tensor

from dreamopt.engine.layer import Layer, Shape
from dreamopt.engine.layers._axes import axis_of, text


def weight_shape(layer: Layer, bottom: Shape, axis: int, num_axes: int) -> Shape:
    """Return the shape of a weight that spans ``num_axes`` axes (-1: all) of the bottom from ``axis`` on."""
    start = axis_of(layer, axis, bottom)
    if num_axes < -1 or start + num_axes > len(bottom):
        layer.fail(
            f"num_axes is {num_axes} from axis {start} of a bottom of shape {text(bottom)}; "
            f"allowed are 0 to {len(bottom) - start}, or -1 for all that follow"
        )
    return bottom[start:] if num_axes == -1 else bottom[start : start + num_axes]


def check_operand(layer: Layer, bottom: Shape, operand: Shape, axis: int) -> None:
    """Refuse an operand whose axes are not the bottom's from ``axis`` on."""
    start = axis_of(layer, axis, bottom) if operand else 0
    if bottom[start : start + len(operand)] != operand:
        layer.fail(f"the operand of shape {text(operand)} does not fit the bottom of shape {text(bottom)} from axis {start} on")


def spread(operand: Tensor, x: Tensor, axis: int) -> Tensor:
    """View the operand with as many axes of size 1 behind it as broadcasting over ``x`` takes."""
    if operand.dim() == 0:
        return operand
    return operand.reshape(*operand.shape, *(1 for _ in range(x.dim() - axis % x.dim() - operand.dim())))
