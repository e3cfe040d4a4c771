"""``dreamopt inspect``: a net's layers, shapes, parameters and input."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from dreamopt.cli.echo import echo, echo_json
from dreamopt.cli.net import known_net, net_options, open_network
from dreamopt.parts.memory import readable

_WORDS = {"mean": "mean", "scale": "scale", "channel_order": "channel order"}
_LISTED = 12
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def human(number: float) -> str:
    """Write a count with three digits and a letter: 3 860 000 is 3.86M."""
    for size, letter in _UNITS:
        if number >= size:
            return f"{number / size:.3g}{letter}" if number / size < 999.5 else f"{number / size:.0f}{letter}"
    return f"{number:g}"


def _shape(layer: Mapping[str, Any]) -> str:
    shapes = ["x".join(map(str, shape)) or "1" for shape in layer["shapes"]]
    return shapes[0] if len(set(shapes)) == 1 else ", ".join(shapes)


def _remark(layer: Mapping[str, Any], overwritten: Mapping[str, list[str]]) -> str:
    if layer["added"]:
        return "added by Caffe"
    blob = layer["tops"][0] if layer["tops"] else ""
    names = overwritten.get(blob)
    if layer["in_place"] and names is not None and layer["name"] in names:
        return f"in place; before it: {names[names.index(layer['name']) - 1]}"
    others = [top for top in layer["tops"] if top != layer["name"]]
    return f"writes {', '.join(others)}" if others and not layer["in_place"] else ""


def _table(summary: Mapping[str, Any], splits: bool) -> None:
    from rich import box
    from rich.table import Table

    from dreamopt.cli.output import cell
    from dreamopt.progress.terminal import console

    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    totals = summary["totals"]
    table.add_column("layer (target name)", footer=f"{totals['layers']} layers", overflow="fold")
    table.add_column("*")
    table.add_column("type")
    table.add_column("reads", overflow="fold")
    table.add_column("gives", overflow="fold")
    table.add_column("params", footer=human(totals["params"]), justify="right")
    table.add_column("mult-adds", footer=human(totals["flops"]), justify="right")
    table.add_column("", overflow="fold")
    origin = {top: layer["bottoms"][0] for layer in summary["layers"] if layer["added"] for top in layer["tops"]}
    for layer in summary["layers"]:
        if layer["added"] and not splits:
            continue
        counts = [human(layer[key]) if layer[key] else "" for key in ("params", "flops")]
        reads = ", ".join(origin.get(bottom, bottom) for bottom in layer["bottoms"])
        remark = _remark(layer, summary["overwritten"])
        row = (layer["name"], "*" if layer["name"] in summary["worth_seeing"] else "", layer["type"], reads, _shape(layer), *counts, remark)
        table.add_row(*map(cell, row), style="dim" if layer["added"] else None)
    console().print(table)


def _input_lines(summary: Mapping[str, Any]) -> list[str]:
    from dreamopt.network.network import kind_of

    preprocessing = summary["input"]
    shape = "x".join(map(str, preprocessing["shape"]))
    if preprocessing["mean"] is None:
        return [f"input {preprocessing['blob']}: {shape}, {kind_of(tuple(preprocessing['shape'])).rpartition(' of ')[0]}"]
    mean = "a mean image" if preprocessing["mean_image"] else "mean " + ", ".join(f"{value:g}" for value in preprocessing["mean"])
    order = f"{preprocessing['channel_order']}, " if len(preprocessing["mean"]) >= 3 else ""
    lines = [f"input {preprocessing['blob']}: {shape}, {order}0-255 minus {mean}, times {preprocessing['scale']:g}"]
    said = [f"{_WORDS[name]} by {source}" for name, source in preprocessing["sources"].items() if source != "assumed"]
    if said:
        lines.append(f"  said: {'; '.join(said)}")
    if preprocessing["assumed"]:
        lines.append(f"  assumed, since neither the files nor an option say: {'; '.join(preprocessing['assumed'])}")
    if preprocessing["shown"] is not None:
        lines.append(f"  shown {preprocessing['shown']}")
    return lines


def _not_computed(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each layer that is not computed for a reason of its own, with those that need it."""
    for layer in layers:
        if layer["needs"]:
            continue
        above = [other["name"] for other in layers if other["needs"] == layer["name"] and other["reason"] == layer["reason"]]
        more = f", ... and {len(above) - _LISTED} more" if len(above) > _LISTED else ""
        yield f"not computed: {layer['reason']}" + (f"; with it, what needs it: {', '.join(above[:_LISTED])}{more}" if above else "")


def _report(summary: Mapping[str, Any], splits: bool) -> None:
    echo(f"net {summary['name'] or 'without a name'}, {summary['backend']} backend: {summary['computed_by']}")
    for line in _input_lines(summary):
        echo(line)
    _table(summary, splits)
    if summary["worth_seeing"]:
        echo(f"* worth seeing: dreamopt render -t {summary['worth_seeing'][-1]}:0 and the like")
    if summary["splits"]:
        hidden = "" if splits else "; --splits shows them"
        echo(f"splits added, as Caffe does where several layers read one blob: {len(summary['splits'])}{hidden}")
    weights = summary["weights"]
    if weights is not None:
        for kind, names in (("missing (random)", weights["missing"]), ("unused", weights["unused"])):
            if names:
                echo(f"weights {kind}: {', '.join(names)}")
        sha = summary["weights_sha256"]
        form = f" ({weights['form']})" if weights["form"] else ""
        echo(f"weights loaded: {len(weights['loaded'])} layers{form}" + (f", sha256 {sha}" if sha is not None else ""))
    totals = summary["totals"]
    sizes = [readable(totals[key]) for key in ("weights_bytes", "activations_bytes")]
    echo(f"memory: {sizes[0]} of weights, {sizes[1]} of activations for each sample")
    if summary["labels"]:
        echo(f"labels: {summary['labels']}" + (f", from {summary['labels_form']}" if summary["labels_form"] else ""))
    for line in _not_computed(summary["not_computed"]):
        echo(line)
    for change in summary["changes"]:
        echo(f"changed on reading: {change}")
    for note in summary["notes"]:
        echo(f"note: {note}")


@click.command("inspect")
@click.argument("net", required=False, callback=known_net)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--splits", is_flag=True, help="Show the Split layers, too, that Caffe adds where several layers read one blob.")
@net_options
def command(net: str | None, as_json: bool, splits: bool, **options: Any) -> None:
    """Show what NET is made of: a prototxt or a name of `dreamopt models`; without it, the embedded net.

    The name of a layer is the target name of what it wrote: with an in-place ReLU, conv5 is before it and relu5 after.
    """
    from dreamopt.errors import DreamoptWarning
    from dreamopt.recipes.inspect import inspect

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # random weights are among the notes below
        network, _, source = open_network(net, **options)
    summary = inspect(network) | {"source": source}
    if as_json:
        echo_json(summary)
    else:
        _report(summary, splits)
