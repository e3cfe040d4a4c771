"""Names that libraries dropped: scipy.misc's image functions by value, and whole scripts in the runner that use old names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamopt.caffe.legacy import scipy_misc as misc
from dreamopt.caffe.legacy.string_io import StringIO
from tests.conftest import REPOSITORY


def test_bytescale_stretches_all_but_bytes() -> None:
    values = np.array([[-2.0, 0.0, 1.0], [2.0, 6.0, 0.5]])
    assert misc.bytescale(values).tolist() == [[0, 64, 96], [128, 255, 80]]  # 63.75, 95.625, 127.5 and 79.6875, rounded half up
    assert misc.bytescale(values, cmin=0, cmax=2).tolist() == [[0, 0, 128], [255, 255, 64]]
    assert misc.bytescale(values, high=200, low=100).tolist() == [[100, 125, 138], [150, 200, 131]]
    assert misc.bytescale(np.full((2, 3), 7.0)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert misc.bytescale(np.array([[True, False]])).tolist() == [[255, 0]]
    few = np.array([[3, 9]], np.uint8)
    assert misc.bytescale(few) is few
    with pytest.raises(ValueError, match="cmax is 1"):
        misc.bytescale(values, cmin=2, cmax=1)
    with pytest.raises(ValueError, match="low is 9"):
        misc.bytescale(values, low=9, high=3)


def test_toimage_finds_the_channels() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    for axis in range(3):
        image = misc.toimage(np.moveaxis(rgb, 2, axis))
        assert (image.mode, image.size) == ("RGB", (7, 5))
        assert np.array_equal(np.asarray(image), rgb)
    both = np.random.default_rng(0).integers(0, 256, (3, 7, 4)).astype(np.uint8)
    assert misc.toimage(both).size == (4, 7), "an axis of 3 goes before one of 4"
    assert misc.toimage(both, channel_axis=2).mode == "RGBA"
    assert misc.toimage(both, channel_axis=2, mode="CMYK").mode == "CMYK"
    grey = np.array([[0.0, 1.0, 3.0], [2.0, 4.0, 8.0]])
    assert np.asarray(misc.toimage(grey)).tolist() == [[0, 32, 96], [64, 128, 255]]
    assert np.asarray(misc.toimage(grey, mode="F")).tolist() == grey.tolist()
    assert np.asarray(misc.toimage(grey, mode="I")).tolist() == [[0, 31, 95], [63, 127, 255]]
    assert np.asarray(misc.toimage(grey, high=2, mode="1")).tolist() == [[False, False, True], [False, True, True]]
    assert misc.fromimage(misc.toimage(grey, mode="P"))[1, 2].tolist() == [255, 255, 255]
    for wrong in (np.ones((2, 5, 6)), np.ones(7), np.ones((2, 3), complex)):
        with pytest.raises(ValueError, match="image"):
            misc.toimage(wrong)
    for array, mode in ((grey, "RGB"), (rgb, "L")):
        with pytest.raises(ValueError, match="does not fit"):
            misc.toimage(array, mode=mode)


def test_reading_and_writing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    misc.imsave(tmp_path / "a.png", rgb)
    assert np.array_equal(misc.imread(tmp_path / "a.png"), rgb)
    flat = misc.imread(tmp_path / "a.png", flatten=True)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, rgb @ [0.299, 0.587, 0.114], atol=1e-3)
    assert misc.imread(tmp_path / "a.png", mode="L").shape == (5, 7)
    stretched = rng.normal(size=(3, 4, 3))
    misc.imsave(tmp_path / "b.png", stretched)
    assert np.array_equal(misc.imread(tmp_path / "b.png"), misc.bytescale(stretched))
    with (tmp_path / "c").open("wb") as stream:
        misc.imsave(stream, rgb, "png")
    assert np.array_equal(misc.imread(tmp_path / "c"), rgb)
    Image.fromarray(rgb).quantize(200).save(tmp_path / "palette.png")
    assert misc.imread(tmp_path / "palette.png").shape == (5, 7, 3)
    Image.fromarray(rgb[..., 0]).convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(misc.imread(tmp_path / "bits.png"))) == {0, 255}


def test_resizing_and_rotating() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    assert misc.imresize(rgb, (9, 5)).shape == (9, 5, 3)
    assert misc.imresize(rgb, 50).shape == (3, 4, 3)
    assert misc.imresize(rgb, 1.5).shape == (9, 12, 3)
    assert misc.imresize(rgb, np.float32(0.5)).shape == misc.imresize(rgb, np.int64(50)).shape == (3, 4, 3)
    assert np.array_equal(misc.imresize(rgb, (12, 16), "nearest"), rgb.repeat(2, 0).repeat(2, 1))
    for name, method in (("bilinear", "BILINEAR"), ("bicubic", "BICUBIC"), ("cubic", "BICUBIC"), ("lanczos", "LANCZOS")):
        there = np.asarray(Image.fromarray(rgb).resize((5, 9), getattr(Image.Resampling, method)))
        assert np.array_equal(misc.imresize(rgb, (9, 5), name), there)
    floats = np.linspace(-1, 1, 12).reshape(3, 4)
    assert misc.imresize(floats, (3, 4), "nearest").tolist() == misc.bytescale(floats).tolist()
    np.testing.assert_allclose(misc.imresize(floats, (3, 4), "nearest", mode="F"), floats, rtol=1e-6)
    assert np.array_equal(misc.imrotate(rgb[:6, :6], 90, "nearest"), np.rot90(rgb[:6, :6]))


def test_a_stream_of_text_or_bytes() -> None:
    stream = StringIO()
    Image.new("RGB", (5, 3), (9, 8, 7)).save(stream, "png")
    assert stream.getvalue().startswith(b"\x89PNG")
    stream.seek(0)
    assert Image.open(stream).getpixel((0, 0)) == (9, 8, 7)
    text = StringIO("one\ntwo\n")
    assert list(text) == ["one\n", "two\n"]
    with StringIO() as mixed:
        mixed.write("a\n")
        mixed.write(b"b")
        mixed.write("c")
        assert mixed.getvalue() == b"a\nbc"
    assert StringIO(b"xy").read() == b"xy"
    assert next(StringIO("z\ny")) == "z\n"


SCRIPT = """
import io
from io import StringIO
import warnings
warnings.simplefilter("error")
import numpy as np
import PIL.Image
from IPython.display import clear_output, Image, display
import scipy
import scipy.misc
from scipy.misc import imresize, comb
import scipy.ndimage as nd
from skimage.restoration import denoise_tv_bregman, denoise_tv_chambolle
import skimage.io
import six
from six.moves import xrange
import caffe
import helper

