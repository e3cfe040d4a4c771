"""``dreamopt dream``: what layers of a net see in an image, strengthened in it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo
from dreamopt.cli.film import KEYS as FILM_KEYS
from dreamopt.cli.film import dream_into_film, film_options, refuse_film_options
from dreamopt.cli.job import job_options, network_title, print_job, print_paths, run_job
from dreamopt.cli.net import NET_KEYS, net_option, net_options, open_network, whole_number
from dreamopt.cli.render import chosen_settings, settings_options
from dreamopt.cli.sections import SectionedCommand, of_image, of_target
from dreamopt.cli.spelling import check_targets
from dreamopt.errors import UsageError

if TYPE_CHECKING:
    from dreamopt.recipes import Rendered


def _rank(_: click.Context, __: click.Parameter, text: str | None) -> int | str | None:
    return text if text is None or "%" in text else whole_number(text) or text


AIM_OPTIONS = (
    of_target("--guide", metavar="FILE", help="An image: dream of what it has in the layers."),
    of_target(
        "--guide-mode",
        type=click.Choice(["columns", "channels", "style"]),
        default="columns",
        show_default=True,
        help="By its best-matching columns, by how much it has of each channel, or by which channels answer together in it.",
    ),
    of_target("--guide-size", type=int, default=640, show_default=True, help="A guide of which a side is longer is made smaller."),
    of_target("--rank", callback=_rank, metavar="N|N%", help="Dream of so many channels of each layer, by their rank in the image."),
    of_target(
        "--rank-mode",
        type=click.Choice(["strong", "weak", "avg", "ignore"]),
        default="strong",
        show_default=True,
        help="Those that the image drives most, least, in between, or all but the strongest.",
    ),
    of_target(
        "--rank-capture",
        type=click.Choice(["once", "octave", "step"]),
        default="once",
        show_default=True,
        help="When they are chosen: by the image, by the image at each octave's size, or by the dream at each step.",
    ),
)


def aim_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of what is aimed at in the layers."""
    for option in reversed(AIM_OPTIONS):
        command = option(command)
    return command


