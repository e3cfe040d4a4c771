"""The report of a study: one page that is whole, escaped and offline, and the same from the same rows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

import dreamopt
from dreamopt.parts.schedule import Linear
from dreamopt.recipes.preset import preset
from dreamopt.recipes.settings import Settings
from dreamopt.study.axis import Axis
from dreamopt.study.budget import Budget
from dreamopt.study.report.plots import plots_of
from dreamopt.study.report.svg import inline_svg
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Row
from dreamopt.study.study import Study
from dreamopt.study.words.resolve import resolve
from dreamopt.study.words.toml import read_study
from tests.support.studies import request, rows

TUNED = Linear(2, 0.0625)
"""The step size of Adam that begins with 2: its schedule is multiplied."""
HOSTILE = "<b>x</b> $x_{ \x1b[2J \u202e"
NAMES = ("adam", "ascent", "lbfgs", HOSTILE)
QUALITY = {"adam": 1.0, "ascent": 0.7, "lbfgs": 0.8, HOSTILE: 1.3, "lucid": 1.2}
FAILED = {
    ("adam", "conv1:0", 0): 'dead gradient: <img src="x" onerror=alert(1)> {{ 7*7 }}',
    **{("lbfgs", "conv2:1", number): "not finite" for number in range(2)},
}
LABELS = {"conv1:0": '"></td><script>alert(2)</script>', "conv2:1": "tabby, tabby cat"}
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page's elements, each with its attributes and the text in it; wrong nesting is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


@dataclasses.dataclass(frozen=True)
class Written:
    """A report that was written."""

    folder: Path
    request: Request
    rows: list[Row]
    page: Page
    html: str


def write(folder: Path, asked: Request, made: list[Row]) -> Written:
    path = Study(folder, asked, tuple(made)).report()
    html = path.read_text(encoding="utf-8")
    return Written(folder, asked, made, Page(html), html)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("study")
    asked = request(NAMES, units=7, seeds=2, title="Best <b>net</b> & more")
    return write(folder, asked, rows(asked, QUALITY, folder=folder, failed=FAILED, labels=LABELS))


def test_nothing_of_it_lies_elsewhere(written: Written) -> None:
    for tag, attributes in written.page.elements:
        assert tag not in ("script", "link", "iframe", "object", "base", "b")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert value is not None
                assert not re.match(r"[a-z]+:(?!image/(webp|jpeg);base64,)|//", value, re.IGNORECASE), value
    assert "@import" not in written.html
    assert not re.search(r"url\((?!#)", written.html)
    [policy] = [meta["content"] for meta in written.page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy


def test_every_link_leads_somewhere(written: Written) -> None:
    ids = [attributes["id"] for _, attributes in written.page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(link["href"]) for link in written.page.all("a")]
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert (written.folder / unquote(link)).is_file(), link
    for name in ("popovertarget", "aria-labelledby"):
        for _, attributes in written.page.elements:
            assert set(str(attributes.get(name) or ids[0]).split()) <= set(ids)
    references = re.findall(r'(?:url\(|(?<=<use )href=")#([^)"]+)', written.html)
    assert references
    assert set(references) <= set(ids)


def test_every_cell_has_its_image_its_runs_and_their_commands(written: Written) -> None:
    scored = [row for row in written.rows if row.phase != "tune"]
    cells = {(row.contestant, row.unit) for row in scored}
    assert len(cells) == (len(NAMES) + 1) * 7
    buttons = [button for button in written.page.all("button") if button.get("class") != "close"]
    assert len(buttons) == len(cells)
    images = list(written.page.all("img"))
    assert len(images) == len(cells) - 1  # lbfgs has no image of conv2:1
    assert all(str(image["alt"]).strip() and str(image["src"]).startswith("data:image/") for image in images)
    linked = {unquote(str(link["href"])) for link in written.page.all("a")}
    for row in scored:
        if row.status == "done":
            assert row.image in linked
            assert f"dreamopt replay {row.image}" in written.page.text
        else:
            assert row.image not in linked


def test_what_comes_from_outside_is_text(written: Written) -> None:
    assert "<script>alert" not in written.html
    assert '<img src="x"' not in written.html
    assert "\x1b" not in written.html
    assert "\u202e" not in written.html
    for shown in ("<b>x</b> $x_{ \\x1b[2J", "Best <b>net</b> & more", "onerror=alert(1)> {{ 7*7 }}", LABELS["conv1:0"]):
        assert shown in written.page.text


def test_it_says_what_the_analysis_says(written: Written) -> None:
    study = Study(written.folder, written.request, tuple(written.rows))
    assert study.winner == HOSTILE
    text = " ".join(written.page.text.split())
    assert "A winner" in text
    assert "is better than each of the other 3" in text
    assert f"3 of {len(written.rows)} runs failed" in text
    for standing in study.analysis.overall.standings:
        assert f"{standing.iqm.value:.3g}"[:4].rstrip("0") in text
    for heading in (
        "Contact sheet",
        "Convergence",
        "Targets",
        "Profiles",
        "Every pair",
        "Tuning",
        "Measures",
        "Failures",
        "How it was run",
    ):
        assert heading in text


def test_tables_have_headers_and_plots_have_titles(written: Written) -> None:
    tables = sum(1 for _ in written.page.all("table"))
    assert tables >= 6
    assert all(header.get("scope") in ("col", "row", "colgroup") for header in written.page.all("th"))
    plots = [svg for svg in written.page.all("svg") if svg.get("class") != "swatch"]
    assert len(plots) == len(list((written.folder / "plots").glob("*.png")))
    assert all(svg["role"] == "img" and svg["aria-labelledby"] for svg in plots)


def test_plots_are_those_of_the_study(written: Written) -> None:
    study = Study(written.folder, written.request, tuple(written.rows))
    assert {path.stem for path in (written.folder / "plots").glob("*.png")} == set(study.plots)
    assert {"differences", "convergence_evaluations", "convergence_seconds", "ecdf_evaluations", "profile_evaluations", "wins"} <= set(
        study.plots
    )
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (written.folder / "plots").iterdir())


def test_svg_has_no_formula_and_no_foreign_id(written: Written) -> None:
    svgs = re.findall(r"<svg xmlns.*?</svg>", written.html, re.DOTALL)
    assert len(svgs) > 10
    for svg in svgs:
        root = ElementTree.fromstring(svg)
        assert all(
            element.tag.endswith(("svg", "g", "path", "use", "text", "defs", "clipPath", "rect", "title", "desc", "image", "tspan"))
            for element in root.iter()
        )
    assert "&lt;b&gt;x&lt;/b&gt; $x_{" in "".join(svgs)


@pytest.fixture
def few_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave most plots out, where a test is about the page."""
    monkeypatch.setattr(
        "dreamopt.study.report.write.plots_of",
        lambda analysis, made: {name: plot for name, plot in plots_of(analysis, made).items() if name in ("differences", "ecdf_seconds")},
    )


