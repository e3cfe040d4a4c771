"""What a unit answers to in one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.method import Summary
from dreamopt.attribution.shown import (
    CLIP,
    OPACITY,
    ShownAs,
    channel_colours,
    check_shown_as,
    heat_colours,
    levels_of,
    limit_of,
    over_image,
)
from dreamopt.errors import UsageError
from dreamopt.image.colour_maps import SIGNED, UNSIGNED
from dreamopt.image.inline import card, png_bytes
from dreamopt.image.modes import RGBImage
from dreamopt.parts.brief import brief
from dreamopt.version import __version__


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """One image's attribution.

    Parameters
    ----------
    array : ndarray, float32
        (H, W, 3), a value for each value of the image, red, green, blue; (H, W) where the method gives one for each place; of the input's
        own shape where the net takes no images.
    image : ndarray, (H, W, 3), uint8, or None
        The image as the net saw it; None for an input that is none.
    score : float
        The objective's value for the image.
    objective, method : str
        As they print.
    explains : str
        In words, what is explained: whether it is a logit, a probability or another activation, and of which layer.
    label : str or None
        The class, where the objective is one.
    summary : str
        How the array becomes the heat map.
    signed : bool
        Whether values below 0 speak against the unit.
    facts : mapping
        What the method checked of itself.
    settings : mapping
        All that decides the numbers: net, size, seed and so on; fit for JSON.
    """

    array: NDArray[np.float32]
    image: RGBImage | None
    score: float
    objective: str
    method: str
    explains: str
    label: str | None = None
    summary: Summary = "sum"
    signed: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heat_map(self) -> NDArray[np.float32]:
        """One value for each place, (H, W): the array summed up over its channels."""
        return self.heat()

    def heat(self, summary: ShownAs | None = None) -> NDArray[np.float32]:
        """Return one value for each place, (H, W), of the array's channels; as the method does by default, and for ``"rgb"``.

        Raises
        ------
        UsageError
            For a net whose input is no image, and an unknown summary.
        """
        self._require_image("heat map")
        return heat_map_of(self.array if self.array.ndim == 3 else self.array[..., None], self._heat_summary(summary))

    def shown(self, summary: ShownAs | None = None, *, colors: str | None = None, clip: float = CLIP) -> RGBImage:
        """Return the attribution as an image, (H, W, 3), uint8, RGB.

        Parameters
        ----------
        summary : str, optional
            How channels become one value, or ``"rgb"``: the channels' own values as red, green and blue about middle grey, of methods
            that give a value for each. By default as the method says.
        colors : str, optional
            A colour map's name. By default ``RdBu_r`` for values of both signs (blue below 0, white at 0, red above), ``inferno`` for
            others.
        clip : float
            Percentile of the absolute values, above 0 and up to 100, that has the strongest colour; what is larger has it, too.

        Raises
        ------
        UsageError
            For a net whose input is no image, an unknown summary or colour map, or a percentile that is none.
        """
        if self.is_shown_as_channels(summary):
            return channel_colours(self.array, clip)
        return heat_colours(self.heat(summary), self.is_signed(summary), colours=colors, clip=clip)

    def overlay(
        self, summary: ShownAs | None = None, *, colors: str | None = None, clip: float = CLIP, opacity: float = OPACITY
    ) -> RGBImage:
        """Return the heat map's colours over the image in grey, (H, W, 3), uint8.

        Parameters
        ----------
        summary, colors, clip
            As for `shown`; with ``"rgb"``, which is no heat map, channels become one value as the method says.
        opacity : float
            0 to 1, of the strongest colours; where the map is 0 the image is seen as it is.
        """
        heat = self.heat(summary)
        assert self.image is not None
        colours = heat_colours(heat, self.is_signed(summary), colours=colors, clip=clip)
        return over_image(self.image, colours, levels_of(heat, clip), opacity)

    def save(
        self,
        path: str | Path,
        summary: ShownAs | None = None,
        *,
        colors: str | None = None,
        clip: float = CLIP,
        opacity: float = OPACITY,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Path]:
        """Write what `shown` gives, the overlay and the array, each whole or not at all; return the files.

        Parameters
        ----------
        path : str or Path
            The heat map; ``cat.png`` has ``cat-overlay.png`` and ``cat.npy`` beside it. Existing files are replaced. Of a net
            whose input is no image there is the array alone.
        summary, colors, clip, opacity
            As for `shown` and `overlay`.
        metadata : mapping, optional
            To be written into the images beside `describe`.

        Raises
        ------
        UsageError
            For another suffix, and as by `shown`.
        ImageError
            Where a file cannot be written.
        """
        from dreamopt.attribution.saving import save

        return save(self, path, summary, colors=colors, clip=clip, opacity=opacity, metadata=metadata)

    def describe(self, summary: ShownAs | None = None, *, colors: str | None = None, clip: float = CLIP) -> dict[str, Any]:
        """Return all that is known of it but the values, fit for JSON."""
        described: dict[str, Any] = {
            "recipe": "attribution",
            "dreamopt": __version__,
            "method": self.method,
            "objective": self.objective,
            "label": self.label,
            "explains": self.explains,
            "score": self.score,
            "shape": list(self.array.shape),
            "signed": self.signed,
            "facts": dict(self.facts),
            "settings": dict(self.settings),
        }
        if self.image is None:
            return described
        as_channels = self.is_shown_as_channels(summary)
        values = self.array if as_channels else self.heat(summary)
        own_map = SIGNED if self.is_signed(summary) else UNSIGNED
        return described | {
            "summary": "rgb" if as_channels else self._heat_summary(summary),
            "colors": None if as_channels else own_map if colors is None else colors,
            "clip": clip,
            "limit": limit_of(values, clip),
        }

    def is_signed(self, summary: ShownAs | None = None) -> bool:
        """Return whether the heat map has values of both signs that mean something."""
        return self.signed and self._heat_summary(summary) == "sum"

    def is_shown_as_channels(self, summary: ShownAs | None) -> bool:
        """Return whether `shown` gives the channels' own values: where that is asked for, and there are red, green and blue."""
        return summary == "rgb" and self.array.ndim == 3 and self.array.shape[2] == 3

    def _heat_summary(self, summary: ShownAs | None) -> Summary:
        """Return how channels become the heat map that is shown, or lies beside what is shown."""
        if summary is None:
            return self.summary
        name = check_shown_as(summary)
        return self.summary if name == "rgb" else name

    def _require_image(self, what: str) -> None:
        if self.image is None:
            shape = "x".join(map(str, self.array.shape))
            raise UsageError(f"the net's input is no image, and its attribution has no {what}: its array, {shape}, is all there is")

    def __repr__(self) -> str:
        """Return one line: method, objective, score and what that is."""
        label = "" if self.label is None else f" ({self.label})"
        shape = "x".join(map(str, self.array.shape))
        return brief("Attribution", f"{self.method} of {self.objective}{label}", f"{self.score:.4g}", f"{self.explains}; {shape}")

    def _repr_png_(self) -> bytes | None:
        """Return image, map and overlay side by side, for notebooks; None for an input that is no image."""
        if self.image is None:
            return None
        return png_bytes(self._side_by_side(self.image))

    def _repr_html_(self) -> str:
        """Return image, map and overlay with what is explained, for notebooks."""
        facts = {"method": self.method, "score": f"{self.score:.4g}", "explains": self.explains, "class": self.label}
        return card(self.objective, facts, [] if self.image is None else [(self._side_by_side(self.image), self.objective)])

    def _side_by_side(self, image: RGBImage) -> RGBImage:
        gap = np.full((len(image), 4, 3), 255, np.uint8)
        return np.concatenate([image, gap, self.shown(), gap, self.overlay()], axis=1)


def heat_map_of(array: NDArray[np.float32], summary: Summary) -> NDArray[np.float32]:
    """Return one value for each place of an array (H, W, C).

    >>> heat_map_of(np.array([[[3.0, -4.0]]], np.float32), "norm")
    array([[5.]], dtype=float32)
    """
    total: NDArray[np.float64]
    if summary == "abs_max":
        total = np.abs(array).max(2)
    elif summary == "norm":
        total = np.sqrt((array.astype(np.float64) ** 2).sum(2))
    else:
        total = array.sum(2, dtype=np.float64)
        total = np.maximum(total, 0) if summary == "positive_sum" else total
    return total.astype(np.float32)
