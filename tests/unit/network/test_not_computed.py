"""Layers that a target does not need: the net is cut below what cannot be computed, and says so."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.cli import cli
from dreamopt.engine import Net
from dreamopt.engine.computable import computable
from dreamopt.errors import NetError, ShapeError, TargetError, UnknownLayerError
from dreamopt.network import Network, load_net
from dreamopt.recipes.inspect import inspect
from dreamopt.schema import parse_net, read_net
from tests.support.nets import conv, image_input, layer, python_layer

BELOW = image_input(shape=(1, 3, 12, 9)) + conv("one", "data", 6, "kernel_size: 3 pad: 1", relu=True) + conv("scores", "one", 4)
ABOVE = (
    layer("pool", "ROIPooling", "one rois", more="roi_pooling_param { pooled_w: 2 pooled_h: 2 }")
    + layer("fc", "InnerProduct", "pool", more="inner_product_param { num_output: 5 }")
    + layer("prob", "Softmax", "fc", "probabilities")
)
CUTS = {
    "Python": (
        python_layer("proposal", "ProposalLayer", "scores", "rois", module="rpn.proposal_layer"),
        r"layer 'proposal' \(Python\) runs code of the module 'rpn.proposal_layer': pass allow_python_layers=True \(--allow-python-layers\)",
    ),
    "refused": (layer("proposal", "Proposal", "scores", "rois"), "has the type 'Proposal', which is not built in: it chooses boxes"),
    "unknown": (layer("proposal", "Fork", "scores", "rois"), "layer 'proposal' has the unknown type 'Fork'"),
    "bad parameters": (
        layer("proposal", "Convolution", "scores", "rois", more="convolution_param { num_output: 0 kernel_size: 1 }"),
        r"layer 'proposal' \(Convolution\): num_output is missing or 0",
    ),
    "shapes that do not fit": (
        layer("proposal", "Eltwise", "scores one", "rois"),
        r"layer 'proposal' \(Eltwise\): ",
    ),
    "a word that it does not take": (
        layer("proposal", "Pooling", "scores", "rois", more="pooling_param { pool: MEDIAN kernel_size: 2 }"),
        "layer 'proposal': 'pool' is 'MEDIAN'",
    ),
    "a filler that nobody knows": (
        conv("proposal", "scores", 5).replace("xavier", "orthogonal").replace('top: "proposal"', 'top: "rois"'),
        "orthogonal",
    ),
}


def load(tmp_path: Path, text: str, weights: Path | None = None, **options: object) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_net(path, weights, device="cpu", **options)  # type: ignore[arg-type]


def images(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, 12, 9, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("what", CUTS)
def test_what_lies_below_is_computed_and_the_rest_is_named(tmp_path: Path, what: str) -> None:
    text, reason = CUTS[what]
    net, truth = load(tmp_path, BELOW + text + ABOVE), Net(parse_net(BELOW), seed=0)
    x = images()
    for name in ("one", "one_relu", "scores"):
        assert torch.equal(net.activations(x, [name])[name], truth.program([name])({"data": x})[name])
    assert [info.name for info in net.layers if not info.added] == ["data", "one", "one_relu", "scores"]
    assert list(net.not_computed) == ["proposal", "pool", "fc", "prob"]
    line = 1 + BELOW.count("\n")
    for name, blob in {"proposal": "rois", "pool": "pool", "fc": "fc", "prob": "probabilities"}.items():
        needs = "" if name == "proposal" else ", since it needs 'proposal'"
        for target in dict.fromkeys((name, blob)):
            with pytest.raises(TargetError, match=rf"^'{name}' is not computed{needs}: .*net\.prototxt:{line}: .*{reason}"):
                net.shape_of(target)


@pytest.mark.parametrize("what", CUTS)
def test_inspect_lists_them(tmp_path: Path, what: str) -> None:
    net = load(tmp_path, BELOW + CUTS[what][0] + ABOVE)
    listed = json.loads(json.dumps(inspect(net)))["not_computed"]
    assert [(entry["name"], entry["needs"]) for entry in listed] == [
        ("proposal", ""),
        ("pool", "proposal"),
        ("fc", "proposal"),
        ("prob", "proposal"),
    ]
    assert listed[1]["type"] == "ROIPooling"
    assert listed[1]["place"].endswith(f"net.prototxt:{2 + BELOW.count(chr(10))}")
    output = called("inspect", tmp_path / "net.prototxt").output
    [line] = [line for line in output.splitlines() if line.startswith("not computed: ")]
    assert line.endswith("; with it, what needs it: pool, fc, prob")
    assert "'proposal'" in line


def test_weights_of_layers_that_are_not_computed_are_not_called_unused(tmp_path: Path) -> None:
    whole = (
        BELOW
        + layer("proposal", "Flatten", "scores", "rois")
        + layer("fc", "InnerProduct", "rois", more="inner_product_param { num_output: 5 }")
    )
    weights = tmp_path / "net.caffemodel"
    Net(parse_net(whole), seed=4).save(weights)
    net = load(tmp_path, whole.replace("Flatten", "Fork"), weights)
    assert net.backend.weights_report.loaded == ("one", "scores")
    assert not net.backend.unused_layers
    assert not net.backend.weights_report.unused
    assert not net.notes


def test_an_unknown_layer_in_place_takes_the_blob_with_it(tmp_path: Path) -> None:
    net = load(tmp_path, BELOW.replace('"one_relu" type: "ReLU"', '"one_relu" type: "Fork"'))
    assert list(net.not_computed) == ["one_relu", "scores"]
    assert net.shape_of("one") == (6, 12, 9), "the layer's own name means what it wrote"
    renamed = BELOW.replace('name: "one"', 'name: "first"').replace('"one_relu" type: "ReLU"', '"one_relu" type: "Fork"')
    net = load(tmp_path, renamed)
    assert net.shape_of("first") == (6, 12, 9)
    with pytest.raises(TargetError, match=r"^'one_relu' is not computed: "):
        net.shape_of("one")


def test_each_top_is_named(tmp_path: Path) -> None:
    net = load(tmp_path, BELOW + layer("boxes", "Fork", "scores", "a b"))
    for target in ("boxes", "boxes[1]", "a", "b"):
        with pytest.raises(TargetError, match=r"^'boxes' is not computed: "):
            net.resolve(target)
    with pytest.raises(TargetError, match="the net has no layer 'c'"):
        net.resolve("c")


def test_several_reasons_are_kept_apart(tmp_path: Path) -> None:
    net = load(
        tmp_path, BELOW + layer("a", "Fork", "one") + layer("b", "Spoon", "scores") + layer("c", "Eltwise", "b a") + layer("d", "ReLU", "a")
    )
    assert [(entry.name, entry.needs) for entry in net.left_out] == [("a", ""), ("b", ""), ("c", "b"), ("d", "a")]


def test_a_net_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    data = image_input()
    with pytest.raises(UnknownLayerError, match=r"net\.prototxt:2: layer 'a' has the unknown type 'Fork'"):
        load(tmp_path, data + layer("a", "Fork", "data") + layer("b", "ReLU", "a"))
    with pytest.raises(ShapeError, match=r"net\.prototxt:2: layer 'a' \(Convolution\): num_output is missing"):
        load(tmp_path, data + layer("a", "Convolution", "data", more="convolution_param { kernel_size: 1 }"))
    with pytest.raises(NetError, match=r"net\.prototxt:2: layer 'a' \(Python\) runs code of the module 'm'"):
        load(tmp_path, data + python_layer("a", "A", "data", module="m"))


def test_a_layer_between_input_and_target_is_an_error_on_the_drop_in(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(BELOW + CUTS["unknown"][0] + ABOVE)
    with pytest.raises(UnknownLayerError, match="unknown type 'Fork'"):
        dreamopt.caffe.Net(path, dreamopt.caffe.TEST)


def test_splits_are_those_of_the_net_that_is_left(tmp_path: Path) -> None:
    net = load(tmp_path, BELOW + layer("a", "Fork", "one"))
    assert not [info.name for info in net.layers if info.added], "only one reader of each blob is left"


@pytest.mark.parametrize("what", ["Python", "refused"])
def test_the_caffe_backends_cut_likewise(tmp_path: Path, what: str) -> None:
    """What has Caffe's API stands for Caffe here; it aborts on neither layer, since it never gets them."""
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(BELOW + CUTS[what][0] + ABOVE)
    Net(parse_net(BELOW), seed=2).save(weights)
    net = Network(CaffeBackend(read_net(path), weights, InProcess("cpu", dreamopt.caffe)))
    truth = load_net(path, weights, device="cpu")
    x = images()
    assert torch.allclose(net.activations(x, ["scores"])["scores"], truth.activations(x, ["scores"])["scores"], rtol=1e-4, atol=1e-5)
    assert list(net.not_computed) == ["proposal", "pool", "fc", "prob"]
    assert [entry.needs for entry in net.left_out] == ["", "proposal", "proposal", "proposal"]
    if what == "Python":
        assert net.not_computed == truth.not_computed
        with pytest.raises(TargetError, match=r"^'fc' is not computed, since it needs 'proposal'"):
            net.resolve("fc")


