"""What the page can ask of a net: plain values, and images as the bytes of files; nothing here knows of requests."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.attribute import Explained
from dreamopt.attribution.method import AttributionMethod, methods, parse_method
from dreamopt.errors import TargetError, UsageError
from dreamopt.explorer.atlas_folder import AtlasFolder
from dreamopt.explorer.commands import Commands
from dreamopt.explorer.growth import Growth, chosen_settings, growth_presets
from dreamopt.explorer.photo import Photo
from dreamopt.explorer.values import LayerValues, class_scores, field_of, objective_of
from dreamopt.explorer.viewers import Viewer
from dreamopt.image.inline import png_bytes
from dreamopt.network import Network
from dreamopt.network.class_layer import class_values
from dreamopt.network.distinct import distinct_layers
from dreamopt.network.maps import above_image

FIRST = ("saliency", "guided_backprop", "deconvnet", "grad_cam")
"""The attribution methods that are listed first."""
_SLUG_LETTERS = "._-"


@dataclass(frozen=True)
class Explorer:
    """A net, and what is shown of it.

    Parameters
    ----------
    network : Network
        Its input is an image.
    commands : Commands
        The commands of views.
    provenance : mapping
        Source and load, for the metadata of images.
    atlas : AtlasFolder, optional
        What ``dreamopt atlas`` made of the net.
    samples : sequence of Path
        Photographs that can be chosen beside one's own.
    """

    network: Network
    commands: Commands
    provenance: Mapping[str, Any] = field(default_factory=dict)
    atlas: AtlasFolder | None = None
    samples: Sequence[Path] = ()

    def __post_init__(self) -> None:
        if not self.network.has_image_input:
            raise UsageError(f"the net's input '{self.network.input_name}' is no image, and the explorer shows images")

    @cached_property
    def layers(self) -> list[dict[str, Any]]:
        """The layers that depend on the image, in the order of the net: what the page lists of each."""
        graph, distinct = self.network.graph, set(distinct_layers(self.network))
        found = []
        for (i, j), below in above_image(self.network).items():
            info = self.network.layers[i]
            if below is None or info.added or len(info.shapes[j]) not in (1, 3):
                continue
            name = graph.name(i, j)
            shape = list(info.shapes[j])
            found.append(
                {"name": name, "type": info.type, "shape": shape, "distinct": name in distinct, "labels": name in self._class_layers}
            )
        return found

    @cached_property
    def _class_layers(self) -> set[str]:
        """The layers whose units are the net's classes, by their names."""
        return {self.network.graph.name(*value) for value in class_values(self.network)}

    def about(self) -> dict[str, Any]:
        """Return what the page needs once."""
        listed = sorted(methods, key=lambda plugin: (plugin.name not in FIRST, FIRST.index(plugin.name) if plugin.name in FIRST else 0))
        return {
            "net": self.network.backend.net_name or self.commands.net,
            "input": list(self.network.input_shape),
            "layers": self.layers,
            "methods": [{"name": one.name, "what": (one.make.__doc__ or "").strip().partition("\n")[0]} for one in listed],
            "presets": growth_presets(),
            "samples": [path.name for path in self.samples],
            "atlas": None if self.atlas is None else sorted(self.atlas.slugs),
            "labels": None if self.network.labels is None else list(self.network.labels),
            "command": self.commands.inspect(),
        }

    def open_photo(self, viewer: Viewer, opened: Callable[[], Photo]) -> dict[str, Any]:
        """Show a viewer a photograph, and return what is said of it, with its class scores."""
        photo = opened()
        viewer.show(photo)
        scores = class_scores(self.network, photo.seen)
        return {
            "photo": photo.number,
            "name": photo.name,
            "size": list(photo.size),
            "notes": list(photo.notes),
            "image": _encoded(photo.png()),
            "scores": None if scores is None else {"layer": scores["layer"], "top": [_finite(one) for one in scores["top"]]},
            "command": self.commands.scores(photo.name),
        }

    def layer(self, viewer: Viewer, layer: str, scale: str) -> dict[str, Any]:
        """Return the activations of a layer's units on a viewer's photograph."""
        photo = viewer.shown()
        values = self._values(viewer, photo, layer)
        return {
            "layer": layer,
            "photo": photo.number,
            "units": values.units,
            "shape": list(values.maps.shape) if values.has_places else [values.units],
            "columns": values.columns,
            "cell": list(values.cell),
            "sprite": _png(values.sprite(scale)),
            "scale": scale,
            "limit": _number(values.limit),
            "signed": values.is_signed,
            "highest": [_number(value) for value in values.highest.tolist()],
            "command": self.commands.activations(photo.name, layer, f"{_slug(layer)}-maps.png", scale),
        }

    def unit(self, viewer: Viewer, layer: str, unit: int) -> dict[str, Any]:
        """Return a unit's map and value on a viewer's photograph, what its strongest place sees, and what the atlas has of it."""
        photo = viewer.shown()
        values = self._values(viewer, photo, layer)
        own, place = values.unit(unit), values.strongest(unit)
        target = str(objective_of(layer, unit))
        return {
            "layer": layer,
            "unit": unit,
            "photo": photo.number,
            "target": target,
            "label": self._label(layer, unit),
            "highest": _number(float(own.max())),
            "mean": _number(float(own.mean())),
            "place": list(place) if values.has_places else None,
            "shape": list(own.shape),
            "map": _png(values.image(unit)),
            "field": field_of(self.network, layer, place),
            "command": self.commands.activations(photo.name, target, f"{_slug(target)}-map.png"),
            "atlas": None if self.atlas is None else _finite(self.atlas.unit(layer, unit)),
        }

    def attribution(
        self,
        photo: Photo,
        layer: str,
        unit: int,
        method: AttributionMethod,
        place: tuple[int, int] | None,
        progress: Callable[[int], object] | None,
    ) -> dict[str, Any]:
        """Return what in a photograph a unit, or one neuron of it, answers to."""
        objective, started = objective_of(layer, unit, place), time.monotonic()
        explained = Explained.of(self.network, [photo.seen], objective)
        [found] = explained.attribute(method, progress=progress)
        return {
            "photo": photo.number,
            "method": str(method),
            "target": str(objective),
            "score": _number(found.score),
            "explains": found.explains,
            "zero": not found.array.any(),
            "seconds": round(time.monotonic() - started, 2),
            "overlay": _png(found.overlay()),
            "map": _png(found.shown()),
            "command": self.commands.attribute(photo.name, objective, str(method), f"{_slug(f'{objective}-{method}')}.png"),
        }

    def growth(self, layer: str, unit: int, preset: str, choices: Mapping[str, Any]) -> tuple[Growth, dict[str, Any]]:
        """Return the growth of a unit's image, not begun, and what is said of it."""
        self._check_unit(layer, unit)
        settings, said = chosen_settings(preset, choices)
        objective = objective_of(layer, unit)
        name = f"{_slug(str(objective))}.png"
        command = self.commands.render(objective, preset, said, name)
        growth = Growth(self.network, objective, settings, {**self.provenance, "command": command})
        return growth, {"target": str(objective), "preset": preset, "file": name, "command": command}

    def _check_unit(self, layer: str, unit: int) -> None:
        units = self.network.shape_of(layer)[0]
        if not 0 <= unit < units:
            raise TargetError(f"layer '{layer}' has units 0 to {units - 1}, not {unit}")

    def _label(self, layer: str, unit: int) -> str | None:
        return self.network.labels[unit] if self.network.labels is not None and layer in self._class_layers else None

    def _values(self, viewer: Viewer, photo: Photo, layer: str) -> LayerValues:
        kept = viewer.kept(photo, layer)
        if kept is None:
            kept = LayerValues.of(self.network, layer, photo.seen)
            viewer.keep(photo, kept)
        return kept


def is_brief(method: AttributionMethod) -> bool:
    """Return whether a method passes an image through the net so seldom that nobody need wait for it."""
    passes = method.evaluations()
    return passes is not None and passes <= 2


def method_of(name: str) -> AttributionMethod:
    """Return the attribution method of a name, at its usual settings; UsageError for anything else, such as one with parameters."""
    if name not in methods.names():
        raise UsageError(f"'{name}' is no attribution method; `dreamopt attribute --list` lists them")
    return parse_method(name)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _png(image: NDArray[np.uint8]) -> str:
    return _encoded(png_bytes(image, quickly=True))


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _finite(value: Any) -> Any:
    """Return what JSON can hold, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return _number(value) if isinstance(value, float) else value


def _slug(text: str) -> str:
    """Return a text as a file's name."""
    return "".join(letter if letter.isalnum() or letter in _SLUG_LETTERS else "-" for letter in text).strip("-.") or "unit"
