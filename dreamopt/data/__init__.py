"""The embedded net: ``tiny.prototxt``, ``tiny.caffemodel``, and ``tiny.txt`` with the class names in the order of the scores."""

from pathlib import Path

_FOLDER = Path(__file__).parent
PROTOTXT = _FOLDER / "tiny.prototxt"
WEIGHTS = _FOLDER / "tiny.caffemodel"
LABELS = _FOLDER / "tiny.txt"
