"""`dreamopt.attribute`: what a unit answers to in an image, from Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.attribution.attribution import Attribution
from dreamopt.attribution.explained import bound_objective, class_objective, class_pass, explains, label_of, scores_of
from dreamopt.attribution.method import AttributionMethod, parse_method
from dreamopt.attribution.score import MadePass, ScoreFunction
from dreamopt.errors import ObjectiveError, UsageError
from dreamopt.image.init import given_images
from dreamopt.image.reference import as_image_value
from dreamopt.network import Network, Size
from dreamopt.network.diagnosis import explain_nonfinite
from dreamopt.objective import Objective
from dreamopt.parts.arguments import check_kind, check_seed
from dreamopt.progress.passes import attributing

Target = Objective | str | Sequence[Objective | str] | None
"""What is explained: an objective, one for each image, or None for each image's highest class."""
Method = AttributionMethod | str


@dataclass
class Explained:
    """Images, and what is explained of each: what `attribute` is made of, for several methods one after the other.

    Parameters
    ----------
    network : Network
        The net.
    images : Tensor
        (N, C, H, W), in the net's input space.
    objective : Objective
        Bound for their size.
    size : int or (int, int), optional
        As it was asked for.
    class_scores : Tensor, optional
        (N, K), where each image's highest class is explained.
    """

    network: Network
    images: Tensor
    objective: Objective
    size: Size = None
    class_scores: Tensor | None = None
    _scores: Tensor | None = field(default=None, repr=False)
    _made: MadePass | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, network: Network, images: Sequence[Any], objective: Target = None, size: Size = None, *, backward: bool = True
    ) -> Explained:
        """Return images as `attribute` takes them, with what is explained of each.

        Without ``backward`` nothing is kept of the pass that finds the classes, for who does not go on with `attribute`.
        """
        check_kind("network", network, Network, "a network of dreamopt.load_net")
        space = network.image_space(size)
        given = [as_image_value(one) for one in images]
        if not given or any(one is None for one in given):
            raise UsageError("give at least one image: a file's path, an array (H, W, 3) RGB 0-255, or a tensor of the input space")
        network.require_optimizable()
        planes = torch.cat([given_images(one, space, 1) for one in given if one is not None])
        if objective is not None:
            return cls(network, planes, bound_objective(network, objective, size), size)
        # The pass that finds the classes serves the first gradient too; in tiles, it would keep what tiles are there to let go.
        backward = backward and network.tile_memory is None
        made = class_pass(network, planes, backward=backward)
        scores = scores_of(made)
        bound = bound_objective(network, class_objective(network, scores), size)
        return cls(network, planes, bound, size, scores, _made=made if backward else None)

    def attribute(
        self, method: Method, *, batch: int = 16, seed: int = 0, progress: Callable[[int], object] | None = None
    ) -> list[Attribution]:
        """Return each image's attribution by a method; parameters as of `attribute` and `ScoreFunction`."""
        part, network, images = parse_method(method), self.network, self.images
        size = tuple(images.shape[2:]) or None
        seed = check_seed("seed", seed)
        made, self._made = self._made, None
        score = ScoreFunction(network, self.objective, size, batch=batch, seed=seed, progress=progress, given=images, made=made)
        del made
        maps = part.attribute(score, images)
        self._scores = score.values(images) if self._scores is None else self._scores
        found = []
        for i, value in enumerate(self._scores[:, 0].tolist()):
            own = self.objective.item(i)
            if not (math.isfinite(value) and bool(torch.isfinite(maps.values[i]).all())):
                why = explain_nonfinite(network, own, images[i : i + 1])
                raise ObjectiveError(f"{part} of {own} gives numbers that are not finite: {why}")
            found.append(
                Attribution(
                    array=_array(network, maps.values[i]),
                    image=_seen(network, images[i]),
                    score=value,
                    objective=str(own),
                    method=str(part),
                    explains=explains(network, own),
                    label=label_of(network, own),
                    summary=part.summary,
                    signed=part.signed,
                    facts={name: facts[i] for name, facts in maps.facts.items() if facts[i] is not None},
                    settings={"network": network.describe_input(), "size": list(images.shape[2:]), "seed": seed},
                )
            )
        return found


