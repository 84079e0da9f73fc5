"""Execution of a run: lock, results folder, progress, needs, server of stages."""
