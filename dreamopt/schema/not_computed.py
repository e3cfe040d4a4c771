"""Layers of a net's file that are not computed, and all that needs them: the net is cut below them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dreamopt.schema.caffe_pb2 import LayerParameter
from dreamopt.schema.location import SourceLocation


@dataclass(frozen=True)
class NotComputed:
    """A layer that the file has and the net does not.

    Parameters
    ----------
    name, type : str
        As in the file.
    place : str
        ``file:line``.
    tops : tuple of str
        The blobs that it would write.
    reason : str
        One sentence on why it, or the layer that it needs, cannot be computed, with that layer's name, file and line.
    needs : str
        The layer for lack of which it is not computed; empty where the reason is its own.
    """

    name: str
    type: str
    place: str
    tops: tuple[str, ...]
    reason: str
    needs: str = ""

    def __str__(self) -> str:
        needs = f", since it needs '{self.needs}'" if self.needs else ""
        return f"'{self.name}' is not computed{needs}: {self.reason}"


class Remainder:
    """Goes through a net from its inputs up and notes what is lost with the layers that are left out.

    Parameters
    ----------
    earlier : iterable of NotComputed
        What is left out already.
    """

    def __init__(self, earlier: Iterable[NotComputed] = ()) -> None:
        self.left_out = list(earlier)
        self._lost: dict[str, NotComputed] = {}

    def lose(self, blob: str, layer: LayerParameter, location: SourceLocation, reason: str) -> None:
        """Note that an input of the net is left out; the layer's other blobs stay."""
        self._add(layer, location, reason, "", (blob,))

    def leave_out(self, layer: LayerParameter, location: SourceLocation, reason: str) -> None:
        """Note that a layer is left out for a reason of its own."""
        self._add(layer, location, reason, "", tuple(layer.top))

    def lacks(self, layer: LayerParameter, location: SourceLocation) -> bool:
        """Return whether a layer reads what is lost, and note it; else what it writes is not lost."""
        missing = next((self._lost[blob] for blob in layer.bottom if blob in self._lost), None)
        if missing is None:
            for blob in layer.top:
                self._lost.pop(blob, None)
            return False
        self._add(layer, location, missing.reason, missing.needs or missing.name, tuple(layer.top))
        return True

    def _add(self, layer: LayerParameter, location: SourceLocation, reason: str, needs: str, blobs: tuple[str, ...]) -> None:
        entry = NotComputed(layer.name, layer.type, str(location), blobs, reason, needs)
        self.left_out.append(entry)
        self._lost.update(dict.fromkeys(blobs, entry))


def is_computed(layers: Iterable[LayerParameter]) -> bool:
    """Return whether any of the layers computes something out of another's values."""
    return any(layer.bottom and layer.top for layer in layers)
