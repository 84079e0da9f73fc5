"""Spectra of a stack to valence: references, linear-combination fit, its residuals, profiles and their models."""
