"""What a film costs beside its dreams: reading its frames, and writing them with the sound.

``pytest benchmarks/test_films.py``; frames a second and bytes a frame stand beside the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")
pytest.importorskip("av", reason="needs the extra 'video'")

from dreamopt.film.encoding import Encoding
from dreamopt.film.reading import FilmFile
from dreamopt.film.writing import FilmWriter

COUNT = 12


def note_rate(benchmark: Any) -> None:
    if not benchmark.disabled:
        benchmark.extra_info["frames_per_second"] = round(COUNT / benchmark.stats.stats.median, 1)


def write(path: Path, frames: list[np.ndarray], encoding: Encoding) -> Path:
    with FilmWriter(path, frames[0].shape[:2], 25, encoding=encoding) as film:
        for frame in frames:
            film.write(frame)
    return path


@pytest.fixture(scope="module", params=[(360, 640), (1080, 1920)], ids=["360p", "1080p"])
def frames(request: pytest.FixtureRequest) -> list[np.ndarray]:
    y, x = np.mgrid[: request.param[0], : request.param[1]]
    grain = np.random.default_rng(0).normal(0, 4, (*y.shape, 3))
    moved = (np.stack([x / 8 + 5 * n, y / 5, 120 + 60 * np.sin((x + y + 9 * n) / 23)], -1) for n in range(COUNT))
    return [np.clip(image + grain, 0, 255).astype(np.uint8) for image in moved]


def test_reading(frames: list[np.ndarray], tmp_path: Path, benchmark: Any) -> None:
    path = write(tmp_path / "film.mp4", frames, Encoding())
    count = benchmark.pedantic(lambda: sum(1 for _ in FilmFile(path).frames()), rounds=3)
    assert count == COUNT
    note_rate(benchmark)


@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_writing(frames: list[np.ndarray], tmp_path: Path, name: str, benchmark: Any) -> None:
    path = benchmark.pedantic(write, (tmp_path / name, frames, Encoding()), rounds=3)
    note_rate(benchmark)
    benchmark.extra_info["bytes_per_frame"] = path.stat().st_size // COUNT
    loss = np.mean([np.abs(frame.image.astype(float) - image).mean() for frame, image in zip(FilmFile(path).frames(), frames, strict=True)])
    benchmark.extra_info["grey_levels_lost"] = round(float(loss), 2)
