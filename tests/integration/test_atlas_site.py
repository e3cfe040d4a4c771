"""The pages of an atlas in a real browser, from a disk: no error, keys, phones, hostile labels, ten thousand units."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dreamopt.atlas.site import write_site
from dreamopt.atlas.site.output import script
from tests.conftest import missing
from tests.support.atlas_folder import HOSTILE, atlas_folder

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync")  # fmt: skip
KINDS = {
    "net": "index.html",
    "layer": "fire2--expand1x1/index.html",
    "activation atlas": "fire2--expand1x1/index.html#all",
    "unit": "conv1/7.html",
    "labelled unit": "classes/1.html#minus",
    "failed unit": "classes/3.html",
    "list": "list.html#conv1/5,fire2--expand1x1/3,classes/1,nowhere/4,<script>/2",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        missing("tests of pages drive Debian's chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = atlas_folder(tmp_path_factory.mktemp("atlas") / "a # folder", side=24)
    write_site(root)
    return root


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer whose grid has the data of 10,000 units; pages and images there are of thirty."""
    root = atlas_folder(tmp_path_factory.mktemp("large"), (("first", 4), ("large", 30)), pieces=("image",), label="a label", side=16)
    write_site(root)
    path, many = root / "site/layers/large.js", 10_000
    data = json.loads(path.read_text().partition('"large",')[2].rpartition(")")[0])
    data |= {
        "units": list(range(many)),
        "labels": [f"label {unit}" for unit in range(many)],
        "values": [(unit * 7919) % many for unit in range(many)],
        "states": "a" * many,
        "places": data["places"] + [-1] * (many - len(data["places"])),
    }
    path.write_text(script("atlasData.put", "layer", "large", data))
    return root


