"""Leaving out what needs labels: visualization has no labels, so losses and accuracies are left out with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamopt.schema.caffe_pb2 import LayerParameter
from dreamopt.schema.layer_types import layer_type

# Caffe's types with weights, and those whose class says has_weights, are kept, since a target may name them; layers of all other
# types may stand between a label and its loss.
TYPES_WITH_WEIGHTS = {
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
_RESIZING = ("Crop", "Interp")  # they read only the size of their second bottom


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
    writers = _bottom_writers(layers)
    readers = _readers(writers)
    kinds = [_kind(layer) for layer in layers]  # once: each top of a data layer may lead through the whole net
    labels: dict[int, set[str]] = {}
    dropped: set[int] = set()
    for source in sources:
        labels[source] = set()
        for k, blob in enumerate(layers[source].top):
            consumers = _only_for_losses(layers, kinds, readers, writers, (source, blob))
            if consumers is None or (
                k == 0 and not (consumers and all(needs_label(layers[i]) and blob not in layers[i].bottom[:1] for i in consumers))
            ):
                continue
            labels[source].add(blob)
            dropped |= consumers
    return dropped | _orphans(layers, readers, dropped), labels


BlobVersion = tuple[int, str]
"""A blob as a layer wrote it, (layer, blob): a blob may be written again in place. The layer is -1 where none wrote it."""
Writers = Sequence[Sequence[BlobVersion]]
Readers = dict[BlobVersion, list[int]]


def _bottom_writers(layers: Sequence[LayerParameter]) -> Writers:
    """Return what each layer reads, bottom by bottom."""
    writer: dict[str, int] = {}
    bottoms: list[list[BlobVersion]] = []
    for i, layer in enumerate(layers):
        bottoms.append([(writer.get(blob, -1), blob) for blob in layer.bottom])
        for blob in layer.top:
            writer[blob] = i
    return bottoms


def _readers(writers: Writers) -> Readers:
    """Return the layers that read each blob version."""
    readers: Readers = {}
    for i, bottoms in enumerate(writers):
        for version in bottoms:
            readers.setdefault(version, []).append(i)
    return readers


def _kind(layer: LayerParameter) -> str:
    """Return ``loss`` for what needs labels or swallows its bottoms, ``weights`` for what is kept, else ``passing``."""
    if needs_label(layer) or layer.type == "Silence":
        return "loss"
    return "weights" if layer.type in TYPES_WITH_WEIGHTS or layer_type(layer.type).has_weights else "passing"


def _only_for_losses(
    layers: Sequence[LayerParameter], kinds: Sequence[str], readers: Readers, writers: Writers, top: BlobVersion
) -> set[int] | None:
    """Return the layers that a label takes with it, or None if something else reads it too."""
    losses: set[int] = set()
    passing: set[int] = set()
    blobs = {top}
    pending = [top]
    while pending:
        blob_version = pending.pop()
        for i in readers.get(blob_version, ()):
            if i in losses or i in passing:
                continue
            layer = layers[i]
            if kinds[i] == "loss" or (layer.type == "Python" and not any(readers.get((i, blob)) for blob in layer.top)):
                losses.add(i)
            elif kinds[i] == "passing":
                passing.add(i)
                for blob in layer.top:
                    blobs.add((i, blob))
                    pending.append((i, blob))
            else:
                return None
    for i in passing:
        read = writers[i][:1] if layers[i].type in _RESIZING else writers[i]
        if any(bottom not in blobs for bottom in read):
            return None
    return losses | passing


def _orphans(layers: Sequence[LayerParameter], readers: Readers, dropped: set[int]) -> set[int]:
    """Return the layers that read a top of a dropped layer, and theirs in turn."""
    orphans: set[int] = set()
    pending = sorted(dropped)
    while pending:
        i = pending.pop()
        for blob in layers[i].top:
            for reader in readers.get((i, blob), ()):
                if reader not in dropped and reader not in orphans:
                    orphans.add(reader)
                    pending.append(reader)
    return orphans
