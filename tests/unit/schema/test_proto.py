"""The generated module is what caffe.proto says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from dreamopt.schema import caffe_pb2

REPOSITORY = Path(__file__).resolve().parents[3]


def test_generated_files_are_up_to_date(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools makes the module; it is in the dev extra")
    spec = importlib.util.spec_from_file_location("make_proto", REPOSITORY / "tools" / "make_proto.py")
    assert spec is not None
    assert spec.loader is not None
    make_proto = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_proto)
    make_proto.make(tmp_path)
    for name in make_proto.FILES:
        committed = (REPOSITORY / "dreamopt" / "schema" / name).read_text()
        assert (tmp_path / name).read_text() == committed, f"{name} is old: run make proto"


def test_the_package_is_not_caffes() -> None:
    """A real Caffe in the same Python registers its own messages."""
    assert caffe_pb2.DESCRIPTOR.package == "dreamopt.schema"
    assert "SolverParameter" not in caffe_pb2.DESCRIPTOR.message_types_by_name
