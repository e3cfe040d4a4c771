"""``dreamopt demo``: the embedded net's filters and classes, a dream and a zoom of it, offline."""

from dataclasses import replace
from pathlib import Path

import click

from dreamopt.cli.echo import echo, echo_path
from dreamopt.cli.threads import threads_option

ATLAS_STEPS, ATLAS_SIZE = 64, 64
_LONG = "some four minutes on two cores"


@click.command("demo")
@click.option("-o", "--out", default="demo", show_default=True, metavar="DIR", help="Where the sheets and images go.")
@click.option("--steps", type=int, default=160, show_default=True, help="Steps per image.")
@click.option("--size", type=int, default=128, show_default=True, help="Pixels.")
@click.option("--filters", type=click.IntRange(min=1), default=8, show_default=True, help="Filters per layer.")
@click.option("--batch-size", default=16, show_default=True, help="Images made together.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@threads_option
def command(out: str, steps: int, size: int, filters: int, batch_size: int, quiet: bool) -> None:
    """Show the embedded net: a dream, two contact sheets of filters and classes, an atlas of some layers and a zoom, offline.

    It says first how long it takes; the dream is there within a minute. The paths go to stdout, each when its file is written. Ctrl-C
    writes what is there and exits with 130.
    """
    from dreamopt.atlas.make import make_atlas
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.network import load_net
    from dreamopt.progress.rendering import rendering
    from dreamopt.recipes.demo import SETTINGS, choose, demo
    from dreamopt.recipes.demo_dreams import demo_dream, demo_zoom, plan_demo_dreams

    if not quiet:
        echo(f"dreamopt: a dream, two sheets, an atlas and a zoom into {out}: {_LONG}, the dream within one", err=True)
    network = load_net()
    what = choose(network, filters)
    settings = replace(SETTINGS, steps=steps, size=size, batch_size=batch_size)
    count = sum(len(what.targets(network, layer, settings)) for layer in what.layers) + network.shape_of(what.classes)[0]
    dream, zoom = plan_demo_dreams(network, what.layers[-1])
    with interruptible() as stop:
        with rendering(not quiet, 1, dream.total_steps, dream.pixel_steps) as report:
            echo_path(demo_dream(network, dream, out, callbacks=report.callbacks, stop=stop))
        if not stop():
            with rendering(not quiet, count, settings.steps) as report:
                for path in demo(network, out, settings, what=what, callbacks=report.callbacks, stop=stop):
                    echo_path(path)
    if not stop():
        of_atlas = replace(SETTINGS, steps=min(steps, ATLAS_STEPS), size=min(size, ATLAS_SIZE))
        layers = [what.layers[0], what.layers[len(what.layers) // 2], what.layers[-1], what.classes]
        pages = make_atlas(
            network, Path(out) / "atlas", layers=layers, units=filters, settings=of_atlas, command="dreamopt demo", progress=not quiet
        )
        echo_path(pages)
        with interruptible() as stop, rendering(not quiet, 1, zoom.count * zoom.dream.total_steps) as report:
            echo_path(demo_zoom(network, zoom, out, callbacks=report.callbacks, stop=stop))
    if stop():
        click.echo("dreamopt: interrupted; what was made so far is there.", err=True)
        click.get_current_context().exit(130)
