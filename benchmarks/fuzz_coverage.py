"""Fuzz one reader guided by coverage, with atheris (pip install atheris; Linux, and not for every Python).

    python benchmarks/fuzz_coverage.py tiff -max_total_time=600

What atheris needs follows the name of the target (``fuzz_readers.py --list``). Python code of the readers and of the
libraries in Python behind them is watched; HDF5 itself is not. A file that gives anything but a PipelineError ends it,
with the file kept as ``crash-…`` in the working directory; five seconds on one file do too.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import atheris

with atheris.instrument_imports(
    include=["oxytomo", "tifffile", "olefile", "mrcfile", "fabio", "nrrd", "nibabel", "yaml"]
):
    from oxytomo.errors import PipelineError
    from tests.fuzz.targets import TARGETS, quiet_libraries


def main() -> None:
    """Give the honest files as a corpus and let atheris run."""
    target = TARGETS[sys.argv.pop(1)]
    quiet_libraries()
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(target.seeds(Path(place))):
            (Path(corpus) / str(number)).write_bytes(content)

        def one(content: bytes) -> None:
            with contextlib.suppress(PipelineError):
                target.read(target.place(Path(place), content))

        limits = ["-timeout=5", "-rss_limit_mb=1500", "-max_len=70000"]
        atheris.Setup([sys.argv[0], corpus, *limits, *sys.argv[1:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
