"""Caffe's weight fillers, seeded by net, layer and place, so that a layer's numbers do not depend on its neighbours."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from dreamopt.errors import NetError

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape
    from dreamopt.engine.memory import FloatArray
    from dreamopt.schema.caffe_pb2 import FillerParameter

FILLERS = ("constant", "gaussian", "positive_unitball", "uniform", "xavier", "msra", "bilinear")


def fill(shape: Shape, filler: FillerParameter | None, seed: int, layer: str, index: int) -> FloatArray:
    """Return new weights as Caffe's filler draws them (same distribution, our own random stream).

    ===================  =======================================================================================
    constant             ``value``
    uniform              U(min, max)
    gaussian             N(mean, std); with ``sparse`` >= 0, each weight is kept with probability sparse / N
    positive_unitball    U(0, 1), each item's weights divided by their sum
    xavier               U(-s, s), s = sqrt(3 / n)
    msra                 N(0, 2 / n)
    bilinear             the kernel of bilinear upsampling, for a 4-D square Deconvolution
    ===================  =======================================================================================

    with n the fan-in (values per item), the fan-out (values per channel), or their mean, by ``variance_norm``.

    Parameters
    ----------
    shape : tuple of int
        N is the first axis, channels the second.
    filler : FillerParameter or None
        None is Caffe's default: constant 0.
    seed : int
        The net's seed.
    layer, index : str, int
        The layer's name and the weight's place in it, also part of the seed.

    Raises
    ------
    NetError
        As `check_filler`.
    """
    if filler is None:
        return np.zeros(shape, np.float32)
    check_filler(shape, filler, layer)
    key = hashlib.sha256(f"{seed}\n{layer}\n{index}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], np.uint64)))
    total = math.prod(shape)
    per_item = total // max(shape[0], 1) if shape else 1
    per_channel = total // max(shape[1], 1) if len(shape) > 1 else total
    fan = {0: per_item, 1: per_channel, 2: (per_item + per_channel) / 2}[filler.variance_norm] or 1
    match filler.type:
        case "constant":
            return np.full(shape, filler.value, np.float32)
        case "uniform":
            values = rng.uniform(filler.min, filler.max, shape)
        case "gaussian":
            values = rng.normal(filler.mean, filler.std, shape)
            if filler.sparse >= 0:
                values *= rng.random(shape) < filler.sparse / max(shape[0], 1)
        case "positive_unitball":
            values = rng.random(shape)
            values /= values.sum(axis=tuple(range(1, len(shape))), keepdims=True)
        case "xavier":
            values = rng.uniform(-math.sqrt(3 / fan), math.sqrt(3 / fan), shape)
        case "msra":
            values = rng.normal(0, math.sqrt(2 / fan), shape)
        case "bilinear":
            factor = math.ceil(shape[3] / 2)
            centre = (shape[3] - 1) / (2 * factor)
            ramp = 1 - np.abs(np.arange(shape[3]) / factor - centre)
            values = np.broadcast_to(ramp[:, None] * ramp, shape)
        case other:
            raise AssertionError(f"check_filler lets the filler '{other}' pass, which nobody draws")
    return values.astype(np.float32)


def check_filler(shape: Shape, filler: FillerParameter, layer: str) -> None:
    """Refuse a filler that `fill` cannot fill weights of this shape with.

    Raises
    ------
    NetError
        For an unknown filler type, a shape that the filler cannot fill, or numbers that are not finite or in no order.
    """
    if filler.type not in FILLERS:
        raise NetError(f"layer '{layer}': unknown weight filler '{filler.type}'; known are {', '.join(FILLERS)}")
    for name in ("value", "min", "max", "mean", "std"):
        if not math.isfinite(getattr(filler, name)):
            raise NetError(f"layer '{layer}': {name} of a filler is {getattr(filler, name):g}, but has to be finite")
    if filler.type == "uniform" and filler.min > filler.max:
        raise NetError(f"layer '{layer}': a uniform filler goes from {filler.min:g} to {filler.max:g}; allowed is min up to max")
    if filler.type == "gaussian" and filler.std < 0:
        raise NetError(f"layer '{layer}': std of a gaussian filler is {filler.std:g}; allowed is 0 and more")
    if filler.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        raise NetError(f"layer '{layer}': a bilinear filler needs 4-D weights with square kernels, not {shape}")
