"""Commands as a user types them."""

import shlex
from collections.abc import Sequence


def shell_command(words: Sequence[str]) -> str:
    r"""Return the command of these words as a shell reads it, on one line that a terminal can show safely.

    >>> print(shell_command(["dreamopt", "replay", "my cat.png", "--net", "a\x1b[2J"]))
    dreamopt replay 'my cat.png' --net $'a\x1b[2J'
    """
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    """Return a word in which bytes that are no printed characters stand as Bash, Zsh and the POSIX shell of 2024 write them."""
    shown = []
    for character in word.replace("\\", r"\\").replace("'", r"\'"):
        encoded = (
            b"" if character.isprintable() else character.encode("utf-8", "surrogatepass" if _is_lone(character) else "surrogateescape")
        )
        shown.append("".join(f"\\x{byte:02x}" for byte in encoded) or character)
    return f"$'{''.join(shown)}'"


def _is_lone(character: str) -> bool:
    """Return whether it is half of a surrogate pair that stands for no byte."""
    return 0xD800 <= ord(character) <= 0xDFFF and not 0xDC80 <= ord(character) <= 0xDCFF
