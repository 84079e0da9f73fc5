"""Lithium, stress and crack fronts in a measured particle with voids and cracks."""
