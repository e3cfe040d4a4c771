"""``dreamopt replay``: a picture made again from its metadata."""

from pathlib import Path

import click

from dreamopt.cli.net import NET_KEYS, open_network


@click.command("replay")
@click.argument("picture", metavar="PICTURE.png")
@click.option("-o", "--out", metavar="FILE.png", help="The new picture.  [default: PICTURE-replay.png]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(picture: str, out: str | None, quiet: bool) -> None:
    """Make a picture again from what is written in it, and say on stderr whether it came out the same.

    The net and its weights must be where they were. On the same machine with the same number of threads the bits are the same.
    """
    import numpy as np

    from dreamopt.cli.progress import interruptible, rendering
    from dreamopt.image.files import read_metadata, read_png, write_png
    from dreamopt.recipes.replay import check_story, differences, replay
    from dreamopt.recipes.save import check_output
    from dreamopt.recipes.settings import Settings

    metadata = read_metadata(picture)
    check_story(metadata, picture)
    path = check_output(Path(picture).with_name(Path(picture).stem + "-replay.png") if out is None else out)
    load = dict(metadata.get("load", {}))
    settings = Settings(**metadata["settings"])
    network, _, _ = open_network(load.pop("net", None), settings.size, **{key: load.get(key) for key in NET_KEYS})
    with interruptible() as stop, rendering(quiet, len(metadata["batch"]), settings.total_steps) as report:
        again = replay(network, metadata, callbacks=[report], stop=stop)
    click.echo(write_png(path, again.picture, again.metadata))
    if again.interrupted:
        click.echo("dreamopt: interrupted; the picture holds the best so far.", err=True)
        click.get_current_context().exit(130)
    before = read_png(picture)
    far = int(np.abs(before.astype(int) - again.picture).max()) if before.shape == again.picture.shape else 255
    other = differences(metadata, network)
    said = "the same pixels" if far == 0 else f"differs by up to {far} grey levels"
    click.echo(f"dreamopt: {said}{' (' + '; '.join(other) + ')' if other else ''}.", err=True)
