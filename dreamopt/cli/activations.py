"""``dreamopt activations``: what a net's layers and units make of an image."""

from typing import Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.job import force_option
from dreamopt.cli.net import NET_KEYS, net_option, net_options, open_network
from dreamopt.cli.sections import SectionedCommand, of_image, of_run, of_target


@click.command("activations", cls=SectionedCommand)
@click.argument("image", metavar="IMAGE")
@net_option
@of_target(
    "-t",
    "--target",
    metavar="TARGET",
    help="'conv4' (the maps of all units, on one image) or 'conv4:7' (one unit's).  [default: the class scores are printed]",
)
@of_image("-o", "--out", default="activations.png", show_default=True, metavar="FILE", help="The image: .png, .tif, .webp or .jpg.")
@of_image(
    "--range",
    "range_",
    type=click.Choice(["layer", "unit"]),
    default="layer",
    show_default=True,
    help="What has the strongest colour on the image of a layer: the layer's strongest values, or each unit's own.",
)
@force_option
@of_run("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@net_options
def command(image: str, net: str | None, target: str | None, out: str, range_: str, force: bool, as_json: bool, **options: Any) -> None:
    """Show what a layer's units, or one unit, make of an image; without a target, which classes the net sees in it.

    Values below 0 are blue and those above red; where a layer has none below 0, from black to bright. An image of another size than the
    net's is scaled to cover it and cut to its middle. `dreamopt explore` shows the same, live.
    """
    from pathlib import Path

    from dreamopt.errors import UsageError
    from dreamopt.explorer.photo import Photo
    from dreamopt.explorer.values import LayerValues, class_scores, field_of
    from dreamopt.image.writing import check_suffix, write_image
    from dreamopt.objectives import Channel
    from dreamopt.recipes.output import check_new
    from dreamopt.recipes.targets import read_targets

    path = check_suffix(Path(out))
    if target is not None and not force:
        check_new([path], resumable=False)
    network, _, _ = open_network(net, None, **{key: options[key] for key in (*NET_KEYS, "allow_python_layers")})
    photo = Photo.open(network, Path(image), 1)
    if target is None:
        scores = class_scores(network, photo.seen)
        if scores is None:
            raise UsageError("the net has no class scores; name a layer or a unit with -t")
        _print_scores(scores, as_json)
        return
    if target in network.graph:
        layer, unit = target, None
    else:
        [objective] = read_targets(network, target)
        if not isinstance(objective, Channel) or not isinstance(objective.unit, int):
            raise UsageError(f"the target must be a layer, as conv4, or one of its units, as conv4:7, and not {target}")
        layer, unit = objective.layer, objective.unit
    values = LayerValues.of(network, layer, photo.seen)
    if unit is None:
        shown, numbers = values.sprite(range_), {"limit": values.limit, "highest": [float(value) for value in values.highest]}
    else:
        own, place = values.unit(unit), values.strongest(unit)
        shown = values.image(unit)
        numbers = {"highest": float(own.max()), "mean": float(own.mean()), "place": list(place), **field_of(network, layer, place)}
    written = write_image(path, shown, {"recipe": "activations", "image": image, "target": target})
    if as_json:
        echo_json({"path": str(written), "target": target, **numbers})
    else:
        echo_path(written)


def _print_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(scores)
        return
    for one in scores["top"]:
        label = "" if one["label"] is None else f" {one['label']}"
        echo(f"{one['score']:10.4g}  {scores['layer']}:{one['unit']}{label}")
