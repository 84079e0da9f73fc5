"""Folders of results as somebody who means harm would send them: each is an honest one with one thing done to it."""

import json
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from oxytomo.io.integrity import record_output
from oxytomo.io.provenance import make_provenance, record_file

STORE, ARRAY = "stages/composition/reconstruct.zarr", "deviation"
IMAGE, TABLE, COLUMNS = "composition.ome.zarr", "phases.json", "domains.csv"
NESTED = "[" * 100_000

Harm = Callable[[Path, Path], None]
"""Does something to a sample's folder; the second path is a folder outside that must stay as it is."""


@dataclass(frozen=True)
class Hostile:
    """One kind of harm.

    Attributes
    ----------
    name : says what and where
    harm : does it
    refused_by : commands that must not end with 0 (``verify`` says what is wrong, the others do not use it)
    """

    name: str
    harm: Harm
    refused_by: frozenset[str] = frozenset(("verify",))


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def record_everything(sample: Path) -> None:
    """Give the stores and products of a made-up sample the records that a run gives them."""
    provenance = make_provenance("made", 1, {}, {})
    for path in (*sample.glob("stages/*/*.zarr"), *sample.iterdir()):
        if path.name != "stages" and not path.name.startswith("."):
            record_output(path, provenance)


def hostile_results() -> Iterator[Hostile]:
    """Yield every kind of harm."""
    yield from _code()
    yield from _files()
    yield from _records()
    yield from _sizes()
    yield from _values()
    yield from _images()
    yield from _tables()
    yield from _links()


