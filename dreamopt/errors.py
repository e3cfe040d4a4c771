"""Every error dreamopt raises on purpose; each message is one sentence that says what, where and what is allowed.

::

    DreamoptError
    ├── NetError                 the net's definition cannot be used as it stands
    │   ├── PrototxtError        the text is not a valid prototxt (file:line in the message)
    │   ├── UnknownLayerError    a layer type that nobody registered
    │   └── ShapeError           a shape that does not fit the layer it reaches
    │       └── TooLargeError    a shape of more values or axes than Caffe's blobs have
    ├── WeightsError             a weights or mean file is damaged, or does not fit the net
    ├── TargetError              a layer, unit or label that the net does not have
    ├── ObjectiveError           an objective that cannot be made or evaluated
    ├── RegularizerError         the same for a regularizer
    ├── OptimizeError            the optimization cannot continue
    │   └── DeadGradientError    the gradient is exactly zero, with the layer that stopped it
    ├── OutOfMemoryError         more memory than is free, on any device; a MemoryError too
    ├── BackendError             a backend or device that is missing, or failed
    ├── ImageError               an image that cannot be read or written
    ├── FilmError                a film that cannot be read or written
    ├── ModelError               the catalogue of public models, a download, a checksum
    ├── TrustError               what a file asks for, and only a user may allow: files to open, programs to run
    └── UsageError               arguments that contradict each other or are out of range

    DreamoptWarning              every warning dreamopt gives
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

LONGEST_MESSAGE = 2000
"""Characters of an error or a warning that are shown; of a longer one, the beginning and the end."""
_LONGEST_NAME = 200


class DreamoptError(Exception):
    """Root of all errors raised on purpose; catch it to catch them all. Its text is one line that a terminal can show safely."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class NetError(DreamoptError):
    """The net's definition cannot be used as it stands."""


class PrototxtError(NetError):
    """The text is not a valid prototxt."""


class UnknownLayerError(NetError):
    """A layer type that is neither built in nor registered."""


class ShapeError(NetError):
    """A shape that does not fit the layer it reaches."""


class TooLargeError(ShapeError):
    """A shape of more values or axes than Caffe's blobs have."""


class WeightsError(DreamoptError):
    """A weights or mean file is damaged, or does not fit the net."""


class TargetError(DreamoptError):
    """A layer, unit or label that the net does not have."""


class ObjectiveError(DreamoptError):
    """An objective that cannot be made or evaluated."""


class RegularizerError(DreamoptError):
    """A regularizer that cannot be made or evaluated."""


class OptimizeError(DreamoptError):
    """The optimization cannot continue."""


class DeadGradientError(OptimizeError):
    """The gradient of the objective is exactly zero everywhere in the image."""


class OutOfMemoryError(DreamoptError, MemoryError):
    """More memory than is free: refused beforehand, or used up on the CPU or a GPU. What is smaller can be computed afterwards."""


class BackendError(DreamoptError):
    """A backend or a device that is missing, or that failed."""


class ImageError(DreamoptError):
    """An image that cannot be read or written."""


class FilmError(DreamoptError):
    """A film that cannot be read or written."""


class ModelError(DreamoptError):
    """A public model that is unknown, cannot be fetched, or fails its checksum."""


class TrustError(DreamoptError):
    """What a file asks for and only a user may allow: files to open, programs to run, plugins to import."""


class UsageError(DreamoptError):
    """Arguments that contradict each other or are out of range."""


class DreamoptWarning(UserWarning):
    """Root of all warnings given by dreamopt. Its text is one line, as an error's."""

    def __str__(self) -> str:
        return one_line(super().__str__())


def printable(text: object, most: int | None = None) -> str:
    r"""Return text from outside as a terminal, or a person, may see it: what is not printed as a character is escaped.

    Control characters (escape sequences begin with one), line ends, marks that turn the direction of writing round, and surrogates become
    ``\x1b``, ``\n``, ``\u202e``, as in Python's literals.

    Parameters
    ----------
    text : object
        Its `str` is shown.
    most : int, optional
        The most characters to return; of a longer text the beginning and the end, with ``...`` in between.

    Examples
    --------
    >>> printable("conv\x1b[2J"), printable("one\ntwo"), printable("a long name", most=8)
    ('conv\\x1b[2J', 'one\\ntwo', 'a lo...e')
    """
    shown = str(text)
    if most is not None:
        shown = _shortened(shown, most)  # what is left out need not be escaped, however long it is
    if not shown.isprintable():
        shown = "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in shown)
    return shown if most is None else _shortened(shown, most)


