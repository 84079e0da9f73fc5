"""Stages of the scattering branch."""
