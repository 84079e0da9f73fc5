"""Folders of results as somebody who means harm would send them: each is an honest one with one thing done to it."""

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.harm import (
    ARRAY,
    IMAGE,
    NESTED,
    STORE,
    TABLE,
    Exploit,
    Harm,
    Hostile,
    edit,
    replace_path,
)
from tests.fuzz.hostile_content import images, sizes, tables, values


def hostile_results() -> Iterator[Hostile]:
    """Yield every kind of harm."""
    yield from _code()
    yield from _files()
    yield from _records()
    yield from sizes()
    yield from values()
    yield from images()
    yield from tables()
    yield from _links()


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

        return lambda sample, _: edit(sample / place / "zarr.json", change)

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

        edit(sample / IMAGE / "0" / "zarr.json", change)

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
            edit(sample / place / "zarr.json", lambda content: content.update(consolidated_metadata=held))

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
                replace_path(sample / place, kind, outside)

            yield Hostile(f"a {kind} for {place}", special, frozenset(commands))


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
                edit(sample / place, lambda content: part(content).pop(key) and None)

            def mistyped(sample: Path, _: Path, place: str = place, part: Any = part, key: str = key) -> None:
                edit(sample / place, lambda content: part(content).update({key: wrong[key]}))

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
            edit(
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
            edit(
                sample / STORE / "zarr.json",
                lambda content: content["attributes"]["oxytomo"]["arrays"][ARRAY].update(change),
            )

        yield Hostile(f"{what} in the layout", relay, frozenset(("verify", "report", "inspect")))

    def elsewhere(path: str) -> Harm:
        item = {"a": {"path": path, "digest": "0" * 64}}
        return lambda sample, _: edit(
            sample / STORE / "zarr.json", lambda content: content["attributes"]["oxytomo"].update(inputs=item)
        )

    for path in ("/dev/zero", "/dev/tty", "/proc/kmsg", "/proc/kcore", "/", "{pipe}"):
        yield Hostile(f"made from {path}", elsewhere(path))
    yield Hostile("a chain of 3,000 inputs", _long_chain)
    yield Hostile("made from itself", _from_itself)


def _from_itself(sample: Path, _: Path) -> None:
    item = {"a": {"path": str((sample / STORE).absolute()), "digest": "0" * 64}}
    edit(sample / STORE / "zarr.json", lambda content: content["attributes"]["oxytomo"].update(inputs=item))


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
    edit(
        sample / STORE / "zarr.json",
        lambda root: root["attributes"]["oxytomo"].update(
            inputs={"a": {"path": str((folder / "0.zarr").absolute()), "digest": "0" * 64}}
        ),
    )


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
