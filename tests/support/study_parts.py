"""Transforms that another process can import, for tests of what goes wrong there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dreamopt.image.transform import Transform
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Deadly(Transform):
    """Kills its process as often as its file has letters, one of which goes each time."""

    path: str

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        file = Path(self.path)
        letters = file.read_text()
        if letters and not image.is_meta:
            file.write_text(letters[1:])
            os.kill(os.getpid(), signal.SIGKILL)
        return image


@dataclass(frozen=True)
class Loud(Transform):
    """Prints, as a net's layer may."""

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        print("a lot of words" * 1000, flush=True)
        print("and complaints" * 1000, file=sys.stderr, flush=True)
        os.write(1, b"past Python")
        return image


@dataclass(frozen=True)
class Environment:
    """A task that returns a variable of the environment."""

    name: str

    def do(self, maker: object) -> str | None:
        return os.environ.get(self.name)


@dataclass(frozen=True)
class Mistaken(Transform):
    """A mistake in a program."""

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        if not image.is_meta:
            raise ZeroDivisionError("a mistake")
        return image
