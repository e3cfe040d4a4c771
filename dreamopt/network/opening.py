"""Opening the net that plain words name."""

from __future__ import annotations

from typing import Any

from dreamopt import models
from dreamopt.backends.base import FLOAT32
from dreamopt.errors import UsageError
from dreamopt.network.load import load_net
from dreamopt.network.network import Network
from dreamopt.parts.net_words import NET_KEYS, read_feed_words, read_input_shapes, read_mean_words
from dreamopt.parts.part import file_sha256


def _file_hash(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return file_sha256(path)
    except UsageError:  # the net's reader says it better
        return None


def open_network(net: str | None, size: int | tuple[int, int] | None = None, **said: Any) -> tuple[Network, dict[str, Any], dict[str, Any]]:
    """Load the net that the options name; ``size`` (pixels, or height and width) is that of an input that its file leaves open.

    Returns
    -------
    network : Network
    options : dict
        The options that load just this net again from these files, by parameter name; None where nothing needs to be said.
    source : dict
        Paths and hashes for the metadata.
    """
    found = models.locate(net, said["cache"])
    mean = read_mean_words(said["mean"])
    options: dict[str, Any] = {key: getattr(found, key) if said[key] is None else said[key] for key in ("weights", "labels")}
    network = load_net(
        found.prototxt,
        options["weights"],
        backend=said["backend"],
        python=said["python"],
        device=said["device"],
        mean=mean,
        channel_order=said["channel_order"],
        scale=said["scale"],
        labels=options["labels"],
        input_shape=read_input_shapes(said["input_shape"] or ()),
        input=said["input"],
        feed=read_feed_words(said["feed"] or ()),
        phase=said["phase"] or "TEST",
        level=0 if said["level"] is None else said["level"],
        stages=said["stage"] or (),
        default_input_size=(size, size) if isinstance(size, int) else size,
        allow_python_layers=True if said.get("allow_python_layers") else None,
        precision=FLOAT32 if said.get("precision") is None else said["precision"],
        known={"mean": found.mean, "scale": found.scale, "channel_order": found.channel_order},
    )
    repeat = {key: said[key] for key in NET_KEYS}
    source = {
        "net": "tiny" if found.prototxt is None else net,
        "prototxt": found.prototxt,
        "prototxt_sha256": _file_hash(found.prototxt),
        "weights": options["weights"],
        "weights_file_sha256": _file_hash(options["weights"]),
    }
    return network, repeat, source
