"""Dream: what layers see in an image is strengthened in it, octave by octave."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from numpy.typing import ArrayLike
from PIL.Image import Image as PILImage

from dreamopt.errors import ShapeError, UsageError
from dreamopt.image.covering import scaled_size
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.modes import samples_of
from dreamopt.network import Network, choose_layer
from dreamopt.objective import Objective, ReferenceImage, Sum, frozen_image, terms
from dreamopt.optimize import Callback
from dreamopt.optimize.result import checked_callbacks
from dreamopt.parts.arguments import check_kind
from dreamopt.parts.spelling import lacks
from dreamopt.progress.rendering import rendering
from dreamopt.recipes.aim import GUIDE_SIZE, Aim
from dreamopt.recipes.plan import InitImage, Plan, checked_job, resolve
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.render import run_plan
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.settings import Settings, names
from dreamopt.recipes.stages import fits, seen_by, stages_of
from dreamopt.recipes.store import Store, ending
from dreamopt.recipes.targets import read_targets

PRESET = "deepdream2015"
"""The settings of a dream where nothing else is said."""
Targets = str | Objective | Sequence[str | Objective]
Photo = str | os.PathLike[str] | InitImage | PILImage | ArrayLike


def dream(
    network: Network,
    image: Photo,
    targets: Targets | None = None,
    settings: Settings | None = None,
    *,
    provenance: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    store: Store | None = None,
    memory: int | None = None,
    guide: ReferenceImage | ArrayLike | None = None,
    guide_mode: str = "columns",
    guide_size: int = GUIDE_SIZE,
    rank: int | str | None = None,
    rank_mode: str = "strong",
    rank_capture: str = "once",
    progress: bool | None = None,
    **changes: Any,
) -> Rendered:
    r"""Strengthen in an image what layers of a net see in it.

    With the published settings this is DeepDream: gradient ascent on :math:`\tfrac12 \sum a^2` of a layer's activations a, from small to
    large, each octave beginning with the image at its size and the detail that the octave before added.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    image : path, array or PIL.Image.Image
        A file, or (H, W, 3) RGB or (H, W) grey, 0 to 255. The dream has its size unless the settings have one.
    targets : str, Objective, or a sequence of them
        A layer's name (``"inception_4c/output"``) stands for its energy; any other objective goes too. Several are one objective, their
        sum, in one pass up to the topmost: ``["2*inception_3b/output", "inception_4c/output"]``. By default a layer is chosen from the
        net's structure (`dreamopt.network.choose_layer`).
    settings : Settings, optional
        Everything else; by default those of the preset ``deepdream2015``.
    provenance, callbacks, stop, store
        As for `dreamopt.render`.
    memory : int, optional
        The most bytes that the program may take on the net's device: larger images are computed in tiles (`dreamopt.Network.tiled`), with
        the same numbers but for rounding. By default what is free.
    guide, guide_mode, guide_size, rank, rank_mode, rank_capture
        Aim at what a guide image has in the layers, or at their channels of a rank: see `dreamopt.recipes.Aim`.
    progress
        As for `dreamopt.render`.
    **changes
        Arguments of `Settings`, for instance ``octaves=6``, ``steps=20``.

    Returns
    -------
    Rendered
        With ``interrupted`` set, and the image as far as it was, after ``stop`` or Ctrl-C.

    Raises
    ------
    TargetError
        For a layer or unit that the network does not have.
    ShapeError
        For an image that is too small for the layers or the octaves.
    DeadGradientError
        When the gradient is zero at the start.

    References
    ----------
    .. [1] Mordvintsev, Olah, Tyka, "Inceptionism", 2015; google/deepdream, ``dream.ipynb``.

    Examples
    --------
    >>> import dreamopt, numpy as np
    >>> photo = np.random.default_rng(0).integers(0, 256, (48, 60, 3))
    >>> one = dreamopt.dream(dreamopt.load_net(), photo, "mixed3", octaves=2, steps=1)
    >>> one.image.shape
    (48, 60, 3)
    """
    settings = changed_settings("dream", settings, changes)
    if provenance is not None:
        check_kind("provenance", provenance, Mapping, "a mapping")
    if store is not None:
        check_kind("store", store, Store, "a Store")
    aim = Aim(None if guide is None else frozen_image(guide), guide_mode, guide_size, rank, rank_mode, rank_capture)
    plan = replace(plan_dream(network, image, targets, settings, aim), provenance=dict(provenance or {}))
    with ending(store):
        with rendering(progress, 1, plan.total_steps, plan.pixel_steps) as report:
            callbacks = (*checked_callbacks(callbacks), *report.callbacks)
            [one] = run_plan(plan, network, store=store, callbacks=callbacks, stop=stop, memory=memory, tile=report.tile)
        if store is not None:
            store.finish([one])
    return one


def changed_settings(
    recipe: str, settings: Settings | None, changes: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """Return the settings that a function of a name was given, or else the preset's with ``defaults``, with its ``changes``.

    Raises
    ------
    UsageError
        For an unknown setting, or a value that does not fit.
    """
    unknown = sorted(set(changes) - set(names()))
    if unknown:
        raise UsageError(lacks(recipe, unknown[0], names(), "setting"))
    if settings is None:
        return resolve_settings(PRESET, {**defaults, **changes})
    return check_kind("settings", settings, Settings, "a Settings").with_changes(changes)


def plan_dream(
    network: Network,
    image: Photo,
    targets: Targets | None = None,
    settings: Settings | None = None,
    aim: Aim | None = None,
) -> Plan:
    """Resolve a dream into a plan of one image; parameters as those of `dream`.

    Returns
    -------
    Plan
        For `dreamopt.recipes.execute`.

    Examples
    --------
    >>> import dreamopt, numpy as np
    >>> plan = plan_dream(dreamopt.load_net(device="cpu"), np.zeros((48, 60, 3)), ["2*mixed3", "conv2:7"])
    >>> plan.samples[0].text, [stage.size for stage in plan.stages]
    ('2*mixed3 + conv2:7', [(17, 22), (24, 31), (34, 43), (48, 60)])
    """
    settings = checked_job(network, resolve_settings(PRESET, {}) if settings is None else settings, "dream")
    init = opened(image, settings)
    size = longer_side(init.shape[:2], settings.size)
    settings = replace(settings, init=init.path, size=size)
    if targets is None:
        targets = chosen_layer(network, settings)
    aim = Aim() if aim is None else check_kind("aim", aim, Aim, "an Aim")
    objective = aim.of(together(read_targets(network, targets, size)))
    require_fit(network, settings, objective)
    return resolve(network, [objective], settings, init, recipe="dream")


def longer_side(shape: tuple[int, ...], size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return the (H, W) of a dream into an image: the image's own; with one number of pixels for its longer side, in its proportions.

    >>> longer_side((480, 640), None), longer_side((480, 640), 320), longer_side((480, 640), (100, 200))
    ((480, 640), (240, 320), (100, 200))
    """
    height, width = shape[0], shape[1]
    if size is None:
        return height, width
    if isinstance(size, tuple):
        return size
    return scaled_size((height, width), size / max(height, width))


