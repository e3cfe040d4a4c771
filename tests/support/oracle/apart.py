"""A net with its layers in place pulled apart, so that Caffe's gradient is the derivative."""

from __future__ import annotations

from google.protobuf import text_format

from dreamopt.schema.caffe_pb2 import NetParameter


def pull_apart(text: str) -> tuple[str, dict[tuple[str, str], str]]:
    """Give each layer blobs of its own.

    Returns
    -------
    str, dict
        The prototxt; and for each layer and top the name of its blob there.
    """
    net = text_format.Parse(text, NetParameter())
    now: dict[str, str] = {}
    names: dict[tuple[str, str], str] = {}
    for layer in net.layer:
        layer.bottom[:] = [now[name] for name in layer.bottom]
        for j, top in enumerate(layer.top):
            names[layer.name, top] = now[top] = layer.top[j] = f"{layer.name}_own" if top in now else top
    force = f"force_backward: {str(net.force_backward).lower()}\n" if net.HasField("force_backward") else ""
    net.ClearField("force_backward")
    return force + text_format.MessageToString(net), names
