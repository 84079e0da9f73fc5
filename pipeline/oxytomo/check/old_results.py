"""Find results of an earlier version, which wrote them relative to the working directory."""

import os
from pathlib import Path

from oxytomo.config import ProjectConfig
from oxytomo.config.plan import raw_files, results_folder
from oxytomo.io.finished import MARKER
from oxytomo.io.plain_files import read_json_object


def old_results(project: ProjectConfig, configuration: Path) -> list[str]:
    """Return a warning if the working directory, not the configured folder, has the results.

    Parameters
    ----------
    project : the configuration
    configuration : path of the configuration file
    """
    folder = results_folder(project)
    before = Path.cwd() / os.path.relpath(folder, configuration.resolve().parent)
    if (folder / MARKER).exists() or before.resolve() == folder.resolve() or not (before / MARKER).is_file():
        return []
    try:
        recorded = read_json_object(before / MARKER)["samples"]
        wanted = raw_files(project)
        same = any(recorded.get(sample) == dict(series) for sample, series in wanted.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    if not same:
        return []
    return [
        f"results of this configuration lie in {before}; since 'results' is relative to the configuration, a run writes "
        f"to {folder} and begins anew. To go on with the old ones: mv '{before}' '{folder}'"
    ]
