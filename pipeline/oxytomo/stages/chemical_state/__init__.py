"""Stages of the chemical-state branch."""
