"""What real Caffe's net is made of: its layers, as they are listed and quoted, and what became of the weights file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dreamopt.backends.base import LayerInfo, Reach, Shape
from dreamopt.backends.caffe.subnet import SubnetBuilder
from dreamopt.engine.batch_norms import PLAIN
from dreamopt.engine.layer_types import layer_class
from dreamopt.engine.loading import WeightsReport
from dreamopt.errors import BackendError, NetError
from dreamopt.schema import LayerWeights


def describe_layers(builder: SubnetBuilder, answer: dict[str, Any], input_name: str, phase: str) -> list[LayerInfo]:
    """Return what is said of each layer, from what Caffe answered of the whole net: shapes of its blobs, and of its weights."""
    blobs: dict[str, Shape] = {name: tuple(shape) for name, shape in answer["blobs"].items()}
    params = {name: sum(int(np.prod(shape)) for shape in shapes) for name, shapes in answer["params"]}
    infos = []
    for i, step in enumerate(builder.layers):
        layer = step.param
        bottoms = [blobs.get(name, ()) for name in layer.bottom]
        if step.added:  # Caffe adds none where only one reader is left
            blobs |= {top: blobs.get(top, bottoms[0]) for top in layer.top}
        if i in builder.unsupported:
            top_shapes, params[layer.name] = _shape_unsupported(step, bottoms, phase)
            blobs |= dict(zip(layer.top, top_shapes, strict=False))
        tops = [blobs.get(name, blobs.get(layer.bottom[0], ()) if layer.bottom else ()) for name in layer.top]
        batch = max(1, blobs[input_name][0])
        flops, reach = _of_engine(step, bottoms, tops, phase)
        infos.append(
            LayerInfo(
                name=layer.name,
                type=layer.type,
                bottoms=tuple(layer.bottom),
                tops=tuple(layer.top),
                shapes=tuple(shape[1:] for shape in tops),
                in_place=bool(layer.bottom and layer.top) and layer.bottom[0] == layer.top[0],
                place=str(step.where),
                params=params.get(layer.name, 0),
                flops=flops // batch,
                added=step.added,
                stops=builder.stops(i),
                reach=reach,
            )
        )
    return infos


def _shape_unsupported(step: Any, bottoms: Sequence[Shape], phase: str) -> tuple[list[Shape], int]:
    """Return the tops' shapes and the number of weights that a layer beyond this Caffe has, as far as the engine can tell."""
    try:
        layer = layer_class(step.param.type, step.param.name, step.where)(step.param, phase, step.where)
        count = 0 if step.param.type == "Python" else sum(int(np.prod(weight.shape)) for weight in layer.setup(bottoms))
        return [tuple(shape) for shape in layer.shape(bottoms)], count
    except NetError:
        return [], 0


def _of_engine(step: Any, bottoms: Sequence[Shape], tops: Sequence[Shape], phase: str) -> tuple[int, Reach | None]:
    """Return the multiply-adds and the reach that the engine's layer of this type says; 0 and None for a type that it does not have."""
    try:
        layer = layer_class(step.param.type, step.param.name, step.where)(step.param, phase, step.where)
        if step.param.type != "Python":  # whose code is Caffe's to run
            layer.setup(bottoms)
        return layer.flops(bottoms, tops), layer.reach(bottoms) if bottoms else None
    except NetError:
        return 0, None


def report_weights(layers: Sequence[str], in_file: Sequence[str], source: str | None, is_local: bool) -> WeightsReport:
    """Return which of the layers with weights, ``layers``, the weights file has, and which of the file's the net does not."""
    if source is not None and not is_local:  # only Caffe has seen the file
        return WeightsReport(loaded=tuple(layers), source=source)
    return WeightsReport(
        loaded=tuple(name for name in layers if name in in_file),
        missing=tuple(name for name in layers if name not in in_file),
        unused=tuple(name for name in in_file if name not in layers),
        source=source or "",
    )


def refuse_foreign(source: str, weights: Sequence[LayerWeights], fields: Mapping[str, Collection[str]] | None, caffe: str) -> None:
    """Refuse a weights file that a fork of Caffe wrote and this Caffe, which would abort, cannot read.

    Parameters
    ----------
    source : str
        The file.
    weights : sequence of LayerWeights
        What it holds for layers of the net that Caffe makes.
    fields : mapping of str to collection of str, or None
        The names of this Caffe's fields, by message; None if it does not tell.
    caffe : str
        What the message calls it.

    Raises
    ------
    BackendError
        With what helps.
    """
    if fields is None:
        return
    foreign = [word for layer in weights for word in layer.form.split(", ") if word.startswith(("raw ", "C3D"))]
    if foreign and "raw_data" not in fields.get("BlobProto", ("raw_data",)):
        raise BackendError(
            f"{caffe} cannot read '{source}', whose values are {foreign[0]}; the built-in engine can, "
            "and dreamopt.schema.write_weights(new, read_weights(old)) writes them as Caffe does"
        )
    norm = next((layer for layer in weights if layer.type == "BatchNorm" and len(layer.blobs) > PLAIN), None)
    if norm is not None and "scale_bias" not in fields.get("BatchNormParameter", ("scale_bias",)):
        raise BackendError(
            f"{caffe} cannot read '{source}', whose layer '{norm.name}' (BatchNorm) has {len(norm.blobs)} weights, scale and shift inside, "
            "as NVIDIA's and Intel's Caffe write them; the built-in engine can"
        )
