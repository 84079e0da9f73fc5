"""Where libraries keep what they have compiled, where the home folder cannot hold it.

Caches of compiled code are run when they are read: they must lie where nobody else can write, and never in a folder
that may come from elsewhere.
"""

import os
import stat
import tempfile
from pathlib import Path

_NOT_FROM_A_FILE = ("NUMBA_CACHE_DIR", "NUMBA_CACHE_LOCATOR_CLASSES")
"""Numba takes these from a file in the working directory, unless the environment says something."""


def prepare_caches() -> None:
    """Set the variables that send caches of libraries to a place that can be written and trusted."""
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
    """Return a folder for temporary files that belongs to this user and that nobody else can write.

    The same every time, so that what was compiled is found again; a new one where something else has its name.
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
    """Return the home folder; a folder that is not there for a user without one."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _is_writable(folder: Path) -> bool:
    """Say whether a folder can be written, or made."""
    while not folder.exists():
        if folder == folder.parent:
            return False
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
