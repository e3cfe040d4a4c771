"""Folders that a job makes: where nothing came into them, they go again."""

from __future__ import annotations

from pathlib import Path


class MadeFolders:
    """What of folders, and of those above them, is missing when a job begins.

    Parameters
    ----------
    *folders : Path
        Which need not be there.

    Examples
    --------
    >>> import tempfile
    >>> above = Path(tempfile.mkdtemp())
    >>> made = MadeFolders(above / "a" / "b")
    >>> made.make()
    >>> _ = (above / "a" / "kept.txt").write_text("")
    >>> made.remove_empty()
    >>> [path.name for path in sorted(above.rglob("*"))]
    ['a', 'kept.txt']
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._missing = sorted({one for folder in folders for one in (folder, *folder.parents) if not one.exists()}, reverse=True)

    def make(self) -> None:
        """Make the folders; OSError where one cannot be made, and then none is left of those above it."""
        try:
            for folder in self._folders:
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            self.remove_empty()
            raise

    def remove_empty(self) -> None:
        """Remove those that were missing, as far as they are empty."""
        for folder in self._missing:  # what is below comes first
            try:
                folder.rmdir()
            except OSError:  # something is in it, or it was never made
                continue
