"""Tuning curves: how units answer to gratings of each orientation and frequency, and to colours. No data is needed."""
