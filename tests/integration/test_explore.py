"""`dreamopt explore` in a real browser, from the command to Ctrl-C; and the commands that its views show give the same."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dreamopt.cli import main as cli
from dreamopt.image.spectrum import image_files
from tests.support.atlas_folder import HOSTILE, atlas_folder
from tests.support.browsers import browser, page_of, until

WAIT = 90_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    atlas = atlas_folder(tmp_path_factory.mktemp("atlas"), [("conv1/relu", 24), ("conv2", 30), ("scores", 32)], side=16, units=8)
    about = json.loads((atlas / "atlas.json").read_text())
    about["net"]["sha256"] = None  # of any net
    (atlas / "atlas.json").write_text(json.dumps(about))
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamopt", "explore", "--no-browser", "--atlas", str(atlas)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", line), line + (
        process.stderr.read() if process.poll() is not None else ""
    )  # type: ignore[union-attr]
    try:
        yield line
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "dreamopt: interrupted.\n")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


def opened(page: Any, address: str, where: str = "#conv2%2Frelu") -> None:
    page.goto(address + where)
    page.wait_for_selector("html[data-ready]", timeout=WAIT)


def sprite(page: Any) -> str:
    return str(page.evaluate("document.getElementById('grid').style.getPropertyValue('--sprite')"))


def photo(seed: int, size: tuple[int, int] = (101, 140)) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).resize((size[1], size[0])).save(
        content, format="PNG"
    )
    return content.getvalue()


def drop(page: Any, content: bytes, name: str) -> None:
    """Drop a file on the page, as a person does."""
    page.evaluate(
        """([text, name]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: "image/png" }));
            document.body.dispatchEvent(new DragEvent("dragenter", { dataTransfer: data, bubbles: true }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [base64.b64encode(content).decode(), name],
    )


def test_a_photograph_is_dropped_and_its_units_looked_at(address: str, chromium: Any) -> None:
    with page_of(chromium) as page:
        opened(page, address)
        assert "token" not in page.url
        assert page.locator("#grid button").count() == 64
        before = sprite(page)
        drop(page, photo(1), "<img src=x onerror=alert(1)>.png")
        until(page, "document.getElementById('photo-name').textContent.startsWith('<img')")
        until(page, f"document.getElementById('grid').style.getPropertyValue('--sprite') !== {json.dumps(before)}")
        assert page.locator("#photo-name img").count() == 0
        page.click('#layers button[data-layer="conv1/relu"]')
        until(page, "document.querySelectorAll('#grid button').length === 24")
        page.click('#grid button[data-unit="5"]')
        until(page, "document.getElementById('unit').textContent === 'conv1/relu:5'")
        until(page, "document.getElementById('overlay-facts').textContent.includes('saliency')")
        assert page.locator("#box").is_visible()
        first = page.get_attribute("#overlay", "src")
        page.select_option("#method", "guided_backprop")
        until(page, f"document.getElementById('overlay').src !== {json.dumps(first)}")
        assert "guided_backprop" in page.text_content('[data-of="attribution"]')
        page.select_option("#order", "highest")
        orders = "[...document.querySelectorAll('#grid button')].map((one) => Number(one.style.order))"
        until(page, f"{orders}.some((place, unit) => place !== unit)")
        assert sorted(page.evaluate(orders)) == list(range(24))


@pytest.mark.parametrize("width", [1280, 375])
def test_what_an_atlas_knows_of_a_unit_is_drawn_as_on_its_page(address: str, chromium: Any, width: int) -> None:
    with page_of(chromium, width=width) as page:
        opened(page, address, "#conv2%3A4")
        until(page, "document.querySelectorAll('#atlas-findings section').length === 4")
        assert page.locator("#atlas-findings h2").all_text_contents() == ["Tuning", "Circuit", "Its effect on the classes", "Nearest units"]
        assert page.locator("#atlas-findings .plot path.line").count() >= 2
        assert page.locator("#atlas-findings .kernel rect").count() > 8
        assert HOSTILE[:30] in (page.text_content("#atlas-findings .effects") or "")
        assert page.evaluate("[window.hacked, document.querySelectorAll('#atlas-findings :is(script, [onerror])').length]") == [None, 0]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        overhang = "Math.max(...[...document.querySelectorAll('#atlas-findings *')].map((one) => one.getBoundingClientRect().right))"
        assert page.evaluate(f"{overhang} <= document.getElementById('right').getBoundingClientRect().right")
        colours = page.evaluate(
            "['.plot .line', '.kernel rect'].map((one) => { const style = getComputedStyle(document.querySelector('#atlas-findings ' + one));"
            " return one.includes('line') ? style.stroke : style.fill; })"
        )
        assert not {"none", "rgb(0, 0, 0)"} & set(colours)  # the drawings have their style
        link = page.locator("#atlas-findings .links a").first
        name, unit = (link.text_content() or "").rsplit(" ", 1)
        link.click()
        until(page, f"document.getElementById('unit').textContent.startsWith({json.dumps(f'{name}:{unit}')})")


def test_an_answer_that_is_taken_back_while_it_arrives_shows_nothing(address: str, chromium: Any) -> None:
    with page_of(chromium) as page:
        opened(page, address)
        page.evaluate(
            """() => {
                const json = Response.prototype.json;
                Response.prototype.json = function () {
                    if (!this.url.includes("/unit?")) return json.call(this);
                    Response.prototype.json = json;
                    document.body.dataset.takenBack = "";
                    return Promise.reject(new DOMException("aborted", "AbortError"));
                };
            }"""
        )
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("body[data-taken-back]", timeout=WAIT)
        page.wait_for_timeout(100)
        assert not page.locator("#right").is_visible()
        assert not page.locator("#message").is_visible()


def test_with_the_keyboard_alone(address: str, chromium: Any) -> None:
    with page_of(chromium) as page:
        opened(page, address)
        page.keyboard.press("ArrowRight")
        until(page, "document.getElementById('unit').textContent === 'conv2/relu:0'")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        columns = len(page.evaluate("getComputedStyle(document.getElementById('grid')).gridTemplateColumns").split())
        until(page, f"document.getElementById('unit').textContent === 'conv2/relu:{1 + columns}'")
        page.keyboard.press("]")
        until(page, "document.getElementById('layer').textContent === 'mixed3/1x1/relu'")
        page.keyboard.press("/")
        page.keyboard.type("stars")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('unit').textContent.endsWith('stars')")
        page.keyboard.press("Escape")
        assert not page.locator("#right").is_visible()
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, select, a, img')].filter((one) => one.offsetParent && !(one.textContent.trim() || "
            "one.getAttribute('aria-label') || one.alt || one.labels?.length)).map((one) => one.outerHTML)"
        )
        assert unnamed == []


