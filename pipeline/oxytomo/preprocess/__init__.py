"""Counts to transmission to optical density, with variance and validity."""
