"""What several variants take out: a site that serves applies no writes of its peer.

The server itself refuses them, so this reaches into the memory adapter.
"""

from collections.abc import Collection, Sequence
from typing import Any

from cutover.adapters.memory.replication import MemoryApplier
from cutover.engine.parts import Parts
from cutover.model.change import Transaction
from cutover.ports.database import Aside
from drill.planted.around import Around, Posing, around_appliers


class SeeminglyClosed(Posing):
    """A memory server that never says that it is open."""

    opened = False


class OpenToItsPeer(Around):
    """An applier that asks nobody whether its site serves."""

    async def apply(self, batch: Sequence[Transaction], **told: Any) -> Collection[Aside]:
        """As the port says, also at a site that serves."""
        server: Any = SeeminglyClosed(self._inner.server)
        return await MemoryApplier(server).apply(batch, **told)


def open_to_its_peer(parts: Parts) -> Parts:
    """Parts whose appliers write at a site that serves, too."""
    return around_appliers(parts, lambda _, inner: OpenToItsPeer(inner))
