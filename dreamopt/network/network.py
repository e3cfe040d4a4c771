"""A trained net together with how pictures become its input: a differentiable function *image -> activations*."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dreamopt.backends.base import FLOAT32, Backend, LayerInfo, RuleList, Shape, TotalOf, WeightGradients, parse_rules
from dreamopt.backends.base import BackwardRule as BackwardRule
from dreamopt.backends.base import NetGraph as NetGraph
from dreamopt.backends.base import Redirected as Redirected
from dreamopt.backends.base import followed_by as followed_by
from dreamopt.errors import ImageError, OutOfMemoryError, ShapeError, TargetError, UsageError, suggest
from dreamopt.image.covering import scaled_size
from dreamopt.image.files import covering, read_image
from dreamopt.image.inline import card
from dreamopt.network.box import box_of
from dreamopt.network.maps import nearest_layer
from dreamopt.network.preprocessing import Preprocessing, preprocessing_of
from dreamopt.network.tiling.field import Field, Fields
from dreamopt.network.tiling.plan import TilePlan
from dreamopt.network.tiling.tiler import Progress, Tiler
from dreamopt.network.together import PIXELS, Together
from dreamopt.objective import ImageValue, Objective, ReferenceImage, with_units
from dreamopt.parts.arguments import check_flag, check_kind, check_text, check_texts
from dreamopt.parts.brief import brief, counted
from dreamopt.parts.checks import SIDE, Range, check_number, check_whole, several, shown
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.memory import free_memory, memory_errors
from dreamopt.schema import find_label
from dreamopt.schema.not_computed import NotComputed

Size = int | Sequence[int] | None
"""An input size: pixels of a square's side, (H, W), or None for the size in the net's file."""


_LISTED = 12
_KINDS = {1: "a vector", 2: "a signal (channels, steps)", 3: "what a layer wrote", 4: "a volume (channels, depth, height, width)"}


def kind_of(item: Shape) -> str:
    """Return in words what an input is whose items have this shape, where it is no image.

    >>> kind_of((3, 16, 112, 112))
    'a volume (channels, depth, height, width) of (3, 16, 112, 112)'
    """
    return f"{_KINDS.get(len(item), 'an array')} of {item}"


def _as_image(image: object) -> NDArray[Any]:
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "uif":
        raise ImageError(f"an image is a file's path or an array (H, W, 3), RGB, 0-255, not {shown(image)}")
    return array


class Network:
    """A net of any backend, and the space its input lives in; `load_net` makes one.

    The input space is ``(grey levels 0-255 in channel_order - mean) * scale``; all images here are tensors in it.

    Parameters
    ----------
    backend : Backend
        What computes the net.
    preprocessing : Preprocessing, optional
        How images, or volumes, become its input; None for a net whose input has no grey levels.
    labels : sequence of str, optional
        Names of the classes.
    notes : sequence of str
        What was altered or assumed when the net was read, one sentence each.
    is_image : bool, optional
        Whether the input is an image; by default where it has the shape of one.
    """

    def __init__(
        self,
        backend: Backend,
        preprocessing: Preprocessing | None = None,
        labels: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        *,
        is_image: bool | None = None,
    ) -> None:
        self.has_image_input = len(backend.input_shape) == 3 if is_image is None else is_image
        """Whether the input is an image (C, H, W): not a vector, a signal or a volume, nor what a layer of a cut net wrote."""
        if preprocessing is None and self.has_image_input:
            preprocessing = preprocessing_of(backend.input_shape[0])
        self.backend = backend
        self.preprocessing = preprocessing
        self.labels = tuple(labels) if labels is not None else None
        self.notes = tuple(notes)
        self.files: tuple[str, ...] = ()
        """The files that it was loaded from, but for those of the package itself."""
        self.labels_form = ""
        """The form of the labels' file, in words."""
        self.together = Together(PIXELS if torch.device(backend.device).type == "cpu" else None)
        """How many samples pass at once, fewer where memory has run out; shared with the networks that `tiled` and `untiled` return."""
        self._hash: str | None = None
        self._tiler: Tiler | None = None

    @property
    def input_shape(self) -> Shape:
        """One item's input shape in the net's file, (C, H, W), or (K,) for a generator."""
        return self.backend.input_shape

    @property
    def input_name(self) -> str:
        """Name of the input blob."""
        return self.backend.input_name

    @property
    def device(self) -> torch.device:
        """Where the net is computed."""
        return self.backend.device

    @property
    def precision(self) -> str:
        """What convolutions and inner products multiply, ``"float32"`` or ``"bf16"``; see `load_net`."""
        return str(getattr(self.backend, "precision", FLOAT32))  # which a backend need not have

    @property
    def other_precision(self) -> dict[str, str]:
        """The precision for descriptions and keys, which say it where it is not float32: those of before there was another stay."""
        return {} if self.precision == FLOAT32 else {"precision": self.precision}

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""
        return self.backend.dtype

    @property
    def layers(self) -> Sequence[LayerInfo]:
        """The layers in the order in which they run."""
        return self.backend.layers

    @cached_property
    def left_out(self) -> Sequence[NotComputed]:
        """The layers of the file that are not computed, with the reasons, in the order of the file."""
        return tuple(getattr(self.backend, "not_computed", ()))

    @property
    def not_computed(self) -> Mapping[str, str]:
        """By the name of each layer that is not computed, why: it, or a layer that it needs, is unknown, must not run or does not fit."""
        return {entry.name: entry.reason for entry in self.left_out}

    @cached_property
    def graph(self) -> NetGraph:
        """Which layer makes each value, who reads it, and what names mean."""
        return NetGraph(self.backend.layers)

    @property
    def channel_order(self) -> str:
        """BGR or RGB: the order of the input's first three channels."""
        return self._picture().order

    @property
    def scale(self) -> float:
        """What the difference to the mean is multiplied by."""
        return self._picture().scale

    @property
    def mean(self) -> Tensor:
        """(C, 1, 1): the mean of each channel, grey levels, in the net's channel order."""
        return self._tensor(self._picture().mean_at())

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest values, (C, 1, 1) each, that stand for black and white in the input space."""
        return self.bounds_at(None)

    def bounds_at(self, size: Size) -> tuple[Tensor, Tensor]:
        """Return `bounds` for images of this size; (C, H, W) where a mean image of that size was given."""
        low, high = self._picture().bounds(None if size is None else self.item_shape(size)[1:])
        return self._tensor(low), self._tensor(high)

    def item_shape(self, size: Size = None) -> Shape:
        """Return one item's input shape at a size, which for signals and volumes has as many numbers as there are axes beside the channels.

        Raises
        ------
        UsageError
            For a size that is not one whole number above 0, or one for each axis beside the channels; or one for a vector.
        """
        if size is None:
            return self.input_shape
        axes = len(self.input_shape) - 1
        given = several(size)
        sides = (size,) * axes if given is None else given
        if axes == 0:
            raise UsageError(f"size {size} was given, but the net's input '{self.input_name}' is a vector of {self.input_shape}")
        wanted = "a number of pixels or (height, width)" if axes == 2 else f"{axes} numbers, as in {self.input_shape[1:]}"
        try:
            if len(sides) == axes:
                return (self.input_shape[0], *(check_whole("size", side, SIDE) for side in sides))
        except UsageError:
            pass
        raise UsageError(f"size must be {wanted}, each at least 1, not {shown(size)}")

    def resolve(self, layer: str) -> str:
        """Return the name under which a layer's or blob's value is asked for.

        A layer's name is what that layer wrote, so that with an in-place ReLU ``conv5`` is before it and ``relu5`` after
        it; the name of a blob that is no layer's is the blob's last value. Of a layer with several tops it is the first one;
        ``slice[0]``, ``slice[1]`` ... are each of them. See `dreamopt.engine.graph.NetGraph`.

        Raises
        ------
        TargetError
            With the names that come near.
        """
        check_text("a layer's name", layer, TargetError)
        lacking = self._lacking(layer)
        if lacking is not None:
            raise TargetError(str(lacking))
        if layer in self.graph:
            return layer
        hint = suggest(layer, self.graph.names()) or f"it has {self._some_layers()}"
        raise TargetError(f"the net has no layer '{layer}'; {hint}")

    def _lacking(self, name: str) -> NotComputed | None:
        """Return the layer that is not computed and that a name means: its own, its blob's, or that of one of its tops."""
        if name in self.graph.by_layer or name in self.graph.by_number:
            return None
        left_out = [entry for entry in self.left_out if entry.name not in self.graph.by_layer]
        by_name = {entry.name: entry for entry in reversed(left_out)}
        by_blob = {blob: entry for entry in left_out for blob in entry.tops}  # the last that writes it
        return by_name.get(name) or by_blob.get(name) or by_name.get(re.sub(r"\[\d+\]$", "", name))

    def _distinct(self, layers: Sequence[str]) -> list[str]:
        """Return the names of layers as `resolve` does, each once."""
        return list(dict.fromkeys(self.resolve(layer) for layer in layers))

    def _some_layers(self) -> str:
        names = [info.name for info in self.layers if not info.added]
        more = len(names) - _LISTED
        return ", ".join(names[:_LISTED]) + (f", ... and {more} more (dreamopt inspect lists them)" if more > 0 else "")

    def shape_of(self, layer: str, size: Size = None) -> Shape:
        """Return one item's shape at a layer, (C, H, W) or (K,), for an input of this size; (1,) for one number.

        Raises
        ------
        TargetError
            For an unknown layer.
        ShapeError
            If a layer below cannot take an input of this size.
        """
        name = self.resolve(layer)
        item = self.item_shape(size)
        try:
            return self.backend.shapes([name], item)[name] or (1,)
        except ShapeError as problem:
            if item == self.input_shape:
                raise
            why = f"layer '{name}' cannot be reached with an input of {item}: {problem}"
            nearest = nearest_layer(self, name, item)
            other = "" if nearest is None else f", or layer '{nearest}', the highest below it that can"
            raise ShapeError(f"{why}; use the file's size, {self.input_shape}{other}") from problem

    def memory_of(self, layers: Sequence[str], size: Size = None) -> int | None:
        """Return how many bytes a sample of a size takes up to some layers with its gradient, at the least; None if nobody knows.

        Of a network that computes in tiles, what the tiles take.
        """
        names, item = self._distinct(layers), self.item_shape(size)
        if names and self._tiler is not None:
            return self._tiler.bytes(names, (item[1], item[2]))
        ask = getattr(self.backend, "memory", None)  # which a backend need not have
        found = None if ask is None else ask(names, item)
        return None if found is None else int(found)

    def activations(
        self,
        x: Tensor,
        layers: Sequence[str],
        *,
        between_layers: bool = False,
        rule: str | BackwardRule | Sequence[str | BackwardRule] | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the values of layers for a batch of inputs, differentiable.

        Parameters
        ----------
        x : Tensor
            (N, C, H, W) in the input space.
        layers : sequence of str
            Their names; nothing beyond the topmost one is computed.
        between_layers : bool
            Whether gradients of one of these values with respect to another are wanted too, which may be slower.
        rule : str, BackwardRule or a sequence of them, optional
            Another backward pass for some layers, which may be slower too: ``"guided"``, ``"deconvnet"``, ``"redirected"``,
            ``"conv*: epsilon(0.25), InnerProduct: epsilon"``; see `dreamopt.engine.rule_list.RuleList`.
        acted : dict, optional
            Filled by the backward pass: for which samples, (N,) bool, by layer, a rule that tells it (``redirected``) changed the gradient.

        Returns
        -------
        dict of str to Tensor
            (N, C, H, W) or (N, K) by name; (N, 1) where the layer writes a number for each sample.
        """
        unique = self._distinct(check_texts("layers", layers, "names"))
        check_kind("the input", x, Tensor, "a tensor", ShapeError)
        between_layers = check_flag("between_layers", between_layers)
        if tuple(x.shape[1:2]) != self.input_shape[:1] or x.dim() != len(self.input_shape) + 1:
            raise ShapeError(
                f"the input must be of shape (N, {', '.join(map(str, self.input_shape))}) up to its size, not {tuple(x.shape)}"
            )
        if not unique:
            return {}
        if self._tiler is not None and not between_layers:
            size = (x.shape[2], x.shape[3])
            if not self._tiler.is_whole(unique, size, len(x)):
                return self._tiler.activations(x, unique, None if rule is None else self._parsed(rule, x))
            try:
                return self.untiled().activations(x, unique, rule=rule, acted=acted)
            except OutOfMemoryError:
                if not self._tiler.shrink(unique, size, len(x)):
                    raise
            return self.activations(x, unique, rule=rule, acted=acted)
        with memory_errors(lambda: f"a pass of an input of shape {tuple(x.shape)} up to {', '.join(unique)}", str(self.device)):
            if rule is None:  # which a backend of somebody's own need not know
                values = self.backend.activations(x, unique, between_layers=between_layers)
                return values if between_layers else self._by_sample(values, x)
            values = self.backend.activations(x, unique, between_layers=between_layers, rule=self._parsed(rule, x), acted=acted)
            # What is derived with respect to a value has to be that value, and no view of it.
            return values if between_layers else self._by_sample(values, x)

    def weight_gradients(self, x: Tensor, layers: Sequence[str], total: TotalOf) -> WeightGradients:
        """Return the gradient of a number with respect to every weight; `dreamopt.problem.Problem.weight_gradients` is for objectives.

        Parameters
        ----------
        x : Tensor
            (N, C, H, W) in the input space.
        layers : sequence of str
            The layers that the number depends on.
        total : callable
            From their values, as `activations` returns them, to one number.

        Returns
        -------
        dict of str to list of Tensor
            By layer in the order of the net, the gradients of its weights in Caffe's order and shapes.

        Raises
        ------
        UsageError
            For a backend that does not know its weights.
        """
        ask = getattr(self.backend, "weight_gradients", None)  # which a backend need not have
        if ask is None:
            raise UsageError(f"backend '{self.backend.name}' does not compute gradients of weights; engine, pycaffe and remote do")
        unique = self._distinct(check_texts("layers", layers, "names"))
        with memory_errors(lambda: f"the weights' gradients for an input of shape {tuple(x.shape)}", str(self.device)):
            found: WeightGradients = ask(x, unique, lambda values: total(self._by_sample(values, x)))
            return found

    def weights(self) -> dict[str, list[NDArray[np.float32]]]:
        """Return copies of every layer's weights in Caffe's order and shapes, by layer in the order of the net.

        Raises
        ------
        UsageError
            For a backend that does not give them; the engine does.
        """
        ask = getattr(self.backend, "weights", None)  # which a backend need not have
        if ask is None:
            raise UsageError(f"backend '{self.backend.name}' does not give a net's weights; engine does")
        found: dict[str, list[NDArray[np.float32]]] = ask()
        return found

    def with_weights(self, weights: Mapping[str, Sequence[NDArray[np.float32]]]) -> Network:
        """Return a copy of this network in which some layers have other weights; this one stays as it is.

        Parameters
        ----------
        weights : mapping of str to sequence of ndarray
            By layer, all its weights, as `weights` gives them.

        Raises
        ------
        UsageError
            For a backend that cannot copy a net; the engine can.
        WeightsError
            For weights of another number or shape.

        Examples
        --------
        >>> from dreamopt import load_net
        >>> network = load_net()
        >>> [kernels] = network.weights()["conv1"]
        >>> network.with_weights({"conv1": [0 * kernels]}).weights()["conv1"][0].any()
        np.False_
        """
        make = getattr(self.backend, "with_weights", None)  # which a backend need not have
        if make is None:
            raise UsageError(f"backend '{self.backend.name}' cannot copy a net with other weights; engine can")
        new = copy.copy(self)
        new.backend = make(weights)
        new._hash = None
        new.__dict__.pop("graph", None)
        new.__dict__.pop("left_out", None)
        new.__dict__.pop("fields", None)
        if self._tiler is not None:
            new._tiler = Tiler(new.backend, new.graph, self._tiler.memory, self._tiler.progress)
        return new

    def checked_rule(self, rule: str | BackwardRule | Sequence[str | BackwardRule]) -> BackwardRule:
        """Return the backward rule that strings describe.

        Raises
        ------
        UsageError
            For no rule, or a pattern that names no layer of the net; and in another precision than float32, but for dead ReLUs' own.
        """
        parsed = parse_rules(rule)
        if self.precision != FLOAT32 and not isinstance(parsed, Redirected):
            # Rules divide by small sums, and are the same from machine to machine to 1 part in 1e5.
            raise UsageError(
                f"the backward rule {parsed} needs precision 'float32', and the net was loaded with '{self.precision}'; gradients alone "
                "can be had in it"
            )
        if isinstance(parsed, RuleList):
            parsed.require_matches((info.name, info.type) for info in self.layers)
        return parsed

    def _parsed(self, rule: str | BackwardRule | Sequence[str | BackwardRule], x: Tensor) -> BackwardRule:
        parsed = self.checked_rule(rule)
        if not parsed.asks_for_box or not self.has_image_input or self.preprocessing is None:
            return parsed
        return parsed.bound(box_of(self, (x.shape[2], x.shape[3])).get)

    def tiled(self, memory: int | None = None, progress: Progress | None = None) -> Network:
        """Return this network, computing large images in tiles: the same values and gradients, up to rounding, in bounded memory.

        An image that takes less is computed at once. Else it is cut into crops, the net into segments, and these into tiles, so that the
        least is computed twice within the memory given. Objectives that add up over places (`Objective.additive`) need one sweep, others
        two. Where memory runs out all the same, the tiles become smaller and the pass goes on.

        Parameters
        ----------
        memory : int, optional
            The most bytes that a pass may take for its values; the image's own tensors come on top. Equal numbers give equal bits. By
            default half of what the device has free now.
        progress : callable, optional
            Called as ``progress(done, count)`` after each tile of a step; what it raises ends the pass.

        Returns
        -------
        Network
            It shares the weights.

        Raises
        ------
        UsageError
            For a net whose input is no image. `activations` raises one for layers that see all of a large image at once (InnerProduct,
            global pooling), naming the layer and the highest one that can be computed in tiles.

        Examples
        --------
        >>> from dreamopt import load_net
        >>> network = load_net().tiled(memory=2_000_000)
        >>> print(network.tiling_of(["conv2"], (40, 50)))
        the whole image at once
        """
        if len(self.input_shape) != 3:
            raise UsageError(f"the net's input '{self.input_name}' is {kind_of(self.input_shape)}, which is not computed in tiles")
        if memory is None:
            free = free_memory(str(self.device))
            memory = 2**30 if free is None else max(free // 2, 1)
        new = copy.copy(self)
        new._tiler = Tiler(self.backend, self.graph, int(check_number("memory", memory, Range(1, 2**50))), progress)
        return new

    def untiled(self) -> Network:
        """Return this network, computing images of any size at once."""
        new = copy.copy(self)
        new._tiler = None
        return new

    def shrink_tiles(self, layers: Sequence[str], size: Size, samples: int = 1) -> bool:
        """Go by less memory after it ran out with images of a size; False where no tile is smaller, or it does not compute in tiles."""
        names, item = self._distinct(layers), self.item_shape(size)
        return self._tiler is not None and self._tiler.shrink(names, (item[1], item[2]), samples)

    @property
    def tile_memory(self) -> int | None:
        """The bytes by which `tiled` cuts images: as given, or less where memory has run out; None for a network not in tiles.

        ``network.tiled(memory=other.tile_memory)`` cuts images as ``other`` does now, so that it gives equal bits.
        """
        return None if self._tiler is None else self._tiler.memory

    def tiling_of(self, layers: Sequence[str], size: Size = None) -> TilePlan:
        """Return how an image of a size is cut up to some layers."""
        names, item = self._distinct(layers), self.item_shape(size)
        return TilePlan() if self._tiler is None else self._tiler.plan(names, (item[1], item[2]))

    def score(self, x: Tensor, objective: Objective, views: int = 1) -> Tensor | None:
        """Return an objective's values of a large image in one sweep over tiles, each forward and backward in one go.

        Parameters
        ----------
        x : Tensor
            (N views, C, H, W) in the input space, all views of a sample side by side.
        objective : Objective
            Bound to this network.
        views : int
            How many images each sample's value is the mean of.

        Returns
        -------
        Tensor or None
            (N,), differentiable once; None where the objective does not add up over places, or the images are computed at once.
        """
        tiler, names = self._tiler, objective.layers
        if tiler is None or objective.additive is None or objective.coupled:
            return None
        if tiler.is_whole(names, (x.shape[2], x.shape[3]), len(x)):
            return None
        return tiler.score(x, objective, views)

    @cached_property
    def fields(self) -> Fields:
        """What is computed for objectives that read a window of a layer's map alone."""
        return Fields(self.backend, self.graph)

    def field(self, x: Tensor, objective: Objective, views: int = 1, rule: BackwardRule | None = None) -> Field | None:
        """Return how an objective that reads a window of its layers' maps is computed: of images cut to the window's receptive field.

        Parameters
        ----------
        x : Tensor
            (N views, C, H, W) in the input space, all views of a sample side by side.
        objective : Objective
            Bound to this network.
        views : int
            How many images each sample has.
        rule : BackwardRule, optional
            Of the backward pass that follows.

        Returns
        -------
        Field or None
            None where the whole maps are computed: the window is too large for anything to be saved, a layer below sees all of its map
            at once (InnerProduct, global pooling), the rule looks at more than the field, or the backend cannot compute a part.
        """
        if rule is not None and not rule.is_local:
            return None
        size = tuple(x.shape[2:])
        if len(self.input_shape) != 3 or len(size) != 2 or len(x) % views:
            return None
        found = self.fields.of(objective, (size[0], size[1]), len(x) // views, views, alone=rule is not None)
        if found is None or self._tiler is None:
            return found
        return found if self._tiler.bytes_at_once(found.layers, (size[0], size[1])) * found.share * len(x) <= self._tiler.memory else None

    def _by_sample(self, values: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Return values with an axis for samples and one for units: a number for each sample is one unit's; one for the batch stays."""
        return {name: value if value.dim() == 0 and len(x) != 1 else with_units(value) for name, value in values.items()}

    def require_optimizable(self) -> None:
        """Raise UsageError where the input has no gradient at all: it holds word indices, which an Embed layer looks up."""
        if self.index_reader is not None:
            raise UsageError(self.index_sentence)

    @property
    def index_sentence(self) -> str:
        """What is said of an input that holds word indices; empty for any other."""
        embed = self.index_reader
        if embed is None:
            return ""
        name = self.graph.name(self.layers.index(embed))
        return (
            f"the net's input '{self.input_name}' {self.input_shape} takes word indices, which {embed} looks up and which have no "
            f"gradient: optimize the embedded vectors instead, with --input {name} or load_net(input={name!r})"
        )

    @cached_property
    def index_reader(self) -> LayerInfo | None:
        """The Embed layer that looks up what the input holds, where nothing else reads it; else None."""
        carried, found = {self.input_name}, None
        for info in self.layers:
            if carried.intersection(info.bottoms):
                if info.type == "Embed":
                    found = info if found is None else found
                elif info.type in ("Split", "Reshape", "Flatten", "Slice", "Permute"):
                    carried.update(info.tops)
                elif info.type != "Silence":
                    return None
        return found

    def producers(self, layer: str) -> list[tuple[LayerInfo, str]]:
        """Return the layers whose values a layer reads, each with the name under which the value is asked for."""
        reads = self.graph.reads[self.graph.value(layer)[0]]
        return [(self.layers[i], self.graph.name(i, j)) for i, j in reads]

    def writer(self, layer: str) -> LayerInfo:
        """Return the layer that wrote what ``layer`` names; of a Split's tops, the one below it."""
        return self.layers[self.graph.value(layer)[0]]

    def find_label(self, label: str) -> int:
        """Return the number of the class with this name; TargetError where it is none, or several."""
        return find_label(self.labels, check_text("a class's name", label, TargetError))

    def to_rgb(self, x: Tensor, channels: str = "auto", *, clip: bool = True) -> Tensor:
        """Return images (N, C, H, W) of the input space as (N, H, W, 3), float, RGB, cut to 0-255; see `Preprocessing.to_rgb`."""
        return self._picture().to_rgb(x, channels, clip=clip)

    def from_rgb(self, picture: ArrayLike) -> Tensor:
        """Return a picture (H, W, 3), RGB, 0-255, as (C, H, W) of the input space, on the net's device."""
        return self._picture().from_rgb_in_strips(picture, self.dtype).to(self.device)

    def activations_of(
        self, image: ReferenceImage | ArrayLike, layers: Sequence[str], size: Size = None, *, longest: int | None = None
    ) -> dict[str, Tensor]:
        """Return the values of layers for an image, without a gradient.

        Parameters
        ----------
        image : str, ImageValue or array
            A file's path, or an image (H, W, 3), RGB, 0-255.
        layers : sequence of str
            Their names.
        size : int or (int, int), optional
            The input's size; the image is scaled to cover it and cut to its middle. None is the size in the net's file.
        longest : int, optional
            Take the image at its own size instead, made smaller only where its longer side has more pixels than this.

        Returns
        -------
        dict of str to Tensor
            (1, C, H, W) or (1, K) by name.

        Raises
        ------
        ImageError
            For a file that cannot be read as an image, or a net whose input is none.
        ShapeError
            If a layer cannot be reached with the image's own size, with the highest one below it that can.
        """
        if not self.has_image_input:
            raise ImageError(f"the net's input '{self.input_name}' is {kind_of(self.input_shape)}, not a picture")
        pair = self.item_shape(size if longest is None else longest)[1:]
        whole = read_image(image, pair) if isinstance(image, str) else image.array() if isinstance(image, ImageValue) else _as_image(image)
        if longest is not None:
            pair = scaled_size(whole.shape, min(1.0, longest / max(whole.shape[:2])))
            for layer in layers:
                try:
                    self.shape_of(layer, pair)
                except ShapeError as problem:
                    name = f"'{image}'" if isinstance(image, str) else "in memory"
                    raise ShapeError(f"the image {name}, looked at as {pair[1]} x {pair[0]} pixels, does not fit: {problem}") from problem
        x = self.from_rgb(covering(whole, pair))[None]
        with torch.no_grad():
            return {name: value.detach() for name, value in self.activations(x, layers).items()}

    def image_space(self, size: Size = None) -> ImageSpace:
        """Return the space that images of a size live in: shape, black and white, the length of a grey level."""
        shape = self.item_shape(size)
        if self.preprocessing is None:
            return ImageSpace(shape, None, None, 1.0, self._tensor(0.0))
        low, high = self.bounds_at(shape[1:])
        return ImageSpace(
            shape,
            low,
            high,
            grey_level=abs(self.scale),
            like=self._tensor(0.0),
            order=self.channel_order if shape[0] >= 3 else "",
            net_size=(self.input_shape[1], self.input_shape[2]) if self.has_image_input else None,
            inverted=self.scale < 0,
        )

    def hash(self) -> str:
        """Return the sha256 of the weights, in hexadecimal; computed once."""
        if self._hash is None:
            self._hash = self.backend.weights_hash()
        return self._hash

    def describe(self) -> Mapping[str, Any]:
        """Return what a result file says about the net: plain values, fit for JSON."""
        return self.describe_input() | {"weights_sha256": self.hash()}

    def describe_input(self) -> dict[str, Any]:
        """Return what `describe` does without the weights' hash, for which all random weights have to be drawn."""
        preprocessing = self.preprocessing
        return {
            "backend": self.backend.name,
            "computed_by": self.backend.origin,
            "input": self.input_name,
            "input_shape": list(self.input_shape),
            "mean": None if preprocessing is None else [float(v) for v in preprocessing.mean],
            "mean_image": preprocessing is not None and preprocessing.mean_image is not None,
            "channel_order": None if preprocessing is None else preprocessing.order,
            "scale": None if preprocessing is None else preprocessing.scale,
            "assumed": [] if preprocessing is None else list(preprocessing.assumed),
            "sources": {} if preprocessing is None else dict(preprocessing.sources),
            **({"feed": dict(feed)} if (feed := getattr(self.backend, "feed", None)) else {}),
            **self.other_precision,
            "notes": [*self.backend.changes, *self.notes],
        }

    def _tensor(self, values: ArrayLike) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=self.dtype, device=self.device)

    def _picture(self) -> Preprocessing:
        if self.preprocessing is None:
            raise ImageError(f"the net's input '{self.input_name}' is {kind_of(self.input_shape)}, not a picture")
        return self.preprocessing

    def __repr__(self) -> str:
        layers, place = counted(len(self.layers), "layer"), f"{self.backend.name} on {self.device}"
        return brief("Network", self.backend.net_name, layers, f"input {self.input_name} {self.input_shape}", place)

    def _repr_html_(self) -> str:
        """Return the input, the last layers and the classes, for notebooks."""
        last = [f"{info.name} {info.shapes[0]}" for info in self.layers if info.shapes][-_LISTED:]
        facts = {
            "input": f"{self.input_name} {self.input_shape}",
            "computed by": f"{self.backend.name} on {self.device}",
            "layers": len(self.layers),
            "the last of them": ", ".join(last),
            "classes": None if self.labels is None else f"{len(self.labels)}: {', '.join(self.labels[:_LISTED])}",
            "files": ", ".join(self.files) or None,
        }
        return card("Network", facts)
