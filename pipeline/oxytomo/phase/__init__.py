"""From intensity behind the sample to the phase lag: propagation, one distance, several distances."""
