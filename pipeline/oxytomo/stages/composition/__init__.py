"""Stages of the composition branch."""
