"""From a net that fails to a small one that fails too, and where it is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from google.protobuf import text_format

from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from tests.support.oracle.random_compare import Case
from tests.support.oracle.random_layers import weighted


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Leave out layers, one after another, as long as the net still fails.

    Parameters
    ----------
    case : Case
        A net that fails.
    fails : callable
        Whether a net fails; one that cannot be made at all does not count.
    """
    smaller: Case | None = case
    while smaller is not None:
        case = smaller
        smaller = next((one for one in _smaller(case) if fails(one)), None)
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield the net cut after a layer, short pieces first, and without each single layer, the last first."""
    net = text_format.Parse(case.text, NetParameter())
    if case.end is None:
        for n in range(2, len(net.layer)):
            yield _with(case, net, list(net.layer[:n]))
    for i in reversed(range(len(net.layer))):
        layer = net.layer[i]
        if layer.name != case.end:
            yield _with(case, net, _without(net, i))


def _without(net: NetParameter, i: int) -> list[LayerParameter]:
    """Return the layers but one; who has read its tops reads its first bottom."""
    gone, kept = net.layer[i], []
    below = gone.bottom[0] if gone.bottom else ""
    for j, layer in enumerate(net.layer):
        if j == i:
            continue
        copied = LayerParameter()
        copied.CopyFrom(layer)
        if j > i and below and below not in gone.top:
            for names in (copied.bottom, copied.top):
                names[:] = [below if name in gone.top else name for name in names]
        kept.append(copied)
    return kept


def _with(case: Case, net: NetParameter, layers: list[LayerParameter]) -> Case:
    read = {bottom for layer in layers for bottom in layer.bottom}
    used = [layer for layer in layers if layer.type != "Input" or layer.top[0] in read]
    lossy = net.HasField("force_backward") and not net.force_backward
    for layer in used:
        if lossy and not layer.type.endswith("Loss"):
            layer.ClearField("loss_weight")
    lines = [f"layer {{ {text_format.MessageToString(layer, as_one_line=True)} }}" for layer in used]
    return replace(case, text="\n".join(weighted(lines) if lossy else lines))


def save(case: Case, name: str) -> Path:
    """Write a net for a closer look, into ``DREAMOPT_FAILED_NETS`` or the folder for temporary files."""
    folder = Path(os.environ.get("DREAMOPT_FAILED_NETS", tempfile.gettempdir()))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"random_net_{name}.prototxt"
    path.write_text(f"# {name}: end {case.end}\n{case.text}\n")
    return path
