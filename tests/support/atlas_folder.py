"""A folder as `dreamopt atlas` leaves it, without a net: any number of layers and units, hostile names, pieces that are missing."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&\u2028\u202e{{ 7*7 }}'
"""A label, or a file's name, that does something wherever it is not escaped."""
PIECES = ("image", "survey", "circuit", "logits", "neighbours", "tuning", "activation_atlas")


def atlas_folder(
    root: Path,
    layers: Sequence[tuple[str, int]] = (("conv1", 12), ("fire2/expand1x1", 20), ("fire2/expand3x3", 20), ("classes", 9)),
    *,
    pieces: Collection[str] = PIECES,
    failed: Collection[int] = (3,),
    dead: Collection[int] = (5,),
    label: str = HOSTILE,
    side: int = 64,
    units: int | None = None,
) -> Path:
    """Write the records of an atlas of layers (name, units); the last one has labels, each beginning with ``label``.

    Of each layer the first ``units`` have records, or all. Images repeat after 24 units, as links to one file.
    """
    root.mkdir(parents=True, exist_ok=True)
    described = [
        {
            "name": name,
            "slug": name.replace("/", "--"),
            "type": "Convolution" if place + 1 < len(layers) else "InnerProduct",
            "shape": [count, 2 * place + 5, 2 * place + 4],
            "units": count,
            "labels": [f"{label} {i}" for i in range(count)] if place + 1 == len(layers) else None,
            "field": [11 + 8 * place, 13 + 8 * place],
        }
        for place, (name, count) in enumerate(layers)
    ]
    nodes: list[dict[str, Any]] = [{"name": "data", "type": "Input", "slug": None}]
    edges = []
    for place, layer in enumerate(described):
        nodes += [
            {"name": layer["name"], "type": layer["type"], "slug": layer["slug"]},
            {"name": f"relu{place}", "type": "ReLU", "slug": None},
        ]
        edges += [[max(0, 2 * place - (2 if place == 2 else 0)), 2 * place + 1], [2 * place + 1, 2 * place + 2]]
    if len(described) > 3:
        edges.append([4, 7])
    about = {
        "format": 1,
        "dreamopt": "0.1",
        "net": {"name": "PaperNet", "sha256": "0" * 64},
        "weights": {"name": "paper.caffemodel", "sha256": "1" * 64},
        "input": [3, 64, 60],
        "command": "dreamopt atlas --net paper.prototxt --weights paper.caffemodel -o atlas/",
        "settings": {},
        "layers": described,
        "graph": {"nodes": nodes, "edges": edges},
    }
    _json(root / "atlas.json", about)
    for place, layer in enumerate(described):
        _layer(root, described, place, layer, pieces, failed, dead, side, layer["units"] if units is None else min(units, layer["units"]))
    return root


def _layer(root: Path, described: list[dict[str, Any]], place: int, layer: dict[str, Any], pieces: Collection[str], failed: Collection[int],
           dead: Collection[int], side: int, count: int) -> None:  # fmt: skip
    slug, records = layer["slug"], root / "records"
    if "image" in pieces:
        for unit in range(count):
            variants: dict[str, Any] = {"0": {"key": f"{slug}-{unit}", "failed": "the ReLU is dead: its gradient is zero"}}
            if unit not in failed:
                variants = {
                    name: {
                        "key": f"{slug}-{unit}-{name}",
                        "value": round(40 * math.sin(unit + place) ** 2 * (-1 if name == "minus" else 1), 4),
                        "file": _picture(root, slug, unit, name, side, place),
                        "command": f"dreamopt render -t 'channel(\"{layer['name']}\", {unit})' --seed {unit} -o {unit}.png",
                    }
                    for name in ("0", "1", "minus")[: 3 if layer["units"] < 200 else 1]
                }
            _json(records / "image" / slug / f"{unit}.json", {"format": 1, "unit": unit, "variants": variants})
    others = [one for one in described if one is not layer]
    makers = {
        "survey": lambda unit: _survey(root, slug, unit, unit in dead, side, place),
        "circuit": lambda unit: _circuit(others, unit),
        "logits": lambda unit: _logits(described[-1], unit),
        "neighbours": lambda unit: {"nearest": [{"unit": (unit + 7 * k) % layer["units"], "cosine": 0.9**k} for k in range(1, 7)]},
        "tuning": _tuning,
    }
    for piece, make in makers.items():
        if piece in pieces:
            units: dict[str, Any] = {str(unit): {"key": f"{unit}"} | make(unit) for unit in range(count)}
            if piece == "tuning" and count > 2:
                units["2"] = {"key": "2", "failed": HOSTILE}
            _json(records / piece / f"{slug}.json", {"format": 1, "piece": piece, "layer": layer["name"], "units": units})
    if "activation_atlas" in pieces and 0 < place < 3:
        atlases = {name: _atlas(root, slug, name, place) for name in ("all", "class-3", "compare-3-7")}
        _json(records / "activation_atlas" / f"{slug}.json", {"format": 1, "key": "k", "atlases": atlases})


def _picture(root: Path, slug: str, unit: int, name: str, side: int, place: int) -> str:
    path = f"images/{slug}/{unit}{'' if name == '0' else '-' + name}.png"
    original = root / f"images/{slug}/{unit % 24}{'' if name == '0' else '-' + name}.png"
    if not (root / path).exists():
        if original == root / path or not original.exists():
            _png(root / path, side, unit + 31 * place + (1000 if name == "minus" else 77 * len(name) if name != "0" else 0))
        else:
            (root / path).hardlink_to(original)
    return path


