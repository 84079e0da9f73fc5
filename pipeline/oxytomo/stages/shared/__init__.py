"""Stages that several branches share."""
