"""Digests that S3 clients send along, and the ones that we keep."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol


class Digest(Protocol):
    """What hashlib's objects and our own checksums have in common."""

    def update(self, data: bytes | bytearray, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc32:
    """CRC-32 as zlib computes it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | bytearray, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class TableCrc:
    """A reflected CRC by table, for polynomials that no standard module has.

    About 10 MB/s: right, not fast. Clients on a fast path choose CRC-32 or SHA.
    """

    def __init__(self, polynomial: int, size: int) -> None:
        self._size = size
        self._ones = (1 << (8 * size)) - 1
        self._value = self._ones
        self._table = _table(polynomial)

    def update(self, data: bytes | bytearray, /) -> None:
        value, table = self._value, self._table
        for octet in data:
            value = table[(value ^ octet) & 0xFF] ^ (value >> 8)
        self._value = value

    def digest(self) -> bytes:
        return (self._value ^ self._ones).to_bytes(self._size, "big")


@lru_cache(maxsize=4)
def _table(polynomial: int) -> tuple[int, ...]:
    return tuple(_table_entry(octet, polynomial) for octet in range(256))


def _table_entry(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ polynomial if value & 1 else value >> 1
    return value


ALGORITHMS: Final[dict[str, Callable[[], Digest]]] = {
    "crc32": Crc32,
    "crc32c": lambda: TableCrc(0x82F63B78, 4),
    "crc64nvme": lambda: TableCrc(0x9A6C9329AC4BC9B5, 8),
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
}
"""Checksum algorithms by the name in `x-amz-checksum-NAME`."""

CHECKSUM_PREFIX: Final = "x-amz-checksum-"


def encoded(digest: bytes) -> str:
    """Return a digest as S3 writes it in headers."""
    return base64.b64encode(digest).decode()
