"""Channels by rank: those that an image drives most, least or in between, once, at each octave's size or at each step."""

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.errors import ObjectiveError
from dreamopt.objective import ImageValue, parse
from dreamopt.objectives import Guide, Ranked, Style
from dreamopt.problem import Problem
from dreamopt.recipes import InitImage, plan_dream
from dreamopt.recipes.preset import resolve_settings

ACTIVATIONS = {"a": torch.from_numpy(np.random.default_rng(0).normal(size=(2, 7, 3, 4)))}
PHOTO = np.random.default_rng(5).integers(0, 256, (52, 61, 3)).astype(np.uint8)


def chosen(objective: Ranked, activation: torch.Tensor) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in objective.chosen(activation)]


@pytest.mark.parametrize(
    ("count", "mode", "first", "last"),
    [
        (2, "strong", 0, 2),
        (3, "weak", 4, 7),
        (3, "avg", 2, 5),
        (2, "avg", 2, 4),
        (2, "ignore", 2, 7),
        ("30%", "strong", 0, 2),
        ("100%", "weak", 0, 7),
        ("100%", "ignore", 6, 7),
        ("1%", "avg", 3, 4),
    ],
)
def test_which_are_chosen(count: int | str, mode: str, first: int, last: int) -> None:
    """Each sample's own, by the mean over places, from the strongest to the weakest."""
    order = np.argsort(-ACTIVATIONS["a"].numpy().mean((2, 3)), axis=1)
    expected = [sorted(row[first:last].tolist()) for row in order]
    objective = Ranked("a", count, mode)
    assert chosen(objective, ACTIVATIONS["a"]) == expected
    energies = 0.5 * (ACTIVATIONS["a"] ** 2).sum((2, 3))
    values = [energies[i, channels].sum().item() for i, channels in enumerate(expected)]
    assert objective(ACTIVATIONS).tolist() == pytest.approx(values, rel=1e-12)


def test_equal_means_and_channels_that_are_not_driven() -> None:
    activation = torch.zeros(1, 6, 2, 2)
    activation[0, 2], activation[0, 3], activation[0, 5] = 4.0, 4.0, 1.0
    assert chosen(Ranked("a", 1), activation) == [[2]]
    assert chosen(Ranked("a", 2), activation) == [[2, 3]]
    assert chosen(Ranked("a", 2, "weak"), activation) == [[2, 5]]  # the silent ones have no gradient
    assert chosen(Ranked("a", 4, "weak"), activation) == [[0, 2, 3, 5]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ranked("a", 0), "a number of channels must be"),
        (lambda: Ranked("a", "0%"), "a percentage above 0"),
        (lambda: Ranked("a", "101%"), "a percentage above 0"),
        (lambda: Ranked("a", "many"), "not 'many'"),
        (lambda: Ranked("a", 2, "loud"), 'mode must be "strong", "weak", "avg" or "ignore", not \'loud\''),
        (lambda: Ranked("a", 2, "weak", "twice"), 'capture must be "once", "octave" or "step"'),
        (lambda: Ranked("a", 2, capture="step", image="a.png"), "no image .a.png. can be given"),
        (lambda: Ranked("mixed4", 209).bind(dreamopt.load_net(device="cpu")), "layer 'mixed4' has 208 channels at most, not 209"),
        (lambda: Ranked("mixed4", 208, "ignore").bind(dreamopt.load_net(device="cpu")), "can leave out 207 channels at most, not 208"),
    ],
)
def test_what_does_not_fit_is_refused(make: object, says: str) -> None:
    with pytest.raises(ObjectiveError, match=says):
        make()  # type: ignore[operator]  # a function