def _edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change JSON in place, and forget the record beside it: only the content itself can tell."""
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed), encoding="utf-8")


def _forget(sample: Path, name: str) -> Path:
    """Return a product after its record is deleted, as if there had never been one."""
    record_file(sample / name).unlink(missing_ok=True)
    return sample / name


ALL = frozenset(("verify", "report", "compare", "view", "render", "inspect"))


def _code() -> Iterator[Hostile]:
    older = {"zarr_format": 2, "order": "C", "fill_value": 0, "compressor": None, "filters": None}
    pickled = {"id": "pickle", "protocol": 5}

    def array_2(place: str, **described: Any) -> Harm:
        def harm(sample: Path, outside: Path) -> None:
            folder = sample / place
            shape = json.loads((folder / "zarr.json").read_text())["shape"]
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / ".zarray").write_text(
                json.dumps({**older, "shape": shape, "chunks": shape, **described})
            )
            (folder / ".".join("0" * len(shape))).write_bytes(pickle.dumps(Exploit(outside / "ran")))

        return harm

    kinds = {
        "filter": {"dtype": "<f4", "filters": [pickled]},
        "compressor": {"dtype": "<f4", "compressor": pickled},
    }
    kinds["object"] = {"dtype": "|O", "filters": [pickled]}
    for kind, described in kinds.items():
        yield Hostile(
            f"pickle as {kind} of a stored array",
            array_2(f"{STORE}/{ARRAY}", **described),
            frozenset(("verify", "report", "inspect")),
        )
        yield Hostile(
            f"pickle as {kind} of an image", array_2(f"{IMAGE}/0", **described), frozenset(("verify", "view"))
        )

    def codec_3(place: str, name: str) -> Harm:
        def change(content: dict[str, Any]) -> None:
            content["codecs"].append({"name": name, "configuration": {"protocol": 5}})

        return lambda sample, _: _edit(sample / place / "zarr.json", change)

    for name in ("numcodecs.pickle", "pickle", "numcodecs.json2", "no_such_codec"):
        yield Hostile(
            f"codec {name} in a store", codec_3(f"{STORE}/{ARRAY}", name), frozenset(("verify", "report"))
        )
        yield Hostile(f"codec {name} in an image", codec_3(f"{IMAGE}/0", name), frozenset(("verify", "view")))
        yield Hostile(
            f"codec {name} in a label",
            codec_3(f"{IMAGE}/labels/phases/0", name),
            frozenset(("verify", "view")),
        )

    def inner(sample: Path, _: Path) -> None:
        def change(content: dict[str, Any]) -> None:
            content["codecs"][0]["configuration"]["codecs"].append({"name": "numcodecs.pickle"})

        _edit(sample / IMAGE / "0" / "zarr.json", change)

    yield Hostile("pickle within a shard", inner, frozenset(("verify", "view")))

    def doubled(place: str, name: str, content: dict[str, Any]) -> Harm:
        return lambda sample, _: (sample / place / name).write_text(json.dumps(content))

    group = {"zarr_format": 2}
    array = {**older, "shape": [2], "chunks": [2], "dtype": "|O", "filters": [pickled]}
    for place in (STORE, f"{STORE}/{ARRAY}", IMAGE, f"{IMAGE}/0"):
        who = frozenset(("verify", "view" if place.startswith(IMAGE) else "report"))
        for name, content in (
            (".zattrs", {"x": 1}),
            (".zgroup", group),
            (".zarray", array),
            (".zmetadata", {"metadata": {}}),
        ):
            yield Hostile(f"{name} beside zarr.json in {place}", doubled(place, name, content), who)

    def consolidated(place: str, node: str) -> Harm:
        def harm(sample: Path, _: Path) -> None:
            own = json.loads((sample / place / node / "zarr.json").read_text())
            own["attributes"] = {"another": 1}
            held = {"kind": "inline", "must_understand": False, "metadata": {node: own}}
            _edit(sample / place / "zarr.json", lambda content: content.update(consolidated_metadata=held))

        return harm

    yield Hostile(
        "consolidated metadata of a store", consolidated(STORE, ARRAY), frozenset(("verify", "report"))
    )
    yield Hostile(
        "consolidated metadata of an image that differ",
        consolidated(IMAGE, "0"),
        frozenset(("verify", "view")),
    )


def _files() -> Iterator[Hostile]:
    places = {
        f"{STORE}/zarr.json": {"verify", "report"},
        f"{STORE}/{ARRAY}/zarr.json": {"verify", "report"},
        f"{IMAGE}/zarr.json": {"verify"},
        f"{IMAGE}/0/zarr.json": {"verify", "view"},
        f"stages/composition/.reconstruct.zarr{'.record.json'}": {"verify"},
        f".{TABLE}.record.json": {"verify"},
        TABLE: {"verify", "report", "compare"},
    }
    contents = {
        "nothing": b"",
        "brackets without end": NESTED.encode(),
        "nested objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "no text": bytes(range(128, 256)),
        "another type": b"[1, 2]",
        "a number": b"1",
        "infinity": b'{"version": 1e999, "attributes": {"oxytomo": {"version": 1e999}}}',
        "20 MB": b" " * 20_000_000,
    }
    for place, commands in places.items():
        for what, content in contents.items():
            if what == "20 MB" and place == TABLE:
                continue

            def write(sample: Path, _: Path, place: str = place, content: bytes = content) -> None:
                (sample / place).write_bytes(content)

            yield Hostile(f"{what} in {place}", write, frozenset(commands))

        def twice(sample: Path, _: Path, place: str = place) -> None:
            text = (sample / place).read_text(encoding="utf-8").strip()
            key = next(iter(json.loads(text)))
            (sample / place).write_text(text[:-1] + f',"{key}": {{}}}}', encoding="utf-8")

        yield Hostile(f"a key twice in {place}", twice, frozenset(commands))
        for kind in ("pipe", "device", "endless device", "folder", "link"):

            def special(sample: Path, outside: Path, place: str = place, kind: str = kind) -> None:
                _replace(sample / place, kind, outside)

            yield Hostile(f"a {kind} for {place}", special, frozenset(commands))


def _replace(path: Path, kind: str, outside: Path) -> None:
    """Put a pipe, a link to a device, a folder or a link in the place of a file."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/tty", "endless device": "/dev/zero"}.get(kind, outside / "precious"))


