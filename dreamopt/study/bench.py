"""Bench: a study from words to its report."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.parts.arguments import check_kind, check_path, check_texts
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.checks import several
from dreamopt.parts.preset_files import is_preset_file
from dreamopt.progress.studies import benching
from dreamopt.study.execution import Stop
from dreamopt.study.folder import StudyFolder
from dreamopt.study.networks import StudyNetworks
from dreamopt.study.outcome import Outcome
from dreamopt.study.runner import RunDone, Watch, execute_runs
from dreamopt.study.schedule import plan_count, schedule
from dreamopt.study.study import Study
from dreamopt.study.words.resolve import Resolved, resolve
from dreamopt.study.words.said import Said, SaidNet
from dreamopt.study.words.toml import read_study
from dreamopt.study.words.values import Varied, value_text, varied
from dreamopt.study.words.write import study_text
from dreamopt.study.workers.choice import staffed

FOLDER = "dreamopt-study"
"""Where a study goes when nothing else is said."""
STUDY_FILE = "STUDY.toml"
"""In the folder: what the user said of the study."""
Nets = str | os.PathLike[str] | Network | Mapping[str, Any] | Sequence[Any] | None


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Parameters
    ----------
    done : RunDone
        The run that is done.
    runs, most : int
        How many are done of all rounds, and how many there are at most.
    """

    done: RunDone
    runs: int
    most: int


def bench(
    network: Nets = None,
    targets: Any = (),
    *,
    study: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = FOLDER,
    vary: Mapping[str, Any] | None = None,
    tune: Mapping[str, Any] | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    reference: str | None = None,
    sample: int | None = None,
    layers: Sequence[str] = (),
    tune_on: Any = (),
    size: int | tuple[int, int] | None = None,
    budget: str | int | None = None,
    seeds: int | None = None,
    trials: int | None = None,
    tuning_seeds: int | None = None,
    search: str | None = None,
    race: bool | None = None,
    criterion: str | None = None,
    measures: Sequence[str] = (),
    also: Sequence[Any] = (),
    seed: int | None = None,
    title: str | None = None,
    processes: int | None = None,
    plugins: Sequence[str] = (),
    allow_python_layers: bool = False,
    progress: bool | Callable[[Progress], object] | None = None,
    stop: Stop = None,
) -> Study:
    """Compare settings: which are best for a net.

    Parameters
    ----------
    network : Network, path, mapping or a sequence of these, optional
        A net, a prototxt's path or a name of the catalogue, or a mapping with ``net``, ``name``, and what loads it (``weights``,
        ``labels``, ...) and its own ``targets``; several nets in a sequence. By default the embedded net, or those of ``study``.
    targets : str, or a sequence of str
        Units that contestants are scored on: ``"conv4:0-7"``.
    study : path, optional
        A study file, as of ``dreamopt bench``; what is given here is instead of what it says.
    out : path
        The study's folder. What is there of the same study is not made again.
    vary : mapping, optional
        Lists of values that multiply into contestants, ``{"optimizer": ["adam", "ascent"], "preset": ["default", "lucid2017"]}``; a
        text ``"0.5..16"`` is a range, which is tuned.
    tune : mapping, optional
        Ranges or lists that are tuned, by name.
    preset : str, optional
        What contestants begin with, a name or a file; ``default`` where nothing is said.
    settings : mapping, optional
        Settings of all contestants and of the reference.
    reference : str, optional
        The preset that sets the targets, and what 1 is on a unit's scale.
    sample, layers, tune_on : optional
        How many units are drawn and of which layers, and units that contestants are tuned on.
    size : int or (int, int), optional
        Pixels of the images, or (H, W); by default the size in the net's file.
    budget : str or int, optional
        Of each run, ``"500evals"`` or ``"30s"``; by default as many evaluations as the reference makes.
    seeds, trials, tuning_seeds, search, race, criterion, measures, seed, title : optional
        As of `dreamopt.study.request.Request`.
    also : sequence, optional
        Other nets that images of classes are shown to, each as ``network``.
    processes : int, optional
        How many processes make runs; by default it is measured. Nets that are given open are used in this process alone.
    plugins : sequence of str
        Names of installed plugins that the study file may name.
    allow_python_layers : bool
        Whether modules that Python layers name are imported.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called with a `Progress` after each run.
    stop : callable, optional
        Asked after each step; once it returns True, KeyboardInterrupt is raised, and what is done stays.

    Returns
    -------
    Study
        With its table, plots and verdict; `Study.report` writes the report.

    Raises
    ------
    UsageError
        For what does not fit, and a folder that holds another study.

    Examples
    --------
    >>> import dreamopt, tempfile
    >>> study = dreamopt.bench(
    ...     dreamopt.load_net(), "conv2:0-1", vary={"optimizer": ["adam", "ascent"]}, trials=1, seeds=1, size=24, budget=4,
    ...     measures=["total_variation"], out=tempfile.mkdtemp() + "/study",
    ... )
    >>> study
    <Study 'Which settings are best for net': 2 contestants, 6 runs, no winner>
    """
    said = Said() if study is None else read_study(check_path("study", study), plugins)
    nets = _nets(network)
    own = {"size": size, "sample": sample, "layers": _texts("layers", layers), "tune_on": _targets(tune_on), "targets": _targets(targets)}
    given: dict[str, Any] = {
        "title": title,
        "preset": preset,
        "reference": reference,
        "budget": None if budget is None else str(budget),
        "seeds": seeds,
        "seed": seed,
        "trials": trials,
        "tuning_seeds": tuning_seeds,
        "search": search,
        "race": race,
        "criterion": criterion,
        "vary": _varied("vary", vary),
        "tune": _varied("tune", tune),
        "assignments": tuple(f"{name}={value_text(value)}" for name, value in (settings or {}).items()),
        "measures": _texts("measures", measures),
        "also": tuple(one for other in also for one in _nets(other)),
    }
    said = with_given(said, nets, given, own)
    resolved = resolve(said, allow_python_layers)
    with benching(progress) as watch:
        result, _ = run_study(
            resolved, out, text=study_text(said, out), processes=processes, allow_python_layers=allow_python_layers, watch=watch, stop=stop
        )
    return result


