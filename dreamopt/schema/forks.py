"""Words that forks have for what Caffe says otherwise, brought to Caffe's."""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.location import SourceLocation

_DENSIFIED, _DENSE_BOXES = [32, 64, 128], 21


def normalize_fork_fields(param: NetParameter, locations: Sequence[SourceLocation], changes: list[str]) -> None:
    """Turn ``hole`` into ``dilation``, ``ceil_mode`` into ``round_mode``, C3D's convolutions into Caffe's, in place.

    Channel pruning's Filter becomes a ChannelFilter, and FaceBoxes' priors are marked.

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
        _over_frames(layer, location, changes)
        if layer.type == "Filter" and layer.HasField("filter_param"):
            layer.type = "ChannelFilter"
            changes.append(f"{location}: layer '{layer.name}' (Filter) is channel pruning's ChannelFilter, since it has a filter_param")
        _dilate(layer, location, changes)
        _round(layer, location, changes)
    _densify(param, locations, changes)


def _over_frames(layer: LayerParameter, location: SourceLocation, changes: list[str]) -> None:
    """Make a Convolution3D of C3D's a Convolution: Caffe's own has any number of spatial axes, the frames being the first of three.

    Its ``filter_group`` says in how many parts the same numbers are computed.

    References
    ----------
    facebookarchive/C3D, src/caffe/layers/convolution3d_layer.cpp, Convolution3DLayer::SetUp.
    """
    if layer.type not in ("Convolution3D", "Deconvolution3D"):
        return
    if layer.HasField("convolution3d_param"):
        layer.convolution_param.CopyFrom(layer.convolution3d_param)
        layer.ClearField("convolution3d_param")
    options = layer.convolution_param
    where = f"{location}: layer '{layer.name}' ({layer.type})"
    for name, frames, default in (("kernel_size", "kernel_depth", 1), ("stride", "temporal_stride", 1), ("pad", "temporal_pad", 0)):
        values = getattr(options, name)
        if len(values) > 1:
            raise NetError(f"{where} has {name} {len(values)} times; allowed is once, for height and width, and {frames} for the frames")
        side = values[0] if values else default
        values[:] = [getattr(options, frames), side, side]
        options.ClearField(frames)
    options.ClearField("filter_group")
    changes.append(f"{where} became a {layer.type.removesuffix('3D')} with kernel {'x'.join(map(str, options.kernel_size))}, frames first")
    layer.type = layer.type.removesuffix("3D")


def _densify(param: NetParameter, locations: Sequence[SourceLocation], changes: list[str]) -> None:
    """Know a net of FaceBoxes, whose fork's PriorBox lays out other boxes: a map with 21 boxes a place for its three ``min_size``.

    References
    ----------
    sfzhang15/FaceBoxes, src/caffe/layers/prior_box_layer.cpp, PriorBoxLayer::Forward_cpu.
    """
    priors = [(layer, location) for layer, location in zip(param.layer, locations, strict=True) if layer.type == "PriorBox"]
    coordinates = {(bottom, layer.convolution_param.num_output) for layer in param.layer for bottom in layer.bottom[:1]}
    first = next(
        (
            (layer, location)
            for layer, location in priors
            if list(layer.prior_box_param.min_size) == _DENSIFIED
            and (layer.bottom[0] if layer.bottom else "", 4 * _DENSE_BOXES) in coordinates
        ),
        None,
    )
    if first is None:
        return
    for layer, _ in priors:
        layer.prior_box_param.densified = True
    changes.append(
        f"{first[1]}: layer '{first[0].name}' (PriorBox) has FaceBoxes' {_DENSE_BOXES} boxes at each place, since as many are regressed; "
        "the net's priors are that fork's"
    )


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
