"""The calls of the LRP toolbox's fork of Caffe: layer-wise relevance propagation by formula numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe.lrp_options import RelPropOpts, formula_list
from dreamopt.caffe.lrp_rule import ToolboxRule
from dreamopt.engine import net as engine
from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.blob import Blob
from dreamopt.errors import ShapeError, UsageError
from dreamopt.parts.checks import Range, check_whole


class RelevanceNet(engine.Net):
    """`dreamopt.engine.Net` with the LRP toolbox's calls, which number layers as its Caffe did: without inputs.

    References
    ----------
    sebastian-lapuschkin/lrp_toolbox, ``caffe-master-lrp/python/caffe/pycaffe.py``, ``src/caffe/net.cpp``.
    """

    def lrp(self, class_inds: Any = None, lrp_opts: RelPropOpts | None = None) -> npt.NDArray[np.float64]:
        """Return layer-wise relevance propagation for the last forward pass, by the LRP toolbox's formula numbers.

        Parameters
        ----------
        class_inds : int or sequence of int
            The classes whose values are explained, one for each image, or one for all.
        lrp_opts : RelPropOpts
            Which formula, and its numbers; see `dreamopt.caffe.lrp_options.RelPropOpts`.

        Returns
        -------
        ndarray
            The diff of blob number ``firstlayerindex``; with 0, the relevance of the data, in its shape, channels in the blob's order.

        Raises
        ------
        UsageError
            Without options, since the toolbox's ask for a formula that it does not have; for options that it aborts on; at layers that it
            has no relevance for.
        ShapeError
            For more classes than images.
        """
        first = self._relevance(class_inds, lrp_opts)
        return list(self.blobs.values())[first].diff.astype(np.float64)

    lrp_multi = lrp

    def lrp_single(self, class_inds: Any = None, lrp_opts: RelPropOpts | None = None) -> npt.NDArray[np.float64]:
        """Do as `lrp` for the first image alone.

        Raises
        ------
        UsageError
            As `lrp`, and for a ``firstlayerindex`` above 0, for which the toolbox returns nothing of use.
        """
        if lrp_opts is not None and lrp_opts.firstlayerindex > 0:
            raise UsageError(f"firstlayerindex is {lrp_opts.firstlayerindex}; allowed is 0 for lrp_single, and more for lrp")
        self._relevance(class_inds, lrp_opts)
        return next(iter(self.blobs.values())).diff[:1].astype(np.float64)

    def _relevance(self, class_inds: Any, options: RelPropOpts | None) -> int:
        """Write relevance into the diffs; return ``firstlayerindex``."""
        if not isinstance(options, RelPropOpts):
            if options is not None:
                raise UsageError(f"lrp_opts must be a caffe.RelPropOpts, not {options!r}")
            raise UsageError(
                "without lrp_opts the LRP toolbox asks for formula 31, which it does not have; give a caffe.RelPropOpts() whose"
                f" relpropformulatype is one of {formula_list()}"
            )
        options.check()
        places = [i for i, node in enumerate(self.nodes) if node.layer.type != "Input"]
        first, last = options.firstlayerindex, self._last_layer(options, places)
        if first >= last:
            raise UsageError(
                f"firstlayerindex {first} must be below the layer where relevance starts, {last} ('{self._name(places, last)}')"
            )
        for i in places[first : last + 1]:
            for top in self.nodes[i].tops:
                top.diff[...] = 0
        for top in self.nodes[places[last]].tops:
            self._start(top, class_inds, options, self._name(places, last))
        rule: BackwardRule | None = None
        if options.relpropformulatype not in (11, 99):
            rule = ToolboxRule(options, {self._layer_names[i]: number for number, i in enumerate(places)})
        engine.Net._backward(self, places[last], places[first], rule, from_blobs=True)
        return first

    def _name(self, places: Sequence[int], number: int) -> str:
        return self._layer_names[places[number]] if 0 <= number < len(places) else "no layer"

    def _last_layer(self, options: RelPropOpts, places: Sequence[int]) -> int:
        types = [self.nodes[i].layer.type for i in places]
        last = check_whole("lastlayerindex", options.lastlayerindex, Range(low=-2))
        if last == -1:
            if "Softmax" not in types:
                raise UsageError(
                    "lastlayerindex -1 is the layer below the lowest Softmax, and the net has none; give a layer's number, or -2"
                )
            return types.index("Softmax") - 1
        if last == -2:
            if "InnerProduct" not in types:
                raise UsageError("lastlayerindex -2 is the highest InnerProduct, and the net has none; give a layer's number, or -1")
            return len(types) - 1 - types[::-1].index("InnerProduct")
        if last >= len(places):
            raise UsageError(f"lastlayerindex is {last}; the net has {len(places)} layers, numbered from 0, inputs not counted")
        return last

    def _start(self, top: Blob, class_inds: Any, options: RelPropOpts, name: str) -> None:
        images = top.shape[0] if top.shape else 1
        values, relevance = top.data.reshape(images, -1), top.diff.reshape(images, -1)
        count = values.shape[1]
        if options.numclasses not in (0, count) and np.ndim(class_inds):
            raise UsageError(f"numclasses is {options.numclasses}, but layer '{name}' has {count} values for each image")
        classes = np.atleast_1d(np.asarray(class_inds if class_inds is not None else ()))
        if classes.dtype.kind not in "iu" or classes.ndim != 1:
            raise UsageError(f"class_inds must be a class's number, or one for each image, not {class_inds!r}")
        if len(classes) > images:
            raise ShapeError(f"there are {len(classes)} classes, but {images} images")
        if not np.ndim(class_inds):
            classes = np.repeat(classes, images)
        if len(wrong := classes[(classes < 0) | (classes >= count)]):
            raise UsageError(f"there is no class {wrong[0]} at layer '{name}'; allowed is 0 to {count - 1}")
        rows = np.arange(len(classes))
        relevance[rows, classes] = options.relevance_for_init if options.has_init_relevance else values[rows, classes]
