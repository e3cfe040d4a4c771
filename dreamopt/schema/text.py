"""Writing a net's definition as text that Caffe 1.0 reads."""

from __future__ import annotations

from google.protobuf import text_format

from dreamopt.schema.caffe_pb2 import NetParameter


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
