"""Make the images of docs/dream.md from SqueezeNet and the embedded net: ``python -m tools.dreams``.

Needs the reference models (``shared`` beside the repository, or DREAMOPT_SHARED). Each sheet is written when it is done, and one that is
there already is left alone; delete a sheet to have it made anew. The photographs are those in scikit-image's wheel: Chelsea the cat
(Stefan van der Walt, CC0), the coffee cup (Rachel Michetti, CC0), and the astronaut Eileen Collins (NASA, public domain).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dreamopt
from benchmarks.cases import shared
from dreamopt.film.flicker import measure_flicker
from dreamopt.film.motion import Motion, moved
from dreamopt.film.temporal import Apart
from dreamopt.image.files import covering, read_image
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.image.spectrum import image_files
from dreamopt.image.writing import write_image
from dreamopt.recipes.film import dream_film
from dreamopt.recipes.film_plan import FilmSettings

Rows = Sequence[tuple[str, Sequence[NDArray[np.uint8]], Sequence[str]]]

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images" / "dreams"
WIDTH, HEIGHT = 216, 144
SQUEEZENET = ("fire2/concat", "fire3/concat", "fire4/concat", "fire5/concat", "fire6/concat", "fire8/concat")
TINY = ("conv2", "mixed3", "mixed4", "mixed5")


def photos(size: tuple[int, int] = (HEIGHT, WIDTH)) -> dict[str, NDArray[np.uint8]]:
    """Return the photographs by name, cut to a size (H, W)."""
    paths = {path.stem: path for path in image_files(None)}
    found = {name: np.asarray(read_image(paths[name]), dtype=np.uint8) for name in ("chelsea", "coffee", "astronaut")}
    found["astronaut"] = found["astronaut"][:341]  # her face, not the middle
    return {name: np.ascontiguousarray(covering(image, size), dtype=np.uint8) for name, image in found.items()}


def saved(name: str, rows: Callable[[], Rows]) -> None:
    """Make a sheet of rows, each with a title, its images and their labels, unless it is there."""
    path = IMAGES / f"{name}.jpg"
    if path.exists():
        return
    sections = [Section([np.ascontiguousarray(one[..., :3]) for one in images], list(labels), title) for title, images, labels in rows()]
    IMAGES.mkdir(parents=True, exist_ok=True)
    scratch = IMAGES / f".{name}.part"
    sheet = contact_sheet(sections, columns=max(len(section.pictures) for section in sections))
    Image.fromarray(sheet).save(scratch, format="JPEG", quality=82, optimize=True)
    scratch.replace(path)
    print(name, path.stat().st_size, flush=True)


def layers(network: dreamopt.Network, names: Sequence[str], **settings: Any) -> Rows:
    """Return a row per layer: its dreams into each photograph, by DeepDream's settings."""
    given = photos()
    dreams = {name: [dreamopt.dream(network, photo, name, **settings).image for photo in given.values()] for name in names}
    return [("", list(given.values()), list(given)), *((name, images, [""] * len(given)) for name, images in dreams.items())]


def guides(network: dreamopt.Network) -> Rows:
    """Return dreams of one photograph that another one guides, in each way, and of its strongest and weakest channels."""
    given = photos()
    photo, guide, layer = given["chelsea"], given["coffee"], "fire5/concat"
    images, labels = [photo, guide, dreamopt.dream(network, photo, layer).image], ["photo", "guide", f"-t {layer}"]
    for mode in ("columns", "channels", "style"):
        images.append(dreamopt.dream(network, photo, layer, guide=guide, guide_mode=mode).image)
        labels.append(f"--guide-mode {mode}")
    for mode in ("strong", "weak"):
        images.append(dreamopt.dream(network, photo, layer, rank=3, rank_mode=mode).image)
        labels.append("--rank 3" if mode == "strong" else f"--rank-mode {mode}")
    return [("", images[:4], labels[:4]), ("", images[4:], labels[4:])]


