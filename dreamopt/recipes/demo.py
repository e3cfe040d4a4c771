"""Demo: the embedded net's filters layer by layer and its classes, on two contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dreamopt.image.files import RGBImage
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.image.writing import eight_bits
from dreamopt.network import Network
from dreamopt.objectives import Channel
from dreamopt.optimize import Callback
from dreamopt.problem import Problem
from dreamopt.recipes.inspect import names_of_values
from dreamopt.recipes.plan import plan_render
from dreamopt.recipes.render import run_plan
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.restarts import restarts_of
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.store import FolderStore, Sheet

FILTERS_PER_LAYER = 8
LAYERS = 6
MIXING = {"Convolution", "Concat", "Eltwise"}
SETTINGS = Settings(size=128, steps=160, optimizer="ascent", parametrization="pixels", transforms=(), blur=0.5, decay=0, batch_size=16)  # type: ignore[arg-type]  # strings are read
"""What shows the embedded net best, by eye: its gradients follow shapes, so plain pixels give bolder colours than a spectrum."""


@dataclass(frozen=True)
class Choice:
    """What a demo renders.

    Parameters
    ----------
    layers : tuple of str
        Layers whose filters are shown, from low to high.
    classes : str
        The layer of the class scores.
    filters : int
        Filters per layer, spread evenly over its channels.
    """

    layers: tuple[str, ...]
    classes: str
    filters: int = FILTERS_PER_LAYER

    def targets(self, network: Network, layer: str, settings: Settings | None = None) -> list[str]:
        """Return the targets of one layer's row, for a render with these settings."""
        active = active_channels(network, layer, settings)
        shown = min(self.filters, len(active))
        return [f"{layer}:{active[index * len(active) // shown]}" for index in range(shown)]


def trunk(network: Network) -> list[str]:
    """Return the target names of the layers that everything passes through and that mix channels, from low to high.

    Between them a net may branch; at them one blob alone is alive. Where layers work in place on one, the name is of the last:
    a mean over space before the first ReLU asks for nothing but a colour, and before a Scale a filter's sign may yet turn round.
    """
    last_read = {bottom: index for index, info in enumerate(network.layers) for bottom in info.bottoms}
    overwritten = names_of_values(network)
    found, alive = [], set[str]()
    for index, info in enumerate(network.layers):
        alive = {blob for blob in alive | set(info.tops) if last_read.get(blob, -1) > index}
        if len(alive) <= 1 and info.type in MIXING and len(info.shapes[0]) == 3 and info.shapes[0][1] > 1:
            found.append(overwritten.get(info.tops[0], [info.name])[-1])
    return found


def active_channels(network: Network, layer: str, settings: Settings | None = None) -> list[int]:
    """Return the layer's filters that the start or a restart of a render with these settings activates; all of them, if none does.

    In every trained net some filters never fire, and a demo need not show them.
    """
    settings, values = Settings() if settings is None else settings, []
    starts = [(settings.parametrization, 0)]
    starts += [(restart.parametrization, restart.seed_offset) for restart in restarts_of(settings.parametrization)]
    for parametrization, seed in starts:
        problem = Problem(network, Channel(layer, 0), size=settings.size, parametrization=parametrization)
        with torch.no_grad():
            values.append(network.activations(problem.images(problem.start(seed)), [layer])[layer][0].flatten(1))
    seen = torch.cat(values, dim=1)
    active = (seen.amax(1) > seen.amin(1)).nonzero().flatten().tolist()
    return [int(channel) for channel in active] or list(range(seen.shape[0]))


def choose(network: Network, filters: int = FILTERS_PER_LAYER) -> Choice:
    """Choose what is worth seeing of any classifier: up to six layers of its trunk, evenly spread, and the scores before a softmax."""
    layers = trunk(network)
    shown = min(LAYERS, len(layers))
    chosen = [layers[(index + 1) * len(layers) // shown - 1] for index in range(shown)]
    ends = [info.name for info in network.layers if not info.added and info.type not in {"Softmax", "SoftmaxWithLoss"}]
    return Choice(tuple(chosen), ends[-1], filters)


def demo(
    network: Network,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    what: Choice | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
) -> list[Path]:
    """Render a net's filters and classes into a folder.

    Parameters
    ----------
    network : Network
        With class names, for the labels.
    folder : str or Path
        Created when missing; receives ``filters.png``, ``classes.png`` and a folder of single images for each.
    settings : Settings, optional
        As for `dreamopt.render`; `SETTINGS` when None.
    what : Choice, optional
        Layers and classes; chosen by `choose` when None.
    callbacks, stop
        As for `dreamopt.render`.

    Returns
    -------
    list of Path
        The two sheets; one or none when interrupted early.
    """
    settings = SETTINGS if settings is None else settings
    what, out = choose(network) if what is None else what, Path(folder)
    sheets: list[Path] = []
    rows = [(layer, what.targets(network, layer, settings)) for layer in what.layers]

    def render_sheet(path: Path, targets: list[str], sheet: Sheet) -> None:
        plan = plan_render(network, targets, settings)
        with FolderStore(path, seconds=None, sheet=sheet) as store:
            rendered = run_plan(plan, network, store=store, callbacks=callbacks, stop=stop)
            written = store.finish(rendered)
            sheets.extend([] if written is None else [written])

    def filters(rendered: Sequence[Rendered]) -> RGBImage:
        by_text = {one.sample.text: one for one in rendered}
        shown = [(layer, [by_text[target] for target in row if target in by_text]) for layer, row in rows]
        sections = [Section([eight_bits(one.image) for one in row], [one.sample.text for one in row], layer) for layer, row in shown if row]
        return contact_sheet(sections, columns=what.filters, title="What the filters like, layer by layer")

    def classes(rendered: Sequence[Rendered]) -> RGBImage:
        section = Section([eight_bits(one.image) for one in rendered], [one.sample.label or one.sample.text for one in rendered])
        return contact_sheet([section], title="What the classes look like")

    render_sheet(out / "filters.png", [target for _, row in rows for target in row], filters)
    if stop is None or not stop():
        render_sheet(out / "classes.png", [f"{what.classes}:*"], classes)
    return sheets
