"""Objects, copied ahead of the rows that own them, in parallel, each once."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from cutover.engine.objects import digest_of
from cutover.engine.parts import Parts
from cutover.model.change import Change, Delete, Insert, ObjectName, Truncate
from cutover.model.merge import Kept
from cutover.model.plan import Plan

AT_ONCE = 8
"""Copies under way at one time: enough to fill a link with small objects."""
REMEMBERED = 100_000
"""Objects known to be here, so that an edit of a row does not read its bytes again."""


def objects_of(plan: Plan, change: Change) -> list[ObjectName]:
    """The objects that a changed row owns, as far as the log shows them."""
    if isinstance(change, Delete | Truncate):
        return []
    names = []
    for owned in plan.table(change.table).objects:
        key = change.row.get(owned.key_column)
        digest = change.row.get(owned.digest_column) if owned.digest_column else None
        if isinstance(key, str) and key:  # some say by an empty key that there is none
            sha256 = digest if isinstance(digest, str) else None
            names.append(ObjectName(bucket=owned.bucket, key=key, sha256=sha256))
    return names


async def reason_against_version(parts: Parts, site: str, kept: Kept) -> str | None:
    """None once the objects of a kept version are at `site`, verified; else why one cannot be had (S2).

    Raises SiteUnreachable or Inconclusive when that is not known.
    """
    names = [] if kept.row is None else objects_of(parts.plan, Insert(kept.table, kept.key, kept.row))
    there, here = parts.stores[parts.plan.peer(site)], parts.stores[site]
    for name in names:
        found = await here.sha256(name.key, bucket=name.bucket)
        wanted = found[0] if found and name.sha256 is None and kept.site == site else digest_of(name)
        if found is None or found[0] != wanted:
            reason = await parts.copy_object(there, here, name)
            if isinstance(reason, str):
                return reason
    return None


@dataclass(slots=True)
class Supply:
    """Brings objects from the peer's store to this site's."""

    parts: Parts
    peer: str
    site: str
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _under_way: dict[ObjectName, "asyncio.Task[str | None]"] = field(default_factory=dict)
    _here: OrderedDict[ObjectName, None] = field(default_factory=OrderedDict)

    def order(self, name: ObjectName) -> None:
        """Start to copy, unless it is here or on its way."""
        if name not in self._here and name not in self._under_way:
            self._under_way[name] = asyncio.ensure_future(self._copy(name))

    async def reason_against(self, name: ObjectName) -> str | None:
        """None once its verified bytes are here; else why they cannot be had.

        Raises SiteUnreachable or Inconclusive when that is not known.
        """
        self.order(name)
        if name in self._here:
            return None
        try:
            return await asyncio.shield(self._under_way[name])
        finally:
            self._forget_if_over(name)

    def _forget_if_over(self, name: ObjectName) -> None:
        """What failed may be tried again."""
        task = self._under_way.get(name)
        if task is not None and task.done():
            del self._under_way[name]

    async def close(self) -> None:
        """End what is under way, and wait until it has ended."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

    async def _copy(self, name: ObjectName) -> str | None:
        async with self._turns:
            stores = self.parts.stores
            copied = await self.parts.copy_object(stores[self.peer], stores[self.site], name)
        if isinstance(copied, str):
            return copied
        self._here[name] = None
        self._under_way.pop(name, None)
        while len(self._here) > REMEMBERED:
            self._here.popitem(last=False)
        return None
