"""A folder that fills during a beam time: files that have settled, and scans that are complete."""

import fnmatch
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from oxytomo.check.folder.branches import choose
from oxytomo.check.folder.grouping import RawSeries, Survey, group
from oxytomo.check.folder.look import FileFacts, files_below, look_at, without_parts
from oxytomo.check.folder.names import read_name
from oxytomo.check.folder.propose import Answers, propose

Mark = tuple[int, int]
"""Size and time of the last change of a file, in bytes and ns."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The files of one sample as they are now.

    Attributes
    ----------
    name : of the sample
    series : its raw series
    files : mark of each of its files, by path
    waits : why it is not complete; empty if it is
    """

    name: str
    series: tuple[RawSeries, ...]
    files: dict[str, Mark]
    waits: str = ""


@dataclass
class Watched:
    """A folder that is looked at again and again.

    A file has settled when its size and time stay the same for a while, and its reader opens it.

    Attributes
    ----------
    folder : the folder
    leave_out : a folder below it whose files are no raw files
    pattern : glob pattern of file names, or of paths below the folder
    settle_s : time without a change, s
    least_files : number of files of a complete scan at least
    answers : what the user said of all samples
    clock : seconds, not the time of the file system
    """

    folder: Path
    leave_out: Path
    pattern: str = "*"
    settle_s: float = 10.0
    least_files: int = 1
    answers: Answers = field(default_factory=Answers)
    clock: Callable[[], float] = time.monotonic
    _marks: dict[Path, tuple[Mark, float]] = field(default_factory=dict)
    _facts: dict[Path, tuple[Mark, FileFacts]] = field(default_factory=dict)
    _lacks: dict[str, tuple[dict[str, Mark], tuple[FileFacts, ...], str]] = field(default_factory=dict)
    _grouped: tuple[list[FileFacts], Survey] | None = None

    def look(self) -> tuple[Survey, list[Scan]]:
        """Look once; return what has settled, grouped, and the scans of it."""
        settled: list[FileFacts] = []
        moving: list[Path] = []
        now = self.clock()
        for path in self._files():
            try:
                state = path.stat()
            except OSError:
                continue  # gone again
            mark = (state.st_size, state.st_mtime_ns)
            seen = self._marks.get(path)
            if seen is None or seen[0] != mark:
                seen = self._marks[path] = (mark, now)
            facts = self._facts_of(path, mark) if now - seen[1] >= self.settle_s else None
            if facts is None or facts.role == "unreadable":
                moving.append(path)
            else:
                settled.append(facts)
        if self._grouped is None or self._grouped[0] != settled:
            self._grouped = settled, group(without_parts(settled), self.folder)
        found = self._grouped[1]
        return found, [self._scan(found, name, moving) for name in found.samples]

    def _files(self) -> Iterator[Path]:
        """Yield the files that the pattern names."""
        for path in files_below([self.folder]):
            below = path.relative_to(self.folder).as_posix()
            fits = fnmatch.fnmatch(path.name, self.pattern) or fnmatch.fnmatch(below, self.pattern)
            if fits and not path.is_relative_to(self.leave_out) and path.is_file():
                yield path

    def _facts_of(self, path: Path, mark: Mark) -> FileFacts | None:
        """Return the facts of a settled file; a file that cannot be read is tried again later."""
        known = self._facts.get(path)
        if known is None or known[0] != mark:
            for facts in look_at([path]):
                if facts.role == "unreadable":
                    self._marks[path] = (mark, self.clock())
                    return facts
                known = self._facts[path] = (mark, facts)
        return None if known is None or known[0] != mark else known[1]

    def _scan(self, found: Survey, name: str, moving: list[Path]) -> Scan:
        """Return one scan, and what it waits for."""
        series = found.samples[name]
        tables = [path for one in series for path in (one.angles, one.energies) if path is not None]
        paths = [path for one in series for path in (*one.paths, *one.flat, *one.dark)] + tables
        files = {str(path): self._marks[path][0] for path in dict.fromkeys(paths) if path in self._marks}
        scan = Scan(name=name, series=series, files=files)
        return replace(scan, waits=self._waits(found, scan, moving))

    def _waits(self, found: Survey, scan: Scan, moving: list[Path]) -> str:
        places = {path.parent for one in scan.series for path in one.paths}
        words = {one.hints.sample for one in scan.series}
        written = [path for path in moving if path.parent in places and read_name(path).sample in words]
        if written:
            more = f" and {len(written) - 1} more" if len(written) > 1 else ""
            return f"{written[0].name}{more} is still written, or cannot be read yet"
        if len(scan.files) < self.least_files:
            return f"{len(scan.files)} of {self.least_files} files"
        known = self._lacks.get(scan.name)
        if known is None or known[:2] != (scan.files, found.spectra):
            # Frames are read for this, so only after a change.
            known = self._lacks[scan.name] = scan.files, found.spectra, self._lacking(found, scan)
        return known[2]

    def _lacking(self, found: Survey, scan: Scan) -> str:
        """Return what no file of a scan gives; empty if nothing is missing."""
        choices, left = choose(scan.series, found.spectra, self.answers.branch)
        alone = [one for choice in choices if choice.route == "source" for _, one in choice.entries]
        for one in (*left, *alone):
            if one in left or one.hints.side is not None:
                return f"the partner of {one.label}"
        if not choices:
            return "files that make a branch"
        gaps = propose(only(found, [scan]), self.answers, folder=self.folder).gaps
        return f"{gaps[0].key}: {gaps[0].question}" if gaps else ""


def only(found: Survey, scans: list[Scan]) -> Survey:
    """Return a survey with some scans only."""
    return replace(found, samples={one.name: one.series for one in scans}, volumes=(), unused=())
