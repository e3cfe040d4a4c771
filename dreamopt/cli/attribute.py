"""``dreamopt attribute``: what in an image a unit answers to."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.compare import COMPARE_OPTIONS, check_compare
from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.net import NET_KEYS, net_option, net_options, open_network
from dreamopt.cli.render import size_option
from dreamopt.errors import DreamoptError, ImageError, UsageError, printable

if TYPE_CHECKING:
    from dreamopt.attribution.attribute import Explained
    from dreamopt.attribution.attribution import Attribution
    from dreamopt.attribution.method import AttributionMethod
    from dreamopt.attribution.sheet import Row
    from dreamopt.cli.progress import Attributing
    from dreamopt.image.modes import RGBImage
    from dreamopt.network import Network

RUNNERS_UP = 4
OPTIONS = (
    click.option(
        "-t",
        "--target",
        "targets",
        multiple=True,
        metavar="TARGET",
        help="Repeatable. What is explained: fc8:281 or fc8:tabby cat (a class), conv4:7 (a filter), conv4:7@3,5 (a neuron), or any "
        "objective.  [default: each image's highest class]",
    ),
    click.option(
        "-m",
        "--method",
        "methods",
        multiple=True,
        metavar="METHOD",
        help="Repeatable. As guided_backprop, 'smoothgrad(samples=50)'; all: every one, on a sheet; see --list.  [default: saliency]",
    ),
    click.option(
        "-o",
        "--out",
        default="attribution.png",
        show_default=True,
        metavar="FILE",
        help="The heat map, .png or .tif, with FILE-overlay and FILE.npy beside it; of several images or methods a sheet, beside a folder "
        "of the same name with the files of each.",
    ),
    click.option(
        "--summary",
        metavar="HOW",
        help="How channels become a heat map: sum, abs_max, positive_sum, norm; or rgb: the channels' own values about grey, as guided "
        "backpropagation is printed in papers.  [default: the method's]",
    ),
    click.option(
        "--clip",
        type=float,
        metavar="PERCENTILE",
        help="Of the absolute values: what lies above has the strongest colour, too; 100: nothing is clipped.  [default: 99.5]",
    ),
    click.option(
        "--colors",
        metavar="MAP",
        help="Colour map: RdBu_r, coolwarm, seismic, inferno, magma, viridis, turbo, jet, hot, gray, each also turned round (_r), or "
        "any of matplotlib's where it is installed.  [default: RdBu_r for values of both signs, 0 in the middle, else inferno]",
    ),
    click.option("--opacity", type=float, help="Of the overlay's strongest colours, 0 to 1.  [default: 0.7]"),
    click.option(
        "--sheet", "on_sheet", type=click.Choice(["map", "overlay"]), default="map", show_default=True, help="What a sheet shows of each."
    ),
    size_option("Pixels.  [default: of the net's file]"),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of methods that draw random numbers."),
    click.option(
        "--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Versions of an image that pass through the net at once."
    ),
    click.option("--list", "listed", is_flag=True, help="List the methods and end."),
    click.option("-q", "--quiet", is_flag=True, help="No progress and no notes."),
    click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of their paths."),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((*OPTIONS, *COMPARE_OPTIONS)):
        command = option(command)
    return command


@click.command("attribute")
@click.argument("images", metavar="IMAGE...|FOLDER", nargs=-1)
@net_option
@_options
@net_options
def command(
    images: tuple[str, ...],
    net: str | None,
    targets: tuple[str, ...],
    methods: tuple[str, ...],
    out: str,
    summary: str | None,
    clip: float | None,
    colors: str | None,
    opacity: float | None,
    on_sheet: str,
    size: int | tuple[int, int] | None,
    seed: int,
    batch: int,
    listed: bool,
    quiet: bool,
    as_json: bool,
    compare: bool,
    metrics: tuple[str, ...],
    masks: str | None,
    pointing: int | None,
    sanity: bool,
    **options: Any,
) -> None:
    """Show what in images a unit of a net answers to: a heat map, the same over the image, and the numbers.

    The paths go to stdout. Each image says in its metadata what was explained (a logit, a probability, another activation), by which
    method with which settings, and the command that makes it again. An image of another size than the net's is scaled to cover it and cut
    to its middle. Of a net whose input is no image, give .npy files of its input; the numbers alone are written.

    Ctrl-C leaves what is done and exits with 130.
    """
    if listed:
        _list_methods(as_json)
        return
    check_compare(compare, images, metrics, masks, pointing, net)
    if not images and pointing is None:
        raise click.UsageError("Missing argument 'IMAGE...'; --list lists the methods.")
    if compare:
        from dreamopt.cli.compare import compare as run

        network, repeat, source = open_network(net, size, **{key: options[key] for key in (*NET_KEYS, "allow_python_layers")})
        chosen = click.get_current_context().get_parameter_source("out") is not click.core.ParameterSource.DEFAULT
        about = {"source": source, "load": {"net": net} | repeat, "made_with": _made_with(network)}
        run(
            network,
            _files(images),
            targets,
            methods,
            metrics=metrics,
            masks=masks,
            pointing=pointing,
            sanity=sanity,
            size=size,
            seed=seed,
            batch=batch,
            out=out if chosen else None,
            quiet=quiet,
            as_json=as_json,
            about=about,
        )
        return
    from dreamopt.attribution.shown import CLIP, OPACITY
    from dreamopt.cli.progress import attributing, interruptible
    from dreamopt.recipes.output import check_output

    look = Look(summary, CLIP if clip is None else clip, colors, OPACITY if opacity is None else opacity, on_sheet)
    look.check()
    check_output(out)
    parts = _parts(methods)
    files = _files(images)
    network, repeat, source = open_network(net, size, **{key: options[key] for key in (*NET_KEYS, "allow_python_layers")})
    words = _words(net, repeat, parts, look, size, seed, batch, out)
    job = Job(network, look, parts, Path(out), {"source": source, "load": {"net": net} | repeat}, words, seed, batch)
    job.plan(files, targets)
    with interruptible("and what is done stays") as stop, attributing(quiet, job.passes()) as progress:
        job.run(size, progress, stop, quiet)
    sheet = job.write_sheet()
    if as_json:
        echo_json({"attributions": job.results, "failed": job.failed, "sheet": None if sheet is None else str(sheet)})
    else:
        for path in [*job.written, *([] if sheet is None else [sheet])]:
            echo_path(path)
    if job.interrupted:
        echo(f"dreamopt: interrupted; {len(job.results)} of {len(job.rows) * len(parts)} maps are done.", err=True)
        click.get_current_context().exit(130)
    if job.unread:
        click.get_current_context().exit(1)


@dataclass(frozen=True)
class Look:
    """How maps are shown."""

    summary: str | None
    clip: float
    colors: str | None
    opacity: float
    on_sheet: str = "map"

    def check(self) -> None:
        """Refuse what cannot be shown, before anything is computed."""
        from dreamopt.attribution.shown import check_clip, check_shown_as
        from dreamopt.image.colour_maps import colour_map
        from dreamopt.parts.checks import FRACTION, check_number

        check_clip(self.clip)
        check_number("opacity", self.opacity, FRACTION)
        if self.summary is not None:
            check_shown_as(self.summary)
        if self.colors is not None:
            colour_map(self.colors)

    def image(self, found: "Attribution") -> "RGBImage":
        """Return what a sheet shows of an attribution."""
        if self.on_sheet == "overlay":
            summary = None if self.summary == "rgb" else self.summary
            return found.overlay(summary, colors=self.colors, clip=self.clip, opacity=self.opacity)  # type: ignore[arg-type]  # checked
        return found.shown(self.summary, colors=self.colors, clip=self.clip)  # type: ignore[arg-type]  # checked


@dataclass
class Job:
    """The images, targets and methods of a command, and what is done of them."""

    network: "Network"
    look: Look
    parts: Sequence["AttributionMethod"]
    out: Path
    provenance: dict[str, Any]
    words: list[str]
    seed: int
    batch: int
    rows: list[tuple[str, str | None]] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    shown: list["Row"] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    unread: int = 0
    interrupted: bool = False

    def plan(self, files: Sequence[str], targets: Sequence[str]) -> None:
        """Name the files of each image, target and method, and refuse what cannot be written."""
        from dreamopt.attribution.saving import paths_of
        from dreamopt.recipes.output import check_images, check_writable, image_paths

        self.rows = [(file, target) for file in files for target in (targets or (None,))]
        slugs = []
        for file, target in self.rows:
            for part in self.parts:
                words = [Path(file).stem or "image", *([] if len(targets) < 2 else [str(target)]), str(part)]
                slugs.append(_slug("-".join(words)))
        self.paths = image_paths(slugs, self.out)
        check_images(self.paths, self.out)
        for path in self.paths:
            for one in paths_of(path):
                check_writable(one)

    def passes(self) -> int:
        """Return how many passes are known to come."""
        return len(self.rows) * sum(part.evaluations() or 0 for part in self.parts)

    def run(self, size: Any, progress: "Attributing", stop: Callable[[], bool], quiet: bool) -> None:
        """Attribute, and write the files of each map when it is done."""
        for number, (file, target) in enumerate(self.rows):
            if stop() or self.interrupted:
                self.interrupted = True
                return
            try:
                explained = _explained(self.network, file, target, size)
            except ImageError as problem:
                if len(self.rows) == 1:
                    raise
                self.unread += 1
                progress.note(f"dreamopt: warning: {problem}")
                continue
            self._run_row(number, file, explained, progress, stop, quiet)

    def _run_row(
        self, number: int, file: str, explained: "Explained", progress: "Attributing", stop: Callable[[], bool], quiet: bool
    ) -> None:
        from dreamopt.attribution.sheet import Cell, Row

        cells: list[Cell] = []
        first: Attribution | None = None
        for i, part in enumerate(self.parts):
            if stop():
                self.interrupted = True
                break
            progress.begin(f"{Path(file).name}: {part}", part.evaluations())
            start = time.monotonic()
            try:
                [found] = explained.attribute(part, batch=self.batch, seed=self.seed, progress=_pass(progress, stop))
            except KeyboardInterrupt:
                self.interrupted = True
                break
            except DreamoptError as problem:
                if len(self.parts) == 1:
                    raise
                self.failed.append({"image": file, "method": str(part), "reason": str(problem)})
                cells.append(Cell(str(part), None, "", str(problem)))
                progress.note(f"dreamopt: warning: {part}: {problem}")
                continue
            seconds = time.monotonic() - start
            if first is None:
                first = found
                if not quiet:
                    progress.note(_sentence(file, found, explained))
            self._write(file, found, self.paths[number * len(self.parts) + i], seconds)
            remarks = [] if found.array.any() else ["zero everywhere"]
            if found.image is not None:
                cells.append(Cell(str(part), self.look.image(found), "; ".join([f"{float(f'{seconds:.2g}'):g} s", *remarks])))
            if not quiet:
                remarks += [f"{name.replace('_', ' ')} {_short(value)}" for name, value in found.facts.items() if value is not None]
                remarks += [_largest(found)] if found.image is None else []
                if remarks:
                    progress.note(f"{found.method}: {'; '.join(remarks)}")
        if first is not None and first.image is not None:
            self.shown.append(Row(_sentence(Path(file).name, first, explained, short=True), first.image, cells))

    def _write(self, file: str, found: "Attribution", path: Path, seconds: float) -> None:
        from dreamopt.cli.render import as_argument
        from dreamopt.cli.shell import shell_command
        from dreamopt.parts.part import file_sha256

        start, end = self.words[:2], self.words[2:]
        again = [*start, as_argument(file), *end, "-t", found.objective, "--method", found.method, "-o", str(path)]
        about = {"image": {"path": file, "sha256": file_sha256(file)}, "made_with": _made_with(self.network), **self.provenance}
        about |= {"command": shell_command(again)}
        look = self.look
        files = found.save(path, look.summary, colors=look.colors, clip=look.clip, opacity=look.opacity, metadata=about)  # type: ignore[arg-type]  # checked
        self.written += files
        described = found.describe(look.summary, colors=look.colors, clip=look.clip)  # type: ignore[arg-type]  # checked
        self.results.append({"files": [str(one) for one in files], "seconds": seconds} | described | about)

    def write_sheet(self) -> Path | None:
        """Write the sheet of several maps, where there are any."""
        from dreamopt.attribution.sheet import MOST_ROWS, method_sheet
        from dreamopt.cli.job import network_title
        from dreamopt.image.writing import write_image
        from dreamopt.version import __version__

        if len(self.paths) == 1 or not self.shown:
            return None
        if len(self.shown) > MOST_ROWS:
            echo(f"dreamopt: note: the sheet has the first {MOST_ROWS} of {len(self.shown)} images", err=True)
        about = {
            "recipe": "sheet",
            "dreamopt": __version__,
            **self.provenance,
            "pictures": [{"files": one["files"]} for one in self.results],
        }
        return write_image(self.out, method_sheet(self.shown, printable(network_title(self.provenance["source"]))), about)


def _parts(names: Sequence[str]) -> list["AttributionMethod"]:
    """Return the methods that are named; those that pass an image through the net least often come first of ``all``."""
    from dreamopt.attribution.method import methods, parse_method

    found: dict[str, AttributionMethod] = {}
    for name in names or ("saliency",):
        several = [parse_method(one) for one in methods.names()] if name == "all" else [parse_method(name)]
        if name == "all":
            several.sort(key=lambda part: (part.evaluations() is None, part.evaluations() or 0))
        found |= {str(part): part for part in several if str(part) not in found}
    return list(found.values())


def _files(images: Sequence[str]) -> list[str]:
    from dreamopt.image.spectrum import image_files

    return [str(file) for image in images for file in (image_files(image) if Path(image).is_dir() else [image])]


def _explained(network: "Network", file: str, target: str | None, size: Any) -> "Explained":
    from dreamopt.attribution.attribute import Explained

    given: Any = file
    if file.endswith(".npy"):
        import torch

        from dreamopt.parts.npy import read_npy

        given = torch.from_numpy(read_npy(file, "the input", ImageError).copy())
    elif not network.has_image_input:
        from dreamopt.network.network import kind_of

        raise UsageError(f"the net's input '{network.input_name}' is {kind_of(network.input_shape)}: give a .npy file of it, not {file}")
    return Explained.of(network, [given], target, size)


def _pass(progress: "Attributing", stop: Callable[[], bool]) -> Callable[[int], None]:
    def count(images: int) -> None:
        progress.add(images)
        if stop():
            raise KeyboardInterrupt

    return count


def _sentence(file: str, found: "Attribution", explained: "Explained", short: bool = False) -> str:
    """Return what is explained of an image, its score, and of its highest class those that come next."""
    label = "" if found.label is None or found.label in found.objective else f" ({found.label})"
    line = f"{file}: {found.objective}{label} {found.score:.4g}"
    if short:
        return line
    scores = explained.class_scores
    if scores is not None:
        labels = explained.network.labels
        order = scores[0].argsort(descending=True, stable=True)[1 : 1 + RUNNERS_UP].tolist()
        has_labels = labels is not None and len(labels) == scores.shape[1]
        names = [f"{unit} {labels[unit]}" if has_labels and labels is not None else str(unit) for unit in order]
        line += " (then " + ", ".join(f"{name} {float(scores[0, unit]):.4g}" for name, unit in zip(names, order, strict=True)) + ")"
    return f"{line}: {found.explains}"


def _largest(found: "Attribution", most: int = 8) -> str:
    """Return the strongest values of a map that cannot be shown, with their places."""
    import numpy as np

    order = np.argsort(-np.abs(found.array), axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, found.array.shape), strict=True)
    values = ", ".join(f"[{','.join(map(str, map(int, place)))}] {float(found.array[place]):.4g}" for place in places)
    return f"the strongest are {values}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _words(
    net: str | None, repeat: dict[str, Any], parts: Sequence[Any], look: Look, size: Any, seed: int, batch: int, out: str
) -> list[str]:
    """Return the words of the command that makes a map again, but for image, target, method and output."""
    from dreamopt.cli.render import option_words

    words = ["dreamopt", "attribute", "--net", net or "tiny", *option_words(repeat)]
    if size is not None:
        words += ["--size", f"{size[1]}x{size[0]}" if isinstance(size, tuple) else str(size)]
    return words + option_words(
        {"summary": look.summary, "clip": look.clip, "colors": look.colors, "opacity": look.opacity, "seed": seed, "batch": batch}
    )


def _made_with(network: "Network") -> dict[str, Any]:
    import platform

    import torch

    versions = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}
    return versions | {"device": str(network.device), "threads": torch.get_num_threads()}


def _slug(text: str) -> str:
    """Return a text as a file's name."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text).strip("-.") or "image"


def _list_methods(as_json: bool) -> None:
    from rich.table import Table

    from dreamopt.attribution.method import methods
    from dreamopt.cli.output import cell, console

    rows = [(plugin.name, (plugin.make.__doc__ or "").strip().partition("\n")[0]) for plugin in methods]
    if as_json:
        echo_json([{"name": name, "what": what} for name, what in rows])
        return
    table = Table("method", "what it shows", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(cell, row))
    console().print(table)
