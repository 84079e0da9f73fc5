"""Cross-sections, energies → elements, elements → TM/O deviation, and its noise."""
