"""Who has won, in sentences that say no more than the numbers do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dreamopt.parts.sentences import listed
from dreamopt.statistics import units_needed
from dreamopt.study.analysis.comparing import FEWEST_UNITS
from dreamopt.study.analysis.results import Pair, Standing


@dataclass(frozen=True)
class Verdict:
    """The result of a scope; the fields are those of `Scope`."""

    winner: str | None
    alike: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Words:
    """What sentences say of a scope.

    Parameters
    ----------
    of : str
        After a difference: "of the reference's gain", or the criterion's unit.
    where : str
        "12 units of squeezenet that nobody was tuned on".
    units : int
        How many.
    confidence : float
        Of the intervals.
    lower : bool
        Whether lower values are better.
    """

    of: str
    where: str
    units: int
    confidence: float
    lower: bool = False

    @property
    def best(self) -> str:
        """What the best value is."""
        return "lowest" if self.lower else "highest"


def verdict_of(standings: Sequence[Standing], pairs: Sequence[Pair], words: Words) -> Verdict:
    """Return the verdict on contestants, the reference not among them.

    A winner is better than each other (`Pair.better`). One that was raced off is also beaten by whoever is better than a contestant that is
    better than it. Where runs are missing that racing has not saved, nobody has won yet.
    """
    ranked = sorted(
        (one for one in standings if one.runs),
        key=lambda one: (math.isnan(one.iqm.value), one.iqm.value if words.lower else -one.iqm.value),
    )
    if len(ranked) < 2 or len(ranked) < len(standings):
        missing = [one.contestant for one in standings if not one.runs]
        who = listed(missing) or "a second contestant"
        return Verdict(None, tuple(one.contestant for one in ranked), f"No winner yet: there are no scored runs of {who}.")
    by_name = {(pair.first, pair.second): pair for pair in pairs}
    raced = {one.contestant for one in ranked if one.state == "raced off"}
    names = [one.contestant for one in ranked]

    def beaten(first: str, second: str) -> bool:
        if by_name[first, second].better:
            return True
        between = (one for one in names if one not in (first, second)) if second in raced else ()
        return any(by_name[first, one].better and by_name[one, second].better for one in between)

    under_way = [one for one in ranked if one.state == "under way"]
    if under_way:
        runs = listed([f"{one.runs} of {one.planned} runs of {one.contestant}" for one in under_way])
        behind = f" So far {names[0]} is ahead." if not math.isnan(ranked[0].iqm.value) else ""
        return Verdict(None, tuple(names), f"No winner yet: there are {runs} only.{behind}")
    winner = next((a for a in names if all(beaten(a, b) for b in names if b != a)), None)
    if winner is not None:
        return Verdict(winner, (), _won(winner, names, by_name, words))
    leader = names[0]
    alike = (leader, *(one for one in names[1:] if not beaten(leader, one)))
    worse = [one for one in names if one not in alike]
    return Verdict(None, alike, _no_winner(alike, worse, by_name, words, len(names) - 1))


def _won(winner: str, names: list[str], pairs: dict[tuple[str, str], Pair], words: Words) -> str:
    others = [one for one in names if one != winner]
    closest = min(others, key=lambda one: pairs[winner, one].difference.value)
    numbers = numbers_of(pairs[winner, closest], words)
    if len(others) == 1:
        return f"{winner} is better than {closest} ({numbers}), on {words.where}."
    return f"{winner} is better than each of the other {len(others)} (difference to the next, {closest}: {numbers}), on {words.where}."


def _no_winner(alike: tuple[str, ...], worse: list[str], pairs: dict[tuple[str, str], Pair], words: Words, rivals: int) -> str:
    needed = units_needed(rivals, 1 - words.confidence)
    if words.units < max(FEWEST_UNITS, needed):
        few = f"{words.units} unit{'s are' if words.units != 1 else ' is'} too few: at least {max(FEWEST_UNITS, needed)}"
        return (
            f"No winner: {few} are needed to name one of {rivals + 1} contestants. {alike[0]} has the {words.best} value, on {words.where}."
        )
    if len(alike) == 1:
        return f"No winner: {alike[0]} has the {words.best} value and is not better than each other, on {words.where}."
    pair = pairs[alike[0], alike[1]]
    numbers = numbers_of(pair, words)
    text = f"No winner: {listed(alike)} cannot be distinguished ({pair.first} less {pair.second}: {numbers}), on {words.where}."
    if worse:
        text += f" {listed(worse)} {'is' if len(worse) == 1 else 'are'} worse than {alike[0]}."
    return text


def numbers_of(pair: Pair, words: Words) -> str:
    """Return a difference with its interval and probability as text."""
    difference = pair.difference
    size = " ".join(part for part in (number(difference.value, "+"), words.of) if part)
    interval = f"{100 * words.confidence:g} % interval {number(difference.low)} to {number(difference.high)}"
    return f"{size}, {interval}; corrected p = {chance(pair.corrected)}"


def number(value: float, sign: str = "") -> str:
    """Return a number with two digits behind the point, more where it is small.

    >>> number(0.1234, "+"), number(-0.00123), number(math.inf), number(1234.5)
    ('+0.12', '-0.0012', 'infinity', '1234')
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return ("+" * (sign == "+") if value > 0 else "-") + "infinity"
    if value == 0 or 0.1 <= abs(value) < 100:
        return f"{value:{sign}.2f}"
    return f"{value:{sign}.2g}" if abs(value) < 1 else f"{value:{sign}.0f}"


def chance(p: float) -> str:
    """Return a probability as text.

    >>> chance(0.0444), chance(0.6), chance(0.00002)
    ('0.044', '0.60', 'below 0.001')
    """
    return "unknown" if math.isnan(p) else "below 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