def test_of_this_image_means_of_the_image_dreamed_into() -> None:
    """Once: of the image at its own size; octave: of the image at the octave's size; step: of the dream as it is."""
    net = dreamopt.load_net(device="cpu")
    settings = resolve_settings("deepdream2015", {"octaves": 2, "steps": 1})
    small = plan_dream(net, PHOTO, "mixed3", settings).stages[0].size
    for capture, size in (("once", PHOTO.shape[:2]), ("octave", small)):
        plan = plan_dream(net, PHOTO, f'ranked("mixed3", 9, capture="{capture}")', settings)
        problem = plan.problem(net, plan.samples, 0)
        seen = net.activations_of(PHOTO, ["mixed3"], size)["mixed3"].mean((2, 3))[0]
        expected = torch.zeros(len(seen)).index_fill(0, seen.topk(9).indices, 1.0)
        assert isinstance(problem.objective, Ranked)
        assert problem.objective.bound is not None
        assert torch.equal(problem.objective.bound.like(seen)[0][0], expected)
        assert plan.samples[0].text == str(parse(f'ranked("mixed3", 9, capture="{capture}")'))
    plan = plan_dream(net, PHOTO, '2*ranked("mixed3", 9, capture="step") - conv2:1', settings)
    assert "image" not in str(plan.problem(net, plan.samples, 0).objective)


def test_a_dream_of_ranked_channels_is_one_of_these_channels() -> None:
    net = dreamopt.load_net(device="cpu")
    quick = {"octaves": 2, "steps": 2}
    means = net.activations_of(PHOTO, ["mixed3"], PHOTO.shape[:2])["mixed3"].mean((2, 3))[0]
    weights = [0.0] * len(means)
    for channel in means.topk(4).indices.tolist():
        weights[channel] = 1.0
    by_rank = dreamopt.dream(net, PHOTO, "mixed3", rank=4, **quick)
    by_weight = dreamopt.dream(net, PHOTO, f'Energy("mixed3", weights={tuple(weights)})', **quick)
    assert np.array_equal(by_rank.image, by_weight.image)
    assert by_rank.metadata["target"] == 'Ranked("mixed3", 4)'


def test_of_another_image(tmp_path: object) -> None:
    net = dreamopt.load_net(device="cpu")
    other = ImageValue(PHOTO[::-1, ::-1].copy())
    mine = Ranked("conv2", 5, image=other)
    assert mine.of_image(lambda: ImageValue(PHOTO)) is mine
    bound = mine.bind(net, (40, 44))
    activations = net.activations_of(other, ["conv2"], PHOTO.shape[:2])
    assert bound.bound is not None
    assert torch.equal(bound.bound.like(activations["conv2"])[0], mine.chosen(activations["conv2"]))


