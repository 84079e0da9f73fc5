"""Energy registration, tilt-series alignment, rotation axis, one composed resampling."""