def showarray(a, fmt="png"):
    f = StringIO()
    PIL.Image.fromarray(np.uint8(np.clip(a, 0, 255))).save(f, fmt)
    display(Image(data=f.getvalue()))
    return f.getvalue()

a = np.zeros((6, 8, 3), np.float)
a[2:4, 3:5] = 200
assert showarray(a)[1:4] == b"PNG"
clear_output(wait=True)
assert np.arange(3, dtype=np.int).dtype == int and np.object is object and np.NaN != np.NaN and np.product([2, 3]) == 6
assert np.in1d([[1, 2]], [2]).tolist() == [False, True]
assert imresize(a, 0.5).shape == (3, 4, 3) and comb(4, 2) == 6
scipy.misc.imsave("a.png", a)
assert np.abs(scipy.misc.imread("a.png") - np.where(a > 0, 255, 0)).max() == 0
PIL.Image.open("a.png").resize((4, 3), PIL.Image.ANTIALIAS)
assert skimage.io.imread("a.png", as_grey=True).shape == (6, 8)
assert denoise_tv_bregman(a / 255, 5.0, max_iter=20).shape == denoise_tv_chambolle(a / 255, n_iter_max=9, multichannel=True).shape == a.shape
assert list(six.iteritems({1: 2})) == [(1, 2)] and list(xrange(2)) == [0, 1]
assert io.BytesIO(b"x").read() == b"x" and helper.stream is not StringIO
print("done", caffe.__name__)
"""

WITHOUT_IPYTHON = """
import importlib.machinery, runpy
found = importlib.machinery.PathFinder.find_spec
hidden = lambda name, *rest: None if name.partition(".")[0] == "IPython" else found(name, *rest)
importlib.machinery.PathFinder.find_spec = hidden
runpy.run_module("dreamopt.caffe", run_name="__main__", alter_sys=True)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_script_with_old_names(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("from io import StringIO as stream\n")
    process = run(tmp_path, "-c", WITHOUT_IPYTHON, "script.py")
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == ["done", "dreamopt.caffe"]


def test_only_where_it_is_asked_for(tmp_path: Path) -> None:
    asks = "import numpy as np, dreamopt.caffe.alias as alias\nalias.install({})\nprint(hasattr(np, 'float'))\n"
    (tmp_path / "six.py").write_text("iteritems = 'their own'\n")
    for argument, answer in (("", "False"), ("old_names=True", "True")):
        assert run(tmp_path, "-c", asks.format(argument)).stdout.split() == [answer]
    own = asks.format("old_names=True") + "import six\nprint(six.iteritems)\n"
    assert run(tmp_path, "-c", own).stdout.splitlines() == ["True", "their own"]
    missing = asks.format("old_names=True") + "import nothing_like_it\n"
    assert "No module named 'nothing_like_it'" in run(tmp_path, "-c", missing).stderr
