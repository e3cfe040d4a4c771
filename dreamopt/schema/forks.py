"""Words that forks have for what Caffe says otherwise, brought to Caffe's."""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.location import SourceLocation


def normalize_fork_fields(param: NetParameter, locations: Sequence[SourceLocation], changes: list[str]) -> None:
    """Turn ``hole`` into ``dilation`` and ``ceil_mode`` into ``round_mode``, in place.

    Parameters
    ----------
    param : NetParameter
        A V2 net.
    locations : sequence of SourceLocation
        One for each layer.
    changes : list of str
        Gets one sentence for each layer changed.

    Raises
    ------
    NetError
        If a layer has both words.
    """
    for layer, location in zip(param.layer, locations, strict=True):
        _dilate(layer, location, changes)
        _round(layer, location, changes)


def _dilate(layer: LayerParameter, location: SourceLocation, changes: list[str]) -> None:
    p = layer.convolution_param
    given = [name for name in ("hole", "hole_h", "hole_w") if p.HasField(name)]
    if not given:
        return
    if p.dilation:
        raise NetError(f"{location}: layer '{layer.name}' ({layer.type}) has dilation and {given[0]}; allowed is one of the two")
    both = p.hole if p.HasField("hole") else 1
    sizes = [getattr(p, name) if p.HasField(name) else both for name in ("hole_h", "hole_w")]
    p.dilation.extend(sizes if sizes[0] != sizes[1] else sizes[:1])
    for name in given:
        p.ClearField(name)
    changes.append(
        f"{location}: layer '{layer.name}' ({layer.type}): {' and '.join(given)} became dilation {'x'.join(map(str, p.dilation))}"
    )


def _round(layer: LayerParameter, location: SourceLocation, changes: list[str]) -> None:
    p = layer.pooling_param
    if not p.HasField("ceil_mode"):
        return
    if p.HasField("round_mode"):
        raise NetError(f"{location}: layer '{layer.name}' ({layer.type}) has round_mode and ceil_mode; allowed is one of the two")
    p.round_mode = p.CEIL if p.ceil_mode else p.FLOOR
    p.ClearField("ceil_mode")
    word = p.RoundMode.Name(p.round_mode)
    changes.append(f"{location}: layer '{layer.name}' ({layer.type}): ceil_mode became round_mode {word}")
