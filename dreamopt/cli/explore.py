"""``dreamopt explore``: a net in the browser, live."""

from typing import Any

import click

from dreamopt.cli.echo import echo
from dreamopt.cli.net import NET_KEYS, known_net, net_options, open_network
from dreamopt.cli.replay import DEFAULTS
from dreamopt.cli.shell import shell_command


@click.command("explore")
@click.argument("net", required=False, callback=known_net, metavar="[PROTOTXT|NAME]")
@click.option("--photo", metavar="FILE", help="A photograph to begin with.")
@click.option("--atlas", metavar="FOLDER", help="What `dreamopt atlas` made of the net: its images and crops are shown beside.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any that is free.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser, where there is a desktop.")
@net_options
def command(net: str | None, photo: str | None, atlas: str | None, port: int, browser: bool, **options: Any) -> None:
    """Explore a net in the browser: its layers and units on a photograph or a webcam, live, and images that grow.

    The address goes to stdout; it holds a random token, and only programs of this machine can reach it (docs/explore.md). Nothing is
    fetched from the network and nothing leaves the machine. Ctrl-C ends it, with exit code 130.
    """
    from pathlib import Path

    from dreamopt.errors import UsageError
    from dreamopt.explorer.atlas_folder import AtlasFolder
    from dreamopt.explorer.commands import Commands
    from dreamopt.explorer.explorer import Explorer
    from dreamopt.image.loading import load_image
    from dreamopt.image.spectrum import image_files
    from dreamopt.recipes.command import option_words

    try:
        from dreamopt.explorer.serve import serve
    except ModuleNotFoundError as problem:
        raise UsageError(f"the explorer needs Starlette and uvicorn ({problem}): pip install 'dreamopt[explore]'") from problem
    folder = None if atlas is None else AtlasFolder(atlas)
    network, repeat, source = open_network(net, None, **{key: options[key] for key in (*NET_KEYS, "allow_python_layers")})
    samples = image_files(None)
    if photo is not None:
        load_image(photo, what="the photograph")  # what is wrong with it is said here, and not in the page
        samples = [Path(photo), *samples]
    said = {name: value for name, value in repeat.items() if DEFAULTS.get(name) != value}
    commands = Commands(net or "tiny", ("--net", net or "tiny", *option_words(said)), shell_command)
    explorer = Explorer(network, commands, {"source": source, "load": {"net": net} | repeat}, folder, samples)
    if folder is not None and source["prototxt_sha256"] is not None and folder.net_sha256 not in (None, source["prototxt_sha256"]):
        echo("dreamopt: warning: the atlas is of another prototxt than this net's", err=True)
    serve(explorer, port, say=echo, browser=browser)
