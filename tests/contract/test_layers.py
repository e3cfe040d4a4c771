"""Every layer type of the package does what its kind promises, with every example of it: a new type joins by its file."""

import pytest

from dreamopt.schema.labels import TYPES_WITH_WEIGHTS
from dreamopt.testing.layers import LayerCase, built_in_layers, layer_cases


@pytest.mark.parametrize("case", [pytest.param(case, id=str(case)) for case in layer_cases()])
def test_layer(case: LayerCase) -> None:
    case.run()


def test_the_reader_and_the_classes_agree_on_weights() -> None:
    built_in = {part.__name__: part for part in built_in_layers()}
    assert len(built_in) > 70
    assert [name for name in sorted(TYPES_WITH_WEIGHTS) if not built_in[name].has_weights] == []
