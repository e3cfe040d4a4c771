"""Measures of finished images, one a file; the file's name is the measure's name in study files and on the command line."""
