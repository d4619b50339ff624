"""Register and journal in memory, for simulated runs and as the contract's plainest form.

Bodies are kept as the same JSON as at a real witness, so that nobody can hold
a reference into it and a foreign or newer body can be planted.
"""

from dataclasses import dataclass, field

from cutover.adapters.memory.carry import Carry, Pause, paused
from cutover.adapters.s3.codec import (
    REGISTER,
    entry_from_json,
    entry_place,
    entry_to_json,
    gap,
    grant_from_json,
    grant_to_json,
)
from cutover.errors import Inconclusive, SiteUnreachable, Superseded
from cutover.model.journal import Entry
from cutover.model.register import Grant, Registered


@dataclass(slots=True)
class MemoryWitness:
    """What all clients of one witness share."""

    register: bytes | None = None
    version: int = 0  #: how often the register was written: its tag
    entries: dict[int, bytes] = field(default_factory=dict)
    _read: dict[bytes, Entry | Grant] = field(default_factory=dict)  #: bodies that were read before

    def known(self, body: bytes, said: Entry | Grant) -> None:
        """What a body says that is about to be written: reading it would give an equal value."""
        self._read[body] = said

    def grant(self) -> Grant | None:
        """What the register says."""
        if self.register is None:
            return None
        found = self._read.get(self.register)
        if not isinstance(found, Grant):
            found = self._read[self.register] = grant_from_json(self.register, place=REGISTER)
        return found

    def entry(self, n: int) -> Entry:
        """Entry n; KeyError when there is none."""
        body = self.entries[n]
        found = self._read.get(body)
        if not isinstance(found, Entry) or found.n != n:
            found = self._read[body] = entry_from_json(body, n=n, place=entry_place(n))
        return found


class MemoryRegister:
    """One client's way to the register."""

    def __init__(
        self, witness: MemoryWitness, pause: Pause | None = None, carry: Carry | None = None
    ) -> None:
        self._witness, self._carry = witness, carry or paused(pause)

    async def create(self, first: Grant) -> Registered:
        """Write the first grant; raises Superseded when there is a register already."""
        return await self._change(None, first)

    async def read(self) -> Registered | None:
        """What is there now; None when there is nothing."""
        return await self._carry(self._look, effect=False)

    async def compare_and_set(self, seen: Registered, new: Grant) -> Registered:
        """Replace what was `seen` by `new`; raises Superseded or Inconclusive."""
        return await self._change(seen, new)

    async def _change(self, seen: Registered | None, new: Grant) -> Registered:
        body = grant_to_json(new)
        self._witness.known(body, new)

        def swap() -> Registered | None:
            if self._tag() == (None if seen is None else seen.tag):
                self._witness.register = body
                self._witness.version += 1
            return self._look()

        try:
            now = await self._carry(swap, effect=True)
        except Inconclusive as unclear:
            now = await self._read_back(unclear)
            if (now and now.tag) == (seen and seen.tag):
                raise
        if now is None or now.grant.nonce != new.nonce:
            raise Superseded(REGISTER)
        return now

    async def _read_back(self, unclear: Inconclusive) -> Registered | None:
        try:
            return await self.read()
        except SiteUnreachable:
            raise unclear from None

    def _look(self) -> Registered | None:
        grant, tag = self._witness.grant(), self._tag()
        return None if grant is None or tag is None else Registered(grant=grant, tag=tag)

    def _tag(self) -> str | None:
        return None if self._witness.register is None else f"v{self._witness.version}"


class MemoryJournal:
    """One client's way to the journal."""

    def __init__(
        self, witness: MemoryWitness, pause: Pause | None = None, carry: Carry | None = None
    ) -> None:
        self._witness, self._carry = witness, carry or paused(pause)

    async def append(self, entry: Entry) -> None:
        """Create entry n; raises Superseded when another writer has made it."""
        entries, body = self._witness.entries, entry_to_json(entry)
        self._witness.known(body, entry)
        try:
            held = await self._carry(lambda: entries.setdefault(entry.n, body), effect=True)
        except Inconclusive as unclear:
            found = await self._read_back(entry.n, unclear)
            if found is None:
                raise
            held = found
        if entry_from_json(held, n=entry.n, place=entry_place(entry.n)).nonce != entry.nonce:
            raise Superseded(entry_place(entry.n))

    async def read(self, start: int = 0) -> list[Entry]:
        """All entries from `start` to the tail; raises Refused for a gap or a foreign entry."""
        return await self._carry(lambda: self._from(start), effect=False)

    def _from(self, start: int) -> list[Entry]:
        entries = self._witness.entries
        numbers = sorted(n for n in entries if n >= start)
        if numbers and numbers != list(range(start, numbers[-1] + 1)):
            raise gap(min(set(range(start, numbers[-1])) - set(numbers)), numbers[-1])
        return [self._entry(n) for n in numbers]

    async def _read_back(self, n: int, unclear: Inconclusive) -> bytes | None:
        try:
            return await self._carry(lambda: self._witness.entries.get(n), effect=False)
        except SiteUnreachable:
            raise unclear from None

    def _entry(self, n: int) -> Entry:
        return self._witness.entry(n)
