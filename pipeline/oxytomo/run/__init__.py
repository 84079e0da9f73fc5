"""How a run is carried out: lock, claim, progress, needs, the server of stages."""
