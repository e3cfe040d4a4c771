"""SSD's labelmap: a prototxt of ``item { name: "n02084071" label: 12 display_name: "dog" }``."""

from __future__ import annotations

from dreamopt.schema.caffe_pb2 import LabelMap
from dreamopt.schema.textformat import Reading


def read_label_map(text: str, file: str) -> list[tuple[int | None, str]]:
    """Return the number and the name of each class; the display name where there is one.

    Parameters
    ----------
    text : str
        What the file holds.
    file : str
        Its name, for errors.

    Raises
    ------
    PrototxtError
        For text that is no labelmap.

    Examples
    --------
    >>> read_label_map('item { name: "n0" label: 12 display_name: "dog" } item { name: "cat" }', "labelmap.prototxt")
    [(12, 'dog'), (None, 'cat')]
    """
    message = LabelMap()
    Reading(text, message, file)
    return [
        (
            item.label if item.HasField("label") else item.id if item.HasField("id") else None,
            item.display_name if item.HasField("display_name") else item.name,
        )
        for item in message.item
    ]
