"""What was in a folder before a job began, so that a job that is refused leaves it so."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from dreamopt.parts.folders import MadeFolders


class Before:
    """The state of an atlas's folder when a job takes it.

    Parameters
    ----------
    folder : Path
        Which need not be there.
    state : str
        The folder in it of a pass over images.
    lock : str
        The file in it by which a job takes it.
    """

    def __init__(self, folder: Path, state: str, lock: str) -> None:
        self._state, self._lock = folder / state, folder / lock
        self._made = MadeFolders(folder)
        self._had_state, self._had_lock = self._state.exists(), self._lock.exists()

    @property
    def has_new_state(self) -> bool:
        """Whether a pass over images was begun since."""
        return self._state.exists() and not self._had_state

    def restore(self) -> None:
        """Remove the state and the lock that are new, the lock while it is held; `remove_folders` follows when it is not."""
        with contextlib.suppress(OSError):
            if self.has_new_state:
                shutil.rmtree(self._state)
            if not self._had_lock:
                self._lock.unlink(missing_ok=True)

    def remove_folders(self) -> None:
        """Remove the folders that were not there, as far as they are empty."""
        self._made.remove_empty()
