"""Where the tasks of an atlas run: in this process, or on a cluster."""
