"""What old scripts expect of scikit-image: names of parameters, and channels on the last axis of a colour image without a word."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def io(module: types.ModuleType) -> None:
    """Let ``imread`` take ``as_grey``."""
    _adapt(module, "imread", {"as_grey": "as_gray"})


def restoration(module: types.ModuleType) -> None:
    """Let the denoisers take the names of their parameters before scikit-image 0.19, and colour images as they took them."""
    _adapt(module, "denoise_tv_bregman", {"max_iter": "max_num_iter"}, _is_colour)
    _adapt(module, "denoise_tv_chambolle", {"n_iter_max": "max_num_iter"}, _never)
    _adapt(module, "denoise_wavelet", {}, _never)
    for name in ("denoise_bilateral", "denoise_nl_means"):
        _adapt(module, name, {}, _is_colour)


def transform(module: types.ModuleType) -> None:
    """Let what rescales leave the channels alone."""
    for name in ("rescale", "pyramid_reduce", "pyramid_expand", "pyramid_gaussian", "pyramid_laplacian"):
        _adapt(module, name, {}, _is_colour)


def filters(module: types.ModuleType) -> None:
    """Let the Gaussian filter take RGB, and have its older name."""
    _adapt(module, "gaussian", {}, _is_rgb)
    if not hasattr(module, "gaussian_filter"):
        module.gaussian_filter = module.gaussian  # type: ignore[attr-defined]  # the name is what is added


def filter(module: types.ModuleType) -> None:
    """Make ``skimage.filter`` mean ``skimage.filters`` and the denoisers that were in it."""
    from skimage import filters, restoration

    module.__getattr__ = lambda name: getattr(filters if hasattr(filters, name) else restoration, name)  # type: ignore[method-assign]


def _never(shape: Shape) -> bool:
    return False


def _is_colour(shape: Shape) -> bool:
    return len(shape) == 3 and shape[2] <= 4


def _is_rgb(shape: Shape) -> bool:
    return len(shape) == 3 and shape[2] == 3


def _adapt(
    module: types.ModuleType, function: str, renamed: Mapping[str, str], has_channels: Callable[[Shape], bool] | None = None
) -> None:
    """Let a function take old names, and where ``has_channels`` says so of the image's shape, the last axis as channels."""
    original = getattr(module, function, None)
    if original is None:
        return

    @functools.wraps(original)
    def with_old_names(*args: Any, **options: Any) -> Any:
        for old, new in renamed.items():
            if old in options:
                options[new] = options.pop(old)
        if has_channels is not None:
            if "multichannel" in options:
                options["channel_axis"] = -1 if options.pop("multichannel") else None
            elif "channel_axis" not in options and has_channels(np.shape(args[0] if args else options.get("image", ()))):
                options["channel_axis"] = -1
        return original(*args, **options)

    setattr(module, function, with_old_names)
