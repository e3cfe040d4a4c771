"""Passes crop by crop and tile by tile: the values of layers, and gradients with respect to the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dreamopt.backends.base import BackwardRule
from dreamopt.network.tiling.geometry import Rectangle, Tile, part_of
from dreamopt.network.tiling.plan import Crop, Layout, Stage
from dreamopt.objective import Block, Objective

Seeding = Callable[[Crop, Tile, dict[str, Tensor]], tuple[list[Tensor], list[Tensor | None]]]
"""Gets a crop, a tile and the values computed there; returns what to differentiate, with the gradients at it (None for 1)."""
Look = Callable[[Crop, Tile, dict[str, Tensor]], None]
"""Gets a crop, a tile and the values computed there."""
Graph = tuple[Tensor, dict[str, Tensor]]
"""The crop that a tile was computed from, and the values, that hang together."""


@dataclass
class Kept:
    """What a forward pass over a crop leaves for the backward pass: by stage the map that it reads, and each tile's graph."""

    sources: dict[int, Tensor] = field(default_factory=dict)
    graphs: dict[int, list[Graph]] = field(default_factory=dict)


class Sweep:
    """The passes of one image, which is looked at sample by sample.

    Parameters
    ----------
    layout : Layout
        Its crops and tiles.
    rule : BackwardRule, optional
        Another backward pass for some layers.
    tick : callable, optional
        Called after each tile.
    """

    def __init__(self, layout: Layout, rule: BackwardRule | None = None, tick: Callable[[], None] | None = None) -> None:
        self.layout, self._rule, self._tick = layout, rule, tick

    def _compute(self, stage: Stage, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        backend: Any = self.layout.backend  # of which not every one can begin at a value
        given = {} if self._rule is None else {"rule": self._rule}
        if stage.segment.start is None:
            found = backend.activations(x, list(names), **given)
        else:
            found = backend.activations_from(stage.segment.start, x, list(names), **given)
        return dict(found)

    def _graph(self, stage: Stage, tile: Tile, source: Tensor, names: Sequence[str]) -> Graph:
        """Compute a tile so that it can be differentiated."""
        leaf = part_of(source, tile.crop).detach().requires_grad_()
        with torch.enable_grad():
            return leaf, self._compute(stage, leaf, names)

    def _done(self) -> None:
        if self._tick is not None:
            self._tick()

    def _cut_map(self, crop: Crop, s: int, source: Tensor, look: Look | None, graphs: list[Graph] | None) -> Tensor | None:
        """Return what stage ``s`` of a crop writes for the next one.

        ``look`` gets each tile's values; ``graphs``, what `gradient` needs not to compute them again.
        """
        stage = crop.stages[s]
        cut, above = stage.segment.cut, None
        for tile in stage.tiles:
            names = [name for name in tile.whole if look is not None or graphs is not None or name == cut]
            if graphs is None:
                found = self._compute(stage, part_of(source, tile.crop).detach(), names) if names else {}
            else:
                graphs.append(self._graph(stage, tile, source, names))
                found = graphs[-1][1]
            if cut is not None and cut in found:
                if above is None:
                    above = _zeros(source, found[cut].shape[1], crop.stages[s + 1].size)
                part_of(above, tile.whole[cut]).copy_(part_of(found[cut], tile.inside[cut]).detach())
            if look is not None:
                look(crop, tile, found)
            self._done()
        return above

    def values(self, x: Tensor, look: Look, keep: bool = False) -> Kept | None:
        """Compute an image (1, C, H, W), and let ``look`` see each tile's values.

        With one crop, and ``keep``, what `gradient` would have to compute again is returned: the values at the cuts, and with
        `TilePlan.keeps`, and of a topmost segment of one tile, what the tiles' backward passes need.
        """
        kept = Kept() if keep and len(self.layout.crops) == 1 else None
        for crop in self.layout.crops:
            source: Tensor | None = part_of(x, crop.pixels)
            for s, stage in enumerate(crop.stages):
                if source is None:
                    break
                graphs = None
                if kept is not None:
                    kept.sources[s] = source
                    if (self.layout.plan.keeps and s < len(crop.stages) - 1) or (s == len(crop.stages) - 1 and len(stage.tiles) == 1):
                        graphs = kept.graphs[s] = []
                source = self._cut_map(crop, s, source, look, graphs)
        return kept

    def gradient(self, x: Tensor, seeding: Seeding, total: Tensor, kept: Kept | None = None) -> None:
        """Add to ``total``, of the shape of an image (1, C, H, W), the gradient of what ``seeding`` says of each tile's values."""
        for crop in self.layout.crops:
            kept = Kept({0: part_of(x, crop.pixels)}) if kept is None else kept
            top = max((s for s, stage in enumerate(crop.stages) if stage.tiles), default=-1)
            for s in range(top):
                if s + 1 not in kept.sources:
                    graphs = kept.graphs.setdefault(s, []) if self.layout.plan.keeps else None
                    above = self._cut_map(crop, s, kept.sources[s], None, graphs)
                    assert above is not None  # a stage with tiles reads it
                    kept.sources[s + 1] = above
            seeds: Tensor | None = None
            for s in reversed(range(top + 1)):
                stage, source, graphs = crop.stages[s], kept.sources.pop(s), kept.graphs.pop(s, [])
                below = part_of(total, crop.pixels) if s == 0 else None
                for tile in stage.tiles:
                    gradient = self._tile_gradient(crop, stage, tile, source, seeding, seeds, graphs.pop(0) if graphs else None)
                    if gradient is not None and below is None and tuple(gradient.shape[2:]) == stage.size:
                        below = gradient
                    elif gradient is not None:
                        below = _zeros(source, source.shape[1], stage.size) if below is None else below
                        part_of(below, tile.crop).add_(gradient)
                    del gradient
                    self._done()
                seeds = below
            kept = None

    def _tile_gradient(
        self, crop: Crop, stage: Stage, tile: Tile, source: Tensor, seeding: Seeding, seeds: Tensor | None, graph: Graph | None
    ) -> Tensor | None:
        cut = stage.segment.cut
        with torch.enable_grad():
            leaf, found = self._graph(stage, tile, source, list(tile.whole)) if graph is None else graph
            outputs, given = seeding(crop, tile, found)
            if seeds is not None and cut is not None and cut in tile.whole:
                outputs.append(part_of(found[cut], tile.inside[cut]))
                given.append(part_of(seeds, tile.whole[cut]))
        if not outputs:
            return None
        return torch.autograd.grad(outputs, leaf, given, allow_unused=True)[0]


def _moved(rectangle: Rectangle, by: tuple[int, int]) -> Rectangle:
    (top, bottom), (left, right) = rectangle
    return (top + by[0], bottom + by[0]), (left + by[1], right + by[1])


def _zeros(like: Tensor, channels: int, size: tuple[int, int]) -> Tensor:
    """Return a map of zeros as the engine lays maps out, so that it need not copy them."""
    return torch.zeros((1, channels, *size), dtype=like.dtype, device=like.device).contiguous(memory_format=torch.channels_last)


def into_maps(maps: dict[str, Tensor]) -> Look:
    """Return what copies the tiles' values into the targets' whole maps (1, C, H, W)."""

    def look(crop: Crop, tile: Tile, found: dict[str, Tensor]) -> None:
        for name, whole in tile.whole.items():
            if name in maps:
                part_of(maps[name], _moved(whole, crop.offsets[name])).copy_(part_of(found[name], tile.inside[name]).detach())

    return look


def from_gradients(gradients: dict[str, Tensor]) -> Seeding:
    """Return the seeding by gradients with respect to the targets' whole maps (1, C, H, W)."""

    def seeding(crop: Crop, tile: Tile, found: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
        names = [name for name in tile.whole if name in gradients]
        outputs = [part_of(found[name], tile.inside[name]) for name in names]
        return outputs, [part_of(gradients[name], _moved(tile.whole[name], crop.offsets[name])) for name in names]

    return seeding


def from_objective(layout: Layout, objective: Objective, values: list[Tensor]) -> Seeding:
    """Return the seeding by an objective that adds up over places, the value of each tile's blocks being appended to ``values``."""

    def seeding(crop: Crop, tile: Tile, found: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
        parts = []
        for name in tile.whole:
            if name in objective.layers:
                rows, columns = _moved(tile.whole[name], crop.offsets[name])
                block = Block(rows, columns, (layout.shapes[name][1], layout.shapes[name][2]))
                parts.append(objective.part(name, part_of(found[name], tile.inside[name]), block))
        values.extend(part.detach() for part in parts)
        outputs = [part.sum() for part in parts if part.requires_grad]
        return outputs, [None] * len(outputs)

    return seeding
