"""Writing a net's definition as text that Caffe 1.0 reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf import text_format

from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter


def net_text(param: NetParameter) -> str:
    """Return a net as a prototxt; real numbers keep all their digits.

    Examples
    --------
    >>> from dreamopt.schema import parse_net
    >>> net_text(parse_net('name: "n" layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 7 } } }').param)[:9]
    'name: "n"'
    """
    return str(text_format.MessageToString(param, as_utf8=True))


def clear_cudnn(param: NetParameter) -> None:
    """Take back ``engine: CUDNN``, in place: Caffe takes cuDNN by default where it has it, and aborts where it has not."""
    for layer in param.layer:
        for field, options in list(layer.ListFields()):
            if field.name.endswith("_param") and field.message_type is not None and not field.is_repeated:
                engine = field.message_type.fields_by_name.get("engine")
                cudnn = None if engine is None or engine.enum_type is None else engine.enum_type.values_by_name["CUDNN"].number
                if cudnn is not None and options.engine == cudnn:
                    options.ClearField("engine")


def clear_fillers(param: NetParameter) -> None:
    """Let every weight start as zeros, Caffe's default, in place: for nets whose weights come from elsewhere."""
    for layer in param.layer:
        for field, options in list(layer.ListFields()):
            if field.name.endswith("_param") and field.message_type is not None and not field.is_repeated:
                for inner in field.message_type.fields:
                    if inner.message_type is not None and inner.message_type.name == "FillerParameter":
                        options.ClearField(inner.name)


def clear_unknown(layer: LayerParameter, known: Mapping[str, Collection[str]]) -> list[str]:
    """Take out the fields that a Caffe does not have, in place; return those that said something.

    A message for a layer type that this Caffe lacks (``bn_param``) is read by none of its own types, and a field at its default
    says nothing. What is left, ``scale_train: false`` for one, would change what the layer computes.

    Parameters
    ----------
    layer : LayerParameter
        Of a V2 net.
    known : mapping of str to collection of str
        The names of the fields that it has, by message.

    Examples
    --------
    >>> layer = LayerParameter(type="Dropout", bn_param={}, dropout_param={"dropout_ratio": 0.5, "scale_train": False})
    >>> clear_unknown(layer, {"LayerParameter": ["type", "dropout_param"], "DropoutParameter": ["dropout_ratio"]})
    ['dropout_param.scale_train: false']
    """
    for field, _ in layer.ListFields():
        if field.name not in known["LayerParameter"]:
            layer.ClearField(field.name)
    return _clear_unknown(layer, known, "")


def _clear_unknown(message: Any, known: Mapping[str, Collection[str]], path: str) -> list[str]:
    lost = []
    for field, value in message.ListFields():
        if field.name not in known.get(message.DESCRIPTOR.name, (field.name,)):
            if field.is_repeated or field.message_type is not None:
                lost.append(f"{path}{field.name}")
            elif value != field.default_value:
                word = field.enum_type.values_by_number[value].name if field.enum_type is not None else value
                lost.append(f"{path}{field.name}: {str(word).lower() if isinstance(word, bool) else word}")
            message.ClearField(field.name)
        elif field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                lost += _clear_unknown(inner, known, f"{path}{field.name}.")
    return lost