def _png(path: Path, side: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.stack(
        [
            sum(np.sin(2 * np.pi * (random.normal(0, 4) * x + random.normal(0, 4) * y) + random.uniform(0, 6)) for _ in range(4))
            for _ in range(3)
        ],
        axis=2,
    )
    mixed = waves @ (np.eye(3) * 0.6 + random.normal(0, 0.35, (3, 3)))
    Image.fromarray(np.uint8(255 / (1 + np.exp(-mixed)))).save(path)


def _crop(root: Path, slug: str, unit: int, what: str, side: int, seed: int) -> str:
    path = f"crops/{slug}/{unit % 24}-{what}.png"
    if not (root / path).exists():
        _png(root / path, side // 2, seed)
    return path


def _survey(root: Path, slug: str, unit: int, dead: bool, side: int, place: int) -> dict[str, Any]:
    edges = [round(0.5 * i, 3) for i in range(25)]
    counts = [0] * 24
    counts[0] = 12000
    if not dead:
        counts = [int(12000 * math.exp(-i / (2 + unit % 5))) for i in range(24)]
    crops = [
        {
            "image": f"{HOSTILE}-{k}.jpg" if k == 1 else f"birds/{unit}-{k}.jpg",
            "box": [0, 0, side // 2, side // 2],
            "value": 12.0 - k,
            "file": _crop(root, slug, unit, f"top-{k}", side, unit % 24 + 50 * k),
        }
        for k in range(0 if dead else 5)
    ]
    return {
        "count": sum(counts),
        "zeros": 1.0 if dead else round(0.2 + 0.03 * (unit % 20), 3),
        "state": "dead" if dead else "always on" if unit == 7 else "active",
        "mean": 0.4,
        "min": 0.0,
        "max": 11.9,
        "histogram": {"edges": edges, "counts": counts},
        "top": crops,
        "quantiles": [{"quantile": q} | crop for q, crop in zip((0.99, 0.9, 0.75, 0.5), crops, strict=False)],
    }  # fmt: skip


def _circuit(others: list[dict[str, Any]], unit: int) -> dict[str, Any]:
    random = np.random.default_rng(unit)

    def some(many: int) -> list[dict[str, Any]]:
        found = []
        for k in range(many):
            other = others[k % len(others)]
            kernel = random.normal(size=(3, 5)).round(3).tolist() if k % 2 == 0 else None
            one = {
                "layer": other["name"],
                "slug": other["slug"],
                "unit": (unit + k) % other["units"],
                "strength": (-1) ** k * 3.0 / (k + 1),
            }
            found.append(one | ({"kernel": kernel} if kernel else {}))
        return found

    return {
        "incoming": some(5),
        "outgoing": [*some(3), {"layer": HOSTILE, "slug": "../../etc", "unit": 1, "strength": 0.5}],
        "family": "reads three layers",
    }


def _logits(classes: dict[str, Any], unit: int) -> dict[str, Any]:
    rows = [
        {"class": k, "label": classes["labels"][k] if classes["labels"] else None, "effect": 2.0 / (k + 1)}
        for k in range(min(5, classes["units"]))
    ]
    return {"classes": classes["name"], "top": rows, "bottom": [row | {"effect": -row["effect"] / 2} for row in rows]}


def _tuning(unit: int) -> dict[str, Any]:
    angles = [7.5 * i for i in range(24)]
    hues = [15.0 * i for i in range(24)]
    response = [max(0.0, math.cos(math.radians(2 * (a - 11 * unit)))) ** 3 * 5 for a in angles]
    colours = [
        f"#{int(127 + 120 * math.cos(math.radians(h))):02x}{int(127 + 120 * math.cos(math.radians(h - 120))):02x}{int(127 + 120 * math.cos(math.radians(h - 240))):02x}"
        for h in hues
    ]
    return {
        "curves": [
            {"kind": "orientation", "unit": "degrees", "at": angles, "response": response, "best": (11 * unit) % 180, "selectivity": 0.62},
            {
                "kind": "frequency",
                "unit": "cycles per receptive field",
                "at": [1, 2, 3, 4, 6, 8],
                "response": [0.2, 1.5, 3.1, 2.2, 0.7, 0.1],
                "best": 3,
                "selectivity": 0.4,
            },
            {
                "kind": "colour",
                "unit": "degrees of hue",
                "at": hues,
                "response": [1 + math.cos(math.radians(h - 40 * unit)) for h in hues],
                "best": (40 * unit) % 360,
                "selectivity": 0.3,
                "colours": colours,
            },
        ]
    }


def _atlas(root: Path, slug: str, name: str, place: int) -> dict[str, Any]:
    rows, columns = 5, 7
    cells = []
    for row in range(rows):
        for column in range(columns):
            if (row + 2 * column) % 5 == 0:
                continue
            file = f"icons/{slug}/{name}-{row}-{column}.png"
            if not (root / file).exists():
                _png(root / file, 40, 900 * place + 30 * row + column)
            support = [{"class": k, "label": f"class of {HOSTILE}" if k == 1 else f"class {k}", "effect": 2.5 - k} for k in range(3)]
            cells.append({"row": row, "col": column, "count": 10 + row * column, "file": file, "label": f"class {row}", "support": support})
    return {"grid": [rows, columns], "count": 4321, "cells": cells, "classes": [3, 7]}


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
