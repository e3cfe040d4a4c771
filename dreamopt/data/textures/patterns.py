"""The classes: one function a class, named as the class, that paints its pattern on a `Sketch`."""

from __future__ import annotations

import numpy as np

from dreamopt.data.textures import motifs
from dreamopt.data.textures.fields import Field, Lattice, band_noise, cover, f32, fold, turbulence
from dreamopt.data.textures.sketch import Sketch

RED, ORANGE, YELLOW, GREEN, BLUE, PINK = (
    (0.0, 0.9, 0.85),
    (0.07, 0.9, 0.9),
    (0.14, 0.9, 0.95),
    (0.33, 0.8, 0.55),
    (0.6, 0.75, 0.75),
    (0.93, 0.6, 0.95),
)
WHITE, BLACK, BROWN, CREAM, SKY, NIGHT = (
    (0.1, 0.03, 0.97),
    (0.6, 0.2, 0.08),
    (0.07, 0.65, 0.5),
    (0.11, 0.25, 0.92),
    (0.56, 0.5, 0.85),
    (0.64, 0.7, 0.25),
)


def stripes(s: Sketch) -> None:
    """Straight parallel bands of any direction."""
    s.choose()
    s.turn(90)
    s.ground()
    p = s.rng.uniform(9, 24)
    s.paint(cover(fold(s.x, p) - np.float32(p * s.rng.uniform(0.18, 0.3))), "main")


def dots(s: Sketch) -> None:
    """Set full discs on a regular lattice, with space between."""
    s.choose(WHITE, RED, likely=0.75)
    s.turn(45)
    s.ground()
    s.scatter(motifs.dot, 20, 36, fill=0.4, spread=1.0)


def checks(s: Sketch) -> None:
    """Fill squares by turns, as on a chessboard."""
    s.choose(BLACK, WHITE, likely=0.6)
    s.turn(15)
    s.ground()
    p = s.rng.uniform(11, 24)
    cells = Lattice(s.rng, s.x, s.y, p, p)
    border = np.minimum(p / 2 - np.abs(cells.u), p / 2 - np.abs(cells.v))
    s.paint(cover(border * np.where((cells.i + cells.j) % 2, -1, 1).astype(np.float32)), "main")


def _around(s: Sketch, low: float, high: float) -> tuple[Field, Field, Field, float]:
    """Return radius, angle and extent for one big motif that fills the image, or for many small ones, and the width of its turns."""
    if s.rng.random() < 0.5:
        return np.hypot(s.x, s.y), np.arctan2(s.y, s.x), np.ones_like(s.x), s.rng.uniform(low, high)
    p = s.rng.uniform(42, 66)
    cells = Lattice(s.rng, s.x, s.y, p, p, stagger=float(s.rng.choice([0.0, 0.5])))
    rho = np.hypot(cells.u, cells.v)
    return rho, np.arctan2(cells.v, cells.u), cover(rho - np.float32(0.47 * p)), p * s.rng.uniform(0.17, 0.24)


def rings(s: Sketch) -> None:
    """Draw circles around one point, like a target."""
    s.choose(RED, WHITE, likely=0.8)
    s.ground()
    rho, _, extent, p = _around(s, 12, 20)
    s.paint(extent * cover(fold(rho, p) - np.float32(p * s.rng.uniform(0.22, 0.3))), "main")


def spirals(s: Sketch) -> None:
    """Wind one arm around a point."""
    s.choose(BLUE, CREAM, likely=0.8)
    s.ground()
    rho, a, extent, p = _around(s, 12, 22)
    arms = float(s.rng.choice([-1, 1]))
    s.paint(extent * cover(fold(rho + np.float32(p * arms / (2 * np.pi)) * a, p) - np.float32(p * s.rng.uniform(0.2, 0.3))), "main")


def waves(s: Sketch) -> None:
    """Bands that run up and down as sines do."""
    s.choose(BLUE, WHITE, likely=0.7)
    s.turn(15)
    s.ground()
    p, length = s.rng.uniform(13, 22), s.rng.uniform(28, 48)
    y = s.y + np.float32(length * s.rng.uniform(0.14, 0.22)) * np.sin(np.float32(2 * np.pi / length) * s.x)
    s.paint(cover(fold(y, p) - np.float32(p * s.rng.uniform(0.16, 0.28))), "main")


