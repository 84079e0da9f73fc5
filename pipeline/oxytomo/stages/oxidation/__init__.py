"""Stages of the oxidation branch."""
