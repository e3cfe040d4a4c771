"""Explore: small dreams of every layer, or of every channel of a layer, on one contact sheet, to choose by looking."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dreamopt.errors import ShapeError
from dreamopt.image.files import RGBImage, covering
from dreamopt.image.sheet import Section, contact_sheet, wrapped
from dreamopt.image.writing import eight_bits
from dreamopt.network import Network
from dreamopt.network.distinct import distinct_layers
from dreamopt.objective import Objective, parse
from dreamopt.objectives import Energy
from dreamopt.optimize import Callback
from dreamopt.parts.arguments import check_kind, check_path, check_several
from dreamopt.recipes.dream import PRESET, Photo, Targets, changed_settings, longer_side, opened
from dreamopt.recipes.plan import Plan, checked_job, resolve
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.render import run_plan
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.stages import fits, stages_of
from dreamopt.recipes.store import FolderStore
from dreamopt.recipes.targets import read_targets

EXPLORE = {"octaves": 2, "steps": 8, "jitter": 16}
"""What differs from the settings of a dream where nothing else is said."""
SIDE = 192
"""Pixels of a dream's longer side on the sheet."""


def explore(
    network: Network,
    image: Photo,
    targets: Targets | None = None,
    settings: Settings | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    provenance: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    **changes: Any,
) -> list[Rendered]:
    """Dream of every layer of a net at a small size, or of every channel of a layer, so that one can be chosen by looking.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    image : path, array or PIL.Image.Image
        As for `dreamopt.dream`; it is made smaller, its longer side to 192 pixels unless the settings have a size.
    targets : str, Objective, or a sequence of them
        A layer alone stands for each of its channels, ``"conv4:0-15"`` for some, anything else for itself. By default each layer that
        differs from the others by more than its name (`dreamopt.network.distinct_layers`) and can be computed at this size.
    settings : Settings, optional
        By default those of the preset ``deepdream2015`` with two octaves of eight steps and a jitter of 16.
    out : path, optional
        The contact sheet's file; the dreams go into the folder of the same name without suffix. The sheet has each one's name, and the
        seconds that it took.
    resume : bool
        Whether what is finished there already stays.
    provenance, callbacks, stop
        As for `dreamopt.render`.
    **changes
        Arguments of `Settings`.

    Returns
    -------
    list of Rendered
        In the order of the layers; ``metadata["seconds"]`` is how long each took. Fewer when interrupted.

    Examples
    --------
    >>> import dreamopt, numpy as np
    >>> photo = np.random.default_rng(0).integers(0, 256, (48, 60, 3))
    >>> found = dreamopt.explore(dreamopt.load_net(), photo, "conv1/relu:0-2", octaves=1, steps=1, size=(24, 30))
    >>> [one.sample.text for one in found]
    ['conv1/relu:0', 'conv1/relu:1', 'conv1/relu:2']
    """
    settings = changed_settings("explore", settings, changes, EXPLORE)
    if provenance is not None:
        check_kind("provenance", provenance, Mapping, "a mapping")
    path = None if out is None else check_path("out", out)
    plan = replace(plan_explore(network, image, targets, settings), provenance=dict(provenance or {}))
    if path is None:
        return run_plan(plan, network, callbacks=callbacks, stop=stop, timed=True)
    with FolderStore(path, resume=resume, sheet=lambda rendered: sheet_of(plan, rendered)) as store:
        rendered = run_plan(plan, network, store=store, callbacks=callbacks, stop=stop, timed=True)
        store.finish(rendered)
    return rendered


def plan_explore(
    network: Network,
    image: Photo,
    targets: Targets | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Resolve an exploration into a plan of one small dream for each layer or channel; parameters as those of `explore`.

    Raises
    ------
    ShapeError
        If no layer can be computed at this size.

    Examples
    --------
    >>> import dreamopt, numpy as np
    >>> plan = plan_explore(dreamopt.load_net(device="cpu"), np.zeros((480, 600, 3)))
    >>> plan.size, [sample.text for sample in plan.samples][-4:]
    ((154, 192), ['mixed5', 'pool5', 'scores', 'prob'])
    """
    settings = checked_job(network, resolve_settings(PRESET, EXPLORE) if settings is None else settings, "explore")
    init = opened(image, settings)
    size = longer_side(init.shape, min(SIDE, max(init.shape[:2])) if settings.size is None else settings.size)
    settings = replace(settings, init=init.path, size=size)
    if targets is None:
        layers: list[Objective] = [Energy(layer) for layer in distinct_layers(network)]
        objectives = [one for one in layers if reaches(network, settings, one)]
        if not objectives:
            raise ShapeError(f"an image of {size[1]} x {size[0]} pixels is too small for every layer of the net")
    else:
        objectives = read_targets(network, _channels(targets), settings.size)
    return resolve(network, objectives, settings, init, recipe="dream")


def reaches(network: Network, settings: Settings, objective: Objective) -> bool:
    """Return whether an objective's layers can be computed at the sizes of all octaves."""
    height, width = network.item_shape(settings.size)[1:]
    return all(fits(network, settings, [objective], stage.size) for stage in stages_of(settings, (height, width)))


def sheet_of(plan: Plan, rendered: Sequence[Rendered], title: str = "") -> RGBImage:
    """Return the contact sheet of an exploration: the image, and each dream with its target, its class and the seconds that it took."""
    assert plan.init is not None
    pictures, labels = [], []
    for one in rendered:
        seconds = one.metadata.get("seconds")
        took = [] if seconds is None else [f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"]
        notes = ["no gradient"] if one.dead is not None else []
        pictures.append(eight_bits(one.image)[..., :3])
        of_class = [] if one.sample.label is None else [one.sample.label]
        labels.append(f"{wrapped(one.sample.text, one.image.shape[1])}\n{', '.join([*of_class, *took, *notes])}")
    counts = [(len(plan.stages), "octave"), (plan.stages[0].steps, "step")]
    steps = " of ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts)
    height, width = pictures[0].shape[:2]
    title = ", ".join(filter(None, [title, f"{width} x {height} pixels, {steps}"]))
    whole = np.rint(covering(plan.init.array(), (height, width))).astype(np.uint8)
    return contact_sheet([Section([whole, *pictures], ["the image", *labels])], title=title)


def _channels(targets: Targets) -> list[str | Objective]:
    """Return targets with a layer alone as all of its channels."""
    alone = isinstance(targets, str | Objective)
    several: Sequence[Any] = [targets] if alone else check_several("targets", targets, "targets, each a string or an objective")
    wide: list[str | Objective] = []
    for target in several:
        objective = parse(target) if isinstance(target, str) and ":" not in target else target
        is_layer = isinstance(objective, Energy) and str(objective) == objective.layer
        wide.append(f"{objective}:*" if is_layer else target)
    return wide
