"""Single shapes that fit the unit disc, as signed distances (negative inside) with the role of their colour.

``u`` points right, ``v`` down. A motif is a list of layers, painted in order: ``(distance, role)``, role being ``"main"``, ``"second"``,
``"dark"`` or ``"light"``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dreamopt.data.textures.fields import Field, f32

Layers = list[tuple[Field, str]]
Motif = Callable[[np.random.Generator, Field, Field], Layers]


def disc(u: Field, v: Field, x: float = 0.0, y: float = 0.0, r: float = 1.0) -> Field:
    """Return the signed distance to a disc."""
    return f32(np.hypot(u - np.float32(x), v - np.float32(y)) - np.float32(r))


def box(u: Field, v: Field, a: float, b: float) -> Field:
    """Return the signed distance to a rectangle of half sides a and b, nearly."""
    return np.maximum(np.abs(u) - np.float32(a), np.abs(v) - np.float32(b))


def segment(u: Field, v: Field, ends: tuple[float, float, float, float]) -> Field:
    """Return the distance to a straight line between two points."""
    ax, ay, bx, by = (np.float32(e) for e in ends)
    dx, dy = bx - ax, by - ay
    t = np.clip(((u - ax) * dx + (v - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(u - ax - t * dx, v - ay - t * dy)


def star(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a star of five points."""
    n, k = 5, rng.uniform(0.38, 0.5)
    rho, half = np.hypot(u, v), np.pi / n
    a = np.abs((np.arctan2(u, -v) + half) % (2 * half) - half)
    px, py = rho * np.cos(a), rho * np.sin(a)
    bx, by = k * np.cos(half), k * np.sin(half)
    length = np.hypot(1 - bx, by)
    return [(((px - 1) * by + py * (1 - bx)).astype(np.float32) / np.float32(length), "main")]


