"""Render: the images that filters, neurons and classes like, many targets as a few batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import Callback
from dreamopt.optimize.result import checked_callbacks
from dreamopt.parts.arguments import check_kind, check_text
from dreamopt.parts.spelling import lacks
from dreamopt.progress.rendering import rendering
from dreamopt.recipes.execute import execute
from dreamopt.recipes.plan import Plan, plan_render
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.settings import Settings, names
from dreamopt.recipes.store import FolderStore, Store, ending, with_kept_batch_size


def render(
    network: Network,
    targets: str | Objective | Sequence[str | Objective],
    settings: Settings | None = None,
    *,
    provenance: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    store: Store | None = None,
    variants: int = 1,
    preset: str | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> list[Rendered]:
    """Render the images that targets like.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    targets : str, Objective, or a sequence of them
        For instance ``"conv4:7"`` (a filter), ``"conv4:7@3,5"`` (a neuron), ``"fc8:tabby cat"`` (a class), ``"conv4:0-15"``,
        ``"conv4:*"`` (many); see `dreamopt.recipes.expand`.
    settings : Settings, optional
        Everything else; default `Settings()`.
    provenance : mapping, optional
        More for the metadata, fit for JSON: where the net came from, the command.
    callbacks : sequence of callable
        Called with a `dreamopt.optimize.Progress` after each step of each batch.
    stop : callable, optional
        Asked after each step; once it returns True, the running batch ends with the best it had and no other begins.
    store : Store, optional
        Where images are written as soon as their batch is done, and what an interrupted job is resumed from.
    variants : int
        How many images of each target, at least 1, each from a start of its own.
    preset : str, optional
        A published recipe by name, as "lucid2017" (`dreamopt.presets` lists them), or a preset file; instead of ``settings``.
    progress : bool, optional
        Whether a bar is shown on stderr; by default where somebody looks: in a terminal or a notebook.
    **changes
        Arguments of `Settings`, for instance ``steps=64``, ``tv=0.1``.

    Returns
    -------
    list of Rendered
        In the targets' order; fewer than targets only when interrupted (by ``stop`` or Ctrl-C).

    Warns
    -----
    DreamoptWarning
        For an image that ended below its start, or as one flat colour, with what to change.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    DeadGradientError
        When no target can be optimized at all: every gradient is zero at the start, also from stronger noise.
    UsageError
        For settings out of range, or a net whose input is no image.

    Examples
    --------
    >>> import dreamopt
    >>> net = dreamopt.load_net()
    >>> [one] = dreamopt.render(net, "scores:0", steps=1)
    >>> one.image.shape[2]
    3
    """
    unknown = sorted(set(changes) - set(names()))
    if unknown:
        raise UsageError(lacks("render", unknown[0], names(), "setting"))
    if settings is not None:
        check_kind("settings", settings, Settings, "a Settings")
    if provenance is not None:
        check_kind("provenance", provenance, Mapping, "a mapping")
    if store is not None:
        check_kind("store", store, Store, "a Store")
    if preset is not None:
        if settings is not None:
            raise UsageError("render takes a preset or settings, not both; what a preset says is changed by further arguments")
        settings, changes = resolve_settings(check_text("preset", preset), changes), {}
    if settings is None:
        settings, changes = Settings(**changes), {}
    settings = settings.with_changes(changes) if changes else settings
    if isinstance(store, FolderStore):
        settings = with_kept_batch_size(settings, store.out, store.resume)
    check_kind("network", network, Network, "a Network, from dreamopt.load_net(prototxt, weights)")
    plan = plan_render(network, targets, settings, variants=variants)
    plan = replace(plan, provenance=dict(provenance or {}))
    with ending(store):
        with rendering(progress, len(plan.samples), plan.total_steps, plan.pixel_steps) as report:
            callbacks = (*checked_callbacks(callbacks), *report.callbacks)
            rendered = run_plan(plan, network, store=store, callbacks=callbacks, stop=stop, tile=report.tile)
        if store is not None:
            store.finish(rendered)
    for one in rendered:
        if one.metadata.get("warning"):
            warnings.warn(f"{one.sample.text}: {one.metadata['warning']}", DreamoptWarning, stacklevel=2)
    return rendered


def run_plan(
    plan: Plan,
    network: Network,
    *,
    store: Store | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    memory: int | None = None,
    tile: Callable[[int, int], None] | None = None,
    timed: bool = False,
) -> list[Rendered]:
    """Make a plan's images in the order of its samples; fewer when interrupted, by ``stop`` or Ctrl-C between two runs.

    Raises
    ------
    DeadGradientError
        When no sample has a gradient.
    """
    rendered: list[Rendered] = []
    try:
        # One by one: those that are finished count, also where the next batch is interrupted.
        rendered.extend(execute(plan, network, store=store, callbacks=callbacks, stop=stop, memory=memory, tile=tile, timed=timed))
    except KeyboardInterrupt:  # between two runs; a run ends with its best by itself
        if not rendered:
            raise
        rendered = [replace(one, interrupted=True) for one in rendered]
    if rendered and all(one.dead is not None for one in rendered):
        if store is not None:
            store.finish([])
        raise DeadGradientError(str(rendered[0].dead))
    return sorted(rendered, key=lambda one: one.index)
