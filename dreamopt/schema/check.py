"""Checks of how layers hang together, with Caffe's rules for blobs that are written twice.

References: Caffe's ``src/caffe/net.cpp``, ``Net::AppendTop`` and ``Net::AppendBottom``.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.errors import NetError, nearest
from dreamopt.schema.caffe_pb2 import TRAIN, LayerParameter, NetParameter
from dreamopt.schema.location import SourceLocation


def check_structure(
    param: NetParameter, locations: Sequence[SourceLocation], left_out: Sequence[tuple[LayerParameter, SourceLocation]] = ()
) -> None:
    """Refuse a net in which a bottom comes from nowhere or a top is made twice.

    A layer may write the blob it reads if both stand at the same index: that is Caffe's in-place computation. Of the layers
    ``left_out`` by their rules, an error tells which would have made a blob that is missing.

    Raises
    ------
    NetError
        Naming layer, blob, file and line.
    """
    writers: dict[str, tuple[str, SourceLocation]] = {}
    for layer, location in zip(param.layer, locations, strict=True):
        name = f"layer '{layer.name}'" + (f" ({layer.type})" if layer.type else "")
        if not layer.type:
            raise NetError(f'{location}: {name} has no type: give one, such as type: "Convolution"')
        for i, blob in enumerate(layer.bottom):
            if blob not in writers:
                _refuse_bottom(param, locations, left_out, blob, location.of("bottom", i), name, list(writers))
        for i, blob in enumerate(layer.top):
            in_place = i < len(layer.bottom) and layer.bottom[i] == blob
            if blob in writers and not in_place:
                first, first_at = writers[blob]
                raise NetError(
                    f"{location.of('top', i)}: {name} makes the top '{blob}', which layer '{first}' at {first_at} makes already; "
                    f"only a layer that reads it as its bottom {i} can write it again"
                )
            writers[blob] = (layer.name, location)


def _refuse_bottom(
    param: NetParameter,
    locations: Sequence[SourceLocation],
    left_out: Sequence[tuple[LayerParameter, SourceLocation]],
    blob: str,
    bottom_at: SourceLocation,
    name: str,
    earlier_blobs: Sequence[str],
) -> None:
    for layer, location in zip(param.layer, locations, strict=True):
        if blob in layer.top:
            raise NetError(
                f"{bottom_at}: {name} reads '{blob}', which only layer '{layer.name}' further down ({location}) makes; "
                "a layer comes after those it reads from"
            )
    makers = [f"'{layer.name}' ({location})" for layer, location in left_out if blob in layer.top]
    if makers:
        state = param.state
        stages = f"stages {list(state.stage)}" if state.stage else "no stages"
        raise NetError(
            f"{bottom_at}: {name} reads '{blob}', which {' and '.join(makers)} would make, but that is left out by its include or exclude "
            f"rules in the phase {'TRAIN' if state.phase == TRAIN else 'TEST'} at level {state.level} with {stages}; choose others"
        )
    near, last = nearest(blob, earlier_blobs), list(earlier_blobs)[-3:]
    above = f"; the blobs made above it end with {', '.join(map(repr, last))}" if last else "; no layer above makes any blob"
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else above
    raise NetError(f"{bottom_at}: {name} reads the unknown blob '{blob}'{hint}")
