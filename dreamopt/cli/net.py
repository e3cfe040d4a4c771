"""The options that name a net, shared by the commands, and loading what they name."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dreamopt import models
from dreamopt.backends.registry import backend_choices
from dreamopt.errors import UsageError
from dreamopt.parts.part import file_sha256

if TYPE_CHECKING:
    from dreamopt.network import Network

    NameType = click.ParamType[str]
else:
    NameType = click.ParamType  # which older versions of click do not parametrize

Command = Callable[..., Any]
_MOST_DIGITS = 400  # of a size; Python itself refuses to read more than 4,300 by an error of its own


class BackendName(NameType):
    """The name of a backend. Names are looked up where one is given or listed, since that reads what is installed."""

    name = "backend"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names, as `click.Choice` lists them."""
        return f"[{'|'.join(backend_choices())}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; a usage error for one that is unknown."""
        names = backend_choices()
        if value not in names:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, names))}.", param, ctx)
        return value


NET_OPTIONS = (
    click.option("--weights", metavar="FILE", help="Weights: a .caffemodel or .caffemodel.h5.  [default: the catalogue's; else random]"),
    click.option(
        "--mean",
        metavar="B,G,R|FILE",
        help="Mean that is subtracted, per channel (0-255), or a .binaryproto or .npy file.  [default: the file's; else the model zoo's]",
    ),
    click.option(
        "--channel-order",
        type=click.Choice(["BGR", "RGB"], case_sensitive=False),
        help="Order of the channels.  [default: the catalogue's; else BGR]",
    ),
    click.option("--scale", type=float, help="Factor after the mean is subtracted.  [default: the file's; else 1]"),
    click.option("--labels", metavar="FILE", help="Names of the classes: lines, numbered lines, JSON, a table, a labelmap."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
    click.option(
        "--backend",
        type=BackendName(),
        default="auto",
        show_default=True,
        help="What computes the net: the built-in engine (auto), or real Caffe in this Python or in another (docs/backends.md).",
    ),
    click.option(
        "--python", metavar="COMMAND", help="For --backend remote: what starts a Python with Caffe, as 'chroot /srv/caffe python3'."
    ),
    click.option(
        "--input-shape",
        multiple=True,
        metavar="[BLOB=]CxHxW",
        help="Repeatable. Shape of the input (of one item, or NxCxHxW), where the file leaves it open or to change it.",
    ),
    click.option(
        "--input",
        "input",
        metavar="BLOB",
        help="What is optimized: an input, or a blob or layer, where the net is cut.  [default: the image]",
    ),
    click.option(
        "--feed",
        multiple=True,
        metavar="BLOB=FILE|VALUE",
        help="Repeatable. What another input is fed: numbers with commas, a .npy file or an image.  [default: zeros]",
    ),
    click.option(
        "--phase", type=click.Choice(["TEST", "TRAIN"], case_sensitive=False), help="Which layers are in the net.  [default: TEST]"
    ),
    click.option("--stage", multiple=True, metavar="NAME", help="Repeatable. Likewise, for the file's stage and not_stage rules."),
    click.option("--level", type=int, help="Likewise, for its min_level and max_level.  [default: 0]"),
    click.option("--cache", metavar="DIR", help="Cache folder of fetched models."),
    click.option(
        "--allow-python-layers", is_flag=True, help="Import and run the modules that Python layers name: only for nets that you trust."
    ),
)
# Without allow_python_layers, which no file may say.
NET_KEYS = (
    *("weights", "mean", "channel_order", "scale", "labels", "device", "backend", "python"),
    *("input_shape", "input", "feed", "phase", "stage", "level", "cache"),
)


net_option = click.option(
    "--net", metavar="PROTOTXT|NAME", help="A prototxt, or a name of `dreamopt models`.  [default: tiny, the embedded net]"
)


def net_options(command: Command) -> Command:
    """Add the options that `open_network` takes."""
    for option in reversed(NET_OPTIONS):
        command = option(command)
    return command


def some_net_options(*names: str) -> Callable[[Command], Command]:
    """Return what adds those of `NET_OPTIONS` that have these names."""

    def add(command: Command) -> Command:
        for option in reversed(NET_OPTIONS):
            [parameter] = vars(option(lambda: None))["__click_params__"]
            command = option(command) if parameter.name in names else command
        return command

    return add


def _mean(text: str | None) -> str | float | list[float] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        return numbers if len(numbers) > 1 else numbers[0]
    except ValueError:
        if os.path.exists(text):
            return text
        raise UsageError(f"--mean {text} is neither an existing file nor numbers with commas between them, as in 104,117,123") from None


def whole_number(text: str) -> int:
    """Return the number that decimal digits say; 0 for any other text, and for more digits than a size has."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _input_shape(texts: Sequence[str]) -> tuple[int, ...] | dict[str, tuple[int, ...]] | None:
    """Return `load_net`'s ``input_shape``; fewer than four numbers are one item's."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        blob, _, sizes = text.rpartition("=")
        shape = tuple(whole_number(part) for part in sizes.lower().split("x"))
        if not all(shape):
            raise UsageError(f"--input-shape {text} is no shape; give CxHxW, as in 3x224x224, or BLOB=CxHxW")
        if blob in shapes:
            raise UsageError(f"--input-shape is given twice for {f'the blob {blob!r}' if blob else 'the first input'}")
        shapes[blob] = shape if len(shape) > 3 else (1, *shape)
    if "" in shapes and len(shapes) > 1:
        raise UsageError("--input-shape is given for several inputs: say which is which, as in data=3x224x224")
    return shapes.get("", shapes or None)


def _feed(texts: Sequence[str]) -> dict[str, str]:
    """Return `load_net`'s ``feed``; a blob's name may hold no equals sign, a file's may."""
    feed: dict[str, str] = {}
    for text in texts:
        blob, equals, value = text.partition("=")
        if not (blob and equals and value):
            raise UsageError(f"--feed {text} must be BLOB=FILE or BLOB=VALUE, as in im_info=224,224,1")
        if blob in feed:
            raise UsageError(f"--feed is given twice for the blob {blob!r}")
        feed[blob] = value
    return feed


def _file_hash(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return file_sha256(path)
    except UsageError:  # the net's reader says it better
        return None


def open_network(
    net: str | None, size: int | tuple[int, int] | None = None, **said: Any
) -> tuple["Network", dict[str, Any], dict[str, Any]]:
    """Load the net that the options name; ``size`` (pixels, or height and width) is that of an input that its file leaves open.

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
        input_shape=_input_shape(said["input_shape"] or ()),
        input=said["input"],
        feed=_feed(said["feed"] or ()),
        phase=said["phase"] or "TEST",
        level=0 if said["level"] is None else said["level"],
        stages=said["stage"] or (),
        default_input_size=(size, size) if isinstance(size, int) else size,
        allow_python_layers=True if said.get("allow_python_layers") else None,
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