# ---- inputs without a shape

TWO = (
    layer("source", "Python", "", "data im_info gt_boxes", more='python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" }')
    + conv("one", "data", 6, "kernel_size: 3 pad: 1")
    + layer("anchors", "Concat", "im_info gt_boxes", "targets")
    + layer("both", "Eltwise", "one targets")
)


def test_a_python_data_layer_is_an_input_of_the_shape_that_is_given(tmp_path: Path) -> None:
    with pytest.raises(
        NetError, match=r"net\.prototxt:1: layer 'source' \(Python\) fills the blob 'data' .* \(--input-shape data=3x224x224\)"
    ):
        load(tmp_path, TWO)
    net = load(tmp_path, TWO, input_shape=(1, 3, 12, 9))
    assert net.input_name == "data"
    assert net.shape_of("one") == (6, 12, 9)
    assert [(entry.name, entry.needs) for entry in net.left_out] == [
        ("source", ""),
        ("source", ""),
        ("anchors", "source"),
        ("both", "source"),
    ]
    with pytest.raises(
        TargetError, match=r"^'anchors' is not computed, since it needs 'source': .* fills the blob 'im_info' with data whose"
    ):
        net.resolve("anchors")
    whole = load(
        tmp_path, TWO.replace("Eltwise", "Concat"), input_shape={"data": (1, 3, 12, 9), "im_info": (1, 3, 12, 9), "gt_boxes": (1, 2, 12, 9)}
    )
    assert whole.shape_of("both") == (11, 12, 9)


