"""Labels files in the forms that people have: read to the right class, or refused, or what does not fit is said."""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dreamopt.cli import cli
from dreamopt.errors import DreamoptError, DreamoptWarning, TargetError, UsageError
from dreamopt.network import load_net
from dreamopt.schema.class_names import Labels, find_label, read_labels, same_class

NAMES = ("tench, Tinca tinca", "goldfish", "great white shark", "crane")
PYTHON = "{0: 'tench, Tinca tinca',\n 1: 'goldfish',\n 2: \"great white shark\",\n 3: 'crane'}"
SSD = """# labels
item { name: "n0" label: 0 display_name: "tench, Tinca tinca" }
item { name: "n1" label: 1 display_name: "goldfish" }
item { name: "n3" label: 3 display_name: "crane" }
item { name: "great white shark" label: 2 }
"""
FORMS = {
    "lines": ("tench, Tinca tinca\ngoldfish\ngreat white shark\ncrane\n\n", "lines"),
    "crlf": ("tench, Tinca tinca\r\ngoldfish \r\ngreat white shark\r\ncrane\r\n", "lines"),
    "old mac": ("tench, Tinca tinca\rgoldfish\rgreat white shark\rcrane", "lines"),
    "space": ("0 tench, Tinca tinca\n1 goldfish\n2 great white shark\n3 crane\n", "numbered lines"),
    "colon": ("0: tench, Tinca tinca\n1: goldfish\n2: great white shark\n3: crane", "numbered lines"),
    "comma": ('0,"tench, Tinca tinca"\n1,goldfish\n2,great white shark\n3,crane', "numbered lines"),
    "tab": ("0\ttench, Tinca tinca\n1\tgoldfish\n2\tgreat white shark\n3\tcrane", "numbered lines"),
    "point": ("0. tench, Tinca tinca\n1. goldfish\n2. great white shark\n3. crane", "numbered lines"),
    "out of order": ("2 great white shark\n\n0 tench, Tinca tinca\n3 crane\n1 goldfish\n", "numbered lines"),
    "places": ("goldfish 1\ntench, Tinca tinca 0\ngreat white shark 2\ncrane 3\n", "lines with numbers"),
    "json list": (json.dumps(NAMES), "JSON"),
    "json object": (json.dumps(dict(enumerate(NAMES))), "JSON"),
    "json inverse": (json.dumps({name: i for i, name in enumerate(NAMES)}), "JSON"),
    "json records": (json.dumps([{"id": i, "name": name} for i, name in enumerate(NAMES)][::-1]), "JSON"),
    "json within": (json.dumps({"model_type": "x", "id2label": dict(enumerate(NAMES))}), "JSON"),
    "python dict": (PYTHON, "Python dict"),
    "python list": (str(list(NAMES)), "Python dict"),
    "labelmap": (SSD, "labelmap"),
    "csv": ('id,name\n0,"tench, Tinca tinca"\n1,goldfish\n3,crane\n2,great white shark\n', "table"),
    "csv without numbers": ("name;seen\ntench, Tinca tinca;yes\ngoldfish;no\ngreat white shark;no\ncrane;yes", "table"),
    "tsv": ("label\tdescription\n0\ttench, Tinca tinca\n1\tgoldfish\n2\tgreat white shark\n3\tcrane", "table"),
}

