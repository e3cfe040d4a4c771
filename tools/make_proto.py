"""Make dreamopt/schema/caffe_pb2.py and caffe_pb2.pyi from caffe.proto: ``python tools/make_proto.py [FOLDER]``.

Any grpcio-tools from 1.75 on gives the same files: the runtime version that its protoc writes into the module is
replaced by the oldest protobuf that the package supports (the module's calls are the same), and the two ways of
declaring an optional bool by the newer one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

SCHEMA = Path(__file__).resolve().parent.parent / "dreamopt" / "schema"
OLDEST_PROTOBUF = (6, 31, 0)  # pyproject.toml's bound
FILES = ("caffe_pb2.py", "caffe_pb2.pyi")


def make(folder: Path) -> None:
    """Write the two files into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        # protoc names the module after the proto's path, which has to be that of the package.
        target = Path(scratch) / "dreamopt" / "schema"
        target.mkdir(parents=True)
        (target / "caffe.proto").write_bytes((SCHEMA / "caffe.proto").read_bytes())
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{scratch}", f"--python_out={scratch}", f"--pyi_out={scratch}"]
        subprocess.run([*command, str(target / "caffe.proto")], check=True)
        for name in FILES:
            (folder / name).write_text(_settle_version((target / name).read_text()))


def _settle_version(text: str) -> str:
    dotted = ".".join(map(str, OLDEST_PROTOBUF))
    text = re.sub(r"(# Protobuf Python Version: )\S+", rf"\g<1>{dotted}", text)
    major, minor, patch = OLDEST_PROTOBUF
    # Strict mypy wants to know what a mapping maps.
    text = text.replace(", _Mapping]", ", _Mapping[str, _Any]]").replace(
        "from typing import ClassVar", "from typing import Any as _Any, ClassVar"
    )
    text = re.sub(r": bool = \.\.\.", ": _Optional[bool] = ...", text)
    return re.sub(r"(Domain\.PUBLIC,\s+)\d+(,\s+)\d+(,\s+)\d+,", rf"\g<1>{major}\g<2>{minor}\g<3>{patch},", text)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else SCHEMA)
