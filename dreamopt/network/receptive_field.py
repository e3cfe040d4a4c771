"""Receptive fields: which rectangle of the image a place of a layer's map depends on, from the windows of the layers between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dreamopt.backends.base import Reach, Shape
from dreamopt.network.network import Network, Size
from dreamopt.network.tiling.geometry import Interval, Rectangle, Value


@dataclass(frozen=True)
class ReceptiveField:
    """What a part of a layer's map sees of an image.

    Parameters
    ----------
    rectangle : ((int, int), (int, int))
        Rows and columns of the image that it depends on, each the first and the one behind the last; empty where its windows lie in
        padding alone.
    window : ((int, int), (int, int))
        The same with what is padded, before the image's first row or behind its last: of one size for all places of a map. The
        whole image where a layer between sees all of its map at once.
    """

    rectangle: Rectangle
    window: Rectangle


class ReceptiveFields:
    """The receptive fields of a layer's places.

    Parameters
    ----------
    network : Network
        The net; its input is an image.
    layer : str
        The layer's name.
    size : int or (int, int), optional
        Of the images, in pixels; the one in the net's file by default.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> fields = ReceptiveFields(load_net(), "pool1")
    >>> fields.at(0, 0).rectangle, fields.at(5, 7).rectangle
    (((0, 8), (0, 8)), ((17, 28), (25, 36)))
    """

    def __init__(self, network: Network, layer: str, size: Size = None) -> None:
        graph, item = network.graph, network.item_shape(size)
        self.layer, self._graph = network.resolve(layer), graph
        self._value = graph.value(self.layer)
        self._below = graph.below([self.layer])
        layers = network.layers
        self._image = next((i, info.tops.index(network.input_name)) for i, info in enumerate(layers) if network.input_name in info.tops)
        names = {graph.name(i, j): (i, j) for i in self._below for j in range(len(layers[i].tops))}
        # A name that means another value, where layers share one, tells nothing of this one.
        names = {name: value for name, value in names.items() if graph.value(name) == value}
        shapes = network.backend.shapes([*names], item) if names else {}
        self._shapes: dict[Value, Shape] = {value: shapes[name] for name, value in names.items()} | {self._image: item}
        self._layers = layers
        self.size = (item[1], item[2])
        self._known: dict[tuple[int, Interval], tuple[Interval, Interval]] = {}

    def at(self, row: int, column: int) -> ReceptiveField:
        """Return the receptive field of one place; of a layer without places, whatever they are."""
        return self.of(((row, row + 1), (column, column + 1)))

    def of(self, places: Rectangle | None = None) -> ReceptiveField:
        """Return the receptive field of a rectangle of places; of all of them by default."""
        pairs = []
        for axis in (0, 1):
            length = self._length(self._value, axis)
            span = (0, length or 1) if places is None or length is None else places[axis]
            if (axis, span) not in self._known:
                self._known[axis, span] = self._inside(axis, span), self._window(axis, span)
            pairs.append(self._known[axis, span])
        (rows, row_window), (columns, column_window) = pairs
        return ReceptiveField((rows, columns), (row_window, column_window))

    def _length(self, value: Value, axis: int) -> int | None:
        """Return how many places a value has along an axis; None where it is no map."""
        shape = self._shapes.get(value)
        return shape[1 + axis] if shape is not None and len(shape) == 3 else None

    def _inside(self, axis: int, span: Interval) -> Interval:
        """Return the rows or columns of the image that places of the layer depend on; none where they see padding alone."""
        # Place by place: a window with holes whose first places are padding begins later than its first place of the map.
        read: dict[Value, set[int]] = {self._value: set(range(*span))}
        for i, j, value in self._steps():
            if (i, j) in read:
                length = self._length(value, axis)
                reach = self._reach(i, axis, (i, j), value)
                places = set(range(1 if length is None else length))
                read.setdefault(value, set()).update(places if reach is None else places & reach.read(axis, read[i, j]))
        places = read.get(self._image, set())
        return (min(places), max(places) + 1) if places else (0, 0)

    def _window(self, axis: int, span: Interval) -> Interval:
        """Return the same with what is padded; all of the image where a layer sees all of its map."""
        needed: dict[Value, Interval] = {self._value: span}
        for i, j, value in self._steps():
            if (i, j) in needed:
                reach = self._reach(i, axis, (i, j), value)
                if reach is None:
                    return 0, self.size[axis]
                part = reach.needed(axis, *needed[i, j])
                before = needed.get(value, part)
                needed[value] = min(before[0], part[0]), max(before[1], part[1])
        return needed.get(self._image, (0, self.size[axis]))

    def _steps(self) -> Iterator[tuple[int, int, Value]]:
        """Yield each top of the layers below, topmost first, with each value that its layer reads."""
        for i in self._below:
            for j in range(len(self._layers[i].tops)):
                yield from ((i, j, value) for value in self._reads(i))

    def _reads(self, i: int) -> Sequence[Value]:
        """Return what a layer's values depend on; of what a Crop reads besides, only the size counts."""
        return self._graph.reads[i][:1] if self._layers[i].type == "Crop" else self._graph.reads[i]

    def _reach(self, i: int, axis: int, top: Value, bottom: Value) -> Reach | None:
        """Return which places of a layer's bottom each place of its top depends on; None for all of them."""
        reach, lengths = self._layers[i].reach, [self._length(value, axis) for value in (top, bottom)]
        if reach is None or None in lengths:
            return None
        if self._layers[i].type == "Crop":  # its reach spans the places of both bottoms; values come from the first alone
            down, right = reach.extent
            return Reach((1, 1), pad=(1 - down, 1 - right))
        moves = reach.stride[axis] > 1 or reach.up[axis] > 1 or reach.extent[axis] > 1 or reach.pad[axis] != 0
        return reach if moves or lengths[0] == lengths[1] else None  # a bottom that is repeated over all places