@overload
def attribute(
    network: Network,
    image: list[Any],
    objective: Target,
    method: list[Method] | list[str],
    *,
    size: Size = ...,
    seed: int = ...,
    batch: int = ...,
    progress: bool | Callable[[int], object] | None = ...,
) -> list[list[Attribution]]: ...
@overload
def attribute(
    network: Network,
    image: list[Any],
    objective: Target = ...,
    method: Method = ...,
    *,
    size: Size = ...,
    seed: int = ...,
    batch: int = ...,
    progress: bool | Callable[[int], object] | None = ...,
) -> list[Attribution]: ...
@overload
def attribute(
    network: Network,
    image: Any,
    objective: Target,
    method: list[Method] | list[str],
    *,
    size: Size = ...,
    seed: int = ...,
    batch: int = ...,
    progress: bool | Callable[[int], object] | None = ...,
) -> list[Attribution]: ...
@overload
def attribute(
    network: Network,
    image: Any,
    objective: Target = ...,
    method: Method = ...,
    *,
    size: Size = ...,
    seed: int = ...,
    batch: int = ...,
    progress: bool | Callable[[int], object] | None = ...,
) -> Attribution: ...
def attribute(
    network: Network,
    image: Any,
    objective: Target = None,
    method: Method | list[Method] | list[str] = "saliency",
    *,
    size: Size = None,
    seed: int = 0,
    batch: int = 16,
    progress: bool | Callable[[int], object] | None = None,
) -> Attribution | list[Attribution] | list[list[Attribution]]:
    """Return which parts of an image an objective answers to.

    Parameters
    ----------
    network : Network
        The net.
    image : path, array or tensor, or a list of these
        A file, an array (H, W, 3) RGB 0-255, or a tensor (C, H, W) in the net's input space. An image of another size is scaled to cover
        the net's input and cut to its middle. Of a list, all pass through the net together; each gets the attribution that it gets alone.
    objective : Objective, str, or a sequence of these, optional
        What is explained, as ``"fc8:281"``; a sequence gives each image its own. By default each image's highest class.
    method : AttributionMethod or str, or a list of these
        As ``"saliency"``, ``"integrated_gradients(steps=100)"``; of a list, each image gets a list with one attribution for each.
    size : int or (int, int), optional
        The input's size in pixels; the one in the net's file by default.
    seed : int
        For the method's random draws, which are the same for every image.
    batch : int
        The most images that pass through the net at once where the method makes many versions of each.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called after each pass with the number of images that passed through
        the net; what it raises ends the work.

    Returns
    -------
    Attribution, or a list of them for a list of images or methods, a list of lists for both

    Raises
    ------
    TargetError
        For a layer, unit or class that the network does not have.
    ImageError
        For an image that cannot be read or does not fit.
    ObjectiveError
        Where the score or the map is not finite, with the layer at which that begins.
    UsageError
        For an unknown method, an objective that compares images, or an empty list.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import attribute, load_net
    >>> ramp = np.tile(np.arange(96, dtype=np.uint8)[:, None, None], (1, 96, 3))
    >>> one = attribute(load_net(), ramp, "scores:0", "saliency")
    >>> one.heat_map.shape, one.explains
    ((96, 96), "a logit (layer 'scores', before the Softmax 'prob')")
    """
    several = isinstance(image, list)
    parts = [parse_method(one) for one in (method if isinstance(method, list) else [method])]
    explained = Explained.of(network, image if several else [image], objective, size)
    known = len(explained.images) * sum(part.evaluations() or 0 for part in parts)
    by_method = []
    with attributing(False if callable(progress) else progress, known) as report:
        for part in parts:
            report.begin(str(part), part.evaluations())
            passed = progress if callable(progress) else report.add
            by_method.append(explained.attribute(part, batch=batch, seed=seed, progress=passed))
    if not isinstance(method, list):
        return by_method[0] if several else by_method[0][0]
    by_image = [list(row) for row in zip(*by_method, strict=True)] if by_method else [[] for _ in explained.images]
    return by_image if several else by_image[0]


def _array(network: Network, values: Tensor) -> NDArray[np.float32]:
    """Return one image's map as an array (H, W, C), RGB, or (H, W); as it is where the net takes no images."""
    array: NDArray[np.float32] = values.detach().to(torch.float32).cpu().numpy()
    if not network.has_image_input:
        return array
    if len(array) == 1:
        return np.ascontiguousarray(array[0])
    order = network.image_space().order
    if order == "BGR":
        array = np.concatenate([array[2::-1], array[3:]])
    return np.ascontiguousarray(array.transpose(1, 2, 0))


def _seen(network: Network, image: Tensor) -> NDArray[np.uint8] | None:
    if not network.has_image_input:
        return None
    # Of another number of channels than 1 or 3 a net shows each beside the others; a map lies over one image, their mean.
    each = ["auto"] if len(image) in (1, 3) else [str(channel) for channel in range(len(image))]
    shown = torch.stack([network.to_rgb(image[None], channels)[0] for channels in each]).mean(0)
    rgb: NDArray[np.uint8] = np.rint(shown.cpu().numpy()).astype(np.uint8)
    return rgb