def with_given(said: Said, nets: Sequence[SaidNet], given: Mapping[str, Any], own: Mapping[str, Any]) -> Said:
    """Return a study with what is given instead of what it says.

    Parameters
    ----------
    said : Said
        As a file says it.
    nets : sequence of SaidNet
        In the place of the file's, where there are any; what they say of themselves stays.
    given : mapping
        Fields of `Said`; None and () where nothing is given.
    own : mapping
        Likewise fields of `SaidNet`, for each of the nets.
    """
    changes = {name: value for name, value in given.items() if value is not None and value != ()}
    if said.folder is not None:  # to which the file's paths are relative; those given here are so to this folder
        changes |= {name: _absolute(changes[name]) for name in ("preset", "reference") if name in changes}
        changes |= {"vary": tuple(map(_with_absolute, changes["vary"]))} if "vary" in changes else {}
    said = replace(said, **changes)
    changes = {name: value for name, value in own.items() if value is not None and value != ()}
    if "targets" in changes:
        changes["sample"], changes["layers"] = changes.get("sample"), changes.get("layers", ())
    elif "sample" in changes:
        changes["targets"] = ()
    if nets:
        return replace(said, nets=tuple(replace(net, **_filled(net, changes)) for net in nets))
    return replace(said, nets=tuple(replace(net, **changes) for net in said.nets or (SaidNet(),)))


def _absolute(name: str) -> str:
    return os.path.abspath(name) if is_preset_file(name) else name


def _with_absolute(one: Varied) -> Varied:
    return replace(one, values=tuple(map(_absolute, one.values))) if one.name == "preset" else one


