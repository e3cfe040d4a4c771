"""The plan of a job: everything that was read, chosen and looked up, once, before the first step."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.image.channels import all_shown, shown_as
from dreamopt.image.files import rgb_array
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.loading import load_image
from dreamopt.image.modes import Levels
from dreamopt.image.parametrization import Parametrization, parse_parametrization
from dreamopt.image.reference import ImageValue
from dreamopt.network import Network
from dreamopt.network.network import kind_of
from dreamopt.objective import Objective, each, parse
from dreamopt.optimize import Restart
from dreamopt.parts.arguments import check_kind
from dreamopt.parts.brief import brief
from dreamopt.parts.part import field_names, file_sha256, input_paths
from dreamopt.parts.trust import words_of_file
from dreamopt.problem import Problem
from dreamopt.recipes.batch_size import AUTO, USUAL, Rates, Say, batch_rates
from dreamopt.recipes.finish import check_finish
from dreamopt.recipes.format1 import fields_of_format1
from dreamopt.recipes.inputs import RecordedInputs, hashes
from dreamopt.recipes.metadata import FORMAT, checked_metadata
from dreamopt.recipes.mixed import Group, joined, relative_seconds, work_of
from dreamopt.recipes.restarts import restarts_of
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.shorthand import as_optimizer, as_parametrization, as_regularizers, as_rule, as_transforms
from dreamopt.recipes.stages import Stage, choose_size, seen_by, stages_of
from dreamopt.recipes.targets import Sample, batch_objective, bind_target, bound_samples, read_targets
from dreamopt.regularizer import mask_at

PROVENANCE = ("source", "load", "command")
"""Keys of the metadata that say where a job came from; they do not decide its images."""
_OF_SOURCE = {"prototxt": "prototxt_sha256", "weights": "weights_file_sha256"}


@dataclass(frozen=True)
class InitImage:
    """An image to start from, decoded once.

    Parameters
    ----------
    path : str
        Its file.
    sha256 : str
        Of the file, in hexadecimal digits.
    image : LoadedImage
        What it holds.
    is_file : bool
        Whether it was read from a file; else ``path`` is but a name, and the sha256 that of the pixels.
    on_white : bool
        Whether a transparent image is laid on white; else its opacity is kept apart, and written again.
    """

    path: str
    sha256: str
    image: LoadedImage = field(repr=False, compare=False)
    is_file: bool = True
    on_white: bool = True

    @classmethod
    def open(cls, path: str, size: int | tuple[int, int] | None = None, on_white: bool = True) -> InitImage:
        """Return the image of a file; with a size to start from, (H, W), a JPEG above the limit of pixels is decoded reduced."""
        return cls(path, file_sha256(path), load_image(path, (size, size) if isinstance(size, int) else size), on_white=on_white)

    @classmethod
    def of(cls, array: Any, name: str = "array", on_white: bool = True) -> InitImage:
        """Return the image of an array (H, W, 3) or (H, W), RGB or grey, 0 to 255, or of a `LoadedImage`.

        ``name`` stands for its file in the metadata. Numbers that are not whole keep their fraction.

        Raises
        ------
        ImageError
            For an array of another kind.

        Examples
        --------
        >>> import numpy as np
        >>> InitImage.of(np.zeros((4, 6), dtype=np.uint8), "frame 7").shape
        (4, 6, 3)
        """
        image = array if isinstance(array, LoadedImage) else LoadedImage(rgb_array(array))
        return cls(name, image.sha256(), image, is_file=False, on_white=on_white)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        height, width = self.image.colours.shape[:2]
        return height, width, 3

    def array(self) -> Levels:
        """Return the image, (H, W, 3), RGB, 0 to 255: uint8, or float32 where it has fractions."""
        return self.image.levels(self.on_white)

    def value(self) -> ImageValue:
        """Return the image as a part's parameter."""
        return ImageValue(self.array())


