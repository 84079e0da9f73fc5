"""The napari plugin: results as layers in nanometres, and widgets that question them."""