def test_an_image_grows_and_stops_while_views_go_on(address: str, chromium: Any) -> None:
    with page_of(chromium) as page:
        opened(page, address, "#conv2%2Frelu%3A3")
        page.select_option("#steps", "512")
        page.click("#start")
        until(page, "document.getElementById('grown-image').src.startsWith('blob:')")
        first = page.get_attribute("#grown-image", "src")
        until(page, f"document.getElementById('grown-image').src !== {json.dumps(first)}")
        # Another page asks meanwhile, and does not wait for the image.
        with page_of(chromium) as other:
            opened(other, address)
            assert other.locator("#grid button").count() == 64
        assert page.text_content("#start") == "Stop"
        page.keyboard.press("Escape")
        page.wait_for_selector("#save:not([hidden])", timeout=WAIT)
        assert "stopped after step" in page.text_content("#grown-facts")
        until(page, "document.getElementById('grown-image').naturalWidth === 96")


def test_a_page_that_is_closed_stops_its_image(address: str, chromium: Any) -> None:
    with page_of(chromium) as page:
        opened(page, address, "#conv2%2Frelu%3A3")
        page.select_option("#steps", "512")
        page.select_option("#size", "256")
        page.click("#start")
        until(page, "document.getElementById('grown-image').src.startsWith('blob:')")
    # Four may grow at a time: were they not stopped, the fifth would wait.
    for _ in range(4):
        with page_of(chromium) as page:
            opened(page, address, "#conv2%2Frelu%3A3")
            page.select_option("#steps", "512")
            page.select_option("#size", "256")
            page.click("#start")
            until(page, "document.getElementById('grown-image').src.startsWith('blob:')")


def test_the_webcam(address: str, chromium: Any) -> None:
    with page_of(chromium) as page:
        opened(page, address)
        page.click("#webcam")
        until(page, "document.getElementById('photo-name').textContent.startsWith('webcam')")
        seen = {page.evaluate("document.getElementById('grid').dataset.photo")}
        end = time.monotonic() + 30
        while len(seen) < 4 and time.monotonic() < end:
            seen.add(page.evaluate("document.getElementById('grid').dataset.photo"))
        assert len(seen) >= 4
        page.click("#webcam")
        page.wait_for_selector("#save-frame:not([hidden])")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(address: str, chromium: Any, scheme: str) -> None:
    with page_of(chromium, width=375, height=740, scheme=scheme) as page:
        opened(page, address, "#mixed3%3A2")
        page.wait_for_selector("#right:not([hidden])")
        until(page, "document.getElementById('overlay-facts').textContent.includes('saliency')")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        wide = page.evaluate(
            "[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 376 && !one.closest('#layers')).length"
        )
        assert wide == 0
        dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")