@pytest.mark.usefixtures("few_plots")
def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=3, seeds=2, nets=2)
    for name in ("one", "two"):
        made = rows(asked, QUALITY, folder=tmp_path / name)
        write(tmp_path / name, asked, made if name == "one" else made[::-1])
    one, two = (
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two")
    )
    assert one == two
    assert {path.name for path in one} >= {"report.html", "rows.parquet", "traces.csv", "differences.png", "winner.toml"}
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in one)


def test_the_winner_is_a_preset_with_the_settings_that_were_scored(written: Written) -> None:
    study = Study(written.folder, written.request, tuple(written.rows))
    trial = study.analysis.overall.standing(HOSTILE).trial
    assert trial == {"optimizer.step_size": 2.0}
    settings = written.request.contestant(HOSTILE).tuned(trial)
    steps = 512 // settings.views
    read = preset(str(written.folder / "winner.toml"))
    assert read.settings == dataclasses.replace(settings, steps=steps)
    assert "is better than each" in read.notes
    assert "optimizer.step_size = 2.0" in read.notes
    files = sorted((written.folder / "presets").glob("*.toml"))
    assert len(files) == len(NAMES) + 1
    steps = {path.stem: getattr(preset(str(path)).settings.optimizer, "step_size", None) for path in files}
    assert steps == {"adam": TUNED, "ascent": 2.0, "lbfgs": 1.0, "b-x-b-x_-2J": TUNED, "default": Linear(32, 1)}


