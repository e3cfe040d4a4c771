"""Make docs/gallery.md and its images from SqueezeNet: ``python -m tools.gallery``.

Needs the reference models (``shared`` beside the repository, or DREAMOPT_SHARED). Each sheet is written when it is done, and one
that is there already is left alone, so that the work can be cut and resumed; delete a sheet to have it made anew.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dreamopt
from benchmarks.cases import shared
from dreamopt.image.files import covering, write_image
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.image.spectrum import image_files
from dreamopt.recipes.preset import preset, presets, resolve_settings
from dreamopt.study.finished import as_finished
from dreamopt.study.measures_registry import take

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images" / "gallery"
SIZE = 128
"""Of the images under presets: SqueezeNet takes any."""
SMALL = 128
NET = "--net deploy.prototxt --weights squeezenet.caffemodel --labels labels.txt"
"""The net in the commands, as they are typed beside its files."""
UNITS = (
    "fire3/concat:40",
    "fire5/concat:64",
    "fire7/concat:20",
    "fire8/concat:101",
    "pool_final:flamingo",
    "pool_final:zebra",
)
MEASURES = ("held_out", "total_variation", "spectrum")
LEFT_OUT = {
    "nguyen2016-dgn": "needs a trained generator, and none is public in a form that could be fetched here",
    "mahendran2015": "inverts pictures and has no units; see Inversion below",
}
CHANGES = {"maco2023": ["views=8"], "deepdream2015": []}
"""What a preset is given beside its own: MaCo's 32 views a step would take hours on a CPU."""
CAT, COLUMN, TENSOR = '"cat.png"', '"column.npy"', '"tensor.npy"'
OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "Channel": ("fire5/concat:64",),
    "Neuron": ("fire5/concat:64@centre",),
    "Places": ("fire5/concat:64@(2,2;9,9)",),
    "ClassScore": ("pool_final:flamingo",),
    "LogProbability": ('LogProbability("pool_final", "flamingo")',),
    "Energy": ("fire5/concat",),
    "Interpolate": ('Interpolate("fire5/concat", 64, other=20, count=4)',),
    "Diversity": ('fire5/concat:64 - 3e-2*Diversity("fire5/concat")',),
    "Alignment": ('fire5/concat:64 + 0.05*Alignment("fire5/concat")',),
    "Direction": (f'Direction("fire5/concat", {COLUMN}, power=1)',),
    "DirectionNeuron": (f'DirectionNeuron("fire5/concat", {COLUMN}, power=1)',),
    "TensorDirection": (f'TensorDirection("fire5/concat", {TENSOR}, power=1)',),
    "Caricature": (f'Caricature("fire6/concat", {CAT})',),
    "Inversion": (f'Inversion("fire4/concat", {CAT})',),
    "Style": (f'Style(("fire2/concat", "fire4/concat"), {CAT})',),
    "Guide": (f'Guide("fire5/concat", {CAT})',),
    "a negative": ("-fire5/concat:64",),
    "a sum": ("fire5/concat:64 + fire3/concat:40",),
}
REGULARIZERS = (
    "",
    "l1(1e-4)",
    "l2(2e-6)",
    "alpha_norm(3e-13)",
    "total_variation(1e-5)",
    "blur_difference(2e-5)",
    "boundary_complexity(2e-5)",
    "mean_colour(0.3)",
    "spectral(5e-5)",
    "decay(0.02)",
    "gaussian_blur(0.5)",
    "small_norm(40)",
    "small_contribution(40)",
    "small_value(40)",
    "range_clip(64, 192)",
    "norm_ball(20, 'rms', 'mean')",
    "tv_bregman(0.1, every=4)",
    "bilateral()",
    "wavelet(every=4)",
    "centre_bias(0.1)",
    "linf(0.5)",
    "lp_norm(0.01)",
    "stencil('circle.png')",
    "window(gaussian_blur(0.5))",
)


