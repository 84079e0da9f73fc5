"""The functions behind ``import oxytomo``: one per step, with the defaults of the settings.

Each takes arrays, calls the numerical room that the stage of the same step calls, and gives a named
result. Nothing is written to disk, and everything is in memory: ``oxytomo run`` is the way for data
that are larger.
"""
