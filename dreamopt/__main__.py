"""``python -m dreamopt`` is ``dreamopt``."""

from dreamopt.cli import main

if __name__ == "__main__":
    main(prog_name="dreamopt")
