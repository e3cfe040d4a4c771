"""The command line: it parses, calls, prints, and chooses the exit code; nothing heavy is imported before it is needed.

Exit codes: 0 done; 1 an error, said in one sentence on stderr; 2 wrong usage; 130 interrupted, with the best so far written.
Results go to stdout; progress, notes, warnings and errors to stderr.
"""

from dreamopt.cli.app import cli, main

__all__ = ["cli", "main"]
