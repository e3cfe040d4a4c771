"""Making an atlas: every unit of chosen layers, into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamopt.atlas.folder import ATLAS, AtlasFolder
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.pieces_registry import piece_names, piece_of
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.run import Report, missing_tasks, run_tasks
from dreamopt.atlas.scheduler import Scheduler
from dreamopt.atlas.schedulers.serial import Serial
from dreamopt.atlas.structure import structure
from dreamopt.atlas.task import FORMAT, content_key
from dreamopt.atlas.units import atlas_layers, class_layer, units_of
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.parts.arguments import check_flag, check_path
from dreamopt.parts.checks import Range, check_whole
from dreamopt.parts.part import file_sha256
from dreamopt.progress.atlas import charting
from dreamopt.recipes.plan import checked_job
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.settings import Settings
from dreamopt.version import __version__


def make_atlas(
    net: Network,
    folder: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    size: int | tuple[int, int] | None = None,
    preset: str = "default",
    steps: int | None = None,
    variants: int = 1,
    minus: bool = False,
    pieces: Sequence[str] | None = None,
    activation_atlas: bool = False,
    classes: Sequence[int | str] = (),
    workers: int = 0,
    scheduler: str | Scheduler | None = None,
    units: int | Sequence[int] | None = None,
    seed: int = 0,
    command: str | None = None,
    progress: bool | Report | None = None,
    site: bool = True,
    settings: Settings | None = None,
    load: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    allow_python_layers: bool = False,
    threads: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Make an atlas of a net: for every unit of its layers what it likes, and what else the pieces tell.

    What is in the folder already, of the same net and settings, is not made again: an atlas that was interrupted goes on, and a changed
    setting makes anew what it touches. Each result is written as it is made.

    Parameters
    ----------
    net : Network
        From `dreamopt.load_net`.
    folder : path
        Where it goes; one process at a time writes there.
    layers : sequence of str, optional
        Names and patterns, as `dreamopt.atlas.units.atlas_layers` takes them; by default all layers whose units have weights.
    images : path, optional
        A folder of images, for what units answer to in them.
    size, preset, steps, seed
        Of the optimized images, as for `dreamopt.render`.
    variants : int
        From 2 on, so many images more of each unit that are kept different from each other.
    minus : bool
        Whether the image that each unit likes least is made too.
    pieces : sequence of str, optional
        Which results are made; by default all that apply.
    activation_atlas : bool
        Whether layers get an activation atlas of the images.
    classes : sequence of int or str
        Classes, by number or label, that get one of their own and are compared.
    workers : int
        Processes on this machine; 0: this process alone.
    scheduler : str or Scheduler, optional
        The address of a dask.distributed scheduler, tcp://..., or what runs tasks.
    units : int or sequence of int, optional
        The first so many units of each layer, or these numbers.
    command : str, optional
        The command that makes the atlas, for its pages.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called with a `dreamopt.atlas.run.AtlasProgress` before the first task
        and after each.
    site : bool
        Whether the pages are written.
    settings : Settings, optional
        Of the optimized images, instead of size, preset, steps and seed.
    load, source : mapping, optional
        How the net was loaded, as `dreamopt.network.opening.open_network` takes and returns it: what other processes load it by, and what
        commands say.
    allow_python_layers : bool
        Whether other processes import and run the modules that Python layers name.
    threads : int, optional
        Of a pass, in each process of a cluster.
    say : callable, optional
        Gets a sentence about what happens to a cluster.

    Returns
    -------
    Path
        The atlas's first page, or without pages the folder.

    Raises
    ------
    TargetError
        For a pattern that no layer of the net has.
    UsageError
        For settings that do not fit, and a folder that is in use or holds something else.

    Examples
    --------
    >>> import dreamopt, tempfile
    >>> path = dreamopt.make_atlas(
    ...     dreamopt.load_net(), tempfile.mkdtemp() + "/atlas", layers=["conv1"], units=2, size=32, steps=1, pieces=["image"], site=False
    ... )
    >>> sorted(file.name for file in path.glob("images/conv1/*.png"))
    ['0.png', '1.png']
    """
    path = Path(check_path("folder", folder))
    if settings is None:
        said = {name: value for name, value in (("size", size), ("steps", steps)) if value is not None}
        settings = resolve_settings(None if preset == "default" else preset, {**said, "seed": seed})
    settings = checked_job(net, settings, "atlas")
    if settings.init is not None:
        raise UsageError("an atlas starts its images from noise: leave init out")
    request = atlas_request(
        net,
        settings,
        layers=layers,
        images=images,
        variants=variants,
        minus=minus,
        pieces=pieces,
        activation_atlas=activation_atlas,
        classes=classes,
        units=units,
        load=load,
        source=source,
    )
    height, width = net.item_shape(settings.size)[1:3]
    nets = NetFiles.of(net, load, None if settings.size is None else (height, width), allow_python_layers)
    with AtlasFolder(path) as atlas:
        tasks = missing_tasks(atlas, request, net)
        atlas.write_json(ATLAS, describe_atlas(request, net, command))
        with charting(progress) as report:
            prepared = [task for name in request.pieces for task in piece_of(name).prepared(atlas, request, net, report)]
            tasks = sorted([*tasks, *prepared], key=lambda task: -task.cost)
            with open_scheduler(workers, scheduler, threads, say) as running:
                run_tasks(atlas, tasks, running, nets, report)
        atlas.gather()
        return write_pages(path) if site else path


