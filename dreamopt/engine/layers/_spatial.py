"""Kernel, stride, pad and dilation, as Convolution, Deconvolution and Im2col read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dreamopt.engine.layer import Layer, Reach, Shape, count
from dreamopt.engine.layers._axes import text
from dreamopt.errors import TooLargeError
from dreamopt.parts.limits import MOST_VALUES, MOST_WINDOW

if TYPE_CHECKING:
    from dreamopt.schema.caffe_pb2 import ConvolutionParameter


class Windows(NamedTuple):
    """How a window moves over the spatial axes, one value for each axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    def extent(self, i: int) -> int:
        """Return what the kernel spans on axis ``i``, holes included."""
        return self.dilation[i] * (self.kernel[i] - 1) + 1

    def reach(self) -> Reach:
        """Return how windows of two axes move."""
        pairs = [(values[0], values[1]) for values in (self.stride, self.pad, self.dilation)]
        return Reach((self.extent(0), self.extent(1)), pairs[0], pairs[1], dilation=pairs[2])


def read_windows(layer: Layer, p: ConvolutionParameter, n: int) -> Windows:
    """Read them for ``n`` spatial axes, with Caffe's checks (base_conv_layer.cpp, LayerSetUp)."""

    def read(
        name: str, values: Sequence[int], default: int | None, least: int, h: int | None = None, w: int | None = None
    ) -> tuple[int, ...]:
        if h is not None and w is not None:
            short = name.removesuffix("_size")
            if n != 2:
                layer.fail(f"{short}_h and {short}_w are for two spatial axes, but the bottom has {n}; write {name} instead")
            if values:
                layer.fail(f"{name} and {short}_h/{short}_w are both given; allowed is one of the two")
            values = (h, w)
        if not values and default is not None:
            values = (default,)
        if len(values) not in (1, n):
            layer.fail(f"{name} is given {len(values)} times; allowed is once, or once for each of the {n} spatial axes")
        for v in values:
            if not least <= v <= MOST_WINDOW:
                layer.fail(f"{name} is {v}; allowed is {least} and more" + (f", up to {MOST_WINDOW}" if v > MOST_WINDOW else ""))
        return tuple(values) if len(values) == n else tuple(values) * n

    def pair(name: str) -> tuple[int | None, int | None]:
        either = p.HasField(f"{name}_h") or p.HasField(f"{name}_w")
        return (getattr(p, f"{name}_h"), getattr(p, f"{name}_w")) if either else (None, None)

    return Windows(
        read("kernel_size", p.kernel_size, None, 1, *pair("kernel")),
        read("stride", p.stride, 1, 1, *pair("stride")),
        read("pad", p.pad, 0, 0, *pair("pad")),
        read("dilation", p.dilation, 1, 1),
    )


def check_padded(layer: Layer, bottom: Shape, pad: Sequence[int]) -> None:
    """Refuse a bottom that is more than a blob can be, mostly for the padding around its last axes."""
    n = len(bottom) - len(pad)
    padded = (*bottom[:n], *(size + 2 * p for size, p in zip(bottom[n:], pad, strict=True)))
    if count(padded) > max(MOST_VALUES, 4 * count(bottom)):
        sentence = f"with its padding, the bottom of shape {text(bottom)} is {text(padded)}; a blob has at most {MOST_VALUES} values"
        layer.fail(sentence, TooLargeError)
