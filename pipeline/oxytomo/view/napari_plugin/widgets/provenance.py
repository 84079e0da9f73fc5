"""Widget: the chain of the chosen layer back to its raw files, with hashes."""

from pathlib import Path
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtWidgets import QLabel, QPushButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from oxytomo.view.napari_plugin.layers import INFO
from oxytomo.view.napari_plugin.provenance_tree import Link, provenance_links, record_lines
from oxytomo.view.napari_plugin.widgets.base import share_tabs

COLUMNS = ("input", "stage or file", "state", "sha256", "path")


class ProvenanceWidget(QWidget):
    """Tree of inputs of the active layer; the files are only hashed again when asked to."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.path: Path | None = None
        self.worker: Any = None
        self.heading = QLabel()
        self.heading.setWordWrap(True)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(list(COLUMNS))
        self.check = QPushButton("Compare all files with their hashes")
        column = QVBoxLayout(self)
        for widget in (self.heading, self.tree, self.check):
            column.addWidget(widget)
        self.viewer.layers.selection.events.active.connect(lambda _: self.show_layer())
        self.check.clicked.connect(self.check_files)
        self.show_layer()

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Share the tabs of the other widgets when docked."""
        super().showEvent(event)
        share_tabs(self)

    def show_layer(self) -> None:
        """Show the chain of the active layer."""
        layer = self.viewer.layers.selection.active
        info = None if layer is None else layer.metadata.get(INFO)
        self.tree.clear()
        self.path = None
        self.check.setEnabled(False)
        if not info or "record" not in info:
            self.heading.setText("Choose a layer of a result in the layer list.")
            return
        self.path = Path(info["path"])
        self.heading.setText("\n".join([f"{layer.name}: {self.path}", *record_lines(info["record"])]))
        self.show_links(self.path, provenance_links(self.path, verify=False))
        self.check.setEnabled(self.path.exists())

    def check_files(self) -> None:
        """Hash everything the layer was made from, in the background."""
        if self.path is None:
            return
        path = self.path
        self.check.setEnabled(False)
        self.check.setText("Reading all files …")
        self.worker = create_worker(provenance_links, path, verify=True, _start_thread=False)
        self.worker.returned.connect(lambda links: self.show_links(path, links))
        self.worker.errored.connect(lambda error: self.heading.setText(str(error)))
        self.worker.finished.connect(lambda: self.check.setText("Compare all files with their hashes"))
        self.worker.finished.connect(lambda: self.check.setEnabled(True))
        self.worker.start()

    def show_links(self, path: Path, links: list[Link]) -> None:
        """Fill the tree, unless another layer was chosen meanwhile."""
        if path != self.path:
            return
        self.tree.clear()
        parents: list[QTreeWidgetItem] = []
        for link in links:
            what = f"stage {link.stage}" if link.stage else Path(link.path).name
            item = QTreeWidgetItem([link.name, what, link.state, link.digest[:12], link.path])
            item.setToolTip(3, link.digest)
            del parents[link.depth :]
            parents[-1].addChild(item) if parents else self.tree.addTopLevelItem(item)
            parents.append(item)
        self.tree.expandAll()
        for column in range(len(COLUMNS)):
            self.tree.resizeColumnToContents(column)
