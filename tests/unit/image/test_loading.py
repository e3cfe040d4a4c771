"""Images of every kind keep all their bits, their opacity, their orientation and what else their file says, or a sentence says that not."""

from __future__ import annotations

import itertools
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dreamopt.errors import DreamoptWarning, ImageError
from dreamopt.image.files import load_image, read_image
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.opening import VARIABLE
from dreamopt.image.tiff_bytes import unpacked_by_libtiff
from tests.support.images import png

RNG = np.random.default_rng(3)
DEEP = {samples: RNG.integers(0, 65536, (5, 7, samples), dtype=np.uint16) for samples in (1, 2, 3, 4)}
KINDS = {1: "grey", 2: "grey+opacity", 3: "rgb", 4: "rgb+opacity"}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def expected(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colours and the opacity of samples (H, W, S)."""
    count = values.shape[2]
    colours = np.repeat(values[..., :1], 3, -1) if count < 3 else values[..., :3]
    return colours, values[..., -1] if count in (2, 4) else None


def check(image: LoadedImage, values: np.ndarray) -> None:
    colours, opacity = expected(values)
    assert image.colours.dtype == values.dtype
    assert np.array_equal(image.colours, colours)
    assert (image.opacity is None) == (opacity is None)
    assert opacity is None or (image.opacity.dtype == values.dtype and np.array_equal(image.opacity, opacity))
    assert image.depth == 8 * values.dtype.itemsize
    assert image.orientation == 1
    assert image.profile is None
    assert image.notes == ()


class TestPNG:
    @pytest.mark.parametrize("samples", [1, 2, 3, 4])
    def test_16_bits(self, tmp_path: Path, samples: int) -> None:
        values = DEEP[samples]
        check(load_image(png(tmp_path / "a.png", 7, 5, 16, KINDS[samples], values.astype(">u2").tobytes())), values)

    @pytest.mark.parametrize("samples", [1, 2, 3, 4])
    def test_8_bits(self, tmp_path: Path, samples: int) -> None:
        values = (DEEP[samples] >> 8).astype(np.uint8)
        check(load_image(png(tmp_path / "a.png", 7, 5, 8, KINDS[samples], values.tobytes())), values)

    @pytest.mark.parametrize("samples", [1, 2, 3, 4])
    def test_16_bits_interlaced(self, tmp_path: Path, samples: int) -> None:
        values = RNG.integers(0, 65536, (11, 13, samples), dtype=np.uint16)
        rows = b""
        for top, left, down, across in ADAM7:
            rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in values[top::down, left::across])
        path = png(tmp_path / "a.png", 13, 11, 16, KINDS[samples], b"", interlaced=rows)
        check(load_image(path), values)

    @pytest.mark.parametrize("samples", [2, 3, 4])
    def test_16_bits_with_every_filter(self, tmp_path: Path, samples: int) -> None:
        rows = RNG.integers(0, 256, (5, 7 * 2 * samples), dtype=np.uint8)
        filters = [4, 1, 2, 3, 4]
        stored = b"".join(bytes([kind]) + row.tobytes() for kind, row in zip(filters, rows, strict=True))
        path = png(tmp_path / "a.png", 7, 5, 16, KINDS[samples], b"", interlaced=stored, interlace=0)
        check(load_image(path), unfiltered(rows, filters, 2 * samples).view(">u2").reshape(5, 7, samples).astype(np.uint16))

    def test_grey_that_is_transparent_is_compared_by_all_its_bits(self, tmp_path: Path) -> None:
        row = np.array([25700, 25701, 0], ">u2")
        image = load_image(png(tmp_path / "a.png", 3, 1, 16, "grey", row.tobytes(), (b"tRNS", struct.pack(">H", 25700))))
        assert image.opacity is not None
        assert image.opacity.tolist() == [[0, 65535, 65535]]
        assert image.colours[0, :, 1].tolist() == [25700, 25701, 0]

    def test_colours_of_another_standard_are_noted(self, tmp_path: Path) -> None:
        for code, is_noted in ((bytes([9, 16, 0, 1]), True), (bytes([1, 13, 0, 1]), False)):
            path = png(tmp_path / f"{code[0]}.png", 7, 5, 16, "rgb", DEEP[3].astype(">u2").tobytes(), (b"cICP", code))
            with (
                pytest.warns(DreamoptWarning, match=r"cICP 9, 16, 0, 1\), which is not applied") if is_noted else warnings.catch_warnings()
            ):
                assert np.array_equal(load_image(path).colours, DEEP[3])


def unfiltered(rows: np.ndarray, filters: list[int], step: int) -> np.ndarray:
    """Return the bytes of a PNG's rows by the specification, one after the other."""
    made = np.zeros_like(rows)
    for y, kind in enumerate(filters):
        for x in range(rows.shape[1]):
            a = int(made[y, x - step]) if x >= step else 0
            b = int(made[y - 1, x]) if y else 0
            c = int(made[y - 1, x - step]) if y and x >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            made[y, x] = (int(rows[y, x]) + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
    return made


def layouts() -> Iterator[dict[str, object]]:
    for compression, byteorder, tile in itertools.product((None, "deflate"), "<>", (None, (16, 16))):
        yield {"compression": compression, "byteorder": byteorder, "tile": tile}
    yield {"compression": "deflate", "byteorder": "<", "predictor": True}
    yield {"compression": "deflate", "byteorder": ">", "predictor": True}
    yield {"compression": None, "byteorder": "<", "rowsperstrip": 2}
    yield {"compression": None, "byteorder": "<", "bigtiff": True}


class TestTIFF:
    @pytest.mark.parametrize("how", list(layouts()), ids=lambda how: "-".join(map(str, how.values())))
    @pytest.mark.parametrize("samples", [1, 2, 3, 4])
    @pytest.mark.parametrize("bits", [8, 16])
    def test_every_layout(self, tmp_path: Path, bits: int, samples: int, how: dict[str, object]) -> None:
        values = DEEP[samples] if bits == 16 else (DEEP[samples] >> 8).astype(np.uint8)
        write_tiff(tmp_path / "a.tif", values, **how)
        check(load_image(tmp_path / "a.tif"), values)

    @pytest.mark.parametrize("compression", [None, "deflate"])
    @pytest.mark.parametrize("byteorder", "<>")
    @pytest.mark.parametrize("samples", [3, 4])
    @pytest.mark.parametrize("bits", [8, 16])
    def test_planes(self, tmp_path: Path, bits: int, samples: int, byteorder: str, compression: str | None) -> None:
        values = DEEP[samples] if bits == 16 else (DEEP[samples] >> 8).astype(np.uint8)
        planes = np.moveaxis(values, -1, 0)
        write_tiff(tmp_path / "a.tif", planes, byteorder=byteorder, compression=compression, planarconfig="separate")
        check(load_image(tmp_path / "a.tif"), values)

    @pytest.mark.parametrize("samples", [1, 3, 4])
    def test_lzw(self, tmp_path: Path, samples: int) -> None:
        cv2 = pytest.importorskip("cv2", reason="what writes LZW of 16 bits")
        values = DEEP[samples]
        cv2.imwrite(
            str(tmp_path / "a.tif"), values[..., [2, 1, 0, 3][:samples]] if samples > 1 else values, [cv2.IMWRITE_TIFF_COMPRESSION, 5]
        )
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.pages.first.compression == 5
        check(load_image(tmp_path / "a.tif"), values)

    @pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "group4"])
    def test_what_pillow_packs(self, tmp_path: Path, compression: str) -> None:
        grey = (DEEP[1][..., 0] >> 8).astype(np.uint8)
        grey = np.where(grey > 99, 255, 0).astype(np.uint8) if compression == "group4" else grey
        Image.fromarray(grey).convert("1" if compression == "group4" else "L").save(tmp_path / "a.tif", compression=compression)
        check(load_image(tmp_path / "a.tif"), grey[..., None])

    def test_planes_of_lzw(self, tmp_path: Path) -> None:
        cv2 = pytest.importorskip("cv2", reason="what writes LZW of 16 bits")
        # Three planes, each packed by itself as an image of its own, behind one header.
        packed = []
        for plane in np.moveaxis(DEEP[3], -1, 0):
            cv2.imwrite(str(tmp_path / "plane.tif"), plane, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
            with tifffile.TiffFile(tmp_path / "plane.tif") as file:
                page = file.pages.first
                assert len(page.dataoffsets) == 1
                predictor = page.predictor
                packed.append((tmp_path / "plane.tif").read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]])
        strips_of_planes(tmp_path / "a.tif", packed, int(predictor))
        check(load_image(tmp_path / "a.tif"), DEEP[3])

    def test_floating_point_of_lzw(self, tmp_path: Path) -> None:
        cv2 = pytest.importorskip("cv2", reason="what writes LZW of floating point")
        values = (DEEP[3] / 65535).astype(np.float32)
        cv2.imwrite(str(tmp_path / "a.tif"), values[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert (file.pages.first.compression, file.pages.first.predictor) == (5, 3)
        image = load_image(tmp_path / "a.tif")
        assert image.depth == 16
        np.testing.assert_allclose(image.colours, 255.0 * values, rtol=1e-6)

    @pytest.mark.parametrize("band", [2**24, 500])
    @pytest.mark.parametrize("how", list(layouts()), ids=lambda how: "-".join(map(str, how.values())))
    @pytest.mark.parametrize(
        ("dtype", "samples", "planes"),
        [("u1", 3, True), ("u2", 2, False), ("u2", 4, False), ("u2", 3, True), ("u4", 3, False), ("f4", 3, True), ("f8", 1, False)],
    )
    def test_what_libtiff_unpacks_as_bytes_is_what_tifffile_reads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, samples: int, planes: bool, how: dict[str, object], band: int
    ) -> None:
        monkeypatch.setattr("dreamopt.image.tiff_bytes._BAND", band)
        values = RNG.integers(0, 200, (35, 23, samples)).astype(dtype)
        how = {name: value for name, value in how.items() if name != "predictor" or dtype[0] == "u"}  # tifffile has none of floating point
        given = np.moveaxis(values, -1, 0) if planes else values
        write_tiff(tmp_path / "a.tif", given, **how, **({"planarconfig": "separate"} if planes else {}))
        with tifffile.TiffFile(tmp_path / "a.tif") as file, open(tmp_path / "a.tif", "rb") as stream:
            unpacked = unpacked_by_libtiff(file.pages.first, stream)
        assert unpacked is not None
        assert unpacked.dtype == values.dtype
        assert np.array_equal(unpacked, values)

    @pytest.mark.parametrize("bits", [8, 16])
    def test_colours_that_are_multiplied_by_their_opacity_are_divided(self, tmp_path: Path, bits: int) -> None:
        dtype = {8: np.uint8, 16: np.uint16}[bits]
        top = np.iinfo(dtype).max
        colours = np.array([[[10, 20, 30], [top, 40, 50], [7, 8, 9]]], dtype)
        opacity = np.array([[top, top // 5, 0]], dtype)
        stored = np.rint(colours * (opacity[..., None] / top)).astype(dtype)
        tifffile.imwrite(tmp_path / "a.tif", np.dstack([stored, opacity]), photometric="rgb", extrasamples=["assocalpha"])
        image = load_image(tmp_path / "a.tif")
        assert np.array_equal(image.opacity, opacity)
        assert image.colours.dtype == dtype
        assert np.abs(image.colours[0, :2].astype(int) - colours[0, :2]).max() <= 3  # what five times fewer levels tell
        assert (image.colours[0, 2] == 0).all()

    def test_a_fourth_sample_without_a_meaning_is_no_opacity(self, tmp_path: Path) -> None:
        for values in (DEEP[4], (DEEP[4] / 65535).astype(np.float32)):
            tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unspecified"])
            image = load_image(tmp_path / "a.tif")
            assert image.opacity is None
            np.testing.assert_allclose(image.levels(), DEEP[4][..., :3] / 257, rtol=1e-6)

    def test_ink_of_16_bits(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", DEEP[4], photometric="separated")
        light = 1 - DEEP[4] / 65535
        image = load_image(tmp_path / "a.tif")
        assert image.opacity is None
        assert np.array_equal(image.colours, np.rint(65535 * light[..., :3] * light[..., 3:]))

    def test_numbers_beyond_black_and_white_are_noted(self, tmp_path: Path) -> None:
        values = np.array([[[-0.5, 0, 1], [0.25, 2, 1.5]]], np.float32)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
        with pytest.warns(DreamoptWarning, match="-0.5 is shown as black and 2 as white"):
            image = load_image(tmp_path / "a.tif")
        np.testing.assert_allclose(image.levels(), 255 * (values + 0.5) / 2.5, rtol=1e-6)


def strips_of_planes(path: Path, packed: list[bytes], predictor: int) -> None:
    """Write a TIFF of three planes of 16 bits, 7 x 5 pixels, packed by LZW."""
    start, content, offsets = 8, b"", []
    for strip in packed:
        offsets.append(start + len(content))
        content += strip + b"\0" * (len(strip) % 2)
    lists = start + len(content)
    content += struct.pack("<3H", 16, 16, 16) + b"\0\0" + struct.pack("<3I", *offsets) + struct.pack("<3I", *map(len, packed))
    tags = [(256, 3, 1, 7), (257, 3, 1, 5), (258, 3, 3, lists), (259, 3, 1, 5), (262, 3, 1, 2), (273, 4, 3, lists + 8), (277, 3, 1, 3)]
    tags += [(278, 3, 1, 5), (279, 4, 3, lists + 20), (284, 3, 1, 2), (317, 3, 1, predictor)]
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    path.write_bytes(b"II*\0" + struct.pack("<I", start + len(content)) + content + table)


def write_tiff(path: Path, values: np.ndarray, **how: object) -> None:
    count = values.shape[0] if how.get("planarconfig") == "separate" else values.shape[2]
    extra = {"extrasamples": ["unassalpha"]} if count in (2, 4) else {}
    if count == 1:
        values = values[..., 0]
    elif count == 2:
        extra["planarconfig"] = "contig"
    tifffile.imwrite(path, values, photometric="rgb" if count > 2 else "minisblack", **how, **extra)


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["png", "png16", "tif", "tif16", "tiff32", "jpg"])
    def test_it_is_applied_once_and_known(self, tmp_path: Path, kind: str, orientation: int) -> None:
        values = DEEP[4] if kind.endswith("16") else (DEEP[4] >> 8).astype(np.uint8)
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"a.{kind[:4].rstrip('13')}"
        if kind == "png16":
            png(path, 7, 5, 16, "rgb+opacity", values.astype(">u2").tobytes(), (b"eXIf", exif.tobytes()[6:]))
        elif kind in {"tif16", "tiff32"}:
            numbers = values if kind == "tif16" else values[..., :3] / 255.0
            extra = {"extrasamples": ["unassalpha"]} if kind == "tif16" else {}
            tifffile.imwrite(path, numbers, photometric="rgb", extratags=[(274, "H", 1, orientation, True)], **extra)
        elif kind == "jpg":
            values = np.kron(np.array([[10, 60, 110], [160, 200, 250]], np.uint8), np.ones((16, 16), np.uint8))[..., None]
            Image.fromarray(values[..., 0]).save(path, exif=exif, quality=100)
        else:
            Image.fromarray(values).save(path, exif=exif)
        turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
        turned = np.rot90(values, turns[orientation]) if orientation in (1, 3, 6, 8) else mirrored(values, orientation)
        image = load_image(path)
        colours, opacity = expected(np.ascontiguousarray(turned))
        assert image.orientation == orientation
        assert image.colours.shape == colours.shape
        np.testing.assert_allclose(image.colours.astype(float), colours, atol=2 if kind == "jpg" else 1e-4)
        if kind not in {"tiff32", "jpg"}:
            assert np.array_equal(image.opacity, opacity)


def mirrored(values: np.ndarray, orientation: int) -> np.ndarray:
    return {
        2: values[:, ::-1],
        4: values[::-1],
        5: np.swapaxes(values, 0, 1),
        7: np.swapaxes(values, 0, 1)[::-1, ::-1],
    }[orientation]


class TestNotes:
    def test_bits_of_other_formats_that_are_not_read_are_noted(self, tmp_path: Path) -> None:
        (tmp_path / "a.ppm").write_bytes(b"P6 7 5 65535\n" + DEEP[3].astype(">u2").tobytes())
        with pytest.warns(DreamoptWarning, match="its samples have 16 bits, of which 8 are read; save it as PNG or TIFF"):
            image = load_image(tmp_path / "a.ppm")
        assert np.abs(image.colours - DEEP[3] / 257).max() <= 1

    def test_jpeg_2000_of_16_bits_is_noted(self, tmp_path: Path) -> None:
        cv2 = pytest.importorskip("cv2", reason="what writes JPEG 2000 of 16 bits")
        if not cv2.imwrite(str(tmp_path / "a.jp2"), DEEP[3].repeat(4, 0).repeat(4, 1)):
            pytest.skip("this OpenCV writes no JPEG 2000")
        with pytest.warns(DreamoptWarning, match="its samples have 16 bits, of which 8 are read"):
            load_image(tmp_path / "a.jp2")

    def test_a_still_of_8_bits_has_no_notes(self, tmp_path: Path) -> None:
        for suffix in ("png", "jpg", "gif", "webp", "tif", "bmp", "ppm", "sgi", "jp2"):
            Image.fromarray(np.repeat((DEEP[1] >> 8).astype(np.uint8), 3, -1)).save(tmp_path / f"a.{suffix}")
            assert load_image(tmp_path / f"a.{suffix}").notes == ()

    def test_a_damaged_profile_is_noted_and_passed_over(self, tmp_path: Path) -> None:
        Image.fromarray((DEEP[3] >> 8).astype(np.uint8)).save(tmp_path / "a.png", icc_profile=b"no profile" * 20)
        with pytest.warns(DreamoptWarning, match=r"a\.png': its colour profile is not applied: it is no ICC profile, or cut off"):
            image = load_image(tmp_path / "a.png")
        assert image.profile is None
        assert np.array_equal(image.levels(), DEEP[3] >> 8)


def test_the_limit_of_pixels_holds_at_16_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png(tmp_path / "a.png", 7, 5, 16, "rgb", DEEP[3].astype(">u2").tobytes())
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(DEEP[3], -1, 0), photometric="rgb", planarconfig="separate")
    monkeypatch.setenv(VARIABLE, "79")  # a row counts as 16 pixels at least
    for suffix in ("png", "tif"):
        with pytest.raises(ImageError, match=r"7 x 5 pixels, above the limit of 79; set DREAMOPT_IMAGE_PIXELS"):
            load_image(tmp_path / f"a.{suffix}")


def test_an_image_of_96_megapixels_is_within_the_limit(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", 12000, 8000, 8, "grey", b"")
    with pytest.raises(ImageError, match="damaged"):  # which has no pixels, but was not refused for their number
        load_image(path)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_what_is_cut_off_or_damaged_at_16_bits_is_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        png(path, 7, 5, 16, "rgb", DEEP[3].astype(">u2").tobytes())
    else:
        tifffile.imwrite(path, DEEP[3], photometric="rgb", compression="deflate")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for round_ in range(60):
        content = bytearray(whole[: rng.integers(8, len(whole))] if round_ % 2 else whole)
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(0, 256)
        path.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DreamoptWarning)
            try:
                load_image(path)
            except ImageError:
                refused += 1
    assert refused > 20


def test_it_is_read_once_and_nobody_changes_what_the_next_one_reads(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", 7, 5, 16, "rgb+opacity", DEEP[4].astype(">u2").tobytes())
    image = load_image(path)
    assert load_image(path) is image
    for values in (image.colours, image.opacity):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
    levels = read_image(path)
    levels[:] = 0
    assert read_image(path).max() > 0
