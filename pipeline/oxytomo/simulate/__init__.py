"""Phantoms with exact truth and simulated acquisitions of them."""
