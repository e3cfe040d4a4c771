"""The contract of a layer type.

A layer type is one class in one file of ``dreamopt/engine/layers/``; the file's name, without underscores, is the type
in lower case (``inner_product.py`` holds ``InnerProduct``). It says what weights it wants (``setup``), what shapes it
makes (``shape``) and computes (``forward``). Nobody writes a backward pass: autograd differentiates ``forward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits as CaffeTraits
from dreamopt.engine.example import MAP as MAP
from dreamopt.engine.example import Example as Example
from dreamopt.engine.reach import POINTWISE as POINTWISE
from dreamopt.engine.reach import Reach as Reach
from dreamopt.errors import NetError, ShapeError

if TYPE_CHECKING:
    from dreamopt.schema import SourceLocation
    from dreamopt.schema.caffe_pb2 import FillerParameter, LayerParameter

Shape = tuple[int, ...]


class Weight(NamedTuple):
    """A weight that a layer asks for: its shape, and Caffe's filler for it (None: zeros)."""

    shape: Shape
    filler: FillerParameter | None = None


class Layer:
    """One layer of a net.

    A subclass overrides `forward`, and where needed `setup` (called once, when the net is made) and `shape` (called
    when the net is made and each time its bottoms come with another shape).

    Parameters
    ----------
    param : LayerParameter
        The layer as the prototxt gives it, in Caffe's V2 form.
    phase : {"TRAIN", "TEST"}
        The phase the net was made for.
    where : SourceLocation
        File and line of the layer; errors quote it.
    """

    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    """Fewest and most bottoms; None for any number."""
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    """Fewest and most tops; None for any number."""
    fork: ClassVar[str] = ""
    """The forks of Caffe whose type it is, for ``docs/layers.md``; none where Caffe 1.0 has it. Like `differs`, it is not inherited."""
    differs: ClassVar[str] = ""
    """Where dreamopt says or does more than they do, in Markdown, for ``docs/layers.md``."""
    examples: ClassVar[tuple[Example, ...]] = ()
    """What the type is checked on (`dreamopt.testing.check_part`); each type names its own, simple ones ``(Example(),)``."""
    differentiable: ClassVar[bool] = True
    """Whether a gradient reaches any bottom or weight: not in ArgMax, Threshold and the like."""
    shape_follows_data: ClassVar[bool] = False
    """The tops' shapes depend on values, and `shape` says the largest ones; `forward` makes the actual ones (Filter)."""
    no_gradient: ClassVar[tuple[int, ...]] = ()
    """Bottoms that Caffe's backward pass aborts on where ``propagate_down`` is true: labels, selectors; -1 is the last one."""
    own_params: ClassVar[tuple[str, ...]] = ()
    """Blocks of parameters that the type reads and Caffe's schema does not have, such as ``("softsign_param",)``; see `param_of`."""
    has_weights: ClassVar[bool] = False
    """Whether it has weights, so that the reader does not leave it out together with labels that it reads."""
    is_loss: ClassVar[bool] = False
    """Caffe seeds the first top's diff with a loss weight of 1."""

    def __init__(self, param: LayerParameter, phase: str, where: SourceLocation) -> None:
        self.param = param
        self.name = param.name
        self.phase = phase
        self.where = where
        self.n_tops = len(param.top)

    @property
    def type(self) -> str:
        """Caffe's name of the layer's type."""
        return self.param.type

    def check_counts(self) -> None:
        """Refuse a number of bottoms or tops that the type does not take."""
        for what, names, (fewest, most) in (("bottom", self.param.bottom, self.bottoms), ("top", self.param.top, self.tops)):
            if len(names) < fewest or (most is not None and len(names) > most):
                allowed = f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
                self.fail(f"the type takes {allowed} {what}(s), but there {'is' if len(names) == 1 else 'are'} {len(names)}")

    def param_of(self, block: str) -> Mapping[str, Any]:
        """Return a block of parameters that Caffe's schema does not have, as the prototxt gives it; empty where it does not.

        Parameters
        ----------
        block : str
            One of `own_params`.

        Returns
        -------
        mapping
            By field: a number, a string (an enum's word too), True or False; a mapping for a block in it; a list for a field that
            stands several times. What is missing has no default here: ``layer.param_of("softsign_param").get("slope", 1.0)``.
            ``layer.where.of("softsign_param")`` is its file and line, for errors.
        """
        if block not in self.own_params:
            raise NetError(f"layer type {type(self).__name__} reads '{block}', but own_params names {', '.join(self.own_params) or 'none'}")
        params: Mapping[str, Mapping[str, Any]] = getattr(self.where, "own_params", {})
        return params.get(block, {})

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check and remember the parameters; return the weights wanted, in Caffe's order.

        Parameters
        ----------
        bottoms : sequence of Shape
            The bottoms' shapes when the net is made.

        Raises
        ------
        NetError
            For a parameter out of range, through `fail`.
        """
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the tops' shapes for these bottoms; default: each top is shaped as the first bottom.

        Raises
        ------
        ShapeError
            For a bottom that does not fit, through `fail`.
        """
        return [bottoms[0]] * self.n_tops

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the tops: a pure, differentiable, device-neutral function that never writes into its arguments.

        Parameters
        ----------
        bottoms : sequence of Tensor
            float32 (or float64 in tests), contiguous or channels-last; tops may come out in either layout.
        weights : sequence of Tensor
            As asked for in `setup`.
        """
        raise AssertionError(f"layer type {self.type} does not say how it computes")

    def recurrent_state(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shapes of what a pass of the net leaves for the next one (LSTM, RNN); default: nothing."""
        return ()

    def forward_from(
        self, carried: Sequence[Tensor], bottoms: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Compute the tops, and what is left for the next pass, from what the last one left: for a layer that has `recurrent_state`.

        `forward` computes as the first pass does, from zeros, and leaves nothing.
        """
        raise AssertionError(f"layer type {self.type} does not say how it goes on")

    @property
    def in_place(self) -> bool:
        """Whether the first top is written over the first bottom."""
        return bool(self.param.bottom and self.param.top) and self.param.bottom[0] == self.param.top[0]

    def caffe(self) -> CaffeTraits:
        """Return what Caffe's backward pass does with the memory of this layer's blobs; `caffe_traits` holds it."""
        return CaffeTraits()

    @cached_property
    def caffe_traits(self) -> CaffeTraits:
        """What `caffe` returns, asked once, with its defaults filled in."""
        traits = self.caffe()
        if traits.backward_reads_blobs is not None:
            return traits
        return replace(traits, backward_reads_blobs=type(self).backward_from_blobs is not Layer.backward_from_blobs)

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Return which places of its bottoms (N, C, H, W) each place of the tops depends on; None for all of them, or where that varies.

        A layer that says so lets its net be computed in tiles. The same holds for all bottoms, whose maps are of one size.

        Parameters
        ----------
        bottoms : sequence of Shape
            The bottoms' shapes.
        """
        return None

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Return the bottom's diff as Caffe computes it from what stands in the blobs when the backward pass comes.

        For types of one bottom and one top whose backward pass in Caffe reads them again. Others need not say anything:
        autograd differentiates `forward`. It is asked for only where a layer in place, this one or one behind it, has
        written over the blobs, or a script has.

        Parameters
        ----------
        x, y : Tensor
            What stands in the bottom and in the top; both the same if the layer runs in place.
        grad : Tensor
            The top's diff.
        x_at_forward : Tensor
            What stood in the bottom at the forward pass, for what Caffe's layer remembers by itself.
        """
        raise AssertionError(f"layer type {self.type} does not read its blobs again")

    @property
    def is_affine(self) -> bool:
        """Whether the top is ``factor x + shift`` with one number each for every channel (axis 1), or one for all; see `affine`."""
        return False

    def affine(self, bottom: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the factor and the shift, (C,) each, or of no axes, of a layer that `is_affine`.

        Parameters
        ----------
        bottom : callable
            Returns what the layer reads, (N, C, ...), for one that takes its statistics from there; they count as constants.
        weights : sequence of Tensor
            As asked for in `setup`.
        """
        raise AssertionError(f"layer type {self.type} does not say by what it multiplies")

    @property
    def takes_factors(self) -> bool:
        """Whether the layer is linear, with weights to which a factor and a shift for each of its top's channels can go; see `scaled`."""
        return False

    def scaled(self, weights: Sequence[Tensor], factor: Tensor, shift: Tensor) -> list[Tensor]:
        """Return the weights with which the layer computes ``factor y + shift`` in the place of y; it need not be set up.

        Parameters
        ----------
        weights : sequence of Tensor
            As asked for in `setup`.
        factor, shift : Tensor
            (C,) each, or of no axes.
        """
        raise AssertionError(f"layer type {self.type} does not say how its top is multiplied")

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds of one forward pass; default: one for each value written."""
        return sum(count(top) for top in tops)

    def fail(self, sentence: str, error: Callable[[str], NetError] = ShapeError) -> NoReturn:
        """Raise a ShapeError, or another error, that starts with the layer's name, file and line."""
        raise error(f"{self.where}: layer '{self.name}' ({self.type}): {sentence}")

    @contextmanager
    def fitting(self, bottoms: Sequence[Shape]) -> Iterator[None]:
        """Refuse bottoms whose shapes the layer's arithmetic stumbles over, where it does not say itself that they lack an axis or values.

        Raises
        ------
        ShapeError
            In the place of what `setup` or `shape` raises.
        """
        try:
            yield
        except (IndexError, ZeroDivisionError, OverflowError) as problem:
            shapes = " and ".join("x".join(map(str, shape)) if shape else "a single number" for shape in bottoms) or "no bottoms"
            self.fail(f"cannot take {shapes}: an axis or a value that it needs is not there ({problem})")


class Elementwise(Layer):
    """A layer whose top has the bottom's shape, each value computed from the value at its place; override `apply`."""

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top from the bottom ``x``."""
        raise AssertionError(f"layer type {self.type} does not say how it computes")

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each value depends on the one at its place."""
        return POINTWISE

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the one top."""
        return [self.apply(bottoms[0], weights)]


def count(shape: Sequence[int], start: int = 0, end: int | None = None) -> int:
    """Return the product of ``shape[start:end]``, 1 when that is empty.

    >>> count((2, 3, 5), 1)
    15
    """
    n = 1
    for d in shape[start:end]:
        n *= d
    return n
