"""The options that name a net, shared by the commands, and loading what they name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dreamopt.backends.registry import backend_choices
from dreamopt.cli.sections import of_net
from dreamopt.cli.threads import threads_option
from dreamopt.models.cache import check_net_name
from dreamopt.parts.net_words import NET_KEYS as NET_KEYS
from dreamopt.parts.net_words import whole_number as whole_number

if TYPE_CHECKING:
    from dreamopt.network import Network

    NameType = click.ParamType[str]
else:
    NameType = click.ParamType  # which older versions of click do not parametrize

Command = Callable[..., Any]


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
    of_net("--weights", metavar="FILE", help="Weights: a .caffemodel or .caffemodel.h5.  [default: the catalogue's; else random]"),
    of_net(
        "--mean",
        metavar="B,G,R|FILE",
        help="Mean that is subtracted, per channel (0-255), or a .binaryproto or .npy file.  [default: the file's; else the model zoo's]",
    ),
    of_net(
        "--channel-order",
        type=click.Choice(["BGR", "RGB"], case_sensitive=False),
        help="Order of the channels.  [default: the catalogue's; else BGR]",
    ),
    of_net("--scale", type=float, help="Factor after the mean is subtracted.  [default: the file's; else 1]"),
    of_net("--labels", metavar="FILE", help="Names of the classes: lines, numbered lines, JSON, a table, a labelmap."),
    of_net("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
    of_net(
        "--precision",
        type=click.Choice(["float32", "bf16"]),
        help="What convolutions multiply: bf16 rounds to 3 digits, where the device has it (docs/performance.md).  [default: float32]",
    ),
    of_net(
        "--backend",
        type=BackendName(),
        default="auto",
        show_default=True,
        help="What computes the net: the built-in engine (auto), or real Caffe in this Python or in another (docs/backends.md).",
    ),
    of_net("--python", metavar="COMMAND", help="For --backend remote: what starts a Python with Caffe, as 'chroot /srv/caffe python3'."),
    of_net(
        "--input-shape",
        multiple=True,
        metavar="[BLOB=]CxHxW",
        help="Repeatable. Shape of the input (of one item, or NxCxHxW), where the file leaves it open or to change it.",
    ),
    of_net(
        "--input",
        "input",
        metavar="BLOB",
        help="What is optimized: an input, or a blob or layer, where the net is cut.  [default: the image]",
    ),
    of_net(
        "--feed",
        multiple=True,
        metavar="BLOB=FILE|VALUE",
        help="Repeatable. What another input is fed: numbers with commas, a .npy file or an image.  [default: zeros]",
    ),
    of_net("--phase", type=click.Choice(["TEST", "TRAIN"], case_sensitive=False), help="Which layers are in the net.  [default: TEST]"),
    of_net("--stage", multiple=True, metavar="NAME", help="Repeatable. Likewise, for the file's stage and not_stage rules."),
    of_net("--level", type=int, help="Likewise, for its min_level and max_level.  [default: 0]"),
    of_net("--cache", metavar="DIR", help="Cache folder of fetched models."),
    of_net("--allow-python-layers", is_flag=True, help="Import and run the modules that Python layers name: only for nets that you trust."),
)


def known_net(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse a name that is neither a file nor a net's before anything is loaded."""
    if name is not None:
        check_net_name(name)
    return name


net_option = of_net(
    "--net",
    callback=known_net,
    metavar="PROTOTXT|NAME",
    help="A prototxt, or a name of `dreamopt models`.  [default: tiny, the embedded net]",
)


def net_options(command: Command) -> Command:
    """Add the options that `open_network` takes, and ``--threads``."""
    for option in reversed(NET_OPTIONS):
        command = option(command)
    return threads_option(command)


def some_net_options(*names: str) -> Callable[[Command], Command]:
    """Return what adds those of `NET_OPTIONS` that have these names."""

    def add(command: Command) -> Command:
        for option in reversed(NET_OPTIONS):
            [parameter] = vars(option(lambda: None))["__click_params__"]
            command = option(command) if parameter.name in names else command
        return command

    return add


def open_network(
    net: str | None, size: int | tuple[int, int] | None = None, **said: Any
) -> tuple["Network", dict[str, Any], dict[str, Any]]:
    """Load the net that the options name; as `dreamopt.network.opening.open_network`."""
    from dreamopt.network import opening

    return opening.open_network(net, size, **said)
