"""Whether results are still what the stages wrote: digests of products beside them, and their check.

A stage store holds the digest of its values. Everything else (tables, pages, images, meshes) gets a hidden record
``.<name>.record.json`` beside it, with the digest of its bytes and where it comes from; the record of a store
holds the digest of its metadata.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, StoreError
from pipeline.io.atomic import complete_or_absent
from pipeline.io.provenance import file_digest, folder_digest, input_digest, record_file, store_record
from pipeline.io.stores import NamedArray, Provenance, content_digest, encode_json, read_store


@dataclass(frozen=True)
class Finding:
    """What was found of one store, product or raw file.

    ``state`` is ``intact``, ``altered``, ``damaged``, ``missing``, ``unrecorded`` (nothing says what it was) or, for
    raw files, ``absent`` (they are elsewhere, which is no fault).
    """

    path: Path
    state: str
    detail: str = ""

    @property
    def bad(self) -> bool:
        """Say whether the results cannot be relied on."""
        return self.state in ("altered", "damaged", "missing")


def record_output(path: Path, provenance: Provenance) -> None:
    """Write the record of an output beside it."""
    record = encode_json({**asdict(provenance), "digest": output_digest(path)})
    with complete_or_absent(record_file(path)) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def output_digest(path: Path) -> str:
    """Return the digest of a product's bytes; for a stage store that of its metadata, as its values have their own."""
    if store_record(path) is not None:
        return folder_digest(path, pattern="zarr.json")
    return folder_digest(path) if path.is_dir() else file_digest(path)


def verify(folder: Path) -> list[Finding]:
    """Recompute every digest in a folder of results, or of one sample, and of the raw files behind it.

    Raises
    ------
    StoreError
        Where the folder holds no results.
    """
    samples = [folder] if (folder / "stages").is_dir() else sorted(p.parent for p in folder.glob("*/stages"))
    if not samples:
        raise StoreError(
            str(folder),
            expected="a folder of results, or that of a sample in it",
            got="nothing that a run has made",
            fix="give the 'results' folder of the configuration",
        )
    raw: dict[Path, Finding] = {}
    found = [finding for sample in samples for finding in _verify_sample(sample, raw)]
    once = {(finding.path, finding.state): finding for finding in reversed(found)}
    return [*reversed(once.values()), *raw.values()]


def _verify_sample(sample: Path, raw: dict[Path, Finding]) -> Iterator[Finding]:
    """Check the products, then the stores; collects the raw files."""
    stores = sorted((sample / "stages").glob("*/**/*.zarr"))
    for record in sorted(_records(sample)):
        path = record.with_name(record.name[1:].removesuffix(".record.json"))
        if path not in stores:
            yield _verify_product(path, record)
    for path in _unrecorded(sample):
        yield Finding(path, "unrecorded", "made before records were kept, or by something else")
    for store in stores:
        yield _verify_store(store)
        yield from _verify_inputs(store, sample, raw)


def _records(sample: Path) -> Iterator[Path]:
    """Yield the records of the outputs of a sample; images and meshes hold none."""
    for folder in (sample, *(path for path in (sample / "stages").rglob("*") if path.is_dir())):
        if ".zarr" not in "".join(folder.relative_to(sample.parent).parts[1:]):
            yield from folder.glob(".*.record.json")


def _unrecorded(sample: Path) -> list[Path]:
    """Return the products of a sample that have no record."""
    inside = (path for path in sample.iterdir() if path.name != "stages" and not path.name.startswith("."))
    return sorted(path for path in inside if not record_file(path).is_file())


def _verify_product(path: Path, record: Path) -> Finding:
    if not path.exists():
        return Finding(path, "missing", "its record is there")
    digest = _read_record(record).get("digest")
    if digest is None:
        return Finding(record, "damaged", "a record that cannot be read")
    same = output_digest(path) == digest
    return Finding(path, "intact") if same else Finding(path, "altered", "other bytes than the stage wrote")


def _verify_store(path: Path) -> Finding:
    try:
        store = read_store(path)
        arrays = {
            name: NamedArray(store.field(name), store.axes(name), store.unit(name)) for name in store.names
        }
        digest = content_digest(arrays)
    except PipelineError as error:
        return Finding(path, "damaged", f"{error.got}")
    if digest != store.digest:
        return Finding(path, "altered", "other values than the stage wrote")
    record = record_file(path)
    if not record.is_file():
        return Finding(path, "intact", "its settings have no record")
    if _read_record(record).get("digest") != output_digest(path):
        return Finding(path, "altered", "other metadata than the stage wrote")
    return Finding(path, "intact")


def _verify_inputs(store: Path, sample: Path, raw: dict[Path, Finding]) -> Iterator[Finding]:
    """Compare what a store was made from with what is there now."""
    for item in ((store_record(store) or {}).get("inputs") or {}).values():
        recorded, path = Path(item["path"]), _relocated(Path(item["path"]), sample)
        if path.is_relative_to(sample.parent):
            if not path.exists():
                yield Finding(path, "missing", f"{store.name} was made from it")
            elif input_digest(path) != item["digest"]:
                yield Finding(store, "altered", f"made from another {path.name} than is there now")
        elif recorded not in raw:
            raw[recorded] = _verify_raw(recorded, item["digest"])


def _verify_raw(path: Path, digest: str) -> Finding:
    if not path.exists():
        return Finding(path, "absent", "a raw file that is not here")
    same = input_digest(path) == digest
    return Finding(path, "intact") if same else Finding(path, "altered", "a raw file that has changed since")


def _relocated(path: Path, sample: Path) -> Path:
    """Return where an input of a results folder is after the folder was moved or copied."""
    parts = path.parts
    if sample.name in parts and "stages" in parts:
        inside = Path(*parts[parts.index("stages") :])
        return sample.parent / parts[parts.index("stages") - 1] / inside
    return path


def _read_record(path: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
