"""A terminal never obeys a file: the command line in a pseudo-terminal, on files and servers that try, prints their escape sequences as text."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pty = pytest.importorskip("pty")  # POSIX

# The window's title, the clipboard, clear the screen, a report that is typed for the user, a device string, one of C1's, a bell, a backspace,
# marks that turn the direction of writing round, markup of rich.
HOSTILE = (
    "\x1b]0;mine\x07\x1b]52;c;bWluZQ==\x07\x1b[2J\x1b[6n\x1bPq\x1b\\\x9b2J\x85\x07\x08\r\u202emine\u2066\u200f[red]m[/red][/nope]:cat:"
)
QUOTED = "".join(f"\\{byte:03o}" for byte in HOSTILE.encode())
"""As a prototxt writes it."""
LAYER = f"conv{HOSTILE}"
NET = f"""
name: "net{QUOTED}"
layer {{ name: "data{QUOTED}" type: "Input" top: "data{QUOTED}" input_param {{ shape {{ dim: 1 dim: 3 dim: 12 dim: 14 }} }} }}
layer {{ name: "conv{QUOTED}" type: "Convolution" bottom: "data{QUOTED}" top: "conv{QUOTED}"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu{QUOTED}" type: "ReLU" bottom: "conv{QUOTED}" top: "conv{QUOTED}" }}
layer {{ name: "fc" type: "InnerProduct" bottom: "conv{QUOTED}" top: "fc"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
"""
DRIVER = """
import json, sys
import dreamopt.models
from dreamopt.cli import cli
from dreamopt.models import load_catalogue
commands, catalogue = json.loads(open(sys.argv[1]).read())
dreamopt.models.load_catalogue = lambda: load_catalogue(catalogue)
for number, command in enumerate(commands):
    print(f"#{number}", flush=True)
    try:
        cli.main(command, prog_name="dreamopt")
    except SystemExit as end:
        print(f"={end.code}", flush=True)
"""


def in_terminal(commands: list[list[str]], folder: Path, **environment: str) -> list[tuple[int, str]]:
    """Return the exit code of each command, and what it printed into the terminal."""
    (folder / "commands.json").write_text(json.dumps([commands, str(folder / "models.toml")]))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder / "commands.json")],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "200", **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so that the other side was closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(60) == 0, shown.decode(errors="replace")
    parts = re.split(r"^#\d+\r\n", shown.decode(), flags=re.MULTILINE)[1:]
    assert len(parts) == len(commands)
    return [(int(part.rpartition("\r\n=")[2]) if "\r\n=" in part else int(part.removeprefix("=")), part) for part in parts]


def harmful(text: str) -> set[str]:
    """Return the characters that a terminal obeys, but for line ends."""
    return {c for c in text.replace("\r\n", "\n") if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.wfile.write(f"HTTP/1.1 404 {HOSTILE.replace(chr(13), '')}\r\nContent-Length: 0\r\n\r\n".encode())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}/"
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from dreamopt.schema import write_weights
    from dreamopt.schema.layer_weights import LayerWeights

    folder = tmp_path_factory.mktemp("hostile")
    (folder / "net.prototxt").write_text(NET)
    (folder / "unknown.prototxt").write_text(NET.replace('"ReLU"', f'"R{QUOTED}"'))
    (folder / "broken.prototxt").write_text(NET + f'layer {{ name{HOSTILE}: "x" }}')
    (folder / f"na{HOSTILE}me.prototxt".replace("/", "")).write_text(NET)
    (folder / "binary.txt").write_text("\n".join(f"class {i}{HOSTILE}" for i in range(5)))
    shown = "".join(c for c in HOSTILE if c.isprintable() or c > "\x85")  # the reader refuses the others, and splits lines at some
    (folder / "labels.txt").write_text("\n".join(f"class {i}{shown}" for i in range(5)))
    unused = LayerWeights(f"unused{HOSTILE}", "Convolution", [np.ones((1, 2, 3, 5), np.float32)])
    write_weights(folder / "net.caffemodel", [unused])
    quoted = json.dumps(HOSTILE)
    (folder / "models.toml").write_text(
        f"[models.toy]\ntitle = {quoted}\nhome = {quoted}\nlicence = {quoted}\ninput = [3, 12, 14]\nlayers = [{quoted}]\nfacts = [{quoted}]\n"
        + "".join(
            f'[models.toy.{role}]\nname = "{role}"\nurls = ["{server}{role}"]\nmember = {quoted}\n' for role in ("prototxt", "weights")
        )
    )
    text = PngInfo()
    text.add_itxt("dreamopt", json.dumps({"dreamopt": HOSTILE, "format": HOSTILE, "target": HOSTILE, "load": {"net": HOSTILE}}))
    Image.fromarray(np.zeros((12, 14, 3), np.uint8)).save(folder / "wrong.png", pnginfo=text)
    return folder


def spoil(folder: Path, image: str) -> None:
    """Write hostile texts into the metadata of an image that the command line has made."""
    from dreamopt.image.files import read_metadata, read_written, write_image

    metadata = dict(read_metadata(folder / image))
    for key in ("dreamopt", "command"):
        if isinstance(metadata.get(key), str):
            metadata[key] = HOSTILE
    metadata["made_with"] = dict.fromkeys(metadata["made_with"], HOSTILE)
    write_image(folder / image, read_written(folder / image), metadata)


SMALL = ("--steps", "2", "--net", "net.prototxt", "--labels", "labels.txt", "--device", "cpu")
COMMANDS: list[tuple[int, list[str]]] = [
    (0, ["inspect", "net.prototxt", "--labels", "labels.txt", "--weights", "net.caffemodel", "--device", "cpu"]),
    (0, ["inspect", "net.prototxt", "--json", "--device", "cpu"]),
    (2, ["inspect", "net.prototxt", "--labels", "binary.txt", "--device", "cpu"]),
    (0, ["inspect", "unknown.prototxt", "--device", "cpu"]),
    (1, ["inspect", "broken.prototxt", "--device", "cpu"]),
    (0, ["inspect", f"na{HOSTILE}me.prototxt".replace("/", ""), "--device", "cpu"]),
    (1, ["inspect", f"missing{HOSTILE}.prototxt"]),
    (1, ["inspect", "net.prototxt", "--weights", f"missing{HOSTILE}", "--device", "cpu"]),
    (0, ["render", "-t", f"{LAYER}:1", "-t", "fc:3", "-o", "out.png", *SMALL]),
    (0, ["render", "-t", "fc:2", "-o", "one.png", "--json", *SMALL]),
    (0, ["top", ".", "-t", f"{LAYER}:1", "-t", "fc:3", "-o", f"top{HOSTILE}".replace("/", ""), "--no-render", *SMALL]),
    (2, ["top", f"missing{HOSTILE}", "-t", "fc:3", "-o", "top", *SMALL]),
    (1, ["render", "-t", f"cnv{HOSTILE}:1", "-o", "bad.png", *SMALL]),
    (1, ["render", "-t", "fc:class 9", "-o", "bad.png", *SMALL]),
    (2, ["render", "-t", "fc:2", "--set", f"steps={HOSTILE}", "-o", "bad.png", *SMALL]),
    (2, ["render", "-t", "fc:2", "--size", HOSTILE, "-o", "bad.png"]),
    (2, ["render", "-t", "fc:2", "--backend", HOSTILE]),
    (2, ["render", "-t", "fc:2", "--preset", HOSTILE, "-o", "bad.png"]),
    (2, ["replay", "wrong.png"]),
    (2, [f"--{HOSTILE}"]),
    (2, [HOSTILE]),
    (2, ["inspect", "tiny", HOSTILE]),
    (2, ["inspect", f"--{HOSTILE}"]),
    (2, ["demo", "--steps", HOSTILE]),
    (2, ["presets", "show", HOSTILE]),
    (0, ["presets"]),
    (0, ["models"]),
    (0, ["models", "--json"]),
    (0, ["models", "show", "toy"]),
    (1, ["models", "show", HOSTILE]),
    (1, ["models", "get", "toy", "--cache", "cache"]),
]


@pytest.fixture(scope="module")
def shown(folder: Path) -> list[tuple[int, str]]:
    return in_terminal([command for _, command in COMMANDS], folder, TERM="dumb", NO_COLOR="1")


@pytest.mark.parametrize(
    "number", range(len(COMMANDS)), ids=[" ".join(command).encode("unicode_escape").decode()[:60] for _, command in COMMANDS]
)
def test_nothing_that_a_terminal_obeys_is_printed(shown: list[tuple[int, str]], number: int) -> None:
    code, text = shown[number]
    assert code == COMMANDS[number][0], text
    assert "Traceback" not in text
    assert harmful(text) == set(), text


def test_names_are_shown_as_text(shown: list[tuple[int, str]]) -> None:
    for number in (0, 1, 3, 10):
        text = re.sub(r"\s+", "", shown[number][1])
        assert r"\x1b]0;mine\x07" in text or r"\u001b]0;mine\u0007" in text
    assert "[red]m[/red][/nope]:cat:" in shown[0][1]


def test_a_colour_terminal_gets_the_programs_own_sequences_alone(shown: list[tuple[int, str]], folder: Path) -> None:
    spoil(folder, "one.png")
    replay = ["replay", "one.png", "--net", "net.prototxt", "--labels", "labels.txt", "--device", "cpu"]
    results = in_terminal([COMMANDS[0][1], [*COMMANDS[8][1], "--force"], ["models"], replay], folder, TERM="xterm-256color", COLORTERM="")
    for code, text in results:
        own = r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?[AK]|\r"  # styles, the cursor of a progress bar and its line
        assert harmful(re.sub(own, "", text)) == set(), text
        assert code == 0, text
    assert "the same pixels" in results[-1][1]
    assert r"\x1b]0;mine\x07" in results[-1][1]


def test_a_traceback_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    from dreamopt.cli.echo import show_traceback

    try:
        raise ValueError(f"one\ntwo{HOSTILE}")
    except ValueError as error:
        show_traceback(type(error), error, error.__traceback__)
    text = capsys.readouterr().err
    assert harmful(text) == set()
    assert "\n    raise ValueError(" in text
    assert r"two\x1b]0;mine" in text


def test_the_log_of_the_drop_in_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    import dreamopt.caffe as caffe

    with caplog.at_level("INFO", "dreamopt.caffe"):
        caffe.log(f"100%s{HOSTILE}")
    assert harmful(caplog.text) == set()
    assert r"100%s\x1b]0;mine" in caplog.text
