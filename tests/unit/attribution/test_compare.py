"""Comparisons of attribution methods: controls, statistics, randomized weights, the pointing set, the command."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from dreamopt import compare_attributions, load_net
from dreamopt.attribution.compare.comparison import Comparison, Sanity
from dreamopt.attribution.compare.contestants import CONTROLS, Contestant, contestants_of, edges, noise
from dreamopt.attribution.compare.masks import mask_at, masks_of
from dreamopt.attribution.compare.pointing import pointing_set
from dreamopt.attribution.compare.randomization import Similarity, cuts, layers_from_the_top, layers_of_score, redrawn, similarity
from dreamopt.attribution.compare.standing import differences, standings
from dreamopt.attribution.metric import parse_metric
from dreamopt.backends.engine import EngineBackend
from dreamopt.cli import main
from dreamopt.data import PROTOTXT
from dreamopt.data.textures import CLASSES, texture_image
from dreamopt.engine.net import Net
from dreamopt.errors import ImageError, ObjectiveError, UsageError
from dreamopt.network import Network
from dreamopt.objectives import Channel
from dreamopt.schema import parse_net

TWO = """name: "two"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 11 } } }
layer { name: "one" type: "Convolution" bottom: "data" top: "one" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "norm" type: "BatchNorm" bottom: "one" top: "norm" }
layer { name: "two" type: "InnerProduct" bottom: "norm" top: "two" inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "aside" type: "InnerProduct" bottom: "one" top: "aside" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""


def two_layers() -> Network:
    return Network(EngineBackend(Net(parse_net(TWO, "two"), seed=3)))


def test_an_edge_detector_by_hand() -> None:
    step = np.zeros((2, 5, 6))
    step[0, :, 3:] = 4  # the channels' mean rises from 0 to 2
    expected = np.zeros((5, 6))
    expected[:, 2:4] = 8  # (1 + 2 + 1) * 2
    assert edges(step).tolist() == expected.tolist()


def test_noise_differs_from_image_to_image_and_not_from_run_to_run() -> None:
    one, same, other = noise((6, 7), 0, 1), noise((6, 7), 0, 1), noise((6, 7), 0, 2)
    assert np.array_equal(one, same)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / math.sqrt(42)


def test_controls_always_take_part() -> None:
    assert [one.name for one in contestants_of(["saliency", "saliency"])] == ["saliency", "random", "sobel"]
    assert {"grad_cam", "lrp", "rise"} <= {one.name for one in contestants_of(None)}
    assert contestants_of(["all"]) == contestants_of(None)
    with pytest.raises(UsageError, match="at least one attribution method"):
        contestants_of([])


def test_similarity_by_hand() -> None:
    first = np.arange(63.0).reshape(7, 9) - 31
    found = similarity(first, -2 * first)
    assert found is not None
    assert (found.rank_abs, found.rank) == pytest.approx((1, -1))
    swapped = first.copy()
    swapped[0, 0], swapped[0, 1] = first[0, 1], first[0, 0]
    found = similarity(first, swapped)
    assert found is not None
    assert found.rank == pytest.approx(1 - 6 * 2 / (63 * (63**2 - 1)))  # Spearman's formula: two places changed by one rank
    assert found.ssim < 1
    assert similarity(first, np.ones((7, 9))) is None
    same = similarity(first, first)
    assert same is not None
    assert (same.rank_abs, same.rank, same.ssim) == pytest.approx((1, 1, 1))


def test_layers_are_redrawn_from_the_top_of_what_the_score_reads() -> None:
    network = two_layers()
    assert layers_from_the_top(network, ["two"]) == ["two", "one"]
    assert layers_from_the_top(network, ["aside"]) == ["aside", "one"]
    assert layers_from_the_top(network, ["one"]) == ["one"]


def test_layers_that_a_channel_does_not_depend_on_are_not_redrawn() -> None:
    network = load_net()
    image = torch.from_numpy(np.random.default_rng(3).normal(0, 60, (2, 3, 96, 96)).astype(np.float32))
    layers = layers_from_the_top(network, ["mixed3"])
    assert layers[0] == "mixed3/pool_proj/scale"
    first = Channel("mixed3", 7).bind(network)  # the Concat's first branch
    assert layers_of_score(network, first, image, layers) == [
        "mixed3/1x1/scale",
        "mixed3/1x1",
        "conv2/scale",
        "conv2",
        "conv1/scale",
        "conv1",
    ]
    assert layers_of_score(network, first, 0 * image[:0], layers) == layers


def test_the_top_layer_of_a_comparison_is_one_of_the_score() -> None:
    found = compare_attributions(load_net(), [texture_image("dots", 1)], "mixed3:7", ["saliency"], metrics=["srg"])
    assert found.sanity.layers[0] == "mixed3/1x1/scale"


def test_a_method_that_fails_with_random_weights_fails_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, whole = load_net(), Contestant.heat_map

    def heat_map(self: Contestant, score: Any, image: Any, number: int) -> Any:
        if score.network is not network:
            raise ObjectiveError("not finite")
        return whole(self, score, image, number)

    monkeypatch.setattr(Contestant, "heat_map", heat_map)
    found = compare_attributions(network, [texture_image("dots", 1)], "mixed3:7", ["saliency"], metrics=["srg"])
    assert set(found.sanity.similarities["saliency"].values()) == {None}
    assert not found.failed


def test_of_a_single_layer_maps_are_compared() -> None:
    found = compare_attributions(load_net(), [texture_image("dots", 1)], "conv1:7", ["lrp"], metrics=["srg"])
    assert list(found.sanity.stages) == ["all"]
    assert found.sanity.similarities["lrp"]["all"] is not None
    assert not any("cannot be compared" in line for line in found.verdict)


def test_nothing_is_kept_of_the_pass_that_finds_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.attribution import attribute

    passes, alive, whole = [], [], attribute.class_pass

    def class_pass(*arguments: Any, **options: Any) -> Any:
        made = whole(*arguments, **options)
        passes.append((weakref.ref(made), made.images.requires_grad))
        return made

    monkeypatch.setattr(attribute, "class_pass", class_pass)
    compare_attributions(
        load_net(),
        [texture_image("dots", 1)],
        None,
        ["saliency"],
        metrics=["srg"],
        sanity=False,
        progress=lambda _: alive.append(passes[0][0]() is not None),
    )
    assert [requires_grad for _, requires_grad in passes] == [False]
    assert alive
    assert not any(alive)


def test_images_are_named_by_their_paths(tmp_path: Path) -> None:
    file = tmp_path / "dots.png"
    Image.fromarray(texture_image("dots", 1)).save(file)
    found = compare_attributions(load_net(), [file, str(file), texture_image("dots", 1)], None, ["saliency"], metrics=["srg"], sanity=False)
    assert found.images == (str(file), str(file), "image 3")


def test_no_metric_is_refused() -> None:
    with pytest.raises(UsageError, match="name at least one metric to compare by"):
        compare_attributions(load_net(), [texture_image("dots", 1)], None, ["saliency"], metrics=[])


def test_names_in_the_table_are_no_formulas(tmp_path: Path) -> None:
    found = made({"saliency": [1, 2]})
    found = replace(found, images=('=HYPERLINK("a,b").png', "b.png"), objectives=("-conv4:7", "conv4:7"))
    rows = list(csv.reader(io.StringIO(found.csv())))
    assert [row[:2] for row in rows[1:]] == [['./=HYPERLINK("a,b").png', "'-conv4:7"], ["b.png", "conv4:7"]]


def test_redrawn_weights_have_the_size_of_what_was_there_and_the_net_stays() -> None:
    network = load_net()
    before = network.weights()
    other = redrawn(network, ["mixed4/3x3"], 0, 0)
    after, again, second = (
        other.weights(),
        redrawn(network, ["mixed4/3x3"], 0, 0).weights(),
        redrawn(network, ["mixed4/3x3"], 0, 1).weights(),
    )
    for name, blobs in before.items():
        same = all(np.array_equal(one, two) for one, two in zip(blobs, after[name], strict=True))
        assert same == (name != "mixed4/3x3")
        assert all(np.array_equal(one, two) for one, two in zip(blobs, network.weights()[name], strict=True))
    old, new = before["mixed4/3x3"][0], after["mixed4/3x3"][0]
    count = new.size
    assert np.square(new).mean() == pytest.approx(np.square(old).mean(), rel=4 * math.sqrt(2 / count))
    assert abs(new.mean()) < 4 * new.std() / math.sqrt(count)
    assert np.array_equal(new, again["mixed4/3x3"][0])
    assert not np.array_equal(new, second["mixed4/3x3"][0])


def test_a_copy_computes_with_its_weights_by_hand() -> None:
    """Of a linear net the gradient is W2 N W1: with another W2, the copy's is that of the other matrix."""
    import torch

    network = two_layers()
    weights = network.weights()
    other = network.with_weights({"two": [2 * weights["two"][0], weights["two"][1] + 1]})
    image = torch.randn(1, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    one, two = (net.activations(image, ["two"])["two"] for net in (network, other))
    torch.testing.assert_close(two, 2 * one + 1, rtol=1e-4, atol=1e-4 * float(one.abs().max()))


def test_backends_that_cannot_copy_a_net_are_named() -> None:
    from tests.unit.attribution.test_metrics import linear

    found = compare_attributions(
        linear(np.ones((3, 9, 11))).network, np.full((9, 11, 3), 130, np.uint8), "sum:0", ["gradient"], metrics=["srg"]
    )
    assert found.sanity.reason == "no layer below the score has weights"
    with pytest.raises(UsageError, match="backend 'function' does not give a net's weights"):
        redrawn(linear(np.ones((3, 9, 11))).network, ["sum"], 0, 0)


def test_stages() -> None:
    assert cuts(26) == [("top", 1), ("half", 13), ("all", 26)]
    assert cuts(2) == [("top", 1), ("all", 2)]
    assert cuts(0) == []


def test_the_sanity_check_names_those_that_ignore_later_layers() -> None:
    """Sixt 2020: guided backpropagation, deconvnet, z+ and excitation backpropagation ignore them, the gradient does not."""
    truth = pointing_set(2)
    methods = ["gradient", "gradient_x_input", "guided_backprop", "deconvnet", 'lrp("z_plus")', "excitation_backprop"]
    found = compare_attributions(load_net(), truth.images, truth.objectives, methods, metrics=["pointing_game"], masks=truth.masks)
    top = {name: by_stage["top"] for name, by_stage in found.sanity.similarities.items()}
    same = {name for name, one in top.items() if one is not None and one.rank_abs >= 0.5}
    assert same == {"guided_backprop", "deconvnet", 'lrp(rules="z_plus")', "excitation_backprop"}
    [line] = [line for line in found.verdict if line.startswith("Ignore the top layer")]
    assert "'scores'" in line
    assert all(name in line for name in same)
    assert ", gradient" not in line
    assert " gradient" not in line.partition("with what they were:")[2].replace("gradient_x", "x")
    half = found.sanity.similarities["guided_backprop"]["half"]
    assert half is not None
    assert half.rank_abs > 0.7
    assert found.sanity.stages == {"top": 1, "half": 20, "all": 41}


def made(values: dict[str, list[float]], **changes: object) -> Comparison:
    """Return a comparison by one metric; names that begin with a control's are controls."""
    controls = {one.name for one in CONTROLS}
    methods = contestants_of([name for name in values if name not in controls])
    by_name = {one.name: one for one in methods}
    array = np.array(list(values.values()))[:, None]
    contestants = tuple(by_name[name] for name in values)
    count = array.shape[2]
    texts = tuple(f"image {i}" for i in range(count)), ("fc:1",) * count, ("a logit",) * count
    given = {"sanity": Sanity(reason="it was not asked for"), "settings": {"seed": 0}} | changes
    return Comparison(contestants, (parse_metric("srg"),), *texts, array, np.ones(array[:, 0].shape), **given)  # type: ignore[arg-type]  # for tests


FLAT = [0.1, -0.1, 0.2, -0.2, 0.1, -0.1, 0.0, 0.0]


def test_a_method_that_is_better_on_every_image_is_called_better() -> None:
    found = made({"grad_cam": [3, 4, 5, 3, 4, 5, 4, 3], "saliency": [1, 2, 3, 1, 2, 1, 2, 1], "random": FLAT, "sobel": FLAT})
    assert found.ranking[:2] == ["grad_cam", "saliency"]
    assert "Of the methods, the highest mean srg is that of grad_cam: 3.875 over 8 images." in found.verdict
    assert any(line.startswith("It is better than each other one") for line in found.verdict)
    assert "All methods are better than a map of noise (random) by srg." in found.verdict
    standing = found.standings["srg"]["grad_cam"]
    assert standing.rank == 1
    assert standing.value.low < 3.875 < standing.value.high


def test_nobody_is_called_best_where_the_difference_covers_zero() -> None:
    found = made({"grad_cam": [3, 1, 5, 1, 4, 1, 4, 1], "saliency": [1, 3, 1, 4, 1, 4, 1, 3], "random": FLAT, "sobel": FLAT})
    assert not any("better than each other" in line for line in found.verdict)
    assert "It is not called best: the interval of its difference covers 0 for saliency." in found.verdict


def test_nobody_is_called_best_of_too_few_images() -> None:
    one = made({"grad_cam": [3], "saliency": [1], "random": [0], "sobel": [2]})
    assert "One image says nothing of others: no method is called best." in one.verdict
    assert "Not better than an edge detector (sobel) by srg, has no higher value: saliency." in one.verdict
    assert "All methods are better than a map of noise (random) by srg on this one image, too few to say so of others." in one.verdict
    few = made({"grad_cam": [3, 3.1, 3.2], "saliency": [1, 1, 1], "random": [0, 0, 0], "sobel": [0, 0, 0]})
    assert any("3 images are too few for it, 6 are the fewest" in line for line in few.verdict)


def test_who_does_not_beat_the_controls_is_named() -> None:
    found = made({"grad_cam": [3, 4, 5, 3, 4, 5, 4, 3], "saliency": FLAT[::-1], "random": FLAT, "sobel": [2, 5, 1, 6, 2, 5, 3, 5]})
    assert any(line.startswith("Not better than a map of noise (random) by srg") and line.endswith(": saliency.") for line in found.verdict)
    assert any(line.startswith("Not better than an edge detector (sobel)") and "grad_cam and saliency" in line for line in found.verdict)


def test_standings_by_hand() -> None:
    values = np.array([[1.0, 4, np.nan], [2, 3, np.nan], [3, 3, np.nan]])
    lower, higher = standings(values, "lower", 0), standings(values, "higher", 0)
    assert [one.rank for one in lower] == [(1 + 3) / 2, (2 + 1.5) / 2, (3 + 1.5) / 2]
    assert [one.rank for one in higher] == [(3 + 1) / 2, (2 + 2.5) / 2, (1 + 2.5) / 2]
    assert [one.value.value for one in lower] == [2.5, 2.5, 3]
    assert {one.images for one in lower} == {2}
    [one] = differences(values[0, :2], [values[1, :2]], "lower", 0)
    assert one.value.value == 0
    assert not one.is_better


def test_table_json_and_csv(tmp_path: Path) -> None:
    sanity = Sanity({"top": 1}, ("fc",), {"grad_cam": {"top": Similarity(0.25, 0.1, 0.5)}, "saliency": {"top": None}})
    found = made({"grad_cam": [3, 4], "saliency": [1, np.nan], "random": [0, 0], "sobel": [0.5, 0]}, sanity=sanity)
    head, rows = found.table()
    assert head == ["method", "srg ^", "s/image", "same, top re-drawn"]
    assert rows[0][0] == "grad_cam"
    assert rows[0][3] == "0.25"
    assert [row[0] for row in rows[2:]] == ["sobel (control)", "random (control)"]
    assert any("cannot be compared: saliency." in line for line in found.verdict)
    assert "grad_cam" in str(found)
    files = found.save(tmp_path / "all.png")
    assert [file.name for file in files] == ["all.json", "all.csv"]
    described = json.loads(files[0].read_text())
    assert described["images"][1]["contestants"]["saliency"]["srg"] is None
    assert described["sanity"]["similarities"]["grad_cam"]["top"]["rank_abs"] == 0.25
    lines = list(csv.DictReader(files[1].read_text().splitlines()))
    assert [(line["image"], line["method"], line["srg"], line["control"]) for line in lines[:4]] == [
        ("image 0", "grad_cam", "3.0", "0"), ("image 0", "saliency", "1.0", "0"), ("image 0", "random", "0.0", "1"), ("image 0", "sobel", "0.5", "1")
    ]  # fmt: skip
    assert lines[5]["srg"] == ""


def test_files_go_into_a_folder_that_is_made_with_the_bytes_of_names(tmp_path: Path) -> None:
    found = replace(made({"saliency": [1, 2]}), images=(os.fsdecode(b"caf\xe9.png"), "b.png"))
    table, rows = found.save(tmp_path / "new" / "deep" / "all")
    assert json.loads(table.read_text())["images"][0]["image"] == os.fsdecode(b"caf\xe9.png")
    assert b"\ncaf\xe9.png,fc:1,saliency," in rows.read_bytes()
    with pytest.raises(ImageError, match=r"b\.json cannot be written"):
        found.save(table / "b")
    for path in (".", "..", "/", ""):
        with pytest.raises(UsageError, match=r"must have a name, to which \.json and \.csv are added"):
            found.save(path)


def test_an_output_without_a_name_is_refused_before_the_first_pass() -> None:
    result = CliRunner().invoke(main, ["attribute", "--compare", "--pointing-set", "1", "-o", "."])
    assert result.exit_code == 2
    assert "must have a name" in result.output
    assert "Traceback" not in result.output


def test_the_pointing_set_is_what_the_net_sees_and_the_same_each_time() -> None:
    truth, again, other = pointing_set(9), pointing_set(9), pointing_set(9, seed=1)
    network = load_net()
    for one, two in zip(truth, again, strict=True):
        assert np.array_equal(one.image, two.image)
        assert one.label in CLASSES
        scores = network.activations(network.from_rgb(one.image)[None], ["scores"])["scores"][0]
        rank = int((scores > scores[CLASSES.index(one.label)]).sum())
        assert rank <= (0 if one.other is None else 2)
        assert 0.15 < one.mask.mean() < 0.25
    assert any(not np.array_equal(one.image, two.image) for one, two in zip(truth, other, strict=True))
    first, second = truth[1], truth[2]
    assert (first.label, first.other) == (second.other, second.label)
    assert np.array_equal(first.image, second.image)
    assert not (first.mask & second.mask).any()
    assert len(pointing_set(3)) == 3


def test_methods_that_know_the_class_point_at_it() -> None:
    """Contrastive excitation backpropagation tells two classes of one image apart; noise hits as often as the mask is large."""
    truth = pointing_set(12)
    found = compare_attributions(
        load_net(),
        truth.images,
        truth.objectives,
        ["contrastive_excitation_backprop", "layercam"],
        metrics=["pointing_game"],
        masks=truth.masks,
        sanity=False,
    )
    assert found.row("contrastive_excitation_backprop").mean() >= 11 / 12
    assert found.row("layercam").mean() >= 10 / 12
    assert found.row("random").mean() <= 8 / 12


def test_masks_go_the_way_of_their_images(tmp_path: Path) -> None:
    mask = np.zeros((40, 80), np.uint8)
    mask[:, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "cat.png")
    image = np.zeros((40, 80, 3), np.uint8)
    at = mask_at(tmp_path / "cat.png", image, (20, 20))  # scaled to 20 by 40, and columns 10 to 30 of it
    assert at[:, :10].all()
    assert not at[:, 10:].any()
    assert np.array_equal(at, mask_at(mask > 0, image, (20, 20)))
    assert masks_of(tmp_path, ["a/cat.jpg", "dog.jpg"]) == [str(tmp_path / "cat.png"), None]
    with pytest.raises(UsageError, match="holds no mask"):
        masks_of(tmp_path, ["dog.jpg"])
    with pytest.raises(ImageError, match=r"cat\.png is 40x80, but its image is 80x40"):
        mask_at(tmp_path / "cat.png", np.zeros((80, 40, 3)), (20, 20))


def test_a_folder_that_cannot_be_looked_into_holds_no_mask() -> None:
    with pytest.raises(UsageError, match="holds no mask"):
        masks_of("x" * 300, ["dog.jpg"])


def test_a_method_that_does_not_fit_is_left_out_with_its_reason() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    text = TWO.replace(
        'bottom: "data" top: "one" convolution_param { num_output: 4 kernel_size: 3',
        'bottom: "data" top: "one" inner_product_param { num_output: 4',
    )
    text = text.replace('type: "Convolution"', 'type: "InnerProduct"')
    network = Network(EngineBackend(Net(parse_net(text, "flat"), seed=3)))
    found = compare_attributions(network, [image], "two:1", ["gradient", "grad_cam"], metrics=["srg(patch=3)"])
    assert found.methods == ["gradient"]
    assert list(found.failed) == ["grad_cam"]
    assert any(line.startswith("grad_cam was left out: ") for line in found.verdict)


def test_what_was_done_remains_when_it_is_stopped() -> None:
    truth = pointing_set(3)
    seen = []

    def stop() -> bool:
        return bool(seen) and seen[-1].what.startswith("image 3")

    found = compare_attributions(
        load_net(),
        truth.images,
        truth.objectives,
        ["saliency"],
        metrics=["srg(steps=4)"],
        names=truth.names,
        progress=seen.append,
        stop=stop,
    )
    assert found.interrupted
    assert len(found.images) == 2
    assert not np.isnan(found.values).any()
    assert found.verdict[0].startswith("It was interrupted")
    assert found.sanity.reason == "it was interrupted before"
    assert all(one.done <= one.total for one in seen)


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "ranked"
    words = [
        "attribute",
        "--compare",
        "--pointing-set",
        "2",
        "-m",
        "saliency",
        "--metric",
        "srg(steps=4)",
        "--metric",
        "pointing_game",
        "-q",
        "-o",
        str(out),
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    for word in (
        "saliency",
        "random (control)",
        "sobel (control)",
        "the highest mean srg",
        "A metric is not the truth",
        "seed 0",
        "baseline mean",
        "a logit",
    ):
        assert word in " ".join(result.output.split())
    described = json.loads(out.with_suffix(".json").read_text())
    assert described["controls"] == ["random", "sobel"]
    assert described["settings"]["metrics"]["srg(steps=4)"] == {"patch": 8, "baseline": "mean", "steps": 4}
    assert len(described["images"]) == 2
    assert out.with_suffix(".csv").is_file()


def test_the_command_on_images_with_masks(tmp_path: Path) -> None:
    truth = pointing_set(1)
    (tmp_path / "masks").mkdir()
    Image.fromarray(truth[0].image).save(tmp_path / "one.png")
    Image.fromarray(truth[0].mask.astype(np.uint8) * np.uint8(255)).save(tmp_path / "masks" / "one.png")
    words = [
        "attribute",
        str(tmp_path / "one.png"),
        "--compare",
        "-t",
        truth[0].objective,
        "-m",
        "contrastive_excitation_backprop",
        "--metric",
        "pointing_game",
    ]
    result = CliRunner().invoke(main, [*words, "--masks", str(tmp_path / "masks"), "--no-sanity", "--json", "-q"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["images"][0]["contestants"]["contrastive_excitation_backprop"]["pointing_game"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--metric", "srg"], "--metric, --masks and --pointing-set go with --compare"),
        (["a.png", "--compare", "--pointing-set", "2"], "--pointing-set brings its own images"),
        (["--compare", "--pointing-set", "2", "--net", str(PROTOTXT)], "leave out --net"),
        (["a.npy", "--compare"], "--compare takes images"),
        (["--compare"], "Missing argument"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["attribute", *words])
    assert result.exit_code == 2
    assert message in result.output


def test_masks_and_images_are_as_many() -> None:
    with pytest.raises(UsageError, match="1 images need as many masks"):
        compare_attributions(load_net(), [np.zeros((96, 96, 3), np.uint8)], masks=[None, None])
    assert Contestant("random").is_control