THREE = ("cat", "dog", "eel")
ODD = {
    "quoted": ('"cat"\n"dog"\n"eel"\n', THREE, "lines"),
    "quoted, commas": ("'cat',\n'dog',\n'eel'\n", THREE, "lines"),
    "commas": ("cat,\ndog,\neel,\n", THREE, "lines"),
    "dashes": ("- cat\n- dog\n- 'eel'\n", ("cat", "dog", "'eel'"), "lines"),
    "quoted rows": ('"1","dog"\n"0","cat"\n"2","eel"\n', THREE, "rows"),
    "quoted rows, number last": ('"cat","0"\n"dog","1"\n"eel","2"\n', THREE, "rows"),
    "pandas": (",name\n1,dog\n0,cat\n2,eel\n", THREE, "table"),
    "SSD's COCO file": ("1,1,cat\n4,2,dog\n9,3,eel\n", THREE, "rows"),
    "arrows": ("0 -> cat\n1 => dog\n2 -> eel\n", THREE, "numbered lines"),
    "comments": ("# the classes\ncat\ndog\n// none\neel\n", THREE, "lines"),
    "comment above numbers": ("# the classes\n0 cat\n1 dog\n2 eel\n", THREE, "numbered lines"),
    "yaml": ("names:\n  0: cat\n  1: dog\n  2: eel\n", THREE, "numbered lines"),
    "blank lines between": ("\ncat\n\ndog\n\neel\n", THREE, "lines"),
    "html": ("Tom &amp; cat\nman&#39;s dog\neel&#27;\n", ("Tom & cat", "man's dog", "eel&#27;"), "lines"),
    "digits": ("0\n1\n2\n", ("0", "1", "2"), "lines"),
    "numbered classes": ("class 0\nclass 1\nclass 2\n", ("class 0", "class 1", "class 2"), "lines"),
    "numbers alone differ": ("0 km\n1 km\n2 km\n", ("0 km", "1 km", "2 km"), "lines"),
    "ages": ("[0-2]\n[4-6]\n[8-12]\n", ("[0-2]", "[4-6]", "[8-12]"), "lines"),
    "signs": ("!\n#\n$\n", ("!", "#", "$"), "lines"),
    "as many classes as lines with comments": ("# sharp\n#1\n// slashes", ("# sharp", "#1", "// slashes"), "lines"),
    "ILSVRC's classes": (
        "n02119789 1 cat\nn02100735 2 dog\nn02096294 3 eel",
        ("n02119789 cat", "n02100735 dog", "n02096294 eel"),
        "numbered synsets",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_forms(tmp_path: Path, name: str) -> None:
    text, names, form = ODD[name]
    path = tmp_path / "labels"
    path.write_text(text, encoding="utf-8")
    assert read_labels(path, {3}) == Labels(names, form)


@pytest.mark.parametrize(("name", "at"), [("abbey", 0), ("airport terminal", 1), ("auklet", 2), ("eel", 3)])
def test_a_class_is_found_without_what_numbers_it(name: str, at: int) -> None:
    assert find_label(("/a/abbey", "/a/airport_terminal", "002.Auklet", "n02119789 eel"), name) == at


def test_bytes_are_names() -> None:
    labels = read_labels(np.array([b"cat", "caf\u00e9".encode()]))
    assert labels is not None
    assert labels.names == ("cat", "caf\u00e9")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_forms(tmp_path: Path, name: str, encoding: str) -> None:
    text, form = FORMS[name]
    path = tmp_path / "labels"
    path.write_bytes(text.encode(encoding))
    assert read_labels(path, {4}) == Labels(NAMES, form)


SYNSETS = ("n01440764 tench, Tinca tinca", "n01443537 goldfish")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("\n".join(SYNSETS), "synset lines"),
        (json.dumps({"0": ["n01440764", "tench, Tinca tinca"], "1": ["n01443537", "goldfish"]}), "JSON"),
        ("0 n01440764 tench, Tinca tinca\n1 n01443537 goldfish", "numbered lines"),
    ],
)
def test_synsets_stay_and_need_not_be_given(tmp_path: Path, text: str, form: str) -> None:
    (tmp_path / "labels").write_text(text)
    labels = read_labels(tmp_path / "labels")
    assert labels == Labels(SYNSETS, form)
    assert [find_label(labels.names, name) for name in ("Tench", "GOLDFISH", "n01443537 goldfish")] == [0, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "0\n1\n2\n3\n",
        "1 cent\n2 cents\n5 cents\n10 cents\n20 cents",
        "0.5 mm\n1.5 mm\n2.5 mm",
        "[a]\n[b\n",
        "7 up\n8 ball",
        "3 a",
        "a 0\nb 7",
    ],
)
def test_names_that_only_look_like_numbered_ones_stay_as_they_are(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_text(text)
    assert read_labels(tmp_path / "labels") == Labels(tuple(text.split("\n")[: text.strip().count("\n") + 1]), "lines")


COCO = "".join(f"{i} c{i}\n" for i in range(1, 13) if i not in (4, 9))
COCO_MAP = "".join(f'item {{ id: {i} name: "c{i}" }} ' for i in range(1, 13) if i not in (4, 9))
MISSING = "has no name for the numbers 4, 9"


def test_numbers_from_one_on(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text(COCO)
    labels = read_labels(path, {12})  # number 1 is the first of the 12 classes
    assert labels is not None
    assert (labels.names[0], labels.names[3], labels.names[11], len(labels.names)) == ("c1", "", "c12", 12)
    assert [MISSING in sentence for sentence in labels.warnings] == [True]
    labels = read_labels(path, {13})  # class 0 is the background
    assert labels is not None
    assert (labels.names[:2], labels.names[12], len(labels.names), len(labels.warnings)) == (("", "c1"), "c12", 13, 1)
    labels = read_labels(path)  # nobody knows
    assert labels is not None
    assert labels.names[0] == "c1"
    assert "counts from 1: its number 1 is taken as the net's class 0" in labels.warnings[1]
    path.write_text(COCO_MAP)  # a labelmap's numbers are the net's own
    for counts, names in (((), ("", "c1")), ({13}, ("", "c1")), ({12}, ("c1", "c2"))):
        labels = read_labels(path, counts)
        assert labels is not None
        assert labels.names[:2] == names


@pytest.mark.parametrize(
    ("names", "counts", "message"),
    [
        (
            ["background", "a", "b", "c"],
            {3},
            "has 4 names, but the net has 3 classes: without the first, 'background', each name would stand",
        ),
        (["a", "b", "c", "d"], {3}, "has 4 names, but the net has 3 classes: one of the names may be for a background"),
        (["a", "b"], {3}, "has 2 names, but the net has 3 classes: the net's class 0 may be the background, which the names leave out"),
        (["a", "b"], {5, 7}, "has 2 names, but the net has 5 or 7 classes: names may stand at the wrong classes"),
    ],
)
def test_another_number_of_names_than_classes_is_a_warning(tmp_path: Path, names: list[str], counts: set[int], message: str) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(names))
    labels = read_labels(tmp_path / "labels.txt", counts)
    assert labels is not None
    assert labels.names == tuple(names)
    [sentence] = labels.warnings
    assert message in sentence


BAD = {
    "twice": ("0 a\n1 b\n1 c\n2 d", "gives the number 1 twice, to 'b' and to 'c'"),
    "no number": ("0 a\n1 b\nc\n3 d\n4 e\n5 f\n6 g", "has a number before each name, but none in line 3"),
    "json": ('{"0": "a", "1": }', "is damaged: .*read as JSON, since it begins with '{' and ends with '}'"),
    "json numbers": ('{"a": {"b": 1}}', "holds JSON that gives no names"),
    "null": ("[null, 1]", "gives no names"),
    "code": ("{0: __import__('os').system('touch PWNED')}", "is damaged"),
    "deep": ("[" * 9999 + "]" * 9999, "is nested deeper than 64"),
    "deep python": ("{" + "(" * 500 + ")" * 500 + "}", "is damaged"),
    "minus": ("{0:" + "-" * 20000 + "1}", "is damaged"),
    "digits": ("{0: " + "9" * 9000 + "}", "is damaged"),
    "huge number": ('{"0": "a", "9999999": "b"}', "has the number 9999999, but classes have numbers from 0 to 999999"),
    "labelmap": ('item { name: "a" label: 1 } item { name: "b" }', "a labelmap some of whose items have a label"),
    "labelmap damaged": ('item { name: "a" label: 1', "has no closing '}'"),
    "net": ('name: "LeNet"\nlayer {\n  name: "data" }', "is a prototxt of a net"),
    "empty": (" \n\n", "is empty"),
    "html": ("<!DOCTYPE html><title>404</title>", "is an HTML page"),
    "binary": ("\x01\x02\x03", "is a binary file, and no text of names"),
    "lfs": ("version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_labels_file_is_a_sentence(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, message = BAD[name]
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(DreamoptError, match=message) as caught:
        read_labels("labels.txt")
    assert "labels.txt" in str(caught.value)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    "text", ["\n" * 400_000, "a" + " " * 400_000 + "b", "0" + " " * 400_000, "1" * 400_000, "#\n" * 200_000, " ,;" * 200_000]
)
def test_no_text_takes_long(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    start = time.process_time()
    with contextlib.suppress(UsageError):
        read_labels(tmp_path / "labels.txt")
    assert time.process_time() - start < 10


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("Löwe\nœuf\n".encode("cp1252"))
    labels = read_labels(tmp_path / "labels.txt")
    assert labels is not None
    assert labels.names == ("Löwe", "œuf")
    assert "is not in UTF-8, and was read as Latin-1" in labels.warnings[0]
    (tmp_path / "labels.txt").write_bytes(b"L\x9dwe\n")  # no character of Windows-1252
    with pytest.raises(UsageError, match="is no text in UTF-8: byte 0x9d in line 1"):
        read_labels(tmp_path / "labels.txt")


def test_names_are_found_with_spaces_for_underscores() -> None:
    assert find_label(("great_white_shark", "", "crane"), "Great white shark") == 0
    with pytest.raises(TargetError, match="no class is called ''"):
        find_label(("a", ""), "")


NET = """input: "data" input_shape { dim: [1, 3, 5, 4] }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def test_the_net_warns_and_inspect_says_the_form(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "labels.txt").write_text(FORMS["colon"][0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*are random")
        network = load_net(tmp_path / "net.prototxt", labels=tmp_path / "labels.txt", device="cpu")
        assert network.labels == NAMES
        with pytest.warns(DreamoptWarning, match="labels have 2 names, but the net has 4 classes"):
            network = load_net(tmp_path / "net.prototxt", labels=["a", "b"], device="cpu")
    assert any("labels have 2 names" in note for note in network.describe()["notes"])
    words = ["inspect", str(tmp_path / "net.prototxt"), "--labels", str(tmp_path / "labels.txt")]
    assert "\nlabels: 4, from numbered lines\n" in CliRunner().invoke(cli, words).stdout
    summary = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert (summary["labels"], summary["labels_form"]) == (4, "numbered lines")


def test_the_same_class_in_another_net() -> None:
    plain = ("tench", "great_grey_owl", "crane", "ruler", "crane", "")
    assert same_class(plain, "n01440764 tench, Tinca tinca") == 0
    assert same_class(plain, "great grey owl, great gray owl, Strix nebulosa") == 1
    assert same_class(plain, "goldfish") is None
    assert same_class(plain, "crane") is None
    assert same_class(plain, "crane", 4) == 4
    assert same_class(plain, "crane", 3) is None
    assert same_class(plain, "") is None
    numbered = ("n02012849 crane", "n03126707 crane", "n01440764 tench, Tinca tinca")
    assert same_class(numbered, "n03126707 crane") == 1
    assert same_class(numbered, "Tinca tinca") == 2
    assert same_class(("maillot", "maillot, tank suit"), "maillot") == 0
    assert [same_class(("Cardigan", "cardigan"), label) for label in ("cardigan", "Cardigan", "CARDIGAN")] == [1, 0, None]
    assert same_class(("maillot", "maillot, tank suit"), "maillot, tank suit") == 1
