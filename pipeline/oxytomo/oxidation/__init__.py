"""From spectra of a stack to valence: references, fit, residuals, profiles and models."""
