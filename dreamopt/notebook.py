"""In a Jupyter notebook: an image that is shown as it grows."""

from __future__ import annotations

import time

from dreamopt.image.inline import card
from dreamopt.optimize import Progress
from dreamopt.parts.checks import NOT_NEGATIVE, check_number
from dreamopt.progress.audience import in_kernel
from dreamopt.progress.notebook import Place
from dreamopt.recipes.preview import preview_image

SIDE = 384
"""Pixels of the longer side of a shown image."""


class Live:
    """A callback that shows a batch's first image, its step and its value below the cell, again and again in the same place.

    Outside a notebook it does nothing, so that a script may keep it. It decides nothing of the images.

    Parameters
    ----------
    every : float
        Seconds between two, at least 0; the first step and the last of each run are always shown.
    channels : str
        How channels are shown, as `dreamopt.recipes.Settings` has it.

    Raises
    ------
    UsageError
        For a time that is none.

    Examples
    --------
    >>> import dreamopt
    >>> net = dreamopt.load_net()
    >>> [one] = dreamopt.render(net, "conv2:3", steps=1, size=48, callbacks=[Live()])
    """

    def __init__(self, every: float = 1.0, channels: str = "auto") -> None:
        self.every, self.channels = float(check_number("every", every, NOT_NEGATIVE)), channels
        self._shown: float | None = None
        self._place = Place()

    def __call__(self, progress: Progress) -> None:
        """Show the image, if it is time."""
        last = progress.step + 1 >= progress.steps
        now = time.monotonic()
        if not in_kernel() or (self._shown is not None and now - self._shown < self.every and not last):
            return
        self._shown = now
        self._place.show(self.html(progress))

    def html(self, progress: Progress) -> str:
        """Return what is shown after a step."""
        images, network = progress.images()[:1], progress.problem.network
        picture = preview_image(images, network, self.channels, SIDE) if network.has_image_input else None
        value = float(progress.values[0])
        facts = {"step": f"{progress.step + 1} of {progress.steps}", "value": f"{value:.4g}", "octave": progress.octave + 1}
        objective = str(progress.problem.objective.item(0))
        return card(objective, facts, [] if picture is None else [(picture, objective)])
