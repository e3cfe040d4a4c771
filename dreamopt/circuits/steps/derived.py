"""Any other layer: its derivative at zero, by what it computes itself."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.steps.step import LinearLayer, Step, size_of
from dreamopt.engine.layer import POINTWISE, Shape


class DerivedStep(Step):
    """The layer's own forward pass, differentiated at zero: Concat, Slice, sums, Scale, LRN, Permute, Flatten, Interp ...

    Where each place depends on the place itself alone, kernels of any size pass; else they are put at their place of the map.
    """

    def __init__(self, linear: LinearLayer) -> None:
        super().__init__(linear)
        shapes = [(1, *shape) for shape in linear.bottoms]
        sizes = {size_of(shape) for shape in (*linear.bottoms, *linear.tops)}
        self._by_place = linear.layer.reach(shapes) == POINTWISE and len(sizes) == 1 and linear.layer.type != "Crop"

    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Pull the kernels back through the layer."""
        size = size_of(self.linear.tops[top])
        if self._by_place:
            found = self._pulled(above.values, top, above.extent)
            return {i: Kernels(above.units, values, above.offset, above.jump, above.placed) for i, values in found.items()}
        above = above.placed_at(place, size)
        found = self._pulled(above.whole(size), top)
        return {i: Kernels(above.units, values, placed=True) for i, values in found.items()}

    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Pull the mean of the top's places back, and sum over the bottom's."""
        size = (1, 1) if self._by_place else size_of(self.linear.tops[top])
        seed = (above / (size[0] * size[1]))[:, :, None, None].expand(-1, -1, *size)
        found = self._pulled(seed, top, size if self._by_place else None)
        return {i: values.sum((2, 3)) for i, values in found.items()}

    def _pulled(self, seed: Tensor, top: int, size: Pair | None = None) -> dict[int, Tensor]:
        """Return the derivatives with respect to the bottoms, (n, C, h, w), of maps of a size, or their own."""
        n, layer = len(seed), self.linear.layer
        bottoms = [seed.new_zeros(n, *_sized(shape, size)).requires_grad_() for shape in self.linear.bottoms]
        with torch.enable_grad():
            out = layer.forward(bottoms, [weight.to(seed.dtype) for weight in self.linear.weights])[top]
        if not out.requires_grad:
            return {}
        gradients = torch.autograd.grad(out, bottoms, seed.reshape(out.shape), allow_unused=True)
        shaped = {i: gradient for i, gradient in enumerate(gradients) if gradient is not None and i in self.bottoms}
        return {i: gradient.reshape(n, gradient.shape[1], *(gradient.shape[2:] or (1, 1))) for i, gradient in shaped.items()}


def _sized(shape: Shape, size: Pair | None) -> Shape:
    return shape if size is None or len(shape) == 1 else (shape[0], *size)
