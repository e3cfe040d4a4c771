"""``dreamopt demo``: the embedded net's filters and classes, a dream and a zoom of it, offline."""

from dataclasses import replace
from pathlib import Path

import click

from dreamopt.cli.threads import threads_option

ATLAS_STEPS, ATLAS_SIZE = 64, 64


@click.command("demo")
@click.option("-o", "--out", default="demo", show_default=True, metavar="DIR", help="Where the sheets and images go.")
@click.option("--steps", type=int, default=160, show_default=True, help="Steps per image.")
@click.option("--size", type=int, default=128, show_default=True, help="Pixels.")
@click.option("--filters", type=click.IntRange(min=1), default=8, show_default=True, help="Filters per layer.")
@click.option("--batch-size", default=16, show_default=True, help="Images made together.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@threads_option
def command(out: str, steps: int, size: int, filters: int, batch_size: int, quiet: bool) -> None:
    """Show the embedded net: an atlas of some layers, two contact sheets of filters and classes, a dream and a zoom, offline.

    It takes a few minutes. The paths go to stdout. Ctrl-C writes what is there and exits with 130.
    """
    from dreamopt.atlas.make import make_atlas
    from dreamopt.cli.atlas_progress import charting
    from dreamopt.cli.echo import echo_path
    from dreamopt.cli.progress import interruptible, rendering
    from dreamopt.network import load_net
    from dreamopt.recipes.demo import SETTINGS, choose, demo
    from dreamopt.recipes.demo_dreams import demo_dreams, plan_demo_dreams

    network = load_net()
    what = choose(network, filters)
    settings = replace(SETTINGS, steps=steps, size=size, batch_size=batch_size)
    count = sum(len(what.targets(network, layer, settings)) for layer in what.layers) + network.shape_of(what.classes)[0]
    with charting(quiet) as chart:
        of_atlas = replace(SETTINGS, steps=min(steps, ATLAS_STEPS), size=min(size, ATLAS_SIZE))
        first = make_atlas(
            network,
            Path(out) / "atlas",
            layers=[what.layers[0], what.layers[len(what.layers) // 2], what.layers[-1], what.classes],
            units=filters,
            settings=of_atlas,
            command="dreamopt demo",
            progress=chart,
        )
    echo_path(first)
    plans = plan_demo_dreams(network, what.layers[-1])
    with interruptible() as stop:
        with rendering(quiet, count, settings.steps) as report:
            paths = demo(network, out, settings, what=what, callbacks=[report], stop=stop)
        if not stop():
            with rendering(quiet, 1, plans[0].total_steps + plans[1].count * plans[1].dream.total_steps) as report:
                paths += demo_dreams(network, plans, out, callbacks=[report], stop=stop)
        stopped = stop()
    for path in paths:
        echo_path(path)
    if stopped:
        click.echo("dreamopt: interrupted; what was made so far is there.", err=True)
        click.get_current_context().exit(130)