def _filled(net: SaidNet, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of all nets and not of this one."""
    others = {"sample", "layers"} if net.targets else {"targets"} if net.sample is not None else set[str]()
    return {name: value for name, value in changes.items() if getattr(net, name) in (None, ()) and name not in others}


def run_study(
    resolved: Resolved,
    out: str | os.PathLike[str],
    *,
    processes: int | None = None,
    allow_python_layers: bool = False,
    watch: Callable[[Progress], object] | None = None,
    say: Callable[[str], None] | None = None,
    stop: Stop = None,
    text: str | None = None,
) -> tuple[Study, Outcome]:
    """Run a study into its folder; what is there already is not made again.

    Parameters
    ----------
    resolved : Resolved
        The study, and its nets where they are open.
    out : path
        The folder.
    processes : int, optional
        How many make runs; by default it is measured.
    allow_python_layers : bool
        Whether modules that Python layers name are imported.
    watch, say, stop : callable, optional
        Called with a `Progress` after each run; with a sentence on who makes runs; and asked after each step.
    text : str, optional
        The study file that says it, which is written into the folder.

    Returns
    -------
    study : Study
    outcome : Outcome
        What was decided.

    Raises
    ------
    KeyboardInterrupt
        Once ``stop`` says so; what is done stays.
    UsageError
        Where the folder holds another study, with what differs.
    """
    request, rounds, most = resolved.request, schedule(resolved.request), plan_count(resolved.request)
    networks = StudyNetworks.of(request, allow_python_layers)
    for name, network in resolved.networks.items():
        networks.add(name, network)
    if resolved.networks:
        if processes is not None and processes != 1:
            raise UsageError("a net that is open in this process cannot be sent to others; give its path, or processes=1")
        processes = 1
    finished = 0

    def note(done: RunDone) -> None:
        nonlocal finished
        finished += 1
        if watch is not None:
            watch(Progress(done, finished, most))

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(StudyFolder(Path(out), request))
        if text is not None:
            with atomic_write(folder.path / STUDY_FILE, folder.path / scratch_name(STUDY_FILE, "study")) as stream:
                stream.write(text.encode())
        runs = next(rounds)
        staff = None
        while True:
            if staff is None and any(folder.row(run) is None for run in runs):
                staff = stack.enter_context(staffed(runs[0], most, networks, folder, processes, say))
            rows = execute_runs(
                runs,
                _Nobody() if staff is None else staff.workers,
                folder,
                batch=1 if staff is None else staff.batch,
                watch=note,
                stop=stop,
            )
            try:
                runs = rounds.send(rows)
            except StopIteration as end:
                outcome: Outcome = end.value
                break
        return Study(Path(out), request, tuple(folder.rows())), outcome


class _Nobody:
    """Where all runs are made already, nobody has to make any."""

    def make(self, batches: Sequence[Any], stop: Stop = None) -> Any:
        """Yield nothing."""
        assert not batches, "somebody has to make runs"
        return iter(())


def _nets(network: Nets) -> tuple[SaidNet, ...]:
    if network is None:
        return ()
    if isinstance(network, Network):
        return (SaidNet(network=network),)
    if isinstance(network, str | os.PathLike):
        return (SaidNet(net=os.fspath(network)),)
    if isinstance(network, Mapping):
        return (_net(network),)
    return tuple(one for entry in check_kind("network", network, Sequence, "a net, or a sequence of nets") for one in _nets(entry))


def _net(said: Mapping[str, Any]) -> SaidNet:
    from dreamopt.parts.net_words import NET_KEYS

    known = {"net", "name", "network", "targets", "tune_on", "sample", "layers", "size", *NET_KEYS}
    unknown = next((name for name in said if name not in known), None)
    if unknown is not None:
        raise UsageError(f"a net has no '{unknown}'; it has {', '.join(sorted(known))}")
    plain = {name: said[name] for name in ("name", "network", "sample", "size") if name in said}
    net = said.get("net")
    return SaidNet(
        net=None if net is None else check_path("net", net),
        options={name: said[name] for name in NET_KEYS if name in said},
        targets=_targets(said.get("targets", ())),
        tune_on=_targets(said.get("tune_on", ())),
        layers=_texts("layers", said.get("layers", ())),
        **plain,
    )


def _varied(what: str, said: Mapping[str, Any] | None) -> tuple[Varied, ...]:
    if said is None:
        return ()
    named = check_kind(what, said, Mapping, "a mapping of names to lists, ranges or axes")
    return tuple(Varied(name) if value is None else varied(name, value, what) for name, value in named.items())


def _texts(what: str, values: Any) -> tuple[str, ...]:
    return check_texts(what, (values,) if isinstance(values, str) else values, "texts")


def _targets(targets: Any) -> tuple[Any, ...]:
    many = several(targets)
    return (targets,) if many is None else many


__all__ = ["FOLDER", "Progress", "Watch", "bench", "run_study", "with_given"]