@dataclass(frozen=True)
class Plan:
    """A job, resolved: what is optimized, in which batches and runs, from where. It holds no tensor and no network.

    Parameters
    ----------
    samples : tuple of Sample
        The images to make, their objectives as given; `problem` binds them.
    batches : tuple of tuple of int
        Places of the samples that are optimized together.
    settings : Settings
        With the size that was chosen.
    stages : tuple of Stage
        The runs that follow each other on the same image.
    restarts : tuple of Restart
        Tried in turn for samples whose gradient is zero at the start.
    init : InitImage or None
        What is started from instead of the parametrization's own start.
    inputs : mapping of str to str
        Every file that is read: path to sha256.
    net : mapping
        What the network says of itself, its weights' sha256 among it.
    project_every_step : bool
        Whether images are turned into parameters and back at every step, as format 1 did.
    restarts_every_stage : bool
        Whether the restarts serve the start of every stage, or of the first alone, as in images that were made before they did. False
        where there is one stage, or no restart.
    provenance : mapping
        Where the job came from: source, load and command, fit for JSON. It decides nothing.
    recipe : {"render", "dream"}
        The command that makes it.
    original : InitImage or None
        What blending, colours and the outside of a mask are taken from, where it is another than the init image: a film's frame.
    evaluations : tuple of int
        How many evaluations each run may make of each sample, a view of it counted as one; a run without any hands its start on. ():
        as many as its steps take.
    """

    samples: tuple[Sample, ...]
    batches: tuple[tuple[int, ...], ...]
    settings: Settings
    stages: tuple[Stage, ...]
    restarts: tuple[Restart, ...]
    init: InitImage | None
    inputs: Mapping[str, str]
    net: Mapping[str, Any]
    project_every_step: bool = False
    restarts_every_stage: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    recipe: str = "render"
    original: InitImage | None = field(default=None, repr=False)
    evaluations: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        """Return one line: the recipe, its targets, the size of the images, runs and steps."""
        first, count = ", ".join(sample.text for sample in self.samples[:4]), len(self.samples)
        targets = first + (f" and {count - 4} more" if count > 4 else "")
        steps = " + ".join(str(stage.steps) for stage in self.stages[:6]) + (" + ..." if len(self.stages) > 6 else "")
        return brief("Plan", f"{self.recipe} {targets}", f"{self.size[1]} x {self.size[0]}", f"{steps} steps", self.settings.optimizer)

    @property
    def parametrization(self) -> Parametrization:
        """What is searched."""
        return self.settings.parametrization

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image: at the end for octaves, before the first zoom for stages."""
        return pair(self.settings)

    @property
    def depth(self) -> int:
        """Bits of each sample of the images that are written: of a dream the init image's, unless the settings say it; else 8."""
        if isinstance(self.settings.depth, int):
            return self.settings.depth
        return self.init.image.depth if self.recipe == "dream" and self.init is not None else 8

    @property
    def keeps_channels(self) -> bool:
        """Whether the colours do not show all channels, so that a file beside each image keeps them."""
        count = self.net["input_shape"][0]
        return not all_shown(shown_as(self.settings.channels, count), count)

    @property
    def total_steps(self) -> int:
        """Steps of all runs of one sample."""
        return sum(stage.steps for stage in self.stages)

    @property
    def pixel_steps(self) -> list[tuple[int, float]]:
        """Of each run of one sample its steps, and how many pixels the image has in it: what it costs."""
        return [(stage.steps, float(math.prod(stage.size))) for stage in self.stages]

    @cached_property
    def key(self) -> str:
        """The sha256 of `describe`: two plans of one key make the same images."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def problem(self, network: Network, samples: Sequence[Sample], number: int) -> Problem:
        """Return the problem of samples that are optimized together, in the stage of a number."""
        stage = self.stages[number]
        if (stage.layers or stage.target is not None) and not samples[0].coupled:
            objective = each([stage.retargeted(network, sample.objective) for sample in samples])
        else:
            objective = batch_objective(samples)
        if self.init is not None:
            objective = objective.of_image(self.init.value)
        return Problem(
            network,
            objective,
            stage.regularizers,
            stage.size,
            batch=len(samples),
            parametrization=self.parametrization,
            transforms=stage.transforms,
            views=stage.views,
            items=[sample.item for sample in samples],
            redirected=self.settings.redirected,
            rule=self.settings.rule,
        )

    def batch(self, number: int) -> Plan:
        """Return the plan of one batch alone."""
        samples = tuple(self.samples[place] for place in self.batches[number])
        return replace(self, samples=samples, batches=(tuple(range(len(samples))),))

    def describe(self, sample: int | None = None) -> dict[str, Any]:
        """Return the plan fit for JSON; of one sample, what its image's metadata says of the plan.

        An image tells of its whole batch, so that it can be made again from its metadata alone.
        """
        if sample is not None:
            number = next(number for number, places in enumerate(self.batches) if sample in places)
            mine, part = self.samples[sample], self.batch(number)
            described = part.describe()
            del described["batches"]
            own = {"target": mine.text, "label": mine.label, "item": mine.item, "place_in_batch": self.batches[number].index(sample)}
            return described | own | {"plan": self.key} | dict(self.provenance)
        described = {
            "format": FORMAT,
            "recipe": self.recipe,
            "batch": [str(sample.objective) for sample in self.samples],
            "targets": [sample.text for sample in self.samples],
            "labels": [sample.label for sample in self.samples],
            "items": [sample.item for sample in self.samples],
            "batches": [list(places) for places in self.batches],
            "settings": self.settings.describe() | {"size": list(self.size)},
            "restarts": [[str(restart.parametrization), restart.seed_offset, restart.through_image] for restart in self.restarts],
            "init": None if self.init is None else {"path": self.init.path, "sha256": self.init.sha256, "size": list(self.init.shape[:2])},
            "inputs": dict(sorted(self.inputs.items())),
            "net": dict(self.net),
        }
        described |= {"evaluations": list(self.evaluations)} if self.evaluations else {}
        flags = {"project_every_step": self.project_every_step, "restarts_every_stage": self.restarts_every_stage}
        return described | {name: True for name, flag in flags.items() if flag}

    @classmethod
    def read(
        cls,
        metadata: Mapping[str, Any],
        inputs: RecordedInputs | None = None,
        *,
        what: str = "the metadata",
        plugins: Sequence[str] = (),
    ) -> Plan:
        """Return the plan that an image's metadata describes, of format 1 or 2; the init image is decoded from its file.

        Parameters
        ----------
        metadata : mapping
            Of anybody: every key is checked, and nothing is opened or imported but what the user allows.
        inputs : RecordedInputs, optional
            Which files may be opened; none by default.
        what : str
            Names the metadata in errors.
        plugins : sequence of str
            Names of plugins that the metadata may name (`dreamopt.parts.trust`).

        Raises
        ------
        UsageError
            For metadata that says too little, or of a later format.
        TrustError
            For metadata that names files or plugins that the user did not.
        """
        metadata = checked_metadata(metadata, what)
        inputs = RecordedInputs(recorded_hashes(metadata)) if inputs is None else inputs
        problem = None
        with words_of_file(what, plugins, inputs.find) as words:
            try:
                fields = fields_of_format1(metadata) if metadata["format"] == 1 else _fields(metadata, inputs.find)
            except DreamoptError as error:
                problem = error
                _read_each(metadata)  # so that all that is needed is named at once
        inputs.needs |= {("plugin", name): "an installed package's code" for name in words.refused}
        path = metadata["settings"].get("init")
        file = None if path is None else inputs.find(path, "init")
        inputs.require(what)
        if problem is not None:
            raise problem
        settings = replace(fields["settings"], init=file)
        init = None if file is None else InitImage.open(file, settings.size, on_white=metadata["recipe"] != "dream")
        of_format1 = {} if init is None else {init.path: init.sha256}  # no others were recorded then
        return cls(
            **fields | {"settings": settings},
            init=init,
            inputs=inputs.renamed() if metadata["format"] == FORMAT else of_format1,
            net=metadata["net"],
            provenance={key: metadata[key] for key in PROVENANCE if key in metadata},
        )


def recorded_hashes(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of each file that checked metadata name, by its path; format 1 recorded those of the net alone."""
    source = metadata.get("source", {})
    of_net = [(source.get(name), source.get(digest)) for name, digest in _OF_SOURCE.items()]
    known = {path: digest for path, digest in of_net if isinstance(path, str) and isinstance(digest, str)}
    return {**known, **metadata.get("inputs", {})}


