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
    options = layer.convolution_param
    fields = [name for name in ("hole", "hole_h", "hole_w") if options.HasField(name)]
    if not fields:
        return
    if options.dilation:
        raise NetError(f"{location}: layer '{layer.name}' ({layer.type}) has dilation and {fields[0]}; allowed is one of the two")
    default = options.hole if options.HasField("hole") else 1
    sizes = [getattr(options, name) if options.HasField(name) else default for name in ("hole_h", "hole_w")]
    options.dilation.extend(sizes if sizes[0] != sizes[1] else sizes[:1])
    for name in fields:
        options.ClearField(name)
    changes.append(
        f"{location}: layer '{layer.name}' ({layer.type}): {' and '.join(fields)} became dilation {'x'.join(map(str, options.dilation))}"
    )


def _round(layer: LayerParameter, location: SourceLocation, changes: list[str]) -> None:
    options = layer.pooling_param
    if not options.HasField("ceil_mode"):
        return
    if options.HasField("round_mode"):
        raise NetError(f"{location}: layer '{layer.name}' ({layer.type}) has round_mode and ceil_mode; allowed is one of the two")
    options.round_mode = options.CEIL if options.ceil_mode else options.FLOOR
    options.ClearField("ceil_mode")
    word = options.RoundMode.Name(options.round_mode)
    changes.append(f"{location}: layer '{layer.name}' ({layer.type}): ceil_mode became round_mode {word}")
