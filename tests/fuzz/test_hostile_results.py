"""Results that mean harm are named or refused with one line; all kinds: benchmarks/hostile_results.py."""

from pathlib import Path

import pytest

from benchmarks.hostile_results import made_up, try_one
from tests.fuzz.harm import Hostile
from tests.fuzz.hostile import hostile_results

pytestmark = pytest.mark.slow

READ = ("verify", "inspect", "view")
KINDS = list(hostile_results())
NEEDED = (
    "pickle as filter of a stored array",
    "codec numcodecs.pickle in an image",
    "pickle within a shard",
    ".zattrs beside zarr.json in stages/composition/reconstruct.zarr",
    "consolidated metadata of an image that differ",
    "brackets without end in phases.json",
    "a pipe for .phases.json.record.json",
    "version at infinity",
    "made from /dev/zero",
    "a chain of 3,000 inputs",
    "10^18 chunks in a store",
    "chunks that unpack to 2 GB in an image",
    "a product deleted with its record",
    "a level that is a link",
)
MADE = (
    "NUL in a table",
    "other columns in a table",
    "no fractions",
    "fractions as a list",
    "a pixel size that is a word",
    "another value",
    "a store that is a link",
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("honest"))


def named(names: tuple[str, ...]) -> list[Hostile]:
    kinds = {kind.name: kind for kind in KINDS}
    return [kinds[name] for name in names]


@pytest.mark.parametrize("hostile", named(NEEDED), ids=lambda kind: kind.name)
def test_reading_is_bounded_and_runs_nothing(honest: Path, tmp_path: Path, hostile: Hostile) -> None:
    assert try_one(hostile, honest, tmp_path / "place", READ) == []


@pytest.mark.parametrize("hostile", named(MADE), ids=lambda kind: kind.name)
def test_nothing_is_made_from_them(honest: Path, tmp_path: Path, hostile: Hostile) -> None:
    assert try_one(hostile, honest, tmp_path / "place", ("report", "compare", "open")) == []


def test_an_honest_sample_passes(honest: Path, tmp_path: Path) -> None:
    untouched = Hostile("nothing", lambda _sample, _outside: None, frozenset())
    assert (
        try_one(
            untouched,
            honest,
            tmp_path / "place",
            ("verify", "inspect", "view", "report", "compare", "open"),
            thorough=True,
        )
        == []
    )
