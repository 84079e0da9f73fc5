"""One thin module per workflow rule: read → call → write → record."""
