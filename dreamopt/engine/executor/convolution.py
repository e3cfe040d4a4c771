"""Convolutions as kernels: with what follows them, side by side, and with weights packed once.

What the layer does by `torch.nn.functional.conv2d` is done here with

- the ReLU behind it, and BatchNorm and Scale in between folded into the weights;
- several 1x1 convolutions of the same bottom as one;
- on the CPU, weights in oneDNN's own layout, made once and not at every call;
- the data gradient as a convolution too: with the kernels turned around, and for a stride that thins out few
  channels (the first layer), one product that is spread over the image, or one convolution for the stride^2 phases of the image,
  interleaved afterwards. torch's own is 3 times slower there.

Where the native kernels are built, 3x3 convolutions go by Winograd's method, and 1x1 and what is written to a slice or read through
a ReLU as a product of matrices. Which it is depends on shapes alone: bits stay the same from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.masks import SMALL, mask_size, masked, passed, passed_back
from dreamopt.engine.executor.placement import Outs
from dreamopt.engine.executor.stamp import WeightStamp
from dreamopt.engine.graph import Value
from dreamopt.engine.layer import count
from dreamopt.engine.layers._axes import channels_last
from dreamopt.engine.layers.batch_norm import BatchNorm
from dreamopt.engine.native import library
from dreamopt.engine.native.convolution import LIMIT, Source, Target, convolve, is_strided, panels, spread, spread_panels, spreads
from dreamopt.engine.native.layout import is_native
from dreamopt.engine.native.winograd import WinogradKernels, pays

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer, Shape
    from dreamopt.engine.layers.convolution import Convolution
    from dreamopt.engine.node import Node

_PHASED_CHANNELS = 64  # more outputs than that, and torch's own backward pass is as fast
_LARGE = 1 << 22  # values of a result that is worth zeros to add it to
_PACKED_SHAPES = 8
_LEAST_CHANNELS = 8  # of a group, to be worth vectors of their own


class Geometry(NamedTuple):
    """How windows move, as torch takes it."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    groups: int


def _can_pack() -> bool:
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")