def _read_each(metadata: Mapping[str, Any]) -> None:
    """Read each part's string by itself, whatever is wrong in it."""
    parts: list[tuple[Callable[[str], object], str]] = [(parse, text) for text in metadata["batch"]]
    parts += [(parse_parametrization, text) for text, *_ in metadata.get("restarts", ())]
    of_one: dict[str, Callable[[str], object]] = {"optimizer": as_optimizer, "parametrization": as_parametrization, "rule": as_rule}
    of_many: dict[str, Callable[[str], object]] = {"regularizers": as_regularizers, "transforms": as_transforms}
    for run in (metadata["settings"], *metadata["settings"].get("stages", ())):
        parts += [(read, run[name]) for name, read in of_one.items() if name in run]
        parts += [(read, text) for name, read in of_many.items() for text in run.get(name, ())]
        parts += [(parse, run["target"])] if "target" in run else []
    for read, text in parts:
        with contextlib.suppress(DreamoptError):
            read(text)


def _fields(metadata: Mapping[str, Any], find: Callable[[str], str]) -> dict[str, Any]:
    """Return the fields of the `Plan` of checked metadata of format 2, but for the init image, the net and what it was made from."""
    described = metadata["settings"]
    masks = {name: find(described[name]) for name in ("mask", "strength") if isinstance(described.get(name), str)}
    settings = Settings.read({**described, **masks})
    objectives = {text: parse(text) for text in metadata["batch"]}
    described = zip(metadata["batch"], metadata["items"], metadata["targets"], metadata["labels"], strict=True)
    samples = tuple(Sample(objectives[string], item, text, label) for string, item, text, label in described)
    stages, evaluations = stages_of(settings, pair(settings)), tuple(metadata.get("evaluations", ()))
    if evaluations and (len(evaluations) != len(stages) or not any(evaluations)):
        raise UsageError(f"evaluations in the metadata must say a number for each of {len(stages)} runs, one of them above 0")
    return {
        "samples": samples,
        "batches": tuple(map(tuple, metadata.get("batches", [range(len(samples))]))),
        "settings": settings,
        "stages": stages,
        "evaluations": evaluations,
        "restarts": tuple(Restart(parse_parametrization(text), *rest) for text, *rest in metadata["restarts"]),
        "project_every_step": metadata.get("project_every_step", False),
        "restarts_every_stage": metadata.get("restarts_every_stage", False),
        "recipe": metadata["recipe"],
    }


