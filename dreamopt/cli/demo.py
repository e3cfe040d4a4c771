"""``dreamopt demo``: the embedded net's filters and classes, offline."""

from typing import Any

import click


@click.command("demo")
@click.option("-o", "--out", default="demo", show_default=True, metavar="DIR", help="Where the sheets and pictures go.")
@click.option("--steps", type=int, help="Steps per picture.  [default: 192]")
@click.option("--size", type=int, help="Pixels.  [default: chosen for the net]")
@click.option("--filters", default=8, show_default=True, help="Filters per layer.")
@click.option("--batch-size", default=16, show_default=True, help="Pictures made together.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(out: str, steps: int | None, size: int | None, filters: int, batch_size: int, quiet: bool) -> None:
    """Render what the embedded net's filters and classes like: two contact sheets in a few minutes, without a download.

    The sheets' paths go to stdout. Ctrl-C writes what is there and exits with 130.
    """
    from dreamopt.cli.progress import interruptible, rendering
    from dreamopt.network import load_net
    from dreamopt.recipes import Settings
    from dreamopt.recipes.demo import demo, plan

    network = load_net()
    chosen = plan(network, filters)
    told: dict[str, Any] = {"steps": 192 if steps is None else steps, "batch_size": batch_size, "size": size}
    settings = Settings(**told)
    count = sum(len(chosen.targets(network, layer)) for layer in chosen.layers) + network.shape_of(chosen.classes)[0]
    with interruptible() as stop, rendering(quiet, count, settings.steps) as report:
        paths = demo(network, out, settings, what=chosen, callbacks=[report], stop=stop)
        stopped = stop()
    for path in paths:
        click.echo(path)
    if stopped:
        click.echo("dreamopt: interrupted; the sheets hold what was made so far.", err=True)
        click.get_current_context().exit(130)