def heart(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a heart."""
    h = np.float32(0.78)
    square = (np.abs(u) + np.abs(v - np.float32(0.18)) - h) * np.float32(0.7071)
    lobes = np.hypot(np.abs(u) - h / 2, v - np.float32(0.18) + h / 2) - h * np.float32(0.7071)
    return [(np.minimum(square, lobes), "main")]


def cross(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a cross of four equal arms."""
    w = rng.uniform(0.24, 0.32)
    return [(np.minimum(box(u, v, 0.95, w), box(u, v, w, 0.95)), "main")]


def triangle(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a triangle that stands on a side."""
    return [(np.maximum(np.float32(0.866) * np.abs(u) - np.float32(0.5) * v - np.float32(0.5), v - np.float32(0.5)), "main")]


def leaf(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a pointed leaf with its vein."""
    a = np.float32(rng.uniform(0.45, 0.9))
    blade = np.hypot(np.abs(u) + a, v) - np.sqrt(1 + a * a)
    rib = np.abs(u) - np.float32(0.05)
    slant = v + np.float32(0.9) * np.abs(u)
    veins = np.abs(slant - np.float32(0.34) * np.round(slant / np.float32(0.34))) - np.float32(0.035)
    inside = blade + np.float32(0.1)
    return [(blade, "main"), (np.maximum(np.minimum(rib, veins), inside), "second")]


def eye(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw an eye: white, iris and pupil."""
    a = np.float32(rng.uniform(0.45, 0.65))
    lids = np.hypot(u, np.abs(v) + a) - np.sqrt(1 + a * a)
    iris = rng.uniform(0.36, 0.44)
    look = rng.uniform(-0.12, 0.12)
    within = lids + np.float32(0.08)
    return [
        (lids, "dark"),
        (within, "light"),
        (np.maximum(disc(u, v, look, 0, iris), within), "main"),
        (np.maximum(disc(u, v, look, 0, iris * 0.5), within), "dark"),
        (disc(u, v, look - 0.12, -0.12, 0.09), "light"),
    ]


def flower(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a flower of five to seven petals."""
    n = int(rng.integers(5, 8))
    half = np.pi / n
    a = (np.arctan2(u, -v) + half) % (2 * half) - half
    rho = np.hypot(u, v)
    r = np.float32(min(0.46, 0.98 * np.sin(half) * 0.62))
    px, py = (rho * np.cos(a)).astype(np.float32), (rho * np.sin(a)).astype(np.float32)
    petals = (np.hypot((px - np.float32(0.58)) / np.float32(0.42), py / r) - 1) * r
    return [(petals, "main"), (disc(u, v, r=0.27), "second")]


def moon(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a crescent."""
    return [(np.maximum(disc(u, v, r=0.95), -disc(u, v, rng.uniform(0.42, 0.52), 0, 0.8)), "main")]


def arrow(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw an arrow that points to the right."""
    w = rng.uniform(0.2, 0.26)
    shaft = box(u + np.float32(0.42), v, 0.53, w)
    head = np.maximum(np.float32(0.7071) * (np.abs(v) + u - 0.95), -u)
    return [(np.minimum(shaft, head), "main")]


def bubble(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a ring with a glint."""
    rim = disc(u, v, r=0.97)
    ring = np.abs(rim + np.float32(0.1)) - np.float32(0.09)
    glint = np.maximum(np.abs(np.hypot(u, v) - np.float32(0.62)) - np.float32(0.09), np.maximum(u + np.float32(0.12), v + np.float32(0.12)))
    return [(rim, "second"), (ring, "main"), (glint, "light")]


def face(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a round face that smiles."""
    x, r = rng.uniform(0.32, 0.4), rng.uniform(0.12, 0.16)
    smile = np.maximum(np.abs(np.hypot(u, v + np.float32(0.05)) - np.float32(0.58)) - np.float32(0.09), np.float32(0.18) - v)
    return [
        (disc(u, v, r=0.98), "dark"),
        (disc(u, v, r=0.88), "main"),
        (disc(u, v, -x, -0.28, r), "dark"),
        (disc(u, v, x, -0.28, r), "dark"),
        (smile, "dark"),
    ]


def fish(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a fish from the side."""
    body = np.hypot(u + np.float32(0.2), np.abs(v) + np.float32(0.45)) - np.float32(0.9)
    tail = np.maximum(np.abs(v) - np.float32(0.95) * (u - np.float32(0.33)), u - np.float32(0.95))
    fin = np.maximum(np.abs(u + np.float32(0.05)) - np.float32(0.03), np.abs(v) - np.float32(0.3))
    return [
        (np.minimum(body, tail), "main"),
        (fin, "second"),
        (disc(u, v, -0.58, -0.08, 0.17), "light"),
        (disc(u, v, -0.6, -0.08, 0.09), "dark"),
    ]


def sun(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a disc with rays."""
    half = np.pi / int(rng.integers(8, 11))
    a, rho = np.abs(np.arctan2(v, u) % (2 * half) - half), np.hypot(u, v)
    # Rays that taper from the disc's rim to a point at the unit circle.
    ray = np.maximum(rho * np.sin(a) - np.float32(0.3) * (1 - rho), np.float32(0.54) - rho)
    return [(np.minimum(rho - np.float32(0.42), f32(ray)), "main")]


def dot(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw a disc."""
    return [(disc(u, v, r=0.85), "main")]


_BOWL = [(-0.1, -0.9, 0.25, -0.85), (0.25, -0.85, 0.5, -0.65), (0.5, -0.65, 0.5, -0.3), (0.5, -0.3, 0.25, -0.05), (0.25, -0.05, -0.5, 0.0)]
_STEM = (-0.5, -0.9, -0.5, 0.9)
_STROKES: dict[str, list[tuple[float, float, float, float]]] = {
    "A": [(-0.65, 0.9, 0, -0.9), (0, -0.9, 0.65, 0.9), (-0.38, 0.25, 0.38, 0.25)],
    "B": [_STEM, (-0.5, -0.9, 0.3, -0.85), (0.3, -0.85, 0.48, -0.45), (0.48, -0.45, 0.25, -0.02), (-0.5, 0, 0.25, -0.02),
          (0.25, -0.02, 0.55, 0.4), (0.55, 0.4, 0.3, 0.87), (-0.5, 0.9, 0.3, 0.87)],
    "E": [_STEM, (-0.5, -0.9, 0.5, -0.9), (-0.5, 0, 0.35, 0), (-0.5, 0.9, 0.5, 0.9)],
    "K": [_STEM, (-0.5, 0.1, 0.5, -0.9), (-0.1, -0.25, 0.55, 0.9)],
    "R": [_STEM, (-0.5, -0.9, -0.1, -0.9), *_BOWL, (0.05, 0, 0.55, 0.9)],
}  # fmt: skip


def letter(rng: np.random.Generator, u: Field, v: Field) -> Layers:
    """Draw the strokes of a capital letter."""
    strokes = _STROKES[list(_STROKES)[int(rng.integers(len(_STROKES)))]]
    near = segment(u, v, strokes[0])
    for ends in strokes[1:]:
        near = np.minimum(near, segment(u, v, ends))
    return [(near - np.float32(rng.uniform(0.2, 0.26)), "main")]
