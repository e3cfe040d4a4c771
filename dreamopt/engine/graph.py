"""The order of layers and blobs that Caffe makes of a net's definition, with the Split layers it adds.

Caffe gives every consumer of a blob its own copy of it (its own diff, above all), by a Split layer behind the producer
of each blob that is read more than once: ``<blob>_<layer>_<i>_split``, with tops ``<blob>_<layer>_<i>_split_<j>``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import LayerParameter

if TYPE_CHECKING:
    from dreamopt.schema import NetDef, SourceLocation


@dataclass(frozen=True)
class Step:
    """One layer to make: its definition after splitting, and where it stands in the file."""

    param: LayerParameter
    where: SourceLocation
    added: bool = False
    """Whether it is a Split that no file names."""


def insert_splits(net: NetDef) -> list[Step]:
    """Return the layers in order, a Split behind each blob that several layers read.

    Parameters
    ----------
    net : NetDef
        As read: V2, filtered by phase, inputs as Input layers.

    Raises
    ------
    NetError
        For a bottom that no earlier layer makes, or another number of ``propagate_down`` than of bottoms.
    """
    layers = list(net.param.layer)
    # Where the value that each bottom reads was made: (layer, top), the last one to write a name counts.
    source: dict[tuple[int, int], tuple[int, int]] = {}
    made: dict[str, tuple[int, int]] = {}
    readers: Counter[tuple[int, int]] = Counter()
    for i, layer in enumerate(layers):
        if layer.propagate_down and len(layer.propagate_down) != len(layer.bottom):
            raise NetError(
                f"{net.locations[i]}: layer '{layer.name}' has {len(layer.propagate_down)} propagate_down "
                f"for {len(layer.bottom)} bottom(s);"
                " allowed is one for each, or none"
            )
        for j, bottom in enumerate(layer.bottom):
            if bottom not in made:
                raise NetError(f"{net.locations[i]}: layer '{layer.name}' reads the blob '{bottom}', which no layer before it makes")
            source[i, j] = made[bottom]
            readers[made[bottom]] += 1
        for j, top in enumerate(layer.top):
            made[top] = (i, j)
        # A top that counts in the loss is read once more, by the loss.
        for j, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            readers[i, j] += weight != 0

    steps: list[Step] = []
    served: Counter[tuple[int, int]] = Counter()
    for i, original in enumerate(layers):
        layer = LayerParameter()
        layer.CopyFrom(original)
        for j, bottom in enumerate(original.bottom):
            at = source[i, j]
            if readers[at] > 1:
                layer.bottom[j] = f"{bottom}_{layers[at[0]].name}_{at[1]}_split_{served[at]}"
                served[at] += 1
        steps.append(Step(layer, net.locations[i]))
        for j, top in enumerate(original.top):
            n = readers[i, j]
            if n > 1:
                split = LayerParameter(name=f"{top}_{layer.name}_{j}_split", type="Split", bottom=[top])
                split.top.extend(f"{split.name}_{k}" for k in range(n))
                if j < len(original.loss_weight) and original.loss_weight[j]:
                    split.loss_weight.extend([original.loss_weight[j]] + [0.0] * (n - 1))
                    layer.loss_weight[j] = 0
                    served[i, j] += 1
                steps.append(Step(split, net.locations[i], added=True))
    return steps
