"""How long an atlas of every unit of a large net takes on some GPUs: units, steps and multiply-adds are counted, rates are given.

``python -m benchmarks.scale [--gpus N] [--rate TFLOPS] [--steps N] [--added SHARE]``
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import dreamopt
from benchmarks.generated import resnet152, vgg19
from dreamopt.atlas.units import atlas_layers
from dreamopt.recipes.mixed import work_of

NETS = {"VGG-19": vgg19, "ResNet-152": resnet152}
PASSES = 2
"""A pass forward and one back to the image, without gradients of weights, each of as many multiply-adds."""
SECONDS = 30
"""Of a task."""


def units_and_work(text: str) -> tuple[int, int, float]:
    """Return a net's layers with units, their units, and multiply-adds of a forward pass to each unit's layer, added up."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text(text, encoding="ascii")
        net = dreamopt.load_net(str(path))
        layers = atlas_layers(net)
        return len(layers), sum(one.units for one in layers), sum(one.units * work_of(net, [one.name]) for one in layers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--rate", type=float, nargs="*", default=[5.0, 20.0], help="TFLOP/s that a GPU sustains; assumed, not measured")
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--added", type=float, default=0.3, help="what a step adds to the passes through the net, as a share of them")
    given = parser.parse_args(arguments)
    for name, make in NETS.items():
        layers, units, work = units_and_work(make())
        flops = 2 * PASSES * work * given.steps
        print(f"{name}: {layers} layers, {units} units, {work / units / 1e9:.1f} G multiply-adds to each, {flops / 1e18:.2f} EFLOP")
        for rate in given.rate:
            seconds = flops / (rate * 1e12) * (1 + given.added) / given.gpus
            tasks = max(1, round(seconds * given.gpus / SECONDS))
            print(
                f"  {rate:g} TFLOP/s: {seconds / 3600:.1f} hours on {given.gpus} GPUs, {tasks} tasks, {units / seconds * 3600:.0f} an hour"
            )


if __name__ == "__main__":
    main()
