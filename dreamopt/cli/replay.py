"""``dreamopt replay``: an image made again from its metadata."""

import os
from pathlib import Path

import click

from dreamopt.cli.net import NET_KEYS, open_network


@click.command("replay")
@click.argument("image", metavar="IMAGE.png")
@click.option("-o", "--out", metavar="FILE.png", help="The new image.  [default: IMAGE-replay.png]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(image: str, out: str | None, quiet: bool) -> None:
    """Make an image again from its metadata, and say on stderr whether it came out the same.

    The net and its weights must be where they were. On the same machine with the same number of threads the bits are the same.
    """
    import numpy as np

    from dreamopt.cli.progress import interruptible, rendering
    from dreamopt.image.files import read_metadata, read_png
    from dreamopt.recipes.output import check_output
    from dreamopt.recipes.plan import Plan
    from dreamopt.recipes.rendered import write_rendered
    from dreamopt.recipes.replay import check_metadata, differences, replay

    metadata = read_metadata(image)
    check_metadata(metadata, image)
    path = check_output(Path(image).with_name(Path(image).stem + "-replay.png") if out is None else out)
    plan, load = Plan.read(metadata), dict(metadata.get("load", {}))
    network, _, _ = open_network(load.pop("net", None), plan.size, **{key: load.get(key) for key in NET_KEYS})
    with interruptible() as stop, rendering(quiet, len(plan.samples), plan.total_steps) as report:
        again = replay(network, metadata, plan=plan, callbacks=[report], stop=stop)
    click.echo(os.fsencode(write_rendered(again, path)))
    if again.interrupted:
        click.echo("dreamopt: interrupted; the image holds the best so far.", err=True)
        click.get_current_context().exit(130)
    before = read_png(image)
    far = int(np.abs(before.astype(int) - again.image).max()) if before.shape == again.image.shape else 255
    reasons = differences(metadata, network)
    result = "the same pixels" if far == 0 else f"differs by up to {far} grey levels"
    click.echo(f"dreamopt: {result}{' (' + '; '.join(reasons) + ')' if reasons else ''}.", err=True)
