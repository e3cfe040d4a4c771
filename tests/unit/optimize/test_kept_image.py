"""The image that projections leave is what the next step evaluates: resumed runs, single samples, stopped ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamopt import load_net
from dreamopt.errors import UsageError
from dreamopt.optimize import Checkpoint, run
from dreamopt.optimize.checkpoint import Checkpoint as Stored
from dreamopt.problem import Problem

PROJECTIONS = ["decay(0.02)", "gaussian_blur(0.6, every=3)"]
SOMETIMES = ["gaussian_blur(0.6, every=3)"]


def problem(batch: int = 1, items: list[int] | None = None, projections: list[str] = PROJECTIONS) -> Problem:
    transforms = ["jitter(2)", "rotate(between=(-6, 6))", "noise(4)"]
    return Problem(
        load_net(), "conv2:3", projections, (37, 41), batch=batch, items=items, parametrization="fourier()", transforms=transforms
    )


@pytest.mark.parametrize("projections", [PROJECTIONS, SOMETIMES])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_run_has_the_same_bits(projections: list[str], stop: int, tmp_path: Path) -> None:
    whole = run(problem(projections=projections), steps=8)
    checkpoint = Checkpoint(str(tmp_path / "run"), every=100)
    part = run(problem(projections=projections), steps=8, checkpoint=checkpoint, callbacks=[lambda progress: progress.step == stop])
    assert part.steps == stop + 1
    rest = run(problem(projections=projections), steps=8, checkpoint=checkpoint, resume=True)
    assert rest.resumed_at == stop + 1
    assert torch.equal(rest.params, whole.params)
    assert rest.history.tolist() == whole.history.tolist()


def test_it_is_evaluated_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, evaluate = [], Problem.evaluate

    def watched(self: Problem, *arguments: object, **options: object) -> object:
        seen.append(options.get("image"))
        return evaluate(self, *arguments, **options)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Problem, "evaluate", watched)
    checkpoint = Checkpoint(str(tmp_path / "run"), every=100)
    result = run(problem(projections=SOMETIMES), steps=6, checkpoint=checkpoint)
    # The start is evaluated before; the blur acts at steps 0 and 3, or 2 and 5: then alone an image is known.
    assert sum(image is not None for image in seen) in (1, 2)
    monkeypatch.undo()
    run(problem(), steps=5, checkpoint=Checkpoint(str(tmp_path / "other"), every=100))
    held = Stored(str(tmp_path / "other")).load()["run"]["image"]
    assert held.shape == (1, 3, 37, 41)
    assert result.steps == 6


def test_without_keeping_it_the_values_are_those_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.image.parametrization import Parametrization
    from dreamopt.image.parametrizations.fourier import Fourier

    kept = run(problem(), steps=4)
    monkeypatch.setattr(Fourier, "update_and_image", Parametrization.update_and_image)
    torch.testing.assert_close(torch.tensor(kept.history), torch.tensor(run(problem(), steps=4).history), rtol=1e-3, atol=1e-3)


def test_a_sample_beside_one_that_stops_is_what_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.optimize import Patience

    patience = Patience(2, improvement=1.0)
    both = run(problem(2, [0, 5]), steps=9, patience=patience)
    for place, item in enumerate((0, 5)):
        alone = run(problem(1, [item]), steps=9, patience=patience)
        assert torch.equal(both.images[place], alone.images[0])
        assert both.values[place] == alone.values[0]


def test_an_image_of_another_shape_is_refused() -> None:
    one = problem()
    params = one.start()
    with pytest.raises(UsageError, match="the image of these parameters must be 1 of shape"):
        one.evaluate(params, image=torch.zeros(1, 3, 37, 40))
