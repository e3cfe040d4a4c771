"""What is free, refusing what is not, and everybody's errors of memory as one."""

from __future__ import annotations

import ctypes
import gc
import mmap
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.errors import DreamoptError, OutOfMemoryError, UsageError
from dreamopt.parts import memory
from dreamopt.parts.limits import exceeds, limit
from dreamopt.parts.memory import free_memory, is_out_of_memory, memory_errors, parse_bytes, readable, require_memory, used_memory


def test_sizes_are_readable() -> None:
    assert [readable(n) for n in (0, 999, 1234, 5_670_000, 3.6e9, 2e20)] == [
        "0 bytes",
        "999 bytes",
        "1.23 kB",
        "5.67 MB",
        "3.6 GB",
        "2.000e+05 PB",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1.2GB", 1_200_000_000), ("512MB", 512_000_000), ("2g", 2_000_000_000), ("900 MiB", 900 * 2**20), ("1.5GiB", 3 * 2**29),
        ("3000000", 3_000_000), ("2000kB", 2_000_000), (" 1T ", 10**12), (5_000_000, 5_000_000), (2e6, 2_000_000), ("1.GB", 10**9),
    ],
)  # fmt: skip
def test_a_number_of_bytes_is_read(text: object, count: int) -> None:
    assert parse_bytes(text) == count  # type: ignore[arg-type]  # numbers too


@pytest.mark.parametrize(
    "text", ["", "GB", "1.2 giga", "-1GB", "1,2GB", "1e9", "nan", "inf", "1GB2", "0x10", "١GB", "9" * 5000, "1 . GB", "1PB2"]
)
def test_other_words_are_no_number_of_bytes(text: str) -> None:
    with pytest.raises(UsageError, match=r"--memory must be a number of bytes with a unit, as in 1\.2GB or 512MiB, not") as caught:
        parse_bytes(text, "--memory")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["0", "999kB", "0.0000001TB", "1001TB", 0, -1, 10**16, float("nan")])
def test_a_number_of_bytes_beyond_machines_is_refused(text: object) -> None:
    with pytest.raises(UsageError, match="memory must be "):
        parse_bytes(text)  # type: ignore[arg-type]  # numbers too


def test_what_the_process_has_grows_with_what_it_takes() -> None:
    before, size = used_memory(), 32_000_000
    with mmap.mmap(-1, size) as block:  # what numpy is given may lie in memory that the process has kept
        block.write(b"x" * size)
        assert used_memory() - before > 0.8 * size
    assert before > 20_000_000


def test_the_environment_caps_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_memory()
    assert free is None or free > 2**20
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", "5000000")
    assert free_memory() == 5_000_000
    require_memory(4e6, "a blob")
    with pytest.raises(
        OutOfMemoryError, match=r"^a blob takes 7 MB, but 5 MB of memory are free \(DREAMOPT_MOST_MEMORY allows no more\); less$"
    ):
        require_memory(7e6, "a blob", hint=lambda free: "less")


def test_a_device_of_which_nothing_is_known_is_not_refused() -> None:
    assert free_memory("meta") is None
    require_memory(1e30, "anything", "meta")


@pytest.mark.parametrize("problem", [OSError("no such library"), AttributeError("malloc_trim"), TypeError("a name is needed")])
def test_a_library_that_cannot_give_memory_back_is_left_alone(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str | None) -> None:
        raise problem

    monkeypatch.setattr(ctypes, "CDLL", load)
    calls: list[int] = []
    monkeypatch.setattr(memory, "_RESERVES", [lambda: calls.append(1)])
    memory.release_memory()
    assert calls == []
    memory.release_memory(reserves=True)
    assert calls == [1]


def test_a_gpu_that_does_not_answer_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(device: str) -> int:
        raise RuntimeError(f"CUDA error: {device} is lost")

    monkeypatch.setattr(torch.cuda, "memory_reserved", lost)
    assert free_memory("cuda:0") is None
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", "5000000")
    assert free_memory("cuda:0") == 5_000_000


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        ("0::/job", {"job/memory.max": "9000", "job/memory.current": "2500", "memory.max": "max", "memory.current": "7"}, [6500]),
        ("0::/a/b", {"a/memory.max": "500", "a/memory.current": "900", "a/memory.stat": "anon 3\ninactive_file 600\n"}, [200]),
        ("4:memory,cpu:/x\n2:cpuset:/y", {"memory/x/memory.limit_in_bytes": "70", "memory/x/memory.usage_in_bytes": "30"}, [40]),
        ("0::/", {}, []),
    ],
)
def test_control_groups_limit_what_is_free(
    lines: str, files: dict[str, str], left: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "cgroup").write_text(lines + "\n")

    def moved(name: str) -> Path:
        return tmp_path / "cgroup" if name == "/proc/self/cgroup" else tmp_path / Path(name).relative_to("/sys/fs/cgroup")

    monkeypatch.setattr(memory, "Path", moved)
    assert memory._of_containers() == left


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**9, 10**9), np.dtype(np.float64)),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 MB)"),
        RuntimeError("Storage size calculation overflowed with sizes=[4611686018427387904, 3]"),
    ],
)
def test_every_library_error_becomes_one(problem: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match=r"^the pass ran out of memory") as found, memory_errors(lambda: "the pass"):
        raise problem
    assert isinstance(found.value, DreamoptError)
    assert isinstance(found.value, MemoryError)


def test_other_errors_pass() -> None:
    assert not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="mat1") as found, memory_errors(lambda: "the pass"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert type(found.value) is RuntimeError


def test_what_the_failed_frames_held_is_let_go() -> None:
    class Held:
        pass

    alive: list[weakref.ref[Held]] = []

    def fail() -> None:
        held = Held()
        alive.append(weakref.ref(held))
        raise MemoryError

    with pytest.raises(OutOfMemoryError), memory_errors(lambda: "the pass"):  # the error is kept by pytest, its frames' values are not
        fail()
    gc.collect()
    assert alive[0]() is None


def test_limits_are_raised_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exceeds("layers", 20_000) == ""
    assert exceeds("layers", 20_001) == "at most 20000 are allowed, unless DREAMOPT_MOST_LAYERS says more"
    monkeypatch.setenv("DREAMOPT_MOST_LAYERS", "50000")
    assert exceeds("layers", 20_001) == ""
    for wrong in ("many", "-3", "1e9", "9" * 30):
        monkeypatch.setenv("DREAMOPT_MOST_LAYERS", wrong)
        with pytest.raises(UsageError, match="DREAMOPT_MOST_LAYERS"):
            limit("layers")
