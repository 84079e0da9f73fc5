"""Folders for compiled code of libraries if the home folder is not writable.

Cached code is executed, so the caches must be in a folder where nobody else can write.
"""

import os
import stat
import tempfile
from pathlib import Path

_NOT_FROM_A_FILE = ("NUMBA_CACHE_DIR", "NUMBA_CACHE_LOCATOR_CLASSES")
"""Numba reads these from a file in the working directory if the environment does not set them."""


def prepare_caches() -> None:
    """Set the variables that move caches of libraries to a writable, trusted folder."""
    for name in _NOT_FROM_A_FILE:
        os.environ.setdefault(name, "")
    home = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    if not _is_writable(home):
        own = private_folder()
        os.environ["XDG_CACHE_HOME"] = str(own)
        os.environ.setdefault("MPLCONFIGDIR", str(own))
    elif not _is_writable(Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config")):
        os.environ.setdefault("MPLCONFIGDIR", str(private_folder()))


def private_folder() -> Path:
    """Return a folder for temporary files that only this user can write.

    It is the same every time, so that compiled code is found again, or new if the name is in use.
    """
    folder = Path(tempfile.gettempdir()) / f"oxytomo-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="oxytomo-"))
    if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="oxytomo-"))


def _home() -> Path:
    """Return the home folder; for a user without one, a folder that does not exist."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _is_writable(folder: Path) -> bool:
    """Return True if a folder is writable or can be created."""
    while not folder.exists():
        if folder == folder.parent:
            return False
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
