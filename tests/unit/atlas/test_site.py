"""The pages of an atlas, as files: what is there, what is left out, and that nothing of a record is markup."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from dreamopt.atlas.site import write_site
from dreamopt.atlas.site.curves import bars, curve, kernel
from dreamopt.atlas.site.graph import LANE, drawing
from dreamopt.atlas.site.output import script
from dreamopt.errors import UsageError
from tests.support.atlas_folder import HOSTILE, PIECES, atlas_folder


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = atlas_folder(
        tmp_path_factory.mktemp("site") / "a folder", (("conv1", 7), ("mixed/a-b", 5), ("fire", 4), ("classes", 6)), side=24
    )
    assert write_site(root) == root / "index.html"
    return root


def pages(root: Path) -> list[Path]:
    return sorted(root.rglob("*.html"))


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def layer_data(root: Path, slug: str) -> dict[str, Any]:
    found = re.fullmatch(r'atlasData\.put\("layer","[^"]+",(.*)\);\n', (root / f"site/layers/{slug}.js").read_text())
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_every_unit_has_its_page(site: Path) -> None:
    made = {path.relative_to(site).as_posix() for path in pages(site)}
    assert {"index.html", "list.html", "conv1/index.html", "mixed--a-b/index.html", "mixed--a-b/4.html"} <= made
    assert len(made) == 2 + 4 + 7 + 5 + 4 + 6


def test_every_link_leads_to_a_file(site: Path) -> None:
    seen = 0
    for path in pages(site):
        for tag, attributes in Page(path).tags:
            for name in ("href", "src", "data-file", "data-image", "data-up", "data-next", "data-previous"):
                address = urlsplit(attributes.get(name) or "")
                assert not address.scheme, (path, tag, attributes)
                if address.path:
                    assert (path.parent / unquote(address.path)).is_file(), (path, attributes[name])
                    seen += 1
    assert seen > 500


def test_nothing_of_a_record_is_markup(site: Path) -> None:
    for path in pages(site):
        page = Page(path)
        scripts = [attributes for tag, attributes in page.tags if tag == "script"]
        assert all(attributes.get("src", "").startswith(("site/", "../site/")) for attributes in scripts), path
        assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"], path
        assert "\u202e" not in path.read_text() + (path.parent / "index.html").read_text()
        assert "49" not in page.text or "{{ 7*7 }}" in page.text
    assert HOSTILE.split("\u2028")[0] in Page(site / "classes/1.html").text
    for path in (site / "site").rglob("*.js"):
        if "static" not in path.parts:
            assert not set(path.read_text()) & set("<>&\u2028\u202e"), path


def test_the_policy_lets_no_inline_script_run(site: Path) -> None:
    for path in pages(site):
        policy = next(a["content"] for tag, a in Page(path).tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy


def test_the_same_records_give_the_same_bytes_and_nothing_is_written_twice(site: Path) -> None:
    before = files(site)
    times = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    write_site(site)
    assert files(site) == before
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()} == times


def test_a_changed_unit_changes_its_own_files_alone(tmp_path: Path) -> None:
    root = atlas_folder(tmp_path / "atlas", (("a", 6), ("b", 5)), pieces=("image",), side=16)
    write_site(root)
    before = files(root)
    record = json.loads((root / "records/image/a/4.json").read_text())
    record["variants"] = {"0": record["variants"]["0"] | {"value": 1e6}}
    (root / "records/image/a/4.json").write_text(json.dumps(record))
    Image.fromarray(np.full((16, 16, 3), 9, np.uint8)).save(root / "images/a/4.png")
    state = os.stat(root / "images/a/4.png")
    os.utime(root / "images/a/4.png", ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    write_site(root)
    after = files(root)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert all(name.startswith(("a/4.html", "a/index", "records/image/a/4", "images/a/4.", "site/display/a/4-", "site/sprites/a/", "site/strips/a/",
                                "site/layers/a.js", "site/search.js", "index.html")) for name in changed), changed  # fmt: skip
    assert "a/4.html" in changed
    assert len([name for name in after if name.startswith("site/sprites/a/")]) == 1
    assert "1,000,000" in after["a/4.html"].decode()


def test_pages_of_layers_that_left_go_and_files_of_somebody_stay(tmp_path: Path) -> None:
    root = atlas_folder(tmp_path / "atlas", (("a", 3), ("b/c.js", 4), ("d", 2)), pieces=("image", "circuit"), side=16)
    write_site(root)
    (root / "d/notes.html").write_text("mine")
    about = json.loads((root / "atlas.json").read_text())
    (root / "atlas.json").write_text(json.dumps(about | {"layers": about["layers"][:1]}))
    (root / "site/layers/..js").write_text("")
    write_site(root)
    assert {path.relative_to(root).as_posix() for path in pages(root) if path.parent != root} == {
        "d/notes.html", "a/index.html", *(f"a/{unit}.html" for unit in range(3))
    }  # fmt: skip
    assert not (root / "b--c.js").exists()
    assert not [path for path in (root / "site").rglob("*") if (path.is_file() and "b--c.js" in path.parts) or path.name == "d.js"]
    assert (root / "records/image/d/1.json").exists()


@pytest.mark.parametrize("piece", [*PIECES, "none"])
def test_a_partial_atlas_has_the_pages_of_what_there_is(piece: str, tmp_path: Path) -> None:
    root = atlas_folder(tmp_path, (("a", 5), ("b/c", 4), ("d", 4)), pieces=(piece,), side=16, units=3)
    write_site(root)
    units = 0 if piece == "none" else 3
    for slug in ("a", "b--c", "d"):
        made = {path.name for path in (root / slug).glob("*.html")} if (root / slug).is_dir() else set()
        if piece != "activation_atlas":
            assert made == ({"index.html", "0.html", "1.html", "2.html"} if units else set())
    if piece in ("image", "circuit"):
        assert "3 of 5 units" in Page(root / "index.html").text


def test_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    root = atlas_folder(tmp_path, (("a", 5), ("b", 4)), side=16)
    (root / "records/image/a/1.json").write_text("{")
    (root / "records/survey/b.json").write_bytes(b"\xff\x00")
    (root / "images/a/2.png").write_bytes(b"no image")
    wrong = {
        "0": {"top": 3, "histogram": {"edges": [1], "counts": "x"}, "quantiles": [5, {"file": "../../etc/passwd", "image": 4}], "count": -2}
    }
    (root / "records/survey/a.json").write_text(json.dumps({"format": 1, "units": wrong | {"-1": {}, "77": {}, "²": {}, "4": None}}))
    (root / "records/circuit/a.json").write_text(
        json.dumps({"format": 1, "units": {"0": {"incoming": [{"slug": ["b"], "unit": "1"}, None], "outgoing": {}}}})
    )
    (root / "records/tuning/a.json").write_text(
        json.dumps({"format": 1, "units": {"0": {"curves": [{"at": [1, 1], "response": [None, 2]}, {"at": [2, 1]}]}}})
    )
    (root / "records/activation_atlas/b.json").write_text(
        json.dumps({"format": 1, "atlases": {"all": {"grid": [0, 3]}, "x<": {"grid": [1, 1]}, "y": 2}})
    )
    write_site(root)
    assert (root / "a/0.html").is_file()
    assert not (root / "a/77.html").exists()
    assert "passwd" not in (root / "a/0.html").read_text()


@pytest.mark.parametrize("slug", ["../x", "a/b", "", ".hidden", "a b", 'x"y', "atlas.json", "index.html", 5])
def test_a_layer_cannot_be_written_elsewhere(slug: object, tmp_path: Path) -> None:
    root = atlas_folder(tmp_path / "in", (("a", 3), ("b", 2)), pieces=("image",), side=16)
    about = json.loads((root / "atlas.json").read_text())
    about["layers"][0]["slug"] = slug
    (root / "atlas.json").write_text(json.dumps(about))
    before = set(tmp_path.iterdir())
    write_site(root)
    assert set(tmp_path.iterdir()) == before
    assert [path.name for path in root.glob("*/index.html")] == ["index.html"]


@pytest.mark.parametrize("text", [None, "[]", '{"format": 2}', "{"])
def test_a_folder_without_an_atlas_is_refused(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "atlas.json").write_text(text)
    with pytest.raises(UsageError, match="holds no atlas"):
        write_site(tmp_path)
    assert len(list(tmp_path.iterdir())) == (text is not None)


def test_progress_counts_the_units(tmp_path: Path) -> None:
    root, seen = atlas_folder(tmp_path, (("a", 4), ("b", 3)), pieces=("logits",)), []
    write_site(root, progress=lambda one: seen.append((one.done, one.count, one.layer)))
    assert seen == [(4, 7, "a"), (7, 7, "b")]


def test_thumbnails_are_where_the_data_says(site: Path) -> None:
    data = layer_data(site, "conv1")
    sheet = Image.open(site / data["sheets"][0]).convert("RGB")
    for unit, place in zip(data["units"], data["places"], strict=True):
        x, y = place % data["across"] * 64, place // data["across"] * 64
        got = np.asarray(sheet.crop((x + 8, y + 8, x + 56, y + 56)), float).mean((0, 1))
        source = site / (f"images/conv1/{unit}.png" if unit != 3 else "crops/conv1/3-top-0.png")
        wanted = np.asarray(Image.open(source).convert("RGB").resize((64, 64)).crop((8, 8, 56, 56)), float).mean((0, 1))
        assert abs(got - wanted).max() < 8, unit
    assert data["states"] == "aaafada"


def test_links_lead_to_units_with_pages_alone(tmp_path: Path) -> None:
    root = atlas_folder(tmp_path, (("a", 9), ("b", 8)), pieces=("circuit", "neighbours"), units=2)
    write_site(root)
    page = Page(root / "a/1.html")
    hrefs = {attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes.get("href", "").endswith(".html")}
    assert "../b/1.html" in hrefs
    assert not {"../b/2.html", "../a/8.html"} & hrefs
    assert "a 8" in page.text


def test_neither_torch_nor_a_net_is_needed(tmp_path: Path) -> None:
    root = atlas_folder(tmp_path, (("a", 3), ("b", 2)), side=16)
    code = "import sys\nfrom dreamopt.atlas.site import write_site\nwrite_site(sys.argv[1])\nprint(sorted({'torch', 'caffe', 'scipy'} & set(sys.modules)))"
    got = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True, timeout=120)
    assert got.stdout == "[]\n"


def test_data_in_a_script_is_escaped() -> None:
    written = script("f", {"a": HOSTILE, "b": None})
    assert not set(written) & set("<>&\u2028")
    assert json.loads(written[2:-3]) == {"a": HOSTILE, "b": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        script("f", float("nan"))


def test_branches_lie_side_by_side_and_depth_runs_across() -> None:
    names = ["in", "a", "b1", "b2", "c"]
    graph = {
        "nodes": [{"name": n, "type": "T", "slug": n} for n in names],
        "edges": [[0, 1], [1, 2], [1, 3], [2, 4], [3, 4], [0, 4], [4, 0], [2, 99], "x"],
    }
    drawn = drawing(graph, dict.fromkeys(names))
    assert drawn is not None
    at = {node["name"]: (node["x"], node["y"]) for node in drawn["nodes"]}
    assert at["in"][0] < at["a"][0] < at["b1"][0] == at["b2"][0] < at["c"][0]
    assert abs(at["b1"][1] - at["b2"][1]) >= LANE
    assert len(drawn["edges"]) == 6
    assert all(0 < x < drawn["width"] and 0 < y < drawn["height"] for x, y in at.values())


def test_no_graph_is_drawn_of_none() -> None:
    assert drawing(None, {}) is None
    assert drawing({"nodes": [3]}, {}) is None
    assert drawing({"nodes": [{"name": "a"}]}, {}) is not None


def test_bars_and_curves_fill_their_frames() -> None:
    drawn = bars({"histogram": {"edges": [0, 1, 4], "counts": [16, 4]}})
    assert [(bar["x"], bar["height"], bar["y"]) for bar in drawn] == [(0.0, 120.0, 0.0), (80.0, 60.0, 60.0)]
    assert bars({"histogram": {"edges": [0, 1], "counts": [0]}}) == []
    line = curve({"kind": "k", "at": [0, 1, 4], "response": [-1, 3, 1], "colours": ["#ff0000", "red", "#00ff00"]})
    assert line is not None
    assert line["points"] == [(0.0, 120.0), (80.0, 0.0), (320.0, 60.0)]
    assert line["colours"] == []


def test_kernels_are_drawn_to_their_largest_weight() -> None:
    drawn = kernel([[0.5, -1.0, 0.0]])
    assert drawn is not None
    assert [cell["level"] for cell in drawn["cells"]] == [4, -9, 0]
    assert kernel([[1.0], [1.0, 2.0]]) is None
    assert kernel([[1.0] * 16]) is None
