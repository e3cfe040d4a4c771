"""``python -m dreamopt.caffe [--allow-python-layers] SCRIPT [ARGUMENTS]``: run a pycaffe script without Caffe.

``-m MODULE`` in place of SCRIPT runs a module.
"""

from __future__ import annotations

import os
import sys

from dreamopt.caffe import allow_python_layers
from dreamopt.caffe.script import run_module, run_script
from dreamopt.errors import printable

USAGE = """usage: python -m dreamopt.caffe [--allow-python-layers] SCRIPT [ARGUMENTS]
       python -m dreamopt.caffe [--allow-python-layers] -m MODULE [ARGUMENTS]

Run a script written for pycaffe: `import caffe` means dreamopt.caffe in it.

  --allow-python-layers  let nets run the classes that their Python layers name
"""


def main() -> None:
    """Read the command line and run what it names."""
    rest = sys.argv[1:]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-h", "--help"):
            print(USAGE, end="")
            return
        if option == "--allow-python-layers":
            allow_python_layers()
        elif option == "-m" and rest:
            run_module(rest[0], rest[1:])
            return
        else:
            sys.exit(f"python -m dreamopt.caffe has no option {printable(option)}\n{USAGE}")
    if not rest:
        sys.exit(f"no script is named\n{USAGE}")
    if not os.path.isfile(rest[0]):
        sys.exit(f"{printable(rest[0])}: there is no such script")
    run_script(rest[0], rest[1:])


if __name__ == "__main__":
    main()