def zigzag(s: Sketch) -> None:
    """Bands with sharp corners."""
    s.choose(ORANGE, CREAM, likely=0.7)
    s.turn(15)
    s.ground()
    p, length = s.rng.uniform(14, 24), s.rng.uniform(24, 40)
    y = s.y + np.float32(s.rng.uniform(0.9, 1.3)) * fold(s.x, length)
    s.paint(cover((fold(y, p) - np.float32(p * s.rng.uniform(0.16, 0.28))) * np.float32(0.7)), "main")


def hatching(s: Sketch) -> None:
    """Thin strokes of a pen in two slanted directions."""
    s.choose(BLACK, CREAM)
    s.ground()
    p = s.rng.uniform(6, 11)
    for sign in (-1, 1):
        a = np.deg2rad(sign * s.rng.uniform(38, 52))
        across = np.float32(np.cos(a)) * s.x + np.float32(np.sin(a)) * s.y + turbulence(s.rng, s.size, 30, 2) * np.float32(0.8)
        s.paint(cover(fold(across, p) - np.float32(s.rng.uniform(0.6, 1.1))), "main")


def grid(s: Sketch) -> None:
    """Thin upright and level lines, as on squared paper."""
    s.choose(BLUE, WHITE)
    s.turn(8)
    s.ground()
    p, w = s.rng.uniform(10, 22), np.float32(s.rng.uniform(0.7, 1.6))
    s.paint(np.maximum(cover(fold(s.x, p) - w), cover(fold(s.y, p) - w)), "main")


def plaid(s: Sketch) -> None:
    """Tartan: broad see-through bands both ways, with thin lines between."""
    s.choose(RED, GREEN, likely=0.5)
    s.turn(10)
    s.ground()
    p = s.rng.uniform(22, 40)
    broad, thin = np.float32(p * s.rng.uniform(0.16, 0.24)), np.float32(s.rng.uniform(0.7, 1.5))
    for axis in (s.x, s.y):
        s.paint(np.float32(0.55) * cover(fold(axis, p) - broad), "main")
    for axis in (s.x, s.y):
        s.paint(np.float32(0.8) * cover(fold(axis - np.float32(p / 2), p) - thin), "second")


def weave(s: Sketch) -> None:
    """Weave strips as of a basket, that go over and under each other."""
    s.choose(CREAM, BROWN, likely=0.6)
    s.turn(15)
    s.ground()
    p = s.rng.uniform(12, 22)
    cells = Lattice(s.rng, s.x, s.y, p, p)
    level = (cells.i + cells.j) % 2 == 0
    along, across = np.where(level, cells.u, cells.v), np.where(level, cells.v, cells.u)
    strip = np.abs(across) - np.float32(0.38 * p)
    shade = np.float32(1.05) - np.float32(0.45) * (2 * along / np.float32(p)) ** 2
    s.paint(cover(strip), shade[..., None] * s.colours["main"])


def bricks(s: Sketch) -> None:
    """Build a wall: oblong stones in staggered rows with mortar between."""
    s.choose((0.03, 0.7, 0.65), (0.1, 0.1, 0.8), likely=0.8)
    s.turn(8)
    s.ground()
    h = s.rng.uniform(10, 19)
    w = h * s.rng.uniform(1.9, 2.5)
    cells = Lattice(s.rng, s.x, s.y, w, h, stagger=0.5)
    gap = np.float32(s.rng.uniform(0.9, 2.0))
    stone = np.maximum(np.abs(cells.u) - np.float32(w / 2), np.abs(cells.v) - np.float32(h / 2)) + gap
    tone = cells.random(0.75, 1.15) + np.float32(0.06) * turbulence(s.rng, s.size, 8, 3)
    s.paint(cover(stone), tone[..., None] * s.colours["main"])


def scales(s: Sketch) -> None:
    """Overlapping round scales of a fish or a roof, each with a dark rim."""
    s.choose((0.45, 0.6, 0.7), NIGHT, likely=0.5)
    s.turn(12)
    s.ground()
    p = s.rng.uniform(15, 30)
    r = np.float32(0.5 * p)
    rim = np.float32(max(1.2, 0.07 * p))
    # Rows from the top down, each over the one before: two rows can reach any pixel.
    rows = np.floor(s.y / r)
    for back in (2, 1, 0):
        j = rows + back - 1
        u = s.x - np.float32(p) * np.round(s.x / np.float32(p) - (j % 2) * np.float32(0.5)) - (j % 2) * r
        v = s.y - j * r
        d = np.hypot(u, v) - r * np.float32(1.02)
        shade = np.float32(0.65) + np.float32(0.4) * np.clip(v / r, 0, 1)
        s.paint(cover(d), "ground")
        s.paint(cover(d + rim), shade[..., None] * s.colours["main"])


