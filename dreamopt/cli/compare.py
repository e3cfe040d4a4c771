"""``dreamopt attribute --compare``: which attribution method to believe on a net."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.sections import of_compare
from dreamopt.errors import UsageError

if TYPE_CHECKING:
    from dreamopt.attribution.compare.comparison import Comparison
    from dreamopt.network import Network

COMPARE_OPTIONS = (
    of_compare(
        "--compare",
        is_flag=True,
        help="Rank methods on the net instead (all of them unless -m names some), beside a map of noise and an edge detector: a table, a "
        "verdict, and with -o NAME.json and NAME.csv.",
    ),
    of_compare(
        "--metric",
        "metrics",
        multiple=True,
        metavar="METRIC",
        help="Repeatable, with --compare; the first one ranks: srg, road, 'deletion(baseline=\"blur\")' ...  [default: srg and all others]",
    ),
    of_compare(
        "--masks", metavar="FOLDER", help="With --compare: a PNG of each image's name, white where its class is, for pointing_game."
    ),
    of_compare(
        "--pointing-set",
        "pointing",
        type=click.IntRange(min=1),
        metavar="COUNT",
        help="With --compare, in the place of images: so many photographs with classes of the embedded net pasted into them.",
    ),
    of_compare(
        "--sanity/--no-sanity", default=True, help="With --compare: look at maps of the net with random weights, too.  [default: sanity]"
    ),
)


def compare(
    network: "Network",
    files: Sequence[str],
    targets: Sequence[str],
    methods: Sequence[str],
    *,
    metrics: Sequence[str],
    masks: str | None,
    pointing: int | None,
    sanity: bool,
    size: Any,
    seed: int,
    batch: int,
    out: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    about: dict[str, Any],
) -> None:
    """Compare, print and write; what ``dreamopt attribute --compare`` does."""
    from dreamopt.attribution.compare.compare import compare_attributions
    from dreamopt.attribution.compare.comparison import files_of
    from dreamopt.attribution.compare.masks import masks_of
    from dreamopt.attribution.compare.pointing import pointing_set
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.recipes.output import check_new, check_writable

    files_out = files_of(out) if out is not None else []
    for file in files_out:
        check_writable(file)
    if not force:
        check_new(files_out, resumable=False)
    if len(targets) > 1:
        raise UsageError("--compare explains one target, or without -t each image's highest class")
    images: list[Any] = list(files)
    objective: Any = targets[0] if targets else None
    known: list[Any] | None = masks_of(masks, files) if masks is not None else None
    names: list[str] | None = None
    if pointing is not None:
        truth = pointing_set(pointing, seed)
        images, objective, known, names = list(truth.images), truth.objectives, list(truth.masks), truth.names
    with interruptible("with the images that are done") as stop:
        found = compare_attributions(
            network,
            images,
            objective,
            methods or None,
            metrics=metrics or None,
            masks=known,
            names=names,
            sanity=sanity,
            size=size,
            seed=seed,
            batch=batch,
            progress=not quiet,
            stop=stop,
        )
    found.settings.update(about)
    written = [] if out is None else found.save(out)
    if as_json:
        echo_json(found.describe())
    else:
        print_comparison(found)
    for path in written:
        echo_path(path)
    if found.interrupted:
        click.get_current_context().exit(130)


def print_comparison(found: "Comparison") -> None:
    """Print the table and the verdict."""
    from rich.table import Table

    from dreamopt.cli.output import cell
    from dreamopt.progress.terminal import console

    head, rows = found.table()
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(cell(name))
    for row in rows:
        table.add_row(*map(cell, row))
    console().print(table)
    echo("Mean over images (mean rank), of the first metric also the 95 % interval; ^ higher, v lower is better.")
    for sentence in found.verdict:
        echo(sentence)


def check_compare(
    compare: bool, images: Sequence[str], metrics: Sequence[str], masks: str | None, pointing: int | None, net: str | None
) -> None:
    """Refuse options that do not go together."""
    if not compare:
        if metrics or masks is not None or pointing is not None:
            raise UsageError("--metric, --masks and --pointing-set go with --compare")
        return
    if pointing is not None:
        if images or masks is not None:
            raise UsageError("--pointing-set brings its own images and masks; leave out the others")
        if net not in (None, "tiny"):
            raise UsageError("--pointing-set is of the embedded net's classes; leave out --net")
    elif any(image.endswith(".npy") for image in images):
        raise UsageError("--compare takes images, not .npy files")