def test_a_file_that_is_no_image_is_refused_in_words(address: str, chromium: Any) -> None:
    with page_of(chromium, allowed=("400 (Bad Request)",)) as page:
        opened(page, address)
        drop(page, b"<script>alert(1)</script>", "photo.png")
        page.wait_for_selector("#message:not([hidden])")
        assert "photo.png" in page.text_content("#message")
        assert page.locator("#grid button").count() == 64


def test_ten_pages_at_once(address: str, chromium: Any) -> None:
    context = chromium.new_context()
    pages = [context.new_page() for _ in range(10)]
    for page in pages:
        page.goto(address + "#conv1%2Frelu", wait_until="commit")
    for number, page in enumerate(pages):
        page.wait_for_selector("html[data-ready]", timeout=WAIT)
        drop(page, photo(number), f"{number}.png")
    for number, page in enumerate(pages):
        until(page, f"document.getElementById('photo-name').textContent.startsWith('{number}.png')")
    context.close()


def test_without_the_token_nothing_is_there(address: str) -> None:
    for path in ("/", "/api/about", "/static/app.js"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.partition("/?")[0] + path, timeout=30)


def test_a_port_that_is_taken_is_a_sentence(address: str) -> None:
    port = re.search(r":(\d+)/", address)
    assert port is not None
    result = CliRunner().invoke(cli, ["explore", "--no-browser", "--port", port[1]])
    assert (result.exit_code, f"port {port[1]} cannot be opened" in result.output) == (2, True)


def run(command: str | None, folder: Path) -> None:
    assert command is not None
    words = shlex.split(command)
    assert words[0] == "dreamopt"
    here = os.getcwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    finally:
        os.chdir(here)
    assert result.exit_code == 0, result.output


def pixels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_commands_of_the_views_give_the_same(address: str, chromium: Any, tmp_path: Path) -> None:
    name = "my photo's.jpg"
    content = Path(image_files(None)[2]).read_bytes()
    (tmp_path / name).write_bytes(content)
    with page_of(chromium) as page:
        opened(page, address, "#mixed3%3A2")
        drop(page, content, name)
        until(page, f"document.getElementById('photo-name').textContent.startsWith({json.dumps(name)})")
        page.select_option("#method", "guided_backprop")
        until(page, "document.getElementById('overlay-facts').textContent.includes('guided_backprop')")
        page.evaluate("document.getElementById('steps').add(new Option('3', '3', true, true))")
        page.click("#start")
        page.wait_for_selector("#save:not([hidden])", timeout=WAIT)
        commands = {of: page.text_content(f'[data-of="{of}"]') for of in ("scores", "layers", "layer", "unit", "attribution", "growth")}
        shown = page.evaluate(
            """async () => {
                const bytes = async (address) => [...new Uint8Array(await (await fetch(address)).arrayBuffer())];
                const draw = async (address) => {
                    const image = new Image();
                    image.src = address;
                    await image.decode();
                    const canvas = document.createElement("canvas");
                    canvas.width = image.naturalWidth;
                    canvas.height = image.naturalHeight;
                    canvas.getContext("2d").drawImage(image, 0, 0);
                    return [image.naturalHeight, image.naturalWidth, [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]];
                };
                const sprite = document.getElementById("grid").style.getPropertyValue("--sprite").slice(5, -2);
                return {
                    layer: await draw(sprite),
                    unit: await draw(document.getElementById("map").src),
                    attribution: await draw(document.getElementById("overlay").src),
                    growth: await bytes(document.getElementById("save").href),
                };
            }"""
        )
        scores = page.evaluate("[...document.querySelectorAll('#scores li')].map((one) => one.firstChild.title)")
    for of in ("layers", "layer", "unit", "attribution", "growth"):
        run(commands[of], tmp_path)
    out = {of: tmp_path / shlex.split(str(command))[-1] for of, command in commands.items()}
    out["attribution"] = out["attribution"].with_name(f"{out['attribution'].stem}-overlay.png")
    for of in ("layer", "unit", "attribution"):
        height, width, values = shown[of]
        assert np.array_equal(np.array(values, np.uint8).reshape(height, width, 4)[..., :3], pixels(out[of].read_bytes())), of
    assert np.array_equal(pixels(bytes(shown["growth"])), pixels(out["growth"].read_bytes()))
    here = CliRunner().invoke(
        cli, [*shlex.split(str(commands["scores"]).replace(shlex.quote(name), shlex.quote(str(tmp_path / name))))[1:], "--json"]
    )
    assert [f"scores:{one['unit']} {one['label']}" for one in json.loads(here.output)["top"]] == scores
