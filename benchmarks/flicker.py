"""How much dreamed films flicker: frames by themselves, blended with the dream before, and with dreams carried along by optical flow.

    python -m benchmarks.flicker --net deploy.prototxt --weights squeezenet.caffemodel -t fire8/concat --size 320x240 --frames 24

Frames by themselves are dreamed at the step size at which they are as strong as the carried ones (within 3 %); those that are blended with
the dream before at the published one, for their trails alone can be stronger. The film is one of a camera that pans and zooms over a
photograph while a disc with another photograph moves across, with grain.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

import dreamopt
from dreamopt.film.carried import Carried
from dreamopt.film.flicker import FlickerReport, measure_flicker
from dreamopt.film.temporal import Apart, BlendPrevious
from dreamopt.image.writing import write_image
from tests.support.films import Frame, dreamed, moving_film


def sharpness(film: list[Frame], dreams: list[Frame]) -> float:
    """Return how much of what was dreamed in the last frames is fine: the variance of its Laplacian over its own."""
    values = []
    for frame, dream in zip(film[-5:], dreams[-5:], strict=True):
        added = (dream.astype(float) - frame).mean(-1)
        values.append(ndimage.laplace(added).var() / added.var())
    return float(np.mean(values))


def row(name: str, film: list[Frame], dreams: list[Frame], seconds: float) -> FlickerReport:
    report = measure_flicker(film, dreams)
    level = report.strengths[-1] / report.strengths[0]
    numbers = f"{report.strength:.2f} | {level:.2f} | {report.warping_error:.1f} | {report.excess:.1f} | {sharpness(film, dreams):.2f}"
    print(f"| {name} | {numbers} | {seconds / len(film):.2f} |", flush=True)
    return report


def equally_strong(
    network: dreamopt.Network, film: list[Frame], target: str, strength: float, **settings: Any
) -> tuple[list[Frame], float]:
    """Return dreams of frames by themselves, of a strength within 3 %, and how long they took, without the attempts."""
    size = 1.5
    for _ in range(8):
        begun = time.perf_counter()
        dreams = dreamed(network, film, target, Apart(), step_size=size, **settings)
        seconds = time.perf_counter() - begun
        reached = float(np.mean([np.abs(dream.astype(int) - frame).mean() for dream, frame in zip(dreams, film, strict=True)]))
        if abs(reached / strength - 1) <= 0.03:
            return dreams, seconds
        size *= strength / reached
    raise SystemExit(f"no step size gives a strength of {strength:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net")
    parser.add_argument("--weights")
    parser.add_argument("-t", "--target", default="mixed4")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--octaves", type=int, default=4)
    parser.add_argument("--grain", type=float, default=4.0)
    parser.add_argument("--shares", default="0.8", help="of the dream that are carried, with commas")
    parser.add_argument("-o", "--out", help="a folder for the frames and a contact sheet")
    options = parser.parse_args()
    network = dreamopt.load_net(*((options.net, options.weights) if options.net else ()), device="cpu")
    width, height = map(int, options.size.split("x"))
    film = list(moving_film(options.frames, (height, width), grain=options.grain))
    how = {"steps": options.steps, "octaves": options.octaves}
    print(f"input film: warping error {measure_flicker(film, film).warping_error:.1f}")
    print(
        "| | strength | last / first frame's | warping error | above the input's | sharpness | s a frame |\n|---|---|---|---|---|---|---|"
    )
    shown: dict[str, list[Frame]] = {"film": film}
    strength = 0.0
    for share in map(float, options.shares.split(",")):
        begun = time.perf_counter()
        dreams = dreamed(network, film, options.target, Carried(share), **how)
        name = f"carried {share}"
        report = row(name, film, dreams, time.perf_counter() - begun)
        strength, shown[name] = strength or report.strength, dreams
    shown["apart"], seconds = equally_strong(network, film, options.target, strength, **how)
    row("apart", film, shown["apart"], seconds)
    begun = time.perf_counter()
    shown["blend 0.5"] = dreamed(network, film, options.target, BlendPrevious(0.5), **how)
    row("blend 0.5", film, shown["blend 0.5"], time.perf_counter() - begun)
    if options.out:
        folder = Path(options.out)
        for name, frames in shown.items():
            for number, frame in enumerate(frames):
                write_image(folder / f"{name.replace(' ', '_')}-{number:03}.png", frame)
        middle = options.frames // 2
        write_image(folder / "sheet.png", np.vstack([np.hstack(frames[middle : middle + 4]) for frames in shown.values()]))


if __name__ == "__main__":
    main()
