"""The check of a GPU covers every part there is; on the CPU it finds no difference."""

from benchmarks.gpu_parts import uncovered


def test_every_part_is_checked() -> None:
    assert uncovered() == {kind: set() for kind in uncovered()}
