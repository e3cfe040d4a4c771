"""An image in the making: coordinates, two or three colours, a background, and layers of paint."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from dreamopt.data.textures import photos
from dreamopt.data.textures.fields import Field, Lattice, blur, cover, f32, turbulence, wander
from dreamopt.data.textures.motifs import Motif

Colour = tuple[float, float, float]  # hue, saturation, value, each 0..1


class Sketch:
    """The canvas that one pattern paints on.

    Parameters
    ----------
    rng : numpy.random.Generator
        The image's own random stream.
    size : int
        Side in pixels.
    held_out : bool
        Whether photographs are taken from the part that training never sees.

    Attributes
    ----------
    x, y : (size, size) float32
        Coordinates in pixels from a random origin near the centre; ``turn`` rotates them.
    rgb : (size, size, 3) float32
        The image, 0..1.
    """

    def __init__(self, rng: np.random.Generator, size: int, held_out: bool) -> None:
        self.rng, self.size, self.held_out = rng, size, held_out
        axis = np.arange(size, dtype=np.float32) - np.float32(size / 2)
        shift = rng.uniform(-20, 20, 2).astype(np.float32)
        self.x = np.broadcast_to(axis + shift[0], (size, size))
        self.y = np.broadcast_to((axis + shift[1])[:, None], (size, size))
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.colours: dict[str, Field] = {}

    def turn(self, degrees: float) -> None:
        """Rotate the coordinates by up to ``degrees`` either way, and bend them a little now and then."""
        a = np.deg2rad(self.rng.uniform(-degrees, degrees))
        c, s = np.float32(np.cos(a)), np.float32(np.sin(a))
        self.x, self.y = c * self.x + s * self.y, c * self.y - s * self.x
        if self.rng.random() < 0.3:
            self.x = self.x + np.float32(self.rng.uniform(0.5, 2.5)) * wander(self.rng, self.size, 40)
            self.y = self.y + np.float32(self.rng.uniform(0.5, 2.5)) * wander(self.rng, self.size, 40)

    def choose(self, main: Colour | None = None, ground: Colour | None = None, *, likely: float = 0.65) -> None:
        """Draw the colours: near ``main`` on near ``ground`` with probability ``likely`` each, else any pair that contrasts."""
        for _ in range(50):
            back, front = self._near(ground, likely), self._near(main, likely)
            apart = back - front
            if abs(float(apart @ f32([0.3, 0.6, 0.1]))) > 0.22 or float(np.hypot.reduce(apart)) > 0.65:
                break
        self.colours = {
            "ground": back,
            "main": front,
            "second": self._second(back, front),
            "dark": f32(self.rng.uniform(0, 0.12, 3)),
            "light": f32(self.rng.uniform(0.88, 1, 3)),
        }

    def _near(self, colour: Colour | None, likely: float) -> Field:
        r = self.rng
        if colour is None or r.random() > likely:
            hsv = (r.random(), r.choice([r.uniform(0, 0.2), r.uniform(0.5, 1)]), r.uniform(0.05, 1))
        else:
            h, s, v = colour
            hsv = ((h + r.normal(0, 0.025)) % 1, np.clip(s + r.normal(0, 0.12), 0, 1), np.clip(v + r.normal(0, 0.1), 0, 1))
        return f32(colorsys.hsv_to_rgb(*hsv))

    def _second(self, back: Field, front: Field) -> Field:
        tries = [f32(colorsys.hsv_to_rgb(self.rng.random(), self.rng.uniform(0.3, 1), self.rng.uniform(0.2, 1))) for _ in range(4)]
        return max(tries, key=lambda c: float(min(np.abs(c - back).sum(), np.abs(c - front).sum())))

    def ground(self) -> None:
        """Fill the image with the ground colour: plain, shaded, cloudy, or with a faint photograph in it."""
        r, colour = self.rng, self.colours["ground"]
        self.rgb[:] = colour
        kind = r.random()
        if kind < 0.25:
            a, b = r.uniform(-0.25, 0.25, 2) / (self.size / 2)
            self.rgb += (np.float32(a) * self.x + np.float32(b) * self.y)[..., None]
        elif kind < 0.4:
            self.rgb += np.float32(r.uniform(0.03, 0.1)) * turbulence(r, self.size, 24)[..., None]
        elif kind < 0.55:
            photo = photos.crop(r, self.size, self.held_out)
            self.rgb += np.float32(r.uniform(0.1, 0.35)) * (photo - photo.mean((0, 1)))

    def paint(self, alpha: Field, colour: str | Field) -> None:
        """Lay a colour (a role, or an (H, W, 3) or (3,) array) over the image where ``alpha`` (H, W) is 1."""
        paint = self.colours[colour] if isinstance(colour, str) else colour
        self.rgb += alpha[..., None] * (paint - self.rgb)

    def scatter(
        self, motif: Motif, low: float, high: float, *, spin: float = 25.0, fill: float = 0.46, spread: float = 1.15, variants: int = 1
    ) -> None:
        """Paint a motif in every cell of a lattice.

        Parameters
        ----------
        motif : callable
            One of `dreamopt.data.textures.motifs`.
        low, high : float
            The cell's size in pixels is drawn between these.
        spin : float
            Each copy is turned by up to this many degrees.
        fill : float
            Largest radius of the motif in cells.
        spread : float
            Height of a cell over its width.
        variants : int
            How many different draws of the motif share the image.
        """
        r = self.rng
        p = r.uniform(low, high)
        cells = Lattice(r, self.x, self.y, p, p * spread, stagger=float(r.choice([0.0, 0.5])))
        radius = cells.random(fill * 0.82, fill) * np.float32(p)
        loose = np.float32(0.08 * p)
        u, v = (cells.u + loose * cells.random(-1, 1)) / radius, (cells.v + loose * cells.random(-1, 1)) / radius
        a = np.deg2rad(cells.random(-spin, spin))
        c, s = np.cos(a), np.sin(a)
        u, v = c * u + s * v, c * v - s * u
        which = cells.random(0, variants).astype(np.int32)
        shown = cells.random() > (0.12 if r.random() < 0.4 else 0.0)
        for k in range(variants):
            here = shown & (which == k) if variants > 1 else shown
            for distance, role in motif(r, u, v):
                self.paint(cover(distance * radius) * here, role)

    def finish(self) -> Field:
        """Shade, hide a part, blur and add noise; return (H, W, 3) uint8-valued float32 in 0..255."""
        r, rgb = self.rng, self.rgb
        if r.random() < 0.5:
            rgb = rgb * (1 + np.float32(r.uniform(0.05, 0.2)) * wander(r, self.size, 48))[..., None]
        if r.random() < 0.15:
            rgb = self._hide(rgb)
        if r.random() < 0.4:
            rgb = blur(rgb, r.uniform(0.3, 0.9))
        if r.random() < 0.5:
            gain = r.uniform(0.65, 1.0)
            rgb = rgb * np.float32(gain) + np.float32(r.uniform(0, 1 - gain))
        if r.random() < 0.5:
            rgb = rgb + np.float32(r.uniform(0.01, 0.05)) * r.standard_normal(rgb.shape, dtype=np.float32)
        return np.round(np.clip(rgb, 0, 1) * 255)

    def _hide(self, rgb: Field) -> Field:
        r = self.rng
        cx, cy = r.uniform(0, self.size, 2)
        a, b = r.uniform(0.15, 0.28, 2) * self.size
        axis = np.arange(self.size, dtype=np.float32)
        u, v = (axis - np.float32(cx))[None], (axis - np.float32(cy))[:, None]
        gap = (
            np.maximum(np.abs(u) - np.float32(a), np.abs(v) - np.float32(b))
            if r.random() < 0.5
            else np.float32(a) * (np.hypot(u / a, v / b) - 1)
        )
        over = photos.crop(r, self.size, self.held_out) if r.random() < 0.5 else f32(r.random(3))
        return rgb + cover(f32(gap))[..., None] * (over - rgb)


Pattern = Callable[[Sketch], None]
