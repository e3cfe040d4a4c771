"""Python."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from dreamopt.engine.blob import Blob
from dreamopt.engine.blob_layer import BlobLayer
from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example
from dreamopt.engine.python_layer import PythonLayer
from dreamopt.errors import NetError
from dreamopt.parts.importing import import_failure


class Python(BlobLayer):
    """A layer that runs a Python class, by pycaffe's protocol (`dreamopt.engine.python_layer.PythonLayer`).

    The net that holds it has to be made with ``allow_python_layers=True``: a prototxt can name any module.

    References
    ----------
    Caffe, include/caffe/layers/python_layer.hpp, PythonLayer.
    """

    differs = (
        "runs only where it is allowed (`Net(..., allow_python_layers=True)`); gradients are what its `backward` writes, in programs too"
    )
    examples = (Example('python_param { module: "dreamopt.testing.python_layers" layer: "Tenfold" }', step=1e-2),)
    bottoms = (0, None)
    tops = (0, None)
    instance: Any = None

    def caffe(self) -> CaffeTraits:
        """Say that nobody knows what its code looks at."""
        return CaffeTraits(backward_reads_blobs=True)

    def open(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> list[Blob]:
        """Import the module, make the object and call its ``setup``."""
        self.instance = instance = self._made()
        instance.param_str = self.param.python_param.param_str
        instance.phase = 0 if self.phase == "TRAIN" else 1
        with self._named():
            instance.setup(bottoms, tops)
        blobs: list[Blob] = instance.blobs
        return blobs

    def _made(self) -> PythonLayer:
        p = self.param.python_param
        for field, value in (("module", p.module), ("layer", p.layer)):
            if not value:
                self._refuse(f"python_param has no {field}; it names the module and the class to run")
        try:
            module = importlib.import_module(p.module)
        except KeyboardInterrupt:
            raise
        except ImportError as error:
            hint = " (python -m dreamopt.caffe SCRIPT makes `import caffe` mean dreamopt)" if error.name == "caffe" else ""
            self._refuse(f"its module '{p.module}' cannot be imported: {error}{hint}; its folder has to be on the Python path", error)
        except BaseException as error:  # also one that would end the program
            self._refuse(f"its module '{p.module}' cannot be imported: {import_failure(error)}", error)
        kind = getattr(module, p.layer, None)
        if not (isinstance(kind, type) and issubclass(kind, PythonLayer)):
            self._refuse(f"its module '{p.module}' has no class '{p.layer}' that derives from caffe.Layer")
        with self._named():
            made: PythonLayer = kind(self.param)
        return made

    def _refuse(self, sentence: str, cause: BaseException | None = None) -> NoReturn:
        raise NetError(f"{self.where}: layer '{self.name}' (Python): {sentence}") from cause

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Let what the class raises pass as it is, with a note that says where."""
        try:
            yield
        except Exception as error:
            error.add_note(f"in layer '{self.name}' (Python, class {self.param.python_param.layer}) at {self.where}")
            raise

    def resize(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Call ``reshape``."""
        with self._named():
            self.instance.reshape(bottoms, tops)

    def run(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Call ``forward``."""
        if not hasattr(self.instance, "forward"):
            self._refuse(f"its class '{self.param.python_param.layer}' has no method forward(bottom, top)")
        with self._named():
            self.instance.forward(bottoms, tops)

    def run_back(self, tops: Sequence[Blob], wanted: Sequence[bool], bottoms: Sequence[Blob]) -> None:
        """Call ``backward``."""
        if not hasattr(self.instance, "backward"):
            self._refuse(f"its class '{self.param.python_param.layer}' has no method backward(top, propagate_down, bottom)")
        with self._named():
            self.instance.backward(tops, list(wanted), bottoms)
