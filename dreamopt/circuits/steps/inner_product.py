"""InnerProduct."""

from __future__ import annotations

from torch import Tensor

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.steps.step import Step
from dreamopt.engine.layers.inner_product import InnerProduct


class InnerProductStep(Step):
    """Each unit has a weight for each place of each channel below: its kernels are maps."""

    weighted = True

    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Multiply by the matrix, whose rows are maps of the bottom."""
        single, matrix = above.of_one_channel(), self._matrix
        rows = above.values[:, :, 0, 0] @ matrix if single is None else matrix[single[0]] * single[1][:, None]
        shape = self.linear.bottoms[0]
        values = rows.reshape(len(rows), shape[0], *self.linear.size())
        return {0: Kernels(above.units, values, (0, 0), (0, 0), placed=True)}

    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Multiply by the matrix, summed over the places of each channel."""
        matrix = self._matrix
        return {0: above @ matrix.reshape(len(matrix), self.linear.bottoms[0][0], -1).sum(2)}

    @property
    def _matrix(self) -> Tensor:
        """The weights, (outputs, inputs)."""
        layer = self.linear.layer
        assert isinstance(layer, InnerProduct)
        return self.linear.weights[0].t() if layer.transpose else self.linear.weights[0]
