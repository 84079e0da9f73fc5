"""From intensity behind the sample to its phase, from one distance or several."""