def test_the_drop_in_says_that_a_shape_serves(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TWO)
    with pytest.raises(NetError, match=r"it brings data: input_shape=\{'data': \(1, 3, 224, 224\)\} makes an input of it"):
        dreamopt.caffe.Net(path, dreamopt.caffe.TEST)


def test_reading_refuses_them_unless_asked_otherwise(tmp_path: Path) -> None:
    text = image_input() + layer("info", "Input", "", "info") + layer("r", "ReLU", "data") + layer("s", "ReLU", "info")
    with pytest.raises(NetError, match="gives no shape for 'info'"):
        parse_net(text)
    net = parse_net(text, partial=True)
    assert [layer_.name for layer_ in net.param.layer] == ["data", "r"]
    assert [entry.name for entry in net.not_computed] == ["info", "s"]


def test_computable_leaves_a_whole_net_as_it_is() -> None:
    net = parse_net(BELOW)
    assert computable(net, "TEST") is net
    assert computable(parse_net(BELOW + layer("end", "EuclideanLoss", "one one", "")), "TEST").not_computed == []


# ---- the command line


def called(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_command_line_allows_python_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a file never does: an image made with them is made again only where the option is given again."""
    monkeypatch.delenv("DREAMOPT_ALLOW_PYTHON_LAYERS", raising=False)
    path, weights, out = tmp_path / "net.prototxt", tmp_path / "net.caffemodel", tmp_path / "out.png"
    path.write_text(BELOW + python_layer("ten", "Tenfold", "scores"))
    Net(path, seed=1, allow_python_layers=True).save(weights)
    options = ["--weights", weights, "--device", "cpu"]
    refused = called("render", "--net", path, *options, "-t", "ten:1", "--steps", 2, "-o", out, "-q")
    assert refused.exit_code == 1
    assert "'ten' is not computed: " in refused.output
    assert "--allow-python-layers" in refused.output
    listed = json.loads(called("inspect", path, *options, "--json", "--allow-python-layers").output)
    assert [entry["name"] for entry in listed["layers"]][-1] == "ten"
    assert not listed["not_computed"]
    done = called("render", "--net", path, *options, "-t", "ten:1", "--steps", 2, "-o", out, "-q", "--allow-python-layers")
    assert done.exit_code == 0, done.output
    assert "allow_python_layers" not in json.dumps(dreamopt_metadata(out)["load"])
    again = ["replay", out, "-q", "--net", path, "--weights", weights, "-o", tmp_path / "again.png"]
    assert "--allow-python-layers" in called(*again).output
    replayed = called(*again, "--allow-python-layers")
    assert replayed.exit_code == 0, replayed.output
    assert "the same pixels" in replayed.output


def dreamopt_metadata(path: Path) -> dict[str, object]:
    from dreamopt.image.files import read_metadata

    return dict(read_metadata(path))


def test_a_larger_size_reaches_what_lies_below_a_layer_that_it_does_not_fit(tmp_path: Path) -> None:
    text = BELOW + layer("fc", "InnerProduct", "scores", more="inner_product_param { num_output: 5 }") + layer("prob", "Softmax", "fc")
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    done = called("render", "--net", path, "--device", "cpu", "-t", "scores:1", "--steps", 2, "--size", 23, "-o", tmp_path / "o.png", "-q")
    assert done.exit_code == 0, done.output
    refused = called(
        "render", "--net", path, "--device", "cpu", "-t", "fc:1", "--steps", 2, "--size", 23, "-o", tmp_path / "none.png", "-q"
    )
    assert refused.exit_code == 1
    assert "layer 'fc' (InnerProduct)" in refused.output
