"""Charge balance from valences, and diffusivity from current pulses and rests (GITT)."""
