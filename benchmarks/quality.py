"""How good images are, in numbers beside the eye: ``python -m benchmarks.quality`` compares presets on SqueezeNet.

Three measures of an image. **Held out**: the target's value under transforms that no recipe trains with (turns up to 8
degrees, sizes 0.9 to 1.1, shifts up to 6 pixels, a slight blur), so that only what is really there counts; as a part of the
highest that any recipe reached for the target. **Variation**: the mean difference of neighbours in grey levels, 10 to 20 for
photographs, more for noise. **Spectrum**: how far the logarithm of the strength of frequencies, ring by ring, is from that of
scikit-image's photographs; 0 has their mixture of coarse and fine, 1 is a factor of e on average.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import dreamopt
from benchmarks.cases import shared
from dreamopt.image.files import covering, write_image
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.image.spectrum import magnitudes
from dreamopt.image.transform import parse_transforms
from dreamopt.parts.streams import Stream
from dreamopt.recipes.preset import presets, resolve_settings
from dreamopt.recipes.targets import expand

UNITS = ("fire3/concat:40", "fire5/concat:64", "fire7/concat:20", "fire8/concat:101", "pool_final:flamingo", "pool_final:zebra")
HELD_OUT = ("rotate(between=(-8, 8))", "scale(between=(0.9, 1.1))", "translate(-6, 6)", "blur(between=(0.4, 0.8))")
VIEWS = 16


def held_out(network: dreamopt.Network, target: str, picture: NDArray[np.uint8]) -> float:
    """Return the target's mean value over transforms that no recipe trains with."""
    image = network.from_rgb(picture[..., :3]).expand(VIEWS, -1, -1, -1)
    for place, transform in enumerate(one for text in HELD_OUT for one in parse_transforms(text)):
        image = transform(image, [Stream(12345, view).fold_in(0, 0, place) for view in range(VIEWS)])
    objective = expand(network, target, tuple(picture.shape[:2]))[0].objective
    with torch.no_grad():
        return float(objective(network.activations(image, objective.layers)).mean())


def variation(picture: NDArray[np.uint8]) -> float:
    """Return the mean difference of neighbours, grey levels."""
    whole = picture[..., :3].astype(float)
    return float((np.abs(np.diff(whole, axis=0)).mean() + np.abs(np.diff(whole, axis=1)).mean()) / 2)


def spectrum(picture: NDArray[np.uint8]) -> float:
    """Return the distance of the log strengths of frequencies from photographs', ring by ring, whatever the contrast."""
    height, width = picture.shape[:2]
    grey = picture[..., :3].astype(float).mean(2)
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    strength = np.abs(np.fft.rfft2((grey - grey.mean()) * window))
    natural = magnitudes(None, 1, (height, width), None)[0].numpy()
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    edges = np.geomspace(2 / min(height, width), 0.5, 17)
    rings = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges)]
    gaps = np.array([np.log(strength[r].mean() + 1e-9) - np.log(natural[r].mean()) for r in rings if r.any()])
    return float(np.sqrt(np.mean((gaps - gaps.mean()) ** 2)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Render targets under presets and print the table; with ``-o`` write the sheet too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="*", help="names, each perhaps with changes: default;steps=128;tv.weight=1e-4")
    parser.add_argument("--targets", nargs="*", default=UNITS)
    parser.add_argument("-o", "--out", help="a contact sheet, a row for each preset")
    asked = parser.parse_args(arguments)
    folder = shared() / "models" / "squeezenet"
    network = dreamopt.load_net(folder / "deploy.prototxt", folder / "squeezenet.caffemodel", labels=folder / "labels.txt")
    names = asked.presets or [one.name for one in presets() if "needs" not in one.check]
    found = []
    for text in names:
        name, *changes = text.split(";")
        began = time.perf_counter()
        rendered = dreamopt.render(network, list(asked.targets), resolve_settings(name, {}, changes))
        found.append((text, rendered, time.perf_counter() - began))
        print(f"{text}: {found[-1][2]:.0f} s", file=sys.stderr)
    scores = np.array([[held_out(network, one.sample.text, one.image) for one in rendered] for _, rendered, _ in found])
    best = scores.max(0)
    print(f"{'preset':32} {'held out':>9} {'variation':>10} {'spectrum':>9} {'seconds':>8}")
    for (text, rendered, seconds), row in zip(found, scores, strict=True):
        measures = [np.mean([measure(one.image) for one in rendered]) for measure in (variation, spectrum)]
        print(f"{text:32} {np.mean(row / best):9.2f} {measures[0]:10.1f} {measures[1]:9.2f} {seconds:8.0f}")
        print("    " + " ".join(f"{value:.3g}" for value in row))
    if asked.out:
        size = min(one.image.shape[0] for _, rendered, _ in found for one in rendered)
        sections = [
            Section([_shown(one.image, size) for one in rendered], [one.sample.text for one in rendered], text)
            for text, rendered, _ in found
        ]
        write_image(Path(asked.out), contact_sheet(sections, columns=len(asked.targets)))


def _shown(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return covering(np.ascontiguousarray(picture[..., :3]), (size, size))


if __name__ == "__main__":
    main()
