"""A writer of small OLE containers (compound files, version 3), enough for the streams of an Xradia file."""

import struct
from pathlib import Path

SECTOR = 512
CUTOFF = 4096
FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def write_ole(path: Path, streams: dict[str, bytes]) -> None:
    """Write streams named ``storage/stream``, filled up so that none belongs into the mini stream."""
    streams = {name: content.ljust(CUTOFF, b"\0") for name, content in streams.items()}
    entries, contents = _directory(streams)
    directory_sectors = -(-len(entries) // 4)
    sizes = [-(-len(content) // SECTOR) for content in contents]
    total = directory_sectors + sum(sizes)
    fat_sectors = 1
    while fat_sectors * (SECTOR // 4) < total + fat_sectors:
        fat_sectors += 1
    fat = [FAT] * fat_sectors + _chain(fat_sectors, directory_sectors)
    starts = []
    for size in sizes:
        starts.append(len(fat))
        fat += _chain(len(fat), size)
    fat += [FREE] * (fat_sectors * (SECTOR // 4) - len(fat))
    head = struct.pack("<8s16xHHHHH6x", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<IIIIIIIII", 0, fat_sectors, fat_sectors, 0, CUTOFF, END, 0, END, 0)
    head += struct.pack("<109I", *range(fat_sectors), *[FREE] * (109 - fat_sectors))
    files = iter(zip(starts, (len(content) for content in contents), strict=True))
    body = b"".join(_entry(*entry, *(next(files) if entry[1] == 2 else (END, 0))) for entry in entries)
    body += _entry("", 0, FREE, FREE, FREE, 0, 0) * (4 * directory_sectors - len(entries))
    data = b"".join(
        content.ljust(size * SECTOR, b"\0") for content, size in zip(contents, sizes, strict=True)
    )
    path.write_bytes(head + struct.pack(f"<{len(fat)}I", *fat) + body + data)


def _chain(first: int, size: int) -> list[int]:
    return [*range(first + 1, first + size), END] if size else []


def _directory(streams: dict[str, bytes]) -> tuple[list[tuple[str, int, int, int, int]], list[bytes]]:
    """Return entries (name, kind, left, right, child): siblings as a chain to the right, in the order OLE wants."""

    def ordered(names: set[str]) -> list[str]:
        return sorted(names, key=lambda name: (len(name), name.upper()))

    storages = ordered({name.split("/")[0] for name in streams})
    entries: list[tuple[str, int, int, int, int]] = [("Root Entry", 5, FREE, FREE, 1)]
    contents = []
    first_stream = 1 + len(storages)
    for number, storage in enumerate(storages):
        inside = ordered({name.split("/")[1] for name in streams if name.startswith(f"{storage}/")})
        right = number + 2 if number + 1 < len(storages) else FREE
        entries.append((storage, 1, FREE, right, first_stream))
        first_stream += len(inside)
    for storage in storages:
        inside = ordered({name.split("/")[1] for name in streams if name.startswith(f"{storage}/")})
        for number, name in enumerate(inside):
            right = len(entries) + 1 if number + 1 < len(inside) else FREE
            entries.append((name, 2, FREE, right, FREE))
            contents.append(streams[f"{storage}/{name}"])
    return entries, contents


def _entry(name: str, kind: int, left: int, right: int, child: int, start: int, size: int) -> bytes:
    text = (name + "\0").encode("utf-16-le") if name else b""
    return (
        text.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(text), kind, 1, left, right, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )
