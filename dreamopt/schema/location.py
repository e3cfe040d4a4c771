"""Where in a file something stands, so that errors found later can still say file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamopt.errors import PrototxtError


@dataclass(frozen=True)
class SourceLocation:
    """A line of a file; ``str()`` gives ``file:line``.

    Parameters
    ----------
    file : str
        The file's name as the caller gave it, or what stands for it.
    line : int
        Counted from 1; 0 where there is no line (a net built in memory).
    fields : mapping of str to sequence of int
        For a layer: the lines of the fields in its block, by dotted name.
    own_params : mapping of str to mapping
        For a layer: the blocks of parameters that ``caffe.proto`` does not have, as `dreamopt.schema.layer_types.parse_block` reads them.
    newer : LayerParameter, optional
        For a V1 layer: what forks gave it of V2's, a type that Caffe's V1 has no word for and blocks of parameters.
    problems : list of PrototxtError
        For a layer: what is wrong with its words, if it stays in the net.

    Examples
    --------
    >>> location = SourceLocation("net.prototxt", 12, {"convolution_param.stride": [17]})
    >>> str(location)
    'net.prototxt:12'
    >>> str(location.of("convolution_param.stride"))
    'net.prototxt:17'
    >>> str(location.of("convolution_param.group"))
    'net.prototxt:12'
    """

    file: str
    line: int
    fields: Mapping[str, Sequence[int]] = field(default_factory=dict, repr=False, compare=False)
    own_params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    newer: Any = field(default=None, repr=False, compare=False)
    problems: list[PrototxtError] = field(default_factory=list, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line > 0 else self.file

    def of(self, name: str, index: int = 0) -> SourceLocation:
        """Return the place of a field of this layer, or the layer's own where the file does not give that field.

        Parameters
        ----------
        name : str
            Dotted for a field of a field: ``"pooling_param.kernel_size"``.
        index : int
            Which of a repeated field's values.
        """
        lines = self.fields.get(name, ())
        return SourceLocation(self.file, lines[index]) if index < len(lines) else self
