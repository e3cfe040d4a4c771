"""``dreamopt dream``: what layers of a net see in an image, strengthened in it."""

from dataclasses import replace
from typing import Any

import click

from dreamopt.cli.echo import echo
from dreamopt.cli.job import job_options, print_job, run_job
from dreamopt.cli.net import NET_KEYS, net_options, open_network
from dreamopt.cli.render import chosen_settings, reproduce_command, settings_options


@click.command("dream")
@click.argument("image", metavar="IMAGE")
@click.option("--net", metavar="PROTOTXT|NAME", help="A prototxt, or a name of `dreamopt models`.  [default: tiny, the embedded net]")
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Repeatable; several are summed. inception_4c/output (a layer), conv4:7 (a filter), '2*conv3' (with a weight).  "
    "[default: a layer that is chosen from the net's structure]",
)
@click.option(
    "-o",
    "--out",
    default="dream.png",
    show_default=True,
    metavar="FILE",
    help="The dream, .png or .tif, at the depth of the image, with its opacity and its colour profile.",
)
@settings_options
@job_options
@net_options
def command(
    image: str,
    net: str | None,
    targets: tuple[str, ...],
    out: str,
    quiet: bool,
    as_json: bool,
    every: int | None,
    resume: bool,
    memory: int | None,
    preview: str | None,
    preset: str | None,
    **options: Any,
) -> None:
    """Dream into an image: strengthen in it what layers of a net see there.

    The settings are those of the preset deepdream2015 (4 octaves, each 1.4 times the one before, of 10 steps of 1.5 grey levels with a
    jitter of 32 pixels); options change them. The image keeps its size unless --size says another. The file says in its metadata how it
    was made, with the command that makes it again. Ctrl-C writes the dream as far as it is and exits with 130; `--resume` goes on from
    there, and from where a crash left it.
    """
    from dreamopt.network.choice import described_layer
    from dreamopt.recipes.dream import PRESET, plan_dream
    from dreamopt.recipes.output import check_output

    check_output(out)
    net_settings = {key: options.pop(key) for key in (*NET_KEYS, "allow_python_layers")}
    settings = chosen_settings(PRESET if preset is None else preset, **options)
    network, repeat, source = open_network(net, settings.size, **net_settings)
    plan = plan_dream(network, image, targets or None, settings)
    if not targets and not quiet:
        echo(f"dreaming into {described_layer(network, plan.samples[0].text)}; -t names another layer", err=True)
    again = reproduce_command(plan, net, repeat, out)
    plan = replace(plan, provenance={"source": source, "load": {"net": net} | repeat, "command": again})
    rendered, sheet = run_job(plan, network, out, quiet=quiet, every=every, resume=resume, memory=memory, preview=preview)
    print_job(plan, rendered, sheet, as_json, resumable=every != 0 or resume)
