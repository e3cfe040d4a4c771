"""Backward rules over blobs: a node's diffs as a rule makes them, for the drop-in's layer-wise passes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import Affine, BackwardRule, LayerPass, LayerTraits, LazyTensors, apply_rule
from dreamopt.engine.node import Node


class NodePass(LayerPass):
    """A layer over its blobs; nothing is computed before a rule asks for it."""

    def __init__(
        self,
        node: Node,
        traits: LayerTraits,
        samples: int,
        device: torch.device,
        acted: dict[str, Tensor] | None = None,
        behind: Sequence[Node] = (),
    ) -> None:
        super().__init__(traits, samples, acted, node.layer, [_affine(other, device) for other in behind])
        self._node, self._device = node, device

    @property
    def weights(self) -> Sequence[Tensor]:
        """The weights as they are now."""
        return _weights(self._node, self._device)

    def gradient(self, grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the diffs that Caffe's backward pass gives."""
        return self._node.bottom_gradients(list(grad), self._device)

    def compute(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the tops for any bottoms and weights."""
        return self._node.compute(bottoms, weights)


def _weights(node: Node, device: torch.device) -> list[Tensor]:
    return [blob._data.read(blob.shape, device).detach() for blob in node.weights]


def _affine(node: Node, device: torch.device) -> Affine:
    return lambda bottom: node.layer.affine(bottom, _weights(node, device))


def backward_with_rule(
    node: Node,
    rule: BackwardRule,
    traits: LayerTraits,
    samples: int,
    device: torch.device,
    acted: dict[str, Tensor] | None = None,
    behind: Sequence[Node] = (),
    from_blobs: bool = False,
) -> None:
    """Write the bottoms' diffs as ``rule`` makes them; a bottom that is stopped, or gets none, keeps its diff. Weights' diffs stay.

    With ``from_blobs`` the rule is given what stands in the bottoms and tops now, as a backward pass of a fork of Caffe finds it, and
    not what the layer read and wrote.
    """
    if not node.bottoms or node.skipped:
        return
    if from_blobs:
        x = LazyTensors(len(node.bottoms), lambda k: node.bottoms[k]._data.read(node.bottoms[k].shape, device))
        y = LazyTensors(len(node.tops), lambda k: node.tops[k]._data.read(node.tops[k].shape, device))
    else:
        x = LazyTensors(len(node.bottoms), lambda k: node.recorded(device).bottoms[k].detach())
        y = LazyTensors(len(node.tops), lambda k: node.recorded(device).tops[k].detach())
    grad = [top._diff.read(top.shape, device) for top in node.tops]
    found = apply_rule(rule, NodePass(node, traits, samples, device, acted, behind), x, y, grad, [blob.shape for blob in node.bottoms])
    node.write_bottom_diffs(found)
