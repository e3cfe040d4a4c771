"""What README, docs and help tell to type is typed, page by page, in a folder with the files that they name; and the images are looked at.

`tests.support.printed` finds the commands and the options with an example by itself: a new one is run, or has its reason in `NOT_RUN`.
Steps, pixels and units are made few by further options, of which the later one counts.
"""

from __future__ import annotations

import re
import shlex
from glob import glob
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dreamopt.cli.app import cli
from dreamopt.errors import DreamoptError
from dreamopt.image.files import read_metadata
from tests.support.documents import DOCS, blocks
from tests.support.printed import commands, fragments, options
from tests.support.reader_folder import write_folder

SMALL = ("--device=cpu", "--size=48")
MORE = {
    "activations": ("--device=cpu", "--force"),
    "atlas": (*SMALL, "--steps=1", "--units=0", "--piece=image", "--no-site"),
    "attribute": ("--device=cpu",),
    "bench": ("--device=cpu", "--size=24", "--budget=2evals", "--trials=1", "--seeds=1", "--measure=total_variation", "--processes=1"),
    "dream": (*SMALL, "--steps=2", "--octaves=2", "--jitter=4", "--force"),
    "render": (*SMALL, "--steps=12", "--memory=4GB", "--force"),
    "replay": ("--device=cpu",),
    "top": ("--device=cpu", "--steps=1"),
    "zoom": ("--device=cpu", "--steps=1", "--octaves=1", "--seconds=0.2"),
}
"""What is added to each command."""
NET = ("--net", "deploy.prototxt", "--weights", "net.caffemodel", "--labels", "labels.txt")
"""The net of options that are shown without a command."""
BASE = {
    "render": ("-t", "mixed4:17"),
    "dream": ("photo.jpg",),
    "zoom": ("photo.jpg",),
    "attribute": ("photo.jpg", "-t", "scores:stars", "-m", "saliency"),
    "top": ("photos/", "-t", "mixed4:17", "--no-render"),
    "atlas": ("--layers", "scores"),
    "bench": ("-t", "mixed4:0", "--vary", "optimizer=adam,ascent"),
    "activations": ("photo.jpg", "-t", "conv2"),
}
"""The commands of options that are shown without one, and what else these need."""
OUT = {"render": ".png", "dream": ".png", "zoom": ".gif", "attribute": ".png", "top": "", "atlas": "", "bench": "", "activations": ".png"}
"""How the output of each is called."""
OF_PAGE = {
    "dream.md": "dream",
    "attribution.md": "attribute",
    "atlas.md": "atlas",
    "bench.md": "bench",
    "how-to/dream-on-a-photograph.md": "dream",
}
"""Pages whose options are of one command where it has them."""
STUDY = "how-to/compare-settings.md"
"""The page whose study is run; those of others are read, and all that they say is resolved."""
LEAST_SPREAD = 1.0
"""Grey levels: an image whose levels differ less shows nothing."""

OWN_PART = "tests/integration/test_docs.py checks the part of the page that it names"
NO_CAFFE = "real Caffe is asked in tests/oracle"
AT_LENGTH = "takes long; the same with fewer methods, layers or images is run of another page"
OTHER_NET = "of another net"
NOT_RUN = {
    r".*(peak|symmetry|sign_ascent|mirror|steep2026)\b.*": OWN_PART,
    r"inspect net\.prototxt": OWN_PART,
    r"check \S+\.py.*": OWN_PART,
    r".*(--backend (remote|pycaffe)|--python ).*": NO_CAFFE,
    r"--precision bf16": "few processors have it; tests/integration/test_precision.py",
    r".*--device cuda.*": "without a GPU it is an error; tests/unit/test_gpu_*.py",
    r"explore .*|--port 8000": "a server; tests/integration/test_explore.py",
    r"-t 'conv4:\*'": "hundreds of images; tests/unit/recipes names units so",
    r"demo|models.*|presets.*|.* --help": "no example with values",
    r".*--scheduler tcp.*|--workers \d+.*": "a cluster; tests/integration/test_atlas_dask.py",
    r"attribute .*--compare.*": f"{AT_LENGTH}; tests/unit/attribution/test_compare.py",
    r"attribute (chelsea|coffee)\.png .*--method all.*|-m all|atlas --net .* -o atlas/|dream photo\.jpg --explore -o sheet\.png": AT_LENGTH,
    r"bench benchmarks/studies/default\.toml": "of the repository; tests/unit/study reads its studies",
    r"--preset dreamopt-study/winner\.toml": "written by a study; as winner.toml",
    r"--phase TRAIN": "batches are normalized by themselves there, which makes values of one image noise",
    r"--input-shape 1x28x28|--input pool .*|--feed im_info.*": OTHER_NET,
    r"--channels flow": "for an input of pairs of channels; tests/integration/test_channels.py",
    r"-t LAYER:0-31|--classes a,b|replay images/KEY\.png": "a form",
    r"replay out\.png": "of an image that another command made; as replay first.png",
    r"atlas --site-only .*": "of an atlas that is there; tests/integration/test_atlas_site.py",
    r"render --net deploy\.prototxt --weights squeezenet\.caffemodel .*": "tests/integration/test_gallery.py",
    r"--decay 0\.0001 --blur-radius .*|-m module|--set optimizer\.lr=3": "another program's",
    r"--workers 1000 .*": "of tests.support.simulated",
}
"""What is not run, as patterns, and why."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("dreamopt.study.report.write._draw", lambda *_: "")  # plots take seconds, and have tests of their own
    if request.node.callspec.params["page"] != STUDY:
        monkeypatch.setattr("dreamopt.study.bench.run_study", _end)
    write_folder(tmp_path)
    (tmp_path / "soft.toml").write_text(blocks(DOCS / "extend" / "preset.md", "toml")[0], encoding="utf-8")
    return tmp_path


def _end(*_: object, **__: object) -> None:
    raise click.exceptions.Exit(0)


def is_run(text: str) -> bool:
    return not any(re.fullmatch(pattern, text) for pattern in NOT_RUN)


def run(text: str, words: list[str], folder: Path) -> None:
    """Run a command, and look at each image that it has written."""
    command = words[0]
    words = [re.sub(r"^([\w/]+:)(\d+)-\d+$", lambda m: f"{m[1]}{m[2]}-{int(m[2]) + 1}", word) for word in words]  # two units of many
    words = [name for word in words for name in (sorted(glob(word)) if word.startswith("photos/*") else [word])]  # as the shell does
    more = [] if words[:2] == ["bench", "report"] else [word for word in MORE.get(command, ()) if not _keeps(word, words)]
    if command == "bench" and ".." in text:
        more.remove("--trials=1")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = CliRunner().invoke(cli, [*words, *more])
    assert result.exit_code == 0, f"{text}\n{result.output}"
    written = [path for path in folder.rglob("*.*") if before.get(path) != path.stat().st_mtime_ns and "cache" not in path.parts]
    for out in re.findall(r"-o (\S+)", text) if command != "bench" or folder_is_of_study(folder) else ():
        assert list(folder.glob(f"{Path(out).stem}*")), f"{text} wrote no {out}"
    for path in written:
        # Of several maps the sheet is looked at: that a class is nowhere in an image is an answer, too.
        is_map = command == "attribute" and path.parent != folder
        if command not in ("bench", "atlas") and not is_map and path.suffix in {*OUT.values(), ".jpg", ".webp", ".tif"}:
            look(path, text)


def _keeps(word: str, words: list[str]) -> bool:
    """Return whether a command stays without a further option: places of neurons are those of the net's own size."""
    return (word.startswith("--size") and any("@" in said for said in words)) or (word == "--force" and "--resume" in words)


