"""Check whether results are unchanged: digests of products, and their comparison.

A stage store holds the digest of its values. Every other product (table, page, image, mesh) has a
hidden record ``.<name>.record.json`` beside it, with the digest of its bytes and its origin; the
record of a store holds the digest of its metadata. The file ``oxytomo.json`` of a results folder
lists the products at the end of a run.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from oxytomo.errors import PipelineError, StoreError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.finished import finished_products, is_sample, product_of, records_in, records_of
from oxytomo.io.plain_files import foreign_kind, printable, read_json_object, walk
from oxytomo.io.provenance import (
    checked_record,
    file_digest,
    folder_digest,
    input_digest,
    record_file,
    relocated,
    result_digest,
    store_record,
)
from oxytomo.io.stores import (
    AlteredStoreError,
    NamedArray,
    Provenance,
    Store,
    content_digest,
    encode_json,
    read_store,
)

_NO_DATA = ("/dev", "/proc", "/sys")
_UNEXPECTED = (Exception,)
"""Errors from damaged stores, which may be of any kind; the check continues with the next one."""


@dataclass(frozen=True)
class Finding:
    """Result of the check of one store, product or raw file.

    ``state`` is ``intact``, ``altered``, ``damaged``, ``missing``, ``unrecorded`` (there is no
    record of it) or, for raw files, ``absent`` (they are stored elsewhere, which is not an error)
    or ``unchecked`` (they were not to be read).
    """

    path: Path
    state: str
    detail: str = ""

    @property
    def bad(self) -> bool:
        """Return whether the results are unreliable."""
        return self.state in ("altered", "damaged", "missing")


@dataclass
class _Check:
    """State of a check of a results folder: folder, whether to read raw files, findings."""

    root: Path
    inputs: bool
    raw: dict[Path, Finding] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)


def record_output(path: Path, provenance: Provenance) -> None:
    """Write the record of an output beside it."""
    record = encode_json({**asdict(provenance), "digest": output_digest(path)})
    with complete_or_absent(record_file(path)) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def output_digest(path: Path) -> str:
    """Return the digest of a product's bytes.

    For a stage store it is that of its metadata, as its values have their own.
    """
    if store_record(path) is not None:
        return folder_digest(path, pattern="zarr.json")
    return result_digest(path) if path.is_dir() else file_digest(path, follow=False)


def check_unaltered(path: Path) -> None:
    """Refuse a store or table that differs from what its stage wrote, before it is used.

    The metadata of a store are compared with its record, its values by their seal. If an earlier
    version wrote neither, all values are read and compared by their digest. A table without a
    record is accepted.

    Raises
    ------
    StoreError
        If it was changed.
    """
    recorded = _recorded_digest(path)
    if recorded is not None and recorded != output_digest(path):
        raise AlteredStoreError(
            printable(path),
            expected="what its stage wrote",
            got="another content: somebody has changed it since",
            fix=f"delete {printable(path.name)} and run the workflow again",
        )
    if store_record(path) is None:
        return
    store = read_store(path)
    if not store.sealed and digest_of_values(store) != store.digest:
        raise AlteredStoreError(
            printable(path),
            expected="the values that its stage wrote",
            got="others: somebody has changed them since",
            fix="delete this folder and run the workflow again",
        )


def digest_of_values(store: Store) -> str:
    """Return the digest of the values of a store; all of them are read."""
    return content_digest(
        {name: NamedArray(store.field(name), store.axes(name), store.unit(name)) for name in store.names}
    )


def verify(folder: Path, *, inputs: bool = False) -> list[Finding]:
    """Recompute every digest in a folder of results, or of one sample.

    Parameters
    ----------
    folder : results of all samples, or of one
    inputs : also read the raw files behind the results, where they are outside the folder

    Raises
    ------
    StoreError
        If the folder holds no results.
    """
    alone = is_sample(folder)
    samples = [folder] if alone else _samples_below(folder)
    if not samples:
        raise StoreError(
            printable(folder),
            expected="a folder of results, or that of a sample in it",
            got="nothing that a run has made",
            fix="give the 'results' folder of the configuration",
        )
    check = _Check(samples[0].absolute().parent, inputs)
    found = [] if alone else [*_links_beside(folder), *_verify_products(records_in(folder))]
    for sample in samples:
        found += _verify_sample(sample, check)
    known = {finding.path for finding in found}
    wanted = finished_products(check.root)
    for name, products in wanted.items():
        if not alone or name == folder.absolute().name:
            found += [
                Finding(check.root / product, "missing", "a run has made it")
                for product in products
                if not (check.root / product).exists() and check.root / product not in known
            ]
    once = {(finding.path, finding.state): finding for finding in reversed(found)}
    return [*reversed(once.values()), *check.raw.values()]


def _samples_below(folder: Path) -> list[Path]:
    below = sorted(stages.parent for stages in folder.glob("*/stages"))
    return [sample for sample in below if is_sample(sample) and not sample.is_symlink()]


def _links_beside(folder: Path) -> Iterator[Finding]:
    """Name samples that are links: a run refuses them, and their targets are not examined."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield Finding(path, "damaged", "a link, which no run makes; not followed")