def saved(name: str, sheet: NDArray[np.uint8]) -> None:
    """Write a sheet as JPEG, whole or not at all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    scratch = PICTURES / f".{name}.part"
    Image.fromarray(sheet).save(scratch, format="JPEG", quality=87)
    scratch.replace(PICTURES / f"{name}.jpg")


def row(pictures: Sequence[NDArray[np.uint8]], labels: Sequence[str], columns: int | None = None) -> NDArray[np.uint8]:
    """Return a sheet of images of one size."""
    plain = [np.ascontiguousarray(one[..., :3]) for one in pictures]
    return contact_sheet([Section(plain, list(labels))], columns=columns or len(plain))


def under_presets(network: dreamopt.Network, photo: str) -> None:
    """Render the same six units under every preset, and write what was measured beside each sheet."""
    for one in presets():
        name = one.name
        if name in LEFT_OUT or (PICTURES / f"{name}.jpg").exists():
            continue
        began = time.perf_counter()
        fields = {"size": SIZE} | ({"init": photo} if name == "deepdream2015" else {})
        rendered = dreamopt.render(network, list(UNITS), resolve_settings(name, fields, CHANGES.get(name, [])))
        pictures = [covering(np.ascontiguousarray(made.image[..., :3]), (SIZE, SIZE)) for made in rendered]
        finished = [as_finished(network, made.sample.text, picture) for made, picture in zip(rendered, pictures, strict=True)]
        held_out, variation, spectrum = np.array([list(take(MEASURES, run)[0].values()) for run in finished], dtype=float).T
        measured = [*held_out, variation.mean(), spectrum.mean()]
        saved(name, row(pictures, [made.sample.text for made in rendered]))
        (PICTURES / f"{name}.txt").write_text(" ".join(f"{value:.4g}" for value in measured) + "\n", encoding="utf-8")
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)


def of_objectives(network: dreamopt.Network, photo: str) -> None:
    """Render each objective once, from the default settings."""
    if (PICTURES / "objectives.jpg").exists():
        return
    pictures, labels, folder = [], [], Path(tempfile.mkdtemp())
    seen = network.activations_of(photo, ["fire5/concat"], SMALL)["fire5/concat"][0].cpu().numpy()
    np.save(folder / "tensor.npy", seen)
    np.save(folder / "column.npy", seen.mean((1, 2)))
    files = {CAT: photo, COLUMN: folder / "column.npy", TENSOR: folder / "tensor.npy"}
    for name, targets in OBJECTIVES.items():
        texts = list(targets)
        for word, path in files.items():
            texts = [text.replace(word, f'"{path}"') for text in texts]
        more = {"variants": 2} if name in ("Diversity", "Alignment") else {}
        plain = {"regularizers": ("total_variation(2e-9)",), "jitter": 0, "transforms": (), "blur": 0.0, "decay": 0.0}
        fields = plain if name == "Inversion" else {}
        made = dreamopt.render(network, texts, steps=160, size=SMALL, **fields, **more)
        pictures += [one.image for one in made]
        labels += [name if len(made) == 1 else f"{name} {number + 1}" for number in range(len(made))]
        print(name, flush=True)
    saved("objectives", row(pictures, labels, columns=6))


def of_regularizers(network: dreamopt.Network) -> None:
    """Render one class from pixels under each regularizer alone."""
    if (PICTURES / "regularizers.jpg").exists():
        return
    pictures, circle = [], Path(tempfile.mkdtemp()) / "circle.png"
    down, across = np.mgrid[-1 : 1 : SMALL * 1j, -1 : 1 : SMALL * 1j]
    write_image(circle, np.repeat(((np.hypot(down, across) < 0.8) * 255).astype(np.uint8)[..., None], 3, 2))
    for name in REGULARIZERS:
        text = name.replace("circle.png", str(circle))
        settings = {"parametrization": "pixels", "optimizer": "ascent", "transforms": (), "blur": 0.0, "decay": 0.0}
        settings |= {"regularizers": (text,) if text else ()}
        pictures.append(dreamopt.render(network, "pool_final:flamingo", steps=160, size=SMALL, **settings)[0].image)
        print(text or "none", flush=True)
    saved("regularizers", row(pictures, [text or "none" for text in REGULARIZERS], columns=5))


def page() -> str:
    """Return the text of docs/gallery.md for the sheets that are there."""
    lines = [
        "# Gallery",
        "",
        "Made by `python -m tools.gallery` from SqueezeNet 1.0's ImageNet weights; every picture can be made again with the command below",
        f"it. Units: {', '.join(f'`{unit}`' for unit in UNITS)}. Pictures are {SIZE} pixels wide; presets were written for 224 and more.",
        "",
        "The commands are typed in a folder with SqueezeNet 1.0's `deploy.prototxt`, `squeezenet.caffemodel` and `labels.txt` "
        "(`dreamopt models show squeezenet_v1.0` says where they are) and `cat.png`, scikit-image's cat: `skimage.data.chelsea()`.",
        "",
        "## The same six units under every preset",
        "",
        "Three [measures](bench.md#measures) for each: `held_out`, the units' values under turns, sizes, shifts, noise and JPEG, as a part",
        "of the best that any preset reached; `total_variation`, the mean difference of neighbours in grey levels (photographs: 10 to 20);",
        "`spectrum`, how far the logarithm of the strengths of frequencies is from photographs' (0: the same mixture).",
        "",
        "| preset | held out | variation | spectrum |",
        "| --- | --- | --- | --- |",
    ]
    scores = {path.stem: [float(v) for v in path.read_text(encoding="utf-8").split()] for path in sorted(PICTURES.glob("*.txt"))}
    best = np.max([values[:-2] for values in scores.values()], axis=0)
    for name, values in scores.items():
        lines.append(f"| [{name}](#{name}) | {np.mean(np.array(values[:-2]) / best):.2f} | {values[-2]:.1f} | {values[-1]:.2f} |")
    for name in scores:
        one = preset(name)
        changes = "".join(f" --set {text}" for text in CHANGES.get(name, []))
        photo = " --init cat.png" if name == "deepdream2015" else ""
        whole = command(f"--preset {name}{photo}{changes}", UNITS, name)
        lines += ["", f"### {name}", "", f"{one.title}.", "", *whole, "", f"![{name}](images/gallery/{name}.jpg)"]
    lines += ["", "Not shown: " + "; ".join(f"`{name}` {why}" for name, why in LEFT_OUT.items()) + ".", ""]
    lines += [
        "## Objectives",
        "",
        "160 steps of the default settings, TEXT being one of those below: `Diversity` and `Alignment` with `--variants 2`, `Inversion` "
        'with `--jitter 0 --set "transforms=[]" --blur 0 --decay 0 -r "total_variation(2e-9)"`. `tensor.npy` holds what '
        "`fire5/concat` makes of the cat at 128",
        'pixels (`network.activations_of("cat.png", ["fire5/concat"], 128)["fire5/concat"][0]`), and `column.npy` its mean over the '
        "places.",
        f"The command: `dreamopt render {NET} --size {SMALL} --steps 160 -t 'TEXT' -o one.png`",
        "",
    ]
    lines += [f"- {name}: {', '.join(f'`{text}`' for text in texts)}" for name, texts in OBJECTIVES.items()]
    lines += ["", "![objectives](images/gallery/objectives.jpg)", "", "Formulas: [objectives.md](objectives.md).", ""]
    lines += [
        "## Regularizers",
        "",
        f"The class `flamingo`: `dreamopt render {NET} --size {SMALL} --steps 160",
        '--optimizer ascent --parametrization pixels --set "transforms=[]" --blur 0 --decay 0 '
        "-r 'TEXT' -t pool_final:flamingo -o one.png`",
        "",
    ]
    lines += ["![regularizers](images/gallery/regularizers.jpg)", "", "Formulas: [regularizers.md](regularizers.md)."]
    return "\n".join(lines) + "\n"


def command(words: str, targets: Sequence[str], name: str) -> list[str]:
    """Return the lines of the whole command that makes a picture, in the folder of the net's files."""
    aims = " ".join(f"-t {target}" for target in targets)
    return ["```sh", f"dreamopt render {NET} --size {SIZE} \\", f"    {words} \\", f"    {aims} -o {name}.png", "```"]


def main() -> None:
    """Make what is missing, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page alone")
    asked = parser.parse_args()
    if not asked.page:
        folder = shared() / "models" / "squeezenet"
        network = dreamopt.load_net(folder / "deploy.prototxt", folder / "squeezenet.caffemodel", labels=folder / "labels.txt")
        photo = str(next(path for path in image_files(None) if path.name == "chelsea.png"))
        under_presets(network, photo)
        of_objectives(network, photo)
        of_regularizers(network)
    (ROOT / "docs" / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
