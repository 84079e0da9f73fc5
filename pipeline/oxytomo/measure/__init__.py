"""Fractions, domains and shells, with their definitions."""
