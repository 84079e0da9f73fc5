"""Size of a packed chunk after unpacking, determined before it is unpacked."""

import bz2
import lzma
import zlib
from typing import Any

_BLOSC_HEAD, _ZSTD_MAGIC = 16, b"\x28\xb5\x2f\xfd"


def unpacked_bytes(packed: bytes | memoryview, compressor: str, most: int) -> int:
    """Return the number of bytes that a packed chunk unpacks to; counting stops above ``most``.

    A size in the header is trusted, as the libraries do, too.
    """
    if compressor == "blosc":
        return int.from_bytes(packed[4:8], "little") if len(packed) >= _BLOSC_HEAD else 0
    if compressor == "lz4":
        return int.from_bytes(packed[:4], "little")
    if compressor == "zstd":
        return _zstd_bytes(packed, most)
    make: Any = {
        "zlib": zlib.decompressobj,
        "gzip": lambda: zlib.decompressobj(31),
        "bz2": bz2.BZ2Decompressor,
        "lzma": lzma.LZMADecompressor,
    }.get(compressor)
    if make is None:
        return 0
    size, rest = 0, bytes(packed)
    try:
        while rest and size <= most:
            unpacker = make()
            size += len(unpacker.decompress(rest, most + 1 - size))
            rest = unpacker.unused_data if unpacker.eof and compressor != "zlib" else b""
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
        pass  # damaged: the codec reports it
    return size


def _zstd_bytes(packed: bytes | memoryview, most: int) -> int:
    """Return the size declared in the header of the first frame.

    Returns more than ``most`` if it is not declared.
    """
    if packed[:4] != _ZSTD_MAGIC or len(packed) < 6:
        return 0
    flags = packed[4]
    single, width = bool(flags & 0x20), (0, 2, 4, 8)[flags >> 6]
    width = 1 if width == 0 and single else width
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    if width == 0:
        return most + 1
    size = int.from_bytes(packed[start : start + width], "little")
    return size + 256 if width == 2 else size
