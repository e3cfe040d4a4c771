"""Writing the files of the pages: each whole or not at all, and only where it changes something."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from dreamopt.atlas.site.source import SLUG
from dreamopt.parts.atomic import output_file

LAYERS = "site/layers"
"""The folder of the layers' data; its names say which layers have pages."""
_PAGE = re.compile(r"(index|\d+)\.html")


class Output:
    """What is written below a folder.

    Parameters
    ----------
    root : Path
        The atlas's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: set[str] = set()
        """Paths that the pages consist of."""

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file, unless it holds this already."""
        data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
        self.kept.add(path)
        target = self.root / path
        if target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data:
            return
        with output_file(target, durable=False) as stream:
            stream.write(data)

    def is_newer(self, path: str, source: str) -> bool:
        """Return whether a file was made after another had last changed; it is one of the pages' from now on."""
        self.kept.add(path)
        target = self.root / path
        state = target.stat() if target.is_file() else None
        return state is not None and state.st_size > 0 and state.st_mtime_ns >= (self.root / source).stat().st_mtime_ns

    def has(self, path: str) -> bool:
        """Return whether a file is there whose name says what is in it; it is one of the pages' from now on."""
        self.kept.add(path)
        return (self.root / path).is_file() and (self.root / path).stat().st_size > 0

    def remove_others(self, folders: Iterable[str], endings: tuple[str, ...]) -> None:
        """Remove files of earlier pages in folders, by their endings, that no page shows any more."""
        for folder in folders:
            for place, _, names in os.walk(self.root / folder):
                for name in names:
                    path = Path(place, name)
                    if name.endswith(endings) and path.relative_to(self.root).as_posix() not in self.kept:
                        path.unlink(missing_ok=True)

    def remove_layers(self, kept: Container[str]) -> None:
        """Remove the pages of layers, by their addresses, that earlier pages had and these have not; a folder that holds more stays."""
        for data in (self.root / LAYERS).glob("*.js"):
            if data.stem not in kept and SLUG.fullmatch(data.stem):
                for page in (self.root / data.stem).glob("*.html"):
                    if _PAGE.fullmatch(page.name):
                        page.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    (self.root / data.stem).rmdir()
                data.unlink(missing_ok=True)


def script(call: str, *values: Any) -> str:
    r"""Return a classic script that hands data to a function; pages from a disk may load nothing else.

    >>> script("atlasData.put", "layer", ["</script>"])
    'atlasData.put("layer",["\\u003c/script\\u003e"]);\n'
    """
    written = ",".join(json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")) for value in values)
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return f"{call}({written});\n"
