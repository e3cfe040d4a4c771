"""What somebody new writes in Python: presets by name, and names that other libraries use."""

import copy
import pickle

import pytest

import dreamopt
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.optimize import Adam
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.regularizers import L2


def test_a_name_of_another_library_is_answered_with_ours() -> None:
    for name in ("lr", "learning_rate", "stepsize"):
        with pytest.raises(TypeError, match=f"Adam has no parameter '{name}'.*did you mean step_size"):
            Adam(**{name: 3})
        with pytest.raises(DreamoptError, match="did you mean step_size"):
            parse_optimizer(f"adam({name}=2)")
    with pytest.raises(TypeError, match=r"L2 has no parameter 'wieght' .did you mean weight"):
        L2(wieght=1)  # type: ignore[call-arg]  # on purpose
    assert copy.deepcopy(Adam(step_size=3)) == pickle.loads(pickle.dumps(Adam(3))) == Adam(3)


def test_presets_by_name() -> None:
    assert "lucid2017" in [one.name for one in dreamopt.presets()]
    net = dreamopt.load_net()
    [one] = dreamopt.render(net, "conv2:3", preset="simonyan2014", steps=1, size=24)
    assert "Plain(" in str(one.metadata["problem"]["optimizer"])
    with pytest.raises(UsageError, match=r"'iterations' .did you mean steps"):
        dreamopt.render(net, "conv2:3", iterations=3)
    with pytest.raises(UsageError, match=r"network must be a Network, from dreamopt.load_net.*, not 'net.prototxt'"):
        dreamopt.render("net.prototxt", "conv2:3", steps=1)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(UsageError, match="a preset or settings"):
        dreamopt.render(net, "conv2:3", dreamopt.recipes.Settings(), preset="simonyan2014")


def test_dir_shows_what_is_for_users() -> None:
    assert dir(dreamopt) == sorted(dreamopt.__all__)
