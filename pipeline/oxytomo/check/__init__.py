"""Checks of files and settings before a run."""