def test_guides_at_their_own_size() -> None:
    """DeepDream looks at its guide as it is; guides of several sizes make one batch."""
    net = dreamopt.load_net(device="cpu")
    large, small = PHOTO, PHOTO[:33, :41]
    both = Guide("mixed3", (large, small), longest=500).bind(net, (40, 44))
    x = torch.randn(2, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 50
    a = net.activations(x, ["mixed3"])["mixed3"]
    values = both({"mixed3": a})
    for i, image in enumerate((large, small)):
        y = net.activations_of(image, ["mixed3"], image.shape[:2])["mixed3"][0].flatten(1).numpy()
        columns = a[i].flatten(1).detach().numpy()
        best = y[:, (columns.T @ y).argmax(1)]  # the notebook's
        assert values[i].item() == pytest.approx(float((columns.astype(float) * best).sum()), rel=1e-5)
    shrunk = Guide("mixed3", large, longest=30).bind(net, (40, 44))
    whole = Guide("mixed3", np.asarray(InitImage.of(large).array()), longest=61).bind(net, (40, 44))
    assert shrunk.reference(a)[0].shape[2] < whole.reference(a)[0].shape[2] == 13 * 15


def test_styles_at_their_own_size() -> None:
    net = dreamopt.load_net(device="cpu")
    style = Style("mixed3", PHOTO, longest=100).bind(net, (40, 44))
    a = net.activations_of(PHOTO, ["mixed3"], PHOTO.shape[:2])["mixed3"]
    columns = a.flatten(2)
    assert torch.allclose(style.reference(a)[0], columns @ columns.transpose(1, 2) / columns.shape[2], rtol=1e-5)
    assert style({"mixed3": a}).item() == pytest.approx(0, abs=1e-6)


def test_dot_products_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a large image and a large guide take bounded memory; the values are the same."""
    net = dreamopt.load_net(device="cpu")
    guide = Guide("mixed3", PHOTO, longest=61).bind(net, (40, 44))
    x = torch.randn(1, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 50
    a = net.activations(x, ["mixed3"])["mixed3"].detach().requires_grad_()
    problem = Problem(net, Guide("mixed3", PHOTO, longest=61), size=(40, 44))
    gradients = [torch.autograd.grad(guide({"mixed3": a}).sum(), a)[0]]
    monkeypatch.setattr("dreamopt.objectives.guide._AT_ONCE", 3 * 13 * 15)
    gradients.append(torch.autograd.grad(guide({"mixed3": a}).sum(), a)[0])
    assert torch.equal(*gradients)
    assert gradients[0].any()
    assert problem.objective == guide


def test_large_images_are_looked_at_made_smaller() -> None:
    """Since the whole map of a layer is kept: a stage of 8000 x 6000 takes no more than one of 2048 x 1536."""
    seen = []

    class Asked:
        """A net that writes down at which size it is asked for activations."""

        labels = None

        def resolve(self, layer: str) -> str:
            return layer

        def shape_of(self, layer: str, size: object = None) -> tuple[int, ...]:
            return (5, 2, 3)

        def activations_of(
            self, image: object, layers: object, size: object = None, *, longest: int | None = None
        ) -> dict[str, torch.Tensor]:
            seen.append((size, longest))
            return {"a": torch.arange(30.0).reshape(1, 5, 2, 3)}

    for capture in ("once", "octave"):
        for size in ((600, 800), (6000, 8000)):
            Ranked("a", 2, capture=capture, image=PHOTO).bind(Asked(), size)  # type: ignore[arg-type]  # it has what is asked for
    assert seen == [((600, 800), 2048), ((6000, 8000), 2048), ((600, 800), None), ((6000, 8000), 2048)]


def test_in_tiles_it_is_what_it_is_of_the_whole_image() -> None:
    """One sweep where the channels are chosen before, two where they are chosen at each step."""
    net = dreamopt.load_net(device="cpu")
    x = torch.randn(1, 3, 96, 131, generator=torch.Generator().manual_seed(1)) * 50
    for text, is_additive in (('ranked("mixed3", 9)', True), ('ranked("mixed3", 9, "weak", "step")', False)):
        objective = parse(text).of_image(lambda: ImageValue(PHOTO))
        whole, tiled = (Problem(one, objective, size=(96, 131)) for one in (net, net.tiled(memory=2_000_000)))
        assert (whole.objective.additive == "sum") is is_additive
        mine, theirs = tiled.evaluate(x), whole.evaluate(x)
        assert mine.values.item() == pytest.approx(theirs.values.item(), rel=1e-5)
        assert (mine.gradient - theirs.gradient).norm() <= 1e-5 * theirs.gradient.norm()
        assert theirs.gradient.norm() > 0


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("ranked(fire5/concat, 5, 'strong')", 'Ranked("fire5/concat", 5)'),
        ("2*ranked( conv2.b-1 , '20%', \"weak\") - energy(conv1)", '2*Ranked("conv2.b-1", "20%", mode="weak") - conv1'),
        ("mean(a, absolute=True)", 'Mean("a", absolute=True)'),
    ],
)
def test_a_layer_needs_no_quotes(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


@pytest.mark.parametrize("text", ["ranked(None, 5)", "ranked(3, 5)", "ranked(a b, 5)", "ranked(f(a), 5)", "ranked(a, weak)", "ranked(, 5)"])
def test_other_words_without_quotes_are_refused(text: str) -> None:
    with pytest.raises(ObjectiveError):
        parse(text)
