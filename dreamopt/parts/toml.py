"""Values as TOML has them; what reads TOML is `dreamopt.parts.reading.parse_toml`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def toml_value(value: Any) -> str:
    r"""Return a value as TOML has it.

    >>> toml_value(("conv4:7", True, 0.5, 'say "no"'))
    '["conv4:7", true, 0.5, "say \\"no\\""]'
    >>> toml_value({"views": 2, "tv.weight": 0.1})
    '{ views = 2, "tv.weight" = 0.1 }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml_key(name)} = {toml_value(entry)}' for name, entry in value.items())} }}" if value else "{}"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML has escaped, and halves of characters, which no file in UTF-8 holds.
        text = value.encode("utf-8", "replace").decode("utf-8")
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def toml_key(name: str) -> str:
    """Return a key as TOML has it, quoted where it must be.

    >>> toml_key("views"), toml_key("tv.weight")
    ('views', '"tv.weight"')
    """
    return name if name.isidentifier() and name.isascii() else toml_value(name)
