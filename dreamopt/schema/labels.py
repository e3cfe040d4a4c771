"""Leaving out what needs labels: a net that is looked at has none, its losses and accuracies go with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamopt.schema.caffe_pb2 import LayerParameter

# Types with weights, which somebody may want to look into: they do not stand between a label and its loss. All others may.
_LEARNT = {
    "Convolution",
    "ConvolutionDepthwise",
    "Deconvolution",
    "DepthwiseConvolution",
    "InnerProduct",
    "Embed",
    "LSTM",
    "RNN",
    "BatchNorm",
    "BN",
    "Bias",
    "Normalize",
    "PReLU",
    "Parameter",
    "Scale",
}
_RESIZING = ("Crop", "Interp")  # of the second bottom, they read the size alone


def needs_label(layer: LayerParameter) -> bool:
    """Return whether a layer is a loss or a score, by Caffe's names and those of its forks (``...Loss``, SSD's DetectionEvaluate)."""
    known = layer.type.endswith(("Loss", "Accuracy")) or layer.type in ("HDF5Output", "DetectionEvaluate")
    return known or any(weight != 0 for weight in layer.loss_weight)


def find_labels(layers: Sequence[LayerParameter], sources: Iterable[int]) -> tuple[set[int], dict[int, set[str]]]:
    """Find the layers that go with the labels, and the tops of data layers that are labels.

    A top of a data layer is a label if all that reads it, at last, is a loss or a score; the first top is one only if
    losses read it directly.

    Parameters
    ----------
    layers : sequence of LayerParameter
        In the net's order.
    sources : iterable of int
        Which of them are data layers.

    Returns
    -------
    dropped : set of int
        The layers to leave out.
    labels : dict of int to set of str
        For each source, the tops to leave out.
    """
    readers = _readers(layers)
    labels: dict[int, set[str]] = {}
    dropped: set[int] = set()
    for source in sources:
        labels[source] = set()
        for k, blob in enumerate(layers[source].top):
            found = _only_for_losses(layers, readers, (source, blob))
            if found is None or (
                k == 0 and not (found and all(needs_label(layers[i]) and blob not in layers[i].bottom[:1] for i in found))
            ):
                continue
            labels[source].add(blob)
            dropped |= found
    return dropped | _orphans(layers, readers, dropped), labels


Readers = dict[tuple[int, str], list[int]]


def _readers(layers: Sequence[LayerParameter]) -> Readers:
    """Return, for each top (layer, blob), the layers that read it: a blob may be written again in place."""
    readers: Readers = {}
    writer: dict[str, int] = {}
    for i, layer in enumerate(layers):
        for blob in layer.bottom:
            if blob in writer:
                readers.setdefault((writer[blob], blob), []).append(i)
        for blob in layer.top:
            writer[blob] = i
    return readers


def _only_for_losses(layers: Sequence[LayerParameter], readers: Readers, top: tuple[int, str]) -> set[int] | None:
    """Return the layers that a label takes with it, or None if something else reads it too."""
    found: set[int] = set()
    passing: list[int] = []
    blobs = {top}
    waiting = [top]
    while waiting:
        at = waiting.pop()
        for i in readers.get(at, ()):
            layer = layers[i]
            if i in found or i in passing:
                continue
            last = layer.type == "Python" and not any(readers.get((i, blob)) for blob in layer.top)
            if needs_label(layer) or layer.type == "Silence" or last:
                found.add(i)
            elif layer.type not in _LEARNT:
                passing.append(i)
                for blob in layer.top:
                    blobs.add((i, blob))
                    waiting.append((i, blob))
            else:
                return None
    writers = _bottom_writers(layers)
    for i in passing:
        read = writers[i][:1] if layers[i].type in _RESIZING else writers[i]
        if any(bottom not in blobs for bottom in read):
            return None
    return found | set(passing)


def _bottom_writers(layers: Sequence[LayerParameter]) -> list[list[tuple[int, str]]]:
    writer: dict[str, int] = {}
    bottoms: list[list[tuple[int, str]]] = []
    for i, layer in enumerate(layers):
        bottoms.append([(writer.get(blob, -1), blob) for blob in layer.bottom])
        for blob in layer.top:
            writer[blob] = i
    return bottoms


def _orphans(layers: Sequence[LayerParameter], readers: Readers, dropped: set[int]) -> set[int]:
    """Return the layers that read a top of a dropped layer, and theirs in turn."""
    found: set[int] = set()
    waiting = sorted(dropped)
    while waiting:
        i = waiting.pop()
        for blob in layers[i].top:
            for reader in readers.get((i, blob), ()):
                if reader not in dropped and reader not in found:
                    found.add(reader)
                    waiting.append(reader)
    return found
