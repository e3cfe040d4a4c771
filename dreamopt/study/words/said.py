"""Everything that a user may say of a study, whether by options, by a study file or in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dreamopt.study.words.values import Varied

if TYPE_CHECKING:
    from dreamopt.network import Network


@dataclass(frozen=True)
class SaidNet:
    """A net that a user names.

    Parameters
    ----------
    net : str or None
        A prototxt's path or a name of the catalogue; None for the embedded net.
    name : str or None
        In tables; by default the net's name, or its file's.
    options : mapping
        What loads it, by the names of the options: ``weights``, ``mean``, ``labels`` ...
    network : Network or None
        The net itself, where it is open already.
    targets, tune_on : tuple of str
        Units that are scored, and that contestants are tuned on.
    sample : int or None
        How many units are drawn instead of targets.
    layers : tuple of str
        Patterns of the names of layers of which they are drawn.
    size : int or (int, int) or None
        Pixels of a side, or (H, W).
    """

    net: str | None = None
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    network: Network | None = None
    targets: tuple[Any, ...] = ()
    tune_on: tuple[Any, ...] = ()
    sample: int | None = None
    layers: tuple[str, ...] = ()
    size: int | tuple[int, int] | None = None


@dataclass(frozen=True)
class SaidContestant:
    """A contestant that a user names.

    Parameters
    ----------
    name : str
        In tables.
    preset : str or None
        What it begins with; by default the study's.
    assignments : tuple of str
        As of ``--set``.
    tune : tuple of Varied or None
        What is tuned of it; None: what is tuned of all.
    """

    name: str
    preset: str | None = None
    assignments: tuple[str, ...] = ()
    tune: tuple[Varied, ...] | None = None


@dataclass(frozen=True)
class Said:
    """What a user says of a study; None and () where nothing is said.

    Parameters
    ----------
    title, budget, seeds, seed, trials, tuning_seeds, search, race, criterion, measures
        As of `dreamopt.study.request.Request`.
    nets : tuple of SaidNet
        None: the embedded net.
    contestants : tuple of SaidContestant
        Beside those that ``vary`` makes.
    vary : tuple of Varied
        Lists multiply into contestants; ranges are tuned.
    tune : tuple of Varied
        What is tuned.
    preset : str or None
        What contestants begin with: a name or a file.
    assignments : tuple of str
        As of ``--set``: of all contestants, the reference too.
    reference : str or None
        The preset that sets the targets.
    also : tuple of SaidNet
        Other nets that images of classes are shown to.
    source : str or None
        The study file, as errors name it, of which the strings of parts come; None: they are the user's own.
    folder : str or None
        The study file's, to which paths in it are relative.
    plugins : tuple of str
        Plugins that such a file may name.
    """

    title: str | None = None
    nets: tuple[SaidNet, ...] = ()
    contestants: tuple[SaidContestant, ...] = ()
    vary: tuple[Varied, ...] = ()
    tune: tuple[Varied, ...] = ()
    preset: str | None = None
    assignments: tuple[str, ...] = ()
    reference: str | None = None
    budget: str | None = None
    seeds: int | None = None
    seed: int | None = None
    trials: int | None = None
    tuning_seeds: int | None = None
    search: str | None = None
    race: bool | None = None
    criterion: str | None = None
    measures: tuple[str, ...] = ()
    also: tuple[SaidNet, ...] = ()
    source: str | None = None
    folder: str | None = None
    plugins: tuple[str, ...] = ()
