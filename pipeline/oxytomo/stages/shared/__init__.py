"""Stages that every branch shares."""
