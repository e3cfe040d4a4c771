"""The catalogue of public models: its facts are well formed, its names are forgiving."""

import re

import pytest

from dreamopt.errors import ModelError
from dreamopt.models import load_catalogue, locate
from dreamopt.models.catalogue import CHECKSUMS

LENGTH = {"sha1": 40, "sha256": 64, "sha384": 96}


@pytest.mark.parametrize("name", list(load_catalogue()))
def test_every_entry_is_well_formed(name: str) -> None:
    model = load_catalogue()[name]
    assert model.title
    assert model.home.startswith("http")
    assert model.facts
    assert model.channel_order in {"BGR", "RGB"}
    assert model.mean is None or len(model.mean) == model.input[0]
    for remote in model.files.values():
        assert "/" not in remote.name
        assert remote.urls
        assert all(url.startswith(("http://", "https://")) for url in remote.urls)
        assert set(remote.checksums) <= set(CHECKSUMS)
        for algorithm, digest in remote.checksums.items():
            assert re.fullmatch(rf"[0-9a-f]{{{LENGTH[algorithm]}}}", digest)
    assert len({remote.name for remote in model.files.values()}) == len(model.files)


def test_the_well_known_models_are_there() -> None:
    catalogue = load_catalogue()
    assert {"bvlc_googlenet", "bvlc_alexnet", "bvlc_reference_caffenet", "squeezenet_v1.1", "resnet_50", "densenet_121"} <= set(catalogue)
    assert catalogue["bvlc_googlenet"].files["weights"].checksums["sha1"] == "405fc5acd08a3bb12de8ee5e23a96bec22f08204"


def test_names_forgive_case_and_dashes() -> None:
    assert load_catalogue()["VGG_ILSVRC_16_layers"].name == "vgg_ilsvrc_16_layers"
    assert "ResNet-50" in load_catalogue()


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no model named 'googlnet'; did you mean .*googlenet"):
        load_catalogue()["googlnet"]


def test_a_broken_catalogue_is_one_sentence(tmp_path) -> None:
    broken = tmp_path / "models.toml"
    broken.write_text("[models.x]\ntitle = 'x'\n")
    with pytest.raises(ModelError, match=r"lacks the field 'home'"):
        load_catalogue(broken)
    broken.write_text("[models.x\n")
    with pytest.raises(ModelError, match=r"models.toml' is damaged: .*line 1"):
        load_catalogue(broken)


def test_locate_finds_paths_the_embedded_net_and_says_what_to_fetch(tmp_path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text("name: 'x'")
    assert locate(str(net)).prototxt == str(net)
    assert locate(None).prototxt is None
    assert locate("tiny").prototxt is None
    with pytest.raises(ModelError, match="dreamopt models get bvlc_googlenet"):
        locate("bvlc_googlenet", cache=tmp_path)
    with pytest.raises(ModelError, match="there is no file"):
        locate(str(tmp_path / "absent.prototxt"))
