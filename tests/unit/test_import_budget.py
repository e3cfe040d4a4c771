"""What `import dreamopt` and `dreamopt --help` may cost."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "caffe", "dask", "matplotlib", "numpy", "scipy", "skimage", "h5py", "google.protobuf")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


COMMANDS = {
    "--help": "Usage",
    "render --help": "Regularizers:",
    "attribute --help": "Usage",
    "presets": "lucid2017",
    "presets --json": "lucid2017",
    "presets show lucid2018": "did you mean lucid2017",
    "rendr -t conv4:7": "did you mean render",
    "render -t conv4:7 --stpes 3": "--steps",
    "render -t conv4:7 --preset lucid2018": "did you mean lucid2017",
    "render -t mixed4:17 --optimizer adm": "did you mean adam",
    "render -t mixed4:17 --optimizer adam(lr=3)": "did you mean step_size",
    "render -t mixed4:17 --set tv.shre=0.2": "did you mean share",
    "render -t mixed4:17 --set tvv.share=0.2": "did you mean tv",
    "render -t mixed4:17 --set stesp=3": "did you mean steps",
    "render -t mixed4:17 -r bilaterl(2)": "did you mean bilateral",
    "render -t mixed4:17 --transform flp()": "did you mean flip",
    "render -t mixed4:17 --parametrization forier": "did you mean fourier",
    "render -t mixd4:17": "did you mean mixed4",
    "render -t chanel('mixed4',3)": "did you mean channel",
    "render -t mixed4:17 --rule guidedd": "did you mean guided",
    "dream a.png -t mixd4": "did you mean mixed4",
    "zoom a.png -t mixd4": "did you mean mixed4",
    "attribute a.png -m gradcm": "did you mean grad_cam",
    "bench -t mixd4:3 --vary optimizer=adam,ascent": "did you mean mixed4",
    "dream a.png --net nowhere.prototxt": "no file nowhere.prototxt",
    "inspect squeezenets": "did you mean",
    "inspect --net a.prototxt": "here it stands alone, dreamopt inspect NET",
}
"""What help, the list of presets, and typing errors must say."""
CLASSES = {
    "render -t scores:strs": "no class is called 'strs' among the 32 labels; did you mean stars",
    "render -t scores:stars,mons": "did you mean moons",
    "dream a.png -t scores:stars -t -scores:mons": "did you mean moons",
    "top images -t scores:strs": "did you mean stars",
    "attribute a.png -t scores:strs": "did you mean stars",
}
"""The same for classes, whose labels file is read for it."""


def test_nothing_heavy_is_loaded() -> None:
    code = f"""if True:
        import sys
        def loaded(): return [m for m in {HEAVY!r} if m in sys.modules]
        import dreamopt, dreamopt.errors
        assert not loaded() and "rich" not in sys.modules, loaded()
        from click.testing import CliRunner
        from dreamopt.cli import main
        for words, says in {COMMANDS!r}.items():
            said = CliRunner().invoke(main, words.split()).output
            assert says in said, (words, said)
            assert not loaded(), (words, loaded())
        for words, says in {CLASSES!r}.items():
            said = CliRunner().invoke(main, words.split()).output
            assert says in said, (words, said)
            assert "torch" not in sys.modules, words
    """
    run(code)


def test_every_public_name_is_there() -> None:
    run("import dreamopt\nfor name in dreamopt.__all__: getattr(dreamopt, name)\nassert set(dreamopt.__all__) <= set(dir(dreamopt))")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import dreamopt

    with pytest.raises(AttributeError, match="nonsense"):
        dreamopt.nonsense  # noqa: B018  # the access is the test


def test_what_renders_and_dreams_loads_no_scipy_before_it_is_used() -> None:
    run("import sys, dreamopt.cli.render, dreamopt.cli.dream, dreamopt.recipes.render\nassert 'scipy' not in sys.modules")