@click.command("dream", cls=SectionedCommand)
@click.argument("images", metavar="IMAGE...|FILM|FOLDER", nargs=-1, required=True)
@net_option
@of_target(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Repeatable; several are summed. 'inception_4c/output' (a layer), 'conv4:7' (a filter), '2*conv3' (with a weight).  "
    "[default: a layer that is chosen from the net's structure]",
)
@of_target(
    "--explore",
    is_flag=True,
    help="Instead, a contact sheet of small dreams of every layer, or with -t LAYER of every channel of it, with the seconds each took.",
)
@aim_options
@of_image(
    "-o",
    "--out",
    metavar="FILE|FILM|FOLDER",
    help="The dream: of an image .png or .tif, with its depth, opacity and colours, .webp or .jpg; of a film .mp4, .mov, .mkv, .webm, "
    ".gif or a folder of frames; of several images a folder.  [default: dream.png, of films dream.mp4, of several images dreams]",
)
@settings_options
@film_options
@job_options
@net_options
def command(
    images: tuple[str, ...],
    net: str | None,
    targets: tuple[str, ...],
    explore: bool,
    out: str | None,
    quiet: bool,
    as_json: bool,
    every: int | None,
    resume: bool,
    force: bool,
    memory: int | None,
    preview: str | None,
    preset: str | None,
    guide: str | None,
    guide_mode: str,
    guide_size: int,
    rank: int | str | None,
    rank_mode: str,
    rank_capture: str,
    **options: Any,
) -> None:
    """Dream into images, a film or a folder of frames: strengthen in them what layers of a net see there.

    The settings are those of the preset deepdream2015 (4 octaves, each 1.4 times the one before, of 10 steps of 1.5 grey levels with a
    jitter of 32 pixels); options change them. The image keeps its size unless --size says another. The file says in its metadata how it
    was made, with the command that makes it again. Ctrl-C writes the dream as far as it is and exits with 130; `--resume` goes on from
    there, and from where a crash left it.

    Several images are dreamed one after the other, each into a file of its name in the folder OUT.

    A film's frames are dreamed one after the other; each that is finished is a PNG in the folder OUT.frames until the film is written, with
    the times and the sound of its source. Ctrl-C or a crash lose the frame under way.
    """
    check_targets(targets, net, options)
    from dreamopt.film.sources import is_film
    from dreamopt.network.choice import described_layer
    from dreamopt.recipes.aim import Aim
    from dreamopt.recipes.command import reproduce_command
    from dreamopt.recipes.dream import PRESET, plan_dream
    from dreamopt.recipes.output import check_new, check_output, images_in_folder, is_kept

    aim = Aim(guide, guide_mode, guide_size, rank, rank_mode, rank_capture)
    net_settings = {key: options.pop(key) for key in (*NET_KEYS, "allow_python_layers")}
    film = {key: options.pop(key) for key in FILM_KEYS}
    image, several = images[0], len(images) > 1
    frames = not several and is_film(image, out)
    if out is None:
        out = "dreams" if several else "dream.mp4" if frames else "dream.png"
    outs = images_in_folder(images, out) if several else [out]
    for one in images if several else ():
        if is_film(one, None):
            raise UsageError(f"'{one}' is a film, or a folder of frames: dream into it alone")
    if not frames:
        for path in outs:
            kept = check_output(path)
            if not (force or resume):
                check_new([kept])
        refuse_film_options(film, image)
    if explore:
        from dreamopt.recipes.explore import EXPLORE, plan_explore, sheet_of

        if several:
            raise UsageError(f"--explore makes one sheet of one image, not of {len(images)}")
        if aim != Aim():
            raise UsageError("--explore shows layers, or channels of a layer: give no --guide and no --rank with it")
        if frames:
            raise UsageError(f"--explore makes one sheet of an image, not of a film ({image}); give it a frame of the film")
        options |= {name: value for name, value in EXPLORE.items() if options.get(name) is None}
    settings = chosen_settings(PRESET if preset is None else preset, **options)
    if frames:
        if preview is not None:
            raise UsageError(f"--preview is of an image; the finished frames of a film are files already, in {out}.frames")
        dream_into_film(
            image,
            net,
            targets,
            out,
            settings,
            aim,
            film,
            net_settings,
            quiet=quiet,
            as_json=as_json,
            resume=resume,
            force=force,
            memory=memory,
        )
        return
    network, repeat, source = open_network(net, settings.size, **net_settings)
    rendered: list[Rendered] = []
    count, written = 0, None
    for image, path in zip(images, outs, strict=True):
        if explore:
            plan = plan_explore(network, image, targets or None, settings)
        else:
            plan = plan_dream(network, image, targets or None, settings, aim)
            if not targets and not quiet:
                described = described_layer(network, plan.samples[0].objective.layers[0])
                echo(f"dreaming into {described}; -t names another layer, --explore shows them all", err=True)
        again = reproduce_command(plan, net, repeat, path, targets if explore else None)
        plan = replace(plan, provenance={"source": source, "load": {"net": net} | repeat, "command": again})
        sheet = (lambda made, plan=plan: sheet_of(plan, made, network_title(network, source))) if explore else None
        goes_on = resume and (not several or is_kept(path))
        made, written = run_job(
            plan,
            network,
            path,
            quiet=quiet,
            every=every,
            resume=goes_on,
            force=force or resume,
            memory=memory,
            preview=preview,
            sheet=sheet,
            timed=explore,
        )
        rendered, count = rendered + made, count + len(plan.samples)
        if several and not as_json:
            print_paths(made)
        if made[0].interrupted:
            break
    print_job(max(count, len(images)), rendered, written, as_json, resumable=every != 0 or resume, printed=several)
