"""Parametrizations, one a file; the file's name is its name in strings and on the command line."""