def atlas_request(
    net: Network,
    settings: Settings,
    *,
    layers: Sequence[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    variants: int = 1,
    minus: bool = False,
    pieces: Sequence[str] | None = None,
    activation_atlas: bool = False,
    classes: Sequence[int | str] = (),
    units: int | Sequence[int] | None = None,
    load: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
) -> AtlasRequest:
    """Return what an atlas is to hold, resolved; parameters as those of `make_atlas`."""
    check_flag("minus", minus)
    if check_flag("activation_atlas", activation_atlas) and images is None:
        raise UsageError("an activation atlas is one of images: give a folder of images too")
    if images is not None and not os.path.exists(images):
        raise UsageError(f"the images {os.fspath(images)} are not there")
    chosen = atlas_layers(net, layers)
    names = piece_names() if pieces is None else tuple(dict.fromkeys(pieces))
    for name in names:
        piece_of(name)
    files = {Path(name).name: file_sha256(name) for name in net.files if os.path.isfile(name)}
    source = {} if source is None else source
    prototxt = source.get("prototxt") or next((name for name in net.files if name.endswith(".prototxt")), None)
    weights = source.get("weights") or next((name for name in net.files if name.endswith((".caffemodel", ".h5"))), None)
    graph = [(info.name, info.type, info.bottoms, info.tops, info.shapes) for info in net.layers]
    described = {key: value for key, value in net.describe().items() if key not in ("notes", "sources", "assumed")}
    definition = content_key(graph=graph) if prototxt is None else file_sha256(prototxt)
    return AtlasRequest(
        net={"name": net.backend.net_name or (Path(prototxt).name if prototxt is not None else "a net"), "sha256": definition},
        weights=None if weights is None else {"name": Path(weights).name, "sha256": files.get(Path(weights).name, net.hash())},
        identity=content_key(definition=definition, graph=graph, net=described),
        input_shape=tuple(net.input_shape),
        layers=chosen,
        units={layer.name: units_of(layer, units) for layer in chosen},
        settings=settings,
        pieces=names,
        variants=check_whole("variants", variants, Range(1, 1000)),
        minus=minus,
        images=None if images is None else os.fspath(images),
        activation_atlas=activation_atlas,
        classes=class_numbers(net, classes),
        seed=settings.seed,
        provenance={key: dict(value) for key, value in (("source", source), ("load", load or {})) if value},
    )


def class_numbers(net: Network, classes: Sequence[int | str]) -> tuple[int, ...]:
    """Return classes, by number or label, as numbers; a text with commas that is no label names several.

    Raises
    ------
    TargetError
        For a label that no class has.
    UsageError
        For a number that no class has.
    """
    layer = class_layer(net)
    count = 0 if layer is None else net.shape_of(layer)[0]
    numbers: list[int] = []
    for one in classes:
        texts = [str(one)]
        if "," in texts[0] and (net.labels is None or texts[0] not in net.labels):
            texts = [part.strip() for part in texts[0].split(",")]
        for text in texts:
            number = int(text) if text.isdecimal() and len(text) < 10 else net.find_label(text)
            if number >= count:
                raise UsageError(f"the net has no class {number}: it has {count}, numbered from 0")
            numbers.append(number)
    return tuple(dict.fromkeys(numbers))


def describe_atlas(request: AtlasRequest, net: Network, command: str | None) -> dict[str, Any]:
    """Return what ``atlas.json`` says."""
    return {
        "format": FORMAT,
        "dreamopt": __version__,
        "net": dict(request.net),
        "weights": None if request.weights is None else dict(request.weights),
        "input": list(request.input_shape),
        "command": command,
        "settings": request.describe(),
        "layers": [layer.describe() for layer in request.layers],
        "graph": structure(net, request.layers),
    }


def open_scheduler(
    workers: int = 0, scheduler: str | Scheduler | None = None, threads: int | None = None, say: Callable[[str], None] | None = None
) -> Scheduler:
    """Return what runs tasks: this process, worker processes of this machine, or a cluster at an address.

    Parameters
    ----------
    workers, scheduler, threads
        As of `make_atlas`.
    say : callable, optional
        Gets a sentence about what happens to a cluster.

    Raises
    ------
    UsageError
        For workers and an address together.
    BackendError
        Where no scheduler answers.
    """
    if isinstance(scheduler, Scheduler):
        return scheduler
    if scheduler is None and not check_whole("workers", workers, Range(0, 10_000)):
        return Serial()
    from dreamopt.atlas.schedulers.cluster import Cluster

    return Cluster(scheduler, workers, threads, say)


def write_pages(folder: Path) -> Path:
    """Write the pages of an atlas, and return the first."""
    from dreamopt.atlas.site import write_site

    return write_site(folder)
