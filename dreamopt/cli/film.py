"""What ``dreamopt dream`` does with a film or a folder of frames."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.net import NET_KEYS, open_network
from dreamopt.cli.sections import of_film
from dreamopt.errors import printable

if TYPE_CHECKING:
    from dreamopt.recipes.film import Dreamed
    from dreamopt.recipes.film_plan import FilmPlan
    from dreamopt.recipes.film_store import FrameStore
    from dreamopt.recipes.zoom_film import Zoomed


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> float | str | None:
    """Read seconds, or a number of frames as 30f."""
    if text is None or re.fullmatch(r"\d{1,9}f", text):
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{printable(repr(text), 80)} is neither seconds nor a number of frames as 30f.") from None


FILM_OPTIONS = (
    of_film("--start", callback=_moment, metavar="SECONDS|Nf", help="Films: where to begin, in seconds or as frame 30f.  [default: 0]"),
    of_film("--end", callback=_moment, metavar="SECONDS|Nf", help="Films: where to end, before that.  [default: the film's end]"),
    of_film("--cycle", type=click.IntRange(min=1), metavar="FRAMES", help="Films: dream of one target after the other, each for so long."),
    of_film(
        "--carry",
        type=float,
        metavar="SHARE",
        help="Films: how much of the dreams before is carried along with the motion, 0 (each frame by itself) to 0.95.  [default: 0.8]",
    ),
    of_film("--blend-previous", type=float, metavar="SHARE", help="Films: begin each frame with a share of the dream before, as 0.5."),
    of_film("--rate", type=float, metavar="FPS", help="Frames a second of a folder of frames.  [default: 25]"),
    of_film("--codec", metavar="NAME", help="Films: FFmpeg's encoder.  [default: libx264, for .webm libvpx-vp9]"),
    of_film("--crf", type=click.IntRange(0, 63), help="Films: the encoder's constant rate factor, less is better.  [default: 18]"),
    of_film("--pixel-format", metavar="NAME", help="Films: FFmpeg's name.  [default: yuv420p]"),
    of_film("--no-sound", is_flag=True, help="Films: leave sound and subtitles out."),
    of_film("--keep-frames", is_flag=True, help="Films: keep the frames, in OUT.frames, once the film is written."),
    of_film(
        "--measure-flicker", is_flag=True, help="Films: say in the end how much the frames flicker, beside the film they are made from."
    ),
    of_film("--partial", is_flag=True, help="Films: on Ctrl-C, write the film as far as it is."),
)
KEYS = (
    "start",
    "end",
    "cycle",
    "carry",
    "blend_previous",
    "rate",
    "codec",
    "crf",
    "pixel_format",
    "no_sound",
    "keep_frames",
    "measure_flicker",
    "partial",
)
"""Names of the parameters of `FILM_OPTIONS`."""


def film_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of films."""
    for option in reversed(FILM_OPTIONS):
        command = option(command)
    return command


def refuse_film_options(given: Mapping[str, Any], image: str) -> None:
    """Raise a usage error for an option of films where there is none."""
    named = [name for name in KEYS if given[name] not in (None, False)]
    if named:
        option = f"--{named[0].replace('_', '-')}"
        raise click.UsageError(f"{option} is for films and folders of frames, and {printable(image, 200)} is an image.")


def film_settings(given: Mapping[str, Any]) -> Any:
    """Return the `FilmSettings` that the options say."""
    from dreamopt.errors import UsageError
    from dreamopt.film.carried import Carried
    from dreamopt.film.encoding import Encoding
    from dreamopt.film.temporal import Apart, BlendPrevious
    from dreamopt.recipes.film_plan import FilmSettings

    carry, share = given["carry"], given["blend_previous"]
    if carry is not None and share is not None:
        raise UsageError("--carry and --blend-previous are two ways to begin a frame; give one of them")
    carried = Apart() if carry == 0 else Carried() if carry is None else Carried(carry)
    return FilmSettings(
        start=0.0 if given["start"] is None else given["start"],
        end=given["end"],
        cycle=given["cycle"],
        temporal=carried if share is None else BlendPrevious(share),
        rate=given["rate"],
        encoding=Encoding(given["codec"], given["crf"], given["pixel_format"]),
        sound=not given["no_sound"],
    )


