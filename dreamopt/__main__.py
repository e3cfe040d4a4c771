"""``python -m dreamopt`` is ``dreamopt``."""

import os
import sys


def installed_first(path: list[str], folder: str) -> None:
    """Let modules of the current folder, where Python begins to look for a module that it runs, come last, as for the command ``dreamopt``.

    >>> path = ["/home/me", "/usr/lib/python3.11"]
    >>> installed_first(path, "/home/me")
    >>> path
    ['/usr/lib/python3.11', '/home/me']
    """
    if path and path[0] in ("", folder):
        path.append(path.pop(0))


if __name__ == "__main__":
    installed_first(sys.path, os.getcwd())

    from dreamopt.cli import main

    main(prog_name="dreamopt")