def masks(network: dreamopt.Network, folder: Path) -> Rows:
    """Return a masked dream, and the ways to show one."""
    photo, layer = photos()["chelsea"], "fire8/concat"
    across = np.linspace(0, 1, WIDTH, dtype=np.float32)
    mask = np.repeat((255 * (across > 0.5) * np.minimum(1, 6 * (across - 0.5))).astype(np.uint8)[None, :, None], HEIGHT, axis=0)
    mask = np.repeat(mask, 3, axis=2)
    path = str(write_image(folder / "mask.png", mask))
    ways: dict[str, dict[str, Any]] = {
        "": {},
        "--mask": {"mask": path},
        "--strength 0.3": {"strength": 0.3},
        "--original-colors": {"original_colors": True},
        "--blend 0.4": {"blend": 0.4},
    }
    dreams = [dreamopt.dream(network, photo, layer, **way).image for way in ways.values()]
    images, labels = [photo, mask, *dreams], ["photo", "mask", f"-t {layer}", *list(ways)[1:]]
    return [("", images[:4], labels[:4]), ("", images[4:], labels[4:])]


def zooms(squeezenet: dreamopt.Network, tiny: dreamopt.Network) -> Rows:
    """Return every so many frames of three zooms."""
    given = photos()
    of = {
        "SqueezeNet, -t fire8/concat --zoom 2 --rotate 8": (squeezenet, "chelsea", {"targets": "fire8/concat", "zoom": 2, "rotate": 8}),
        "SqueezeNet, --cycle fire3/concat,fire5/concat,fire8/concat --zoom 1.6": (
            squeezenet,
            "chelsea",
            {"cycle": ["fire3/concat", "fire5/concat", "fire8/concat"], "zoom": 1.6},
        ),
        "the embedded net, -t mixed5 --zoom 2.5 --rotate 15 --loop": (
            tiny,
            "coffee",
            {"targets": "mixed5", "zoom": 2.5, "rotate": 15, "loop": True, "jitter": 16},
        ),
    }
    rows = []
    for title, (network, name, settings) in of.items():
        frames = [one.image for one in dreamopt.zoom(network, given[name], seconds=4, fps=20, **settings)]
        shown = [0, 12, 24, 36, 48, 60, 72, 79]
        rows.append((title, [frames[number] for number in shown[:4]], [f"frame {number}" for number in shown[:4]]))
        rows.append(("", [frames[number] for number in shown[4:]], [f"frame {number}" for number in shown[4:]]))
    return rows


def flows(network: dreamopt.Network, folder: Path) -> Rows:
    """Return frames of a film that a script makes, a pan with a turn, dreamed each by itself and carried along with the motion."""
    photo = photos((240, 360))["chelsea"]
    (folder / "film").mkdir()
    frames = []
    for number in range(12):
        frame = moved(photo, Motion(1 + 0.01 * number, number, (-3 * number, 2 * number)))[48 : 48 + HEIGHT, 72 : 72 + WIDTH]
        frames.append(np.ascontiguousarray(frame))
        write_image(folder / "film" / f"{number:02}.png", frames[-1])
    rows: list[tuple[str, list[NDArray[np.uint8]], list[str]]] = []
    shown = (8, 9, 10, 11)
    labels = [f"frame {number}" for number in shown]
    rows.append(("the film", [frames[number] for number in shown], labels))
    for title, settings in {"--carry 0": FilmSettings(temporal=Apart()), "--carry 0.8": FilmSettings()}.items():
        out = folder / title[2:].replace(" ", "")
        out.mkdir()
        dream_film(network, folder / "film", "fire8/concat", out, film=settings)
        dreams = [np.asarray(read_image(path), dtype=np.uint8) for path in sorted(out.glob("*.png"))]
        flicker = measure_flicker(frames, dreams)
        measured = f"warping error {flicker.warping_error:.0f} (film {flicker.input_warping_error:.0f}), strength {flicker.strength:.1f}"
        rows.append((f"{title}: {measured}", [dreams[number] for number in shown], labels))
    return rows


def main() -> None:
    """Make what is missing."""
    folder = shared() / "models" / "squeezenet"
    squeezenet = dreamopt.load_net(folder / "deploy.prototxt", folder / "squeezenet.caffemodel", labels=folder / "labels.txt")
    tiny = dreamopt.load_net()
    with tempfile.TemporaryDirectory() as scratch:
        saved("layers-squeezenet", lambda: layers(squeezenet, SQUEEZENET))
        saved("layers-tiny", lambda: layers(tiny, TINY, octaves=3, jitter=16))
        saved("guides", lambda: guides(squeezenet))
        saved("masks", lambda: masks(squeezenet, Path(scratch)))
        saved("zooms", lambda: zooms(squeezenet, tiny))
        saved("flow", lambda: flows(squeezenet, Path(scratch)))


if __name__ == "__main__":
    main()