def dream_into_film(
    source: str,
    net: str | None,
    targets: tuple[str, ...],
    out: str,
    settings: Any,
    aim: Any,
    film: Mapping[str, Any],
    net_settings: Mapping[str, Any],
    *,
    quiet: bool,
    as_json: bool,
    resume: bool,
    force: bool,
    memory: int | None = None,
) -> None:
    """Dream a film with progress and Ctrl-C, and print its path; exit with 130 where it was interrupted."""
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.film.sources import is_folder_output
    from dreamopt.progress.rendering import filming
    from dreamopt.recipes.film import check_out, run_film
    from dreamopt.recipes.film_plan import plan_film
    from dreamopt.recipes.film_store import FrameStore
    from dreamopt.recipes.output import check_new

    chosen = film_settings(film)
    check_out(out, source, chosen)
    if not (force or resume or is_folder_output(out)):
        check_new([Path(out)])
    network, repeat, origin = open_network(net, settings.size, **{key: net_settings[key] for key in (*NET_KEYS, "allow_python_layers")})
    plan = plan_film(network, source, targets or None, settings, chosen, aim)
    if not quiet:
        seconds = float(plan.count / plan.film.rate)
        size = f"{plan.size[1]} x {plan.size[0]}"
        echo(
            f"{plan.count} frames of {size} pixels, {seconds:.1f} s, dreaming of {', '.join(p.samples[0].text for p in plan.plans)}",
            err=True,
        )
    plan = replace(
        plan,
        provenance={
            "source": origin,
            "load": {"net": net} | repeat,
            "command": _command(source, net, plan, out, settings, film, repeat),
        },
    )
    with FrameStore(out, resume=resume, replace=force) as store:
        store.open(plan)
        left = frames_left(store, quiet=quiet)
        with interruptible() as stop, filming(not quiet, left) as count:
            done = run_film(
                plan,
                network,
                store,
                keep_frames=film["keep_frames"],
                partial=film["partial"],
                flicker=film["measure_flicker"],
                finished=count,
                stop=stop,
                memory=memory,
            )
    if as_json:
        measured = {} if done.flicker is None else {"flicker": done.flicker.describe()}
        echo_json(film_facts(done) | {"dead": done.dead} | measured | dict(done.metadata))
    else:
        echo_path(done.path)
    if done.flicker is not None and not quiet:
        echo(f"flicker: {done.flicker}", err=True)
    if done.dead:
        echo(f"dreamopt: warning: {done.dead} frames have no gradient and are as they were", err=True)
    exit_where_interrupted(done, store)


def frames_left(store: "FrameStore", *, quiet: bool) -> int:
    """Return how many frames of a store that is open are not finished; one that is resumed says so unless ``quiet``."""
    left = store.left()
    if store.resume and not quiet:
        echo(f"{store.plan.count - left} frames are finished; {left} are left", err=True)
    return left


def film_facts(done: "Dreamed | Zoomed") -> dict[str, Any]:
    """Return what became of a film, fit for JSON."""
    return {"path": str(done.path), "frames": done.frames, "finished": done.finished, "interrupted": done.interrupted}


def exit_where_interrupted(done: "Dreamed | Zoomed", store: "FrameStore") -> None:
    """Say where the frames of an interrupted film are, and exit with 130."""
    if done.interrupted:
        echo(f"dreamopt: interrupted; {done.finished} of {done.frames} frames are finished, in {store.folder}. --resume goes on.", err=True)
        click.get_current_context().exit(130)


def _command(
    source: str, net: str | None, plan: "FilmPlan", out: str, settings: Any, film: Mapping[str, Any], repeat: Mapping[str, Any]
) -> str:
    """Return the command that makes the film again."""
    from dreamopt.recipes.command import as_argument, option_words, settings_words

    words = ["dreamopt", "dream", as_argument(source), "--net", net or "tiny", *option_words(repeat)]
    words += [word for one in plan.plans for word in ("--target", one.samples[0].text)]  # with its guide or rank
    words += settings_words(settings.describe())
    return shlex.join([*words, *option_words({key: film[key] for key in KEYS}), "-o", out])
