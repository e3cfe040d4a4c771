"""The check of a GPU covers every part there is; each makes a problem of the embedded net."""

from pathlib import Path

import dreamopt
from benchmarks.gpu_parts import CLASSIFIER, LAYERS, ROLES, SIZE, problems, uncovered
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.testing import registries
from dreamopt.testing.bench import example_values


def test_every_part_is_checked() -> None:
    assert uncovered() == {kind: [] for kind in ROLES}
    assert set(ROLES) <= set(registries())


def test_every_example_makes_a_problem_of_the_embedded_net(tmp_path: Path) -> None:
    net = dreamopt.load_net(device="cpu")
    names = []
    for name, arguments in problems(example_values(net, tmp_path, LAYERS, CLASSIFIER)):
        parse_optimizer(arguments.pop("optimizer"))
        dreamopt.Problem(net, size=SIZE, **arguments)
        names.append(name)
    assert len(names) == sum(len(registries()[kind].built_in()) for kind in ROLES)
