"""Stores, images and tables whose content is not what it should be: sizes, values, metadata, rows."""

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zarr

from oxytomo.io.integrity import record_output
from oxytomo.io.provenance import make_provenance
from tests.fuzz.harm import (
    ARRAY,
    IMAGE,
    STORE,
    TABLE,
    Harm,
    Hostile,
    edit,
    forget,
    replace_path,
)


def sizes() -> Iterator[Hostile]:
    def metadata(place: str, change: dict[str, Any]) -> Harm:
        return lambda sample, _: edit(sample / place / "zarr.json", lambda content: content.update(change))

    grid = {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1]}}
    stored = frozenset(("verify", "report"))
    shown = frozenset(("verify", "view"))
    changes: dict[str, dict[str, Any]] = {
        "10^18 chunks": {"shape": [10**6] * 3, "chunk_grid": grid},
        "one chunk of 10^18 bytes": {
            "shape": [10**6] * 3,
            "chunk_grid": {**grid, "configuration": {"chunk_shape": [10**6] * 3}},
        },
        "chunks of nothing": {"chunk_grid": {**grid, "configuration": {"chunk_shape": [0, 0, 0]}}},
        "shape as text": {"shape": "many"},
        "no codecs": {"codecs": []},
        "an unknown type": {"data_type": "object"},
        "another grid": {"chunk_grid": {"name": "rectilinear", "configuration": {}}},
    }
    for what, change in changes.items():
        yield Hostile(f"{what} in a store", metadata(f"{STORE}/{ARRAY}", change), stored)
        yield Hostile(f"{what} in a label", metadata(f"{IMAGE}/labels/phases/0", change), shown)

    def bomb(sample: Path, _: Path) -> None:
        chunk = next((sample / STORE / ARRAY / "c").rglob("0"), None) or sample
        chunk = next(path for path in sorted((sample / STORE / ARRAY / "c").rglob("*")) if path.is_file())
        content = bytearray(chunk.read_bytes())
        content[4:8] = struct.pack("<I", 2**31 - 64)
        chunk.write_bytes(content)

    yield Hostile("a chunk that unpacks to 2 GB in a store", bomb, stored)

    def shard_bomb(sample: Path, _: Path) -> None:
        for shard in (path for path in (sample / IMAGE).glob("[0-9]*/c/**/*") if path.is_file()):
            content = bytearray(shard.read_bytes())
            starts = [m.start() for m in re.finditer(rb"\x02\x01[\x00-\xff]\x04", bytes(content))]
            for start in starts:
                content[start + 4 : start + 8] = struct.pack("<I", 2**31 - 64)
            shard.write_bytes(content)

    yield Hostile("chunks that unpack to 2 GB in an image", shard_bomb, shown)


def values() -> Iterator[Hostile]:
    stored = frozenset(("verify", "report"))

    def alter(sample: Path, _: Path) -> None:
        array = zarr.open_array(str(sample / STORE / ARRAY), mode="r+")
        array[20, 20, 20] = 0.5

    def chunks(change: Callable[[Path], Any]) -> Harm:
        def harm(sample: Path, _: Path) -> None:
            change(next(p for p in sorted((sample / STORE / ARRAY / "c").rglob("*")) if p.is_file()))

        return harm

    yield Hostile("another value", alter, stored)
    yield Hostile("a chunk that is missing", chunks(lambda path: path.unlink()), stored)
    yield Hostile("a chunk cut short", chunks(lambda path: path.write_bytes(path.read_bytes()[:-5])), stored)
    yield Hostile("a chunk of nothing", chunks(lambda path: path.write_bytes(b"")), stored)
    yield Hostile(
        "a chunk more", chunks(lambda path: path.with_name("9").write_bytes(path.read_bytes())), stored
    )
    yield Hostile("a pipe for a chunk", chunks(lambda path: replace_path(path, "pipe", path)), stored)
    yield Hostile(
        "an endless device for a chunk",
        chunks(lambda path: replace_path(path, "endless device", path)),
        stored,
    )

    def settings(sample: Path, _: Path) -> None:
        edit(
            sample / STORE / "zarr.json",
            lambda content: content["attributes"]["attributes"].update(pixel_nm=99.0),
        )

    yield Hostile("another pixel size", settings, stored)

    def attributes(change: Callable[[dict[str, Any]], Any]) -> Harm:
        def harm(sample: Path, _: Path) -> None:
            edit(sample / STORE / "zarr.json", lambda content: change(content["attributes"]["attributes"]))
            record_output(sample / STORE, make_provenance("made", 1, {}, {}))  # as one who forges would

        return harm

    yield Hostile(
        "no elements", attributes(lambda facts: facts.pop("elements") and None), frozenset(("report",))
    )
    yield Hostile(
        "elements as a number", attributes(lambda facts: facts.update(elements=3)), frozenset(("report",))
    )
    yield Hostile(
        "no pixel size", attributes(lambda facts: facts.pop("pixel_nm") and None), frozenset(("report",))
    )
    yield Hostile(
        "a pixel size that is a word",
        attributes(lambda facts: facts.update(pixel_nm="x")),
        frozenset(("report",)),
    )