def _records() -> Iterator[Hostile]:
    keys = ("stage", "version", "settings", "inputs", "package_version", "created", "arrays", "digest")
    wrong: dict[str, Any] = dict.fromkeys(keys, 17) | {"version": "one", "stage": ["a"]}
    places = {f"{STORE}/zarr.json": lambda content: content["attributes"]["oxytomo"]}
    places[f".{TABLE}.record.json"] = lambda content: content
    for place, part in places.items():
        in_store = place.startswith("stages")
        for key in keys if in_store else [key for key in keys if key != "arrays"]:
            both = (
                frozenset(("verify", "report"))
                if in_store
                else frozenset(("verify",) if key == "digest" else ("inspect",))
            )

            def without(sample: Path, _: Path, place: str = place, part: Any = part, key: str = key) -> None:
                _edit(sample / place, lambda content: part(content).pop(key) and None)

            def mistyped(sample: Path, _: Path, place: str = place, part: Any = part, key: str = key) -> None:
                _edit(sample / place, lambda content: part(content).update({key: wrong[key]}))

            yield Hostile(f"no {key} in {place}", without, both)
            yield Hostile(f"another type of {key} in {place}", mistyped, both)
    odd = {
        "version at infinity": {"version": {"float": "inf"}},
        "a huge version": {"version": 10**400},
        "inputs as a list": {"inputs": [1]},
        "an input without path": {"inputs": {"a": {"digest": "0"}}},
        "an input with NUL": {"inputs": {"a": {"path": "/a\0b", "digest": "0"}}},
        "an input of 100,000 letters": {"inputs": {"a": {"path": "/" + "a" * 100_000, "digest": "0"}}},
        "a stage that steers the terminal": {"stage": "\x1b[2Jx\n\u202e", "settings": {"\x1b[2J": "\n\r"}},
    }
    for what, change in odd.items():

        def alter(sample: Path, _: Path, change: dict[str, Any] = change) -> None:
            _edit(
                sample / STORE / "zarr.json", lambda content: content["attributes"]["oxytomo"].update(change)
            )

        yield Hostile(what, alter, frozenset(("verify",)))
    layouts: dict[str, Any] = {
        "axes as a number": {"axes": 3},
        "fewer axes": {"axes": ["z"]},
        "sides below zero": {"shape": [-1, 2, 2]},
        "10^18 slices": {"shape": [10**18, 40, 40]},
        "another type": {"dtype": "object"},
        "no unit": {"unit": None},
    }
    for what, change in layouts.items():

        def relay(sample: Path, _: Path, change: dict[str, Any] = change) -> None:
            _edit(
                sample / STORE / "zarr.json",
                lambda content: content["attributes"]["oxytomo"]["arrays"][ARRAY].update(change),
            )

        yield Hostile(f"{what} in the layout", relay, frozenset(("verify", "report", "inspect")))

    def elsewhere(path: str) -> Harm:
        item = {"a": {"path": path, "digest": "0" * 64}}
        return lambda sample, _: _edit(
            sample / STORE / "zarr.json", lambda content: content["attributes"]["oxytomo"].update(inputs=item)
        )

    for path in ("/dev/zero", "/dev/tty", "/proc/kmsg", "/proc/kcore", "/", "{pipe}"):
        yield Hostile(f"made from {path}", elsewhere(path))
    yield Hostile("a chain of 3,000 inputs", _long_chain)
    yield Hostile("made from itself", _from_itself)


def _from_itself(sample: Path, _: Path) -> None:
    item = {"a": {"path": str((sample / STORE).absolute()), "digest": "0" * 64}}
    _edit(sample / STORE / "zarr.json", lambda content: content["attributes"]["oxytomo"].update(inputs=item))


