"""Raw-file readers, stage stores, tables and provenance."""
