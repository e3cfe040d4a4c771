"""Gradients against finite differences along random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dreamopt.testing.kind import require

DIRECTIONS = 3
STEP = 1e-6


def require_gradient(function: Callable[..., Tensor], inputs: Sequence[Tensor], *, rtol: float = 1e-5, atol: float = 1e-8) -> None:
    r"""Require that a function's gradient is that of central differences, along random directions.

    For random :math:`u` and :math:`v` the product of ``u`` and the Jacobian with ``v`` is had twice,

    .. math:: \nabla (u \cdot f)(x) \cdot v \approx u \cdot \frac{f(x + h v) - f(x - h v)}{2 h},

    each input moved alone. One wrong entry of the Jacobian changes the product along almost every direction, and two
    evaluations replace two for each number of the input.

    Parameters
    ----------
    function : callable
        From the inputs to a tensor, float64.
    inputs : sequence of Tensor
        Float64.
    rtol : float
        Of the length of the gradient, which is how far the product usually is from 0.
    atol : float
        Of the length of the output: what rounding makes of differences over steps of 1e-6.

    Raises
    ------
    PartError
        Naming the input, the direction and both products.

    Examples
    --------
    >>> require_gradient(torch.sin, [torch.ones(2, 3, dtype=torch.float64)])
    """
    leaves = [values.detach().requires_grad_() for values in inputs]
    output = function(*leaves)
    random = torch.Generator().manual_seed(0)
    for number in range(DIRECTIONS):
        u = torch.randn(output.shape, dtype=output.dtype, generator=random)
        gradients = torch.autograd.grad(output, leaves, u, retain_graph=True, allow_unused=True, materialize_grads=True)
        for place, gradient in enumerate(gradients):
            v = torch.randn(gradient.shape, dtype=gradient.dtype, generator=random)
            ends = [function(*(x + sign * STEP * v if i == place else x for i, x in enumerate(leaves))).detach() for sign in (1, -1)]
            expected = float((u * (ends[0] - ends[1])).sum()) / (2 * STEP)
            product = float((gradient * v).sum())
            allowed = rtol * float(gradient.norm()) + atol * float((u * output.detach()).norm())
            what = f"for input {place}, along direction {number}, it is {product:.10g}, by finite differences {expected:.10g}"
            require(abs(product - expected) <= allowed, f"the gradient is not that of finite differences: {what}")
