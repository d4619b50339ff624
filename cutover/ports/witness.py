"""What the witness holds: the register and the journal.

Every adapter passes resilience_tests/contract/witness/ and .../kills/.
"""

from typing import Protocol

from cutover.model.journal import Entry
from cutover.model.register import Grant, Registered


class Register(Protocol):
    """One small value at the witness that two writers cannot both change."""

    async def create(self, first: Grant) -> Registered:
        """Write the first grant; raises Superseded when there is a register already."""

    async def read(self) -> Registered | None:
        """What is there now; None when the witness answers that there is nothing."""

    async def compare_and_set(self, seen: Registered, new: Grant) -> Registered:
        """Replace what was `seen` by `new`.

        Raises Superseded if somebody was faster, and Inconclusive if no answer
        came. The adapter reads back first: the caller's own nonce means that it won.
        """


class Journal(Protocol):
    """Append-only: entry n can be created once."""

    async def append(self, entry: Entry) -> None:
        """Create entry n; raises Superseded when another writer has made it.

        After an answer that is not clear it is read back: one's own nonce means that it is ours.
        """

    async def read(self, start: int = 0) -> list[Entry]:
        """All entries from `start` to the tail, which is found by probing, not by listing.

        Raises Refused for a newer schema, a gap, or an entry that is not ours.
        """