def plan_render(
    network: Network,
    targets: str | Objective | Sequence[str | Objective],
    settings: Settings | None = None,
    *,
    variants: int = 1,
    say: Say = None,
) -> Plan:
    """Resolve a render: read the targets, choose the size, decode the init image, look labels up, make stages and batches.

    This is the one place that does so; what follows works on the plan.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    targets : str, Objective, or a sequence of them
        See `dreamopt.recipes.expand`.
    settings : Settings, optional
        Default `Settings()`.
    variants : int
        How many images of each target, at least 1, each from a start of its own.
    say : callable, optional
        Gets a sentence on the batch size, where it was measured or is remembered.

    Returns
    -------
    Plan
        For `dreamopt.recipes.execute`.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    UsageError
        For settings that contradict each other or the network.

    Examples
    --------
    >>> import dreamopt
    >>> plan = plan_render(dreamopt.load_net(device="cpu"), ["scores:0", "conv2:0-2"], Settings(size=32, steps=1))
    >>> len(plan.samples), plan.batches, plan.stages[0].size
    (4, ((0,), (1, 2, 3)), (32, 32))
    """
    settings = checked_job(network, settings)
    init = None if settings.init is None else InitImage.open(settings.init, settings.size)
    return resolve(network, read_targets(network, targets, settings.size), settings, init, variants=variants, say=say)


def checked_job(network: Network, settings: Settings | None, recipe: str = "render") -> Settings:
    """Return a job's settings, the default ones for None; UsageError where the net cannot be optimized, or takes no image."""
    check_kind("network", network, Network, "a network of dreamopt.load_net")
    settings = Settings() if settings is None else check_kind("settings", settings, Settings, "a Settings")
    network.require_optimizable()
    if not network.has_image_input:
        raise UsageError(
            f"the net's input '{network.input_name}' is {kind_of(network.input_shape)}, and {recipe} makes images: optimize it in Python "
            "with dreamopt.Problem and dreamopt.optimize.run, which take any number of axes (docs/inputs.md)"
        )
    _check_one_init(settings)
    return settings


