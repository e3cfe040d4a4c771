"""The options that name a net, shared by the commands, and loading what they name."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt import models
from dreamopt.errors import UsageError

if TYPE_CHECKING:
    from dreamopt.network import Network

Command = Callable[..., Any]
NET_OPTIONS = (
    click.option("--weights", metavar="FILE", help="Weights: a .caffemodel or .caffemodel.h5.  [default: the catalogue's; else random]"),
    click.option("--mean", metavar="B,G,R|FILE", help="Mean that is subtracted, per channel (0-255), or a .binaryproto or .npy file."),
    click.option("--channel-order", type=click.Choice(["BGR", "RGB"], case_sensitive=False), help="Order of the channels.  [default: BGR]"),
    click.option("--scale", type=float, help="Factor after the mean is subtracted.  [default: 1]"),
    click.option("--labels", metavar="FILE", help="Names of the classes, one per line."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
    click.option(
        "--backend",
        type=click.Choice(["auto", "engine", "pycaffe", "remote"]),
        default="auto",
        show_default=True,
        help="What computes the net: the built-in engine (auto), or real Caffe in this Python or in another (docs/backends.md).",
    ),
    click.option(
        "--python", metavar="COMMAND", help="For --backend remote: what starts a Python with Caffe, as 'chroot /srv/caffe python3'."
    ),
    click.option("--cache", metavar="DIR", help="Cache folder of fetched models."),
)
NET_KEYS = ("weights", "mean", "channel_order", "scale", "labels", "device", "backend", "python", "cache")


def net_options(command: Command) -> Command:
    """Add the options that `open_network` takes."""
    for option in reversed(NET_OPTIONS):
        command = option(command)
    return command


def _mean(text: str | None) -> str | list[float] | None:
    if text is None or Path(text).exists():
        return text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--mean {text} is neither an existing file nor numbers with commas between them, as in 104,117,123") from None


def _file_hash(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:  # the net's reader says it better
        return None


def open_network(net: str | None, **said: Any) -> tuple["Network", dict[str, Any], dict[str, Any]]:
    """Load the net that the options name.

    Returns
    -------
    network : Network
    options : dict
        The options that load just this net again from these files, by parameter name; None where nothing needs to be said.
    source : dict
        Paths and hashes for the metadata.
    """
    from dreamopt.network import load_net

    found = models.locate(net, said["cache"])
    mean = _mean(said["mean"])
    known = {"weights": found.weights, "labels": found.labels, "scale": found.scale, "channel_order": found.channel_order}
    options: dict[str, Any] = {key: value if said[key] is None else said[key] for key, value in known.items()}
    network = load_net(
        found.prototxt,
        options["weights"],
        backend=said["backend"],
        python=said["python"],
        device=said["device"],
        mean=found.mean if mean is None else mean,
        channel_order=options["channel_order"],
        scale=options["scale"],
        labels=options["labels"],
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
