"""Every reader of a file or a text that somebody else may have made, each with a small valid sample: what the tests of trust and of damage go over.

A reader is a function of one file's path. Files that belong to a sample (the net of weights, the folder of a job) lie beside it, so that a
changed copy goes into the sample's folder, under any name of the same suffixes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from tests.support.nets import conv, image_input, layer

NET = f'name: "small"\n{image_input(shape=(1, 3, 12, 14))}{conv("conv", "data", 4, relu=True)}' + layer(
    "fc", "InnerProduct", "conv", more='inner_product_param { num_output: 5 weight_filler { type: "xavier" } }'
)
"""A net with an image of 12 x 14 pixels, a channel named conv and a class named fc."""


@dataclass(frozen=True)
class Reader:
    """One reader.

    Parameters
    ----------
    make : callable
        Writes a small valid sample into a folder, and returns its path.
    read : callable
        Reads a file as the package does when a user names it, the sample's or a changed copy beside it.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def _net(folder: Path) -> Path:
    path = folder / "small.prototxt"
    path.write_text(NET, encoding="utf-8")
    return path


def _network(path: Path, **options: Any) -> Any:
    import dreamopt

    return dreamopt.load_net(path, device="cpu", **options)


def _with_net(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def both(folder: Path) -> Path:
        _net(folder)
        return make(folder)

    return both


def _weights(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from dreamopt.schema import write_weights
        from dreamopt.schema.layer_weights import LayerWeights

        path = folder / f"small{suffix}"
        rng = np.random.default_rng(0)
        shapes = {"conv": [(4, 3, 1, 1), (4,)], "fc": [(5, 4 * 12 * 14), (5,)]}
        write_weights(path, [LayerWeights(name, "", [rng.normal(0, 0.1, s).astype(np.float32) for s in of]) for name, of in shapes.items()])
        return path

    return _with_net(make)


def _npy(folder: Path) -> Path:
    path = folder / "mean.npy"
    np.save(path, np.array([104.0, 117.0, 123.0], np.float32))
    return path


def _with_two_inputs(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def both(folder: Path) -> Path:
        text = (
            'input: "mask" input_shape { dim: 1 dim: 1 dim: 1 dim: 3 } input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 5 }'
            'layer { name: "a" type: "ReLU" bottom: "mask" top: "a" } layer { name: "b" type: "ReLU" bottom: "data" top: "b" }'
        )
        (folder / "two.prototxt").write_text(text, encoding="utf-8")
        return make(folder)

    return both


def _feed(path: Path) -> object:
    import torch

    return _network(path.parent / "two.prototxt", feed={"mask": path}).activations(torch.zeros(1, 3, 4, 5), ["a"])


def _binaryproto(folder: Path) -> Path:
    from dreamopt.schema.caffe_pb2 import BlobProto

    path = folder / "mean.binaryproto"
    blob = BlobProto(num=1, channels=3, height=2, width=3)
    blob.data.extend(float(v) for v in range(18))
    path.write_bytes(blob.SerializeToString())
    return path


def _labels(folder: Path) -> Path:
    path = folder / "labels.txt"
    path.write_text("tabby cat\nn01443537 goldfish\nstars\nstripes\nfive\n", encoding="utf-8")
    return path


def _image(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        y, x = np.mgrid[:12, :14]
        path = folder / f"image{suffix}"
        Image.fromarray(np.stack([y * 20, x * 15, x + y], -1).astype(np.uint8)).save(path)
        return path

    return make


def _deep_image(suffix: str) -> Callable[[Path], Path]:
    """Write a sample of 16 bits with opacity and a colour profile, as dreams are written."""

    def make(folder: Path) -> Path:
        from dreamopt.image.files import write_image
        from tests.support.profiles import matrix_profile

        y, x = np.mgrid[:12, :14]
        samples = np.stack([y * 5000, x * 4000, x * y, 65535 - x], -1).astype(np.uint16)
        return write_image(folder / f"deep{suffix}", samples, {"recipe": "none"}, profile=matrix_profile())

    return make


def _planes(folder: Path) -> Path:
    """Write planes of floating point, which tifffile reads."""
    from tifffile import imwrite

    y, x = np.mgrid[:12, :14]
    planes = np.stack([y * 5000, x * 4000, x * y]).astype(np.float32) / 65535
    imwrite(folder / "planes.tif", planes, photometric="rgb", planarconfig="separate", compression="zlib", rowsperstrip=5)
    return folder / "planes.tif"


def _rendered(folder: Path, targets: tuple[str, ...] = ("conv:1",), **changes: Any) -> Path:
    """Write a render of the small net with what replays it, as ``dreamopt render`` does."""
    from dreamopt.cli.app import cli

    out, words = folder / "made.png", [f"--target={target}" for target in targets]
    words += [f"--set={key}={value}" for key, value in changes.items()]
    cli(["render", "--net", str(_net(folder)), *words, "--steps=1", "--device=cpu", "-q", "-o", str(out)], standalone_mode=False)
    return out


def _metadata(folder: Path) -> Path:
    from dreamopt.image.files import read_metadata

    path = folder / "metadata.json"
    path.write_text(json.dumps(read_metadata(_rendered(folder, stages='[{"steps": 1}, {"zoom": 1.2}]'))), encoding="utf-8")
    return path


def _metadata_of_format_1(folder: Path) -> Path:
    from dreamopt.image.files import read_metadata

    samples = Path(__file__).parents[1] / "data" / "format1"
    shutil.copy(samples / "toy.prototxt", folder)
    metadata = read_metadata(samples / "stages.png")
    metadata["net"]["weights_sha256"] = _network(folder / "toy.prototxt").hash()
    path = folder / "metadata.json"
    path.write_text(json.dumps(metadata), encoding="utf-8")
    return path


def _replay(path: Path) -> object:
    """Replay an image up to its first step, with the net that lies beside it."""
    from dreamopt.cli.net import NET_KEYS, open_network
    from dreamopt.image.files import read_metadata
    from dreamopt.recipes import Plan, replay
    from dreamopt.recipes.inputs import RecordedInputs
    from dreamopt.recipes.metadata import checked_image
    from dreamopt.recipes.plan import recorded_hashes
    from dreamopt.recipes.replay import differences, net_of

    metadata = checked_image(read_metadata(path), str(path))
    inputs = RecordedInputs(recorded_hashes(metadata), path.parent)
    net, load = net_of(metadata, inputs, dict.fromkeys(NET_KEYS))
    plan = Plan.read(metadata, inputs)
    network, _, _ = open_network(net, plan.size, **load | {"device": load["device"] or "cpu", "backend": load["backend"] or "auto"})
    return replay(network, metadata, plan=plan, stop=lambda: True), differences(metadata, network, inputs)


def with_text(path: Path) -> Path:
    """Return an image beside a file whose text it has as metadata."""
    from PIL import PngImagePlugin

    from dreamopt.image.writing import KEY

    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(KEY, path.read_text(encoding="utf-8", errors="replace"))
    image = path.with_name(path.name + ".png")
    Image.fromarray(np.zeros((12, 14, 3), np.uint8)).save(image, pnginfo=chunks)
    return image


def _replay_text(path: Path) -> object:
    """Replay an image whose metadata are this text."""
    return _replay(with_text(path))


def _preset(folder: Path) -> Path:
    path = folder / "preset.toml"
    path.write_text(resources.files("dreamopt.recipes").joinpath("presets", "deepdream2015.toml").read_text("utf-8"), encoding="utf-8")
    return path


def _read_preset(path: Path) -> object:
    from dreamopt.errors import UsageError
    from dreamopt.parts.reading import read_text
    from dreamopt.recipes.preset import read_preset

    return read_preset("deepdream2015", read_text(path, "the preset", UsageError)).settings


def _read_preset_file(path: Path) -> object:
    from dreamopt.recipes.preset import resolve_settings

    return resolve_settings(str(path), {})


def _study_file(folder: Path) -> Path:
    path = folder / "STUDY.toml"
    lines = ['net = "small.prototxt"', 'targets = "conv:0-1"', 'tune_on = ["conv:2", "conv:3"]', 'budget = "4evals"', "size = 12"]
    more = [
        'measures = ["total_variation"]',
        "[set]",
        "jitter = 2",
        "[vary]",
        'optimizer = ["adam", "ascent(1.5)"]',
        'step_size = "0.5..8"',
    ]
    tables = ["[[contestant]]", 'name = "mine"', 'preset = "lucid2017"', 'tune = { "tv.weight" = [0.1, 1] }']
    path.write_text("\n".join([*lines, *more, *tables, ""]), encoding="utf-8")
    return path


def _read_study_file(path: Path) -> object:
    from dreamopt.study.words.resolve import resolve
    from dreamopt.study.words.toml import read_study

    return resolve(read_study(path)).request


def _catalogue(folder: Path) -> Path:
    path = folder / "catalogue.toml"
    text = resources.files("dreamopt.models").joinpath("models.toml").read_text("utf-8")
    path.write_text("[[".join(text.split("[[", 6)[:6]), encoding="utf-8")
    return path


def _read_catalogue(path: Path) -> object:
    from dreamopt.models.catalogue import load_catalogue

    return load_catalogue(path)


def _text(text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "text.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def _assign(path: Path) -> object:
    from dreamopt.recipes.preset import resolve_settings

    return resolve_settings(None, {}, _arguments(path))


def _targets(path: Path) -> object:
    from dreamopt.recipes.targets import expand

    _net(path.parent)
    return expand(_network(path.parent / "small.prototxt"), _arguments(path), 12)


def _arguments(path: Path) -> list[str]:
    """Return a file's lines as the arguments of a command: bytes that are no UTF-8 come as surrogates."""
    return path.read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")


def _job(folder: Path) -> Path:
    """Write a job that was interrupted: its file, and the checkpoint of its run."""
    _render_job(folder, _net(folder), resume=False)
    return folder / "job.png.checkpoint" / "job.json"


def _render_job(folder: Path, net: Path, resume: bool) -> object:
    """Render to job.png in a folder, or resume that, and stop after two steps more."""
    import dreamopt
    from dreamopt.recipes.store import FolderStore

    steps = iter((False, True))
    with FolderStore(folder / "job.png", every=1, resume=resume) as store:
        return dreamopt.render(_network(net), "conv:1", steps=9, size=12, blur=0, store=store, stop=lambda: next(steps, True))


def _resume(path: Path) -> object:
    """Resume the job of a folder, in a copy of it in which a changed file has the place of the folder's own."""
    folder = Path(tempfile.mkdtemp(dir=path.parents[1])) / "copy"
    shutil.copytree(path.parent, folder / "job.png.checkpoint")
    shutil.copy(path.parents[1] / "job.png", folder)
    own = "batch0-stage0" if path.name.startswith("batch") else "job.json"
    shutil.copy(path, folder / "job.png.checkpoint" / own)
    return _render_job(folder, path.parents[1] / "small.prototxt", resume=True)


def _top_state(folder: Path) -> Path:
    """Write the state of a job of top images, one image of three done."""
    source = folder / "in"
    source.mkdir()
    for number in range(3):
        Image.fromarray(np.full((12, 14, 3), 40 * number + 20, np.uint8)).save(source / f"{number}.png")
    _net(folder)
    _top(folder, folder / "top", resume=False)
    return folder / "top" / "state.json"


def _top(home: Path, out: Path, resume: bool) -> object:
    import dreamopt

    network = _network(home / "small.prototxt")
    return dreamopt.top(network, home / "in", "conv:1", 2, batch=1, out=out, resume=resume, stop=lambda: not resume)


def _resume_top(path: Path) -> object:
    """Go on with a job of top images in a folder of its own in which a changed file has the place of the state."""
    folder = Path(tempfile.mkdtemp(dir=path.parents[1]))
    shutil.copy(path, folder / "state.json")
    return _top(path.parents[1], folder, resume=True)


def _vector(folder: Path) -> Path:
    np.save(folder / "vector.npy", np.array([1.0, -2.0, 0.5, 3.0]))
    return folder / "vector.npy"


def _strengths(folder: Path) -> Path:
    np.save(folder / "strengths.npy", np.linspace(0.1, 1, 3 * 6 * 4).reshape(3, 6, 4))
    return folder / "strengths.npy"


def _read_vector(path: Path) -> object:
    """Read the vector of a target's direction."""
    from dreamopt.recipes.targets import expand

    return expand(_network(path.parent / "small.prototxt"), f'Direction("conv", {json.dumps(str(path))})', 12)


def _backgrounds(folder: Path) -> Path:
    np.save(folder / "backgrounds.npy", np.linspace(-50, 90, 2 * 3 * 12 * 14).reshape(2, 3, 12, 14))
    return folder / "backgrounds.npy"


def _read_backgrounds(path: Path) -> object:
    """Read what expected gradients compare an image with: an array, or an image."""
    from dreamopt.attribution.backgrounds import background_images
    from dreamopt.parts.streams import Stream
    from dreamopt.testing.bench import image_space

    return background_images(str(path), image_space(3, 12, 14), 3, Stream(0, 0))


def _read_part(name: str) -> Callable[[Path], object]:
    """Return what reads the file of a part that makes images or changes them, by its string up to the path."""

    def read(path: Path) -> object:
        from dreamopt.image.parametrizations.generator import Generator
        from dreamopt.image.spectrum import magnitudes
        from dreamopt.regularizer.restoration import mask_at

        magnitudes.cache_clear()  # it remembers files by their paths
        if name == "upper":
            return Generator("tiny", upper=str(path))
        return mask_at(str(path), (12, 14)) if name == "mask" else magnitudes(str(path), 3, (12, 14), None)

    return read


def _cached(folder: Path) -> Path:
    """Write a model into a cache as ``dreamopt models get`` does."""
    from dreamopt.models import load_catalogue

    model = load_catalogue()["bvlc_alexnet"]
    place = folder / "models" / model.name
    place.mkdir(parents=True)
    for role, make in {"weights": _weights(".caffemodel"), "labels": _labels}.items():
        make(place).rename(place / model.files[role].name)
    return _net(place).rename(place / model.files["prototxt"].name)


def _read_cached(path: Path) -> object:
    from dreamopt.cli.net import NET_KEYS, open_network

    said = dict.fromkeys(NET_KEYS) | {"cache": str(path.parents[2]), "device": "cpu", "backend": "auto"}
    shutil.copy(path, path.with_name("deploy.prototxt")) if path.name != "deploy.prototxt" else None
    return open_network("bvlc_alexnet", 12, **said)


def _film(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from tests.support.videos import scenes, write_video

        codec, form, sound = {".avi": ("mpeg4", "yuv420p", None), ".webm": ("libvpx-vp9", "yuv420p", "libopus")}.get(
            suffix, ("libx264", "yuv420p", "aac")
        )
        sound = None if suffix == ".gif" else sound
        codec, form = ("gif", "rgb8") if suffix == ".gif" else (codec, form)
        return write_video(
            folder / f"film{suffix}", scenes(5, (24, 32)), codec=codec, pix_fmt=form, sound=sound, options={}, time_base=Fraction(1, 25)
        )

    return make


def _read_film(path: Path) -> object:
    """Read a film's frames and times, and copy it with its sound."""
    from dreamopt.film.reading import FilmFile
    from dreamopt.film.writing import FilmWriter

    film = FilmFile(path)
    frames, times = list(film.frames()), film.times()
    with FilmWriter(path.with_name("copy.mkv"), film.film.size, film.film.rate, time_base=film.film.time_base, beside=film) as writer:
        for frame in frames:
            writer.write(frame.image, frame.pts, frame.duration)
    return times


def _film_job(folder: Path) -> Path:
    """Write the job of a film of which two frames are dreamed."""
    source = folder / "in"
    source.mkdir()
    for number in range(4):
        Image.fromarray(np.full((12, 14, 3), 40 * number + 20, np.uint8)).save(source / f"frame{number}.png")
    _net(folder)
    _dream_film(folder, folder, resume=False, frames=2)
    return folder / "film.gif.checkpoint" / "job.json"


def _dream_film(home: Path, folder: Path, resume: bool, frames: int) -> object:
    from dreamopt.film.temporal import Apart
    from dreamopt.recipes.film import dream_film
    from dreamopt.recipes.film_plan import FilmSettings

    asked = iter([False] * (3 * frames))
    settings, options = FilmSettings(temporal=Apart()), {"octaves": 1, "steps": 1, "stop": lambda: next(asked, True)}
    network = _network(home / "small.prototxt")
    return dream_film(network, home / "in", "conv:1", folder / "film.gif", film=settings, resume=resume, **options)


def _resume_film(path: Path) -> object:
    """Resume a film in a copy of its folder in which a changed file has the place of the job."""
    folder = Path(tempfile.mkdtemp(dir=path.parents[2]))
    for name in ("film.gif.frames", "film.gif.checkpoint"):
        shutil.copytree(path.parents[1] / name, folder / name)
    shutil.copy(path, folder / "film.gif.checkpoint" / "job.json")
    return _dream_film(path.parents[1], folder, resume=True, frames=1)


def _study(folder: Path) -> Path:
    """Write the folder of a small study with one row."""
    from dreamopt.study.execution import RunOutput
    from dreamopt.study.folder import StudyFolder
    from dreamopt.study.run import Row, Trace
    from tests.support.study_runs import request_of, score_runs

    request = request_of()
    run = score_runs(request)[0]
    trace, measures, features = Trace((0, 2, 6), (0.0, 0.1, 0.2), (0.5, 1.0, 1.5)), {"objective": 1.5}, {"diversity": (0.5, 2.0)}
    row = Row(run.key, "score", "tiny", "adam", {"views": 2}, run.unit, 0, 100, "done", measures=measures, features=features, trace=trace)
    with StudyFolder(folder / "study", request) as place:
        place.save(RunOutput(row))
    return folder / "study" / "study.json"


def _row(folder: Path) -> Path:
    return next((_study(folder).parent / "rows").iterdir())


def _read_study(path: Path) -> object:
    """Read a study's folder in a copy of it in which a changed file has the place of the folder's own."""
    from dreamopt.errors import DreamoptWarning
    from dreamopt.study.folder import read_folders

    home = path.parent if path.parent.name == "study" else path.parents[1]
    folder = Path(tempfile.mkdtemp(dir=home.parent)) / "copy"
    shutil.copytree(home, folder)
    rows = [row for row in (folder / "rows").iterdir() if len(row.stem) == 64]
    shutil.copy(path, rows[0] if path.parent.name == "rows" else folder / "study.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # a damaged row is one
        return read_folders(folder)


FILMS = () if find_spec("av") is None else (".mp4", ".mkv", ".webm", ".avi", ".gif")
"""Suffixes of the films that are read where the extra "video" is installed."""
IMAGES = (
    *(".png", ".jpg", ".gif", ".webp", ".tif", ".bmp", ".ppm", ".pcx", ".sgi", ".ico", ".tga"),
    *(suffix for suffix, codec in {".jp2": "jpg_2000", ".avif": "avif"}.items() if features.check(codec)),
)
"""Suffixes of the images that Pillow can write here."""
READERS: dict[str, Reader] = {
    "prototxt": Reader(_net, _network),
    "caffemodel": Reader(_weights(".caffemodel"), lambda path: _network(path.parent / "small.prototxt", weights=path)),
    "hdf5": Reader(_weights(".caffemodel.h5"), lambda path: _network(path.parent / "small.prototxt", weights=path)),
    "npy": Reader(_with_net(_npy), lambda path: _network(path.parent / "small.prototxt", mean=path)),
    "binaryproto": Reader(_with_net(_binaryproto), lambda path: _network(path.parent / "small.prototxt", mean=path)),
    "feed": Reader(_with_two_inputs(_npy), _feed),
    "feed image": Reader(_with_two_inputs(_image(".png")), _feed),
    "labels": Reader(_with_net(_labels), lambda path: _network(path.parent / "small.prototxt", labels=path)),
    **{f"image {suffix}": Reader(_image(suffix), lambda path: _read_image(path)) for suffix in IMAGES},
    **{f"film {suffix}": Reader(_film(suffix), _read_film) for suffix in FILMS},
    **({"film job": Reader(_film_job, _resume_film)} if FILMS else {}),
    **{f"image of 16 bits {suffix}": Reader(_deep_image(suffix), lambda path: _read_image(path)) for suffix in (".png", ".tif")},
    "image in planes": Reader(_planes, lambda path: _read_image(path)),
    "metadata of a tiff": Reader(_deep_image(".tif"), lambda path: _read_metadata(path)),
    "replay": Reader(_rendered, _replay),
    "replay text": Reader(_metadata, _replay_text),
    "replay text of format 1": Reader(_metadata_of_format_1, _replay_text),
    "preset": Reader(_preset, _read_preset),
    "preset file": Reader(_preset, _read_preset_file),
    "catalogue": Reader(_catalogue, _read_catalogue),
    "--set": Reader(_text('steps=64\ntv.weight=0.1\noptimizer=ascent(2, norm="mean")\nstages=[{"zoom": 1.5}]\n'), _assign),
    "target": Reader(_text('conv:1@3,4 - 0.5*fc:2\nconv:0-2\nDirection("conv", (1, 0, 2, 0))\n'), _targets),
    "vector": Reader(_with_net(_vector), _read_vector),
    "mask": Reader(_image(".png"), _read_part("mask")),
    "backgrounds": Reader(_backgrounds, _read_backgrounds),
    "strengths": Reader(_strengths, _read_part("strengths")),
    "upper": Reader(_text("2.5, 3\n4"), _read_part("upper")),
    "cached model": Reader(_cached, _read_cached),
    "job": Reader(_job, _resume),
    "study file": Reader(_with_net(_study_file), _read_study_file),
    "study": Reader(_study, _read_study),
    "state of top images": Reader(_top_state, _resume_top),
    "row of a study": Reader(_row, _read_study),
    "checkpoint": Reader(lambda folder: _job(folder).with_name("batch0-stage0"), _resume),
}
"""All readers by name."""


def _read_image(path: Path) -> object:
    from dreamopt.image.files import read_image

    return read_image(path)


def _read_metadata(path: Path) -> object:
    from dreamopt.image.files import read_metadata

    return read_metadata(path)