class Packed:
    """Weights of one convolution, in oneDNN's layout for each shape of input met; elsewhere as they are.

    ``transform`` allows Winograd's method, whose rounding is ten times as coarse.
    """

    dtype = torch.float32
    """What is multiplied; sums are float32 (float64 weights stay as they are)."""

    def __init__(self, w: Tensor, bias: Tensor | None, geometry: Geometry, transform: bool = True) -> None:
        self.w = w.contiguous(memory_format=torch.channels_last)
        self.bias = bias
        self.geometry = geometry
        self.packable = w.device.type == "cpu" and w.dtype == torch.float32 and _can_pack()
        self._by_shape: dict[torch.Size | None, Tensor] = {}
        self._winograd: WinogradKernels | None = None
        taken = geometry.kernel == (3, 3) and geometry.stride == (1, 1) and geometry.dilation == (1, 1)
        self._may_transform = transform and self.packable and taken and library() is not None
        self._may_multiply = self.packable and library() is not None
        self._panels: dict[tuple[int, ...], list[Tensor]] = {}

    def __call__(
        self, x: Tensor, relu: bool = False, into: Tensor | None = None, in_heap: bool = False, out: Tensor | None = None
    ) -> Tensor:
        """Convolve; then cut off below 0, or add to ``into``.

        ``in_heap`` makes a large result no view of other memory; it is written to ``out`` where there is one, which may be a slice of
        channels (a kernel of torch makes a copy for that).
        """
        _, stride, pad, dilation, groups = self.geometry
        if not self.packable:
            y = torch.nn.functional.conv2d(x, self.w, self.bias, stride, pad, dilation, groups)
            y = y.relu_() if relu else y if into is None else into.add_(y)
            return y if out is None else out.copy_(y)
        if self._transforms(x):
            return self._transformed(x, relu, into, in_heap, out)
        if self._multiplies(out is not None) and is_native(x):
            return self._multiplied([Source(x)], relu, into, in_heap, out)
        # One layout serves all large inputs, as the tiles of an image: where it is not the best, oneDNN changes it on the way.
        key = x.shape if x.numel() <= SMALL else None
        w = self._by_shape.get(key)
        if w is None:
            if len(self._by_shape) >= _PACKED_SHAPES:
                self._by_shape.clear()
            w = torch.ops.mkldnn._reorder_convolution_weight(self.w, pad, stride, dilation, groups, list(x.shape))
            self._by_shape[key] = w
        if into is not None and into.is_contiguous(memory_format=torch.channels_last):
            add = torch.ops.mkldnn._convolution_pointwise_.binary
            total: Tensor = add(into, x, w, self.bias, pad, stride, dilation, groups, "add", 1.0, None, [], None)
            return total
        if into is None and not in_heap and (large := self._large(x)) is not None:
            # To be written where we want it, it is added to zeros.
            add = torch.ops.mkldnn._convolution_pointwise_.binary
            added: Tensor = add(large, x, w, self.bias, pad, stride, dilation, groups, "add", 1.0, "relu" if relu else None, [], None)
            return added if out is None else out.copy_(added)
        y = torch.ops.mkldnn._convolution_pointwise(x, w, self.bias, pad, stride, dilation, groups, "relu" if relu else "none", [], "")
        if into is not None:
            return into.add_(y)
        return y if out is None else out.copy_(y)

    def _transforms(self, x: Tensor) -> bool:
        pad = self.geometry.pad[0], self.geometry.pad[1]
        return self._may_transform and pays(tuple(x.shape), self.w.shape[0], self.geometry.groups, pad) and is_native(x)

    def _multiplies(self, saves: bool) -> bool:
        """Whether a product of matrices is the fastest; ``saves`` says that it saves a pass over the values, which oneDNN would need."""
        least = min(self.w.shape[0] // self.geometry.groups, self.w.shape[1])
        return self._may_multiply and (self.geometry.kernel == (1, 1) or saves) and least >= _LEAST_CHANNELS

    def parts(self, x: Tensor, relu: bool, sizes: Sequence[int], outs: Outs) -> Sequence[Tensor]:
        """Convolve to several results of so many channels each, written to ``outs`` where there are any."""
        if not (self._multiplies(True) and is_native(x) and len(sizes) <= LIMIT):
            return torch.split(self(x, relu), list(sizes), 1)
        n, _, *sides = self._shape(x)
        biases = [None] * len(sizes) if self.bias is None else torch.split(self.bias, list(sizes))
        places = outs if outs else [None] * len(sizes)
        ys = [passing.empty((n, size, *sides), x.dtype, x.device) if y is None else y for size, y in zip(sizes, places, strict=True)]
        parts = zip(ys, self._weights(tuple(sizes)), biases, strict=True)
        convolve([Source(x)], [Target(y, w, bias, relu) for y, w, bias in parts], *self.geometry)
        return ys

    def _weights(self, sizes: tuple[int, ...]) -> list[Tensor]:
        if sizes not in self._panels:
            self._panels[sizes] = [panels(w, self.geometry.groups) for w in torch.split(self.w, list(sizes))]
        return self._panels[sizes]

    def gated(self, xs: Sequence[Tensor], gates: Sequence[Tensor] | None, into: Tensor | None) -> Tensor | None:
        """Convolve what is side by side as one bottom, and 0 where its gate is; None where no kernel does."""
        if not (all(map(is_native, xs)) and (gates is None or all(map(is_native, gates)))):
            return None
        if len(xs) == 1 and self._transforms(xs[0]):
            return self._transformed(xs[0], False, into, False, None, None if gates is None else gates[0])
        if self._multiplies(gates is not None) and len(xs) <= LIMIT:
            return self._multiplied(list(map(Source, xs) if gates is None else map(Source, xs, gates)), False, into, False, None)
        return None

    def _transformed(
        self, x: Tensor, relu: bool, into: Tensor | None, in_heap: bool, out: Tensor | None, gate: Tensor | None = None
    ) -> Tensor:
        """Convolve by Winograd's method, which writes where we want it."""
        if self._winograd is None:
            self._winograd = WinogradKernels(self.w, self.geometry.groups)
        pad = self.geometry.pad[0], self.geometry.pad[1]
        if into is not None and is_native(into):
            return self._winograd(x, self.bias, pad, into, add=True, mask=gate)
        y = self._winograd(x, self.bias, pad, self._empty(x, in_heap) if out is None else out, relu, mask=gate)
        return y if into is None else into.add_(y)

    def _multiplied(self, sources: Sequence[Source], relu: bool, into: Tensor | None, in_heap: bool, out: Tensor | None) -> Tensor:
        """Convolve as a product of matrices, which is written where we want it."""
        (weights,) = self._weights((self.w.shape[0],))
        if into is not None and is_strided(into):
            convolve(sources, [Target(into, weights, self.bias, relu, add=True)], *self.geometry)
            return into
        if out is None:
            out = self._empty(sources[0].values, in_heap)
        convolve(sources, [Target(out, weights, self.bias, relu)], *self.geometry)
        return out if into is None else into.add_(out)

    def _empty(self, x: Tensor, in_heap: bool) -> Tensor:
        shape = self._shape(x)
        return torch.empty(shape, memory_format=torch.channels_last) if in_heap else passing.empty(shape, x.dtype, x.device)

    def _shape(self, x: Tensor) -> Shape:
        """Return the shape of the result."""
        kernel, stride, pad, dilation, _ = self.geometry
        sides = zip(x.shape[2:], kernel, stride, pad, dilation, strict=True)
        return (x.shape[0], self.w.shape[0], *((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sides))

    def _large(self, x: Tensor) -> Tensor | None:
        """Return zeros for a large result, outside of the heap; None for a small one."""
        shape = self._shape(x)
        return passing.empty(shape, x.dtype, x.device).zero_() if count(shape) > _LARGE else None


class Backward:
    """The data gradient of a convolution with weights ``w`` (out, in / groups, height, width); ``transform`` as for `Packed`.

    ``kind`` is what convolves.
    """

    def __init__(self, w: Tensor, geometry: Geometry, transform: bool = True, kind: type[Packed] = Packed) -> None:
        self.w, self.geometry, self.transform, self.kind = w, geometry, transform, kind
        self._ready = False

    def _prepare(self) -> None:
        """Make the weights when they are first wanted: some passes only go forward."""
        self._ready = True
        w = self.w
        kernel, stride, pad, dilation, groups = geometry = self.geometry
        span = [d * (k - 1) - p for k, p, d in zip(kernel, pad, dilation, strict=True)]
        self._cut = [max(-s, 0) for s in span]  # results that lie wholly in the padding
        self._turned = self._phased = self._spread = None
        self._thinned = kernel == (1, 1) and pad == (0, 0) and groups == 1 and stride != (1, 1)
        if stride == (1, 1) or self._thinned:
            out, each, *_ = w.shape
            turned = w.reshape(groups, out // groups, each, *kernel).transpose(1, 2).reshape(groups * each, out // groups, *kernel)
            around = geometry._replace(pad=tuple(max(s, 0) for s in span), stride=(1, 1))
            self._turned = self.kind(turned.flip(2, 3), None, around, self.transform)
        elif w.device.type == "cpu" and w.dtype == torch.float32 and library() is not None and spreads(w, stride, dilation, groups):
            self._spread = spread_panels(w)
        elif min(span) >= 0 and groups == 1 and dilation == (1, 1) and w.shape[1] * stride[0] * stride[1] <= _PHASED_CHANNELS:
            self._phased = _Phases(w, geometry, self.kind)

    def gated(self, grads: Sequence[Tensor], gates: Sequence[Tensor] | None, shape: Shape, into: Tensor | None) -> Tensor | None:
        """Do as a call for gradients side by side, which pass only where their gates are above 0; None where no kernel does."""
        if not self._ready:
            self._prepare()
        if self._spread is not None and len(grads) == 1:
            return self._spread_out(grads[0], None if gates is None else gates[0], shape, into)
        if self._turned is None or any(self._cut):
            return None
        if not self._thinned:
            return self._turned.gated(grads, gates, into)
        total = _empty(shape, grads[0]).zero_() if into is None else into
        return None if self._turned.gated(grads, gates, self._thin(total)) is None else total

    def _spread_out(self, grad: Tensor, gate: Tensor | None, shape: Shape, into: Tensor | None) -> Tensor | None:
        if self._spread is None or not is_native(grad) or not (gate is None or is_native(gate)):
            return None
        add = into is not None and is_strided(into)
        total = into if into is not None and add else _empty(shape, grad)
        spread(Source(grad, gate), Target(total, self._spread, add=add), *self.geometry[:3])
        return total if add or into is None else into.add_(total)

    def _thin(self, x: Tensor) -> Tensor:
        height, width = self.geometry.stride
        return x[:, :, ::height, ::width]

    def __call__(self, grad: Tensor, shape: Shape, into: Tensor | None) -> Tensor:
        """Return the gradient of an input of this shape from that of the result, added to ``into``."""
        if not self._ready:
            self._prepare()
        if self._thinned and self._turned is not None:
            total = _empty(shape, grad).zero_() if into is None else into
            self._thin(total).add_(self._turned(grad))
            return total
        if (g := self._spread_out(grad, None, shape, into)) is not None:
            return g
        if self._turned is not None:
            top, left = self._cut
            if top or left:
                grad = grad[:, :, top : grad.shape[2] - top, left : grad.shape[3] - left]
            return self._turned(grad, into=into)
        if self._phased is not None:
            g = self._phased(grad, shape)
        else:
            _, stride, pad, dilation, groups = self.geometry
            w, rest = self.w, (None, stride, pad, dilation, False, (0, 0), groups, (True, False, False))
            # Of the input, torch reads the shape and the layout alone.
            kept_as = grad.dtype
            if self.kind.dtype != torch.float32:
                grad, w = grad.to(self.kind.dtype), w.to(self.kind.dtype)
            g = torch.ops.aten.convolution_backward(grad, _empty(shape, grad), w, *rest)[0].to(kept_as)
        return g if into is None else into.add_(g)


def _empty(shape: Shape, like: Tensor) -> Tensor:
    return passing.empty(shape, like.dtype, like.device)


class _Phases:
    """The gradient through a stride s: pixel ``s m + a`` gathers ``sum over d of w[a + pad - s d] grad[m + d]``.

    For each phase a that is a dense convolution over a few d; the s x s phases are its output channels.
    """

    def __init__(self, w: Tensor, geometry: Geometry, kind: type[Packed] = Packed) -> None:
        kernel, self.stride, pad, *_ = geometry
        self.kind = kind
        self.first = [-((k - 1 - p) // s) for k, s, p in zip(kernel, self.stride, pad, strict=True)]
        self.last = [(s - 1 + p) // s for s, p in zip(self.stride, pad, strict=True)]
        out, channels = w.shape[:2]
        taps = [e - b + 1 for b, e in zip(self.first, self.last, strict=True)]
        phases = w.new_zeros(*self.stride, channels, out, *taps)
        for a in range(self.stride[0]):
            for b in range(self.stride[1]):
                for i in range(taps[0]):
                    for j in range(taps[1]):
                        y = a + pad[0] - self.stride[0] * (i + self.first[0])
                        x = b + pad[1] - self.stride[1] * (j + self.first[1])
                        if 0 <= y < kernel[0] and 0 <= x < kernel[1]:
                            phases[a, b, :, :, i, j] = w[:, :, y, x].t()
        self.w = phases.reshape(-1, out, *taps)
        self._packed: dict[Shape, Packed] = {}

    def __call__(self, grad: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the gradient of the input of this shape."""
        n, channels, height, width = shape
        sizes = [-(-size // s) for size, s in zip((height, width), self.stride, strict=True)]
        border = tuple(max(-b, m - 1 + e - (g - 1), 0) for b, e, m, g in zip(self.first, self.last, sizes, grad.shape[2:], strict=True))
        if border not in self._packed:
            one = (1, 1)
            self._packed[border] = self.kind(self.w, None, Geometry(tuple(self.w.shape[2:]), one, border, one, 1))
        y = self._packed[border](grad)
        top, left = (p + b for p, b in zip(border, self.first, strict=True))
        y = y[:, :, top : top + sizes[0], left : left + sizes[1]].permute(0, 2, 3, 1)
        y = y.reshape(n, *sizes, *self.stride, channels).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(n, sizes[0] * self.stride[0], sizes[1] * self.stride[1], channels).permute(0, 3, 1, 2)
        return y[:, :, :height, :width]


MakeConvolutions = Callable[[Tensor, "Tensor | None", Geometry], tuple[Packed, Backward]]
"""From weights, a bias and how windows move to the convolutions forward and backward."""


class Convolution2d:
    """A convolution as autograd sees it, with the kernels of `Convolve`: any weights, gradients for the bottom alone.

    Parameters
    ----------
    node : Node
        A `Convolution` whose windows move over images.
    geometry : Geometry
        How they move.
    make : callable
        Makes the convolutions forward and backward with weights.
    """

    def __init__(self, node: Node, geometry: Geometry, make: MakeConvolutions) -> None:
        self._node, self._geometry, self._make = node, geometry, make
        self._least = _least(geometry)

    def __call__(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """Compute the tops."""
        x = bottoms[0]
        large_enough = x.dim() == 4 and x.numel() > 0 and all(size >= least for size, least in zip(x.shape[2:], self._least, strict=True))
        if len(bottoms) > 1 or not large_enough or any(weight.requires_grad for weight in weights):
            return self._node.compute(bottoms, weights)
        there, back = self._make(weights[0], weights[1] if len(weights) > 1 else None, self._geometry)
        top: Tensor = _Convolved.apply(channels_last(x), there, back)  # type: ignore[no-untyped-call]
        return [top]


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Packed, back: Backward) -> Tensor:
        ctx.back, ctx.shape = back, tuple(x.shape)
        return there(x, in_heap=True)  # autograd guards views

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        return ctx.back(channels_last(grads[0]), ctx.shape, None), None, None


def _least(geometry: Geometry) -> list[int]:
    """Return the smallest bottom that a window fits into, with the padding."""
    return [d * (k - 1) + 1 - 2 * p for k, _, p, d in zip(*geometry[:4], strict=True)]


class Branch(NamedTuple):
    """One convolution, and the layers folded into it (BatchNorm, Scale), in order."""

    node: Node
    folded: tuple[Node, ...]


class ConvolveWeights:
    """The weights of a `Convolve` as its convolutions take them, which executors of the same layers share.

    Parameters
    ----------
    branches : sequence of Branch
        Of the same geometry.
    geometry : Geometry
        Of all of them.
    kind : type of Packed
        What convolves.
    """

    def __init__(self, branches: Sequence[Branch], geometry: Geometry, kind: type[Packed] = Packed) -> None:
        self.branches, self.geometry, self.kind = branches, geometry, kind
        self._stamp = WeightStamp([blob for branch in branches for node in (branch.node, *branch.folded) for blob in node.weights])
        self.there: Packed
        self.back: Backward

    def prepare(self, device: torch.device) -> None:
        """Make the weights, unless nobody has touched the net's since."""
        if self._stamp.is_current(device):
            return
        pairs = [folded(branch, device) for branch in self.branches]
        w = torch.cat([w for w, _ in pairs])
        bias = None if any(b is None for _, b in pairs) else torch.cat([b for _, b in pairs if b is not None])
        if bias is None and len(pairs) > 1:
            bias = torch.cat([w.new_zeros(w.shape[0]) if b is None else b for w, b in pairs])
        # Of a few channels each, groups are all memory: values in another type would be read and written twice more.
        kind = Packed if self.geometry.groups > 1 and w.shape[1] < _LEAST_CHANNELS else self.kind
        self.there = kind(w, bias, self.geometry)
        self.back = Backward(self.there.w, self.geometry, kind=kind)
        self._stamp.renew(device)


class Convolve(Kernel):
    """One convolution, or several 1x1 of the same bottom side by side, each with what is folded into it.

    Parameters
    ----------
    weights : ConvolveWeights
        Of the convolutions and what is folded into them.
    relu : bool
        Whether ReLUs follow.
    mask : bool
        Whether the gradient is masked where they cut; not if a `MaxPool` behind has done it.
    positive : bool
        Whether only the positive part of the gradient passes the ReLUs.
    """

    recordable = True
    owns_gradient = True
    adds = True
    places = True

    def __init__(
        self, weights: ConvolveWeights, reads: Sequence[Value], writes: Sequence[Value], relu: bool, mask: bool, positive: bool = False
    ) -> None:
        super().__init__(reads, writes)
        self.weights, self.geometry, self.branches = weights, weights.geometry, weights.branches
        self.relu, self.mask, self.positive = relu, mask and relu, positive and relu
        self.least = _least(self.geometry)
        self.sizes = [branch.node.weights[0].shape[0] for branch in self.branches]

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Convolve."""
        (x,) = xs
        self.weights.prepare(x.device)
        height, width = x.shape[2:]
        if height < self.least[0] or width < self.least[1]:  # Caffe makes one window of a bottom that is a little too small
            x = torch.nn.functional.pad(x, (0, max(self.least[1] - width, 0), 0, max(self.least[0] - height, 0)))
        if len(self.sizes) == 1:
            ys: Sequence[Tensor] = [self.weights.there(x, self.relu, out=outs[0] if outs else None)]
        else:
            ys = self.weights.there.parts(x, self.relu, self.sizes, outs)
        if not keep:
            return ys, None
        return ys, (tuple(xs[0].shape), tuple(x.shape), [passed(y) for y in ys] if self.mask else None)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Convolve back."""
        shape, padded, masks = kept
        back = self.weights.back
        there = [g for g in grads if g is not None]
        simple = padded == shape and len(there) == len(grads) and not self.positive
        if simple and (total := back.gated(there, masks, shape, into)) is not None:
            return [total]
        grad = self._joined(masks, grads, mine)
        if padded == shape:
            return [back(grad, shape, into)]
        g = back(grad, padded, None)[:, :, : shape[2], : shape[3]]
        return [g if into is None else into.add_(g)]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the masks."""
        return sum(mask_size(shapes[v]) for v in self.writes) if self.mask else 0

    def works_in(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of several branches' gradients joined, or, through a stride, of the phases and of their image."""
        joined = sum(4 * count(shapes[v]) for v in self.writes) if len(self.sizes) > 1 else 0
        if self.weights.kind.dtype != torch.float32:  # and both ends in that type
            joined += sum(self.weights.kind.dtype.itemsize * count(shapes[v]) for v in (*self.reads, *self.writes))
        if self.geometry.stride == (1, 1):
            return joined
        bottom = 4 * count(shapes[self.reads[0]])
        if self.geometry.kernel == (1, 1):  # what every other place gets
            return joined + bottom // math.prod(self.geometry.stride)
        # By groups, torch makes the image alone.
        return joined + (2 if self.geometry.groups == 1 else 1) * bottom

    def _joined(self, masks: Sequence[Tensor] | None, grads: Sequence[Tensor | None], mine: Sequence[bool]) -> Tensor:
        """Return the gradient of all the branches, before their ReLUs."""
        if len(self.sizes) == 1:
            assert grads[0] is not None
            return passed_back(grads[0], None if masks is None else masks[0], self.positive, mine[0])
        like = next(g for g in grads if g is not None)
        n, _, height, width = like.shape
        joined = _empty((n, sum(self.sizes), height, width), like)
        each = [None] * len(self.sizes) if masks is None else masks
        for passed_there, g, part in zip(each, grads, torch.split(joined, self.sizes, 1), strict=True):
            if g is None:
                part.zero_()
            elif passed_there is None:
                part.copy_(g)
            else:
                masked(g, passed_there, part)
        return joined.clamp_(min=0) if self.positive else joined


def folded(branch: Branch, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return the kernels and biases of a convolution with all that is folded into it."""
    read = [blob._data.read(blob.shape, device) for blob in branch.node.weights]
    w, bias = read[0], read[1] if len(read) > 1 else None
    for node in branch.folded:
        factor, shift = affine_of(node.layer, [blob._data.read(blob.shape, device) for blob in node.weights])
        w = w * factor[:, None, None, None]
        moved = None if bias is None else bias * factor
        bias = moved if shift is None else shift if moved is None else moved + shift
    return w, bias


def affine_of(layer: Layer, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return the factor and the shift of each channel in a BatchNorm with stored statistics, or a Scale."""
    if isinstance(layer, BatchNorm):
        mean, variance, times, *inside = weights
        per = torch.where(times == 0, 0, 1 / times)
        factor = torch.rsqrt(variance * per + layer.param.batch_norm_param.eps)
        if inside:
            factor = factor * inside[0]
        moved = -mean * per * factor
        return factor, moved + inside[1] if len(inside) > 1 else moved
    return weights[0], weights[1] if len(weights) > 1 else None


def geometry_of(layer: Convolution) -> Geometry | None:
    """Return how a layer's windows move, or None for those that are not over the two axes of images."""
    if layer.axis != 1 or len(layer.windows.kernel) != 2:
        return None
    return Geometry(*layer.windows, layer.groups)
