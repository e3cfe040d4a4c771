"""How often units take which values, over all places of all images: a reducer of a pass with exact counts in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.dataset.arrays import array_form, check_arrays
from dreamopt.dataset.stream import Batch
from dreamopt.network import Network
from dreamopt.parts.forms import Key, record

LOWEST, HIGHEST = -20, 20
"""Powers of 2: smaller values are counted together as near zero, and larger ones together."""
_SIDE = 2 * (HIGHEST - LOWEST) + 1  # bins on either side of zero, the last of them without an end
BINS = 2 * _SIDE + 1
_SHOWN_OCTAVES = 12  # below the largest value, that a description tells apart
_CODES = 1024  # sign, exponent and the first bit of the fraction of a float32
_REST = _CODES.bit_length() - 1
_FLOATS = ("sums", "lowest", "highest")


def _columns() -> NDArray[np.int64]:
    """Return the bin of each code; ``BINS`` for what is not finite."""
    codes = np.arange(_CODES)
    size = codes & (_CODES // 2 - 1)
    number = np.clip(size - 2 * (127 + LOWEST) + 1, 0, _SIDE)
    signed = np.where(codes < _CODES // 2, number, -number) + _SIDE
    return np.where(size >= 2 * 255, BINS, signed).astype(np.int64)


_COLUMNS = _columns()
_ORDER = np.argsort(_COLUMNS, kind="stable")
_STARTS = np.searchsorted(_COLUMNS[_ORDER], np.arange(BINS + 1))


def bin_edges() -> NDArray[np.float64]:
    r"""Return the finite edges of the bins, ``BINS - 1`` of them, rising: :math:`\pm 2^e` and :math:`\pm 1.5 \cdot 2^e`.

    A bin holds its edge nearer to zero. The first and the last have no end.

    >>> edges = bin_edges()
    >>> len(edges), float(edges[-1]), float(edges[-2]), float(edges[BINS // 2])
    (162, 1048576.0, 786432.0, 9.5367431640625e-07)
    """
    powers = 2.0 ** np.arange(LOWEST, HIGHEST)
    positive = np.append(np.stack([powers, 1.5 * powers], 1).ravel(), 2.0**HIGHEST)
    return np.concatenate([-positive[::-1], positive])


class Histograms:
    r"""For each unit of several layers, the counts of its values in fixed bins, and their mean, smallest and largest.

    The bins are two in each octave on both sides of zero: a value's bin is the first bits of its float32, so that counts are exact,
    nothing is known beforehand of how large values get, and nothing depends on the order of the images. Memory: ``BINS`` numbers a unit.

    Parameters
    ----------
    network : Network
        The net.
    layers : sequence of str
        Their names; of each, all units.
    """

    def __init__(self, network: Network, layers: Sequence[str]) -> None:
        self.layers = tuple(dict.fromkeys(network.resolve(layer) for layer in layers))
        self.units = {layer: network.shape_of(layer)[0] for layer in self.layers}
        shape = {"counts": (BINS,), "zeros": (), "not_finite": (), "sums": (), "lowest": (), "highest": ()}
        start = {"lowest": np.inf, "highest": -np.inf}
        self._arrays: dict[str, dict[str, NDArray[Any]]] = {
            name: {
                layer: np.full((count, *axes), start.get(name, 0), np.float64 if name in _FLOATS else np.int64)
                for layer, count in self.units.items()
            }
            for name, axes in shape.items()
        }
        self.counts = self._arrays["counts"]
        """(units, BINS) by layer: how many values are in each bin of `bin_edges`."""
        self.zeros = self._arrays["zeros"]
        """(units,) by layer: how many are exactly zero."""
        self.not_finite = self._arrays["not_finite"]
        """How many are not finite; they are in no bin and in no mean."""
        self.sums, self.lowest, self.highest = (self._arrays[name] for name in _FLOATS)

    def images(self) -> set[int]:
        """Return none: it knows values alone."""
        return set()

    def add(self, batch: Batch) -> None:
        """Count the values of some images."""
        for layer in self.layers:
            values = batch.activations[layer].detach().float()
            self._add(layer, values.reshape(*values.shape[:2], -1))

    def _add(self, layer: str, values: Tensor) -> None:
        """Count values, (N, units, places), float32."""
        found = _counts(values)
        self.counts[layer] += found[:, :BINS]
        self.not_finite[layer] += found[:, BINS]
        self.zeros[layer] += (values == 0).sum((0, 2)).cpu().numpy()
        finite = not found[:, BINS].any()
        plain, low, high = (values, values, values) if finite else _bounded(values)
        # Image by image: a sum does not depend on how they are cut into batches.
        for sums in plain.sum(2).double().cpu().numpy():
            self.sums[layer] += sums
        np.minimum(self.lowest[layer], low.amin((0, 2)).double().cpu().numpy(), out=self.lowest[layer])
        np.maximum(self.highest[layer], high.amax((0, 2)).double().cpu().numpy(), out=self.highest[layer])

    def count(self, layer: str) -> NDArray[np.int64]:
        """Return how many finite values each unit of a layer had."""
        counts: NDArray[np.int64] = self.counts[layer].sum(1)
        return counts

    def describe(self, layer: str, unit: int) -> dict[str, Any]:
        """Return what is known of a unit, fit for JSON.

        Returns
        -------
        dict
            ``count`` of finite values, ``zeros`` (the share of exact zeros), ``mean``, ``min``, ``max`` (None without a value),
            ``not_finite``, and the ``histogram``: ``edges`` and between them ``counts``; the bins of values far below the largest are
            joined to one about zero.
        """
        counts = self.counts[layer][unit]
        number = int(counts.sum())
        low, high = float(self.lowest[layer][unit]), float(self.highest[layer][unit])
        return {
            "count": number,
            "zeros": int(self.zeros[layer][unit]) / number if number else 0.0,
            "mean": float(self.sums[layer][unit]) / number if number else None,
            "min": low if number else None,
            "max": high if number else None,
            "not_finite": int(self.not_finite[layer][unit]),
            "histogram": _shown(counts, low, high) if number else {"edges": [], "counts": []},
        }

    def state(self) -> Any:
        """Return the counts, as arrays."""
        return {layer: {name: values[layer] for name, values in self._arrays.items()} for layer in self.layers}

    def restore(self, state: Any) -> None:
        """Take over counts; UsageError for those of other layers, or that are damaged."""
        key = Key("the state of the histograms")
        arrays = self._arrays
        found = record({layer: record(dict.fromkeys(arrays, array_form)) for layer in self.layers})(state, key)
        for layer in self.layers:
            check_arrays(found[layer], {name: values[layer] for name, values in arrays.items()}, key.at(layer))
            for name, values in arrays.items():
                values[layer] = found[layer][name].copy()


def _counts(values: Tensor) -> NDArray[np.int64]:
    """Return how many of the values (N, units, places) are in each bin, (units, BINS + 1); last, those that are not finite."""
    units = values.shape[1]
    codes = (values.contiguous().view(torch.int32) >> (32 - _REST)) & (_CODES - 1)
    codes += torch.arange(0, units * _CODES, _CODES, dtype=torch.int32, device=codes.device)[:, None]
    by_code = torch.bincount(codes.flatten(), minlength=units * _CODES).reshape(units, _CODES).cpu().numpy()
    counts: NDArray[np.int64] = np.add.reduceat(by_code[:, _ORDER], _STARTS, axis=1)
    return counts


def _bounded(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values with what is not finite replaced by what changes no sum, no minimum, no maximum."""
    finite = values.isfinite()
    plain = torch.where(finite, values, 0)
    return plain, torch.where(finite, values, torch.inf), torch.where(finite, values, -torch.inf)


def _shown(counts: NDArray[np.int64], low: float, high: float) -> dict[str, Any]:
    """Return a histogram without its empty ends, the bins near zero joined."""
    used = np.flatnonzero(counts) - _SIDE
    largest = max(abs(int(used[0])), abs(int(used[-1])))
    near = min(max(0, largest - 2 * _SHOWN_OCTAVES), largest - 1) if largest else 0
    # Columns -near to near are one.
    joined = np.concatenate([counts[: _SIDE - near], [counts[_SIDE - near : _SIDE + near + 1].sum()], counts[_SIDE + near + 1 :]])
    edges = bin_edges()
    kept = np.concatenate([[low], edges[: _SIDE - near], edges[_SIDE + near :], [high]])
    filled = np.flatnonzero(joined)
    first, last = int(filled[0]), int(filled[-1])
    kept = kept[first : last + 2]
    return {"edges": [float(edge) for edge in kept], "counts": [int(count) for count in joined[first : last + 1]]}
