"""Calls that forks of Caffe added to the net: the deep visualization toolbox's, and the LRP toolbox's (`dreamopt.caffe.lrp`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe.lrp import RelevanceNet
from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.rule_list import parse_rules
from dreamopt.errors import ShapeError, UsageError

DECONV_TYPES = {"Zeiler & Fergus": "deconvnet", "Guided Backprop": "guided"}
"""What later versions of the toolbox call a pass, and the rule of it."""


class ForkNet(RelevanceNet):
    """`dreamopt.engine.Net` with those calls."""

    def backward_from_layer(
        self, start_name: str, start_diff: npt.NDArray[Any], diffs: Sequence[str] | None = None, zero_higher: bool = False
    ) -> dict[str, Any]:
        """Write ``start_diff`` into the blob of this name and run the backward pass from the layer of this name to the data.

        Parameters
        ----------
        start_name : str
            A layer whose top has its name.
        start_diff : ndarray
            Of the blob's shape.
        diffs : sequence of str, optional
            Names of further blobs whose diffs to return.
        zero_higher : bool
            Zero the diffs of all blobs behind it first.

        Returns
        -------
        dict
            The diffs of the net's inputs, and of ``diffs``, by name.

        Raises
        ------
        TargetError, ShapeError
            For an unknown layer or blob, or a ``start_diff`` of another shape than the blob's.
        """
        return self._from_layer(start_name, start_diff, diffs, zero_higher, None)

    def deconv_from_layer(
        self,
        start_name: str,
        start_diff: npt.NDArray[Any],
        diffs: Sequence[str] | None = None,
        zero_higher: bool = False,
        deconv_type: str = "Zeiler & Fergus",
        lrn: str = "gradient",
    ) -> dict[str, Any]:
        """Do as `backward_from_layer`, by the rule of Zeiler and Fergus: a ReLU passes on what is positive from above.

        Every other layer passes its gradient on: max pooling to the winner, PReLU and ELU as usual.

        Parameters
        ----------
        start_name, start_diff, diffs, zero_higher
            As in `backward_from_layer`.
        deconv_type : {"Zeiler & Fergus", "Guided Backprop"}
            As later versions of the toolbox have it.
        lrn : {"gradient", "copy", "normalize"}
            What an LRN layer does, see `dreamopt.engine.rules.deconvnet.Deconvnet`. It is not the fork's.

        Raises
        ------
        UsageError
            For another ``deconv_type`` or ``lrn``.
        TargetError, ShapeError
            As in `backward_from_layer`.

        References
        ----------
        M. Zeiler, R. Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 2.1.
        """
        if deconv_type not in DECONV_TYPES:
            raise UsageError(f"there is no deconv_type {deconv_type!r}; allowed are {', '.join(map(repr, DECONV_TYPES))}")
        rule = parse_rules(f"ReLU: {DECONV_TYPES[deconv_type]}, LRN: deconvnet(lrn={lrn!r})")
        return self._from_layer(start_name, start_diff, diffs, zero_higher, rule)

    def _from_layer(
        self,
        name: str,
        start_diff: npt.NDArray[Any],
        diffs: Sequence[str] | None,
        zero_higher: bool,
        rule: BackwardRule | None,
    ) -> dict[str, Any]:
        first, last = self._range(name, None, 0, 0)
        blob = self._blob(name)
        if np.shape(start_diff) != blob.shape:
            raise ShapeError(f"the diffs have shape {np.shape(start_diff)}, but blob '{name}' has {blob.shape}")
        further = [self._blob(further).name for further in diffs or ()]
        if zero_higher:
            for node in self.nodes[first + 1 :]:
                for top in node.tops:
                    top.diff[...] = 0
        blob.diff[...] = start_diff
        self._backward(first, last, rule)
        return {name: self.blobs[name].diff for name in (*self.inputs, *further)}
