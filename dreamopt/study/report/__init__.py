"""The report of a study: a page, plots, tables and presets, all from its rows alone."""
