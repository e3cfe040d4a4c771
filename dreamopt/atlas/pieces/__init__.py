"""The kinds of results that an atlas holds, one a file; found by their file names."""
