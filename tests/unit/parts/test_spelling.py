"""What is read of parts' files without loading them is what they are when they are loaded."""

import pytest

from dreamopt.attribution.method import methods
from dreamopt.engine.backward_rule import backward_rules
from dreamopt.image.parametrization import parametrizations
from dreamopt.image.sets import SETS
from dreamopt.image.transform import transforms
from dreamopt.objective import objectives
from dreamopt.optimize.optimizer import optimizers
from dreamopt.parts import spelling
from dreamopt.parts.part import field_names
from dreamopt.recipes.settings import names
from dreamopt.regularizer import regularizers


def test_settings_and_sets() -> None:
    assert list(spelling.setting_names()) == names()
    assert set(spelling.TRANSFORM.others) == set(SETS)


@pytest.mark.parametrize(
    "registry",
    [parametrizations, transforms, optimizers, regularizers, objectives, methods, backward_rules],
    ids=lambda registry: registry.kind,
)
def test_names_and_fields(registry) -> None:  # type: ignore[no-untyped-def]  # of any kind
    kind = spelling.KINDS[registry.kind]
    assert kind.error is registry.error
    assert [plugin.name for plugin in registry if plugin.make.__module__.startswith(registry.package)] == kind.names()
    read = {name: spelling.fields_of(kind, name) for name in kind.names()}
    assert registry is objectives or any(read.values())
    for name, fields in read.items():
        part = registry.get(name).make
        assert fields is None or list(fields) == field_names(part), name
        assert spelling.class_name(kind, name) == part.__name__