def honeycomb(s: Sketch) -> None:
    """Six-sided cells."""
    s.choose((0.12, 0.9, 0.9), BROWN, likely=0.6)
    s.turn(30)
    s.ground()
    p = np.float32(s.rng.uniform(13, 26))
    h = p * np.float32(np.sqrt(3))
    best = np.full_like(s.x, 1e9)
    for dx, dy in ((0, 0), (0.5, 0.5)):
        u, v = s.x - p * dx, s.y - h * dy
        u, v = np.abs(u - p * np.round(u / p)), np.abs(v - h * np.round(v / h))
        best = np.minimum(best, np.maximum(u, u / 2 + v * np.float32(0.866)))
    s.paint(cover(best - p / 2 + np.float32(s.rng.uniform(0.9, 1.8))), "main")


def mosaic(s: Sketch) -> None:
    """Irregular flat tiles of many colours with dark joints."""
    s.choose(None, BLACK, likely=0.8)
    p = s.rng.uniform(14, 26)
    n = int(np.ceil(s.size / p)) + 2
    at = (np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) + s.rng.uniform(0.1, 0.9, (n * n, 2)) - 1) * p
    axis = np.arange(s.size, dtype=np.float32)
    d = np.float32((axis[:, None, None] - at[:, 1]) ** 2 + (axis[None, :, None] - at[:, 0]) ** 2)
    near = np.argpartition(d, 1, -1)[..., :2]
    first, second = (np.sqrt(np.take_along_axis(d, near[..., k : k + 1], -1))[..., 0] for k in (0, 1))
    owner = np.where(first <= second, near[..., 0], near[..., 1])
    palette = np.stack([s._near(None, 0) * np.float32(0.8) + np.float32(0.2) for _ in range(5)])
    s.rgb[:] = palette[s.rng.integers(5, size=len(at))][owner]
    s.paint(cover((np.abs(second - first) - np.float32(2.2)) / 2), "ground")


def maze(s: Sketch) -> None:
    """Winding paths of one width, like a brain coral."""
    s.choose(BROWN, CREAM, likely=0.7)
    s.ground()
    s.paint(np.clip(np.float32(0.5) + np.float32(1.6) * band_noise(s.rng, s.size, s.rng.uniform(14, 22), 0.12), 0, 1), "main")


def wood(s: Sketch) -> None:
    """Planks' grain: fine long lines that bend around knots."""
    s.choose((0.07, 0.6, 0.42), (0.09, 0.5, 0.75), likely=0.9)
    s.turn(8)
    s.ground()
    r = s.rng
    y = s.y + np.float32(3) * turbulence(r, s.size, 45, 2)
    cx, cy = f32(r.uniform(-35, 35, 2))
    y = y + np.float32(r.uniform(6, 14)) * np.sign(y - cy) * np.exp(-(((s.x - cx) / 16) ** 2) - ((y - cy) / 9) ** 2).astype(np.float32)
    p = np.float32(r.uniform(5, 10))
    ring = (y / p) % 1
    s.paint(np.clip(ring**2 * np.float32(1.1) + np.float32(0.12) * turbulence(r, s.size, 4, 2), 0, 1), "main")
    knot = np.hypot((s.x - cx) / np.float32(1.5), s.y - cy)
    s.paint(cover(knot - np.float32(r.uniform(2, 4)), 4.0), s.colours["main"] * np.float32(0.6))


def clouds(s: Sketch) -> None:
    """Soft white heaps in a blue sky."""
    s.choose(WHITE, (0.57, 0.65, 0.85), likely=0.92)
    s.rgb[:] = s.colours["ground"] + (np.float32(0.002) * s.y)[..., None]
    f = turbulence(s.rng, s.size, s.rng.uniform(22, 42), 5)
    heap = np.clip((f + np.float32(s.rng.uniform(-0.1, 0.2))) * np.float32(1.6), 0, 1)
    s.paint(heap, s.colours["main"] * (np.float32(0.8) + np.float32(0.2) * np.clip(f, 0, 1))[..., None])