def _verify_sample(sample: Path, check: _Check) -> list[Finding]:
    """Check the products, then the stores; collect the raw files."""
    try:
        foreign = {Path(entry.path): kind for entry in walk(sample) if (kind := foreign_kind(entry))}
    except (StoreError, OSError) as error:
        return [Finding(sample, "damaged", _why(error))]
    found = [Finding(path, "damaged", f"{kind}, which no stage makes") for path, kind in foreign.items()]
    stores = _stores(sample)
    records = [record for record in records_of(sample) if product_of(record) not in stores]
    found += _verify_products(records, foreign)
    found += [
        Finding(path, "unrecorded", "made before records were kept, or by something else")
        for path in _unrecorded(sample)
        if path not in foreign
    ]
    for store in stores:
        state = _verify_store(store)
        found.append(state)
        found += _verify_inputs(store, check)
    return found


def _stores(sample: Path) -> list[Path]:
    entries = walk(sample / "stages", into=".zarr")
    return sorted(
        Path(e.path) for e in entries if e.name.endswith(".zarr") and e.is_dir(follow_symlinks=False)
    )


def _unrecorded(sample: Path) -> list[Path]:
    """Return the products of a sample that have no record."""
    inside = (path for path in sample.iterdir() if path.name != "stages" and not path.name.startswith("."))
    return sorted(path for path in inside if not record_file(path).is_file())


def _verify_products(records: Sequence[Path], foreign: Mapping[Path, str] | None = None) -> list[Finding]:
    """Check products by their records."""
    found = []
    for record in records:
        if product_of(record) not in (foreign or {}) and record not in (foreign or {}):
            found.append(_verify_product(product_of(record), record))
    return found


def _verify_product(path: Path, record: Path) -> Finding:
    if not path.exists():
        return Finding(path, "missing", "its record is there")
    digest = _recorded_digest(path)
    if digest is None:
        return Finding(record, "damaged", "a record that cannot be read")
    try:
        same = output_digest(path) == digest
    except (PipelineError, OSError, ValueError) as error:
        return Finding(path, "damaged", _why(error))
    return Finding(path, "intact") if same else Finding(path, "altered", "other bytes than the stage wrote")


def _verify_store(path: Path) -> Finding:
    try:
        store = read_store(path)
        digest = digest_of_values(store)
        strange = _strange_files(path, store)
        metadata = output_digest(path)
        record = record_file(path)
        recorded = _recorded_digest(path) if record.exists() else ""
    except AlteredStoreError as error:
        return Finding(path, "altered", error.got)
    except PipelineError as error:
        return Finding(path, "damaged", error.got)
    except _UNEXPECTED as error:
        return Finding(path, "damaged", _why(error))
    if digest != store.digest:
        return Finding(path, "altered", "other values than the stage wrote")
    if strange:
        return Finding(path, "altered", f"files that the stage did not write: {printable(strange[0])}")
    if recorded == "":
        return Finding(path, "intact", "its settings have no record")
    if recorded != metadata:
        return Finding(path, "altered", "other metadata than the stage wrote")
    return Finding(path, "intact")


def _strange_files(path: Path, store: Store) -> list[str]:
    """Return files in a store that belong to none of its arrays."""
    known = {"zarr.json", ".snakemake_timestamp", *(f"{name}/zarr.json" for name in store.names)}
    chunks = tuple(f"{name}/c" for name in store.names)
    found = (
        Path(e.path).relative_to(path).as_posix() for e in walk(path) if not e.is_dir(follow_symlinks=False)
    )
    return [name for name in found if name not in known and not name.startswith(chunks)]


def _verify_inputs(store: Path, check: _Check) -> Iterator[Finding]:
    """Compare the recorded inputs of a store with the present ones."""
    try:
        provenance = checked_record(store)
    except PipelineError:
        return  # the store itself is damaged, which is reported already
    for item in () if provenance is None else provenance.inputs.values():
        recorded, digest = Path(item["path"]), item["digest"]
        path = relocated(recorded, check.root)
        if path is None or not (path.suffix == ".zarr" and "stages" in path.parts):
            if recorded not in check.raw:
                check.raw[recorded] = _verify_raw(recorded, path, digest, check)
        elif not path.exists():
            yield Finding(path, "missing", f"{store.name} was made from it")
        elif _digest_now(path, check) not in (digest, ""):
            yield Finding(store, "altered", f"made from another {path.name} than is there now")


def _digest_now(path: Path, check: _Check) -> str:
    """Return the digest of an input that is a result.

    It is empty if the input is damaged, which is reported for the input itself.
    """
    if path not in check.digests:
        try:
            check.digests[path] = input_digest(path)
        except (PipelineError, OSError, ValueError):
            check.digests[path] = ""
    return check.digests[path]


def _verify_raw(path: Path, inside: Path | None, digest: str, check: _Check) -> Finding:
    """Check a raw file; one outside of the results only if requested."""
    if inside is None and not check.inputs:
        return Finding(path, "unchecked", "a raw file outside of the results")
    try:
        if not path.exists():
            return Finding(path, "absent", "a raw file that is not here")
        if any(path.resolve().is_relative_to(place) for place in _NO_DATA):
            return Finding(path, "damaged", "no raw file")
        same = input_digest(path) == digest
    except (PipelineError, OSError, ValueError) as error:
        return Finding(path, "damaged", _why(error))
    return Finding(path, "intact") if same else Finding(path, "altered", "a raw file that has changed since")


def _recorded_digest(path: Path) -> str | None:
    """Return the digest in the record of an output, None without a readable record."""
    try:
        digest: Any = read_json_object(record_file(path)).get("digest")
    except OSError:
        return None
    return digest if isinstance(digest, str) else None


def _why(error: Exception) -> str:
    got = getattr(error, "got", None) or getattr(error, "strerror", None) or f"{type(error).__name__} {error}"
    return printable(got)[:200]
