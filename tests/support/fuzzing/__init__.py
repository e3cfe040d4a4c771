"""Damaged files and strings by a seed, and child processes that read them under watch: `make fuzz`, and a small part of it as a test."""
