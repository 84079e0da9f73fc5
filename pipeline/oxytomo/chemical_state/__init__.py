"""Chemical state in three dimensions: valence of an element from tilt series at many energies."""
