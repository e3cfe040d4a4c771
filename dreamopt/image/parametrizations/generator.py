"""Generator: a net that makes images is in between; its input, the code, is searched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.colour import LUMINANCE
from dreamopt.image.nets import ImageNet, load_image_net
from dreamopt.image.palette import image_shape
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.reference import ImageValue, as_image_value
from dreamopt.parts.checks import ANY, FRACTION, NOT_NEGATIVE, Fields, check_number, shown
from dreamopt.parts.npy import read_npy
from dreamopt.parts.part import INPUT_FILE
from dreamopt.parts.reading import read_text
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Generator(Parametrization):
    r"""Search the code from which a generator net makes the image (DGN-AM).

    .. math:: x = b + g\,\bigl(\operatorname{fit}(G(h)) / s + \mu\bigr), \qquad h^0 \sim N(0, \sigma^2), \qquad
        h \leftarrow \lambda \operatorname{clip}(h, 0, u) \text{ after each step}

    with G's output in its own space, (grey levels in its channel order - μ) times s, put into that of the net that looks at it: b
    is its black, g its grey level. The generator has seen photographs, so only what looks like one can be found. Images are
    left as G makes them, also where they go beyond black and white.

    Parameters
    ----------
    net : str or Network
        The generator: a prototxt's path (or any name that `dreamopt.load_net` knows), or a loaded net, which no string makes again.
    weights : str, optional
        Its weights' path; random ones without.
    layer : str, optional
        The layer whose value is the image, (1, H, W) or (3, H, W); the last one by default.
    noise : float
        σ, at least 0. 0 starts from the code 0, the generator's mean image.
    upper : float or str, optional
        u, above 0: one number, or the path of a text file with one for each unit, as the published ``act_range/3x/fc6.txt``. None:
        the code is not clipped.
    lower : float, optional
        The other end of the clip, 0 by default; used only with ``upper``.
    decay : float
        λ, from 0 to 1; after the clip, as published. Smaller ones keep the code nearer to the mean image.
    mean : float or tuple of float
        μ: one number, or one for each channel of G, in its order.
    scale : float
        s, not 0.
    order : {"BGR", "RGB"}
        Of G's channels.
    fit : {"crop", "resize"}
        Whether an image larger than the image space is cut to its middle or made smaller; one that is too small in either
        direction is enlarged in both cases. Sides keep their ratio.
    init : array, tensor or path, optional
        The code to start from, (K,) or (N, K); a path to a ``.npy`` file. The noise is added if it is said.

    References
    ----------
    .. [1] Nguyen, Dosovitskiy, Yosinski, Brox, Clune, "Synthesizing the preferred inputs for neurons in neural networks via deep
       generator networks", 2016. Evolving-AI-Lab/synthesizing, ``act_max.py`` (200 steps of `Ascent`, 8 to 0 in units of the code).

    Examples
    --------
    >>> print(Generator("upconv.prototxt", "upconv.caffemodel", upper=30.0))
    Generator("upconv.prototxt", weights="upconv.caffemodel", upper=30.0)
    """

    examples: ClassVar[tuple[str, ...]] = (
        "generator({net})",
        'generator({net}, decay=0.5, upper=2.5, fit="resize", noise=0.5, mean=110)',
    )
    invertible: ClassVar[bool] = False
    within_range: ClassVar[bool] = False
    counts_grey_levels: ClassVar[bool] = False

    net: str | ImageNet = field(metadata=INPUT_FILE)
    weights: str | None = field(default=None, metadata=INPUT_FILE)
    layer: str | None = None
    noise: float | None = None
    upper: float | str | None = field(default=None, metadata=INPUT_FILE)
    lower: float = 0.0
    decay: float = 0.99
    mean: float | tuple[float, ...] = (104.0, 117.0, 123.0)
    scale: float = 1.0
    order: Literal["BGR", "RGB"] = "BGR"
    fit: Literal["crop", "resize"] = "crop"
    init: str | os.PathLike[str] | np.ndarray | Tensor | ImageValue | None = field(default=None, metadata=INPUT_FILE)
    _upper: Tensor | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = Fields(self).number("noise", NOT_NEGATIVE, optional=True).number("lower", ANY).number("decay", FRACTION)
        fields.number("scale", ANY).choice("order", ("BGR", "RGB")).choice("fit", ("crop", "resize"))
        if self.scale == 0:
            raise UsageError("scale of Generator must be other than 0")
        if isinstance(self.mean, tuple | list):
            fields.numbers("mean", ANY)
        else:
            fields.number("mean", ANY)
        for name in ("net", "weights"):
            value = getattr(self, name)
            object.__setattr__(self, name, os.fspath(value) if isinstance(value, os.PathLike) else value)
        if isinstance(self.net, str):
            fields.text("net")
        elif not hasattr(self.net, "activations"):
            raise UsageError(f"net of Generator must be the path of a net, or a net, not {shown(self.net)}")
        fields.text("weights", optional=True).text("layer", optional=True)
        if self.upper is not None and not isinstance(self.upper, str):
            fields.number("upper")
        object.__setattr__(self, "init", as_image_value(self.init))
        upper = None if self.upper is None else _numbers(self.upper)
        if upper is not None and not bool((upper > self.lower).all()):
            raise UsageError(
                f"upper of Generator must be above lower, which is {self.lower}, in every unit; it goes down to {upper.min():g}"
            )
        object.__setattr__(self, "_upper", upper)

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the generator's channels can become those of the image."""
        channels = self._channels(space)
        return channels == 1 or space.shape[0] in (1, 3)

    def network(self, space: ImageSpace) -> ImageNet:
        """Return the generator, loaded on the image space's device if it was given by name."""
        return load_image_net(self.net, self.weights, space.like.device) if isinstance(self.net, str) else self.net

    def shape(self, space: ImageSpace) -> Shape:
        """Return the code's shape, mostly (K,)."""
        image_shape(space, "Generator")
        return tuple(self.network(space).input_shape)

    def unit(self, space: ImageSpace) -> float:
        """Return 1: steps are counted in the code's own units, as published."""
        return 1.0

    def bounds(self, space: ImageSpace) -> tuple[Tensor | None, Tensor | None]:
        """Return the clip's ends."""
        if self._upper is None:
            return None, None
        upper, shape = self._upper.to(dtype=space.like.dtype, device=space.like.device), self.shape(space)
        if upper.numel() not in (1, int(np.prod(shape))):
            raise UsageError(
                f"upper of Generator has {upper.numel()} numbers, but the code has {int(np.prod(shape))}; give one, or one for each"
            )
        upper = upper.expand(int(np.prod(shape))).reshape(shape)
        return torch.full_like(upper, self.lower), upper

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return codes drawn item by item, about the one given."""
        shape, init = self.shape(space), as_image_value(self.init)
        noise = (1.0 if init is None else 0.0) if self.noise is None else self.noise
        drawn = torch.stack([stream.normal("generator", shape, space.like) for stream in streams]) * noise
        return drawn if init is None else drawn + self._code(init, shape, len(streams)).to(drawn)

    def _code(self, init: str | ImageValue, shape: Shape, n: int) -> Tensor:
        if isinstance(init, str) and not init.endswith(".npy"):
            raise UsageError(f"a generator cannot start from the picture '{init}': no code can be read off an image; give a code, as .npy")
        code = read_npy(init, "the code", ImageError) if isinstance(init, str) else init.array()
        if code.shape not in (shape, (n, *shape)):
            raise UsageError(f"the code to start from has shape {code.shape}, but {shape} or {(n, *shape)} is needed")
        return torch.from_numpy(np.array(code, dtype=np.float64)).expand(n, *shape)

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return what the generator makes of codes, in the image space's space."""
        channels, height, width = image_shape(space, "Generator")
        net = self.network(space)
        layer = self._layer(net)
        made = net.activations(params.to(dtype=net.dtype, device=net.device), [layer])[layer].to(params)
        if made.dim() != 4 or made.shape[1] not in (1, 3):
            raise UsageError(f"layer '{layer}' of the generator gives {tuple(made.shape[1:])}, which is no picture; name another as layer")
        mean = made.new_tensor(self.mean).reshape(-1, 1, 1)
        if len(mean) not in (1, made.shape[1]):
            raise UsageError(f"mean of Generator has {len(mean)} numbers, but its images have {made.shape[1]} channels")
        grey = made / self.scale + mean
        assert space.black is not None
        return space.black + space.grey_step * self._recoloured(self._fitted(grey, (height, width)), channels, space)

    def _layer(self, net: ImageNet) -> str:
        return net.layers[-1].name if self.layer is None else self.layer

    def _channels(self, space: ImageSpace) -> int:
        net = self.network(space)
        return net.shape_of(self._layer(net))[0]

    def _fitted(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = image.shape[2:]
        factor = max(size[0] / height, size[1] / width)
        if factor > 1 or (factor < 1 and self.fit == "resize"):
            grown = max(size[0], round(height * factor)), max(size[1], round(width * factor))
            image = functional.interpolate(image, size=grown, mode="bilinear", align_corners=False, antialias=factor < 1)
        top, left = (image.shape[2] - size[0]) // 2, (image.shape[3] - size[1]) // 2
        return image[:, :, top : top + size[0], left : left + size[1]]

    def _recoloured(self, image: Tensor, channels: int, space: ImageSpace) -> Tensor:
        if image.shape[1] == channels and (channels == 1 or space.order in ("", self.order)):
            return image
        if image.shape[1] == 3 and channels == 3:
            return image.flip(1)
        if image.shape[1] == 3 and channels == 1:
            weights = image.new_tensor(LUMINANCE[::-1] if self.order == "BGR" else LUMINANCE).reshape(-1, 1, 1)
            return (image * weights).sum(1, keepdim=True)
        if image.shape[1] == 1:
            return image.expand(-1, channels, -1, -1)
        raise UsageError(f"the generator makes {image.shape[1]} channels, but the net sees {channels}")

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Refuse: no code can be read off an image."""
        raise UsageError(
            "a generator cannot start from an image, nor take a projection between steps: no code can be read off an image; "
            "give a code as init, and use penalties, or its own bounds and decay"
        )

    def project_params(self, params: Tensor, space: ImageSpace, context: StepContext) -> Tensor:
        """Return the codes clipped, then decayed."""
        low, high = self.bounds(space)
        return (params if low is None else params.clamp(low, high)) * self.decay


def _numbers(upper: float | str) -> Tensor:
    if not isinstance(upper, str):
        return torch.tensor([check_number("upper of Generator", upper)], dtype=torch.float64)
    words = read_text(upper, "upper of Generator: the file", UsageError).replace(",", " ").split()
    try:
        return torch.tensor([check_number(f"upper of Generator, read from {upper},", float(word)) for word in words], dtype=torch.float64)
    except ValueError as problem:
        raise UsageError(f"{upper} cannot be read as numbers, one for each unit of the code: {problem}") from problem
