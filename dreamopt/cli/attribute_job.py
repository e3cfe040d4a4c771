"""The work of ``dreamopt attribute``: the maps of images, targets and methods, and their files."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamopt.cli.echo import echo
from dreamopt.errors import DreamoptError, ImageError, UsageError, printable

if TYPE_CHECKING:
    from dreamopt.attribution.attribute import Explained
    from dreamopt.attribution.attribution import Attribution
    from dreamopt.attribution.method import AttributionMethod
    from dreamopt.attribution.sheet import Row
    from dreamopt.attribution.shown import ShownAs
    from dreamopt.image.modes import RGBImage
    from dreamopt.network import Network
    from dreamopt.progress.passes import Attributing

RUNNERS_UP = 4


@dataclass(frozen=True)
class Look:
    """How maps are shown."""

    summary: "ShownAs | None"
    clip: float
    colors: str | None
    opacity: float
    on_sheet: str = "map"

    @classmethod
    def of(cls, summary: str | None, clip: float | None, colors: str | None, opacity: float | None, on_sheet: str) -> "Look":
        """Return how maps are shown by the command's options; refuse what cannot be shown, before anything is computed."""
        from dreamopt.attribution.shown import CLIP, OPACITY, check_clip, check_shown_as
        from dreamopt.image.colour_maps import colour_map
        from dreamopt.parts.checks import FRACTION, check_number

        if colors is not None:
            colour_map(colors)
        return cls(
            None if summary is None else check_shown_as(summary),
            CLIP if clip is None else check_clip(clip),
            colors,
            OPACITY if opacity is None else check_number("opacity", opacity, FRACTION),
            on_sheet,
        )

    def image(self, found: "Attribution") -> "RGBImage":
        """Return what a sheet shows of an attribution."""
        if self.on_sheet == "overlay":
            return found.overlay(self.summary, colors=self.colors, clip=self.clip, opacity=self.opacity)
        return found.shown(self.summary, colors=self.colors, clip=self.clip)


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
    rows_left_out: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    unread: int = 0
    interrupted: bool = False

    def plan(self, files: Sequence[str], targets: Sequence[str], size: Any = None, *, force: bool = False) -> None:
        """Name the files of each image, target and method, and refuse targets that the net has not and what cannot be written."""
        from dreamopt.attribution.explained import bound_objective
        from dreamopt.attribution.saving import paths_of
        from dreamopt.recipes.output import check_images, check_new, check_writable, image_paths
        from dreamopt.recipes.targets import target_slug

        for text in targets:
            bound_objective(self.network, text, size)
        self.rows = [(file, target) for file in files for target in (targets or (None,))]
        slugs = []
        for file, target in self.rows:
            for part in self.parts:
                words = [Path(file).stem or "image", *([] if len(targets) < 2 else [target_slug(str(target))]), str(part)]
                slugs.append(_slug("-".join(words)))
        self.paths = image_paths(slugs, self.out)
        check_images(self.paths, self.out)
        written = [one for path in self.paths for one in paths_of(path)]
        for path in written:
            check_writable(path)
        _check_inputs_stay(files, [self.out, *written], None if len(self.paths) == 1 else self.out.with_suffix(""))
        if not force:
            check_new([self.out, *written], resumable=False)

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
        from dreamopt.attribution.sheet import MOST_ROWS, Cell, Row
        from dreamopt.network.made_with import made_with
        from dreamopt.parts.part import file_sha256

        about = {"image": {"path": file, "sha256": file_sha256(file)}, "made_with": made_with(self.network), **self.provenance}
        is_on_sheet = len(self.paths) > 1 and len(self.shown) < MOST_ROWS  # of thousands of images, what is shown is not held
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
            self._write(file, found, self.paths[number * len(self.parts) + i], seconds, about)
            remarks = [] if found.array.any() else ["zero everywhere"]
            if is_on_sheet and found.image is not None:
                cells.append(Cell(str(part), self.look.image(found), "; ".join([f"{float(f'{seconds:.2g}'):g} s", *remarks])))
            if not quiet:
                remarks += [f"{name.replace('_', ' ')} {_short(value)}" for name, value in found.facts.items() if value is not None]
                remarks += [_largest(found)] if found.image is None else []
                if remarks:
                    progress.note(f"{found.method}: {'; '.join(remarks)}")
        if first is None or first.image is None:
            return
        if is_on_sheet:
            self.shown.append(Row(_sentence(Path(file).name, first, explained, short=True), first.image, cells))
        else:
            self.rows_left_out += 1

    def _write(self, file: str, found: "Attribution", path: Path, seconds: float, about: dict[str, Any]) -> None:
        from dreamopt.cli.shell import shell_command
        from dreamopt.recipes.command import as_argument

        start, end = self.words[:2], self.words[2:]
        again = [*start, as_argument(file), *end, "-t", found.objective, "--method", found.method, "-o", str(path)]
        about = about | {"command": shell_command(again)}
        look = self.look
        files = found.save(path, look.summary, colors=look.colors, clip=look.clip, opacity=look.opacity, metadata=about)
        self.written += files
        described = found.describe(look.summary, colors=look.colors, clip=look.clip)
        self.results.append({"files": [str(one) for one in files], "seconds": seconds} | described | about)

    def write_sheet(self, quiet: bool) -> Path | None:
        """Write the sheet of several maps, where there are any."""
        from dreamopt.attribution.sheet import method_sheet
        from dreamopt.cli.job import network_title
        from dreamopt.image.writing import write_image
        from dreamopt.version import __version__

        if len(self.paths) == 1 or not self.shown:
            return None
        if self.rows_left_out and not quiet:
            count = len(self.shown)
            echo(f"dreamopt: note: the sheet has the first {count} of {count + self.rows_left_out} images", err=True)
        about = {
            "recipe": "sheet",
            "dreamopt": __version__,
            **self.provenance,
            "pictures": [{"files": one["files"]} for one in self.results],
        }
        return write_image(self.out, method_sheet(self.shown, printable(network_title(self.network, self.provenance["source"]))), about)


def _check_inputs_stay(files: Sequence[str], written: Sequence[Path], folder: Path | None) -> None:
    """Refuse to write over an image that is given, or into the folder that holds it: the maps would be its images the next time."""
    inputs = {os.path.realpath(file): file for file in files}
    for path in written:
        if os.path.realpath(path) in inputs:
            raise UsageError(f"{path} is an image that is given, and would be written over; name another output with -o")
    if folder is not None:
        inside = next((file for file in files if os.path.realpath(Path(file).parent) == os.path.realpath(folder)), None)
        if inside is not None:
            raise UsageError(f"the maps would go into {folder}, among the images that are given ({inside}); name another output with -o")


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


def words_of(net: str | None, repeat: dict[str, Any], look: Look, size: Any, seed: int, batch: int) -> list[str]:
    """Return the words of the command that makes a map again, but for image, target, method and output."""
    from dreamopt.recipes.command import option_words

    words = ["dreamopt", "attribute", "--net", net or "tiny", *option_words(repeat)]
    if size is not None:
        words += ["--size", f"{size[1]}x{size[0]}" if isinstance(size, tuple) else str(size)]
    return words + option_words(
        {"summary": look.summary, "clip": look.clip, "colors": look.colors, "opacity": look.opacity, "seed": seed, "batch": batch}
    )


def _slug(text: str) -> str:
    """Return a text as a file's name."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text).strip("-.") or "image"
