"""Progress of long work: a bar in a terminal or a notebook, lines in a log, or nothing; commands and functions show the same."""
