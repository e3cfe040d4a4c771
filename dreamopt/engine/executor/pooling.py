"""MAX and AVE pooling as kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.executor.blocks import kept as kept_blocks
from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.kernels import AutogradKernel
from dreamopt.engine.executor.masks import mask_size, masked, passed
from dreamopt.engine.executor.placement import Outs, target
from dreamopt.engine.graph import Value
from dreamopt.engine.layer import count
from dreamopt.engine.native import library
from dreamopt.engine.native import pooling as native
from dreamopt.engine.native.average import average, average_back
from dreamopt.engine.native.layout import as_native, is_native

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape
    from dreamopt.engine.layers.pooling import Pooling
    from dreamopt.engine.node import Node

SMALL = 1 << 17
"""Values of a top up to which torch's places are kept as they are, eight bytes each; of larger ones two are."""
_STRIP = 1 << 19  # values of a top that are pooled at a time
_max_pool = torch.ops.aten.max_pool2d_with_indices
_max_pool_backward = torch.ops.aten.max_pool2d_with_indices_backward


class Windows(NamedTuple):
    """What torch takes for the windows of a bottom."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: tuple[int, int]
    ceil: bool


def _torch_windows(layer: Pooling, shape: Shape) -> tuple[Windows, Shape] | None:
    """Return the windows of a bottom of this shape, and the top's shape; None if it takes more than torch's own."""
    p, size = layer.param.pooling_param, shape[2:]
    kernel, top = layer.kernel_for(size), layer.shape([shape])[0]
    if p.pool != p.MAX or layer.n_tops > 1 or not layer.torch_padding_fits(size, kernel, top[2:]):
        return None
    return Windows(kernel, layer.stride, layer.pad, (1, 1), p.round_mode == p.CEIL), top


class MaxPool(Kernel):
    """MAX pooling, and where its bottom is a ReLU's result that nobody else reads, that ReLU's backward pass.

    The largest value of a window is above 0 exactly if the gradient passes the ReLU where it lies, so that the smaller
    top can be masked instead of the bottom.
    """

    recordable = True
    owns_gradient = True
    adds = True
    places = True

    def __init__(self, node: Node, layer: Pooling, reads: Sequence[Value], writes: Sequence[Value], mask: bool) -> None:
        super().__init__(reads, writes)
        self.mask = mask
        self.plain = AutogradKernel(node, reads, writes)
        self.windows = lru_cache(maxsize=64)(partial(_torch_windows, layer))

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Take the largest, and note where it was."""
        (x,) = xs
        found = self.windows(tuple(x.shape))
        if found is None:
            (y,), kept = self.plain.forward(xs, keep)
            return [y], None if not keep else (passed(y) if self.mask else None, None, kept)
        windows, top = found
        if library() is not None and is_native(x) and count(windows.kernel) <= native.MOST_CELLS:
            out = target(outs, top, x)
            places = kept_blocks.empty(tuple(top), torch.uint8, x.device) if keep else None
            return [native.max_pool(x, out, *windows[:3], places, self.mask)], (None, (tuple(x.shape), windows), places) if keep else None
        if not keep:
            return [torch.nn.functional.max_pool2d(x, *windows)], None
        strips = Strips(windows, tuple(x.shape), tuple(top))
        if x.device.type == "cpu" and strips.worth_it:
            y, index = strips.forward(x)
            return [y], (passed(y) if self.mask else None, strips, index)
        y, index = _max_pool(x, *windows)
        return [y], (passed(y) if self.mask else None, (tuple(x.shape), windows), index)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Put each gradient where its value came from."""
        mask, how, index = kept
        (grad,) = grads
        assert grad is not None
        if isinstance(index, Tensor) and index.dtype == torch.uint8:
            return [self._native_backward(grad, how[0], how[1], index, into)]
        if mask is not None:
            grad = masked(grad, mask, grad if mine[0] else None)
        (found,) = self._torch_backward(grad, how, index)
        return [found if into is None or found is None else into.add_(found)]

    @staticmethod
    def _native_backward(grad: Tensor, shape: Shape, windows: Windows, places: Tensor, into: Tensor | None) -> Tensor:
        grad = as_native(grad)
        if into is not None and is_native(into):
            return native.max_pool_backward(grad, places, into, *windows[:3], add=True)
        found = native.max_pool_backward(grad, places, passing.empty(shape, grad.dtype, grad.device), *windows[:3])
        return found if into is None else into.add_(found)

    def _torch_backward(self, grad: Tensor, how: Any, index: Any) -> Sequence[Tensor | None]:
        if how is None:
            return self.plain.backward(index, [grad], [False], None)
        if isinstance(how, Strips):
            return [how.backward(grad, index)]
        shape, windows = how
        # Of the bottom, torch reads the shape and the layout alone.
        like = torch.empty(shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last)
        return [_max_pool_backward.grad_input(grad, like, *windows, index, grad_input=like)]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the places, and of the mask."""
        top = tuple(shapes[self.writes[0]])
        if self.windows(tuple(shapes[self.reads[0]])) is None:
            return super().keeps(shapes)
        if library() is not None:
            return count(top)
        return (2 if count(top) > SMALL else 8) * count(top) + (mask_size(top) if self.mask else 0)


