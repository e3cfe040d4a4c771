"""All that an atlas holds of a layer's units, and what a page says of each in a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dreamopt.atlas.site.source import Json, SiteLayer, Source, items, mapping, number, text

PIECES = ("survey", "circuit", "logits", "neighbours", "tuning")
STATES = ("active", "dead", "always on", "failed")


@dataclass(frozen=True)
class LayerRecords:
    """Records of a layer.

    Parameters
    ----------
    layer : SiteLayer
        The layer.
    images : mapping
        By unit, its optimized images by variant.
    pieces : mapping
        By piece of `PIECES`, records by unit.
    atlases : mapping
        Activation atlases by name.
    """

    layer: SiteLayer
    images: Mapping[int, Json]
    pieces: Mapping[str, Mapping[int, Json]]
    atlases: Mapping[str, Json]

    @classmethod
    def read(cls, source: Source, layer: SiteLayer) -> LayerRecords:
        """Read them; what is missing is empty."""
        return cls(layer, source.images(layer), {piece: source.units(piece, layer) for piece in PIECES}, source.atlases(layer))

    def units(self) -> list[int]:
        """Return the units that there is something of, in order."""
        return sorted(set(self.images).union(*self.pieces.values()))

    def of(self, piece: str, unit: int) -> Json:
        """Return what a piece found of a unit; empty where it has not run, or failed."""
        record = self.pieces[piece].get(unit, {})
        return {} if "failed" in record else record

    def failures(self, unit: int) -> list[tuple[str, str]]:
        """Return what failed of a unit, and why."""
        variants = [(f"image {name}", one) for name, one in self.images.get(unit, {}).items()]
        pieces = [(piece, self.pieces[piece].get(unit, {})) for piece in PIECES]
        return [(name, text(one["failed"]) or "no reason was written") for name, one in variants + pieces if "failed" in one]

    def state(self, unit: int) -> str:
        """Return one of `STATES`, or nothing where no record says."""
        if "failed" in mapping(self.images.get(unit, {}).get("0")):
            return "failed"
        found = self.of("survey", unit).get("state")
        return found if found in STATES else ""

    def value(self, unit: int) -> float | None:
        """Return the activation that the optimized image reached, or else the largest of the data."""
        reached = number(mapping(self.images.get(unit, {}).get("0")).get("value"))
        return number(self.of("survey", unit).get("max")) if reached is None else reached

    def zeros(self, unit: int) -> float | None:
        """Return the share of activations that are zero."""
        return number(self.of("survey", unit).get("zeros"))

    def picture(self, source: Source, unit: int) -> str:
        """Return the file that stands for a unit: its optimized image, or else the crop that drives it most; "" without one."""
        candidates = [mapping(self.images.get(unit, {}).get("0")), *items(self.of("survey", unit).get("top"))[:1]]
        return next((file for one in candidates if (file := source.file(one.get("file"))) is not None), "")
