"""Reading protobuf's text format, as Caffe's C++ parser takes it, with errors that say file, line and layer.

``google.protobuf.text_format`` cannot warn about an unknown field and go on, nor tell where a layer stood.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor

from dreamopt.errors import DreamoptWarning, PrototxtError, nearest
from dreamopt.parts.limits import exceeds
from dreamopt.schema.caffe_pb2 import LayerParameter
from dreamopt.schema.fields import Field, fields_of
from dreamopt.schema.layer_types import layer_type, parse_block, type_of_word
from dreamopt.schema.location import SourceLocation
from dreamopt.schema.tokens import END, NAME, NUMBER, STRING, SYMBOL, Tokens, unquote

_CLOSING = {"{": "}", "<": ">", "[": "]"}
_LAYERS = ("layer", "layers")
_MOST_UNKNOWN = 100
_MOST_LISTED, _NEAR_LISTED = 12, 5  # of a choice's names, in an error
_INTELS_ENGINES = ("MKL2017", "MKLDNN")  # Intel's Caffe: other code for the same numbers


class Reading:
    r"""A text read into a message.

    Parameters
    ----------
    text : str
        Text format.
    message : Message
        An empty message, filled in place.
    file : str
        The name that errors and places give.
    strict : bool
        Refuse unknown fields instead of warning and skipping them.
    tolerant : bool
        Read the words of forks in V1 layers, ``type: CROP`` and V2's blocks of parameters, into ``SourceLocation.newer``; put the error for
        a word that a layer's field does not take into ``SourceLocation.problems`` instead of raising it: the layer may be left out.

    Attributes
    ----------
    layers : list of SourceLocation
        The blocks called ``layer`` or ``layers``, in the order of the file.
    top : SourceLocation
        The file, with the lines of its outermost fields.
    unknown : list of str
        One sentence for each unknown field that was left out; each was given as a warning too.

    Raises
    ------
    PrototxtError
        For text that Caffe's parser refuses as well.

    Examples
    --------
    >>> from dreamopt.schema.caffe_pb2 import NetParameter
    >>> net = NetParameter()
    >>> reading = Reading('name: "a"\nlayer { name: "x" }', net, "a.prototxt")
    >>> net.layer[0].name, str(reading.layers[0])
    ('x', 'a.prototxt:2')
    """

    def __init__(self, text: str, message: Any, file: str, *, strict: bool = False, tolerant: bool = False) -> None:
        self.file = file
        self.strict = strict
        self.tolerant = tolerant and not strict
        self.layers: list[SourceLocation] = []
        top: dict[str, list[int]] = {}
        self.top = SourceLocation(file, 0, top)
        self._tokens = Tokens(text, file)
        self._at = 0
        self._layer_start: int | None = None
        self._left_out: dict[tuple[str, str], tuple[str, int]] = {}
        self._block(message, "", "", top, 0)
        for problem in message.FindInitializationErrors():
            self._missing(problem)
        # One warning a field: a fork's net may have it in each of its layers.
        self.unknown = [sentence + (f", here and {more} more times" if more else "") for sentence, more in self._left_out.values()]
        for sentence in self.unknown:
            warnings.warn(sentence, DreamoptWarning, stacklevel=2)

    # ---- blocks ------------------------------------------------------------------------------------------------

    def _block(self, message: Any, close: str, path: str, lines: dict[str, list[int]], opening: int) -> None:
        table = fields_of(message.DESCRIPTOR)
        kinds, values = self._tokens.kinds, self._tokens.values
        while True:
            at = self._at
            if kinds[at] != NAME:
                if self._ends(close, message.DESCRIPTOR, opening):
                    return
                continue
            name = values[at]
            field, owner = table.get(name), message
            if field is None and self._takes_newer(message.DESCRIPTOR, name):
                field, owner = _NEWER[name], self.layers[-1].newer
            if field is None:
                if not self._own_param(name, message.DESCRIPTOR, lines):
                    self._unknown(name, message.DESCRIPTOR, table)
                continue
            self._at = at + 1
            lines.setdefault(path + name, []).append(self._tokens.line(at))
            if not field.repeated and owner.HasField(name):
                raise self._error(at, f"'{name}' is given twice in one {message.DESCRIPTOR.name}, which takes it once")
            self._field(owner, field, at, path, lines)
            if values[self._at] in (";", ",") and kinds[self._at] == SYMBOL:
                self._at += 1

    def _ends(self, close: str, message: Descriptor, opening: int) -> bool:
        """Take what ends a block; skip an extension (False); refuse anything else."""
        kind, value = self._tokens.kinds[self._at], self._tokens.values[self._at]
        if kind == END:
            if close:
                raise self._error(opening, f"the block that opens here has no closing '{close}'")
            return True
        if kind == SYMBOL and value == close:
            self._at += 1
            return True
        if kind == SYMBOL and value == "[":
            self._unknown("[...]", message, {})
            return False
        what = f"'{value}'" if kind != STRING else "a string"
        ending = f" or '{close}'" if close else ""
        raise self._error(self._at, f"{what} stands where a field of {message.name}{ending} is expected")

    def _field(self, message: Any, field: Field, at: int, path: str, lines: dict[str, list[int]]) -> None:
        has_colon = self._take(":")
        if not has_colon and field.message is None:
            raise self._error(at, f"'{field.name}' takes a value after a colon: {field.name}: {_example(field)}")
        if not (field.repeated and self._take("[")):
            self._value(message, field, at, path, lines)
        elif not self._take("]"):
            self._value(message, field, at, path, lines)
            while not self._take("]"):
                if not self._take(","):
                    raise self._error(self._at, f"the list of '{field.name}' goes on with ',' or ends with ']', not with {self._shown()}")
                lines[path + field.name].append(self._tokens.line(self._at))
                self._value(message, field, at, path, lines)

    def _value(self, message: Any, field: Field, at: int, path: str, lines: dict[str, list[int]]) -> None:
        if field.message is None:
            try:
                value = self._scalar(field)
            except PrototxtError as problem:
                if not self._is_tolerated(message.DESCRIPTOR, field, path, problem):
                    raise
                return
            if field.repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
            return
        opening = self._at
        bracket = self._tokens.values[opening]
        if self._tokens.kinds[opening] != SYMBOL or bracket not in ("{", "<"):
            raise self._error(opening, f"'{field.name}' takes a block in braces ({field.name} {{ ... }}), not {self._shown()}")
        self._at = opening + 1
        if field.repeated:
            inner = getattr(message, field.name).add()
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
        if self._layer_start is None and path == "" and field.name in _LAYERS:
            inside: dict[str, list[int]] = {}
            self._own_params: dict[str, Mapping[str, Any]] = {}
            self._type: str | None = None
            allowed = exceeds("layers", len(self.layers) + 1)
            if allowed:
                raise PrototxtError(f"{self.file}:{self._tokens.line(at)}: layer {len(self.layers) + 1} begins here, but {allowed}")
            newer = LayerParameter() if inner.DESCRIPTOR.name == _V1 else None
            self.layers.append(SourceLocation(self.file, self._tokens.line(at), inside, self._own_params, newer))
            self._layer_start = opening
            self._block(inner, _CLOSING[bracket], "", inside, at)
            self._layer_start = None
        else:
            self._block(inner, _CLOSING[bracket], f"{path}{field.name}.", lines, at)

    # ---- values ------------------------------------------------------------------------------------------------

    def _scalar(self, field: Field) -> Any:
        start = self._at
        kind = self._tokens.kinds[start]
        if field.kind in ("string", "bytes"):
            return self._string(field)
        negative = field.kind != "bool" and self._take("-")
        kind, word = self._tokens.kinds[self._at], self._tokens.values[self._at]
        self._at += 1
        value: Any = None
        if kind == NUMBER:
            value = _number(word, field.kind)
        elif kind == NAME and field.kind == "float" and word.lower() in ("inf", "infinity", "nan"):
            value = float(word)
        elif kind == NAME and field.kind == "bool" and word in ("true", "True", "t", "false", "False", "f"):
            value = word in ("true", "True", "t")
        elif kind == NAME and field.kind == "enum" and not negative:
            value = field.choices.get(word)
            if value is None and field.name == "engine" and word in _INTELS_ENGINES and not self.strict:
                value = field.choices["DEFAULT"]
        if value is not None and negative:
            value = -value
        if (
            value is None
            or (field.kind == "integer" and not field.lowest <= value <= field.highest)
            or (field.kind == "enum" and value not in field.choices.values())
            or (field.kind == "bool" and value not in (0, 1))
        ):
            self._at = start
            raise self._value_error(field, start)
        return bool(value) if field.kind == "bool" else value

    def _string(self, field: Field) -> str | bytes:
        start = self._at
        pieces: list[bytes] = []
        while self._tokens.kinds[self._at] == STRING:
            try:
                pieces.append(unquote(self._tokens.values[self._at]))
            except ValueError as error:
                raise self._error(self._at, f"in the string of '{field.name}', {error}") from None
            self._at += 1
        if not pieces:
            raise self._value_error(field, start)
        joined = b"".join(pieces)
        if field.kind == "bytes":
            return joined
        try:
            return joined.decode()
        except UnicodeDecodeError as error:
            raise self._error(start, f"the string of '{field.name}' has the byte 0x{joined[error.start]:02x}, which is not UTF-8") from None

    def _value_error(self, field: Field, at: int) -> PrototxtError:
        value_text = self._shown()
        if value_text == "'-'":
            value_text = f"'-{self._tokens.values[at + 1]}'"
        if field.kind == "enum":
            near = _nearest(value_text.strip("'\""), field.choices)
            names = sorted(field.choices, key=lambda name: field.choices[name])
            if len(names) > _MOST_LISTED:
                close = nearest(value_text.strip("'\""), names, _NEAR_LISTED, cutoff=0.4)
                names = [*(close or names[:_NEAR_LISTED]), f"another of Caffe's {len(names)}"]
            allowed = f"one of {', '.join(names)}"
            hint = (
                f" (did you mean {near}, without quotes?)"
                if near and self._tokens.kinds[at] == STRING
                else f" (did you mean {near}?)"
                if near
                else ""
            )
            return self._error(at, f"'{field.name}' is {value_text}{hint}, but has to be {allowed}")
        if field.kind == "integer" and self._tokens.kinds[at] in (NUMBER, SYMBOL):
            return self._error(at, f"'{field.name}' is {value_text}, but has to be a whole number from {field.lowest} to {field.highest}")
        return self._error(at, f"'{field.name}' is {value_text}, but has to be {_EXPECTED[field.kind]}")

    # ---- what forks added to V1, and words that layers left out may have ---------------------------------------

    def _takes_newer(self, message: Descriptor, name: str) -> bool:
        """Return whether a V1 layer's field is one of V2's blocks of parameters, as forks added them."""
        return self.tolerant and message.name == _V1 and name in _NEWER and name.endswith("_param")

    def _is_tolerated(self, message: Descriptor, field: Field, path: str, problem: PrototxtError) -> bool:
        """Step over a word that is none of a field's choices: a fork's V1 type, or what only matters if the layer stays in the net."""
        word = self._tokens.values[self._at]
        if not self.tolerant or field.kind != "enum" or self._tokens.kinds[self._at] != NAME or self._layer_start is None:
            return False
        if path.startswith(("include.", "exclude.")):  # which decide whether the layer stays
            return False
        if message.name == _V1 and field.name == "type":
            self.layers[-1].newer.type = type_of_word(word)
        else:
            self.layers[-1].problems.append(problem)
        self._at += 1
        return True

    # ---- unknown fields, errors --------------------------------------------------------------------------------

    def _own_param(self, name: str, message: Descriptor, lines: dict[str, list[int]]) -> bool:
        """Read a block of parameters that ``caffe.proto`` does not have, if the layer's type reads it."""
        if (
            self.strict
            or self._layer_start is None
            or message.name not in ("LayerParameter", _V1)
            or name not in layer_type(self._layer_type()).own_params
        ):
            return False
        start = self._at
        if name in self._own_params:
            raise self._error(start, f"'{name}' is given twice in one layer, which takes it once")
        opening = start + 1 + (self._tokens.values[start + 1] == ":")
        if self._tokens.kinds[opening] != SYMBOL or self._tokens.values[opening] not in ("{", "<"):
            self._at = opening
            raise self._error(opening, f"'{name}' takes a block in braces ({name} {{ ... }}), not {self._shown()}")
        self._skip(name)
        closing = self._at - 1
        while self._tokens.values[closing] not in ("}", ">"):  # a comma may stand behind it
            closing -= 1
        lines.setdefault(name, []).append(self._tokens.line(start))
        self._own_params[name] = parse_block(self._tokens, opening + 1, closing)
        return True

    def _layer_type(self) -> str:
        """Return the type of the layer being read, which may come after the field that is asked about."""
        if self._type is None:
            self._type = self._found_type()
        return self._type

    def _found_type(self) -> str:
        kinds, values = self._tokens.kinds, self._tokens.values
        depth = 0
        for i in range(self._layer_start or 0, len(kinds) - 2):
            if kinds[i] == SYMBOL and values[i] in ("{", "<"):
                depth += 1
            elif kinds[i] == SYMBOL and values[i] in ("}", ">"):
                depth -= 1
                if depth == 0:
                    break
            elif kinds[i] == NAME and values[i] == "type" and depth == 1 and kinds[i + 2] == STRING:
                return values[i + 2][1:-1]
            elif kinds[i] == NAME and values[i] == "type" and depth == 1 and kinds[i + 2] == NAME:
                return type_of_word(values[i + 2])
        return ""

    def _unknown(self, name: str, message: Descriptor, table: Iterable[str]) -> None:
        at = self._at
        first = self._left_out.get((message.name, name))
        if first is not None and not self.strict:
            self._left_out[message.name, name] = (first[0], first[1] + 1)
            self._skip(name)
            return
        if len(self._left_out) >= _MOST_UNKNOWN:
            raise self._error(at, f"the text has more than {_MOST_UNKNOWN} fields that Caffe does not know, such as '{name}': it is no net")
        near = _nearest(name, table)
        hint = f" (did you mean '{near}'?)" if near else ""
        sentence = f"{message.name} has no field '{name}'{hint}"
        if self.strict:
            raise self._error(at, f"{sentence}, and strict reading allows none but Caffe 1.0's")
        self._left_out[message.name, name] = (f"{self._where(at)}{sentence}; it is left out", 0)
        self._skip(name)

    def _skip(self, name: str) -> None:
        """Step over a field of unknown type: name, colon, then a scalar, list or block; without recursion, however deep."""
        start = self._at
        kinds, values = self._tokens.kinds, self._tokens.values
        if kinds[start] == NAME:
            self._at += 1
        else:  # an extension's name: [a.b.c]
            while kinds[self._at] != END and values[self._at] != "]":
                self._at += 1
            self._at = min(self._at + 1, len(kinds) - 1)
        has_colon = self._take(":")
        closing: list[str] = []
        if kinds[self._at] == SYMBOL and values[self._at] in _CLOSING:
            while True:
                kind, value = kinds[self._at], values[self._at]
                if kind == END:
                    raise self._error(start, f"the block of the unknown field '{name}' has no closing '{closing[-1]}'")
                self._at += 1
                if kind == SYMBOL and value in _CLOSING:
                    closing.append(_CLOSING[value])
                elif kind == SYMBOL and value in "}>]":
                    if value != closing.pop():
                        raise self._error(self._at - 1, f"'{value}' closes nothing that is open in the unknown field '{name}'")
                    if not closing:
                        break
        elif not has_colon:
            raise self._error(start, f"the unknown field '{name}' has neither a colon nor a block after it")
        elif kinds[self._at] == STRING:
            while kinds[self._at] == STRING:
                self._at += 1
        else:
            self._take("-")
            if kinds[self._at] not in (NAME, NUMBER):
                raise self._error(self._at, f"the unknown field '{name}' has no value, but {self._shown()}")
            self._at += 1
        if kinds[self._at] == SYMBOL and values[self._at] in ",;":
            self._at += 1

    def _take(self, symbol: str) -> bool:
        if self._tokens.values[self._at] == symbol and self._tokens.kinds[self._at] == SYMBOL:
            self._at += 1
            return True
        return False

    def _shown(self) -> str:
        kind, value = self._tokens.kinds[self._at], self._tokens.values[self._at]
        if kind == END:
            return "the end of the file"
        return (value if len(value) < 60 else value[:57] + "...") if kind == STRING else f"'{value}'"

    def _layer_name(self) -> str:
        """Find the name of the layer being read, which may come after the place of the error."""
        if self._layer_start is None:
            return ""
        kinds, values = self._tokens.kinds, self._tokens.values
        depth = 0
        for i in range(self._layer_start, len(kinds) - 2):
            if kinds[i] == SYMBOL and values[i] in ("{", "<"):
                depth += 1
            elif kinds[i] == SYMBOL and values[i] in ("}", ">"):
                depth -= 1
                if depth == 0:
                    break
            elif kinds[i] == NAME and values[i] == "name" and kinds[i + 2] == STRING and (depth == 1 or values[i - 2] == "layer"):
                return values[i + 2][1:-1]
            elif (
                kinds[i] == NAME
                and values[i] in _LAYERS
                and i > self._layer_start
                and depth == 1
                and values[i + 1] == "{"
                and values[i] == "layers"
            ):
                break  # a forgotten brace: this is the next layer already
        return ""

    def _where(self, at: int) -> str:
        layer = self._layer_name()
        return f"{self.file}:{self._tokens.line(at)}: " + (f"layer '{layer}': " if layer else "")

    def _error(self, at: int, sentence: str) -> PrototxtError:
        return PrototxtError(f"{self._where(at)}{sentence}")

    def _missing(self, problem: str) -> None:
        """Refuse a block that lacks a required field; ``problem`` is such as ``layer[3].clip_param.min``."""
        where: SourceLocation | str = self.file
        if problem.startswith("layer["):
            index = int(problem[len("layer[") : problem.index("]")])
            parent = problem.split(".", 1)[1].rpartition(".")[0]
            where = self.layers[index].of(parent)
        raise PrototxtError(f"{where}: the field '{problem}' is missing, and has to be given")


