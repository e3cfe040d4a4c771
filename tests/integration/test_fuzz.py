"""Damaged files, a few of each reader by a fixed seed: no traceback, hang, crash, writing elsewhere, or message that a terminal obeys.

`make fuzz` does the same with 20,000.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.fuzzing.formats import SPECIAL, chunks_of, fields_of, message_of, mutate, png_of
from tests.support.readers import READERS

pytest.importorskip("resource", reason="limits of a process are POSIX's")
from tests.support.fuzzing import harness  # it needs them

EACH = 12
"""Files of each reader; the processes take longer to start than to read them."""


def test_damaged_files_are_read_or_refused_by_a_sentence(tmp_path: Path) -> None:
    report = harness.fuzz(harness.spread(EACH * len(READERS), list(READERS), seed=10), tmp_path, workers=2)
    assert set(report.results) == set(READERS)
    assert all(sum(counts.values()) == EACH for counts in report.results.values())
    kinds = {kind: [case.number for case, _, _ in cases] for kind, cases in report.kinds().items()}
    assert not kinds, f"python -m tools.fuzz --seed 10 --count {EACH * len(READERS)} shows them: {kinds}"
    # Damage that is refused at once, or never, tests little.
    assert sum(counts["read"] for counts in report.results.values()) > 20
    assert sum(counts["refused"] for counts in report.results.values()) > 100


def test_all_readers_are_mutated_and_a_seed_gives_the_same_file(tmp_path: Path) -> None:
    assert set(SPECIAL) <= set(READERS)
    sample = READERS["prototxt"].make(tmp_path).read_bytes()
    files = [mutate("prototxt", [sample], random.Random(f"0 prototxt {number}")) for number in range(50)]
    assert files == [mutate("prototxt", [sample], random.Random(f"0 prototxt {number}")) for number in range(50)]
    assert len(set(files)) > 45


def test_frames_of_formats_are_taken_apart_and_put_together(tmp_path: Path) -> None:
    image = READERS["image .png"].make(tmp_path).read_bytes()
    assert png_of(chunks_of(image)) == image
    weights = READERS["caffemodel"].make(tmp_path).read_bytes()
    assert message_of(fields_of(weights)) == weights


FAULTY = {
    "traceback": "raise KeyError('steps')",
    "message": "from dreamopt.errors import UsageError\nclass Raw(UsageError):\n    __str__ = Exception.__str__\nraise Raw('two\\nlines')",
    "warning": "import warnings; warnings.warn('old', RuntimeWarning)",
    "write": "open('../outside', 'ab').close()",
    "program": "import subprocess; subprocess.run(['true'])",
    "printed": "print('surprise')",
    "memory": "b'x' * (9 * 2**27)",
    "crash": "import os; os._exit(3)",
    "hang": "import time; time.sleep(60)",
}
"""Programs, one with each fault."""
WORKER = """
import sys
from pathlib import Path
from tests.support import readers
from tests.support.fuzzing import worker

def read(path):
    if path.name == "program.txt":
        exec(path.read_text())

readers.READERS["labels"] = readers.Reader(readers._labels, read)
worker.main(Path(sys.argv[1]))
"""
"""A process whose reader of labels runs the file."""


@pytest.mark.parametrize("fault", FAULTY)
def test_each_kind_of_fault_is_seen_and_its_file_is_kept(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty.py").write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(harness, "MODULE", "faulty")
    if fault == "hang":
        monkeypatch.setattr(harness, "SECONDS", 3)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program = tmp_path / "program.txt"
    program.write_text(FAULTY[fault], encoding="utf-8")
    report = harness.fuzz([[harness.Case("labels", path=program)]], tmp_path / "faults", workers=1)
    assert [found.partition(":")[0] for _, found, _ in report.faults] == [fault]
    kept = [path.read_text(encoding="utf-8") for path in (tmp_path / "faults").iterdir()]
    assert FAULTY[fault] in kept
    assert any(text.startswith(fault) and "python -m tools.fuzz --reader 'labels' --file" in text for text in kept)
