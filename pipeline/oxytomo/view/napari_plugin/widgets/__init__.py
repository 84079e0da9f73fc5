"""The widgets of the napari plugin; their logic lies beside this folder and knows no window."""