def one_line(text: str) -> str:
    """Return a message as one line, whatever the texts in it are: line ends become spaces, and the rest is made `printable`."""
    return printable(re.sub(r"\s*[\r\n]\s*", " ", _shortened(text, 4 * LONGEST_MESSAGE).strip()), LONGEST_MESSAGE)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = (most - 3) // 3
    return f"{text[: most - 3 - end]}...{text[len(text) - end :]}"


def _is_shown(character: str) -> bool:
    """Return whether a character can be shown as it is: also spaces of any width, and what joins letters of Indic and Arabic writing."""
    return character.isprintable() or character in "\u200c\u200d" or unicodedata.category(character) == "Zs"


def nearest(name: str, names: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return which of the names come near one that is none of them, the nearest first, whatever their case.

    Near is what a slip of the hand makes (one letter wrong, missing, too many or exchanged with its neighbour, two in eight letters, and so
    on), and what is the name with more around it (``resnet_50`` for ``resnet``).

    Parameters
    ----------
    name : str
        As somebody wrote it.
    names : iterable of str
        What there is.
    most : int
        How many at the most.
    cutoff : float
        How near, from 0 (anything) to 1 (equal), by `difflib`; below 0.6 slips of the hand are not asked for.

    Examples
    --------
    >>> nearest("cnov2", ["conv1", "conv2", "relu2"]), nearest("lenet", ["salnet", "caffenet"]), nearest("vgg", ["vgg_cnn_s"])
    (['conv2'], [], ['vgg_cnn_s'])
    """
    lowered = {known.lower(): known for known in names}
    wanted = name.lower()[:_LONGEST_NAME]
    close = difflib.get_close_matches(wanted, lowered, n=20 if cutoff >= 0.6 else most, cutoff=cutoff)
    if cutoff >= 0.6:
        slips = max(1, len(wanted) // 4)
        words = {near: [near, near.replace("_", ""), *(word for word in re.split(r"[\W_]+", near) if len(word) > 3)] for near in close}
        close = [near for near in close if min(_slips(wanted, word) for word in words[near]) <= slips or _is_part(wanted, near)]
    within = sorted((near for near in lowered if near not in close and _is_part(wanted, near)), key=len)
    return [lowered[near] for near in [*close, *within][:most]]


def _is_part(a: str, b: str) -> bool:
    """Return whether one of two names is the other's larger part, or a word of it."""
    short, long = sorted((a, b), key=len)
    if len(short) < 3 or short not in long:
        return False
    return 2 * len(short) >= len(long) or short in re.split(r"[\W_\d]+", long)


def _slips(a: str, b: str) -> int:
    """Return by how many letters two names differ, an exchange of neighbours counting as one."""
    if abs(len(a) - len(b)) > len(a) // 4 + 1:
        return len(a)
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        last, row = row, [i]
        for j, other in enumerate(b, 1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and other == a[i - 2]:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = last
    return row[-1]


def suggest(name: str, names: Iterable[str], most: int = 3, cutoff: float = 0.6) -> str:
    """Return "did you mean ...?" with the names that come near, as `nearest` finds them; nothing where none does.

    >>> suggest("Conv4", ["conv3", "conv4", "relu"]), suggest("x", ["conv3"])
    ('did you mean conv4 or conv3?', '')
    """
    near = nearest(name, names, most, cutoff)
    return f"did you mean {' or '.join(near)}?" if near else ""


_ELSEWHERE = {
    **dict.fromkeys(("lr", "learning_rate", "rate", "alpha"), ("step_size", "lr")),
    **dict.fromkeys(("iterations", "n_iter", "iter_n", "iter", "max_iter", "niter", "num_steps", "n_steps", "epochs"), ("steps",)),
    **dict.fromkeys(("betas",), ("beta1",)),
}
"""What names of other libraries are called here: the first of these that there is."""


def suggest_parameter(name: str, names: Iterable[str]) -> str:
    """Return what `suggest` does for the one nearest name, or the name here of what other libraries call so.

    >>> suggest_parameter("learning_rate", ["step_size", "beta1"]), suggest_parameter("stpes", ["steps"])
    ('did you mean step_size?', 'did you mean steps?')
    """
    known = list(names)
    here = next((one for one in _ELSEWHERE.get(name, ()) if one in known and one != name), None)
    return suggest(name, known, 1) if here is None else f"did you mean {here}?"


def in_brackets(hint: str) -> str:
    """Return a hint to stand behind a name: in brackets after a space; nothing stays nothing.

    >>> in_brackets("did you mean conv4?"), in_brackets("")
    (' (did you mean conv4?)', '')
    """
    return f" ({hint})" if hint else ""