def together(objectives: Sequence[Objective]) -> Objective:
    """Return one objective, the sum of several."""
    return objectives[0] if len(objectives) == 1 else Sum(tuple(term for objective in objectives for term in terms(objective)))


def chosen_layer(network: Network, settings: Settings) -> str:
    """Return the layer that is dreamed of where none is named: `dreamopt.network.choose_layer` says how, at the sizes of all octaves."""
    height, width = network.item_shape(settings.size)[1:]
    seen = [seen_by(network, stage.size, stage.transforms) for stage in stages_of(settings, (height, width))]
    return choose_layer(network, seen[-1], smaller=seen[:-1])


def require_fit(network: Network, settings: Settings, objective: Objective) -> None:
    """Refuse an image that is too small for the objective's layers or for the octaves.

    Raises
    ------
    ShapeError
        With what would fit.
    """
    size = network.item_shape(settings.size)[1:]
    stages = stages_of(settings, (size[0], size[1]))
    if settings.octaves == 1 and not settings.stages and not fits(network, settings, [objective], stages[0].size):
        for layer in objective.layers:
            network.shape_of(layer, stages[0].size)  # which says what does not fit
        raise ShapeError(f"an image of {size[1]} x {size[0]} pixels does not reach up to {objective}")


def opened(image: Photo, settings: Settings) -> InitImage:
    """Return the image that is dreamed into, decoded; UsageError where the settings have another to begin with."""
    if settings.init is not None:
        raise UsageError(f"a dream begins with its image, so that init ({settings.init}) cannot be given beside it")
    if isinstance(image, InitImage):
        return image
    if isinstance(image, str | os.PathLike):
        return InitImage.open(os.fspath(image), settings.size, on_white=False)
    if isinstance(image, PILImage):
        return InitImage.of(LoadedImage.of(samples_of(image)), on_white=False)
    return InitImage.of(image, on_white=False)