def _long_chain(sample: Path, _: Path) -> None:
    folder = sample / "stages" / "composition" / "fit"
    content = json.loads((sample / STORE / "zarr.json").read_text(encoding="utf-8"))
    record = content["attributes"]["oxytomo"]
    record["arrays"] = {}
    for number in range(3000):
        record["inputs"] = {
            "a": {"path": str((folder / f"{number + 1}.zarr").absolute()), "digest": "0" * 64}
        }
        (folder / f"{number}.zarr").mkdir(parents=True)
        (folder / f"{number}.zarr" / "zarr.json").write_text(json.dumps(content), encoding="utf-8")
    _edit(
        sample / STORE / "zarr.json",
        lambda root: root["attributes"]["oxytomo"].update(
            inputs={"a": {"path": str((folder / "0.zarr").absolute()), "digest": "0" * 64}}
        ),
    )


def _sizes() -> Iterator[Hostile]:
    def metadata(place: str, change: dict[str, Any]) -> Harm:
        return lambda sample, _: _edit(sample / place / "zarr.json", lambda content: content.update(change))

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


def _values() -> Iterator[Hostile]:
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
    yield Hostile("a pipe for a chunk", chunks(lambda path: _replace(path, "pipe", path)), stored)
    yield Hostile(
        "an endless device for a chunk", chunks(lambda path: _replace(path, "endless device", path)), stored
    )

    def settings(sample: Path, _: Path) -> None:
        _edit(
            sample / STORE / "zarr.json",
            lambda content: content["attributes"]["attributes"].update(pixel_nm=99.0),
        )

    yield Hostile("another pixel size", settings, stored)

    def attributes(change: Callable[[dict[str, Any]], Any]) -> Harm:
        def harm(sample: Path, _: Path) -> None:
            _edit(sample / STORE / "zarr.json", lambda content: change(content["attributes"]["attributes"]))
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


def _images() -> Iterator[Hostile]:
    shown = frozenset(("verify", "view"))

    def root(change: Callable[[dict[str, Any]], Any]) -> Harm:
        return lambda sample, _: _edit(
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


def _tables() -> Iterator[Hostile]:
    used = frozenset(("report", "compare"))

    def csv(content: bytes) -> Harm:
        return lambda sample, _: _forget(sample, "composition_shells.csv").write_bytes(content)

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
        return lambda sample, _: _edit(_forget(sample, TABLE), change)

    yield Hostile("no fractions", json_of(lambda content: content.pop("fractions") and None), used)
    yield Hostile("fractions as a list", json_of(lambda content: content.update(fractions=[1])), used)
    yield Hostile(
        "fractions as words", json_of(lambda content: content.update(fractions={"target": "x"})), used
    )
    yield Hostile(
        "an altered table",
        lambda sample, _: _edit(sample / TABLE, lambda c: c.update(threshold=0.9)),
        frozenset(("verify", "report", "compare")),
    )

    def lost(sample: Path, _: Path) -> None:
        _forget(sample, TABLE).unlink()

    yield Hostile("a product deleted with its record", lost)


def _links() -> Iterator[Hostile]:
    def link(place: str) -> Harm:
        def harm(sample: Path, outside: Path) -> None:
            moved = outside / "moved"
            (sample / place).rename(moved)
            (sample / place).symlink_to(moved)

        return harm

    yield Hostile("stages that are a link", link("stages"), frozenset(("verify", "report")))
    yield Hostile("a branch that is a link", link("stages/composition"), frozenset(("verify", "report")))
    yield Hostile("a store that is a link", link(STORE), frozenset(("verify", "report")))
    yield Hostile("an array that is a link", link(f"{STORE}/{ARRAY}"), frozenset(("verify", "report")))
    yield Hostile("an image that is a link", link(IMAGE), frozenset(("verify",)))
    yield Hostile("a level that is a link", link(f"{IMAGE}/0"), frozenset(("verify", "view")))
    yield Hostile("a table that is a link", link(TABLE), frozenset(("verify", "report", "compare")))

    def renders(sample: Path, outside: Path) -> None:
        (sample / "renders").symlink_to(outside)

    yield Hostile("renders that lead outside", renders, frozenset(("verify", "render")))

    def deep(sample: Path, _: Path) -> None:
        folder = sample / "stages" / "composition"
        for _level in range(300):
            folder = folder / "a"
        folder.mkdir(parents=True)

    yield Hostile("folders nested 300 deep", deep)
