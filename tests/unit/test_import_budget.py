"""What `import dreamopt` and `dreamopt --help` may cost."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "caffe", "dask", "matplotlib", "numpy", "scipy", "skimage", "h5py", "google.protobuf")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize(
    "code",
    [
        "import dreamopt, dreamopt.errors",
        "from click.testing import CliRunner; from dreamopt.cli import main; assert CliRunner().invoke(main, ['--help']).exit_code == 0",
        "from click.testing import CliRunner; from dreamopt.cli import main; assert CliRunner().invoke(main, ['render', '--help']).exit_code == 0",
        "from click.testing import CliRunner; from dreamopt.cli import main; assert CliRunner().invoke(main, ['attribute', '--help']).exit_code == 0",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    loaded = run(f"import sys\n{code}\nprint(' '.join(m for m in {HEAVY!r} if m in sys.modules))").split()
    assert loaded == []


def test_every_public_name_is_there() -> None:
    run("import dreamopt\nfor name in dreamopt.__all__: getattr(dreamopt, name)\nassert set(dreamopt.__all__) <= set(dir(dreamopt))")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import dreamopt

    with pytest.raises(AttributeError, match="nonsense"):
        dreamopt.nonsense  # noqa: B018  # the access is the test