def resolve(
    network: Network,
    objectives: Sequence[Objective],
    settings: Settings,
    init: InitImage | None,
    *,
    variants: int = 1,
    recipe: str = "render",
    say: Say = None,
) -> Plan:
    """Return the plan of objectives that were read, and of a decoded init image: its size is chosen, its stages and batches made."""
    size = choose_size(network, settings, objectives, None if init is None else (init.shape[0], init.shape[1]))
    stages = stages_of(settings, size)
    channels = shown_as(settings.channels, network.input_shape[0], stages[-1].size)
    settings = replace(settings.resolved(size), channels=channels)
    check_finish(settings, init is not None, (network.input_shape[0], *size))
    for mask in settings.masks:  # read before anything is made
        mask_at(mask, size, size)
    if settings.rule is not None:
        network.checked_rule(settings.rule)
    _check_targets(network, stages)
    bound = bound_samples(network, objectives, settings.size, variants)
    samples = tuple(sample for sample, _ in bound)
    restarts = () if init is not None else restarts_of(settings.parametrization)
    size_of_batch = USUAL if isinstance(settings.batch_size, str) else settings.batch_size
    plan = Plan(
        samples=samples,
        batches=_batches(bound, size_of_batch),
        settings=replace(settings, batch_size=size_of_batch),
        stages=stages,
        restarts=restarts,
        restarts_every_stage=bool(restarts) and len(stages) > 1,
        init=init,
        inputs=_inputs(network, objectives, settings, stages, init),
        net=_plain(network.describe()),
        recipe=recipe,
    )
    rates = batch_rates(plan, network, say) if settings.batch_size == AUTO else None
    if rates is not None:
        batches = _batches(bound, rates.best)
        if _may_mix(plan):
            batches = _mixed(network, bound, batches, rates)
        plan = replace(plan, batches=batches, settings=replace(plan.settings, batch_size=rates.best))
    return plan


def _may_mix(plan: Plan) -> bool:
    """Whether samples of different layers may be in one batch: what rules do may depend on which layer is topmost."""
    plain = plan.settings.rule is None and not plan.settings.redirected and plan.recipe == "render"
    return plain and all(stage.target is None and not stage.layers for stage in plan.stages)


def _mixed(
    network: Network, bound: Sequence[tuple[Sample, Objective]], batches: Sequence[tuple[int, ...]], rates: Rates
) -> tuple[tuple[int, ...], ...]:
    """Return batches of which those of neighbouring layers are joined where that is estimated to pay."""
    alone = [places for places in batches if bound[places[0]][0].coupled]
    groups = [Group(places, work_of(network, bound[places[0]][1].layers)) for places in batches if places not in alone]
    return tuple(sorted([*alone, *(group.places for group in joined(groups, rates.best, relative_seconds(rates)))]))


def _check_targets(network: Network, stages: Sequence[Stage]) -> None:
    """Raise TargetError or ShapeError where a stage's own target is not in the net, or cannot be reached at the stage's size."""
    for stage in stages:
        if stage.target is not None:
            bound, seen = bind_target(network, stage.target, stage.size), seen_by(network, stage.size, stage.transforms)
            for layer in bound.layers:
                network.shape_of(layer, seen)


def pair(settings: Settings) -> tuple[int, int]:
    """Return the (H, W) that a plan's settings hold."""
    assert isinstance(settings.size, tuple)
    return settings.size


def _check_one_init(settings: Settings) -> None:
    own = _own_init(settings.parametrization)
    if settings.init is not None and own is not None:
        raise UsageError(f"the init image is given twice: init says {settings.init}, and the parametrization {own}; give one of them")


def _own_init(part: Any) -> Any:
    """Return the init of a parametrization, or of one within it; None where there is none."""
    names = field_names(part)
    if "init" in names and part.init is not None:
        return part
    within = (_own_init(getattr(part, name)) for name in names if isinstance(getattr(part, name, None), Parametrization))
    return next((part for part in within if part is not None), None)


def _batches(bound: Sequence[tuple[Sample, Objective]], size: int) -> tuple[tuple[int, ...], ...]:
    """Return batches of samples that read the same layers: the net is run no further up than a target needs."""
    groups: dict[object, list[int]] = {}
    for place, (sample, objective) in enumerate(bound):
        key: object = id(sample.objective) if sample.coupled else objective.layers
        groups.setdefault(key, []).append(place)
    batches: list[tuple[int, ...]] = []
    for group in groups.values():
        step = len(group) if bound[group[0]][0].coupled else size
        batches += [tuple(group[first : first + step]) for first in range(0, len(group), step)]
    return tuple(batches)


def _inputs(
    network: Network, objectives: Sequence[Objective], settings: Settings, stages: Sequence[Stage], init: InitImage | None
) -> dict[str, str]:
    parts = [*objectives, settings.parametrization, *stages]
    names = [*getattr(network, "files", ()), *input_paths(parts)]
    read = {} if init is None or not init.is_file else {init.path: init.sha256}
    return read | hashes(name for name in names if name not in read)


def _plain(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description as it comes back from JSON, so that a plan that was read is equal to the one that was written."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(described)))
    return plain
