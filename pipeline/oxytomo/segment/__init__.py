"""The particle and the composition classes."""
