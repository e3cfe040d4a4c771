"""Where progress is shown: a bar in a terminal and in a notebook, lines in a log, and nothing where nobody looks."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import dreamopt
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.progress import audience, surface, terminal
from dreamopt.progress.notebook import html
from dreamopt.progress.passes import attributing
from dreamopt.progress.surface import Log, Moving, State
from dreamopt.testing import toy_network
from dreamopt.tuning.tuning import layer_tuning

HOSTILE = "<script>\x1b[31m\nalert"


@pytest.fixture(scope="module")
def network() -> Network:
    return toy_network()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A terminal; returns what was written to it."""
    written = io.StringIO()
    on = Console(file=written, force_terminal=True, width=120, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(terminal, "console", lambda stderr: on)
    monkeypatch.setattr(audience, "is_terminal", lambda: True)
    monkeypatch.setattr(surface, "is_terminal", lambda: True)
    monkeypatch.setattr(audience, "QUIET_PLACES", ("QUIET_HERE",))  # pytest sets its own anew before each call
    monkeypatch.setenv("TERM", "xterm")
    return written.getvalue


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A notebook's kernel; what is shown in its one place, one after the other."""
    shown: list[str] = []

    def display(what: str, display_id: bool) -> SimpleNamespace:
        assert display_id
        shown.append(what)
        return SimpleNamespace(update=shown.append)

    library, inner = ModuleType("IPython"), ModuleType("IPython.display")
    library.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    inner.HTML, inner.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", library)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    monkeypatch.setattr(audience, "QUIET_PLACES", ())
    return shown


def long_calls(network: Network, image: np.ndarray, folder: Path) -> dict[str, Callable[[Any], object]]:
    """Return every long function of the Python face, by name, as a function of its ``progress``."""
    small = {"steps": 1, "size": (11, 13)}
    return {
        "render": lambda shown: dreamopt.render(network, "conv2:3", progress=shown, **small),
        "dream": lambda shown: dreamopt.dream(network, image, "conv2:3", octaves=1, steps=1, progress=shown),
        "zoom": lambda shown: list(dreamopt.zoom(network, image, "conv2:3", fps=2, seconds=1, octaves=1, steps=1, progress=shown)),
        "attribute": lambda shown: dreamopt.attribute(network, image, "fc:2", ["gradient"], progress=shown),
        "compare_attributions": lambda shown: dreamopt.compare_attributions(
            network, image, "fc:2", ["gradient"], metrics=["srg"], sanity=False, progress=shown
        ),
        "top": lambda shown: dreamopt.top(network, [image], "conv2:3", k=1, progress=shown),
        "bench": lambda shown: dreamopt.bench(
            network, "conv2:3", vary={"optimizer": ["adam", "ascent"]}, trials=1, seeds=1, budget=1, measures=["total_variation"],
            out=folder / f"study-{shown}", progress=shown,
        ),
        "make_atlas": lambda shown: dreamopt.make_atlas(
            network, folder / f"atlas-{shown}", layers=["conv2"], units=1, pieces=["image"], site=False, progress=shown, **small
        ),
        "layer_tuning": lambda shown: layer_tuning(network, "conv1", size=19, orientations=2, frequencies=1, hues=2, progress=shown),
    }  # fmt: skip


CALLS = ("render", "dream", "zoom", "attribute", "compare_attributions", "top", "bench", "make_atlas", "layer_tuning")


@pytest.mark.parametrize("name", CALLS)
def test_a_long_call_shows_a_bar_in_a_terminal_and_nothing_where_it_is_said(
    name: str, network: Network, image: np.ndarray, tmp_path: Path, screen: Callable[[], str]
) -> None:
    call = long_calls(network, image, tmp_path)[name]
    call(False)
    assert screen() == ""
    call(None)
    shown = screen()
    assert "━" in shown
    assert re.search(r"\d+/\d+ (steps|images|passes|runs|results)", shown)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # one bar; the cursor is back


def test_nothing_is_shown_where_nobody_looks(
    network: Network, monkeypatch: pytest.MonkeyPatch, screen: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    def render() -> None:
        dreamopt.render(network, "conv2:3", steps=1, size=(11, 13))

    assert audience.somebody_looks()
    for name, value in (("QUIET_HERE", "true"), ("TERM", "dumb")):
        with monkeypatch.context() as here:
            here.setenv(name, value)
            assert not audience.somebody_looks()
            render()
    with monkeypatch.context() as here:
        here.setattr(audience, "QUIET_PLACES", (places := ("CI", "PYTEST_CURRENT_TEST")))
        assert os.environ.get(places[1])
        assert not audience.somebody_looks()
    with monkeypatch.context() as here:
        here.setattr("multiprocessing.process._parent_process", object())
        assert not audience.somebody_looks()
    monkeypatch.undo()
    render()
    monkeypatch.setattr("sys.stderr", None)
    render()
    assert screen() == ""
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_flag(network: Network) -> None:
    with pytest.raises(UsageError, match="progress must be True, False or None, not 'yes'"):
        dreamopt.render(network, "conv2:3", steps=1, size=(11, 13), progress="yes")  # type: ignore[arg-type]


def test_a_log_has_lines_where_it_is_asked_for(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    dreamopt.render(network, ["conv2:3", "conv2:1"], steps=2, size=(11, 13), progress=True)
    out, err = capsys.readouterr()
    assert not out
    assert re.match(r"4/4 steps, values [-\d., e]+, [\d.]+ steps/s, \d+ images/h, 0 s left\ndreamopt: 2 images in ", err)


def test_work_inside_work_and_what_is_printed_meanwhile_leave_one_whole_bar(
    network: Network, image: np.ndarray, screen: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback that renders, warns and prints: one bar, with the lines above it; the files of the program stay its own."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)  # a file

    def callback(_: object) -> None:
        dreamopt.render(network, "conv2:1", steps=1, size=(11, 13), progress=True)
        dreamopt.attribute(network, image, "fc:2", progress=None)
        print("a result")
        print("a warning", file=sys.stderr)

    dreamopt.render(network, "conv2:3", steps=1, size=(11, 13), callbacks=[callback])
    shown = screen()
    assert shown.count("\x1b[?25l") == 1
    assert "passes" not in shown
    assert out.getvalue() == "a result\n"
    assert re.search(r"\r\x1b\[2K(?:\x1b\[0m)?a warning\n", shown)
    assert shown.rstrip("\n").rpartition("\n")[0].endswith("left")  # the bar's last state, and then the cursor


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_and_an_error_give_the_terminal_back(error: type[BaseException], network: Network, screen: Callable[[], str]) -> None:
    def callback(_: object) -> None:
        raise error

    before = sys.stderr
    if error is KeyboardInterrupt:
        [one] = dreamopt.render(network, "conv2:3", steps=3, size=(11, 13), callbacks=[callback])
        assert one.interrupted
    else:
        with pytest.raises(error):
            dreamopt.render(network, "conv2:3", steps=3, size=(11, 13), callbacks=[callback])
    assert sys.stderr is before
    assert screen().count("\x1b[?25h") == 1
    with surface.surface(True) as shown:
        assert shown.is_shown  # the next one has the terminal


def test_a_notebook_shows_one_place_and_its_markup_alone(network: Network, kernel: list[str]) -> None:
    dreamopt.render(network, "conv2:3", steps=3, size=(11, 13), progress=False)
    assert not kernel
    dreamopt.render(network, "conv2:3", steps=3, size=(11, 13))
    assert kernel[0].startswith('<div>image <progress value="0" max="')
    assert "3/3 steps, value" in kernel[-1]
    found = html(State(3, None, "3 " + HOSTILE, HOSTILE, (HOSTILE,), HOSTILE), 75)
    assert re.sub(r"</?(div|progress)>", "", found).count("<") == 0
    assert "\x1b" not in found


def test_a_terminal_obeys_no_text_from_outside() -> None:
    written = io.StringIO()
    on = Console(file=written, force_terminal=True, width=120, highlight=False, markup=False, emoji=False)
    with terminal.terminal_bar(on) as bar:
        bar.draw(State(1, 3, "1/3", HOSTILE, (HOSTILE, "[red]")))
        bar.note(HOSTILE)
    shown = written.getvalue()
    assert "\x1b[31m\n" not in shown
    assert "alert" in shown
    assert "[red]" in shown


def test_a_bar_is_drawn_when_it_is_time_and_at_the_end() -> None:
    class Drawn(Moving):
        pause = 3600.0

        def __init__(self) -> None:
            super().__init__()
            self.states: list[float] = []

        def draw(self, state: State) -> None:
            self.states.append(state.done)

    def never() -> State:
        raise AssertionError("a state that is not shown is not asked for")

    bar = Drawn()
    bar.offer(lambda: State(1, 9, ""))
    bar.offer(never)
    bar.offer(lambda: State(5, 9, ""))
    bar.offer(lambda: State(6, 9, ""), finished=True)
    bar.offer(lambda: State(7, 9, ""))
    bar.close()
    bar.close()
    assert bar.states == [1, 6, 7]
    Log(first=3600).offer(never)


def test_a_bar_counts_passes_as_the_lines_do(screen: Callable[[], str]) -> None:
    with attributing(True, 30) as report:
        for passes, count in ((10, 10), (None, 40), (20, 5)):
            report.begin("cat.png", passes)
            report.add(count)
    assert "cat.png" in screen()
    assert "55/70 passes" in screen()


PROGRAM = """
import sys
import numpy as np
import dreamopt
dreamopt.top(dreamopt.load_net(device="cpu"), [np.zeros((11, 13, 3), np.uint8)], "conv2:3", k=1)
print("at the end", file=sys.stderr, flush=True)
"""


def test_a_program_in_a_pseudo_terminal() -> None:
    """The bytes that a real terminal gets, from a process of its own: a fork of this one may wait for a thread that it does not have."""
    pty = pytest.importorskip("pty")  # POSIX
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in audience.QUIET_PLACES} | {"TERM": "xterm"}
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # the child has ended
            break
        if not more:
            break
        shown += more
    os.close(ours)
    assert child.wait(timeout=60) == 0, shown
    text = shown.decode()
    assert "1/1 images" in text
    assert text.count("\x1b[?25h") == 1
    assert text.rpartition("\x1b[?25h")[2].strip() == "at the end"  # on a line of its own
