"""Results that lie where an earlier version put them: relative to the working directory, not to the configuration."""

import os
from pathlib import Path

from oxytomo.config import ProjectConfig
from oxytomo.config.plan import raw_files, results_folder
from oxytomo.io.finished import MARKER
from oxytomo.io.plain_files import read_json_object


def old_results(project: ProjectConfig, configuration: Path) -> list[str]:
    """Return a warning where results of the same raw files lie below the working directory, and none where they belong.

    Parameters
    ----------
    project : the configuration
    configuration : its file
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
