"""The functions behind ``import oxytomo``: one per step, with the defaults of the settings.

Each function takes arrays, calls the same numerical code as the stage of this step, and returns a
named result. Nothing is written to disk, and all data are in memory. Use ``oxytomo run`` for larger
data.
"""
