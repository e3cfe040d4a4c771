"""Attribution methods, one a file; the file's name is the method's name in strings and on the command line."""
