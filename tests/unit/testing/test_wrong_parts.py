"""One part of each kind that docs/extend describes, made wrong in one place: the check says what does not hold, in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dreamopt.testing import check_file
from tests.support.documents import DOCS, blocks

WRONG = {
    "objective": ("flatten(1).amax(1)", "amax()", "must return one value per item, a tensor of shape (3,), not ()"),
    "regularizer": (".square().flatten(1).mean(1)", ".square().mean()", "must return one value per item, a tensor of shape (2,), not ()"),
    "optimizer": ("gradient.sign(), state", "gradient.mean().sign(), state", "sample 0 alone and in the batch: the two differ"),
    "schedule": (
        "return min(self.start, self.end), max(self.start, self.end)",
        "return self.start, self.start",
        "at step 1 of 2 it gives 4.5, but value_range() says 8 to 8",
    ),
    "transform": ('stream.uniform("brightness", -1, 1, 1)[0]', "float(torch.rand(1))", "sample 0 alone and in the batch: the two differ"),
    "parametrization": ("torch.stack([stream.normal", "0 * torch.stack([stream.normal", "two samples start from the same parameters"),
    "backward-rule": ("return [own + self.slope * (grad[0] - own)]", "return [own.sum(1)]", "returned a gradient of shape (3, 9, 8)"),
    "attribution-method": ("Maps(gradient.abs()", "Maps(-gradient.abs()", "it says that it has no sign, and has values below 0"),
    "attribution-metric": ("return subject.value -", "return -subject.value +", "and higher is better"),
    "measure": (".mean())", ".sum())", "462.0 is not from 0 to 1"),
    "layer": (".sin().square()", ".sin().square().detach()", "the gradient is not that of finite differences"),
    "backend": (
        'name = "mirror"',
        'name = "mirror"\n    def activations(self, x, layers, **more):\n        return super().activations(1.01 * x, layers, **more)',
        "the value of 'conv' is off the engine's by 0.01 of its size; allowed is 0.0001",
    ),
    "preset": ("steps = 300", "step = 300", "there is no setting 'step' (did you mean steps?)"),
    "atlas-piece": (
        'task.settings["order"]))',
        'task.settings["order"])) / len(task.units)',
        "unit 0 of 'conv1' is another when it is done unit by unit",
    ),
}
"""By page, what is written, what stands in its place, and what the first failure says."""


def test_there_is_one_of_each_kind() -> None:
    assert sorted(WRONG) == sorted(page.stem for page in (DOCS / "extend").glob("*.md") if page.stem != "index")


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_part_fails_with_a_sentence(kind: str, tmp_path: Path) -> None:
    right, wrong, sentence = WRONG[kind]
    page = DOCS / "extend" / f"{kind}.md"
    code = next(block for block in blocks(page, "toml" if kind == "preset" else "python") if right in block)
    path = tmp_path / ("wrong.toml" if kind == "preset" else f"wrong_{kind.replace('-', '_')}.py")
    # Unregistered: the check makes it known by its name while it runs, and this process goes on.
    path.write_text(re.sub(r"^@(\w+\.)?register\n", "", code.replace(right, wrong), flags=re.MULTILINE), encoding="utf-8")
    failures = [failure for part in check_file(path) for failure in part.failures]
    assert failures
    assert all("\n" not in failure.problem and 20 < len(failure.problem) < 600 for failure in failures)
    assert sentence in failures[0].problem
