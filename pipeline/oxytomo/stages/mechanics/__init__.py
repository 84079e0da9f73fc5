"""Stages of the mechanics branch."""
