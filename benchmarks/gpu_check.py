"""One call that says whether a device gives the CPU's numbers, and how fast it is.

``python -m benchmarks.gpu_check [--device cuda] [--json FILE] [--part NAME]``

For each net and batch size: the layer's value and the image's gradient on the device against those on the CPU, and the
median time of the engine's program, of its layers one by one, and of plain torch. Without the reference nets the
embedded net is used, so that a machine with nothing but the package can run it. ``--device cpu`` works too. Then every
objective, regularizer, parametrization, transform, optimizer and preset makes three steps on both (`benchmarks.gpu_parts`), and dreams
are compared: a still, a frame of a film and of a zoom, and a pass in tiles with the whole image's (`benchmarks.gpu_dreams`). Every
attribution method and backward rule makes its map on both (`benchmarks.gpu_attributions`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import BATCHES, Array, Case, error, existing, load, random_image, seed_like
from benchmarks.contestants import Step, engine, layers, plain
from benchmarks.gpu_attributions import check_attributions
from benchmarks.gpu_dreams import check_dreams
from benchmarks.gpu_parts import check_parts

_WORST_VALUE = 1e-4
_WORST_TILES = 1e-5
_WORST_MAP = 0.02  # of a map's length: a kink or a tie of max pooling may fall to the other side
_FARTHEST = 2.0  # grey levels after three steps: a kink may fall to the other side
_TINY = Case("tiny", str(Path(__file__).resolve().parents[1] / "dreamopt/data/tiny.prototxt"), "")


def check(case: Case, batch: int, device: str, rounds: int) -> dict[str, Any]:
    """Compare and time one net at one batch size."""
    x = random_image(load(case), batch)
    here = engine(case)
    seed = seed_like(here(x, None)[0].shape)
    value, gradient = here(x, seed)
    assert gradient is not None
    found: dict[str, Any] = {"net": case.name, "layer": case.layer, "batch": batch}
    for name, make in {"engine": engine, "layers": layers, "torch": plain}.items():
        step = make(case, device)
        y, g = step(x, seed)
        assert g is not None
        found[name] = {
            "ms": _median(step, x, seed, rounds),
            "value_error": error(y, value),
            "gradient_error": error(g, gradient),
        }
    return found


def _median(step: Step, x: Array, seed: Array, rounds: int) -> float:
    """Return milliseconds; each run ends with numpy arrays on the host, so nothing is left running on the device."""
    times = []
    for i in range(rounds + 3):
        start = time.perf_counter()
        step(x, seed)
        if i >= 3:
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", help="only the parts and presets whose examples hold this name, and no nets")
    args = parser.parse_args()
    # TensorFloat-32 keeps 10 bits of the mantissa: not Caffe's numbers.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    cases = [] if args.part else existing() or [_TINY._replace(layer=_last_convolution())]
    results = [check(case, batch, args.device, args.rounds) for case in cases for batch in BATCHES]
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"{args.device} ({name}), torch {torch.__version__}, numpy {np.__version__}")
    for r in results:
        times = "  ".join(f"{n} {r[n]['ms']:8.2f} ms" for n in ("engine", "layers", "torch"))
        errors = f"value {r['engine']['value_error']:.1e} gradient {r['engine']['gradient_error']:.1e}"
        print(f"{r['net']:12} {r['layer']:20} batch {r['batch']}  {times}  off by {errors}")
    if args.json is not None:
        args.json.write_text(json.dumps({"device": args.device, "name": name, "results": results}, indent=1) + "\n")
    parts = check_parts(args.device, Path(tempfile.mkdtemp()), args.part or "")
    far = [f"{part} by {levels:.2g} grey levels" for part, levels in parts if not levels <= _FARTHEST]
    print(f"{len(parts)} parts and presets, three steps of each" + (": " + "; ".join(far) if far else ": as on the CPU"))
    maps = check_attributions(args.device, Path(tempfile.mkdtemp()), args.part or "")
    far_maps = [f"{name} by {part:.1e}" for name, part in maps if not part <= _WORST_MAP]
    print(f"{len(maps)} attribution methods and backward rules" + (": " + "; ".join(far_maps) if far_maps else ": as on the CPU"))
    far += far_maps
    if not args.part:
        dreams, tiles = check_dreams(args.device, Path(tempfile.mkdtemp()))
        far += [f"{name} by {levels:.2g} grey levels" for name, levels in dreams if not levels <= _FARTHEST]
        far += [f"tiles by {tiles:.1e}" for _ in range(not tiles <= _WORST_TILES)]
        print("dreams: " + ", ".join(f"{name} {levels:.2g} grey levels" for name, levels in dreams) + f" off; tiles {tiles:.1e}")
    wrong = [r["net"] for r in results if r["engine"]["value_error"] > _WORST_VALUE]
    if results:
        print(f"WRONG: {', '.join(wrong)}" if wrong else "all values agree")
    return 1 if wrong or far or not (parts or maps) else 0


def _last_convolution() -> str:
    net = load(_TINY)
    return next(name for name in reversed(list(net.layer_dict)) if net.layer_dict[name].type == "Convolution")


if __name__ == "__main__":
    sys.exit(main())
