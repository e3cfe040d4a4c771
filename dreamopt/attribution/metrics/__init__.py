"""Metrics of attribution maps, one a file; the file's name is the metric's name in strings and on the command line."""
