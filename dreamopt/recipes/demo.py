"""Demo: the embedded net's filters layer by layer and its classes, on two contact sheets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dreamopt.image.files import write_png
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.network import Network
from dreamopt.optimize import Callback
from dreamopt.problem import Problem
from dreamopt.recipes.inspect import names_of_values
from dreamopt.recipes.render import Rendered, render
from dreamopt.recipes.save import sheet_metadata, single_paths
from dreamopt.recipes.settings import WAKING, Settings

FILTERS_PER_LAYER = 8
LAYERS = 6
MIXING = {"Convolution", "Concat", "Eltwise"}
SETTINGS = Settings(size=128, steps=160, optimizer="ascent", parametrization="pixels", transforms=(), blur=0.5, batch_size=16)
"""What shows the embedded net best, by eye: its gradients follow shapes, so plain pixels give bolder colours than a spectrum."""


@dataclass(frozen=True)
class Plan:
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
        """Return the targets of one layer's row, for a rendering with these settings."""
        awake = lively(network, layer, settings)
        shown = min(self.filters, len(awake))
        return [f"{layer}:{awake[index * len(awake) // shown]}" for index in range(shown)]


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


def lively(network: Network, layer: str, settings: Settings | None = None) -> list[int]:
    """Return the layer's filters that some start of a rendering with these settings wakes; all of them, if none does.

    In every trained net some filters never fire, and a demo need not show them.
    """
    settings, values = Settings() if settings is None else settings, []
    for wake in WAKING:
        problem = Problem(network, f"{layer}:0", size=settings.size, parametrization=settings.make_parametrization(wake))
        images = problem.images(problem.start(wake.more_seed))
        with torch.no_grad():
            values.append(network.activations(images, [layer])[layer][0].flatten(1))
    seen = torch.cat(values, dim=1)
    awake = (seen.amax(1) > seen.amin(1)).nonzero().flatten().tolist()
    return [int(channel) for channel in awake] or list(range(seen.shape[0]))


def plan(network: Network, filters: int = FILTERS_PER_LAYER) -> Plan:
    """Choose what is worth seeing of any classifier: up to six layers of its trunk, evenly spread, and the scores before a softmax."""
    layers = trunk(network)
    shown = min(LAYERS, len(layers))
    chosen = [layers[(index + 1) * len(layers) // shown - 1] for index in range(shown)]
    ends = [info.name for info in network.layers if not info.added and info.type not in {"Softmax", "SoftmaxWithLoss"}]
    return Plan(tuple(chosen), ends[-1], filters)


def demo(
    network: Network,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    what: Plan | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
) -> list[Path]:
    """Render a net's filters and classes into a folder.

    Parameters
    ----------
    network : Network
        With class names, for the labels.
    folder : str or Path
        Created when missing; receives ``filters.png``, ``classes.png`` and a folder of single pictures for each.
    settings : Settings, optional
        As for `dreamopt.render`; `SETTINGS` when None.
    what : Plan, optional
        Layers and classes; chosen by `plan` when None.
    callbacks, stop
        As for `dreamopt.render`.

    Returns
    -------
    list of Path
        The two sheets; one or none when interrupted early.
    """
    settings = SETTINGS if settings is None else settings
    chosen, out = plan(network) if what is None else what, Path(folder)
    rows = [(layer, chosen.targets(network, layer, settings)) for layer in chosen.layers]
    sheets = []
    filters = render(network, [target for _, row in rows for target in row], settings, callbacks=callbacks, stop=stop)
    by_text = {one.target.text: one for one in filters}
    shown = [(layer, [by_text[target] for target in row if target in by_text]) for layer, row in rows]
    sections = [Section([one.picture for one in row], [one.target.text for one in row], layer) for layer, row in shown if row]
    sheets += _write(out / "filters.png", filters, sections, "What the filters like, layer by layer", chosen.filters)
    if stop is None or not stop():
        classes = render(network, f"{chosen.classes}:*", settings, callbacks=callbacks, stop=stop)
        section = Section([one.picture for one in classes], [one.target.label or one.target.text for one in classes])
        sheets += _write(out / "classes.png", classes, [section], "What the classes look like", None)
    return sheets


def _write(path: Path, rendered: Sequence[Rendered], sections: Sequence[Section], title: str, columns: int | None) -> list[Path]:
    if not rendered:
        return []
    singles = single_paths(rendered, path)
    for one, place in zip(rendered, singles, strict=True):
        write_png(place, one.picture, one.metadata)
    sheet = contact_sheet(sections, columns=columns, title=title)
    return [write_png(path, sheet, sheet_metadata(rendered, singles))]
