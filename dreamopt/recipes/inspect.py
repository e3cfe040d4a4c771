"""Inspect: what a net is made of, how its input is made, and by which names its values are asked for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.image.channels import described as shown_in_colours
from dreamopt.network import Network
from dreamopt.network.class_layer import find_class_layer


def names_of_values(network: Network) -> dict[str, list[str]]:
    """Return for each blob that is overwritten in place the target names of its values, in the order of their making.

    With ``conv5`` and an in-place ``relu5``: ``{"conv5": ["conv5", "relu5"]}``; ``conv5:7`` is the filter before the ReLU,
    ``relu5:7`` after it.
    """
    return network.graph.overwritten()


def worth_seeing(network: Network) -> list[str]:
    """Return the target names of the layers to begin with: those that everything passes through, and the classes before a softmax."""
    from dreamopt.recipes.demo import trunk  # which reads names here

    layers, classes = trunk(network), find_class_layer(network)
    return [*layers, *([classes] if layers and classes is not None and classes not in layers else [])]


def _weights(network: Network) -> Mapping[str, Any]:
    report = network.backend.weights_report
    fields: Sequence[str] = ("loaded", "missing", "unused")
    return {name: list(getattr(report, name)) for name in fields} | {"source": report.source, "form": report.form}


def inspect(network: Network) -> dict[str, Any]:
    """Describe a net.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.

    Returns
    -------
    dict
        Fit for JSON. ``name``, ``backend``, ``computed_by``, ``input`` (blob, shape, mean, channel order, scale, what of these was
        assumed, and the source of each), ``layers`` (name, type, bottoms, tops, shapes of one item, in_place, target, params, flops in
        multiply-adds of one item, place, added), ``overwritten`` (target names by blob), ``splits``, ``totals``, ``changes`` and ``notes``
        (one sentence each), ``weights`` (loaded, missing, unused, source, form), ``labels`` (their number), ``labels_form``,
        ``worth_seeing`` (target names of layers to begin with), ``weights_sha256`` (None where some are random: none are
        drawn to describe a net). ``totals`` has the bytes of the weights, and of one sample's activations, besides.
        ``not_computed`` lists the layers of the file that are left out: name, type, place, reason, and the layer that it ``needs``,
        where the reason is that one's.

    Examples
    --------
    >>> import dreamopt
    >>> inspect(dreamopt.load_net())["input"]["channel_order"]
    'BGR'
    """
    described = network.describe_input()
    activations = sum(math.prod(shape) for info in network.layers if not (info.in_place or info.added) for shape in info.shapes)
    params = sum(info.params for info in network.layers)
    layers = [
        {
            "name": info.name,
            "type": info.type,
            "bottoms": list(info.bottoms),
            "tops": list(info.tops),
            "shapes": [list(shape) for shape in info.shapes],
            "in_place": info.in_place,
            "targets": [network.graph.name(i, j) for j in range(len(info.tops))],
            "params": info.params,
            "flops": info.flops,
            "place": info.place,
            "added": info.added,
        }
        for i, info in enumerate(network.layers)
    ]
    return {
        "name": network.backend.net_name,
        "backend": described["backend"],
        "computed_by": described["computed_by"],
        "input": {
            "blob": network.input_name,
            "shape": list(network.input_shape),
            "mean": described["mean"],
            "mean_image": described["mean_image"],
            "channel_order": described["channel_order"],
            "scale": described["scale"],
            "assumed": described["assumed"],
            "shown": shown_in_colours("auto", network.input_shape[0], network.channel_order) if network.has_image_input else None,
            "sources": described["sources"],
        },
        "layers": layers,
        "overwritten": names_of_values(network),
        "worth_seeing": worth_seeing(network),
        "splits": [info.name for info in network.layers if info.added],
        "totals": {
            "layers": sum(not info.added for info in network.layers),
            "params": params,
            "flops": sum(info.flops for info in network.layers),
            "weights_bytes": 4 * params,
            "activations_bytes": 4 * activations,
        },
        "not_computed": [
            {"name": entry.name, "type": entry.type, "place": entry.place, "needs": entry.needs, "reason": entry.reason}
            for entry in network.left_out
        ],
        "changes": list(network.backend.changes),
        "notes": list(network.notes),
        "weights": _weights(network),
        "labels": None if network.labels is None else len(network.labels),
        "labels_form": network.labels_form,
        "weights_sha256": None if network.backend.random_layers else network.hash(),
    }