def address(root: Path, page: str) -> str:
    path, _, part = page.partition("#")
    return (root / path).as_uri() + (f"#{part}" if part else "")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which every error, and every address that is no file, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    yield opened
    context.close()
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_no_error_and_no_label_does_anything(kind: str, page: Page, site: Path) -> None:
    page.goto(address(site, KINDS[kind]))
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.hacked") is None
    assert page.locator("h1").count() == 1
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(100)
    assert page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)") == []
    assert page.evaluate("[...document.querySelectorAll('img:not([alt])')].length") == 0
    nameless = """[...document.querySelectorAll('a, button')].filter(
        e => !e.textContent.trim() && !e.getAttribute('aria-label') && !(e.querySelector('img') || {}).alt).map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_needs_no_scrolling_sideways(kind: str, page: Page, site: Path) -> None:
    page.set_viewport_size({"width": 375, "height": 740})
    page.goto(address(site, KINDS[kind]))
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str, page: Page, site: Path) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address(site, KINDS["unit"]))
    ratios = page.evaluate(
        """() => {
          const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          const light = (name, property) => {
            const probe = document.createElement('i');
            probe.style.color = `var(--${name})`;
            document.body.append(probe);
            canvas.fillStyle = getComputedStyle(probe).color;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b;
          };
          const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          const found = {};
          for (const text of ['ink', 'soft', 'accent', 'cool']) for (const ground of ['paper', 'raised', 'sunk']) {
            found[text + ' on ' + ground] = ratio(light(text), light(ground));
          }
          found['on-accent on accent'] = ratio(light('on-accent'), light('accent'));
          return found;
        }"""
    )
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_keys_lead_from_the_net_to_a_unit_and_back(page: Page, site: Path) -> None:
    page.goto(address(site, "index.html"))
    page.keyboard.press("/")
    page.keyboard.type("conv1")
    page.wait_for_selector("#search-found a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/conv1/index.html")
    page.wait_for_selector(".cell")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "2.html"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/conv1/2.html")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/conv1/3.html")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    page.keyboard.press("u")
    page.wait_for_url("**/conv1/index.html")
    page.keyboard.press("u")
    page.wait_for_selector(".cards")
    page.locator(".cards a").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**/fire2--expand1x1/index.html")


def test_a_click_on_the_graph_opens_a_layer(page: Page, site: Path) -> None:
    page.goto(address(site, "index.html"))
    page.locator(".graph a", has_text="expand3x3").click()
    page.wait_for_url("**/fire2--expand3x3/index.html")


def test_a_search_finds_labels_layers_and_units(page: Page, site: Path) -> None:
    page.goto(address(site, "conv1/0.html"))
    page.keyboard.press("/")
    page.keyboard.type("onerror 6")
    page.wait_for_selector("#search-found a")
    assert page.locator("#search-found a").first.get_attribute("href") == "../classes/6.html"
    assert HOSTILE[:20] in (page.locator("#search-found a").first.text_content() or "")
    page.fill("#search-text", "expand1x1 17")
    page.wait_for_selector("#search-found a[href='../fire2--expand1x1/17.html']")


def test_an_address_names_a_variant_and_its_command(page: Page, site: Path) -> None:
    page.goto(address(site, "conv1/7.html#minus"))
    assert page.locator("[data-shown-title]").text_content() == "minus"
    assert (page.locator("[data-shown-file]").get_attribute("href") or "").endswith("7-minus.png")
    page.locator("[data-variant]").nth(1).click()
    assert page.url.endswith("7.html#1")
    assert "channel(" in (page.locator("[data-shown-command]").text_content() or "")
    page.locator("[data-do=copy]").click()
    page.wait_for_selector(".said.on")


def test_a_list_is_its_address(page: Page, site: Path) -> None:
    page.goto(address(site, "conv1/5.html"))
    page.locator("[data-do=add]").click()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/6.html")
    page.keyboard.press("a")
    page.keyboard.press("l")
    page.wait_for_url("**/list.html#conv1/5,conv1/6")
    expect(page.locator("[data-listed] li")).to_have_count(2)
    page.locator(".out").first.click()
    page.wait_for_url("**/list.html#conv1/6")
    page.goto(address(site, "index.html"))
    page.goto(address(site, "list.html#fire2--expand1x1/3,nowhere/4"))
    expect(page.locator("[data-listed] li")).to_have_count(2)
    assert page.locator("[data-listed] a").first.get_attribute("href") == "fire2--expand1x1/3.html"
    assert page.locator("[data-listed] li").nth(1).locator("a").count() == 0


def test_the_theme_stays(page: Page, site: Path) -> None:
    page.goto(address(site, "index.html"))
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("d")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.goto(address(site, "conv1/0.html"))
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_cells_of_an_activation_atlas_say_what_they_support(page: Page, site: Path) -> None:
    page.goto(address(site, KINDS["activation atlas"]))
    page.locator("#view-all rect").nth(3).focus()
    page.keyboard.press("ArrowRight")
    assert "activations" in (page.locator("#view-all [data-shown]").text_content() or "")
    assert page.locator("#view-units").is_hidden()


def test_ten_thousand_units_stay_few_elements(page: Page, large: Path) -> None:
    page.goto(address(large, "large/index.html"))
    page.wait_for_selector(".cell")
    count = "document.getElementsByTagName('*').length"
    assert page.evaluate(count) < 1200
    assert page.locator("[data-count]").text_content() == "10,000 units"
    page.select_option("[name=sort]", "value")
    first = page.evaluate("document.querySelector('.cell').getAttribute('href')")
    assert first == f"{next(unit for unit in range(10_000) if unit * 7919 % 10_000 == 9_999)}.html"
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_selector(".cell[href='0.html']")  # the smallest value
    assert page.evaluate(count) < 1200
    page.fill("[name=filter]", "label 777")
    expect(page.locator("[data-count]")).to_have_text("19 of 10,000")
    assert page.locator(".cell").count() == 19
    page.reload()
    expect(page.locator("[data-count]")).to_have_text("19 of 10,000")