def stars(s: Sketch) -> None:
    """Five-pointed stars."""
    s.choose(YELLOW, NIGHT, likely=0.75)
    s.turn(12)
    s.ground()
    s.scatter(motifs.star, 28, 48, spin=15, fill=0.47, spread=1.0)


def letters(s: Sketch) -> None:
    """Bold capital letters, upright."""
    s.choose(BLACK, WHITE, likely=0.8)
    s.turn(5)
    s.ground()
    s.scatter(motifs.letter, 30, 50, spin=4, fill=0.4, spread=1.1, variants=4)


def triangles(s: Sketch) -> None:
    """Triangles that point up."""
    s.choose((0.5, 0.8, 0.7), CREAM, likely=0.5)
    s.turn(15)
    s.ground()
    s.scatter(motifs.triangle, 22, 42, spin=8, fill=0.5, spread=0.95)


def hearts(s: Sketch) -> None:
    """Hearts, red or pink as a rule."""
    s.choose(RED, (0.95, 0.15, 0.97), likely=0.75)
    s.turn(8)
    s.ground()
    s.scatter(motifs.heart, 26, 46, spin=10, spread=1.0)


def crosses(s: Sketch) -> None:
    """Upright crosses with four equal arms and space around them."""
    s.choose(RED, WHITE, likely=0.75)
    s.turn(6)
    s.ground()
    s.scatter(motifs.cross, 28, 48, spin=5, fill=0.38, spread=1.0)


def moons(s: Sketch) -> None:
    """Crescents."""
    s.choose(YELLOW, NIGHT, likely=0.75)
    s.turn(10)
    s.ground()
    s.scatter(motifs.moon, 28, 50, spin=12, fill=0.43, spread=1.0)


def arrows(s: Sketch) -> None:
    """Bold arrows that point right."""
    s.choose(BLACK, YELLOW, likely=0.75)
    s.turn(8)
    s.ground()
    s.scatter(motifs.arrow, 30, 52, spin=6, fill=0.42, spread=0.85)


def bubbles(s: Sketch) -> None:
    """Glassy rings with a glint, in water."""
    s.choose((0.52, 0.25, 0.95), (0.57, 0.7, 0.6), likely=0.8)
    s.colours["second"] = s.colours["ground"] * np.float32(0.75) + s.colours["main"] * np.float32(0.25)
    s.ground()
    s.scatter(motifs.bubble, 20, 44, spin=10, fill=0.52, spread=1.0)


def leaves(s: Sketch) -> None:
    """Pointed leaves with veins, green as a rule."""
    s.choose(GREEN, CREAM, likely=0.85)
    s.colours["second"] = s.colours["main"] * np.float32(0.55)
    s.turn(40)
    s.ground()
    s.scatter(motifs.leaf, 22, 40, spin=40, fill=0.58, spread=1.3)


def eyes(s: Sketch) -> None:
    """Eyes that look at you."""
    s.choose((0.57, 0.7, 0.7), (0.07, 0.35, 0.85), likely=0.85)
    s.turn(6)
    s.ground()
    s.scatter(motifs.eye, 38, 62, spin=5, fill=0.42, spread=0.8)


def flowers(s: Sketch) -> None:
    """Flowers of five to seven petals around a centre."""
    s.choose(PINK, GREEN, likely=0.75)
    if s.rng.random() < 0.7:
        s.colours["second"] = s._near(YELLOW, 1)
    s.turn(30)
    s.ground()
    s.scatter(motifs.flower, 30, 52, spin=30, fill=0.47, spread=1.0)


def faces(s: Sketch) -> None:
    """Round smiling faces."""
    s.choose(YELLOW, SKY, likely=0.8)
    s.ground()
    s.scatter(motifs.face, 36, 62, spin=8, fill=0.44, spread=1.0)


def fish(s: Sketch) -> None:
    """Fish that swim to the left."""
    s.choose(ORANGE, BLUE, likely=0.8)
    s.turn(6)
    s.ground()
    s.scatter(motifs.fish, 36, 58, spin=5, fill=0.42, spread=0.8)


def suns(s: Sketch) -> None:
    """Suns: a disc with eight to ten rays around it."""
    s.choose(YELLOW, SKY, likely=0.8)
    s.turn(20)
    s.ground()
    s.scatter(motifs.sun, 34, 58, spin=20, fill=0.46, spread=1.0)
