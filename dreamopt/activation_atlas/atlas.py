"""Activation atlases: what a layer says of a sample of positions, as a map of cells that are directions with the classes they support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dreamopt.activation_atlas.directions import Whitening
from dreamopt.activation_atlas.layout import cells_of, fewest_in_cell, grid_side, lay_out
from dreamopt.activation_atlas.selection import of_classes
from dreamopt.dataset.sampled_places import Places
from dreamopt.errors import UsageError
from dreamopt.objective import Objective
from dreamopt.objectives import DirectionNeuron
from dreamopt.parts.brief import brief, counted

POWER = 1.0
"""Of the cosine, with which a cell's image is asked for its direction more than for strength."""
_SUPPORTED = 3
_DIGITS = 6


@dataclass(frozen=True)
class Support:
    """How a cell acts on a class.

    Parameters
    ----------
    class_ : int
        The class.
    effect : float
        The mean over the cell's positions of the vector times the gradient of the class's score.
    """

    class_: int
    effect: float


@dataclass(frozen=True, eq=False)
class AtlasCell:
    """A cell of an activation atlas.

    Parameters
    ----------
    row, column : int
        Where, from the top left.
    count : int
        Positions in it.
    direction : tuple of float
        Their mean activation, whitened, of length 1.
    support : tuple of Support
        The classes that it acts on most, strongest first; of an atlas of classes, these. Empty where there are no classes.
    difference : float or None
        Of an atlas of two classes, the effect on the first less that on the second.
    """

    row: int
    column: int
    count: int
    direction: tuple[float, ...] = field(repr=False)
    support: tuple[Support, ...] = ()
    difference: float | None = None

    def objective(self, layer: str) -> Objective:
        """Return what an image of the cell maximises: the direction, at the centre of the layer's map."""
        return DirectionNeuron(layer, self.direction, power=POWER)


@dataclass(frozen=True, eq=False)
class ActivationAtlas:
    """An activation atlas, without images.

    Parameters
    ----------
    layer : str
        The layer.
    grid : (int, int)
        Rows and columns.
    count : int
        Positions that were laid out.
    cells : tuple of AtlasCell
        Row by row; of two classes, those that speak most for the first come first.
    classes : tuple of int
        What it is of: none for all positions, one class, or two.
    """

    layer: str
    grid: tuple[int, int]
    count: int
    cells: tuple[AtlasCell, ...]
    classes: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """Return one line: the layer, what it is of, its cells and positions."""
        cells = f"{len(self.cells)} cells of {self.grid[0]} x {self.grid[1]}"
        return brief("ActivationAtlas", f"{self.layer} {self.name}", cells, counted(self.count, "position"))

    @property
    def name(self) -> str:
        """``all``, ``class-12`` or ``compare-3-7``."""
        if not self.classes:
            return "all"
        kind = "class" if len(self.classes) == 1 else "compare"
        return "-".join([kind, *map(str, self.classes)])


def activation_atlas(
    places: Places, classes: Sequence[int] = (), *, grid: tuple[int, int] | None = None, fewest: int | None = None, seed: int = 0
) -> ActivationAtlas:
    """Lay sampled positions of a layer out, and return the cells of the map with their directions.

    Positions where the layer is zero throughout have no direction and are left out. Directions are whitened by all positions, also in an
    atlas of classes.

    Parameters
    ----------
    places : Places
        From `dreamopt.recipes.survey.Survey.places`.
    classes : sequence of int
        None, for all positions; one class; or two, which are compared in one layout.
    grid : (int, int), optional
        Rows and columns; by default by how many positions there are, up to 20 x 20.
    fewest : int, optional
        Positions that a cell must have; by default by how many there are, up to 10.
    seed : int
        Of the layout.

    Raises
    ------
    UsageError
        For too few positions, more than two classes, and classes that do not depend on the layer.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> vectors = np.abs(rng.normal(0, 0.1, (60, 5))).astype(np.float32)
    >>> vectors[:30, 0] += 1
    >>> vectors[30:, 3] += 1
    >>> atlas = activation_atlas(Places("conv", vectors, np.arange(60), np.zeros((60, 2), np.int32)))
    >>> atlas.grid, sum(cell.count for cell in atlas.cells)
    ((3, 3), 60)
    """
    if len(classes) > 2 or len(set(classes)) < len(classes):
        raise UsageError(f"an activation atlas is of no class, one, or two that differ, not of {tuple(classes)}")
    chosen = of_classes(places, classes)
    chosen = chosen[np.isfinite(places.vectors[chosen]).all(1) & (places.vectors[chosen] != 0).any(1)]
    square = lay_out(places.vectors[chosen], seed)
    side = grid_side(len(chosen))
    rows, columns = (side, side) if grid is None else grid
    least = fewest_in_cell(len(chosen), rows * columns) if fewest is None else fewest
    whitening = Whitening(places.vectors[np.isfinite(places.vectors).all(1)])
    cells = []
    for cell in cells_of(square, (rows, columns), least):
        members = chosen[cell.members]
        direction = whitening.direction(places.vectors[members].mean(0, dtype=np.float64))
        if direction.any():
            made = AtlasCell(cell.row, cell.column, len(members), tuple(float(f"{value:.{_DIGITS}g}") for value in direction))
            cells.append(_with_support(made, places.effects, members, classes))
    if len(classes) == 2:
        cells.sort(key=lambda cell: -(cell.difference or 0.0))
    return ActivationAtlas(places.layer, (rows, columns), len(chosen), tuple(cells), tuple(classes))


def _with_support(cell: AtlasCell, effects: NDArray[np.float32] | None, members: NDArray[np.int64], classes: Sequence[int]) -> AtlasCell:
    """Return a cell with the classes that it supports."""
    if effects is None:
        return cell
    means = effects[members].mean(0, dtype=np.float64)
    order = list(np.argsort(-means, kind="stable")[:_SUPPORTED])
    shown = list(dict.fromkeys([*(int(one) for one in order), *classes])) if len(classes) < 2 else list(classes)
    support = sorted((Support(one, float(means[one])) for one in shown), key=lambda one: -one.effect)
    difference = float(means[classes[0]] - means[classes[1]]) if len(classes) == 2 else None
    return replace(cell, support=tuple(support), difference=difference)