def folder_is_of_study(folder: Path) -> bool:
    return (folder / "study").is_dir()


def look(path: Path, text: str) -> None:
    """Check that an image shows something, and that what made it found no fault and came further than its start."""
    with Image.open(path) as image:
        spread = float(np.asarray(image.convert("L"), float).std())
    assert spread > LEAST_SPREAD, f"{text}: the levels of {path.name} differ by {spread:.2g}"
    try:
        metadata = read_metadata(path)
    except DreamoptError:
        return
    if "value" not in metadata:  # a contact sheet
        return
    fault = metadata.get("warning") or metadata.get("dead")
    assert not fault, f"{text}: {path.name}: {fault}"
    settings = metadata.get("settings")  # None: of top images, whose own are of another kind
    if settings is not None and settings.get("octaves", 1) == 1 and not settings.get("stages") and settings.get("rule") is None:
        assert metadata["value"] > metadata["first_value"], f"{text}: {path.name} ended at {metadata['value']}"


def around(text: str, page: str, number: int) -> list[str]:
    """Return a command that has options which are shown without one: the page's own, or the first that has them all."""
    words = shlex.split(text)
    names = [word for word in words if word in options() or word.startswith("--")]
    having = [command for command in BASE if all(command in options().get(name, ()) for name in names)]
    assert having, f"no command has all of {text}"
    command = next((name for name in having if name == OF_PAGE.get(page, page.removesuffix(" --help"))), having[0])
    command = "zoom" if command == "dream" and names == ["--cycle"] and "," in words[-1] else command
    film = command == "dream" and _is_of_films(names[0])
    base = list(_film(names) if film else BASE[command])
    for name in {"-t", "-m", "--layers", "--vary"} & {*names}:
        if name in base:
            del base[base.index(name) : base.index(name) + 2]
    base = ["-t", "scores:stars"] if command == "render" and "--preset" in names else base  # what most recipes are for
    base = base[2:] if "--sample" in names else base
    base = [*base[2:], "--sample", "2"] if command == "bench" and "--layers" in names else base
    base += ["--compare"] if "--metric" in names else []
    suffix = ".mp4" if film else OUT[command]
    return [command, *NET, *base, *words, *(() if "-o" in words else ("-o", f"{number}{suffix}"))]


def _film(names: list[str]) -> tuple[str, ...]:
    """Return what comes before an option of films."""
    return ("frames/",) if "--rate" in names else ("film.mp4", *(("-t", "mixed3", "-t", "mixed4") if "--cycle" in names else ()))


def _is_of_films(name: str) -> bool:
    from dreamopt.cli.dream import command

    return any(name in option.opts and re.match("Films:|Frames a second", getattr(option, "help", None) or "") for option in command.params)


@pytest.mark.parametrize("page", [pytest.param(page, id=page) for page, texts in commands().items() if any(map(is_run, texts))])
def test_the_commands_of_a_page_run(page: str, folder: Path) -> None:
    for text in filter(is_run, commands()[page]):
        run(text, shlex.split(text), folder)


@pytest.mark.parametrize("page", [pytest.param(page, id=page) for page, texts in fragments().items() if any(map(is_run, texts))])
def test_the_options_of_a_page_run(page: str, folder: Path) -> None:
    for number, text in enumerate(fragments()[page]):
        if is_run(text):
            run(text, around(text, page, number), folder)


def test_each_reason_is_of_something_printed() -> None:
    texts = [text for found in (commands(), fragments()) for page in found.values() for text in page]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, text) for text in texts), f"nothing printed is {pattern}"
    assert sum(map(is_run, texts)) > 150