@pytest.mark.usefixtures("few_plots")
def test_without_a_winner_the_leader_is_a_preset_that_says_so(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=8, seeds=2)
    made = write(tmp_path, asked, rows(asked, {"adam": 1.0, "ascent": 1.0}))
    assert Study(tmp_path, asked, tuple(made.rows)).winner is None
    text = " ".join(made.page.text.split())
    assert "No winner" in text
    assert "winner" not in [str(attributes.get("class")) for attributes in made.page.all("span")]
    assert preset(str(tmp_path / "winner.toml")).notes.startswith("No winner: this one leads, but is not shown to be better")
    assert "image not here" in text


@pytest.mark.usefixtures("few_plots")
def test_a_study_under_way_says_so(tmp_path: Path) -> None:
    asked = request(("adam", "ascent", "lucid"), units=7, seeds=2)
    every = rows(asked, QUALITY)
    made = write(tmp_path, asked, [row for row in every if row.contestant != "ascent" or row.phase != "score" or row.unit == "conv1:0"])
    text = " ".join(made.page.text.split())
    assert "So far" in text
    assert "The study is not finished" in text
    assert text.count("not run") == 6
    for count in (0, 5):
        write(tmp_path, asked, every[:count])
    assert not (tmp_path / "winner.toml").exists()


@pytest.mark.usefixtures("few_plots")
def test_a_measure_that_applies_to_nothing_is_a_dash(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=6, seeds=1, measures=("held_out", "probability", "gone"), tuned=False)
    made = write(tmp_path, asked, rows(asked, QUALITY))
    assert "probability" in made.page.text
    assert "None was tuned" in made.page.text
    assert not any(attributes.get("id") == "tuning" for attributes in made.page.all("section"))


@pytest.mark.usefixtures("few_plots")
def test_each_net_has_its_table_and_a_contestant_settings_for_each(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=3, seeds=2, nets=2)
    other = [
        dataclasses.replace(row, trial={"optimizer.step_size": 4.0})
        if (row.phase, row.net, row.contestant) == ("score", "net1", "adam")
        else row
        for row in rows(asked, QUALITY)
    ]
    made = write(tmp_path, asked, other)
    tables = {table.get("id") for table in made.page.all("table")}
    assert {"standings", "standings-net1", "standings-net2"} <= tables
    names = {path.name for path in (tmp_path / "presets").glob("*.toml")}
    assert names == {"adam-squeezenet.toml", "adam-net1.toml", "ascent.toml", "default.toml"}
    steps = [preset(str(tmp_path / "presets" / f"adam-{net}.toml")).settings.optimizer.step_size for net in ("squeezenet", "net1")]
    assert steps == [TUNED, Linear(4, 0.125)]


@pytest.mark.usefixtures("few_plots")
def test_many_units_are_on_pages_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamopt.study.report.sheet.MOST_CELLS", 12)
    asked = request(("adam", "ascent"), units=10, seeds=1)
    made = rows(asked, QUALITY, folder=tmp_path)
    first = write(tmp_path, asked, made)
    pages = [first.page, *(Page((tmp_path / f"sheet-{number}.html").read_text(encoding="utf-8")) for number in (2, 3))]
    assert [sum(1 for _ in page.all("img")) for page in pages] == [12, 12, 6]
    assert not (tmp_path / "sheet-4.html").exists()
    for page in pages:
        for link in page.all("a"):
            path = unquote(str(link["href"])).partition("#")[0]
            assert not path or (tmp_path / path).is_file()
    monkeypatch.setattr("dreamopt.study.report.sheet.MOST_CELLS", 1000)
    write(tmp_path, asked, made)
    assert not list(tmp_path.glob("sheet-*.html"))


