"""Stages of the structure branch."""
