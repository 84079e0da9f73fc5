"""The widgets of the napari plugin; their logic is in the parent package, without Qt."""
