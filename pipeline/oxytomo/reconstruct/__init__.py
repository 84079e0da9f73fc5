"""Geometry, projector pair, filtered back-projection, SIRT, total variation, other backends."""