def images() -> Iterator[Hostile]:
    shown = frozenset(("verify", "view"))

    def root(change: Callable[[dict[str, Any]], Any]) -> Harm:
        return lambda sample, _: edit(
            sample / IMAGE / "zarr.json", lambda content: change(content["attributes"]) and None
        )

    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "no threshold": lambda found: found["oxytomo"].pop("threshold"),
        "a threshold that is a word": lambda found: found["oxytomo"].update(threshold="x"),
        "no channels": lambda found: found["ome"]["omero"].update(channels=[]),
        "a channel without range": lambda found: found["ome"]["omero"]["channels"][0].pop("window"),
        "a colour that is none": lambda found: found["ome"]["omero"]["channels"][0].update(color="red"),
        "another path of a level": lambda found: found["ome"]["multiscales"][0]["datasets"][0].update(
            path="../../../outside"
        ),
        "a scale of zero": lambda found: found["ome"]["multiscales"][0]["datasets"][0].update(
            coordinateTransformations=[{"type": "scale", "scale": [0, 0, 0, 0]}]
        ),
        "axes that are none": lambda found: found["ome"]["multiscales"][0].update(axes=[{"name": "t"}]),
        "scales as a number": lambda found: found["ome"].update(multiscales=3),
    }
    for what, change in changes.items():
        yield Hostile(f"{what} in an image", root(change), shown)


def tables() -> Iterator[Hostile]:
    used = frozenset(("report", "compare"))

    def csv(content: bytes) -> Harm:
        return lambda sample, _: forget(sample, "composition_shells.csv").write_bytes(content)

    head = b"shell,shell_outer,shell_inner,mean_deviation,standard_error,n_voxels\n"
    texts = {
        "NUL": head + b"1,0,50,\0,0.1,7\n",
        "rows of another length": head + b"1,0\n",
        "no text": b"\xff\xfe" + head,
        "nothing": b"",
        "a cell of 300,000 letters": head + b"1," + b"9" * 300_000 + b",0,0,0,0\n",
        "a column twice": b"shell,shell\n1,2\n",
        "words for numbers": head + b"a,b,c,d,e,f\n",
        "other columns": b"a,b\n1,2\n",
        "an open quote": head + b'"1,0,50,0,0,7\n',
    }
    for what, content in texts.items():
        yield Hostile(f"{what} in a table", csv(content), used)

    def json_of(change: Callable[[dict[str, Any]], Any]) -> Harm:
        return lambda sample, _: edit(forget(sample, TABLE), change)

    yield Hostile("no fractions", json_of(lambda content: content.pop("fractions") and None), used)
    yield Hostile("fractions as a list", json_of(lambda content: content.update(fractions=[1])), used)
    yield Hostile(
        "fractions as words", json_of(lambda content: content.update(fractions={"target": "x"})), used
    )
    yield Hostile(
        "an altered table",
        lambda sample, _: edit(sample / TABLE, lambda c: c.update(threshold=0.9)),
        frozenset(("verify", "report", "compare")),
    )

    def lost(sample: Path, _: Path) -> None:
        forget(sample, TABLE).unlink()

    yield Hostile("a product deleted with its record", lost)
