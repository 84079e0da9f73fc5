"""Geometry, the projector pair, filtered back-projection, SIRT, total variation, and optional backends."""
