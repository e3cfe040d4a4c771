"""What a part says of itself: the files that it reads."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dreamopt.errors import UsageError
from dreamopt.image import Alpha, Fourier, Generator, Pixels
from dreamopt.objectives import Channel, Direction, Inversion
from dreamopt.parts.part import file_sha256, input_files, input_paths
from dreamopt.regularizers import Decay, Stencil, Window


def test_paths_are_found_in_parts_within_parts() -> None:
    objective = Channel("a.png", 1) - 2 * Inversion(("x", "y"), ("b.png", "c.png")) + Direction("x", ("d.npy", (1.0, 2.0)))
    assert input_paths(objective) == ("b.png", "c.png", "d.npy")
    assert input_paths(Inversion("x", np.zeros((4, 5, 3)))) == ()
    assert input_paths((Stencil("m.png"), Window(Decay(0.1)), Stencil([[0, 1]]))) == ("m.png",)
    assert input_paths(Alpha(Fourier(init="a.png"), Pixels(init=Path("b.png")))) == ("a.png", "b.png")
    assert input_paths(Generator("net.prototxt", weights="w.caffemodel")) == ("net.prototxt", "w.caffemodel")


def test_files_have_their_hashes_and_names_of_none_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"12345")
    assert input_files(Direction("x", (str(path), "gone.npy"))) == {str(path): hashlib.sha256(b"12345").hexdigest()}
    with pytest.raises(UsageError, match=r"the file '.*gone.npy' cannot be read: No such file"):
        file_sha256(tmp_path / "gone.npy")
