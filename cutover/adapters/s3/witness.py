"""Register and journal as objects of one bucket at the witness."""

import asyncio

from cutover.adapters.s3.address import WITNESS_LIMITS, Limits, S3Address
from cutover.adapters.s3.codec import (
    REGISTER,
    entry_from_json,
    entry_place,
    entry_to_json,
    gap,
    grant_from_json,
    grant_to_json,
)
from cutover.adapters.s3.once import Write, look, write_once
from cutover.adapters.s3.wire import Wire
from cutover.model.journal import Entry
from cutover.model.register import Grant, Registered

WITNESS = "witness"

WINDOW_MIN, WINDOW_MAX = 2, 16
"""Entries read at once, at first and at most."""


class S3Register:
    """The register in `<prefix>register.json`."""

    def __init__(self, address: S3Address, prefix: str, limits: Limits = WITNESS_LIMITS) -> None:
        self._wire = Wire(address, WITNESS, limits)
        self._key = f"{prefix}register.json"

    async def create(self, first: Grant) -> Registered:
        """Write the first grant; raises Superseded when there is a register already."""
        return await self._write(first, seen=None)

    async def read(self) -> Registered | None:
        """What is there now; None when the witness answers that there is nothing."""
        found = await look(self._wire, self._key, REGISTER)
        if found is None:
            return None
        return Registered(grant=grant_from_json(found.body, place=self._place), tag=found.tag)

    async def compare_and_set(self, seen: Registered, new: Grant) -> Registered:
        """Replace what was `seen` by `new`.

        Raises Superseded when somebody else's grant stands there; it may have
        been built on ours, so read it again and decide anew.
        """
        return await self._write(new, seen=seen.tag)

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def _write(self, grant: Grant, *, seen: str | None) -> Registered:
        def is_ours(body: bytes) -> bool:
            return grant_from_json(body, place=self._place).nonce == grant.nonce

        body = grant_to_json(grant)
        write = Write(what=REGISTER, key=self._key, body=body, seen=seen, is_ours=is_ours)
        return Registered(grant=grant, tag=await write_once(self._wire, write))

    @property
    def _place(self) -> str:
        return f"{REGISTER} ({self._key})"


class S3Journal:
    """The journal in `<prefix>journal/<n>.json`."""

    def __init__(self, address: S3Address, prefix: str, limits: Limits = WITNESS_LIMITS) -> None:
        self._wire = Wire(address, WITNESS, limits)
        self._prefix = f"{prefix}journal/"

    async def append(self, entry: Entry) -> None:
        """Create entry n; raises Superseded when another writer has made it."""

        def is_ours(body: bytes) -> bool:
            return entry_from_json(body, n=entry.n, place=self._place(entry.n)).nonce == entry.nonce

        body = entry_to_json(entry)
        key = self._key(entry.n)
        write = Write(what=entry_place(entry.n), key=key, body=body, seen=None, is_ours=is_ours)
        await write_once(self._wire, write)

    async def read(self, start: int = 0) -> list[Entry]:
        """All entries from `start` to the tail, which is found by probing, not by listing."""
        entries: list[Entry] = []
        window = WINDOW_MIN
        while True:
            first = start + len(entries)
            found = await self._window(first, window)
            entries += found
            if len(found) < window:
                return entries
            window = min(2 * window, WINDOW_MAX)

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def _window(self, first: int, size: int) -> list[Entry]:
        """The entries from `first` that are there, `size` at most; raises Refused for a gap."""
        numbers = range(first, first + size)
        found = list(await asyncio.gather(*(self._entry(n) for n in numbers)))
        for place, entry in enumerate(found):
            if entry is not None:
                continue
            behind = found[place + 1 :] or [await self._entry(first + size)]
            beyond = next((later.n for later in behind if later is not None), None)
            if beyond is None:
                return [entry for entry in found[:place] if entry is not None]
            found[place] = await self._entry(first + place)  # it may have been written while we read
            if found[place] is None:
                raise gap(first + place, beyond)
        return [entry for entry in found if entry is not None]

    async def _entry(self, n: int) -> Entry | None:
        found = await look(self._wire, self._key(n), entry_place(n))
        return None if found is None else entry_from_json(found.body, n=n, place=self._place(n))

    def _key(self, n: int) -> str:
        return f"{self._prefix}{n:012}.json"

    def _place(self, n: int) -> str:
        return f"{entry_place(n)} ({self._key(n)})"