@pytest.mark.usefixtures("few_plots")
def test_a_row_cannot_show_a_file_that_is_not_the_studys(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=2, seeds=1)
    made = rows(asked, QUALITY, folder=tmp_path / "other")
    image = next(path for path in (tmp_path / "other" / "images").iterdir())
    (tmp_path / "own" / "images").mkdir(parents=True)
    (tmp_path / "own" / "images" / "link.png").symlink_to(image)
    paths = [f"../other/images/{image.name}", str(image), "images/link.png", "javascript:alert(1)"]
    for path in paths:
        page = write(tmp_path / "own", asked, [dataclasses.replace(row, image=path) for row in made]).page
        assert not list(page.all("img"))
        assert not any("alert" in str(link["href"]) or "other" in str(link["href"]) for link in page.all("a"))


def test_every_plot_of_odd_studies_is_drawn(tmp_path: Path) -> None:
    lists = Axis("transforms", values=("lucid", "none"))
    asked = request(("adam", "ascent", "lucid"), units=2, seeds=1, nets=2, measures=("held_out", "seconds"))
    several = dataclasses.replace(asked, contestants=(*asked.contestants[:2], dataclasses.replace(asked.contestants[2], axes=(lists,))))
    every = rows(asked, QUALITY, failed={("ascent", f"conv{1 + unit}:{unit}", 0): "dead" for unit in range(2)})
    changed = [
        dataclasses.replace(row, trial={"transforms": "lucid" if row.trial["optimizer.step_size"] < 3 else "none"})
        if row.contestant == "lucid"
        else row
        for row in every
    ]
    study = Study(tmp_path, several, tuple(changed))
    assert {"sensitivity_0", "sensitivity_1", "differences_net1", "differences_net2", "profile_pairs_evaluations"} <= set(study.plots)
    for name in study.plots:
        svg = inline_svg(study.plot(name), name, "title", "what it shows")
        assert svg.startswith("<svg")
        assert "nan" not in re.findall(r' d="([^"]*)"', svg)


def test_curves_of_nothing_have_no_logarithmic_axis() -> None:
    """Where machines are too uneven for seconds that all runs share, a band has no points."""
    from dreamopt.study.report.drawing import Series, curves

    figure = curves([Series("adam", 0, [], [], [], [])], "seconds", "value", log=True, level=1.0)
    figure.canvas.draw()
    assert [(axes.get_xlabel(), axes.get_xscale()) for axes in figure.axes] == [("seconds", "linear")]


@pytest.mark.usefixtures("few_plots")
def test_its_study_file_says_the_same_study(tmp_path: Path) -> None:
    network = dreamopt.load_net(device="cpu")
    net = StudyNet("small", {"net": "tiny", "device": "cpu"}, network.describe(), ("conv2:1", "scores:3"), ("conv2:5",), (40, 36))
    ranges = (Axis("optimizer.step_size", 0.5, 8), Axis("noise", 1, 9, log=False), Axis("views", 1, 4, whole=True))
    contestants = (
        Contestant('a "quoted" one', Settings(tv=0.25, size=(40, 36)), ranges),
        Contestant("lists", Settings(optimizer="ascent", size=36), (Axis("transforms", values=("lucid", "[]")),)),
        Contestant("as it is", preset("lucid2017").settings),
    )
    fields = {
        "seeds": 2,
        "trials": 3,
        "seed": 7,
        "search": "random",
        "race": True,
        "measures": ("held_out", "objective", "evaluations", "seconds"),
    }
    asked = Request("Which <b>", (net,), contestants, Contestant("reference", Settings(steps=64)), Budget(30, "seconds"), **fields)
    write(tmp_path, asked, [])
    again = resolve(read_study(tmp_path / "again.toml")).request

    def plain(one: Request) -> dict[str, object]:
        described = one.describe()
        for contestant in (*described["contestants"], described["reference"]):
            del contestant["says"]
        for known in described["nets"]:
            del known["load"]
        return described

    assert plain(again) == plain(asked)
    assert again.nets[0].load["net"] == "tiny"


@pytest.mark.usefixtures("few_plots")
def test_settings_that_name_files_have_no_study_file(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=2, seeds=1)
    first = dataclasses.replace(asked.contestants[0], settings=Settings(init="cat.png"))
    made = write(tmp_path, dataclasses.replace(asked, contestants=(first, asked.contestants[1])), [])
    assert not (tmp_path / "again.toml").exists()
    assert "so it has no study file" in made.page.text
