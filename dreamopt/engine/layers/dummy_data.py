"""DummyData."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dreamopt.engine.blob import Blob
from dreamopt.engine.blob_layer import BlobLayer
from dreamopt.engine.fillers import fill
from dreamopt.engine.layer import Example, Shape
from dreamopt.engine.layers._axes import text
from dreamopt.parts.memory import require_memory


class DummyData(BlobLayer):
    """Blobs that fillers fill: constant ones once, when the net is made, the others anew in each forward pass.

    Random numbers are drawn from a stream that torch's global generator seeds, so `caffe.set_random_seed` governs them.

    References
    ----------
    Caffe, src/caffe/layers/dummy_data_layer.cpp, DummyDataLayer.
    """

    differs = "in `dreamopt.caffe` it fills its blobs, with random numbers of our own; elsewhere it becomes an input"
    examples = (Example('dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "constant" value: 2 } }', ()),)
    bottoms = (0, 0)
    tops = (1, None)

    def _shapes(self) -> list[Shape]:
        p, n = self.param.dummy_data_param, self.n_tops
        if p.shape and (p.num or p.channels or p.height or p.width):
            self.fail("dummy_data_param has both shape and num, channels, height, width; allowed is either")
        if p.shape:
            shapes = [tuple(s.dim) for s in p.shape]
        else:
            sizes = (p.num, p.channels, p.height, p.width)
            if len({len(s) for s in sizes}) > 1 or not p.num:
                self.fail(
                    f"dummy_data_param gives {', '.join(str(len(s)) for s in sizes)} of num, channels, height, width; give as many of each"
                )
            shapes = list(zip(*sizes, strict=True))
        if len(shapes) not in (1, n):
            self.fail(f"dummy_data_param has {len(shapes)} shapes for {n} tops; allowed are one for all, or one for each")
        return shapes if len(shapes) == n else shapes * n

    def open(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> list[Blob]:
        """Shape the tops and fill them all once."""
        p = self.param.dummy_data_param
        if len(p.data_filler) not in (0, 1, self.n_tops):
            self.fail(f"dummy_data_param has {len(p.data_filler)} fillers for {self.n_tops} tops; allowed are none, one, or one for each")
        for blob, shape in zip(tops, self._shapes(), strict=True):
            blob.reshape(*shape)
        self._fill(tops, constant=True)
        self._fill(tops, constant=False)
        return []

    def run(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Fill the tops whose filler is not constant."""
        self._fill(tops, constant=False)

    def _fill(self, tops: Sequence[Blob], constant: bool) -> None:
        fillers = self.param.dummy_data_param.data_filler
        for i, blob in enumerate(tops):
            filler = fillers[i if len(fillers) > 1 else 0] if fillers else None
            if (filler is None or filler.type == "constant") == constant:
                require_memory(16 * blob.count, f"{self.where}: layer '{self.name}' (DummyData): its top of shape {text(blob.shape)}")
                blob.data[...] = fill(blob.shape, filler, int(torch.randint(2**62, ())), self.name, i)
