"""Templates of pages: everything that is filled in is escaped, and shown without control characters."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from typing import Any

from dreamopt.errors import UsageError, printable
from dreamopt.version import __version__


def page_templates(package: str, what: str, extra: str) -> Any:
    """Return jinja2's environment of the files in a package's ``templates`` folder; its pages know dreamopt's ``version``.

    Parameters
    ----------
    package : str
        Whose folder it is.
    what : str
        Who needs it, for the error: "a report needs".
    extra : str
        Of dreamopt, with which jinja2 is installed.

    Raises
    ------
    UsageError
        Where jinja2 is not installed.
    """
    if find_spec("jinja2") is None:
        raise UsageError(f"{what} jinja2, which is not installed: pip install 'dreamopt[{extra}]'")
    import jinja2

    folder = resources.files(package).joinpath("templates")
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith((".html", ".css"))}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    return environment


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
