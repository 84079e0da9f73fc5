"""Counts → transmission → optical density, with variance and validity."""