class AveragePool(Kernel):
    """AVE pooling, natively where it can be, and else by the layer itself."""

    recordable = True
    owns_gradient = True
    adds = True
    places = True

    def __init__(self, node: Node, layer: Pooling, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.layer, self.plain = layer, AutogradKernel(node, reads, writes)

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Average; natively, nothing is kept."""
        (x,) = xs
        y = outs[0] if outs else None
        if library() is None or not is_native(x):
            (found,), kept = self.plain.forward(xs, keep)
            return [found if y is None else y.copy_(found)], kept
        shape = tuple(x.shape)
        return [average(x, target(outs, self.layer.shape([shape])[0], x), *self._windows(shape))], shape if keep else None

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give each value its part of the gradients of its windows."""
        (grad,) = grads
        assert grad is not None
        if not isinstance(kept[0], int):
            (found,) = self.plain.backward(kept, grads, mine, None)
            return [found if into is None or found is None else into.add_(found)]
        grad = as_native(grad)
        if into is not None and is_native(into):
            return [average_back(grad, into, *self._windows(kept), add=True)]
        made = average_back(grad, passing.empty(kept, grad.dtype, grad.device), *self._windows(kept))
        return [made if into is None else into.add_(made)]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return 0: nothing, natively."""
        return 0 if library() is not None else super().keeps(shapes)

    def _windows(self, shape: Shape) -> tuple[Shape, Shape, Shape]:
        return self.layer.kernel_for(shape[2:]), self.layer.stride, self.layer.pad


class Strips:
    """Pooling of large maps, a strip of rows at a time: of where the largest values were, two bytes each are kept.

    torch notes a place as ``row width + column``, in eight bytes. Kept is that minus the place where the window begins, cut to 16 bits.

    Parameters
    ----------
    windows : Windows
        The windows.
    bottom, top : Shape
        (N, C, H, W), channels last in memory.
    """

    def __init__(self, windows: Windows, bottom: Shape, top: Shape) -> None:
        self.windows, self.bottom, self.top = windows, bottom, top
        self._columns = torch.arange(top[3]) * windows.stride[1] - windows.pad[1]
        # torch goes back sample by sample, side by side: of several, it gets the whole maps.
        self._rows = top[2] if top[0] > 1 else min(max(1, _STRIP // max(1, top[1] * top[3])), top[2])

    @property
    def worth_it(self) -> bool:
        """Whether the maps are large, and the windows small enough for 16 bits."""
        rows, columns = self.windows.kernel
        smaller = self.top[2] <= self.bottom[2] and self.top[3] <= self.bottom[3]
        return count(self.top) > SMALL and smaller and (rows - 1) * self.bottom[3] + columns < 2**15

    def _strips(self) -> list[tuple[int, int, int, int]]:
        """Return of each strip the rows of the top, first and behind the last, and those of the bottom that they see."""
        kernel, stride, pad = self.windows.kernel[0], self.windows.stride[0], self.windows.pad[0]
        ends = [(first, min(first + self._rows, self.top[2])) for first in range(0, self.top[2], self._rows)]
        return [(a, b, max(a * stride - pad, 0), min((b - 1) * stride - pad + kernel, self.bottom[2])) for a, b in ends]

    def _begins(self, first: int, last: int, low: int) -> Tensor:
        """Return where the windows of rows of the top begin, (rows, columns), in a bottom whose first row is ``low``."""
        rows = torch.arange(first, last) * self.windows.stride[0] - self.windows.pad[0] - low
        return rows[:, None] * self.bottom[3] + self._columns

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the top, and what `backward` takes."""
        y = passing.empty(self.top, x.dtype, x.device)
        kept = kept_blocks.empty(self.top, torch.int16, x.device)
        index = torch.empty((*self.top[:2], self._rows, self.top[3]), dtype=torch.int64, memory_format=torch.channels_last)
        kernel, stride, pad = (axes[0] for axes in self.windows[:3])
        for first, last, low, high in self._strips():
            there, places = y[:, :, first:last], index[:, :, : last - first]
            if first * stride - pad >= 0 and (last - 1) * stride - pad + kernel <= self.bottom[2]:
                inside = self.windows._replace(pad=(0, self.windows.pad[1]))
                _max_pool.out(x[:, :, low:high], *inside, out=there, indices=places)
            else:
                # torch pads a strip above its first row, too: it begins so early that this touches only rows that are dropped.
                low = max(first - -(-pad // stride), 0) * stride
                part, found = _max_pool(x[:, :, low:high], *self.windows)
                rows = slice(first - low // stride, last - low // stride)
                there.copy_(part[:, :, rows])
                places = found[:, :, rows]
            kept[:, :, first:last].copy_(places).sub_(self._begins(first, last, low).to(torch.int16))
        return y, kept

    def backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        """Return the gradient of the bottom."""
        found = passing.empty(self.bottom, grad.dtype, grad.device)
        done = 0  # rows that the strips so far have reached
        for first, last, low, high in self._strips():
            found[:, :, done:low] = 0
            shared = found[:, :, low:done].clone() if done > low else None
            index = kept[:, :, first:last].to(torch.int64).add_(self._begins(first, last, low))
            self._put(found[:, :, low:high], grad[:, :, first:last], index)
            if shared is not None:
                found[:, :, low:done] += shared
            done = high
        found[:, :, done:] = 0
        return found

    @staticmethod
    def _put(out: Tensor, grad: Tensor, index: Tensor) -> None:
        """Write a strip's gradient: by windows of another size that fit the shapes, since torch looks at the places alone."""
        window = (out.shape[2] - grad.shape[2] + 1, out.shape[3] - grad.shape[3] + 1)
        _max_pool_backward.grad_input(grad, out, window, (1, 1), (0, 0), (1, 1), False, index, grad_input=out)
