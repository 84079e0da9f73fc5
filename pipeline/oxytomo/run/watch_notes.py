"""What ``oxytomo watch`` knows of earlier looks: plain files in its folder."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from oxytomo.errors import StoreError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.plain_files import read_json_object
from oxytomo.io.ways_out import a_way_out

NOTES = "watch.json"
NEW = "new"
"""Part of the name of a configuration beside one that the user has edited."""


class Scan(Protocol):
    """A scan: its name, and the mark of each of its files."""

    @property
    def name(self) -> str:
        """Name of the sample."""

    @property
    def files(self) -> Mapping[str, tuple[int, int]]:
        """Size and time of each file by its path."""


@dataclass
class Notes:
    """State of a watch in its folder.

    Attributes
    ----------
    output : the folder
    samples : by name of the sample: its files with their marks, how its look ended, when
    written : digest of the configurations as they were written, by name
    """

    output: Path
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, output: Path) -> "Notes":
        """Return the notes of an earlier watch; a damaged file is an error of one line."""
        path = output / NOTES
        if not path.exists():
            return cls(output)
        try:
            content = read_json_object(path)
            samples = {str(name): dict(one) for name, one in content["samples"].items()}
            written = {str(name): str(digest) for name, digest in content["written"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                str(path),
                expected="the notes of an earlier watch",
                got="a damaged file",
                fix="delete it; the scans are then looked at again",
            ) from error
        return cls(output, samples, written)

    @property
    def quick(self) -> Path:
        """Results folder of the quick looks."""
        return self.output / "quick"

    def is_new(self, scan: Scan) -> bool:
        """Return True for a scan without a look at its present files.

        A look that failed is tried once more after a restart.
        """
        known = self.samples.get(scan.name)
        if known is None or known.get("files") != _plain(scan):
            return True
        return known.get("state") != "done" and scan.name not in self._tried

    def add(self, scan: Scan, *, state: str, said: str, seconds: float) -> None:
        """Note how a look ended."""
        self._tried.add(scan.name)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"state": state, "said": said, "seconds": round(seconds, 1), "at": at}
        self.samples[scan.name] = entry | {"files": _plain(scan)}
        self._write()

    def done(self) -> list[str]:
        """Return the names of the scans whose look has succeeded."""
        return [name for name, one in self.samples.items() if one.get("state") == "done"]

    def forget_results(self, scan: Scan) -> None:
        """Delete the results of an earlier look at a scan that has other files now."""
        folder = self.quick / scan.name
        if self.quick.is_symlink() or folder.is_symlink():
            raise a_way_out(folder)
        known = self.samples.get(scan.name)
        if known is not None and known.get("files") != _plain(scan) and folder.is_dir():
            shutil.rmtree(folder)

    def configuration_file(self, name: str) -> str:
        """Return the name of the configuration that was written last."""
        new = _new_name(name)
        return new if new in self.written else name

    def write_configuration(self, name: str, text: str) -> str:
        """Write a configuration, but never over one that the user has edited.

        Returns
        -------
        A line for the user, if the text went to another file; empty otherwise.
        """
        path, digest = self.output / name, _digest(text)
        if self.written.get(self.configuration_file(name)) == digest and path.is_file():
            return ""
        there = _digest(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        edited = there is not None and there not in (self.written.get(name), digest)
        target = _new_name(name) if edited else name
        with complete_or_absent(self.output / target) as partial:
            partial.write_text(text, encoding="utf-8")
        if not edited:
            self.written.pop(_new_name(name), None)
        self.written[target] = digest
        self._write()
        return f"{path} was edited and is kept; all scans are in {target}" if edited else ""

    def _write(self) -> None:
        content = {"samples": self.samples, "written": self.written}
        with complete_or_absent(self.output / NOTES) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _plain(scan: Scan) -> dict[str, list[int]]:
    return {path: list(mark) for path, mark in scan.files.items()}


def _new_name(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{NEW}.{suffix}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
