"""One call that says whether a device gives the CPU's numbers, and how fast it is.

``python -m benchmarks.gpu_check [--device cuda] [-o FILE] [--limit SECONDS] [--part NAME]``

First each net's value and gradient on the device against the CPU's, in each precision, with CUDA graphs and without. Then times of f/grad
and of whole steps, images per second and peak memory, at batch 1 to 256: in float32, TensorFloat-32 and bfloat16, with CUDA graphs and
without, and of the net written down in torch in both layouts (the engine keeps channels last). What tells most comes first, and what
``--limit`` leaves no time for is left out; a row that fails says why (`benchmarks.gpu_rows`). ``--device cpu`` works too.

Last, unless ``--no-parts``, every objective, regularizer, parametrization, transform, optimizer and preset makes three steps on both
(`benchmarks.gpu_parts`), and dreams are compared: a still, a frame of a film and of a zoom, and a pass in tiles with the whole image's
(`benchmarks.gpu_dreams`). Every attribution method and backward rule makes its map on both (`benchmarks.gpu_attributions`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import existing
from benchmarks.gpu_attributions import check_attributions
from benchmarks.gpu_dreams import check_dreams
from benchmarks.gpu_parts import check_parts
from benchmarks.gpu_rows import BATCHES, Rows, Way, rows, ways

_LIMIT = 480.0
_WORST_TILES = 1e-5
_WORST_MAP = 0.02  # of a map's length: a kink or a tie of max pooling may fall to the other side
_FARTHEST = 2.0  # grey levels after three steps: a kink may fall to the other side


def measure(device: torch.device, names: list[str], batches: list[int], limit: float, rounds: int) -> dict[str, Any]:
    """Return the checks and the times of all nets, or of those named, within ``limit`` seconds; each row is printed as it comes."""
    start = time.perf_counter()
    measured = Rows(device, lambda: limit - (time.perf_counter() - start))
    cases = [case for case in existing() if not names or case.name in names]
    checks, times = [], []
    for case in cases:
        for way in ways(device):
            # The first net is checked whatever time is left.
            if way.what == "f/grad" and way.by == "engine" and (case is cases[0] or measured.seconds() > 0.6 * limit):
                checks.append(measured.check(case, way))
                print(_check_line(checks[-1]), flush=True)
    print(f"{'net':12} {'batch':>5} {'way':32} {'ms':>10} {'images/s':>9} {'peak MB':>8}")
    left_out = 0
    for case, batch, way in rows(cases, ways(device), batches):
        if measured.seconds() <= 0:
            left_out += 1
            continue
        times.append(measured.time(case, batch, way, rounds))
        print(_time_line(times[-1], way), flush=True)
    if left_out:
        print(f"{left_out} more rows were left out: {limit:g} s had passed")
    return {"checks": checks, "times": times, "left_out": left_out, "seconds_left": measured.seconds()}


def _check_line(row: dict[str, Any]) -> str:
    way = Way(*(row[name] for name in Way._fields))
    found = row["error"] if "error" in row else f"value off by {row['value_error']:.1e}, gradient by {row['gradient_error']:.1e}"
    return f"{row['net']:12} {row['batch']:5} {way!s:32} {found}{'' if row.get('agrees') else '  WRONG'}"


def _time_line(row: dict[str, Any], way: Way) -> str:
    start = f"{row['net']:12} {row['batch']:5} {way!s:32}"
    if "error" in row:
        return f"{start} {row['error']}"
    peak = "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}"
    return f"{start} {row['ms']:10.2f} {row['images_per_second']:9.1f} {peak:>8}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=10, help="passes of a row, of which the median counts")
    parser.add_argument("-o", "--json", type=Path, metavar="FILE", help="write everything there as JSON")
    parser.add_argument("--limit", type=float, default=_LIMIT, metavar="SECONDS", help="of the checks and the times")
    parser.add_argument("--net", action="append", default=[], metavar="NAME", help="repeatable: these nets alone")
    parser.add_argument("--batch", action="append", type=int, default=[], metavar="N", help="repeatable: these batch sizes alone")
    parser.add_argument("--part", help="only the parts and presets whose examples hold this name, and no nets")
    parser.add_argument("--no-parts", action="store_true", help="only the nets")
    args = parser.parse_args(arguments)
    # TensorFloat-32 keeps 10 bits of the mantissa: not Caffe's numbers.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{args.device} ({name}), torch {torch.__version__}, numpy {np.__version__}", flush=True)
    report: dict[str, Any] = {"device": args.device, "name": name, "torch": torch.__version__}
    if not args.part:
        report |= measure(device, args.net, args.batch or list(BATCHES), args.limit, args.rounds)
        _write(args.json, report)
    wrong = [row["net"] for row in report.get("checks", ()) if not row.get("agrees")]
    if report.get("checks"):
        print(f"WRONG: {', '.join(dict.fromkeys(wrong))}" if wrong else "all values and gradients agree")
    if args.no_parts:
        return 1 if wrong else 0
    far, compared = _check_rest(args.device, args.part or "")
    _write(args.json, report | {"far": far})
    return 1 if wrong or far or not compared else 0


def _write(path: Path | None, report: dict[str, Any]) -> None:
    """Write what there is so far, so that a later failure does not lose it."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n")


def _check_rest(device: str, part: str) -> tuple[list[str], int]:
    """Return what is far from the CPU's of parts, presets, attributions and dreams, and how many were compared."""
    parts = check_parts(device, Path(tempfile.mkdtemp()), part)
    far = [f"{name} by {levels:.2g} grey levels" for name, levels in parts if not levels <= _FARTHEST]
    print(f"{len(parts)} parts and presets, three steps of each" + (": " + "; ".join(far) if far else ": as on the CPU"))
    maps = check_attributions(device, Path(tempfile.mkdtemp()), part)
    far_maps = [f"{name} by {off:.1e}" for name, off in maps if not off <= _WORST_MAP]
    print(f"{len(maps)} attribution methods and backward rules" + (": " + "; ".join(far_maps) if far_maps else ": as on the CPU"))
    far += far_maps
    if not part:
        dreams, tiles = check_dreams(device, Path(tempfile.mkdtemp()))
        far += [f"{name} by {levels:.2g} grey levels" for name, levels in dreams if not levels <= _FARTHEST]
        far += [f"tiles by {tiles:.1e}" for _ in range(not tiles <= _WORST_TILES)]
        print("dreams: " + ", ".join(f"{name} {levels:.2g} grey levels" for name, levels in dreams) + f" off; tiles {tiles:.1e}")
    return far, len(parts) + len(maps)


if __name__ == "__main__":
    sys.exit(main())
