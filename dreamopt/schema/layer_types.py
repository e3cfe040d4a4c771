"""Layer types of one's own: what the reader asks of them, and the blocks of parameters that ``caffe.proto`` does not have.

The reader knows Caffe's types. Of any other it asks whoever computes nets (`describe_types_by`): the engine, by the type's class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dreamopt.errors import PrototxtError
from dreamopt.schema.tokens import NAME, NUMBER, STRING, SYMBOL, Tokens, unquote

OwnValue: TypeAlias = "float | str | bool | list[OwnValue] | Mapping[str, OwnValue]"
"""A number, a string (or an enum's word), a truth value, a list of them for a field that stands several times, or a block."""


@dataclass(frozen=True)
class LayerType:
    """What the reader asks of a layer type.

    Parameters
    ----------
    has_weights : bool
        Whether its layers have weights of their own: they are not left out with the labels.
    own_params : tuple of str
        The blocks of parameters that it reads and ``caffe.proto`` does not have.
    """

    has_weights: bool = False
    own_params: tuple[str, ...] = ()


def _unknown_type(name: str) -> LayerType:
    return LayerType()


def _unknown_word(word: str) -> str:
    return ""


_OF_FORKS = {"convolution3d": "Convolution3D", "deconvolution3d": "Deconvolution3D"}
"""Types that the reader turns into Caffe's, by the letters of their names."""
_describe: Callable[[str], LayerType] = _unknown_type
_find: Callable[[str], str] = _unknown_word


def describe_types_by(describe: Callable[[str], LayerType], find: Callable[[str], str]) -> None:
    """Let the reader ask these functions for what is known of a type, and for the type whose name has these letters."""
    global _describe, _find  # one for the process: the engine's, when it is imported
    _describe, _find = describe, find


def type_of_word(word: str) -> str:
    """Return the V2 type that a word of a V1 net means, where Caffe's V1 does not have that word.

    It is the type of the same letters, such as ``ROIPooling`` for ``ROI_POOLING``; else one of a name as V2's are made.

    Examples
    --------
    >>> type_of_word("VIDEO_CLIP_DATA")
    'VideoClipData'
    """
    letters = word.replace("_", "").lower()
    return _OF_FORKS.get(letters) or _find(letters) or "".join(part.capitalize() for part in word.split("_"))


def layer_type(name: str) -> LayerType:
    """Return what is known of the type of this name; a `LayerType` that says nothing for an unknown one."""
    return _describe(name)


def parse_block(tokens: Tokens, start: int, end: int) -> Mapping[str, OwnValue]:
    """Return the fields of a block of text format, of which no description is known.

    Parameters
    ----------
    tokens : Tokens
        The text; brackets in the block are known to match.
    start, end : int
        The tokens after the opening brace, and of the closing one.

    Returns
    -------
    mapping
        By name: a number, a string, True or False, a mapping for a block; a list where the field stands several times or is a list.

    Raises
    ------
    PrototxtError
        For what is no field, with file and line.
    """
    kinds, values = tokens.kinds, tokens.values
    blocks: list[dict[str, OwnValue]] = [{}]
    position = start
    while position < end:
        if kinds[position] == SYMBOL and values[position] in "}>":
            blocks.pop()
            position += 1
        elif kinds[position] == SYMBOL and values[position] in ",;":
            position += 1
        elif kinds[position] != NAME:
            raise PrototxtError(f"{tokens.file}:{tokens.line(position)}: '{values[position]}' stands where a field's name is expected")
        else:
            name, position = values[position], position + 1
            position += values[position] == ":"
            if kinds[position] == SYMBOL and values[position] in "{<":
                block: dict[str, OwnValue] = {}
                _add(blocks[-1], name, block)
                blocks.append(block)
                position += 1
            elif values[position] == "[" and kinds[position] == SYMBOL:
                items: list[OwnValue] = []
                position += 1
                while values[position] != "]" or kinds[position] != SYMBOL:
                    if position >= end:
                        raise PrototxtError(f"{tokens.file}:{tokens.line(start)}: the list of '{name}' has no closing ']'")
                    if values[position] == "," and kinds[position] == SYMBOL:
                        position += 1
                        continue
                    value, position = _scalar(tokens, position)
                    items.append(value)
                position += 1
                present = blocks[-1].get(name, [])
                blocks[-1][name] = [*(present if isinstance(present, list) else [present]), *items]
            else:
                value, position = _scalar(tokens, position)
                _add(blocks[-1], name, value)
    return blocks[0]


def _add(block: dict[str, OwnValue], name: str, value: OwnValue) -> None:
    """Put a field's value into a block; a list where one stands there already."""
    if name in block:
        present = block[name]
        block[name] = [*present, value] if isinstance(present, list) else [present, value]
    else:
        block[name] = value


def _scalar(tokens: Tokens, position: int) -> tuple[OwnValue, int]:
    kinds, values = tokens.kinds, tokens.values
    if kinds[position] == STRING:
        pieces = []
        while kinds[position] == STRING:
            pieces.append(unquote(values[position]))
            position += 1
        return b"".join(pieces).decode("utf-8", "surrogateescape"), position
    negative = kinds[position] == SYMBOL and values[position] == "-"
    position += negative
    word = values[position]
    if kinds[position] == NAME and word.lower() in ("inf", "infinity", "nan"):
        return -float(word) if negative else float(word), position + 1
    if kinds[position] == NAME and not negative:
        return {"true": True, "false": False}.get(word, word), position + 1
    if kinds[position] != NUMBER:
        raise PrototxtError(f"{tokens.file}:{tokens.line(position)}: '{word}' stands where a number, word, string or block is expected")
    try:
        number: float = int(word, 16 if word[:2] in ("0x", "0X") else 8 if word[0] == "0" and word[1:].isdigit() and len(word) > 1 else 10)
    except ValueError:
        try:
            number = float(word.rstrip("fF"))
        except ValueError:
            raise PrototxtError(f"{tokens.file}:{tokens.line(position)}: '{word}' is no number") from None
    return -number if negative else number, position + 1
