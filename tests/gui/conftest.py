"""A virtual screen, and one napari window with results for all tests of the window."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gui_tools import settle

SCREEN = "1500x1000x24"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and let pass what napari and its libraries warn of themselves."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gui)
            for warning in NOT_OURS:
                item.add_marker(pytest.mark.filterwarnings(warning))


NOT_OURS = (
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",  # napari's settings, with the pydantic of today
    "ignore::DeprecationWarning:napari.*",
    "ignore::FutureWarning:napari.*",
)


@pytest.fixture(scope="session")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An X server of our own without a screen, and napari's settings in a folder of their own."""
    pytest.importorskip("napari", reason="napari is not installed: pip install 'oxytomo[view]'")
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("Xvfb is not installed (Debian: apt-get install xvfb)")
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    settings = tmp_path_factory.mktemp("napari") / "settings.yaml"
    changes = {"DISPLAY": f":{number}", "NAPARI_CONFIG": str(settings), "NAPARI_ASYNC": "0"}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield changes
    finally:
        server.terminate()
        server.wait(10)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture(scope="session")
def viewer(display: dict[str, str], plugin_results: Path) -> Iterator[Any]:
    """A window with the results of the sample, opened as a person opens them."""
    import napari
    import npe2

    npe2.PluginManager.instance().discover()
    window = napari.Viewer(show=True)
    window.window.resize(1300, 900)
    window.open(str(plugin_results), plugin="oxytomo")
    window.reset_view()
    settle()
    yield window
    window.close()
