"""The commands that give what a view shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dreamopt.objective import Objective
from dreamopt.recipes.command import as_argument


@dataclass(frozen=True)
class Commands:
    """The commands of views, on the net that is explored.

    Parameters
    ----------
    net : str
        The net, as it was named.
    net_words : sequence of str
        The words that load just this net: ``--net``, its name, and other options.
    join : callable
        Returns words as a shell reads them.

    Examples
    --------
    >>> commands = Commands("tiny", ("--net", "tiny"), " ".join)
    >>> print(commands.activations("cat.jpg", "conv2:7", "conv2-7.png"))
    dreamopt activations cat.jpg --net tiny -t conv2:7 -o conv2-7.png
    """

    net: str
    net_words: Sequence[str]
    join: Callable[[Sequence[str]], str]

    def _of(self, name: str, *words: str) -> str:
        return self.join(["dreamopt", name, *words])

    def inspect(self) -> str:
        """Return the command that lists the layers."""
        return self._of("inspect", as_argument(self.net), *self.net_words[2:])

    def scores(self, photo: str) -> str:
        """Return the command that prints a photograph's class scores."""
        return self._of("activations", as_argument(photo), *self.net_words)

    def activations(self, photo: str, target: str, out: str, scale: str = "layer") -> str:
        """Return the command that writes the maps of a layer's units, or of one unit."""
        scaled = [] if scale == "layer" else ["--range", scale]
        return self._of("activations", as_argument(photo), *self.net_words, "-t", target, *scaled, "-o", out)

    def attribute(self, photo: str, objective: Objective, method: str, out: str) -> str:
        """Return the command that writes what in a photograph a unit answers to, its overlay beside it."""
        return self._of("attribute", as_argument(photo), *self.net_words, "-t", str(objective), "-m", method, "-o", out)

    def render(self, objective: Objective, preset: str, settings: dict[str, int], out: str) -> str:
        """Return the command that renders the image of a unit."""
        said = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        return self._of("render", *self.net_words, "-t", str(objective), "--preset", preset, *said, "-o", out)