_V1 = "V1LayerParameter"
_NEWER = fields_of(LayerParameter.DESCRIPTOR)
_EXPECTED = {
    "string": "a string in quotes",
    "bytes": "a string in quotes",
    "float": "a decimal number, inf or nan",
    "bool": "true or false",
    "integer": "a whole number",
}


def _example(field: Field) -> str:
    return {"string": '"..."', "bytes": '"..."', "float": "0.5", "bool": "true", "integer": "1"}.get(
        field.kind, next(iter(field.choices), "")
    )


def _nearest(name: str, candidates: Iterable[str]) -> str:
    candidates = list(candidates)
    folded = {candidate.lower().replace("_", ""): candidate for candidate in candidates}
    same = folded.get(name.lower().replace("_", ""))
    close = nearest(name, candidates, 1)
    return same if same is not None else close[0] if close else ""


def _number(word: str, kind: str) -> float | None:
    """Return a number's value if it is written in a way that a field of this kind takes, else None."""
    hexadecimal = word[:2] in ("0x", "0X")
    octal = word[0] == "0" and word[1:2].isdigit()
    decimal = not hexadecimal and not octal
    whole = hexadecimal or word.isdigit()
    if kind == "float":
        return float(word.rstrip("fF")) if decimal else None
    if not whole:
        return None
    try:
        return int(word, 16 if hexadecimal else 8 if octal else 10)
    except ValueError:  # an 8 or 9 in an octal number, or more digits than Python likes to convert
        return None
