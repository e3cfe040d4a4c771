"""The images that drive each of several targets most: a reducer of a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.dataset.arrays import array_form, check_arrays
from dreamopt.dataset.frames import Pair
from dreamopt.dataset.place_values import Channels, PlaceValues, strongest
from dreamopt.dataset.stream import Batch
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.network.receptive_field import ReceptiveFields
from dreamopt.network.tiling.geometry import Rectangle
from dreamopt.objective import Objective
from dreamopt.parts import forms
from dreamopt.parts.forms import Key, listed, record

BY = ("max", "mean", "value")
"""What an image's value is: that of its strongest place, the mean over places, or the objective's own."""
NOWHERE = (-1, -1)
"""The place of a value that has none."""
_MOST_OVERLAP = 0.5  # of two crops of one image
_SIDES = 5  # of an image: its place in the set, (H, W) as the net saw it, and of the whole image
_LARGEST = 2**31
_ARRAYS = ("values", "index", "place", "unranked", "seen")
_STATE = record(dict.fromkeys(_ARRAYS, array_form) | {"contents": listed(forms.text(64), most=2**31)})


@dataclass(frozen=True)
class Seen:
    """What is known of an image that was seen.

    Parameters
    ----------
    size, photo : (int, int)
        (H, W), as the net saw it, and of the whole image.
    content : str
        The hash of what the net saw, where it is asked for.
    """

    size: Pair
    photo: Pair
    content: str = ""


class TopK:
    """The k highest values of each target among all images, with where they are.

    Equal values keep the order of the images. Values that are not finite have no rank.

    Parameters
    ----------
    network : Network
        The net.
    objectives : sequence of Objective
        Not bound: a neuron in the centre is at another place at another size.
    k : int
        How many of each.
    by : {"max", "mean", "value"}
        As for `dreamopt.dataset.place_values.PlaceValues`.
    per_image : int
        The most places of one image in a target's ranking, whose crops overlap by half at the most.
    distinct : bool
        Whether of images that the net sees as the same one only the first counts.

    Raises
    ------
    TargetError
        For a layer or unit that the network does not have.
    UsageError
        For an objective that compares images.
    """

    def __init__(
        self, network: Network, objectives: Sequence[Objective], k: int, *, by: str = "max", per_image: int = 1, distinct: bool = False
    ) -> None:
        self.network, self.objectives = network, tuple(objectives)
        self.k, self.by, self.per_image, self.distinct = k, by, per_image, distinct
        for objective in objectives:
            if objective.coupled:
                raise UsageError(f"objective {objective} compares images with each other, so that no single image has a value")
        self.values: NDArray[np.float64] = np.full((len(objectives), k), -np.inf)
        """(targets, k), falling; minus infinity where there is none yet."""
        self.index: NDArray[np.int64] = np.full((len(objectives), k), -1, np.int64)
        """(targets, k): the images, by their places in the set."""
        self.place: NDArray[np.int64] = np.full((len(objectives), k, 2), -1, np.int64)
        """(targets, k, 2): row and column of the place; -1 where the value has none."""
        self.unranked: NDArray[np.int64] = np.zeros(len(objectives), np.int64)
        """For each target, how many images had a value that is not finite."""
        self.seen: dict[int, Seen] = {}
        """What is known of the images that any target holds, by their places in the set."""
        self._by_size: dict[Pair, PlaceValues] = {}
        self._fields: dict[tuple[str, Pair], ReceptiveFields] = {}
        file_size = network.item_shape()[1:]
        self.layers = self.at((file_size[0], file_size[1])).layers

    def at(self, size: Pair) -> PlaceValues:
        """Return the targets bound for images of a size."""
        if size not in self._by_size:
            if len(self._by_size) >= 64:  # a set may have images of very many sizes
                self._by_size.pop(next(iter(self._by_size)))
            bound = [objective.bind(self.network, size) for objective in self.objectives]
            self._by_size[size] = PlaceValues(self.network, bound, size, self.by)
        return self._by_size[size]

    def images(self) -> set[int]:
        """Return the images that any target holds."""
        return {int(index) for index in np.unique(self.index) if index >= 0}

    def add(self, batch: Batch) -> None:
        """Rank some images."""
        values = self.at(batch.size)
        rows = self._rows(batch)
        if not rows:
            return
        index = np.array([batch.indices[i] for i in rows], np.int64)
        activations = {name: a if len(rows) == len(a) else a[rows] for name, a in batch.activations.items()}
        for group in values.placewise:
            targets = np.array(group.targets)
            if self.by == "max" and self.per_image == 1 and isinstance(group, Channels) and group.is_plain:
                highest, first = (peak[rows][:, group.units.to(peak.device)] for peak in batch.peaks(group.layer))
                self._merge(targets, index, _array(highest), _places(first, activations[group.layer].shape[-1]))
                continue
            maps = group.maps(activations)
            if self.by == "mean":
                self._merge(targets, index, _array(maps.flatten(2).double().mean(2)))
                continue
            highest, first = strongest(maps)
            width = maps.shape[-1]
            if self.per_image == 1:
                self._merge(targets, index, _array(highest), _places(first, width))
            else:
                self._merge_several(values, targets, batch.size, index, maps, _array(highest))
        for whole_image in values.whole:
            self._merge(np.array(whole_image.targets), index, _array(whole_image.values(activations)))
        held = self.images()
        self.seen = {i: one for i, one in self.seen.items() if i in held}

    def _rows(self, batch: Batch) -> list[int]:
        """Return the images of a batch that count, by their numbers in it."""
        # Of one that was seen and is held by no target the value is too low, and so is its double's.
        contents, rows = {one.content for one in self.seen.values()}, []
        for i, frame in enumerate(batch.frames):
            content = frame.content() if self.distinct else ""
            if not self.distinct or content not in contents:
                contents.add(content)
                self.seen[frame.entry.index] = Seen(frame.size, frame.photo, content)
                rows.append(i)
        return rows

    def _merge(
        self, targets: NDArray[np.int64], index: NDArray[np.int64], values: NDArray[np.float64], places: NDArray[np.int64] | None = None
    ) -> None:
        """Rank values (N, targets), at places (N, targets, 2), of images (N,)."""
        finite = np.isfinite(values)
        self.unranked[targets] += (~finite).sum(0)
        new = np.where(finite, values, -np.inf).T
        where = np.full((*new.shape, 2), -1, np.int64) if places is None else places.swapaxes(0, 1)
        self._keep(targets, new, np.broadcast_to(index, new.shape), where)

    def _keep(self, targets: NDArray[np.int64], new: NDArray[np.float64], index: NDArray[np.int64], place: NDArray[np.int64]) -> None:
        values = np.concatenate([self.values[targets], new], 1)
        indices = np.concatenate([self.index[targets], index], 1)
        places = np.concatenate([self.place[targets], place], 1)
        order = np.lexsort((places[..., 1], places[..., 0], indices, -values), axis=-1)[:, : self.k]
        self.values[targets] = np.take_along_axis(values, order, 1)
        ranked = np.isfinite(self.values[targets])
        self.index[targets] = np.where(ranked, np.take_along_axis(indices, order, 1), -1)
        self.place[targets] = np.where(ranked[..., None], np.take_along_axis(places, order[..., None], 1), -1)

    def _merge_several(
        self,
        values: PlaceValues,
        targets: NDArray[np.int64],
        size: Pair,
        index: NDArray[np.int64],
        maps: Tensor,
        highest: NDArray[np.float64],
    ) -> None:
        """Rank up to ``per_image`` places of each image, the strongest first."""
        finite, width = np.isfinite(highest), maps.shape[-1]
        self.unranked[targets] += (~finite).sum(0)
        for column, target in enumerate(targets):
            for i in np.flatnonzero(finite[:, column] & (highest[:, column] >= self.values[target, -1])):
                # The first place of equal values first, on every device.
                flat = _array(maps[i, column].flatten())
                flat = np.where(np.isfinite(flat), flat, -np.inf)
                apart = np.array(self._apart(values.objectives[target], size, np.argsort(-flat, kind="stable"), width))
                places = np.stack([apart // width, apart % width], -1)[None]
                self._keep(np.array([target]), flat[apart][None], np.full((1, len(apart)), index[i]), places)

    def _apart(self, objective: Objective, size: Pair, order: NDArray[np.int64], width: int) -> list[int]:
        """Return the first places of an order whose crops overlap by half of one at the most."""
        chosen: list[tuple[int, Rectangle]] = []
        for place in order:
            window = self.field(objective, size, int(place) // width, int(place) % width)
            if all(_overlap(window, other) <= _MOST_OVERLAP for _, other in chosen):
                chosen.append((int(place), window))
                if len(chosen) == self.per_image:
                    break
        return [place for place, _ in chosen]

    def field(self, objective: Objective, size: Pair, row: int, column: int) -> Rectangle:
        """Return the window of a place, with what lies outside of the image."""
        return joined([self.fields(layer, size).at(row, column).window for layer in objective.layers])

    def fields(self, layer: str, size: Pair) -> ReceptiveFields:
        """Return the receptive fields of a layer for images of a size."""
        if (layer, size) not in self._fields:
            if len(self._fields) >= 256:
                self._fields.pop(next(iter(self._fields)))
            self._fields[layer, size] = ReceptiveFields(self.network, layer, size)
        return self._fields[layer, size]

    def state(self) -> Any:
        """Return the rankings, as arrays."""
        sides = [[i, *one.size, *one.photo] for i, one in self.seen.items()]
        seen = np.array(sides, np.int64).reshape(-1, _SIDES)
        return self._arrays() | {"seen": seen, "contents": [one.content for one in self.seen.values()]}

    def restore(self, state: Any) -> None:
        """Take over rankings; UsageError for those of other targets, or that are damaged."""
        key, own = Key("the state of the rankings"), self._arrays()
        found = _STATE(state, key)
        check_arrays(found, own, key)
        seen, contents = found["seen"], found["contents"]
        if seen.dtype != np.int64 or seen.shape != (len(contents), _SIDES) or (seen[:, 1:] < 1).any() or (seen > _LARGEST).any():
            raise key.at("seen").misfit("a row of whole numbers for each image", f"{seen.dtype} of {seen.shape}")
        ranked = found["index"] >= 0
        known = np.isin(found["index"], np.append(seen[:, 0], -1)).all() and (np.abs(found["place"]) <= _LARGEST).all()
        if not known or (found["place"] < -1).any() or not np.isfinite(found["values"][ranked]).all():
            raise key.at("index").misfit("images that were seen, with finite values", "others")
        self.values, self.index, self.place, self.unranked = (found[name] for name in own)
        self.values[~ranked] = -np.inf
        self.seen = {
            int(i): Seen((int(h), int(w)), (int(rows), int(columns)), content)
            for (i, h, w, rows, columns), content in zip(seen, contents, strict=True)
        }

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"values": self.values, "index": self.index, "place": self.place, "unranked": self.unranked}


def _array(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.detach().double().cpu().numpy()
    return array


def _places(first: Tensor, width: int) -> NDArray[np.int64]:
    """Return the rows and columns of places that are one number each."""
    place = first.cpu().numpy().astype(np.int64)
    return np.stack([place // width, place % width], -1)


def joined(rectangles: Sequence[Rectangle]) -> Rectangle:
    """Return the smallest rectangle that holds several.

    >>> joined([((0, 2), (3, 9)), ((1, 7), (4, 5))])
    ((0, 7), (3, 9))
    """
    rows, columns = zip(*rectangles, strict=True)
    return (min(r[0] for r in rows), max(r[1] for r in rows)), (min(c[0] for c in columns), max(c[1] for c in columns))


def _overlap(first: Rectangle, second: Rectangle) -> float:
    """Return which part of a window another of the same size covers."""
    parts = 1.0
    for (a, b), (c, d) in zip(first, second, strict=True):
        parts *= max(0, min(b, d) - max(a, c)) / max(1, b - a)
    return parts
