"""Layers whose weights are 0 until a file or a script writes others."""

from __future__ import annotations

from dreamopt.schema.caffe_pb2 import FillerParameter, LayerParameter


def is_zero_filled(layer: LayerParameter) -> bool:
    """Whether a layer's weights begin as 0: its ``weight_filler`` is Caffe's default, ``constant`` with value 0, as in a deploy.prototxt.

    Of layers without a ``weight_filler``, such as BatchNorm and Scale, nothing is said.

    Examples
    --------
    >>> from dreamopt.schema import parse_net
    >>> text = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 %s } }'
    >>> data = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }'
    >>> [is_zero_filled(parse_net(data + text % filler).param.layer[1]) for filler in ("", 'weight_filler { type: "xavier" }')]
    [True, False]
    """
    filler = _weight_filler(layer)
    return filler is not None and filler.type == "constant" and filler.value == 0


def has_weight_filler(layer: LayerParameter) -> bool:
    """Whether a layer is of a type whose weights a ``weight_filler`` fills, and says how many they are.

    Examples
    --------
    >>> [has_weight_filler(LayerParameter(convolution_param={"num_output": 3})), has_weight_filler(LayerParameter(relu_param={}))]
    [True, False]
    """
    return _weight_filler(layer) is not None


def _weight_filler(layer: LayerParameter) -> FillerParameter | None:
    for field, value in layer.ListFields():
        if field.message_type is not None and "weight_filler" in field.message_type.fields_by_name:
            found: FillerParameter = value.weight_filler
            return found
    return None
