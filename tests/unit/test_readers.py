"""The list of readers that other tests go over: each reads its own sample."""

from pathlib import Path

import pytest

from tests.support.readers import READERS

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_its_sample_and_a_copy(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    sample = reader.make(tmp_path)
    copy = sample.with_name(f"{sample.stem}-copy{sample.suffix}")
    copy.write_bytes(sample.read_bytes())
    assert reader.read(sample) is not None
    assert reader.read(copy) is not None
